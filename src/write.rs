//! The write stage: labeled batches to a Parquet dataset that any reader can read at any moment.
//!
//! How a run uses it:
//! 1. [`Dataset::open`] takes the lock, finishes what a crash left half done, and reads the parts.
//! 2. [`Dataset::reconcile`] gives a [`Reconciler`]; the first walk shows it every image
//!    ([`Reconciler::observe`]), [`Reconciler::finish`] gives the [`Changes`] (what `plan` prints)
//!    or a [`GuardError`]. Nothing was written so far.
//! 3. [`Dataset::sink`] takes the changes and gives the [`Sink`]. If the columns differ from the
//!    parts', it first writes the whole dataset under the new schema and exchanges the folders.
//! 4. One thread gives the sink every [`crate::record::LabeledBatch`] in source order
//!    ([`Sink::write`]), and calls [`Sink::tick`] when nothing came for a second. First come the
//!    new images: those of the second walk for which [`Ledger::find`] knows nothing, as
//!    [`crate::record::Destination::Append`]; [`Ledger::find_by_blake3`] and [`Dataset::labels`]
//!    give a moved or copied file the labels of its twin. Then the rows of
//!    [`Dataset::replacements`], in the order in which it yields them.
//! 5. [`Sink::finish`] takes gone rows out, commits what is open and says what was done. Dataset
//!    and sink together hold the lock, until both are dropped.
//!
//! [`verify()`] reads a dataset without a lock and says what is wrong with it; [`compact()`]
//! merges small parts; [`reinterpret()`] makes the metadata columns anew from the raw entries.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::FieldRef;
use rayon::prelude::*;

mod commit;
mod committed;
mod compact;
mod conform;
mod edit;
mod error;
mod footer;
mod ledger;
mod lock;
mod memory;
mod next;
mod parts;
mod prompt;
mod reconcile;
mod reinterpret;
mod rewrite;
mod rows;
mod schema;
mod sink;
mod verify;

pub use commit::{CommitFile, CommitFs, RealFs};
pub use committed::{Replacement, Replacements};
pub use compact::{CompactReport, compact};
pub use edit::{Edit, EditReport, Editor, Edits};
pub use error::{OpenError, WriteError};
pub use footer::{Begun, PartInfo, PartMeta};
pub use ledger::{Committed, Ledger, RowAt, RowStatus};
pub use lock::Holder;
pub use prompt::{PromptPolicy, PromptRoute, PromptSource};
pub use reconcile::{
    ChangeCounts, Changes, GuardError, Permission, ReconcileOptions, Reconciler, RetryFailed, StaleGroup, StaleReason,
};
pub use reinterpret::{Interpreter, Making, Mode as ReinterpretMode, ReinterpretReport, reinterpret};
pub use schema::{Column, DatasetSchema, EDITED_PROMPT, EDITED_TAGS, Layout, Renewal, SCHEMA_VERSION};
pub use sink::{Ending, PartsSink, Sink, WriteReport};
pub use verify::{VerifyReport, verify};

use lock::Lock;
use next::{NextFolder, Swap};
use reconcile::PartStaleness;
use rewrite::PartRewrite;

use crate::record::{GroupSet, LabelColumn};

/// The folder in OUT for everything that is not the dataset; nothing in it ends in `.parquet`.
pub const BOOKKEEPING_DIR: &str = "_labelmill";

/// Fingerprint of a group of which only the name is known, to look at a dataset without loading the
/// models: whatever the parts say of it counts as current. Never written.
pub const UNKNOWN_FINGERPRINT: &str = "";

/// Columns that are made together and made anew together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnGroup {
    /// `metadata` for group 0, else the labeler's name (`clip:demo-clip`).
    pub name: String,
    /// Model hash, preprocessing and stage version; a part with another one is stale.
    pub fingerprint: String,
    /// The labeler's columns; empty for group 0, whose columns are the base columns.
    pub fields: Vec<FieldRef>,
}

