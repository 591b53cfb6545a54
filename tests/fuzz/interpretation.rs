//! Interpretation targets: lists of entries of every generator, `ComfyUI`'s graphs, and infotext.

use std::collections::BTreeSet;

use super::mutate::run;
use super::pairs;
use crate::metadata::generator::infotext_family::{self, Origin};
use crate::metadata::infotext_write;
use crate::metadata::interpret::{interpret, is_own_note};
use crate::record::{RawEntry, RawMetadata, Recovered};

/// Between two entries, and between slot, key and text of one.
const ENTRY: char = '\u{1e}';
const FIELD: char = '\u{1f}';

/// Most text that an input of some KiB may come to: nodes that join texts multiply them.
const MAX_RECOVERED_BYTES: usize = 16 << 20;

/// The entries that bytes stand for: `slot FIELD key FIELD text`, one behind the other; a text
/// alone is that of a PNG's `parameters`.
fn entries_of(bytes: &[u8]) -> Vec<RawEntry> {
    let text = String::from_utf8_lossy(bytes);
    text.split(ENTRY)
        .map(|entry| {
            let mut fields = entry.splitn(3, FIELD);
            let (slot, key, text) = match (fields.next(), fields.next(), fields.next()) {
                (Some(slot), Some(key), Some(text)) => (slot, key, text),
                _ => ("png:tEXt", "parameters", entry),
            };
            RawEntry {
                slot: slot.to_owned(),
                key: key.to_owned(),
                text: text.to_owned(),
            }
        })
        .collect()
}

/// Checks what must hold for any input, and tells which way the interpretation went.
fn ways(recovered: &Recovered, input_bytes: usize) -> Vec<u64> {
    let texts = [
        &recovered.prompt,
        &recovered.negative_prompt,
        &recovered.original_prompt,
        &recovered.original_negative_prompt,
    ];
    let settings = &recovered.settings;
    let prompts: usize = texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum();
    let extras: usize = recovered
        .parameters_extra
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let notes: usize = recovered.notes.iter().map(String::len).sum();
    let total = prompts + extras + notes;
    assert!(total <= MAX_RECOVERED_BYTES, "{input_bytes} bytes became {total}");
    for number in [settings.cfg_scale, settings.denoising_strength, settings.guidance]
        .into_iter()
        .flatten()
    {
        assert!(number.is_finite());
    }
    assert!(
        recovered.notes.iter().all(|note| is_own_note(note)),
        "{:?}",
        recovered.notes
    );
    let mut parts = BTreeSet::new();
    for note in &recovered.notes {
        parts.insert(
            note.chars()
                .rev()
                .filter(|c| !c.is_ascii_digit())
                .take(12)
                .collect::<String>(),
        );
    }
    let filled = [
        settings.steps.is_some(),
        settings.sampler.is_some(),
        settings.scheduler.is_some(),
        settings.cfg_scale.is_some(),
        settings.seed.is_some(),
        settings.model.is_some(),
        settings.model_hash.is_some(),
        settings.vae.is_some(),
        settings.clip_skip.is_some(),
        settings.denoising_strength.is_some(),
        settings.guidance.is_some(),
        settings.width.is_some(),
    ];
    let named = filled.iter().enumerate().filter(|(_, filled)| **filled);
    parts.extend(named.map(|(at, _)| format!("setting {at}")));
    let given = texts
        .iter()
        .enumerate()
        .filter_map(|(at, text)| Some((at, text.as_ref()?)));
    parts.extend(given.map(|(at, text)| format!("text {at} {}", (text.len() + 1).ilog2())));
    parts.insert(format!("{:?} {:?}", recovered.generator, recovered.status));
    parts.insert(format!(
        "{:?} {:?}",
        recovered.slot.as_ref().map(String::len),
        recovered.confidence
    ));
    parts.insert(format!("{} {:?}", recovered.also.len(), recovered.signature_valid));
    for (name, count) in [
        ("loras", recovered.loras.len()),
        ("extras", recovered.parameters_extra.len()),
        ("characters", recovered.character_prompts.len()),
    ] {
        parts.insert(format!("{name} {}", (count + 1).ilog2()));
    }
    pairs(&parts)
}

