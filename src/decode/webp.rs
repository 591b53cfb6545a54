//! WebP through libwebp: lossy, lossless, with and without transparency, and of animations the
//! first frame on its canvas. The container is read here, the pixels by the C library.

use libwebp_sys as sys;
use sys::VP8StatusCode as Status;

use super::limits::{DecodeOptions, pixel_buffer};
use super::sniff::ImageFormat;
use crate::record::{ErrorKind, Failure, Picture};

/// Bytes a pixel at most: the result, and libwebp's own planes or (lossless) ARGB pixels.
const BYTES_PER_PIXEL: u64 = 8;

/// Bytes of an ANMF chunk before its frame's own chunks.
const FRAME_HEADER_BYTES: usize = 16;

/// What the header of a still picture or of a whole animation says.
struct Features {
    width: u32,
    height: u32,
    channels: u8,
    animated: bool,
}

/// Decodes the picture or the first frame.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Picture, Failure> {
    let features = features(bytes)?;
    options.admit(
        ImageFormat::WebP,
        u64::from(features.width),
        u64::from(features.height),
        BYTES_PER_PIXEL,
    )?;
    if features.animated {
        return decode_first_frame(bytes, &features);
    }
    let Features {
        width,
        height,
        channels,
        ..
    } = features;
    let mut data = pixel_buffer(width, height, channels)?;
    decode_into(bytes, &mut data, width, height, channels, Rows::All)?;
    Ok(Picture {
        width,
        height,
        channels,
        data,
    })
}

/// The first rows of a still picture; none where they cannot be had alone. In lossy pictures the
/// colours of the last one are smoothed as if the picture ended there; transparency is exact.
pub(super) fn top_rows(bytes: &[u8], rows: u32, options: &DecodeOptions) -> Option<Picture> {
    let features = features(bytes).ok().filter(|features| !features.animated)?;
    let (width, height) = (features.width, features.height.min(rows));
    options
        .admit(
            ImageFormat::WebP,
            u64::from(width),
            u64::from(features.height),
            BYTES_PER_PIXEL,
        )
        .ok()?;
    let mut data = pixel_buffer(width, height, features.channels).ok()?;
    decode_into(bytes, &mut data, width, height, features.channels, Rows::Top).ok()?;
    Some(Picture {
        width,
        height,
        channels: features.channels,
        data,
    })
}

/// Which rows of a picture are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// All of them.
    All,
    /// As many from the top as the buffer is high.
    Top,
}

/// Decodes the first frame and puts it in its place on a transparent (or black) canvas.
fn decode_first_frame(bytes: &[u8], canvas: &Features) -> Result<Picture, Failure> {
    let frame = first_frame(bytes)?;
    let inside = |start: u32, length: u32, whole: u32| start.checked_add(length).is_some_and(|end| end <= whole);
    let coded = features(frame.data)?;
    if (coded.width, coded.height) != (frame.width, frame.height)
        || !inside(frame.left, frame.width, canvas.width)
        || !inside(frame.top, frame.height, canvas.height)
    {
        return Err(Failure::new(
            ErrorKind::Corrupt,
            "the webp's first frame does not fit its canvas",
        ));
    }
    let channels = canvas.channels;
    let mut data = pixel_buffer(canvas.width, canvas.height, channels)?;
    if (frame.width, frame.height) == (canvas.width, canvas.height) {
        decode_into(frame.data, &mut data, frame.width, frame.height, channels, Rows::All)?;
    } else {
        let stride = frame.width as usize * channels as usize;
        let mut patch = vec![0; stride * frame.height as usize];
        decode_into(frame.data, &mut patch, frame.width, frame.height, channels, Rows::All)?;
        data.fill(0);
        let canvas_stride = canvas.width as usize * channels as usize;
        let rows = data.chunks_exact_mut(canvas_stride).skip(frame.top as usize);
        for (row, from) in rows.zip(patch.chunks_exact(stride)) {
            let start = frame.left as usize * channels as usize;
            row[start..start + stride].copy_from_slice(from);
        }
    }
    Ok(Picture {
        width: canvas.width,
        height: canvas.height,
        channels,
        data,
    })
}

/// Where the first frame of an animation stands, and its own chunks.
struct Frame<'a> {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    data: &'a [u8],
}

/// Finds the first ANMF chunk (WebP container specification, "Animation").
fn first_frame(bytes: &[u8]) -> Result<Frame<'_>, Failure> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let Some(payload) = after.get(..length) else {
            break;
        };
        if head.starts_with(b"ANMF") {
            return frame_of(payload);
        }
        // Chunks are padded to an even length.
        rest = after.get(length + length % 2..).unwrap_or_default();
    }
    Err(Failure::new(
        ErrorKind::Truncated,
        "the webp ends before the end of its first frame",
    ))
}