/// When parts and row groups close, and how hard they are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// A part closes at this many rows.
    pub part_rows: u64,
    /// A part closes at about this many bytes.
    pub part_bytes: u64,
    /// A part closes when it is this many seconds old, so that a crash costs no more than that.
    pub part_secs: u64,
    /// A row group closes at this many rows.
    pub row_group_rows: usize,
    /// A row group closes at about this many bytes.
    pub row_group_bytes: usize,
    /// zstd level, 1 to 22; above 3 it costs time and saves nothing on embeddings.
    pub zstd_level: i32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            part_rows: 20_000,
            part_bytes: 256 << 20,
            part_secs: 300,
            row_group_rows: 16_000,
            row_group_bytes: 64 << 20,
            zstd_level: 3,
        }
    }
}

/// What a dataset is to hold: the writer's part of the plan.
#[derive(Debug, Clone)]
pub struct DatasetSpec {
    /// Group 0 is `metadata`; then one group a labeler, in the plan's order.
    pub groups: Vec<ColumnGroup>,
    /// When parts close.
    pub options: WriteOptions,
    /// The resolved plan, written into each part.
    pub plan_toml: String,
    /// Names of the models, written into each part.
    pub model_names: Vec<String>,
    /// Whether one of them is a demo model.
    pub demo: bool,
    /// Whether `gps_latitude` and `gps_longitude` are written.
    pub gps: bool,
    /// Where `prompt` comes from.
    pub prompt: PromptPolicy,
    /// Where each root is, by its name: what the `uri` of its rows begins with.
    pub root_folders: BTreeMap<String, String>,
}

/// Name of the lock file in the bookkeeping folder.
const LOCK_FILE: &str = "lock";

/// A dataset's folder while its lock is held.
struct Home {
    out: PathBuf,
    fs: Arc<dyn CommitFs>,
    /// None where the dataset is only looked at.
    _lock: Option<Lock>,
}

impl Home {
    /// Takes the lock of the dataset in `out`, which is created if need be, and finishes or removes
    /// what an earlier run left of its next folder.
    fn take(out: &Path, fs: Arc<dyn CommitFs>) -> Result<Self, OpenError> {
        ensure_usable(out)?;
        create_dirs(&*fs, &out.join(BOOKKEEPING_DIR))?;
        // The exchange of whole folders needs the folder itself, not a link to it.
        let out = out.canonicalize().map_err(WriteError::io("open", out))?;
        let lock = Lock::take(&out, &out.join(BOOKKEEPING_DIR).join(LOCK_FILE))?;
        next::recover(&*fs, &out)?;
        Ok(Self {
            out,
            fs,
            _lock: Some(lock),
        })
    }
}

/// What the dataset and its sink share. While one of them lives, the lock is held.
struct Shared {
    home: Home,
    spec: DatasetSpec,
    schema: DatasetSchema,
}

impl std::ops::Deref for Shared {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}

/// An open dataset: its lock is held, its rows are known.
pub struct Dataset {
    shared: Arc<Shared>,
    parts: Vec<PartInfo>,
    ledger: Ledger,
}

impl Dataset {
    /// Opens the dataset in the folder `out`, or begins one there. Takes the lock, finishes or
    /// removes what an earlier run left half done, reads the parts. A foreign or damaged part is
    /// an error before anything is written.
    pub fn open(out: &Path, spec: DatasetSpec, fs: Arc<dyn CommitFs>) -> Result<Self, OpenError> {
        let schema = DatasetSchema::new(&spec)?;
        let home = Home::take(out, fs)?;
        let parts = read_parts(&home.out)?;
        let ledger = Ledger::load(&home.out, &parts)?;
        memory::give_back();
        remove_temporary_files(&*home.fs, &home.out)?;
        Ok(Self {
            shared: Arc::new(Shared { home, spec, schema }),
            parts,
            ledger,
        })
    }

    /// Opens the dataset in `out` to look at it: no lock, nothing created, nothing mended. What a
    /// run does meanwhile may make the answer old; a sink of it must not be used.
    pub fn peek(out: &Path, spec: DatasetSpec) -> Result<Self, OpenError> {
        let schema = DatasetSchema::new(&spec)?;
        let out = out.canonicalize().map_err(WriteError::io("open", out))?;
        let parts = read_parts(&out)?;
        let ledger = Ledger::load(&out, &parts)?;
        let home = Home {
            out,
            fs: Arc::new(RealFs),
            _lock: None,
        };
        Ok(Self {
            shared: Arc::new(Shared { home, spec, schema }),
            parts,
            ledger,
        })
    }

