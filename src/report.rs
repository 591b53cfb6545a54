//! What a run did: counted while it runs, written as `run-summary.json`, and said in a few lines
//! at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::clock::StageClock;
use crate::progress::{human_bytes, human_duration};
use crate::record::{GroupSet, ImageRecord, MetadataStatus};
use crate::stop::StopReason;
use crate::write::{Changes, WriteReport};

/// Everything a summary tells.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RunReport {
    /// Whether the dataset was opened at all.
    #[serde(skip)]
    pub opened: bool,
    /// labelmill's version.
    pub version: &'static str,
    /// Start, RFC 3339.
    pub started_at: String,
    /// End, RFC 3339.
    pub ended_at: String,
    /// Seconds from start to end.
    pub elapsed_secs: f64,
    /// Whether all work was done; false when a limit, a signal or an error ended the run.
    pub complete: bool,
    /// Why the run ended early.
    pub ended_by: Option<String>,
    /// Dataset folder.
    pub out: String,
    /// Roots by name.
    pub roots: Vec<String>,
    /// Models that labeled, in order.
    pub models: Vec<String>,
    /// Whether demo models spoke.
    pub demo: bool,
    /// Device the models ran on.
    pub device: Option<String>,
    /// The batch that was chosen for each model, and why; empty where the configuration says it.
    pub batches: Vec<String>,
    /// Images found by the walk: labeled + failed + reused (+ not reached, when ended early).
    pub found: u64,
    /// Rows made in this run without a failure.
    pub labeled: u64,
    /// Rows made in this run that failed.
    pub failed: u64,
    /// Rows of an earlier run that still hold.
    pub reused: u64,
    /// Images that an early end left for the next run.
    pub not_reached: u64,
    /// Images seen for the first time.
    #[serde(rename = "first_seen")]
    pub new: u64,
    /// Images whose file changed.
    pub changed: u64,
    /// Failed rows that were tried again.
    pub retried: u64,
    /// Images with column groups to make anew.
    pub stale: u64,
    /// Which, and why.
    pub stale_groups: BTreeMap<String, u64>,
    /// Rows that left the dataset because their file is gone.
    pub gone: u64,
    /// Rows whose labels were copied from an equal file (BLAKE3).
    pub copied: u64,
    /// Failed rows by kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// One example a kind.
    pub failure_examples: BTreeMap<&'static str, String>,
    /// Rows by metadata status.
    pub metadata: BTreeMap<&'static str, u64>,
    /// Rows with a prompt by generator.
    pub generators: BTreeMap<String, u64>,
    /// Rows that each labeler labeled.
    pub labelers: BTreeMap<String, u64>,
    /// Folders and files that the walk could not look at.
    pub walk_errors: Vec<String>,
    /// Symbolic links passed over.
    pub links_passed_over: u64,
    /// Parts written or rewritten.
    pub parts_written: u64,
    /// Bytes of these parts.
    pub bytes_written: u64,
    /// Rows in the dataset after the run.
    pub rows_in_dataset: u64,
    /// Seconds a stage.
    pub stage_secs: BTreeMap<&'static str, f64>,
    /// The images that took longest to read and decode, in seconds.
    pub slowest: Vec<(String, f64)>,
}

