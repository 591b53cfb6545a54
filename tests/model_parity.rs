//! Cut-down models of each family against what Python says of the same pictures
//! (`tests/golden/models`, made by `scripts/make_model_goldens.py`), and that a wrong picture would
//! be noticed.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float32Type;
use serde_json::Value;

use crate::support::{dataset, has_runtime, label_by, repository, samples, temporary_folder, texts};

/// What a family's `expected.json` says.
struct Expected {
    kind: String,
    pictures: Vec<String>,
    said: Value,
}

impl Expected {
    fn of(family: &str) -> Self {
        let text = std::fs::read_to_string(golden(family).join("expected.json")).expect("expected.json");
        let said: Value = serde_json::from_str(&text).expect("JSON");
        let pictures = said["pictures"].as_array().expect("a list").iter();
        Self {
            kind: said["kind"].as_str().expect("a text").to_owned(),
            pictures: pictures.map(|name| name.as_str().expect("a text").to_owned()).collect(),
            said,
        }
    }

    /// One row a picture of a variant.
    fn rows(&self, variant: &str) -> Vec<Vec<f64>> {
        let rows = self.said["rows"][variant].as_array().expect("rows").iter();
        rows.map(|row| {
            row.as_array()
                .expect("a row")
                .iter()
                .map(|value| value.as_f64().expect("a number"))
                .collect()
        })
        .collect()
    }
}

fn golden(family: &str) -> PathBuf {
    repository().join("tests/golden/models").join(family)
}

/// The family's pictures labeled by its model, in the order of `expected.json`.
fn labeled(family: &str, expected: &Expected) -> Vec<(RecordBatch, usize)> {
    let dir = temporary_folder();
    let pictures = dir.path().join("pictures");
    std::fs::create_dir(&pictures).expect("the fixture is whole");
    for (index, name) in expected.pictures.iter().enumerate() {
        let file = Path::new(name)
            .file_name()
            .expect("the fixture is whole")
            .to_string_lossy();
        std::fs::copy(samples().join(name), pictures.join(format!("{index}-{file}"))).expect("the fixture is whole");
    }
    let mut config = format!(
        "[output]\nembedding = \"f32\"\n\n[[model]]\nname = {:?}\n",
        golden(family).display().to_string()
    );
    if expected.kind == "embedding" {
        let styles = expected.said["styles"].as_object().expect("styles");
        let label = |(name, prompts): (&String, &Value)| format!("{{ name = {name:?}, prompts = {prompts} }}");
        let labels: Vec<String> = styles.iter().map(label).collect();
        config += &format!("\n[[classify]]\nname = \"style\"\nlabels = [{}]\n", labels.join(", "));
    }
    let config_file = dir.path().join("config.toml");
    std::fs::write(&config_file, config).expect("the fixture is whole");
    let out = dir.path().join("labels");
    label_by(&config_file, &[&pictures], &out).must_succeed();
    let rows = dataset(&out);
    let paths = texts(&rows, "path");
    let row_of = |index: usize| {
        let found = paths.iter().position(|path| path.starts_with(&format!("{index}-")));
        found.unwrap_or_else(|| panic!("{family}: no row for picture {index}"))
    };
    (0..expected.pictures.len())
        .map(|index| (rows.clone(), row_of(index)))
        .collect()
}

fn number(rows: &RecordBatch, column: &str, row: usize) -> f64 {
    let array = rows
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    f64::from(array.as_primitive::<Float32Type>().value(row))
}

fn embedding(rows: &RecordBatch, row: usize) -> Vec<f64> {
    let list = rows
        .column_by_name("clip_embedding")
        .expect("the fixture is whole")
        .as_fixed_size_list()
        .value(row);
    list.as_primitive::<Float32Type>()
        .values()
        .iter()
        .copied()
        .map(f64::from)
        .collect()
}

