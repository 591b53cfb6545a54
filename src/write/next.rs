//! Changes of many parts at once. The whole next dataset is built beside OUT, hard-linking what
//! stays, and the two folders are exchanged in one step. Where that cannot be done (OUT is a mount
//! point, the file system has no exchange or no hard links) the new parts are built inside OUT's
//! bookkeeping folder and moved by a journal, which the next start finishes after a crash; while
//! the moves last, a reader can meet parts of both makings.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::commit::CommitFs;
use super::error::WriteError;
use super::parts::{is_temporary, part_name, part_number};
use super::{BOOKKEEPING_DIR, create_dirs};

/// In the bookkeeping folder of the next folder; so in OUT's once they were exchanged.
const MARKER: &str = "next";
/// In OUT's bookkeeping folder: new parts where nothing can be built beside OUT.
const STAGING_DIR: &str = "staging";
/// In OUT's bookkeeping folder: the moves that must be finished.
const JOURNAL: &str = "journal.json";

/// New parts that take the place of old ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Swap {
    /// Number that the new part was built under.
    pub(super) new: u32,
    /// Numbers of the parts that go, one or more.
    pub(super) old: Vec<u32>,
}

/// One step of a journal, paths relative to OUT. Each can be done again without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Rename { from: String, to: String },
    Remove { name: String },
}

/// Where the new parts are built.
enum Place {
    /// `.NAME.next` beside OUT.
    Beside(PathBuf),
    /// `OUT/_labelmill/staging`.
    Inside(PathBuf),
}

/// The next dataset while it is being built.
pub(super) struct NextFolder<'a> {
    fs: &'a dyn CommitFs,
    out: &'a Path,
    place: Place,
    /// Whether what was built is part of the dataset now, or will be at the next start.
    is_committed: bool,
}

impl<'a> NextFolder<'a> {
    /// Begins the next dataset of `out`, an absolute path without links.
    pub(super) fn begin(fs: &'a dyn CommitFs, out: &'a Path) -> Result<Self, WriteError> {
        if let Some(beside) = beside(out).filter(|_| !is_mount_point(out)) {
            match prepare_beside(fs, out, &beside) {
                Ok(()) => {
                    return Ok(Self {
                        fs,
                        out,
                        place: Place::Beside(beside),
                        is_committed: false,
                    });
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot exchange folders beside the dataset, using a journal instead"
                    );
                    if is_ours(&beside) {
                        remove_tree(fs, &beside)?;
                    }
                }
            }
        }
        let staging = out.join(BOOKKEEPING_DIR).join(STAGING_DIR);
        remove_tree(fs, &staging)?;
        create_dirs(fs, &staging)?;
        Ok(Self {
            fs,
            out,
            place: Place::Inside(staging),
            is_committed: false,
        })
    }

    /// The folder that new parts are written to.
    pub(super) fn dir(&self) -> &Path {
        match &self.place {
            Place::Beside(dir) | Place::Inside(dir) => dir,
        }
    }

    /// The file name under which the new part `number` is written.
    pub(super) fn name(&self, number: u32) -> String {
        match self.place {
            Place::Beside(_) => part_name(number),
            // Nothing in the bookkeeping folder ends in `.parquet`.
            Place::Inside(_) => format!("{}.staged", part_name(number)),
        }
    }

    /// Puts the new parts in the place of the old ones; every other part stays.
    pub(super) fn commit(mut self, swaps: &[Swap]) -> Result<(), WriteError> {
        match &self.place {
            Place::Beside(beside) => {
                let beside = beside.clone();
                self.exchange(&beside, swaps)
            }
            Place::Inside(_) => self.move_by_journal(swaps),
        }
    }

    fn exchange(&mut self, beside: &Path, swaps: &[Swap]) -> Result<(), WriteError> {
        let leaves =
            |name: &str| part_number(name).is_some_and(|number| swaps.iter().any(|swap| swap.old.contains(&number)));
        link_tree(self.fs, self.out, beside, &leaves)?;
        let parent = parent_of(beside);
        self.fs.sync_dir(parent).map_err(WriteError::io("sync", parent))?;
        self.fs
            .exchange(self.out, beside)
            .map_err(WriteError::io("exchange", self.out))?;
        self.is_committed = true;
        self.fs.sync_dir(parent).map_err(WriteError::io("sync", parent))?;
        finish_exchange(self.fs, self.out, beside)
    }

    fn move_by_journal(&mut self, swaps: &[Swap]) -> Result<(), WriteError> {
        let steps: Vec<Step> = swaps.iter().flat_map(|swap| self.steps(swap)).collect();
        let journal = self.out.join(BOOKKEEPING_DIR).join(JOURNAL);
        let text = serde_json::to_vec(&steps)
            .map_err(io::Error::other)
            .map_err(WriteError::io("write", &journal))?;
        let written = write_whole(self.fs, &journal, &text);
        // Also where the folder could not be synced: the next start finishes a journal that is there.
        self.is_committed = exists(&journal);
        written?;
        roll_forward(self.fs, self.out, &journal)
    }

    /// The new part takes the name of the first one that goes, in one rename; then the others go.
    fn steps(&self, swap: &Swap) -> Vec<Step> {
        let Some((first, others)) = swap.old.split_first() else {
            return Vec::new();
        };
        let from = format!("{BOOKKEEPING_DIR}/{STAGING_DIR}/{}", self.name(swap.new));
        let rename = Step::Rename {
            from,
            to: part_name(*first),
        };
        std::iter::once(rename)
            .chain(others.iter().map(|number| Step::Remove {
                name: part_name(*number),
            }))
            .collect()
    }
}

