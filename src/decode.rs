//! Decode: the bytes of one image become one upright picture, and the picture becomes the squares
//! that the models of a plan ask for.
//!
//! The format is decided by content, every budget is checked from the header before anything is
//! allocated for it, and whatever a file holds, the answer is a picture or a [`Failure`]. Colour
//! profiles (ICC) are ignored, as Pillow does: the models were trained on pixels read that way.

mod alpha;
mod jpeg;
mod limits;
mod orientation;
mod png;
mod raster;
mod resize;
mod scratch;
mod sniff;
mod webp;

use std::io::{BufReader, Read, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::record::{ErrorKind, Failure, Picture, ReadSeek};

pub use limits::{DecodeOptions, JpegScale};
pub use resize::resize;
pub use scratch::{Spare, recycle};
pub use sniff::{HEAD_BYTES, ImageFormat, sniff};

/// Decodes the first frame of an image and turns it upright.
///
/// `orientation` is the EXIF value 1..=8; any other value counts as 1. The picture has 3 channels
/// where the format or the file has no transparency and 4 (straight alpha) where it has.
///
/// # Errors
/// `empty`, `not_an_image`, `unsupported_format`, `too_large`, `truncated` or `corrupt`, with a
/// sentence that says what to do.
pub fn decode(bytes: &[u8], orientation: u8, options: &DecodeOptions) -> Result<Picture, Failure> {
    if bytes.is_empty() {
        return Err(Failure::new(ErrorKind::Empty, "the file has no bytes"));
    }
    let Some(format) = sniff(bytes) else {
        return Err(sniff::not_an_image(bytes));
    };
    let picture = match format {
        ImageFormat::Png => png::decode(bytes, options),
        ImageFormat::Jpeg => jpeg::decode(bytes, options),
        ImageFormat::WebP => webp::decode(bytes, options),
        ImageFormat::Gif | ImageFormat::Bmp | ImageFormat::Tiff => raster::decode(bytes, format, options),
        other => Err(sniff::unsupported(other)),
    }?;
    Ok(orientation::upright(picture, orientation))
}

/// [`decode`] in which a panic of a decoder is a failure of kind `panic` like any other.
///
/// # Errors
/// What [`decode`] gives, and `panic`.
pub fn decode_guarded(bytes: &[u8], orientation: u8, options: &DecodeOptions) -> Result<Picture, Failure> {
    guarded(|| decode(bytes, orientation, options))
}

/// The first rows of a PNG or WebP as stored, at a fraction of the cost of all of them: for who
/// wants to look before decoding. None where they cannot be had alone; the whole picture may be
/// decodable all the same. A WebP longer than `max_bytes` is left alone.
pub fn top_rows(reader: &mut dyn ReadSeek, rows: u32, max_bytes: u64, options: &DecodeOptions) -> Option<Picture> {
    let mut head = Vec::new();
    (&mut *reader).take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
    reader.seek(SeekFrom::Start(0)).ok()?;
    let look = || match sniff(&head)? {
        ImageFormat::Png => png::top_rows(BufReader::with_capacity(64 << 10, reader), rows, options),
        ImageFormat::WebP => {
            let mut bytes = Vec::new();
            (&mut *reader).take(max_bytes).read_to_end(&mut bytes).ok()?;
            webp::top_rows(&bytes, rows, options)
        }
        _ => None,
    };
    catch_unwind(AssertUnwindSafe(look)).ok()?
}

/// Runs one decode; the decoders hold no state across pictures that a panic could leave half done
/// (thread-local buffers are taken out before use).
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let said = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(Failure::new(
            ErrorKind::Panic,
            format!("the decoder panicked ({said}); please report this file"),
        ))
    })
}

#[cfg(test)]
mod tests;
