//! Samplers: how one is recognised (by its inputs, not by a table of names), which of them made
//! the picture, and the settings that reach it through noise, sigma, guider and latent nodes.

use std::collections::VecDeque;

use super::graph::{Graph, Link, Node, Visited, has_part, is_pipe};
use super::strings::{switch_sides, value_of};
use crate::metadata::json::Value;

/// Inputs through which one picture (or latent) goes on to the next node.
const PICTURE_INPUTS: &[&str] = &[
    "latent_image",
    "samples",
    "latent",
    "latents",
    "pixels",
    "image",
    "images",
    "upscaled_image",
    "init_latent",
    "source_image",
    "optional_latent_image",
];

/// Whether a node samples: it is fed conditioning and has a seed, a sampler or sigmas; or it has a
/// guider, which brings the conditioning.
pub fn is_sampler(node: &Node<'_>) -> bool {
    if node.link("guider").is_some() {
        return true;
    }
    let knobs = || {
        ["seed", "noise_seed", "sampler_name", "sigmas"]
            .iter()
            .any(|name| node.has(name))
            || node.link("noise").is_some()
    };
    let fed = || {
        ["positive", "base_positive", "conditioning", "text_embeds", "cond"]
            .iter()
            .any(|name| node.link(name).is_some())
    };
    let piped = || node.class_has("sampler") && node.links().any(|(name, _)| is_pipe(name));
    // Loaders and encoders may have a seed for their wildcards; they sample nothing.
    let prepares =
        || ((node.has("clip") || node.has("ckpt_name")) && !node.has("sampler_name")) || node.class_has("presampling");
    ((knobs() && fed() || piped()) && !prepares()) || is_whole_generator(node)
}

/// Nodes that call a service: text in, picture out, no conditioning between.
pub fn is_whole_generator(node: &Node<'_>) -> bool {
    let has_prompt = node.has("prompt") || node.has("positive_prompt");
    let has_seed = || node.has("seed") || node.has("noise_seed");
    let encodes = || node.has("clip") || node.class_has("encode") || node.class_has("prompt") || node.class_has("text");
    let writes_text = || {
        ["max_tokens", "max_new_tokens", "temperature", "system_prompt"]
            .iter()
            .any(|name| node.has(name))
    };
    let is_service = || {
        ["aspect_ratio", "resolution", "size", "width", "duration", "quality"]
            .iter()
            .any(|name| node.has(name))
    };
    has_prompt && has_seed() && is_service() && !encodes() && !writes_text()
}

/// The samplers that a graph's outputs lead back to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// For every output that reaches a sampler: the nearest one, by growing distance.
    pub nearest: Vec<usize>,
    /// Every sampler that any output depends on, in the order of the file.
    pub samplers: Vec<usize>,
}

/// Nodes for which room is made at once.
const USUAL_NODES: usize = 64;

/// Most outputs that are looked at; more only repeat each other.
const MAX_OUTPUTS: usize = 64;

/// Finds the samplers behind the saved pictures, or behind the previews where nothing is saved,
/// or behind whatever ends the graph.
pub fn origins(graph: &Graph<'_>) -> Origins {
    let is_save = |node: &Node<'_>| {
        ["save", "videocombine", "output"]
            .iter()
            .any(|part| node.class_has(part))
    };
    let is_preview = |node: &Node<'_>| node.class_has("preview");
    let tiers: [&dyn Fn() -> Vec<usize>; 3] = [
        &|| select(graph, |_, node| is_save(node)),
        &|| select(graph, |_, node| is_preview(node)),
        &|| {
            let consumed = consumed(graph);
            select(graph, |index, _| !consumed[index])
        },
    ];
    for tier in tiers {
        let mut found: Vec<(usize, usize)> = Vec::new();
        let mut samplers = Vec::new();
        let mut known = Visited::new(graph);
        for output in tier().into_iter().take(MAX_OUTPUTS) {
            let reached = samplers_behind(graph, output);
            if let Some(&nearest) = reached.first() {
                found.push(nearest);
            }
            samplers.extend(
                reached
                    .into_iter()
                    .map(|(_, index)| index)
                    .filter(|index| known.insert(*index)),
            );
        }
        if !found.is_empty() {
            found.sort_by_key(|(distance, _)| *distance);
            let mut nearest: Vec<usize> = found.into_iter().map(|(_, index)| index).collect();
            let mut known = Visited::new(graph);
            nearest.retain(|index| known.insert(*index));
            samplers.sort_unstable();
            return Origins { nearest, samplers };
        }
    }
    Origins::default()
}

