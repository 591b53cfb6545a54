//! `labelmill run` and `labelmill plan`.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::fingerprint;
use super::interrogate::{Readiness, is_end};
use super::missing::{self, Consent};
use super::models::{Labelers, known_by_name, load_labelers};
use crate::cli::{LogFormat, MessageArgs, RunArgs};
use crate::config::{self, BatchSize, Config, PRESETS, PromptConfig, PromptStep};
use crate::exit::ExitStatus;
use crate::metrics;
use crate::model::{ModelError, ModelStore};
use crate::pipeline::{self, Device, Run, RunOptions};
use crate::plan::{RunPlan, recorded};
use crate::prepare::PrepareOptions;
use crate::progress::{self, Progress};
use crate::record::{Destination, GroupSet, LabelColumn, Twin, Twins, WorkItem};
use crate::report::RunReport;
use crate::source::{Source, path_text};
use crate::stop::{Stop, StopReason};
use crate::write::{
    self, BOOKKEEPING_DIR, Changes, ColumnGroup, Dataset, DatasetSpec, Ending, Permission, PromptPolicy, PromptRoute,
    PromptSource, RealFs, RowAt, WriteOptions,
};

/// `labelmill run`
pub fn run(args: &RunArgs, messages: &MessageArgs) -> anyhow::Result<ExitStatus> {
    let started = Instant::now();
    let plan = RunPlan::resolve(args)?;
    let consent = match plan.pull_missing {
        Permission::Granted => Consent::Given,
        Permission::Refused => Consent::Ask,
    };
    let store = ModelStore::from_environment(plan.config_folder.as_deref());
    missing::pull(&store, &missing::names(&plan.config), consent, messages)?;
    let stop = Stop::new(plan.max_duration.map(|limit| started + limit));
    stop.on_signals().context("listening for signals")?;
    let progress = progress::choose(messages.quiet, messages.no_progress);
    let mut report = RunReport::begin(&plan.out, &plan.root_names());

    let outcome = open_and_label(&plan, &stop, progress.as_ref(), &mut report);
    progress.finish();
    report.end(started, stop.reason(), outcome.as_ref().err());
    if let Err(error) = keep_records(&plan, &report, &outcome) {
        // The run's own error matters more than one of telling about it.
        outcome.inspect_err(|_| tracing::warn!("{error:#}"))?;
        return Err(error);
    }
    let is_first = outcome?;
    if messages.log == LogFormat::Json {
        report.log();
    } else {
        let next = if is_first {
            next_steps(&plan, &report)
        } else {
            Vec::new()
        };
        report
            .closing_lines()
            .into_iter()
            .chain(next)
            .for_each(|line| eprintln!("{line}"));
    }
    Ok(status(&plan, &report, &stop))
}

/// Loads the models, opens the dataset and labels; says whether the dataset was empty before.
fn open_and_label(
    plan: &RunPlan,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut RunReport,
) -> anyhow::Result<bool> {
    let labelers = match load_labelers(plan, progress, Readiness::ToLabel(stop)) {
        Err(error) if is_end(&error) && stop.is_asked() => {
            tracing::warn!("{error:#}");
            return Ok(false);
        }
        loaded => loaded?,
    };
    labelers.describe(report);
    let dataset = Dataset::open(&plan.out, dataset_spec(plan, &labelers), Arc::new(RealFs))?;
    report.opened = true;
    report.rows_in_dataset = dataset.ledger().len() as u64;
    let is_first = dataset.ledger().is_empty();
    let outcome = label(plan, labelers, dataset, stop, progress, report);
    // Asked of the parts themselves, so that it holds after an error too.
    match write::count_rows(&plan.out) {
        Ok(rows) => report.rows_in_dataset = rows,
        Err(error) if outcome.is_ok() => return Err(error.into()),
        // The run's own error says more.
        Err(_) => {}
    }
    outcome.map(|()| is_first)
}

