//! Arrows point one way: stages know the record and themselves, never each other.

use std::path::Path;

use crate::support::repository;

/// Each stage (or shared module) and what it may name of the crate.
const MAY_IMPORT: [(&str, &[&str]); 17] = [
    ("record", &[]),
    ("source", &["record"]),
    ("metadata", &["record"]),
    ("decode", &["record"]),
    ("model", &["record"]),
    ("label", &["record", "model"]),
    ("write", &["record"]),
    // Reads what `write` wrote; nothing that makes labels may read them back through it.
    ("dataset", &["write", "record"]),
    ("export", &["record", "source", "metadata", "write", "dataset"]),
    ("clock", &[]),
    ("stop", &[]),
    ("report", &["record", "clock", "stop", "progress", "write"]),
    ("prepare", &["record", "metadata", "decode", "clock"]),
    (
        "plan",
        &[
            "record", "cli", "config", "exit", "source", "model", "metadata", "decode", "prepare", "write",
        ],
    ),
    (
        "pipeline",
        &[
            "record", "plan", "source", "prepare", "label", "write", "report", "progress", "clock", "stop",
        ],
    ),
    ("gallery", &["record", "decode", "source", "progress"]),
    ("exit", &[]),
];

fn sources_of(module: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let source = repository().join("src");
    let mut folders = vec![source.join(module)];
    let mut files = vec![source.join(format!("{module}.rs"))];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        found.push((file.display().to_string(), text));
    }
    found
}

/// Modules that `text` names as `crate::MODULE`.
fn imports(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| {
            line.match_indices("crate::")
                .map(|(at, _)| line[at + 7..].to_owned())
                .collect::<Vec<_>>()
        })
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => group.split(',').map(first_word).collect(),
            None => vec![first_word(&rest)],
        })
        .filter(|name| !name.is_empty())
        .collect()
}

fn first_word(text: &str) -> String {
    text.trim()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn stages_share_only_the_record() {
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_IMPORT {
        for (file, text) in sources_of(module) {
            for name in imports(&text) {
                if name != module && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{file} imports crate::{name}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_upward_import_would_be_noticed() {
    assert_eq!(
        imports("use crate::{record::Picture, write};\nlet x = crate::label::f();"),
        ["record", "write", "label"]
    );
    assert!(imports("// crate::write").is_empty());
}

#[test]
fn only_the_runtime_names_ort_and_only_write_and_dataset_name_parquet() {
    let mut wrong = Vec::new();
    let everything = all_sources();
    for (file, text) in everything {
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//"));
        if code().any(|line| names_crate(line, "ort"))
            && !file.ends_with("model/runtime.rs")
            && !is_under(&file, "model/runtime")
        {
            wrong.push(format!("{file} names ort"));
        }
        if code().any(|line| names_crate(line, "parquet"))
            && !["write", "dataset"]
                .iter()
                .any(|module| is_under(&file, module) || file.ends_with(&format!("src/{module}.rs")))
        {
            wrong.push(format!("{file} names parquet"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `line` uses the crate `name` by path (`ort::…`, but not `report::…`).
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

fn is_under(file: &str, folder: &str) -> bool {
    Path::new(file).starts_with(repository().join("src").join(folder))
}

fn all_sources() -> Vec<(String, String)> {
    let source = repository().join("src");
    let entries = std::fs::read_dir(&source).expect("src");
    let names: std::collections::BTreeSet<String> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.iter().flat_map(|name| sources_of(name)).collect()
}
