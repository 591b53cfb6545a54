//! `labelmill report`: from a dataset's rows to a page to look at them.

use std::io::Write;

use crate::cli::{MessageArgs, ReportArgs};
use crate::dataset::DatasetReader;
use crate::exit::ExitStatus;
use crate::gallery::{self, GalleryOptions};
use crate::progress;
use crate::write::BOOKKEEPING_DIR;

/// `labelmill report OUT`: writes the page and prints where it is.
pub fn report(args: &ReportArgs, messages: &MessageArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let dataset = DatasetReader::open(&args.out)?;
    let meta = dataset.meta();
    let options = GalleryOptions {
        thumbnail_pixels: args.thumbnails,
        max_rows: args.max_rows,
        demo: meta.demo,
        models: meta.models,
        rows_in_dataset: dataset.row_count(),
    };
    let columns = gallery::wanted_columns(dataset.schema());
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let rows = dataset.rows(&columns)?.map(|rows| Ok(rows?.batch().clone()));
    let progress = progress::choose(messages.quiet, messages.no_progress);
    let bookkeeping = dataset.out().join(BOOKKEEPING_DIR);
    let written = gallery::write(&bookkeeping, dataset.schema(), rows, &options, progress.as_ref());
    progress.finish();
    let written = written?;
    if !messages.quiet {
        let left_out = options.rows_in_dataset - written.rows as u64;
        let left_out = (left_out > 0).then(|| format!("; {left_out} rows are left out (--max-rows)"));
        eprintln!(
            "{} rows, {} thumbnails ({} of the page before){}; open this file in a browser:",
            written.rows,
            written.thumbnails,
            written.reused,
            left_out.unwrap_or_default()
        );
    }
    writeln!(out, "{}", std::path::absolute(&written.page)?.display())?;
    Ok(ExitStatus::Done)
}
