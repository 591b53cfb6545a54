//! A dataset read back, for everything that people do with the labels: its parts as one table, row
//! by row in the order of the parts, with only the columns that are asked for. Takes no lock.
//!
//! ```no_run
//! # fn main() -> Result<(), labelmill::dataset::ReadError> {
//! use labelmill::dataset::DatasetReader;
//! let dataset = DatasetReader::open("my-pictures-labels".as_ref())?;
//! dataset.require(&["tags", "tag_scores"])?;
//! for rows in dataset.rows(&["uri", "tags"])? {
//!     let rows = rows?;
//!     let (uri, tags) = (rows.text("uri")?, rows.texts("tags")?);
//!     for row in 0..rows.len() {
//!         println!("{} {:?}", uri.get(row).unwrap_or_default(), tags.get(row));
//!     }
//! }
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::write::{self, OpenError, PartInfo};

mod columns;
mod json;
mod table;

pub use columns::{
    BoolColumn, EmbeddingColumn, MapColumn, NumberColumn, NumbersColumn, StructColumn, StructsColumn, TextColumn,
    TextsColumn, TimeColumn, WholeColumn,
};
pub use table::write_table;

/// Rows read at once. Rows can carry long texts (workflows of 100 kB and more).
const ROWS_PER_READ: usize = 1024;

/// A dataset could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder or one of its parts cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no part in the folder.
    #[error("{} holds no labeled images (no part-*.parquet); name the folder that `labelmill run` wrote", out.display())]
    Empty {
        /// The folder.
        out: PathBuf,
    },
    /// A column is not there.
    #[error("{} has no {column}: {advice}", out.display())]
    MissingColumn {
        /// The dataset.
        out: PathBuf,
        /// The column.
        column: String,
        /// What makes it.
        advice: &'static str,
    },
    /// A column has another type than the reader expects.
    #[error("column `{column}` is {found}, where {wanted} is expected")]
    Type {
        /// The column.
        column: String,
        /// What was expected.
        wanted: &'static str,
        /// What it is.
        found: String,
    },
    /// A part cannot be read to its end.
    #[error("cannot read {}; `labelmill verify` tells what is wrong with it", path.display())]
    Part {
        /// The part.
        path: PathBuf,
        /// What the reader said.
        source: ParquetError,
    },
    /// A table for another program cannot be written.
    #[error("cannot write {}", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// What the writer said.
        source: ParquetError,
    },
}

/// What the parts say of the whole dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetMeta {
    /// Names of the models that labeled, in the order in which the parts name them first.
    pub models: Vec<String>,
    /// Whether one of them is a demo model.
    pub demo: bool,
    /// The plan of the newest part, as TOML.
    pub plan: String,
    /// The fingerprints of each column group (`clip:NAME`), oldest part first; more than one where
    /// parts were made by different makings.
    pub fingerprints: BTreeMap<String, Vec<String>>,
}

/// The parts of a dataset as one table.
#[derive(Debug)]
pub struct DatasetReader {
    out: PathBuf,
    parts: Vec<PartInfo>,
    schema: SchemaRef,
}

impl DatasetReader {
    /// Reads the footers of the dataset in the folder `out`.
    pub fn open(out: &Path) -> Result<Self, ReadError> {
        Self::of_parts(out, write::read_parts(out)?)
    }

    /// A reader of parts whose footers are known.
    fn of_parts(out: &Path, parts: Vec<PartInfo>) -> Result<Self, ReadError> {
        let Some(newest) = parts.last() else {
            return Err(ReadError::Empty { out: out.to_owned() });
        };
        Ok(Self {
            out: out.to_owned(),
            schema: SchemaRef::clone(&newest.schema),
            parts,
        })
    }

