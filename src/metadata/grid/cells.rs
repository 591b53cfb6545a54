//! The cells: the text of each generator as its facts say, at each of its places.

use super::files::*;
use super::{Cell, Expected};
use crate::metadata::SidecarKind;
use crate::metadata::container::testing::*;
use crate::record::MetadataStatus;

const PROMPT: &str = "a red fox, café";
const NEGATIVE: &str = "blurry, lowres";
const SEED: u64 = 4_294_967_295;

/// A graph as Python writes it: ASCII, `NaN`, and the largest seed.
const GRAPH: &str = r#"{"3": {"class_type": "KSampler", "inputs": {"seed": 18446744073709551615, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}, "is_changed": [NaN]}, "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "m.safetensors"}}, "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 832, "height": 1216, "batch_size": 1}}, "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red fox, caf\u00e9", "clip": ["4", 1]}}, "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry, lowres", "clip": ["4", 1]}}, "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}}}"#;
const WORKFLOW: &str = r#"{"last_node_id": 4, "nodes": [{"id": 1, "type": "KSampler", "inputs": [{"name": "positive", "type": "CONDITIONING", "link": 1}, {"name": "negative", "type": "CONDITIONING", "link": 2}], "widgets_values": [4294967295, "fixed", 20, 7, "euler", "normal", 1]}, {"id": 2, "type": "CLIPTextEncode", "widgets_values": ["a red fox, caf\u00e9"]}, {"id": 3, "type": "CLIPTextEncode", "widgets_values": ["blurry, lowres"]}], "links": [[1, 2, 0, 1, 0, "CONDITIONING"], [2, 3, 0, 1, 1, "CONDITIONING"]], "version": 0.4}"#;

/// Every cell.
pub fn all() -> Vec<Cell> {
    let mut cells = Cells(Vec::new());
    infotext_family(&mut cells);
    fooocus_family(&mut cells);
    comfyui(&mut cells);
    swarmui(&mut cells);
    invokeai(&mut cells);
    novelai(&mut cells);
    easy_diffusion(&mut cells);
    draw_things(&mut cells);
    services(&mut cells);
    provenance(&mut cells);
    cells.0
}

struct Cells(Vec<Cell>);

impl Cells {
    /// A cell with the usual prompts and seed, which `change` may alter.
    fn add(
        &mut self,
        generator: &'static str,
        place: &'static str,
        made: Made,
        slot: &str,
        change: impl FnOnce(&mut Expected),
    ) {
        let mut expected = Expected {
            status: MetadataStatus::Prompt,
            prompt: Some(PROMPT),
            negative: Some(NEGATIVE),
            seed: Some(SEED),
            slot: slot.to_owned(),
            also: None,
        };
        change(&mut expected);
        self.0.push(Cell {
            generator,
            place,
            made,
            expected,
        });
    }

    fn usual(&mut self, generator: &'static str, place: &'static str, made: Made, slot: &str) {
        self.add(generator, place, made, slot, |_| {});
    }

    /// Text of the family at each of `places`.
    fn infotext(&mut self, generator: &'static str, text: &str, places: &[&'static str]) {
        for place in places {
            let (made, slot) = infotext_at(place, text);
            self.usual(generator, place, made, slot);
        }
    }

    fn mark(&mut self, generator: &'static str, place: &'static str, file: Vec<u8>, slot: &str) {
        self.add(generator, place, Made::File(file), slot, |expected| {
            *expected = Expected {
                status: MetadataStatus::AiNoPrompt,
                prompt: None,
                negative: None,
                seed: None,
                slot: slot.to_owned(),
                also: None,
            };
        });
    }
}

fn infotext(settings: &str) -> String {
    format!(
        "{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: {SEED}, Size: 832x1216, {settings}"
    )
}

