//! Resize: the squares that the models want, within ±1 a channel of Pillow's antialiased filters.
//!
//! As in Pillow, the picture is made narrow first and short second (or the other way round, see
//! [`is_short_first`]), with 8 bits between the two; `fast_image_resize` does each pass (called
//! once for both it always takes the second order, and differs by more). Only the rows and columns that a crop keeps are computed, padding is never stored,
//! and transparency is resolved in bands of rows on the way into the first pass.

mod axis;
mod canvas;
mod exact;
mod fits;
mod pass;

use std::cell::RefCell;
use std::ops::Range;

use crate::record::{Filter, Fit, Geometry, Picture};
use axis::Axis;
use canvas::Canvas;
use pass::{Accuracy, Engine, Kernel, Part, Source};

/// Bytes of a band of prepared rows: large enough that the filter's coefficients, computed anew a
/// band, do not count; small enough to stay in a core's cache.
const BAND_BYTES: usize = 2 << 20;

/// Buffers above this size are not kept for the next picture.
const LARGEST_KEPT_BYTES: usize = 64 << 20;

/// What a thread keeps between pictures.
#[derive(Default)]
struct Workspace {
    engine: Engine,
    /// The picture after the first pass.
    between: Vec<u8>,
    /// Rows made opaque and padded.
    band: Vec<u8>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// The square of each geometry: RGB, HWC, `size * size * 3` bytes.
///
/// Transparency is resolved before the resize. A geometry of size 0 gives an empty square.
pub fn resize(picture: &Picture, geometries: &[Geometry]) -> Vec<Vec<u8>> {
    WORKSPACE.with_borrow_mut(|workspace| {
        let squares = geometries
            .iter()
            .map(|geometry| square(workspace, picture, geometry))
            .collect();
        for buffer in [&mut workspace.between, &mut workspace.band] {
            if buffer.capacity() > LARGEST_KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
        squares
    })
}

/// One square.
fn square(workspace: &mut Workspace, picture: &Picture, geometry: &Geometry) -> Vec<u8> {
    let size = geometry.size;
    let mut out = vec![0; geometry.bytes()];
    if size == 0 || picture.width == 0 || picture.height == 0 {
        return out;
    }
    match geometry.fit {
        Fit::Crop => fits::crop(workspace, picture, geometry, size, &mut out),
        Fit::CropFrom { side } => fits::crop(workspace, picture, geometry, side.max(size), &mut out),
        Fit::Pad => {
            let side = picture.width.max(picture.height);
            let canvas = Canvas::padded(picture, geometry, side);
            let axis = Axis::whole(side, size);
            render(workspace, &canvas, geometry.filter, axis, axis, &mut out);
        }
        Fit::Squash => {
            let canvas = Canvas::of(picture, geometry);
            let (columns, rows) = (Axis::whole(picture.width, size), Axis::whole(picture.height, size));
            render(workspace, &canvas, geometry.filter, columns, rows, &mut out);
        }
        Fit::SquashCrop { side, jpeg } => {
            fits::squash_crop(workspace, picture, geometry, side.max(size), jpeg, &mut out);
        }
        Fit::Edge => fits::inside(workspace, picture, geometry, fits::Gaps::Repeat, &mut out),
        Fit::Letterbox => fits::inside(workspace, picture, geometry, fits::Gaps::Background, &mut out),
    }
    out
}

/// Computes the window that the two axes describe into `out`, `rows.length` rows of
/// `columns.length` RGB pixels.
fn render(workspace: &mut Workspace, canvas: &Canvas<'_>, filter: Filter, columns: Axis, rows: Axis, out: &mut [u8]) {
    // Outputs that no pixel of the picture reaches have the colour of the padding.
    let inner_columns = columns.reached_by(canvas.left, canvas.picture.width, filter);
    let inner_rows = rows.reached_by(canvas.top, canvas.picture.height, filter);
    let whole = inner_columns == columns && inner_rows == rows;
    if whole {
        return passes(workspace, canvas, filter, columns, rows, out);
    }
    for pixel in out.as_chunks_mut::<3>().0 {
        *pixel = canvas.background;
    }
    let stride = inner_columns.length as usize * 3;
    let mut inner = vec![0; stride * inner_rows.length as usize];
    passes(workspace, canvas, filter, inner_columns, inner_rows, &mut inner);
    let left = (inner_columns.start - columns.start) as usize * 3;
    let lines = out
        .chunks_exact_mut(columns.length as usize * 3)
        .skip((inner_rows.start - rows.start) as usize);
    for (line, from) in lines.zip(inner.chunks_exact(stride)) {
        line[left..left + stride].copy_from_slice(from);
    }
}

/// The two passes, in Pillow's order.
fn passes(workspace: &mut Workspace, canvas: &Canvas<'_>, filter: Filter, columns: Axis, rows: Axis, out: &mut [u8]) {
    let Workspace { engine, between, band } = workspace;
    let first = Kernel {
        filter,
        accuracy: accuracy_of_first_pass(columns, rows),
    };
    let second = Kernel {
        filter,
        accuracy: Accuracy::Exact,
    };
    if is_short_first(columns, rows) {
        let needed = columns.sources(filter);
        let (width, height) = (needed.end - needed.start, rows.length);
        let short = sized(between, width as usize * height as usize * 3);
        shorten_columns(engine, canvas, first, &needed, rows, band, short);
        let (left, span) = columns.span_within(&needed);
        let part = Part {
            left,
            top: 0.0,
            width: span,
            height: f64::from(height),
        };
        engine.pass(
            second,
            Source {
                pixels: short,
                width,
                height,
            },
            part,
            out,
            (columns.length, rows.length),
        );
    } else {
        let needed = rows.sources(filter);
        let (width, height) = (columns.length, needed.end - needed.start);
        let narrow = sized(between, height as usize * width as usize * 3);
        narrow_rows(engine, canvas, first, columns, needed.start, band, narrow);
        let (top, span) = rows.span_within(&needed);
        let part = Part {
            left: 0.0,
            top,
            width: f64::from(width),
            height: span,
        };
        engine.pass(
            second,
            Source {
                pixels: narrow,
                width,
                height,
            },
            part,
            out,
            (columns.length, rows.length),
        );
    }
}

/// A first pass may be a level off where both directions shrink to less than half: then no pixel
/// between the passes has more than half the weight of a result.
fn accuracy_of_first_pass(columns: Axis, rows: Axis) -> Accuracy {
    if columns.scale().min(rows.scale()) < 2.0 {
        Accuracy::Exact
    } else {
        Accuracy::Fast
    }
}

/// Whether the vertical pass comes first: since version 13 Pillow does so where the height
/// shrinks by more than twice as many pixels as the width (found by comparing both orders with
/// its results over some hundred sizes; up to version 12 the horizontal pass is always first).
fn is_short_first(columns: Axis, rows: Axis) -> bool {
    let lost = |axis: Axis| i128::from(axis.source) - i128::from(axis.target);
    lost(rows) > 0 && lost(rows) > 2 * lost(columns)
}

/// The first `length` bytes of a buffer, which grows where it is shorter.
fn sized(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    &mut buffer[..length]
}

/// The first pass, vertical: `short` takes `rows.length` rows of the source columns `needed`. A
/// canvas that gets here is never padded: padding makes a square, which shrinks evenly.
fn shorten_columns(
    engine: &mut Engine,
    canvas: &Canvas<'_>,
    kernel: Kernel,
    needed: &Range<u32>,
    rows: Axis,
    band: &mut Vec<u8>,
    short: &mut [u8],
) {
    let width = needed.end - needed.start;
    if let Some(pixels) = canvas.borrow(0) {
        let (top, height) = rows.span_within(&(0..rows.source));
        let part = Part {
            left: f64::from(needed.start),
            top,
            width: f64::from(width),
            height,
        };
        let source = Source {
            pixels,
            width: canvas.width,
            height: rows.source,
        };
        return engine.pass(kernel, source, part, short, (width, rows.length));
    }
    // Bands of results; the few rows that two neighbouring bands look at are prepared twice.
    let stride = width as usize * 3;
    let band_rows = (BAND_BYTES / stride).max(16) as u64;
    let step = (band_rows * rows.target / u64::from(rows.source)).clamp(1, u64::from(rows.length)) as usize;
    for (index, here) in short.chunks_mut(step * stride).enumerate() {
        let length = (here.len() / stride) as u32;
        let results = Axis {
            start: rows.start + (step * index) as u64,
            length,
            ..rows
        };
        let sources = results.sources(kernel.filter);
        let height = sources.end - sources.start;
        canvas.prepare(sources.start, height, needed, band);
        let (top, span) = results.span_within(&sources);
        let part = Part {
            left: 0.0,
            top,
            width: f64::from(width),
            height: span,
        };
        engine.pass(
            kernel,
            Source {
                pixels: band,
                width,
                height,
            },
            part,
            here,
            (width, length),
        );
    }
}

/// The first pass, horizontal: `narrow` takes the canvas rows from `first` on, each
/// `columns.length` wide.
fn narrow_rows(
    engine: &mut Engine,
    canvas: &Canvas<'_>,
    kernel: Kernel,
    columns: Axis,
    first: u32,
    band: &mut Vec<u8>,
    narrow: &mut [u8],
) {
    let stride = columns.length as usize * 3;
    let needed = columns.sources(kernel.filter);
    let width = needed.end - needed.start;
    let picture = canvas.top..canvas.top + canvas.picture.height;
    let band_rows = (BAND_BYTES / (width as usize * 3)).max(16) as u32;

    let last = first + (narrow.len() / stride) as u32;
    let (mut row, mut rest) = (first, narrow);
    while row < last {
        let until = if row < picture.start {
            picture.start
        } else if row < picture.end {
            picture.end
        } else {
            last
        };
        let borrowed = canvas.borrow(row).filter(|_| picture.contains(&row));
        let limit = if borrowed.is_none() && picture.contains(&row) {
            band_rows
        } else {
            u32::MAX
        };
        let count = (until.min(last) - row).min(limit);
        let (here, after) = rest.split_at_mut(count as usize * stride);
        let target = (columns.length, count);
        if !picture.contains(&row) {
            here.as_chunks_mut::<3>().0.fill(canvas.background);
        } else if let Some(pixels) = borrowed {
            // No copy: the picture's own rows, of which the part picks the columns.
            let (left, span) = columns.span_within(&(0..canvas.width));
            let pixels = &pixels[..count as usize * canvas.width as usize * 3];
            let part = Part {
                left,
                top: 0.0,
                width: span,
                height: f64::from(count),
            };
            engine.pass(
                kernel,
                Source {
                    pixels,
                    width: canvas.width,
                    height: count,
                },
                part,
                here,
                target,
            );
        } else {
            canvas.prepare(row, count, &needed, band);
            let (left, span) = columns.span_within(&needed);
            let part = Part {
                left,
                top: 0.0,
                width: span,
                height: f64::from(count),
            };
            engine.pass(
                kernel,
                Source {
                    pixels: band,
                    width,
                    height: count,
                },
                part,
                here,
                target,
            );
        }
        rest = after;
        row += count;
    }
}

#[cfg(test)]
mod tests;
