//! A batch as a labeler sees it: its squares of pixels, and what else of a picture can matter to a
//! model.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tells a batch from every other of this process, so that labelers which share a model can share
/// its work on the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId(u64);

impl BatchId {
    /// One that was never given before.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Pictures that are labeled together.
#[derive(Debug, Clone)]
pub struct Pictures<'a> {
    batch: BatchId,
    /// One list a geometry of the labeler, one square a picture.
    squares: Vec<Vec<Option<&'a [u8]>>>,
    has_prompt: Vec<bool>,
}

impl<'a> Pictures<'a> {
    /// The pictures of `batch`: for each of a labeler's geometries one square a picture
    /// (`size * size * 3` bytes RGB HWC), none where the picture failed; and for each picture
    /// whether it carries a prompt of its own.
    pub fn new(batch: BatchId, squares: Vec<Vec<Option<&'a [u8]>>>, has_prompt: Vec<bool>) -> Self {
        debug_assert!(squares.iter().all(|of_all| of_all.len() == has_prompt.len()));
        Self {
            batch,
            squares,
            has_prompt,
        }
    }

    /// A batch of its own for a labeler of one geometry; no picture carries a prompt.
    pub fn of(squares: &[Option<&'a [u8]>]) -> Self {
        Self::new(BatchId::next(), vec![squares.to_vec()], vec![false; squares.len()])
    }

    /// Which batch they are.
    pub fn batch(&self) -> BatchId {
        self.batch
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.has_prompt.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.has_prompt.is_empty()
    }

    /// One square a picture in the labeler's geometry of this index.
    pub fn squares(&self, geometry: usize) -> &[Option<&'a [u8]>] {
        &self.squares[geometry]
    }

    /// Whether the picture of this row carries a prompt of its own.
    pub fn has_prompt(&self, row: usize) -> bool {
        self.has_prompt[row]
    }
}
