//! One committed part written anew: rows stream from the old file, replaced ones are merged in by
//! their position, gone ones are left out. Never more than a batch is in memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::interleave;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::Shared;
use super::error::WriteError;
use super::footer::{Begun, PartInfo, PartMeta};
use super::parts::{PartWriter, WrittenPart};
use super::reconcile::PartStaleness;
use super::schema::{Column, Renewal};
use crate::record::GroupSet;

/// Rows read at once. Rows can carry long texts (workflows of 100 kB and more).
pub(super) const ROWS_PER_READ: usize = 1024;

/// A row that takes the place of row `row` of the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NewRow {
    /// Row of the part that it replaces.
    pub(super) row: u32,
    /// Its position in the batch of new rows.
    pub(super) index: usize,
    /// The groups that were made anew.
    pub(super) groups: GroupSet,
}

/// What goes into one row of the new part.
struct Pick {
    /// Row in the chunk of old rows.
    old: usize,
    /// What replaces it, if anything.
    new: Option<NewRow>,
}

/// A part on the way from its old file to its new one.
pub(super) struct PartRewrite {
    shared: Arc<Shared>,
    old: PartInfo,
    reader: ParquetRecordBatchReader,
    /// Rows that were read and not yet written; its first row is `next_row` of the part.
    chunk: Option<RecordBatch>,
    next_row: u32,
    gone: Vec<u32>,
    writer: PartWriter,
    coverage: Vec<Coverage>,
    tally: Tally,
}

/// What a rewrite did with the rows of its part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Rows that were replaced.
    pub(super) replaced: u64,
    /// Gone rows that were left out.
    pub(super) removed: u64,
}

/// How far a stale group is made anew.
struct Coverage {
    group: usize,
    /// Rows from the first on that an earlier run made anew.
    done_before: u64,
    /// Rows of the new part from the first on that are made anew.
    unbroken_rows: u64,
    is_broken: bool,
}

impl PartRewrite {
    /// Begins to write `old`, a part of the dataset, to `dir/name`, without its `gone` rows
    /// (ascending).
    pub(super) fn begin(
        shared: &Arc<Shared>,
        old: &PartInfo,
        gone: &[u32],
        dir: &Path,
        name: &str,
    ) -> Result<Self, WriteError> {
        let source = old.path(&shared.out);
        let reader = open_part(&source)?;
        let writer = PartWriter::create(&*shared.fs, dir, name, &shared.schema.arrow, &shared.spec.options)?;
        let staleness = PartStaleness::of(old, &shared.spec, &shared.schema);
        let coverage = staleness.reasons.iter().map(|(group, _, done_before)| Coverage {
            group: *group,
            done_before: *done_before,
            unbroken_rows: 0,
            is_broken: false,
        });
        Ok(Self {
            shared: Arc::clone(shared),
            old: old.clone(),
            reader,
            chunk: None,
            next_row: 0,
            gone: gone.to_vec(),
            writer,
            coverage: coverage.collect(),
            tally: Tally::default(),
        })
    }

    /// Merges rows of `new` into the part. Their rows ascend, also from call to call.
    pub(super) fn replace(&mut self, rows: &[NewRow], new: &RecordBatch) -> Result<(), WriteError> {
        let mut rest = rows;
        while let Some(last) = rest.last() {
            if rest[0].row < self.next_row {
                return Err(WriteError::Batch(format!(
                    "row {} of {} came out of order",
                    rest[0].row,
                    self.old.name()
                )));
            }
            let available = self.fill_chunk()?;
            if available == 0 {
                return Err(WriteError::Batch(format!(
                    "{} has no row {}",
                    self.old.name(),
                    last.row
                )));
            }
            let end = (self.next_row + available).min(last.row + 1);
            let (here, after) = rest.split_at(rest.partition_point(|row| row.row < end));
            self.emit(end - self.next_row, here, Some(new))?;
            rest = after;
        }
        Ok(())
    }

