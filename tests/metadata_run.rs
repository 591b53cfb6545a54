//! Whole runs without a model: metadata, photo facts, hashes, and the rules of the dataset.

use std::path::Path;

use crate::support::{arg, copy_folder, dataset, labelmill, samples, summary, temporary_folder, texts, without_time};

/// Labels `input` into `out` without a model.
fn label(input: &Path, out: &Path, more: &[&str]) -> crate::support::Finished {
    let mut args = vec!["run", arg(input), "--out", arg(out)];
    args.extend(more);
    labelmill(&args)
}

#[test]
fn every_found_file_is_a_row_and_the_presets_are_named() {
    let dir = temporary_folder();
    let out = dir.path().join("out");
    label(&samples(), &out, &[])
        .must_succeed()
        .must_say("--preset demo")
        .must_say("recovered from metadata");
    let summary = summary(&out);
    let count = |name: &str| summary[name].as_u64().expect("a count");
    assert!(count("found") >= 40, "{summary}");
    assert_eq!(count("found"), count("labeled") + count("failed"));
    let rows = dataset(&out);
    assert_eq!(rows.num_rows() as u64, count("found"));
    assert!(rows.column_by_name("tags").is_none() && rows.column_by_name("clip_embedding").is_none());
    let kinds = texts(&rows, "error_kind");
    for kind in ["empty", "not_an_image"] {
        assert!(kinds.iter().any(|found| found == kind), "no row failed as {kind}");
    }
    labelmill(&["verify", arg(&out)]).must_succeed().must_say("no problems");
}

#[test]
fn two_runs_into_empty_folders_give_identical_rows() {
    let dir = temporary_folder();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    label(&samples(), &first, &[]).must_succeed();
    label(&samples(), &second, &["--threads", "1", "--batch", "3"]).must_succeed();
    assert_eq!(without_time(&dataset(&first)), without_time(&dataset(&second)));
}

#[test]
fn the_metadata_preset_reads_no_file_whole() {
    let dir = temporary_folder();
    let out = dir.path().join("out");
    label(&samples(), &out, &["--preset", "metadata"]).must_succeed();
    let rows = dataset(&out);
    assert!(texts(&rows, "blake3").iter().all(String::is_empty));
    assert!(texts(&rows, "prompt").iter().any(|prompt| !prompt.is_empty()));
}

#[test]
fn the_default_output_is_beside_the_input_and_never_labeled_itself() {
    let dir = temporary_folder();
    let input = dir.path().join("pics");
    copy_folder(&samples().join("art"), &input);
    labelmill(&["run", arg(&input)]).must_succeed().must_say("pics-labels");
    labelmill(&["run", arg(&input), "--out", arg(&input.join("labels"))]).must_succeed();
    let rows = dataset(&input.join("labels"));
    assert!(texts(&rows, "path").iter().all(|path| !path.starts_with("labels/")));
}

#[test]
fn too_many_failures_exit_with_3_and_everything_is_committed() {
    let dir = temporary_folder();
    let out = dir.path().join("out");
    label(&samples(), &out, &["--max-failed", "1"]).must_exit(3);
    assert!(dataset(&out).num_rows() >= 40);
    let other = dir.path().join("other");
    label(&samples(), &other, &["--max-failed", "90%"]).must_succeed();
}

#[test]
fn a_held_lock_exits_with_4_and_names_the_holder() {
    let dir = temporary_folder();
    let out = dir.path().join("out");
    label(&samples(), &out, &[]).must_succeed();
    let lock = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(out.join("_labelmill/lock"))
        .expect("the lock file");
    lock.lock().expect("the lock is free");
    label(&samples(), &out, &[]).must_exit(4).must_say("process");
    drop(lock);
    label(&samples(), &out, &[]).must_succeed();
}

#[test]
fn a_foreign_file_in_the_output_is_an_error_before_any_write() {
    let dir = temporary_folder();
    let out = dir.path().join("out");
    std::fs::create_dir_all(&out).expect("a folder");
    std::fs::write(out.join("thesis.docx"), "x").expect("written");
    label(&samples(), &out, &[]).must_exit(1).must_say("thesis.docx");
    assert_eq!(std::fs::read_dir(&out).expect("a folder").count(), 1);
}

#[test]
fn plan_tells_what_run_would_do_and_writes_nothing() {
    let dir = temporary_folder();
    let out = dir.path().join("out");
    labelmill(&["plan", arg(&samples()), "--out", arg(&out)])
        .must_succeed()
        .must_say("new")
        .must_say("[run]");
    assert!(!out.exists());
}

#[test]
fn a_second_run_reuses_every_row_also_when_the_root_is_typed_differently() {
    let dir = temporary_folder();
    let input = dir.path().join("pics");
    copy_folder(&samples(), &input);
    let out = dir.path().join("out");
    crate::support::labelmill_in(dir.path(), &["run", "pics", "--out", "out"]).must_succeed();
    let before = dataset(&out);
    label(&input, &out, &[]).must_succeed();
    let summary = summary(&out);
    assert_eq!(
        (summary["labeled"].as_u64(), summary["failed"].as_u64()),
        (Some(0), Some(0)),
        "{summary}"
    );
    assert_eq!(summary["reused"], summary["found"]);
    assert_eq!(before, dataset(&out));
    // The dataset stands for the inputs it was made from.
    labelmill(&["plan", arg(&out)])
        .must_succeed()
        .must_say("0 new")
        .must_say(&format!("{} unchanged", summary["found"]));
}
