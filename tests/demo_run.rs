//! Whole runs with the embedded models. Without an ONNX Runtime they skip with one printed line.

use std::path::Path;

use arrow::array::AsArray;

use crate::support::{Finished, arg, dataset, has_runtime, labelmill, samples, temporary_folder, texts, without_time};

fn label(input: &Path, out: &Path, more: &[&str]) -> Finished {
    let mut args = vec![
        "run",
        arg(input),
        "--out",
        arg(out),
        "--preset",
        "demo",
        "--device",
        "cpu",
    ];
    args.extend(more);
    labelmill(&args)
}

#[test]
fn the_demo_models_label_the_samples_and_say_what_they_are() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let (first, second) = (dir.path().join("a"), dir.path().join("b"));
    label(&samples(), &first, &[])
        .must_succeed()
        .must_say("demo models, for trying out");
    label(&samples(), &second, &["--threads", "1"]).must_succeed();
    let rows = dataset(&first);
    assert_eq!(without_time(&rows), without_time(&dataset(&second)), "two runs differ");
    let kinds = texts(&rows, "error_kind");
    for kind in ["empty", "not_an_image", "too_large", "truncated", "corrupt"] {
        assert!(
            kinds.iter().any(|found| found == kind),
            "no sample failed as {kind}: {kinds:?}"
        );
    }
    for (kind, message) in kinds.iter().zip(texts(&rows, "error")) {
        assert_eq!(kind.is_empty(), message.is_empty(), "{kind}: {message}");
    }
    let styles = texts(&rows, "style");
    for (status, style) in texts(&rows, "status").iter().zip(&styles) {
        assert_eq!(status == "ok", !style.is_empty());
    }
    labelmill(&["verify", arg(&first)])
        .must_succeed()
        .must_say("no problems");
}

#[test]
fn an_image_alone_gives_the_values_it_has_in_a_batch() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let whole = dir.path().join("whole");
    label(&samples().join("art"), &whole, &[]).must_succeed();
    let rows = dataset(&whole);
    let paths = texts(&rows, "path");
    for row in [0, paths.len() / 2, paths.len() - 1] {
        let alone = dir.path().join(format!("alone-{row}"));
        label(&samples().join("art").join(&paths[row]), &alone, &[]).must_succeed();
        let single = dataset(&alone);
        for column in ["clip_embedding", "style", "style_score", "tags", "tag_scores"] {
            let in_batch = rows.column_by_name(column).expect(column).slice(row, 1);
            assert_eq!(
                single.column_by_name(column).expect(column),
                &in_batch,
                "{column} of {}",
                paths[row]
            );
        }
    }
}

#[test]
fn embeddings_have_length_one_and_f32_is_an_option() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let out = dir.path().join("out");
    label(&samples().join("art"), &out, &["--embedding", "f32"]).must_succeed();
    let rows = dataset(&out);
    let embeddings = rows
        .column_by_name("clip_embedding")
        .expect("embeddings")
        .as_fixed_size_list();
    for embedding in embeddings.iter().flatten() {
        let length: f32 = embedding
            .as_primitive::<arrow::datatypes::Float32Type>()
            .values()
            .iter()
            .map(|x| x * x)
            .sum();
        assert!((length - 1.0).abs() < 1e-3, "{length}");
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_never_the_cpu() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    for device in ["cuda:7", "tensorrt:7"] {
        let out = dir.path().join(device.replace(':', "-"));
        labelmill(&[
            "run",
            arg(&samples()),
            "--out",
            arg(&out),
            "--preset",
            "demo",
            "--device",
            device,
        ])
        .must_exit(1)
        .must_say("is not available");
    }
}

#[test]
fn two_devices_share_the_work_and_change_nothing() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let pictures = samples();
    label(&pictures, &one, &["--batch", "4"]).must_succeed();
    let run = [
        "run",
        arg(&pictures),
        "--out",
        arg(&two),
        "--preset",
        "demo",
        "--batch",
        "4",
    ];
    labelmill(&[&run[..], &["--device", "cpu,cpu"]].concat())
        .must_succeed()
        .must_say("loading demo-tagger on cpu");
    assert_eq!(without_time(&dataset(&one)), without_time(&dataset(&two)));
    assert_eq!(
        crate::support::summary(&two)["device"],
        "cpu (as asked), cpu (as asked)"
    );
    labelmill(&[&run[..], &["--device", "cpu,auto"]].concat())
        .must_exit(2)
        .must_say("`auto` stands alone");
}

#[test]
fn the_batch_is_chosen_where_nothing_is_said_and_changes_nothing() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let (chosen, given) = (dir.path().join("chosen"), dir.path().join("given"));
    label(&samples(), &chosen, &[])
        .must_succeed()
        .must_say("batch of 8 for");
    label(&samples(), &given, &["--batch", "3"]).must_succeed();
    assert_eq!(without_time(&dataset(&chosen)), without_time(&dataset(&given)));
    let batches = |out| crate::support::summary(out)["batches"].to_string();
    assert!(batches(&chosen).contains("demo-tagger"), "{}", batches(&chosen));
    assert_eq!(batches(&given), "[]");
    labelmill(&["run", arg(&samples()), "--out", arg(&given), "--batch", "0"])
        .must_exit(2)
        .must_say("at least 1");
}
