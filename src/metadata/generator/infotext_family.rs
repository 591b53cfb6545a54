//! Who wrote an infotext, and its typed fields. The programs of the family differ in the keys of
//! their settings line and above all in its `Version` and `App`.

use super::civitai;
use super::fields::{Column, conclude, extra, named, put};
use super::infotext::{self, Infotext};
use super::infotext_settings::Setting;
use super::loras;
use crate::record::{Confidence, MetadataStatus, Recovered};

/// Where an infotext stood: the slot named `parameters` (or a GIF comment, or hidden pixels) is
/// this family's own, so even a bare prompt counts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A slot that only this family uses.
    OwnSlot,
    /// A slot that anything may use (`UserComment`, a text file).
    SharedSlot,
}

/// Settings with columns of their own, lower case. Everything else is an extra.
const COLUMNS: &[(&str, Column)] = &[
    ("steps", Column::Steps),
    ("sampler", Column::Sampler),
    ("schedule type", Column::Scheduler),
    ("scheduler", Column::Scheduler),
    ("cfg scale", Column::CfgScale),
    ("guidance scale", Column::CfgScale),
    ("seed", Column::Seed),
    ("size", Column::Size),
    ("resolution", Column::Size),
    ("model", Column::Model),
    ("base model", Column::Model),
    ("model hash", Column::ModelHash),
    ("base model hash", Column::ModelHash),
    ("vae", Column::Vae),
    ("clip skip", Column::ClipSkip),
    ("denoising strength", Column::Denoising),
    ("strength", Column::Denoising),
    ("distilled cfg scale", Column::Guidance),
    ("version", Column::Version),
];

/// Under this key stands, among the extras, what follows the settings line.
pub const TRAILING_KEY: &str = "text after the settings";
/// Where most of the family (Dynamic Prompts, for one) keeps prompt and negative prompt as they were
/// before wildcards were filled in.
pub const ORIGINALS: (&str, &str) = ("Template", "Negative Template");
/// Where Fooocus keeps what was typed; the text after styles is its prompt.
pub const FOOOCUS_ORIGINALS: (&str, &str) = ("Raw prompt", "Raw negative prompt");

/// Interprets `text` as infotext; `None` where nothing shows that it is one.
pub fn interpret(text: &str, origin: Origin) -> Option<Recovered> {
    let parts = infotext::split(text);
    if parts.settings.is_empty() {
        let has_negative = parts.negative_prompt.is_some();
        if (origin == Origin::SharedSlot && !has_negative) || parts.prompt.trim().is_empty() {
            return None;
        }
    }
    Some(from_parts(parts, origin))
}

/// The typed fields of a split infotext.
pub fn from_parts(parts: Infotext<'_>, origin: Origin) -> Recovered {
    let family = family(&parts, origin);
    let is_civitai = family.generator == "civitai";
    let resources = parts
        .setting(civitai::RESOURCES_KEY)
        .filter(|_| is_civitai)
        .map(str::to_owned);
    let mut recovered = named(family.generator);
    recovered.also.extend(family.also.map(str::to_owned));
    recovered.loras = find_loras(&parts);
    recovered.prompt = Some(parts.prompt);
    recovered.negative_prompt = Some(parts.negative_prompt.unwrap_or_default());
    recovered.original_prompt = parts.template;
    recovered.original_negative_prompt = parts.negative_template;
    for Setting { key, value } in parts.settings {
        match COLUMNS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key)) {
            Some((_, column)) => put(&mut recovered, *column, &key, &value),
            None => recovered.parameters_extra.push((key.into_owned(), value.into_owned())),
        }
    }
    if !parts.trailing.is_empty() {
        extra(&mut recovered, TRAILING_KEY, parts.trailing);
    }
    if let Some(resources) = resources {
        civitai::add_resources(&mut recovered, &resources);
    }
    match family.generator {
        "sd-next" => {}
        "fooocus" => take_originals(&mut recovered, FOOOCUS_ORIGINALS),
        _ => take_originals(&mut recovered, ORIGINALS),
    }
    conclude(recovered, Confidence::Explicit)
}

/// Name of a program, and what else had a hand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Family {
    generator: &'static str,
    also: Option<&'static str>,
}

