//! Graphs whose truth is known: the hand-made ones isolate a trap each, the random ones are built
//! from a truth and must give it back.

use super::*;
use crate::metadata::json;
use std::fmt::Write as _;

fn api(text: &str) -> Recovered {
    interpret_api(&json::parse_leaking(text).expect("JSON").value, None, &Arena::new()).expect("a graph")
}

/// A plain text-to-image graph; `positive` and `negative` are the sampler's conditioning inputs,
/// `more` further nodes.
fn sampled(positive: &str, negative: &str, more: &str) -> Recovered {
    api(&format!(
        r#"{{"3": {{"class_type": "KSampler", "inputs": {{"seed": 18446744073709551615, "steps": 20, "cfg": 7.5, "sampler_name": "euler",
            "scheduler": "normal", "denoise": 1.0, "model": ["4", 0], "positive": {positive}, "negative": {negative}, "latent_image": ["5", 0]}}}},
        "4": {{"class_type": "CheckpointLoaderSimple", "inputs": {{"ckpt_name": "m.safetensors"}}}},
        "5": {{"class_type": "EmptyLatentImage", "inputs": {{"width": 512, "height": 768, "batch_size": 1}}}},
        "6": {{"class_type": "CLIPTextEncode", "inputs": {{"text": "a blue bird", "clip": ["4", 1]}}}},
        "7": {{"class_type": "CLIPTextEncode", "inputs": {{"text": "ugly", "clip": ["4", 1]}}}},
        "8": {{"class_type": "VAEDecode", "inputs": {{"samples": ["3", 0], "vae": ["4", 2]}}}},
        "9": {{"class_type": "SaveImage", "inputs": {{"images": ["8", 0], "filename_prefix": "ComfyUI"}}}}{more}}}"#
    ))
}

#[track_caller]
fn must_say(recovered: &Recovered, prompt: &str, negative: &str) {
    assert_eq!(recovered.prompt.as_deref(), Some(prompt));
    assert_eq!(recovered.negative_prompt.as_deref(), Some(negative));
}

