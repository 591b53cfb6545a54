//! Pixels that cross to a device as bytes: the graph is rewritten while it is loaded, so that it takes
//! bytes in rows of RGB and makes of them what it was made for. A quarter of the data crosses, and
//! no thread of the host normalises.
//!
//! The arithmetic is that of `preprocess.rs`, operation by operation in 32 bits, so that the values are
//! the same wherever division is exact to the last bit.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use super::error::ModelError;
use super::manifest::{Channels, ImageSpec, Layout, Scale};
use super::protobuf::{Value, Wire, WireError};
use super::session::{Graph, Runtime, Session, SessionOptions};
use super::small_graph::{self, Attribute, Message, type_number};
use super::tensor::{ElementType, Input, Output, Place, TensorInfo};

/// Name of the input that takes bytes.
const INPUT: &str = "labelmill/pixels";

/// Oldest opset whose operations spread a value over a shape as these graphs need it.
const OLDEST_OPSET: u64 = 7;

/// A graph that takes bytes.
pub struct BytesGraph<'a> {
    bytes: Vec<u8>,
    /// Where its weights are, if they are in files of their own.
    folder: Option<&'a Path>,
    /// The input as the graph declared it before.
    declared: TensorInfo,
}

impl<'a> BytesGraph<'a> {
    /// The graph with the normalisation of `image` in front; none where it is not of the kind that
    /// this is for: its input has another name or takes something else than floats.
    ///
    /// # Errors
    /// `ReadFile`: the file cannot be read. One that is no ONNX file is none here, and the runtime says so.
    pub fn of(graph: Graph<'a>, image: &ImageSpec) -> Result<Option<Self>, ModelError> {
        let (bytes, folder) = match graph {
            Graph::Memory(bytes) => (Cow::Borrowed(bytes), None),
            Graph::MemoryBeside(bytes, folder) => (Cow::Borrowed(bytes), Some(folder)),
            Graph::File(path) => {
                let read = std::fs::read(path).map_err(|source| ModelError::ReadFile {
                    path: path.to_path_buf(),
                    source,
                })?;
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                (Cow::Owned(read), Some(folder.unwrap_or(Path::new("."))))
            }
        };
        let rewritten = rewrite(&bytes, image).unwrap_or_else(|error| {
            tracing::debug!("pixels are normalised on the host: {error}");
            None
        });
        Ok(rewritten.map(|(bytes, declared)| Self {
            bytes,
            folder,
            declared,
        }))
    }

    /// Name of the input that takes bytes, for options that name inputs.
    pub fn input() -> &'static str {
        INPUT
    }

    /// Loads it. The session declares its input as the graph did before, and takes bytes under that
    /// name, of the shape (pictures, size, size, 3).
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub fn load(
        &self,
        runtime: &dyn Runtime,
        name: &str,
        options: &SessionOptions,
    ) -> Result<Box<dyn Session>, ModelError> {
        let graph = match self.folder {
            Some(folder) => Graph::MemoryBeside(&self.bytes, folder),
            None => Graph::Memory(&self.bytes),
        };
        let session = runtime.load(name, graph, options)?;
        let as_before = |info: &TensorInfo| {
            if info.name == INPUT {
                self.declared.clone()
            } else {
                info.clone()
            }
        };
        Ok(Box::new(BytesSession {
            inputs: session.inputs().iter().map(as_before).collect(),
            name: self.declared.name.clone(),
            session,
        }))
    }
}

struct BytesSession {
    session: Box<dyn Session>,
    inputs: Vec<TensorInfo>,
    /// Name of the input before.
    name: String,
}

