//! A tagger that the repository has never seen: an ONNX file, a label file, and a manifest written
//! from `models/README.md` alone.

use std::path::Path;

use arrow::array::AsArray;

use crate::support::{dataset, has_runtime, label_by, repository, samples, temporary_folder, texts};

/// The manifest that `models/README.md` shows for a model of one's own.
fn manifest_of_the_readme() -> String {
    let readme = std::fs::read_to_string(repository().join("models/README.md")).expect("models/README.md");
    let from = readme.find("```toml\n").expect("models/README.md shows a manifest") + "```toml\n".len();
    let length = readme[from..].find("```").expect("the manifest ends");
    readme[from..from + length].to_owned()
}

/// A folder with a graph that takes 32 x 32 RGB pixels and gives nine logits, and its labels in a
/// format that no other model of this repository has.
fn make_model(folder: &Path) {
    std::fs::create_dir_all(folder).expect("the fixture is whole");
    let graph = repository().join("tests/fixtures/models/tiny-logits-tagger/image.onnx");
    std::fs::copy(graph, folder.join("model.onnx")).expect("the fixture is whole");
    let labels: Vec<String> = (0..9).map(|index| format!("\"{index}\": \"thing {index}\"")).collect();
    let labels = format!("{{\"id2label\": {{{}}}}}", labels.join(", "));
    std::fs::write(folder.join("config.json"), labels).expect("the fixture is whole");
    let manifest = manifest_of_the_readme().replace("size = 448", "size = 32");
    std::fs::write(folder.join("model.toml"), manifest).expect("the fixture is whole");
}

#[test]
fn a_model_of_ones_own_runs_from_a_manifest_alone() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    make_model(&dir.path().join("models/my-tagger"));
    let config = dir.path().join("labels.toml");
    std::fs::write(&config, "[[model]]\nname = \"my-tagger\"\n").expect("the fixture is whole");
    let (art, out) = (samples().join("art"), dir.path().join("labels"));
    label_by(&config, &[&art], &out).must_succeed();
    let rows = dataset(&out);
    let tags = rows
        .column_by_name("tags")
        .expect("the fixture is whole")
        .as_list::<i32>();
    assert!(rows.num_rows() > 5 && (0..rows.num_rows()).all(|row| !tags.value(row).is_empty()));
    let first = tags.value(0);
    assert!(first.as_string::<i32>().value(0).starts_with("thing "));
    assert!(texts(&rows, "status").iter().all(|status| status == "ok"));
}

#[test]
fn a_manifest_that_does_not_fit_the_graph_is_one_message_before_the_first_picture() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let folder = dir.path().join("models/my-tagger");
    make_model(&folder);
    let good = std::fs::read_to_string(folder.join("model.toml")).expect("the fixture is whole");
    let config = dir.path().join("labels.toml");
    std::fs::write(&config, "[[model]]\nname = \"my-tagger\"\n").expect("the fixture is whole");
    let (art, out) = (samples().join("art"), dir.path().join("labels"));
    for (from, to, says) in [
        (
            "activation = \"sigmoid\"",
            "activation = \"none\"",
            "write activation = \"sigmoid\"",
        ),
        ("layout = \"nchw\"", "layout = \"nhwc\"", "write layout = \"nchw\""),
        ("input = \"input\"", "input = \"pixels\"", "`image.input` is `pixels`"),
    ] {
        assert!(good.contains(from), "the manifest of models/README.md has no {from}");
        std::fs::write(folder.join("model.toml"), good.replace(from, to)).expect("the fixture is whole");
        label_by(&config, &[&art], &out).must_exit(1).must_say(says);
        assert!(
            !out.exists()
                || std::fs::read_dir(&out).expect("the fixture is whole").all(|entry| {
                    entry
                        .expect("the fixture is whole")
                        .path()
                        .extension()
                        .is_none_or(|extension| extension != "parquet")
                })
        );
    }
}
