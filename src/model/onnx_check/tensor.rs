//! One tensor of an ONNX file: does it hold what its shape declares, and does its file stay in the
//! model's folder?

use std::io::{Read, Seek};
use std::path::{Component, Path};

use crate::model::protobuf::{Value, Wire, WireError};

/// Most dimensions of a tensor.
const MAX_RANK: usize = 32;

/// A `TensorProto` without its values.
#[derive(Debug, Default)]
pub struct Tensor {
    name: String,
    dimensions: Vec<u64>,
    element: u64,
    /// Bytes of values in the file, as raw data or as numbers.
    raw_bytes: Option<u64>,
    number_bytes: u64,
    strings: u64,
    is_external: bool,
    location: Option<String>,
    offset: u64,
    length: Option<u64>,
}

impl Tensor {
    /// Reads one that ends at `end`.
    pub fn read<R: Read + Seek>(wire: &mut Wire<R>, end: u64) -> Result<Self, WireError> {
        let mut tensor = Self::default();
        while let Some(field) = wire.next(end)? {
            match (field.number, field.value) {
                (1, Value::Varint(length)) => tensor.add_dimension(wire, length)?,
                (1, Value::Bytes(packed)) => {
                    let packed_end = wire.position() + packed;
                    while wire.position() < packed_end {
                        let length = wire.varint(packed_end)?;
                        tensor.add_dimension(wire, length)?;
                    }
                }
                (2, Value::Varint(element)) => tensor.element = element,
                (8, Value::Bytes(length)) => tensor.name = wire.text(length, end)?,
                (13, Value::Bytes(length)) => {
                    let entry_end = wire.position() + length;
                    tensor.read_external(wire, entry_end)?;
                }
                (14, Value::Varint(location)) => tensor.is_external |= location != 0,
                (6, Value::Bytes(length)) => {
                    tensor.strings += 1;
                    wire.skip(length, end)?;
                }
                (9, Value::Bytes(length)) => {
                    tensor.raw_bytes = Some(length);
                    wire.skip(length, end)?;
                }
                (4 | 5 | 7 | 10 | 11, value) => {
                    let (bytes, skipped) = match value {
                        Value::Bytes(length) => (length, length),
                        Value::Varint(_) => (1, 0),
                        Value::Fixed32 => (4, 0),
                        Value::Fixed64 => (8, 0),
                    };
                    tensor.number_bytes = tensor.number_bytes.saturating_add(bytes);
                    wire.skip(skipped, end)?;
                }
                (_, Value::Bytes(length)) => wire.skip(length, end)?,
                _ => {}
            }
        }
        Ok(tensor)
    }

    fn add_dimension<R: Read + Seek>(&mut self, wire: &Wire<R>, length: u64) -> Result<(), WireError> {
        if self.dimensions.len() >= MAX_RANK {
            return Err(wire.malformed("a tensor of more than 32 dimensions"));
        }
        self.dimensions.push(length);
        Ok(())
    }

    /// A `StringStringEntryProto` about where the values are.
    fn read_external<R: Read + Seek>(&mut self, wire: &mut Wire<R>, end: u64) -> Result<(), WireError> {
        let (mut key, mut value) = (String::new(), String::new());
        while let Some(field) = wire.next(end)? {
            match (field.number, field.value) {
                (1, Value::Bytes(length)) => key = wire.text(length, end)?,
                (2, Value::Bytes(length)) => value = wire.text(length, end)?,
                (_, Value::Bytes(length)) => wire.skip(length, end)?,
                _ => {}
            }
        }
        self.is_external = true;
        let number = |value: &str| {
            value
                .parse()
                .map_err(|_| wire.malformed("an offset or length that is no number"))
        };
        match key.as_str() {
            "location" if self.location.is_some() => return Err(wire.malformed("a tensor with two locations")),
            "location" => self.location = Some(value),
            "offset" => self.offset = number(&value)?,
            "length" => self.length = Some(number(&value)?),
            _ => {}
        }
        Ok(())
    }

