//! What made a picture, to make it again: the infotext to paste, the request of the web UI's API,
//! the ComfyUI workflow as a file.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::captions::{NOT_A_FILE, Places, entry, note_unknown};
use super::picture::{PictureRows, Pictures};
use super::template::Holds;
use super::{ExportReport, Selection, Writer};
use crate::dataset::{ReadError, Rows, TextColumn};
use crate::metadata::infotext_write;
use crate::record::{CharacterPrompt, Lora, Recovered, Settings};

/// Columns that recipes are made of.
const COLUMNS: [&str; 12] = [
    "generator",
    "generator_version",
    "prompt",
    "negative_prompt",
    "original_prompt",
    "original_negative_prompt",
    "character_prompts",
    "settings",
    "loras",
    "parameters_extra",
    "metadata_raw",
    "metadata_status",
];

/// Writes `NAME.infotext.txt`, `NAME.txt2img.json` and, where the picture carries one,
/// `NAME.workflow.json` and `NAME.workflow_api.json` for every picture with recovered settings.
pub fn recipe(
    pictures: &Pictures<'_>,
    places: &Places,
    selection: &Selection,
    mut writer: Writer,
) -> anyhow::Result<ExportReport> {
    pictures.dataset().require(&COLUMNS)?;
    let mut met = 0;
    for rows in pictures.rows(&COLUMNS)? {
        let rows = pictures.view(&rows?)?;
        for row in (0..rows.len()).filter(|row| selection.takes(rows.uri(*row))) {
            met += 1;
            let files = files_of(&rows, row)?;
            if files.is_empty() {
                writer.report.pass_over("without a recipe");
            }
            for (suffix, text) in files {
                let Some((key, path)) = place(places, &rows, row, suffix) else {
                    writer.report.pass_over(NOT_A_FILE);
                    continue;
                };
                writer.text(&key, path, &text, entry(rows.who(row), None, Holds::Neither))?;
            }
        }
    }
    note_unknown(selection, met, &mut writer.report);
    writer.finish()
}

fn place(places: &Places, rows: &PictureRows, row: usize, suffix: &str) -> Option<(String, PathBuf)> {
    places.file(&rows.who(row), suffix)
}

/// The files of a picture's recipe: suffix and text.
fn files_of(rows: &PictureRows, row: usize) -> Result<Vec<(&'static str, String)>, ReadError> {
    let recovered = recovered(&rows.rows, row)?;
    let mut files = Vec::new();
    let has_prompt = recovered.prompt.is_some();
    if has_prompt || recovered.settings != Settings::default() {
        let text = infotext_write::write(&recovered);
        if !text.is_empty() {
            files.push((".infotext.txt", text));
        }
    }
    if has_prompt {
        files.push((".txt2img.json", pretty(&txt2img(&recovered))));
    }
    for (key, suffix) in [("workflow", ".workflow.json"), ("prompt", ".workflow_api.json")] {
        if let Some(graph) = embedded_graph(&rows.rows, row, key)? {
            files.push((suffix, graph));
        }
    }
    Ok(files)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("texts, numbers and lists always become JSON")
}

/// The body of a POST to `/sdapi/v1/txt2img`: only what the picture says, the rest is the web UI's
/// default.
fn txt2img(recovered: &Recovered) -> Value {
    let settings = &recovered.settings;
    let mut request = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            request.insert(key.to_owned(), value);
        }
    };
    put("prompt", json!(recovered.prompt));
    put("negative_prompt", json!(recovered.negative_prompt));
    put("steps", json!(settings.steps));
    put("sampler_name", json!(settings.sampler));
    put("scheduler", json!(settings.scheduler));
    put("cfg_scale", json!(settings.cfg_scale));
    put("distilled_cfg_scale", json!(settings.guidance));
    put("seed", json!(settings.seed));
    put("width", json!(settings.width));
    put("height", json!(settings.height));
    let mut overrides = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            overrides.insert(key.to_owned(), value);
        }
    };
    put(
        "sd_model_checkpoint",
        json!(settings.model.as_ref().or(settings.model_hash.as_ref())),
    );
    put("sd_vae", json!(settings.vae));
    put("CLIP_stop_at_last_layers", json!(settings.clip_skip));
    if !overrides.is_empty() {
        request.insert("override_settings".to_owned(), overrides.into());
        request.insert("override_settings_restore_afterwards".to_owned(), true.into());
    }
    request.into()
}

/// A JSON object that the picture carries under `key`: ComfyUI's `workflow` is its editor's file,
/// `prompt` what its API takes.
fn embedded_graph(rows: &Rows, row: usize, key: &str) -> Result<Option<String>, ReadError> {
    let raw = rows.structs("metadata_raw")?;
    let (keys, texts) = (raw.items.text("key")?, raw.items.text("text")?);
    let mut found = None;
    for item in raw.range(row) {
        let is_graph = |text: &&str| {
            let parsed = serde_json::from_str::<Value>(text);
            parsed.is_ok_and(|value| value.as_object().is_some_and(|object| is_graph(key, object)))
        };
        if keys.get(item).is_some_and(|found| found.eq_ignore_ascii_case(key)) {
            found = found.or(texts.get(item).filter(is_graph).map(str::to_owned));
        }
    }
    Ok(found)
}

