//! What is labeled: one small record a committed row, read from the key columns of the parts.
//! There is no second database. 68 bytes an image: names are kept as 128-bit hashes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use rayon::prelude::*;

use super::error::OpenError;
use super::footer::PartInfo;
use super::{key_hash, parts};
use crate::record::{ErrorKind, FileStat, ImageId, SidecarStamp};

/// Columns that the ledger reads.
const KEY_COLUMNS: [&str; 8] = [
    "root",
    "path",
    "file_size",
    "modified_at",
    "sidecar_stamp",
    "blake3",
    "status",
    "error_kind",
];

/// Where a committed row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowAt {
    /// Index of the part in the ledger (not the number in its name).
    pub part: u32,
    /// Row in that part.
    pub row: u32,
}

/// Whether a committed row failed, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowStatus {
    /// `status = ok`.
    Ok,
    /// `status = failed`, with its kind.
    Failed(ErrorKind),
}

/// What became of a committed row in the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not met.
    No,
    /// Met with the same size and time.
    Same,
    /// Met with another size or time.
    Changed,
    /// The same image, with other sidecars beside it.
    SidecarsChanged,
}

/// One committed row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Hash of root and path.
    key: u128,
    /// The first half of the file's BLAKE3; 0 where it was not read whole.
    blake3: u128,
    size: u64,
    modified_at: i64,
    /// Where the row is.
    pub(super) at: RowAt,
    sidecars: SidecarStamp,
    /// Index in [`Ledger::roots`].
    pub(super) root: u16,
    /// 0 = ok, else one more than the position in [`ErrorKind::ALL`].
    failed: u8,
    /// What the walk met.
    pub(super) seen: Seen,
}

impl Entry {
    const EMPTY: Self = Self {
        key: 0,
        blake3: 0,
        size: 0,
        modified_at: 0,
        at: RowAt { part: 0, row: 0 },
        sidecars: SidecarStamp::NONE,
        root: 0,
        failed: 0,
        seen: Seen::No,
    };

    pub(super) fn status(&self) -> RowStatus {
        match usize::from(self.failed)
            .checked_sub(1)
            .and_then(|index| ErrorKind::ALL.get(index))
        {
            Some(kind) => RowStatus::Failed(*kind),
            None => RowStatus::Ok,
        }
    }

    fn stat(&self) -> FileStat {
        FileStat {
            size: self.size,
            modified_at: self.modified_at,
        }
    }
}

/// A committed row as the ledger knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Where it is.
    pub at: RowAt,
    /// Size and time of the file when it was labeled.
    pub stat: FileStat,
    /// Whether it failed.
    pub status: RowStatus,
}

/// Every committed row, found by image or by content.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Sorted by key.
    pub(super) entries: Vec<Entry>,
    /// Positions in `entries` of the rows with a hash, sorted by hash.
    by_blake3: Vec<u32>,
    /// Names of the roots; entries name them by position.
    roots: Vec<Arc<str>>,
}

impl Ledger {
    /// Reads the key columns of `infos`, the parts of `out`, on all cores.
    pub fn load(out: &Path, infos: &[PartInfo]) -> Result<Self, OpenError> {
        let total: u64 = infos.iter().map(|info| info.rows).sum();
        let mut entries = vec![Entry::EMPTY; usize::try_from(total).unwrap_or(0)];
        let mut slots = Vec::with_capacity(infos.len());
        let mut rest = entries.as_mut_slice();
        for (part, info) in infos.iter().enumerate() {
            let (slot, after) = rest.split_at_mut(info.rows as usize);
            slots.push((part as u32, info, slot));
            rest = after;
        }
        let roots_of_parts: Vec<(u32, Vec<Arc<str>>)> = slots
            .into_par_iter()
            .map(|(part, info, slot)| {
                let path = out.join(parts::part_name(info.number));
                let roots = load_part(&path, part, slot)?;
                Ok((part, roots))
            })
            .collect::<Result<_, OpenError>>()?;
        let roots = merge_roots(&mut entries, infos, &roots_of_parts);
        entries.par_sort_unstable_by_key(|entry| (entry.key, entry.at));
        let mut by_blake3: Vec<u32> = (0..entries.len() as u32)
            .filter(|index| entries[*index as usize].blake3 != 0)
            .collect();
        by_blake3.par_sort_unstable_by_key(|index| {
            let entry = &entries[*index as usize];
            (entry.blake3, entry.at)
        });
        Ok(Self {
            entries,
            by_blake3,
            roots,
        })
    }

