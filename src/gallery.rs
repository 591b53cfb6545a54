//! `report`: a page to look at a dataset, opened from file:// without a server.
//!
//! `OUT/_labelmill/report/` holds `index.html` with its style and script, the rows as .js files that
//! script tags load (a page from file:// may not fetch), and thumbnail sheets made from the images.
//! The folder is built beside the old one and exchanged in one step. What stands in images is hostile:
//! it reaches the page as JSON strings alone (`script.rs`), and the page never makes HTML of it.

mod detail;
mod script;
mod table;
mod thumbnails;
mod value;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use serde_json::json;

use crate::progress::Progress;
use script::Script;
use table::Table;
pub use thumbnails::ImageFile;
use thumbnails::Thumbnails;

/// Rows of one data file that the page loads at its start.
const CHUNK_ROWS: usize = 4_000;
/// Rows of one data file that the page loads when somebody opens one of them.
const DETAIL_ROWS: usize = 200;

/// The page itself. Its scripts share one scope and stand in the order in which they are loaded.
const PAGE: [(&str, &str); 8] = [
    ("index.html", include_str!("gallery/index.html")),
    ("gallery.css", include_str!("gallery/gallery.css")),
    ("data.js", include_str!("gallery/data.js")),
    ("filters.js", include_str!("gallery/filters.js")),
    ("grid.js", include_str!("gallery/grid.js")),
    ("detail.js", include_str!("gallery/detail.js")),
    ("overview.js", include_str!("gallery/overview.js")),
    ("gallery.js", include_str!("gallery/gallery.js")),
];

/// How a page is made.
#[derive(Debug, Clone)]
pub struct GalleryOptions {
    /// Longest side of a thumbnail in pixels; 0 makes none.
    pub thumbnail_pixels: u32,
    /// The page shows this many rows, the first ones.
    pub max_rows: usize,
    /// Whether the dataset says that demo models spoke.
    pub demo: bool,
    /// Names of the dataset's models.
    pub models: Vec<String>,
    /// Rows of the dataset.
    pub rows_in_dataset: u64,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct GalleryReport {
    /// The page.
    pub page: PathBuf,
    /// Rows on it.
    pub rows: usize,
    /// Images with a thumbnail.
    pub thumbnails: usize,
    /// Thumbnails among them that the page before had already.
    pub reused: usize,
}

/// The columns that a page shows: everything but embeddings, raw entries and where a picture was
/// taken (pages are shown around).
pub fn wanted_columns(schema: &Schema) -> Vec<String> {
    use arrow::datatypes::DataType::FixedSizeList;
    schema
        .fields()
        .iter()
        .filter(|field| !matches!(field.data_type(), FixedSizeList(..)))
        .map(|field| field.name().clone())
        .filter(|name| name != "metadata_raw" && !name.starts_with("gps_"))
        .collect()
}

/// Writes the page of a dataset's rows into the bookkeeping folder `bookkeeping`.
pub fn write(
    bookkeeping: &Path,
    schema: &Schema,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    options: &GalleryOptions,
    progress: &dyn Progress,
) -> anyhow::Result<GalleryReport> {
    let folder = NextReport::begin(bookkeeping)?;
    let new = &folder.new;
    let mut table = Table::new(schema);
    let mut files: Vec<ImageFile> = Vec::new();
    let mut chunk = 0;
    for rows in Rechunked::new(batches, options.max_rows) {
        let rows = rows?;
        Script::new("table", chunk).write(new, &table.chunk(&rows))?;
        Script::new("text", chunk).write(new, &table::texts(&rows))?;
        for from in (0..rows.num_rows()).step_by(DETAIL_ROWS) {
            let block = rows.slice(from, DETAIL_ROWS.min(rows.num_rows() - from));
            let number = (chunk * CHUNK_ROWS + from) / DETAIL_ROWS;
            Script::new("detail", number).write(new, &detail::details(&block, table.scored_lists()))?;
        }
        files.extend(thumbnails::image_files(&rows));
        chunk += 1;
    }
    progress.start(files.len() as u64);
    let thumbnails = Thumbnails::make(&files, options.thumbnail_pixels, &folder.old, new, progress)?;
    let summary = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "made_at": jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        "dataset": bookkeeping.parent().unwrap_or(bookkeeping).display().to_string(),
        "demo": options.demo,
        "models": options.models,
        "rows": files.len(),
        "rows_in_dataset": options.rows_in_dataset,
        "chunks": chunk,
        "chunk_rows": CHUNK_ROWS,
        "detail_rows": DETAIL_ROWS,
        "thumbnails": thumbnails.to_json(),
        "table": table.summary(),
    });
    Script::only("summary").write(new, &summary)?;
    for (name, text) in PAGE {
        fs::write(new.join(name), text).with_context(|| format!("writing {}", new.join(name).display()))?;
    }
    Ok(GalleryReport {
        page: folder.publish()?.join("index.html"),
        rows: files.len(),
        thumbnails: thumbnails.count(),
        reused: thumbnails.reused,
    })
}

