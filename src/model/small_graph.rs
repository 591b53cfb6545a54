//! Graphs of a node or two, written by us: ONNX files in a few dozen bytes, for the arithmetic
//! round a model that should run where the model runs.

use super::tensor::ElementType;

/// Opset of the graphs; every runtime that loads here knows it.
const OPSET: u64 = 13;

/// Intermediate representation that goes with it.
const IR_VERSION: u64 = 8;

/// One node: its operator, inputs, output, and whole-number attributes.
pub struct Node<'a> {
    /// Operator of the ONNX standard.
    pub operator: &'a str,
    /// Names of its inputs.
    pub inputs: &'a [&'a str],
    /// Name of its output.
    pub output: &'a str,
    /// Attributes.
    pub whole: &'a [(&'a str, u64)],
}

/// An input or output of a graph: name, type, and the name of each dimension.
pub type Outer<'a> = (&'a str, ElementType, &'a [&'a str]);

/// The bytes of an ONNX file.
pub fn onnx(nodes: &[Node<'_>], inputs: &[Outer<'_>], outputs: &[Outer<'_>]) -> Vec<u8> {
    let mut graph = Message::default();
    for node in nodes {
        graph.message(1, &node_message(node));
    }
    graph.text(2, "labelmill");
    for (field, outers) in [(11, inputs), (12, outputs)] {
        for outer in outers {
            graph.message(field, &outer_message(outer));
        }
    }
    let mut opset = Message::default();
    opset.text(1, "");
    opset.number(2, OPSET);
    let mut model = Message::default();
    model.number(1, IR_VERSION);
    model.message(7, &graph);
    model.message(8, &opset);
    model.0
}

/// ONNX's number of an element type.
pub fn type_number(element: ElementType) -> u64 {
    match element {
        ElementType::F32 => 1,
        ElementType::U8 => 2,
        ElementType::I32 => 6,
        ElementType::I64 => 7,
        ElementType::F16 => 10,
        ElementType::Other => 0,
    }
}

fn node_message(node: &Node<'_>) -> Message {
    let attributes = node.whole.iter().map(|&(name, value)| (name, Attribute::Whole(value)));
    operation(node.operator, node.inputs, node.output, attributes)
}

/// The value of a node's attribute.
pub(super) enum Attribute {
    /// A whole number.
    Whole(u64),
    /// Several.
    Wholes(Vec<u64>),
    /// A list of values: their type, how many, and their bytes, little-endian.
    List(ElementType, usize, Vec<u8>),
}

impl Attribute {
    /// `AttributeProto` of this name.
    fn message(&self, name: &str) -> Message {
        let mut message = Message::default();
        message.text(1, name);
        let kind = match self {
            Self::Whole(value) => {
                message.number(3, *value);
                2
            }
            Self::Wholes(values) => {
                for value in values {
                    message.number(8, *value);
                }
                7
            }
            Self::List(element, length, raw) => {
                let mut tensor = Message::default();
                tensor.number(1, *length as u64);
                tensor.number(2, type_number(*element));
                tensor.bytes(9, raw);
                message.message(5, &tensor);
                4
            }
        };
        message.number(20, kind);
        message
    }
}

/// `NodeProto`.
pub(super) fn operation<'a>(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attributes: impl IntoIterator<Item = (&'a str, Attribute)>,
) -> Message {
    let mut message = Message::default();
    for input in inputs {
        message.text(1, input);
    }
    message.text(2, output);
    message.text(4, operator);
    for (name, value) in attributes {
        message.message(5, &value.message(name));
    }
    message
}

fn outer_message((name, element, dimensions): &Outer<'_>) -> Message {
    let dimensions = dimensions.iter().map(|dimension| {
        let mut named = Message::default();
        named.text(2, dimension);
        named.0
    });
    declaration(name, *element, dimensions)
}

/// `ValueInfoProto` of a tensor, given its dimensions as they are written.
pub(super) fn declaration<D: AsRef<[u8]>>(
    name: &str,
    element: ElementType,
    dimensions: impl IntoIterator<Item = D>,
) -> Message {
    let mut shape = Message::default();
    for dimension in dimensions {
        shape.bytes(1, dimension.as_ref());
    }
    let mut tensor = Message::default();
    tensor.number(1, type_number(element));
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut message = Message::default();
    message.text(1, name);
    message.message(2, &kind);
    message
}

/// A protocol buffers message under construction.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    fn variable(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn number(&mut self, field: u64, value: u64) {
        self.variable(field << 3);
        self.variable(value);
    }

    pub(super) fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.variable(field << 3 | 2);
        self.variable(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    pub(super) fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tensor::{Tensor, TensorData};
    use crate::model::testing::runtime;
    use crate::model::{Device, Graph, Runtime, SessionOptions};

    #[test]
    fn the_runtime_loads_and_runs_what_is_written() {
        let Some(runtime) = runtime() else { return };
        let nodes = [
            Node {
                operator: "Cast",
                inputs: &["halves"],
                output: "rows",
                whole: &[("to", type_number(ElementType::F32))],
            },
            Node {
                operator: "Gemm",
                inputs: &["queries", "rows"],
                output: "scores",
                whole: &[("transB", 1)],
            },
        ];
        let bytes = onnx(
            &nodes,
            &[
                ("queries", ElementType::F32, &["count", "width"]),
                ("halves", ElementType::F16, &["length", "width"]),
            ],
            &[("scores", ElementType::F32, &["count", "length"])],
        );
        let options = SessionOptions::new(Device::Cpu, 1);
        let mut session = runtime.load("test", Graph::Memory(&bytes), &options).unwrap();
        let halves = [1.0, 0.0, 0.5, 0.5, 0.0, -1.0].map(half::f16::from_f32).to_vec();
        let halves = Tensor {
            shape: vec![3, 2],
            data: TensorData::F16(halves),
        };
        let queries = Tensor {
            shape: vec![1, 2],
            data: TensorData::F32(vec![2.0, 4.0]),
        };
        let scores = session
            .run_one(&[("queries", &queries), ("halves", &halves)], "scores")
            .unwrap();
        assert_eq!(scores.shape, [1, 3]);
        assert_eq!(scores.into_f32().unwrap(), [2.0, 3.0, -4.0]);
    }
}
