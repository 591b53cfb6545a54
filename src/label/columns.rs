//! The Arrow columns of labelers: names with their prefix, and the builders that several share.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float16Array, Float32Array, ListBuilder, PrimitiveBuilder, StringBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use half::f16;

use super::{EmbeddingType, LabelError};

/// Names columns: plain, or with the prefix that a model entry asks for.
#[derive(Debug, Clone)]
pub struct ColumnNames {
    prefix: Option<String>,
}

impl ColumnNames {
    /// Names with `prefix`; `model` is for the message.
    pub fn new(prefix: Option<&str>, model: &str) -> Result<Self, LabelError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let good = |prefix: &str| prefix.starts_with(|c: char| c.is_ascii_lowercase()) && prefix.chars().all(plain);
        match prefix {
            Some(prefix) if !good(prefix) => Err(LabelError::Option {
                model: model.to_owned(),
                message: format!("`columns` is `{prefix}`; lower case letters, digits and _ are wanted"),
            }),
            _ => Ok(Self {
                prefix: prefix.map(str::to_owned),
            }),
        }
    }

    /// A nullable field under its name.
    pub fn field(&self, name: &str, data_type: DataType) -> FieldRef {
        let name = self
            .prefix
            .as_ref()
            .map_or_else(|| name.to_owned(), |prefix| format!("{prefix}_{name}"));
        Arc::new(Field::new(name, data_type, true))
    }
}

/// The element of every list here; Parquet's own name for it, never null.
fn element(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, false))
}

/// The type of a list column.
pub fn list_type(data_type: DataType) -> DataType {
    DataType::List(element(data_type))
}

/// The type of an embedding column.
pub fn embedding_type(kind: EmbeddingType, width: usize) -> DataType {
    let data_type = match kind {
        EmbeddingType::Float16 => DataType::Float16,
        EmbeddingType::Float32 => DataType::Float32,
    };
    DataType::FixedSizeList(element(data_type), width_i32(width))
}

/// A builder of lists of texts.
pub fn text_lists() -> ListBuilder<StringBuilder> {
    ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8))
}

/// A builder of lists of scores.
pub fn score_lists() -> ListBuilder<PrimitiveBuilder<Float32Type>> {
    ListBuilder::new(PrimitiveBuilder::new()).with_field(element(DataType::Float32))
}

/// An embedding column from rows of `width` values; null where there is no row.
pub fn embeddings(rows: &[Option<Vec<f32>>], width: usize, kind: EmbeddingType) -> ArrayRef {
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
    // A null row still takes its place among the values.
    let values = || {
        let blank = vec![0.0; width];
        rows.iter()
            .flat_map(move |row| row.clone().unwrap_or_else(|| blank.clone()))
    };
    let (field, values): (FieldRef, ArrayRef) = match kind {
        EmbeddingType::Float16 => (
            element(DataType::Float16),
            Arc::new(Float16Array::from_iter_values(values().map(f16::from_f32))),
        ),
        EmbeddingType::Float32 => (
            element(DataType::Float32),
            Arc::new(Float32Array::from_iter_values(values())),
        ),
    };
    Arc::new(FixedSizeListArray::new(field, width_i32(width), values, Some(nulls)))
}

fn width_i32(width: usize) -> i32 {
    i32::try_from(width).expect("a row of an embedding fits into memory, so its width into 31 bits")
}
