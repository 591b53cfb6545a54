//! Where labeled batches go. Rows of new images fill new parts, which close by rows, bytes or
//! age; rows that replace committed ones are merged into a new file of their part, which takes the
//! old one's name when the last of them came.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;

use super::edit::{self, Edit};
use super::error::WriteError;
use super::footer::{PartInfo, PartMeta};
use super::parts::{PartWriter, part_name};
use super::reconcile::PartChanges;
use super::rewrite::{NewRow, PartRewrite};
use super::schema::{EDITED_PROMPT, EDITED_TAGS};
use super::{Shared, rows};
use crate::record::{Destination, GroupSet, ImageRecord, LabelColumn, LabeledBatch};

/// How a run ended, as far as the writer has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every image of the source came by.
    Complete,
    /// A signal, a limit or an error ended it early: finished rows are committed, nothing is
    /// taken for gone.
    Early,
}

/// What the writer did in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// New parts.
    pub parts_added: u64,
    /// Parts written anew under their own name.
    pub parts_rewritten: u64,
    /// Rows of new images.
    pub rows_added: u64,
    /// Rows that took the place of an older one.
    pub rows_replaced: u64,
    /// Rows of gone images that were taken out.
    pub rows_removed: u64,
    /// Bytes of all parts written.
    pub bytes_written: u64,
}

/// Takes labeled batches and commits them.
pub trait Sink: Send {
    /// Takes the rows of a batch, in source order.
    fn write(&mut self, batch: LabeledBatch) -> Result<(), WriteError>;

    /// Commits what has waited long enough. To be called about once a second while no batch
    /// comes.
    fn tick(&mut self) -> Result<(), WriteError>;

    /// Commits what is complete and says what was done.
    fn finish(self: Box<Self>, ending: Ending) -> Result<WriteReport, WriteError>;
}

/// An Arrow text array holds less than 2 GiB; slices of a batch stay far below.
const MAX_TEXT_BYTES_PER_SLICE: usize = 256 << 20;

/// The sink that writes the parts of a dataset.
pub struct PartsSink {
    shared: Arc<Shared>,
    /// The parts there were at the start, as the ledger counts them.
    parts: Vec<PartInfo>,
    /// What is to be done in each of them; empty where nothing is.
    changes: Arc<Vec<PartChanges>>,
    /// Parts that were rewritten; each is at most once a run.
    is_rewritten: Vec<bool>,
    /// Parts that an unfinished rewrite wrote without their gone rows; those behind them moved up.
    is_without_gone: Vec<bool>,
    /// What people edited, by the content of the file.
    edits: HashMap<String, Edit>,
    open: Option<OpenPart>,
    rewrite: Option<OpenRewrite>,
    /// A part of which some rows are committed already, and how many it still expects.
    unfinished: Option<(usize, usize)>,
    next_number: u32,
    report: WriteReport,
    /// Set by the first error: after it nothing more is written.
    stopped: bool,
}

/// The part that new rows go to. A part holds the images of one root, so that a plan that
/// changes for one root leaves the parts of the others as they are.
struct OpenPart {
    root: Arc<str>,
    writer: PartWriter,
}

/// The part whose rows are being replaced.
struct OpenRewrite {
    part: usize,
    /// Rows that are still expected.
    missing: usize,
    begun: Instant,
    rewrite: PartRewrite,
}

impl PartsSink {
    /// A sink for the dataset of `parts` that has to make `changes` in them.
    pub(super) fn new(
        shared: Arc<Shared>,
        parts: Vec<PartInfo>,
        changes: Arc<Vec<PartChanges>>,
        edits: HashMap<String, Edit>,
    ) -> Self {
        Self {
            shared,
            edits,
            is_rewritten: vec![false; parts.len()],
            is_without_gone: vec![false; parts.len()],
            next_number: parts.last().map_or(0, |part| part.number + 1),
            parts,
            changes,
            open: None,
            rewrite: None,
            unfinished: None,
            report: WriteReport::default(),
            stopped: false,
        }
    }

    fn append(&mut self, records: &[ImageRecord], labels: &[LabelColumn]) -> Result<(), WriteError> {
        let batch = self.shared.schema.record_batch(records, labels, now_microseconds())?;
        let batch = self.shared.spec.prompt.apply(batch, &vec![true; records.len()])?;
        let batch = self.take_edits_along(batch, records)?;
        let mut from = 0;
        while from < records.len() {
            let root = &records[from].id.root;
            let same_root = records[from..]
                .iter()
                .take_while(|record| record.id.root == *root)
                .count();
            let room = self.ensure_open(root)?;
            let count = same_root.min(room);
            let open = self.open.as_mut().expect("ensure_open left a part open");
            open.writer.write(&batch.slice(from, count))?;
            self.report.rows_added += count as u64;
            from += count;
            self.close_if_full()?;
        }
        Ok(())
    }

