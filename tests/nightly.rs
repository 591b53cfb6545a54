//! The nightly job: what a second run does and does not do, what its guards refuse, what it tells.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use arrow::array::RecordBatch;
use arrow::compute::{sort_to_indices, take_record_batch};

use crate::support::{
    Finished, arg, dataset, labelmill, repository, samples, summary, temporary_folder, texts, without_time,
};

/// Pictures of a [`Job`] at its start; two of them are as many as may be gone at once (`max_gone`).
const PICTURES: u8 = 10;

/// A folder of small pictures and its dataset.
struct Job {
    dir: tempfile::TempDir,
    pictures: PathBuf,
    out: PathBuf,
}

impl Job {
    fn new() -> Self {
        let dir = temporary_folder();
        let job = Self {
            pictures: dir.path().join("pictures"),
            out: dir.path().join("out"),
            dir,
        };
        fs::create_dir(&job.pictures).expect("a folder");
        for number in 0..PICTURES {
            job.draw(&format!("{number}.png"), number);
        }
        job
    }

    /// A picture whose pixels depend on `shade` alone.
    fn draw(&self, name: &str, shade: u8) {
        draw(&self.pictures.join(name), shade);
    }

    fn run(&self, more: &[&str]) -> Finished {
        self.command("run", more)
    }

    fn command(&self, command: &str, more: &[&str]) -> Finished {
        let mut args = vec![command, arg(&self.pictures), "--out", arg(&self.out)];
        args.extend(more);
        labelmill(&args)
    }

    /// Counts of the last run's summary by name.
    #[track_caller]
    fn must_count(&self, wanted: &[(&str, u64)]) {
        let summary = summary(&self.out);
        for (name, count) in wanted {
            assert_eq!(summary[*name].as_u64(), Some(*count), "{name} of {summary:#}");
        }
    }

    fn rows(&self) -> RecordBatch {
        rows(&self.out)
    }

    /// A configuration that labels with these models of the fixtures, each with a prefix of its own.
    fn config(&self, models: &[&str]) -> String {
        let mut text = String::from("[run]\nbatch = 4\n");
        for model in models {
            let folder = repository().join("tests/fixtures/models").join(model);
            let columns = model.replace('-', "_");
            text += &format!("\n[[model]]\nname = {:?}\ncolumns = {columns:?}\n", arg(&folder));
        }
        let path = self.dir.path().join(format!("{}.toml", models.len()));
        fs::write(&path, text).expect("written");
        arg(&path).to_owned()
    }
}

fn draw(path: &Path, shade: u8) {
    let pixels: Vec<u8> = (0..=255_u8)
        .flat_map(|at| [shade, at % 16 * 16, at / 16 * 16])
        .collect();
    let mut encoder = png::Encoder::new(fs::File::create(path).expect("a new file"), 16, 16);
    encoder.set_color(png::ColorType::Rgb);
    encoder
        .write_header()
        .expect("header")
        .write_image_data(&pixels)
        .expect("the picture is saved");
}

/// The rows of a dataset sorted by uri, without the column that says when they were made.
fn rows(out: &Path) -> RecordBatch {
    let rows = without_time(&dataset(out));
    let order = sort_to_indices(rows.column_by_name("uri").expect("uri"), None, None).expect("sorted");
    take_record_batch(&rows, &order).expect("the rows in that order")
}

/// Every file of a folder with its bytes and the time of its last change, without the bookkeeping.
fn files(out: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(out)
        .expect("a folder")
        .map(|entry| entry.expect("a directory entry").path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| {
            let changed = fs::metadata(&path).and_then(|found| found.modified()).expect("a time");
            (path.clone(), (fs::read(&path).expect("read"), changed))
        })
        .collect()
}

/// Whether `doctor` finds a runtime here; says so once a test if not.
fn has_runtime() -> bool {
    let found = labelmill(&["doctor"]).stdout().contains("ONNX Runtime 1.");
    if !found {
        println!("skipped: no ONNX Runtime here (scripts/fetch-onnxruntime gets one)");
    }
    found
}