    /// The folder.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Rows of all parts.
    pub fn row_count(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// The columns.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Whether there is a column of this name.
    pub fn has(&self, column: &str) -> bool {
        self.schema.field_with_name(column).is_ok()
    }

    /// Those of `columns` that are there.
    pub fn present<'a>(&self, columns: &[&'a str]) -> Vec<&'a str> {
        columns.iter().copied().filter(|column| self.has(column)).collect()
    }

    /// Fails, saying what makes it, for the first of `columns` that is not there.
    pub fn require(&self, columns: &[&str]) -> Result<(), ReadError> {
        match columns.iter().find(|column| !self.has(column)) {
            None => Ok(()),
            Some(column) => Err(ReadError::MissingColumn {
                out: self.out.clone(),
                column: (*column).to_owned(),
                advice: advice(column),
            }),
        }
    }

    /// What the parts say of models, plan and makings.
    pub fn meta(&self) -> DatasetMeta {
        let mut meta = DatasetMeta::default();
        for part in &self.parts {
            for model in &part.meta.models {
                if !meta.models.contains(model) {
                    meta.models.push(model.clone());
                }
            }
            meta.demo |= part.meta.demo;
            meta.plan.clone_from(&part.meta.plan);
            let begun = part.meta.begun.iter().map(|(group, begun)| (group, &begun.fingerprint));
            for (group, fingerprint) in part.meta.fingerprints.iter().chain(begun) {
                let known = meta.fingerprints.entry(group.clone()).or_default();
                if !known.contains(fingerprint) {
                    known.push(fingerprint.clone());
                }
            }
        }
        meta
    }

    /// Streams the given columns of every row, in the order of the parts. A column that a part
    /// lacks is null there.
    pub fn rows(&self, columns: &[&str]) -> Result<RowsReader<'_>, ReadError> {
        self.require(columns)?;
        let fields: Vec<_> = self
            .schema
            .fields()
            .iter()
            .filter(|field| columns.contains(&field.name().as_str()))
            .cloned()
            .collect();
        Ok(RowsReader {
            dataset: self,
            schema: Arc::new(Schema::new(fields)),
            next_part: 0,
            reader: None,
            next_row: 0,
        })
    }

    /// Streams every column of every row.
    pub fn all_rows(&self) -> Result<RowsReader<'_>, ReadError> {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        self.rows(&names)
    }
}

/// What to do about a column that is missing.
fn advice(column: &str) -> &'static str {
    let ends = |suffix: &str| column.ends_with(suffix);
    if column == "uri" || column == "path" {
        "it is not a labelmill dataset"
    } else if ends("tags") || ends("tag_scores") || ends("tag_categories") || ends("rating") {
        "label it with a tagger (a [[model]] of kind tagger; --preset demo has a small one)"
    } else if ends("clip_embedding") || ends("style") || ends("style_score") {
        "label it with a CLIP model (a [[model]] of kind clip; --preset demo has a small one)"
    } else if ends("caption") || column.starts_with("clip_") {
        "label it with an interrogator or a captioner (a [[model]] of that kind)"
    } else {
        "`labelmill run` again writes the columns of this version, or the name is misspelt"
    }
}

/// Streams the rows of a dataset.
pub struct RowsReader<'a> {
    dataset: &'a DatasetReader,
    schema: SchemaRef,
    next_part: usize,
    reader: Option<ParquetRecordBatchReader>,
    next_row: u64,
}

impl RowsReader<'_> {
    fn open_part(&mut self) -> Result<bool, ReadError> {
        let Some(part) = self.dataset.parts.get(self.next_part) else {
            return Ok(false);
        };
        let path = part.path(&self.dataset.out);
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        let opened = File::open(&path).map_err(ParquetError::from).and_then(|file| {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
            let mask = ProjectionMask::columns(builder.parquet_schema(), names);
            builder.with_projection(mask).with_batch_size(ROWS_PER_READ).build()
        });
        self.reader = Some(opened.map_err(|source| ReadError::Part { path, source })?);
        self.next_part += 1;
        Ok(true)
    }

    fn read(&mut self) -> Result<Option<Rows>, ReadError> {
        loop {
            if let Some(batch) = self.reader.as_mut().and_then(Iterator::next) {
                let part = &self.dataset.parts[self.next_part - 1];
                let batch = batch.map_err(|error| ReadError::Part {
                    path: part.path(&self.dataset.out),
                    source: error.into(),
                })?;
                let rows = Rows {
                    first: self.next_row,
                    batch: conform(&batch, &self.schema)?,
                };
                self.next_row += rows.len() as u64;
                return Ok(Some(rows));
            }
            if !self.open_part()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for RowsReader<'_> {
    type Item = Result<Rows, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.read().transpose();
        if matches!(rows, Some(Err(_))) {
            self.next_part = self.dataset.parts.len();
            self.reader = None;
        }
        rows
    }
}