    /// Gives new rows what people edited in a row of the same content: the file was moved or copied.
    fn take_edits_along(&self, batch: RecordBatch, records: &[ImageRecord]) -> Result<RecordBatch, WriteError> {
        if self.edits.is_empty() {
            return Ok(batch);
        }
        let of_record = |record: &ImageRecord| self.edits.get(record.blake3.as_deref()?);
        let edits: Vec<Option<&Edit>> = records.iter().map(of_record).collect();
        if edits.iter().all(Option::is_none) {
            return Ok(batch);
        }
        let schema = batch.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| match field.name().as_str() {
                EDITED_PROMPT => edit::merge_prompts(column, &edits),
                EDITED_TAGS => edit::merge_tags(column, &edits),
                _ => Arc::clone(column),
            });
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect())?)
    }

    /// Opens a part for the images of `root` if none is; says how many rows it still takes.
    fn ensure_open(&mut self, root: &Arc<str>) -> Result<usize, WriteError> {
        if self.open.as_ref().is_some_and(|open| open.root != *root) {
            self.close_part()?;
        }
        let shared = &self.shared;
        if self.open.is_none() {
            let name = part_name(self.next_number);
            let writer = PartWriter::create(
                &*shared.fs,
                &shared.out,
                &name,
                &shared.schema.arrow,
                &shared.spec.options,
            )?;
            self.next_number += 1;
            self.open = Some(OpenPart {
                root: Arc::clone(root),
                writer,
            });
        }
        let rows = self.open.as_ref().map_or(0, |open| open.writer.rows());
        Ok(shared.spec.options.part_rows.saturating_sub(rows).max(1) as usize)
    }

    fn close_if_full(&mut self) -> Result<(), WriteError> {
        let options = &self.shared.spec.options;
        let full = self.open.as_ref().is_some_and(|open| {
            open.writer.rows() >= options.part_rows
                || open.writer.bytes() >= options.part_bytes
                || open.writer.opened().elapsed() >= Duration::from_secs(options.part_secs)
        });
        if full { self.close_part() } else { Ok(()) }
    }

    fn close_part(&mut self) -> Result<(), WriteError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let meta = PartMeta::of(&self.shared.spec, Some(open.root.to_string()));
        let part = open.writer.commit(&*self.shared.fs, &meta)?;
        self.report.parts_added += 1;
        self.report.bytes_written += part.bytes;
        Ok(())
    }

    /// Merges rows into the parts that they belong to, part by part.
    fn replace(&mut self, records: &[ImageRecord], labels: &[LabelColumn], groups: GroupSet) -> Result<(), WriteError> {
        // New rows are committed first: so an image that moved is never missing for a reader.
        self.close_part()?;
        let batch = self.shared.schema.record_batch(records, labels, now_microseconds())?;
        let mut rows: Vec<(u32, NewRow)> = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            if let Destination::Replace { part, row } = record.destination {
                rows.push((part, NewRow { row, index, groups }));
            }
        }
        for of_part in rows.chunk_by(|one, other| one.0 == other.0) {
            let new_rows: Vec<NewRow> = of_part.iter().map(|(_, row)| *row).collect();
            self.replace_in_part(of_part[0].0 as usize, &new_rows, &batch)?;
        }
        Ok(())
    }

    fn replace_in_part(&mut self, part: usize, rows: &[NewRow], batch: &RecordBatch) -> Result<(), WriteError> {
        if self.rewrite.as_ref().is_some_and(|open| open.part != part) {
            self.commit_rewrite()?;
        }
        let mut open = match self.rewrite.take() {
            Some(open) => open,
            None => self.begin_rewrite(part)?,
        };
        let replaced = open.rewrite.replace(&self.where_they_are(part, rows), batch);
        open.missing = open.missing.saturating_sub(rows.len());
        let is_last = open.missing == 0;
        self.rewrite = Some(open);
        replaced?;
        if is_last {
            self.commit_rewrite()
        } else {
            self.commit_old_rewrite()
        }
    }

    /// The rows as the part has them now: the ledger counts the gone ones too.
    fn where_they_are(&self, part: usize, rows: &[NewRow]) -> Vec<NewRow> {
        let gone = match self.changes.get(part) {
            Some(changes) if self.is_without_gone[part] => changes.gone.as_slice(),
            _ => &[],
        };
        let moved = |row: &NewRow| NewRow {
            row: row.row - gone.partition_point(|gone| *gone < row.row) as u32,
            ..*row
        };
        rows.iter().map(moved).collect()
    }

    /// Commits what is done of a rewrite that is as old as a part may be, so that a crash costs no
    /// more than that; the part's other rows begin another rewrite.
    fn commit_old_rewrite(&mut self) -> Result<(), WriteError> {
        let limit = Duration::from_secs(self.shared.spec.options.part_secs);
        let Some(open) = self.rewrite.as_ref().filter(|open| open.begun.elapsed() >= limit) else {
            return Ok(());
        };
        let (part, missing) = (open.part, open.missing);
        self.commit_rewrite()?;
        self.is_without_gone[part] = true;
        let info = &self.parts[part];
        let reread = PartInfo::read(&info.path(&self.shared.out), info.number);
        self.parts[part] = reread.map_err(|error| WriteError::Reopen(Box::new(error)))?.0;
        self.is_rewritten[part] = false;
        self.unfinished = Some((part, missing));
        Ok(())
    }

    fn begin_rewrite(&mut self, part: usize) -> Result<OpenRewrite, WriteError> {
        let Some(info) = self.parts.get(part) else {
            return Err(WriteError::Batch(format!(
                "a row replaces one of part {part}, which does not exist"
            )));
        };
        if std::mem::replace(&mut self.is_rewritten[part], true) {
            return Err(WriteError::Batch(format!(
                "a row of {} came after the others of its part",
                info.name()
            )));
        }
        let none = PartChanges::default();
        let changes = self.changes.get(part).unwrap_or(&none);
        let unfinished = self.unfinished.take().filter(|(of, _)| *of == part);
        let gone: &[u32] = if self.is_without_gone[part] { &[] } else { &changes.gone };
        let rewrite = PartRewrite::begin(&self.shared, info, gone, &self.shared.out, &info.name())?;
        Ok(OpenRewrite {
            part,
            missing: unfinished.map_or(changes.replaced.len(), |(_, missing)| missing),
            begun: Instant::now(),
            rewrite,
        })
    }

    fn commit_rewrite(&mut self) -> Result<(), WriteError> {
        let Some(open) = self.rewrite.take() else { return Ok(()) };
        let (part, tally) = open.rewrite.commit()?;
        self.report.parts_rewritten += 1;
        self.report.rows_replaced += tally.replaced;
        self.report.rows_removed += tally.removed;
        self.report.bytes_written += part.bytes;
        Ok(())
    }

    /// Rewrites the parts that only lose rows.
    fn remove_gone(&mut self) -> Result<(), WriteError> {
        for part in 0..self.parts.len() {
            let has_gone = self.changes.get(part).is_some_and(|changes| !changes.gone.is_empty());
            if has_gone && !self.is_rewritten[part] && !self.is_without_gone[part] {
                let open = self.begin_rewrite(part)?;
                self.rewrite = Some(open);
                self.commit_rewrite()?;
            }
        }
        Ok(())
    }

    /// Runs `step` unless an earlier one failed; a failure stops the sink and gives up its open
    /// part, whose rows are then labeled by the next run.
    fn guarded<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, WriteError>) -> Result<T, WriteError> {
        if self.stopped {
            return Err(WriteError::Stopped);
        }
        let result = step(self);
        if result.is_err() {
            self.stopped = true;
            if let Some(open) = self.open.take() {
                open.writer.abandon(&*self.shared.fs);
            }
            if let Some(open) = self.rewrite.take() {
                open.rewrite.abandon();
            }
        }
        result
    }

    fn take(&mut self, batch: &LabeledBatch) -> Result<(), WriteError> {
        for (from, to) in slices(&batch.records) {
            let labels: Vec<LabelColumn> = batch
                .columns
                .iter()
                .map(|(field, array)| {
                    ensure_length(field.name(), array.len(), batch.records.len())?;
                    Ok((Arc::clone(field), array.slice(from, to - from)))
                })
                .collect::<Result<_, WriteError>>()?;
            let records = &batch.records[from..to];
            if is_append(&records[0]) {
                self.append(records, &labels)?;
            } else {
                self.replace(records, &labels, batch.groups)?;
            }
        }
        Ok(())
    }
}

