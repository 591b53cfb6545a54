//! SHA-256 of files, remembered: hashing gigabytes at every start is slow. A file counts as the same
//! while its size, times and inode are; `models verify` hashes whatever is remembered.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::store::hex;

/// Files younger than this are hashed again: within the clock's grain a change could go unseen.
const SETTLED: Duration = Duration::from_secs(2);

/// Largest memory that is read, in bytes.
const MAX_MEMORY: u64 = 4 << 20;

/// Files smaller than this are always hashed.
const WORTH_REMEMBERING: u64 = 4 << 20;

/// What is remembered, in one file of the store.
#[derive(Debug, Clone)]
pub struct VerifiedHashes {
    memory: PathBuf,
}

/// By this a file is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
    inode: u64,
    device: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Verified {
    identity: Identity,
    sha256: String,
}

type Memory = BTreeMap<PathBuf, Verified>;

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |secs: i64, rest: i64| i128::from(secs) * 1_000_000_000 + i128::from(rest);
        Self {
            size: metadata.len(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }
}

impl VerifiedHashes {
    /// Remembers in the file `memory`, which need not exist.
    pub fn new(memory: PathBuf) -> Self {
        Self { memory }
    }

    /// SHA-256 of a file, from memory where it has not changed.
    pub fn sha256(&self, path: &Path) -> io::Result<String> {
        let path = path.canonicalize()?;
        let before = std::fs::metadata(&path)?;
        if before.len() < WORTH_REMEMBERING {
            return hash_file(&path);
        }
        let identity = Identity::of(&before);
        if let Some(known) = self.read().remove(&path).filter(|known| known.identity == identity) {
            return Ok(known.sha256);
        }
        let sha256 = hash_file(&path)?;
        let age = before
            .modified()
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok());
        let is_unchanged = Identity::of(&std::fs::metadata(&path)?) == identity;
        if is_unchanged && age.is_some_and(|age| age > SETTLED) {
            let verified = Verified {
                identity,
                sha256: sha256.clone(),
            };
            // Not to remember costs time, nothing else.
            if let Err(error) = self.remember(path, verified) {
                tracing::debug!("{}: {error}", self.memory.display());
            }
        }
        Ok(sha256)
    }

    fn read(&self) -> Memory {
        let mut text = String::new();
        let read = File::open(&self.memory).and_then(|file| file.take(MAX_MEMORY).read_to_string(&mut text));
        read.ok()
            .and_then(|_| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    fn remember(&self, path: PathBuf, verified: Verified) -> io::Result<()> {
        let mut memory = self.read();
        memory.retain(|path, _| path.is_file());
        memory.insert(path, verified);
        write_whole(&self.memory, serde_json::to_string_pretty(&memory)?.as_bytes())
    }
}

/// SHA-256 of a file, by reading it.
pub fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// Writes a small file so that a reader sees the old one or the new one, whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(path: &Path, secs: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(secs))
            .unwrap();
    }

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (file, memory) = (folder.path().join("weights"), folder.path().join("memory.json"));
        std::fs::write(&file, vec![1; 5 << 20]).unwrap();
        let hashes = VerifiedHashes::new(memory.clone());
        let fresh = hashes.sha256(&file).unwrap();
        assert!(!memory.exists(), "a file of this moment is not remembered");
        old(&file, 60);
        assert_eq!(hashes.sha256(&file).unwrap(), fresh);
        // What is remembered is what is told.
        let text = std::fs::read_to_string(&memory).unwrap();
        std::fs::write(&memory, text.replace(&fresh, &"0".repeat(64))).unwrap();
        assert_eq!(hashes.sha256(&file).unwrap(), "0".repeat(64));
        std::fs::write(&file, vec![2; 5 << 20]).unwrap();
        old(&file, 60);
        let changed = hashes.sha256(&file).unwrap();
        assert_eq!(changed, hash_file(&file).unwrap());
        assert_ne!(changed, fresh);
        // A broken memory is no obstacle.
        std::fs::write(&memory, "{").unwrap();
        assert_eq!(hashes.sha256(&file).unwrap(), changed);
    }
}
