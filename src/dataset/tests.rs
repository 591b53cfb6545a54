//! Datasets of the real writer, read back column by column.

use serde_json::json;

use super::testing::{TestImage, WIDTH, append};
use super::*;

fn images(count: usize) -> Vec<TestImage> {
    (0..count)
        .map(|number| TestImage {
            prompt: (number % 2 == 0).then(|| format!("prompt {number}")),
            ..TestImage::tagged(&format!("{number:02}.png"), &[("red_hair", 0.9), ("solo", 0.25)])
        })
        .collect()
}

#[test]
fn rows_come_in_order_with_typed_columns() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "/data".as_ref(), &images(10));
    let dataset = DatasetReader::open(folder.path()).unwrap();
    assert_eq!(dataset.row_count(), 10);
    let columns = [
        "path",
        "prompt",
        "tags",
        "tag_scores",
        "clip_embedding",
        "settings",
        "loras",
        "parameters_extra",
        "width",
    ];
    let mut seen = 0;
    for rows in dataset.rows(&columns).unwrap() {
        let rows = rows.unwrap();
        assert_eq!(rows.first(), seen);
        let (paths, prompts) = (rows.text("path").unwrap(), rows.text("prompt").unwrap());
        let (tags, scores) = (rows.texts("tags").unwrap(), rows.numbers("tag_scores").unwrap());
        let embeddings = rows.embedding("clip_embedding").unwrap();
        let seeds = rows.structure("settings").unwrap().whole("seed").unwrap();
        let loras = rows.structs("loras").unwrap();
        let lora_names = loras.items.text("name").unwrap();
        for row in 0..rows.len() {
            assert_eq!(paths.get(row), Some(format!("{seen:02}.png").as_str()));
            assert_eq!(prompts.get(row).is_some(), seen % 2 == 0);
            assert_eq!(tags.get(row), ["red_hair", "solo"]);
            assert_eq!(scores.get(row), [0.9, 0.25]);
            assert_eq!(embeddings.get(row).unwrap().len(), WIDTH);
            assert_eq!(embeddings.get(row).unwrap().iter().sum::<f32>(), 1.0);
            assert_eq!(seeds.get(row), Some(i128::from(u64::MAX)));
            let names: Vec<_> = loras.range(row).map(|item| lora_names.get(item)).collect();
            assert_eq!(names, [Some("detail")]);
            assert_eq!(rows.map("parameters_extra").unwrap().get(row), [("Clip skip", "2")]);
            assert_eq!(rows.number("width").unwrap().get(row), Some(64.0));
            seen += 1;
        }
    }
    assert_eq!(seen, 10);
}

#[test]
fn a_missing_column_is_named_with_what_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "/data".as_ref(), &images(1));
    let dataset = DatasetReader::open(folder.path()).unwrap();
    let error = dataset.require(&["uri", "wd_tags"]).unwrap_err().to_string();
    assert!(error.contains("has no wd_tags: label it with a tagger"), "{error}");
    assert_eq!(dataset.present(&["caption", "aesthetic"]), ["caption"]);
    let rows = dataset.rows(&["tags"]).unwrap().next().unwrap().unwrap();
    let error = rows.text("tags").unwrap_err().to_string();
    assert!(error.contains("column `tags` is List"), "{error}");
}

#[test]
fn a_folder_without_parts_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = DatasetReader::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds no labeled images"), "{error}");
}

#[test]
fn the_parts_say_who_labeled() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "/data".as_ref(), &images(5));
    let meta = DatasetReader::open(folder.path()).unwrap().meta();
    assert_eq!(meta.models, ["test"]);
    assert!(meta.demo);
    assert_eq!(meta.fingerprints["tagger:test"], ["t1"]);
    assert_eq!(meta.plan, "[run]\n");
}

#[test]
fn a_row_becomes_json_with_exact_numbers() {
    let folder = tempfile::tempdir().unwrap();
    append(folder.path(), "/data".as_ref(), &images(2));
    let dataset = DatasetReader::open(folder.path()).unwrap();
    let rows = dataset.all_rows().unwrap().next().unwrap().unwrap();
    let row = rows.json(0);
    assert_eq!(row["uri"], json!("/data/00.png"));
    assert_eq!(row["settings"]["seed"], json!(u64::MAX));
    assert_eq!(row["tag_scores"], json!([0.9, 0.25]));
    assert_eq!(row["clip_embedding"], json!([1.0, 0.0, 0.0, 0.0]));
    assert_eq!(row["parameters_extra"], json!({"Clip skip": "2"}));
    assert_eq!(row["modified_at"], json!("1970-01-01T00:00:00.000001Z"));
    assert_eq!(row["edited_prompt"], serde_json::Value::Null);
    let keys: Vec<&String> = row.keys().collect();
    assert_eq!(keys[..3], ["uri", "root", "path"]);
}
