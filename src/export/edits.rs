//! Edits come back: which caption files a person changed since an export wrote them, and what that
//! means for their rows. A text file's edit becomes `edited_prompt`, a tag file's `edited_tags`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::captions::Places;
use super::memory::{Entry, ImageState, Memory, plain_text, text_hash};
use super::picture::{Who, edit_hash_of_tags, edit_hash_of_text};
use super::template::Holds;
use crate::dataset::DatasetReader;
use crate::source::path_of_text;
use crate::write::{EDITED_PROMPT, EDITED_TAGS, Edit, Editor, Edits};

/// What is done with a file that contradicts the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// It is listed and left alone.
    List,
    /// The file counts.
    TakeFile,
}

/// How files are read that no export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// What an edit of them is.
    pub holds: Holds,
    /// Their extension.
    pub extension: String,
    /// What stands between two tags.
    pub separator: String,
}

/// What an import is to do.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The folder with the files.
    pub folder: PathBuf,
    /// What happens to contradictions.
    pub on_conflict: OnConflict,
    /// How files are read that no export wrote; left alone where it is none.
    pub unknown: Option<Unknown>,
    /// Whether nothing is written.
    pub dry_run: bool,
}

/// Why a changed file was not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The picture is another one than the export saw.
    ImageChanged,
    /// The row has another edit than the export saw, or two files say different things.
    BothEdited,
    /// No row has this picture.
    Gone,
    /// The template had neither tags nor a prompt.
    NoColumn,
    /// The file is no UTF-8.
    NotText,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageChanged => "the picture changed since the export (--on-conflict file takes the file anyway)",
            Self::BothEdited => "another edit is in the dataset (--on-conflict file takes the file anyway)",
            Self::Gone => "the picture is no longer in the dataset",
            Self::NoColumn => "it holds neither tags nor a prompt, so there is no column for it",
            Self::NotText => "it is not UTF-8 text",
        })
    }
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Edits that went to the dataset.
    pub taken: u64,
    /// Changed files whose edit the dataset has already.
    pub known: u64,
    /// Files as the export left them.
    pub untouched: u64,
    /// Files that are no longer there.
    pub missing: u64,
    /// Changed files that were not taken over, and why.
    pub conflicts: Vec<(PathBuf, Why)>,
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
}