#[test]
fn a_second_run_labels_nothing_and_writes_no_part() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    let before = files(&job.out);
    job.run(&[]).must_succeed();
    job.must_count(&[
        ("found", 10),
        ("labeled", 0),
        ("failed", 0),
        ("reused", 10),
        ("parts_written", 0),
    ]);
    assert_eq!(files(&job.out), before);
}

#[test]
fn only_what_is_new_or_changed_is_labeled() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    job.draw("new.png", 100);
    job.run(&[]).must_succeed().must_say("1 new, 0 changed");
    job.must_count(&[
        ("labeled", 1),
        ("first_seen", 1),
        ("changed", 0),
        ("reused", 10),
        ("rows_in_dataset", 11),
    ]);

    let was = texts(&job.rows(), "blake3");
    job.draw("new.png", 101);
    job.run(&[]).must_succeed().must_say("0 new, 1 changed");
    job.must_count(&[
        ("labeled", 1),
        ("first_seen", 0),
        ("changed", 1),
        ("reused", 10),
        ("rows_in_dataset", 11),
    ]);
    let is = texts(&job.rows(), "blake3");
    assert_eq!(was.iter().zip(&is).filter(|(was, is)| was != is).count(), 1);

    let fresh = job.dir.path().join("fresh");
    labelmill(&["run", arg(&job.pictures), "--out", arg(&fresh)]).must_succeed();
    assert_eq!(job.rows(), rows(&fresh));
}

#[test]
fn a_gone_file_leaves_and_many_need_leave() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    fs::remove_file(job.pictures.join("0.png")).expect("removed");
    job.run(&[]).must_succeed().must_say("1 gone");
    job.must_count(&[("gone", 1), ("reused", 9), ("rows_in_dataset", 9)]);

    for number in 1..4 {
        fs::remove_file(job.pictures.join(format!("{number}.png"))).expect("removed");
    }
    let before = files(&job.out);
    job.run(&[]).must_exit(1).must_say("3 of 9").must_say("--allow-gone");
    assert_eq!(files(&job.out), before);
    assert_eq!(
        summary(&job.out)["complete"],
        false,
        "a run that a guard stopped is not complete"
    );
    job.run(&["--allow-gone"]).must_succeed();
    job.must_count(&[("gone", 3), ("rows_in_dataset", 6)]);
    assert_eq!(job.rows().num_rows(), 6);
}

#[test]
fn an_unmounted_root_is_an_error_and_loses_nothing() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    let before = files(&job.out);
    let away = job.dir.path().join("away");
    fs::rename(&job.pictures, &away).expect("renamed");
    job.run(&[]).must_exit(1).must_say(arg(&job.pictures));
    fs::create_dir(&job.pictures).expect("a folder");
    job.run(&[]).must_exit(1).must_say("is it mounted?");
    job.run(&["--max-images", "5"]).must_exit(1).must_say("is it mounted?");
    assert_eq!(files(&job.out), before);
    fs::remove_dir(&job.pictures).expect("removed");
    fs::rename(&away, &job.pictures).expect("renamed");
    job.run(&[]).must_succeed();
    job.must_count(&[("reused", 10), ("labeled", 0)]);
}

#[test]
fn one_of_two_roots_that_is_missing_is_an_error() {
    let job = Job::new();
    let other = job.dir.path().join("other");
    fs::create_dir(&other).expect("a folder");
    draw(&other.join("a.png"), 200);
    job.run(&[arg(&other)]).must_succeed();
    let before = files(&job.out);
    fs::remove_file(other.join("a.png")).expect("removed");
    fs::remove_dir(&other).expect("removed");
    job.run(&[arg(&other)]).must_exit(1).must_say(arg(&other));
    assert_eq!(files(&job.out), before);
}

#[test]
fn another_root_in_the_same_dataset_keeps_the_first() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    let other = job.dir.path().join("other");
    fs::create_dir(&other).expect("a folder");
    draw(&other.join("a.png"), 200);
    labelmill(&["run", arg(&other), "--out", arg(&job.out)]).must_succeed();
    job.must_count(&[("found", 1), ("gone", 0), ("rows_in_dataset", 11)]);
    job.run(&[]).must_succeed();
    job.must_count(&[("found", 10), ("reused", 10), ("gone", 0), ("rows_in_dataset", 11)]);
}

