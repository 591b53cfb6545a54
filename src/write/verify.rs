//! Checks a dataset as a reader sees it: every part whole, one schema, no image twice.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};

use super::error::{OpenError, WriteError};
use super::footer::PartInfo;
use super::{BOOKKEEPING_DIR, parts};

/// Rows whose embeddings are checked at the beginning of each part.
const EMBEDDINGS_CHECKED_PER_PART: usize = 64;
/// How far the length of an embedding may be from 1: half floats keep 11 bits.
const LENGTH_TOLERANCE: f32 = 5e-3;
/// Problems of one kind that are told one by one.
const MAX_EXAMPLES: usize = 5;

/// What [`verify()`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Readable parts.
    pub parts: usize,
    /// Rows in them.
    pub rows: u64,
    /// Rows with `status = ok`.
    pub ok: u64,
    /// Rows with `status = failed`.
    pub failed: u64,
    /// Bytes of the parts.
    pub bytes: u64,
    /// What is wrong, a sentence each; empty for a sound dataset.
    pub problems: Vec<String>,
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} parts, {} rows ({} ok, {} failed), {} bytes",
            self.parts, self.rows, self.ok, self.failed, self.bytes
        )?;
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        if self.problems.is_empty() {
            write!(f, "no problems")
        } else {
            write!(f, "{} problems", self.problems.len())
        }
    }
}

/// Reads the dataset in `out` and says what is wrong with it. Takes no lock and changes nothing;
/// an error means that the folder itself cannot be read.
pub fn verify(out: &Path) -> Result<VerifyReport, WriteError> {
    let mut check = Check {
        out: out.to_owned(),
        ..Check::default()
    };
    for number in check.list()? {
        check.part(number);
    }
    Ok(check.report)
}

#[derive(Default)]
struct Check {
    out: PathBuf,
    report: VerifyReport,
    /// The schema of the first part and its name.
    schema: Option<(String, SchemaRef)>,
    /// Part in which a key was first seen, by a hash of the key.
    seen: HashMap<u128, u32>,
    duplicates: usize,
}

impl Check {
    fn problem(&mut self, problem: String) {
        self.report.problems.push(problem);
    }

