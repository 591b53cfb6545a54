//! From a sampler back along its model (and CLIP) links: the checkpoint, the LoRAs on the way, the
//! CLIP skip.

use super::graph::{Graph, Input, Link, Node, Visited, is_pipe};
use super::strings::{switch_sides, text_of, value_of};
use crate::metadata::json::Value;
use crate::record::Lora;

/// Where the model of a sampler comes from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelPath {
    /// Checkpoint or diffusion model.
    pub model: Option<String>,
    /// LoRAs, the one next to the checkpoint first.
    pub loras: Vec<Lora>,
}

/// Inputs that name a model file.
const MODEL_NAMES: &[&str] = &[
    "ckpt_name",
    "unet_name",
    "model_name",
    "base_ckpt_name",
    "gguf_name",
    "diffusion_name",
    "checkpoint",
    "model_path",
    "ckpt",
    "model",
];

/// Inputs that lead to the model before, the first of a merge first.
const MODEL_LINKS: &[&str] = &[
    "model",
    "model1",
    "model_a",
    "base_model",
    "unet",
    "model_opt",
    "opt_model",
    "transformer",
    "MODEL",
];

/// Follows the model of sampler `index`.
pub fn path_of(graph: &Graph<'_>, index: usize) -> ModelPath {
    let mut path = ModelPath::default();
    let mut visited = Visited::new(graph);
    let mut next = model_before(graph, &graph.nodes[index]);
    while let Some(link) = next {
        if !visited.insert(link.node) || !graph.step() {
            break;
        }
        let node = graph.source(link);
        // Back to front: the last LoRA of the chain is met first.
        let mut loras = loras_of(graph, node);
        loras.append(&mut path.loras);
        path.loras = loras;
        let is_lora_node = node.class_has("lora") && node.links().any(|(name, _)| MODEL_LINKS.contains(&name));
        if !is_lora_node && path.model.is_none() {
            path.model = model_name(graph, node);
        }
        next = if path.model.is_some() {
            None
        } else {
            model_before(graph, node)
        };
    }
    if path.model.is_none() {
        // Nodes that do everything name their model themselves.
        path.model = model_name(graph, &graph.nodes[index]);
    }
    path
}

fn model_name(graph: &Graph<'_>, node: &Node<'_>) -> Option<String> {
    let name = MODEL_NAMES
        .iter()
        .filter(|name| matches!(node.input(name), Some(Input::Value(_))))
        .find_map(|name| node.text(name));
    let linked = || {
        ["ckpt_name", "unet_name", "model_name"]
            .iter()
            .filter(|name| node.link(name).is_some())
            .find_map(|name| text_of(graph, node, name))
    };
    let name = name.map(str::to_owned).or_else(|| linked().map(|text| text.text));
    name.filter(|name| !name.is_empty() && name != "None")
}

/// The link by which a model reaches a node.
fn model_before(graph: &Graph<'_>, node: &Node<'_>) -> Option<Link> {
    if let Some((chosen, _)) = switch_sides(graph, node)
        && let Some(link) = node.link(chosen)
    {
        return Some(link);
    }
    let by_name = || {
        node.first_link(MODEL_LINKS).or_else(|| {
            node.links()
                .find(|(name, _)| name.starts_with("model"))
                .map(|(_, link)| link)
        })
    };
    let by_guider = || node.link("guider");
    let by_pipe = || node.links().find(|(name, _)| is_pipe(name)).map(|(_, link)| link);
    let only = || {
        let mut links = node.links();
        links.next().map(|(_, link)| link).filter(|_| links.next().is_none())
    };
    by_name().or_else(by_guider).or_else(by_pipe).or_else(only)
}

/// The LoRAs that one node applies, in its order.
fn loras_of(graph: &Graph<'_>, node: &Node<'_>) -> Vec<Lora> {
    let mut loras = Vec::new();
    if let Some(stack) = node.link("lora_stack").or_else(|| node.link("optional_lora_stack")) {
        loras.extend(stack_of(graph, stack));
    }
    loras.extend(own_loras(graph, node));
    loras
}

