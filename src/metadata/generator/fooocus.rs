//! Fooocus' own JSON scheme, and that of its fork MRE (`real_prompt`, in a comment).

use super::fields::{Column, conclude, decimal, extra, named, put_value};
use crate::metadata::json::Value;
use crate::record::{Confidence, Lora, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("prompt", Column::Prompt),
    ("negative_prompt", Column::NegativePrompt),
    ("version", Column::Version),
    ("steps", Column::Steps),
    ("sampler", Column::Sampler),
    ("sampler_name", Column::Sampler),
    ("scheduler", Column::Scheduler),
    ("guidance_scale", Column::CfgScale),
    ("cfg", Column::CfgScale),
    ("seed", Column::Seed),
    ("base_model", Column::Model),
    ("base_model_name", Column::Model),
    ("base_model_hash", Column::ModelHash),
    ("vae", Column::Vae),
    ("clip_skip", Column::ClipSkip),
    ("resolution", Column::Size),
    ("width", Column::Width),
    ("height", Column::Height),
    ("denoise", Column::Denoising),
    ("software", Column::Version),
    // As the log and the first versions of the scheme name them, and forks still do.
    ("Prompt", Column::Prompt),
    ("Negative Prompt", Column::NegativePrompt),
    ("Version", Column::Version),
    ("Steps", Column::Steps),
    ("Sampler", Column::Sampler),
    ("Scheduler", Column::Scheduler),
    ("Guidance Scale", Column::CfgScale),
    ("Seed", Column::Seed),
    ("Base Model", Column::Model),
    ("VAE", Column::Vae),
    ("CLIP Skip", Column::ClipSkip),
    ("Resolution", Column::Size),
];

/// Whether a JSON object is Fooocus'.
pub fn is_it(object: &Value<'_>) -> bool {
    let versioned = object
        .get("version")
        .and_then(Value::as_str)
        .is_some_and(|version| version.starts_with("Fooocus"));
    let has_log_keys =
        object.has("Prompt") && object.has("Performance") && (object.has("Base Model") || object.has("Styles"));
    has_log_keys
        || object.has("prompt")
            && (object.has("metadata_scheme")
                || versioned
                || object.has("full_prompt")
                || (object.has("base_model") && object.has("performance")))
            && !is_mre(object)
}

/// Whether a JSON object is Fooocus MRE's.
pub fn is_mre(object: &Value<'_>) -> bool {
    let software = object.get("software").and_then(Value::as_str).unwrap_or_default();
    object.has("prompt") && (object.has("real_prompt") || (software.contains("Fooocus") && software.contains("MRE")))
}

/// Interprets Fooocus' object. The prompt is what was typed, before styles.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let mut recovered = named(if is_mre(object) { "fooocus-mre" } else { "fooocus" });
    for (key, value) in object.entries() {
        match COLUMNS.iter().find(|(name, _)| name == key) {
            Some((_, column)) => put_value(&mut recovered, *column, key, value),
            None if *key == "loras" => recovered.loras = lora_list(value),
            None if key.starts_with("lora_combined_") || key.starts_with("LoRA ") => {
                recovered.loras.extend(combined_lora(value));
            }
            None => extra(&mut recovered, key, value.to_text()),
        }
    }
    conclude(recovered, Confidence::Explicit)
}

/// `[[name, weight, hash], …]`, or `[[name, weight], …]`.
fn lora_list(value: &Value<'_>) -> Vec<Lora> {
    let lora = |row: &Value<'_>| {
        let [name, rest @ ..] = row.items() else { return None };
        Some(Lora {
            name: name.as_str()?.to_owned(),
            weight: rest.first().and_then(Value::as_f64),
            hash: rest.get(1).and_then(Value::as_str).map(str::to_owned),
        })
    };
    value.items().iter().filter_map(lora).collect()
}

/// `name : weight`.
fn combined_lora(value: &Value<'_>) -> Option<Lora> {
    let (name, weight) = value.as_str()?.rsplit_once(" : ")?;
    Some(Lora {
        name: name.to_owned(),
        weight: decimal(weight),
        hash: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn the_keys_of_the_log() {
        let text = r#"{"Prompt": "a cat", "Negative Prompt": "dog", "Fooocus V2 Expansion": "a cat, x", "Styles": "['Fooocus V2']", "Performance": "Speed",
            "Resolution": "(1152, 896)", "Guidance Scale": 4.0, "Base Model": "jug", "Sampler": "dpmpp_2m_sde_gpu", "Scheduler": "karras", "Seed": 5,
            "LoRA 1": "x.safetensors : 0.1", "Version": "v2.2.0"}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(recovered.generator.as_deref(), Some("fooocus"));
        assert_eq!(
            (recovered.prompt.as_deref(), recovered.negative_prompt.as_deref()),
            (Some("a cat"), Some("dog"))
        );
        assert_eq!(
            (recovered.settings.seed, recovered.settings.width),
            (Some(5), Some(1152))
        );
        assert_eq!(recovered.settings.model.as_deref(), Some("jug"));
        assert_eq!(recovered.loras[0].weight, Some(0.1));
    }

    #[test]
    fn own_scheme() {
        let text = r#"{"base_model": "jug", "base_model_hash": "aeb7", "full_prompt": ["a cat, styled"], "guidance_scale": 4,
            "loras": [["l", 0.5, "abc"]], "lora_combined_1": "x.safetensors : 0.1", "metadata_scheme": "fooocus", "negative_prompt": "dog",
            "prompt": "a cat", "resolution": "(768, 1280)", "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras",
            "seed": "6952411511246973023", "steps": 30, "styles": "['Fooocus V2']", "version": "Fooocus v2.5.5"}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value) && !is_mre(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(recovered.generator.as_deref(), Some("fooocus"));
        assert_eq!(recovered.settings.seed, Some(6_952_411_511_246_973_023));
        assert_eq!(
            (recovered.settings.width, recovered.settings.height),
            (Some(768), Some(1280))
        );
        assert_eq!(
            recovered.loras[0],
            Lora {
                name: "l".into(),
                weight: Some(0.5),
                hash: Some("abc".into())
            }
        );
        assert_eq!(
            recovered.loras[1],
            Lora {
                name: "x.safetensors".into(),
                weight: Some(0.1),
                hash: None
            }
        );
        assert!(
            recovered
                .parameters_extra
                .contains(&("full_prompt".into(), "[\"a cat, styled\"]".into()))
        );
    }

    #[test]
    fn mre() {
        let text = r#"{"prompt": "witch", "negative_prompt": "", "real_prompt": ["witch, styled"], "steps": 30, "cfg": 7, "seed": 8,
            "base_model": "m.safetensors", "software": "Fooocus 1.0.43 MRE"}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_mre(&document.value) && !is_it(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(recovered.generator.as_deref(), Some("fooocus-mre"));
        assert_eq!(recovered.negative_prompt.as_deref(), Some(""));
        assert_eq!(recovered.settings.cfg_scale, Some(7.0));
    }
}
