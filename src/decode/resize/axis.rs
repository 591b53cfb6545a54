//! One direction of a resize: how long the source is, how long it becomes, and which part of that
//! is wanted.

use std::ops::Range;

use crate::record::Filter;

/// A source of `source` pixels, resized to `target`, of which `length` from `start` on are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    /// Pixels of the source.
    pub source: u32,
    /// Pixels that the whole source would become.
    pub target: u64,
    /// First of them that is wanted.
    pub start: u64,
    /// How many are wanted.
    pub length: u32,
}

impl Axis {
    /// All of the target.
    pub fn whole(source: u32, target: u32) -> Self {
        Self {
            source,
            target: u64::from(target),
            start: 0,
            length: target,
        }
    }

    /// Source pixels a target pixel.
    pub fn scale(self) -> f64 {
        f64::from(self.source) / self.target as f64
    }

    /// How far from its centre a target pixel looks, in source pixels, with one to spare for the
    /// rounding of window bounds.
    fn reach(self, filter: Filter) -> f64 {
        let support = match filter {
            Filter::Bicubic => 2.0,
            Filter::Bilinear => 1.0,
            Filter::Lanczos => 3.0,
            Filter::Nearest => 0.5,
        };
        support * self.scale().max(1.0) + 1.0
    }

    /// The source pixels that the wanted part needs.
    pub fn sources(self, filter: Filter) -> Range<u32> {
        let (scale, reach) = (self.scale(), self.reach(filter));
        let first = (self.start as f64 + 0.5) * scale - reach;
        let last = ((self.start + u64::from(self.length)) as f64 - 0.5) * scale + reach;
        // The casts saturate.
        (first.floor() as u32).min(self.source - 1)..(last.ceil() as u32).clamp(1, self.source)
    }

    /// Where the wanted part begins and how long it is, in source pixels counted from the start
    /// of `within`, clamped against rounding to what `within` holds.
    pub fn span_within(self, within: &Range<u32>) -> (f64, f64) {
        let source = f64::from(self.source);
        let position = |at: u64| at as f64 * source / self.target as f64 - f64::from(within.start);
        let available = f64::from(within.end - within.start);
        let begin = position(self.start).clamp(0.0, available);
        // Computed as a length, not as a difference of ends, so that it is a whole number where
        // nothing is resized and the pass is skipped, as Pillow skips it.
        let length = f64::from(self.length) * source / self.target as f64;
        (begin, length.min(available - begin))
    }

    /// The part of what is wanted that depends on the source pixels `first .. first + count`.
    pub fn reached_by(self, first: u32, count: u32, filter: Filter) -> Self {
        let (scale, reach) = (self.scale(), self.reach(filter));
        let wanted = self.start..self.start + u64::from(self.length);
        let from = ((f64::from(first) - reach) / scale - 1.0).floor() as u64;
        let until = ((f64::from(first) + f64::from(count) + reach) / scale + 1.0).ceil() as u64;
        let from = from.clamp(wanted.start, wanted.end - 1);
        let until = until.clamp(from + 1, wanted.end);
        Self {
            start: from,
            length: (until - from) as u32,
            ..self
        }
    }
}
