//! From a sampler's conditioning input back to the texts that were encoded: through combining,
//! area, control and reference nodes, minding which output slot of a two-sided node a link uses.

use std::collections::HashSet;

use super::graph::{Graph, Input, Link, Node, Visited, has_part, is_pipe};
use super::sampler::is_whole_generator;
use super::strings::{self, Certainty};
use crate::metadata::json::Value;

/// Which prompt is looked for. Decides where a node carries both on one output (pipes, loaders).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What should be seen.
    Positive,
    /// What should not.
    Negative,
}

impl Side {
    /// The usual input of this side.
    fn input(self) -> &'static str {
        match self {
            Side::Positive => "positive",
            Side::Negative => "negative",
        }
    }
}

/// What one side of a sampler's conditioning is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conditioning {
    /// The encoded texts in the order in which they are combined, equal ones once.
    pub texts: Vec<String>,
    /// Some text came from a node that cannot be computed here.
    pub opaque: bool,
    /// An encoder or a zeroing node was found, so that no text means an empty prompt.
    pub found: bool,
    /// Guidance of distilled models that was set on the way.
    pub guidance: Option<f64>,
    /// The first encoder's node, to find the CLIP that it used.
    pub encoder: Option<usize>,
}

impl Conditioning {
    /// The texts as one prompt; `None` where nothing was found.
    pub fn prompt(&self) -> Option<String> {
        self.found.then(|| self.texts.join("\n"))
    }

    fn push(&mut self, text: strings::Text) {
        /// Most text of one side in bytes: encoders can ask for one long text again and again.
        const MAX_BYTES: usize = 2 << 20;
        self.opaque |= text.certainty == Certainty::Opaque;
        if text.text.len() + self.texts.iter().map(String::len).sum::<usize>() > MAX_BYTES {
            self.opaque = true;
            return;
        }
        if !text.text.trim().is_empty() && !self.texts.contains(&text.text) {
            self.texts.push(text.text);
        }
    }
}

/// Inputs of encoders that hold text, in the order in which they count.
const ENCODER_TEXTS: &[&str] = &[
    "text",
    "text_g",
    "text_l",
    "clip_l",
    "clip_g",
    "t5xxl",
    "llama",
    "prompt",
    "user_prompt",
    "text1",
    "text2",
    "wildcard_text",
];

/// Conditioning inputs of nodes that combine several, in the order in which they count.
const CONDITIONING_INPUTS: &[&str] = &[
    "conditioning",
    "conditioning_1",
    "conditioning_2",
    "conditioning_to",
    "conditioning_from",
    "cond",
    "cond1",
    "cond_1",
    "cond2",
    "cond_2",
    "conditioning1",
    "conditioning2",
    "text_embeds",
    "base_cond",
];

/// Inputs that never lead to a prompt.
const OTHER_INPUTS: &[&str] = &[
    "model",
    "clip",
    "vae",
    "image",
    "pixels",
    "latent",
    "samples",
    "mask",
    "control_net",
    "style_model",
    "clip_vision",
    "clip_vision_output",
    "noise",
    "sampler",
    "sigmas",
    "latent_image",
    "width",
    "height",
    "strength",
    "gligen_textbox_model",
    "switch",
];

/// Collects what feeds `link` on `side`.
pub fn collect(graph: &Graph<'_>, link: Link, side: Side) -> Conditioning {
    let mut result = Conditioning::default();
    let mut visited = HashSet::new();
    let mut pending = vec![link];
    while let Some(link) = pending.pop() {
        if !graph.step() {
            break;
        }
        if visited.insert(link) {
            let next = visit(graph, link, side, &mut result);
            pending.extend(next.into_iter().rev());
        }
    }
    result
}

