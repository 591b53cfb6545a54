//! One writer a dataset: an advisory lock on `OUT/_labelmill/lock`, which the kernel lets go when
//! its holder ends, however it ends. So a file left behind without a lock is no obstacle.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{OpenError, WriteError};

/// Who holds a lock, as the lock file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Holder {
    /// Process number; 0 where the file does not say.
    pub pid: u32,
    /// Name of the machine.
    pub host: String,
    /// When it took the lock (RFC 3339, UTC).
    pub since: String,
}

impl Holder {
    fn this_process() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap_or_default()
            .trim()
            .to_owned();
        Self {
            pid: std::process::id(),
            host,
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return write!(f, "another run");
        }
        write!(f, "process {} on {} since {}", self.pid, self.host, self.since)
    }
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the dataset `out`, whose lock file is `path`, or names its holder.
    pub fn take(out: &Path, path: &Path) -> Result<Self, OpenError> {
        loop {
            let mut file = open(path).map_err(WriteError::io("open", path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::Locked {
                        out: PathBuf::from(out),
                        holder: read_holder(&mut file),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(WriteError::io("lock", path)(error).into()),
            }
            // While this waited, a finished run may have exchanged the folder: then the lock is on
            // a file that nobody else will ever open.
            if is_at(&file, path) {
                write_holder(&mut file).map_err(WriteError::io("write", path))?;
                return Ok(Self { _file: file });
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => held.dev() == there.dev() && held.ino() == there.ino(),
        _ => false,
    }
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    // Bounded, and best effort: the holder may be writing it at this moment.
    let _ = file.take(4096).read_to_string(&mut text);
    serde_json::from_str(&text).unwrap_or_default()
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    let text = serde_json::to_string(&Holder::this_process()).map_err(io::Error::other)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_learns_who_holds_the_lock_and_a_stale_file_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, r#"{"pid":1,"host":"elsewhere","since":"2020-01-01T00:00:00Z"}"#).unwrap();
        let held = Lock::take(folder.path(), &path).unwrap();
        let Err(OpenError::Locked { holder, .. }) = Lock::take(folder.path(), &path) else {
            panic!("taken twice")
        };
        assert_eq!(holder.pid, std::process::id());
        drop(held);
        Lock::take(folder.path(), &path).unwrap();
    }
}