#[test]
fn a_root_under_another_name_does_not_double_its_images() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    for typed in [
        format!("mine={}", arg(&job.pictures)),
        format!("{}/../pictures", arg(&job.pictures)),
    ] {
        let finished = labelmill(&["run", &typed, "--out", arg(&job.out)]);
        assert!(finished.code() <= 2, "{}", finished.stderr());
        let mut uris = texts(&job.rows(), "uri");
        uris.dedup();
        assert_eq!(
            uris.len(),
            job.rows().num_rows(),
            "images are there twice after `run {typed}`"
        );
    }
}

#[test]
fn a_named_root_that_moved_gets_new_uris_and_relabels_nothing() {
    let job = Job::new();
    let run = |folder: &Path| {
        labelmill(&[
            "run",
            &format!("photos={}", arg(folder)),
            "--out",
            arg(&job.out),
            "--config",
            &job.config(&[]),
        ])
        .must_succeed();
    };
    run(&job.pictures);
    let moved = job.dir.path().join("elsewhere");
    fs::rename(&job.pictures, &moved).expect("renamed");
    fs::remove_file(moved.join("3.png")).expect("removed");
    draw(&moved.join("new.png"), 77);
    run(&moved);
    job.must_count(&[("labeled", 1), ("reused", 9), ("gone", 1), ("rows_in_dataset", 10)]);
    let fresh = job.dir.path().join("fresh");
    labelmill(&["run", &format!("photos={}", arg(&moved)), "--out", arg(&fresh)]).must_succeed();
    assert_eq!(job.rows(), rows(&fresh));
    let before = files(&job.out);
    run(&moved);
    assert_eq!(files(&job.out), before);
}

#[test]
fn a_run_that_takes_less_than_the_one_before_takes_nothing_out_unless_told_so() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    let before = files(&job.out);
    let narrower = ["--exclude", "3.png"];
    job.run(&narrower)
        .must_exit(1)
        .must_say("exclude = \"3.png\" is new")
        .must_say("--allow-gone");
    // A limited run takes nothing out, and does not make the filter the dataset's either.
    job.run(&["--exclude", "3.png", "--max-images", "1"]).must_succeed();
    job.run(&narrower).must_exit(1);
    job.command("plan", &narrower)
        .must_exit(1)
        .must_say("found 9: 0 new")
        .must_say("gone 1")
        .must_say("--allow-gone");
    assert_eq!(files(&job.out), before);

    job.run(&["--exclude", "3.png", "--allow-gone"]).must_succeed();
    job.must_count(&[("gone", 1), ("rows_in_dataset", 9)]);
    fs::remove_file(job.pictures.join("4.png")).expect("removed");
    job.run(&narrower).must_succeed();
    job.must_count(&[("gone", 1), ("rows_in_dataset", 8)]);
}

#[test]
fn a_sidecar_that_comes_changes_or_goes_makes_the_metadata_anew_and_runs_no_model() {
    let job = Job::new();
    let config = job.config(if has_runtime() { &["tiny-wd-tagger"] } else { &[] });
    job.run(&["--config", &config]).must_succeed();
    let sidecar = job.pictures.join("3.txt");
    let prompt =
        |text: &str| format!("{text}\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 16x16");
    for text in [Some("a red fox"), Some("a small red fox"), None] {
        match text {
            Some(text) => fs::write(&sidecar, prompt(text)).expect("written"),
            None => fs::remove_file(&sidecar).expect("removed"),
        }
        job.command("plan", &["--config", &config])
            .must_succeed()
            .must_say("0 new, 1 changed, 0 retried, 0 stale, 9 unchanged");
        job.run(&["--config", &config]).must_succeed();
        job.must_count(&[("changed", 1), ("labeled", 1), ("reused", 9)]);
        let labelers = summary(&job.out)["labelers"].as_object().cloned().unwrap_or_default();
        assert!(labelers.values().all(|rows| *rows == 0), "{labelers:?}");
        assert_eq!(texts(&job.rows(), "prompt")[3], text.unwrap_or_default());
        let fresh = job.dir.path().join("fresh");
        let _ = fs::remove_dir_all(&fresh);
        labelmill(&["run", arg(&job.pictures), "--out", arg(&fresh), "--config", &config]).must_succeed();
        assert_eq!(job.rows(), rows(&fresh));
        job.run(&["--config", &config]).must_succeed();
        job.must_count(&[("labeled", 0), ("reused", 10)]);
    }
}

