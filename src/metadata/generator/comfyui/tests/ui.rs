//! UI graphs: positional widgets, reroutes, muted and bypassed nodes, subgraphs.

use super::super::*;
use crate::metadata::json;

fn ui(text: &str) -> Recovered {
    interpret_ui(&json::parse_leaking(text).expect("JSON").value, None, &Arena::new()).expect("a workflow")
}

/// Sampler 1, encoders 2 and 3, checkpoint 4, latent 5, save 6; the positive comes over link 10.
fn workflow(nodes: &str, links: &str) -> String {
    format!(
        r#"{{"last_node_id": 20, "version": 0.4, "nodes": [
        {{"id": 1, "type": "KSampler", "mode": 0, "inputs": [{{"name": "model", "type": "MODEL", "link": 13}}, {{"name": "positive", "type": "CONDITIONING", "link": 10}}, {{"name": "negative", "type": "CONDITIONING", "link": 11}}, {{"name": "latent_image", "type": "LATENT", "link": 12}}],
            "widgets_values": [18446744073709551615, "randomize", 20, 7.5, "euler", "karras", 1]}},
        {{"id": 3, "type": "CLIPTextEncode", "mode": 0, "inputs": [{{"name": "clip", "type": "CLIP", "link": null}}], "widgets_values": ["ugly"]}},
        {{"id": 4, "type": "CheckpointLoaderSimple", "mode": 0, "widgets_values": ["m.safetensors"]}},
        {{"id": 5, "type": "EmptyLatentImage", "mode": 0, "widgets_values": [512, 768, 1]}},
        {{"id": 6, "type": "SaveImage", "mode": 0, "inputs": [{{"name": "images", "type": "IMAGE", "link": 14}}], "widgets_values": ["ComfyUI"]}},
        {nodes}], "links": [[11, 3, 0, 1, 2, "CONDITIONING"], [12, 5, 0, 1, 3, "LATENT"], [13, 4, 0, 1, 0, "MODEL"], [14, 1, 0, 6, 0, "LATENT"], {links}]}}"#
    )
}

const ENCODER: &str = r#"{"id": 2, "type": "CLIPTextEncode", "mode": 0, "inputs": [{"name": "clip", "type": "CLIP", "link": null}], "widgets_values": ["a bird"]}"#;

#[track_caller]
fn must_find(text: &str, prompt: &str) -> Recovered {
    let recovered = ui(text);
    assert_eq!(recovered.prompt.as_deref(), Some(prompt));
    assert_eq!(
        (recovered.status, recovered.confidence),
        (MetadataStatus::WorkflowOnly, Some(Confidence::Heuristic))
    );
    recovered
}

#[test]
fn widgets_by_position() {
    let recovered = must_find(&workflow(ENCODER, r#"[10, 2, 0, 1, 1, "CONDITIONING"]"#), "a bird");
    assert_eq!(recovered.negative_prompt.as_deref(), Some("ugly"));
    let settings = &recovered.settings;
    assert_eq!(
        (settings.seed, settings.steps, settings.cfg_scale),
        (Some(u64::MAX), Some(20), Some(7.5))
    );
    assert_eq!(
        (
            settings.scheduler.as_deref(),
            settings.model.as_deref(),
            settings.height
        ),
        (Some("karras"), Some("m.safetensors"), Some(768))
    );
}

#[test]
fn reroutes_and_bypassed_nodes_hand_on() {
    let nodes = format!(
        r#"{ENCODER}, {{"id": 7, "type": "Reroute", "mode": 0, "inputs": [{{"name": "", "type": "*", "link": 20}}], "outputs": [{{"type": "CONDITIONING"}}]}},
        {{"id": 8, "type": "FluxGuidance", "mode": 4, "inputs": [{{"name": "conditioning", "type": "CONDITIONING", "link": 21}}], "outputs": [{{"type": "CONDITIONING"}}], "widgets_values": [3.5]}}"#
    );
    let links = r#"[20, 2, 0, 7, 0, "*"], [21, 7, 0, 8, 0, "CONDITIONING"], [10, 8, 0, 1, 1, "CONDITIONING"]"#;
    let recovered = must_find(&workflow(&nodes, links), "a bird");
    assert_eq!(recovered.settings.guidance, None, "the guidance node is bypassed");
}

#[test]
fn muted_nodes_are_not_there() {
    let nodes = ENCODER.replace("\"mode\": 0", "\"mode\": 2");
    let recovered = ui(&workflow(&nodes, r#"[10, 2, 0, 1, 1, "CONDITIONING"]"#));
    assert_eq!(
        (recovered.status, recovered.prompt),
        (MetadataStatus::WorkflowOnly, None)
    );
}

#[test]
fn converted_widgets_primitives_and_set_get() {
    let nodes = r#"{"id": 2, "type": "CLIPTextEncode", "mode": 0, "inputs": [{"name": "clip", "type": "CLIP", "link": null}, {"name": "text", "type": "STRING", "link": 20, "widget": {"name": "text"}}], "widgets_values": ["stale"]},
        {"id": 7, "type": "GetNode", "mode": 0, "widgets_values": ["prompt"]},
        {"id": 8, "type": "SetNode", "mode": 0, "inputs": [{"name": "*", "type": "STRING", "link": 21}], "widgets_values": ["prompt"]},
        {"id": 9, "type": "PrimitiveNode", "mode": 0, "outputs": [{"type": "STRING"}], "widgets_values": ["from a primitive", "fixed"]}"#;
    let links = r#"[20, 7, 0, 2, 1, "STRING"], [21, 9, 0, 8, 0, "STRING"], [10, 2, 0, 1, 1, "CONDITIONING"]"#;
    must_find(&workflow(nodes, links), "from a primitive");
}

#[test]
fn widgets_that_the_node_lists_itself() {
    let nodes = r#"{"id": 2, "type": "TextEncodeNewThing", "mode": 0, "inputs": [{"name": "clip", "type": "CLIP", "link": null}, {"name": "seed", "type": "INT", "widget": {"name": "seed"}, "link": null}, {"name": "prompt", "type": "STRING", "widget": {"name": "prompt"}, "link": null}], "widgets_values": [7, "fixed", "listed"]}"#;
    must_find(&workflow(nodes, r#"[10, 2, 0, 1, 1, "CONDITIONING"]"#), "listed");
}

#[test]
fn subgraphs() {
    let nodes = r#"{"id": 2, "type": "aaaa-bbbb", "mode": 0, "inputs": [{"name": "text", "type": "STRING", "link": 20}], "outputs": [{"name": "CONDITIONING"}]},
        {"id": 7, "type": "PrimitiveString", "mode": 0, "widgets_values": ["outside"]}"#;
    let links = r#"[20, 7, 0, 2, 0, "STRING"], [10, 2, 0, 1, 1, "CONDITIONING"]"#;
    let text = workflow(nodes, links);
    let definitions = r#", "definitions": {"subgraphs": [{"id": "aaaa-bbbb", "inputs": [{"name": "text"}], "outputs": [{"name": "CONDITIONING"}],
        "nodes": [{"id": 5, "type": "CLIPTextEncode", "mode": 0, "inputs": [{"name": "text", "type": "STRING", "link": 1, "widget": {"name": "text"}}], "widgets_values": ["inside"]}],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0}, {"id": 2, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0}]}]}}"#;
    let text = format!("{}{definitions}", text.trim_end().strip_suffix('}').unwrap());
    must_find(&text, "outside");
}

