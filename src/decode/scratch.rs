//! Spare buffers, one of a kind a thread, so that the next picture finds memory that is already mapped:
//! the kernel's zeroing of fresh pages costs as much as a tenth of decoding a large JPEG.

use std::cell::Cell;

use crate::record::Picture;

/// A thread's buffer of one kind, for the next use.
pub struct Spare {
    buffer: Cell<Vec<u8>>,
    largest_kept: usize,
}

impl Spare {
    /// None yet; a buffer of more than `largest_kept` bytes will not be kept.
    pub const fn new(largest_kept: usize) -> Self {
        Self {
            buffer: Cell::new(Vec::new()),
            largest_kept,
        }
    }

    /// The buffer with whatever is in it; an empty one where none was kept.
    pub fn take(&self) -> Vec<u8> {
        self.buffer.take()
    }

    /// Keeps a buffer for the next [`Self::take`]. Not calling it costs time, nothing else.
    pub fn give(&self, buffer: Vec<u8>) {
        if buffer.capacity() <= self.largest_kept {
            self.buffer.set(buffer);
        }
    }
}

thread_local! {
    /// Pixels; at most those of a 40-megapixel photograph.
    static PIXELS: Spare = const { Spare::new(128 << 20) };
}

/// A buffer of `length` bytes with any content; none where there is no memory for it.
pub(super) fn take(length: usize) -> Option<Vec<u8>> {
    let mut buffer = PIXELS.with(Spare::take);
    if buffer.capacity() < length {
        drop(buffer);
        buffer = Vec::new();
        buffer.try_reserve_exact(length).ok()?;
    }
    if buffer.len() >= length {
        buffer.truncate(length);
    } else {
        buffer.resize(length, 0);
    }
    Some(buffer)
}

/// Keeps a buffer for the next [`take`] on this thread.
pub(super) fn give(buffer: Vec<u8>) {
    PIXELS.with(|spare| spare.give(buffer));
}

/// Hands the memory of a finished picture to the next decode on the same thread. Not calling it
/// costs time, nothing else.
pub fn recycle(picture: Picture) {
    give(picture.data);
}
