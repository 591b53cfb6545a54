//! Recovered fields as infotext, the text that the A1111 family writes and that its programs,
//! viewers and model sites read. What was infotext comes back as the same fields when it is read
//! again; what another program wrote keeps its prompts, its settings and its other keys.

use super::generator::infotext::{self, Infotext, is_settings_line};
use super::generator::infotext_family::{self, Origin, TRAILING_KEY};
use super::generator::infotext_settings::Setting;
use crate::record::{Lora, Recovered};

/// Writes a recipe: prompt, `Negative prompt:`, and one line of settings.
///
/// Prompts stand verbatim, LoRAs that the prompt does not call are listed under `Lora hashes` and
/// `Lora weights`. The format knows no escape in prompts: a prompt with a line of its own that
/// begins `Negative prompt:`, or that reads as settings, is read back cut there. Gives the empty
/// text where nothing was recovered.
pub fn write(recovered: &Recovered) -> String {
    let mut parts = parts_of(recovered);
    let text = infotext::write(&parts);
    let found = infotext_family::interpret(&text, Origin::OwnSlot).map_or_else(Vec::new, |found| found.loras);
    let missing: Vec<&Lora> = recovered
        .loras
        .iter()
        .filter(|lora| !found.iter().any(|known| known.name == lora.name))
        .collect();
    if missing.is_empty() {
        return text;
    }
    add_loras(&mut parts, &missing);
    fill_settings_line(&mut parts.settings);
    infotext::write(&parts)
}

/// The fields at their places in an infotext.
fn parts_of(recovered: &Recovered) -> Infotext<'static> {
    let mut parts = Infotext {
        prompt: recovered.prompt.clone().unwrap_or_default(),
        settings: column_settings(recovered),
        ..Infotext::default()
    };
    add_originals(recovered, &mut parts);
    for (number, character) in (1..).zip(&recovered.character_prompts) {
        push(
            &mut parts.settings,
            &format!("Character {number} prompt"),
            &character.prompt,
        );
        if !character.negative_prompt.is_empty() {
            let key = format!("Character {number} negative prompt");
            push(&mut parts.settings, &key, &character.negative_prompt);
        }
    }
    for (key, value) in &recovered.parameters_extra {
        if key == TRAILING_KEY {
            parts.trailing.clone_from(value);
        } else {
            push(&mut parts.settings, &plain_key(key), value);
        }
    }
    fill_settings_line(&mut parts.settings);
    let needs_line = needs_negative_line(&parts);
    let negative = recovered.negative_prompt.clone();
    parts.negative_prompt = negative.filter(|text| !text.is_empty() || needs_line);
    parts
}

/// Whether a line of negative prompt must stand even where it is empty: nothing but a line behind it
/// keeps white space at the end of a prompt or what looks like `SD.Next`'s template in it, and nothing
/// but an earlier one keeps a line of negative prompt inside a template.
fn needs_negative_line(parts: &Infotext<'_>) -> bool {
    let is_padded = parts.settings.is_empty() && infotext::without_padding(&parts.prompt) != parts.prompt;
    let has_template = !parts.settings.is_empty() && infotext::has_template_line(&parts.prompt);
    let templates = [&parts.template, &parts.negative_template];
    let is_inside = templates
        .into_iter()
        .flatten()
        .any(|text| infotext::has_negative_line(text));
    is_padded || has_template || is_inside
}

/// The settings with columns of their own, in the family's order. They stand before all others:
/// of a key that comes twice the first one counts.
fn column_settings(recovered: &Recovered) -> Vec<Setting<'static>> {
    let settings = &recovered.settings;
    let is_sd_next = recovered.generator.as_deref() == Some("sd-next");
    let scheduler = if is_sd_next { "Scheduler" } else { "Schedule type" };
    let size = settings.width.zip(settings.height);
    let values = [
        ("Steps", settings.steps.map(|steps| steps.to_string())),
        ("Sampler", settings.sampler.clone()),
        (scheduler, settings.scheduler.clone()),
        ("CFG scale", settings.cfg_scale.map(|scale| scale.to_string())),
        ("Distilled CFG Scale", settings.guidance.map(|scale| scale.to_string())),
        ("Seed", settings.seed.map(|seed| seed.to_string())),
        ("Size", size.map(|(width, height)| format!("{width}x{height}"))),
        ("Model hash", settings.model_hash.clone()),
        ("Model", settings.model.clone()),
        ("VAE", settings.vae.clone()),
        (
            "Denoising strength",
            settings.denoising_strength.map(|strength| strength.to_string()),
        ),
        ("Clip skip", settings.clip_skip.map(|layers| layers.to_string())),
        ("Version", recovered.generator_version.clone()),
    ];
    let mut line = Vec::new();
    for (key, value) in values {
        if let Some(value) = value {
            push(&mut line, key, &value);
        }
    }
    line
}