/// Summary, plan and metrics. A run that never got to the dataset, since another holds it, leaves
/// that one's records alone.
fn keep_records(plan: &RunPlan, report: &RunReport, outcome: &anyhow::Result<bool>) -> anyhow::Result<()> {
    let locked = outcome
        .as_ref()
        .err()
        .is_some_and(|error| super::status_of(error) == ExitStatus::Locked);
    if let (Some(path), false) = (&plan.metrics_textfile, locked) {
        metrics::write_textfile(report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    if report.opened {
        let bookkeeping = plan.out.join(BOOKKEEPING_DIR);
        report.write_json(&bookkeeping).context("writing run-summary.json")?;
    }
    Ok(())
}

/// Everything between opening the dataset and the summary: what is to be done, and doing it.
fn label(
    plan: &RunPlan,
    mut labelers: Labelers,
    mut dataset: Dataset,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut RunReport,
) -> anyhow::Result<()> {
    let source = plan.source()?;
    let has_rows = !dataset.ledger().is_empty();
    let changes = survey(plan, &source, &mut dataset, stop, report)?;
    if stop.is_asked() {
        return Ok(());
    }
    let due = (report.found - report.reused).min(plan.max_images.unwrap_or(u64::MAX));
    let images_per_batch = fit_batches(plan, &mut labelers, due, progress, report)?;
    progress.start(due);
    recorded::write(plan, &dataset.bookkeeping_dir()).context("recording the plan")?;

    let sink = Box::new(dataset.sink(&changes)?);
    let dataset = Arc::new(dataset);
    let twins: Option<Arc<dyn Twins>> =
        (labelers.count() > 0 && has_rows).then(|| Arc::new(Known(dataset.clone())) as _);
    let limit = plan.max_images.unwrap_or(u64::MAX) as usize;
    let work = Box::new(work(&source, &dataset, &changes, GroupSet::all(labelers.count()), stop).take(limit));
    let prepare = PrepareOptions {
        twins: twins.clone(),
        ..plan.prepare(labelers.geometries())
    };
    let devices = labelers
        .per_device
        .into_iter()
        .map(|of_device| Device::new(of_device, &prepare.geometries, twins.clone()))
        .collect();
    let options = RunOptions {
        images_per_batch,
        threads: plan.threads(),
    };
    let ending = if plan.max_images.is_some() {
        Ending::Early
    } else {
        Ending::Complete
    };
    let written = pipeline::run(
        Run {
            work,
            prepare,
            devices,
            sink,
            options,
            ending,
            stop,
            progress,
        },
        report,
    )?;
    report.take_written(&written);
    Ok(())
}

/// Images that travel together where the configuration does not say: a multiple of every batch that
/// is chosen for a model, but those that are larger.
const IMAGES_PER_BATCH: usize = 32;

/// Chooses the models' batches where the plan leaves them open, tells them, and gives the images
/// that travel together.
fn fit_batches(
    plan: &RunPlan,
    labelers: &mut Labelers,
    due: u64,
    progress: &dyn Progress,
    report: &mut RunReport,
) -> anyhow::Result<usize> {
    let images_per_batch = match plan.config.run.batch {
        BatchSize::Of(images) => return Ok(images),
        BatchSize::Auto => IMAGES_PER_BATCH,
    };
    if due == 0 {
        return Ok(images_per_batch);
    }
    let choices = labelers.fit_batches(due)?;
    for choice in &choices {
        progress.say(&format!("batch of {choice}"));
    }
    report.batches = choices.iter().map(ToString::to_string).collect();
    let largest = choices.iter().map(|choice| choice.batch).max();
    Ok(images_per_batch.max(largest.unwrap_or(0)))
}

/// The first walk: what is new, changed, stale and gone. Stops a run that would lose rows before
/// anything is written.
fn survey(
    plan: &RunPlan,
    source: &dyn Source,
    dataset: &mut Dataset,
    stop: &Stop,
    report: &mut RunReport,
) -> anyhow::Result<Changes> {
    let walking = Instant::now();
    let mut reconciler = dataset.reconcile(plan.reconcile);
    let mut walk = source.walk();
    let mut found_in: BTreeMap<Arc<str>, u64> = plan.root_names().into_iter().map(|name| (name, 0)).collect();
    walk.by_ref().take_while(|_| !stop.is_asked()).for_each(|image| {
        *found_in.entry(image.id.root.clone()).or_default() += 1;
        reconciler.observe(&image.id);
    });
    let walked = walk.report();
    report.walk_errors = walked.errors;
    report.links_passed_over = walked.links_passed_over;
    report.stage_secs.insert("walk", walking.elapsed().as_secs_f64());
    if let Some((root, _)) = found_in.iter().find(|(_, found)| **found == 0)
        && plan.reconcile.allow_gone == Permission::Refused
        && !stop.is_asked()
    {
        let why = report
            .walk_errors
            .first()
            .map(|error| format!(" ({error})"))
            .unwrap_or_default();
        anyhow::bail!("no image is under {root}{why}; is it mounted? (--allow-gone goes on without it)");
    }
    // A run that is limited or interrupted does not see everything, so it makes nothing gone.
    let is_whole = plan.max_images.is_none() && !stop.is_asked();
    let mut changes = reconciler.finish(if is_whole { &walked.complete_roots } else { &[] })?;
    let kept = dataset.keep_present(&mut changes, |root, path| source.has(root, path))?;
    if kept > 0 {
        tracing::warn!(
            images = kept,
            "the walk did not come by images that are there; their rows stay"
        );
    }
    report.take_changes(&changes);
    if changes.counts.gone > 0
        && plan.reconcile.allow_gone == Permission::Refused
        && let Some(how) = recorded::narrowed(plan)?
    {
        anyhow::bail!(
            "{} labeled images are not found any more, and this run takes less than the one before ({how}); \
             --allow-gone takes them out of the dataset",
            changes.counts.gone
        );
    }
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
    // Where the first walk met nothing new, a second would only cost its time.
    let walk = (changes.counts.new > 0).then(|| source.walk());
    let new = walk
        .into_iter()
        .flatten()
        .take_while(|_| !stop.is_asked())
        .filter(|image| dataset.ledger().find(&image.id).is_none())
        .map(move |image| WorkItem {
            image,
            destination: Destination::Append,
            groups: everything,
        });
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
        Some(WorkItem {
            image,
            destination: row.destination,
            groups: row.groups,
        })
    });
    new.chain(anew)
}