/// Where the family writes its text, and the slot that it is read from.
fn infotext_at(place: &str, text: &str) -> (Made, &'static str) {
    const COMMENT: &str = "exif:Exif:UserComment";
    let bytes = text.as_bytes();
    let exif = exif_with_comment(text);
    let file = |file: Vec<u8>, slot: &'static str| (Made::File(file), slot);
    match place {
        "png tEXt" => file(png(&[latin1_chunk("parameters", text)], &[]), "png:tEXt:parameters"),
        "png iTXt" => file(
            png(&[itxt_chunk("parameters", bytes, false)], &[]),
            "png:iTXt:parameters",
        ),
        "png iTXt compressed" => file(
            png(&[itxt_chunk("parameters", bytes, true)], &[]),
            "png:iTXt:parameters",
        ),
        "png zTXt after the pixels" => file(png(&[], &[ztxt_chunk("parameters", bytes)]), "png:zTXt:parameters"),
        "png eXIf" => file(png(&[chunk(b"eXIf", &exif)], &[]), COMMENT),
        "png raw profile" => file(png(&[], &[raw_profile(&exif)]), COMMENT),
        "jpeg UserComment" => file(exif_jpeg(&exif), COMMENT),
        "jpeg UserComment II LE" => file(exif_jpeg(&comment_block(Order::Little, Order::Little, text)), COMMENT),
        "jpeg UserComment II BE" => file(exif_jpeg(&comment_block(Order::Little, Order::Big, text)), COMMENT),
        "webp UserComment" => file(exif_webp(&exif), COMMENT),
        "avif UserComment" => file(exif_bmff(b"avif", &exif), COMMENT),
        "heic UserComment" => file(exif_bmff(b"heic", &exif), COMMENT),
        "jxl UserComment" => file(exif_jxl(&exif, false), COMMENT),
        "jxl UserComment in brob" => file(exif_jxl(&exif, true), COMMENT),
        "gif comment" => file(gif(&[gif_comment(bytes)], &[]), "gif:comment"),
        "tiff ImageDescription" => {
            let size = |tag: u16, side: u16| (tag, 3, side.to_le_bytes().to_vec());
            let fields = [size(0x0100, 3), size(0x0101, 2), ascii(0x010e, bytes)];
            file(tiff(Order::Little, &fields, &[], &[]), "exif:IFD0:ImageDescription")
        }
        "txt sidecar" => (
            Made::Beside(bare_png(), SidecarKind::Text, text.to_owned()),
            "sidecar:txt",
        ),
        "stealth alpha" => (hidden(b"stealth_pnginfo", text), "stealth:alpha"),
        "stealth alpha gzip" => (hidden(b"stealth_pngcomp", text), "stealth:alpha"),
        "stealth rgb" => (hidden(b"stealth_rgbinfo", text), "stealth:rgb"),
        "stealth rgb gzip" => (hidden(b"stealth_rgbcomp", text), "stealth:rgb"),
        "png tEXt and stealth" => {
            let Made::Pixels(_, picture) = hidden(b"stealth_pngcomp", text) else {
                unreachable!("hidden gives pixels")
            };
            let both = Made::Pixels(png(&[latin1_chunk("parameters", text)], &[]), picture);
            (both, "png:tEXt:parameters")
        }
        other => unreachable!("{other} is no place of infotext"),
    }
}

fn infotext_family(cells: &mut Cells) {
    const A1111: &[&str] = &[
        "png tEXt",
        "png iTXt",
        "png iTXt compressed",
        "png zTXt after the pixels",
        "png eXIf",
        "png raw profile",
        "jpeg UserComment",
        "webp UserComment",
        "avif UserComment",
        "heic UserComment",
        "jxl UserComment",
        "jxl UserComment in brob",
        "gif comment",
        "tiff ImageDescription",
        "txt sidecar",
        "stealth alpha",
        "stealth alpha gzip",
        "stealth rgb",
        "stealth rgb gzip",
    ];
    const FORGE: &[&str] = &[
        "png tEXt",
        "png iTXt",
        "jpeg UserComment",
        "webp UserComment",
        "avif UserComment",
        "gif comment",
        "stealth alpha gzip",
        "stealth rgb gzip",
        "png tEXt and stealth",
    ];
    const FORKS: &[&str] = &[
        "png tEXt",
        "jpeg UserComment",
        "webp UserComment",
        "gif comment",
        "stealth alpha gzip",
    ];
    const SD_NEXT: &[&str] = &[
        "png tEXt",
        "jpeg UserComment",
        "webp UserComment",
        "jxl UserComment",
        "jpeg UserComment II LE",
    ];
    cells.infotext(
        "a1111",
        &infotext("Model hash: 31e35c80fc, Model: xl, Version: v1.10.1"),
        A1111,
    );
    let forge = "Distilled CFG Scale: 3.5, Diffusion in Low Bits: Automatic, Module 1: ae, Version: f2.0.1v1.10.1-previous-669-gdfdcbab6";
    cells.infotext("forge", &infotext(forge), FORGE);
    for (generator, version) in [
        ("reforge", "f1.0.0v2-v1.10.1RC-latest-2498-g5120e679"),
        ("easy-reforge", "f1.3.0-v1.10.1RC-latest-1038-g19395bf9"),
        ("forge-classic", "classic"),
        ("forge-neo", "Neo"),
    ] {
        cells.infotext(generator, &infotext(&format!("Version: {version}")), FORKS);
    }
    let sd_next = format!(
        "{PROMPT}\nNegative prompt: {NEGATIVE}\nTemplate: __fox__\nNegative template: bad\nSteps: 20, Size: 832x1216, Seed: {SEED}, CFG scale: 4, App: SD.Next, Version: 49ab7cc, Pipeline: StableDiffusionXLPipeline, Operations: txt2img"
    );
    cells.infotext("sd-next", &sd_next, SD_NEXT);
    let horde = format!("{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 20, CFG scale: 7, Seed: {SEED}, Model: x");
    cells.infotext("infotext-unknown", &horde, &["jpeg UserComment"]);
    let civitai = infotext(
        "Created Date: 2025-01-02T03:04:05.678Z, Civitai resources: [{\"type\":\"checkpoint\",\"modelVersionId\":128713,\"modelName\":\"Big, Model\"}], Civitai metadata: {\"remixOfId\":5}",
    );
    cells.infotext("civitai", &civitai, &["jpeg UserComment II BE", "png tEXt"]);
    for (place, key) in [
        ("png tEXt postprocessing", "postprocessing"),
        ("png tEXt extras", "extras"),
    ] {
        let text = "Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN 4x+";
        let file = Made::File(png(&[latin1_chunk(key, text)], &[]));
        cells.add("a1111-extras", place, file, &format!("png:tEXt:{key}"), |expected| {
            expected.status = MetadataStatus::NoPrompt;
            (expected.prompt, expected.negative, expected.seed) = (None, None, None);
        });
    }
}