fn ensure_length(column: &str, values: usize, rows: usize) -> Result<(), WriteError> {
    if values == rows {
        return Ok(());
    }
    Err(WriteError::Batch(format!(
        "column `{column}` has {values} values for {rows} rows"
    )))
}

/// Ranges of records that go to one kind of destination and hold a bounded amount of text.
fn slices(records: &[ImageRecord]) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut from = 0;
    let mut text = 0;
    for (index, record) in records.iter().enumerate() {
        let bytes = rows::text_bytes(record);
        let other_kind = index > from && is_append(record) != is_append(&records[from]);
        if index > from && (other_kind || text + bytes > MAX_TEXT_BYTES_PER_SLICE) {
            ranges.push((from, index));
            (from, text) = (index, 0);
        }
        text += bytes;
    }
    if from < records.len() {
        ranges.push((from, records.len()));
    }
    ranges
}

fn is_append(record: &ImageRecord) -> bool {
    record.destination == Destination::Append
}

impl Sink for PartsSink {
    fn write(&mut self, batch: LabeledBatch) -> Result<(), WriteError> {
        self.guarded(|sink| sink.take(&batch))
    }

    fn tick(&mut self) -> Result<(), WriteError> {
        self.guarded(|sink| {
            sink.close_if_full()?;
            sink.commit_old_rewrite()
        })
    }

    fn finish(mut self: Box<Self>, ending: Ending) -> Result<WriteReport, WriteError> {
        self.guarded(|sink| {
            sink.close_part()?;
            sink.commit_rewrite()?;
            match ending {
                Ending::Complete => sink.remove_gone(),
                Ending::Early => Ok(()),
            }
        })?;
        Ok(self.report.clone())
    }
}

/// Now, in microseconds since 1970 (UTC).
pub(super) fn now_microseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
