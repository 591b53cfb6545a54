//! One pass of a resize over RGB rows, horizontal or vertical, by `fast_image_resize`.
//!
//! It rounds the filter's coefficients to 16 bits, which puts some results one level off; such a
//! step in both passes could add up to two. So only a first pass that shrinks much, where the time
//! goes and where no pixel weighs much in the second, is fast; every other pass is exact.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::exact;
use crate::record::Filter;

/// Most source pixels of an exact pass; above, its time would be felt.
const LARGEST_EXACT: usize = 4 << 20;

/// How closely a pass follows Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accuracy {
    /// Within one level.
    Fast,
    /// Equal, if the source is not too large for that.
    Exact,
}

/// How the pixels of a pass are weighed, and how closely.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    pub filter: Filter,
    pub accuracy: Accuracy,
}

/// The resizer of a thread, with its buffers.
#[derive(Default)]
pub(super) struct Engine {
    resizer: Resizer,
}

/// RGB pixels, `height` rows of `width`.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub pixels: &'a [u8],
    pub width: u32,
    pub height: u32,
}

/// The part of the source that the target shows, in source pixels.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Engine {
    /// Fills `target` (`height` rows of `width` RGB pixels) with a part of the source; the part
    /// has the target's width or height, so that one direction is left as it is.
    pub fn pass(
        &mut self,
        Kernel { filter, accuracy }: Kernel,
        source: Source<'_>,
        part: Part,
        target: &mut [u8],
        (width, height): (u32, u32),
    ) {
        let options = ResizeOptions::new()
            .resize_alg(algorithm(filter))
            .crop(part.left, part.top, part.width, part.height)
            .use_alpha(false);
        let is_copy = (part.width, part.height) == (f64::from(width), f64::from(height))
            && (part.left.fract(), part.top.fract()) == (0.0, 0.0);
        let is_exact = accuracy == Accuracy::Exact
            && !is_copy
            && filter != Filter::Nearest
            && source.pixels.len() / 3 <= LARGEST_EXACT;
        if is_exact {
            exact::pass(filter, source, part, target, (width, height));
        } else {
            let from = ImageRef::new(source.width, source.height, source.pixels, PixelType::U8x3).expect(ROWS);
            let mut to = Image::from_slice_u8(width, height, target, PixelType::U8x3).expect(ROWS);
            self.resizer.resize(&from, &mut to, &options).expect(CLAMPED);
        }
    }
}

const ROWS: &str = "the slice holds as many pixels as the caller counted";
const CLAMPED: &str = "the part was clamped to the source";

/// Pillow's filters by the names of `fast_image_resize`.
fn algorithm(filter: Filter) -> ResizeAlg {
    match filter {
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        Filter::Nearest => ResizeAlg::Nearest,
    }
}
