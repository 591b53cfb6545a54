//! Merges small parts, as nightly runs leave them, into parts of the usual size.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::commit::CommitFs;
use super::error::{OpenError, WriteError};
use super::footer::{PartInfo, PartMeta};
use super::next::{NextFolder, Swap};
use super::parts::PartWriter;
use super::rewrite::open_part;
use super::{Home, WriteOptions, read_parts};

/// What [`compact()`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Parts before.
    pub parts_before: usize,
    /// Parts after.
    pub parts_after: usize,
    /// Rows of the dataset.
    pub rows: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after.
    pub bytes_after: u64,
}

/// Merges the small parts of the dataset in `out` that are of one root and one making. Takes the
/// lock; readers see the parts before or the parts after, never both.
pub fn compact(out: &Path, options: &WriteOptions, fs: Arc<dyn CommitFs>) -> Result<CompactReport, OpenError> {
    if !out.is_dir() {
        return Err(WriteError::io("open", out)(std::io::ErrorKind::NotFound.into()).into());
    }
    let home = Home::take(out, fs)?;
    let parts = read_parts(&home.out)?;
    let merges = merges(&parts, options);
    if !merges.is_empty() {
        merge(&home, &parts, &merges, options)?;
    }
    let after = read_parts(&home.out)?;
    let bytes = |parts: &[PartInfo]| parts.iter().map(|part| part.bytes).sum();
    Ok(CompactReport {
        parts_before: parts.len(),
        parts_after: after.len(),
        rows: after.iter().map(|part| part.rows).sum(),
        bytes_before: bytes(&parts),
        bytes_after: bytes(&after),
    })
}

/// Which parts become one, by position; each list has two or more, in the order of their numbers.
fn merges(parts: &[PartInfo], options: &WriteOptions) -> Vec<Vec<usize>> {
    let mut open: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    let mut full: Vec<Vec<usize>> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let is_small = part.rows < options.part_rows / 2 && part.bytes < options.part_bytes / 2;
        // A group on the way between two makings counts rows from the part's first one.
        if !is_small || !part.meta.begun.is_empty() {
            continue;
        }
        let making = (&part.meta.root, &part.meta.root_folder, &part.meta.fingerprints);
        let merge = open.entry(making).or_default();
        let sum =
            |value: fn(&PartInfo) -> u64| merge.iter().map(|other| value(&parts[*other])).sum::<u64>() + value(part);
        if sum(|part| part.rows) > options.part_rows || sum(|part| part.bytes) > options.part_bytes {
            full.push(std::mem::take(merge));
        }
        merge.push(index);
    }
    full.extend(open.into_values());
    full.retain(|merge| merge.len() > 1);
    full.sort();
    full
}

fn merge(home: &Home, parts: &[PartInfo], merges: &[Vec<usize>], options: &WriteOptions) -> Result<(), WriteError> {
    let next = NextFolder::begin(&*home.fs, &home.out)?;
    let first_free = parts.last().map_or(0, |part| part.number + 1);
    let mut swaps = Vec::with_capacity(merges.len());
    for (number, merge) in (first_free..).zip(merges) {
        let old: Vec<&PartInfo> = merge.iter().map(|index| &parts[*index]).collect();
        write_merged(home, &old, next.dir(), &next.name(number), options)?;
        swaps.push(Swap {
            new: number,
            old: old.iter().map(|part| part.number).collect(),
        });
    }
    next.commit(&swaps)
}

/// Writes the rows of several parts as one.
fn write_merged(
    home: &Home,
    old: &[&PartInfo],
    dir: &Path,
    name: &str,
    options: &WriteOptions,
) -> Result<(), WriteError> {
    let newest = old[old.len() - 1];
    let mut writer = PartWriter::create(&*home.fs, dir, name, &newest.schema, options)?;
    for part in old {
        for batch in open_part(&part.path(&home.out))? {
            writer.write(&batch?)?;
        }
    }
    let mut meta: PartMeta = newest.meta.clone();
    meta.demo = old.iter().any(|part| part.meta.demo);
    writer.commit(&*home.fs, &meta)?;
    Ok(())
}