#[test]
fn the_plain_graph() {
    let recovered = sampled(r#"["6", 0]"#, r#"["7", 0]"#, "");
    must_say(&recovered, "a blue bird", "ugly");
    let settings = &recovered.settings;
    assert_eq!(
        (settings.seed, settings.steps, settings.cfg_scale),
        (Some(u64::MAX), Some(20), Some(7.5))
    );
    assert_eq!(
        (settings.sampler.as_deref(), settings.scheduler.as_deref()),
        (Some("euler"), Some("normal"))
    );
    assert_eq!(
        (settings.model.as_deref(), settings.width, settings.height),
        (Some("m.safetensors"), Some(512), Some(768))
    );
    assert_eq!(
        (recovered.status, recovered.confidence),
        (MetadataStatus::Prompt, Some(Confidence::Graph))
    );
    assert!(recovered.notes.is_empty(), "{:?}", recovered.notes);
}

#[test]
fn slots_pick_the_side() {
    let more = r#", "12": {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["6", 0], "negative": ["7", 0], "strength": 1}}"#;
    must_say(&sampled(r#"["12", 0]"#, r#"["12", 1]"#, more), "a blue bird", "ugly");
    // Wired crosswise on purpose: the slot counts, not the name of the sampler's input.
    must_say(&sampled(r#"["12", 1]"#, r#"["12", 0]"#, more), "ugly", "a blue bird");
}

#[test]
fn combine_concat_and_average_keep_every_text() {
    let more = r#", "10": {"class_type": "CLIPTextEncode", "inputs": {"text": "sunset", "clip": ["4", 1]}},
        "11": {"class_type": "ConditioningSetArea", "inputs": {"conditioning": ["10", 0], "width": 64, "height": 64, "x": 0, "y": 0, "strength": 1}},
        "12": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["6", 0], "conditioning_2": ["11", 0]}},
        "13": {"class_type": "ConditioningConcat", "inputs": {"conditioning_to": ["12", 0], "conditioning_from": ["6", 0]}}"#;
    must_say(
        &sampled(r#"["13", 0]"#, r#"["7", 0]"#, more),
        "a blue bird\nsunset",
        "ugly",
    );
}

#[test]
fn zero_out_is_an_empty_negative() {
    let more = r#", "12": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["6", 0]}}"#;
    must_say(&sampled(r#"["6", 0]"#, r#"["12", 0]"#, more), "a blue bird", "");
}

#[test]
fn guidance_is_the_distilled_one() {
    let more = r#", "12": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["6", 0], "guidance": 3.5}}"#;
    assert_eq!(
        sampled(r#"["12", 0]"#, r#"["7", 0]"#, more).settings.guidance,
        Some(3.5)
    );
}

#[test]
fn string_nodes() {
    let encode = |text: &str| {
        format!(r#", "20": {{"class_type": "CLIPTextEncode", "inputs": {{"text": {text}, "clip": ["4", 1]}}}}"#)
    };
    for (nodes, expected) in [
        (
            r#", "30": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "a frog"}}"#,
            "a frog",
        ),
        (
            r#", "30": {"class_type": "StringConcatenate", "inputs": {"string_a": ["31", 0], "string_b": "pond", "delimiter": ", "}},
            "31": {"class_type": "DF_Text_Box", "inputs": {"Text": "a frog"}}"#,
            "a frog, pond",
        ),
        (
            r#", "30": {"class_type": "Text Concatenate", "inputs": {"delimiter": "\\n", "clean_whitespace": "true", "text_a": ["31", 0], "text_b": "", "text_c": "c"}},
            "31": {"class_type": "Text Multiline", "inputs": {"text": "a"}}"#,
            "a\nc",
        ),
        (
            r#", "30": {"class_type": "ImpactWildcardProcessor", "inputs": {"wildcard_text": "a __x__", "populated_text": "a frog", "mode": "populate", "seed": 4}}"#,
            "a frog",
        ),
        (
            r#", "30": {"class_type": "ShowText|pysssss", "inputs": {"text": ["31", 0], "text_0": "shown"}}, "31": {"class_type": "Mystery", "inputs": {}}"#,
            "shown",
        ),
        (
            r#", "30": {"class_type": "Reroute", "inputs": {"": ["31", 0]}}, "31": {"class_type": "PrimitiveString", "inputs": {"value": "r"}}"#,
            "r",
        ),
        (
            r#", "30": {"class_type": "ComfySwitchNode", "inputs": {"switch": ["32", 0], "on_false": "no", "on_true": ["31", 0]}},
            "31": {"class_type": "PrimitiveString", "inputs": {"value": "yes"}}, "32": {"class_type": "PrimitiveBoolean", "inputs": {"value": true}}"#,
            "yes",
        ),
        (
            r#", "30": {"class_type": "StringReplace", "inputs": {"string": "a cat", "find": "cat", "replace": "dog"}}"#,
            "a dog",
        ),
        (
            r#", "30": {"class_type": "StringTrim", "inputs": {"string": "  a cat ", "mode": "Both"}}"#,
            "a cat",
        ),
    ] {
        let recovered = sampled(
            r#"["20", 0]"#,
            r#"["7", 0]"#,
            &format!("{}{nodes}", encode(r#"["30", 0]"#)),
        );
        must_say(&recovered, expected, "ugly");
        assert_eq!(recovered.confidence, Some(Confidence::Graph), "{nodes}");
    }
}

#[test]
fn a_language_model_is_opaque() {
    let more = r#", "20": {"class_type": "CLIPTextEncode", "inputs": {"text": ["30", 0], "clip": ["4", 1]}},
        "30": {"class_type": "ComfySwitchNode", "inputs": {"switch": true, "on_false": ["31", 0], "on_true": ["32", 0]}},
        "31": {"class_type": "PrimitiveString", "inputs": {"value": "typed"}},
        "32": {"class_type": "TextGenerate", "inputs": {"prompt": ["33", 0], "sampling_mode": "on"}},
        "33": {"class_type": "StringConcatenate", "inputs": {"string_a": "You are an expert. ", "string_b": ["31", 0], "delimiter": ""}}"#;
    let recovered = sampled(r#"["20", 0]"#, r#"["7", 0]"#, more);
    must_say(&recovered, "typed", "ugly");
    assert_eq!(recovered.confidence, Some(Confidence::Heuristic));
    assert!(recovered.notes.iter().any(|note| note.starts_with("heuristic")));
}

#[test]
fn encoders_with_several_texts() {
    for (inputs, expected) in [
        (r#""text_g": "big", "text_l": "little""#, "big\nlittle"),
        (r#""text_g": "same", "text_l": "same""#, "same"),
        (r#""clip_l": "l", "t5xxl": "t", "guidance": 3.5"#, "l\nt"),
        (r#""prompt": "edit it""#, "edit it"),
    ] {
        let more = format!(r#", "20": {{"class_type": "SomeTextEncode", "inputs": {{{inputs}, "clip": ["4", 1]}}}}"#);
        must_say(&sampled(r#"["20", 0]"#, r#"["7", 0]"#, &more), expected, "ugly");
    }
}

#[test]
fn custom_sampling() {
    let recovered = api(
        r#"{"37:8": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["37:1", 0], "guider": ["37:7", 0], "sampler": ["37:0", 0], "sigmas": ["37:3", 0], "latent_image": ["37:5", 0]}},
        "37:0": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "37:1": {"class_type": "RandomNoise", "inputs": {"noise_seed": 850933585641497}},
        "37:2": {"class_type": "BasicScheduler", "inputs": {"model": ["37:9", 0], "scheduler": "beta", "steps": 24, "denoise": 0.35}},
        "37:3": {"class_type": "SplitSigmas", "inputs": {"sigmas": ["37:2", 0], "step": 3}},
        "37:5": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1216, "height": 832}},
        "37:7": {"class_type": "CFGGuider", "inputs": {"model": ["37:9", 0], "positive": ["6", 0], "negative": ["7", 0], "cfg": 5.0}},
        "37:9": {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["10", 0], "lora_name": "x.safetensors", "strength_model": 0.7}},
        "10": {"class_type": "UNETLoader", "inputs": {"unet_name": "u.safetensors", "weight_dtype": "default"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "p", "clip": ["11", 0]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "n", "clip": ["11", 0]}},
        "11": {"class_type": "CLIPSetLastLayer", "inputs": {"clip": ["12", 0], "stop_at_clip_layer": -2}},
        "12": {"class_type": "CLIPLoader", "inputs": {"clip_name": "c"}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["37:8", 0], "vae": ["13", 0]}},
        "13": {"class_type": "VAELoader", "inputs": {"vae_name": "v.safetensors"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}}}"#,
    );
    must_say(&recovered, "p", "n");
    let settings = &recovered.settings;
    assert_eq!(
        (settings.seed, settings.steps, settings.cfg_scale),
        (Some(850_933_585_641_497), Some(24), Some(5.0))
    );
    assert_eq!(
        (settings.scheduler.as_deref(), settings.denoising_strength),
        (Some("beta"), Some(0.35))
    );
    assert_eq!(
        (settings.model.as_deref(), settings.vae.as_deref()),
        (Some("u.safetensors"), Some("v.safetensors"))
    );
    assert_eq!((settings.clip_skip, settings.width), (Some(2), Some(1216)));
    assert_eq!(recovered.loras.len(), 1);
}

#[test]
fn the_first_sampler_of_a_chain_counts() {
    let more = r#", "20": {"class_type": "LatentUpscale", "inputs": {"samples": ["3", 0], "width": 1024, "height": 1536}},
        "21": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 8, "cfg": 3, "sampler_name": "dpmpp_sde", "scheduler": "simple", "denoise": 0.5,
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["20", 0]}},
        "22": {"class_type": "VAEDecode", "inputs": {"samples": ["21", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["22", 0]}}"#;
    let recovered = sampled(r#"["6", 0]"#, r#"["7", 0]"#, more);
    assert_eq!(recovered.settings.steps, Some(20));
    assert!(
        recovered
            .notes
            .iter()
            .any(|note| note.starts_with("ambiguous: 2 samplers")),
        "{:?}",
        recovered.notes
    );
    assert!(
        recovered.notes.iter().any(|note| note.contains("duplicate"))
            || recovered.confidence == Some(Confidence::Graph)
    );
    assert!(
        recovered
            .parameters_extra
            .iter()
            .any(|(key, value)| key == "sampler 21" && value.contains("\"steps\":8"))
    );
}

#[test]
fn several_outputs_are_ambiguous_and_the_size_may_decide() {
    let text = r#"{"1": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 1, "positive": ["2", 0], "latent_image": ["3", 0]}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "one"}}, "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        "11": {"class_type": "KSampler", "inputs": {"seed": 2, "steps": 2, "positive": ["12", 0], "latent_image": ["13", 0]}},
        "12": {"class_type": "CLIPTextEncode", "inputs": {"text": "two"}}, "13": {"class_type": "EmptyLatentImage", "inputs": {"width": 96, "height": 64}},
        "14": {"class_type": "SaveImage", "inputs": {"images": ["11", 0]}}}"#;
    let document = json::parse_leaking(text).unwrap();
    for (size, prompt) in [
        (None, "one"),
        (Some((64, 64)), "one"),
        (Some((96, 64)), "two"),
        (Some((1, 1)), "one"),
    ] {
        let recovered = interpret_api(&document.value, size, &Arena::new()).unwrap();
        assert_eq!(recovered.prompt.as_deref(), Some(prompt));
        assert_eq!(recovered.confidence, Some(Confidence::Heuristic));
        assert!(recovered.notes[0].starts_with("ambiguous"));
    }
}

#[test]
fn loaders_that_take_prompts_and_pipes() {
    let recovered = api(
        r#"{"1": {"class_type": "Efficient Loader", "inputs": {"ckpt_name": "m", "clip_skip": -2, "lora_name": "l", "lora_model_strength": 0.4, "positive": "p", "negative": "n", "empty_latent_width": 640, "empty_latent_height": 448}},
        "2": {"class_type": "KSampler (Efficient)", "inputs": {"seed": 3, "steps": 9, "cfg": 2, "sampler_name": "lcm", "scheduler": "x", "model": ["1", 0], "positive": ["1", 1], "negative": ["1", 2], "latent_image": ["1", 3]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 5]}}}"#,
    );
    must_say(&recovered, "p", "n");
    assert_eq!(
        (recovered.settings.model.as_deref(), recovered.settings.width),
        (Some("m"), Some(640))
    );
    assert_eq!(recovered.loras[0].weight, Some(0.4));

    let recovered = api(
        r#"{"1": {"class_type": "easy fullLoader", "inputs": {"ckpt_name": "m", "positive": "p", "negative": "n", "empty_latent_width": 640, "empty_latent_height": 448}},
        "2": {"class_type": "easy preSampling", "inputs": {"steps": 9, "cfg": 2.5, "sampler_name": "lcm", "scheduler": "x", "denoise": 1, "seed": 3, "pipe": ["1", 0]}},
        "3": {"class_type": "easy kSampler", "inputs": {"image_output": "Save", "pipe": ["2", 0]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 1]}}}"#,
    );
    must_say(&recovered, "p", "n");
    assert_eq!(
        (
            recovered.settings.steps,
            recovered.settings.seed,
            recovered.settings.model.as_deref()
        ),
        (Some(9), Some(3), Some("m"))
    );

    let recovered = api(
        r#"{"1": {"class_type": "Context (rgthree)", "inputs": {"base_ctx": ["2", 0], "positive": ["6", 0]}},
        "2": {"class_type": "Context (rgthree)", "inputs": {"model": ["4", 0], "negative": ["7", 0]}},
        "3": {"class_type": "KSampler", "inputs": {"seed": 3, "steps": 9, "positive": ["1", 4], "negative": ["1", 5], "model": ["1", 1], "latent_image": ["1", 6]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m"}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "p"}}, "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "n"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}}}"#,
    );
    must_say(&recovered, "p", "n");
    assert_eq!(recovered.settings.model.as_deref(), Some("m"));
}

#[test]
fn lora_nodes() {
    let path = |nodes: &str| {
        let more = format!(
            r#", "4": {nodes}, "40": {{"class_type": "CheckpointLoaderSimple", "inputs": {{"ckpt_name": "m"}}}}"#
        );
        let recovered = sampled(r#"["6", 0]"#, r#"["7", 0]"#, &more);
        assert_eq!(recovered.settings.model.as_deref(), Some("m"), "{nodes}");
        recovered
            .loras
            .into_iter()
            .map(|lora| (lora.name, lora.weight))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        path(
            r#"{"class_type": "Power Lora Loader (rgthree)", "inputs": {"lora_1": {"on": true, "lora": "a", "strength": 0.5}, "lora_2": {"on": false, "lora": "b", "strength": 1}, "model": ["40", 0]}}"#
        ),
        [("a".to_owned(), Some(0.5))]
    );
    assert_eq!(
        path(
            r#"{"class_type": "CR Apply LoRA Stack", "inputs": {"model": ["40", 0], "lora_stack": ["41", 0]}},
            "41": {"class_type": "CR LoRA Stack", "inputs": {"switch_1": "On", "lora_name_1": "a", "model_weight_1": 0.5, "switch_2": "Off", "lora_name_2": "b", "model_weight_2": 1}}"#
        ),
        [("a".to_owned(), Some(0.5))]
    );
    assert_eq!(
        path(
            r#"{"class_type": "LoraLoader", "inputs": {"model": ["41", 0], "lora_name": "second", "strength_model": 1}},
            "41": {"class_type": "LoraLoader", "inputs": {"model": ["40", 0], "lora_name": "first", "strength_model": 0.2}}"#
        ),
        [("first".to_owned(), Some(0.2)), ("second".to_owned(), Some(1.0))]
    );
}

#[test]
fn graphs_without_text_or_sampler_have_no_prompt() {
    let recovered = api(
        r#"{"3": {"class_type": "KSampler", "inputs": {"seed": 237514639057514, "steps": 20, "cfg": 2.5, "sampler_name": "euler", "scheduler": "karras", "model": ["15", 0], "positive": ["12", 0], "negative": ["12", 1], "latent_image": ["12", 2]}},
        "12": {"class_type": "SVD_img2vid_Conditioning", "inputs": {"width": 1024, "height": 576, "clip_vision": ["15", 1], "init_image": ["16", 0]}},
        "15": {"class_type": "ImageOnlyCheckpointLoader", "inputs": {"ckpt_name": "svd"}}, "16": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "10": {"class_type": "SaveAnimatedWEBP", "inputs": {"images": ["3", 0]}}}"#,
    );
    assert_eq!(
        (recovered.status, recovered.prompt, recovered.settings.steps),
        (MetadataStatus::NoPrompt, None, Some(20))
    );
    let recovered = api(
        r#"{"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}, "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}"#,
    );
    assert_eq!(recovered.status, MetadataStatus::NoPrompt);
}

#[test]
fn negative_seeds_stay_as_they_are_written() {
    let recovered = api(
        r#"{"1": {"class_type": "KSampler", "inputs": {"seed": -1, "positive": ["2", 0]}}, "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "p"}}}"#,
    );
    assert_eq!(recovered.settings.seed, None);
    assert!(
        recovered
            .parameters_extra
            .contains(&("KSampler.seed".into(), "-1".into()))
    );
}

/// A graph that samples with `extra` nodes; the positive text is node 6.
fn sampling(extra: &str) -> Recovered {
    api(&format!(
        r#"{{"3": {{"class_type": "KSampler", "inputs": {{"seed": 5, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "denoise": 1, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}}}},
        "4": {{"class_type": "CheckpointLoaderSimple", "inputs": {{"ckpt_name": "m"}}}}, "5": {{"class_type": "EmptyLatentImage", "inputs": {{"width": 64, "height": 96}}}},
        "7": {{"class_type": "CLIPTextEncode", "inputs": {{"text": "bad", "clip": ["4", 1]}}}}, "9": {{"class_type": "SaveImage", "inputs": {{"images": ["3", 0]}}}}, {extra}}}"#
    ))
}

#[test]
fn tools_for_text() {
    for (tool, prompt) in [
        (
            r#"{"class_type": "StringFunction|pysssss", "inputs": {"action": "append", "tidy_tags": "yes", "text_a": "a fox", "text_b": "snow", "text_c": ""}}"#,
            "a fox, snow",
        ),
        (
            r#"{"class_type": "StringFunction|pysssss", "inputs": {"action": "append", "tidy_tags": "yes", "text_a": "a", "text_b": "b", "result": "what it was"}}"#,
            "what it was",
        ),
        (
            r#"{"class_type": "StringFunction|pysssss", "inputs": {"action": "replace", "tidy_tags": "no", "text_a": "a dog", "text_b": "dog", "text_c": "fox"}}"#,
            "a fox",
        ),
        (
            r#"{"class_type": "Text Find and Replace", "inputs": {"text": "a dog", "find": "dog", "replace": "fox"}}"#,
            "a fox",
        ),
        (
            r#"{"class_type": "StringConcatenate", "inputs": {"string_a": "a fox", "string_b": ["10", 0], "delimiter": ""}}"#,
            "a fox",
        ),
    ] {
        let recovered = sampling(&format!(
            r#""6": {{"class_type": "CLIPTextEncode", "inputs": {{"text": ["10", 0], "clip": ["4", 1]}}}}, "10": {tool}"#
        ));
        assert_eq!(recovered.prompt.as_deref(), Some(prompt), "{tool}");
    }
}

#[test]
fn switches_without_a_selector_hand_on_their_first_input() {
    let recovered = sampling(
        r#""6": {"class_type": "Any Switch (rgthree)", "inputs": {"any_02": ["11", 0], "any_03": ["12", 0]}},
        "11": {"class_type": "CLIPTextEncode", "inputs": {"text": "first", "clip": ["4", 1]}}, "12": {"class_type": "CLIPTextEncode", "inputs": {"text": "second", "clip": ["4", 1]}}"#,
    );
    assert_eq!(recovered.prompt.as_deref(), Some("first"));
}

#[test]
fn loaders_and_samplers_joined_by_a_tuple() {
    let recovered = api(
        r#"{"1": {"class_type": "Eff. Loader SDXL", "inputs": {"base_ckpt_name": "m", "base_clip_skip": -2, "refiner_ckpt_name": "None", "positive": "p", "negative": "n", "empty_latent_width": 64, "empty_latent_height": 96}},
        "2": {"class_type": "KSampler SDXL (Eff.)", "inputs": {"noise_seed": 5, "steps": 20, "cfg": 7, "sampler_name": "euler", "scheduler": "normal", "sdxl_tuple": ["1", 0], "latent_image": ["1", 1]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 3]}}}"#,
    );
    assert_eq!(
        (recovered.prompt.as_deref(), recovered.negative_prompt.as_deref()),
        (Some("p"), Some("n"))
    );
    assert_eq!(
        (recovered.settings.seed, recovered.settings.model.as_deref()),
        (Some(5), Some("m"))
    );
}

#[test]
fn nodes_that_call_a_service_have_their_own_prompt() {
    for inputs in [
        r#""prompt": "p", "seed": 5, "aspect_ratio": "16:9""#,
        r#""prompt": ["2", 0], "negative_prompt": "n", "seed": 5, "quality": "low""#,
    ] {
        let recovered = api(&format!(
            r#"{{"1": {{"class_type": "FluxProUltraImageNode", "inputs": {{{inputs}}}}}, "2": {{"class_type": "PrimitiveString", "inputs": {{"value": "p"}}}},
            "3": {{"class_type": "SaveImage", "inputs": {{"images": ["1", 0]}}}}}}"#
        ));
        assert_eq!(recovered.prompt.as_deref(), Some("p"), "{inputs}");
        assert_eq!(
            recovered.negative_prompt.as_deref(),
            inputs.contains("negative").then_some("n")
        );
        assert_eq!(recovered.settings.seed, Some(5));
    }
}

#[test]
fn hostile_graphs_are_bounded() {
    let started = std::time::Instant::now();
    // A cycle through everything.
    let recovered = api(
        r#"{"1": {"class_type": "KSampler", "inputs": {"seed": ["2", 0], "positive": ["2", 0], "latent_image": ["1", 0], "model": ["2", 0]}},
        "2": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["2", 0], "conditioning_2": ["3", 0], "model": ["2", 0]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": ["4", 0], "clip": ["3", 0]}},
        "4": {"class_type": "StringConcatenate", "inputs": {"string_a": ["4", 0], "string_b": "x", "delimiter": ["4", 0]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}"#,
    );
    assert_eq!(recovered.prompt.as_deref(), Some("x"));
    assert!(
        recovered.notes.iter().any(|note| note.contains("circle")),
        "{:?}",
        recovered.notes
    );
    // A switch that decides by itself.
    api(
        r#"{"1": {"class_type": "KSampler", "inputs": {"seed": ["2", 0], "positive": ["2", 0], "latent_image": ["2", 0], "model": ["2", 0]}},
        "2": {"class_type": "ComfySwitchNode", "inputs": {"switch": ["2", 0], "on_true": ["2", 0], "on_false": ["3", 0]}},
        "3": {"class_type": "ImpactSwitch", "inputs": {"select": ["2", 0], "input1": ["3", 0]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}"#,
    );
    // Joins that double: 2^60 copies if followed blindly.
    let mut doubling = String::from(
        r#"{"s": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["e", 0]}}, "e": {"class_type": "CLIPTextEncode", "inputs": {"text": ["0", 0]}}"#,
    );
    for at in 0..60 {
        write!(doubling, r#", "{at}": {{"class_type": "StringConcatenate", "inputs": {{"string_a": ["{0}", 0], "string_b": ["{0}", 0], "delimiter": ""}}}}"#, at + 1).unwrap();
    }
    write!(
        doubling,
        r#", "60": {{"class_type": "PrimitiveString", "inputs": {{"value": "{}"}}}}}}"#,
        "long text ".repeat(1000)
    )
    .unwrap();
    let recovered = api(&doubling);
    assert!(recovered.prompt.is_none_or(|prompt| prompt.len() <= 2 << 20));
    // Long chains and wide fans.
    let mut long = String::from(
        r#"{"s": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["0", 0], "latent_image": ["0", 0], "model": ["0", 0]}}"#,
    );
    for at in 0..40_000 {
        write!(long, r#", "{at}": {{"class_type": "Reroute", "inputs": {{"conditioning": ["{0}", 0], "samples": ["{0}", 0], "model": ["{0}", 0]}}}}"#, at + 1).unwrap();
    }
    for at in 0..2_000 {
        write!(
            long,
            r#", "save{at}": {{"class_type": "SaveImage", "inputs": {{"images": ["s", 0]}}}}"#
        )
        .unwrap();
    }
    long.push('}');
    let recovered = api(&long);
    assert!(
        recovered.notes.iter().any(|note| note.contains("too large")),
        "{:?}",
        recovered.notes
    );
    assert!(started.elapsed().as_secs() < 30, "took {:?}", started.elapsed());
}

mod random;
mod ui;