fn fooocus_family(cells: &mut Cells) {
    let json = format!(
        r#"{{"adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "m", "base_model_hash": "h", "full_negative_prompt": ["{NEGATIVE}"], "full_prompt": ["{PROMPT}", "styled"], "guidance_scale": 4.0, "loras": [["l", 0.5, "h"]], "metadata_scheme": "fooocus", "negative_prompt": "{NEGATIVE}", "performance": "Speed", "prompt": "{PROMPT}", "resolution": "(832, 1216)", "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras", "seed": "{SEED}", "sharpness": 2.0, "steps": 30, "styles": "['A', 'B']", "version": "Fooocus v2.5.5"}}"#
    );
    let text = format!(
        "{PROMPT}\nNegative prompt: {NEGATIVE}\nSteps: 30, Sampler: DPM++ 2M SDE Karras, Seed: {SEED}, Size: 832x1216, CFG scale: 4, Performance: Speed, Styles: \"['A', 'B']\", Raw prompt: fox, Raw negative prompt: bad, Lora hashes: \"l: h\", Lora weights: \"l: 0.5\", Version: Fooocus v2.5.5"
    );
    for (scheme, content, places) in [
        ("fooocus", &json, ["png tEXt", "jpeg IFD0", "webp IFD0"]),
        ("a1111", &text, ["png tEXt a1111", "jpeg IFD0 a1111", "webp IFD0 a1111"]),
    ] {
        let chunks = [
            itxt_chunk("parameters", content.as_bytes(), false),
            latin1_chunk("fooocus_scheme", scheme),
        ];
        cells.usual(
            "fooocus",
            places[0],
            Made::File(png(&chunks, &[])),
            "png:iTXt:parameters",
        );
        let block = tiff(
            Order::Little,
            &[
                ascii(0x0131, b"Fooocus v2.5.5"),
                ascii(0x927c, scheme.as_bytes()),
                ascii(0x9286, content.as_bytes()),
            ],
            &[],
            &[],
        );
        cells.usual(
            "fooocus",
            places[1],
            Made::File(exif_jpeg(&block)),
            "exif:IFD0:UserComment",
        );
        cells.usual(
            "fooocus",
            places[2],
            Made::File(exif_webp(&block)),
            "exif:IFD0:UserComment",
        );
    }
    let mre = format!(
        r#"{{"prompt": "{PROMPT}", "negative_prompt": "{NEGATIVE}", "real_prompt": ["{PROMPT}, styled"], "real_negative_prompt": ["{NEGATIVE}"], "steps": 30, "cfg": 7.0, "seed": {SEED}, "base_model": "m", "software": "Fooocus 1.0.43 MRE"}}"#
    );
    let file = png(&[itxt_chunk("Comment", mre.as_bytes(), false)], &[]);
    cells.usual("fooocus-mre", "png Comment", Made::File(file), "png:iTXt:Comment");
    cells.usual(
        "fooocus-mre",
        "jpeg COM",
        Made::File(jpeg(&[segment(0xfe, mre.as_bytes())])),
        "jpeg:COM",
    );
    let ruined = format!(
        r#"{{"Prompt": "{PROMPT}", "Negative": "{NEGATIVE}", "steps": 30, "cfg": 8, "width": 1152, "height": 896, "seed": {SEED}, "sampler_name": "dpmpp_2m_sde_gpu", "scheduler": "karras", "base_model_name": "m", "base_model_hash": "h", "loras": [["h", "0.5 - l"]], "clip_skip": 1, "software": "RuinedFooocus"}}"#
    );
    let file = png(&[itxt_chunk("parameters", ruined.as_bytes(), false)], &[]);
    cells.usual("ruined-fooocus", "png tEXt", Made::File(file), "png:iTXt:parameters");
}

