//! From the keys of a format to the columns of [`Recovered`]: a generator names its keys in a
//! table, and whatever has no column, or does not parse as what its column holds, goes to
//! `parameters_extra` verbatim. So nothing that a file says is lost on the way.

use crate::metadata::json::{Value, whole_number};
use crate::record::{Confidence, MetadataStatus, Recovered};

/// What a key of some format means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Positive prompt.
    Prompt,
    /// Negative prompt.
    NegativePrompt,
    /// Version of the generator.
    Version,
    /// Sampling steps.
    Steps,
    /// Sampler.
    Sampler,
    /// Scheduler.
    Scheduler,
    /// CFG scale.
    CfgScale,
    /// Seed.
    Seed,
    /// Checkpoint name.
    Model,
    /// Checkpoint hash.
    ModelHash,
    /// VAE name.
    Vae,
    /// CLIP skip, written as a positive or (ComfyUI) negative number.
    ClipSkip,
    /// Denoising strength.
    Denoising,
    /// Guidance of distilled models.
    Guidance,
    /// Width in pixels.
    Width,
    /// Height in pixels.
    Height,
    /// Both, as `832x1216`, `832 x 1216` or `(832, 1216)`.
    Size,
    /// Seen, and told elsewhere.
    Ignore,
}

/// A fresh result for `generator`.
pub fn named(generator: &str) -> Recovered {
    Recovered {
        generator: Some(generator.to_owned()),
        ..Recovered::default()
    }
}

/// Sets status and confidence by whether there is a prompt. An empty prompt is none.
pub fn conclude(mut recovered: Recovered, confidence: Confidence) -> Recovered {
    if recovered
        .prompt
        .as_deref()
        .is_none_or(|prompt| prompt.trim().is_empty())
    {
        recovered.prompt = None;
        recovered.status = MetadataStatus::NoPrompt;
        recovered.confidence = None;
    } else {
        recovered.status = MetadataStatus::Prompt;
        recovered.confidence = Some(confidence);
    }
    recovered
}

/// Takes over every entry of a JSON object by `table`; keys that are not in it become extras.
pub fn fill(recovered: &mut Recovered, object: &Value<'_>, table: &[(&str, Column)]) {
    for (key, value) in object.entries() {
        match table.iter().find(|(name, _)| name == key) {
            Some((_, column)) => put_value(recovered, *column, key, value),
            None => extra(recovered, key, value.to_text()),
        }
    }
}

/// Puts one JSON value into `column`, or among the extras under `key`.
pub fn put_value(recovered: &mut Recovered, column: Column, key: &str, value: &Value<'_>) {
    if column == Column::Ignore || matches!(value, Value::Null) {
        return;
    }
    put(recovered, column, key, &value.to_text());
}

/// Adds a key and value that have no column.
pub fn extra(recovered: &mut Recovered, key: &str, value: impl Into<String>) {
    recovered.parameters_extra.push((key.to_owned(), value.into()));
}

/// Puts one text into `column`; where it does not parse or the column is taken, among the extras.
pub fn put(recovered: &mut Recovered, column: Column, key: &str, text: &str) {
    if !put_text(recovered, column, text) && !put_number(recovered, column, text) {
        extra(recovered, key, text);
    }
}

/// The columns that hold text. A name may not be empty, a prompt may.
fn put_text(recovered: &mut Recovered, column: Column, text: &str) -> bool {
    let settings = &mut recovered.settings;
    let (slot, is_name) = match column {
        Column::Prompt => (&mut recovered.prompt, false),
        Column::NegativePrompt => (&mut recovered.negative_prompt, false),
        Column::Version => (&mut recovered.generator_version, true),
        Column::Sampler => (&mut settings.sampler, true),
        Column::Scheduler => (&mut settings.scheduler, true),
        Column::Model => (&mut settings.model, true),
        Column::ModelHash => (&mut settings.model_hash, true),
        Column::Vae => (&mut settings.vae, true),
        _ => return false,
    };
    if slot.is_some() || (is_name && text.trim().is_empty()) {
        return false;
    }
    *slot = Some(text.to_owned());
    true
}