impl RunReport {
    /// A report of a run that begins now.
    pub fn begin(out: &Path, roots: &[std::sync::Arc<str>]) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started_at: now(),
            out: out.display().to_string(),
            roots: roots.iter().map(ToString::to_string).collect(),
            ..Self::default()
        }
    }

    /// The run is over; `reason` or `error` says why it ended early, if it did.
    pub fn end(&mut self, started: Instant, reason: Option<StopReason>, error: Option<&anyhow::Error>) {
        self.ended_at = now();
        self.elapsed_secs = started.elapsed().as_secs_f64();
        self.not_reached = self.found.saturating_sub(self.labeled + self.failed + self.reused);
        self.ended_by = match reason {
            _ if error.is_some() => error.map(|error| format!("an error: {error:#}")),
            Some(StopReason::Signal(signal)) => Some(format!("signal {signal}")),
            Some(StopReason::Deadline) => Some("the time limit".to_owned()),
            Some(StopReason::Failed) => Some("an error".to_owned()),
            None if self.not_reached > 0 => Some("the limit of images".to_owned()),
            None => None,
        };
        self.complete = self.ended_by.is_none();
    }

    /// Takes over what the walk and the ledger say is to be done.
    pub fn take_changes(&mut self, changes: &Changes) {
        let counts = changes.counts;
        self.found = counts.found;
        self.new = counts.new;
        self.changed = counts.changed;
        self.retried = counts.retried;
        self.stale = counts.stale;
        self.reused = counts.unchanged;
        self.stale_groups.clear();
        for group in &changes.stale_groups {
            *self
                .stale_groups
                .entry(format!("{} ({:?})", group.group, group.reason).to_lowercase())
                .or_default() += group.rows;
        }
    }

    /// Takes over what the writer did.
    pub fn take_written(&mut self, written: &WriteReport) {
        self.parts_written = written.parts_added + written.parts_rewritten;
        self.bytes_written = written.bytes_written;
        self.gone = written.rows_removed;
    }

    /// Counts one finished row.
    pub fn count(&mut self, record: &ImageRecord) {
        match &record.failure {
            None => self.labeled += 1,
            Some(failure) => {
                self.failed += 1;
                let kind = failure.kind.as_str();
                *self.failures.entry(kind).or_default() += 1;
                self.failure_examples
                    .entry(kind)
                    .or_insert_with(|| format!("{}: {}", record.id.path, failure.message));
            }
        }
        *self.metadata.entry(record.recovered.status.as_str()).or_default() += 1;
        if let (MetadataStatus::Prompt, Some(generator)) = (record.recovered.status, &record.recovered.generator) {
            *self.generators.entry(generator.clone()).or_default() += 1;
        }
    }

    /// Counts rows that the labelers in `groups` made.
    pub fn count_labelers(&mut self, groups: GroupSet, rows: u64) {
        for (index, model) in self.models.iter().enumerate() {
            if groups.contains(GroupSet::labeler(index)) {
                *self.labelers.entry(model.clone()).or_default() += rows;
            }
        }
    }

    /// The summary as one log event, for logs that machines read.
    pub fn log(&self) {
        let Self {
            found,
            labeled,
            failed,
            reused,
            new,
            changed,
            stale,
            gone,
            copied,
            ..
        } = self;
        let Self {
            rows_in_dataset,
            parts_written,
            complete,
            elapsed_secs,
            out,
            ..
        } = self;
        tracing::info!(
            found,
            labeled,
            failed,
            reused,
            first_seen = new,
            changed,
            stale,
            gone,
            copied,
            rows_in_dataset,
            parts_written,
            complete,
            elapsed_secs,
            out,
            "done"
        );
    }

    /// Takes over the stages' times.
    pub fn take_clock(&mut self, clock: &StageClock) {
        self.slowest = clock.slowest.images();
        self.copied = clock.copied.load(std::sync::atomic::Ordering::Relaxed);
        for (stage, watch) in clock.stages() {
            self.stage_secs.insert(stage, watch.total().as_secs_f64());
        }
    }

    /// The closing summary: what it did, what it found, where the data is.
    pub fn closing_lines(&self) -> Vec<String> {
        let mut lines = vec![self.headline()];
        if self.changed + self.stale + self.gone + self.copied > 0 || self.reused > 0 {
            lines.push(format!(
                "changes      {} new, {} changed, {} stale, {} gone, {} reused{}",
                self.new,
                self.changed,
                self.stale,
                self.gone,
                self.reused,
                if self.copied > 0 {
                    format!(", {} copied from equal files", self.copied)
                } else {
                    String::new()
                }
            ));
        }
        if self.labeled + self.failed > 0 {
            lines.push(self.metadata_line());
        }
        if !self.models.is_empty() {
            let demo = if self.demo {
                " (demo models, for trying out)"
            } else {
                ""
            };
            let device = self.device.as_deref().map(|d| format!(" on {d}")).unwrap_or_default();
            lines.push(format!("models       {}{device}{demo}", self.models.join(", ")));
            lines.extend(self.batches.iter().map(|batch| format!("batch        {batch}")));
        }
        lines.extend(self.time_line());
        if self.failed > 0 {
            let kinds: Vec<String> = self
                .failures
                .iter()
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            lines.push(format!("failed       {} (rows with status = failed)", kinds.join(", ")));
        }
        if !self.walk_errors.is_empty() {
            lines.push(format!(
                "not seen     {} ({} such places)",
                self.walk_errors[0],
                self.walk_errors.len()
            ));
        }
        lines.push(format!(
            "dataset      {}/*.parquet ({} rows; this run wrote {} parts, {})",
            self.out,
            self.rows_in_dataset,
            self.parts_written,
            human_bytes(self.bytes_written)
        ));
        lines
    }

    fn headline(&self) -> String {
        let elapsed = std::time::Duration::from_secs_f64(self.elapsed_secs);
        let rate = (self.labeled + self.failed) as f64 / self.elapsed_secs.max(1e-9);
        let early = self
            .ended_by
            .as_ref()
            .map(|why| format!("; ended early by {why}, {} left", self.not_reached));
        format!(
            "found {} images: {} labeled, {} failed, {} reused in {} ({rate:.0} images/s){}",
            self.found,
            self.labeled,
            self.failed,
            self.reused,
            human_duration(elapsed),
            early.unwrap_or_default()
        )
    }

    /// What the models' time went to, and the writer's share of the whole; none without models.
    fn time_line(&self) -> Option<String> {
        let secs = |stage| self.stage_secs.get(stage).copied().unwrap_or(0.0);
        let (waiting, model) = (secs("waiting_for_pictures"), secs("model"));
        let of_models = waiting + model;
        if self.models.is_empty() || self.labeled + self.failed == 0 || of_models <= 0.0 {
            return None;
        }
        let percent = |part: f64, whole: f64| (100.0 * part / whole).round();
        Some(format!(
            "time         models {}% at work, {}% waiting for pictures; writing {}% of the run",
            percent(model, of_models),
            percent(waiting, of_models),
            percent(secs("write"), self.elapsed_secs.max(1e-9))
        ))
    }

    fn metadata_line(&self) -> String {
        let prompts = self.metadata.get("prompt").copied().unwrap_or(0);
        let mut generators: Vec<(&String, &u64)> = self.generators.iter().collect();
        generators.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let top: Vec<String> = generators
            .iter()
            .take(5)
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let of = if top.is_empty() {
            String::new()
        } else {
            format!(" ({})", top.join(", "))
        };
        format!("prompts      {prompts} recovered from metadata{of}")
    }

    /// Writes the summary as JSON to `run-summary.json` and `runs/START.json`, by rename so that a
    /// reader never sees half of it.
    pub fn write_json(&self, folder: &Path) -> std::io::Result<()> {
        let runs = folder.join("runs");
        std::fs::create_dir_all(&runs)?;
        let started = self.started_at.replace([':', '-'], "");
        self.write_to(&runs.join(format!("{started}.json")))?;
        self.write_to(&folder.join("run-summary.json"))
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let temporary = path.with_extension("json.tmp");
        let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
        written.inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_where_the_time_went() {
        let mut report = RunReport {
            labeled: 7,
            elapsed_secs: 20.0,
            stage_secs: BTreeMap::from([("waiting_for_pictures", 30.0), ("model", 10.0), ("write", 0.4)]),
            ..RunReport::default()
        };
        assert_eq!(report.time_line(), None, "no model, nothing that waits");
        report.models = vec!["a".to_owned()];
        // Two devices: their seconds add up to more than the run's.
        let told = "time         models 25% at work, 75% waiting for pictures; writing 2% of the run";
        assert_eq!(report.time_line().as_deref(), Some(told));
        assert!(report.closing_lines().contains(&told.to_owned()));
        report.labeled = 0;
        assert_eq!(report.time_line(), None, "nothing was done");
    }
}
