//! JPEG through libjpeg-turbo, bit-identical to Pillow, which uses the same library.
//!
//! A file whose picture data is incomplete or damaged is a failure, never a half-grey picture.
//! Warnings that leave the picture whole (stray bytes between segments) are let through, as
//! Pillow does; unlike Pillow, damaged Huffman data is not.

use turbojpeg::{Colorspace, Compressor, Decompressor, Image, PixelFormat, ScalingFactor, Subsamp};

use super::limits::{DecodeOptions, JpegScale, pixel_buffer, without_stop};
use super::png::spread;
use super::sniff::ImageFormat;
use crate::record::{ErrorKind, Failure, Picture};

/// Scans of a progressive file that are decoded. Encoders write about 10, optimisers up to some
/// 60; more is how a small file is made to keep a decoder busy for minutes.
const MAX_SCANS: u32 = 200;

/// Bytes a pixel at most: the result, CMYK before conversion and the coefficients of a
/// progressive file (2 bytes for each of up to 4 components).
const BYTES_PER_PIXEL: u64 = 4;
const BYTES_PER_PIXEL_PROGRESSIVE: u64 = 4 + 3;

/// Decodes the first image of the file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Picture, Failure> {
    let mut decompressor = Decompressor::new().map_err(|error| failure(bytes, &error))?;
    decompressor
        .set_scan_limit(MAX_SCANS)
        .map_err(|error| failure(bytes, &error))?;
    let header = decompressor
        .read_header(bytes)
        .map_err(|error| failure(bytes, &error))?;
    let per_pixel = if header.is_progressive {
        BYTES_PER_PIXEL_PROGRESSIVE
    } else {
        BYTES_PER_PIXEL
    };
    options.admit(ImageFormat::Jpeg, header.width as u64, header.height as u64, per_pixel)?;

    let scale = if header.is_lossless {
        ScalingFactor::ONE
    } else {
        scale(&header, options.jpeg_scale)
    };
    decompressor
        .set_scaling_factor(scale)
        .map_err(|error| failure(bytes, &error))?;
    let scaled = header.scaled(scale);
    let (width, height) = (scaled.width as u32, scaled.height as u32);
    let format = match header.colorspace {
        Colorspace::CMYK | Colorspace::YCCK => PixelFormat::CMYK,
        Colorspace::RGB | Colorspace::YCbCr | Colorspace::Gray => PixelFormat::RGB,
    };
    let channels = format.size() as u8;
    let mut data = pixel_buffer(width, height, channels)?;
    let pitch = scaled.width * format.size();
    let output = Image {
        pixels: data.as_mut_slice(),
        width: scaled.width,
        pitch,
        height: scaled.height,
        format,
    };
    if let Err(error) = decompressor.decompress(bytes, output)
        && !is_whole_in_spite_of(&error.to_string(), bytes)
    {
        return Err(failure(bytes, &error));
    }
    match format {
        PixelFormat::CMYK => spread(&data, width, height, |ink: &[u8; 4]| rgb_of_inverted_cmyk(*ink)),
        _ => Ok(Picture {
            width,
            height,
            channels,
            data,
        }),
    }
}

/// Compresses a square of RGB pixels as Pillow does (4:2:0) and decompresses it again, in place.
pub(super) fn round_trip(square: &mut [u8], side: usize, quality: u8) {
    let pitch = side * 3;
    let format = PixelFormat::RGB;
    let mut through = || -> turbojpeg::Result<()> {
        let mut compressor = Compressor::new()?;
        compressor.set_quality(i32::from(quality))?;
        compressor.set_subsamp(Subsamp::Sub2x2)?;
        let (width, height) = (side, side);
        let file = compressor.compress_to_vec(Image {
            pixels: &*square,
            width,
            pitch,
            height,
            format,
        })?;
        let pixels = &mut *square;
        Decompressor::new()?.decompress(
            &file,
            Image {
                pixels,
                width,
                pitch,
                height,
                format,
            },
        )
    };
    through().expect("a small square of RGB pixels can be compressed at any quality from 1 to 100");
}

/// The smallest of 1, 1/2, 1/4 and 1/8 that keeps the short side long enough. The eighths between
/// them have no SIMD code and take longer than decoding at full size.
fn scale(header: &turbojpeg::DecompressHeader, wanted: JpegScale) -> ScalingFactor {
    let JpegScale::Fast { smallest_short_side } = wanted else {
        return ScalingFactor::ONE;
    };
    [
        ScalingFactor::ONE_EIGHTH,
        ScalingFactor::ONE_QUARTER,
        ScalingFactor::ONE_HALF,
    ]
    .into_iter()
    .find(|factor| {
        let scaled = header.scaled(*factor);
        scaled.width.min(scaled.height) >= smallest_short_side as usize
    })
    .unwrap_or(ScalingFactor::ONE)
}

/// Ink values as Adobe writes them (255 is no ink) to RGB, with Pillow's rounding.
fn rgb_of_inverted_cmyk([cyan, magenta, yellow, key]: [u8; 4]) -> [u8; 3] {
    [cyan, magenta, yellow].map(|light| {
        let product = u32::from(255 - light) * u32::from(key) + 128;
        key.saturating_sub((((product >> 8) + product) >> 8) as u8)
    })
}

/// Whether a warning of libjpeg leaves the picture whole. The text is all that the binding gives,
/// and it is that of the first warning, so the end-of-image marker is looked for as well.
fn is_whole_in_spite_of(message: &str, bytes: &[u8]) -> bool {
    let harmless = [
        "extraneous bytes before marker",
        "unknown JFIF revision",
        "Unknown Adobe color transform",
        "bad ICC",
    ];
    harmless.iter().any(|part| message.contains(part)) && has_end_marker(bytes)
}

/// Whether an end-of-image marker follows the first start of a scan; inside entropy-coded data
/// the pair FF D9 cannot occur. Segments before the scan are stepped over, as they may hold a
/// whole JPEG (a thumbnail).
fn has_end_marker(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    let mut at = 2;
    while let Some([0xFF, marker]) = bytes.get(at..at + 2) {
        if *marker == 0xFF {
            // Any number of fill bytes may precede a marker.
            at += 1;
            continue;
        }
        let Some([high, low]) = bytes.get(at + 2..at + 4) else {
            return false;
        };
        at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
        if *marker == START_OF_SCAN {
            break;
        }
    }
    bytes
        .get(at..)
        .is_some_and(|rest| rest.windows(2).any(|pair| pair == b"\xff\xd9"))
}

/// Says in labelmill's kinds what libjpeg-turbo says.
fn failure(bytes: &[u8], error: &turbojpeg::Error) -> Failure {
    let message = match error {
        turbojpeg::Error::TurboJpegError(message) => message.clone(),
        other => other.to_string(),
    };
    let lower = message.to_lowercase();
    let unsupported = lower.contains("unsupported") || lower.contains("not implemented") || lower.contains("precision");
    if unsupported {
        return Failure::new(
            ErrorKind::UnsupportedFormat,
            format!("this kind of jpeg is not decoded: {message}"),
        );
    }
    // A cut file makes libjpeg complain of whatever it meets last; that its end is missing says
    // more.
    if !has_end_marker(bytes) {
        return Failure::new(
            ErrorKind::Truncated,
            format!("the jpeg ends early ({message}); get the whole file again"),
        );
    }
    Failure::new(
        ErrorKind::Corrupt,
        format!("the jpeg cannot be decoded: {}", without_stop(&message)),
    )
}
