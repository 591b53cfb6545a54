//! Committed rows interpreted again from the raw entries that they keep: no image is read, only the
//! columns that interpretation makes are replaced, and a part in which nothing differs stays the
//! file it is. Each part is rewritten in place like any other rewrite, one at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StructArray};
use arrow::compute::interleave;
use arrow::datatypes::Int64Type;
use rayon::prelude::*;

use super::commit::CommitFs;
use super::error::{OpenError, WriteError};
use super::footer::{PartInfo, PartMeta};
use super::parts::PartWriter;
use super::prompt::PromptPolicy;
use super::rewrite::open_part;
use super::{BOOKKEEPING_DIR, Home, WriteOptions, read_parts, remove_temporary_files, rows, schema};
use crate::record::{Destination, FileStat, ImageId, ImageRecord, RawEntry, RawMetadata, Recovered, SidecarStamp};

/// The group whose columns these are.
const GROUP: &str = "metadata";

/// How rows are interpreted, and what their parts say of it afterwards.
#[derive(Clone, Copy)]
pub struct Interpreter<'a> {
    /// The making of the metadata group after the new interpretation, from the fingerprint before;
    /// none where rows of that making keep no raw entries.
    pub making: &'a dyn Fn(&str) -> anyhow::Result<Option<Making>>,
    /// Typed fields from raw entries. `notes` are all those of the row, those of the interpretation
    /// before included.
    pub interpret: &'a (dyn Fn(RawMetadata) -> Recovered + Sync),
}

/// How the metadata columns of a part were made.
#[derive(Debug, Clone, PartialEq)]
pub struct Making {
    /// What says so.
    pub fingerprint: String,
    /// Where prompts come from.
    pub prompts: PromptPolicy,
}

/// Whether anything is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only counts, without the lock.
    DryRun,
    /// Rewrites the parts in which something differs.
    Write,
}

/// What interpreting again came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReinterpretReport {
    /// Rows of all parts.
    pub rows: u64,
    /// Rows of parts that keep no raw entries, left as they are.
    pub rows_without_raw: u64,
    /// Rows in which some value differs.
    pub rows_changed: u64,
    /// Rows by column in which the value differs, in the order of the columns.
    pub changed_columns: Vec<(&'static str, u64)>,
    /// Parts of the dataset.
    pub parts: u64,
    /// Parts written anew, or that would be.
    pub parts_rewritten: u64,
}

/// Interprets every row of the dataset in `out` again.
pub fn reinterpret(
    out: &Path,
    interpreter: Interpreter<'_>,
    mode: Mode,
    options: &WriteOptions,
    fs: Arc<dyn CommitFs>,
) -> anyhow::Result<ReinterpretReport> {
    if !out.is_dir() {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(OpenError::from(WriteError::io("open", out)(error)).into());
    }
    // An empty folder is no dataset, and none is begun in it.
    if !out.join(BOOKKEEPING_DIR).is_dir() && read_parts(out)?.is_empty() {
        return Ok(ReinterpretReport::default());
    }
    let home = match mode {
        Mode::DryRun => Home {
            out: out.canonicalize().map_err(WriteError::io("open", out))?,
            fs,
            _lock: None,
        },
        Mode::Write => Home::take(out, fs)?,
    };
    let parts = read_parts(&home.out)?;
    if mode == Mode::Write {
        remove_temporary_files(&*home.fs, &home.out)?;
    }
    // Asked for all parts first, so that one that cannot be stops the command before any write.
    let metas: Vec<Option<(PartMeta, PromptPolicy)>> = parts
        .iter()
        .map(|part| new_meta(&part.meta, interpreter))
        .collect::<anyhow::Result<_>>()?;
    let mut report = ReinterpretReport {
        parts: parts.len() as u64,
        rows: parts.iter().map(|part| part.rows).sum(),
        ..ReinterpretReport::default()
    };
    let mut tally = Tally::default();
    for (part, meta) in parts.iter().zip(metas) {
        let Some((meta, prompts)) = meta else {
            report.rows_without_raw += part.rows;
            continue;
        };
        let path = part.path(&home.out);
        let reviser = Reviser {
            interpret: interpreter.interpret,
            prompts: &prompts,
        };
        let is_stale = meta != part.meta;
        if !is_stale && !any_row_changes(&path, reviser)? {
            continue;
        }
        report.parts_rewritten += 1;
        match mode {
            Mode::DryRun => {
                for batch in open_part(&path)? {
                    tally.add(&reviser.revise(&batch?)?);
                }
            }
            Mode::Write => rewrite(&home, part, &meta, reviser, options, &mut tally)?,
        }
    }
    report.rows_changed = tally.rows;
    report.changed_columns = schema::recovered_column_names()
        .filter_map(|name| Some((name, *tally.columns.get(name)?)))
        .collect();
    Ok(report)
}

