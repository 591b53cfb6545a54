//! Records to Arrow arrays: one small function a shape of column. Which column takes which value
//! is said in `schema.rs` alone.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};

use super::schema::element;
use crate::record::{ImageRecord, Settings};

/// One nullable text a record.
pub fn text<'a>(records: &'a [ImageRecord], value: impl Fn(&'a ImageRecord) -> Option<&'a str>) -> ArrayRef {
    Arc::new(records.iter().map(value).collect::<StringArray>())
}

/// One nullable whole number a record.
pub fn whole(records: &[ImageRecord], value: impl Fn(&ImageRecord) -> Option<i64>) -> ArrayRef {
    Arc::new(records.iter().map(value).collect::<Int64Array>())
}

/// One nullable real number a record.
pub fn real(records: &[ImageRecord], value: impl Fn(&ImageRecord) -> Option<f64>) -> ArrayRef {
    Arc::new(records.iter().map(value).collect::<Float64Array>())
}

/// One nullable truth value a record.
pub fn truth(records: &[ImageRecord], value: impl Fn(&ImageRecord) -> Option<bool>) -> ArrayRef {
    Arc::new(records.iter().map(value).collect::<BooleanArray>())
}

/// One nullable instant a record: microseconds since 1970 (UTC).
pub fn instant(records: &[ImageRecord], value: impl Fn(&ImageRecord) -> Option<i64>) -> ArrayRef {
    Arc::new(
        records
            .iter()
            .map(value)
            .collect::<TimestampMicrosecondArray>()
            .with_timezone("UTC"),
    )
}

/// The same instant in `count` rows: microseconds since 1970 (UTC).
pub fn constant_time(count: usize, microseconds: i64) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_value(microseconds, count).with_timezone("UTC"))
}

/// One nullable reading of a clock without a zone a record: microseconds.
pub fn local_time(records: &[ImageRecord], value: impl Fn(&ImageRecord) -> Option<i64>) -> ArrayRef {
    Arc::new(records.iter().map(value).collect::<TimestampMicrosecondArray>())
}

/// A list of texts a record, empty rather than null.
pub fn texts<'a>(records: &'a [ImageRecord], values: impl Fn(&'a ImageRecord) -> Vec<&'a str>) -> ArrayRef {
    let lists: Vec<Vec<&str>> = records.iter().map(values).collect();
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(Vec::len));
    let items: StringArray = lists.iter().flatten().map(|item| Some(*item)).collect();
    Arc::new(ListArray::new(
        element(DataType::Utf8, true),
        offsets,
        Arc::new(items),
        None,
    ))
}

/// `settings`: null where the file gives none.
pub fn settings(records: &[ImageRecord], data_type: &DataType) -> ArrayRef {
    let nothing = Settings::default();
    let all: Vec<&Settings> = records.iter().map(|record| &record.recovered.settings).collect();
    let present: NullBuffer = all.iter().map(|settings| **settings != nothing).collect();
    let whole = |value: fn(&Settings) -> Option<u32>| -> ArrayRef {
        Arc::new(
            all.iter()
                .map(|settings| value(settings).map(i64::from))
                .collect::<Int64Array>(),
        )
    };
    let real = |value: fn(&Settings) -> Option<f64>| -> ArrayRef {
        Arc::new(all.iter().map(|settings| value(settings)).collect::<Float64Array>())
    };
    let text = |value: fn(&Settings) -> Option<&str>| -> ArrayRef {
        Arc::new(all.iter().map(|settings| value(settings)).collect::<StringArray>())
    };
    let columns = vec![
        whole(|settings| settings.steps),
        text(|settings| settings.sampler.as_deref()),
        text(|settings| settings.scheduler.as_deref()),
        real(|settings| settings.cfg_scale),
        Arc::new(all.iter().map(|settings| settings.seed).collect::<UInt64Array>()),
        text(|settings| settings.model.as_deref()),
        text(|settings| settings.model_hash.as_deref()),
        text(|settings| settings.vae.as_deref()),
        whole(|settings| settings.clip_skip),
        real(|settings| settings.denoising_strength),
        real(|settings| settings.guidance),
        whole(|settings| settings.width),
        whole(|settings| settings.height),
    ];
    structure(struct_fields(data_type), columns, Some(present))
}

