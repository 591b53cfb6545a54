//! What a person decided about a picture: `edited_prompt` and `edited_tags`, written into their
//! rows in place. No run ever makes these columns; a rewrite keeps them, and a file that was moved
//! or copied takes them along by its content.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::commit::CommitFs;
use super::error::{OpenError, WriteError};
use super::footer::PartInfo;
use super::next::{NextFolder, Swap};
use super::parts::PartWriter;
use super::rewrite::{ROWS_PER_READ, open_part};
use super::schema::{EDITED_PROMPT, EDITED_TAGS, texts};
use super::{BOOKKEEPING_DIR, Home, WriteOptions, key_hash, read_parts};

/// A person's words for one picture; what is none stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// The prompt or caption.
    pub prompt: Option<String>,
    /// The tags.
    pub tags: Option<Vec<String>>,
}

/// Edits by the image that they are about.
#[derive(Debug, Clone, Default)]
pub struct Edits(HashMap<u128, Edit>);

impl Edits {
    /// Notes the edit of an image; a later one of the same image is laid over it.
    pub fn insert(&mut self, root: &str, path: &str, edit: Edit) {
        let known = self.0.entry(key_hash(root, path)).or_default();
        known.prompt = edit.prompt.or(known.prompt.take());
        known.tags = edit.tags.or(known.tags.take());
    }

    /// Images with an edit.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What [`Editor::write`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EditReport {
    /// Rows with a new edit.
    pub rows: u64,
    /// Parts written anew.
    pub parts_rewritten: u64,
}

/// A dataset whose lock is held, for edits and for what exports remember beside it.
pub struct Editor {
    home: Home,
}

impl Editor {
    /// Takes the lock of the dataset in `out`, which must be there.
    pub fn open(out: &Path, fs: Arc<dyn CommitFs>) -> Result<Self, OpenError> {
        if read_parts(out)?.is_empty() {
            return Err(WriteError::io("open a dataset in", out)(std::io::ErrorKind::NotFound.into()).into());
        }
        Ok(Self {
            home: Home::take(out, fs)?,
        })
    }

    /// The folder, absolute and without links.
    pub fn out(&self) -> &Path {
        &self.home.out
    }

    /// `OUT/_labelmill`; nothing may be created there while [`Editor::write`] runs.
    pub fn bookkeeping_dir(&self) -> std::path::PathBuf {
        self.home.out.join(BOOKKEEPING_DIR)
    }

    /// Writes edits into their rows. Each part that has one is written anew under its own name; a
    /// dataset of a labelmill that had no `edited_tags` is written anew as a whole.
    pub fn write(&self, edits: &Edits) -> Result<EditReport, OpenError> {
        let parts = read_parts(&self.home.out)?;
        let mut report = EditReport::default();
        if edits.is_empty() {
            return Ok(report);
        }
        if parts.iter().any(|part| schema_with_edits(&part.schema).is_some()) {
            self.write_all(&parts, edits, &mut report)?;
            return Ok(report);
        }
        for part in &parts {
            let path = part.path(&self.home.out);
            if has_edit(&path, edits)? {
                let (dir, name) = (&self.home.out, part.name());
                report.rows += self.write_part(part, edits, dir, &name)?;
                report.parts_rewritten += 1;
            }
        }
        Ok(report)
    }

    fn write_all(&self, parts: &[PartInfo], edits: &Edits, report: &mut EditReport) -> Result<(), WriteError> {
        let next = NextFolder::begin(&*self.home.fs, &self.home.out)?;
        let first_free = parts.last().map_or(0, |part| part.number + 1);
        let mut swaps = Vec::with_capacity(parts.len());
        for (number, part) in (first_free..).zip(parts) {
            report.rows += self.write_part(part, edits, next.dir(), &next.name(number))?;
            report.parts_rewritten += 1;
            swaps.push(Swap {
                new: number,
                old: vec![part.number],
            });
        }
        next.commit(&swaps)
    }

    /// Writes one part anew; gives the rows that got an edit.
    fn write_part(&self, part: &PartInfo, edits: &Edits, dir: &Path, name: &str) -> Result<u64, WriteError> {
        let schema = schema_with_edits(&part.schema).unwrap_or_else(|| SchemaRef::clone(&part.schema));
        let fs = &*self.home.fs;
        let mut writer = PartWriter::create(fs, dir, name, &schema, &WriteOptions::default())?;
        let mut edited = 0;
        let copied = (|| {
            for batch in open_part(&part.path(&self.home.out))? {
                let (batch, count) = with_edits(&batch?, &schema, edits)?;
                writer.write(&batch)?;
                edited += count;
            }
            Ok(())
        })();
        if let Err(error) = copied {
            writer.abandon(fs);
            return Err(error);
        }
        writer.commit(fs, &part.meta)?;
        Ok(edited)
    }
}

/// The schema with the columns of edits, where one is missing.
fn schema_with_edits(schema: &SchemaRef) -> Option<SchemaRef> {
    let has = |name: &str| schema.column_with_name(name).is_some();
    if has(EDITED_PROMPT) && has(EDITED_TAGS) {
        return None;
    }
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    let place = |fields: &[FieldRef], after: &[&str]| {
        let known = fields.iter().rposition(|field| after.contains(&field.name().as_str()));
        known.map_or(fields.len(), |at| at + 1)
    };
    if !has(EDITED_PROMPT) {
        let at = place(&fields, &["prompt_source"]);
        fields.insert(at, Arc::new(Field::new(EDITED_PROMPT, DataType::Utf8, true)));
    }
    if !has(EDITED_TAGS) {
        let at = place(&fields, &[EDITED_PROMPT]);
        fields.insert(at, Arc::new(Field::new(EDITED_TAGS, texts(), true)));
    }
    Some(Arc::new(Schema::new(fields)))
}