/// The rows that are committed already, asked for labels of equal files.
struct Known(Arc<Dataset>);

impl Twins for Known {
    fn find(&self, blake3: &str, groups: GroupSet) -> Option<Twin> {
        let at = self.0.ledger().find_by_blake3(blake3)?;
        self.0.current_groups(at).contains(groups).then_some(Twin {
            part: at.part,
            row: at.row,
        })
    }

    fn labels(&self, twins: &[Twin], groups: GroupSet) -> anyhow::Result<Vec<LabelColumn>> {
        let rows: Vec<RowAt> = twins
            .iter()
            .map(|twin| RowAt {
                part: twin.part,
                row: twin.row,
            })
            .collect();
        Ok(self.0.labels(&rows, groups)?)
    }
}

/// What the dataset holds under this plan.
fn dataset_spec(plan: &RunPlan, labelers: &Labelers) -> DatasetSpec {
    let metadata = &plan.config.metadata;
    let prompt = prompt_policy(&plan.config.prompt, labelers);
    let fingerprint = fingerprint::of_metadata(metadata, &prompt);
    let mut groups = vec![ColumnGroup {
        name: "metadata".into(),
        fingerprint,
        fields: Vec::new(),
    }];
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
        prompt,
        root_folders: plan
            .roots
            .iter()
            .map(|root| (root.name.to_string(), path_text(&root.folder)))
            .collect(),
    }
}

/// Where prompts come from: of what the configuration names, that which the plan's models make.
fn prompt_policy(config: &PromptConfig, labelers: &Labelers) -> PromptPolicy {
    let groups = labelers.groups();
    let fields = || {
        groups
            .iter()
            .flat_map(|group| &group.fields)
            .map(|field| field.name().as_str())
    };
    // The plain name where there is one, else the first with a prefix.
    let column = |name: &str| {
        let prefixed = || fields().find(|field| field.ends_with(&format!("_{name}")));
        fields()
            .find(|field| *field == name)
            .or_else(prefixed)
            .map(str::to_owned)
    };
    let source = |step: &PromptStep| {
        Some(match step {
            PromptStep::Metadata => PromptSource::Metadata,
            PromptStep::Interrogate => PromptSource::Interrogated {
                column: column("clip_prompt")?,
            },
            PromptStep::Tags => PromptSource::Tags {
                prefix: column("tags")?.strip_suffix("tags").unwrap_or_default().to_owned(),
                threshold: config.tag_threshold as f32,
            },
        })
    };
    let route = |route: &config::PromptRoute| {
        Some(PromptRoute {
            column: column("style")?,
            styles: route.style.clone(),
            instead: source(&route.use_instead)?,
        })
    };
    PromptPolicy {
        order: config.order.iter().filter_map(source).collect(),
        routes: config.route.iter().filter_map(route).collect(),
    }
}