/// Which nodes feed another.
fn consumed(graph: &Graph<'_>) -> Vec<bool> {
    let mut consumed = vec![false; graph.nodes.len()];
    for (_, link) in graph.nodes.iter().flat_map(Node::links) {
        consumed[link.node] = true;
    }
    consumed
}

fn select(graph: &Graph<'_>, wanted: impl Fn(usize, &Node<'_>) -> bool) -> Vec<usize> {
    let has_links = |node: &Node<'_>| node.links().next().is_some() || is_sampler(node);
    graph
        .nodes
        .iter()
        .enumerate()
        .filter(|(index, node)| wanted(*index, node) && has_links(node))
        .map(|(index, _)| index)
        .collect()
}

/// The samplers behind a node, nearest first, each with its distance.
fn samplers_behind(graph: &Graph<'_>, output: usize) -> Vec<(usize, usize)> {
    let mut visited = Visited::from(graph, output);
    let mut pending = VecDeque::with_capacity(graph.nodes.len().min(USUAL_NODES));
    pending.push_back((0, output));
    let mut found = Vec::new();
    while let Some((distance, index)) = pending.pop_front() {
        if !graph.step() {
            break;
        }
        let node = &graph.nodes[index];
        if is_sampler(node) {
            found.push((distance, index));
        }
        let chosen = switch_sides(graph, node).and_then(|(name, _)| node.link(name));
        for link in node
            .links()
            .map(|(_, link)| link)
            .filter(|link| chosen.is_none_or(|chosen| chosen == *link))
        {
            if visited.insert(link.node) {
                pending.push_back((distance + 1, link.node));
            }
        }
    }
    found
}

/// The first sampler of the chain that ends in `last`: a hires pass or a refiner only reworks what
/// the base made. Stops where several pictures are put together, and at a sampler that starts
/// from full noise.
pub fn base_of(graph: &Graph<'_>, last: usize) -> usize {
    let mut base = last;
    let mut at = last;
    let mut visited = Visited::from(graph, last);
    while !(is_sampler(&graph.nodes[at]) && replaces_picture(graph, at)) {
        let Some(link) = picture_before(graph, &graph.nodes[at]) else {
            break;
        };
        if !visited.insert(link.node) || !graph.step() {
            break;
        }
        at = link.node;
        if is_sampler(&graph.nodes[at]) {
            base = at;
        }
    }
    base
}

/// The one link by which a picture reaches a node.
fn picture_before(graph: &Graph<'_>, node: &Node<'_>) -> Option<Link> {
    if let Some((chosen, _)) = switch_sides(graph, node) {
        return node.link(chosen);
    }
    let mut links = PICTURE_INPUTS.iter().filter_map(|name| node.link(name));
    if let Some(first) = links.next() {
        return Some(first);
    }
    let mut all = node.links();
    let (_, only) = all.next()?;
    // Reroutes and the like have one input, whatever it is called.
    (all.next().is_none() && node.class_has("reroute")).then_some(only)
}

/// Whether a sampler makes its picture anew whatever latent it is given: full denoise, no mask.
fn replaces_picture(graph: &Graph<'_>, index: usize) -> bool {
    let node = &graph.nodes[index];
    let full = value_of(graph, node, "denoise")
        .and_then(Value::as_f64)
        .is_some_and(|denoise| denoise >= 1.0);
    let Some(latent) = picture_before(graph, node) else {
        return full;
    };
    let masked = graph.source(latent).links().any(|(name, _)| has_part(name, b"mask"));
    full && !masked && !node.links().any(|(name, _)| has_part(name, b"mask"))
}

