//! Tensors by value: what goes into a graph and what comes out, without naming any binding.

use std::any::Any;
use std::fmt;

use half::f16;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// Byte.
    U8,
    /// Anything else; no model here uses it.
    Other,
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::U8 => "uint8",
            Self::Other => "another type",
        })
    }
}

/// An input or output that a graph declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the graph.
    pub name: String,
    /// Element type.
    pub element: ElementType,
    /// Length of each dimension; none where the graph leaves it open.
    pub shape: Vec<Option<usize>>,
}

impl TensorInfo {
    /// Name, type and shape, for messages: `input float32[?, 3, 64, 64]`.
    pub fn describe(&self) -> String {
        let shape: Vec<String> = self
            .shape
            .iter()
            .map(|length| length.map_or_else(|| "?".to_owned(), |length| length.to_string()))
            .collect();
        format!("{} {}[{}]", self.name, self.element, shape.join(", "))
    }
}

/// The elements of a tensor, in C order.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
    /// 32-bit signed integers.
    I32(Vec<i32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl TensorData {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// As many elements as the shape says.
    pub data: TensorData,
}

impl Tensor {
    /// A tensor of zeros; none for a type that has no host form here.
    pub fn zeros(element: ElementType, shape: Vec<usize>) -> Option<Self> {
        let length = shape.iter().product();
        let data = match element {
            ElementType::F32 => TensorData::F32(vec![0.0; length]),
            ElementType::F16 => TensorData::F16(vec![f16::ZERO; length]),
            ElementType::I64 => TensorData::I64(vec![0; length]),
            ElementType::I32 => TensorData::I32(vec![0; length]),
            ElementType::U8 => TensorData::U8(vec![0; length]),
            ElementType::Other => return None,
        };
        Some(Self { shape, data })
    }

    /// A tensor of integers (token ids, masks) for a graph that takes `element`: 32 bits where it says so,
    /// else 64.
    pub fn integers(element: ElementType, values: Vec<i64>, shape: &[usize]) -> Self {
        let data = match element {
            ElementType::I32 => TensorData::I32(values.into_iter().map(|value| value as i32).collect()),
            _ => TensorData::I64(values),
        };
        Self {
            shape: shape.to_vec(),
            data,
        }
    }

    /// Type of the elements.
    pub fn element(&self) -> ElementType {
        match self.data {
            TensorData::F32(_) => ElementType::F32,
            TensorData::F16(_) => ElementType::F16,
            TensorData::I64(_) => ElementType::I64,
            TensorData::I32(_) => ElementType::I32,
            TensorData::U8(_) => ElementType::U8,
        }
    }

    /// The elements as 32-bit floats; none for integers.
    pub fn into_f32(self) -> Option<Vec<f32>> {
        match self.data {
            TensorData::F32(values) => Some(values),
            TensorData::F16(values) => Some(values.into_iter().map(f16::to_f32).collect()),
            TensorData::I64(_) | TensorData::I32(_) | TensorData::U8(_) => None,
        }
    }
}

/// A tensor that stays where a graph made it, to be fed to another run on the same device
/// (a caption decoder's cache, pixels normalised on the device).
pub struct DeviceTensor(pub(super) Box<dyn Any + Send>);

impl fmt::Debug for DeviceTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceTensor")
    }
}

/// What is fed to a graph under a name.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Borrowed from host memory, not copied on the way to the CPU.
    Host(&'a Tensor),
    /// An earlier output that stayed on the device.
    Device(&'a DeviceTensor),
}

/// Where an output is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// In host memory.
    Host,
    /// Where the graph made it.
    Device,
}

/// What a graph gave under a name.
#[derive(Debug)]
pub enum Output {
    /// In host memory.
    Host(Tensor),
    /// On the device.
    Device(DeviceTensor),
}