#[test]
fn a_limited_run_makes_nothing_gone_and_is_not_complete() {
    let job = Job::new();
    job.run(&["--max-images", "4"]).must_succeed();
    job.must_count(&[("found", 10), ("labeled", 4), ("not_reached", 6)]);
    assert_eq!(summary(&job.out)["complete"], false);
    fs::remove_file(job.pictures.join("0.png")).expect("removed");
    job.run(&["--max-images", "2"]).must_succeed();
    job.must_count(&[("labeled", 2), ("gone", 0), ("rows_in_dataset", 6)]);
    job.run(&["--max-duration", "0s"]).must_succeed();
    job.must_count(&[("labeled", 0), ("gone", 0), ("rows_in_dataset", 6)]);
    assert_eq!(summary(&job.out)["complete"], false);
    job.run(&["--allow-gone"]).must_succeed();
    job.must_count(&[("labeled", 4), ("gone", 1), ("rows_in_dataset", 9)]);
    assert_eq!(summary(&job.out)["complete"], true);
}

#[test]
fn failed_rows_are_tried_again_when_asked_for() {
    let job = Job::new();
    for name in ["truncated.jpg", "zero_bytes.jpg", "text_named.png"] {
        fs::copy(samples().join("broken").join(name), job.pictures.join(name)).expect("copied");
    }
    let has_models = has_runtime();
    let config = job.config(if has_models { &["tiny-wd-tagger"] } else { &[] });
    job.run(&["--config", &config]).must_succeed();
    let failed = if has_models {
        3
    } else {
        summary(&job.out)["failed"].as_u64().expect("a count")
    };
    job.must_count(&[("failed", failed)]);
    job.run(&["--config", &config]).must_succeed();
    job.must_count(&[("retried", 0), ("failed", 0), ("reused", 13)]);
    job.run(&["--config", &config, "--retry-failed"]).must_succeed();
    job.must_count(&[("retried", failed), ("failed", failed), ("reused", 13 - failed)]);
    job.run(&["--config", &config, "--retry-failed=empty"]).must_succeed();
    job.must_count(&[("retried", 1), ("failed", 1), ("reused", 12)]);
    job.run(&["--config", &config, "--retry-failed=emtpy"])
        .must_exit(2)
        .must_say("did you mean empty?");
    job.draw("zero_bytes.jpg.png", 90);
    fs::rename(
        job.pictures.join("zero_bytes.jpg.png"),
        job.pictures.join("zero_bytes.jpg"),
    )
    .expect("renamed");
    job.run(&["--config", &config]).must_succeed();
    job.must_count(&[("changed", 1), ("labeled", 1), ("failed", 0)]);
}

#[test]
fn a_moved_file_keeps_its_labels() {
    if !has_runtime() {
        return;
    }
    let job = Job::new();
    let config = job.config(&["tiny-wd-tagger"]);
    job.run(&["--config", &config]).must_succeed();
    fs::rename(job.pictures.join("3.png"), job.pictures.join("moved.png")).expect("renamed");
    job.run(&["--config", &config])
        .must_succeed()
        .must_say("1 copied from equal files");
    job.must_count(&[("first_seen", 1), ("gone", 1), ("copied", 1), ("rows_in_dataset", 10)]);
    let fresh = job.dir.path().join("fresh");
    labelmill(&["run", arg(&job.pictures), "--out", arg(&fresh), "--config", &config]).must_succeed();
    assert_eq!(job.rows(), rows(&fresh));
}

