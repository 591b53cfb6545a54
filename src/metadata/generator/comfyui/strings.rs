//! What a string or number input comes to: typed text, or text that other nodes make of text
//! (concatenation, switches, wildcards, cached output of a run).

use super::graph::{Graph, Input, Link, Node};
use crate::metadata::json::{Value, name_mark};

/// Deepest chain of text nodes that is followed.
const MAX_DEPTH: usize = 64;
/// Longest text in bytes that text nodes may build; a prompt is some thousand.
const MAX_TEXT: usize = 1 << 20;

/// What following one link to a text node costs, as if so many bytes were copied.
const LINK_COST_BYTES: usize = 4096;

/// How a text was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Read or computed as ComfyUI does.
    Exact,
    /// Some node on the way does what cannot be computed here (a language model, a regex).
    Opaque,
}

/// A resolved text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// How it was come by.
    pub certainty: Certainty,
}

impl Text {
    fn exact(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            certainty: Certainty::Exact,
        }
    }

    fn opaque(self) -> Self {
        Self {
            certainty: Certainty::Opaque,
            ..self
        }
    }
}

/// Inputs that hold a node's one text, best first.
const TEXT_KEYS: &[&str] = &[
    "value",
    "text",
    "string",
    "prompt",
    "Text",
    "String",
    "text_0",
    "source",
    "positive",
    "wildcard_text",
    "input",
    "text_positive",
    "positive_prompt",
    "string_field",
    "input_string",
    "input_text",
    "text1",
    "text_1",
    "string1",
    "string_1",
    "text_a",
    "string_a",
    "prompt1",
    "any_01",
    "any_1",
    "anything",
    "input1",
    "",
];

/// Inputs of nodes that hand on one of two inputs, by the side that a boolean picks.
const SWITCHES: &[(&str, &str, &str)] = &[
    ("switch", "on_true", "on_false"),
    ("boolean", "on_true", "on_false"),
    ("boolean", "true", "false"),
    ("boolean_value", "on_true", "on_false"),
    ("condition", "if_true", "if_false"),
    ("cond", "tt_value", "ff_value"),
    ("boolean", "true_value", "false_value"),
];

/// Inputs of nodes that hand on one of several inputs by its number.
const SELECTORS: &[&str] = &["select", "Input", "index"];

/// The marks of the inputs by which switches are told.
const SWITCH_MARKS: u64 = {
    let (mut marks, mut at) = (0, 0);
    while at < SWITCHES.len() {
        marks |= name_mark(SWITCHES[at].0);
        at += 1;
    }
    at = 0;
    while at < SELECTORS.len() {
        marks |= name_mark(SELECTORS[at]);
        at += 1;
    }
    marks
};

/// The text that input `name` of `node` comes to.
pub fn text_of(graph: &Graph<'_>, node: &Node<'_>, name: &str) -> Option<Text> {
    resolve(graph, node.input(name)?, 0)
}

fn resolve(graph: &Graph<'_>, input: &Input<'_>, depth: usize) -> Option<Text> {
    match input {
        Input::Value(value) => value.as_str().filter(|text| graph.spend(text.len())).map(Text::exact),
        Input::Link(link) => resolve_link(graph, *link, depth + 1),
        Input::Dangling => None,
    }
}