/// Whether an object looks like a graph: nodes in a list for the editor, nodes by number for the API.
fn is_graph(key: &str, object: &Map<String, Value>) -> bool {
    if key == "workflow" {
        return object.get("nodes").is_some_and(Value::is_array);
    }
    object.values().any(|node| node.get("class_type").is_some())
}

/// The recovered fields of a row.
fn recovered(rows: &Rows, row: usize) -> Result<Recovered, ReadError> {
    let text = |name: &str| Ok::<_, ReadError>(owned(&rows.text(name)?, row));
    let extra = rows.map("parameters_extra")?;
    let extra = extra
        .get(row)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(Recovered {
        generator: text("generator")?,
        generator_version: text("generator_version")?,
        prompt: text("prompt")?,
        negative_prompt: text("negative_prompt")?,
        original_prompt: text("original_prompt")?,
        original_negative_prompt: text("original_negative_prompt")?,
        character_prompts: characters(rows, row)?,
        settings: settings(rows, row)?,
        loras: loras(rows, row)?,
        parameters_extra: extra.collect(),
        ..Recovered::default()
    })
}

fn owned(column: &TextColumn, row: usize) -> Option<String> {
    column.get(row).map(str::to_owned)
}

fn settings(rows: &Rows, row: usize) -> Result<Settings, ReadError> {
    let column = rows.structure("settings")?;
    if column.is_null(row) {
        return Ok(Settings::default());
    }
    let text = |name: &str| Ok::<_, ReadError>(owned(&column.text(name)?, row));
    let real = |name: &str| Ok::<_, ReadError>(column.number(name)?.get(row));
    let whole = |name: &str| {
        let number = column.whole(name)?.get(row);
        Ok::<_, ReadError>(number.and_then(|number| u32::try_from(number).ok()))
    };
    Ok(Settings {
        steps: whole("steps")?,
        sampler: text("sampler")?,
        scheduler: text("scheduler")?,
        cfg_scale: real("cfg_scale")?,
        seed: column.whole("seed")?.get(row).and_then(|seed| u64::try_from(seed).ok()),
        model: text("model")?,
        model_hash: text("model_hash")?,
        vae: text("vae")?,
        clip_skip: whole("clip_skip")?,
        denoising_strength: real("denoising_strength")?,
        guidance: real("guidance")?,
        width: whole("width")?,
        height: whole("height")?,
    })
}

fn loras(rows: &Rows, row: usize) -> Result<Vec<Lora>, ReadError> {
    let column = rows.structs("loras")?;
    let (names, weights, hashes) = (
        column.items.text("name")?,
        column.items.number("weight")?,
        column.items.text("hash")?,
    );
    let items = column.range(row);
    Ok(items
        .map(|item| Lora {
            name: names.get(item).unwrap_or_default().to_owned(),
            weight: weights.get(item),
            hash: owned(&hashes, item),
        })
        .collect())
}

fn characters(rows: &Rows, row: usize) -> Result<Vec<CharacterPrompt>, ReadError> {
    let column = rows.structs("character_prompts")?;
    let (prompts, negatives) = (column.items.text("prompt")?, column.items.text("negative_prompt")?);
    let (x, y) = (column.items.number("center_x")?, column.items.number("center_y")?);
    let items = column.range(row);
    Ok(items
        .map(|item| CharacterPrompt {
            prompt: prompts.get(item).unwrap_or_default().to_owned(),
            negative_prompt: negatives.get(item).unwrap_or_default().to_owned(),
            center: x.get(item).zip(y.get(item)),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_only_what_the_picture_says() {
        let recovered = Recovered {
            prompt: Some("a cat".into()),
            settings: Settings {
                seed: Some(u64::MAX),
                model: Some("dream".into()),
                clip_skip: Some(2),
                ..Settings::default()
            },
            ..Recovered::default()
        };
        let expected = json!({
            "prompt": "a cat",
            "seed": u64::MAX,
            "override_settings": {"sd_model_checkpoint": "dream", "CLIP_stop_at_last_layers": 2},
            "override_settings_restore_afterwards": true,
        });
        assert_eq!(txt2img(&recovered), expected);
    }

    #[test]
    fn graphs_are_told_from_other_json() {
        let object = |value: Value| value.as_object().unwrap().clone();
        assert!(is_graph("workflow", &object(json!({"nodes": [], "links": []}))));
        assert!(!is_graph("workflow", &object(json!({"prompt": "x"}))));
        assert!(is_graph("prompt", &object(json!({"3": {"class_type": "KSampler"}}))));
        assert!(!is_graph("prompt", &object(json!({"prompt": "a cat"}))));
    }
}
