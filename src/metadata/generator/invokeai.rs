//! InvokeAI's three generations: `Dream` command lines, `sd-metadata`, `invokeai_metadata`.

use super::fields::{Column, conclude, extra, fill, named, put, put_value};
use crate::metadata::json::Value;
use crate::record::{Confidence, Lora, Recovered};

/// Keys of `invokeai_metadata`. What InvokeAI calls scheduler is a sampler; as the file has the
/// key `scheduler`, both columns get it.
const COLUMNS: &[(&str, Column)] = &[
    ("positive_prompt", Column::Prompt),
    ("negative_prompt", Column::NegativePrompt),
    ("width", Column::Width),
    ("height", Column::Height),
    ("seed", Column::Seed),
    ("cfg_scale", Column::CfgScale),
    ("guidance", Column::Guidance),
    ("steps", Column::Steps),
    ("scheduler", Column::Scheduler),
    ("clip_skip", Column::ClipSkip),
    ("strength", Column::Denoising),
    ("app_version", Column::Version),
];

/// Keys of the `image` object of `sd-metadata`.
const SD_COLUMNS: &[(&str, Column)] = &[
    ("steps", Column::Steps),
    ("cfg_scale", Column::CfgScale),
    ("sampler", Column::Sampler),
    ("seed", Column::Seed),
    ("width", Column::Width),
    ("height", Column::Height),
    ("strength", Column::Denoising),
    ("prompt", Column::Ignore),
];

/// Whether a JSON object is the third generation's.
pub fn is_it(object: &Value<'_>) -> bool {
    let marks = ["generation_mode", "app_version", "rand_device"];
    object.has("positive_prompt") && (marks.iter().any(|mark| object.has(mark)) || object.has("scheduler"))
        || object.has("app_version") && object.has("generation_mode")
}

/// Whether a JSON object is the second generation's.
pub fn is_sd_metadata(object: &Value<'_>) -> bool {
    let image = object
        .get("image")
        .is_some_and(|image| image.has("prompt") || image.has("steps"));
    image
        && ["app_id", "model_weights", "app_version"]
            .iter()
            .any(|mark| object.has(mark))
}

/// Interprets `invokeai_metadata`.
pub fn interpret(object: &Value<'_>) -> Recovered {
    let mut recovered = named("invokeai");
    for (key, value) in object.entries() {
        match COLUMNS.iter().find(|(name, _)| name == key) {
            Some((_, column)) => put_value(&mut recovered, *column, key, value),
            None if *key == "model" => {
                recovered.settings.model = model_name(value);
                recovered.settings.model_hash = value.get("hash").and_then(Value::as_str).map(str::to_owned);
                if recovered.settings.model.is_none() {
                    extra(&mut recovered, key, value.to_text());
                }
            }
            None if *key == "vae" => recovered.settings.vae = model_name(value),
            None if *key == "loras" => recovered.loras = value.items().iter().filter_map(lora).collect(),
            None => extra(&mut recovered, key, value.to_text()),
        }
    }
    recovered.settings.sampler.clone_from(&recovered.settings.scheduler);
    conclude(recovered, Confidence::Explicit)
}

/// Models are objects that name themselves by `name` or, before, `model_name`.
fn model_name(model: &Value<'_>) -> Option<String> {
    let name = ["name", "model_name", "key"].iter().find_map(|key| model.get(key));
    name.unwrap_or(model).as_str().map(str::to_owned)
}