    /// Copies the rows that are left and commits the part under its final name.
    pub(super) fn commit(mut self) -> Result<(WrittenPart, Tally), WriteError> {
        match self.copy_rest() {
            Ok(()) => {
                let meta = self.meta();
                Ok((self.writer.commit(&*self.shared.fs, &meta)?, self.tally))
            }
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Gives the new file up; the part stays as it is.
    pub(super) fn abandon(self) {
        self.writer.abandon(&*self.shared.fs);
    }

    fn copy_rest(&mut self) -> Result<(), WriteError> {
        loop {
            let available = self.fill_chunk()?;
            if available == 0 {
                break;
            }
            self.emit(available, &[], None)?;
        }
        if u64::from(self.next_row) == self.old.rows {
            return Ok(());
        }
        Err(WriteError::Batch(format!(
            "{} ended at row {} of {}",
            self.old.name(),
            self.next_row,
            self.old.rows
        )))
    }

    /// Reads on if nothing is left of the chunk; gives the rows in it, 0 at the end of the part.
    fn fill_chunk(&mut self) -> Result<u32, WriteError> {
        while self.chunk.as_ref().is_none_or(|chunk| chunk.num_rows() == 0) {
            match self.reader.next() {
                Some(batch) => self.chunk = Some(batch?),
                None => return Ok(0),
            }
        }
        Ok(self.chunk.as_ref().map_or(0, RecordBatch::num_rows) as u32)
    }

    /// Writes the next `count` rows of the chunk, with `replaced` in their places.
    fn emit(&mut self, count: u32, replaced: &[NewRow], new: Option<&RecordBatch>) -> Result<(), WriteError> {
        let Some(chunk) = self.chunk.take() else { return Ok(()) };
        let old = chunk.slice(0, count as usize);
        self.chunk = Some(chunk.slice(count as usize, chunk.num_rows() - count as usize));
        let picks = self.pick(count, replaced);
        let schema = &self.shared.schema;
        let columns = schema
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| merged(column, &old, new.map(|new| new.column(index)), &picks))
            .collect::<Result<Vec<ArrayRef>, WriteError>>()?;
        let mut batch = RecordBatch::try_new(Arc::clone(&schema.arrow), columns)?;
        if let Some(folder) = self.old.meta.moved_to(&self.shared.spec.root_folders) {
            batch = with_uris_under(folder, &batch)?;
        }
        let is_new: Vec<bool> = picks.iter().map(|pick| pick.new.is_some()).collect();
        self.writer.write(&self.shared.spec.prompt.apply(batch, &is_new)?)
    }

    /// Chooses the source of each row, and counts what becomes of them.
    fn pick(&mut self, count: u32, replaced: &[NewRow]) -> Vec<Pick> {
        let mut picks = Vec::with_capacity(count as usize);
        let mut replaced = replaced.iter().peekable();
        for old in 0..count {
            let row = self.next_row + old;
            let new = replaced.next_if(|new| new.row == row).copied();
            if new.is_none() && self.gone.binary_search(&row).is_ok() {
                self.tally.removed += 1;
                continue;
            }
            self.tally.replaced += u64::from(new.is_some());
            let renewed = new.map_or(GroupSet::default(), |new| new.groups);
            for coverage in &mut self.coverage {
                let is_new = u64::from(row) < coverage.done_before || renewed.contains(GroupSet(1 << coverage.group));
                coverage.is_broken |= !is_new;
                coverage.unbroken_rows += u64::from(!coverage.is_broken);
            }
            picks.push(Pick { old: old as usize, new });
        }
        self.next_row += count;
        picks
    }

    /// What the new part says of itself: a group that is not wholly new keeps its old
    /// fingerprint, with a note of how far it came.
    fn meta(&self) -> PartMeta {
        let spec = &self.shared.spec;
        let mut meta = PartMeta::of(spec, self.old.meta.root.clone());
        // A root that this plan does not name stays where it was.
        meta.root_folder = meta.root_folder.or_else(|| self.old.meta.root_folder.clone());
        let mut is_mixed = false;
        for coverage in self.coverage.iter().filter(|coverage| coverage.is_broken) {
            is_mixed = true;
            let group = &spec.groups[coverage.group];
            meta.fingerprints.remove(&group.name);
            if let Some(old) = self
                .old
                .meta
                .fingerprints
                .get(&group.name)
                .filter(|old| **old != group.fingerprint)
            {
                meta.fingerprints.insert(group.name.clone(), old.clone());
            }
            if coverage.unbroken_rows > 0 {
                let begun = Begun {
                    rows: coverage.unbroken_rows,
                    fingerprint: group.fingerprint.clone(),
                };
                meta.begun.insert(group.name.clone(), begun);
            }
        }
        if is_mixed {
            meta.demo |= self.old.meta.demo;
            let older = self
                .old
                .meta
                .models
                .iter()
                .filter(|model| !spec.model_names.contains(model));
            meta.models.extend(older.cloned());
        }
        meta
    }
}

/// Opens a part for reading all its columns.
pub(super) fn open_part(path: &Path) -> Result<ParquetRecordBatchReader, WriteError> {
    let file = File::open(path).map_err(WriteError::io("open", path))?;
    ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(ROWS_PER_READ).build())
        .map_err(WriteError::parquet("read", path))
}

/// The rows with the `uri` that their paths have under `folder`.
fn with_uris_under(folder: &str, rows: &RecordBatch) -> Result<RecordBatch, WriteError> {
    let missing = |name| WriteError::Batch(format!("a part has no column `{name}`"));
    let paths = rows
        .column_by_name("path")
        .and_then(|paths| paths.as_string_opt::<i32>());
    let paths = paths.ok_or_else(|| missing("path"))?;
    let folder = folder.trim_end_matches('/');
    let uris: StringArray = paths
        .iter()
        .map(|path| path.map(|path| format!("{folder}/{path}")))
        .collect();
    let (at, _) = rows
        .schema_ref()
        .column_with_name("uri")
        .ok_or_else(|| missing("uri"))?;
    let mut columns = rows.columns().to_vec();
    columns[at] = Arc::new(uris);
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

/// One column of the new rows: from the old rows, or from the new ones where they renew it.
fn merged(column: &Column, old: &RecordBatch, new: Option<&ArrayRef>, picks: &[Pick]) -> Result<ArrayRef, WriteError> {
    let old = match old.schema().index_of(column.field.name()) {
        Ok(index) if old.column(index).data_type() == column.field.data_type() => ArrayRef::clone(old.column(index)),
        _ => new_null_array(column.field.data_type(), old.num_rows()),
    };
    let is_renewed = |groups: GroupSet| match column.renewal {
        Renewal::WithGroup(group) => groups.contains(GroupSet(1 << group)),
        Renewal::Always => true,
        Renewal::Never => false,
    };
    let is_copy = picks.len() == old.len()
        && picks
            .iter()
            .all(|pick| !pick.new.is_some_and(|new| is_renewed(new.groups)));
    let new = match new {
        _ if is_copy => return Ok(old),
        Some(new) => ArrayRef::clone(new),
        None => new_null_array(column.field.data_type(), 0),
    };
    let sources: Vec<(usize, usize)> = picks
        .iter()
        .map(|pick| match pick.new {
            Some(new) if is_renewed(new.groups) => (1, new.index),
            _ => (0, pick.old),
        })
        .collect();
    Ok(interleave(&[&*old, &*new], &sources)?)
}