    /// The folder, absolute and without links.
    pub fn out(&self) -> &Path {
        &self.shared.out
    }

    /// `OUT/_labelmill`, for summaries and logs. Nothing may be created there while
    /// [`Dataset::sink`] runs.
    pub fn bookkeeping_dir(&self) -> PathBuf {
        self.shared.out.join(BOOKKEEPING_DIR)
    }

    /// The columns of the dataset.
    pub fn schema(&self) -> &DatasetSchema {
        &self.shared.schema
    }

    /// The committed parts by number.
    pub fn parts(&self) -> &[PartInfo] {
        &self.parts
    }

    /// The committed rows, as they were when the dataset was opened.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Compares a walk with the committed rows.
    pub fn reconcile(&mut self, options: ReconcileOptions) -> Reconciler<'_> {
        Reconciler::new(Arc::clone(&self.shared), &self.parts, &mut self.ledger, options)
    }

    /// The sink for a run that makes `changes` (`Changes::default()` only adds rows). If the
    /// parts' columns differ from the plan's, or a root lies elsewhere now, every part is first
    /// written under the plan's columns (new ones null, their groups stale) and `uri`, and the
    /// folders are exchanged.
    pub fn sink(&mut self, changes: &Changes) -> Result<PartsSink, WriteError> {
        self.adopt_schema()?;
        let edits = edit::edits_by_content(&self.shared.out, &self.parts)?;
        Ok(PartsSink::new(
            Arc::clone(&self.shared),
            self.parts.clone(),
            Arc::clone(&changes.parts),
            edits,
        ))
    }

    /// The rows that `changes` makes anew, in the order in which the sink wants them. To be
    /// called after [`Dataset::sink`].
    pub fn replacements(&self, changes: &Changes) -> Replacements {
        Replacements::new(self.part_paths(), Arc::clone(&changes.parts))
    }

    /// Takes rows out of what `changes` calls gone whose image `is_there` after all: they stay as
    /// they are until a walk meets them again. Gives their number.
    pub fn keep_present(
        &self,
        changes: &mut Changes,
        is_there: impl Fn(&str, &str) -> bool,
    ) -> Result<u64, WriteError> {
        let mut kept = 0;
        for (index, part) in Arc::make_mut(&mut changes.parts).iter_mut().enumerate() {
            if part.gone.is_empty() {
                continue;
            }
            let path = self.parts[index].path(&self.shared.out);
            let images = committed::read_images(&path, index as u32, &part.gone)?;
            let mut is_kept = images.iter().map(|image| is_there(&image.root, &image.path));
            let before = part.gone.len();
            part.gone.retain(|_| !is_kept.next().unwrap_or(false));
            kept += (before - part.gone.len()) as u64;
        }
        changes.counts.gone -= kept;
        changes.counts.unchanged += kept;
        changes.counts.found += kept;
        Ok(kept)
    }

    /// The groups whose columns are the plan's own making in a committed row.
    pub fn current_groups(&self, at: RowAt) -> GroupSet {
        let everything = GroupSet::all(self.shared.spec.groups.len().saturating_sub(1));
        let Some(part) = self.parts.get(at.part as usize) else {
            return GroupSet::default();
        };
        let stale = PartStaleness::of(part, &self.shared.spec, &self.shared.schema).of_row(at.row);
        GroupSet(everything.0 & !stale.0)
    }

    /// The labels of committed rows, a row for each of `rows`: the columns of the labelers in
    /// `groups`, for files that were labeled under another name. Only while new rows are made:
    /// the sink moves rows when it replaces or removes some.
    pub fn labels(&self, rows: &[RowAt], groups: GroupSet) -> Result<Vec<LabelColumn>, WriteError> {
        committed::read_labels(&self.part_paths(), &self.shared.schema, rows, groups)
    }

    fn part_paths(&self) -> Vec<PathBuf> {
        self.parts.iter().map(|part| part.path(&self.shared.out)).collect()
    }

    /// Writes every part anew if the columns of one are not the plan's, or its root has moved.
    fn adopt_schema(&mut self) -> Result<(), WriteError> {
        let schema = &self.shared.schema.arrow;
        let folders = &self.shared.spec.root_folders;
        let is_current =
            |part: &PartInfo| part.schema.fields() == schema.fields() && part.meta.moved_to(folders).is_none();
        if self.parts.iter().all(is_current) {
            return Ok(());
        }
        let next = NextFolder::begin(&*self.shared.fs, &self.shared.out)?;
        let first_free = self.parts.last().map_or(0, |part| part.number + 1);
        let mut swaps = Vec::with_capacity(self.parts.len());
        // All of them, so that they keep their order, by which the ledger knows them.
        for (number, part) in (first_free..).zip(&self.parts) {
            PartRewrite::begin(&self.shared, part, &[], next.dir(), &next.name(number))?.commit()?;
            swaps.push(Swap {
                new: number,
                old: vec![part.number],
            });
        }
        next.commit(&swaps)?;
        self.parts = read_parts(&self.shared.out).map_err(|error| WriteError::Reopen(Box::new(error)))?;
        Ok(())
    }
}