impl Session for BytesSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        self.session.outputs()
    }

    fn run(&mut self, inputs: &[(&str, Input<'_>)], outputs: &[(&str, Place)]) -> Result<Vec<Output>, ModelError> {
        let renamed = |name| if name == self.name { INPUT } else { name };
        let inputs: Vec<(&str, Input<'_>)> = inputs.iter().map(|&(name, input)| (renamed(name), input)).collect();
        self.session.run(&inputs, outputs)
    }
}

/// A field of a message in memory.
struct Part {
    number: u32,
    value: Value,
    /// With its number and length.
    whole: Range<usize>,
    /// What it holds, where that is bytes.
    content: Range<usize>,
}

fn parts_of(message: &[u8]) -> Result<Vec<Part>, WireError> {
    let end = message.len() as u64;
    let mut wire = Wire::new(Cursor::new(message));
    let mut parts = Vec::new();
    loop {
        let start = wire.position() as usize;
        let Some(field) = wire.next(end)? else { return Ok(parts) };
        let content = wire.position() as usize;
        if let Value::Bytes(length) = field.value {
            wire.skip(length, end)?;
        }
        let stop = wire.position() as usize;
        parts.push(Part {
            number: field.number,
            value: field.value,
            whole: start..stop,
            content: content..stop,
        });
    }
}

/// What the message `path` leads to, by field numbers; of several the last, as readers take it.
fn content_at<'a>(message: &'a [u8], path: &[u32]) -> Result<Option<&'a [u8]>, WireError> {
    let mut message = message;
    for number in path {
        let parts = parts_of(message)?;
        let is_it = |part: &&Part| part.number == *number && matches!(part.value, Value::Bytes(_));
        let Some(part) = parts.iter().rev().find(is_it) else {
            return Ok(None);
        };
        message = &message[part.content.clone()];
    }
    Ok(Some(message))
}

fn number_at(message: &[u8], number: u32) -> Result<Option<u64>, WireError> {
    let of_number = |part: &Part| match part.value {
        Value::Varint(value) if part.number == number => Some(value),
        _ => None,
    };
    Ok(parts_of(message)?.iter().rev().find_map(of_number))
}

/// The rewritten model, and the input as it was declared.
fn rewrite(model: &[u8], image: &ImageSpec) -> Result<Option<(Vec<u8>, TensorInfo)>, WireError> {
    let parts = parts_of(model)?;
    if opset(model, &parts)? < OLDEST_OPSET {
        return Ok(None);
    }
    // One graph, as the check of foreign graphs saw to.
    let Some(at) = parts.iter().find(|part| part.number == 7) else {
        return Ok(None);
    };
    let graph = &model[at.content.clone()];
    let Some(input) = find_input(graph, &image.input)? else {
        return Ok(None);
    };
    let mut changed = normalisation(image, input.info.element);
    changed.0.extend_from_slice(&graph[..input.place.start]);
    changed.message(11, &bytes_input(image, input.batch));
    changed.0.extend_from_slice(&graph[input.place.end..]);
    let mut whole = Message(Vec::with_capacity(model.len() + changed.0.len() - graph.len() + 16));
    whole.0.extend_from_slice(&model[..at.whole.start]);
    whole.message(7, &changed);
    whole.0.extend_from_slice(&model[at.whole.end..]);
    Ok(Some((whole.0, input.info)))
}

/// The opset of the standard's own operations.
fn opset(model: &[u8], parts: &[Part]) -> Result<u64, WireError> {
    let mut found = 0;
    for part in parts.iter().filter(|part| part.number == 8) {
        let import = &model[part.content.clone()];
        let domain = content_at(import, &[1])?.unwrap_or_default();
        if domain.is_empty() || domain == b"ai.onnx" {
            found = number_at(import, 2)?.unwrap_or(0);
        }
    }
    Ok(found)
}

/// An input's declaration.
struct Declaration<'a> {
    /// Where it stands in the graph.
    place: Range<usize>,
    info: TensorInfo,
    /// Its first dimension, the batch, as it is written.
    batch: &'a [u8],
}

/// The declaration of an input that takes floats.
fn find_input<'a>(graph: &'a [u8], name: &str) -> Result<Option<Declaration<'a>>, WireError> {
    for part in parts_of(graph)?.iter().filter(|part| part.number == 11) {
        let declared = &graph[part.content.clone()];
        if content_at(declared, &[1])? != Some(name.as_bytes()) {
            continue;
        }
        let Some(tensor) = content_at(declared, &[2, 1])? else {
            return Ok(None);
        };
        let known = [ElementType::F32, ElementType::F16].map(|element| (type_number(element), element));
        let number = number_at(tensor, 1)?;
        let element = known.iter().find(|(known, _)| Some(*known) == number);
        let (Some((_, element)), Some(shape)) = (element, content_at(tensor, &[2])?) else {
            return Ok(None);
        };
        let mut lengths = Vec::new();
        let mut first = None;
        for dimension in parts_of(shape)?.iter().filter(|part| part.number == 1) {
            let dimension = &shape[dimension.content.clone()];
            first.get_or_insert(dimension);
            let length = number_at(dimension, 1)?;
            lengths.push(length.and_then(|length| usize::try_from(length).ok()));
        }
        let info = TensorInfo {
            name: name.to_owned(),
            element: *element,
            shape: lengths,
        };
        return Ok(first.map(|batch| Declaration {
            place: part.whole.clone(),
            info,
            batch,
        }));
    }
    Ok(None)
}