fn own_loras(graph: &Graph<'_>, node: &Node<'_>) -> Vec<Lora> {
    let mut loras = Vec::new();
    let mut add = |name: &str, weight: Option<f64>| {
        if !name.is_empty() && name != "None" {
            loras.push(Lora {
                name: name.to_owned(),
                weight,
                hash: None,
            });
        }
    };
    let count = value_of(graph, node, "lora_count")
        .filter(|_| node.has("lora_count"))
        .and_then(Value::as_u64);
    for (key, input) in node.inputs {
        let Input::Value(value) = input else {
            if *key == "lora_name"
                && let Some(name) = text_of(graph, node, key)
            {
                add(&name.text, weight_of(graph, node, ""));
            }
            continue;
        };
        if let Some(name) = value.get("lora").and_then(Value::as_str) {
            // rgthree's Power Lora Loader: an object a LoRA, with its switch.
            if value.get("on").and_then(Value::as_bool) != Some(false) {
                add(name, value.get("strength").and_then(Value::as_f64));
            }
        } else if let (Some(suffix), Some(name)) = (key.strip_prefix("lora_name"), value.as_str()) {
            let number = suffix.trim_start_matches('_');
            let beyond = number
                .parse::<u64>()
                .ok()
                .zip(count)
                .is_some_and(|(number, count)| number > count);
            let off = node
                .text(&format!("switch{suffix}"))
                .is_some_and(|switch| switch.eq_ignore_ascii_case("off"));
            if !beyond && !off {
                add(name, weight_of(graph, node, number));
            }
        } else if key.starts_with("lora_")
            && key[5..].bytes().all(|byte| byte.is_ascii_digit())
            && value.as_str().is_some()
        {
            add(value.as_str().unwrap_or_default(), weight_of(graph, node, &key[5..]));
        }
    }
    loras
}

/// The weight of a node's LoRA; `number` is empty where it has only one.
fn weight_of(graph: &Graph<'_>, node: &Node<'_>, number: &str) -> Option<f64> {
    const NAMES: &[&str] = &[
        "strength_model",
        "lora_model_strength",
        "model_weight",
        "model_str",
        "lora_wt",
        "strength",
        "lora_weight",
        "weight",
    ];
    NAMES.iter().find_map(|name| {
        let key = if number.is_empty() {
            (*name).to_owned()
        } else {
            format!("{name}_{number}")
        };
        if node.has(&key) {
            value_of(graph, node, &key).and_then(Value::as_f64)
        } else {
            None
        }
    })
}

/// The LoRAs of stacker nodes, the first of the stack first.
fn stack_of(graph: &Graph<'_>, stack: Link) -> Vec<Lora> {
    let mut loras = Vec::new();
    let mut visited = Visited::new(graph);
    let mut next = Some(stack);
    while let Some(link) = next {
        if !visited.insert(link.node) || !graph.step() {
            break;
        }
        let node = graph.source(link);
        let mut own = own_loras(graph, node);
        own.append(&mut loras);
        loras = own;
        next = node.first_link(&["lora_stack", "optional_lora_stack"]);
    }
    loras
}

/// The CLIP skip that reaches an encoder, as a positive number.
pub fn clip_skip(graph: &Graph<'_>, encoder: usize) -> Option<u32> {
    let mut visited = Visited::new(graph);
    let mut at = encoder;
    while visited.insert(at) && graph.step() {
        let node = &graph.nodes[at];
        let layer = ["stop_at_clip_layer", "clip_skip"]
            .iter()
            .filter(|name| node.has(name))
            .find_map(|name| value_of(graph, node, name));
        if let Some(Value::Number(layer)) = layer {
            return layer.trim_start_matches('-').parse().ok();
        }
        at = node.first_link(&["clip", "opt_clip", "CLIP"])?.node;
    }
    None
}

/// The VAE that decodes the picture, where a node loads it by name.
pub fn vae(graph: &Graph<'_>) -> Option<String> {
    let decoders = graph.nodes.iter().filter(|node| node.class_has("vaedecode"));
    decoders
        .filter_map(|node| node.link("vae"))
        .take(8)
        .find_map(|link| graph.source(link).text("vae_name").map(str::to_owned))
}