fn resolve_link(graph: &Graph<'_>, link: Link, depth: usize) -> Option<Text> {
    // Dear, because nodes that join texts can ask for the same ones again and again.
    if depth > MAX_DEPTH || !graph.spend(LINK_COST_BYTES) {
        return None;
    }
    let _entered = graph.enter(link.node)?;
    let node = graph.source(link);
    let resolve_named = |name: &str| node.input(name).and_then(|input| resolve(graph, input, depth));
    if let Some(text) = populated(node) {
        return Some(text);
    }
    if is_language_model(node) {
        return resolve_keys(graph, node, link.slot, depth).map(Text::opaque);
    }
    if let Some((chosen, other)) = switch_sides_at(graph, node, depth) {
        let chosen = resolve_named(chosen);
        let is_exact = chosen.as_ref().is_some_and(|text| text.certainty == Certainty::Exact);
        // What a language model made is not in the file; what it was asked to improve may be.
        let plain = || {
            resolve_named(other)
                .filter(|text| text.certainty == Certainty::Exact)
                .map(Text::opaque)
        };
        return if is_exact { chosen } else { plain().or(chosen) };
    }
    if node.has("tidy_tags") {
        return string_function(graph, node, depth);
    }
    if joins_texts(node) {
        return join(graph, node, depth);
    }
    let text = resolve_keys(graph, node, link.slot, depth)?;
    Some(match node.class {
        "StringTrim" => trim(node, text),
        _ if node.has("find") && node.has("replace") && !node.class_has("regex") => replace(graph, node, text, depth),
        class if class.contains("Regex") || class.contains("Substring") => text.opaque(),
        _ => text,
    })
}

/// Text that a run left in the node: wildcards filled in, the output that a display node showed.
fn populated(node: &Node<'_>) -> Option<Text> {
    let cached = node.text("populated_text").or_else(|| {
        let shows = node.class_has("show") || node.class_has("display") || node.class_has("preview");
        let keys = ["text_0", "text2", "preview_text"];
        keys.iter()
            .filter(|_| shows)
            .find_map(|key| shown_text(node.value(key)?))
    });
    cached.filter(|text| !text.is_empty()).map(Text::exact)
}

/// A text that was shown; older workflows keep it in a list.
fn shown_text<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    value.as_str().or_else(|| value.items().first()?.as_str())
}

/// Nodes that have a language model write text: told by the knobs that only those have.
fn is_language_model(node: &Node<'_>) -> bool {
    const KNOBS: &[&str] = &[
        "max_new_tokens",
        "max_tokens",
        "temperature",
        "sampling_mode",
        "num_predict",
        "system_prompt",
    ];
    KNOBS.iter().any(|knob| node.has(knob))
}

/// The chosen input of a switch, and the other one.
pub fn switch_sides<'n>(graph: &Graph<'_>, node: &'n Node<'_>) -> Option<(&'n str, &'n str)> {
    switch_sides_at(graph, node, 0)
}

fn switch_sides_at<'n>(graph: &Graph<'_>, node: &'n Node<'_>, depth: usize) -> Option<(&'n str, &'n str)> {
    // Nearly every node is asked, and nearly none is one.
    if !node.may_have(SWITCH_MARKS) && !node.class_has("switch") {
        return None;
    }
    for (condition, on_true, on_false) in SWITCHES {
        if node.has(condition) && (node.has(on_true) || node.has(on_false)) {
            let truth = truth_of(value_at(graph, node, condition, depth + 1)?)?;
            let name = |wanted: &str| node.named(wanted).map_or("", |(name, _)| *name);
            return Some(if truth {
                (name(on_true), name(on_false))
            } else {
                (name(on_false), name(on_true))
            });
        }
    }
    index_switch(graph, node, depth).or_else(|| first_that_is_linked(node))
}