    /// Committed rows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is committed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The committed row of an image, by root and path.
    pub fn find(&self, id: &ImageId) -> Option<Committed> {
        let entry = &self.entries[self.position(id)?];
        Some(Committed {
            at: entry.at,
            stat: entry.stat(),
            status: entry.status(),
        })
    }

    /// A committed row of a file with the same content, labeled without failure: the one in the
    /// lowest part and row. `blake3` is the whole hash in hex.
    pub fn find_by_blake3(&self, blake3: &str) -> Option<RowAt> {
        let wanted = parse_blake3(blake3)?;
        let first = self
            .by_blake3
            .partition_point(|index| self.entries[*index as usize].blake3 < wanted);
        self.by_blake3[first..]
            .iter()
            .map(|index| &self.entries[*index as usize])
            .take_while(|entry| entry.blake3 == wanted)
            .find(|entry| entry.status() == RowStatus::Ok)
            .map(|entry| entry.at)
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.by_blake3.capacity() * size_of::<u32>()
    }

    /// Names of all roots with rows.
    pub(super) fn roots(&self) -> &[Arc<str>] {
        &self.roots
    }

    /// Forgets an earlier walk.
    pub(super) fn forget_seen(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.seen = Seen::No);
    }

    /// Notes that the walk met an image; says what it is worth.
    pub(super) fn mark_seen(&mut self, id: &ImageId) -> Option<Seen> {
        let position = self.position(id)?;
        let entry = &mut self.entries[position];
        entry.seen = if entry.stat() != id.stat {
            Seen::Changed
        } else if entry.sidecars != id.sidecars {
            Seen::SidecarsChanged
        } else {
            Seen::Same
        };
        Some(entry.seen)
    }

    /// Position of the image's row; the first of several where a damaged dataset has it twice.
    fn position(&self, id: &ImageId) -> Option<usize> {
        let key = key_hash(&id.root, &id.path);
        let position = self.entries.partition_point(|entry| entry.key < key);
        (self.entries.get(position)?.key == key).then_some(position)
    }
}

/// The first half of a BLAKE3 in hex. Half of it is enough to tell all files of the world apart.
fn parse_blake3(hex: &str) -> Option<u128> {
    u128::from_str_radix(hex.get(..32)?, 16).ok()
}

/// Fills `entries` from the part at `path`; gives the names of the roots that they count.
fn load_part(path: &Path, part: u32, entries: &mut [Entry]) -> Result<Vec<Arc<str>>, OpenError> {
    let corrupt = |source: ParquetError| OpenError::Corrupt {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(|error| corrupt(error.into()))?;
    let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(corrupt)?;
    let mask = ProjectionMask::columns(footer.parquet_schema(), KEY_COLUMNS);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer)
        .with_projection(mask)
        .with_batch_size(4096)
        .build()
        .map_err(corrupt)?;
    let mut roots: Vec<Arc<str>> = Vec::new();
    let mut row = 0;
    for batch in reader {
        let batch = batch.map_err(|error| corrupt(error.into()))?;
        let columns = KeyColumns::of(&batch).ok_or_else(|| corrupt(missing_key_columns()))?;
        for index in 0..batch.num_rows() {
            let entry = entries.get_mut(row).ok_or_else(|| corrupt(row_count_differs()))?;
            *entry = columns.entry(index, &mut roots);
            entry.at = RowAt { part, row: row as u32 };
            row += 1;
        }
    }
    if row == entries.len() {
        Ok(roots)
    } else {
        Err(corrupt(row_count_differs()))
    }
}

