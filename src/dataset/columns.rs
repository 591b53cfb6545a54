//! Typed views of a column: a value a row, none where the row is null. They own what they look at
//! (Arrow arrays are shared), so they may outlive the rows they came from.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, ListArray, MapArray,
    StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};

use super::ReadError;

fn wrong(name: &str, wanted: &'static str, array: &ArrayRef) -> ReadError {
    ReadError::Type {
        column: name.to_owned(),
        wanted,
        found: array.data_type().to_string(),
    }
}

fn list(name: &str, array: &ArrayRef) -> Result<ListArray, ReadError> {
    let list = array.as_list_opt::<i32>().cloned();
    list.ok_or_else(|| wrong(name, "a list", array))
}

/// Where the items of a row are among all items; empty for null.
fn range(list: &ListArray, row: usize) -> Range<usize> {
    if list.is_null(row) {
        return 0..0;
    }
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

/// A column of texts.
#[derive(Debug, Clone)]
pub struct TextColumn(StringArray);

impl TextColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let texts = array.as_string_opt::<i32>().cloned();
        texts.map(Self).ok_or_else(|| wrong(name, "text", array))
    }

    /// The text of a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

/// A column of lists of texts.
#[derive(Debug, Clone)]
pub struct TextsColumn(ListArray, StringArray);

impl TextsColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let list = list(name, array)?;
        let items = list.values().as_string_opt::<i32>().cloned();
        let items = items.ok_or_else(|| wrong(name, "a list of texts", array))?;
        Ok(Self(list, items))
    }

    /// Whether the row is null, which an empty list is not.
    pub fn is_null(&self, row: usize) -> bool {
        self.0.is_null(row)
    }

    /// The texts of a row; none where it is null.
    pub fn get(&self, row: usize) -> Vec<&str> {
        range(&self.0, row).map(|item| self.1.value(item)).collect()
    }
}

/// A column of numbers.
#[derive(Debug, Clone)]
pub struct NumberColumn(Float64Array);

impl NumberColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        if !array.data_type().is_numeric() {
            return Err(wrong(name, "a number", array));
        }
        let numbers = cast(array, &DataType::Float64).map_err(|_| wrong(name, "a number", array))?;
        Ok(Self(numbers.as_primitive::<Float64Type>().clone()))
    }

    /// The number of a row.
    pub fn get(&self, row: usize) -> Option<f64> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

/// A column of whole numbers. Seeds go up to 2^64 - 1, so values are 128 bits wide.
#[derive(Debug, Clone)]
pub enum WholeColumn {
    /// 64 bits, signed.
    Signed(arrow::array::Int64Array),
    /// 64 bits, unsigned.
    Unsigned(UInt64Array),
}

impl WholeColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        if let Some(whole) = array.as_primitive_opt::<UInt64Type>() {
            return Ok(Self::Unsigned(whole.clone()));
        }
        if !array.data_type().is_integer() {
            return Err(wrong(name, "a whole number", array));
        }
        let whole = cast(array, &DataType::Int64).map_err(|_| wrong(name, "a whole number", array))?;
        Ok(Self::Signed(whole.as_primitive::<Int64Type>().clone()))
    }

    /// The number of a row.
    pub fn get(&self, row: usize) -> Option<i128> {
        match self {
            Self::Signed(array) => array.is_valid(row).then(|| i128::from(array.value(row))),
            Self::Unsigned(array) => array.is_valid(row).then(|| i128::from(array.value(row))),
        }
    }
}

/// A column of truth values.
#[derive(Debug, Clone)]
pub struct BoolColumn(BooleanArray);

impl BoolColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let truths = array.as_boolean_opt().cloned();
        truths.map(Self).ok_or_else(|| wrong(name, "a truth value", array))
    }

    /// The value of a row.
    pub fn get(&self, row: usize) -> Option<bool> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

/// A column of times.
#[derive(Debug, Clone)]
pub struct TimeColumn(TimestampMicrosecondArray);

impl TimeColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let times = array.as_primitive_opt::<TimestampMicrosecondType>().cloned();
        times.map(Self).ok_or_else(|| wrong(name, "a time", array))
    }

    /// Microseconds since 1970-01-01T00:00:00, of UTC or of the camera's clock.
    pub fn get(&self, row: usize) -> Option<i64> {
        self.0.is_valid(row).then(|| self.0.value(row))
    }
}

/// A column of lists of numbers.
#[derive(Debug, Clone)]
pub struct NumbersColumn(ListArray, Float32Array);