/// What a part says of itself after its rows are interpreted again, and where their prompts come
/// from.
fn new_meta(old: &PartMeta, interpreter: Interpreter<'_>) -> anyhow::Result<Option<(PartMeta, PromptPolicy)>> {
    let mut meta = old.clone();
    let mut prompts = None;
    let begun = meta.begun.get_mut(GROUP).map(|begun| &mut begun.fingerprint);
    for fingerprint in meta.fingerprints.get_mut(GROUP).into_iter().chain(begun) {
        let Some(making) = (interpreter.making)(fingerprint)? else {
            return Ok(None);
        };
        *fingerprint = making.fingerprint;
        if *prompts.get_or_insert_with(|| making.prompts.clone()) != making.prompts {
            anyhow::bail!("a run that changes where prompts come from has not ended; `labelmill run` goes on with it");
        }
    }
    Ok(Some((meta, prompts.unwrap_or_default())))
}

/// What makes the rows of one part anew.
#[derive(Clone, Copy)]
struct Reviser<'a> {
    interpret: &'a (dyn Fn(RawMetadata) -> Recovered + Sync),
    prompts: &'a PromptPolicy,
}

fn any_row_changes(path: &Path, reviser: Reviser<'_>) -> Result<bool, WriteError> {
    for batch in open_part(path)? {
        if reviser.revise(&batch?)?.changed.iter().any(|changed| *changed) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn rewrite(
    home: &Home,
    part: &PartInfo,
    meta: &PartMeta,
    reviser: Reviser<'_>,
    options: &WriteOptions,
    tally: &mut Tally,
) -> Result<(), WriteError> {
    let now = super::sink::now_microseconds();
    let mut writer = PartWriter::create(&*home.fs, &home.out, &part.name(), &part.schema, options)?;
    let written = open_part(&part.path(&home.out)).and_then(|batches| {
        for batch in batches {
            let revised = reviser.revise(&batch?)?;
            tally.add(&revised);
            writer.write(&revised.batch(now)?)?;
        }
        Ok(())
    });
    match written {
        Ok(()) => writer.commit(&*home.fs, meta).map(drop),
        Err(error) => {
            writer.abandon(&*home.fs);
            Err(error)
        }
    }
}

/// Rows that differ, and by column.
#[derive(Default)]
struct Tally {
    rows: u64,
    columns: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, revised: &Revised) {
        self.rows += revised.changed.iter().filter(|changed| **changed).count() as u64;
        for (name, _, rows) in &revised.columns {
            *self.columns.entry(name).or_default() += rows;
        }
    }
}

/// A batch of rows and what the new interpretation makes of them.
struct Revised {
    old: RecordBatch,
    /// Columns in which something differs: name, new values, rows that differ.
    columns: Vec<(&'static str, ArrayRef, u64)>,
    /// By row.
    changed: Vec<bool>,
}

impl Reviser<'_> {
    fn revise(self, old: &RecordBatch) -> Result<Revised, WriteError> {
        let held = HeldColumns::of(old)?;
        let records: Vec<ImageRecord> = (0..old.num_rows())
            .into_par_iter()
            .map(|row| {
                let mut recovered = (self.interpret)(held.raw(row));
                // Pixels decide that, so it holds as long as the same generator is recognised.
                recovered.signature_valid = held
                    .signature(row)
                    .filter(|_| recovered.generator.as_deref() == Some("novelai"));
                record_of(recovered)
            })
            .collect();
        let mut changed = vec![false; old.num_rows()];
        let mut columns = Vec::new();
        let new_batch = self
            .prompts
            .apply(recovered_batch(old, &records)?, &vec![true; old.num_rows()])?;
        for name in schema::recovered_column_names() {
            let (Some(before), Some(new)) = (old.column_by_name(name), new_batch.column_by_name(name)) else {
                continue;
            };
            let new = Arc::clone(new);
            let differing = differing_rows(before, &new);
            for row in &differing {
                changed[*row] = true;
            }
            if !differing.is_empty() {
                columns.push((name, new, differing.len() as u64));
            }
        }
        Ok(Revised {
            old: old.clone(),
            columns,
            changed,
        })
    }
}

/// The old rows with what interpretation makes in the place of those columns; one of another type
/// stays as it is.
fn recovered_batch(old: &RecordBatch, records: &[ImageRecord]) -> Result<RecordBatch, WriteError> {
    let mut columns = old.columns().to_vec();
    for (name, new) in schema::recovered_columns(records) {
        if let Some((at, field)) = old.schema().column_with_name(name)
            && field.data_type() == new.data_type()
        {
            columns[at] = new;
        }
    }
    Ok(RecordBatch::try_new(old.schema(), columns)?)
}

impl Revised {
    /// The rows as they are written; those that differ say when they were made.
    fn batch(&self, now: i64) -> Result<RecordBatch, WriteError> {
        let fields = self.old.schema();
        let arrays = fields.fields().iter().zip(self.old.columns()).map(|(field, old)| {
            if let Some((_, new, _)) = self.columns.iter().find(|(name, ..)| name == field.name()) {
                return Ok(Arc::clone(new));
            }
            if field.name() == "labeled_at" && self.changed.contains(&true) {
                let new = rows::constant_time(self.changed.len(), now);
                let sources: Vec<(usize, usize)> = (0..)
                    .zip(&self.changed)
                    .map(|(row, new)| (usize::from(*new), row))
                    .collect();
                return Ok(interleave(&[&**old, &*new], &sources)?);
            }
            Ok(Arc::clone(old))
        });
        let arrays = arrays.collect::<Result<Vec<ArrayRef>, WriteError>>()?;
        Ok(RecordBatch::try_new(fields, arrays)?)
    }
}

fn differing_rows(old: &ArrayRef, new: &ArrayRef) -> Vec<usize> {
    if old == new {
        return Vec::new();
    }
    (0..old.len())
        .filter(|row| old.slice(*row, 1).to_data() != new.slice(*row, 1).to_data())
        .collect()
}

/// A record of which only the recovered fields are asked.
fn record_of(recovered: Recovered) -> ImageRecord {
    ImageRecord {
        sequence: 0,
        destination: Destination::Append,
        id: ImageId {
            uri: String::new(),
            root: Arc::from(""),
            path: String::new(),
            stat: FileStat {
                size: 0,
                modified_at: 0,
            },
            sidecars: SidecarStamp::NONE,
        },
        blake3: None,
        facts: Default::default(),
        failure: None,
        recovered,
        raw: Vec::new(),
    }
}

/// The columns from which a row is interpreted again.
struct HeldColumns<'b> {
    width: &'b Int64Array,
    height: &'b Int64Array,
    notes: &'b ArrayRef,
    raw: &'b ArrayRef,
    signature_valid: &'b BooleanArray,
}