/// The declaration of the input that takes bytes; `batch` is the first dimension as it was.
fn bytes_input(image: &ImageSpec, batch: &[u8]) -> Message {
    let lengths = [image.size, image.size, 3].map(|length| {
        let mut dimension = Message::default();
        dimension.number(1, u64::from(length));
        dimension.0
    });
    let dimensions = std::iter::once(batch).chain(lengths.iter().map(Vec::as_slice));
    small_graph::declaration(INPUT, ElementType::U8, dimensions)
}

/// The nodes from bytes to what the graph's own nodes take, as the head of a `GraphProto`.
fn normalisation(image: &ImageSpec, element: ElementType) -> Message {
    let mut steps = vec![Step::Cast(ElementType::F32)];
    match image.scale {
        Scale::Bytes => {}
        Scale::ZeroToOne => steps.push(Step::Arithmetic("Div", vec![255.0])),
        Scale::MinusOneToOne => {
            steps.push(Step::Arithmetic("Div", vec![127.5]));
            steps.push(Step::Arithmetic("Sub", vec![1.0]));
        }
    }
    if let Some(mean) = image.mean {
        steps.push(Step::Arithmetic("Sub", mean.to_vec()));
    }
    if let Some(std) = image.std {
        steps.push(Step::Arithmetic("Div", std.to_vec()));
    }
    if image.channels == Channels::Bgr {
        steps.push(Step::Reverse);
    }
    if image.layout == Layout::Nchw {
        steps.push(Step::Planes);
    }
    if element != ElementType::F32 {
        steps.push(Step::Cast(element));
    }
    let mut graph = Message::default();
    let mut from = INPUT.to_owned();
    let last = steps.len() - 1;
    for (index, step) in steps.into_iter().enumerate() {
        let to = if index == last {
            image.input.clone()
        } else {
            format!("labelmill/pixels-{index}")
        };
        step.write(&mut graph, &from, &to);
        from = to;
    }
    graph
}

/// A step on the way from bytes to the graph's input.
enum Step {
    Cast(ElementType),
    /// An operation with a value, or one a colour.
    Arithmetic(&'static str, Vec<f32>),
    /// RGB to BGR.
    Reverse,
    /// Rows of pixels to planes of colours.
    Planes,
}

impl Step {
    fn write(self, graph: &mut Message, from: &str, to: &str) {
        let constant = format!("{to}/constant");
        let mut add = |operator, inputs: &[&str], output: &str, attribute: Option<(&'static str, Attribute)>| {
            graph.message(1, &small_graph::operation(operator, inputs, output, attribute));
        };
        match self {
            Self::Cast(element) => {
                let number = Attribute::Whole(type_number(element));
                add("Cast", &[from], to, Some(("to", number)));
            }
            Self::Arithmetic(operator, values) => {
                let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let list = Attribute::List(ElementType::F32, values.len(), raw);
                add("Constant", &[], &constant, Some(("value", list)));
                add(operator, &[from, &constant], to, None);
            }
            Self::Reverse => {
                let raw = [2_i64, 1, 0].iter().flat_map(|index| index.to_le_bytes()).collect();
                let list = Attribute::List(ElementType::I64, 3, raw);
                add("Constant", &[], &constant, Some(("value", list)));
                add("Gather", &[from, &constant], to, Some(("axis", Attribute::Whole(3))));
            }
            Self::Planes => {
                let order = Attribute::Wholes(vec![0, 3, 1, 2]);
                add("Transpose", &[from], to, Some(("perm", order)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