fn status(plan: &RunPlan, report: &RunReport, stop: &Stop) -> ExitStatus {
    match stop.reason() {
        Some(StopReason::Signal(signal_hook::consts::SIGINT)) => ExitStatus::Interrupted,
        Some(StopReason::Signal(_)) => ExitStatus::Terminated,
        _ if plan
            .max_failed
            .is_some_and(|limit| limit.is_exceeded(report.failed, report.found)) =>
        {
            ExitStatus::TooManyFailed
        }
        _ => ExitStatus::Done,
    }
}

/// Three things that make sense next; after a run without models, the presets that have some.
fn next_steps(plan: &RunPlan, report: &RunReport) -> Vec<String> {
    let out = plan.out.display();
    let columns = if report.models.is_empty() {
        "uri, generator, prompt"
    } else {
        "uri, prompt, prompt_source, style, tags[1:3]"
    };
    let mut lines = vec![
        "next".to_owned(),
        format!("  look at it   duckdb -c \"select {columns} from '{out}/*.parquet'\""),
        format!("  check it     labelmill verify {out}"),
    ];
    if report.models.is_empty() {
        let store = ModelStore::from_environment(None);
        let presets = PRESETS.iter().map(|(name, purpose, text)| {
            let names = Config::parse(text, name).map(|config| missing::names(&config));
            let download = missing::download_in_words(&store, &names.unwrap_or_default());
            format!("  --preset {name:<9} {purpose}; {download}")
        });
        lines.push(format!(
            "  label more   labelmill run {} --preset NAME",
            report.roots.join(" ")
        ));
        lines.extend(presets.map(|preset| format!("             {preset}")));
    } else {
        lines.push("  your own     labelmill run my-pictures/".to_owned());
    }
    lines
}

/// `labelmill plan`: what `run` would do, and the resolved configuration; nothing is written. Where
/// a guard would stop the run, the counts come all the same, then its error.
pub fn plan(args: &RunArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let plan = RunPlan::resolve(args)?;
    let source = plan.source()?;
    let labelers = match load_labelers(&plan, &progress::Hidden, Readiness::ToTell) {
        Err(error) if matches!(error.downcast_ref(), Some(ModelError::RuntimeNotFound(_))) => {
            let note = "no ONNX Runtime was found: models are known by name; whether one has changed is not known";
            writeln!(out, "# {note}")?;
            known_by_name(&plan)?
        }
        loaded => loaded?,
    };
    let mut report = RunReport::begin(&plan.out, &plan.root_names());
    let mut stopped = None;
    if plan.out.is_dir() {
        let mut dataset = Dataset::peek(&plan.out, dataset_spec(&plan, &labelers))?;
        let mut look = |plan: &RunPlan| survey(plan, &source, &mut dataset, &Stop::new(None), &mut report);
        let changes = match look(&plan) {
            Ok(changes) => changes,
            Err(error) => {
                stopped = Some(error);
                look(&plan.clone().without_guards())?
            }
        };
        report.gone = changes.counts.gone;
    } else {
        report.found = source.walk().count() as u64;
        report.new = report.found;
    }
    let RunReport {
        found,
        new,
        changed,
        retried,
        stale,
        reused,
        gone,
        ..
    } = &report;
    writeln!(
        out,
        "# found {found}: {new} new, {changed} changed, {retried} retried, {stale} stale, {reused} unchanged"
    )?;
    writeln!(out, "# gone {gone}")?;
    for (group, rows) in &report.stale_groups {
        writeln!(out, "# stale: {rows} rows, {group}")?;
    }
    for error in &report.walk_errors {
        writeln!(out, "# not seen: {error}")?;
    }
    writeln!(out, "# dataset: {}", plan.out.display())?;
    write!(out, "{}", plan.to_toml())?;
    match stopped {
        Some(error) => Err(error.context("this run would be stopped")),
        None => Ok(ExitStatus::Done),
    }
}
