//! The rows as JSON lines or CSV, for programs that read no Parquet.

use std::io::Write;

use anyhow::Context;
use arrow::datatypes::DataType;
use serde_json::Value;

use super::captions::note_unknown;
use super::{ExportReport, Selection};
use crate::dataset::DatasetReader;

/// Columns of a table, without embeddings unless they are asked for.
fn columns(dataset: &DatasetReader, embeddings: Embeddings) -> Vec<&str> {
    let fields = dataset.schema().fields().iter();
    let is_wanted =
        |data_type: &DataType| embeddings == Embeddings::Included || !matches!(data_type, DataType::FixedSizeList(..));
    fields
        .filter(|field| is_wanted(field.data_type()))
        .map(|field| field.name().as_str())
        .collect()
}

/// Whether a table holds embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embeddings {
    /// As lists of numbers.
    Included,
    /// Left out.
    LeftOut,
}

/// Writes one JSON object a row.
pub fn jsonl(
    dataset: &DatasetReader,
    embeddings: Embeddings,
    selection: &Selection,
    report: &mut ExportReport,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    each_row(dataset, embeddings, selection, report, |row| {
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")?;
        Ok(())
    })
}

/// Writes a CSV table; lists, structs and maps are JSON in their cell.
pub fn csv(
    dataset: &DatasetReader,
    embeddings: Embeddings,
    selection: &Selection,
    report: &mut ExportReport,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record(columns(dataset, embeddings))?;
    each_row(dataset, embeddings, selection, report, |row| {
        let cells = row.into_iter().map(|(_, value)| match value {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        });
        Ok(table.write_record(cells)?)
    })?;
    table.flush().context("writing the table")
}

fn each_row(
    dataset: &DatasetReader,
    embeddings: Embeddings,
    selection: &Selection,
    report: &mut ExportReport,
    mut write: impl FnMut(serde_json::Map<String, Value>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for rows in dataset.rows(&columns(dataset, embeddings))? {
        let rows = rows?;
        let uris = rows.text("uri")?;
        for row in (0..rows.len()).filter(|row| selection.takes(uris.get(*row).unwrap_or_default())) {
            write(rows.json(row))?;
            report.written += 1;
        }
    }
    note_unknown(selection, report.written, report);
    Ok(())
}