    /// Checks it; the file of its values where they are in one of their own, by its path relative
    /// to `folder`, which is none for a model in memory.
    ///
    /// # Errors
    /// What is wrong, with the tensor's name.
    pub fn check(&self, folder: Option<&Path>) -> Result<Option<String>, String> {
        let name = &self.name;
        let needed = self
            .needed_bytes()
            .map_err(|message| format!("the tensor {name:?} {message}"))?;
        if self.is_external {
            let location = self
                .location
                .as_deref()
                .ok_or_else(|| format!("the tensor {name:?} has its values elsewhere and does not say where"))?;
            let available = self
                .external_bytes(location, folder)
                .map_err(|message| format!("the tensor {name:?} has its values in {location:?}, {message}"))?;
            return if needed > available {
                Err(self.too_large(needed, available))
            } else {
                Ok(Some(location.to_owned()))
            };
        }
        let held = match self.raw_bytes {
            Some(raw) => raw,
            None if self.element == STRING => self.strings,
            None => self.number_bytes,
        };
        if needed > held {
            return Err(self.too_large(needed, held));
        }
        Ok(None)
    }

    fn too_large(&self, needed: u64, held: u64) -> String {
        format!(
            "the tensor {:?} declares the shape {:?}, which is at least {needed} bytes, and {held} are there",
            self.name, self.dimensions
        )
    }

    /// The fewest bytes (of strings: the number) that its shape can have.
    fn needed_bytes(&self) -> Result<u64, String> {
        let too_large = || format!("declares the absurd shape {:?}", self.dimensions);
        let mut elements = 1_u64;
        for &length in &self.dimensions {
            // A negative length reads as a huge one.
            if length > i64::MAX as u64 {
                return Err(too_large());
            }
            elements = elements.checked_mul(length).ok_or_else(too_large)?;
        }
        if self.element == STRING {
            return Ok(elements);
        }
        let whole = bits_of(self.element).ok_or_else(|| format!("is of the unknown type {}", self.element))?;
        // Numbers are written in a byte or more each, floats in full.
        let is_dense = self.is_external || self.raw_bytes.is_some() || matches!(self.element, 1 | 11 | 14 | 15);
        let bits = if is_dense { whole } else { whole.min(8) };
        let bits = elements.checked_mul(bits).ok_or_else(too_large)?;
        Ok(bits.div_ceil(8))
    }

    /// Bytes that the file of its values has for it.
    fn external_bytes(&self, location: &str, folder: Option<&Path>) -> Result<u64, String> {
        let Some(folder) = folder else {
            return Err("and a model in memory has no files".to_owned());
        };
        let path = Path::new(location);
        let is_plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        // The runtime takes this mark for an address in its own memory.
        let is_address = location.contains("_ORT_MEM_ADDR_");
        if location.is_empty() || !is_plain || is_address || location.contains(['\\', '\0']) {
            return Err("which leaves the model's folder".to_owned());
        }
        let real = |path: &Path| {
            path.canonicalize()
                .map_err(|error| format!("which cannot be read: {error}"))
        };
        let (folder, file) = (real(folder)?, real(&folder.join(path))?);
        if !file.starts_with(&folder) {
            return Err("a link that leaves the model's folder".to_owned());
        }
        let metadata = std::fs::metadata(&file).map_err(|error| format!("which cannot be read: {error}"))?;
        if !metadata.is_file() {
            return Err("which is no file".to_owned());
        }
        let left = metadata
            .len()
            .checked_sub(self.offset)
            .ok_or_else(|| format!("which ends before the offset {}", self.offset))?;
        match self.length {
            Some(length) if length > left => Err(format!(
                "which has {left} bytes from there on, and {length} are declared"
            )),
            Some(length) => Ok(length),
            None => Ok(left),
        }
    }
}

/// `TensorProto.STRING`.
const STRING: u64 = 8;

/// Bits of an element of a `TensorProto.DataType`.
fn bits_of(element: u64) -> Option<u64> {
    Some(match element {
        25 | 26 => 2,
        21..=23 => 4,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        _ => return None,
    })
}
