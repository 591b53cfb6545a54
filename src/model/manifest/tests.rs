//! Manifests that are read, and those that are refused with what to change.

use super::*;

const TAGGER: &str = r#"name = "t"
kind = "tagger"
description = "d"
licence = "MIT"
origin = "o"
[image]
file = "image.onnx"
input = "input"
output = "output"
size = 448
layout = "nhwc"
channels = "bgr"
scale = "0..255"
geometry = "pad"
filter = "bicubic"
alpha = "over"
[output]
activation = "none"
labels = "selected_tags.csv"
label_format = "wd-csv"
[thresholds]
general = 0.35
"#;

fn refused(from: &str, to: &str) -> String {
    assert!(TAGGER.contains(from), "{from}");
    Manifest::parse(&TAGGER.replacen(from, to, 1), "models/t/model.toml")
        .unwrap_err()
        .to_string()
}

#[test]
fn a_tagger_is_read_with_its_defaults() {
    let manifest = Manifest::parse(TAGGER, "here").unwrap();
    assert_eq!(manifest.kind, ModelKind::Tagger);
    assert!(manifest.verified && !manifest.demo);
    assert_eq!(manifest.image.background, [255; 3]);
    assert_eq!(manifest.output.as_ref().unwrap().floor.to_bits(), 0.05_f32.to_bits());
    assert_eq!(manifest.needed_files(), ["image.onnx", "selected_tags.csv"]);
}

#[test]
fn errors_name_the_file_the_line_and_the_key() {
    let message = refused("layout = \"nhwc\"", "layout = \"hwc\"");
    assert!(message.starts_with("models/t/model.toml line 11: "), "{message}");
    assert!(
        message.contains("layout = \"hwc\"") && message.contains("nchw"),
        "{message}"
    );
    let message = refused("alpha = \"over\"", "alpha = \"over\"\nchanels = 3");
    assert!(message.contains("line 17") && message.contains("chanels"), "{message}");
    let message = refused("scale = \"0..255\"\n", "");
    assert!(message.contains("scale"), "{message}");
}

#[test]
fn what_types_cannot_say_is_checked() {
    for (from, to, says) in [
        ("size = 448", "size = 0", "image.size"),
        ("size = 448", "size = 448\nmean = [0.5, 0.5, 0.5]", "image.std"),
        (
            "size = 448",
            "size = 448\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.0, 0.5]",
            "above zero",
        ),
        ("\"image.onnx\"", "\"../image.onnx\"", "leaves"),
        ("\"image.onnx\"", "\"/image.onnx\"", "leaves"),
        ("\"image.onnx\"", "\"image.onnx\"\nsha256 = \"12\"", "64 hex digits"),
        ("general = 0.35", "general = 35", "`general` is 35"),
        ("kind = \"tagger\"", "kind = \"clip\"", "`[output]`"),
        ("name = \"t\"", "name = \"T/t\"", "`name`"),
        ("input = \"input\"", "input = \"\"", "`image.input`"),
        ("output = \"output\"", "output = \"a\\u0000b\"", "`image.output`"),
    ] {
        let message = refused(from, to);
        assert!(message.contains(says), "{message} should say {says}");
    }
}

#[test]
fn tables_are_checked() {
    let label = |name: &str, prompts: &[&str]| ClassifyLabel {
        name: name.to_owned(),
        prompts: prompts.iter().map(|&prompt| prompt.to_owned()).collect(),
    };
    let table = |name: &str, labels| {
        vec![ClassifyTable {
            name: name.to_owned(),
            labels,
        }]
    };
    assert!(check_tables(&table("mood", vec![label("a", &["x"]), label("b", &["y"])])).is_ok());
    for (tables, says) in [
        (table("My mood", vec![label("a", &["x"]), label("b", &["y"])]), "column"),
        (table("mood", vec![label("a", &["x"])]), "two labels"),
        (table("mood", vec![label("a", &["x"]), label("b", &[])]), "no prompts"),
        (
            table("mood", vec![label("a", &["x"]), label("a", &["y"])]),
            "two labels called",
        ),
    ] {
        assert!(check_tables(&tables).unwrap_err().contains(says));
    }
}

const SCORE: &str = r#"name = "s"
aliases = ["Some/Score", "score@2"]
kind = "score"
description = "d"
licence = "MIT"
origin = "o"
[image]
file = "image.onnx"
input = "input"
output = "output"
size = 224
layout = "nhwc"
channels = "bgr"
scale = "0..255"
geometry = { squash-crop = { side = 256, jpeg = 75 } }
filter = "bilinear"
alpha = "drop"
[score]
column = "nsfw"
range = [0.0, 1.0]
head = { file = "head.onnx", input = "embedding", output = "score" }
"#;

#[test]
fn a_score_is_read_with_its_head_and_its_aliases() {
    let manifest = Manifest::parse(SCORE, "here").unwrap();
    assert_eq!(manifest.needed_files(), ["image.onnx", "head.onnx"]);
    let side = 256;
    assert_eq!(manifest.image.geometry, Fit::SquashCrop { side, jpeg: Some(75) });
    for name in ["s", "S", "some/score", "Some/Score", "SCORE@2"] {
        assert!(manifest.answers_to(name), "{name}");
    }
    assert!(!manifest.answers_to("score"));
}

#[test]
fn a_score_that_cannot_be_is_refused() {
    for (from, to, says) in [
        ("column = \"nsfw\"", "column = \"NSFW score\"", "`score.column`"),
        ("range = [0.0, 1.0]", "range = [1.0, 0.0]", "`score.range`"),
        ("kind = \"score\"", "kind = \"tagger\"", "`[score]` belongs to scores"),
        ("side = 256", "side = 200", "224 to 4096"),
        ("jpeg = 75", "jpeg = 0", "JPEG quality 0"),
        ("\"score@2\"", "\"a b\"", "`aliases` names `a b`"),
        ("input = \"embedding\"", "input = \"\"", "`score.head.input`"),
        (
            "file = \"head.onnx\"",
            "file = \"../head.onnx\"",
            "leaves the model's folder",
        ),
    ] {
        assert!(SCORE.contains(from), "{from}");
        let message = Manifest::parse(&SCORE.replacen(from, to, 1), "here")
            .unwrap_err()
            .to_string();
        assert!(message.contains(says), "{message} should say {says}");
    }
    let without = SCORE.split("[score]").next().unwrap();
    let message = Manifest::parse(without, "here").unwrap_err().to_string();
    assert!(message.contains("there is no `[score]`"), "{message}");
}
