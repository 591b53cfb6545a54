//! A graph is foreign input. This walks an ONNX file without loading it and refuses what could
//! reach beyond it: weights kept in files outside its folder, tensors far larger than the bytes
//! that are there, and operations that only a library of somebody's own would know. It runs before
//! the runtime sees the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use super::protobuf::{Field, Value, Wire, WireError};

mod tensor;

use tensor::Tensor;

/// Domains of operations that ONNX Runtime brings itself.
const KNOWN_DOMAINS: [&str; 6] = [
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "com.microsoft",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
];

/// Operations that load code or files which no check here sees.
const REFUSED_OPERATIONS: [&str; 1] = ["EPContext"];

/// Deepest nesting of graphs (loops, conditions).
const MAX_DEPTH: usize = 16;

/// Most distinct operations and files that are remembered.
const MAX_NAMES: usize = 10_000;

/// Why a graph is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no ONNX file, or a broken one.
    #[error("it is no ONNX file that can be read: {0}")]
    Wire(#[from] WireError),
    /// It is well formed and not acceptable.
    #[error("{0}")]
    Unsafe(String),
}

/// Checks an ONNX file on disk, and gives the files beside it that hold its weights, by their
/// paths relative to it, sorted.
///
/// # Errors
/// [`Refusal`], with the tensor or operation and what is wrong with it.
pub fn file(path: &Path) -> Result<Vec<String>, Refusal> {
    let file = File::open(path).map_err(WireError::from)?;
    let length = file.metadata().map_err(WireError::from)?.len();
    walk(file, length, Some(path.parent().unwrap_or(Path::new("."))))
}

/// Checks an ONNX file in memory, which can have no files beside it.
///
/// # Errors
/// As [`file()`].
pub fn bytes(bytes: &[u8]) -> Result<(), Refusal> {
    walk(Cursor::new(bytes), bytes.len() as u64, None).map(|_| ())
}

fn walk<R: Read + Seek>(source: R, length: u64, folder: Option<&Path>) -> Result<Vec<String>, Refusal> {
    let mut wire = Wire::new(source);
    let start = wire.peek().map_err(WireError::from)?;
    // The runtime's own format, told by the mark behind its first offset, is not ONNX.
    if start.get(4..8) == Some(b"ORTM") {
        return Err(refuse(
            "it is in ONNX Runtime's own format (.ort); an ONNX file is wanted",
        ));
    }
    let mut walker = Walker {
        wire,
        folder,
        operations: BTreeMap::new(),
        functions: BTreeSet::new(),
        external: BTreeSet::new(),
    };
    walker.model(length)?;
    walker.operations_are_known()?;
    Ok(walker.external.into_iter().collect())
}

fn refuse(message: impl Into<String>) -> Refusal {
    Refusal::Unsafe(message.into())
}

struct Walker<'a, R> {
    wire: Wire<R>,
    folder: Option<&'a Path>,
    /// Domain and operation of every node, and a node that uses it.
    operations: BTreeMap<(String, String), String>,
    /// Domain and name of the functions that the model defines itself.
    functions: BTreeSet<(String, String)>,
    external: BTreeSet<String>,
}

