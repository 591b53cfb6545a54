//! PNG through the `png` crate: palette and transparency expanded, 16 bits to 8 by their high
//! byte, interlaced files, and of animated ones the default image.
//!
//! Pillow reads 16-bit colour the same way. It differs for 16-bit grey, which it clips at 255 on
//! conversion to RGB (a white rectangle for most pictures); the high byte is what one would see.

use std::io::{BufRead, Cursor, ErrorKind as IoErrorKind, Seek};

use png::{ColorType, DecodingError, Transformations};

use super::limits::{DecodeOptions, pixel_buffer, without_stop};
use super::sniff::ImageFormat;
use crate::record::{ErrorKind, Failure, Picture};

/// What the decoder may hold beside the result: rows and chunks that precede the pixels.
const MAX_DECODER_BYTES: usize = 64 << 20;

/// A decoder that gives 8 bits a channel, whatever the file holds.
fn decoder_of<R: BufRead + Seek>(reader: R) -> png::Decoder<R> {
    let limits = png::Limits {
        bytes: MAX_DECODER_BYTES,
    };
    let mut decoder = png::Decoder::new_with_limits(reader, limits);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder
}

/// The first rows of the default image, as [`decode`] gives them, read no further than they reach.
/// None where they cannot be had alone: interlaced files, broken ones.
pub(super) fn top_rows(reader: impl BufRead + Seek, rows: u32, options: &DecodeOptions) -> Option<Picture> {
    let mut decoder = decoder_of(reader);
    let (width, height) = decoder.read_header_info().ok()?.size();
    options
        .admit(ImageFormat::Png, u64::from(width), u64::from(height), 4)
        .ok()?;
    let mut reader = decoder.read_info().ok()?;
    if reader.info().interlaced {
        return None;
    }
    let color = reader.output_color_type().0;
    let rows = rows.min(height);
    let mut data = Vec::new();
    for _ in 0..rows {
        data.extend_from_slice(reader.next_row().ok()??.data());
    }
    picture_of(color, data, width, rows).ok()
}

/// Decodes the default image.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Picture, Failure> {
    let mut decoder = decoder_of(Cursor::new(bytes));
    let header = decoder.read_header_info().map_err(|error| failure(bytes, error))?;
    let (width, height) = header.size();
    options.admit(ImageFormat::Png, u64::from(width), u64::from(height), 4)?;

    let mut reader = decoder.read_info().map_err(|error| failure(bytes, error))?;
    let (color, _) = reader.output_color_type();
    let channels = color.samples() as u8;
    let mut data = pixel_buffer(width, height, channels)?;
    let frame = reader.next_frame(&mut data).map_err(|error| failure(bytes, error))?;
    if (frame.width, frame.height) != (width, height) {
        let message = format!(
            "the png's first frame has {} x {} pixels, not {width} x {height}",
            frame.width, frame.height
        );
        return Err(Failure::new(ErrorKind::Corrupt, message));
    }
    picture_of(color, data, width, height)
}

/// Decoded rows as a picture of three or four channels.
fn picture_of(color: ColorType, data: Vec<u8>, width: u32, height: u32) -> Result<Picture, Failure> {
    match color {
        ColorType::Grayscale => spread(&data, width, height, |grey: &[u8; 1]| [grey[0]; 3]),
        ColorType::GrayscaleAlpha => spread(&data, width, height, |pair: &[u8; 2]| {
            [pair[0], pair[0], pair[0], pair[1]]
        }),
        ColorType::Rgb | ColorType::Rgba => Ok(Picture {
            width,
            height,
            channels: color.samples() as u8,
            data,
        }),
        ColorType::Indexed => Err(Failure::new(
            ErrorKind::Corrupt,
            "the png has palette pixels without a palette",
        )),
    }
}

/// A picture made of another layout, pixel by pixel.
pub(super) fn spread<const FROM: usize, const TO: usize>(
    data: &[u8],
    width: u32,
    height: u32,
    convert: impl Fn(&[u8; FROM]) -> [u8; TO],
) -> Result<Picture, Failure> {
    let channels = TO as u8;
    let mut spread = pixel_buffer(width, height, channels)?;
    for (from, to) in data.as_chunks::<FROM>().0.iter().zip(spread.as_chunks_mut::<TO>().0) {
        *to = convert(from);
    }
    Ok(Picture {
        width,
        height,
        channels,
        data: spread,
    })
}

/// Says in labelmill's kinds what the `png` crate says.
fn failure(bytes: &[u8], error: DecodingError) -> Failure {
    match error {
        DecodingError::IoError(error) if error.kind() == IoErrorKind::UnexpectedEof => truncated(),
        DecodingError::LimitsExceeded => Failure::new(
            ErrorKind::TooLarge,
            format!("the png needs more than {MAX_DECODER_BYTES} bytes beside its pixels"),
        ),
        // The crate reports some ends of file as errors of format.
        _ if !has_end_chunk(bytes) => truncated(),
        other => Failure::new(
            ErrorKind::Corrupt,
            format!("the png cannot be decoded: {}", without_stop(&other)),
        ),
    }
}

fn truncated() -> Failure {
    Failure::new(
        ErrorKind::Truncated,
        "the png ends before its last row of pixels; get the whole file again",
    )
}

/// Whether the chunks, stepped over by their lengths, end with IEND.
fn has_end_chunk(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        if head.ends_with(b"IEND") {
            return true;
        }
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        rest = length
            .checked_add(4)
            .and_then(|skip| after.get(skip..))
            .unwrap_or_default();
    }
    false
}