/// Committed rows that are made anew ran into each other: a changed file that is now equal to a
/// committed one took the labels of the row where that one had been, although its part had lost a
/// row by then.
#[test]
fn a_file_that_becomes_equal_to_another_while_parts_lose_rows_gets_its_own_labels() {
    if !has_runtime() {
        return;
    }
    let job = Job::new();
    let config = job.config(&["tiny-wd-tagger"]);
    let text = fs::read_to_string(&config)
        .expect("read")
        .replace("batch = 4", "batch = 1");
    fs::write(&config, format!("{text}\n[output]\npart_rows = 4\n")).expect("written");
    // Enough parts behind the first one that it is written anew long before the last is labeled.
    for number in 0..40 {
        job.draw(&format!("later-{number:02}.png"), 100 + number);
    }
    job.run(&["--config", &config]).must_succeed();
    fs::remove_file(job.pictures.join("0.png")).expect("removed");
    job.draw("1.png", 50);
    for number in 0..40 {
        let equal = if number % 2 == 0 { "2.png" } else { "3.png" };
        fs::copy(
            job.pictures.join(equal),
            job.pictures.join(format!("later-{number:02}.png")),
        )
        .expect("copied");
    }
    job.run(&["--config", &config]).must_succeed();
    job.must_count(&[("changed", 41), ("gone", 1), ("rows_in_dataset", 49)]);
    let fresh = job.dir.path().join("fresh");
    labelmill(&["run", arg(&job.pictures), "--out", arg(&fresh), "--config", &config]).must_succeed();
    assert_eq!(job.rows(), rows(&fresh));
}

#[test]
fn a_second_tagger_runs_alone_and_equals_a_fresh_run_with_both() {
    if !has_runtime() {
        return;
    }
    let job = Job::new();
    let (one, both) = (
        job.config(&["tiny-wd-tagger"]),
        job.config(&["tiny-wd-tagger", "tiny-logits-tagger"]),
    );
    job.run(&["--config", &one]).must_succeed();
    let before = job.rows();
    job.command("plan", &["--config", &both])
        .must_succeed()
        .must_say("10 rows, tagger:tiny-logits-tagger");
    job.run(&["--config", &both]).must_succeed();
    job.must_count(&[("stale", 10), ("first_seen", 0), ("changed", 0), ("labeled", 10)]);
    let summary = summary(&job.out);
    let stale = summary["stale_groups"].as_object().expect("groups by name");
    assert_eq!(stale.len(), 1, "{summary:#}");
    let (group, rows_of_group) = stale.iter().next().expect("one group");
    assert!(
        group.contains("tiny-logits-tagger") && group.contains("added") && rows_of_group == 10,
        "{summary:#}"
    );
    let labelers = summary["labelers"].as_object().expect("labelers by name");
    assert!(
        labelers
            .iter()
            .all(|(name, rows)| name.contains("tiny-logits-tagger") == (rows != 0)),
        "{summary:#}"
    );
    assert!(labelers.values().any(|rows| rows == 10), "{summary:#}");

    let after = job.rows();
    for (field, column) in before.schema().fields().iter().zip(before.columns()) {
        assert_eq!(after.column_by_name(field.name()), Some(column), "{}", field.name());
    }
    let fresh = job.dir.path().join("fresh");
    labelmill(&["run", arg(&job.pictures), "--out", arg(&fresh), "--config", &both]).must_succeed();
    assert_eq!(after, rows(&fresh));
    labelmill(&["verify", arg(&job.out)])
        .must_succeed()
        .must_say("no problems");
}

#[test]
fn a_model_leaves_only_when_told_so() {
    if !has_runtime() {
        return;
    }
    let job = Job::new();
    let (one, both) = (
        job.config(&["tiny-wd-tagger"]),
        job.config(&["tiny-wd-tagger", "tiny-logits-tagger"]),
    );
    job.run(&["--config", &one]).must_succeed();
    let with_one = job.rows();
    job.run(&["--config", &both]).must_succeed();
    let before = files(&job.out);
    job.run(&["--config", &one])
        .must_exit(1)
        .must_say("tiny-logits-tagger")
        .must_say("--drop-labels");
    assert_eq!(files(&job.out), before);
    job.run(&["--config", &one, "--drop-labels"]).must_succeed();
    job.must_count(&[("reused", 10), ("labeled", 0)]);
    assert_eq!(job.rows(), with_one);
}