fn missing_key_columns() -> ParquetError {
    ParquetError::General(format!(
        "one of the columns {} is missing or has another type",
        KEY_COLUMNS.join(", ")
    ))
}

fn row_count_differs() -> ParquetError {
    ParquetError::General("the footer says another number of rows than there are".to_owned())
}

/// The key columns of a batch.
struct KeyColumns {
    root: StringArray,
    path: StringArray,
    size: ArrayRef,
    modified_at: ArrayRef,
    /// Parts of earlier versions do not have it.
    sidecars: Option<ArrayRef>,
    blake3: StringArray,
    status: StringArray,
    error_kind: StringArray,
}

impl KeyColumns {
    fn of(batch: &RecordBatch) -> Option<Self> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>().cloned();
        let size = batch.column_by_name("file_size")?;
        let modified_at = batch.column_by_name("modified_at")?;
        let sidecars = batch.column_by_name("sidecar_stamp");
        size.as_primitive_opt::<Int64Type>()?;
        sidecars
            .is_none_or(|stamps| stamps.as_primitive_opt::<Int64Type>().is_some())
            .then_some(())?;
        modified_at.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some(Self {
            root: text("root")?,
            path: text("path")?,
            size: ArrayRef::clone(size),
            modified_at: ArrayRef::clone(modified_at),
            sidecars: sidecars.cloned(),
            blake3: text("blake3")?,
            status: text("status")?,
            error_kind: text("error_kind")?,
        })
    }

    fn entry(&self, row: usize, roots: &mut Vec<Arc<str>>) -> Entry {
        let root = self.root.value(row);
        let blake3 = if self.blake3.is_valid(row) {
            parse_blake3(self.blake3.value(row))
        } else {
            None
        };
        // Null reads as 0.
        let stamp = |stamps: &ArrayRef| {
            let stamps = stamps.as_primitive::<Int64Type>();
            SidecarStamp(if stamps.is_valid(row) {
                stamps.value(row) as u32
            } else {
                0
            })
        };
        Entry {
            key: key_hash(root, self.path.value(row)),
            blake3: blake3.unwrap_or(0),
            size: self.size.as_primitive::<Int64Type>().value(row) as u64,
            modified_at: self.modified_at.as_primitive::<TimestampMicrosecondType>().value(row),
            sidecars: self.sidecars.as_ref().map_or(SidecarStamp::NONE, stamp),
            root: position_or_push(roots, root),
            failed: failed_code(self.status.value(row), self.error_kind.value(row)),
            ..Entry::EMPTY
        }
    }
}

/// The code of [`Entry::failed`]; a kind of a later version counts as the last one known.
fn failed_code(status: &str, kind: &str) -> u8 {
    if status != "failed" {
        return 0;
    }
    let position = ErrorKind::ALL.iter().position(|known| known.as_str() == kind);
    position.map_or(ErrorKind::ALL.len(), |position| position + 1) as u8
}

fn position_or_push(roots: &mut Vec<Arc<str>>, root: &str) -> u16 {
    // Rows of a root stand together, so the last one is nearly always the right one.
    let position = roots.iter().rposition(|known| &**known == root).unwrap_or_else(|| {
        roots.push(root.into());
        roots.len() - 1
    });
    u16::try_from(position).unwrap_or(u16::MAX)
}

/// Numbers the roots of all parts as one list.
fn merge_roots(entries: &mut [Entry], infos: &[PartInfo], roots_of_parts: &[(u32, Vec<Arc<str>>)]) -> Vec<Arc<str>> {
    let mut all: Vec<Arc<str>> = Vec::new();
    let mut rest = entries;
    for (info, (_, roots)) in infos.iter().zip(roots_of_parts) {
        let numbers: Vec<u16> = roots.iter().map(|root| position_or_push(&mut all, root)).collect();
        let (slot, after) = rest.split_at_mut(info.rows as usize);
        for entry in slot {
            entry.root = numbers.get(usize::from(entry.root)).copied().unwrap_or(u16::MAX);
        }
        rest = after;
    }
    all
}
