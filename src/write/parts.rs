//! One part on its way to the disk: its name, how its columns are encoded, what its footer says
//! of it, and the steps from the temporary name to the final one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type as PhysicalType, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};

use super::WriteOptions;
use super::commit::{CommitFile, CommitFs};
use super::error::WriteError;
use super::footer::PartMeta;
use super::memory;
use super::schema::{Layout, layout};

/// File name of part `number`.
pub fn part_name(number: u32) -> String {
    format!("part-{number:06}.parquet")
}

/// Number in a part's file name; none for any other name.
pub fn part_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
    let number = digits.parse().ok()?;
    (part_name(number) == name).then_some(number)
}

/// The temporary name of a file of the dataset. It does not end in `.parquet`, which a reader's
/// glob would match even with the dot in front.
pub fn temporary_name(name: &str) -> String {
    format!(".{name}.tmp")
}

/// Whether a file name is a temporary one of [`temporary_name`].
pub fn is_temporary(name: &str) -> bool {
    name.strip_suffix(".tmp").is_some_and(|name| name.starts_with('.'))
}

/// The file under the Parquet writer.
struct PartFile(Box<dyn CommitFile>);

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A part that is being written under its temporary name.
pub struct PartWriter {
    writer: ArrowWriter<PartFile>,
    temporary: PathBuf,
    path: PathBuf,
    rows: u64,
    opened: Instant,
}

/// A part that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPart {
    /// Where it is.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl PartWriter {
    /// Begins part `name` of the folder `dir`.
    pub fn create(
        fs: &dyn CommitFs,
        dir: &Path,
        name: &str,
        schema: &SchemaRef,
        options: &WriteOptions,
    ) -> Result<Self, WriteError> {
        let temporary = dir.join(temporary_name(name));
        let file = fs.create(&temporary).map_err(WriteError::io("create", &temporary))?;
        let properties = writer_properties(schema, options)?;
        let writer = ArrowWriter::try_new(PartFile(file), SchemaRef::clone(schema), Some(properties))
            .map_err(WriteError::parquet("write", &temporary))?;
        Ok(Self {
            writer,
            temporary,
            path: dir.join(name),
            rows: 0,
            opened: Instant::now(),
        })
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.writer
            .write(batch)
            .map_err(WriteError::parquet("write", &self.temporary))?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes so far, those in memory as the writer estimates them.
    pub fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Since when it is open.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Writes the footer, syncs, and gives the part its final name; synced folder included. On an
    /// error the temporary file is removed, as far as that works.
    pub fn commit(self, fs: &dyn CommitFs, meta: &PartMeta) -> Result<WrittenPart, WriteError> {
        let (temporary, path, rows) = (self.temporary.clone(), self.path.clone(), self.rows);
        let dir = path.parent().unwrap_or(Path::new(".")).to_owned();
        let renamed = self.close(meta).and_then(|bytes| {
            fs.rename(&temporary, &path)
                .map_err(WriteError::io("rename", &temporary))?;
            Ok(bytes)
        });
        if renamed.is_err() {
            // Best effort: the next run removes what is left.
            let _ = fs.remove_file(&temporary);
        }
        memory::give_back();
        let bytes = renamed?;
        fs.sync_dir(&dir).map_err(WriteError::io("sync", &dir))?;
        Ok(WrittenPart { path, rows, bytes })
    }

    /// Writes the footer and syncs; the part keeps its temporary name. Gives its size.
    fn close(mut self, meta: &PartMeta) -> Result<u64, WriteError> {
        for (key, value) in meta.key_values() {
            self.writer.append_key_value_metadata(KeyValue::new(key, value));
        }
        self.writer
            .finish()
            .map_err(WriteError::parquet("write", &self.temporary))?;
        self.writer.sync().map_err(WriteError::io("write", &self.temporary))?;
        let bytes = self.writer.bytes_written() as u64;
        self.writer
            .inner_mut()
            .0
            .sync()
            .map_err(WriteError::io("sync", &self.temporary))?;
        Ok(bytes)
    }

    /// Gives the part up and removes its temporary file, as far as that works.
    pub fn abandon(self, fs: &dyn CommitFs) {
        let temporary = self.temporary.clone();
        drop(self);
        // Best effort: the next run removes what is left.
        let _ = fs.remove_file(&temporary);
    }
}

/// How the columns are encoded: zstd everywhere, dictionaries where values repeat, bytes of
/// floats split apart.
fn writer_properties(schema: &SchemaRef, options: &WriteOptions) -> Result<WriterProperties, WriteError> {
    let level = ZstdLevel::try_new(options.zstd_level).map_err(|_| {
        WriteError::Spec(format!(
            "zstd_level = {} is not a level of zstd (1 to 22)",
            options.zstd_level
        ))
    })?;
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("labelmill ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(options.row_group_rows))
        .set_max_row_group_bytes(Some(options.row_group_bytes));
    let descriptor = ArrowSchemaConverter::new()
        .convert(schema)
        .map_err(|error| WriteError::Spec(format!("the columns cannot be written as Parquet: {error}")))?;
    for leaf in descriptor.columns() {
        let path = leaf.path().clone();
        let top = path.parts().first().map_or("", String::as_str);
        let layout = schema.field_with_name(top).map_or(Layout::Repeating, layout);
        properties = match layout {
            Layout::Embedding => {
                // DuckDB (2.0.0) refuses BYTE_STREAM_SPLIT on half floats, whose column is a
                // fixed-length byte array to Parquet; plain costs 8 % there.
                let is_float = leaf.physical_type() == PhysicalType::FLOAT;
                let encoding = if is_float {
                    Encoding::BYTE_STREAM_SPLIT
                } else {
                    Encoding::PLAIN
                };
                properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                    .set_column_encoding(path, encoding)
            }
            Layout::Distinct => properties.set_column_dictionary_enabled(path, false),
            Layout::Repeating => properties,
        };
    }
    Ok(properties.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_writers_own_names_are_parts() {
        assert_eq!(part_number("part-000017.parquet"), Some(17));
        assert_eq!(part_number(&part_name(1_234_567)), Some(1_234_567));
        for other in [
            "part-17.parquet",
            "part-000017.parquet.tmp",
            ".part-000017.parquet",
            "x.parquet",
            "part-+00001.parquet",
        ] {
            assert_eq!(part_number(other), None, "{other}");
        }
        assert!(is_temporary(&temporary_name(&part_name(3))));
        assert!(!temporary_name(&part_name(3)).ends_with(".parquet"));
    }
}