impl NumbersColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let list = list(name, array)?;
        if !list.values().data_type().is_numeric() {
            return Err(wrong(name, "a list of numbers", array));
        }
        let items = cast(list.values(), &DataType::Float32).map_err(|_| wrong(name, "a list of numbers", array))?;
        let items = items.as_primitive::<Float32Type>().clone();
        Ok(Self(list, items))
    }

    /// The numbers of a row; none where it is null.
    pub fn get(&self, row: usize) -> &[f32] {
        &self.1.values()[range(&self.0, row)]
    }
}

/// A column of embeddings, read as 32-bit floats.
#[derive(Debug, Clone)]
pub struct EmbeddingColumn(FixedSizeListArray, Float32Array);

impl EmbeddingColumn {
    /// The embeddings of an array; `name` is for the message.
    pub fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let lists = array.as_fixed_size_list_opt().cloned();
        let lists = lists.ok_or_else(|| wrong(name, "embeddings", array))?;
        if !lists.values().data_type().is_floating() {
            return Err(wrong(name, "embeddings", array));
        }
        let items = cast(lists.values(), &DataType::Float32).map_err(|_| wrong(name, "embeddings", array))?;
        let items = items.as_primitive::<Float32Type>().clone();
        Ok(Self(lists, items))
    }

    /// Numbers in an embedding.
    pub fn width(&self) -> usize {
        self.0.value_length() as usize
    }

    /// The embedding of a row, of length 1; none on failed rows.
    pub fn get(&self, row: usize) -> Option<&[f32]> {
        let start = self.0.value_offset_at(row);
        self.0
            .is_valid(row)
            .then(|| &self.1.values()[start..start + self.width()])
    }
}

/// A column of structs.
#[derive(Debug, Clone)]
pub struct StructColumn(StructArray);

impl StructColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let structs = array.as_struct_opt().cloned();
        structs.map(Self).ok_or_else(|| wrong(name, "a struct", array))
    }

    /// Whether the row has none.
    pub fn is_null(&self, row: usize) -> bool {
        self.0.is_null(row)
    }

    fn field(&self, name: &str) -> Result<&ArrayRef, ReadError> {
        self.0.column_by_name(name).ok_or_else(|| ReadError::Type {
            column: name.to_owned(),
            wanted: "a field of the struct",
            found: "missing".to_owned(),
        })
    }

    /// A field of texts.
    pub fn text(&self, name: &str) -> Result<TextColumn, ReadError> {
        TextColumn::new(name, self.field(name)?)
    }

    /// A field of numbers.
    pub fn number(&self, name: &str) -> Result<NumberColumn, ReadError> {
        NumberColumn::new(name, self.field(name)?)
    }

    /// A field of whole numbers.
    pub fn whole(&self, name: &str) -> Result<WholeColumn, ReadError> {
        WholeColumn::new(name, self.field(name)?)
    }

    /// A field of truth values.
    pub fn truth(&self, name: &str) -> Result<BoolColumn, ReadError> {
        BoolColumn::new(name, self.field(name)?)
    }
}

/// A column of lists of structs.
#[derive(Debug, Clone)]
pub struct StructsColumn {
    list: ListArray,
    /// All items of all rows.
    pub items: StructColumn,
}

impl StructsColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let list = list(name, array)?;
        let items = StructColumn::new(name, list.values())?;
        Ok(Self { list, items })
    }

    /// Where the items of a row are in [`StructsColumn::items`].
    pub fn range(&self, row: usize) -> Range<usize> {
        range(&self.list, row)
    }
}

/// A column of maps of text to text.
#[derive(Debug, Clone)]
pub struct MapColumn {
    map: MapArray,
    keys: StringArray,
    values: StringArray,
}

impl MapColumn {
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, ReadError> {
        let map = array.as_map_opt().cloned();
        let map = map.ok_or_else(|| wrong(name, "a map", array))?;
        let keys = map.keys().as_string_opt::<i32>().cloned();
        let values = map.values().as_string_opt::<i32>().cloned();
        match (keys, values) {
            (Some(keys), Some(values)) => Ok(Self { map, keys, values }),
            _ => Err(wrong(name, "a map of text to text", array)),
        }
    }

    /// The pairs of a row, in the order of the file.
    pub fn get(&self, row: usize) -> Vec<(&str, &str)> {
        if self.map.is_null(row) {
            return Vec::new();
        }
        let offsets = self.map.value_offsets();
        (offsets[row] as usize..offsets[row + 1] as usize)
            .map(|item| (self.keys.value(item), self.values.value(item)))
            .collect()
    }
}
