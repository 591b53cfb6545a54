//! Draw Things: short-keyed JSON (`c`, `uc`, `v2`), usually in XMP's `exif:UserComment`.

use super::fields::{Column, conclude, extra, named, put_value};
use crate::metadata::json::Value;
use crate::record::{Confidence, Lora, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("c", Column::Prompt),
    ("uc", Column::NegativePrompt),
    ("model", Column::Model),
    ("sampler", Column::Sampler),
    ("scale", Column::CfgScale),
    ("seed", Column::Seed),
    ("size", Column::Size),
    ("steps", Column::Steps),
    ("strength", Column::Denoising),
];

/// Whether a JSON object is Draw Things'.
pub fn is_it(object: &Value<'_>) -> bool {
    let is_text = |key: &str| object.get(key).and_then(Value::as_str).is_some();
    is_text("c") && (object.has("uc") || object.has("v2") || (object.has("model") && object.has("scale")))
}

/// Interprets Draw Things' object.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let mut recovered = named("draw-things");
    for (key, value) in object.entries() {
        match COLUMNS.iter().find(|(name, _)| name == key) {
            Some((_, column)) => put_value(&mut recovered, *column, key, value),
            None if *key == "lora" => recovered.loras = value.items().iter().filter_map(lora).collect(),
            None => extra(&mut recovered, key, value.to_text()),
        }
    }
    conclude(recovered, Confidence::Explicit)
}

fn lora(value: &Value<'_>) -> Option<Lora> {
    let name = value
        .get("model")
        .or_else(|| value.get("file"))
        .and_then(Value::as_str)?;
    Some(Lora {
        name: name.to_owned(),
        weight: value.get("weight").and_then(Value::as_f64),
        hash: None,
    })
}

/// Interprets the description that goes with it, where the JSON is missing: prompt lines, a
/// negative prompt on a line of its own that starts with a dash, and a settings line.
pub fn interpret_description(text: &str) -> Option<Recovered> {
    const MIN_SETTINGS: usize = 3;
    let (head, last) = text.trim_end().rsplit_once('\n')?;
    let settings = super::infotext_settings::scan(last).settings;
    let is_own = settings.iter().any(|setting| setting.key == "Guidance Scale") && settings.len() >= MIN_SETTINGS;
    if !is_own {
        return None;
    }
    let mut recovered = named("draw-things");
    let (prompt, negative) = match head.rsplit_once('\n') {
        Some((prompt, negative)) if negative.starts_with('-') => (prompt, &negative[1..]),
        None if head.starts_with('-') => ("", &head[1..]),
        _ => (head, ""),
    };
    recovered.prompt = Some(prompt.to_owned());
    recovered.negative_prompt = Some(negative.to_owned());
    for setting in settings {
        let column = match setting.key.as_ref() {
            "Steps" => Column::Steps,
            "Sampler" => Column::Sampler,
            "Guidance Scale" => Column::CfgScale,
            "Seed" => Column::Seed,
            "Size" => Column::Size,
            "Model" => Column::Model,
            "Strength" => Column::Denoising,
            _ => {
                extra(&mut recovered, &setting.key, setting.value);
                continue;
            }
        };
        super::fields::put(&mut recovered, column, &setting.key, &setting.value);
    }
    Some(conclude(recovered, Confidence::Explicit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn json_form() {
        let text = r#"{"c": "a cat", "uc": "dog", "model": "sd_xl.ckpt", "sampler": "DPM++ 2M Karras", "scale": 7.5, "seed": 4294967295,
            "size": "1024x768", "steps": 30, "strength": 1, "lora": [{"model": "foo.ckpt", "weight": 0.6}], "v2": {"x": 1}}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(
            (recovered.prompt.as_deref(), recovered.negative_prompt.as_deref()),
            (Some("a cat"), Some("dog"))
        );
        assert_eq!(recovered.settings.height, Some(768));
        assert_eq!(recovered.loras[0].weight, Some(0.6));
    }

    #[test]
    fn description_form() {
        let text = "a cat\n-dog\nSteps: 30, Sampler: DPM++ 2M Karras, Guidance Scale: 7.5, Seed: 5, Size: 1024x768, Model: sd.ckpt, Strength: 1.0, Seed Mode: Scale Alike";
        let recovered = interpret_description(text).unwrap();
        assert_eq!(
            (recovered.prompt.as_deref(), recovered.negative_prompt.as_deref()),
            (Some("a cat"), Some("dog"))
        );
        assert_eq!(recovered.settings.cfg_scale, Some(7.5));
        assert!(interpret_description("a photo\nof a cat").is_none());
    }
}
