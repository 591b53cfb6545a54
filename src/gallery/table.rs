//! The rows as the grid, the filters and the plots need them: columns of small numbers, each name
//! written once in a dictionary that the whole page shares.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use serde_json::{Map, Value, json};

use super::value::{Cells, list_numbers, list_texts, rounded};

/// Failed rows of a kind that are told with their message.
const EXAMPLES_A_KIND: usize = 3;

/// Names in the order in which they were first seen.
#[derive(Default)]
struct Dictionary {
    numbers: HashMap<String, usize>,
    names: Vec<String>,
}

impl Dictionary {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len();
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }
}

/// A list column with a score for each of its items: tags, interrogator terms.
pub(super) struct ScoredList {
    /// `tags`, `wd_tags`, `clip_terms`.
    pub name: String,
    /// `tag_scores`.
    pub scores: String,
    /// `tag_categories`, `clip_term_tables`; none where there is no such column.
    pub groups: Option<String>,
}

/// Builds the chunks of the table and what holds for all of them.
pub(super) struct Table {
    /// Columns of names: `generator`, `style` …, each with its dictionary.
    facets: Vec<(String, Dictionary)>,
    /// Columns of numbers that labelers made.
    scores: Vec<String>,
    lists: Vec<ScoredList>,
    tags: Dictionary,
    failures: Vec<(String, u64, Vec<Value>)>,
    rows: usize,
}

impl Table {
    /// The table of a dataset with these columns.
    pub fn new(schema: &Schema) -> Self {
        let mut facets = vec!["root", "error_kind", "metadata_status", "generator", "model", "sampler"];
        let scores: Vec<String> = schema
            .fields()
            .iter()
            .filter(|field| matches!(field.data_type(), DataType::Float32 | DataType::Float16))
            .map(|field| field.name().clone())
            .collect();
        facets.extend(scores.iter().filter_map(|score| {
            let class = score.strip_suffix("_score")?;
            schema.column_with_name(class).map(|_| class)
        }));
        let facets = facets.into_iter().map(|name| (name.to_owned(), Dictionary::default()));
        Self {
            facets: facets.collect(),
            lists: scored_lists(schema),
            scores,
            tags: Dictionary::default(),
            failures: Vec::new(),
            rows: 0,
        }
    }

    /// The list columns with scores.
    pub fn scored_lists(&self) -> &[ScoredList] {
        &self.lists
    }

    /// The next rows.
    pub fn chunk(&mut self, batch: &RecordBatch) -> Value {
        let rows = batch.num_rows();
        let mut chunk = Map::new();
        chunk.insert("path".into(), texts_of(batch, "path", "uri"));
        let sizes: Vec<(u64, u64)> = shown_sizes(batch);
        chunk.insert("width".into(), sizes.iter().map(|size| size.0).collect());
        chunk.insert("height".into(), sizes.iter().map(|size| size.1).collect());
        for (name, dictionary) in &mut self.facets {
            let cells = facet_cells(batch, name);
            let numbers = (0..rows).map(|row| cells.text(row).map_or(-1, |name| dictionary.number(name) as i64));
            chunk.insert(name.clone(), numbers.collect());
        }
        for name in &self.scores {
            let cells = Cells::numbers(batch, name);
            chunk.insert(
                name.clone(),
                (0..rows).map(|row| cells.number(row).map(rounded)).collect(),
            );
        }
        if let Some(list) = tag_list(&self.lists) {
            let (mut lengths, mut names, mut scores) = (Vec::new(), Vec::new(), Vec::new());
            for row in 0..rows {
                let tags = list_texts(batch, &list.name, row);
                lengths.push(tags.len());
                names.extend(tags.iter().map(|tag| self.tags.number(tag)));
                let found = list_numbers(batch, &list.scores, row);
                scores
                    .extend((0..tags.len()).map(|at| found.get(at).map_or(0, |score| (score * 100.0).round() as i64)));
            }
            chunk.insert(
                "tags".into(),
                json!({"lengths": lengths, "names": names, "percent": scores}),
            );
        }
        self.note_failures(batch);
        self.rows += rows;
        Value::Object(chunk)
    }

