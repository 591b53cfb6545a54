//! `labelmill run` and `labelmill plan`.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::models::{Labelers, load_labelers};
use crate::cli::{MessageArgs, RunArgs};
use crate::config::PRESETS;
use crate::exit::ExitStatus;
use crate::metrics;
use crate::pipeline::{self, Device, Run, RunOptions};
use crate::plan::{RunPlan, recorded};
use crate::prepare::PrepareOptions;
use crate::progress::{self, Progress};
use crate::record::{Destination, GroupSet, LabelColumn, Twin, Twins, WorkItem};
use crate::report::RunReport;
use crate::source::Source;
use crate::stop::{Stop, StopReason};
use crate::write::{Changes, ColumnGroup, Dataset, DatasetSpec, Ending, RealFs, RowAt, WriteOptions};

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
    let bookkeeping = dataset.bookkeeping_dir();
    let outcome = label(&plan, labelers, dataset, &stop, progress.as_ref(), &mut report);
    progress.finish();
    report.end(started, stop.reason());
    report.write_json(&bookkeeping).context("writing run-summary.json")?;
    recorded::write(&plan, &bookkeeping).context("recording the plan")?;
    if let Some(path) = &plan.metrics_textfile {
        metrics::write_textfile(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    outcome?;
    for line in report.closing_lines().into_iter().chain(next_steps(&plan, &report)) {
        eprintln!("{line}");
    }
    Ok(status(&plan, &report, &stop))
}

/// Everything between opening the dataset and the summary: what is to be done, and doing it.
fn label(
    plan: &RunPlan,
    labelers: Labelers,
    mut dataset: Dataset,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut RunReport,
) -> anyhow::Result<()> {
    let source = plan.source()?;
    let rows_before = dataset.ledger().len() as u64;
    let changes = survey(plan, &source, &mut dataset, report)?;
    progress.start(report.found - report.reused);

    let sink = Box::new(dataset.sink(&changes)?);
    let dataset = Arc::new(dataset);
    let twins: Option<Arc<dyn Twins>> =
        (labelers.count() > 0 && rows_before > 0).then(|| Arc::new(Known(dataset.clone())) as _);
    let limit = plan.max_images.unwrap_or(u64::MAX) as usize;
    let work = Box::new(work(&source, &dataset, &changes, GroupSet::all(labelers.count()), stop).take(limit));
    let prepare = PrepareOptions { twins: twins.clone(), ..plan.prepare(labelers.geometries()) };
    let devices = vec![Device::new(labelers.labelers, &prepare.geometries, twins)];
    let options = RunOptions { images_per_batch: plan.config.run.batch, threads: plan.threads() };
    let ending = if plan.max_images.is_some() { Ending::Early } else { Ending::Complete };
    let written = pipeline::run(Run { work, prepare, devices, sink, options, ending, stop, progress }, report)?;
    report.take_written(&written, rows_before);
    Ok(())
}

/// The first walk: what is new, changed, stale and gone. Stops a run that would lose rows before
/// anything is written.
fn survey(
    plan: &RunPlan,
    source: &dyn Source,
    dataset: &mut Dataset,
    report: &mut RunReport,
) -> anyhow::Result<Changes> {
    let mut reconciler = dataset.reconcile(plan.reconcile);
    let mut walk = source.walk();
    walk.by_ref().for_each(|image| reconciler.observe(&image.id));
    let walked = walk.report();
    if walked.found == 0 && !walked.errors.is_empty() {
        anyhow::bail!("nothing could be looked at: {}", walked.errors.join("; "));
    }
    // A run that is limited does not see its work through, so it makes nothing gone.
    let complete = if plan.max_images.is_some() { &[][..] } else { &walked.complete_roots };
    let changes = reconciler.finish(complete)?;
    report.take_changes(&changes);
    report.walk_errors = walked.errors;
    report.links_passed_over = walked.links_passed_over;
    Ok(changes)
}

/// The second walk's new images, then the committed rows that are made anew, part by part.
fn work<'a>(
    source: &'a dyn Source,
    dataset: &'a Dataset,
    changes: &Changes,
    everything: GroupSet,
    stop: &'a Stop,
) -> impl Iterator<Item = WorkItem> + Send + 'a {
    let new = source
        .walk()
        .filter(|image| dataset.ledger().find(&image.id).is_none())
        .map(move |image| WorkItem { image, destination: Destination::Append, groups: everything });
    let anew = dataset.replacements(changes).map_while(|replacement| {
        replacement
            .inspect_err(|error| {
                tracing::error!("{error}");
                stop.fail();
            })
            .ok()
    });
    let anew = anew.filter_map(|row| {
        let image = source.locate(&row.root, &row.path)?;
        Some(WorkItem { image, destination: row.destination, groups: row.groups })
    });
    new.chain(anew)
}

