//! The UI graph (`workflow`): nodes with positional widget values, a table of links, subgraphs,
//! muted and bypassed nodes. Brought to the form of the API graph as far as that is possible
//! without the node packs' own definitions, which is why prompts found here are heuristic.

use std::collections::HashMap;

use super::graph::{Graph, Input, Link, MAX_NODES, NamedInput, Node};
use super::widgets::named_widgets;
use crate::metadata::json::{Arena, Value};

/// Deepest nesting of subgraphs.
const MAX_SCOPES_DEEP: usize = 8;
/// Longest way through reroutes, bypassed nodes and subgraph borders.
const MAX_HOPS: usize = 256;
/// Origin of links that come from outside a subgraph, and target of those that leave it.
const SUBGRAPH_INPUT: &str = "-10";
const SUBGRAPH_OUTPUT: &str = "-20";

/// Whether an object is a UI graph.
pub fn is_ui_graph(object: &Value<'_>) -> bool {
    object
        .get("nodes")
        .is_some_and(|nodes| matches!(nodes, Value::Array(_)))
        && (object.has("links") || object.has("last_node_id") || object.has("version"))
        && object
            .get("nodes")
            .is_some_and(|nodes| nodes.items().iter().all(|node| node.has("type")))
}

/// One table of links: origin by link id.
type Origins<'a> = HashMap<&'a str, (&'a str, usize)>;

/// The root graph or one use of a subgraph.
struct Scope<'a> {
    origins: Origins<'a>,
    /// What leaves a subgraph: link ids by output slot.
    leaving: HashMap<usize, &'a str>,
    /// Indices into `Flattener::raw` by node id.
    nodes: HashMap<&'a str, usize>,
    /// For a subgraph: its definition, and the node that stands for it.
    outer: Option<(&'a Value<'a>, usize)>,
    prefix: String,
}

/// A node as the file has it.
struct RawNode<'a> {
    scope: usize,
    value: &'a Value<'a>,
    /// For a node that stands for a subgraph: its inner scope.
    inner: Option<usize>,
}

/// What an input's link leads to.
enum Resolved<'a> {
    Output(usize, usize),
    Value(&'a Value<'a>),
    Nothing,
}

/// Reads a UI graph into `arena`; `None` where it holds no node.
pub fn from_ui<'a>(object: &'a Value<'a>, arena: &'a Arena) -> Option<Graph<'a>> {
    let mut flattener = Flattener {
        arena,
        raw: Vec::new(),
        scopes: Vec::new(),
        definitions: definitions(object),
    };
    flattener.add_scope(object, None, 0);
    let graph = flattener.graph();
    (!graph.nodes.is_empty()).then_some(graph)
}

/// Subgraph definitions by id.
fn definitions<'a>(object: &'a Value<'a>) -> HashMap<&'a str, &'a Value<'a>> {
    let list = object
        .get("definitions")
        .and_then(|definitions| definitions.get("subgraphs"));
    let list = list.map(Value::items).unwrap_or_default();
    list.iter()
        .filter_map(|graph| Some((graph.get("id")?.as_str()?, graph)))
        .collect()
}

/// An id, which is a number or a string, as text.
fn id_text<'a>(value: &Value<'a>) -> &'a str {
    match value {
        Value::String(text) | Value::Number(text) => text,
        _ => "",
    }
}

struct Flattener<'a> {
    arena: &'a Arena,
    raw: Vec<RawNode<'a>>,
    scopes: Vec<Scope<'a>>,
    definitions: HashMap<&'a str, &'a Value<'a>>,
}

impl<'a> Flattener<'a> {
    /// Takes in a graph's nodes and links, and those of the subgraphs it uses.
    fn add_scope(&mut self, graph: &'a Value<'a>, outer: Option<usize>, depth: usize) -> usize {
        let index = self.scopes.len();
        let prefix = outer.map_or_else(String::new, |node| {
            let raw = &self.raw[node];
            format!(
                "{}{}:",
                self.scopes[raw.scope].prefix,
                raw.value.get("id").map(id_text).unwrap_or_default()
            )
        });
        let (origins, leaving) = link_tables(graph);
        self.scopes.push(Scope {
            origins,
            leaving,
            nodes: HashMap::new(),
            outer: outer.map(|node| (graph, node)),
            prefix,
        });
        let nodes = graph.get("nodes").map(Value::items).unwrap_or_default();
        for value in nodes {
            if self.raw.len() >= MAX_NODES {
                break;
            }
            let at = self.raw.len();
            self.raw.push(RawNode {
                scope: index,
                value,
                inner: None,
            });
            if let Some(id) = value.get("id") {
                self.scopes[index].nodes.insert(id_text(id), at);
            }
            let class = value.get("type").and_then(Value::as_str).unwrap_or_default();
            if let Some(definition) = self.definitions.get(class).copied()
                && depth < MAX_SCOPES_DEEP
            {
                let inner = self.add_scope(definition, Some(at), depth + 1);
                self.raw[at].inner = Some(inner);
            }
        }
        index
    }

