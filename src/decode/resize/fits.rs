//! The ways to a square that are more than one resize: a crop, a picture inside the square, a JPEG on
//! the way.

use super::canvas::Canvas;
use super::{Axis, Workspace, render};
use crate::decode::jpeg;
use crate::record::{Geometry, Picture};

/// Shortest side to `side`, the other in proportion (truncated), then the middle; the offset is
/// rounded half to even, as Python's `round` does in torchvision's `CenterCrop`.
pub(super) fn crop(workspace: &mut Workspace, picture: &Picture, geometry: &Geometry, side: u32, out: &mut [u8]) {
    let (canvas, columns, rows) = crop_window(picture, geometry, side);
    render(workspace, &canvas, geometry.filter, columns, rows, out);
}

/// The part of the resized picture that a crop keeps.
pub(super) fn crop_window<'a>(picture: &'a Picture, geometry: &Geometry, side: u32) -> (Canvas<'a>, Axis, Axis) {
    let (size, side) = (u64::from(geometry.size), u64::from(side));
    let (width, height) = (u64::from(picture.width), u64::from(picture.height));
    let short = width.min(height);
    let axis = |source: u64| {
        let target = if source == short { side } else { side * source / short };
        Axis {
            source: source as u32,
            target,
            start: half_to_even(target - size),
            length: geometry.size,
        }
    };
    (Canvas::of(picture, geometry), axis(width), axis(height))
}

/// Half of `gap`, a remaining half rounded to the even neighbour.
pub(super) fn half_to_even(gap: u64) -> u64 {
    let half = gap / 2;
    half + (gap % 2) * (half % 2)
}

/// Both sides to `side`, perhaps through a JPEG, then the middle.
pub(super) fn squash_crop(
    workspace: &mut Workspace,
    picture: &Picture,
    geometry: &Geometry,
    side: u32,
    quality: Option<u8>,
    out: &mut [u8],
) {
    let canvas = Canvas::of(picture, geometry);
    let start = u64::from((side - geometry.size) / 2);
    let Some(quality) = quality else {
        let axis = |source| Axis {
            start,
            length: geometry.size,
            ..Axis::whole(source, side)
        };
        let (columns, rows) = (axis(picture.width), axis(picture.height));
        return render(workspace, &canvas, geometry.filter, columns, rows, out);
    };
    let mut whole = vec![0; side as usize * side as usize * 3];
    let (columns, rows) = (Axis::whole(picture.width, side), Axis::whole(picture.height, side));
    render(workspace, &canvas, geometry.filter, columns, rows, &mut whole);
    jpeg::round_trip(&mut whole, side as usize, quality);
    let (stride, start) = (side as usize * 3, start as usize);
    let lines = whole.chunks_exact(stride).skip(start);
    for (line, kept) in lines.zip(out.chunks_exact_mut(geometry.size as usize * 3)) {
        kept.copy_from_slice(&line[start * 3..start * 3 + kept.len()]);
    }
}

/// What stands beside a picture inside its square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gaps {
    /// The outermost row or column, repeated.
    Repeat,
    /// The background colour.
    Background,
}

/// Longest side to the size, the other in proportion (truncated), centred.
pub(super) fn inside(workspace: &mut Workspace, picture: &Picture, geometry: &Geometry, gaps: Gaps, out: &mut [u8]) {
    let size = u64::from(geometry.size);
    let (width, height) = (u64::from(picture.width), u64::from(picture.height));
    let long = width.max(height);
    let inner_width = (width * size / long).max(1) as u32;
    let inner_height = (height * size / long).max(1) as u32;
    let mut inner = vec![0; inner_width as usize * inner_height as usize * 3];
    let (columns, rows) = (
        Axis::whole(picture.width, inner_width),
        Axis::whole(picture.height, inner_height),
    );
    let canvas = Canvas::of(picture, geometry);
    render(workspace, &canvas, geometry.filter, columns, rows, &mut inner);

    let size = geometry.size;
    let (left, top) = match gaps {
        // Both halves are rounded down, as the reference does, not their difference.
        Gaps::Repeat => (size / 2 - inner_width / 2, size / 2 - inner_height / 2),
        Gaps::Background => ((size - inner_width) / 2, (size - inner_height) / 2),
    };
    let pixels = inner.as_chunks::<3>().0;
    for (row, line) in (0..size).zip(out.chunks_exact_mut(size as usize * 3)) {
        let down = row.saturating_sub(top).min(inner_height - 1);
        for (column, pixel) in (0..size).zip(line.as_chunks_mut::<3>().0) {
            let across = column.saturating_sub(left).min(inner_width - 1);
            let is_picture = row == down + top && column == across + left;
            *pixel = if is_picture || gaps == Gaps::Repeat {
                pixels[(down * inner_width + across) as usize]
            } else {
                geometry.background
            };
        }
    }
}
