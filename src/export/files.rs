//! Writes what an export made, and never over a file that a person edited unless told to.

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::ExportReport;
use super::memory::{Entry, ImageState, Memory, plain_text, text_hash};
use super::template::Holds;

/// Which files that are there may be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overwrite {
    /// Those that an export wrote and nobody changed since.
    Own,
    /// Also those that an export wrote and a person edited since.
    Edited,
    /// Every one.
    All,
}

/// What becomes of the text of a file that is there already and that no export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced, as far as [`Overwrite`] allows.
    Replace,
    /// New words are put behind its own.
    Append,
    /// New words are put before its own.
    Prepend,
}

/// Files that are written between two notes to the memory.
const FILES_PER_NOTE: usize = 500;

const KEPT_EDITED: &str = "edited by hand and kept";
const KEPT_FOREIGN: &str = "written by something else and kept";

struct Pending {
    key: String,
    path: PathBuf,
    text: String,
}

/// Writes the files of one export.
pub struct Writer {
    /// What is remembered of the target.
    pub memory: Memory,
    /// What was done.
    pub report: ExportReport,
    overwrite: Overwrite,
    existing: Existing,
    pending: Vec<Pending>,
}

/// A file that is there.
struct Found {
    text: String,
    /// An export left it like this.
    is_own: bool,
    /// An export wrote it once.
    is_known: bool,
}

impl Writer {
    /// A writer that begins with what is remembered.
    pub fn new(memory: Memory, overwrite: Overwrite, report: ExportReport) -> Self {
        Self {
            memory,
            report,
            overwrite,
            existing: Existing::Replace,
            pending: Vec::new(),
        }
    }

    /// The same, adding to the texts that are there.
    #[must_use]
    pub fn with_existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// Writes `text` to the file `path`, remembered as `key`, if it may.
    pub fn text(&mut self, key: &str, path: PathBuf, text: &str, mut entry: Entry) -> anyhow::Result<()> {
        let found = self.find(key, &path)?;
        let text = match &found {
            Some(found) if self.existing != Existing::Replace => {
                let base = self.base_of(key, found);
                let joined = self.join(base.as_deref(), text);
                entry.base = base;
                joined
            }
            _ => text.to_owned(),
        };
        entry.hash = text_hash(&text);
        match found {
            Some(found) if plain_text(&found.text) == plain_text(&text) => {
                self.report.unchanged += 1;
                self.memory.set(key, entry);
                return Ok(());
            }
            Some(found) => {
                // Whoever asks to add to a file has allowed that it changes.
                let may_add = self.existing != Existing::Replace && !found.is_known;
                if !found.is_own && !may_add && !self.may_overwrite(found.is_known) {
                    return Ok(());
                }
                self.report.updated += 1;
            }
            None => self.report.written += 1,
        }
        self.memory.set(key, entry);
        self.pending.push(Pending {
            key: key.to_owned(),
            path,
            text,
        });
        if self.pending.len() >= FILES_PER_NOTE {
            self.flush()?;
        }
        Ok(())
    }

    /// Begins a file that is written whole, under a temporary name beside `path`.
    pub fn begin(&self, path: &Path) -> anyhow::Result<Stream> {
        let out: Box<dyn Write> = if self.report.dry_run {
            Box::new(io::sink())
        } else {
            create_parent(path)?;
            let temporary = temporary_beside(path);
            let file = fs::File::create(&temporary).with_context(|| format!("creating {}", temporary.display()))?;
            Box::new(BufWriter::new(file))
        };
        Ok(Stream {
            out,
            hasher: blake3::Hasher::new(),
            path: path.to_owned(),
        })
    }

    /// Gives a file that was begun its name, if it may take it; says whether it did. What is there
    /// is compared by its bytes.
    pub fn commit(&mut self, key: &str, mut stream: Stream, entry: Entry) -> anyhow::Result<bool> {
        let path = std::mem::take(&mut stream.path);
        stream.flush().with_context(|| format!("writing {}", path.display()))?;
        let hash = short(&stream.hasher);
        drop(stream);
        let refused = self.settle(vec![(key.to_owned(), path, Entry { hash, ..entry })])?;
        Ok(refused.is_none())
    }

