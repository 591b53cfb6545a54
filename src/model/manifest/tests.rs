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