    /// The nodes that compute something, with their inputs resolved.
    fn graph(&self) -> Graph<'a> {
        let mut index = vec![usize::MAX; self.raw.len()];
        let mut count = 0;
        for (at, raw) in self.raw.iter().enumerate() {
            if raw.inner.is_none() && !is_virtual(raw.value) && mode(raw.value) == Mode::Active {
                index[at] = count;
                count += 1;
            }
        }
        let kept = self.raw.iter().enumerate().filter(|(at, _)| index[*at] != usize::MAX);
        let nodes = kept.map(|(_, raw)| {
            let id = raw.value.get("id").map(id_text).unwrap_or_default();
            Node::new(
                self.arena.alloc_str(&format!("{}{id}", self.scopes[raw.scope].prefix)),
                raw.value.get("type").and_then(Value::as_str).unwrap_or_default(),
                self.arena.alloc_slice_copy(&self.inputs(raw, &index)),
            )
        });
        Graph::new(nodes.collect())
    }

    fn inputs(&self, raw: &RawNode<'a>, index: &[usize]) -> Vec<NamedInput<'a>> {
        let mut widgets = named_widgets(raw.value, self.arena);
        let mut inputs = Vec::new();
        for input in raw.value.get("inputs").map(Value::items).unwrap_or_default() {
            let name = input.get("name").and_then(Value::as_str).unwrap_or_default();
            let typed = widgets
                .iter()
                .position(|(widget, _)| *widget == name)
                .map(|at| widgets.remove(at));
            let resolved = match input.get("link") {
                Some(link @ (Value::Number(_) | Value::String(_))) => self.resolve(raw.scope, id_text(link)),
                _ => match typed {
                    Some((_, value)) => Resolved::Value(value),
                    None => continue,
                },
            };
            let input = match resolved {
                Resolved::Output(node, slot) if index[node] != usize::MAX => Input::Link(Link {
                    node: index[node],
                    slot,
                }),
                Resolved::Value(value) => Input::Value(value),
                Resolved::Output(..) | Resolved::Nothing => Input::Dangling,
            };
            inputs.push((name, input));
        }
        inputs.extend(widgets.into_iter().map(|(name, value)| (name, Input::Value(value))));
        inputs
    }

    /// Where a link comes from, past everything that only hands it on.
    fn resolve(&self, scope: usize, link: &'a str) -> Resolved<'a> {
        let mut scope = scope;
        let mut link = link;
        for _ in 0..MAX_HOPS {
            let Some((origin, slot)) = self.scopes[scope].origins.get(&link) else {
                return Resolved::Nothing;
            };
            let next = if *origin == SUBGRAPH_INPUT {
                self.outside(scope, *slot)
            } else {
                match self.scopes[scope].nodes.get(origin) {
                    Some(&node) => self.through(node, *slot),
                    None => return Resolved::Nothing,
                }
            };
            match next {
                Hop::Link(next_scope, next_link) => (scope, link) = (next_scope, next_link),
                Hop::End(resolved) => return resolved,
            }
        }
        Resolved::Nothing
    }

    /// A subgraph's input: what feeds the node that stands for it, or that node's own widget.
    fn outside(&self, scope: usize, slot: usize) -> Hop<'a> {
        let Some((definition, node)) = self.scopes[scope].outer else {
            return Hop::End(Resolved::Nothing);
        };
        let name = definition
            .get("inputs")
            .and_then(|inputs| inputs.items().get(slot)?.get("name")?.as_str());
        let raw = &self.raw[node];
        let inputs = raw.value.get("inputs").map(Value::items).unwrap_or_default();
        let input = inputs
            .iter()
            .find(|input| input.get("name").and_then(Value::as_str) == name)
            .or_else(|| inputs.get(slot));
        if let Some(link @ (Value::Number(_) | Value::String(_))) = input.and_then(|input| input.get("link")) {
            return Hop::Link(raw.scope, id_text(link));
        }
        let value = named_widgets(raw.value, self.arena)
            .into_iter()
            .find(|(widget, _)| Some(*widget) == name);
        Hop::End(value.map_or(Resolved::Nothing, |(_, value)| Resolved::Value(value)))
    }

    /// One hop through a node, or the end where it computes something.
    fn through(&self, node: usize, slot: usize) -> Hop<'a> {
        let raw = &self.raw[node];
        let value = raw.value;
        let first_link = || link_of(value.get("inputs").and_then(|inputs| inputs.items().first()));
        let on = |link: Option<&'a str>| link.map_or(Hop::End(Resolved::Nothing), |link| Hop::Link(raw.scope, link));
        match mode(value) {
            Mode::Muted => return Hop::End(Resolved::Nothing),
            Mode::Bypassed => return on(bypass(value, slot)),
            Mode::Active => {}
        }
        if let Some(inner) = raw.inner {
            let link = self.scopes[inner].leaving.get(&slot).copied();
            return link.map_or(Hop::End(Resolved::Nothing), |link| Hop::Link(inner, link));
        }
        match value.get("type").and_then(Value::as_str).unwrap_or_default() {
            "Reroute" | "SetNode" => on(first_link()),
            "PrimitiveNode" => Hop::End(first_widget(value).map_or(Resolved::Nothing, Resolved::Value)),
            "GetNode" => on(self.set_node(raw.scope, first_widget(value))),
            _ => Hop::End(Resolved::Output(node, slot)),
        }
    }

    /// The link into the `SetNode` that shares its name with a `GetNode`.
    fn set_node(&self, scope: usize, name: Option<&Value<'_>>) -> Option<&'a str> {
        let name = name?.as_str()?;
        let is_it = |raw: &&RawNode<'a>| {
            raw.scope == scope
                && raw.value.get("type").and_then(Value::as_str) == Some("SetNode")
                && first_widget(raw.value).and_then(Value::as_str) == Some(name)
        };
        let found = self.raw.iter().find(is_it)?;
        link_of(found.value.get("inputs").and_then(|inputs| inputs.items().first()))
    }
}