    /// The part numbers in order; anything that disturbs readers is a problem.
    fn list(&mut self) -> Result<Vec<u32>, WriteError> {
        let mut numbers = Vec::new();
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.out).map_err(WriteError::io("read", &self.out))? {
            let name = entry
                .map_err(WriteError::io("read", &self.out))?
                .file_name()
                .to_string_lossy()
                .into_owned();
            match parts::part_number(&name) {
                Some(number) => numbers.push(number),
                None if name == BOOKKEEPING_DIR => {}
                None if name.starts_with(['.', '_']) && !name.to_lowercase().ends_with(".parquet") => {}
                None => others.push(name),
            }
        }
        others.sort();
        for name in others {
            self.problem(format!(
                "{name} lies beside the parts and is not one; readers of the whole folder trip over it"
            ));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn part(&mut self, number: u32) {
        let name = parts::part_name(number);
        let path = self.out.join(&name);
        let (info, footer) = match PartInfo::read(&path, number) {
            Ok(read) => read,
            Err(error) => return self.problem(chain(&error)),
        };
        self.report.parts += 1;
        self.report.rows += info.rows;
        self.report.bytes += info.bytes;
        self.compare_schema(&name, &info.schema);
        if let Err(error) = self.rows(&path, number, &info, &footer) {
            self.problem(format!("{name} cannot be read to its end: {}", chain(&error)));
        }
    }

    fn compare_schema(&mut self, name: &str, schema: &SchemaRef) {
        let Some((first, expected)) = &self.schema else {
            self.schema = Some((name.to_owned(), SchemaRef::clone(schema)));
            return;
        };
        if expected.fields() != schema.fields() {
            let column = expected
                .fields()
                .iter()
                .zip(schema.fields())
                .find(|(one, other)| one != other)
                .map_or("the number of columns".to_owned(), |(one, other)| {
                    format!("`{}` / `{}`", one.name(), other.name())
                });
            let problem = format!("{name} has another schema than {first}: {column}");
            self.problem(problem);
        }
    }

    /// Reads every column of every row, so that a flipped bit anywhere is found by the decoder.
    fn rows(
        &mut self,
        path: &Path,
        number: u32,
        info: &PartInfo,
        footer: &ArrowReaderMetadata,
    ) -> Result<(), OpenError> {
        let corrupt = |source| OpenError::Corrupt {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(|error| corrupt(error.into()))?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.clone())
            .with_projection(ProjectionMask::all())
            .with_batch_size(1024)
            .build()
            .map_err(corrupt)?;
        let mut rows = 0;
        for batch in reader {
            let batch = batch.map_err(|error| corrupt(error.into()))?;
            if rows < EMBEDDINGS_CHECKED_PER_PART {
                self.embeddings(number, &batch);
            }
            self.statuses(number, &batch);
            self.keys(number, &batch);
            rows += batch.num_rows();
        }
        if rows as u64 != info.rows {
            self.problem(format!(
                "{} says {} rows and holds {rows}",
                parts::part_name(number),
                info.rows
            ));
        }
        Ok(())
    }

    fn statuses(&mut self, number: u32, batch: &RecordBatch) {
        let Some(statuses) = column(batch, "status") else {
            return self.problem(format!("{} has no column `status`", parts::part_name(number)));
        };
        let kinds = column(batch, "error_kind");
        for (row, status) in statuses.iter().enumerate() {
            let has_kind = kinds.as_ref().is_some_and(|kinds| kinds.is_valid(row));
            match status {
                Some("ok") if !has_kind => self.report.ok += 1,
                Some("failed") if has_kind => self.report.failed += 1,
                other => {
                    let name = parts::part_name(number);
                    let status = other.unwrap_or("null");
                    self.problem(format!(
                        "{name} has a row with status {status} that its error_kind contradicts"
                    ));
                }
            }
        }
    }

    fn keys(&mut self, number: u32, batch: &RecordBatch) {
        let (Some(roots), Some(paths)) = (column(batch, "root"), column(batch, "path")) else {
            return self.problem(format!("{} has no columns `root` and `path`", parts::part_name(number)));
        };
        for (root, path) in roots.iter().zip(&paths) {
            let (root, path) = (root.unwrap_or_default(), path.unwrap_or_default());
            if let Some(first) = self.seen.insert(super::key_hash(root, path), number) {
                self.duplicates += 1;
                if self.duplicates <= MAX_EXAMPLES {
                    let (first, name) = (parts::part_name(first), parts::part_name(number));
                    self.problem(format!("{path} of {root} is a row of {first} and again of {name}"));
                }
            }
        }
    }

    fn embeddings(&mut self, number: u32, batch: &RecordBatch) {
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            if !matches!(field.data_type(), DataType::FixedSizeList(..)) {
                continue;
            }
            let bad = array.slice(0, array.len().min(EMBEDDINGS_CHECKED_PER_PART));
            let bad = unnormalised(&bad);
            if bad > 0 {
                let name = parts::part_name(number);
                self.problem(format!(
                    "{name} has {bad} embeddings in `{}` whose length is not 1",
                    field.name()
                ));
            }
        }
    }
}

fn column(batch: &RecordBatch, name: &str) -> Option<StringArray> {
    batch.column_by_name(name)?.as_string_opt::<i32>().cloned()
}

/// How many of the embeddings are not L2-normalised.
fn unnormalised(embeddings: &ArrayRef) -> usize {
    let lists = embeddings.as_fixed_size_list();
    (0..lists.len())
        .filter(|row| lists.is_valid(*row))
        .filter(|row| {
            let Ok(values) = cast(&lists.value(*row), &DataType::Float32) else {
                return true;
            };
            let length = values
                .as_primitive::<Float32Type>()
                .values()
                .iter()
                .map(|x| x * x)
                .sum::<f32>()
                .sqrt();
            length.is_nan() || (length - 1.0).abs() > LENGTH_TOLERANCE
        })
        .count()
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
