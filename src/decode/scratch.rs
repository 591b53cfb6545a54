//! One spare pixel buffer a thread, so that the next picture finds memory that is already mapped:
//! the kernel's zeroing of fresh pages costs as much as a tenth of decoding a large JPEG.

use std::cell::Cell;

use crate::record::Picture;

/// The largest buffer that is kept: the pixels of a 40-megapixel photograph.
const LARGEST_KEPT_BYTES: usize = 128 << 20;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer of `length` bytes with any content; none where there is no memory for it.
pub(super) fn take(length: usize) -> Option<Vec<u8>> {
    let mut buffer = SPARE.take();
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
    if buffer.capacity() <= LARGEST_KEPT_BYTES {
        SPARE.set(buffer);
    }
}

/// Hands the memory of a finished picture to the next decode on the same thread. Not calling it
/// costs time, nothing else.
pub fn recycle(picture: Picture) {
    give(picture.data);
}