    fn note_failures(&mut self, batch: &RecordBatch) {
        let (kinds, messages) = (Cells::texts(batch, "error_kind"), Cells::texts(batch, "error"));
        for row in 0..batch.num_rows() {
            let Some(kind) = kinds.text(row) else { continue };
            let index = self.failures.iter().position(|failure| failure.0 == kind);
            let index = index.unwrap_or_else(|| {
                self.failures.push((kind.to_owned(), 0, Vec::new()));
                self.failures.len() - 1
            });
            let (_, count, examples) = &mut self.failures[index];
            *count += 1;
            if examples.len() < EXAMPLES_A_KIND {
                examples.push(json!([self.rows + row, messages.text(row)]));
            }
        }
    }

    /// What holds for every chunk: dictionaries, column names, failures by kind.
    pub fn summary(self) -> Value {
        let mut failures = self.failures;
        failures.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        let facets: Vec<Value> = self
            .facets
            .into_iter()
            .map(|(name, dictionary)| json!([name, dictionary.names]))
            .collect();
        json!({
            "facets": facets,
            "scores": self.scores,
            "tag_list": tag_list(&self.lists).map(|list| &list.name),
            "tags": self.tags.names,
            "failures": failures,
        })
    }
}

/// What the search looks through, a text a row: the prompts, best first, and captions.
pub(super) fn texts(batch: &RecordBatch) -> Value {
    let columns = ["edited_prompt", "prompt", "caption", "clip_prompt", "negative_prompt"];
    let columns = columns.map(|name| Cells::texts(batch, name));
    (0..batch.num_rows())
        .map(|row| {
            let texts: Vec<&str> = columns.iter().filter_map(|cells| cells.text(row)).collect();
            texts.join("\n")
        })
        .collect()
}

fn texts_of(batch: &RecordBatch, name: &str, otherwise: &str) -> Value {
    let (cells, others) = (Cells::texts(batch, name), Cells::texts(batch, otherwise));
    (0..batch.num_rows())
        .map(|row| cells.text(row).or_else(|| others.text(row)).unwrap_or_default())
        .collect()
}

/// The sizes as a viewer shows the pictures: turned as their orientation says; 0 where unknown.
fn shown_sizes(batch: &RecordBatch) -> Vec<(u64, u64)> {
    let [widths, heights, orientations] = ["width", "height", "orientation"].map(|name| Cells::numbers(batch, name));
    (0..batch.num_rows())
        .map(|row| {
            let width = widths.number(row).unwrap_or(0.0) as u64;
            let height = heights.number(row).unwrap_or(0.0) as u64;
            if orientations.number(row).is_some_and(|value| value >= 5.0) {
                (height, width)
            } else {
                (width, height)
            }
        })
        .collect()
}

/// `model` and `sampler` are fields of `settings`.
fn facet_cells(batch: &RecordBatch, name: &str) -> Cells {
    if matches!(name, "model" | "sampler") {
        Cells::field_texts(batch, "settings", name)
    } else {
        Cells::texts(batch, name)
    }
}

/// The list whose items are filtered by: the plain tags, else those of the first further model.
fn tag_list(lists: &[ScoredList]) -> Option<&ScoredList> {
    lists.iter().find(|list| list.name.ends_with("tags"))
}

fn scored_lists(schema: &Schema) -> Vec<ScoredList> {
    let is_there = |name: &String| schema.column_with_name(name).is_some();
    let mut lists: Vec<ScoredList> = schema
        .fields()
        .iter()
        .filter(|field| matches!(field.data_type(), DataType::List(_)))
        .filter_map(|field| {
            let one = field.name().strip_suffix('s')?;
            let groups = [format!("{one}_categories"), format!("{one}_tables")];
            Some(ScoredList {
                name: field.name().clone(),
                scores: Some(format!("{one}_scores")).filter(is_there)?,
                groups: groups.into_iter().find(is_there),
            })
        })
        .collect();
    // The plain name before those of further models.
    lists.sort_by_key(|list| list.name != "tags");
    lists
}