/// The columns that hold numbers.
fn put_number(recovered: &mut Recovered, column: Column, text: &str) -> bool {
    let settings = &mut recovered.settings;
    match column {
        Column::Steps => fill_once(&mut settings.steps, small_number(text)),
        Column::CfgScale => fill_once(&mut settings.cfg_scale, decimal(text)),
        Column::Seed => fill_once(&mut settings.seed, whole_number(text.trim())),
        Column::ClipSkip => {
            let layers = text.trim().trim_start_matches('-');
            fill_once(&mut settings.clip_skip, small_number(layers))
        }
        Column::Denoising => fill_once(&mut settings.denoising_strength, decimal(text)),
        Column::Guidance => fill_once(&mut settings.guidance, decimal(text)),
        Column::Width => fill_once(&mut settings.width, small_number(text)),
        Column::Height => fill_once(&mut settings.height, small_number(text)),
        Column::Size => match size(text) {
            Some((width, height)) if settings.width.is_none() && settings.height.is_none() => {
                settings.width = Some(width);
                settings.height = Some(height);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// Fills an empty slot; false where it was full or there is nothing to fill in.
fn fill_once<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    if slot.is_some() || value.is_none() {
        return false;
    }
    *slot = value;
    true
}

/// A finite decimal number.
pub fn decimal(text: &str) -> Option<f64> {
    let text = text.trim();
    let starts_like_one = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    text.parse()
        .ok()
        .filter(|number: &f64| starts_like_one && number.is_finite())
}

/// A whole number of 32 bits.
pub fn small_number(text: &str) -> Option<u32> {
    whole_number(text.trim())?.try_into().ok()
}

/// Width and height from `832x1216`, `832 x 1216 (Portrait)`, `832×1216` or `(832, 1216)`.
pub fn size(text: &str) -> Option<(u32, u32)> {
    let text = text.trim_start_matches(['(', '[', ' ']);
    let separator = text.find(['x', 'X', '×', '*', ','])?;
    let (width, rest) = text.split_at(separator);
    let rest = rest.trim_start_matches(['x', 'X', '×', '*', ',', ' ']);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((width.trim().parse().ok()?, rest[..digits].parse().ok()?))
}

/// The last part of a path with either kind of slash.
pub fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;

    #[test]
    fn what_does_not_parse_stays_among_the_extras() {
        let mut recovered = named("x");
        for (column, key, text) in [
            (Column::Seed, "seed", "-1"),
            (Column::Steps, "steps", "many"),
            (Column::CfgScale, "cfg", "NaN"),
            (Column::Model, "model", " "),
        ] {
            put(&mut recovered, column, key, text);
        }
        assert_eq!(recovered.settings, crate::record::Settings::default());
        assert_eq!(recovered.parameters_extra.len(), 4);
        assert_eq!(recovered.parameters_extra[0], ("seed".into(), "-1".into()));
    }

    #[test]
    fn a_taken_column_sends_the_second_value_to_the_extras() {
        let document = json::parse_leaking(r#"{"steps": 20, "other": [1], "steps2": 30, "nothing": null}"#).unwrap();
        let mut recovered = named("x");
        fill(
            &mut recovered,
            &document.value,
            &[
                ("steps", Column::Steps),
                ("steps2", Column::Steps),
                ("nothing", Column::Vae),
            ],
        );
        assert_eq!(recovered.settings.steps, Some(20));
        assert_eq!(
            recovered.parameters_extra,
            [("other".into(), "[1]".into()), ("steps2".into(), "30".into())]
        );
    }

    #[test]
    fn sizes_in_every_spelling() {
        for text in [
            "832x1216",
            "832 x 1216",
            "(832, 1216)",
            "832×1216",
            "832 x 1216   (portrait)",
            "[832, 1216]",
        ] {
            assert_eq!(size(text), Some((832, 1216)), "{text}");
        }
        for text in ["", "832", "axb", "x", "1:1", "-1x-1"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn file_names_of_both_kinds_of_path() {
        assert_eq!(file_name("C:\\models\\sd.safetensors"), "sd.safetensors");
        assert_eq!(file_name("a/b/c.ckpt"), "c.ckpt");
        assert_eq!(file_name("plain"), "plain");
    }
}