/// Reads the header of an ANMF chunk: positions are stored halved, sizes less one, 24 bits each.
fn frame_of(payload: &[u8]) -> Result<Frame<'_>, Failure> {
    let Some((header, data)) = payload.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Err(Failure::new(
            ErrorKind::Corrupt,
            "the webp's first frame is too short to be one",
        ));
    };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]);
    Ok(Frame {
        left: number(0) * 2,
        top: number(3) * 2,
        width: number(6) + 1,
        height: number(9) + 1,
        data,
    })
}

/// Reads the header of a file or of a frame's chunks.
#[expect(unsafe_code, reason = "libwebp is a C library; this is one of the two calls into it")]
fn features(bytes: &[u8]) -> Result<Features, Failure> {
    let mut raw = sys::WebPBitstreamFeatures {
        width: 0,
        height: 0,
        has_alpha: 0,
        has_animation: 0,
        format: 0,
        pad: [0; 5],
    };
    // SAFETY: the pointer and the length are those of one live slice, `raw` is a live structure
    // of the layout that the version constant (from the same bindings) stands for, and the
    // function only reads the bytes and writes the structure.
    let status = unsafe {
        sys::WebPGetFeaturesInternal(
            bytes.as_ptr(),
            bytes.len(),
            &raw mut raw,
            sys::WEBP_DECODER_ABI_VERSION as _,
        )
    };
    if status != Status::VP8_STATUS_OK {
        return Err(failure(status));
    }
    Ok(Features {
        width: u32::try_from(raw.width).unwrap_or(0),
        height: u32::try_from(raw.height).unwrap_or(0),
        channels: if raw.has_alpha == 0 { 3 } else { 4 },
        animated: raw.has_animation != 0,
    })
}

/// Decodes a still picture or a frame's chunks into `pixels`, which must hold exactly
/// `width * height * channels` bytes and match the header, in its first rows or in all.
#[expect(unsafe_code, reason = "libwebp is a C library; this is one of the two calls into it")]
fn decode_into(
    bytes: &[u8],
    pixels: &mut [u8],
    width: u32,
    height: u32,
    channels: u8,
    rows: Rows,
) -> Result<(), Failure> {
    assert_eq!(
        pixels.len() as u64,
        u64::from(width) * u64::from(height) * u64::from(channels),
        "buffer as its picture"
    );
    let mut config = sys::WebPDecoderConfig::new().map_err(|()| {
        Failure::new(
            ErrorKind::UnsupportedFormat,
            "libwebp has another version than its bindings",
        )
    })?;
    if rows == Rows::Top {
        config.options.use_cropping = 1;
        config.options.crop_width = width as core::ffi::c_int;
        config.options.crop_height = height as core::ffi::c_int;
    }
    config.output.colorspace = if channels == 4 {
        sys::WEBP_CSP_MODE::MODE_RGBA
    } else {
        sys::WEBP_CSP_MODE::MODE_RGB
    };
    config.output.is_external_memory = 1;
    config.output.u.RGBA = sys::WebPRGBABuffer {
        rgba: pixels.as_mut_ptr(),
        // WebP sides have 14 bits (24 in a canvas, which `max_side` bounds), so this fits.
        stride: (width * u32::from(channels)) as core::ffi::c_int,
        size: pixels.len(),
    };
    // SAFETY: input pointer and length are those of one live slice. The output is external memory
    // whose stride and size describe `pixels`, which outlives the call and is borrowed mutably;
    // libwebp checks the picture's size against them before it writes. `config` was initialised
    // by libwebp's own function. External memory needs no `WebPFreeDecBuffer`.
    let status = unsafe { sys::WebPDecode(bytes.as_ptr(), bytes.len(), &raw mut config) };
    if status == Status::VP8_STATUS_OK {
        Ok(())
    } else {
        Err(failure(status))
    }
}

/// Says in labelmill's kinds what libwebp says.
fn failure(status: Status) -> Failure {
    let (kind, message) = match status {
        Status::VP8_STATUS_NOT_ENOUGH_DATA | Status::VP8_STATUS_SUSPENDED => {
            (ErrorKind::Truncated, "the webp ends early; get the whole file again")
        }
        Status::VP8_STATUS_OUT_OF_MEMORY => (ErrorKind::TooLarge, "no memory to decode the webp"),
        Status::VP8_STATUS_UNSUPPORTED_FEATURE => (
            ErrorKind::UnsupportedFormat,
            "the webp uses a feature that libwebp does not decode",
        ),
        _ => (
            ErrorKind::Corrupt,
            "the webp cannot be decoded: its content contradicts the format",
        ),
    };
    Failure::new(kind, message)
}
