//! What exports remember: which file they wrote from which image, with a hash of its text. So a
//! file that a person edited is noticed, is never overwritten unasked, and comes back by
//! `import`. One file of JSON lines a target in `OUT/_labelmill/exports/`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::template::Holds;

/// The folder in `OUT/_labelmill`.
const FOLDER: &str = "exports";

/// What an export wrote to, and how: the first line of a memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `captions`, `kohya` …
    pub kind: String,
    /// The folder of `--to`; none for files beside the images.
    pub to: Option<PathBuf>,
    /// Extension of the files, where it is the user's choice.
    pub extension: String,
    /// The template of captions.
    pub template: String,
    /// What stands between two tags.
    pub separator: String,
}

impl Target {
    /// File name of its memory: by kind, folder and extension, so that another template for the
    /// same files finds them again.
    fn file_name(&self) -> String {
        let to = self.to.as_ref().map(|to| to.to_string_lossy().into_owned());
        let hash = blake3::hash(format!("{to:?} {}", self.extension).as_bytes()).to_hex();
        format!("{}-{}.jsonl", self.kind, &hash[..16])
    }
}

/// Which making of an image's row a file was written from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageState {
    /// BLAKE3 of the image file, where it is known.
    pub blake3: Option<String>,
    /// Bytes of the image file.
    pub size: i64,
    /// Its modification time in microseconds since 1970.
    pub modified_at: i64,
}

impl ImageState {
    /// Whether both are of the same picture.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.blake3, &other.blake3) {
            (Some(one), Some(other)) => one == other,
            _ => self.size == other.size && self.modified_at == other.modified_at,
        }
    }
}

/// One written file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Root of the image.
    pub root: String,
    /// Its path in the root.
    pub path: String,
    /// Hash of what was written, by [`text_hash`] or of the bytes.
    pub hash: String,
    /// The making of the image.
    pub image: ImageState,
    /// Hash of the edit that the row had, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<String>,
    /// What an edit of the file is.
    pub holds: Holds,
    /// What stood in the file before `--existing append` or `prepend` added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    entry: Entry,
}

/// A target and what was written to it, by the file's name in the target.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The target.
    pub target: Target,
    entries: HashMap<String, Entry>,
    /// Hashes of earlier lines about a file: after a crash it may still be the older one.
    older: HashMap<String, Vec<String>>,
    file: PathBuf,
}