/// The rows of a batch with their edits, and how many got one.
fn with_edits(batch: &RecordBatch, schema: &SchemaRef, edits: &Edits) -> Result<(RecordBatch, u64), WriteError> {
    let of_rows = edits_of(batch, edits)?;
    let edited = of_rows.iter().flatten().count() as u64;
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let old = batch
                .column_by_name(field.name())
                .cloned()
                .unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()));
            match field.name().as_str() {
                _ if edited == 0 => old,
                EDITED_PROMPT => merge_prompts(&old, &of_rows),
                EDITED_TAGS => merge_tags(&old, &of_rows),
                _ => old,
            }
        })
        .collect();
    Ok((RecordBatch::try_new(SchemaRef::clone(schema), columns)?, edited))
}

/// `old` with the prompts of the edits over it.
pub(super) fn merge_prompts(old: &ArrayRef, edits: &[Option<&Edit>]) -> ArrayRef {
    let old = old.as_string::<i32>();
    let merged: StringArray = old
        .iter()
        .zip(edits)
        .map(|(old, edit)| edit.and_then(|edit| edit.prompt.as_deref()).or(old))
        .collect();
    Arc::new(merged)
}

/// `old` with the tags of the edits over it.
pub(super) fn merge_tags(old: &ArrayRef, edits: &[Option<&Edit>]) -> ArrayRef {
    let old = old.as_list::<i32>();
    let DataType::List(item) = texts() else {
        unreachable!("edited_tags is a list")
    };
    let mut merged = ListBuilder::new(StringBuilder::new()).with_field(item);
    for (row, edit) in edits.iter().enumerate() {
        match edit.and_then(|edit| edit.tags.as_ref()) {
            Some(tags) => merged.append_value(tags.iter().map(Some)),
            None if old.is_null(row) => merged.append_null(),
            None => merged.append_value(old.value(row).as_string::<i32>()),
        }
    }
    Arc::new(merged.finish())
}

/// The edit of each row.
fn edits_of<'a>(batch: &RecordBatch, edits: &'a Edits) -> Result<Vec<Option<&'a Edit>>, WriteError> {
    let (roots, paths) = (text(batch, "root")?, text(batch, "path")?);
    let keys = roots.iter().zip(&paths);
    Ok(keys
        .map(|(root, path)| {
            edits
                .0
                .get(&key_hash(root.unwrap_or_default(), path.unwrap_or_default()))
        })
        .collect())
}

fn has_edit(path: &Path, edits: &Edits) -> Result<bool, WriteError> {
    for batch in open_columns(path, &["root", "path"])? {
        if edits_of(&batch?, edits)?.iter().any(Option::is_some) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The edits of a dataset by the content of their files, so that a moved or copied file keeps
/// them. Where files of one content have different edits, the first in the dataset counts.
pub(super) fn edits_by_content(out: &Path, parts: &[PartInfo]) -> Result<HashMap<String, Edit>, WriteError> {
    let mut found = HashMap::new();
    for part in parts.iter().filter(|part| schema_with_edits(&part.schema).is_none()) {
        let path = part.path(out);
        let mut rows = BTreeMap::new();
        let mut first = 0;
        for batch in open_columns(&path, &[EDITED_PROMPT, EDITED_TAGS])? {
            let batch = batch?;
            collect_edits(&batch, first, &mut rows);
            first += batch.num_rows();
        }
        if rows.is_empty() {
            continue;
        }
        first = 0;
        for batch in open_columns(&path, &["blake3"])? {
            let batch = batch?;
            let hashes = text(&batch, "blake3")?;
            for (row, hash) in hashes.iter().enumerate() {
                if let (Some(hash), Some(edit)) = (hash, rows.remove(&(first + row))) {
                    found.entry(hash.to_owned()).or_insert(edit);
                }
            }
            first += batch.num_rows();
        }
    }
    Ok(found)
}

fn collect_edits(batch: &RecordBatch, first: usize, rows: &mut BTreeMap<usize, Edit>) {
    let prompts = batch
        .column_by_name(EDITED_PROMPT)
        .and_then(|array| array.as_string_opt::<i32>());
    let tags = batch
        .column_by_name(EDITED_TAGS)
        .and_then(|array| array.as_list_opt::<i32>());
    let (Some(prompts), Some(tags)) = (prompts, tags) else {
        return;
    };
    for row in 0..batch.num_rows() {
        if prompts.is_null(row) && tags.is_null(row) {
            continue;
        }
        let words = |row| {
            let words = tags.value(row);
            let words = words.as_string::<i32>();
            (0..words.len()).map(|word| words.value(word).to_owned()).collect()
        };
        let edit = Edit {
            prompt: prompts.is_valid(row).then(|| prompts.value(row).to_owned()),
            tags: tags.is_valid(row).then(|| words(row)),
        };
        rows.insert(first + row, edit);
    }
}

fn open_columns(path: &Path, names: &[&str]) -> Result<ParquetRecordBatchReader, WriteError> {
    let file = File::open(path).map_err(WriteError::io("open", path))?;
    ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| {
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder.with_projection(mask).with_batch_size(ROWS_PER_READ).build()
        })
        .map_err(WriteError::parquet("read", path))
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, WriteError> {
    let column = batch
        .column_by_name(name)
        .and_then(|array| array.as_string_opt::<i32>());
    column
        .cloned()
        .ok_or_else(|| WriteError::Batch(format!("a part has no column `{name}`")))
}