/// Decides by `App` and `Version` first, then by keys that only one program writes.
fn family(parts: &Infotext<'_>, origin: Origin) -> Family {
    let generator = |generator| Family { generator, also: None };
    if let Some(app) = parts.value("App") {
        return generator(if app == "SD.Next" {
            "sd-next"
        } else {
            "infotext-unknown"
        });
    }
    if [civitai::RESOURCES_KEY, "Civitai metadata"]
        .iter()
        .any(|key| parts.setting(key).is_some())
    {
        return generator("civitai");
    }
    if let Some(version) = parts.value("Version")
        && let Some(family) = family_by_version(version)
    {
        return family;
    }
    if parts.has_setting_like("Postprocess ") && parts.setting("Steps").is_none() {
        return generator("a1111-extras");
    }
    if ["Pipeline", "Operations", "Backend"]
        .iter()
        .any(|key| parts.setting(key).is_some())
    {
        return generator("sd-next");
    }
    if ["Distilled CFG Scale", "Diffusion in Low Bits"]
        .iter()
        .any(|key| parts.setting(key).is_some())
    {
        return generator("forge");
    }
    let is_own = parts.setting("Sampler").is_some() || parts.setting("Version").is_some();
    let bare_prompt = parts.settings.is_empty() && origin == Origin::OwnSlot;
    generator(if is_own || bare_prompt {
        "a1111"
    } else {
        "infotext-unknown"
    })
}

/// What `Version` says.
fn family_by_version(version: &str) -> Option<Family> {
    let lower = version.trim().to_ascii_lowercase();
    let first_word = lower.split([' ', '-', '_']).next().unwrap_or_default();
    let generator = match first_word {
        "classic" => "forge-classic",
        "neo" => "forge-neo",
        "fooocus" => "fooocus",
        // A node pack of ComfyUI that writes this family's text.
        "comfyui" => {
            return Some(Family {
                generator: "a1111",
                also: Some("comfyui"),
            });
        }
        _ if is_forge_version(first_word) && lower.contains("rc-latest") && !lower.contains("previous") => {
            // reForge counts two versions in the first part (f1.0.0v2), its Easy edition one.
            if first_word.contains('v') {
                "reforge"
            } else {
                "easy-reforge"
            }
        }
        _ if is_forge_version(first_word) => "forge",
        // SD.Next before it wrote `App`: a bare commit, where the others have tags.
        _ if is_commit(&lower) => "sd-next",
        _ => return None,
    };
    Some(Family { generator, also: None })
}

