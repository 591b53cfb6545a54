//! A folder for `datasets.load_dataset("imagefolder")`: the pictures, linked or copied, and
//! `metadata.jsonl` beside them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use super::captions::{FAILED, NOT_A_FILE, Places, note_unknown};
use super::picture::{PictureRows, Pictures};
use super::{ExportReport, Selection, Writer, local_file};

/// The file that says what the pictures are.
pub const FILE: &str = "metadata.jsonl";

/// How the pictures come into the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    /// As second names of the same files; copied where that cannot be.
    Link,
    /// As copies.
    Copy,
    /// Not at all: they are there already.
    Leave,
}

/// Columns that go along where the dataset has them.
const MORE: [&str; 8] = [
    "prompt",
    "negative_prompt",
    "style",
    "style_score",
    "rating",
    "aesthetic",
    "width",
    "height",
];

const GONE: &str = "whose picture is no longer there";

/// Writes `folder/metadata.jsonl` and brings the pictures there.
pub fn imagefolder(
    pictures: &Pictures<'_>,
    places: &Places,
    folder: &Path,
    images: Images,
    selection: &Selection,
    mut writer: Writer,
) -> anyhow::Result<ExportReport> {
    let mut report = std::mem::take(&mut writer.report);
    writer.report.dry_run = report.dry_run;
    let file = folder.join(FILE);
    let mut stream = writer.begin(&file)?;
    fill(pictures, places, images, selection, &mut report, &mut stream)?;
    writer.commit_whole(FILE, stream)?;
    if writer.finish()?.unchanged > 0 {
        (report.unchanged, report.written) = (report.written, 0);
    }
    Ok(report)
}

fn fill(
    pictures: &Pictures<'_>,
    places: &Places,
    images: Images,
    selection: &Selection,
    report: &mut ExportReport,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut met = 0;
    for rows in pictures.rows(&MORE)? {
        let rows = pictures.view(&rows?)?;
        for row in (0..rows.len()).filter(|row| selection.takes(rows.uri(*row))) {
            met += 1;
            let who = rows.who(row);
            if who.failed {
                report.pass_over(FAILED);
                continue;
            }
            let (Some(source), Some((name, target))) = (local_file(&who.uri), places.picture(&who)) else {
                report.pass_over(NOT_A_FILE);
                continue;
            };
            if !source.is_file() {
                report.pass_over(GONE);
                continue;
            }
            if !report.dry_run {
                bring(&source, &target, images)?;
            }
            serde_json::to_writer(&mut *out, &line(pictures, &rows, row, name))?;
            out.write_all(b"\n")?;
            report.written += 1;
        }
    }
    note_unknown(selection, met, report);
    Ok(())
}

/// `file_name`, `text`, `tags`, and the other columns: every line has every key, so that a reader
/// finds one type a column.
fn line(pictures: &Pictures<'_>, rows: &PictureRows, row: usize, file_name: String) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("file_name".to_owned(), file_name.into());
    line.insert(
        "text".to_owned(),
        pictures
            .caption(rows, row)
            .map(|caption| caption.text)
            .unwrap_or_default()
            .into(),
    );
    if rows.rows.batch().column_by_name("tags").is_some() {
        line.insert("tags".to_owned(), pictures.tags(rows, row).into());
    }
    let all = rows.rows.json(row);
    for name in MORE {
        if let Some(value) = all.get(name) {
            line.insert(name.to_owned(), value.clone());
        }
    }
    line
}

/// Brings one picture to its place, if another one of its size is not there.
fn bring(source: &Path, target: &Path, images: Images) -> anyhow::Result<()> {
    let size = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    if images == Images::Leave || source == target || size(source) == size(target) {
        return Ok(());
    }
    let parent = target.parent().unwrap_or(Path::new("."));
    let bring = || -> io::Result<()> {
        fs::create_dir_all(parent)?;
        match fs::remove_file(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if images == Images::Link && fs::hard_link(source, target).is_ok() {
            return Ok(());
        }
        fs::copy(source, target).map(|_| ())
    };
    bring().with_context(|| format!("bringing {} to {}", source.display(), target.display()))
}