/// The folder of a page on its way to `report/`, while a lock keeps a second one out.
struct NextReport {
    old: PathBuf,
    new: PathBuf,
    _lock: File,
}

impl NextReport {
    fn begin(bookkeeping: &Path) -> anyhow::Result<Self> {
        let lock_path = bookkeeping.join("report.lock");
        let lock = File::create(&lock_path).with_context(|| format!("writing {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => anyhow::bail!("another labelmill is writing this page now"),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", lock_path.display()));
            }
        }
        let new = bookkeeping.join("report.tmp");
        remove(&new)?;
        for part in ["data", "thumbnails"] {
            fs::create_dir_all(new.join(part)).with_context(|| format!("making {}", new.display()))?;
        }
        Ok(Self {
            old: bookkeeping.join("report"),
            new,
            _lock: lock,
        })
    }

    /// Puts the new page in the place of the old one.
    fn publish(self) -> anyhow::Result<PathBuf> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let failed = || format!("putting the page into {}", self.old.display());
        if self.old.is_dir() {
            if renameat_with(CWD, &self.new, CWD, &self.old, RenameFlags::EXCHANGE).is_err() {
                // This file system cannot exchange: for a moment there is no page.
                remove(&self.old)?;
                fs::rename(&self.new, &self.old).with_context(failed)?;
            }
            remove(&self.new)?;
        } else {
            fs::rename(&self.new, &self.old).with_context(failed)?;
        }
        Ok(self.old)
    }
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Batches of any length as chunks of [`CHUNK_ROWS`] rows, the last one shorter.
struct Rechunked<I> {
    batches: I,
    pending: Option<RecordBatch>,
    rows_left: usize,
}

impl<I: Iterator<Item = anyhow::Result<RecordBatch>>> Rechunked<I> {
    fn new(batches: I, max_rows: usize) -> Self {
        Self {
            batches,
            pending: None,
            rows_left: max_rows,
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        let mut gathered: Vec<RecordBatch> = self.pending.take().into_iter().collect();
        let mut rows: usize = gathered.iter().map(RecordBatch::num_rows).sum();
        while rows < CHUNK_ROWS.min(self.rows_left) {
            let Some(batch) = self.batches.next().transpose()? else {
                break;
            };
            rows += batch.num_rows();
            gathered.push(batch);
        }
        if let Some(first) = gathered.first() {
            self.pending = Some(arrow::compute::concat_batches(&first.schema(), &gathered)?);
        }
        Ok(())
    }
}

impl<I: Iterator<Item = anyhow::Result<RecordBatch>>> Iterator for Rechunked<I> {
    type Item = anyhow::Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            self.rows_left = 0;
            return Some(Err(error));
        }
        let pending = self.pending.take()?;
        let rows = pending.num_rows().min(CHUNK_ROWS).min(self.rows_left);
        if rows == 0 {
            return None;
        }
        self.rows_left -= rows;
        self.pending = Some(pending.slice(rows, pending.num_rows() - rows));
        Some(Ok(pending.slice(0, rows)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    fn batch(numbers: std::ops::Range<i64>) -> RecordBatch {
        let numbers: Int64Array = numbers.collect::<Vec<_>>().into();
        RecordBatch::try_from_iter([("number", Arc::new(numbers) as _)]).expect("one column")
    }

    #[test]
    fn chunks_are_full_but_the_last_whatever_the_batches() {
        let full = CHUNK_ROWS as i64;
        let cases: [(&[i64], usize, &[usize]); 5] = [
            (&[], 9_999, &[]),
            (&[0, 10, 20], 9_999, &[20]),
            (&[0, full], 9_999, &[CHUNK_ROWS]),
            (&[0, 1, full + 5, full * 2 + 1], 99_999, &[CHUNK_ROWS, CHUNK_ROWS, 1]),
            (&[0, full * 3], CHUNK_ROWS + 7, &[CHUNK_ROWS, 7]),
        ];
        for (borders, max_rows, wanted) in cases {
            let batches = borders.windows(2).map(|pair| Ok(batch(pair[0]..pair[1])));
            let chunks: Vec<RecordBatch> = Rechunked::new(batches, max_rows)
                .collect::<anyhow::Result<_>>()
                .expect("chunks");
            let lengths: Vec<usize> = chunks.iter().map(RecordBatch::num_rows).collect();
            assert_eq!(lengths, wanted, "{borders:?} of at most {max_rows}");
            let rows: usize = lengths.iter().sum();
            if let Some(first) = chunks.first() {
                let all = arrow::compute::concat_batches(&first.schema(), &chunks).expect("one schema");
                assert_eq!(all, batch(0..rows as i64));
            }
        }
    }
}
