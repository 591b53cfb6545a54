//! Entries as the containers give them, and who must be recognised in them.

use super::interpret;
use crate::record::{Confidence, MetadataStatus, PhotoFacts, RawEntry, RawMetadata, Recovered};

const GRAPH: &str = r#"{"3": {"class_type": "KSampler", "inputs": {"seed": 18446744073709551615, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "scheduler": "normal",
    "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}, "is_changed": [NaN]},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a blue bird", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "ugly, Steps: 20, Sampler: x, Seed: 5, Version: 1.6.0", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}}}"#;
const WORKFLOW: &str = r#"{"nodes": [{"id": 1, "type": "KSampler", "inputs": [{"name": "positive", "type": "CONDITIONING", "link": 1}], "widgets_values": [5, "fixed", 20, 7, "euler", "normal", 1]},
    {"id": 2, "type": "CLIPTextEncode", "widgets_values": ["drawn"]}], "links": [[1, 2, 0, 1, 0, "CONDITIONING"]], "version": 0.4}"#;
const INFOTEXT: &str = "a red fox, café\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 4294967295, Size: 64x64, Model: xl, Version: v1.10.1";

fn read(entries: &[(&str, &str, &str)]) -> Recovered {
    let entry = |(slot, key, text): &(&str, &str, &str)| RawEntry {
        slot: (*slot).into(),
        key: (*key).into(),
        text: (*text).into(),
    };
    interpret(&RawMetadata {
        entries: entries.iter().map(entry).collect(),
        ..RawMetadata::default()
    })
}

#[track_caller]
fn must_be(entries: &[(&str, &str, &str)], generator: &str, prompt: &str) -> Recovered {
    let recovered = read(entries);
    assert_eq!(recovered.generator.as_deref(), Some(generator), "{recovered:#?}");
    assert_eq!(recovered.prompt.as_deref(), Some(prompt));
    assert_eq!(recovered.status, MetadataStatus::Prompt);
    recovered
}

#[test]
fn infotext_in_every_slot() {
    for (slot, key) in [
        ("png:tEXt", "parameters"),
        ("png:iTXt", "parameters"),
        ("png:zTXt", "parameters"),
        ("exif:Exif", "UserComment"),
        ("exif:IFD0", "ImageDescription"),
        ("gif:comment", ""),
        ("jpeg:COM", ""),
        ("xmp", "dc:description"),
        ("stealth:alpha", ""),
        ("stealth:rgb", ""),
        ("sidecar:txt", ""),
    ] {
        let recovered = must_be(&[(slot, key, INFOTEXT)], "a1111", "a red fox, café");
        assert_eq!(recovered.settings.seed, Some(4_294_967_295));
        assert_eq!(
            recovered.slot.as_deref(),
            Some(
                if key.is_empty() {
                    slot.to_owned()
                } else {
                    format!("{slot}:{key}")
                }
                .as_str()
            )
        );
        assert_eq!(recovered.confidence, Some(Confidence::Explicit));
    }
}

