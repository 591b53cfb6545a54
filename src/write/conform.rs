//! One spelling for every Arrow type a labeler may hand over: no dictionaries (Parquet makes its
//! own), list items called `element`, embeddings with items that are never null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, make_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;

use super::WriteError;
use super::schema::element;

/// The type under which a labeler's column is written; none for a type that readers disagree on.
pub fn plain_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Dictionary(_, values) => plain_type(values)?,
        DataType::LargeUtf8 | DataType::Utf8View | DataType::Utf8 => DataType::Utf8,
        DataType::List(item) | DataType::LargeList(item) => {
            DataType::List(element(plain_type(item.data_type())?, true))
        }
        DataType::FixedSizeList(item, size) => {
            let floats = matches!(item.data_type(), DataType::Float16 | DataType::Float32);
            if !floats || *size < 1 {
                return None;
            }
            DataType::FixedSizeList(element(item.data_type().clone(), false), *size)
        }
        DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt64 => data_type.clone(),
        _ => return None,
    })
}

/// `array` as `wanted`, which [`plain_type`] made from its type.
pub fn conform(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, WriteError> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    if let (DataType::FixedSizeList(_, given), DataType::FixedSizeList(item, size)) = (array.data_type(), wanted) {
        if given != size {
            return Err(WriteError::Batch(format!(
                "an embedding has {given} numbers where the plan says {size}"
            )));
        }
        let list = array.as_fixed_size_list();
        let values = make_array(list.values().to_data());
        return Ok(Arc::new(FixedSizeListArray::try_new(
            Arc::clone(item),
            *size,
            values,
            list.nulls().cloned(),
        )?));
    }
    // Strict: a value that does not fit is an error, never a silent null.
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, wanted, &strict)?)
}
