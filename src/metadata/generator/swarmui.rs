//! SwarmUI: JSON with `sui_image_params`, in every container and as a sidecar.

use super::fields::{Column, conclude, decimal, extra, fill, named};
use super::loras;
use crate::metadata::json::Value;
use crate::record::{Confidence, Lora, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("prompt", Column::Prompt),
    ("negativeprompt", Column::NegativePrompt),
    ("model", Column::Model),
    ("seed", Column::Seed),
    ("steps", Column::Steps),
    ("cfgscale", Column::CfgScale),
    ("fluxguidancescale", Column::Guidance),
    ("width", Column::Width),
    ("height", Column::Height),
    ("sampler", Column::Sampler),
    ("scheduler", Column::Scheduler),
    ("vae", Column::Vae),
    ("clipstopatlayer", Column::ClipSkip),
    ("initimagecreativity", Column::Denoising),
    ("swarm_version", Column::Version),
    ("loras", Column::Ignore),
    ("loraweights", Column::Ignore),
];

/// Whether a JSON object is SwarmUI's.
pub fn is_it(object: &Value<'_>) -> bool {
    object.has("sui_image_params")
}

/// Interprets SwarmUI's object.
pub fn interpret(object: &Value<'_>) -> Option<Recovered> {
    let params = object.get("sui_image_params")?;
    let mut recovered = named("swarmui");
    fill(&mut recovered, params, COLUMNS);
    recovered.loras = find_loras(params);
    for (key, value) in object.entries().iter().filter(|(key, _)| *key != "sui_image_params") {
        match (*key, value) {
            ("sui_extra_data", Value::Object(entries)) => {
                for (key, value) in *entries {
                    match *key {
                        "original_prompt" => recovered.original_prompt = value.as_str().map(str::to_owned),
                        "original_negativeprompt" => {
                            recovered.original_negative_prompt = value.as_str().map(str::to_owned);
                        }
                        _ => extra(&mut recovered, key, value.to_text()),
                    }
                }
            }
            ("sui_models", Value::Array(models)) => models.iter().for_each(|model| add_hash(&mut recovered, model)),
            _ => extra(&mut recovered, key, value.to_text()),
        }
    }
    for lora in recovered.prompt.as_deref().map(loras::in_prompt).unwrap_or_default() {
        if !recovered.loras.iter().any(|known| known.name == lora.name) {
            recovered.loras.push(lora);
        }
    }
    // Swarm leaves the key out where nothing was typed.
    recovered.negative_prompt.get_or_insert_default();
    Some(conclude(recovered, Confidence::Explicit))
}

/// Names and weights are parallel lists; weights are strings or numbers.
fn find_loras(params: &Value<'_>) -> Vec<Lora> {
    let list = |key: &str| -> Vec<String> {
        match params.get(key) {
            Some(Value::Array(items)) => items.iter().map(|value| value.to_text()).collect(),
            Some(Value::String(text)) => text.split(',').map(|part| part.trim().to_owned()).collect(),
            _ => Vec::new(),
        }
    };
    let weights = list("loraweights");
    let lora = |(at, name): (usize, String)| {
        let weight = weights.get(at).and_then(|weight| decimal(weight));
        (!name.is_empty()).then_some(Lora {
            name,
            weight,
            hash: None,
        })
    };
    list("loras").into_iter().enumerate().filter_map(lora).collect()
}

/// `sui_models` has the hash of each file by the parameter that names it.
fn add_hash(recovered: &mut Recovered, model: &Value<'_>) {
    let text = |key: &str| model.get(key).and_then(Value::as_str);
    let (Some(name), Some(hash)) = (text("name"), text("hash")) else {
        return;
    };
    match text("param") {
        Some("model") if recovered.settings.model_hash.is_none() => {
            recovered.settings.model_hash = Some(hash.to_owned());
        }
        Some("loras") => {
            let stem = name.trim_end_matches(".safetensors");
            if let Some(lora) = recovered
                .loras
                .iter_mut()
                .find(|lora| lora.name == name || lora.name == stem)
            {
                lora.hash = Some(hash.to_owned());
            }
        }
        param => extra(recovered, &format!("{} hash", param.unwrap_or(name)), hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn every_part() {
        let text = r#"{"sui_image_params": {"prompt": "a cat", "negativeprompt": "", "model": "m", "seed": 18446744073709551615,
            "steps": 4, "cfgscale": 1.0, "width": 1024, "height": 768, "loras": ["x/foo", "bar"], "loraweights": ["0.5", 1],
            "swarm_version": "0.9.7.4", "aspectratio": "1:1"},
            "sui_extra_data": {"date": "2026-01-03", "original_prompt": "a <random:cat,dog>"},
            "sui_models": [{"name": "m.safetensors", "param": "model", "hash": "0x22"}, {"name": "bar.safetensors", "param": "loras", "hash": "0x33"}]}"#;
        let recovered = interpret(&json::parse_leaking(text).unwrap().value).unwrap();
        assert_eq!(recovered.prompt.as_deref(), Some("a cat"));
        assert_eq!(recovered.original_prompt.as_deref(), Some("a <random:cat,dog>"));
        assert_eq!(recovered.settings.seed, Some(u64::MAX));
        assert_eq!(recovered.settings.model_hash.as_deref(), Some("0x22"));
        assert_eq!(
            recovered.loras,
            [
                Lora {
                    name: "x/foo".into(),
                    weight: Some(0.5),
                    hash: None
                },
                Lora {
                    name: "bar".into(),
                    weight: Some(1.0),
                    hash: Some("0x33".into())
                },
            ]
        );
        assert_eq!(
            recovered.parameters_extra,
            [
                ("aspectratio".into(), "1:1".into()),
                ("date".into(), "2026-01-03".into())
            ]
        );
    }
}