#[test]
fn compact_merges_parts_and_keeps_every_row() {
    let job = Job::new();
    for limit in ["3", "3", "4"] {
        job.run(&["--max-images", limit]).must_succeed();
    }
    assert_eq!(files(&job.out).len(), 3);
    let before = job.rows();
    labelmill(&["compact", arg(&job.out)])
        .must_succeed()
        .must_say("3 parts became 1");
    assert_eq!(files(&job.out).len(), 1);
    assert_eq!(job.rows(), before);
    labelmill(&["verify", arg(&job.out)])
        .must_succeed()
        .must_say("no problems");
    job.run(&[]).must_succeed();
    job.must_count(&[("reused", 10), ("labeled", 0)]);
    labelmill(&["compact", arg(&job.out)])
        .must_succeed()
        .must_say("1 parts became 1");
}

#[test]
fn plan_counts_and_writes_nothing() {
    let job = Job::new();
    fs::create_dir(&job.out).expect("a folder");
    job.command("plan", &[]).must_succeed().must_say("10 new");
    assert_eq!(
        fs::read_dir(&job.out).expect("a folder").count(),
        0,
        "plan wrote into an empty folder"
    );
    job.run(&[]).must_succeed();
    let (before, summary_before) = (files(&job.out), summary(&job.out));
    job.draw("new.png", 100);
    job.draw("1.png", 101);
    fs::remove_file(job.pictures.join("0.png")).expect("removed");
    job.command("plan", &[])
        .must_succeed()
        .must_say("found 10: 1 new, 1 changed")
        .must_say("gone 1");
    assert_eq!(files(&job.out), before);
    assert_eq!(summary(&job.out), summary_before);
}

#[test]
fn plan_counts_without_a_runtime() {
    let job = Job::new();
    let one = job.config(&["tiny-wd-tagger"]);
    let missing = job.dir.path().join("libonnxruntime.so");
    let without = ["--config", &one, "--onnxruntime", arg(&missing)];
    let plan = |wanted: &str| {
        job.command("plan", &without)
            .must_succeed()
            .must_say("no ONNX Runtime was found")
            .must_say(wanted);
    };
    plan("10 new, 0 changed, 0 retried, 0 stale");
    job.run(&[]).must_succeed();
    plan("stale: 10 rows, tagger:tiny-wd-tagger:tiny_wd_tagger (added)");
    if has_runtime() {
        job.run(&["--config", &one]).must_succeed();
        job.draw("new.png", 100);
        plan("1 new, 0 changed, 0 retried, 0 stale, 10 unchanged");
    }
    assert_ne!(job.run(&without).code(), 0);
}

#[test]
fn damaged_and_foreign_parts_are_errors_before_any_write() {
    let job = Job::new();
    job.run(&["--max-images", "5"]).must_succeed();
    job.run(&[]).must_succeed();
    job.draw("new.png", 100);
    let part = job.out.join("part-000000.parquet");
    let whole = fs::read(&part).expect("a part");
    for damaged in [&[][..], &whole[..whole.len() / 2]] {
        fs::write(&part, damaged).expect("written");
        let before = files(&job.out);
        job.run(&[])
            .must_exit(1)
            .must_say("part-000000.parquet is damaged")
            .must_say("backup");
        labelmill(&["compact", arg(&job.out)]).must_exit(1);
        labelmill(&["verify", arg(&job.out)])
            .must_exit(1)
            .must_say("part-000000.parquet");
        assert_eq!(files(&job.out), before);
    }
    fs::write(&part, &whole).expect("written");
    for name in ["mine.parquet", "part-000099.parquet"] {
        let foreign = job.out.join(name);
        fs::write(
            &foreign,
            if name.starts_with("mine") {
                &b"x"[..]
            } else {
                &whole[..whole.len() - 1]
            },
        )
        .expect("written");
        let before = files(&job.out);
        job.run(&[]).must_exit(1).must_say(name).must_say("move it out");
        assert_eq!(files(&job.out), before);
        fs::remove_file(&foreign).expect("removed");
    }
    job.run(&[]).must_succeed();
    job.must_count(&[("first_seen", 1), ("rows_in_dataset", 11)]);
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_that_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let job = Job::new();
    job.run(&[]).must_succeed();
    job.draw("new.png", 100);
    let may = |mode: u32| {
        for folder in [job.out.join("_labelmill"), job.out.clone()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("permissions");
        }
    };
    may(0o555);
    // Who may do everything (root) is not held back by permissions.
    let is_root = fs::write(job.out.join("_labelmill/probe"), "").is_ok();
    if !is_root {
        let before = files(&job.out);
        job.run(&[]).must_exit(1).must_say(arg(&job.out)).must_say("permission");
        assert_eq!(files(&job.out), before);
    }
    may(0o755);
    job.run(&[]).must_succeed();
    job.must_count(&[("first_seen", 1)]);
    if is_root {
        println!("skipped: permissions do not hold root back");
    }
}