/// Rows of all parts that `out` holds now.
pub fn count_rows(out: &Path) -> Result<u64, OpenError> {
    Ok(read_parts(out)?.iter().map(|part| part.rows).sum())
}

/// Refuses a folder that holds other things and no dataset.
fn ensure_usable(out: &Path) -> Result<(), OpenError> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(WriteError::io("open", out)(error).into()),
    };
    let mut example = None;
    for entry in entries {
        let name = entry
            .map_err(WriteError::io("read", out))?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name == BOOKKEEPING_DIR || parts::part_number(&name).is_some() {
            return Ok(());
        }
        if !name.starts_with('.') && name != "lost+found" {
            example.get_or_insert(name);
        }
    }
    match example {
        Some(example) => Err(OpenError::NotADataset {
            out: out.to_owned(),
            example,
        }),
        None => Ok(()),
    }
}

/// Creates a folder and its parents, each synced into the one above it.
fn create_dirs(fs: &dyn CommitFs, dir: &Path) -> Result<(), WriteError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dirs(fs, parent)?;
    }
    match fs.create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(WriteError::io("create the folder", dir)(error));
        }
        _ => {}
    }
    let parent = parent.unwrap_or(Path::new("."));
    fs.sync_dir(parent).map_err(WriteError::io("sync", parent))
}

/// The footers of all parts of `out`, by number.
pub(crate) fn read_parts(out: &Path) -> Result<Vec<PartInfo>, OpenError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(out).map_err(WriteError::io("read", out))? {
        let name = entry.map_err(WriteError::io("read", out))?.file_name();
        let name = name.to_string_lossy();
        match parts::part_number(&name) {
            Some(number) => numbers.push(number),
            None if name.to_lowercase().ends_with(".parquet") => {
                return Err(OpenError::Foreign { path: out.join(&*name) });
            }
            None => {}
        }
    }
    numbers.sort_unstable();
    numbers
        .into_par_iter()
        .map(|number| Ok(PartInfo::read(&out.join(parts::part_name(number)), number)?.0))
        .collect()
}

/// Removes the files that a run left behind that could not finish them.
fn remove_temporary_files(fs: &dyn CommitFs, dir: &Path) -> Result<(), WriteError> {
    for entry in std::fs::read_dir(dir).map_err(WriteError::io("read", dir))? {
        let entry = entry.map_err(WriteError::io("read", dir))?;
        if parts::is_temporary(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            fs.remove_file(&path).map_err(WriteError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The ledger's name of an image: 128 bits of a hash of root and path, wide enough that two of a
/// billion images never share it.
pub(crate) fn key_hash(root: &str, path: &str) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(root.as_bytes());
    hasher.update(&[0]);
    hasher.update(path.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
