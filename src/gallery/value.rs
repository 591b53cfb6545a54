//! Cells of a record batch as text, numbers and lists, whatever their exact Arrow type; a column
//! that is not there is null.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType, UInt64Type};

/// A column that is looked at cell by cell.
pub(super) struct Cells(Option<ArrayRef>);

impl Cells {
    /// A column as text; whole and real numbers and instants are written out.
    pub fn texts(batch: &RecordBatch, name: &str) -> Self {
        Self(batch.column_by_name(name).and_then(as_texts))
    }

    /// A field of a column of structs as text.
    pub fn field_texts(batch: &RecordBatch, name: &str, field: &str) -> Self {
        let structure = batch.column_by_name(name).and_then(|column| column.as_struct_opt());
        let column = structure.and_then(|structure| structure.column_by_name(field));
        Self(column.and_then(as_texts))
    }

    /// A column as real numbers.
    pub fn numbers(batch: &RecordBatch, name: &str) -> Self {
        let column = batch.column_by_name(name);
        Self(column.and_then(|column| cast(column, &DataType::Float64).ok()))
    }

    /// The text of a row.
    pub fn text(&self, row: usize) -> Option<&str> {
        let array = self.0.as_ref().filter(|array| array.is_valid(row))?;
        Some(array.as_string_opt::<i32>()?.value(row))
    }

    /// The number of a row, if it is one.
    pub fn number(&self, row: usize) -> Option<f64> {
        let array = self.0.as_ref().filter(|array| array.is_valid(row))?;
        let array = array.as_primitive_opt::<arrow::datatypes::Float64Type>()?;
        Some(array.value(row)).filter(|number| number.is_finite())
    }
}

/// An array as text. Half floats go by way of single ones, which keeps `0.7` short.
fn as_texts(array: &ArrayRef) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let suffix = if zone.is_some() { " UTC" } else { "" };
            let array = array.as_primitive_opt::<TimestampMicrosecondType>()?;
            let texts = array.iter().map(|micros| {
                let instant = jiff::Timestamp::from_microsecond(micros?).ok()?;
                Some(format!("{}{suffix}", instant.strftime("%Y-%m-%d %H:%M:%S")))
            });
            Some(std::sync::Arc::new(texts.collect::<arrow::array::StringArray>()))
        }
        DataType::Float16 => as_texts(&cast(array, &DataType::Float32).ok()?),
        _ => cast(array, &DataType::Utf8).ok(),
    }
}

/// The list of a row as one array; empty where there is none.
pub(super) fn list(batch: &RecordBatch, name: &str, row: usize) -> Option<ArrayRef> {
    let lists = batch.column_by_name(name)?.as_list_opt::<i32>()?;
    lists.is_valid(row).then(|| lists.value(row))
}

/// The list of a row as texts.
pub(super) fn list_texts(batch: &RecordBatch, name: &str, row: usize) -> Vec<String> {
    let texts = list(batch, name, row).and_then(|array| as_texts(&array));
    let Some(texts) = texts else { return Vec::new() };
    let texts = texts.as_string::<i32>();
    texts.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
}

/// The list of a row as numbers.
pub(super) fn list_numbers(batch: &RecordBatch, name: &str, row: usize) -> Vec<f64> {
    let numbers = list(batch, name, row).and_then(|array| cast(&array, &DataType::Float64).ok());
    let Some(numbers) = numbers else { return Vec::new() };
    let numbers = numbers.as_primitive::<arrow::datatypes::Float64Type>();
    numbers.iter().map(Option::unwrap_or_default).collect()
}

/// The fields of a row's struct that have a value, as text.
pub(super) fn fields(array: &ArrayRef, row: usize) -> Vec<(String, String)> {
    let Some(structure) = array.as_struct_opt().filter(|structure| structure.is_valid(row)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (field, column) in structure.fields().iter().zip(structure.columns()) {
        let text = as_texts(&column.slice(row, 1));
        if let Some(text) = text.filter(|text| text.is_valid(0)) {
            found.push((field.name().clone(), text.as_string::<i32>().value(0).to_owned()));
        }
    }
    found
}

/// The entries of a row's map that have a value.
pub(super) fn entries(array: &ArrayRef, row: usize) -> Vec<(String, String)> {
    let Some(map) = array.as_map_opt().filter(|map| map.is_valid(row)) else {
        return Vec::new();
    };
    let entries = map.value(row);
    let (Some(keys), Some(values)) = (as_texts(entries.column(0)), as_texts(entries.column(1))) else {
        return Vec::new();
    };
    let pairs = keys.as_string::<i32>().iter().zip(values.as_string::<i32>());
    pairs
        .filter_map(|(key, value)| Some((key?.to_owned(), value?.to_owned())))
        .collect()
}

/// A score with as many digits as a page can show.
pub(super) fn rounded(score: f64) -> f64 {
    (score * 1e4).round() / 1e4
}

/// A whole number, exact up to 64 bits.
pub(super) fn whole(batch: &RecordBatch, name: &str, row: usize) -> Option<u64> {
    let column = batch.column_by_name(name)?;
    let array = cast(&column.slice(row, 1), &DataType::UInt64).ok()?;
    array.is_valid(0).then(|| array.as_primitive::<UInt64Type>().value(0))
}