/// Takes what one node adds and gives the links to go on with, first to last.
fn visit(graph: &Graph<'_>, link: Link, side: Side, result: &mut Conditioning) -> Vec<Link> {
    let node = graph.source(link);
    if node.class_has("zeroout") {
        result.found = true;
        return Vec::new();
    }
    if result.guidance.is_none() && side == Side::Positive {
        result.guidance = strings::value_of(graph, node, "guidance")
            .filter(|_| node.has("guidance"))
            .and_then(Value::as_f64);
    }
    if let Some(name) = side_input(node, link.slot, side) {
        return follow(graph, node, link.node, name, result);
    }
    if let Some((chosen, _)) = strings::switch_sides(graph, node) {
        return node.link(chosen).into_iter().collect();
    }
    take_texts(graph, node, link.node, side, result);
    let mut next: Vec<Link> = CONDITIONING_INPUTS.iter().filter_map(|name| node.link(name)).collect();
    if next.is_empty() && !is_encoder(node) {
        let leads_on = |name: &str| !OTHER_INPUTS.contains(&name) && !name.ends_with("_name");
        next = node
            .links()
            .filter(|(name, _)| leads_on(name))
            .map(|(_, link)| link)
            .collect();
    }
    next
}

/// For a node with both sides: the input that the output slot hands on.
fn side_input<'a>(node: &Node<'a>, slot: usize, side: Side) -> Option<&'a str> {
    let named = |wanted: &str| node.named(wanted).map(|(name, _)| *name);
    if let (Some(positive), Some(negative)) = (named("positive_prompt"), named("negative_prompt")) {
        return Some(if side == Side::Positive { positive } else { negative });
    }
    let (positive, negative) = (named("positive"), named("negative"));
    let carries_pipe = ["pipe", "context", "ctx", "bundle"]
        .iter()
        .any(|part| node.class_has(part))
        || node.links().any(|(name, _)| is_pipe(name));
    if carries_pipe {
        let own = if side == Side::Positive { positive } else { negative };
        let own_or_base = own.filter(|name| !matches!(node.input(name), Some(Input::Dangling)));
        return own_or_base.or_else(|| {
            ["base_ctx", "ctx", "pipe", "basic_pipe", "sdxl_pipe"]
                .iter()
                .find_map(|name| named(name))
        });
    }
    match (positive, negative) {
        (Some(positive), Some(negative)) => {
            // Loaders that take prompts put the model first and the two conditionings after it.
            let first_slot = usize::from(loads_model(node));
            let is_negative = match slot.checked_sub(first_slot) {
                Some(0) => false,
                Some(1) => true,
                _ => side == Side::Negative,
            };
            Some(if is_negative { negative } else { positive })
        }
        // One conditioning input among others: what comes out is that one, edited.
        (Some(only), None) | (None, Some(only)) if node.link(only).is_some() => Some(only),
        _ => None,
    }
}

fn loads_model(node: &Node<'_>) -> bool {
    node.has("ckpt_name") || node.has("base_ckpt_name")
}

/// Goes on from one input: a link is a conditioning or a text node, a value is the prompt itself.
fn follow(graph: &Graph<'_>, node: &Node<'_>, index: usize, name: &str, result: &mut Conditioning) -> Vec<Link> {
    match node.input(name) {
        Some(Input::Link(link)) if is_text_source(graph.source(*link)) => {
            if let Some(text) = strings::text_of(graph, node, name) {
                result.found = true;
                result.encoder.get_or_insert(index);
                result.push(text);
            }
            Vec::new()
        }
        Some(Input::Link(link)) => vec![*link],
        Some(Input::Value(value)) => {
            if let Some(text) = value.as_str() {
                result.found = true;
                result.encoder.get_or_insert(index);
                result.push(strings::Text {
                    text: text.to_owned(),
                    certainty: Certainty::Exact,
                });
            }
            Vec::new()
        }
        _ => Vec::new(),
    }
}

/// Whether a node gives text rather than conditioning: it has no CLIP to encode with and no
/// conditioning to hand on.
fn is_text_source(node: &Node<'_>) -> bool {
    let hands_on = node.links().any(|(name, _)| {
        has_part(name, b"clip")
            || has_part(name, b"cond")
            || matches!(name, "positive" | "negative" | "t5" | "bert" | "model")
    });
    let textual = ["string", "text", "primitive", "prompt", "wildcard"]
        .iter()
        .any(|part| node.class_has(part));
    !hands_on && textual && !node.class_has("encode")
}

/// Whether a node has a text of its own.
fn is_encoder(node: &Node<'_>) -> bool {
    ENCODER_TEXTS.iter().any(|name| node.has(name)) || node.has("widget_0") && node.class_has("encode")
}

