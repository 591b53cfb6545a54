//! Reading committed rows back: which images have to be made anew, and the labels of a file that
//! was labeled under another name.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{concat, take};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::error::WriteError;
use super::ledger::RowAt;
use super::reconcile::{PartChanges, ReplacedRow};
use super::rewrite::ROWS_PER_READ;
use super::schema::{DatasetSchema, Renewal};
use crate::record::{Destination, GroupSet, LabelColumn};

/// A committed row that is to be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Name of the root.
    pub root: Arc<str>,
    /// Path in the root.
    pub path: String,
    /// Where the image was when the row was written.
    pub uri: String,
    /// Which row it is.
    pub destination: Destination,
    /// What is to be made anew.
    pub groups: GroupSet,
}

/// The rows that are to be made anew, by part and row. Reads a part's keys when it comes to it.
pub struct Replacements {
    /// Path of each part of the ledger.
    paths: Vec<PathBuf>,
    changes: Arc<Vec<PartChanges>>,
    next_part: usize,
    /// What is left of the current part.
    rows: std::vec::IntoIter<Replacement>,
}

impl Replacements {
    pub(super) fn new(paths: Vec<PathBuf>, changes: Arc<Vec<PartChanges>>) -> Self {
        Self {
            paths,
            changes,
            next_part: 0,
            rows: Vec::new().into_iter(),
        }
    }
}

impl Iterator for Replacements {
    type Item = Result<Replacement, WriteError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            let part = self.next_part;
            let replaced = &self.changes.get(part)?.replaced;
            let path = self.paths.get(part)?;
            self.next_part += 1;
            if replaced.is_empty() {
                continue;
            }
            match read_replacements(path, part as u32, replaced) {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(error) => {
                    self.next_part = self.paths.len();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The images of some rows (ascending) of one part, of which nothing is to be made.
pub(super) fn read_images(path: &PathBuf, part: u32, rows: &[u32]) -> Result<Vec<Replacement>, WriteError> {
    let nothing = |row: &u32| ReplacedRow {
        row: *row,
        groups: GroupSet::default(),
    };
    read_replacements(path, part, &rows.iter().map(nothing).collect::<Vec<_>>())
}

/// The images of the `replaced` rows (ascending) of one part.
fn read_replacements(path: &PathBuf, part: u32, replaced: &[ReplacedRow]) -> Result<Vec<Replacement>, WriteError> {
    let mut found = Vec::with_capacity(replaced.len());
    let mut wanted = replaced.iter().peekable();
    let mut first = 0_u32;
    let mut root_name: Arc<str> = Arc::from("");
    for batch in open_columns(path, &["uri", "root", "path"])? {
        let batch = batch?;
        let (uris, roots, paths) = (text(&batch, "uri")?, text(&batch, "root")?, text(&batch, "path")?);
        let end = first + batch.num_rows() as u32;
        while let Some(row) = wanted.next_if(|row| row.row < end) {
            let index = (row.row - first) as usize;
            if *root_name != *roots.value(index) {
                root_name = roots.value(index).into();
            }
            found.push(Replacement {
                root: Arc::clone(&root_name),
                path: paths.value(index).to_owned(),
                uri: uris.value(index).to_owned(),
                destination: Destination::Replace { part, row: row.row },
                groups: row.groups,
            });
        }
        first = end;
    }
    Ok(found)
}

/// The labels of committed rows, one row for each of `rows` in their order: the columns of the
/// labelers in `groups`.
pub(super) fn read_labels(
    paths: &[PathBuf],
    schema: &DatasetSchema,
    rows: &[RowAt],
    groups: GroupSet,
) -> Result<Vec<LabelColumn>, WriteError> {
    let fields: Vec<_> = schema
        .columns
        .iter()
        .filter(|column| matches!(column.renewal, Renewal::WithGroup(group) if group > 0 && groups.contains(GroupSet(1 << group))))
        .map(|column| Arc::clone(&column.field))
        .collect();
    if fields.is_empty() || rows.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let mut by_part: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
    for (position, at) in rows.iter().enumerate() {
        by_part.entry(at.part).or_default().push((at.row, position));
    }
    let mut taken: Vec<Vec<ArrayRef>> = vec![Vec::new(); fields.len()];
    // Position in `rows` of each taken row.
    let mut order: Vec<usize> = Vec::with_capacity(rows.len());
    for (part, mut wanted) in by_part {
        wanted.sort_unstable();
        let path = paths
            .get(part as usize)
            .ok_or_else(|| WriteError::Batch(format!("labels of part {part}, which does not exist, were asked for")))?;
        take_rows(path, &names, &wanted, &mut taken, &mut order)?;
    }
    if order.len() != rows.len() {
        return Err(WriteError::Batch(
            "labels of a row that does not exist were asked for".to_owned(),
        ));
    }
    let mut back = vec![0_u32; order.len()];
    for (index, position) in order.iter().enumerate() {
        back[*position] = index as u32;
    }
    let back = UInt32Array::from(back);
    fields
        .into_iter()
        .zip(taken)
        .map(|(field, arrays)| {
            let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
            Ok((field, take(&concat(&arrays)?, &back, None)?))
        })
        .collect()
}

/// Takes the `wanted` rows (ascending, each with its position in the answer) of one part.
fn take_rows(
    path: &PathBuf,
    names: &[&str],
    wanted: &[(u32, usize)],
    taken: &mut [Vec<ArrayRef>],
    order: &mut Vec<usize>,
) -> Result<(), WriteError> {
    let mut wanted = wanted.iter().peekable();
    let mut first = 0_u32;
    for batch in open_columns(path, names)? {
        let batch = batch?;
        let end = first + batch.num_rows() as u32;
        let mut indices = Vec::new();
        while let Some((row, position)) = wanted.next_if(|(row, _)| *row < end) {
            indices.push(row - first);
            order.push(*position);
        }
        first = end;
        if indices.is_empty() {
            continue;
        }
        let indices = UInt32Array::from(indices);
        for (name, arrays) in names.iter().zip(taken.iter_mut()) {
            let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
            arrays.push(take(column, &indices, None)?);
        }
        if wanted.peek().is_none() {
            break;
        }
    }
    Ok(())
}

/// Opens some columns of a part.
fn open_columns(path: &PathBuf, names: &[&str]) -> Result<ParquetRecordBatchReader, WriteError> {
    let file = File::open(path).map_err(WriteError::io("open", path))?;
    ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| {
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder.with_projection(mask).with_batch_size(ROWS_PER_READ).build()
        })
        .map_err(WriteError::parquet("read", path))
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, WriteError> {
    let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
    column.as_string_opt::<i32>().cloned().ok_or_else(|| missing(name))
}

fn missing(name: &str) -> WriteError {
    WriteError::Batch(format!("a part has no column `{name}`"))
}