/// The batch of one part under the dataset's schema.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ReadError> {
    let column = |field: &Arc<Field>| -> Result<ArrayRef, ReadError> {
        match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => Err(ReadError::Type {
                column: field.name().clone(),
                wanted: "the type of the newest part",
                found: column.data_type().to_string(),
            }),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .expect("every column has the schema's type and the batch's length"))
}

/// Some consecutive rows with the columns that were asked for.
#[derive(Debug, Clone)]
pub struct Rows {
    first: u64,
    batch: RecordBatch,
}

impl Rows {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of the first of them in the dataset.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The rows as Arrow has them.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// One row as JSON, its columns in their order. Embeddings are lists of numbers, times are in
    /// RFC 3339.
    pub fn json(&self, row: usize) -> serde_json::Map<String, serde_json::Value> {
        json::row(&self.batch, row)
    }

    fn column(&self, name: &str) -> Result<&ArrayRef, ReadError> {
        self.batch.column_by_name(name).ok_or_else(|| ReadError::Type {
            column: name.to_owned(),
            wanted: "a column that was asked for",
            found: "not read".to_owned(),
        })
    }

    /// A column of texts.
    pub fn text(&self, name: &str) -> Result<TextColumn, ReadError> {
        TextColumn::new(name, self.column(name)?)
    }

    /// A column of lists of texts.
    pub fn texts(&self, name: &str) -> Result<TextsColumn, ReadError> {
        TextsColumn::new(name, self.column(name)?)
    }

    /// A column of numbers of any kind, as 64-bit floats.
    pub fn number(&self, name: &str) -> Result<NumberColumn, ReadError> {
        NumberColumn::new(name, self.column(name)?)
    }

    /// A column of whole numbers, signed or not.
    pub fn whole(&self, name: &str) -> Result<WholeColumn, ReadError> {
        WholeColumn::new(name, self.column(name)?)
    }

    /// A column of truth values.
    pub fn truth(&self, name: &str) -> Result<BoolColumn, ReadError> {
        BoolColumn::new(name, self.column(name)?)
    }

    /// A column of times, in microseconds since 1970.
    pub fn time(&self, name: &str) -> Result<TimeColumn, ReadError> {
        TimeColumn::new(name, self.column(name)?)
    }

    /// A column of lists of numbers (`tag_scores`).
    pub fn numbers(&self, name: &str) -> Result<NumbersColumn, ReadError> {
        NumbersColumn::new(name, self.column(name)?)
    }

    /// A column of embeddings, half or single precision on disk.
    pub fn embedding(&self, name: &str) -> Result<EmbeddingColumn, ReadError> {
        EmbeddingColumn::new(name, self.column(name)?)
    }

    /// A column of structs (`settings`).
    pub fn structure(&self, name: &str) -> Result<StructColumn, ReadError> {
        StructColumn::new(name, self.column(name)?)
    }

    /// A column of lists of structs (`loras`, `metadata_raw`).
    pub fn structs(&self, name: &str) -> Result<StructsColumn, ReadError> {
        StructsColumn::new(name, self.column(name)?)
    }

    /// A column of maps of text to text (`parameters_extra`).
    pub fn map(&self, name: &str) -> Result<MapColumn, ReadError> {
        MapColumn::new(name, self.column(name)?)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