/// `f2.0.1v1.10.1`: an `f` and a number.
fn is_forge_version(word: &str) -> bool {
    word.strip_prefix('f')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A commit's short hash and nothing else.
fn is_commit(version: &str) -> bool {
    (7..=10).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// LoRAs called in the prompt, with the hashes that the settings give.
fn find_loras(parts: &Infotext<'_>) -> Vec<crate::record::Lora> {
    let mut found = loras::in_prompt(&parts.prompt);
    if let Some(list) = parts.setting("Lora hashes") {
        loras::add_hash_list(&mut found, list);
    }
    if let Some(object) = parts.setting("Hashes") {
        loras::add_hash_object(&mut found, object);
    }
    if let Some(list) = parts.setting("Lora weights") {
        loras::add_weight_list(&mut found, list);
    }
    found
}

/// Takes the prompts as they were typed from among the extras.
fn take_originals(recovered: &mut Recovered, keys: (&str, &str)) {
    let extras = &mut recovered.parameters_extra;
    let mut take = |key: &str| {
        let at = extras.iter().position(|(name, _)| name.eq_ignore_ascii_case(key))?;
        Some(extras.remove(at).1)
    };
    recovered.original_prompt = take(keys.0);
    recovered.original_negative_prompt = take(keys.1);
}

/// The text of A1111's `postprocessing` and `extras` slots: settings of an upscaler, no prompt.
pub fn interpret_extras(text: &str) -> Option<Recovered> {
    let mut recovered = named("a1111-extras");
    let line = super::infotext_settings::scan(text);
    if line.settings.is_empty() {
        return None;
    }
    for setting in line.settings {
        extra(&mut recovered, &setting.key, setting.value);
    }
    recovered.status = MetadataStatus::NoPrompt;
    Some(recovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(settings: &str) -> String {
        let text = format!("p\nNegative prompt: n\nSteps: 20, Seed: 1, CFG scale: 7, {settings}");
        interpret(&text, Origin::SharedSlot).unwrap().generator.unwrap()
    }

    #[test]
    fn programs_by_version_and_app() {
        for (settings, expected) in [
            ("Sampler: Euler, Version: v1.10.1", "a1111"),
            ("Sampler: Euler, Model hash: 7460a6fa", "a1111"),
            ("Sampler: Euler, Version: f2.0.1v1.10.1-previous-669-gdfdcbab6", "forge"),
            ("Sampler: Euler, Version: f0.0.17v1.8.0rc-1.7.0", "forge"),
            (
                "Sampler: Euler, Version: f1.0.0v2-v1.10.1RC-latest-2498-g5120e679",
                "reforge",
            ),
            (
                "Sampler: Euler, Version: f1.3.0-v1.10.1RC-latest-1038-g19395bf9",
                "easy-reforge",
            ),
            ("Sampler: Euler, Version: classic", "forge-classic"),
            ("Sampler: Euler, Version: Neo", "forge-neo"),
            ("Sampler: Euler, Version: neo", "forge-neo"),
            ("Distilled CFG Scale: 3.5, Sampler: Euler", "forge"),
            ("App: SD.Next, Version: 49ab7cc, Pipeline: X", "sd-next"),
            ("Sampler: Default, Version: 0a083c2, Parser: Full parser", "sd-next"),
            ("App: huggingface.co, Pipeline: X", "infotext-unknown"),
            ("Model hash: AB, Model: AB", "infotext-unknown"),
            (
                "Sampler: Euler, Civitai resources: [{\"type\":\"checkpoint\",\"modelVersionId\":1}]",
                "civitai",
            ),
            ("Sampler: Euler, Version: Fooocus v2.5.5", "fooocus"),
        ] {
            assert_eq!(generator(settings), expected, "{settings}");
        }
    }

    #[test]
    fn fields_and_extras() {
        let text = "p <lora:foo:0.8>\nNegative prompt: n\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 4294967295, Size: 832x1216, Model hash: 31e35c80fc, Model: xl, VAE: v.pt, Clip skip: 2, Denoising strength: 0.3, Hires upscale: 1.5, Lora hashes: \"foo: 0123\", Version: v1.10.1";
        let recovered = interpret(text, Origin::SharedSlot).unwrap();
        let settings = &recovered.settings;
        assert_eq!(settings.sampler.as_deref(), Some("DPM++ 2M Karras"));
        assert_eq!(settings.scheduler, None);
        assert_eq!(
            (settings.width, settings.height, settings.clip_skip),
            (Some(832), Some(1216), Some(2))
        );
        assert_eq!(
            (settings.steps, settings.cfg_scale, settings.seed),
            (Some(20), Some(7.5), Some(4_294_967_295))
        );
        assert_eq!(
            (settings.denoising_strength, settings.vae.as_deref()),
            (Some(0.3), Some("v.pt"))
        );
        assert_eq!(recovered.generator_version.as_deref(), Some("v1.10.1"));
        assert_eq!(recovered.loras.len(), 1);
        assert_eq!(recovered.loras[0].hash.as_deref(), Some("0123"));
        let keys: Vec<_> = recovered.parameters_extra.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["Hires upscale", "Lora hashes"]);
    }

    #[test]
    fn a_random_seed_is_null_and_kept() {
        let recovered = interpret(
            "p\nSteps: 0, Sampler: Undefined, Seed: -1, CFG scale: 7",
            Origin::SharedSlot,
        )
        .unwrap();
        assert_eq!(recovered.settings.seed, None);
        assert_eq!(recovered.settings.steps, Some(0));
        assert!(recovered.parameters_extra.contains(&("Seed".into(), "-1".into())));
    }

    #[test]
    fn an_empty_prompt_is_none() {
        let recovered = interpret(
            "Negative prompt: \nSteps: 50, Seed: 1, CFG scale: 4, App: SD.Next",
            Origin::SharedSlot,
        )
        .unwrap();
        assert_eq!((recovered.status, recovered.prompt), (MetadataStatus::NoPrompt, None));
    }

    #[test]
    fn training_captions_and_comments_are_not_infotext() {
        assert!(interpret("1girl, solo, hatsune miku", Origin::SharedSlot).is_none());
        assert!(interpret("", Origin::OwnSlot).is_none());
        assert_eq!(
            interpret("just a prompt", Origin::OwnSlot)
                .unwrap()
                .generator
                .as_deref(),
            Some("a1111")
        );
    }

    #[test]
    fn extras_have_no_prompt() {
        let recovered = interpret_extras("Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN 4x+").unwrap();
        assert_eq!(
            (recovered.status, recovered.parameters_extra.len()),
            (MetadataStatus::NoPrompt, 2)
        );
        let recovered = interpret(
            "Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN 4x+",
            Origin::OwnSlot,
        )
        .unwrap();
        assert_eq!(recovered.generator.as_deref(), Some("a1111-extras"));
        assert_eq!(recovered.status, MetadataStatus::NoPrompt);
    }

    #[test]
    fn fooocus_keeps_what_was_typed() {
        let text = "a cat, styled\nNegative prompt: dog, styled\nSteps: 30, Seed: 42, Performance: Speed, Raw prompt: \"a cat\", Raw negative prompt: dog, Guidance Scale: 4, Version: Fooocus v2.5.5";
        let recovered = interpret(text, Origin::OwnSlot).unwrap();
        assert_eq!(recovered.original_prompt.as_deref(), Some("a cat"));
        assert_eq!(recovered.original_negative_prompt.as_deref(), Some("dog"));
        assert_eq!(recovered.prompt.as_deref(), Some("a cat, styled"));
        assert_eq!(recovered.settings.cfg_scale, Some(4.0));
    }
}