impl Memory {
    /// What is remembered of `target` in the bookkeeping folder, under its newest description.
    pub fn open(bookkeeping: &Path, target: Target) -> anyhow::Result<Self> {
        let file = bookkeeping.join(FOLDER).join(target.file_name());
        let mut memory = match fs::File::open(&file) {
            Ok(open) => read(&file, open)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self {
                target: target.clone(),
                entries: HashMap::new(),
                older: HashMap::new(),
                file,
            },
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        memory.target = target;
        Ok(memory)
    }

    /// Every memory of one kind in the bookkeeping folder.
    pub fn all(bookkeeping: &Path, kind: &str) -> anyhow::Result<Vec<Self>> {
        let folder = bookkeeping.join(FOLDER);
        let mut files = Vec::new();
        match fs::read_dir(&folder) {
            Ok(entries) => {
                for entry in entries {
                    files.push(entry.with_context(|| format!("reading {}", folder.display()))?.path());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
        }
        files.sort();
        let mut memories = Vec::new();
        for file in files
            .iter()
            .filter(|file| file.extension().is_some_and(|extension| extension == "jsonl"))
        {
            let open = fs::File::open(file).with_context(|| format!("reading {}", file.display()))?;
            let memory = read(file, open)?;
            if memory.target.kind == kind {
                memories.push(memory);
            }
        }
        Ok(memories)
    }

    /// What is remembered of a file.
    pub fn get(&self, file: &str) -> Option<&Entry> {
        self.entries.get(file)
    }

    /// Whether a file with this hash is as an export left it.
    pub fn wrote(&self, file: &str, hash: &str) -> bool {
        let is_newest = self.entries.get(file).is_some_and(|entry| entry.hash == hash);
        is_newest
            || self
                .older
                .get(file)
                .is_some_and(|older| older.iter().any(|known| known == hash))
    }

    /// Every file, by name.
    pub fn files(&self) -> BTreeMap<&str, &Entry> {
        self.entries
            .iter()
            .map(|(file, entry)| (file.as_str(), entry))
            .collect()
    }

    /// Remembers a file that is about to be written, or was found as it should be.
    pub fn set(&mut self, file: &str, entry: Entry) {
        if let Some(known) = self.entries.insert(file.to_owned(), entry) {
            let newest = &self.entries[file].hash;
            if known.hash != *newest {
                self.older.entry(file.to_owned()).or_default().push(known.hash);
            }
        }
    }

    /// Adds lines about `files` to the memory, synced: before they are written, so that a crash in
    /// between leaves no file that looks like a person's.
    pub fn note(&self, files: &[String]) -> anyhow::Result<()> {
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(self.file.parent().unwrap_or(Path::new(".")))?;
            let is_new = !self.file.exists();
            let open = fs::OpenOptions::new().create(true).append(true).open(&self.file)?;
            let mut out = BufWriter::new(open);
            if is_new {
                writeln!(out, "{}", serde_json::to_string(&self.target)?)?;
            }
            for file in files {
                let entry = self.entries[file].clone();
                let line = Line {
                    file: file.clone(),
                    entry,
                };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            }
            out.into_inner()?.sync_all()
        };
        write().with_context(|| format!("writing {}", self.file.display()))
    }

    /// Writes the memory anew: one line a file.
    pub fn save(&mut self) -> anyhow::Result<()> {
        self.older.clear();
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(self.file.parent().unwrap_or(Path::new(".")))?;
            let temporary = self.file.with_extension("tmp");
            let mut out = BufWriter::new(fs::File::create(&temporary)?);
            writeln!(out, "{}", serde_json::to_string(&self.target)?)?;
            for (file, entry) in self.files() {
                let line = Line {
                    file: file.to_owned(),
                    entry: entry.clone(),
                };
                writeln!(out, "{}", serde_json::to_string(&line)?)?;
            }
            out.into_inner()?.sync_all()?;
            fs::rename(&temporary, &self.file)
        };
        write().with_context(|| format!("writing {}", self.file.display()))
    }
}

fn read(file: &Path, open: fs::File) -> anyhow::Result<Memory> {
    let damaged = || {
        format!(
            "{} is damaged; remove it, and edits since that export are not noticed",
            file.display()
        )
    };
    let mut lines = BufReader::new(open).lines();
    let first = lines.next().transpose().with_context(damaged)?.unwrap_or_default();
    let mut memory = Memory {
        target: serde_json::from_str(&first).with_context(damaged)?,
        entries: HashMap::new(),
        older: HashMap::new(),
        file: file.to_owned(),
    };
    for line in lines {
        let line = line.with_context(damaged)?;
        // A crash can cut a line; its file then counts as a person's, and is left alone.
        match serde_json::from_str::<Line>(&line) {
            Ok(line) => memory.set(&line.file, line.entry),
            Err(error) => tracing::warn!("{}: a line cannot be read ({error})", file.display()),
        }
    }
    Ok(memory)
}

/// A text as a person means it: without a byte order mark, Windows line ends or a new line that an
/// editor put at its end.
pub fn plain_text(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    text.trim_end().to_owned()
}

/// Hash of a text as a person means it.
pub fn text_hash(text: &str) -> String {
    bytes_hash(plain_text(text).as_bytes())
}

/// Hash of bytes.
pub fn bytes_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            kind: "captions".into(),
            to: Some("/captions".into()),
            extension: ".txt".into(),
            template: "{tags}".into(),
            separator: ", ".into(),
        }
    }

    fn entry(hash: &str) -> Entry {
        Entry {
            root: "r".into(),
            path: "a.png".into(),
            hash: hash.into(),
            image: ImageState::default(),
            edited: None,
            holds: Holds::Tags,
            base: None,
        }
    }

    #[test]
    fn a_memory_is_read_back_also_after_a_crash_between_note_and_save() {
        let folder = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(folder.path(), target()).unwrap();
        memory.set("a.txt", entry("one"));
        memory.save().unwrap();
        memory.set("a.txt", entry("two"));
        memory.note(&["a.txt".into()]).unwrap();
        let mut lines = fs::OpenOptions::new().append(true).open(&memory.file).unwrap();
        lines.write_all(b"{\"file\":\"b.t").unwrap();
        let again = Memory::open(folder.path(), target()).unwrap();
        assert!(again.wrote("a.txt", "one") && again.wrote("a.txt", "two") && !again.wrote("a.txt", "three"));
        assert_eq!(Memory::all(folder.path(), "captions").unwrap().len(), 1);
        assert_eq!(Memory::all(folder.path(), "kohya").unwrap().len(), 0);
    }

    #[test]
    fn line_ends_of_editors_are_no_edit() {
        assert_eq!(text_hash("a, b"), text_hash("\u{feff}a, b\r\n"));
        assert_ne!(text_hash("a, b"), text_hash("a, c"));
    }

    #[test]
    fn pictures_are_compared_by_content_where_it_is_known() {
        let state = |blake3: Option<&str>, modified_at| ImageState {
            blake3: blake3.map(Into::into),
            size: 1,
            modified_at,
        };
        assert!(state(Some("x"), 1).is_same(&state(Some("x"), 2)));
        assert!(!state(Some("x"), 1).is_same(&state(Some("y"), 1)));
        assert!(state(None, 1).is_same(&state(Some("y"), 1)));
        assert!(!state(None, 1).is_same(&state(Some("y"), 2)));
    }
}