impl Drop for NextFolder<'_> {
    /// Removes what was built and not committed, so that a full disk does not stay full until the
    /// next start.
    fn drop(&mut self) {
        if self.is_committed || !(matches!(self.place, Place::Inside(_)) || is_ours(self.dir())) {
            return;
        }
        if let Err(error) = remove_tree(self.fs, self.dir()) {
            // The next start removes it.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot remove the unfinished next dataset"
            );
        }
    }
}

/// Finishes or removes what an earlier run left of its next dataset. To be called under the lock,
/// before the parts are read.
pub(super) fn recover(fs: &dyn CommitFs, out: &Path) -> Result<(), WriteError> {
    let bookkeeping = out.join(BOOKKEEPING_DIR);
    let beside = beside(out);
    if exists(&bookkeeping.join(MARKER)) {
        if let Some(beside) = &beside {
            finish_exchange(fs, out, beside)?;
        }
    } else if let Some(beside) = beside.filter(|beside| is_ours(beside)) {
        remove_tree(fs, &beside)?;
    }
    let journal = bookkeeping.join(JOURNAL);
    if exists(&journal) {
        return roll_forward(fs, out, &journal);
    }
    remove_tree(fs, &bookkeeping.join(STAGING_DIR))
}

/// `.NAME.next` beside OUT; none for a root folder.
fn beside(out: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(out.file_name()?);
    name.push(".next");
    Some(out.parent()?.join(name))
}

/// Whether a folder of that name is one that [`prepare_beside`] made (or the old dataset after an
/// exchange, whole or half removed): nobody else's folder is ever removed.
fn is_ours(beside: &Path) -> bool {
    let Ok(entries) = sorted_entries(beside) else {
        return false;
    };
    let is_part = |name: &OsString| {
        name.to_str()
            .is_some_and(|name| is_temporary(name) || part_number(name).is_some())
    };
    beside.join(BOOKKEEPING_DIR).is_dir() || entries.iter().all(|(name, _)| is_part(name))
}

/// Creates the folder beside OUT and tries there what the commit will need.
fn prepare_beside(fs: &dyn CommitFs, out: &Path, beside: &Path) -> Result<(), WriteError> {
    if is_ours(beside) {
        remove_tree(fs, beside)?;
    }
    let bookkeeping = beside.join(BOOKKEEPING_DIR);
    fs.create_dir(beside)
        .map_err(WriteError::io("create the folder", beside))?;
    fs.create_dir(&bookkeeping)
        .map_err(WriteError::io("create the folder", &bookkeeping))?;
    write_whole(fs, &bookkeeping.join(MARKER), b"")?;
    let (one, other) = (bookkeeping.join("probe-1"), bookkeeping.join("probe-2"));
    fs.create_dir(&one).map_err(WriteError::io("create the folder", &one))?;
    fs.create_dir(&other)
        .map_err(WriteError::io("create the folder", &other))?;
    fs.exchange(&one, &other).map_err(WriteError::io("exchange", &one))?;
    fs.remove_dir(&one).map_err(WriteError::io("remove", &one))?;
    fs.remove_dir(&other).map_err(WriteError::io("remove", &other))?;
    // The lock moves along as the same file, so it stays held through the exchange.
    let lock = out.join(BOOKKEEPING_DIR).join(super::LOCK_FILE);
    fs.hard_link(&lock, &bookkeeping.join(super::LOCK_FILE))
        .map_err(WriteError::io("link", &lock))
}

/// Whether another file system begins at OUT, so that OUT cannot be renamed.
fn is_mount_point(out: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    match statx(CWD, out, AtFlags::empty(), StatxFlags::BASIC_STATS) {
        Ok(stat) => stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        // Kernels before 5.8 do not say; then the exchange itself fails and nothing is lost.
        Err(_) => false,
    }
}

