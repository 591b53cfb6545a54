//! Where images come from. A source yields images in a stable order with sequence numbers, and
//! says at the end which of its roots it saw whole; only those can have rows that are gone.

use std::sync::Arc;

use crate::record::SourceImage;

mod folder;
mod local_file;
mod sidecars;

pub use folder::{FolderOptions, FolderSource, Root, is_bookkeeping_name, lexical_absolute, path_of_text, path_text};

/// Anything that images come from: folders now; lists, tars, Parquet and object stores later.
pub trait Source: Send + Sync {
    /// One pass over the images, from the start.
    fn walk(&self) -> Box<dyn Walk + Send + '_>;

    /// The roots, by name.
    fn roots(&self) -> Vec<Arc<str>>;

    /// The image that an earlier walk found at `path` under `root`, as it is now; none where the
    /// root is not of this source.
    fn locate(&self, root: &str, path: &str) -> Option<SourceImage>;

    /// Whether a walk should have met the image at `path` under `root`. A folder that changes while
    /// it is listed can hide a name that was there all along.
    fn has(&self, root: &str, path: &str) -> bool;
}

/// One pass over a source.
pub trait Walk: Iterator<Item = SourceImage> {
    /// What the pass has seen so far; complete once the iterator has ended.
    fn report(&self) -> WalkReport;
}

/// What one pass over a source saw.
#[derive(Debug, Clone, Default)]
pub struct WalkReport {
    /// Images yielded.
    pub found: u64,
    /// Roots that were walked to the end without an error.
    pub complete_roots: Vec<Arc<str>>,
    /// Folders and files that could not be looked at, in words (the first thousand).
    pub errors: Vec<String>,
    /// Symbolic links that lead back to a folder they are in; what they lead to is walked once.
    pub loops: u64,
    /// Symbolic links that were passed over because following them was not asked for.
    pub links_passed_over: u64,
}
