//! Exports, edits and search, with the real program on the sample pictures. What needs the demo
//! models skips with one printed line where no ONNX Runtime is found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Finished, arg, copy_folder, dataset, has_runtime, labelmill, samples, temporary_folder, texts};

/// A dataset of the generated samples, without a model, and its folders.
struct Prompts {
    folder: tempfile::TempDir,
}

impl Prompts {
    fn new() -> Self {
        let folder = temporary_folder();
        copy_folder(&samples().join("generated"), &folder.path().join("pictures"));
        let prompts = Self { folder };
        prompts.run();
        prompts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn out(&self) -> PathBuf {
        self.path("pictures-labels")
    }

    fn run(&self) {
        labelmill(&["run", arg(&self.path("pictures"))]).must_succeed();
    }

    fn export(&self, to: &str, more: &[&str]) -> Finished {
        let (out, to) = (self.out(), self.path(to));
        let mut args = vec![
            "export",
            "captions",
            arg(&out),
            "--template",
            "{prompt}",
            "--to",
            arg(&to),
        ];
        args.extend(more);
        labelmill(&args)
    }

    fn import(&self, from: &str) -> Finished {
        labelmill(&["import", "captions", arg(&self.path(from)), arg(&self.out())])
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files_in(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    files
}

#[test]
fn an_edit_is_kept_imported_and_written_again_after_a_run() {
    let prompts = Prompts::new();
    prompts
        .export("dry", &["--dry-run"])
        .must_succeed()
        .must_say("would write");
    assert!(!prompts.path("dry").exists() && !prompts.out().join("_labelmill/exports").exists());
    prompts.export("captions", &[]).must_succeed().must_say("captions to");
    let file = files_in(&prompts.path("captions"))
        .into_iter()
        .next()
        .expect("a caption");
    std::fs::write(&file, "a prompt of mine, (red:1.2)\n").unwrap();
    prompts
        .export("captions", &[])
        .must_succeed()
        .must_say("1 edited by hand and kept");
    assert_eq!(read(&file), "a prompt of mine, (red:1.2)\n");
    prompts.import("captions").must_succeed().must_say("took 1 edits over");
    prompts.import("captions").must_succeed().must_say("took 0 edits over");
    // Another configuration makes every row anew.
    labelmill(&["run", arg(&prompts.path("pictures")), "--stealth", "off"]).must_succeed();
    labelmill(&["verify", arg(&prompts.out())]).must_succeed();
    prompts.export("fresh", &[]).must_succeed();
    let fresh = prompts
        .path("fresh")
        .join(file.strip_prefix(prompts.path("captions")).unwrap());
    assert_eq!(read(&fresh), "a prompt of mine, (red:1.2)");
    prompts.export("without", &["--ignore-edited"]).must_succeed();
    let without = prompts
        .path("without")
        .join(file.strip_prefix(prompts.path("captions")).unwrap());
    assert_ne!(read(&without), read(&fresh));
}

#[test]
fn tables_hold_every_row_and_a_list_picks_some() {
    let prompts = Prompts::new();
    let out = prompts.out();
    let rows = dataset(&out);
    let lines = labelmill(&["export", "jsonl", arg(&out)])
        .must_succeed()
        .must_say("rows to stdout")
        .stdout();
    let read_back: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of_json: Vec<&str> = read_back
        .iter()
        .map(|row| row["prompt"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(of_json, texts(&rows, "prompt"));
    assert!(read_back.iter().any(|row| row["settings"]["seed"].is_u64()));

    let list = prompts.path("list.txt");
    let uris = texts(&rows, "uri");
    std::fs::write(&list, format!("{}\n{}\n/not/there.png\n", uris[1], uris[2])).unwrap();
    let table = labelmill(&["export", "csv", arg(&out), "--only", arg(&list)]).must_succeed();
    let said = table.stderr();
    assert!(
        said.contains("1 of the 3 uris of the list are not in the dataset"),
        "{said}"
    );
    let text = table.stdout();
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let column = table.headers().unwrap().iter().position(|name| name == "uri").unwrap();
    let found: Vec<String> = table.records().map(|row| row.unwrap()[column].to_owned()).collect();
    assert_eq!(found, uris[1..3]);
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let prompts = Prompts::new();
    let out = prompts.out();
    let tags = [
        "export",
        "captions",
        arg(&out),
        "--template",
        "{tags}",
        "--to",
        "/nonexistent",
    ];
    labelmill(&tags)
        .must_exit(1)
        .must_say("has no tags: label it with a tagger");
    labelmill(&["export", "npy", arg(&out), "--to", arg(&prompts.path("x"))])
        .must_exit(1)
        .must_say("has no clip_embedding: label it with a CLIP model");
    labelmill(&["export", "kohya", arg(&out)])
        .must_exit(2)
        .must_say("needs --to DIR");
    labelmill(&["export", "kohya", arg(&out), "--to", arg(&out.join("x"))])
        .must_exit(2)
        .must_say("inside the dataset");
    labelmill(&["export", "captions", arg(&out), "--template", "{tags"])
        .must_exit(2)
        .must_say("is not closed");
    labelmill(&["export", "captions", arg(&prompts.path("pictures"))])
        .must_exit(1)
        .must_say("holds no labeled images");
    labelmill(&["import", "captions", arg(&prompts.path("pictures")), arg(&out)])
        .must_exit(1)
        .must_say("no export of this dataset wrote captions");
    labelmill(&["search", arg(&out), "a bird"])
        .must_exit(1)
        .must_say("has no clip_embedding: label it with a CLIP model");
}

#[test]
fn captions_beside_the_pictures_never_replace_a_file_of_someone_else() {
    let prompts = Prompts::new();
    let out = prompts.out();
    let rows = dataset(&out);
    let prompted = texts(&rows, "prompt")
        .iter()
        .position(|prompt| !prompt.is_empty())
        .expect("a prompt");
    let picture = PathBuf::from(&texts(&rows, "uri")[prompted]);
    let caption = picture.with_extension("caption");
    std::fs::write(&caption, "not yours").unwrap();
    let beside = [
        "export",
        "captions",
        arg(&out),
        "--template",
        "{prompt}",
        "--extension",
        "caption",
    ];
    labelmill(&beside)
        .must_succeed()
        .must_say("1 written by something else and kept");
    assert_eq!(read(&caption), "not yours");
    let all = [&beside[..], &["--overwrite", "all"]].concat();
    labelmill(&all).must_succeed();
    assert_eq!(read(&caption), texts(&rows, "prompt")[prompted].trim());
}

#[test]
fn recipes_are_what_made_the_pictures() {
    let prompts = Prompts::new();
    let (out, to) = (prompts.out(), prompts.path("recipes"));
    labelmill(&["export", "recipe", arg(&out), "--to", arg(&to)]).must_succeed();
    let files = files_in(&to);
    let ending = |suffix: &str| {
        files
            .iter()
            .filter(|file| file.to_string_lossy().ends_with(suffix))
            .count()
    };
    let rows = dataset(&out);
    let prompted = texts(&rows, "prompt")
        .iter()
        .filter(|prompt| !prompt.is_empty())
        .count();
    assert!(
        ending(".infotext.txt") >= prompted && ending(".workflow.json") + ending(".workflow_api.json") > 0,
        "{files:?}"
    );
    assert_eq!(ending(".txt2img.json"), prompted);
    for file in files
        .iter()
        .filter(|file| file.to_string_lossy().ends_with(".txt2img.json"))
    {
        let request: Value = serde_json::from_str(&read(file)).expect("JSON");
        let path = file
            .strip_prefix(&to)
            .unwrap()
            .to_string_lossy()
            .replace(".txt2img.json", "");
        let of_path = texts(&rows, "path")
            .iter()
            .position(|found| found.rsplit_once('.').unwrap().0 == path)
            .unwrap();
        assert_eq!(request["prompt"], texts(&rows, "prompt")[of_path].as_str());
    }
}

/// The samples with the demo models.
fn demo(folder: &Path) -> PathBuf {
    let out = folder.join("labels");
    let preset = ["--preset", "demo", "--device", "cpu"];
    labelmill(&[&["run", arg(&samples().join("art")), "--out", arg(&out)], &preset[..]].concat()).must_succeed();
    out
}

#[test]
fn tags_follow_the_rules_and_archives_hold_every_picture() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let out = demo(dir.path());
    let rows = dataset(&out);
    let ok = texts(&rows, "status").iter().filter(|status| *status == "ok").count();
    let to = dir.path().join("captions");
    let captions = [
        "export",
        "captions",
        arg(&out),
        "--to",
        arg(&to),
        "--threshold",
        "0.05",
        "--first",
        "sks, a b",
    ];
    labelmill(&captions).must_succeed();
    for file in files_in(&to) {
        assert!(
            read(&file).starts_with("sks, a b"),
            "{}: {}",
            file.display(),
            read(&file)
        );
    }
    let meta = dir.path().join("kohya");
    std::fs::create_dir_all(&meta).unwrap();
    let theirs = r#"{"/else.png": {"caption": "theirs", "train_resolution": [1, 2]}}"#;
    std::fs::write(meta.join("meta_cap_dd.json"), theirs).unwrap();
    labelmill(&["export", "kohya", arg(&out), "--to", arg(&meta), "--threshold", "0.05"]).must_succeed();
    let merged: Value = serde_json::from_str(&read(&meta.join("meta_cap_dd.json"))).unwrap();
    assert_eq!(merged["/else.png"]["train_resolution"][1], 2);
    assert!(merged[&texts(&rows, "uri")[0]]["tags"].is_string(), "{merged}");

    let images = dir.path().join("images");
    labelmill(&["export", "imagefolder", arg(&out), "--to", arg(&images)]).must_succeed();
    assert_eq!(read(&images.join("metadata.jsonl")).lines().count(), ok);
    let shards = dir.path().join("shards");
    let sharding = [
        "export",
        "webdataset",
        arg(&out),
        "--to",
        arg(&shards),
        "--shard-samples",
        "5",
    ];
    labelmill(&sharding).must_succeed().must_say("samples to");
    assert_eq!(files_in(&shards).len(), ok.div_ceil(5));
    labelmill(&sharding).must_succeed().must_say("wrote 0 of");
    let npy = dir.path().join("npy");
    labelmill(&["export", "npy", arg(&out), "--to", arg(&npy)]).must_succeed();
    let (array, table) = (
        npy.join("img_emb/img_emb_0.npy"),
        npy.join("metadata/metadata_0.parquet"),
    );
    assert!(array.is_file() && table.is_file());
    std::fs::write(&array, "somebody's").expect("written");
    std::fs::remove_file(&table).expect("removed");
    labelmill(&["export", "npy", arg(&out), "--to", arg(&npy)])
        .must_exit(1)
        .must_say("img_emb_0.npy is there and was not left so by an export");
    let left: Vec<_> = walkdir::WalkDir::new(&npy).into_iter().filter_map(Result::ok).collect();
    let files = left.iter().filter(|entry| entry.file_type().is_file()).count();
    assert_eq!(files, 1, "neither of the two was written: {left:?}");
}

#[test]
fn search_finds_a_picture_by_itself_and_refuses_another_model() {
    if !has_runtime() {
        return;
    }
    let dir = temporary_folder();
    let out = demo(dir.path());
    let uri = texts(&dataset(&out), "uri")[3].clone();
    let found = labelmill(&["search", arg(&out), "--image", &uri, "--json", "-k", "2"])
        .must_succeed()
        .stdout();
    let hits: Vec<Value> = found
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(hits.len(), 2);
    assert_eq!(hits[0]["uri"], Value::from(uri));
    assert!((hits[0]["score"].as_f64().unwrap() - 1.0).abs() < 2e-3, "{found}");
    let told = labelmill(&["search", arg(&out), "a sunflower", "-k", "3"])
        .must_succeed()
        .stdout();
    assert_eq!(told.lines().count(), 3, "{told}");
    // Other zero-shot tables are another making of the columns.
    let plan = out.join("_labelmill/plan.toml");
    let other = r#"
        [[classify]]
        name = "size"
        labels = [{ name = "big", prompts = ["a big thing"] }, { name = "small", prompts = ["a small thing"] }]
    "#;
    std::fs::write(&plan, format!("{}{other}", read(&plan))).unwrap();
    labelmill(&["search", arg(&out), "a bird"])
        .must_exit(1)
        .must_say("makes them anew");
}