fn comfyui(cells: &mut Cells) {
    let mut graph = |place: &'static str, file: Vec<u8>, slot: &str| {
        cells.add("comfyui", place, Made::File(file), slot, |expected| {
            expected.seed = Some(u64::MAX);
        });
    };
    let both = [latin1_chunk("prompt", GRAPH), latin1_chunk("workflow", WORKFLOW)];
    graph("png tEXt", png(&both, &[]), "png:tEXt:prompt");
    graph(
        "png iTXt",
        png(&[itxt_chunk("prompt", GRAPH.as_bytes(), false)], &[]),
        "png:iTXt:prompt",
    );
    graph(
        "png zTXt",
        png(&[ztxt_chunk("prompt", GRAPH.as_bytes())], &[]),
        "png:zTXt:prompt",
    );
    let private = |key: &str, text: &str| chunk(b"comf", &[key.as_bytes(), b"\0", text.as_bytes()].concat());
    let after = [private("workflow", WORKFLOW), private("prompt", GRAPH)];
    graph("png comf after the pixels", png(&[], &after), "png:comf:prompt");
    graph(
        "png graph under workflow",
        png(&[latin1_chunk("workflow", GRAPH)], &[]),
        "png:tEXt:workflow",
    );

    let camera = tiff(
        Order::Little,
        &[
            ascii(0x010f, format!("workflow:{WORKFLOW}").as_bytes()),
            ascii(0x0110, format!("prompt:{GRAPH}").as_bytes()),
        ],
        &[],
        &[],
    );
    let prefixed = [b"Exif\0\0", &camera[..]].concat();
    graph("webp Model and Make", exif_webp(&prefixed), "exif:IFD0:Model");
    graph(
        "webp Model and Make without prefix",
        exif_webp(&camera),
        "exif:IFD0:Model",
    );
    let described = tiff(
        Order::Big,
        &[
            ascii(0x010e, format!("Workflow: {WORKFLOW}").as_bytes()),
            ascii(0x010f, format!("Prompt: {GRAPH}").as_bytes()),
        ],
        &[],
        &[],
    );
    graph(
        "jpeg Make and ImageDescription",
        exif_jpeg(&described),
        "exif:IFD0:Make",
    );
    graph(
        "webp Make and ImageDescription",
        exif_webp(&described),
        "exif:IFD0:Make",
    );
    let wrapped = format!(r#"{{"prompt": {GRAPH}, "workflow": {WORKFLOW}}}"#);
    let comment = plain_comment(wrapped.as_bytes());
    graph(
        "jpeg UserComment without id",
        exif_jpeg(&comment),
        "exif:Exif:UserComment",
    );
    graph(
        "webp UserComment without id",
        exif_webp(&comment),
        "exif:Exif:UserComment",
    );
    graph("jxl UserComment", exif_jxl(&comment, false), "exif:Exif:UserComment");
    let (prompt, workflow) = (escaped(GRAPH), escaped(WORKFLOW));
    let namespace = "xmlns:comfy=\"https://github.com/Comfy-Org/ComfyUI\"";
    let attributes = format!("{namespace} comfy:workflow=\"{workflow}\" comfy:prompt=\"{prompt}\"");
    graph(
        "avif XMP attribute",
        xmp_avif(&xmp_packet(&attributes, "")),
        "xmp:comfy:prompt",
    );
    let elements = format!("<comfy:prompt>{prompt}</comfy:prompt><comfy:workflow>{workflow}</comfy:workflow>");
    graph(
        "avif XMP element",
        xmp_avif(&xmp_packet(namespace, &elements)),
        "xmp:comfy:prompt",
    );

    let sidecar = Made::Beside(bare_png(), SidecarKind::Json, GRAPH.to_owned());
    cells.add("comfyui", "json sidecar", sidecar, "sidecar:json", |expected| {
        expected.seed = Some(u64::MAX);
    });
    let saved = infotext("Model: xl, Version: ComfyUI");
    let file = png(
        &[latin1_chunk("parameters", &saved), latin1_chunk("prompt", GRAPH)],
        &[],
    );
    cells.add(
        "comfyui",
        "png saver",
        Made::File(file),
        "png:tEXt:parameters",
        |expected| expected.also = Some("a1111"),
    );
    let file = png(&[latin1_chunk("workflow", WORKFLOW)], &[]);
    cells.add(
        "comfyui",
        "png workflow alone",
        Made::File(file),
        "png:tEXt:workflow",
        |expected| {
            expected.status = MetadataStatus::WorkflowOnly;
        },
    );
}

