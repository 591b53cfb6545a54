//! A run's numbers for Prometheus, as node_exporter's textfile collector reads them: the way to
//! watch a job that cron starts and that is gone when anybody asks.

use std::fmt::Write;
use std::path::Path;

use crate::report::RunReport;

/// Writes the metrics of a finished run by rename, so that the collector never reads half of them.
/// The collector only reads names that end in `.prom`, so the temporary name does not.
pub fn write_textfile(report: &RunReport, path: &Path) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    std::fs::write(&temporary, render(report))?;
    std::fs::rename(temporary, path)
}

fn render(report: &RunReport) -> String {
    let out = escape(&report.out);
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(String, f64)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP labelmill_{name} {help}\n# TYPE labelmill_{name} gauge");
        for (labels, value) in values {
            let _ = writeln!(text, "labelmill_{name}{{out=\"{out}\"{labels}}} {value}");
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    let ended = report
        .ended_at
        .parse::<jiff::Timestamp>()
        .map_or(0.0, |time| time.as_second() as f64);
    gauge(
        "last_run_end_timestamp_seconds",
        "When the last run ended.",
        &one(ended),
    );
    gauge(
        "last_run_duration_seconds",
        "How long it took.",
        &one(report.elapsed_secs),
    );
    gauge(
        "last_run_complete",
        "1 when all work was done.",
        &one(f64::from(u8::from(report.complete))),
    );
    if report.opened {
        gauge(
            "dataset_rows",
            "Rows in the dataset.",
            &one(report.rows_in_dataset as f64),
        );
    }
    let counts = [
        ("found", report.found),
        ("labeled", report.labeled),
        ("failed", report.failed),
        ("reused", report.reused),
        ("new", report.new),
        ("changed", report.changed),
        ("stale", report.stale),
        ("gone", report.gone),
        ("not_reached", report.not_reached),
    ];
    let images: Vec<(String, f64)> = counts
        .iter()
        .map(|(state, count)| (format!(",state=\"{state}\""), *count as f64))
        .collect();
    gauge("last_run_images", "Images by what the last run did with them.", &images);
    let failures: Vec<(String, f64)> = report
        .failures
        .iter()
        .map(|(kind, count)| (format!(",kind=\"{kind}\""), *count as f64))
        .collect();
    gauge("last_run_failures", "Failed rows of the last run by kind.", &failures);
    let stages: Vec<(String, f64)> = report
        .stage_secs
        .iter()
        .map(|(stage, secs)| (format!(",stage=\"{stage}\""), *secs))
        .collect();
    gauge("last_run_stage_seconds", "Seconds of the last run by stage.", &stages);
    text
}

/// Label values escape backslash, quote and line feed (Prometheus text format 0.0.4).
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_text_format() {
        let mut report = RunReport {
            out: "/a \"b\"".into(),
            found: 3,
            labeled: 2,
            failed: 1,
            ..RunReport::default()
        };
        report.failures.insert("truncated", 1);
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("labelmill.prom");
        write_textfile(&report, &path).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(
            text.contains("labelmill_last_run_images{out=\"/a \\\"b\\\"\",state=\"found\"} 3\n"),
            "{text}"
        );
        assert!(
            text.contains("labelmill_last_run_failures{out=\"/a \\\"b\\\"\",kind=\"truncated\"} 1\n"),
            "{text}"
        );
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
