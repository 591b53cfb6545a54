//! GIF, BMP and TIFF through the `image` crate: the first frame or page, whatever its samples
//! are, as 8-bit RGB or RGBA. 16-bit samples give their high byte, floats 0..1 are scaled to 255.

use std::io::{Cursor, ErrorKind as IoErrorKind};

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, tiff::TiffDecoder};
use image::{ColorType, ImageDecoder, ImageError, Limits};

use super::limits::{DecodeOptions, pixel_buffer, without_stop};
use super::png::spread;
use super::scratch;
use super::sniff::ImageFormat;
use crate::record::{ErrorKind, Failure, Picture};

/// Decodes the first frame of a GIF, BMP or TIFF.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, options: &DecodeOptions) -> Result<Picture, Failure> {
    let reader = Cursor::new(bytes);
    let failed = |error: ImageError| failure(format, &error);
    match format {
        ImageFormat::Gif => read(GifDecoder::new(reader).map_err(failed)?, format, options),
        ImageFormat::Bmp => read(BmpDecoder::new(reader).map_err(failed)?, format, options),
        _ => read(TiffDecoder::new(reader).map_err(failed)?, format, options),
    }
}

/// Checks the header's claim, then reads and converts the pixels.
fn read(mut decoder: impl ImageDecoder, format: ImageFormat, options: &DecodeOptions) -> Result<Picture, Failure> {
    let (width, height) = decoder.dimensions();
    let color = decoder.color_type();
    // The decoder's result, our 8-bit copy of it, and what the decoder buffers on the way.
    let bytes_per_pixel = 2 * u64::from(color.bytes_per_pixel()) + 4;
    options.admit(format, u64::from(width), u64::from(height), bytes_per_pixel)?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(options.max_bytes);
    decoder.set_limits(limits).map_err(|error| failure(format, &error))?;

    let mut data = pixel_buffer(width, height, color.bytes_per_pixel())?;
    data.fill(0);
    decoder.read_image(&mut data).map_err(|error| failure(format, &error))?;
    let picture = match color {
        ColorType::Rgb8 => {
            return Ok(Picture {
                width,
                height,
                channels: 3,
                data,
            });
        }
        ColorType::Rgba8 => {
            return Ok(Picture {
                width,
                height,
                channels: 4,
                data,
            });
        }
        ColorType::L8 => spread(&data, width, height, |p: &[u8; 1]| [p[0]; 3]),
        ColorType::La8 => spread(&data, width, height, |p: &[u8; 2]| [p[0], p[0], p[0], p[1]]),
        ColorType::L16 => spread(&data, width, height, |p: &[u8; 2]| [high(*p); 3]),
        ColorType::La16 => spread(&data, width, height, |p: &[u8; 4]| {
            let grey = high([p[0], p[1]]);
            [grey, grey, grey, high([p[2], p[3]])]
        }),
        ColorType::Rgb16 => spread(&data, width, height, |p: &[u8; 6]| {
            [0, 2, 4].map(|at| high([p[at], p[at + 1]]))
        }),
        ColorType::Rgba16 => spread(&data, width, height, |p: &[u8; 8]| {
            [0, 2, 4, 6].map(|at| high([p[at], p[at + 1]]))
        }),
        ColorType::Rgb32F => spread(&data, width, height, |p: &[u8; 12]| [0, 4, 8].map(|at| level(p, at))),
        ColorType::Rgba32F => spread(&data, width, height, |p: &[u8; 16]| {
            [0, 4, 8, 12].map(|at| level(p, at))
        }),
        other => {
            let message = format!(
                "{} pixels of type {other:?} are not decoded by this build",
                format.as_str()
            );
            Err(Failure::new(ErrorKind::UnsupportedFormat, message))
        }
    };
    scratch::give(data);
    picture
}

/// The high byte of a 16-bit sample in the machine's byte order.
fn high(sample: [u8; 2]) -> u8 {
    (u16::from_ne_bytes(sample) >> 8) as u8
}

/// The 8-bit level of the float at `at`; the cast saturates and turns NaN into 0.
fn level(pixel: &[u8], at: usize) -> u8 {
    let sample = f32::from_ne_bytes([pixel[at], pixel[at + 1], pixel[at + 2], pixel[at + 3]]);
    (sample * 255.0 + 0.5) as u8
}

/// Says in labelmill's kinds what the `image` crate says.
fn failure(format: ImageFormat, error: &ImageError) -> Failure {
    let name = format.as_str();
    let truncated = Failure::new(
        ErrorKind::Truncated,
        format!("the {name} ends early; get the whole file again"),
    );
    match error {
        ImageError::IoError(io) if io.kind() == IoErrorKind::UnexpectedEof => truncated,
        _ if is_end_of_file(error) => truncated,
        ImageError::Limits(_) => Failure::new(
            ErrorKind::TooLarge,
            format!("decoding the {name} takes more than max_bytes allows"),
        ),
        ImageError::Unsupported(_) => Failure::new(
            ErrorKind::UnsupportedFormat,
            format!("this kind of {name} is not decoded by this build ({error}); convert it to png"),
        ),
        other => Failure::new(
            ErrorKind::Corrupt,
            format!("the {name} cannot be decoded: {}", without_stop(&other)),
        ),
    }
}

/// Whether an unexpected end of the file is anywhere among the causes.
fn is_end_of_file(error: &ImageError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        let io = current.downcast_ref::<std::io::Error>();
        // The GIF decoder has an error type of its own for this.
        let words = current.to_string().to_lowercase();
        if io.is_some_and(|io| io.kind() == IoErrorKind::UnexpectedEof) || words.contains("unexpected end of file") {
            return true;
        }
        cause = current.source();
    }
    false
}