#[test]
fn graphs_in_every_slot() {
    let labelled = format!("prompt:{GRAPH}");
    let spaced = format!("Prompt: {GRAPH}\0");
    let wrapped = format!(r#"{{"prompt": {GRAPH}, "workflow": {WORKFLOW}}}"#);
    let mut nested = String::from(r#"{"workflow": "{}", "prompt": "#);
    crate::metadata::json::write_string(GRAPH, &mut nested);
    nested.push('}');
    for (slot, key, text) in [
        ("png:tEXt", "prompt", GRAPH),
        ("png:comf", "prompt", GRAPH),
        ("png:tEXt", "workflow", GRAPH),
        ("exif:IFD0", "Model", labelled.as_str()),
        ("exif:IFD0", "Make", spaced.as_str()),
        ("exif:Exif", "UserComment", wrapped.as_str()),
        ("exif:Exif", "UserComment", nested.as_str()),
        ("xmp", "comfy:prompt", GRAPH),
        ("sidecar:json", "", GRAPH),
    ] {
        let recovered = must_be(&[(slot, key, text)], "comfyui", "a blue bird");
        assert_eq!(recovered.settings.seed, Some(u64::MAX), "{slot} {key}");
        assert_eq!(recovered.confidence, Some(Confidence::Graph));
    }
}

#[test]
fn a_workflow_alone_is_heuristic() {
    for key in ["workflow", "prompt"] {
        let recovered = read(&[("png:tEXt", key, WORKFLOW)]);
        assert_eq!(
            (recovered.status, recovered.confidence),
            (MetadataStatus::WorkflowOnly, Some(Confidence::Heuristic))
        );
        assert_eq!(
            (recovered.generator.as_deref(), recovered.prompt.as_deref()),
            (Some("comfyui"), Some("drawn"))
        );
    }
    let recovered = must_be(
        &[("png:tEXt", "workflow", WORKFLOW), ("png:tEXt", "prompt", GRAPH)],
        "comfyui",
        "a blue bird",
    );
    assert!(recovered.also.is_empty());
}

#[test]
fn savers_write_the_text_and_the_graph_completes_it() {
    let recovered = must_be(
        &[("png:tEXt", "prompt", GRAPH), ("png:tEXt", "parameters", INFOTEXT)],
        "comfyui",
        "a red fox, café",
    );
    assert_eq!(recovered.also, ["a1111"]);
    assert_eq!(recovered.settings.seed, Some(4_294_967_295));
    assert_eq!(recovered.slot.as_deref(), Some("png:tEXt:parameters"));
    let empty = "unknown\nNegative prompt: unknown\nSteps: 20, Sampler: x, CFG Scale: 8.0, Seed: 0, Version: ComfyUI";
    must_be(
        &[("png:tEXt", "parameters", empty), ("png:tEXt", "prompt", GRAPH)],
        "comfyui",
        "a blue bird",
    );
    let alone = read(&[("exif:Exif", "UserComment", empty)]);
    assert_eq!(
        (alone.generator.as_deref(), alone.also.as_slice()),
        (Some("a1111"), ["comfyui".to_owned()].as_slice())
    );
}

#[test]
fn json_of_every_generator() {
    let swarm = r#"{"sui_image_params": {"prompt": "p", "model": "m", "seed": 1}}"#;
    let fooocus = r#"{"prompt": "p", "negative_prompt": "n", "metadata_scheme": "fooocus", "seed": "42", "version": "Fooocus v2.5.5"}"#;
    let mre = r#"{"prompt": "p", "real_prompt": ["p, styled"], "steps": 30, "software": "Fooocus 1.0.43 MRE"}"#;
    let ruined = r#"{"Prompt": "p", "Negative": "n", "software": "RuinedFooocus"}"#;
    let space = r#"{"prompt": "p", "resolution": "832 x 1216", "num_inference_steps": 20, "Model": "m"}"#;
    let invoke = r#"{"positive_prompt": "p", "app_version": "6.10.0", "generation_mode": "sdxl_txt2img"}"#;
    let sd = r#"{"app_id": "invoke-ai/InvokeAI", "image": {"prompt": "p", "steps": 3}}"#;
    let tensor = "{\"prompt\":\"p\",\"ksamplerName\":\"euler\",\"seed\":\"-1\"}\0";
    let matrix = r#"{"PositivePrompt":"p","NegativePrompt":"n","CfgScale":5}"#;
    let diffusion = r#"{"prompt": "p", "use_stable_diffusion_model": "x.ckpt", "num_inference_steps": 25}"#;
    let draw = r#"{"c": "p", "uc": "n", "model": "m", "scale": 7, "v2": {}}"#;
    let novel = r#"{"prompt": "p", "uc": "n", "steps": 28, "sampler": "k_euler", "scale": 5}"#;
    let hidden = r#"{"Description": "p", "Software": "NovelAI", "Source": "NovelAI Diffusion V4 37442FCA", "Comment": "{\"uc\": \"n\", \"sampler\": \"k\", \"scale\": 5}"}"#;
    for (slot, key, text, generator) in [
        ("png:tEXt", "parameters", swarm, "swarmui"),
        ("exif:Exif", "UserComment", swarm, "swarmui"),
        ("exif:IFD0", "Model", swarm, "swarmui"),
        ("stealth:alpha", "", swarm, "swarmui"),
        ("sidecar:swarm.json", "", swarm, "swarmui"),
        ("png:tEXt", "parameters", fooocus, "fooocus"),
        ("exif:IFD0", "UserComment", fooocus, "fooocus"),
        ("png:tEXt", "Comment", mre, "fooocus-mre"),
        ("jpeg:COM", "", mre, "fooocus-mre"),
        ("png:tEXt", "parameters", ruined, "ruined-fooocus"),
        ("png:tEXt", "parameters", space, "hf-space"),
        ("png:iTXt", "invokeai_metadata", invoke, "invokeai"),
        ("png:tEXt", "sd-metadata", sd, "invokeai-sd-metadata"),
        ("png:tEXt", "generation_data", tensor, "tensorart"),
        ("png:tEXt", "parameters-json", matrix, "stability-matrix"),
        ("exif:IFD0", "ImageDescription", matrix, "stability-matrix"),
        ("exif:Exif", "UserComment", diffusion, "easy-diffusion"),
        ("sidecar:json", "", diffusion, "easy-diffusion"),
        ("xmp", "exif:UserComment", draw, "draw-things"),
        ("png:tEXt", "Comment", novel, "novelai"),
        ("exif:Exif", "UserComment", novel, "novelai"),
        ("stealth:alpha", "", hidden, "novelai"),
        ("exif:Exif", "UserComment", hidden, "novelai"),
    ] {
        must_be(&[(slot, key, text)], generator, "p");
    }
}

#[test]
fn texts_of_every_other_generator() {
    must_be(
        &[("png:tEXt", "Dream", "\"a fox [bad]\" -s 50 -S 123 -C 7.5 -A k_lms")],
        "invokeai-dream",
        "a fox",
    );
    must_be(
        &[(
            "png:iTXt",
            "Description",
            "a panel --ar 4:3 --v 5.2 Job ID: 2b6e053b-9a65-4ca9-9e13-b6f4465164d4",
        )],
        "midjourney",
        "a panel",
    );
    let fields = [
        ("png:tEXt", "prompt", "a pier"),
        ("png:tEXt", "negative_prompt", "fog"),
        ("png:tEXt", "use_stable_diffusion_model", "sd.ckpt"),
    ];
    let recovered = must_be(&fields, "easy-diffusion", "a pier");
    assert_eq!(recovered.slot.as_deref(), Some("png:tEXt:prompt"));
    let named = [
        ("png:tEXt", "Prompt", "a pier"),
        ("png:tEXt", "Stable Diffusion model", "sd.ckpt"),
    ];
    must_be(&named, "easy-diffusion", "a pier");
    must_be(
        &[(
            "sidecar:txt",
            "",
            "Prompt: a pier\nSeed: 3\nStable Diffusion model: sd.ckpt",
        )],
        "easy-diffusion",
        "a pier",
    );
    let draw = "a cat\n-dog\nSteps: 30, Sampler: DPM++ 2M, Guidance Scale: 7.5, Seed: 5, Size: 64x64";
    must_be(&[("xmp", "dc:description", draw)], "draw-things", "a cat");
    let novel = [
        ("png:tEXt", "Software", "NovelAI"),
        ("png:tEXt", "Description", "a cat"),
        ("png:tEXt", "Source", "Stable Diffusion 1D44365E"),
        (
            "png:tEXt",
            "Comment",
            r#"{"steps": 50, "sampler": "k_lms", "seed": 1, "scale": 10.0, "uc": "bad"}"#,
        ),
    ];
    let recovered = must_be(&novel, "novelai", "a cat");
    assert_eq!(recovered.settings.model.as_deref(), Some("Stable Diffusion"));
    let extras = read(&[(
        "png:tEXt",
        "postprocessing",
        "Postprocess upscale by: 4, Postprocess upscaler: x",
    )]);
    assert_eq!(
        (extras.generator.as_deref(), extras.status),
        (Some("a1111-extras"), MetadataStatus::NoPrompt)
    );
    let upscaled = must_be(
        &[
            ("png:tEXt", "parameters", INFOTEXT),
            ("png:tEXt", "extras", "Postprocess upscale by: 4"),
        ],
        "a1111",
        "a red fox, café",
    );
    assert_eq!(upscaled.also, ["a1111-extras"]);
}

#[test]
fn front_ends_of_comfyui_are_told_from_it() {
    let tensor = r#"{"prompt":"p","ksamplerName":"euler","seed":"-1","baseModel":{"modelFileName":"WAI","hash":"A5"}}"#;
    let recovered = must_be(
        &[("png:tEXt", "generation_data", tensor), ("png:tEXt", "prompt", GRAPH)],
        "tensorart",
        "p",
    );
    assert_eq!(recovered.settings.seed, Some(u64::MAX), "the true seed is the graph's");
    assert_eq!(recovered.settings.model.as_deref(), Some("WAI"));
    assert_eq!(recovered.also, ["comfyui"]);
    let matrix = r#"{"PositivePrompt":"p","NegativePrompt":"n","CfgScale":5,"Sampler":"Euler Karras","Width":1536,"Height":1536}"#;
    let entries = [
        ("png:tEXt", "prompt", GRAPH),
        ("png:tEXt", "parameters", INFOTEXT),
        ("png:tEXt", "parameters-json", matrix),
        ("png:tEXt", "smproj", "{}"),
    ];
    let recovered = must_be(&entries, "stability-matrix", "p");
    assert_eq!(
        (recovered.settings.sampler.as_deref(), recovered.settings.width),
        (Some("euler"), Some(64))
    );
    assert!(
        recovered
            .parameters_extra
            .contains(&("Sampler".into(), "Euler Karras".into()))
    );
    assert_eq!(recovered.also, ["comfyui"]);
    let swarm = r#"{"sui_image_params": {"prompt": "p", "seed": 7}}"#;
    let recovered = must_be(
        &[("png:tEXt", "prompt", GRAPH), ("png:tEXt", "parameters", swarm)],
        "swarmui",
        "p",
    );
    assert_eq!((recovered.settings.seed, recovered.settings.steps), (Some(7), Some(20)));
}

#[test]
fn a_prompt_that_is_json_is_infotext_all_the_same() {
    let text = "{\n  \"high_level_description\": \"A photograph\",\n  \"x\": [{\"desc\": \"y\"}]\n}\nSteps: 48, Seed: 5, CFG scale: 7, App: SD.Next, Version: 39e086d";
    must_be(
        &[("exif:Exif", "UserComment", text)],
        "sd-next",
        "{\n  \"high_level_description\": \"A photograph\",\n  \"x\": [{\"desc\": \"y\"}]\n}",
    );
    let bare = "\"short_description\": \"A photograph\"\nSteps: 48, Seed: 5, CFG scale: 7, App: huggingface.co";
    must_be(
        &[("exif:Exif", "UserComment", bare)],
        "infotext-unknown",
        "\"short_description\": \"A photograph\"",
    );
}

#[test]
fn captions_comments_and_photographs_have_nothing() {
    for (slot, key, text) in [
        ("sidecar:txt", "", "1girl, solo, hatsune miku, Steps: many"),
        ("sidecar:txt", "", "a cat\nNegative prompt: dog"),
        ("sidecar:json", "", r#"{"tags": ["a"], "prompt": 3}"#),
        ("exif:Exif", "UserComment", "Summer 2019, Steps: 3 of the temple"),
        ("png:tEXt", "Comment", "GIMPで再保存しただけ"),
        ("png:tEXt", "Description", "a photo -- of a cat"),
        ("exif:IFD0", "Make", "Canon"),
        ("xmp", "xmp:CreatorTool", "Adobe Photoshop 26.0"),
    ] {
        let recovered = read(&[(slot, key, text)]);
        assert_eq!(
            (recovered.status, recovered.generator),
            (MetadataStatus::None, None),
            "{slot} {key}"
        );
    }
}

#[test]
fn a_sidecar_ranks_below_the_image() {
    let other = "beside\nSteps: 20, Sampler: x, Seed: 5, Version: v1.10.1";
    must_be(
        &[("sidecar:txt", "", other), ("png:tEXt", "prompt", GRAPH)],
        "comfyui",
        "a blue bird",
    );
    let workflow_inside = read(&[("png:tEXt", "workflow", WORKFLOW), ("sidecar:txt", "", other)]);
    assert_eq!(
        (workflow_inside.prompt.as_deref(), workflow_inside.also.as_slice()),
        (Some("beside"), ["comfyui".to_owned()].as_slice())
    );
}

#[test]
fn provenance_alone_and_beside_a_prompt() {
    let source = (
        "c2pa",
        "digital_source_type",
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    );
    let claim = ("c2pa", "claim_generator", "OpenAI Media Service API");
    let recovered = read(&[claim, source]);
    assert_eq!(
        (recovered.status, recovered.generator.as_deref()),
        (MetadataStatus::AiNoPrompt, Some("openai"))
    );
    let provenance = recovered.ai_provenance.unwrap();
    assert_eq!(
        provenance.digital_source_type.as_deref(),
        Some("trainedAlgorithmicMedia")
    );
    assert!(!provenance.verified);
    let recovered = must_be(
        &[claim, source, ("png:tEXt", "parameters", INFOTEXT)],
        "a1111",
        "a red fox, café",
    );
    assert_eq!(recovered.also, ["openai"]);
    let unnamed = read(&[("xmp", "Iptc4xmpExt:DigitalSourceType", "x/trainedAlgorithmicMedia")]);
    assert_eq!((unnamed.status, unnamed.generator), (MetadataStatus::AiNoPrompt, None));
    let edited = read(&[("c2pa", "claim_generator", "Adobe_Photoshop/26.0.0")]);
    assert_eq!(edited.status, MetadataStatus::None);
    assert!(edited.ai_provenance.is_some());
}

#[test]
fn the_first_of_duplicate_keys_that_parses_counts() {
    must_be(
        &[("png:tEXt", "prompt", "{broken"), ("png:tEXt", "prompt", GRAPH)],
        "comfyui",
        "a blue bird",
    );
    let second = INFOTEXT.replace("a red fox", "a second fox");
    must_be(
        &[
            ("png:tEXt", "parameters", INFOTEXT),
            ("png:tEXt", "parameters", &second),
        ],
        "a1111",
        "a red fox, café",
    );
}

#[test]
fn broken_json_is_an_error_with_a_note() {
    for (key, text) in [
        ("prompt", "{\"3\": oops}"),
        ("workflow", "{]"),
        ("parameters", "{\"unknown\": 1}"),
    ] {
        let recovered = read(&[("png:tEXt", key, text)]);
        assert_eq!(recovered.status, MetadataStatus::Error, "{key}");
        assert_eq!(recovered.notes.len(), 1, "{:?}", recovered.notes);
    }
}

#[test]
fn a_graph_that_was_cut_off_is_heuristic() {
    let recovered = read(&[("exif:IFD0", "Model", &GRAPH[..GRAPH.len() - 30])]);
    assert_eq!(recovered.confidence, Some(Confidence::Heuristic));
    assert!(
        recovered.notes.iter().any(|note| note.contains("ends in the middle")),
        "{:?}",
        recovered.notes
    );
}

#[test]
fn deep_and_duplicate_json_is_noted() {
    let deep = format!(
        "{{\"0\": {}1{}, {}",
        "[".repeat(10_000),
        "]".repeat(10_000),
        &GRAPH[1..]
    );
    let recovered = must_be(&[("png:tEXt", "prompt", &deep)], "comfyui", "a blue bird");
    assert!(recovered.notes.iter().any(|note| note.contains("deeper")));
    let twice = GRAPH.replacen("\"cfg\": 7.5", "\"cfg\": 1, \"cfg\": 7.5", 1);
    let recovered = must_be(&[("png:tEXt", "prompt", &twice)], "comfyui", "a blue bird");
    assert!(recovered.notes.iter().any(|note| note.contains("duplicate")));
    assert_eq!(recovered.settings.cfg_scale, Some(7.5));
}

#[test]
fn notes_of_the_containers_come_first() {
    let raw = RawMetadata {
        facts: PhotoFacts::default(),
        entries: vec![RawEntry {
            slot: "png:tEXt".into(),
            key: "parameters".into(),
            text: INFOTEXT.into(),
        }],
        notes: vec!["png: truncated".into()],
    };
    assert_eq!(interpret(&raw).notes, ["png: truncated"]);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(
        slot in "(png:tEXt|exif:Exif|xmp|c2pa|stealth:alpha|sidecar:txt|gif:comment)",
        key in "(|parameters|prompt|workflow|Comment|Description|UserComment|Dream|extras|TC260:AIGC|sd-metadata)",
        text in "(\\{|\\}|\\[|\\]|\"|:|,|Steps: |Negative prompt:|prompt|class_type|inputs|nodes|--v 5|Job ID: |[a-z0-9 é\n\\\\-]){0,40}",
    ) {
        let _ = read(&[(slot.as_str(), key.as_str(), text.as_str())]);
    }
}