/// Switches without a selector (rgthree's) hand on the first of their numbered inputs.
fn first_that_is_linked<'n>(node: &'n Node<'_>) -> Option<(&'n str, &'n str)> {
    let is_numbered = |name: &&str| {
        let number = name.strip_prefix("any_").or_else(|| name.strip_prefix("ctx_"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut numbered = node.links().map(|(name, _)| name).filter(is_numbered);
    let first = numbered.next().filter(|_| node.class_has("switch"))?;
    Some((first, numbered.next().unwrap_or_default()))
}

/// Switches by number: `select` (from 1) or `index` (from 0) over `input1`, `text_1`, `value0` …
fn index_switch<'n>(graph: &Graph<'_>, node: &'n Node<'_>, depth: usize) -> Option<(&'n str, &'n str)> {
    let selector = SELECTORS.iter().find(|name| node.has(name))?;
    let chosen = value_at(graph, node, selector, depth + 1)?.as_u64()?;
    let ends_with_number = |name: &str| {
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        !name.starts_with(|c: char| c.is_ascii_digit()) && digits.parse() == Ok(chosen)
    };
    let found = node
        .inputs
        .iter()
        .find(|(name, _)| name != selector && ends_with_number(name))?;
    Some((found.0, ""))
}

fn truth_of(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => number.parse::<f64>().ok().map(|number| number != 0.0),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a node makes one text of several.
fn joins_texts(node: &Node<'_>) -> bool {
    let by_name = ["concat", "join", "combine", "append", "merge"]
        .iter()
        .any(|part| node.class_has(part));
    let by_knob = node.has("delimiter") || node.has("separator");
    (by_name || by_knob) && text_inputs(node).count() > 1
}

/// The inputs of a joining node that hold parts: everything textual but the knobs.
fn text_inputs<'n, 'a>(node: &'n Node<'a>) -> impl Iterator<Item = &'n Input<'a>> {
    const KNOBS: &[&str] = &[
        "delimiter",
        "separator",
        "clean_whitespace",
        "linebreak_addition",
        "mode",
        "action",
        "tidy_tags",
        "clip",
        "model",
    ];
    node.inputs
        .iter()
        .filter(|(name, input)| {
            let textual = match input {
                Input::Link(_) => true,
                Input::Value(value) => value.as_str().is_some(),
                Input::Dangling => false,
            };
            textual && !KNOBS.contains(name)
        })
        .map(|(_, input)| input)
}

/// The custom scripts' StringFunction: its last result is kept in the node; else its texts are
/// appended or replaced as it says.
fn string_function(graph: &Graph<'_>, node: &Node<'_>, depth: usize) -> Option<Text> {
    if let Some(result) = node.text("result").filter(|result| !result.is_empty()) {
        return Some(Text::exact(result));
    }
    let named = |name: &str| resolve(graph, node.input(name)?, depth).filter(|text| !text.text.is_empty());
    let parts = [named("text_a"), named("text_b"), named("text_c")];
    if node.text("action") == Some("replace") {
        let [text, find, with] = parts;
        return Some(substituted(text?, find, with));
    }
    let delimiter = if node.text("tidy_tags") == Some("no") { "" } else { ", " };
    joined(graph, parts.into_iter().flatten(), delimiter)
}

fn join(graph: &Graph<'_>, node: &Node<'_>, depth: usize) -> Option<Text> {
    let delimiter = ["delimiter", "separator"]
        .iter()
        .find_map(|name| resolve(graph, node.input(name)?, depth));
    let delimiter = delimiter.map_or_else(String::new, |text| text.text.replace("\\n", "\n"));
    // The core node joins empty parts too, node packs leave them out.
    let keeps_empty = node.class == "StringConcatenate";
    let parts = text_inputs(node).filter_map(|input| resolve(graph, input, depth));
    joined(
        graph,
        parts.filter(|part| keeps_empty || !part.text.is_empty()),
        &delimiter,
    )
}

/// Texts one behind the other, as far as the budget goes.
fn joined(graph: &Graph<'_>, parts: impl Iterator<Item = Text>, delimiter: &str) -> Option<Text> {
    let mut joined: Option<Text> = None;
    for part in parts {
        match &mut joined {
            None => joined = Some(part),
            Some(all) => {
                let bytes = delimiter.len() + part.text.len();
                if all.text.len() + bytes > MAX_TEXT || !graph.spend(bytes) {
                    all.certainty = Certainty::Opaque;
                    break;
                }
                all.text.push_str(delimiter);
                all.text.push_str(&part.text);
                all.certainty = all.certainty.max(part.certainty);
            }
        }
    }
    joined
}

/// The first text among the inputs that usually hold it, else the unnamed widget that does.
fn resolve_keys(graph: &Graph<'_>, node: &Node<'_>, slot: usize, depth: usize) -> Option<Text> {
    if let Some(text) = TEXT_KEYS.iter().find_map(|key| resolve(graph, node.input(key)?, depth)) {
        return Some(text);
    }
    let mut prose = node.inputs.iter().filter_map(|(name, input)| match input {
        Input::Value(value) if name.starts_with("widget_") => value.as_str().filter(|text| !is_file_name(text)),
        _ => None,
    });
    let first = prose.next()?;
    // Which widget feeds a further output is not known, unless there is only one.
    (slot == 0 || prose.next().is_none()).then(|| Text::exact(first))
}

/// Whether a widget's text names a picture or a model rather than saying something.
pub fn is_file_name(text: &str) -> bool {
    const ENDINGS: &[&str] = &[
        ".png",
        ".jpg",
        ".jpeg",
        ".webp",
        ".safetensors",
        ".ckpt",
        ".pt",
        ".pth",
        ".gguf",
        ".bin",
        ".mp4",
    ];
    let lower = text.to_ascii_lowercase();
    text.is_empty() || ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

fn trim(node: &Node<'_>, mut text: Text) -> Text {
    let trimmed = match node.text("mode") {
        Some("Left") => text.text.trim_start(),
        Some("Right") => text.text.trim_end(),
        _ => text.text.trim(),
    };
    text.text = trimmed.to_owned();
    text
}

fn replace(graph: &Graph<'_>, node: &Node<'_>, text: Text, depth: usize) -> Text {
    let named = |name: &str| resolve(graph, node.input(name)?, depth);
    substituted(text, named("find"), named("replace"))
}

fn substituted(text: Text, find: Option<Text>, with: Option<Text>) -> Text {
    let (Some(find), Some(with)) = (find, with) else {
        return text.opaque();
    };
    let grows = with.text.len() > find.text.len() && text.text.len() > MAX_TEXT / 64;
    if find.text.is_empty() || grows {
        return text;
    }
    Text {
        text: text.text.replace(&find.text, &with.text),
        certainty: text.certainty.max(find.certainty).max(with.certainty),
    }
}

/// The value that input `name` comes to, following links to value nodes.
pub fn value_of<'g, 'a>(graph: &'g Graph<'a>, node: &'g Node<'a>, name: &str) -> Option<&'g Value<'a>> {
    value_at(graph, node, name, 0)
}

fn value_at<'g, 'a>(graph: &'g Graph<'a>, node: &'g Node<'a>, name: &str, depth: usize) -> Option<&'g Value<'a>> {
    const VALUE_KEYS: &[&str] = &[
        "value",
        "Value",
        "number",
        "Number",
        "int",
        "float",
        "INT",
        "FLOAT",
        "seed",
        "noise_seed",
        "text",
        "string",
    ];
    if depth > MAX_DEPTH {
        return None;
    }
    let mut input = node.input(name)?;
    for _ in 0..MAX_DEPTH {
        let link = match input {
            Input::Value(value) => return Some(value),
            Input::Link(link) => *link,
            Input::Dangling => return None,
        };
        if !graph.step() {
            return None;
        }
        let source = graph.source(link);
        let by_switch = || switch_sides_at(graph, source, depth).and_then(|(chosen, _)| source.input(chosen));
        let by_key = || VALUE_KEYS.iter().find_map(|key| source.input(key));
        // Anything with more than one value computes, and what it computes is not known here.
        let is_plain = source.inputs.len() == 1;
        let by_widget = || {
            source
                .inputs
                .first()
                .filter(|(name, _)| is_plain && *name == "widget_0")
                .map(|(_, input)| input)
        };
        let only_link = || {
            source
                .inputs
                .first()
                .filter(|_| is_plain && source.class_has("reroute"))
                .map(|(_, input)| input)
        };
        input = source
            .input(name)
            .or_else(by_switch)
            .or_else(by_key)
            .or_else(by_widget)
            .or_else(only_link)?;
    }
    None
}
