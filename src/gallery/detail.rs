//! One row in full, for the page's detail view. Every value is text (a seed of 64 bits is no number
//! to JavaScript) and every map a list of pairs (`__proto__` is a fine name for a parameter).

use arrow::array::{Array, ArrayRef, RecordBatch, StructArray};
use serde_json::{Value, json};

use super::table::ScoredList;
use super::value::{Cells, entries, fields, list, list_numbers, list_texts, rounded, whole};

/// Texts that are shown in a block of their own, with a button to copy them.
const TEXTS: [(&str, &str); 7] = [
    ("edited_prompt", "Edited prompt"),
    ("prompt", "Prompt"),
    ("negative_prompt", "Negative prompt"),
    ("original_prompt", "Original prompt"),
    ("original_negative_prompt", "Original negative prompt"),
    ("caption", "Caption"),
    ("clip_prompt", "Interrogated prompt"),
];

/// Facts of the file and of its metadata, in their order.
const FACTS: [(&str, &str); 19] = [
    ("format", "Format"),
    ("modified_at", "Modified"),
    ("taken_at", "Taken"),
    ("camera", "Camera"),
    ("lens", "Lens"),
    ("exposure_secs", "Exposure (s)"),
    ("f_number", "Aperture (f)"),
    ("iso", "ISO"),
    ("focal_length_mm", "Focal length (mm)"),
    ("photo_rating", "Photo rating"),
    ("generator", "Generator"),
    ("generator_version", "Generator version"),
    ("metadata_status", "Metadata"),
    ("metadata_slot", "Found in"),
    ("metadata_confidence", "Confidence"),
    ("prompt_source", "Prompt from"),
    ("signature_valid", "Signature valid"),
    ("labeled_at", "Labeled"),
    ("blake3", "BLAKE3"),
];

/// The rows of a batch.
pub(super) fn details(batch: &RecordBatch, lists: &[ScoredList]) -> Value {
    let columns = Columns::of(batch);
    (0..batch.num_rows())
        .map(|row| columns.detail(batch, lists, row))
        .collect()
}

/// The columns of a batch, looked up once.
struct Columns {
    uri: Cells,
    error: Cells,
    texts: Vec<(&'static str, Cells)>,
    facts: Vec<(&'static str, Cells)>,
    /// Class, and its score.
    classes: Vec<(String, Cells, Cells)>,
    /// Numbers of labelers that belong to no class.
    numbers: Vec<(String, Cells)>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Self {
        let named = |names: &[(&str, &'static str)]| {
            let cells = names.iter().map(|(name, title)| (*title, Cells::texts(batch, name)));
            cells.collect::<Vec<_>>()
        };
        let (mut classes, mut numbers) = (Vec::new(), Vec::new());
        for field in batch.schema().fields() {
            use arrow::datatypes::DataType::{Float16, Float32};
            if !matches!(field.data_type(), Float16 | Float32) {
                continue;
            }
            let cells = Cells::numbers(batch, field.name());
            match field.name().strip_suffix("_score") {
                Some(class) if batch.column_by_name(class).is_some() => {
                    classes.push((class.to_owned(), Cells::texts(batch, class), cells));
                }
                _ => numbers.push((field.name().clone(), cells)),
            }
        }
        Self {
            uri: Cells::texts(batch, "uri"),
            error: Cells::texts(batch, "error"),
            texts: named(&TEXTS),
            facts: named(&FACTS),
            classes,
            numbers,
        }
    }

    fn detail(&self, batch: &RecordBatch, lists: &[ScoredList], row: usize) -> Value {
        let text_pairs = |named: &[(&'static str, Cells)]| -> Vec<Value> {
            let found = named
                .iter()
                .filter_map(|(title, cells)| Some(json!([title, cells.text(row)?])));
            found.collect()
        };
        let mut facts = text_pairs(&self.facts);
        if let Some(bytes) = whole(batch, "file_size", row) {
            facts.insert(0, json!(["File size", crate::progress::human_bytes(bytes)]));
        }
        for (name, title) in [
            ("metadata_notes", "Notes"),
            ("generators_also", "Also"),
            ("keywords", "Keywords"),
        ] {
            let texts = list_texts(batch, name, row);
            if !texts.is_empty() {
                facts.push(json!([title, texts.join("; ")]));
            }
        }
        let mut texts = text_pairs(&self.texts);
        for character in structures(batch, "character_prompts", row) {
            let said = character.iter().find(|(name, _)| name == "prompt");
            texts.extend(said.map(|(_, text)| json!(["Character prompt", text])));
        }
        let classes = self
            .classes
            .iter()
            .filter_map(|(name, class, score)| Some(json!([name, class.text(row)?, score.number(row).map(rounded)])));
        let numbers = self
            .numbers
            .iter()
            .filter_map(|(name, cells)| Some(json!([name, rounded(cells.number(row)?)])));
        json!({
            "uri": self.uri.text(row),
            "error": self.error.text(row),
            "texts": texts,
            "facts": facts,
            "settings": column_fields(batch, "settings", row),
            "loras": structures(batch, "loras", row),
            "extra": batch.column_by_name("parameters_extra").map(|map| entries(map, row)),
            "provenance": column_fields(batch, "ai_provenance", row),
            "classes": classes.collect::<Vec<_>>(),
            "numbers": numbers.collect::<Vec<_>>(),
            "lists": lists.iter().map(|list| scored(batch, list, row)).collect::<Vec<_>>(),
        })
    }
}

fn column_fields(batch: &RecordBatch, name: &str, row: usize) -> Vec<(String, String)> {
    batch
        .column_by_name(name)
        .map_or_else(Vec::new, |column| fields(column, row))
}

/// The structs of a row's list.
fn structures(batch: &RecordBatch, name: &str, row: usize) -> Vec<Vec<(String, String)>> {
    let Some(array) = list(batch, name, row) else {
        return Vec::new();
    };
    let is_structs = array.as_any().is::<StructArray>();
    let items = if is_structs { array.len() } else { 0 };
    let array: ArrayRef = array;
    (0..items).map(|item| fields(&array, item)).collect()
}

/// A list column of a row: its name, then `[item, score, group]` each.
fn scored(batch: &RecordBatch, list: &ScoredList, row: usize) -> Value {
    let names = list_texts(batch, &list.name, row);
    let scores = list_numbers(batch, &list.scores, row);
    let groups = list
        .groups
        .as_ref()
        .map_or_else(Vec::new, |groups| list_texts(batch, groups, row));
    let items: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(at, name)| json!([name, scores.get(at).copied().map(rounded), groups.get(at)]))
        .collect();
    json!([list.name, items])
}