impl<R: Read + Seek> Walker<'_, R> {
    /// `ModelProto`.
    fn model(&mut self, end: u64) -> Result<(), Refusal> {
        let mut graphs = 0;
        while let Some(field) = self.wire.next(end)? {
            match field {
                Field {
                    number: 7,
                    value: Value::Bytes(length),
                } => {
                    graphs += 1;
                    let end = self.wire.position() + length;
                    self.graph(end, 0)?;
                }
                Field {
                    number: 20,
                    value: Value::Bytes(_),
                } => return Err(refuse("it holds training steps; export it for inference")),
                Field {
                    number: 25,
                    value: Value::Bytes(length),
                } => {
                    let end = self.wire.position() + length;
                    self.function(end)?;
                }
                other => self.pass(other, end)?,
            }
        }
        // Two would be merged into one that nobody has checked.
        if graphs != 1 {
            return Err(refuse(format!("it has {graphs} graphs; an ONNX file has one")));
        }
        Ok(())
    }

    /// `GraphProto`.
    fn graph(&mut self, end: u64, depth: usize) -> Result<(), Refusal> {
        if depth > MAX_DEPTH {
            return Err(refuse(format!("its graphs are nested more than {MAX_DEPTH} deep")));
        }
        while let Some(field) = self.wire.next(end)? {
            match (field.number, field.value) {
                (1, Value::Bytes(length)) => self.node(self.wire.position() + length, depth)?,
                (5, Value::Bytes(length)) => self.tensor(self.wire.position() + length)?,
                (15, Value::Bytes(length)) => self.sparse_tensor(self.wire.position() + length)?,
                _ => self.pass(field, end)?,
            }
        }
        Ok(())
    }

    /// `NodeProto`.
    fn node(&mut self, end: u64, depth: usize) -> Result<(), Refusal> {
        let (mut name, mut operation, mut domain) = (String::new(), String::new(), String::new());
        while let Some(field) = self.wire.next(end)? {
            match (field.number, field.value) {
                (3, Value::Bytes(length)) => name = self.wire.text(length, end)?,
                (4, Value::Bytes(length)) => operation = self.wire.text(length, end)?,
                (5, Value::Bytes(length)) => self.attribute(self.wire.position() + length, depth)?,
                (7, Value::Bytes(length)) => domain = self.wire.text(length, end)?,
                _ => self.pass(field, end)?,
            }
        }
        if self.operations.len() >= MAX_NAMES {
            return Err(refuse(format!("it uses more than {MAX_NAMES} distinct operations")));
        }
        self.operations.entry((domain, operation)).or_insert(name);
        Ok(())
    }

    /// `AttributeProto`. One tensor and one graph each: a second would be merged into the first.
    fn attribute(&mut self, end: u64, depth: usize) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        while let Some(field) = self.wire.next(end)? {
            if matches!(field.number, 5 | 6 | 22) && !seen.insert(field.number) {
                return Err(refuse("an attribute holds two values"));
            }
            match (field.number, field.value) {
                (5 | 10, Value::Bytes(length)) => self.tensor(self.wire.position() + length)?,
                (6 | 11, Value::Bytes(length)) => self.graph(self.wire.position() + length, depth + 1)?,
                (22 | 23, Value::Bytes(length)) => self.sparse_tensor(self.wire.position() + length)?,
                _ => self.pass(field, end)?,
            }
        }
        Ok(())
    }

    /// `FunctionProto`: operations that the model defines by others.
    fn function(&mut self, end: u64) -> Result<(), Refusal> {
        let (mut name, mut domain) = (String::new(), String::new());
        while let Some(field) = self.wire.next(end)? {
            match (field.number, field.value) {
                (1, Value::Bytes(length)) => name = self.wire.text(length, end)?,
                (7, Value::Bytes(length)) => self.node(self.wire.position() + length, 0)?,
                (10, Value::Bytes(length)) => domain = self.wire.text(length, end)?,
                // Default attributes of the function.
                (11, Value::Bytes(length)) => self.attribute(self.wire.position() + length, 0)?,
                _ => self.pass(field, end)?,
            }
        }
        if self.functions.len() >= MAX_NAMES {
            return Err(refuse(format!("it defines more than {MAX_NAMES} functions")));
        }
        self.functions.insert((domain, name));
        Ok(())
    }

    /// `SparseTensorProto`: values, their places, and the shape that they are spread over.
    fn sparse_tensor(&mut self, end: u64) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        while let Some(field) = self.wire.next(end)? {
            if field.number < 3 && !seen.insert(field.number) {
                return Err(refuse("a sparse tensor holds two values"));
            }
            match (field.number, field.value) {
                (1 | 2, Value::Bytes(length)) => self.tensor(self.wire.position() + length)?,
                // The runtime makes it dense, so its shape says nothing about the file's bytes.
                (3, _) => return Err(refuse("it has sparse tensors; export it with dense ones")),
                _ => self.pass(field, end)?,
            }
        }
        Ok(())
    }

    /// `TensorProto`.
    fn tensor(&mut self, end: u64) -> Result<(), Refusal> {
        let tensor = Tensor::read(&mut self.wire, end)?;
        if let Some(location) = tensor.check(self.folder).map_err(refuse)? {
            if self.external.len() >= MAX_NAMES {
                return Err(refuse(format!("its weights lie in more than {MAX_NAMES} files")));
            }
            self.external.insert(location);
        }
        Ok(())
    }

    /// Passes over a field that says nothing here.
    fn pass(&mut self, field: Field, end: u64) -> Result<(), WireError> {
        match field.value {
            Value::Bytes(length) => self.wire.skip(length, end),
            Value::Varint(_) | Value::Fixed32 | Value::Fixed64 => Ok(()),
        }
    }

    fn operations_are_known(&self) -> Result<(), Refusal> {
        for ((domain, operation), node) in &self.operations {
            let place = if node.is_empty() {
                String::new()
            } else {
                format!(" (node {node:?})")
            };
            if REFUSED_OPERATIONS.contains(&operation.as_str()) {
                return Err(refuse(format!(
                    "it uses {operation}{place}, a part compiled for one device that cannot be checked; \
                     export it as plain ONNX"
                )));
            }
            let is_own = self.functions.contains(&(domain.clone(), operation.clone()));
            if !is_own && !KNOWN_DOMAINS.contains(&domain.as_str()) {
                return Err(refuse(format!(
                    "it uses the operation {operation:?} of {domain:?}{place}, which needs a custom library; \
                     none is ever loaded"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
