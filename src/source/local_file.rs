//! One file on a file system: how it is opened, read and looked at.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::sidecars;
use crate::record::{FileStat, OpenImage, ReadSeek};

/// A file on a file system.
pub(super) struct LocalFile {
    pub path: PathBuf,
    /// Bytes when it was found; none where it was not looked at.
    pub length: Option<u64>,
}

/// An open file. It is read by position and looked at as what was opened: one call each.
struct OpenFile {
    file: std::fs::File,
    /// Bytes when it was found or else opened; one that has another length by now is told by its
    /// `stat`.
    length: u64,
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for OpenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl ReadSeek for OpenFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&self.file, buffer, offset)
    }

    fn length(&mut self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn stat(&self) -> io::Result<Option<FileStat>> {
        self.file.metadata().map(|metadata| Some(file_stat(&metadata)))
    }
}

impl OpenImage for LocalFile {
    fn open(&self) -> io::Result<Box<dyn ReadSeek>> {
        let file = std::fs::File::open(&self.path)?;
        let length = match self.length {
            Some(length) => length,
            None => file.metadata()?.len(),
        };
        Ok(Box::new(OpenFile { file, length }))
    }

    fn open_sidecar(&self, suffix: &str) -> Option<io::Result<Box<dyn Read>>> {
        let path = sidecars::find(&self.path, suffix)?;
        Some(std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn Read>))
    }

    fn read_ahead(&self) {
        use rustix::fs::{Advice, fadvise};
        if let Ok(file) = std::fs::File::open(&self.path) {
            // Advice only: what the kernel does not fetch now is fetched when it is read.
            let _ = fadvise(&file, 0, None, Advice::WillNeed);
        }
    }
}

pub(super) fn file_stat(metadata: &std::fs::Metadata) -> FileStat {
    let modified_at = metadata
        .modified()
        .ok()
        .map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_micros() as i64,
            Err(before) => -(before.duration().as_micros() as i64),
        });
    FileStat {
        size: metadata.len(),
        modified_at,
    }
}
