//! What one picture may cost: pixels, sides and bytes, checked from the header before anything is
//! allocated for it.

use super::scratch;
use super::sniff::ImageFormat;
use crate::record::{ErrorKind, Failure};

/// How a picture is decoded and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Most pixels (width times height) of a picture. The default of 250 million is above the
    /// 200-megapixel sensors of phones and Pillow's own limit (179 million), and keeps a picture
    /// with transparency under 1 GB.
    pub max_pixels: u64,
    /// Longest side in pixels. The default of 100,000 is above what JPEG (65,535) and WebP can
    /// hold; it bounds the strip of `square size * height` that a resize goes through.
    pub max_side: u32,
    /// Most bytes that a decoder and its result may take together. The default of 2 GiB lets a
    /// progressive JPEG of `max_pixels` through only up to 4:2:0 (3 + 3 bytes a pixel).
    pub max_bytes: u64,
    /// Whether large JPEG files are decoded at full size.
    pub jpeg_scale: JpegScale,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            max_pixels: 250_000_000,
            max_side: 100_000,
            max_bytes: 2 << 30,
            jpeg_scale: JpegScale::Exact,
        }
    }
}

/// At which size JPEG files are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JpegScale {
    /// Full size, every pixel as Pillow gives it.
    Exact,
    /// A half, a quarter or an eighth of the size, as small as the short side stays at or above
    /// `smallest_short_side` pixels; three times the largest square of the plan keeps the result
    /// within a few levels of the exact one.
    Fast {
        /// Pixels that the short side must keep.
        smallest_short_side: u32,
    },
}

/// What a decoder says, as the middle of a sentence of ours.
pub(super) fn without_stop(said: &dyn std::fmt::Display) -> String {
    said.to_string().trim_end_matches('.').to_owned()
}

impl DecodeOptions {
    /// Whether a picture of this size, at `bytes_per_pixel` for result and decoder together, is
    /// within the limits.
    pub(super) fn admit(
        &self,
        format: ImageFormat,
        width: u64,
        height: u64,
        bytes_per_pixel: u64,
    ) -> Result<(), Failure> {
        let name = format.as_str();
        if width == 0 || height == 0 {
            let message = format!("the {name} header claims {width} x {height} pixels");
            return Err(Failure::new(ErrorKind::Corrupt, message));
        }
        let pixels = width.saturating_mul(height);
        let bytes = pixels.saturating_mul(bytes_per_pixel);
        let over = if pixels > self.max_pixels {
            format!("more than the {} that max_pixels allows", self.max_pixels)
        } else if width.max(height) > u64::from(self.max_side) {
            format!("and the longest side may have {} (max_side)", self.max_side)
        } else if bytes > self.max_bytes {
            format!(
                "and decoding takes {bytes} bytes, more than the {} that max_bytes allows",
                self.max_bytes
            )
        } else {
            return Ok(());
        };
        Err(Failure::new(
            ErrorKind::TooLarge,
            format!("the {name} header claims {width} x {height} = {pixels} pixels, {over}"),
        ))
    }
}

/// A buffer of `width * height * channels` bytes with any content; a failure where the machine
/// has not that much memory.
pub(super) fn pixel_buffer(width: u32, height: u32, channels: u8) -> Result<Vec<u8>, Failure> {
    let bytes = u64::from(width) * u64::from(height) * u64::from(channels);
    usize::try_from(bytes).ok().and_then(scratch::take).ok_or_else(|| {
        Failure::new(
            ErrorKind::TooLarge,
            format!("no memory for the {bytes} bytes of a picture of {width} x {height}; lower max_pixels or use fewer threads"),
        )
    })
}