    /// Gives files under their temporary names their own ones, with what is to be remembered of each
    /// by its key. Where one may not take its place, none does, and that one is named.
    fn settle(&mut self, files: Vec<(String, PathBuf, Entry)>) -> anyhow::Result<Option<PathBuf>> {
        let mut replaced = Vec::with_capacity(files.len());
        for (key, path, entry) in &files {
            let old = hash_of_file(path)?;
            if old.as_ref() != Some(&entry.hash) && !self.may_replace(key, old.as_deref()) {
                let refused = path.clone();
                self.remove_temporaries(&files)?;
                return Ok(Some(refused));
            }
            replaced.push(old);
        }
        for ((key, path, entry), old) in files.into_iter().zip(replaced) {
            self.count(old.as_deref(), &entry.hash);
            self.memory.set(&key, entry);
            if !self.report.dry_run {
                self.memory.note(&[key])?;
                fs::rename(temporary_beside(&path), &path).with_context(|| format!("writing {}", path.display()))?;
            }
        }
        Ok(None)
    }

    fn remove_temporaries(&self, files: &[(String, PathBuf, Entry)]) -> anyhow::Result<()> {
        if self.report.dry_run {
            return Ok(());
        }
        for (_, path, _) in files {
            let temporary = temporary_beside(path);
            fs::remove_file(&temporary).with_context(|| format!("removing {}", temporary.display()))?;
        }
        Ok(())
    }

    /// [`Writer::commit`] for a file that is about no single picture; an error where it may not take
    /// its place.
    pub fn commit_whole(&mut self, key: &str, stream: Stream) -> anyhow::Result<()> {
        let path = stream.path.clone();
        let is_written = self.commit(key, stream, whole_entry())?;
        ensure_written(is_written, &path)
    }

    /// The same for files that other writers left at [`temporary_beside`] their paths and that belong
    /// together: where one may not take its place, none does.
    pub(super) fn commit_together(&mut self, paths: &[&Path]) -> anyhow::Result<()> {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let temporary = temporary_beside(path);
            let hash = hash_of_file(&temporary)?.with_context(|| format!("{} is gone", temporary.display()))?;
            let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((key, path.to_path_buf(), Entry { hash, ..whole_entry() }));
        }
        match self.settle(files)? {
            Some(refused) => ensure_written(false, &refused),
            None => Ok(()),
        }
    }

    /// Writes what waits, and the memory anew.
    pub fn finish(mut self) -> anyhow::Result<ExportReport> {
        self.flush()?;
        if !self.report.dry_run {
            self.memory.save()?;
        }
        Ok(self.report)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if self.report.dry_run || pending.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = pending.iter().map(|file| file.key.clone()).collect();
        self.memory.note(&keys)?;
        for file in pending {
            create_parent(&file.path)?;
            let temporary = temporary_beside(&file.path);
            fs::write(&temporary, &file.text)
                .and_then(|()| fs::rename(&temporary, &file.path))
                .with_context(|| format!("writing {}", file.path.display()))?;
        }
        Ok(())
    }

    fn find(&self, key: &str, path: &Path) -> anyhow::Result<Option<Found>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(Found {
            is_own: self.memory.wrote(key, &text_hash(&text)),
            is_known: self.memory.get(key).is_some(),
            text,
        }))
    }

    /// Whether something that is there with this hash (none: it is not there) may be replaced.
    pub(super) fn may_replace(&mut self, key: &str, old: Option<&str>) -> bool {
        match old {
            Some(old) if !self.memory.wrote(key, old) => self.may_overwrite(self.memory.get(key).is_some()),
            _ => true,
        }
    }

    /// Counts what is written over something with this hash.
    pub(super) fn count(&mut self, old: Option<&str>, new: &str) {
        match old {
            Some(old) if old == new => self.report.unchanged += 1,
            Some(_) => self.report.updated += 1,
            None => self.report.written += 1,
        }
    }

    /// Whether a file that is not as an export left it may be overwritten; counts it if not.
    fn may_overwrite(&mut self, is_known: bool) -> bool {
        let needed = if is_known { Overwrite::Edited } else { Overwrite::All };
        let allowed = self.overwrite >= needed;
        if !allowed {
            self.report.pass_over(if is_known { KEPT_EDITED } else { KEPT_FOREIGN });
        }
        allowed
    }

    /// What stood in the file before an export added to it.
    fn base_of(&self, key: &str, found: &Found) -> Option<String> {
        match self.memory.get(key) {
            Some(entry) if found.is_own => entry.base.clone(),
            _ => Some(plain_text(&found.text)),
        }
    }

    /// The base with the words of `text` that it lacks, its own order kept.
    fn join(&self, base: Option<&str>, text: &str) -> String {
        let Some(base) = base.filter(|base| !base.is_empty()) else {
            return text.to_owned();
        };
        let separator = &self.memory.target.separator;
        let known: Vec<&str> = base.split(separator.trim()).map(str::trim).collect();
        let new: Vec<&str> = text
            .split(separator.as_str())
            .filter(|word| !known.contains(&word.trim()))
            .collect();
        let parts = match self.existing {
            _ if new.is_empty() => return base.to_owned(),
            Existing::Prepend => [new.join(separator), base.to_owned()],
            Existing::Append | Existing::Replace => [base.to_owned(), new.join(separator)],
        };
        parts.join(separator)
    }
}