/// Adds the texts that a node encodes.
fn take_texts(graph: &Graph<'_>, node: &Node<'_>, index: usize, side: Side, result: &mut Conditioning) {
    if let Some(text) = node.text("populated_text").filter(|text| !text.is_empty()) {
        result.found = true;
        result.push(strings::Text {
            text: text.to_owned(),
            certainty: Certainty::Exact,
        });
        return;
    }
    // Nodes that style a prompt take both sides as text and encode them apart.
    let styled = if side == Side::Positive {
        "text_positive"
    } else {
        "text_negative"
    };
    let names = ENCODER_TEXTS.iter().copied().chain([styled]);
    for name in names.filter(|name| node.has(name)) {
        if let Some(text) = strings::text_of(graph, node, name) {
            result.found = true;
            result.encoder.get_or_insert(index);
            result.push(text);
        }
    }
    if !result.found && is_encoder(node) {
        let widget = node.inputs.iter().find_map(|(name, input)| match input {
            Input::Value(value) if name.starts_with("widget_") => {
                value.as_str().filter(|text| !strings::is_file_name(text))
            }
            _ => None,
        });
        if let Some(text) = widget {
            result.found = true;
            result.encoder.get_or_insert(index);
            result.push(strings::Text {
                text: text.to_owned(),
                certainty: Certainty::Exact,
            });
        }
    }
}

/// The conditioning that reaches a sampler (or its guider) on `side`.
pub fn of_sampler(graph: &Graph<'_>, node: &Node<'_>, index: usize, side: Side) -> Conditioning {
    const POSITIVE: &[&str] = &[
        "positive",
        "cond1",
        "conditioning",
        "base_positive",
        "text_embeds",
        "cond",
        "cond_pos",
        "pos",
    ];
    const NEGATIVE: &[&str] = &[
        "negative",
        "base_negative",
        "neg_conditioning",
        "text_embeds",
        "uncond",
        "cond_neg",
        "neg",
    ];
    let names = if side == Side::Positive { POSITIVE } else { NEGATIVE };
    for name in names {
        match node.input(name) {
            Some(Input::Link(link)) => {
                let mut result = Conditioning::default();
                let next = follow(graph, node, index, name, &mut result);
                return if next.is_empty() {
                    result
                } else {
                    collect(graph, *link, side)
                };
            }
            Some(Input::Value(value)) if value.as_str().is_some() => {
                let mut result = Conditioning::default();
                follow(graph, node, index, name, &mut result);
                return result;
            }
            _ => {}
        }
    }
    if let Some(guider) = node.link("guider") {
        return of_sampler(graph, graph.source(guider), guider.node, side);
    }
    if is_whole_generator(node) {
        return of_whole_generator(graph, node, index, side);
    }
    match node.links().find(|(name, _)| is_pipe(name)) {
        Some((_, pipe)) => along_pipe(graph, pipe, side),
        None => Conditioning::default(),
    }
}

/// The prompt of a node that goes from text to picture by itself.
fn of_whole_generator(graph: &Graph<'_>, node: &Node<'_>, index: usize, side: Side) -> Conditioning {
    let names = match side {
        Side::Positive => ["positive_prompt", "prompt"],
        Side::Negative => ["negative_prompt", "negative"],
    };
    let mut result = Conditioning::default();
    if let Some(name) = names.iter().find(|name| node.has(name))
        && let Some(text) = strings::text_of(graph, node, name)
    {
        result.found = true;
        result.encoder.get_or_insert(index);
        result.push(text);
    }
    result
}

/// Follows a pipe upstream to the node that put the conditioning (or the prompt) into it.
fn along_pipe(graph: &Graph<'_>, mut pipe: Link, side: Side) -> Conditioning {
    let mut visited = Visited::new(graph);
    while visited.insert(pipe.node) && graph.step() {
        let node = graph.source(pipe);
        if matches!(node.input(side.input()), Some(Input::Link(_) | Input::Value(_))) {
            let mut result = Conditioning::default();
            let next = follow(graph, node, pipe.node, side.input(), &mut result);
            return next.first().map_or(result, |link| collect(graph, *link, side));
        }
        match node.links().find(|(name, _)| is_pipe(name)) {
            Some((_, next)) => pipe = next,
            None => break,
        }
    }
    Conditioning::default()
}
