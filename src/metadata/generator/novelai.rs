//! NovelAI: JSON under `Comment` (PNG keys, EXIF, or hidden in the alpha channel), with
//! `Description`, `Source` and others beside it or round it.

use super::fields::{Column, conclude, extra, fill, named};
use crate::metadata::json::{self, Arena, Value};
use crate::record::{CharacterPrompt, Confidence, Recovered};

const COLUMNS: &[(&str, Column)] = &[
    ("prompt", Column::Prompt),
    ("uc", Column::NegativePrompt),
    ("steps", Column::Steps),
    ("scale", Column::CfgScale),
    ("sampler", Column::Sampler),
    ("noise_schedule", Column::Scheduler),
    ("seed", Column::Seed),
    ("width", Column::Width),
    ("height", Column::Height),
    ("strength", Column::Denoising),
];

/// The texts beside the comment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside<'t> {
    /// `Description`: the prompt.
    pub description: Option<&'t str>,
    /// `Source`: model and its hash.
    pub source: Option<&'t str>,
    /// `Software`.
    pub software: Option<&'t str>,
}

/// Whether a JSON object is NovelAI's comment.
pub fn is_comment(object: &Value<'_>) -> bool {
    let settings = ["scale", "sampler", "noise_schedule", "request_type"]
        .iter()
        .any(|key| object.has(key));
    (object.has("uc") || object.has("v4_prompt")) && !object.has("c") && settings
}

/// Whether a JSON object is round such a comment, as in hidden pixels.
pub fn is_wrapper(object: &Value<'_>) -> bool {
    let arena = Arena::new();
    let comment = object.get("Comment").and_then(Value::as_str);
    let inner = comment.and_then(|text| json::parse(text, &arena));
    inner.is_some_and(|document| is_comment(&document.value) || is_wrapper_of_novelai(object))
}

fn is_wrapper_of_novelai(object: &Value<'_>) -> bool {
    ["Software", "Source"].iter().any(|key| {
        object
            .get(key)
            .and_then(Value::as_str)
            .is_some_and(|text| text.starts_with("NovelAI"))
    })
}

/// Interprets a comment that carries its description with it.
pub fn interpret_wrapper(object: &Value<'_>) -> Option<Recovered> {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let arena = Arena::new();
    let comment = json::parse(text("Comment")?, &arena)?;
    let beside = Beside {
        description: text("Description"),
        source: text("Source"),
        software: text("Software"),
    };
    let mut recovered = interpret(&comment.value, beside)?;
    if let Some(time) = text("Generation time") {
        extra(&mut recovered, "Generation time", time);
    }
    Some(recovered)
}

/// Interprets a comment and what stands beside it.
pub fn interpret(comment: &Value<'_>, beside: Beside<'_>) -> Option<Recovered> {
    if is_wrapper(comment) {
        return interpret_wrapper(comment);
    }
    let mut recovered = named("novelai");
    fill(&mut recovered, comment, COLUMNS);
    let base = |key: &str| {
        comment
            .get(key)?
            .get("caption")?
            .get("base_caption")?
            .as_str()
            .map(str::to_owned)
    };
    let described = || beside.description.map(|text| text.trim_matches('\0').to_owned());
    recovered.prompt = recovered.prompt.or_else(|| base("v4_prompt")).or_else(described);
    recovered.negative_prompt = recovered.negative_prompt.or_else(|| base("v4_negative_prompt"));
    recovered.character_prompts = characters(comment);
    set_model(&mut recovered, beside);
    Some(conclude(recovered, Confidence::Explicit))
}

/// `NovelAI Diffusion V4.5 4BDE2A90` is a model and the hash of its weights.
fn set_model(recovered: &mut Recovered, beside: Beside<'_>) {
    const HASH_DIGITS: usize = 8;
    let software = beside.software.filter(|software| *software != "NovelAI");
    let Some(source) = beside.source.or(software).map(str::trim) else {
        return;
    };
    let (model, hash) = match source.rsplit_once(' ') {
        Some((model, hash)) if hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            (model, Some(hash.to_owned()))
        }
        _ => (source, None),
    };
    recovered.settings.model = Some(model.to_owned()).filter(|model| !model.is_empty());
    recovered.settings.model_hash = hash;
}