/// One hop of a link.
enum Hop<'a> {
    Link(usize, &'a str),
    End(Resolved<'a>),
}

/// How a node takes part.
#[derive(PartialEq, Eq)]
enum Mode {
    Active,
    Muted,
    Bypassed,
}

fn mode(node: &Value<'_>) -> Mode {
    match node.get("mode").and_then(Value::as_u64) {
        Some(2) => Mode::Muted,
        Some(4) => Mode::Bypassed,
        _ => Mode::Active,
    }
}

/// Nodes that exist only on the screen.
fn is_virtual(node: &Value<'_>) -> bool {
    let class = node.get("type").and_then(Value::as_str).unwrap_or_default();
    matches!(
        class,
        "Note" | "MarkdownNote" | "Reroute" | "PrimitiveNode" | "GetNode" | "SetNode"
    )
}

fn first_widget<'a>(node: &'a Value<'a>) -> Option<&'a Value<'a>> {
    node.get("widgets_values").and_then(|values| values.items().first())
}

fn link_of<'a>(input: Option<&'a Value<'a>>) -> Option<&'a str> {
    match input?.get("link")? {
        link @ (Value::Number(_) | Value::String(_)) => Some(id_text(link)),
        _ => None,
    }
}

/// A bypassed node hands on the input of the output's type: the one at the same place, or the first.
fn bypass<'a>(node: &'a Value<'a>, slot: usize) -> Option<&'a str> {
    let inputs = node.get("inputs").map(Value::items).unwrap_or_default();
    let kind = node
        .get("outputs")
        .and_then(|outputs| outputs.items().get(slot))
        .and_then(|output| output.get("type"));
    let fits = |input: &&'a Value<'a>| input.get("type") == kind && link_of(Some(input)).is_some();
    let same_place = inputs.get(slot).filter(fits);
    link_of(same_place.or_else(|| inputs.iter().find(fits)))
}

/// Origins by link id, and the links that leave a subgraph by output slot. The root's rows are
/// arrays `[id, from, slot, to, slot, type]`, those of subgraphs objects.
fn link_tables<'a>(graph: &'a Value<'a>) -> (Origins<'a>, HashMap<usize, &'a str>) {
    let mut origins = HashMap::new();
    let mut leaving = HashMap::new();
    for row in graph.get("links").map(Value::items).unwrap_or_default() {
        let cell = |at: usize, name: &str| row.items().get(at).or_else(|| row.get(name));
        let slot = |at: usize, name: &str| {
            cell(at, name)
                .and_then(Value::as_u64)
                .and_then(|slot| usize::try_from(slot).ok())
        };
        let (Some(id), Some(origin)) = (cell(0, "id"), cell(1, "origin_id")) else {
            continue;
        };
        if cell(3, "target_id").is_some_and(|target| id_text(target) == SUBGRAPH_OUTPUT)
            && let Some(output) = slot(4, "target_slot")
        {
            leaving.insert(output, id_text(id));
        }
        origins.insert(id_text(id), (id_text(origin), slot(2, "origin_slot").unwrap_or(0)));
    }
    (origins, leaving)
}
