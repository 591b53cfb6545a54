//! Easy Diffusion: one text a field in a PNG, JSON in EXIF, or either beside the picture; its keys
//! are snake case or as people read them. `prompt` is ComfyUI's key too, so shape decides.

use super::fields::{Column, conclude, decimal, extra, file_name, named, put};
use crate::metadata::json::Value;
use crate::record::{Confidence, Lora, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("prompt", Column::Prompt),
    ("negative_prompt", Column::NegativePrompt),
    ("negative prompt", Column::NegativePrompt),
    ("seed", Column::Seed),
    ("use_stable_diffusion_model", Column::Model),
    ("stable diffusion model", Column::Model),
    ("sampler_name", Column::Sampler),
    ("sampler", Column::Sampler),
    ("scheduler_name", Column::Scheduler),
    ("scheduler", Column::Scheduler),
    ("num_inference_steps", Column::Steps),
    ("steps", Column::Steps),
    ("guidance_scale", Column::CfgScale),
    ("guidance scale", Column::CfgScale),
    ("distilled_guidance_scale", Column::Guidance),
    ("distilled guidance", Column::Guidance),
    ("width", Column::Width),
    ("height", Column::Height),
    ("clip_skip", Column::ClipSkip),
    ("clip skip", Column::ClipSkip),
    ("use_vae_model", Column::Vae),
    ("vae model", Column::Vae),
    ("prompt_strength", Column::Denoising),
    ("prompt strength", Column::Denoising),
];

/// Keys that only Easy Diffusion has.
const OWN_KEYS: &[&str] = &["use_stable_diffusion_model", "Stable Diffusion model"];

/// Whether a JSON object is Easy Diffusion's.
pub fn is_it(object: &Value<'_>) -> bool {
    object.entries().iter().any(|(key, _)| is_own_key(key)) && (object.has("prompt") || object.has("Prompt"))
}

/// Whether `key` is one that only Easy Diffusion has.
pub fn is_own_key(key: &str) -> bool {
    OWN_KEYS.contains(&key)
}

/// Interprets Easy Diffusion's JSON object.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let texts: Vec<(&str, String)> = object
        .entries()
        .iter()
        .map(|(key, value)| (*key, value.to_text()))
        .collect();
    from_fields(texts.iter().map(|(key, text)| (*key, text.as_str())))
}

/// Interprets one text a field.
pub fn from_fields<'t>(fields: impl Iterator<Item = (&'t str, &'t str)>) -> Recovered {
    let mut recovered = named("easy-diffusion");
    let mut loras = (String::new(), String::new());
    for (key, text) in fields {
        let lower = key.to_lowercase();
        match COLUMNS.iter().find(|(name, _)| *name == lower) {
            Some((_, Column::Model)) => {
                let name = file_name(text);
                let stem = [".safetensors", ".ckpt", ".gguf", ".pt"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end));
                put(&mut recovered, Column::Model, key, stem.unwrap_or(name));
                if stem.unwrap_or(name) != text {
                    extra(&mut recovered, key, text);
                }
            }
            Some((_, column)) => put(&mut recovered, *column, key, text),
            None if matches!(lower.as_str(), "use_lora_model" | "lora model") => text.clone_into(&mut loras.0),
            None if matches!(lower.as_str(), "lora_alpha" | "lora strength") => text.clone_into(&mut loras.1),
            None => extra(&mut recovered, key, text),
        }
    }
    recovered.loras = lora_list(&loras.0, &loras.1);
    conclude(recovered, Confidence::Explicit)
}

/// Names and strengths are single values or lists, as JSON or separated by commas.
fn lora_list(names: &str, weights: &str) -> Vec<Lora> {
    let parts = |list: &str| -> Vec<String> {
        let list = list.trim_matches(['[', ']']);
        list.split(',')
            .map(|part| part.trim().trim_matches(['"', '\'']).to_owned())
            .collect()
    };
    let weights = parts(weights);
    let lora = |(at, name): (usize, String)| {
        let weight = weights.get(at).and_then(|weight| decimal(weight));
        (!name.is_empty() && name != "None" && name != "null").then_some(Lora {
            name,
            weight,
            hash: None,
        })
    };
    parts(names).into_iter().enumerate().filter_map(lora).collect()
}

/// Interprets a text of `Key: value` lines, as it is saved beside the picture.
pub fn interpret_lines(text: &str) -> Option<Recovered> {
    let fields: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let own = fields.iter().any(|(key, _)| is_own_key(key));
    let prompt = fields.iter().any(|(key, _)| key.eq_ignore_ascii_case("prompt"));
    (own && prompt).then(|| from_fields(fields.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn json_lines_and_fields_agree() {
        let text = r#"{"prompt": "a pier", "negative_prompt": "fog", "seed": 3, "use_stable_diffusion_model": "C:\\models\\sd-v1-5.safetensors",
            "clip_skip": false, "use_vae_model": "", "sampler_name": "euler_a", "width": 64, "height": 64, "num_inference_steps": 25,
            "guidance_scale": 7.5, "use_lora_model": ["foo"], "lora_alpha": [0.5]}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value));
        let lines = "Prompt: a pier: night\nNegative Prompt: fog\nSeed: 3\nStable Diffusion model: C:\\models\\sd-v1-5.safetensors\nSampler: euler_a\nSteps: 25\nGuidance Scale: 7.5\nLoRA model: foo\nLoRA Strength: 0.5";
        for (recovered, prompt) in [
            (interpret(&document.value), "a pier"),
            (interpret_lines(lines).unwrap(), "a pier: night"),
        ] {
            assert_eq!(recovered.generator.as_deref(), Some("easy-diffusion"));
            assert_eq!(recovered.prompt.as_deref(), Some(prompt));
            let settings = &recovered.settings;
            assert_eq!(
                (settings.model.as_deref(), settings.sampler.as_deref()),
                (Some("sd-v1-5"), Some("euler_a"))
            );
            assert_eq!(
                (settings.steps, settings.cfg_scale, settings.seed),
                (Some(25), Some(7.5), Some(3))
            );
            assert_eq!(
                recovered.loras,
                [Lora {
                    name: "foo".into(),
                    weight: Some(0.5),
                    hash: None
                }]
            );
        }
        assert!(interpret_lines("1girl, solo: yes").is_none());
    }
}
