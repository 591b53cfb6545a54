//! One pass of a resize, equal to Pillow's to the bit: coefficients of 22 bits, rounded away from
//! zero, sums in 32-bit integers, half a level added before the shift.

use super::pass::{Part, Source};
use crate::record::Filter;

/// Bits behind the point of a coefficient: 32 less 8 of the pixel and 2 of the filters' overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// The source pixels that one target pixel is made of.
struct Window {
    first: usize,
    coefficients: Vec<i32>,
}

/// Fills `target` with a part of the source that differs from it in one direction only.
pub(super) fn pass(filter: Filter, source: Source<'_>, part: Part, target: &mut [u8], size: (u32, u32)) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(
            unsafe_code,
            reason = "the same safe code compiled for newer processors, four times as fast"
        )]
        // SAFETY: the processor has AVX2, as was just asked.
        return unsafe { pass_avx2(filter, source, part, target, size) };
    }
    portable_pass(filter, source, part, target, size);
}

/// [`portable_pass`] with 32-bit multiplications in vectors, which the baseline x86-64 lacks.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn pass_avx2(filter: Filter, source: Source<'_>, part: Part, target: &mut [u8], size: (u32, u32)) {
    portable_pass(filter, source, part, target, size);
}

/// The pass itself, in plain Rust that compilers turn into vector instructions.
#[expect(
    clippy::inline_always,
    reason = "it must be compiled anew for the instructions of its caller"
)]
#[inline(always)]
fn portable_pass(filter: Filter, source: Source<'_>, part: Part, target: &mut [u8], (width, height): (u32, u32)) {
    let source_stride = source.width as usize * 3;
    #[expect(
        clippy::float_cmp,
        reason = "a direction that is left as it is has the target's whole number"
    )]
    let is_across = part.height == f64::from(height) && part.top.fract() == 0.0;
    if is_across {
        let windows = windows(filter, source.width, part.left, part.width, width);
        let rows = source.pixels.chunks_exact(source_stride).skip(part.top as usize);
        for (row, line) in rows.zip(target.chunks_exact_mut(width as usize * 3)) {
            across(row.as_chunks::<3>().0, &windows, line.as_chunks_mut::<3>().0);
        }
    } else {
        let windows = windows(filter, source.height, part.top, part.height, height);
        let left = part.left as usize * 3;
        let mut sums = vec![0_i32; width as usize * 3];
        for (window, line) in windows.iter().zip(target.chunks_exact_mut(width as usize * 3)) {
            sums.fill(1 << (PRECISION_BITS - 1));
            let rows = source.pixels.chunks_exact(source_stride).skip(window.first);
            for (row, coefficient) in rows.zip(&window.coefficients) {
                for (sum, level) in sums.iter_mut().zip(&row[left..]) {
                    *sum += i32::from(*level) * coefficient;
                }
            }
            for (level, sum) in line.iter_mut().zip(&sums) {
                *level = clip(*sum);
            }
        }
    }
}

/// One row of the horizontal pass.
#[expect(
    clippy::inline_always,
    reason = "it must be compiled anew for the instructions of its caller"
)]
#[inline(always)]
fn across(row: &[[u8; 3]], windows: &[Window], line: &mut [[u8; 3]]) {
    for (window, pixel) in windows.iter().zip(line) {
        let mut sums = [1_i32 << (PRECISION_BITS - 1); 3];
        for (level, coefficient) in row[window.first..].iter().zip(&window.coefficients) {
            for channel in 0..3 {
                sums[channel] += i32::from(level[channel]) * coefficient;
            }
        }
        *pixel = sums.map(clip);
    }
}

/// The level of a sum.
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The windows of `target` pixels that show `length` source pixels from `start` on.
fn windows(filter: Filter, source: u32, start: f64, length: f64, target: u32) -> Vec<Window> {
    let scale = length / f64::from(target);
    let filter_scale = scale.max(1.0);
    let (kernel, support): (fn(f64) -> f64, f64) = match filter {
        Filter::Bilinear => (triangle, 1.0),
        Filter::Lanczos => (lanczos, 3.0),
        Filter::Bicubic | Filter::Nearest => (cubic, 2.0),
    };
    let reach = support * filter_scale;
    (0..target)
        .map(|at| {
            let center = start + (f64::from(at) + 0.5) * scale;
            let first = (center - reach + 0.5).max(0.0) as u32;
            let last = ((center + reach + 0.5) as u32).clamp(first + 1, source.max(first + 1));
            let weight = |pixel: u32| kernel((f64::from(pixel) - center + 0.5) / filter_scale);
            let sum: f64 = (first..last).map(weight).sum();
            let fixed = |pixel| (weight(pixel) / sum * f64::from(1 << PRECISION_BITS)).round() as i32;
            Window {
                first: first as usize,
                coefficients: (first..last).map(fixed).collect(),
            }
        })
        .collect()
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// The cubic with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The sinc with three lobes.
fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        if x == 0.0 {
            1.0
        } else {
            (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x)
        }
    };
    if (-3.0..3.0).contains(&x) {
        sinc(x) * sinc(x / 3.0)
    } else {
        0.0
    }
}
