//! The metadata stage: everything that an image carries beside its pixels.
//!
//! Two jobs, kept apart. *Containers* turn bytes into raw entries (slot, key, text) and photo facts
//! without knowing a generator; *interpretation* turns those entries into prompts and settings.
//! Both are pure: the same bytes give the same values, and no input makes them panic.

// bytes -> raw entries
mod budget;
mod c2pa;
mod container;
mod exif;
mod inflate;
mod iptc;
mod sidecar;
mod text;
mod xmp;
// pixels -> raw entries
pub mod novelai_signature;
pub mod stealth;
// raw entries -> typed fields
mod generator;
pub mod interpret;
mod json;
// typed fields -> text
pub mod infotext_write;

/// Raised by hand when reading gives other entries or facts for the same bytes: rows of another
/// version are stale. [`interpret::VERSION`] is raised when the same entries give other fields.
pub const READING_VERSION: u32 = 2;

pub use budget::ReadOptions;
pub use container::{read, sniff};
pub use sidecar::{SidecarKind, read_sidecar};

/// Every generator in every container that it writes to.
#[cfg(test)]
mod grid;

/// Fuzz targets: they need what is private here, and scripts/fuzz runs them.
#[cfg(test)]
#[path = "../tests/fuzz/targets.rs"]
mod fuzz;