/// The characters of V4 and later: prompts and negative prompts are parallel lists.
fn characters(comment: &Value<'_>) -> Vec<CharacterPrompt> {
    let captions = |key: &str| {
        let caption = comment.get(key).and_then(|prompt| prompt.get("caption"));
        caption
            .and_then(|caption| caption.get("char_captions"))
            .map(Value::items)
            .unwrap_or_default()
    };
    let text = |caption: &Value<'_>| {
        caption
            .get("char_caption")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let negatives = captions("v4_negative_prompt");
    let character = |(at, caption): (usize, &Value<'_>)| CharacterPrompt {
        prompt: text(caption),
        negative_prompt: negatives.get(at).map(text).unwrap_or_default(),
        center: caption.get("centers").and_then(|centers| {
            let center = centers.items().first()?;
            Some((center.get("x")?.as_f64()?, center.get("y")?.as_f64()?))
        }),
    };
    captions("v4_prompt").iter().enumerate().map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = r#"{"prompt": "1girl", "steps": 28, "height": 1024, "width": 832, "scale": 5.0, "seed": 949223552, "noise_schedule": "karras",
        "sampler": "k_euler_ancestral", "uc": "bad", "request_type": "PromptGenerateRequest",
        "v4_prompt": {"caption": {"base_caption": "1girl", "char_captions": [{"char_caption": "miku", "centers": [{"x": 0.3, "y": 0.5}]}, {"char_caption": "rin", "centers": []}]}},
        "v4_negative_prompt": {"caption": {"base_caption": "bad", "char_captions": [{"char_caption": "hat", "centers": []}]}}}"#;

    #[test]
    fn characters_and_model() {
        let document = json::parse_leaking(V4).unwrap();
        assert!(is_comment(&document.value));
        let beside = Beside {
            source: Some("NovelAI Diffusion V4.5 4BDE2A90"),
            ..Beside::default()
        };
        let recovered = interpret(&document.value, beside).unwrap();
        assert_eq!(recovered.settings.model.as_deref(), Some("NovelAI Diffusion V4.5"));
        assert_eq!(recovered.settings.model_hash.as_deref(), Some("4BDE2A90"));
        assert_eq!(recovered.settings.scheduler.as_deref(), Some("karras"));
        assert_eq!(
            recovered.character_prompts,
            [
                CharacterPrompt {
                    prompt: "miku".into(),
                    negative_prompt: "hat".into(),
                    center: Some((0.3, 0.5))
                },
                CharacterPrompt {
                    prompt: "rin".into(),
                    negative_prompt: String::new(),
                    center: None
                },
            ]
        );
    }

    #[test]
    fn an_old_comment_takes_its_prompt_from_the_description() {
        let document =
            json::parse_leaking(r#"{"steps": 50, "sampler": "k_lms", "seed": 1, "scale": 10.0, "uc": "bad"}"#).unwrap();
        let beside = Beside {
            description: Some("\0\0\0\0cat"),
            source: Some("Stable Diffusion 1D44365E"),
            software: Some("NovelAI"),
        };
        let recovered = interpret(&document.value, beside).unwrap();
        assert_eq!(recovered.prompt.as_deref(), Some("cat"));
        assert_eq!(recovered.settings.model.as_deref(), Some("Stable Diffusion"));
    }

    #[test]
    fn the_wrapper_of_hidden_pixels() {
        let mut wrapper = String::from(
            r#"{"Description": "1girl", "Software": "NovelAI", "Source": "NovelAI Diffusion V4 37442FCA", "Comment": "#,
        );
        json::write_string(V4, &mut wrapper);
        wrapper.push('}');
        let document = json::parse_leaking(&wrapper).unwrap();
        assert!(is_wrapper(&document.value));
        let recovered = interpret_wrapper(&document.value).unwrap();
        assert_eq!(
            (recovered.settings.seed, recovered.character_prompts.len()),
            (Some(949_223_552), 2)
        );
    }
}
