//! What is written is read back: infotext of every program of the family, random infotext, and
//! fields that came from elsewhere.

use proptest::prelude::*;

use super::*;
use crate::metadata::interpret::interpret;
use crate::record::{MetadataStatus, RawEntry, RawMetadata, Settings};

fn read(text: &str) -> Option<Recovered> {
    infotext_family::interpret(text, Origin::OwnSlot)
}

#[track_caller]
fn must_come_back(text: &str) -> Recovered {
    let recovered = read(text).unwrap_or_else(|| panic!("not infotext: {text}"));
    let written = write(&recovered);
    assert_eq!(read(&written), Some(recovered.clone()), "{text}\n---\n{written}");
    recovered
}

/// One infotext a program and trap of the reference.
const SAMPLES: &[&str] = &[
    "a red fox, café\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 4294967295, Size: 832x1216, Model hash: 31e35c80fc, Model: xl, VAE hash: 1, VAE: v.pt, Denoising strength: 0.3, Clip skip: 2, Hires upscale: 1.5, Version: v1.10.1",
    "a <lora:foo:0.8>\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 1, Lora hashes: \"foo: 0123, bar: 45\", Hashes: {\"model\": \"x\", \"lora:foo\": \"y\"}, Version: f2.0.1v1.10.1-previous-669-gdfdcbab6",
    "p\nSteps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 1, Size: 896x1152, Diffusion in Low Bits: Automatic (fp16 LoRA), Module 1: ae",
    "p\nSteps: 20, Sampler: Euler, CFG scale: 1, Seed: 1, Version: f1.0.0v2-v1.10.1RC-latest-2498-g5120e679",
    "p\nSteps: 20, Sampler: Euler, CFG scale: 1, Seed: 1, Version: neo",
    "p\nNegative prompt: n\nTemplate: t __w__\nmore\nNegative template: nt\nSteps: 4, Size: 64x64, Scheduler: Default, Seed: 48, CFG scale: 4, App: SD.Next, Version: 49ab7cc, Pipeline: X, Operations: txt2img",
    "{\n  \"short_description\": \"a, b: c\"\n}\nSteps: 48, Seed: 20, CFG scale: 7, App: SD.Next",
    "p\nNegative prompt: n\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Created Date: 2025-01-02T03:04:05.678Z, Civitai resources: [{\"type\":\"checkpoint\",\"modelVersionId\":128713,\"modelName\":\"Big, Model\"},{\"type\":\"lora\",\"weight\":0.5,\"modelVersionId\":210873}], Civitai metadata: {\"remixOfId\":5}",
    "a cat, styled\nNegative prompt: dog, styled\nSteps: 30, Styles: \"['A, B', 'C']\", Seed: 42, Performance: Speed, Raw prompt: \"a cat\", Raw negative prompt: dog, Guidance Scale: 4, Lora hashes: \"x: 1\", Lora weights: \"x: 0.5\", Version: Fooocus v2.5.5",
    "unknown\nNegative prompt: unknown\nSteps: 20, Sampler: x, CFG Scale: 8.0, Seed: 0, Version: ComfyUI",
    "p, __wild__\nSteps: 20, Sampler: Euler, Seed: 1, Template: \"p, {a|b}\", Negative Template: n, Version: v1.6.0",
    "p\nSteps: 20, Sampler: Euler, Seed: 1, Hires prompt: \"more, \\\"detail\\\"\\nNegative prompt: x\", ADetailer prompt: \"face, [SEP], eyes\", ADetailer prompt 2nd: hand, ControlNet 0: \"Module: canny, Model: x [1], Weight: 1\", Version: v1.6.0",
    "p\nSteps: 0, Sampler: Undefined, Seed: -1, CFG scale: 7",
    "Negative prompt: \nSteps: 50, Seed: 1, CFG scale: 4",
    "a\r\nb\r\n\nNegative prompt: c, \r\n\nSteps: 20, Sampler: x, Seed: 5\r\n",
    "a cat, Steps: 1 2 3, night. Negative prompt: dog, bad Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Hires steps: 10",
    "p\nSteps: 20, Sampler: x, Seed: 5, Steps: 30, Model: a, Base model: b, Version: , Version: v1.2\nsome comment\nand more",
    "Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN 4x+",
    "p\nSteps: 20, Sampler: x, Civitai metadata: {}\u{1f}\0\0",
    "just a prompt, no settings",
    "cat\nNegative prompt: dog\nNegative prompt: mouse",
    "p\nNegative prompt:\nTemplate: t __w__\nNegative prompt: x\nTemplate: y\nSteps: 4, Seed: 48, CFG scale: 4, App: SD.Next",
    "p\nNegative prompt:\nTemplate: t\nNegative template: nt\nNegative prompt: x\nSteps: 4, Seed: 48, CFG scale: 4, App: SD.Next",
];

#[test]
fn every_sample_comes_back_as_the_same_fields() {
    for sample in SAMPLES {
        must_come_back(sample);
    }
}

#[test]
fn the_text_is_what_the_family_writes() {
    let text = "a red fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 64x96, Model hash: 31e35c80fc, Model: xl, Hires prompt: \"big, \\\"bold\\\"\", Version: v1.10.1";
    let written = write(&must_come_back(text));
    assert_eq!(
        written,
        "a red fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 5, Size: 64x96, Model hash: 31e35c80fc, Model: xl, Version: v1.10.1, Hires prompt: \"big, \\\"bold\\\"\""
    );
}