/// The rows that are committed already, asked for labels of equal files.
struct Known(Arc<Dataset>);

impl Twins for Known {
    fn find(&self, blake3: &str, groups: GroupSet) -> Option<Twin> {
        let at = self.0.ledger().find_by_blake3(blake3)?;
        self.0.current_groups(at).contains(groups).then_some(Twin { part: at.part, row: at.row })
    }

    fn labels(&self, twins: &[Twin], groups: GroupSet) -> anyhow::Result<Vec<LabelColumn>> {
        let rows: Vec<RowAt> = twins.iter().map(|twin| RowAt { part: twin.part, row: twin.row }).collect();
        Ok(self.0.labels(&rows, groups)?)
    }
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

/// Three things that make sense next; after a run without models, the presets that have some.
fn next_steps(plan: &RunPlan, report: &RunReport) -> Vec<String> {
    let out = plan.out.display();
    let columns = if report.models.is_empty() { "uri, generator, prompt" } else { "uri, prompt, style, tags[1:3]" };
    let mut lines = vec![
        "next".to_owned(),
        format!("  look at it   duckdb -c \"select {columns} from '{out}/*.parquet'\""),
        format!("  check it     labelmill verify {out}"),
    ];
    if report.models.is_empty() {
        let presets = PRESETS.iter().map(|(name, purpose, _)| format!("  --preset {name:<9} {purpose}"));
        lines.push(format!("  label more   labelmill run {} --preset NAME", report.roots.join(" ")));
        lines.extend(presets.map(|preset| format!("             {preset}")));
    } else {
        lines.push("  your own     labelmill run my-pictures/".to_owned());
    }
    lines
}

/// `labelmill plan`: what `run` would do, and the resolved configuration; nothing is written.
pub fn plan(args: &RunArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let plan = RunPlan::resolve(args)?;
    let source = plan.source()?;
    let labelers = load_labelers(&plan, &progress::Hidden)?;
    let mut report = RunReport::begin(&plan.out, &plan.root_names());
    if plan.out.is_dir() {
        let mut dataset = Dataset::open(&plan.out, dataset_spec(&plan, &labelers), Arc::new(RealFs))?;
        let changes = survey(&plan, &source, &mut dataset, &mut report)?;
        report.gone = changes.counts.gone;
    } else {
        report.found = source.walk().count() as u64;
        report.new = report.found;
    }
    let RunReport { found, new, changed, retried, stale, reused, gone, .. } = &report;
    writeln!(out, "# found {found}: {new} new, {changed} changed, {retried} retried, {stale} stale, {reused} unchanged")?;
    writeln!(out, "# gone {gone}")?;
    for (group, rows) in &report.stale_groups {
        writeln!(out, "# stale: {rows} rows, {group}")?;
    }
    for error in &report.walk_errors {
        writeln!(out, "# not seen: {error}")?;
    }
    writeln!(out, "# dataset: {}", plan.out.display())?;
    write!(out, "{}", plan.to_toml())?;
    Ok(ExitStatus::Done)
}