#[test]
fn empty_and_endless_workflows() {
    let recovered = ui(r#"{"nodes": [], "links": [], "version": 0.4}"#);
    assert_eq!(
        (recovered.status, recovered.prompt),
        (MetadataStatus::WorkflowOnly, None)
    );
    // A subgraph that holds itself, and reroutes in a ring.
    let text = r#"{"nodes": [{"id": 1, "type": "s"}, {"id": 2, "type": "Reroute", "inputs": [{"name": "", "link": 1}]}, {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "link": 1}]}],
        "links": [[1, 2, 0, 2, 0, "*"]], "definitions": {"subgraphs": [{"id": "s", "nodes": [{"id": 1, "type": "s"}, {"id": 2, "type": "s"}], "links": []}]}}"#;
    assert_eq!(ui(text).prompt, None);
}

#[test]
fn widgets_of_node_packs() {
    let recovered = ui(r#"{"nodes": [
            {"id": 1, "type": "Efficient Loader", "widgets_values": ["m.safetensors", "Baked VAE", -2, "None", 1, 1, "p", "n", "none", "comfy", 512, 768, 1]},
            {"id": 2, "type": "KSampler (Efficient)", "inputs": [{"name": "model", "link": 1}, {"name": "positive", "link": 2}, {"name": "negative", "link": 3}, {"name": "latent_image", "link": 4}], "widgets_values": [5, null, 20, 7, "euler", "normal", 1]},
            {"id": 3, "type": "SaveImage", "inputs": [{"name": "images", "link": 5}]}],
            "links": [[1, 1, 0, 2, 0, "M"], [2, 1, 1, 2, 1, "C"], [3, 1, 2, 2, 2, "C"], [4, 1, 3, 2, 3, "L"], [5, 2, 5, 3, 0, "I"]], "version": 0.4}"#);
    assert_eq!(
        (recovered.prompt.as_deref(), recovered.negative_prompt.as_deref()),
        (Some("p"), Some("n"))
    );
    assert_eq!(recovered.settings.steps, Some(20));
    let recovered = ui(r#"{"nodes": [
            {"id": 1, "type": "KSampler", "inputs": [{"name": "positive", "link": 1}], "widgets_values": [5, "fixed", 20, 7, "euler", "normal", 1]},
            {"id": 2, "type": "CLIPTextEncode", "inputs": [{"name": "text", "link": 2, "widget": {"name": "text"}}], "widgets_values": ["old"]},
            {"id": 3, "type": "ShowText|pysssss", "inputs": [{"name": "text", "link": 3}], "widgets_values": [["what was shown"]]},
            {"id": 4, "type": "SomeModel", "widgets_values": ["ask"]}],
            "links": [[1, 2, 0, 1, 0, "C"], [2, 3, 0, 2, 0, "S"], [3, 4, 0, 3, 0, "S"]], "version": 0.4}"#);
    assert_eq!(recovered.prompt.as_deref(), Some("what was shown"));
}