#[test]
fn fields_of_other_programs_keep_prompts_settings_and_loras() {
    let swarm = r#"{"sui_image_params": {"prompt": "a <b>", "negativeprompt": "n", "model": "m", "seed": 18446744073709551615, "steps": 20, "cfgscale": 7.0, "width": 64, "height": 96, "loras": ["x"], "loraweights": ["0.5"], "a:b, c": "d, e: f"}, "sui_extra_data": {"original_prompt": "o, {x|y}"}}"#;
    let recovered = interpret(&RawMetadata {
        entries: vec![RawEntry {
            slot: "png:tEXt".into(),
            key: "parameters".into(),
            text: swarm.into(),
        }],
        ..RawMetadata::default()
    });
    let again = read(&write(&recovered)).unwrap();
    assert_eq!(
        (&again.prompt, &again.negative_prompt),
        (&recovered.prompt, &recovered.negative_prompt)
    );
    assert_eq!(again.settings, recovered.settings);
    assert_eq!(again.original_prompt, recovered.original_prompt);
    assert_eq!(again.loras, recovered.loras);
    let value = again.parameters_extra.iter().find(|(key, _)| key == "a b c");
    assert_eq!(value.map(|(_, value)| value.as_str()), Some("d, e: f"), "{again:?}");
}

#[test]
fn few_settings_still_make_a_line() {
    let recovered = Recovered {
        prompt: Some("a panel".into()),
        parameters_extra: vec![("ar".into(), "4:3".into())],
        ..Recovered::default()
    };
    let written = write(&recovered);
    let again = read(&written).unwrap();
    assert_eq!(again.prompt.as_deref(), Some("a panel"), "{written}");
    assert!(
        again.parameters_extra.contains(&("ar".into(), "4:3".into())),
        "{written}"
    );
    assert_eq!(write(&Recovered::default()), "");
    assert_eq!(read(""), None);
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,8}",
        "[ -~]{0,12}",
        Just("<lora:foo:0.8>".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("Steps: 1 2 3".to_owned()),
        Just("テスト 😀\u{301}".to_owned()),
        Just("Negative prompt: x".to_owned()),
        Just("{\"json\": [1, 2]}".to_owned()),
        Just("Version: v1.2, Seed: 3".to_owned()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.join(", "))
}

/// A line of settings, quoted or not as it comes, with keys of every kind.
fn line() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("Steps".to_owned()),
        Just("Sampler".to_owned()),
        Just("Schedule type".to_owned()),
        Just("CFG scale".to_owned()),
        Just("Seed".to_owned()),
        Just("Size".to_owned()),
        Just("Model".to_owned()),
        Just("Version".to_owned()),
        Just("App".to_owned()),
        Just("Template".to_owned()),
        Just("Hires prompt".to_owned()),
        Just("Lora weights".to_owned()),
        Just("Civitai resources".to_owned()),
        "[A-Za-z][a-z ]{0,6}[a-z]",
    ];
    let value = prop_oneof![
        "[0-9]{1,4}",
        "[0-9]{1,3}x[0-9]{1,3}",
        "[ -~]{0,10}",
        Just("SD.Next".to_owned()),
        Just("v1.10.1".to_owned()),
        Just("\"a, \\\"b\\\": c\\n\"".to_owned()),
        Just("[{\"type\":\"lora\",\"modelName\":\"m\"}]".to_owned()),
        Just("foo: 0.5, bar: x".to_owned()),
    ];
    prop::collection::vec((key, value), 0..10).prop_map(|settings| {
        let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        settings.join(", ")
    })
}

proptest! {
    #[test]
    fn any_infotext_comes_back_as_the_same_fields(prompt in text(), negative in prop::option::of(text()), line in line(), more in text()) {
        let negative = negative.map_or_else(String::new, |text| format!("\nNegative prompt: {text}"));
        let whole = format!("{prompt}{negative}\nSteps: 20, Sampler: Euler, {line}\n{more}");
        if let Some(recovered) = read(&whole) {
            let written = write(&recovered);
            prop_assert_eq!(read(&written), Some(recovered), "{:?}\n---\n{:?}", whole, written);
        }
    }

    #[test]
    fn fields_come_back(
        prompt in "[a-z<>(){}\\[\\]:,. \u{e9}\u{732b}]{1,60}",
        negative in "[a-z:,. ]{0,40}",
        steps in prop::option::of(any::<u32>()),
        seed in prop::option::of(any::<u64>()),
        cfg_scale in prop::option::of(0.0_f64..100.0),
        sampler in prop::option::of("[!-~][ -~]{0,18}[!-~]"),
        model in prop::option::of("[!-~][ -~]{0,18}[!-~]"),
        size in prop::option::of((1_u32..10_000, 1_u32..10_000)),
        extra in "[ -~\n]{0,30}",
    ) {
        let recovered = Recovered {
            status: MetadataStatus::Prompt,
            prompt: Some(prompt),
            negative_prompt: Some(negative),
            settings: Settings {
                steps, seed, cfg_scale, sampler, model,
                width: size.map(|size| size.0),
                height: size.map(|size| size.1),
                ..Settings::default()
            },
            parameters_extra: vec![("Note".into(), extra)],
            ..Recovered::default()
        };
        let written = write(&recovered);
        let again = read(&written).expect("it has a settings line");
        if recovered.prompt.as_deref().is_some_and(|prompt| !prompt.trim().is_empty()) {
            prop_assert_eq!(&again.prompt, &recovered.prompt, "{}", written);
        }
        prop_assert_eq!(&again.negative_prompt, &recovered.negative_prompt, "{}", written);
        prop_assert_eq!(&again.settings, &recovered.settings, "{}", written);
        prop_assert!(again.parameters_extra.contains(&recovered.parameters_extra[0]), "{}", written);
    }
}
