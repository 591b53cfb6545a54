//! The memory that documents are read into. All of it is given back at once: a graph of ComfyUI is
//! hundreds of small values.

use std::cell::Cell;

pub use bumpalo::Bump as Arena;

/// Most bytes that are kept from one document for the next; most graphs take less.
const MOST_BYTES_KEPT: usize = 256 << 10;

thread_local! {
    /// The arena of the last document on this thread.
    static SPARE: Cell<Option<Arena>> = const { Cell::new(None) };
}

/// Does `work` with an empty arena, which the next document on this thread has again.
pub fn with_arena<R>(work: impl FnOnce(&Arena) -> R) -> R {
    let mut arena = SPARE.take().unwrap_or_default();
    let result = work(&arena);
    if arena.allocated_bytes() <= MOST_BYTES_KEPT {
        arena.reset();
        SPARE.set(Some(arena));
    }
    result
}