/// A list of entries.
pub fn entries(bytes: &[u8]) -> Vec<u64> {
    let mut raw = RawMetadata {
        entries: entries_of(bytes),
        ..RawMetadata::default()
    };
    raw.facts.width = Some(64);
    raw.facts.height = Some(64);
    ways(&interpret(&raw), bytes.len())
}

/// A graph, executed or drawn.
pub fn graph(bytes: &[u8]) -> Vec<u64> {
    let entry = |key: &str| RawEntry {
        slot: "png:tEXt".to_owned(),
        key: key.to_owned(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    };
    let mut raw = RawMetadata {
        entries: vec![entry("prompt")],
        ..RawMetadata::default()
    };
    raw.facts.width = Some(512);
    raw.facts.height = Some(512);
    ways(&interpret(&raw), bytes.len())
}

/// Infotext, which must come back as the same fields when it is written and read again.
pub fn infotext(bytes: &[u8]) -> Vec<u64> {
    let read = |text: &str| infotext_family::interpret(text, Origin::OwnSlot);
    let Some(recovered) = read(&String::from_utf8_lossy(bytes)) else {
        return Vec::new();
    };
    let written = infotext_write::write(&recovered);
    let again = read(&written);
    assert!(
        again.as_ref() == Some(&recovered),
        "written as {written:?} and read as {again:?} instead of {recovered:?}"
    );
    ways(&recovered, bytes.len())
}

fn seed(entries: &[(&str, &str, &str)]) -> Vec<u8> {
    let joined: Vec<String> = entries
        .iter()
        .map(|(slot, key, text)| format!("{slot}{FIELD}{key}{FIELD}{text}"))
        .collect();
    joined.join(&ENTRY.to_string()).into_bytes()
}

const INFOTEXT: &str = "a red fox <lora:foo:0.8>, café\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, \
     CFG scale: 7, Seed: 4294967295, Size: 64x64, Model hash: 31e35c80fc, Model: xl, Lora hashes: \"foo: 0123\", \
     Hashes: {\"model\": \"x\", \"lora:foo\": \"y\"}, ADetailer prompt: \"a face, \\\"big\\\"\", Version: v1.10.1";
const SD_NEXT: &str = "p\nNegative prompt: n\nTemplate: t __w__\nNegative template: nt\nSteps: 4, Size: 64x64, Seed: 48, CFG scale: 4, App: SD.Next, Version: 49ab7cc, Operations: txt2img";
const CIVITAI: &str = "p\nSteps: 4, Sampler: Undefined, Seed: -1, Civitai resources: [{\"type\":\"lora\",\"weight\":0.5,\"modelVersionId\":1,\"modelName\":\"m\"}], Civitai metadata: {}";

/// A text-to-image graph with LoRAs, joined texts and two passes.
const API: &str = r#"{"3": {"class_type": "KSampler", "inputs": {"seed": 18446744073709551615, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}, "is_changed": [NaN]},
"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}}, "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
"6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["12", 0], "clip": ["11", 0]}}, "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly", "clip": ["4", 1]}},
"9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}}, "8": {"class_type": "VAEDecode", "inputs": {"samples": ["14", 0], "vae": ["13", 0]}},
"10": {"class_type": "LoraLoader", "inputs": {"lora_name": "l.safetensors", "strength_model": 0.5, "strength_clip": 1, "model": ["4", 0], "clip": ["4", 1]}},
"11": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]}},
"12": {"class_type": "StringConcatenate", "inputs": {"string_a": "a blue bird", "string_b": ["15", 0], "delimiter": ", "}}, "13": {"class_type": "VAELoader", "inputs": {"vae_name": "v"}},
"14": {"class_type": "KSamplerAdvanced", "inputs": {"noise_seed": 5, "steps": 10, "cfg": 3, "sampler_name": "ddim", "scheduler": "karras", "start_at_step": 5, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["3", 0]}},
"15": {"class_type": "ComfySwitchNode", "inputs": {"switch": true, "on_true": "night", "on_false": ["16", 0]}}, "16": {"class_type": "StringReplace", "inputs": {"string": "x", "find": "x", "replace": "yy"}}}"#;
const CUSTOM: &str = r#"{"1": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["2", 0], "guider": ["3", 0], "sampler": ["4", 0], "sigmas": ["5", 0], "latent_image": ["6", 0]}},
"2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}}, "3": {"class_type": "BasicGuider", "inputs": {"model": ["7", 0], "conditioning": ["8", 0]}}, "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
"5": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 20, "denoise": 1, "model": ["7", 0]}}, "6": {"class_type": "EmptySD3LatentImage", "inputs": {"width": ["12", 0], "height": 512}},
"7": {"class_type": "Power Lora Loader (rgthree)", "inputs": {"lora_1": {"on": true, "lora": "x", "strength": 1}, "model": ["9", 0]}}, "8": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["10", 0]}},
"9": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux"}}, "10": {"class_type": "CLIPTextEncodeFlux", "inputs": {"clip_l": "a", "t5xxl": ["11", 0], "guidance": 3}},
"11": {"class_type": "ImpactWildcardProcessor", "inputs": {"wildcard_text": "__a__", "populated_text": "b", "seed": 3}}, "12": {"class_type": "PrimitiveInt", "inputs": {"value": 512}}, "13": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}"#;
const PIPES: &str = r#"{"1": {"class_type": "Efficient Loader", "inputs": {"ckpt_name": "m", "lora_stack": ["2", 0], "positive": "p", "negative": "n", "clip_skip": -2, "empty_latent_width": 512, "empty_latent_height": 512}},
"2": {"class_type": "LoRA Stacker", "inputs": {"lora_count": 1, "lora_name_1": "a", "lora_wt_1": 1, "lora_name_2": "b", "lora_wt_2": 1}}, "3": {"class_type": "KSampler (Efficient)", "inputs": {"seed": 1, "steps": 2, "cfg": 3, "sampler_name": "euler", "scheduler": "normal", "denoise": 1, "model": ["1", 0], "positive": ["1", 1], "negative": ["1", 2], "latent_image": ["1", 3]}},
"4": {"class_type": "ToBasicPipe", "inputs": {"model": ["1", 0], "positive": ["1", 1], "negative": ["1", 2]}}, "5": {"class_type": "ImpactKSamplerBasicPipe", "inputs": {"basic_pipe": ["4", 0], "seed": 3, "steps": 4, "latent_image": ["3", 3]}}, "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 1]}}}"#;
const UI: &str = r#"{"last_node_id": 9, "nodes": [{"id": 1, "type": "KSampler", "inputs": [{"name": "model", "type": "MODEL", "link": 4}, {"name": "positive", "type": "CONDITIONING", "link": 1}, {"name": "negative", "type": "CONDITIONING", "link": 5}], "widgets_values": [5, "fixed", 20, 7, "euler", "normal", 1]},
{"id": 2, "type": "CLIPTextEncode", "widgets_values": ["drawn"], "outputs": [{"type": "CONDITIONING", "links": [1]}]}, {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 2}]},
{"id": 4, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 3}]}, {"id": 5, "type": "sub", "mode": 0, "inputs": [{"name": "text", "type": "STRING", "link": null}], "widgets_values": ["inner"]}, {"id": 6, "type": "GetNode", "widgets_values": ["m"]}, {"id": 7, "type": "SetNode", "inputs": [{"name": "MODEL", "link": 6}], "widgets_values": ["m"]}, {"id": 8, "type": "CheckpointLoaderSimple", "mode": 4, "widgets_values": ["x.ckpt"]}],
"links": [[1, 2, 0, 1, 1, "CONDITIONING"], [2, 4, 0, 3, 0, "IMAGE"], [3, 1, 0, 4, 0, "*"], [4, 6, 0, 1, 0, "MODEL"], [5, 5, 0, 1, 2, "CONDITIONING"], [6, 8, 0, 7, 0, "MODEL"]],
"definitions": {"subgraphs": [{"id": "sub", "inputs": [{"name": "text"}], "nodes": [{"id": 1, "type": "CLIPTextEncode", "inputs": [{"name": "text", "type": "STRING", "link": 1, "widget": {"name": "text"}}], "widgets_values": ["x"]}], "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0}, {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0}]}]}, "version": 0.4}"#;

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_interpret() {
    let swarm = r#"{"sui_image_params": {"prompt": "p", "negativeprompt": "n", "model": "m", "seed": 1, "loras": ["a"], "loraweights": ["0.5"]}, "sui_models": [{"name": "m", "param": "model", "hash": "0x1"}], "sui_extra_data": {"original_prompt": "o"}}"#;
    let fooocus = r#"{"prompt": "p", "negative_prompt": "n", "full_prompt": ["p", "s"], "styles": "['a', 'b']", "resolution": "(64, 64)", "loras": [["l", 0.5, "h"]], "lora_combined_1": "x : 0.5", "metadata_scheme": "fooocus", "seed": "42", "version": "Fooocus v2.5.5"}"#;
    let mre = r#"{"prompt": "p", "real_prompt": ["p, styled"], "steps": 30, "software": "Fooocus 1.0.43 MRE"}"#;
    let ruined = r#"{"Prompt": "p", "Negative": "n", "loras": [["h", "0.5 - l"]], "software": "RuinedFooocus"}"#;
    let space =
        r#"{"prompt": "p", "resolution": "832 x 1216", "num_inference_steps": 20, "Model": "m", "use_upscaler": null}"#;
    let invoke = r#"{"positive_prompt": "p", "positive_style_prompt": "s", "model": {"name": "m", "hash": "blake3:1"}, "loras": [{"model": {"name": "l"}, "weight": 1}], "app_version": "6.10.0", "generation_mode": "sdxl_txt2img"}"#;
    let sd = r#"{"app_id": "invoke-ai/InvokeAI", "model_weights": "m", "image": {"prompt": [{"prompt": "p [n]", "weight": 1}], "steps": 3}}"#;
    let tensor = r#"{"prompt":"p","negativePrompt":"n","ksamplerName":"euler","baseModel":{"modelFileName":"m","hash":"H"},"seed":"-1"}"#;
    let matrix = r#"{"PositivePrompt":"p","NegativePrompt":"n","CfgScale":5}"#;
    let diffusion = r#"{"prompt": "p", "use_stable_diffusion_model": "x.ckpt", "num_inference_steps": 25, "use_lora_model": ["a"], "lora_alpha": [1]}"#;
    let draw = r#"{"c": "p", "uc": "n", "model": "m", "scale": 7, "size": "64x64", "lora": [{"model": "l", "weight": 1}], "v2": {}}"#;
    let novel = r#"{"prompt": "p", "uc": "n", "steps": 28, "sampler": "k_euler", "scale": 5, "v4_prompt": {"caption": {"base_caption": "b", "char_captions": [{"char_caption": "c", "centers": [{"x": 0.5, "y": 0.5}]}]}}, "v4_negative_prompt": {"caption": {"base_caption": "nb", "char_captions": []}}, "signed_hash": "AAAA"}"#;
    let hidden = r#"{"Description": "p", "Software": "NovelAI", "Source": "NovelAI Diffusion V4 37442FCA", "Comment": "{\"uc\": \"n\", \"sampler\": \"k\", \"scale\": 5}"}"#;
    let onsite = format!(
        r#"{}, "extra": {{"airs": ["urn:air:sdxl:lora:civitai:1@2"]}}, "extraMetadata": "{{\"prompt\": \"p\", \"resources\": [{{\"modelVersionId\": 1, \"strength\": 1}}]}}"}}"#,
        API.trim_end_matches('}')
    ) + "}";
    let seeds = vec![
        INFOTEXT.as_bytes().to_vec(),
        SD_NEXT.as_bytes().to_vec(),
        seed(&[("exif:Exif", "UserComment", CIVITAI), ("exif:IFD0", "Software", "x")]),
        seed(&[
            ("png:tEXt", "parameters", INFOTEXT),
            ("png:tEXt", "prompt", API),
            ("png:tEXt", "workflow", UI),
        ]),
        seed(&[
            ("exif:IFD0", "Model", &format!("prompt:{CUSTOM}")),
            ("exif:IFD0", "Make", &format!("workflow:{UI}")),
        ]),
        seed(&[("png:tEXt", "parameters", swarm), ("stealth:alpha", "", swarm)]),
        seed(&[
            ("png:tEXt", "parameters", fooocus),
            ("png:tEXt", "fooocus_scheme", "fooocus"),
        ]),
        seed(&[("jpeg:COM", "", mre), ("png:tEXt", "parameters", ruined)]),
        seed(&[
            ("png:tEXt", "parameters", space),
            ("png:iTXt", "invokeai_metadata", invoke),
        ]),
        seed(&[
            ("png:tEXt", "sd-metadata", sd),
            (
                "png:tEXt",
                "Dream",
                "\"a fox [bad]\" -s 50 -S 123 -W 64 -C 7.5 -A k_lms",
            ),
        ]),
        seed(&[("png:tEXt", "generation_data", tensor), ("png:tEXt", "prompt", API)]),
        seed(&[
            ("png:tEXt", "parameters-json", matrix),
            ("png:tEXt", "smproj", "{}"),
            ("png:tEXt", "parameters", INFOTEXT),
        ]),
        seed(&[
            ("exif:Exif", "UserComment", diffusion),
            ("xmp", "exif:UserComment", draw),
        ]),
        seed(&[(
            "xmp",
            "dc:description",
            "a cat\n-dog\nSteps: 30, Sampler: DPM++ 2M, Guidance Scale: 7.5, Seed: 5, Size: 64x64, Strength: 1",
        )]),
        seed(&[
            ("png:tEXt", "Software", "NovelAI"),
            ("png:tEXt", "Description", "p"),
            ("png:tEXt", "Source", "Stable Diffusion 1D44365E"),
            ("png:tEXt", "Comment", novel),
        ]),
        seed(&[("stealth:alpha", "", hidden), ("exif:Exif", "UserComment", &onsite)]),
        seed(&[
            ("png:tEXt", "prompt", "a pier"),
            ("png:tEXt", "negative_prompt", "fog"),
            ("png:tEXt", "use_stable_diffusion_model", "sd.ckpt"),
        ]),
        seed(&[
            (
                "sidecar:txt",
                "",
                "Prompt: a pier\nSeed: 3\nStable Diffusion model: sd.ckpt",
            ),
            ("sidecar:json", "", diffusion),
        ]),
        seed(&[
            (
                "png:iTXt",
                "Description",
                "https://x/a.png a panel::2 b::1 --no red --ar 4:3 --v 5.2 Job ID: 2b6e053b-9a65-4ca9-9e13-b6f4465164d4",
            ),
            (
                "xmp",
                "Iptc4xmpExt:DigitalSourceType",
                "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
            ),
        ]),
        seed(&[
            (
                "png:tEXt",
                "postprocessing",
                "Postprocess upscale by: 4, Postprocess upscaler: x",
            ),
            ("c2pa", "claim_generator", "OpenAI Media Service API"),
        ]),
        seed(&[
            ("xmp", "TC260:AIGC", r#"{"Label": "1", "ContentProducer": "x"}"#),
            ("exif:Exif", "UserComment", "Signature: AAAA"),
            ("exif:IFD0", "Artist", "2b6e053b-9a65-4ca9-9e13-b6f4465164d4"),
        ]),
    ];
    for seed in &seeds {
        assert!(!entries(seed).is_empty());
    }
    let words = [
        &b"\x1epng:tEXt\x1fparameters\x1f"[..],
        b"\x1eexif:Exif\x1fUserComment\x1f",
        b"\x1estealth:alpha\x1f\x1f",
        b"\x1esidecar:json\x1f\x1f",
        b"Steps: ",
        b"\nNegative prompt: ",
        b"Seed: -1, ",
        b"\", ",
        b"{\"",
        b"\": \"",
        b"[[",
        b"]}",
        b"\\u0000",
        b"\\ud800",
        b"NaN",
        b"1e999",
        b"18446744073709551616",
        b"<lora:a:",
        b" --v 5 Job ID: ",
        "\u{3000}\u{301}\u{200d}".as_bytes(),
        b"Template: ",
        b"Version: ",
    ];
    run("interpret", seeds, &words, entries);
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_graph() {
    let seeds: Vec<Vec<u8>> = [API, CUSTOM, PIPES, UI].map(|graph| graph.as_bytes().to_vec()).into();
    for seed in &seeds {
        assert!(!graph(seed).is_empty());
    }
    let words = [
        &br#"["3", 0]"#[..],
        br#"["6", 0]"#,
        br#"["12", 0]"#,
        br#"["1", 2]"#,
        br#", "positive": ["#,
        br#", "text": ["#,
        br#", "string_b": ["#,
        br#""class_type": "StringConcatenate", "inputs": {"#,
        br#""class_type": "ConditioningCombine", "inputs": {"#,
        br#""populated_text": "x""#,
        br#""switch": ["#,
        br#""select": 2, "input2": ["#,
        br#""guider": ["#,
        br#""lora_stack": ["#,
        br#""mode": 4, "#,
        br#""link": 3, "#,
        br#""origin_id": -10, "#,
        br#""type": "sub""#,
        b"}, \"3\": {",
        b"NaN",
        b"-1",
    ];
    run("graph", seeds, &words, graph);
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_infotext() {
    const FOOOCUS: &str = "a cat, styled\nNegative prompt: dog\nSteps: 30, Styles: \"['A, B']\", Seed: 42, Raw prompt: \"a cat\", Guidance Scale: 4, Lora hashes: \"x: 1\", Lora weights: \"x: 0.5\", Version: Fooocus v2.5.5";
    const JAMMED: &str = "a cat, Steps: 1 2 3. Negative prompt: dog Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Template: \"{a|b}\"";
    const TRAILING: &str = "a\r\n\nNegative prompt: c\r\nSteps: 20, Sampler: x, Seed: 5, Version: , Seed: 6\nmore\0";
    let seeds: Vec<Vec<u8>> = [INFOTEXT, SD_NEXT, CIVITAI, FOOOCUS, JAMMED, TRAILING]
        .map(|text| text.as_bytes().to_vec())
        .into();
    for seed in &seeds {
        assert!(!infotext(seed).is_empty());
    }
    let words = [
        &b"Steps: 20, "[..],
        b", Sampler: ",
        b", Seed: ",
        b", Version: ",
        b", App: SD.Next",
        b", Template: \"",
        b", Hires prompt: ",
        b", foo: ",
        b"\nNegative prompt: ",
        b"\nTemplate: ",
        b"\nNegative template: ",
        b"Postprocess a: ",
        b"\", ",
        b"\\\"",
        b"{\"a\": ",
        b"}, ",
        b"[",
        b"\r",
        b"\0",
        b"\xef\xbb\xbf",
        b"1e999",
        "\u{85}\u{3000}\u{2028}".as_bytes(),
    ];
    run("infotext", seeds, &words, infotext);
}
