//! `labelmill import`: what people edited goes into the dataset.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;

use super::export::extension;
use crate::cli::{AsArg, ImportArgs, ImportCommand, OnConflictArg};
use crate::dataset::DatasetReader;
use crate::exit::ExitStatus;
use crate::export::edits::{self, ImportOptions, OnConflict, Unknown};
use crate::export::template::Holds;
use crate::source::lexical_absolute;
use crate::write::{Editor, RealFs};

/// `labelmill import captions DIR OUT`
pub fn import(args: &ImportArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let ImportCommand::Captions {
        dir,
        out: dataset,
        on_conflict,
        r#as,
        extension: typed,
        dry_run,
    } = &args.what;
    anyhow::ensure!(
        dir.is_dir(),
        "{} is no folder; name the one with the caption files",
        dir.display()
    );
    let options = ImportOptions {
        folder: lexical_absolute(dir).with_context(|| format!("{}", dir.display()))?,
        on_conflict: match on_conflict {
            OnConflictArg::List => OnConflict::List,
            OnConflictArg::File => OnConflict::TakeFile,
        },
        unknown: r#as.map(|kind| Unknown {
            holds: match kind {
                AsArg::Prompt => Holds::Text,
                AsArg::Tags => Holds::Tags,
            },
            extension: extension(typed),
            separator: ", ".to_owned(),
        }),
        dry_run: *dry_run,
    };
    DatasetReader::open(dataset)?;
    let editor = Editor::open(dataset, Arc::new(RealFs))?;
    let report = edits::import(&editor, &options)?;
    for (file, why) in &report.conflicts {
        writeln!(out, "{}: {why}", file.display())?;
    }
    out.flush()?;
    eprintln!("{}", report.closing_line());
    Ok(ExitStatus::Done)
}
