//! A plain Parquet table that is no part of a dataset: what an export hands to other programs.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::ReadError;

/// Writes one batch as the Parquet file `path`.
pub fn write_table(path: &Path, rows: &RecordBatch) -> Result<(), ReadError> {
    let written = File::create(path).map_err(ParquetError::from).and_then(|file| {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties))?;
        writer.write(rows)?;
        writer.close().map(|_| ())
    });
    written.map_err(|source| ReadError::Table {
        path: path.to_owned(),
        source,
    })
}