/// A file on its way, with the hash of what was written to it.
pub struct Stream {
    out: Box<dyn Write>,
    hasher: blake3::Hasher,
    path: PathBuf,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}

fn hash_of_file(path: &Path) -> anyhow::Result<Option<String>> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file
            .read(&mut buffer)
            .with_context(|| format!("reading {}", path.display()))?;
        if count == 0 {
            return Ok(Some(short(&hasher)));
        }
        hasher.update(&buffer[..count]);
    }
}

/// What is remembered of a file that is about no single picture.
fn whole_entry() -> Entry {
    Entry {
        root: String::new(),
        path: String::new(),
        hash: String::new(),
        image: ImageState::default(),
        edited: None,
        holds: Holds::Neither,
        base: None,
    }
}

fn ensure_written(is_written: bool, path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        is_written,
        "{} is there and was not left so by an export; --overwrite all replaces it",
        path.display()
    );
    Ok(())
}

fn create_parent(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("creating the folder {}", parent.display()))
}

/// The name of a file that is not finished.
pub(super) fn temporary_beside(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::memory::Target;

    fn writer(folder: &Path, overwrite: Overwrite) -> Writer {
        let target = Target {
            kind: "captions".into(),
            to: Some(folder.to_owned()),
            extension: ".txt".into(),
            template: "{tags}".into(),
            separator: ", ".into(),
        };
        let memory = Memory::open(&folder.join("memory"), target).unwrap();
        Writer::new(memory, overwrite, ExportReport::default())
    }

    fn entry() -> Entry {
        Entry {
            root: "r".into(),
            path: "a.png".into(),
            hash: String::new(),
            image: ImageState::default(),
            edited: None,
            holds: Holds::Tags,
            base: None,
        }
    }

    fn export(folder: &Path, overwrite: Overwrite, existing: Existing, text: &str) -> ExportReport {
        let mut writer = writer(folder, overwrite).with_existing(existing);
        writer.text("a.txt", folder.join("a.txt"), text, entry()).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn an_edited_file_is_kept_unless_told_otherwise_and_a_foreign_one_longer() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, file) = (folder.path(), folder.path().join("a.txt"));
        let read = || fs::read_to_string(&file).unwrap();
        assert_eq!(export(dir, Overwrite::Own, Existing::Replace, "one").written, 1);
        assert_eq!(export(dir, Overwrite::Own, Existing::Replace, "two").updated, 1);
        assert_eq!(export(dir, Overwrite::Own, Existing::Replace, "two").unchanged, 1);
        fs::write(&file, "mine").unwrap();
        assert_eq!(
            export(dir, Overwrite::Own, Existing::Replace, "three").passed_over[KEPT_EDITED],
            1
        );
        assert_eq!(read(), "mine");
        assert_eq!(export(dir, Overwrite::Edited, Existing::Replace, "three").updated, 1);
        assert_eq!(read(), "three");
        fs::remove_dir_all(dir.join("memory")).unwrap();
        assert_eq!(
            export(dir, Overwrite::Edited, Existing::Replace, "four").passed_over[KEPT_FOREIGN],
            1
        );
        assert_eq!(export(dir, Overwrite::All, Existing::Replace, "four").updated, 1);
    }

    #[test]
    fn words_are_added_to_what_was_there_and_again_to_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, file) = (folder.path(), folder.path().join("a.txt"));
        let read = || fs::read_to_string(&file).unwrap();
        fs::write(&file, "mine, cat\n").unwrap();
        export(dir, Overwrite::Own, Existing::Append, "cat, dog");
        assert_eq!(read(), "mine, cat, dog");
        export(dir, Overwrite::Own, Existing::Append, "cat, bird");
        assert_eq!(read(), "mine, cat, bird", "the dog of the export before is gone");
        export(dir, Overwrite::Own, Existing::Prepend, "bird");
        assert_eq!(read(), "bird, mine, cat");
    }

    #[test]
    fn a_dry_run_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), Overwrite::All);
        writer.report.dry_run = true;
        writer
            .text("a.txt", folder.path().join("a.txt"), "one", entry())
            .unwrap();
        let mut stream = writer.begin(&folder.path().join("b")).unwrap();
        stream.write_all(b"x").unwrap();
        assert!(writer.commit("b", stream, entry()).unwrap());
        assert_eq!(writer.finish().unwrap().written, 2);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
