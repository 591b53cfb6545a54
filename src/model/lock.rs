//! `model.lock`, beside a model's files in the store: what was pulled, from where, and its SHA-256.
//! A file whose hash no manifest pins is recorded by its first pull and checked ever after. Beside
//! it lies the lock that lets one pull a model at a time work.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::verified::write_whole;

/// Its name in a model's folder.
pub const LOCK_FILE: &str = "model.lock";

/// Largest one that is read, in bytes.
const MAX_LOCK: u64 = 1 << 20;

/// What is known of a model's files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelLock {
    /// Where the manifest was added from; files without a source of their own are had there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// By the file's name in the manifest.
    #[serde(default)]
    pub files: BTreeMap<String, LockedFile>,
}

/// A file as it was pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedFile {
    /// SHA-256 in hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Where it came from.
    pub source: String,
    /// The hub's commit, where one said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl ModelLock {
    /// What is recorded in a model's folder; nothing where there is no record.
    ///
    /// # Errors
    /// The record cannot be read or understood.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let path = folder.join(LOCK_FILE);
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => file.take(MAX_LOCK).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        toml::from_str(&text).map_err(|error| io::Error::other(error.message().to_owned()))
    }

    /// Writes it into a model's folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let head = "# What labelmill pulled, and the hashes that are checked at every start.\n";
        let body = toml::to_string(self).map_err(io::Error::other)?;
        write_whole(&folder.join(LOCK_FILE), format!("{head}{body}").as_bytes())
    }
}

/// The right to change the files of a folder, held by one process at a time; dropping it lets go,
/// and so does the end of the process.
#[derive(Debug)]
pub struct FolderGuard {
    _file: File,
}

impl FolderGuard {
    /// Waits for the right; `waiting` is called once when another process holds it.
    pub fn take(folder: &Path, waiting: impl FnOnce()) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false);
        let file = options.open(folder.join(".lock"))?;
        if file.try_lock().is_err() {
            waiting();
            file.lock()?;
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_written_and_its_absence_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ModelLock::read(folder.path()).unwrap(), ModelLock::default());
        let mut lock = ModelLock {
            origin: Some("hub:a/b@main".into()),
            ..ModelLock::default()
        };
        let file = LockedFile {
            sha256: "00".repeat(32),
            size: 3,
            source: "hub:a/b@main/onnx/model.onnx".into(),
            commit: None,
        };
        lock.files.insert("onnx/model.onnx".into(), file);
        lock.write(folder.path()).unwrap();
        assert_eq!(ModelLock::read(folder.path()).unwrap(), lock);
        std::fs::write(folder.path().join(LOCK_FILE), "files = 3").unwrap();
        assert!(ModelLock::read(folder.path()).is_err());
    }

    #[test]
    fn a_second_pull_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderGuard::take(folder.path(), || panic!("nobody else is here")).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let path = folder.path().to_path_buf();
        let second = std::thread::spawn(move || FolderGuard::take(&path, || tell.send(()).unwrap()).map(|_| ()));
        told.recv().unwrap();
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
    }
}
