//! `labelmill run` and `labelmill plan`.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::models::{Labelers, load_labelers};
use crate::cli::{MessageArgs, RunArgs};
use crate::config::PRESETS;
use crate::exit::ExitStatus;
use crate::pipeline::{self, Device, Run, RunOptions};
use crate::plan::RunPlan;
use crate::progress::{self, Progress};
use crate::record::{Destination, GroupSet, WorkItem};
use crate::report::RunReport;
use crate::source::{Source, Walk};
use crate::stop::{Stop, StopReason};
use crate::write::{ColumnGroup, Dataset, DatasetSpec, RealFs, WriteOptions};

/// Raised by hand when the metadata stage gives other values for the same bytes; rows made by
/// another version are stale.
const METADATA_VERSION: u32 = 1;

/// `labelmill run`
pub fn run(args: &RunArgs, messages: &MessageArgs) -> anyhow::Result<ExitStatus> {
    let started = Instant::now();
    let plan = RunPlan::resolve(args)?;
    let stop = Stop::new(plan.max_duration.map(|limit| started + limit));
    stop.on_signals().context("listening for signals")?;
    let progress = progress::choose(messages.quiet, messages.no_progress);
    let mut report = RunReport::begin(&plan.out, &plan.root_names());

    let labelers = load_labelers(&plan, progress.as_ref())?;
    labelers.describe(&mut report);
    let dataset = Dataset::open(&plan.out, dataset_spec(&plan, &labelers), Arc::new(RealFs))?;
    let outcome = label(&plan, labelers, &dataset, &stop, progress.as_ref(), &mut report);
    progress.finish();
    report.end(started, stop.reason());
    report.write_json(&dataset.bookkeeping_dir()).context("writing run-summary.json")?;
    outcome?;
    for line in report.closing_lines().into_iter().chain(next_steps(&plan, &report)) {
        eprintln!("{line}");
    }
    Ok(status(&plan, &report, &stop))
}

/// Everything between opening the dataset and the summary.
fn label(
    plan: &RunPlan,
    labelers: Labelers,
    dataset: &Dataset,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut RunReport,
) -> anyhow::Result<()> {
    let source = plan.source()?;
    let mut walk = source.walk();
    report.found = walk.by_ref().count() as u64;
    let walked = walk.report();
    report.walk_errors = walked.errors;
    report.links_passed_over = walked.links_passed_over;
    progress.start(report.found);

    let groups = GroupSet::all(labelers.count());
    let limit = plan.max_images.unwrap_or(u64::MAX) as usize;
    let work = source.walk().take(limit).map(move |image| WorkItem { image, destination: Destination::Append, groups });
    let prepare = plan.prepare(labelers.geometries());
    let devices = vec![Device::new(labelers.labelers, &prepare.geometries)];
    let options = RunOptions { images_per_batch: plan.config.run.batch, threads: plan.threads() };
    let sink = Box::new(dataset.sink());
    let run = Run { work: Box::new(work), prepare, devices, sink, options, stop, progress };
    let written = pipeline::run(run, report)?;
    report.take_written(&written, dataset.rows());
    Ok(())
}

/// What the dataset holds under this plan.
fn dataset_spec(plan: &RunPlan, labelers: &Labelers) -> DatasetSpec {
    let metadata = &plan.config.metadata;
    let fingerprint =
        format!("v{METADATA_VERSION} sidecars={} stealth={:?} raw={}", metadata.sidecars, metadata.stealth, metadata.keep_raw);
    let mut groups = vec![ColumnGroup { name: "metadata".into(), fingerprint, fields: Vec::new() }];
    groups.extend(labelers.groups());
    let output = &plan.config.output;
    DatasetSpec {
        groups,
        options: WriteOptions {
            part_rows: output.part_rows as u64,
            part_bytes: output.part_mib << 20,
            part_secs: output.part_secs,
            ..WriteOptions::default()
        },
        plan_toml: plan.to_toml(),
        model_names: labelers.names.clone(),
        demo: labelers.demo,
        gps: metadata.gps,
    }
}

fn status(plan: &RunPlan, report: &RunReport, stop: &Stop) -> ExitStatus {
    match stop.reason() {
        Some(StopReason::Signal(signal_hook::consts::SIGINT)) => ExitStatus::Interrupted,
        Some(StopReason::Signal(_)) => ExitStatus::Terminated,
        _ if plan.max_failed.is_some_and(|limit| limit.is_exceeded(report.failed, report.found)) => {
            ExitStatus::TooManyFailed
        }
        _ => ExitStatus::Done,
    }
}

/// Three things that make sense next.
fn next_steps(plan: &RunPlan, report: &RunReport) -> Vec<String> {
    let out = plan.out.display();
    let columns = if report.models.is_empty() { "uri, generator, prompt" } else { "uri, prompt, style, tags[1:3]" };
    let mut lines = vec!["next".to_owned()];
    lines.push(format!("  look at it       duckdb -c \"select {columns} from '{out}/*.parquet' limit 20\""));
    lines.push(format!("  check it         labelmill verify {out}"));
    if report.models.is_empty() {
        let presets: Vec<String> =
            PRESETS.iter().map(|(name, purpose, _)| format!("--preset {name} ({purpose})")).collect();
        lines.push(format!("  label with models  {}", presets.join("; ")));
    } else {
        lines.push("  your pictures    labelmill run my-pictures/ --preset demo".to_owned());
    }
    lines
}

/// `labelmill plan`: the resolved plan and what it would do, without writing.
pub fn plan(args: &RunArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let plan = RunPlan::resolve(args)?;
    let source = plan.source()?;
    let mut walk = source.walk();
    let found = walk.by_ref().count();
    writeln!(out, "# {found} images found, {found} new")?;
    for error in walk.report().errors {
        writeln!(out, "# not seen: {error}")?;
    }
    writeln!(out, "# dataset: {}", plan.out.display())?;
    write!(out, "{}", plan.to_toml())?;
    Ok(ExitStatus::Done)
}
