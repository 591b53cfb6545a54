//! The narrow seam through which every change to a dataset passes. Whoever changes a file in OUT
//! calls [`CommitFs`], so that a test can fail or stop the machine at every single call.
//!
//! A committed file is never touched again: it is replaced by a rename, linked or removed. The
//! order is always write, sync the file, rename, sync the folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

#[cfg(test)]
pub(crate) mod fault;

/// A file under its temporary name.
pub trait CommitFile: Write + Send {
    /// Brings everything written so far to the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Every change that is made to a dataset.
pub trait CommitFs: Send + Sync {
    /// Creates a file, or empties the one there is.
    fn create(&self, path: &Path) -> io::Result<Box<dyn CommitFile>>;
    /// Gives a file or folder another name, replacing a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Brings the names in a folder to the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder whose parent is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Exchanges two folders in one step.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

struct RealFile(File);

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl CommitFile for RealFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

impl CommitFs for RealFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn CommitFile>> {
        Ok(Box::new(RealFile(File::create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }
}
