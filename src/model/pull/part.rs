//! A file that is not whole yet: under a name of its own beside the place where it belongs, hashed
//! while it grows, renamed when it is whole and right.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::model::store::hex;

/// The growing file.
pub struct Part {
    target: PathBuf,
    path: PathBuf,
    /// Tells which version of the file the bytes are of.
    note: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
    identity: Option<String>,
}

impl Part {
    /// Opens what an earlier pull of `target` left, or an empty one.
    pub fn open(target: &Path) -> io::Result<Self> {
        let (folder, name) = match (target.parent(), target.file_name()) {
            (Some(folder), Some(name)) => (folder, name.to_string_lossy()),
            _ => return Err(io::Error::other("it is no name of a file")),
        };
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!(".{name}.part"));
        let note = folder.join(format!(".{name}.part-of"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let mut part = Self {
            target: target.to_path_buf(),
            identity: std::fs::read_to_string(&note).ok().filter(|text| text.len() < 1024),
            hasher: Sha256::new(),
            length: 0,
            path,
            note,
            file: file.try_clone()?,
        };
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(part);
            }
            part.hasher.update(&buffer[..read]);
            part.length += read as u64;
        }
    }

    /// Where it grows.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are here.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Which version of the file the bytes are of, where its server said so.
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Throws away what is here; from now on the bytes are of `identity`.
    pub fn restart(&mut self, identity: Option<&str>) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.length = 0;
        self.identity = identity.map(str::to_owned);
        match identity {
            Some(identity) => std::fs::write(&self.note, identity),
            None => remove(&self.note),
        }
    }

    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// SHA-256 of what is here.
    pub fn sha256(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }

    /// Gives the whole file its name, durably.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, &self.target)?;
        if let Some(folder) = self.target.parent() {
            File::open(folder)?.sync_all()?;
        }
        remove(&self.note)
    }

    /// Throws the file away.
    pub fn discard(self) -> io::Result<()> {
        remove(&self.path)?;
        remove(&self.note)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verified::hash_file;

    #[test]
    fn a_part_is_taken_up_where_it_was_left_and_appears_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("onnx/model.onnx");
        let mut part = Part::open(&target).unwrap();
        part.restart(Some("v1")).unwrap();
        part.write(b"first ").unwrap();
        drop(part);
        let mut part = Part::open(&target).unwrap();
        assert_eq!((part.length(), part.identity()), (6, Some("v1")));
        part.write(b"second").unwrap();
        let sha256 = part.sha256();
        assert!(!target.exists());
        part.finish().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"first second");
        assert_eq!(hash_file(&target).unwrap(), sha256);
        assert_eq!(std::fs::read_dir(folder.path().join("onnx")).unwrap().count(), 1);
    }

    #[test]
    fn a_restart_and_a_discard_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x");
        let mut part = Part::open(&target).unwrap();
        part.write(b"old").unwrap();
        part.restart(None).unwrap();
        part.write(b"new").unwrap();
        assert_eq!(part.length(), 3);
        part.discard().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