fn swarmui(cells: &mut Cells) {
    let json = format!(
        r#"{{"sui_image_params": {{"prompt": "{PROMPT}", "negativeprompt": "{NEGATIVE}", "model": "m", "seed": {SEED}, "steps": 20, "cfgscale": 7.0, "width": 832, "height": 1216, "sampler": "euler", "loras": ["l"], "loraweights": ["0.5"], "swarm_version": "0.9.6.0"}}, "sui_models": [{{"name": "m.safetensors", "param": "model", "hash": "0x1"}}], "sui_extra_data": {{"date": "2025-01-02"}}}}"#
    );
    for (place, family_place) in [
        ("jpeg UserComment II LE", "jpeg UserComment II LE"),
        ("jpeg UserComment", "jpeg UserComment"),
        ("webp UserComment", "webp UserComment"),
        ("stealth alpha", "stealth alpha"),
        ("stealth alpha gzip", "stealth alpha gzip"),
    ] {
        let (made, slot) = infotext_at(family_place, &json);
        cells.usual("swarmui", place, made, slot);
    }
    let little = comment_block(Order::Little, Order::Little, &json);
    cells.usual(
        "swarmui",
        "webp UserComment II LE",
        Made::File(exif_webp(&little)),
        "exif:Exif:UserComment",
    );
    let text = itxt_chunk("parameters", json.as_bytes(), false);
    cells.usual(
        "swarmui",
        "png tEXt",
        Made::File(png(std::slice::from_ref(&text), &[])),
        "png:iTXt:parameters",
    );
    let file = png(&[text, latin1_chunk("prompt", GRAPH)], &[]);
    cells.add(
        "swarmui",
        "png beside a graph",
        Made::File(file),
        "png:iTXt:parameters",
        |expected| {
            expected.also = Some("comfyui");
        },
    );
    let legacy = tiff(Order::Little, &[ascii(0x0110, json.as_bytes())], &[], &[]);
    cells.usual(
        "swarmui",
        "jpeg Model",
        Made::File(exif_jpeg(&legacy)),
        "exif:IFD0:Model",
    );
    let sidecar = Made::Beside(bare_png(), SidecarKind::SwarmJson, json);
    cells.usual("swarmui", "swarm.json sidecar", sidecar, "sidecar:swarm.json");
}

fn invokeai(cells: &mut Cells) {
    let dream = format!("\"{PROMPT} [{NEGATIVE}]\" -s 50 -S {SEED} -W 832 -H 1216 -C 7.5 -A k_lms");
    let file = png(&[latin1_chunk("Dream", &dream)], &[]);
    cells.usual("invokeai-dream", "png Dream", Made::File(file), "png:tEXt:Dream");
    let quoted_prompt = quoted(&format!("{PROMPT} [{NEGATIVE}]"));
    for (place, prompt) in [
        ("png tEXt", quoted_prompt.clone()),
        (
            "png tEXt with a list",
            format!("[{{\"prompt\": {quoted_prompt}, \"weight\": 1.0}}]"),
        ),
    ] {
        let json = format!(
            r#"{{"model": "stable diffusion", "model_weights": "sd-1.4", "app_id": "invoke-ai/InvokeAI", "app_version": "2.2.4", "image": {{"prompt": {prompt}, "steps": 50, "cfg_scale": 7.5, "height": 1216, "width": 832, "seed": {SEED}, "type": "txt2img", "sampler": "k_lms"}}}}"#
        );
        let file = png(&[latin1_chunk("sd-metadata", &json)], &[]);
        cells.usual("invokeai-sd-metadata", place, Made::File(file), "png:tEXt:sd-metadata");
    }
    let json = format!(
        r#"{{"app_version": "6.10.0", "generation_mode": "sdxl_txt2img", "positive_prompt": "{PROMPT}", "negative_prompt": "{NEGATIVE}", "width": 832, "height": 1216, "seed": {SEED}, "rand_device": "cpu", "cfg_scale": 7.5, "steps": 30, "scheduler": "euler_a", "model": {{"key": "k", "hash": "blake3:1", "name": "m", "base": "sdxl", "type": "main"}}, "loras": [{{"model": {{"name": "l"}}, "weight": 0.5}}]}}"#
    );
    let file = png(
        &[
            latin1_chunk("invokeai_metadata", &json),
            latin1_chunk("invokeai_graph", "{}"),
        ],
        &[],
    );
    cells.usual("invokeai", "png tEXt", Made::File(file), "png:tEXt:invokeai_metadata");
    let file = png(&[itxt_chunk("invokeai_metadata", json.as_bytes(), false)], &[]);
    cells.usual("invokeai", "png iTXt", Made::File(file), "png:iTXt:invokeai_metadata");
}