/// What was typed before wildcards and styles were applied, where each program keeps it.
fn add_originals(recovered: &Recovered, parts: &mut Infotext<'_>) {
    let (positive, negative) = (&recovered.original_prompt, &recovered.original_negative_prompt);
    let keys = match recovered.generator.as_deref() {
        Some("sd-next")
            if recovered
                .parameters_extra
                .iter()
                .any(|(key, _)| key.eq_ignore_ascii_case("app")) =>
        {
            parts.template.clone_from(positive);
            // The line stands behind the one of the template.
            parts.negative_template = negative.clone().filter(|_| positive.is_some());
            return;
        }
        Some("fooocus") => infotext_family::FOOOCUS_ORIGINALS,
        _ => infotext_family::ORIGINALS,
    };
    for (key, text) in [(keys.0, positive), (keys.1, negative)] {
        if let Some(text) = text {
            push(&mut parts.settings, key, text);
        }
    }
}

/// `Lora hashes` as the family writes them, `Lora weights` as Fooocus does.
fn add_loras(parts: &mut Infotext<'_>, loras: &[&Lora]) {
    // A comma or a colon would end the name.
    let named: Vec<&&Lora> = loras.iter().filter(|lora| !lora.name.contains([',', ':'])).collect();
    let list = |value: &dyn Fn(&Lora) -> Option<String>| -> Vec<String> {
        named
            .iter()
            .filter_map(|lora| Some(format!("{}: {}", lora.name, value(lora)?)))
            .collect()
    };
    let hashes = list(&|lora| lora.hash.clone());
    let weights = list(&|lora| Some(lora.weight.map_or_else(String::new, |weight| weight.to_string())));
    for (key, entries) in [("Lora hashes", hashes), ("Lora weights", weights)] {
        if !entries.is_empty() {
            push(&mut parts.settings, key, &entries.join(", "));
        }
    }
}

/// Adds empty settings until the line reads as one: with fewer than three, readers of the family
/// take it for prompt.
fn fill_settings_line(settings: &mut Vec<Setting<'_>>) {
    const FILLERS: [&str; 4] = ["Sampler", "Seed", "Model", "CFG scale"];
    if settings.is_empty() {
        return;
    }
    for key in FILLERS {
        if is_settings_line(settings) {
            return;
        }
        if settings.iter().any(|setting| setting.key == key) {
            continue;
        }
        let filler = Setting {
            key: key.into(),
            value: "".into(),
        };
        // The first one decides whether a line is looked at.
        let at = if infotext::may_begin_line(&settings[0]) {
            settings.len()
        } else {
            0
        };
        settings.insert(at, filler);
    }
}

/// A key of another program as one that a settings line can hold: without what would end it.
fn plain_key(key: &str) -> String {
    if infotext::is_key(key) {
        return key.to_owned();
    }
    let plain: String = key
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') {
                c
            } else {
                ' '
            }
        })
        .collect();
    let plain: Vec<&str> = plain.split_whitespace().collect();
    let mut plain = plain.join(" ");
    plain.truncate(plain.floor_char_boundary(infotext::MAX_KEY_BYTES));
    if infotext::is_key(plain.trim_end()) {
        plain.trim_end().to_owned()
    } else {
        "Other".to_owned()
    }
}

fn push(settings: &mut Vec<Setting<'_>>, key: &str, value: &str) {
    settings.push(Setting {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
    });
}

#[cfg(test)]
mod tests;