impl<'b> HeldColumns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self, WriteError> {
        let missing = |name: &str| WriteError::Batch(format!("a part has no column `{name}` of the usual type"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let whole = |name: &str| {
            column(name)?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| missing(name))
        };
        let (notes, raw) = (column("metadata_notes")?, column("metadata_raw")?);
        let is_texts = |list: &ArrayRef| {
            list.as_list_opt::<i32>()
                .is_some_and(|list| list.values().as_string_opt::<i32>().is_some())
        };
        let entries = raw.as_list_opt::<i32>().and_then(|list| list.values().as_struct_opt());
        let is_raw = entries.is_some_and(|entries| {
            entries.num_columns() == 3
                && entries
                    .columns()
                    .iter()
                    .all(|texts| texts.as_string_opt::<i32>().is_some())
        });
        if !is_texts(notes) || !is_raw {
            return Err(missing(if is_raw { "metadata_notes" } else { "metadata_raw" }));
        }
        Ok(Self {
            width: whole("width")?,
            height: whole("height")?,
            notes,
            raw,
            signature_valid: column("signature_valid")?
                .as_boolean_opt()
                .ok_or_else(|| missing("signature_valid"))?,
        })
    }

    /// What the containers of the row's image held.
    fn raw(&self, row: usize) -> RawMetadata {
        let mut raw = RawMetadata::default();
        let pixels = |array: &Int64Array| array.is_valid(row).then(|| array.value(row).try_into().ok()).flatten();
        raw.facts.width = pixels(self.width);
        raw.facts.height = pixels(self.height);
        let notes = self.notes.as_list::<i32>().value(row);
        let notes = notes.as_string::<i32>();
        raw.notes = (0..notes.len()).map(|at| notes.value(at).to_owned()).collect();
        let entries = self.raw.as_list::<i32>().value(row);
        let entries: &StructArray = entries.as_struct();
        let text = |column: usize, at: usize| entries.column(column).as_string::<i32>().value(at).to_owned();
        raw.entries = (0..entries.len())
            .map(|at| RawEntry {
                slot: text(0, at),
                key: text(1, at),
                text: text(2, at),
            })
            .collect();
        raw
    }

    fn signature(&self, row: usize) -> Option<bool> {
        self.signature_valid
            .is_valid(row)
            .then(|| self.signature_valid.value(row))
    }
}
