//! Embeddings as clip-retrieval lays them out, for faiss, autofaiss and embedding-reader:
//! `img_emb/img_emb_0.npy` with a row a picture, `metadata/metadata_0.parquet` with the same rows.

use std::fs;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use half::f16;

use super::captions::note_unknown;
use super::files::temporary_beside;
use super::picture::Pictures;
use super::{ExportReport, Selection, Writer};
use crate::dataset::write_table;

/// Rows of a file, as clip-retrieval closes them.
const ROWS_PER_FILE: u64 = 1_000_000;
/// A header of fixed length, so that the number of rows can be put in at the end.
const HEADER: usize = 128;

/// Writes the embeddings of `column` and what their pictures are.
pub fn npy(
    pictures: &Pictures<'_>,
    column: &str,
    folder: &Path,
    selection: &Selection,
    mut writer: Writer,
) -> anyhow::Result<ExportReport> {
    let mut report = std::mem::take(&mut writer.report);
    pictures.dataset().require(&[column])?;
    let files = pictures.dataset().row_count().div_ceil(ROWS_PER_FILE).max(1);
    // Numbers have as many digits as the number of files needs, as clip-retrieval writes them.
    let digits = files.ilog10() as usize + 1;
    let mut open: Option<Open> = None;
    let (mut met, mut number) = (0, 0);
    for rows in pictures.rows(&[column])? {
        let rows = pictures.view(&rows?)?;
        let embeddings = rows.rows.embedding(column)?;
        for row in (0..rows.len()).filter(|row| selection.takes(rows.uri(*row))) {
            met += 1;
            let Some(embedding) = embeddings.get(row) else {
                report.pass_over("without an embedding");
                continue;
            };
            let caption = pictures.caption(&rows, row).map(|caption| caption.text);
            report.written += 1;
            if report.dry_run {
                continue;
            }
            if open.is_none() {
                open = Some(Open::begin(folder, number, digits, embeddings.width())?);
                number += 1;
            }
            let file = open.as_mut().expect("opened just above");
            file.add(embedding, rows.uri(row), caption)?;
            if file.uris.len() as u64 >= ROWS_PER_FILE {
                open.take().expect("it is open").finish(&mut writer)?;
            }
        }
    }
    if let Some(open) = open {
        open.finish(&mut writer)?;
    }
    note_unknown(selection, met, &mut report);
    if report.dry_run {
        return Ok(report);
    }
    let files = writer.finish()?;
    if files.written + files.updated == 0 {
        (report.unchanged, report.written) = (report.written, 0);
    }
    Ok(report)
}

/// A pair of files on their way.
struct Open {
    out: BufWriter<fs::File>,
    npy: PathBuf,
    table: PathBuf,
    width: usize,
    uris: Vec<String>,
    captions: Vec<Option<String>>,
}

impl Open {
    fn begin(folder: &Path, number: u64, digits: usize, width: usize) -> anyhow::Result<Self> {
        let (embeddings, metadata) = (folder.join("img_emb"), folder.join("metadata"));
        for folder in [&embeddings, &metadata] {
            fs::create_dir_all(folder).with_context(|| format!("creating the folder {}", folder.display()))?;
        }
        let npy = embeddings.join(format!("img_emb_{number:0digits$}.npy"));
        let file = fs::File::create(temporary_beside(&npy)).with_context(|| format!("writing {}", npy.display()))?;
        let mut out = BufWriter::new(file);
        out.write_all(&[0; HEADER])?;
        Ok(Self {
            out,
            table: metadata.join(format!("metadata_{number:0digits$}.parquet")),
            npy,
            width,
            uris: Vec::new(),
            captions: Vec::new(),
        })
    }

    fn add(&mut self, embedding: &[f32], uri: &str, caption: Option<String>) -> io::Result<()> {
        for number in embedding {
            self.out.write_all(&f16::from_f32(*number).to_le_bytes())?;
        }
        self.uris.push(uri.to_owned());
        self.captions.push(caption);
        Ok(())
    }

    /// Puts the header in, writes the table, and gives both files their names.
    fn finish(self, writer: &mut Writer) -> anyhow::Result<()> {
        let header = header(self.uris.len(), self.width);
        let uris = StringArray::from(self.uris);
        let captions = StringArray::from(self.captions);
        let columns: Vec<ArrayRef> = vec![Arc::new(uris), Arc::new(captions)];
        let schema = Schema::new(vec![
            Field::new("image_path", DataType::Utf8, false),
            Field::new("caption", DataType::Utf8, true),
        ]);
        let table = RecordBatch::try_new(Arc::new(schema), columns).expect("two columns of equal length");
        write_table(&temporary_beside(&self.table), &table)?;
        let finish = || -> io::Result<()> {
            let mut file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header)?;
            file.sync_all()
        };
        finish().context("writing the embeddings")?;
        // The embeddings last: whoever finds them finds their table.
        writer.commit_together(&[&self.table, &self.npy])
    }
}

/// The header of an array of half floats, version 1.0 of the format.
fn header(rows: usize, width: usize) -> Vec<u8> {
    let said = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER - 10) as u16).to_le_bytes());
    header.extend(said.bytes());
    header.resize(HEADER - 1, b' ');
    header.push(b'\n');
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_fills_its_place_and_says_the_shape() {
        let header = header(123_456_789, 1280);
        assert_eq!(header.len(), HEADER);
        assert_eq!(u16::from_le_bytes([header[8], header[9]]) as usize + 10, HEADER);
        let text = String::from_utf8_lossy(&header[10..]).into_owned();
        assert!(text.starts_with("{'descr': '<f2', 'fortran_order': False, 'shape': (123456789, 1280), }"));
        assert!(text.ends_with(" \n"));
    }
}