/// Score of each label by name; of the ratings the likeliest.
fn tag_scores(family: &str, rows: &RecordBatch, row: usize) -> Vec<Option<f64>> {
    let folder = golden(family);
    let names: Vec<String> = match std::fs::read_to_string(folder.join("selected_tags.csv")) {
        Ok(text) => text
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).expect("the fixture is whole").to_owned())
            .collect(),
        Err(_) => ["tags.txt", "top_tags.txt"]
            .iter()
            .find_map(|name| std::fs::read_to_string(folder.join(name)).ok())
            .expect("a label file")
            .lines()
            .map(|line| line.trim_start_matches("rating:").to_owned())
            .collect(),
    };
    let tags = rows
        .column_by_name("tags")
        .expect("the fixture is whole")
        .as_list::<i32>()
        .value(row);
    let tags = tags.as_string::<i32>();
    let scores = rows
        .column_by_name("tag_scores")
        .expect("the fixture is whole")
        .as_list::<i32>()
        .value(row);
    let scores = scores.as_primitive::<Float32Type>();
    let rating = rows
        .column_by_name("rating")
        .map(|_| (texts(rows, "rating")[row].clone(), number(rows, "rating_score", row)));
    let score_of = |name: &String| {
        let tag = (0..tags.len()).find(|index| tags.value(*index) == name);
        tag.map(|index| f64::from(scores.value(index))).or_else(|| {
            rating
                .as_ref()
                .filter(|(rating, _)| rating == name)
                .map(|(_, score)| *score)
        })
    };
    names.iter().map(score_of).collect()
}

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    let dot = |left: &[f64], right: &[f64]| left.iter().zip(right).map(|(l, r)| l * r).sum::<f64>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

/// Largest difference over the scores that are there; all but a few must be.
fn off_by(made: &[Option<f64>], wanted: &[f64]) -> f64 {
    assert_eq!(made.len(), wanted.len());
    assert!(made.iter().flatten().count() + 3 >= made.len(), "scores are missing");
    let each = made
        .iter()
        .zip(wanted)
        .filter_map(|(made, wanted)| made.map(|made| (made - wanted).abs()));
    each.fold(0.0, f64::max)
}

const MISTAKES: [&str; 3] = ["nearest", "swapped", "one pixel off"];

/// Checks one family; says how far it is off.
fn check(family: &str) {
    if !has_runtime() {
        return;
    }
    let expected = Expected::of(family);
    let right = expected.rows("right");
    let mut noticed = [0_usize; 3];
    let labeled = labeled(family, &expected);
    for (picture, (rows, row)) in labeled.iter().enumerate() {
        assert_eq!(texts(rows, "status")[*row], "ok", "{}", texts(rows, "error")[*row]);
        let distance = |wanted: &[f64]| match expected.kind.as_str() {
            "embedding" => 1.0 - cosine(&embedding(rows, *row), wanted),
            "score" => (number(rows, "nsfw", *row) - wanted[0]).abs(),
            _ => off_by(&tag_scores(family, rows, *row), wanted),
        };
        // Cosine 0.9999, probabilities within a thousandth.
        let tolerance = if expected.kind == "embedding" { 1e-4 } else { 1e-3 };
        let off = distance(&right[picture]);
        println!("{family} {}: off by {off:.2e}", expected.pictures[picture]);
        assert!(off < tolerance, "{family} {}: off by {off}", expected.pictures[picture]);
        for (count, mistake) in noticed.iter_mut().zip(MISTAKES) {
            *count += usize::from(distance(&expected.rows(mistake)[picture]) > 3.0 * tolerance);
        }
        if expected.kind == "embedding" {
            let style = (number(rows, "style_score", *row) - expected.rows("styles")[picture][0]).abs();
            assert!(
                style < 1e-3,
                "{family} {}: style off by {style}",
                expected.pictures[picture]
            );
        }
    }
    for (count, mistake) in noticed.iter().zip(MISTAKES) {
        assert!(
            *count * 2 > labeled.len(),
            "{family}: {mistake} is seen in {count} pictures only"
        );
    }
}

#[test]
fn clip_as_openai_made_it() {
    check("clip-openai");
}

#[test]
fn clip_vit_g() {
    check("clip-vit-g");
}

#[test]
fn siglip() {
    check("siglip2");
}

#[test]
fn wd_taggers() {
    check("wd-v3");
}

#[test]
fn deepdanbooru() {
    check("deepdanbooru");
}

#[test]
fn joytag() {
    check("joytag");
}

#[test]
fn open_nsfw() {
    check("open-nsfw");
}