/// Links everything of `from` into `to` that is not there yet, apart from temporary files and the
/// parts that leave; syncs the folders.
fn link_tree(fs: &dyn CommitFs, from: &Path, to: &Path, leaves: &dyn Fn(&str) -> bool) -> Result<(), WriteError> {
    for (name, is_dir) in sorted_entries(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        if name.to_str().is_some_and(|name| is_temporary(name) || leaves(name)) {
            continue;
        }
        if is_dir {
            if !exists(&target) {
                fs.create_dir(&target)
                    .map_err(WriteError::io("create the folder", &target))?;
            }
            link_tree(fs, &source, &target, &|_| false)?;
        } else if !exists(&target) {
            fs.hard_link(&source, &target)
                .map_err(WriteError::io("link", &source))?;
        }
    }
    fs.sync_dir(to).map_err(WriteError::io("sync", to))
}

/// Removes the old dataset after the exchange, then the marker that says so.
fn finish_exchange(fs: &dyn CommitFs, out: &Path, beside: &Path) -> Result<(), WriteError> {
    if is_ours(beside) {
        remove_tree(fs, beside)?;
        let parent = parent_of(beside);
        fs.sync_dir(parent).map_err(WriteError::io("sync", parent))?;
    }
    let bookkeeping = out.join(BOOKKEEPING_DIR);
    let marker = bookkeeping.join(MARKER);
    fs.remove_file(&marker).map_err(WriteError::io("remove", &marker))?;
    fs.sync_dir(&bookkeeping).map_err(WriteError::io("sync", &bookkeeping))
}

/// Does every step of a journal that is not done yet, then removes it.
fn roll_forward(fs: &dyn CommitFs, out: &Path, journal: &Path) -> Result<(), WriteError> {
    let text = fs::read(journal).map_err(WriteError::io("read", journal))?;
    let steps: Vec<Step> = serde_json::from_slice(&text)
        .map_err(io::Error::other)
        .map_err(WriteError::io("read", journal))?;
    for step in steps {
        match step {
            Step::Rename { from, to } => {
                let (from, to) = (out.join(from), out.join(to));
                if exists(&from) {
                    fs.rename(&from, &to).map_err(WriteError::io("rename", &from))?;
                }
            }
            Step::Remove { name } => {
                let path = out.join(name);
                if exists(&path) {
                    fs.remove_file(&path).map_err(WriteError::io("remove", &path))?;
                }
            }
        }
    }
    fs.sync_dir(out).map_err(WriteError::io("sync", out))?;
    let bookkeeping = out.join(BOOKKEEPING_DIR);
    remove_tree(fs, &bookkeeping.join(STAGING_DIR))?;
    fs.sync_dir(&bookkeeping)
        .map_err(WriteError::io("sync", &bookkeeping))?;
    fs.remove_file(journal).map_err(WriteError::io("remove", journal))?;
    fs.sync_dir(&bookkeeping).map_err(WriteError::io("sync", &bookkeeping))
}

/// Writes a small file so that it is there whole or not at all.
pub(super) fn write_whole(fs: &dyn CommitFs, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let temporary = path.with_extension("tmp");
    let mut file = fs.create(&temporary).map_err(WriteError::io("create", &temporary))?;
    file.write_all(bytes).map_err(WriteError::io("write", &temporary))?;
    file.sync().map_err(WriteError::io("sync", &temporary))?;
    drop(file);
    fs.rename(&temporary, path)
        .map_err(WriteError::io("rename", &temporary))?;
    let dir = parent_of(path);
    fs.sync_dir(dir).map_err(WriteError::io("sync", dir))
}

/// Removes a folder and what is in it, the bookkeeping folder last: as long as it is there, the
/// folder is known as labelmill's own.
fn remove_tree(fs: &dyn CommitFs, dir: &Path) -> Result<(), WriteError> {
    if !dir.is_dir() {
        return Ok(());
    }
    let mut entries = sorted_entries(dir)?;
    entries.sort_by_key(|(name, _)| name == BOOKKEEPING_DIR);
    for (name, is_dir) in entries {
        let path = dir.join(name);
        if is_dir {
            remove_tree(fs, &path)?;
        } else {
            fs.remove_file(&path).map_err(WriteError::io("remove", &path))?;
        }
    }
    fs.remove_dir(dir).map_err(WriteError::io("remove", dir))
}

/// Names in a folder, sorted, with whether each is a folder (links are not followed).
fn sorted_entries(dir: &Path) -> Result<Vec<(OsString, bool)>, WriteError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(WriteError::io("read", dir))? {
        let entry = entry.map_err(WriteError::io("read", dir))?;
        let is_dir = entry.file_type().map_err(WriteError::io("read", dir))?.is_dir();
        entries.push((entry.file_name(), is_dir));
    }
    entries.sort();
    Ok(entries)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
