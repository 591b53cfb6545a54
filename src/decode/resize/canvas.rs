//! What a resize reads: a picture, perhaps with transparency, perhaps in the middle of a padded
//! square, given out as rows of opaque RGB.

use std::ops::Range;

use super::super::alpha;
use crate::record::{Alpha, Geometry, Picture};

/// A picture in its place on a canvas of one colour.
pub(super) struct Canvas<'a> {
    /// The picture.
    pub picture: &'a Picture,
    /// Column of the canvas where the picture begins.
    pub left: u32,
    /// Row of the canvas where the picture begins.
    pub top: u32,
    /// Width of the canvas in pixels.
    pub width: u32,
    /// Colour of the padding and under transparent pixels.
    pub background: [u8; 3],
    /// How transparency is resolved.
    alpha: Alpha,
}

impl<'a> Canvas<'a> {
    /// The picture alone.
    pub fn of(picture: &'a Picture, geometry: &Geometry) -> Self {
        Self {
            picture,
            left: 0,
            top: 0,
            width: picture.width,
            background: geometry.background,
            alpha: geometry.alpha,
        }
    }

    /// The picture in the middle of a square; an odd gap is larger on the right or below.
    pub fn padded(picture: &'a Picture, geometry: &Geometry, side: u32) -> Self {
        Self {
            left: (side - picture.width) / 2,
            top: (side - picture.height) / 2,
            width: side,
            ..Self::of(picture, geometry)
        }
    }

    /// All rows from canvas row `row` on, where they are RGB already and not padded sideways.
    pub fn borrow(&self, row: u32) -> Option<&'a [u8]> {
        if self.picture.channels != 3 || self.width != self.picture.width {
            return None;
        }
        let row = row.checked_sub(self.top)?;
        self.picture.data.get(row as usize * self.picture.width as usize * 3..)
    }

    /// Writes `rows` canvas rows from `row` on, columns `columns` only, as RGB into `band`; all
    /// of the rows must be the picture's.
    pub fn prepare(&self, row: u32, rows: u32, columns: &Range<u32>, band: &mut Vec<u8>) {
        let channels = self.picture.channels as usize;
        let picture_stride = self.picture.width as usize * channels;
        let stride = (columns.end - columns.start) as usize * 3;
        band.resize(stride * rows as usize, 0);
        // The picture's columns among the wanted ones, counted in the picture and in the band.
        let begin = columns.start.max(self.left);
        let end = columns.end.min(self.left + self.picture.width).max(begin);
        let from = (begin - self.left) as usize * channels..(end - self.left) as usize * channels;
        let to = (begin - columns.start) as usize * 3..(end - columns.start) as usize * 3;

        let first = (row - self.top) as usize;
        let lines = self.picture.data.chunks_exact(picture_stride).skip(first);
        for (line, out) in lines.zip(band.chunks_exact_mut(stride)) {
            out[..to.start].as_chunks_mut::<3>().0.fill(self.background);
            out[to.end..].as_chunks_mut::<3>().0.fill(self.background);
            let (source, target) = (&line[from.clone()], &mut out[to.clone()]);
            match self.picture.channels {
                3 => target.copy_from_slice(source),
                _ => alpha::to_rgb(source, target, self.alpha, self.background),
            }
        }
    }
}