#[test]
fn metrics_tell_what_the_last_run_did_also_when_it_failed() {
    let job = Job::new();
    let metrics = job.dir.path().join("labelmill.prom");
    let value = |name: &str| -> f64 {
        let text = fs::read_to_string(&metrics).expect("the metrics");
        let wanted = |line: &&str| line.starts_with(name) && !line.starts_with('#');
        let line = text
            .lines()
            .find(wanted)
            .unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.rsplit(' ')
            .next()
            .and_then(|value| value.parse().ok())
            .expect("a number")
    };
    job.run(&["--metrics-textfile", arg(&metrics)]).must_succeed();
    assert_eq!(value("labelmill_last_run_complete"), 1.0);
    assert_eq!(value("labelmill_dataset_rows"), 10.0);
    assert!(value("labelmill_last_run_end_timestamp_seconds") > 1.7e9);
    let text = fs::read_to_string(&metrics).expect("the metrics");
    assert!(
        text.contains("state=\"new\"} 10\n") && text.contains(arg(&job.out)),
        "{text}"
    );
    job.run(&["--max-images", "1", "--metrics-textfile", arg(&metrics)])
        .must_succeed();
    let away = job.dir.path().join("away");
    fs::rename(&job.pictures, &away).expect("renamed");
    fs::create_dir(&job.pictures).expect("a folder");
    job.run(&["--metrics-textfile", arg(&metrics)]).must_exit(1);
    assert_eq!(
        value("labelmill_last_run_complete"),
        0.0,
        "a run that failed is not complete"
    );
    assert_eq!(
        value("labelmill_dataset_rows"),
        10.0,
        "a run that failed does not empty the dataset"
    );
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let job = Job::new();
    let must_be_json = |finished: Finished| {
        let said = finished.stderr();
        assert!(!said.is_empty());
        for line in said.lines() {
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
            assert!(
                parsed.is_ok_and(|value| value.is_object()),
                "not a JSON object: {line}\nin\n{said}"
            );
        }
    };
    must_be_json(job.run(&["--log", "json"]).must_succeed());
    must_be_json(job.run(&["--log", "json"]).must_succeed());
    fs::write(job.out.join("mine.parquet"), "x").expect("written");
    must_be_json(job.run(&["--log", "json"]).must_exit(1));
}

#[test]
fn a_lock_of_a_dead_process_is_no_obstacle_and_a_held_one_ends_with_4() {
    let job = Job::new();
    job.run(&[]).must_succeed();
    let path = job.out.join("_labelmill/lock");
    fs::write(
        &path,
        "{\"pid\":1,\"host\":\"elsewhere\",\"since\":\"2020-01-01T00:00:00Z\"}",
    )
    .expect("written");
    job.run(&[]).must_succeed();
    let lock = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .expect("the lock file");
    lock.lock().expect("the lock is free");
    let before = files(&job.out);
    job.draw("new.png", 100);
    job.run(&[]).must_exit(4).must_say("is being written by process");
    labelmill(&["compact", arg(&job.out)]).must_exit(4);
    assert_eq!(files(&job.out), before);
}
