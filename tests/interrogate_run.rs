//! Prompts of pictures that carry none: whole runs with the demo models and our own tables.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float32Type;

use crate::support::{arg, dataset, has_runtime, label_by, labelmill, samples, summary, temporary_folder, texts};

/// Runs over the generated samples, which carry prompts, and the art, which does not.
fn run(configuration: &str, folder: &Path, out: &Path) {
    let path = folder.join("labelmill.toml");
    std::fs::write(&path, configuration).expect("written");
    let [art, generated] = ["art", "generated"].map(|name| samples().join(name));
    label_by(&path, &[&art, &generated], out).must_succeed();
}

const MODELS: &str = r#"
[[model]]
name = "demo-clip"

[[model]]
name = "demo-tagger"

[interrogate]
model = "demo-clip"
tables = ["demo-subjects", "demo-styles"]
max_terms = 3
"#;

fn of_root(rows: &RecordBatch, root: &str, column: &str) -> Vec<String> {
    let all = texts(rows, "root").into_iter().zip(texts(rows, column));
    all.filter(|(of, _)| of.ends_with(root))
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn what_an_image_says_wins_and_the_others_are_interrogated() {
    if !has_runtime() {
        return;
    }
    let folder = temporary_folder();
    let out = folder.path().join("out");
    run(MODELS, folder.path(), &out);
    let rows = dataset(&out);
    assert!(
        of_root(&rows, "art", "prompt_source")
            .iter()
            .all(|source| source == "interrogated")
    );
    let (prompts, said) = (of_root(&rows, "art", "prompt"), of_root(&rows, "art", "clip_prompt"));
    assert_eq!(prompts, said);
    assert!(
        prompts.iter().all(|prompt| prompt.split(", ").count() == 3),
        "{prompts:?}"
    );
    assert!(prompts.iter().any(|prompt| prompt.contains("sailboat")), "{prompts:?}");
    for (source, prompt) in
        of_root(&rows, "generated", "prompt_source")
            .iter()
            .zip(of_root(&rows, "generated", "clip_prompt"))
    {
        assert_eq!(
            source == "metadata",
            prompt.is_empty(),
            "pictures with a prompt are not interrogated"
        );
    }
    let scores = rows
        .column_by_name("clip_term_scores")
        .expect("scores")
        .as_list::<i32>();
    for list in scores.iter().flatten() {
        let values = list.as_primitive::<Float32Type>().values().to_vec();
        assert!(
            values.len() == 10 && values.is_sorted_by(|left, right| left >= right),
            "{values:?}"
        );
    }
    labelmill(&["verify", arg(&out)]).must_succeed().must_say("no problems");
}

#[test]
fn another_policy_changes_prompts_and_runs_no_model() {
    if !has_runtime() {
        return;
    }
    let folder = temporary_folder();
    let out = folder.path().join("out");
    run(MODELS, folder.path(), &out);
    let before = dataset(&out);
    let policy = format!("{MODELS}\n[prompt]\norder = [\"metadata\", \"tags\"]\ntag_threshold = 0.1\n");
    run(&policy, folder.path(), &out);
    let after = dataset(&out);
    let models = summary(&out)["labelers"].clone();
    let runs: u64 = models
        .as_object()
        .map_or(0, |models| models.values().filter_map(serde_json::Value::as_u64).sum());
    assert_eq!(runs, 0, "{models}");
    for column in ["clip_prompt", "clip_terms", "clip_embedding", "tags", "tag_scores"] {
        assert_eq!(before.column_by_name(column), after.column_by_name(column), "{column}");
    }
    assert_eq!(of_root(&before, "generated", "prompt"), {
        let sources = of_root(&after, "generated", "prompt_source").into_iter();
        let prompts = of_root(&after, "generated", "prompt").into_iter().zip(sources);
        let old = of_root(&before, "generated", "prompt").into_iter();
        // Those that carry a prompt keep it.
        prompts
            .zip(old)
            .map(|((new, source), old)| if source == "metadata" { new } else { old })
            .collect::<Vec<_>>()
    });
    for (source, prompt) in of_root(&after, "art", "prompt_source")
        .iter()
        .zip(of_root(&after, "art", "prompt"))
    {
        assert!(
            ["tags", "none"].contains(&source.as_str()) && (source == "none") == prompt.is_empty(),
            "{source} {prompt}"
        );
    }
    assert!(of_root(&after, "art", "prompt_source").contains(&"tags".to_owned()));
    run(MODELS, folder.path(), &out);
    let back = dataset(&out);
    for column in ["prompt", "prompt_source"] {
        assert_eq!(before.column_by_name(column), back.column_by_name(column), "{column}");
    }
}

#[test]
fn a_person_can_ask_about_one_picture() {
    if !has_runtime() {
        return;
    }
    let picture = samples().join("art/sailboat_1024x576.webp");
    let said = labelmill(&["inspect", "--interrogate", arg(&picture)])
        .must_succeed()
        .stdout();
    assert!(
        said.contains("  caption    a")
            && said.contains("  prompt     a")
            && said.contains("  demo-subjects\n")
            && said.contains("  sailboat\n"),
        "{said}"
    );
    let json = labelmill(&["inspect", "--interrogate", "--json", arg(&picture)])
        .must_succeed()
        .stdout();
    let json: serde_json::Value = serde_json::from_str(&json).expect("a JSON object");
    assert_eq!(json["clip_terms"][0]["term"], "sailboat");
    let (caption, prompt) = (json["caption"].as_str(), json["clip_prompt"].as_str());
    assert!(caption.is_some_and(|caption| prompt.is_some_and(|prompt| prompt.starts_with(caption))));
    labelmill(&["inspect", "--interrogate", "--preset", "metadata", arg(&picture)])
        .must_exit(2)
        .must_say("interrogate.model");
}
