//! The one shape that both of ComfyUI's forms are brought to: nodes with named inputs, each a
//! value or a link to a node's output slot. The API graph (what ran) is read here, the UI graph in
//! `workflow`.

use std::cell::{Cell, RefCell};

use crate::metadata::json::{Arena, Value, name_mark};

/// Most nodes of one graph; the largest workflows seen hold a few thousand.
pub const MAX_NODES: usize = 50_000;

/// Steps that one walk over a graph may take, whatever it looks like.
const MAX_STEPS: u32 = 400_000;

/// An output slot of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// Index of the node in [`Graph::nodes`].
    pub node: usize,
    /// Which of its outputs.
    pub slot: usize,
}

/// What feeds an input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input<'a> {
    /// A node's output.
    Link(Link),
    /// A value typed or chosen.
    Value(&'a Value<'a>),
    /// A link to a node that is not there.
    Dangling,
}

/// An input and its name.
pub type NamedInput<'a> = (&'a str, Input<'a>);

/// One node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node<'a> {
    /// Its id in the file; not always a number (`37:8`, `CheckpointLoader_Base`).
    pub id: &'a str,
    /// Its class.
    pub class: &'a str,
    /// Named inputs in the order of the file.
    pub inputs: &'a [NamedInput<'a>],
    /// The marks of the inputs' names: a node is asked for dozens of inputs that it has not.
    marks: u64,
    /// The letters of the class.
    letters: u32,
}

impl<'a> Node<'a> {
    /// A node of `class` with `inputs`.
    pub fn new(id: &'a str, class: &'a str, inputs: &'a [NamedInput<'a>]) -> Self {
        let marks = inputs.iter().fold(0, |marks, (name, _)| marks | name_mark(name));
        let letters = letters(class);
        Self {
            id,
            class,
            inputs,
            marks,
            letters,
        }
    }

    /// The input named `name`.
    #[inline]
    pub fn input(&self, name: &str) -> Option<&'a Input<'a>> {
        self.named(name).map(|(_, input)| input)
    }

    /// Whether one of the names that `marks` were made of may be an input's.
    #[inline]
    pub fn may_have(&self, marks: u64) -> bool {
        self.marks & marks != 0
    }

    /// The input named `name`, and its name as the graph has it.
    #[inline]
    pub fn named(&self, name: &str) -> Option<&'a NamedInput<'a>> {
        if self.marks & name_mark(name) == 0 {
            return None;
        }
        self.inputs.iter().rev().find(|(key, _)| *key == name)
    }

    /// The link that feeds `name`.
    pub fn link(&self, name: &str) -> Option<Link> {
        match self.input(name) {
            Some(Input::Link(link)) => Some(*link),
            _ => None,
        }
    }

    /// The first of `names` that a link feeds.
    pub fn first_link(&self, names: &[&str]) -> Option<Link> {
        names.iter().find_map(|name| self.link(name))
    }

    /// The value typed for `name`.
    pub fn value(&self, name: &str) -> Option<&'a Value<'a>> {
        match self.input(name) {
            Some(Input::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// The string typed for `name`.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name).and_then(Value::as_str)
    }

    /// Whether there is an input named `name`, fed or typed.
    pub fn has(&self, name: &str) -> bool {
        self.input(name).is_some()
    }

    /// Every link with the name of its input.
    pub fn links(&self) -> impl Iterator<Item = (&'a str, Link)> + use<'a> {
        self.inputs.iter().filter_map(|(name, input)| match input {
            Input::Link(link) => Some((*name, *link)),
            _ => None,
        })
    }

    /// Whether the class name contains `part`, which is lower case, in whatever case.
    #[inline]
    pub fn class_has(&self, part: &str) -> bool {
        let wanted = letters(part);
        self.letters & wanted == wanted && self.class_contains(part)
    }

    fn class_contains(&self, part: &str) -> bool {
        let part = part.as_bytes();
        let mut places = self.class.as_bytes().windows(part.len());
        places.any(|place| place[0].to_ascii_lowercase() == part[0] && place.eq_ignore_ascii_case(part))
    }
}

/// A bit for each letter that is in `text`, upper and lower case alike; other characters share the
/// letters' bits. A text has all the bits of its parts.
#[inline]
fn letters(text: &str) -> u32 {
    text.bytes().fold(0, |letters, byte| letters | 1 << (byte & 31))
}

/// A graph and the budget of the walk over it.
#[derive(Debug)]
pub struct Graph<'a> {
    /// The nodes in the order of the file.
    pub nodes: Vec<Node<'a>>,
    steps_left: Cell<u32>,
    /// What walks that have ended noted their nodes in, for those to come.
    spare: RefCell<Vec<Vec<bool>>>,
    /// Nodes whose text is being resolved, the innermost last.
    entered: RefCell<Vec<usize>>,
}

/// The nodes that one walk over a graph has come to.
pub struct Visited<'g> {
    nodes: Vec<bool>,
    spare: &'g RefCell<Vec<Vec<bool>>>,
}

