//! A row as JSON: what `export jsonl` and a page's data need. Whole numbers stay exact, half floats
//! become the shortest number that reads back as the same half float's single.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use serde_json::{Map, Value};

/// A row of a batch, its columns in their order.
pub fn row(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let schema = batch.schema_ref();
    let columns = schema.fields().iter().zip(batch.columns());
    columns
        .map(|(field, array)| (field.name().clone(), value(array, row)))
        .collect()
}

fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => single(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Float16 => cast(&array.slice(row, 1), &DataType::Float32).map_or(Value::Null, |array| {
            single(array.as_primitive::<Float32Type>().value(0))
        }),
        DataType::Timestamp(_, zone) => {
            let microseconds = array.as_primitive::<TimestampMicrosecondType>().value(row);
            time_text(microseconds, zone.is_some()).map_or(Value::Null, Value::from)
        }
        DataType::List(_) => items(&array.as_list::<i32>().value(row)),
        DataType::FixedSizeList(..) => items(&array.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            columns
                .map(|(field, column)| (field.name().clone(), value(column, row)))
                .collect::<Map<_, _>>()
                .into()
        }
        DataType::Map(..) => {
            let pairs: ArrayRef = std::sync::Arc::new(array.as_map().value(row));
            let (keys, values) = (pairs.as_struct().column(0), pairs.as_struct().column(1));
            (0..pairs.len())
                .map(|pair| {
                    let key = value(keys, pair).as_str().unwrap_or_default().to_owned();
                    (key, value(values, pair))
                })
                .collect::<Map<_, _>>()
                .into()
        }
        // Nothing else is ever written to a dataset.
        _ => Value::Null,
    }
}

fn items(array: &ArrayRef) -> Value {
    // Once a list, not once an item: embeddings are half floats.
    let array = match array.data_type() {
        DataType::Float16 => cast(array, &DataType::Float32).unwrap_or_else(|_| ArrayRef::clone(array)),
        _ => ArrayRef::clone(array),
    };
    (0..array.len()).map(|item| value(&array, item)).collect()
}

/// A single float by its own shortest digits (0.1, not 0.10000000149011612).
fn single(number: f32) -> Value {
    number
        .to_string()
        .parse::<f64>()
        .ok()
        .and_then(serde_json::Number::from_f64)
        .map_or(Value::Null, Value::Number)
}

/// RFC 3339 for an instant; without a zone for a clock whose zone is unknown.
pub(super) fn time_text(microseconds: i64, has_zone: bool) -> Option<String> {
    let text = jiff::Timestamp::from_microsecond(microseconds).ok()?.to_string();
    Some(if has_zone {
        text
    } else {
        text.trim_end_matches('Z').to_owned()
    })
}
