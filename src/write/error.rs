//! What can go wrong on the way to the disk, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::lock::Holder;

/// A dataset could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another run holds the lock (exit status 4).
    #[error("{} is being written by {holder}; wait for it to end", out.display())]
    Locked {
        /// The dataset.
        out: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// The folder holds other things and no dataset.
    #[error(
        "{} is not empty and holds no labelmill dataset (it has {example}); name another folder with --out",
        out.display()
    )]
    NotADataset {
        /// The folder.
        out: PathBuf,
        /// One thing it holds.
        example: String,
    },
    /// A Parquet file in the dataset that labelmill did not write.
    #[error(
        "{} was not written by labelmill, and every reader would take it for a part; move it out of the folder",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A part that cannot be read.
    #[error(
        "{} is damaged; move it out of the folder (its images are then labeled again) or restore it from a backup",
        path.display()
    )]
    Corrupt {
        /// The part.
        path: PathBuf,
        /// What the reader said.
        source: ParquetError,
    },
    /// A part of a newer labelmill.
    #[error("{} has schema version {version}, this labelmill knows {}; update labelmill", path.display(), super::SCHEMA_VERSION)]
    Newer {
        /// The part.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The file system refused.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writing failed. Every part that was committed before stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A call of the file system failed.
    #[error("cannot {action} {}{}", path.display(), advice(source))]
    Io {
        /// What was tried: `write`, `sync`, `rename` …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The Parquet writer or reader failed on a file.
    #[error("cannot {action} {}{}", path.display(), parquet_advice(source))]
    Parquet {
        /// What was tried: `write` or `read`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: ParquetError,
    },
    /// Arrow refused an array.
    #[error("columns do not fit together")]
    Arrow(#[from] ArrowError),
    /// The plan's columns contradict each other.
    #[error("{0}")]
    Spec(String),
    /// A batch does not fit the plan; a fault in the program.
    #[error("{0}; this is a fault in labelmill, please report it")]
    Batch(String),
    /// The dataset could not be read again after its folder was exchanged.
    #[error("the dataset was rewritten and cannot be read back")]
    Reopen(#[source] Box<OpenError>),
    /// An earlier call failed, and the writer takes nothing more.
    #[error("writing stopped after an earlier error")]
    Stopped,
}

impl WriteError {
    /// Wraps an error of the file system: for `map_err(WriteError::io("sync", &path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Wraps an error of the Parquet reader or writer.
    pub fn parquet(action: &'static str, path: &Path) -> impl FnOnce(ParquetError) -> Self {
        let path = path.to_owned();
        move |source| Self::Parquet { action, path, source }
    }
}

/// What helps against the errors that people meet at night.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (the disk is full: free some space and run again, finished parts are kept)"
        }
        io::ErrorKind::ReadOnlyFilesystem => " (read-only: name another folder with --out, or mount it writable)",
        io::ErrorKind::PermissionDenied => " (no permission: check the owner of the folder)",
        _ => "",
    }
}

fn parquet_advice(error: &ParquetError) -> &'static str {
    match error {
        ParquetError::External(inner) => inner.downcast_ref::<io::Error>().map_or("", advice),
        _ => "",
    }
}
