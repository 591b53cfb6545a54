//! `labelmill reparse`: the present interpreter applied to the raw entries that a dataset keeps.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;

use super::fingerprint;
use crate::cli::ReparseArgs;
use crate::exit::ExitStatus;
use crate::metadata::interpret;
use crate::record::{RawMetadata, Recovered};
use crate::write::{self, Interpreter, RealFs, ReinterpretMode, ReinterpretReport, WriteOptions};

/// `labelmill reparse OUT`
pub fn reparse(args: &ReparseArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let mode = if args.dry_run {
        ReinterpretMode::DryRun
    } else {
        ReinterpretMode::Write
    };
    let interpreter = Interpreter {
        making: &fingerprint::reinterpreted,
        interpret: &interpret_again,
    };
    let report = write::reinterpret(&args.out, interpreter, mode, &WriteOptions::default(), Arc::new(RealFs))
        .with_context(|| format!("reparsing {}", args.out.display()))?;
    if report.parts == 0 {
        anyhow::bail!("{} holds no dataset", args.out.display());
    }
    if report.rows_without_raw == report.rows && report.rows > 0 {
        anyhow::bail!(
            "{} keeps no raw entries (metadata.keep_raw = false); `labelmill run` reads the images again",
            args.out.display()
        );
    }
    tell(&report, mode, out)?;
    Ok(ExitStatus::Done)
}

/// Notes of the interpretation before are dropped, those of reading the file stay.
fn interpret_again(mut raw: RawMetadata) -> Recovered {
    raw.notes.retain(|note| !interpret::is_own_note(note));
    interpret::interpret(&raw)
}

fn tell(report: &ReinterpretReport, mode: ReinterpretMode, out: &mut dyn Write) -> anyhow::Result<()> {
    let (change, write) = match mode {
        ReinterpretMode::DryRun => ("would change", "would be written anew"),
        ReinterpretMode::Write => ("changed", "were written anew"),
    };
    writeln!(out, "{} of {} rows {change}", report.rows_changed, report.rows)?;
    for (column, rows) in &report.changed_columns {
        writeln!(out, "  {column:<26} {rows}")?;
    }
    if report.rows_without_raw > 0 {
        writeln!(
            out,
            "{} rows keep no raw entries and stay as they are",
            report.rows_without_raw
        )?;
    }
    writeln!(out, "{} of {} parts {write}", report.parts_rewritten, report.parts)?;
    Ok(())
}