/// `ai_provenance`: null where the file carries no mark.
pub fn ai_provenance(records: &[ImageRecord], data_type: &DataType) -> ArrayRef {
    let marks: Vec<_> = records
        .iter()
        .map(|record| record.recovered.ai_provenance.as_ref())
        .collect();
    let present: NullBuffer = marks.iter().map(Option::is_some).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            marks
                .iter()
                .map(|mark| mark.and_then(|mark| mark.vendor.as_deref()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            marks
                .iter()
                .map(|mark| mark.and_then(|mark| mark.claim_generator.as_deref()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            marks
                .iter()
                .map(|mark| mark.and_then(|mark| mark.digital_source_type.as_deref()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            marks
                .iter()
                .map(|mark| mark.and_then(|mark| mark.evidence.as_deref()))
                .collect::<StringArray>(),
        ),
        Arc::new(
            marks
                .iter()
                .map(|mark| mark.map(|mark| mark.verified))
                .collect::<BooleanArray>(),
        ),
    ];
    structure(struct_fields(data_type), columns, Some(present))
}

/// `loras` in the order of the file.
pub fn loras(records: &[ImageRecord], data_type: &DataType) -> ArrayRef {
    list_of_structs(
        data_type,
        records.iter().map(|record| record.recovered.loras.as_slice()),
        |items| {
            vec![
                Arc::new(
                    items
                        .iter()
                        .map(|lora| Some(lora.name.as_str()))
                        .collect::<StringArray>(),
                ),
                Arc::new(items.iter().map(|lora| lora.weight).collect::<Float64Array>()),
                Arc::new(items.iter().map(|lora| lora.hash.as_deref()).collect::<StringArray>()),
            ]
        },
    )
}

/// `character_prompts` in the order of the file.
pub fn character_prompts(records: &[ImageRecord], data_type: &DataType) -> ArrayRef {
    list_of_structs(
        data_type,
        records
            .iter()
            .map(|record| record.recovered.character_prompts.as_slice()),
        |items| {
            vec![
                Arc::new(
                    items
                        .iter()
                        .map(|character| Some(character.prompt.as_str()))
                        .collect::<StringArray>(),
                ),
                Arc::new(
                    items
                        .iter()
                        .map(|character| Some(character.negative_prompt.as_str()))
                        .collect::<StringArray>(),
                ),
                Arc::new(
                    items
                        .iter()
                        .map(|character| character.center.map(|(x, _)| x))
                        .collect::<Float64Array>(),
                ),
                Arc::new(
                    items
                        .iter()
                        .map(|character| character.center.map(|(_, y)| y))
                        .collect::<Float64Array>(),
                ),
            ]
        },
    )
}

/// `metadata_raw` in file order.
pub fn metadata_raw(records: &[ImageRecord], data_type: &DataType) -> ArrayRef {
    list_of_structs(data_type, records.iter().map(|record| record.raw.as_slice()), |items| {
        vec![
            Arc::new(
                items
                    .iter()
                    .map(|entry| Some(entry.slot.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                items
                    .iter()
                    .map(|entry| Some(entry.key.as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                items
                    .iter()
                    .map(|entry| Some(entry.text.as_str()))
                    .collect::<StringArray>(),
            ),
        ]
    })
}

/// `parameters_extra`. A map's keys are unique for every reader, so a key that a file has twice
/// is written as `key`, `key (2)` …
pub fn parameters_extra(records: &[ImageRecord], data_type: &DataType) -> ArrayRef {
    let DataType::Map(entries, ordered) = data_type else {
        unreachable!("parameters_extra is a map")
    };
    let lengths = records.iter().map(|record| record.recovered.parameters_extra.len());
    let offsets = OffsetBuffer::from_lengths(lengths);
    let keys: Vec<String> = records
        .iter()
        .flat_map(|record| unique_keys(&record.recovered.parameters_extra))
        .collect();
    let values = records.iter().flat_map(|record| &record.recovered.parameters_extra);
    let values: StringArray = values.map(|(_, value)| Some(value.as_str())).collect();
    let keys = StringArray::from_iter_values(keys);
    let pairs = StructArray::new(
        struct_fields(entries.data_type()),
        vec![Arc::new(keys), Arc::new(values)],
        None,
    );
    Arc::new(MapArray::new(Arc::clone(entries), offsets, pairs, None, *ordered))
}

fn unique_keys(pairs: &[(String, String)]) -> Vec<String> {
    let mut used: HashSet<String> = HashSet::new();
    let mut keys = Vec::with_capacity(pairs.len());
    for (key, _) in pairs {
        let mut name = key.clone();
        let mut count = 1;
        while !used.insert(name.clone()) {
            count += 1;
            name = format!("{key} ({count})");
        }
        keys.push(name);
    }
    keys
}

/// A list of structs a record, empty rather than null; `columns` splits all items into columns.
fn list_of_structs<'a, T: 'a>(
    data_type: &DataType,
    lists: impl Iterator<Item = &'a [T]>,
    columns: impl Fn(&[&'a T]) -> Vec<ArrayRef>,
) -> ArrayRef {
    let DataType::List(item) = data_type else {
        unreachable!("the column is a list")
    };
    let mut lengths = Vec::new();
    let mut items: Vec<&T> = Vec::new();
    for list in lists {
        lengths.push(list.len());
        items.extend(list);
    }
    let structs = structure(struct_fields(item.data_type()), columns(&items), None);
    Arc::new(ListArray::new(
        Arc::clone(item) as FieldRef,
        OffsetBuffer::from_lengths(lengths),
        structs,
        None,
    ))
}

fn structure(fields: Fields, columns: Vec<ArrayRef>, present: Option<NullBuffer>) -> ArrayRef {
    Arc::new(StructArray::new(fields, columns, present))
}

fn struct_fields(data_type: &DataType) -> Fields {
    let DataType::Struct(fields) = data_type else {
        unreachable!("the column's items are structs")
    };
    fields.clone()
}

/// Bytes of text in a record, about: what a batch is split by, since an Arrow text array holds
/// less than 2 GiB.
pub fn text_bytes(record: &ImageRecord) -> usize {
    let recovered = &record.recovered;
    let long = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let raw: usize = record.raw.iter().map(|entry| entry.text.len() + entry.key.len()).sum();
    let extra: usize = recovered
        .parameters_extra
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let notes: usize = recovered
        .notes
        .iter()
        .chain(&record.facts.keywords)
        .map(String::len)
        .sum();
    raw + extra + notes + long(&recovered.prompt) + long(&recovered.negative_prompt) + long(&recovered.original_prompt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_come_twice_stay_apart() {
        let pairs = |keys: &[&str]| {
            keys.iter()
                .map(|key| ((*key).to_owned(), String::new()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            unique_keys(&pairs(&["a", "b", "a", "a", "a (2)"])),
            ["a", "b", "a (2)", "a (3)", "a (2) (2)"]
        );
    }
}
