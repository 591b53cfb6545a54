//! Shards of samples for `webdataset`: `KEY.png`, `KEY.txt`, `KEY.json` in tar archives. A key is a
//! number, since readers cut a key at its first dot and a folder's name may hold one; the json
//! says which picture it is.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::captions::{FAILED, NOT_A_FILE, note_unknown};
use super::files::Stream;
use super::picture::{PictureRows, Pictures};
use super::tar::{TarWriter, member_bytes};
use super::{ExportReport, Selection, Writer, local_file};
use crate::dataset::DatasetReader;

/// When a shard closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardSize {
    /// At this many samples.
    pub samples: usize,
    /// At about this many bytes.
    pub bytes: u64,
}

/// Columns that the json does not repeat: they are large.
fn is_left_out(dataset: &DatasetReader, name: &str) -> bool {
    use arrow::datatypes::DataType;
    let field = dataset.schema().field_with_name(name);
    name == "metadata_raw" || field.is_ok_and(|field| matches!(field.data_type(), DataType::FixedSizeList(..)))
}

const GONE: &str = "whose picture is no longer there";
const CHANGED: &str = "whose picture changed since it was labeled";

/// Writes `folder/00000.tar`, `00001.tar` …
pub fn webdataset(
    pictures: &Pictures<'_>,
    folder: &Path,
    size: ShardSize,
    selection: &Selection,
    writer: Writer,
) -> anyhow::Result<ExportReport> {
    let dataset = pictures.dataset();
    let names = dataset.schema().fields().iter().map(|field| field.name().as_str());
    let more: Vec<&str> = names.filter(|name| !is_left_out(dataset, name)).collect();
    let mut shards = Shards::new(folder, size, writer);
    let mut met = 0;
    for rows in pictures.rows(&more)? {
        let rows = pictures.view(&rows?)?;
        for row in (0..rows.len()).filter(|row| selection.takes(rows.uri(*row))) {
            met += 1;
            match sample(pictures, &rows, row)? {
                Ok(sample) => shards.add(&sample)?,
                Err(reason) => shards.report.pass_over(reason),
            }
        }
    }
    note_unknown(selection, met, &mut shards.report);
    shards.finish()
}

/// One sample before it is written.
struct Sample {
    extension: &'static str,
    image: Vec<u8>,
    text: String,
    json: Vec<u8>,
}

/// The sample of a row, or why there is none.
fn sample(pictures: &Pictures<'_>, rows: &PictureRows, row: usize) -> anyhow::Result<Result<Sample, &'static str>> {
    let who = rows.who(row);
    if who.failed {
        return Ok(Err(FAILED));
    }
    let Some(file) = local_file(&who.uri) else {
        return Ok(Err(NOT_A_FILE));
    };
    let image = match fs::read(&file) {
        Ok(image) => image,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(GONE)),
        Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
    };
    if image.len() as i64 != who.image.size {
        return Ok(Err(CHANGED));
    }
    let mut json = rows.rows.json(row);
    if rows.rows.batch().column_by_name("tags").is_some() {
        json.insert("caption_tags".to_owned(), pictures.tags(rows, row).into());
    }
    let format = json.get("format").and_then(Value::as_str);
    Ok(Ok(Sample {
        extension: extension(format),
        text: pictures
            .caption(rows, row)
            .map(|caption| caption.text)
            .unwrap_or_default(),
        json: serde_json::to_vec(&json)?,
        image,
    }))
}

/// The extension by which readers know a format.
fn extension(format: Option<&str>) -> &'static str {
    match format {
        Some("jpeg") => "jpg",
        Some("webp") => "webp",
        Some("gif") => "gif",
        Some("bmp") => "bmp",
        Some("tiff") => "tiff",
        _ => "png",
    }
}

/// The shards on their way.
struct Shards<'a> {
    folder: &'a Path,
    size: ShardSize,
    writer: Writer,
    report: ExportReport,
    open: Option<Open>,
    closed: usize,
}

struct Open {
    tar: TarWriter<Stream>,
    samples: usize,
    bytes: u64,
}

impl<'a> Shards<'a> {
    fn new(folder: &'a Path, size: ShardSize, mut writer: Writer) -> Self {
        let report = std::mem::take(&mut writer.report);
        writer.report.dry_run = report.dry_run;
        Self {
            folder,
            size,
            writer,
            report,
            open: None,
            closed: 0,
        }
    }

    fn name(&self) -> String {
        format!("{:05}.tar", self.closed)
    }

    fn add(&mut self, sample: &Sample) -> anyhow::Result<()> {
        if self.open.is_none() {
            self.open = Some(Open {
                tar: TarWriter::new(self.writer.begin(&self.folder.join(self.name()))?),
                samples: 0,
                bytes: 0,
            });
        }
        let number = self.closed;
        let open = self.open.as_mut().expect("opened just above");
        let key = format!("{number:05}_{:05}", open.samples);
        let members = [
            (sample.extension, sample.image.as_slice()),
            ("txt", sample.text.as_bytes()),
            ("json", sample.json.as_slice()),
        ];
        for (suffix, bytes) in members {
            open.tar
                .add(&format!("{key}.{suffix}"), bytes)
                .with_context(|| format!("writing shard {number}"))?;
            open.bytes += member_bytes(bytes.len());
        }
        open.samples += 1;
        self.report.written += 1;
        if open.samples >= self.size.samples || open.bytes >= self.size.bytes {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> anyhow::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let name = self.name();
        let stream = open.tar.finish().with_context(|| format!("writing {name}"))?;
        self.writer.commit_whole(&name, stream)?;
        self.closed += 1;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<ExportReport> {
        self.close()?;
        let stale = self.folder.join(self.name());
        let shards = self.writer.finish()?;
        let changed = shards.written + shards.updated;
        if changed == 0 {
            (self.report.unchanged, self.report.written) = (self.report.written, 0);
        }
        if stale.exists() {
            self.report.notes.push(format!(
                "{} is of an earlier, larger export; remove it",
                stale.display()
            ));
        }
        self.report
            .notes
            .push(format!("{} shards, {changed} of them new or changed", self.closed));
        Ok(self.report)
    }
}