fn novelai(cells: &mut Cells) {
    let settings = format!(
        r#""uc": "{NEGATIVE}", "steps": 28, "scale": 5.0, "seed": {SEED}, "sampler": "k_euler_ancestral", "noise_schedule": "karras", "height": 1216, "width": 832, "request_type": "PromptGenerateRequest""#
    );
    let comment = format!(r#"{{"prompt": "{PROMPT}", {settings}}}"#);
    let old_comment = format!("{{{settings}}}");
    let texts = |comment: &str| {
        let fields = [
            ("Title", "AI generated image"),
            ("Description", PROMPT),
            ("Software", "NovelAI"),
            ("Source", "NovelAI Diffusion V4.5 4BDE2A90"),
            ("Generation time", "5.5"),
            ("Comment", comment),
        ];
        png(&fields.map(|(key, text)| latin1_chunk(key, text)), &[])
    };
    cells.usual("novelai", "png tEXt", Made::File(texts(&comment)), "png:tEXt:Comment");
    let old = "png tEXt of before Comment had prompts";
    cells.usual("novelai", old, Made::File(texts(&old_comment)), "png:tEXt:Comment");
    let described = [&b"\0\0\0\0"[..], PROMPT.as_bytes()].concat();
    let block = tiff(
        Order::Big,
        &[
            ascii(0x010e, &described),
            ascii(0x0131, b"NovelAI Diffusion V4.5 4BDE2A90"),
        ],
        &[(0x9286, 7, [b"ASCII\0\0\0", comment.as_bytes()].concat())],
        &[],
    );
    cells.usual(
        "novelai",
        "webp UserComment ASCII",
        Made::File(exif_webp(&block)),
        "exif:Exif:UserComment",
    );
    let wrapper = format!(
        r#"{{"Description": "{PROMPT}", "Software": "NovelAI", "Source": "NovelAI Diffusion V4.5 4BDE2A90", "Generation time": "5.5", "Comment": {}}}"#,
        quoted(&comment)
    );
    let (made, slot) = infotext_at("stealth alpha gzip", &wrapper);
    cells.usual("novelai", "stealth alpha gzip", made, slot);
}

fn easy_diffusion(cells: &mut Cells) {
    let seed = SEED.to_string();
    let plain = [
        ("prompt", PROMPT),
        ("negative_prompt", NEGATIVE),
        ("seed", &seed),
        ("use_stable_diffusion_model", "sd.ckpt"),
        ("sampler_name", "euler_a"),
        ("num_inference_steps", "25"),
        ("guidance_scale", "7.5"),
        ("width", "832"),
        ("height", "1216"),
    ];
    let file = png(&plain.map(|(key, text)| latin1_chunk(key, text)), &[]);
    cells.usual("easy-diffusion", "png fields", Made::File(file), "png:tEXt:prompt");
    let human = [
        ("Prompt", PROMPT),
        ("Negative Prompt", NEGATIVE),
        ("Seed", &seed),
        ("Stable Diffusion model", "sd.ckpt"),
        ("Sampler", "euler_a"),
        ("Steps", "25"),
        ("Guidance Scale", "7.5"),
    ];
    let file = png(&human.map(|(key, text)| latin1_chunk(key, text)), &[]);
    cells.usual(
        "easy-diffusion",
        "png human fields",
        Made::File(file),
        "png:tEXt:Prompt",
    );
    let lines: Vec<String> = human.iter().map(|(key, text)| format!("{key}: {text}")).collect();
    let sidecar = Made::Beside(bare_png(), SidecarKind::Text, lines.join("\n"));
    cells.usual("easy-diffusion", "txt sidecar", sidecar, "sidecar:txt");
    let json = format!(
        r#"{{"prompt": "{PROMPT}", "negative_prompt": "{NEGATIVE}", "seed": {SEED}, "use_stable_diffusion_model": "sd.ckpt", "sampler_name": "euler_a", "num_inference_steps": 25, "guidance_scale": 7.5, "width": 832, "height": 1216}}"#
    );
    for place in ["jpeg UserComment", "webp UserComment"] {
        let (made, slot) = infotext_at(place, &json);
        cells.usual("easy-diffusion", place, made, slot);
    }
    let sidecar = Made::Beside(bare_png(), SidecarKind::Json, json);
    cells.usual("easy-diffusion", "json sidecar", sidecar, "sidecar:json");
}

fn draw_things(cells: &mut Cells) {
    const NAMESPACES: &str = "xmlns:exif=\"http://ns.adobe.com/exif/1.0/\" xmp:CreatorTool=\"Draw Things\"";
    let json = format!(
        r#"{{"c": "{PROMPT}", "uc": "{NEGATIVE}", "model": "m.ckpt", "sampler": "DPM++ 2M Karras", "scale": 7.5, "seed": {SEED}, "size": "832x1216", "steps": 30, "strength": 1, "lora": [{{"model": "l", "weight": 0.5}}], "v2": {{}}}}"#
    );
    let alternative = |name: &str, text: &str| {
        format!(
            "<{name}><rdf:Alt><rdf:li xml:lang=\"x-default\">{}</rdf:li></rdf:Alt></{name}>",
            escaped(text)
        )
    };
    let packet = xmp_packet(NAMESPACES, &alternative("exif:UserComment", &json));
    cells.usual(
        "draw-things",
        "png XMP",
        Made::File(xmp_png(&packet)),
        "xmp:exif:UserComment",
    );
    cells.usual(
        "draw-things",
        "jpeg XMP",
        Made::File(xmp_jpeg(&packet)),
        "xmp:exif:UserComment",
    );
    let text = format!(
        "{PROMPT}\n-{NEGATIVE}\nSteps: 30, Sampler: DPM++ 2M Karras, Guidance Scale: 7.5, Seed: {SEED}, Size: 832x1216, Model: m.ckpt, Strength: 1.0"
    );
    let file = png(
        &[
            itxt_chunk("Description", text.as_bytes(), false),
            latin1_chunk("Software", "Draw Things"),
        ],
        &[],
    );
    cells.usual(
        "draw-things",
        "png Description",
        Made::File(file),
        "png:iTXt:Description",
    );
    let packet = xmp_packet(NAMESPACES, &alternative("dc:description", &text));
    cells.usual(
        "draw-things",
        "jpeg XMP description",
        Made::File(xmp_jpeg(&packet)),
        "xmp:dc:description",
    );
}

/// Front ends and sites that write a format of their own.
fn services(cells: &mut Cells) {
    let json = format!(
        r#"{{"PositivePrompt":"{PROMPT}","NegativePrompt":"{NEGATIVE}","Width":832,"Height":1216,"Seed":{SEED},"Steps":30,"Sampler":"Euler Normal","CfgScale":5,"ModelName":"m","ModelHash":"h"}}"#
    );
    let text = format!(
        "{PROMPT}\n\nNegative prompt: {NEGATIVE}\n\nSteps: 30, Sampler: Euler Normal, CFG scale: 5, Seed: {SEED}, Size: 832x1216"
    );
    let chunks = [
        text_chunk("parameters", text.as_bytes()),
        text_chunk("parameters-json", json.as_bytes()),
        text_chunk("smproj", b"{\"Version\": 2}"),
        latin1_chunk("prompt", GRAPH),
    ];
    cells.add(
        "stability-matrix",
        "png tEXt",
        Made::File(png(&chunks, &[])),
        "png:tEXt:parameters-json",
        |expected| {
            expected.also = Some("comfyui");
        },
    );
    let block = tiff(
        Order::Little,
        &[ascii(0x010e, json.as_bytes()), ascii(0x0131, b"{\"Version\": 2}")],
        &[],
        &[],
    );
    cells.usual(
        "stability-matrix",
        "webp ImageDescription",
        Made::File(exif_webp(&block)),
        "exif:IFD0:ImageDescription",
    );

    let data = format!(
        "{{\"prompt\":\"{PROMPT}\",\"negativePrompt\":\"{NEGATIVE}\",\"width\":832,\"height\":1216,\"imageCount\":1,\"samplerName\":\"\",\"ksamplerName\":\"euler\",\"schedule\":\"normal\",\"steps\":25,\"cfgScale\":7,\"clipSkip\":2,\"seed\":\"-1\",\"baseModel\":{{\"modelFileName\":\"m\",\"hash\":\"H\"}}}}\0"
    );
    let graph = GRAPH.replace("CheckpointLoaderSimple", "ECHOCheckpointLoaderSimple");
    let chunks = [
        text_chunk("generation_data", data.as_bytes()),
        latin1_chunk("prompt", &graph),
    ];
    cells.add(
        "tensorart",
        "png tEXt",
        Made::File(png(&chunks, &[])),
        "png:tEXt:generation_data",
        |expected| {
            (expected.seed, expected.also) = (Some(u64::MAX), Some("comfyui"));
        },
    );

    let space = format!(
        r#"{{"prompt": "{PROMPT}", "negative_prompt": "{NEGATIVE}", "resolution": "832 x 1216", "guidance_scale": 5, "num_inference_steps": 28, "seed": {SEED}, "sampler": "Euler a", "use_upscaler": null, "Model": "m", "Model hash": "h"}}"#
    );
    let file = png(&[itxt_chunk("parameters", space.as_bytes(), false)], &[]);
    cells.usual("hf-space", "png tEXt", Made::File(file), "png:iTXt:parameters");

    let inner = format!(
        r#"{{"prompt":"{PROMPT}","negativePrompt":"{NEGATIVE}","steps":25,"cfgScale":5,"sampler":"euler_ancestral","seed":{SEED},"workflowId":"txt2img"}}"#
    );
    let graph = format!(
        "{}, \"extra\": {{\"airs\": []}}, \"extraMetadata\": {}}}",
        GRAPH.trim_end_matches('}').to_owned() + "}}",
        quoted(&inner)
    );
    let block = comment_block(Order::Little, Order::Big, &graph);
    cells.usual(
        "civitai",
        "jpeg UserComment II BE graph",
        Made::File(exif_jpeg(&block)),
        "exif:Exif:UserComment",
    );

    let text =
        format!("{PROMPT} --no {NEGATIVE} --ar 4:3 --v 6.1 --seed {SEED} Job ID: 2b6e053b-9a65-4ca9-9e13-b6f4465164d4");
    let packet = xmp_packet(
        "xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" Iptc4xmpExt:DigImageGUID=\"2b6e053b-9a65-4ca9-9e13-b6f4465164d4\" Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\"",
        "",
    );
    let chunks = [
        text_chunk("Description", text.as_bytes()),
        latin1_chunk("Author", "somebody"),
        text_chunk("XML:com.adobe.xmp", packet.as_bytes()),
    ];
    cells.usual(
        "midjourney",
        "png Description",
        Made::File(png(&chunks, &[])),
        "png:tEXt:Description",
    );
    let body = format!(
        "<dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">{}</rdf:li></rdf:Alt></dc:description>",
        escaped(&text)
    );
    let file = xmp_jpeg(&xmp_packet("", &body));
    cells.usual(
        "midjourney",
        "jpeg XMP description",
        Made::File(file),
        "xmp:dc:description",
    );
}

fn provenance(cells: &mut Cells) {
    const TRAINED: Option<&str> = Some("trainedAlgorithmicMedia");
    const CLAIM: &str = "c2pa:claim_generator";
    let in_png = |store: Vec<u8>| png(&[chunk(b"caBX", &store)], &[]);
    cells.mark(
        "openai",
        "png caBX",
        in_png(c2pa_of("OpenAI Media Service API", TRAINED)),
        CLAIM,
    );
    cells.mark(
        "google",
        "png caBX",
        in_png(c2pa_of("Google C2PA Core Generator Library", TRAINED)),
        CLAIM,
    );
    cells.mark(
        "black-forest-labs",
        "png caBX",
        in_png(c2pa_of("Black Forest Labs API", TRAINED)),
        CLAIM,
    );
    cells.mark(
        "stability-ai",
        "png caBX",
        in_png(c2pa_of("Stability AI API", TRAINED)),
        CLAIM,
    );
    let store = c2pa_of("Black Forest Labs API", TRAINED);
    let file = webp(&[vp8x(), vp8l(), riff_chunk(b"C2PA", &store)]);
    cells.mark("black-forest-labs", "webp C2PA", file, CLAIM);
    let store = c2pa_of("Adobe_Firefly/1.0 adobe_c2pa/0.7.6", TRAINED);
    cells.mark("adobe-firefly", "jpeg APP11", c2pa_jpeg(&store), CLAIM);
    let store = c2pa_of("Samsung Galaxy", Some("compositeWithTrainedAlgorithmicMedia"));
    cells.mark("samsung", "jpeg APP11", c2pa_jpeg(&store), CLAIM);
    let store = c2pa_of("Microsoft Responsible AI Image Provenance/1.0", TRAINED);
    cells.mark("microsoft", "avif C2PA", c2pa_avif(&store), CLAIM);
    let credit = xmp_packet(
        "xmlns:photoshop=\"http://ns.adobe.com/photoshop/1.0/\" photoshop:Credit=\"Made with Google AI\"",
        "",
    );
    cells.mark("google", "jpeg XMP credit", xmp_jpeg(&credit), "xmp:photoshop:Credit");

    let label = |producer: &str| {
        let json = format!(r#"{{"Label":"1","ContentProducer":"{producer}","ProduceID":"1"}}"#);
        xmp_packet(
            &format!(
                "xmlns:TC260=\"http://www.tc260.org.cn/ns/AIGC/1.0/\" TC260:AIGC=\"{}\"",
                escaped(&json)
            ),
            "",
        )
    };
    cells.mark(
        "doubao",
        "png XMP",
        xmp_png(&label("00191110102MACQD9K64010000")),
        "xmp:TC260:AIGC",
    );
    cells.mark("jimeng", "jpeg XMP", xmp_jpeg(&label("Jimeng")), "xmp:TC260:AIGC");
    let signature = format!("Signature: {}", "Ab1+".repeat(20));
    let block = tiff(
        Order::Big,
        &[
            ascii(0x010e, signature.as_bytes()),
            ascii(0x013b, b"2b6e053b-9a65-4ca9-9e13-b6f4465164d4"),
        ],
        &[],
        &[],
    );
    cells.mark("xai-grok", "jpeg IFD0", exif_jpeg(&block), "exif:IFD0:ImageDescription");
    let block = tiff(Order::Big, &[ascii(0x010f, b"Ideogram AI")], &[], &[]);
    cells.mark("ideogram", "jpeg IFD0", exif_jpeg(&block), "exif:IFD0:Make");
    let trained = xmp_packet(
        "xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\" Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\"",
        "",
    );
    let slot = "xmp:Iptc4xmpExt:DigitalSourceType";
    cells.mark("nobody", "png XMP source type", xmp_png(&trained), slot);
    cells.mark("nobody", "jpeg XMP source type", xmp_jpeg(&trained), slot);

    let nothing = |expected: &mut Expected| {
        expected.status = MetadataStatus::None;
        (expected.prompt, expected.negative, expected.seed) = (None, None, None);
    };
    let caption = Made::Beside(
        bare_png(),
        SidecarKind::Text,
        "1girl, solo, red fox, mood: calm".to_owned(),
    );
    cells.add("nobody", "png caption sidecar", caption, "", nothing);
    let block = tiff(
        Order::Big,
        &[ascii(0x010f, b"Canon"), ascii(0x0110, b"Canon EOS 6D")],
        &[],
        &[],
    );
    cells.add("nobody", "jpeg photograph", Made::File(exif_jpeg(&block)), "", nothing);
}
