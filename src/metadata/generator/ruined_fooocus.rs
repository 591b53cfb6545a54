//! RuinedFooocus: JSON with capitalised `Prompt` and `Negative` and `software: RuinedFooocus`.

use super::fields::{Column, conclude, decimal, extra, named, put_value};
use crate::metadata::json::Value;
use crate::record::{Confidence, Lora, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("Prompt", Column::Prompt),
    ("Negative", Column::NegativePrompt),
    ("steps", Column::Steps),
    ("cfg", Column::CfgScale),
    ("width", Column::Width),
    ("height", Column::Height),
    ("seed", Column::Seed),
    ("sampler_name", Column::Sampler),
    ("scheduler", Column::Scheduler),
    ("base_model_name", Column::Model),
    ("base_model_hash", Column::ModelHash),
    ("clip_skip", Column::ClipSkip),
    ("denoise", Column::Denoising),
    ("version", Column::Version),
    ("software", Column::Ignore),
];

/// Whether a JSON object is RuinedFooocus'.
pub fn is_it(object: &Value<'_>) -> bool {
    let named = object.get("software").and_then(Value::as_str) == Some("RuinedFooocus");
    named || (object.has("Prompt") && object.has("Negative") && object.has("base_model_name"))
}

/// Interprets RuinedFooocus' object.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let mut recovered = named("ruined-fooocus");
    for (key, value) in object.entries() {
        match COLUMNS.iter().find(|(name, _)| name == key) {
            Some((_, column)) => put_value(&mut recovered, *column, key, value),
            None if *key == "loras" => recovered.loras = value.items().iter().filter_map(lora).collect(),
            None => extra(&mut recovered, key, value.to_text()),
        }
    }
    conclude(recovered, Confidence::Explicit)
}

/// `[sha256, "weight - name"]`.
fn lora(row: &Value<'_>) -> Option<Lora> {
    let [hash, text] = row.items() else { return None };
    let text = text.as_str()?;
    let (weight, name) = text
        .split_once(" - ")
        .map_or((None, text), |(weight, name)| (decimal(weight), name));
    Some(Lora {
        name: name.to_owned(),
        weight,
        hash: hash.as_str().map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn every_part() {
        let text = r#"{"Prompt": "a", "Negative": "b", "steps": 30, "cfg": 8, "width": 1152, "height": 896, "seed": 12, "sampler_name": "euler",
            "scheduler": "simple", "base_model_name": "m", "base_model_hash": "h", "loras": [["sha", "0.7 - foo.safetensors"]],
            "start_step": 0, "denoise": null, "clip_skip": 1, "software": "RuinedFooocus"}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(
            (recovered.prompt.as_deref(), recovered.negative_prompt.as_deref()),
            (Some("a"), Some("b"))
        );
        assert_eq!(
            recovered.loras,
            [Lora {
                name: "foo.safetensors".into(),
                weight: Some(0.7),
                hash: Some("sha".into())
            }]
        );
        assert_eq!(recovered.parameters_extra, [("start_step".into(), "0".into())]);
    }
}