fn lora(value: &Value<'_>) -> Option<Lora> {
    let model = value.get("model").or_else(|| value.get("lora"))?;
    Some(Lora {
        name: model_name(model)?,
        weight: value.get("weight").and_then(Value::as_f64),
        hash: model.get("hash").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Interprets `sd-metadata`.
pub fn interpret_sd_metadata(object: &Value<'_>) -> Option<Recovered> {
    let image = object.get("image")?;
    let mut recovered = named("invokeai-sd-metadata");
    if let Some(prompt) = image.get("prompt") {
        let texts: Vec<&str> = match prompt {
            Value::String(text) => vec![text],
            list => list
                .items()
                .iter()
                .filter_map(|part| part.get("prompt").unwrap_or(part).as_str())
                .collect(),
        };
        set_bracketed(&mut recovered, &texts.join(", "));
    }
    fill(&mut recovered, image, SD_COLUMNS);
    for (key, value) in object.entries().iter().filter(|(key, _)| *key != "image") {
        let column = match *key {
            "model_weights" => Column::Model,
            "model_hash" => Column::ModelHash,
            "app_version" => Column::Version,
            _ => {
                extra(&mut recovered, key, value.to_text());
                continue;
            }
        };
        put_value(&mut recovered, column, key, value);
    }
    Some(conclude(recovered, Confidence::Explicit))
}

/// Interprets a `Dream` command line: `"prompt [negative]" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms`.
pub fn interpret_dream(text: &str) -> Option<Recovered> {
    let rest = text.trim().strip_prefix('"')?;
    // Quotes inside the prompt are not escaped: the last one before the options ends it.
    let end = rest
        .rfind("\" -")
        .or_else(|| rest.ends_with('"').then(|| rest.len() - 1))?;
    let mut recovered = named("invokeai-dream");
    set_bracketed(&mut recovered, &rest[..end]);
    let mut words = rest[end + 1..].split_whitespace().peekable();
    while let Some(option) = words.next() {
        let (option, value) = split_option(option, &mut words);
        let column = match option {
            "-s" | "--steps" => Column::Steps,
            "-S" | "--seed" => Column::Seed,
            "-W" | "--width" => Column::Width,
            "-H" | "--height" => Column::Height,
            "-C" | "--cfg_scale" => Column::CfgScale,
            "-A" | "--sampler" => Column::Sampler,
            "-f" | "--strength" => Column::Denoising,
            _ => {
                extra(&mut recovered, option, value);
                continue;
            }
        };
        put(&mut recovered, column, option, value);
    }
    Some(conclude(recovered, Confidence::Explicit))
}

/// An option and its value, which may stick to a short option (`-s50`) or be missing.
fn split_option<'t>(
    word: &'t str,
    words: &mut std::iter::Peekable<std::str::SplitWhitespace<'t>>,
) -> (&'t str, &'t str) {
    let is_short = word.starts_with('-') && !word.starts_with("--") && word.is_char_boundary(2);
    if is_short && word.len() > 2 {
        return word.split_at(2);
    }
    let is_value = |next: &&str| !next.starts_with('-') || next[1..].starts_with(|c: char| c.is_ascii_digit());
    (word, words.next_if(is_value).unwrap_or_default())
}

/// The first two generations write the negative prompt in brackets inside the prompt.
fn set_bracketed(recovered: &mut Recovered, text: &str) {
    let mut positive = String::new();
    let mut negative: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once('[') {
        let Some((inside, after)) = inside.split_once(']') else {
            break;
        };
        positive.push_str(before);
        positive.push(' ');
        negative.push(inside);
        rest = after;
    }
    if negative.is_empty() {
        recovered.prompt = Some(text.to_owned());
        recovered.negative_prompt = Some(String::new());
        return;
    }
    positive.push_str(rest);
    recovered.prompt = Some(
        positive
            .split(' ')
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
    );
    recovered.negative_prompt = Some(negative.join(" "));
    recovered.original_prompt = Some(text.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn third_generation() {
        let text = r#"{"generation_mode":"sdxl_txt2img","positive_prompt":"a\n","negative_prompt":"b","width":1024,"height":768,"seed":3951921344,
            "rand_device":"cpu","cfg_scale":6.0,"steps":24,"scheduler":"euler_a","model":{"key":"k","hash":"blake3:7c","name":"WAI"},
            "vae":{"model_name":"VAEFix"},"loras":[{"model":{"name":"foo"},"weight":0.75}],"app_version":"6.10.0"}"#;
        let document = json::parse_leaking(text).unwrap();
        assert!(is_it(&document.value));
        let recovered = interpret(&document.value);
        assert_eq!(recovered.prompt.as_deref(), Some("a\n"));
        assert_eq!(recovered.settings.scheduler.as_deref(), Some("euler_a"));
        assert_eq!(recovered.settings.model_hash.as_deref(), Some("blake3:7c"));
        assert_eq!(recovered.settings.vae.as_deref(), Some("VAEFix"));
        assert_eq!(
            recovered.loras,
            [Lora {
                name: "foo".into(),
                weight: Some(0.75),
                hash: None
            }]
        );
        let flux = json::parse_leaking(
            r#"{"generation_mode":"flux_txt2img","positive_prompt":"a","app_version":"5","guidance":4}"#,
        )
        .unwrap();
        let recovered = interpret(&flux.value);
        assert_eq!(
            (recovered.negative_prompt, recovered.settings.guidance),
            (None, Some(4.0))
        );
    }

    #[test]
    fn second_generation_with_a_list_or_a_string() {
        for prompt in [
            r#""fox [bad] [worse]""#,
            r#"[{"prompt": "fox [bad] [worse]", "weight": 1.0}]"#,
        ] {
            let text = format!(
                r#"{{"model": "stable diffusion", "model_weights": "m", "model_hash": "h", "app_id": "invoke-ai/InvokeAI", "app_version": "2.3.5",
                "image": {{"prompt": {prompt}, "steps": 30, "cfg_scale": 7.5, "sampler": "k_lms", "seed": 1, "width": 64, "height": 64}}}}"#
            );
            let document = json::parse_leaking(&text).unwrap();
            assert!(is_sd_metadata(&document.value));
            let recovered = interpret_sd_metadata(&document.value).unwrap();
            assert_eq!(recovered.prompt.as_deref(), Some("fox"));
            assert_eq!(recovered.negative_prompt.as_deref(), Some("bad worse"));
            assert_eq!(recovered.original_prompt.as_deref(), Some("fox [bad] [worse]"));
            assert_eq!(recovered.settings.model.as_deref(), Some("m"));
        }
    }

    #[test]
    fn dream_lines() {
        let recovered = interpret_dream(
            r#""a "quoted" fox, snow [blurry] [bad]" -s 50 -S 123 -W512 -H 640 -C 7.5 -A k_lms --seamless -G 0.8"#,
        )
        .unwrap();
        assert_eq!(recovered.prompt.as_deref(), Some("a \"quoted\" fox, snow"));
        assert_eq!(recovered.negative_prompt.as_deref(), Some("blurry bad"));
        let settings = &recovered.settings;
        assert_eq!(
            (settings.steps, settings.seed, settings.width, settings.height),
            (Some(50), Some(123), Some(512), Some(640))
        );
        assert_eq!(
            (settings.cfg_scale, settings.sampler.as_deref()),
            (Some(7.5), Some("k_lms"))
        );
        assert_eq!(
            recovered.parameters_extra,
            [("--seamless".into(), String::new()), ("-G".into(), "0.8".into())]
        );
        assert_eq!(interpret_dream("\"only\"").unwrap().prompt.as_deref(), Some("only"));
        for text in ["", "no quotes -s 5", "\"open -s 5", "\"x\" -é -", "\"x\" -"] {
            let _ = interpret_dream(text);
        }
    }
}