/// The settings that reach one sampler.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SamplerSettings {
    /// Seed, exact; none where it is negative.
    pub seed: Option<u64>,
    /// Steps.
    pub steps: Option<u32>,
    /// CFG scale.
    pub cfg_scale: Option<f64>,
    /// Sampler.
    pub sampler: Option<String>,
    /// Scheduler.
    pub scheduler: Option<String>,
    /// Denoising strength.
    pub denoise: Option<f64>,
    /// Size of the latent that the sampler starts from.
    pub size: Option<(u32, u32)>,
}

/// Reads the settings of sampler `index`.
pub fn settings(graph: &Graph<'_>, index: usize) -> SamplerSettings {
    let node = &graph.nodes[index];
    let number = |name: &str| find(graph, index, &["noise"], &[name]).and_then(Value::as_u64);
    SamplerSettings {
        seed: number("noise_seed").or_else(|| number("seed")),
        steps: find(graph, index, &["sigmas"], &["steps"])
            .and_then(Value::as_u64)
            .and_then(|steps| steps.try_into().ok()),
        cfg_scale: find(graph, index, &["guider"], &["cfg", "cfg_conds", "cfg_scale"]).and_then(Value::as_f64),
        sampler: find(graph, index, &["sampler"], &["sampler_name"])
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| sampler_by_class(graph, node)),
        scheduler: find(graph, index, &["sigmas"], &["scheduler"])
            .and_then(Value::as_str)
            .map(str::to_owned),
        denoise: find(graph, index, &["sigmas"], &["denoise", "denoise_strength"]).and_then(Value::as_f64),
        size: latent_size(graph, index),
    }
}

/// Looks for one of `names` at the sampler, then back through the inputs `through` and pipes.
fn find<'g, 'a>(graph: &'g Graph<'a>, index: usize, through: &[&str], names: &[&str]) -> Option<&'g Value<'a>> {
    let mut visited = Visited::from(graph, index);
    let mut pending = VecDeque::new();
    let mut at = index;
    while graph.step() {
        let node = &graph.nodes[at];
        if let Some(value) = names.iter().find_map(|name| value_of(graph, node, name)) {
            return Some(value);
        }
        for (name, link) in node.links() {
            let leads = through.contains(&name) || is_pipe(name);
            // Behind the first node every link but the model's is worth a look (sigma splitters …).
            let behind = at != index
                && !matches!(
                    name,
                    "model" | "clip" | "vae" | "positive" | "negative" | "conditioning" | "latent"
                );
            if (leads || behind) && visited.insert(link.node) {
                pending.push_back(link.node);
            }
        }
        at = pending.pop_front()?;
    }
    None
}

/// Sampler nodes without a list of names are named by their class (`SamplerLCMUpscale`).
fn sampler_by_class(graph: &Graph<'_>, node: &Node<'_>) -> Option<String> {
    let source = graph.source(node.link("sampler")?);
    source.class.starts_with("Sampler").then(|| source.class.to_string())
}

/// Width and height of the latent at the start of the sampler's chain.
fn latent_size(graph: &Graph<'_>, index: usize) -> Option<(u32, u32)> {
    let mut visited = Visited::from(graph, index);
    let mut at = index;
    loop {
        let node = &graph.nodes[at];
        if (at != index || is_whole_generator(node))
            && let Some(size) = own_size(graph, node)
        {
            return Some(size);
        }
        let next = picture_before(graph, node)
            .or_else(|| node.links().find(|(name, _)| is_pipe(name)).map(|(_, link)| link))?;
        if !visited.insert(next.node) || !graph.step() {
            return None;
        }
        at = next.node;
    }
}

fn own_size(graph: &Graph<'_>, node: &Node<'_>) -> Option<(u32, u32)> {
    let side = |names: [&str; 2]| {
        names
            .iter()
            .filter(|name| node.has(name))
            .find_map(|name| value_of(graph, node, name)?.as_u64())
    };
    if let (Some(width), Some(height)) = (
        side(["width", "empty_latent_width"]),
        side(["height", "empty_latent_height"]),
    ) {
        return Some((width.try_into().ok()?, height.try_into().ok()?));
    }
    ["dimensions", "resolution"]
        .iter()
        .find_map(|name| node.text(name).and_then(super::super::fields::size))
}