impl ImportReport {
    /// The closing line.
    pub fn closing_line(&self) -> String {
        let verb = if self.dry_run { "would take" } else { "took" };
        let mut line = format!("{verb} {} edits over", self.taken);
        for (count, what) in [
            (self.known, "known already"),
            (self.untouched, "files as exported"),
            (self.missing, "files gone"),
            (self.conflicts.len() as u64, "conflicts"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        line
    }
}

/// A changed file.
struct Candidate {
    file: PathBuf,
    text: String,
    holds: Holds,
    separator: String,
    /// Which memory knows it, under which key, and what it says.
    known: Option<(usize, String, Entry)>,
}

impl Candidate {
    fn edit(&self) -> Edit {
        match self.holds {
            Holds::Tags => Edit {
                prompt: None,
                tags: Some(split_tags(&self.text, &self.separator)),
            },
            _ => Edit {
                prompt: Some(self.text.clone()),
                tags: None,
            },
        }
    }
}

/// What the row of a candidate says now.
struct Row {
    image: ImageState,
    edited_prompt: Option<String>,
    edited_tags: Option<Vec<String>>,
}

impl Row {
    /// Hash of the edit that a file of this kind stands for.
    fn edit_hash(&self, holds: Holds) -> Option<String> {
        match holds {
            Holds::Tags => self.edited_tags.as_ref().map(|tags| hash_of_tags(tags)),
            _ => self.edited_prompt.as_deref().map(edit_hash_of_text),
        }
    }
}

fn hash_of_tags(tags: &[String]) -> String {
    edit_hash_of_tags(&tags.iter().map(String::as_str).collect::<Vec<_>>())
}

fn hash_of_edit(edit: &Edit) -> Option<String> {
    let tags = edit.tags.as_ref().map(|tags| hash_of_tags(tags));
    tags.or_else(|| edit.prompt.as_deref().map(edit_hash_of_text))
}

/// The tags of a text, in its order and spelling.
pub fn split_tags(text: &str, separator: &str) -> Vec<String> {
    let mark = if separator.trim().is_empty() {
        separator
    } else {
        separator.trim()
    };
    let words = text.lines().flat_map(|line| line.split(mark)).map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Takes over what a person changed in the folder. The lock of the dataset is held by `editor`.
pub fn import(editor: &Editor, options: &ImportOptions) -> anyhow::Result<ImportReport> {
    let mut report = ImportReport {
        dry_run: options.dry_run,
        ..ImportReport::default()
    };
    let mut memories = Memory::all(&editor.bookkeeping_dir(), "captions")?;
    let dataset = DatasetReader::open(editor.out())?;
    let mut candidates = HashMap::new();
    let known = changed_files(&memories, &options.folder, &mut report, &mut candidates)?;
    if known.is_empty() && options.unknown.is_none() {
        anyhow::bail!(
            "no export of this dataset wrote captions to {}; --as prompt or --as tags reads its files as such",
            options.folder.display()
        );
    }
    if let Some(unknown) = &options.unknown {
        unknown_files(&dataset, options, unknown, &known, &mut candidates)?;
    }
    let decided = decide(&dataset, candidates, options.on_conflict, &mut report)?;
    if options.dry_run {
        return Ok(report);
    }
    editor.write(&decided.edits)?;
    for (index, key, entry) in decided.entries {
        memories[index].set(&key, entry);
    }
    for memory in &mut memories {
        memory.save()?;
    }
    Ok(report)
}

type Candidates = HashMap<(String, String), Vec<Candidate>>;

/// The files in `folder` that exports wrote and that say something else now; gives the names of
/// all that exports wrote there.
fn changed_files(
    memories: &[Memory],
    folder: &Path,
    report: &mut ImportReport,
    candidates: &mut Candidates,
) -> anyhow::Result<HashSet<PathBuf>> {
    let mut known = HashSet::new();
    for (index, memory) in memories.iter().enumerate() {
        for (key, entry) in memory.files() {
            let file = match &memory.target.to {
                Some(to) => to.join(path_of_text(key)),
                None => path_of_text(key),
            };
            if !file.starts_with(folder) {
                continue;
            }
            known.insert(file.clone());
            let Some(text) = read(&file)? else {
                report.missing += 1;
                continue;
            };
            let Ok(text) = text else {
                report.conflicts.push((file, Why::NotText));
                continue;
            };
            if memory.wrote(key, &text_hash(&text)) {
                report.untouched += 1;
                continue;
            }
            let of_image = candidates.entry((entry.root.clone(), entry.path.clone())).or_default();
            of_image.push(Candidate {
                file,
                text: plain_text(&text),
                holds: entry.holds,
                separator: memory.target.separator.clone(),
                known: Some((index, key.to_owned(), entry.clone())),
            });
        }
    }
    Ok(known)
}

/// The files in the folder that stand where an export would write a picture's, and none did.
fn unknown_files(
    dataset: &DatasetReader,
    options: &ImportOptions,
    unknown: &Unknown,
    known: &HashSet<PathBuf>,
    candidates: &mut Candidates,
) -> anyhow::Result<()> {
    let places = Places::new(dataset, Some(options.folder.clone()))?;
    for rows in dataset.rows(&["root", "path"])? {
        let rows = rows?;
        let (roots, paths) = (rows.text("root")?, rows.text("path")?);
        for row in 0..rows.len() {
            let who = Who {
                root: roots.get(row).unwrap_or_default().to_owned(),
                path: paths.get(row).unwrap_or_default().to_owned(),
                ..Who::default()
            };
            let Some((_, file)) = places.file(&who, &unknown.extension) else {
                continue;
            };
            if known.contains(&file) {
                continue;
            }
            if let Some(Ok(text)) = read(&file)? {
                candidates.entry((who.root, who.path)).or_default().push(Candidate {
                    file,
                    text: plain_text(&text),
                    holds: unknown.holds,
                    separator: unknown.separator.clone(),
                    known: None,
                });
            }
        }
    }
    Ok(())
}

/// The text of a file; none where it is not there, an error inside where it is no text.
fn read(file: &Path) -> anyhow::Result<Option<Result<String, std::string::FromUtf8Error>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// What is to be written.
#[derive(Default)]
struct Decided {
    edits: Edits,
    /// Memory, key and new entry of each file whose edit the dataset then has.
    entries: Vec<(usize, String, Entry)>,
}

fn decide(
    dataset: &DatasetReader,
    mut candidates: Candidates,
    on_conflict: OnConflict,
    report: &mut ImportReport,
) -> anyhow::Result<Decided> {
    let mut decided = Decided::default();
    let mut columns = vec!["root", "path", "blake3", "file_size", "modified_at"];
    columns.extend(dataset.present(&[EDITED_PROMPT, EDITED_TAGS]));
    for rows in dataset.rows(&columns)? {
        let rows = rows?;
        let (roots, paths) = (rows.text("root")?, rows.text("path")?);
        for row in 0..rows.len() {
            let id = (
                roots.get(row).unwrap_or_default().to_owned(),
                paths.get(row).unwrap_or_default().to_owned(),
            );
            if let Some(of_image) = candidates.remove(&id) {
                let now = row_state(&rows, row)?;
                decide_image(&id, &now, of_image, on_conflict, report, &mut decided);
            }
        }
    }
    let mut gone: Vec<PathBuf> = candidates
        .into_values()
        .flatten()
        .map(|candidate| candidate.file)
        .collect();
    gone.sort();
    report.conflicts.extend(gone.into_iter().map(|file| (file, Why::Gone)));
    Ok(decided)
}

fn row_state(rows: &crate::dataset::Rows, row: usize) -> anyhow::Result<Row> {
    let has = |name: &str| rows.batch().column_by_name(name).is_some();
    let mut state = Row {
        image: ImageState {
            blake3: rows.text("blake3")?.get(row).map(str::to_owned),
            size: rows.whole("file_size")?.get(row).unwrap_or_default() as i64,
            modified_at: rows.time("modified_at")?.get(row).unwrap_or_default(),
        },
        edited_prompt: None,
        edited_tags: None,
    };
    if has(EDITED_PROMPT) {
        state.edited_prompt = rows.text(EDITED_PROMPT)?.get(row).map(str::to_owned);
    }
    if has(EDITED_TAGS) {
        let tags = rows.texts(EDITED_TAGS)?;
        state.edited_tags = (!tags.is_null(row)).then(|| tags.get(row).into_iter().map(str::to_owned).collect());
    }
    Ok(state)
}

/// Decides about the changed files of one picture; the first file with an edit of a kind has it.
fn decide_image(
    (root, path): &(String, String),
    now: &Row,
    of_image: Vec<Candidate>,
    on_conflict: OnConflict,
    report: &mut ImportReport,
    decided: &mut Decided,
) {
    let mut taken: HashMap<bool, Edit> = HashMap::new();
    for candidate in of_image {
        let edit = candidate.edit();
        let is_tags = candidate.holds == Holds::Tags;
        let conflict = contradiction(&candidate, &edit, now).or_else(|| {
            let other = taken.get(&is_tags)?;
            (*other != edit).then_some(Why::BothEdited)
        });
        let is_known = hash_of_edit(&edit) == now.edit_hash(candidate.holds);
        match conflict {
            Some(Why::NoColumn) => {
                report.conflicts.push((candidate.file, Why::NoColumn));
                continue;
            }
            _ if is_known => report.known += 1,
            Some(why) if on_conflict == OnConflict::List || taken.contains_key(&is_tags) => {
                report.conflicts.push((candidate.file, why));
                continue;
            }
            _ => {
                report.taken += 1;
                decided.edits.insert(root, path, edit.clone());
            }
        }
        if let Some((index, key, entry)) = candidate.known {
            let entry = Entry {
                hash: text_hash(&candidate.text),
                image: now.image.clone(),
                edited: hash_of_edit(&edit),
                ..entry
            };
            decided.entries.push((index, key, entry));
        }
        taken.insert(is_tags, edit);
    }
}

fn contradiction(candidate: &Candidate, edit: &Edit, now: &Row) -> Option<Why> {
    if candidate.holds == Holds::Neither {
        return Some(Why::NoColumn);
    }
    let edited_now = now.edit_hash(candidate.holds);
    let edited_before = candidate.known.as_ref().and_then(|(_, _, entry)| entry.edited.clone());
    if edited_now != edited_before && edited_now != hash_of_edit(edit) {
        return Some(Why::BothEdited);
    }
    let exported = candidate.known.as_ref().map(|(_, _, entry)| &entry.image);
    exported
        .filter(|exported| !exported.is_same(&now.image))
        .map(|_| Why::ImageChanged)
}

#[cfg(test)]
mod tests;
