//! Our tensors to the binding's values and back.

use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::SessionInputValue;
use ort::value::{DynValue, Outlet, Tensor as OwnedTensor, TensorElementType, TensorRef, ValueType};

use crate::model::device::Device;
use crate::model::tensor::{DeviceTensor, ElementType, Input, Tensor, TensorData, TensorInfo};

/// Memory on which outputs are left.
pub(super) fn memory_of(device: Device) -> ort::Result<MemoryInfo<'static>> {
    match device {
        Device::Cpu | Device::Auto => {
            MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)
        }
        Device::Cuda(number) | Device::TensorRt(number) => MemoryInfo::new(
            AllocationDevice::CUDA,
            number.try_into().unwrap_or(i32::MAX),
            AllocatorType::Device,
            MemoryType::Default,
        ),
    }
}

/// A host tensor as a borrowed value, a device tensor as the value that it is.
pub(super) fn input_value<'a>(input: &Input<'a>) -> ort::Result<SessionInputValue<'a>> {
    let tensor = match input {
        Input::Host(tensor) => tensor,
        Input::Device(tensor) => return device_value(tensor).map(SessionInputValue::from),
    };
    let shape = tensor.shape.as_slice();
    Ok(match &tensor.data {
        TensorData::F32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        TensorData::F16(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        TensorData::I64(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        TensorData::I32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        TensorData::U8(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
    })
}

/// A host tensor as a value of its own, for a binding: the binding clones borrowed values, and
/// that locks itself out for ever in 2.0.0-rc.15 (cloning binds, binding clones).
pub(super) fn owned_value(tensor: &Tensor) -> ort::Result<DynValue> {
    let shape = tensor.shape.clone();
    Ok(match &tensor.data {
        TensorData::F32(values) => OwnedTensor::from_array((shape, values.clone()))?.into_dyn(),
        TensorData::F16(values) => OwnedTensor::from_array((shape, values.clone()))?.into_dyn(),
        TensorData::I64(values) => OwnedTensor::from_array((shape, values.clone()))?.into_dyn(),
        TensorData::I32(values) => OwnedTensor::from_array((shape, values.clone()))?.into_dyn(),
        TensorData::U8(values) => OwnedTensor::from_array((shape, values.clone()))?.into_dyn(),
    })
}

/// The value behind a device tensor.
pub(super) fn device_value(tensor: &DeviceTensor) -> ort::Result<&DynValue> {
    tensor
        .0
        .downcast_ref()
        .ok_or_else(|| ort::Error::new("a device tensor of another runtime was given"))
}

/// Copies a value of the host into a tensor of our own.
pub(super) fn host_tensor(value: &DynValue) -> ort::Result<Tensor> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(ort::Error::new("the output is no tensor"));
    };
    let shape: Vec<usize> = shape
        .iter()
        .map(|&length| usize::try_from(length).unwrap_or(0))
        .collect();
    let data = match ty {
        TensorElementType::Float32 => TensorData::F32(value.try_extract_tensor()?.1.to_vec()),
        TensorElementType::Float16 => TensorData::F16(value.try_extract_tensor()?.1.to_vec()),
        TensorElementType::Int64 => TensorData::I64(value.try_extract_tensor()?.1.to_vec()),
        TensorElementType::Int32 => TensorData::I32(value.try_extract_tensor()?.1.to_vec()),
        TensorElementType::Uint8 => TensorData::U8(value.try_extract_tensor()?.1.to_vec()),
        other => return Err(ort::Error::new(format!("outputs of type {other} are not supported"))),
    };
    Ok(Tensor { shape, data })
}

pub(super) fn describe(outlet: &Outlet) -> TensorInfo {
    let (element, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let element = match ty {
                TensorElementType::Float32 => ElementType::F32,
                TensorElementType::Float16 => ElementType::F16,
                TensorElementType::Int64 => ElementType::I64,
                TensorElementType::Int32 => ElementType::I32,
                TensorElementType::Uint8 => ElementType::U8,
                _ => ElementType::Other,
            };
            (
                element,
                shape.iter().map(|&length| usize::try_from(length).ok()).collect(),
            )
        }
        ValueType::Sequence(_) | ValueType::Map { .. } | ValueType::Optional(_) => (ElementType::Other, Vec::new()),
    };
    TensorInfo {
        name: outlet.name().to_owned(),
        element,
        shape,
    }
}
