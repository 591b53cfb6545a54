//! The embedded captioner by way of whole runs, against what transformers says of the sample pictures with the same
//! weights (`scripts/make_caption_goldens.py --demo`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::{dataset, has_runtime, label_by, repository, samples, temporary_folder, texts};

/// `[model.caption]` of a search, and the captions by file name.
fn goldens() -> Vec<(String, BTreeMap<String, String>)> {
    let path = repository().join("tests/golden/captions/demo-captioner.json");
    let text = std::fs::read_to_string(path).expect("the goldens are there");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let cases = cases.into_iter().map(|case| {
        let search = case["search"].as_object().expect("settings").iter();
        let settings: Vec<String> = search.map(|(key, value)| format!("{key} = {value}\n")).collect();
        let captions = serde_json::from_value(case["captions"].clone()).expect("texts by name");
        (settings.concat(), captions)
    });
    cases.collect()
}

#[test]
fn every_search_says_of_the_samples_what_transformers_says() {
    if !has_runtime() {
        return;
    }
    let goldens = goldens();
    assert!(goldens.len() >= 8);
    for (settings, wanted) in goldens {
        let folder = temporary_folder();
        let (path, out) = (folder.path().join("labelmill.toml"), folder.path().join("out"));
        let configuration = format!("[[model]]\nname = \"demo-captioner\"\n\n[model.caption]\n{settings}");
        std::fs::write(&path, configuration).expect("written");
        let art = samples().join("art");
        label_by(&path, &[&art], &out).must_succeed();
        let rows = dataset(&out);
        let said: BTreeMap<String, String> = texts(&rows, "path").into_iter().zip(texts(&rows, "caption")).collect();
        assert_eq!(said, wanted, "{settings}");
    }
}
