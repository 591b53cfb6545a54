//! `run`, `plan`, `models`, `verify`, `compact`, `reparse`, `export`, `import`, `search`, `report`: the glue between the
//! command line and the rest.

use std::io::Write;
use std::sync::Arc;

use crate::cli::DatasetArgs;
use crate::exit::ExitStatus;
use crate::progress::human_bytes;
use crate::write::{self, OpenError, RealFs, WriteOptions};

mod download;
mod export;
mod fingerprint;
mod import;
mod interrogate;
mod look;
mod missing;
mod models;
mod reparse;
mod report;
mod run;
mod search;
mod store;
mod table;
mod tag_rules;

pub use export::export;
pub use import::import;
pub use look::look;
pub use reparse::reparse;
pub use report::report;
pub use run::{plan, run};
pub use search::search;
pub use store::models;

/// The exit status of an error that ended a command.
pub fn status_of(error: &anyhow::Error) -> ExitStatus {
    let locked = error
        .chain()
        .any(|cause| matches!(cause.downcast_ref(), Some(OpenError::Locked { .. })));
    if locked { ExitStatus::Locked } else { ExitStatus::Failed }
}

/// `labelmill verify OUT`
pub fn verify(args: &DatasetArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let report = write::verify(&args.out)?;
    writeln!(out, "{report}")?;
    Ok(if report.problems.is_empty() {
        ExitStatus::Done
    } else {
        ExitStatus::Failed
    })
}

/// `labelmill compact OUT`
pub fn compact(args: &DatasetArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let report = write::compact(&args.out, &WriteOptions::default(), Arc::new(RealFs))?;
    writeln!(
        out,
        "{} parts became {}: {} rows, {} before, {} after",
        report.parts_before,
        report.parts_after,
        report.rows,
        human_bytes(report.bytes_before),
        human_bytes(report.bytes_after)
    )?;
    Ok(ExitStatus::Done)
}