impl<'g> Visited<'g> {
    /// None so far but `start`.
    pub fn from(graph: &'g Graph<'_>, start: usize) -> Self {
        let mut visited = Self::new(graph);
        visited.insert(start);
        visited
    }

    /// None so far.
    pub fn new(graph: &'g Graph<'_>) -> Self {
        let mut nodes = graph.spare.borrow_mut().pop().unwrap_or_default();
        nodes.clear();
        nodes.resize(graph.nodes.len(), false);
        Self {
            nodes,
            spare: &graph.spare,
        }
    }

    /// Adds a node; false where the walk has come to it before.
    pub fn insert(&mut self, node: usize) -> bool {
        !std::mem::replace(&mut self.nodes[node], true)
    }
}

impl Drop for Visited<'_> {
    fn drop(&mut self) {
        self.spare.borrow_mut().push(std::mem::take(&mut self.nodes));
    }
}

/// A node is being resolved as long as this lives.
pub struct Entered<'g>(&'g RefCell<Vec<usize>>);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().pop();
    }
}

impl<'a> Graph<'a> {
    /// A graph of `nodes`.
    pub fn new(nodes: Vec<Node<'a>>) -> Self {
        Self {
            nodes,
            steps_left: Cell::new(MAX_STEPS),
            spare: RefCell::default(),
            entered: RefCell::default(),
        }
    }

    /// Begins to resolve a node; none where that is under way already, since it leads back to itself.
    pub fn enter(&self, node: usize) -> Option<Entered<'_>> {
        let mut entered = self.entered.borrow_mut();
        if entered.contains(&node) {
            return None;
        }
        entered.push(node);
        Some(Entered(&self.entered))
    }

    /// Whether some links lead in a circle, which no graph that ran does.
    pub fn leads_in_a_circle(&self) -> bool {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            Unseen,
            Open,
            Done,
        }
        let mut states = vec![State::Unseen; self.nodes.len()];
        // Nodes and how many of their inputs are looked at.
        let mut path = Vec::new();
        for start in 0..self.nodes.len() {
            if states[start] != State::Unseen {
                continue;
            }
            states[start] = State::Open;
            path.push((start, 0));
            while let Some((node, input)) = path.last_mut() {
                let (at, next) = (*node, self.nodes[*node].inputs.get(*input));
                *input += 1;
                match next {
                    None => {
                        states[at] = State::Done;
                        path.pop();
                    }
                    Some((_, Input::Link(link))) if states[link.node] == State::Open => return true,
                    Some((_, Input::Link(link))) if states[link.node] == State::Unseen => {
                        states[link.node] = State::Open;
                        path.push((link.node, 0));
                    }
                    Some(_) => {}
                }
            }
        }
        false
    }

    /// Spends a step; false when none is left and every walk has to stop where it is.
    pub fn step(&self) -> bool {
        self.spend(0)
    }

    /// Spends a step that copies `bytes` of text: a graph of joins can multiply a text without end.
    pub fn spend(&self, bytes: usize) -> bool {
        const BYTES_PER_STEP: usize = 256;
        let cost = 1 + u32::try_from(bytes / BYTES_PER_STEP).unwrap_or(u32::MAX - 1);
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(cost));
        left > 0
    }

    /// Whether the budget ran out.
    pub fn is_exhausted(&self) -> bool {
        self.steps_left.get() == 0
    }

    /// The node that a link comes from.
    pub fn source(&self, link: Link) -> &Node<'a> {
        &self.nodes[link.node]
    }
}

/// Whether an input of this name carries several things at once: model, prompts, latent.
pub fn is_pipe(name: &str) -> bool {
    has_part(name, b"pipe") || has_part(name, b"ctx") || name.ends_with("tuple")
}

/// Whether `name` contains `part`; `str::contains` is made for longer texts.
#[inline]
pub fn has_part<const BYTES: usize>(name: &str, part: &[u8; BYTES]) -> bool {
    name.as_bytes().windows(BYTES).any(|place| place == part)
}

/// Whether an object is an API graph: some of its values have a `class_type`.
pub fn is_api_graph(object: &Value<'_>) -> bool {
    object
        .entries()
        .iter()
        .any(|(_, node)| node.get("class_type").and_then(Value::as_str).is_some())
}

