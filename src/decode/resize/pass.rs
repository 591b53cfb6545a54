//! One pass of a resize over RGB rows, horizontal or vertical, by `fast_image_resize`.
//!
//! It rounds the filter's coefficients to 16 bits, which puts some results one level off. Where a
//! pass shrinks little, one pixel of the first pass weighs so much in the second that two such
//! steps can meet; there the pass is computed with Pillow's own coefficients, which is slower and
//! exact. Large reductions, where the time goes, keep the fast path.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::exact;
use crate::record::Filter;

/// From how many source pixels a target pixel on the 8-bit path is within ±1 after both passes.
const SCALE_OF_FAST_PATH: f64 = 2.0;

/// Most source pixels of an exact pass; above, its time would be felt.
const LARGEST_EXACT: usize = 4 << 20;

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
        filter: Filter,
        source: Source<'_>,
        part: Part,
        target: &mut [u8],
        (width, height): (u32, u32),
    ) {
        let options = ResizeOptions::new()
            .resize_alg(algorithm(filter))
            .crop(part.left, part.top, part.width, part.height)
            .use_alpha(false);
        let scale = (part.width / f64::from(width)).max(part.height / f64::from(height));
        let is_copy = (part.width, part.height) == (f64::from(width), f64::from(height))
            && (part.left.fract(), part.top.fract()) == (0.0, 0.0);
        let is_exact = scale < SCALE_OF_FAST_PATH
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