/// Reads an API graph into `arena`; `None` where the object holds no node.
pub fn from_api<'a>(object: &Value<'a>, arena: &'a Arena) -> Option<Graph<'a>> {
    let class_of = |value: &Value<'a>| value.get("class_type").and_then(Value::as_str);
    let entries: Vec<_> = object
        .entries()
        .iter()
        .filter_map(|(id, value)| Some((*id, class_of(value)?, value)))
        .take(MAX_NODES)
        .collect();
    let mut index: Index<'_> = entries.iter().enumerate().map(|(at, (id, ..))| (*id, at)).collect();
    index.sort_unstable();
    let nodes: Vec<_> = entries
        .iter()
        .map(|(id, class, value)| {
            let inputs = value.get("inputs").map(Value::entries).unwrap_or_default();
            let inputs = inputs.iter().map(|(name, value)| (*name, api_input(value, &index)));
            Node::new(id, class, arena.alloc_slice_fill_iter(inputs))
        })
        .collect();
    (!nodes.is_empty()).then(|| Graph::new(nodes))
}

/// Ids and places of the nodes, by id: looking up a few dozens takes less than hashing them.
type Index<'a> = Vec<(&'a str, usize)>;

/// A link is `[id, slot]`, and only where the id is a node's: sizes and ranges are pairs too.
fn api_input<'a>(value: &'a Value<'a>, index: &[(&str, usize)]) -> Input<'a> {
    let [id, slot] = value.items() else {
        return Input::Value(value);
    };
    let Some(slot) = slot.as_u64().and_then(|slot| usize::try_from(slot).ok()) else {
        return Input::Value(value);
    };
    let wanted = match id {
        Value::String(id) | Value::Number(id) => *id,
        _ => return Input::Value(value),
    };
    let node = index.binary_search_by_key(&wanted, |(id, _)| id).ok();
    match (node.map(|at| index[at].1), id) {
        (Some(node), _) => Input::Link(Link { node, slot }),
        (None, Value::String(_)) => Input::Dangling,
        (None, _) => Input::Value(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::json;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_and_letters_hide_nothing(
            names in prop::collection::vec("[a-c_]{0,3}|[a-zé_0-9]{1,12}", 0..12),
            class in "[A-Za-z é|()]{0,16}",
            part in "[a-z é|()]{1,3}",
        ) {
            let inputs: Vec<NamedInput<'_>> = names.iter().map(|name| (name.as_str(), Input::Dangling)).collect();
            let node = Node::new("1", &class, &inputs);
            for name in names.iter().map(String::as_str).chain([part.as_str(), "", "seed"]) {
                prop_assert_eq!(node.has(name), names.iter().any(|known| known == name));
            }
            prop_assert_eq!(node.class_has(&part), class.to_ascii_lowercase().contains(&part));
            prop_assert_eq!(has_part(&class, b"at"), class.contains("at"));
        }
    }

    #[test]
    fn circles_are_told_from_diamonds() {
        let circle = |text: &str| {
            from_api(&json::parse_leaking(text).unwrap().value, &Arena::new())
                .unwrap()
                .leads_in_a_circle()
        };
        let diamond = r#"{"1": {"class_type": "A", "inputs": {"a": ["2", 0], "b": ["3", 0]}},
            "2": {"class_type": "A", "inputs": {"a": ["4", 0]}}, "3": {"class_type": "A", "inputs": {"a": ["4", 0], "b": ["2", 0]}}, "4": {"class_type": "A"}}"#;
        assert!(!circle(diamond));
        assert!(circle(r#"{"1": {"class_type": "A", "inputs": {"a": ["1", 0]}}}"#));
        assert!(circle(
            r#"{"1": {"class_type": "A", "inputs": {"x": 1, "a": ["2", 0]}}, "2": {"class_type": "A", "inputs": {"a": ["3", 0]}}, "3": {"class_type": "A", "inputs": {"a": ["2", 0]}}}"#
        ));
    }

    #[test]
    fn links_need_a_node() {
        let document = json::parse_leaking(
            r#"{"1": {"class_type": "A", "inputs": {"a": ["b:2", 1], "b": [2, 0], "c": [512, 768], "d": ["gone", 0], "e": "text"}},
                "b:2": {"class_type": "B"}, "2": {"class_type": "C", "inputs": {}}, "extra": {"x": 1}}"#,
        )
        .unwrap();
        let arena = Arena::new();
        let graph = from_api(&document.value, &arena).unwrap();
        assert_eq!(graph.nodes.len(), 3);
        let node = &graph.nodes[0];
        assert_eq!(node.link("a"), Some(Link { node: 1, slot: 1 }));
        assert_eq!(node.link("b"), Some(Link { node: 2, slot: 0 }));
        assert_eq!(node.value("c").unwrap().to_text(), "[512,768]");
        assert_eq!(node.input("d"), Some(&Input::Dangling));
        assert_eq!(node.text("e"), Some("text"));
    }
}
