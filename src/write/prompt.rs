//! Where `prompt` and `prompt_source` come from: the first of the plan's sources that gives one.
//! Both are made of the row's other columns, so that another policy costs no model run.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float32Type};
use serde::{Deserialize, Serialize};

use super::WriteError;

/// Something a prompt can come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptSource {
    /// What the image itself says.
    Metadata,
    /// A labeler's text column.
    Interrogated {
        /// Its name.
        column: String,
    },
    /// A tagger's columns.
    Tags {
        /// Prefix of `tags`, `tag_scores` and `tag_categories`.
        prefix: String,
        /// Lowest score of a tag that is taken.
        threshold: f32,
    },
}

impl PromptSource {
    /// The name written to `prompt_source`.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Interrogated { .. } => "interrogated",
            Self::Tags { .. } => "tags",
        }
    }
}

/// Pictures of some styles whose prompt is not interrogated but comes from elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptRoute {
    /// The column that says the style.
    pub column: String,
    /// Its values.
    pub styles: Vec<String>,
    /// What stands in for the interrogated prompt.
    pub instead: PromptSource,
}

/// The plan's choice. Its default is what the image itself says, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptPolicy {
    /// The first that gives a prompt wins.
    pub order: Vec<PromptSource>,
    /// Exceptions by style; the first that fits holds.
    pub routes: Vec<PromptRoute>,
}

impl Default for PromptPolicy {
    fn default() -> Self {
        Self {
            order: vec![PromptSource::Metadata],
            routes: Vec::new(),
        }
    }
}

impl PromptPolicy {
    /// Whether prompts are those of the metadata and nothing has to be looked up.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Makes `prompt` and `prompt_source` of the rows that `is_new` says, whose `prompt` is so far
    /// that of the metadata.
    pub(super) fn apply(&self, batch: RecordBatch, is_new: &[bool]) -> Result<RecordBatch, WriteError> {
        if self.is_plain() || !is_new.contains(&true) {
            return Ok(batch);
        }
        let (Some((prompt_at, _)), Some((source_at, _))) = (
            batch
                .schema()
                .column_with_name("prompt")
                .map(|(at, field)| (at, field.clone())),
            batch
                .schema()
                .column_with_name("prompt_source")
                .map(|(at, field)| (at, field.clone())),
        ) else {
            return Ok(batch);
        };
        let old: [&StringArray; 2] = [batch.column(prompt_at).as_string(), batch.column(source_at).as_string()];
        let value = |array: &StringArray, row: usize| array.is_valid(row).then(|| array.value(row).to_owned());
        let rows = is_new.iter().enumerate().map(|(row, is_new)| {
            if *is_new {
                let (prompt, source) = self.choose(&batch, value(old[0], row), row);
                (prompt, Some(source.to_owned()))
            } else {
                (value(old[0], row), value(old[1], row))
            }
        });
        let (prompts, sources): (Vec<Option<String>>, Vec<Option<String>>) = rows.unzip();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns[prompt_at] = Arc::new(StringArray::from(prompts));
        columns[source_at] = Arc::new(StringArray::from(sources));
        Ok(RecordBatch::try_new(batch.schema(), columns)?)
    }

    /// A row's prompt and the name of its source.
    fn choose(&self, batch: &RecordBatch, metadata: Option<String>, row: usize) -> (Option<String>, &'static str) {
        let route = self.routes.iter().find(|route| {
            let style = text_at(batch, &route.column, row);
            style.is_some_and(|style| route.styles.contains(&style))
        });
        for source in &self.order {
            let source = match (source, route) {
                (PromptSource::Interrogated { .. }, Some(route)) => &route.instead,
                _ => source,
            };
            let prompt = match source {
                PromptSource::Metadata => metadata.clone(),
                PromptSource::Interrogated { column } => text_at(batch, column, row),
                PromptSource::Tags { prefix, threshold } => tags_at(batch, prefix, *threshold, row),
            };
            // An empty prompt in the metadata is a prompt; a model that says nothing says none.
            let is_prompt = |prompt: &String| *source == PromptSource::Metadata || !prompt.is_empty();
            if let Some(prompt) = prompt.filter(is_prompt) {
                return (Some(prompt), source.as_str());
            }
        }
        (None, "none")
    }
}

fn text_at(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let texts: &StringArray = batch.column_by_name(column)?.as_string_opt()?;
    texts.is_valid(row).then(|| texts.value(row).to_owned())
}

/// A row's tags from a score on, as image generators are told them.
fn tags_at(batch: &RecordBatch, prefix: &str, threshold: f32, row: usize) -> Option<String> {
    let list = |name: &str| -> Option<ArrayRef> {
        let lists = batch.column_by_name(&format!("{prefix}{name}"))?.as_list_opt::<i32>()?;
        lists.is_valid(row).then(|| lists.value(row))
    };
    let (tags, scores, categories) = (list("tags")?, list("tag_scores")?, list("tag_categories")?);
    if *scores.data_type() != DataType::Float32 {
        return None;
    }
    let (tags, categories) = (tags.as_string_opt::<i32>()?, categories.as_string_opt::<i32>()?);
    let scores = scores.as_primitive::<Float32Type>();
    let taken = (0..tags.len()).filter(|&tag| scores.value(tag) >= threshold && categories.value(tag) != "meta");
    let taken: Vec<String> = taken.map(|tag| spoken(tags.value(tag))).collect();
    Some(taken.join(", "))
}

/// A tag as prompts write it: spaces for underscores but in faces such as `^_^`, brackets escaped,
/// since bare ones are emphasis.
fn spoken(tag: &str) -> String {
    let is_face = tag.chars().filter(|letter| letter.is_alphanumeric()).count() < 3;
    let spaced = if is_face { tag.to_owned() } else { tag.replace('_', " ") };
    spaced.replace('(', "\\(").replace(')', "\\)")
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float32Builder, ListBuilder, StringBuilder};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    /// Rows of (prompt, clip_prompt, style, tags with scores).
    type Row<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a [(&'a str, f32)]);

    fn batch(rows: &[Row<'_>]) -> RecordBatch {
        let texts = |value: fn(&Row<'_>) -> Option<String>| -> ArrayRef {
            Arc::new(rows.iter().map(value).collect::<StringArray>())
        };
        let mut tags = ListBuilder::new(StringBuilder::new());
        let mut scores = ListBuilder::new(Float32Builder::new());
        let mut categories = ListBuilder::new(StringBuilder::new());
        for (.., of_row) in rows {
            for (tag, score) in *of_row {
                tags.values().append_value(tag);
                scores.values().append_value(*score);
                categories
                    .values()
                    .append_value(if *tag == "highres" { "meta" } else { "general" });
            }
            tags.append(true);
            scores.append(true);
            categories.append(true);
        }
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("prompt", texts(|row| row.0.map(str::to_owned))),
            (
                "prompt_source",
                texts(|row| Some(if row.0.is_some() { "metadata" } else { "none" }.to_owned())),
            ),
            ("clip_prompt", texts(|row| row.1.map(str::to_owned))),
            ("style", texts(|row| row.2.map(str::to_owned))),
            ("tags", Arc::new(tags.finish())),
            ("tag_scores", Arc::new(scores.finish())),
            ("tag_categories", Arc::new(categories.finish())),
        ];
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    fn interrogated() -> PromptSource {
        PromptSource::Interrogated {
            column: "clip_prompt".into(),
        }
    }

    fn tags() -> PromptSource {
        PromptSource::Tags {
            prefix: String::new(),
            threshold: 0.5,
        }
    }

    fn prompts(batch: &RecordBatch) -> Vec<(String, String)> {
        let column = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (prompts, sources) = (column("prompt"), column("prompt_source"));
        (0..batch.num_rows())
            .map(|row| {
                let prompt = if prompts.is_null(row) { "-" } else { prompts.value(row) };
                (prompt.to_owned(), sources.value(row).to_owned())
            })
            .collect()
    }

    fn pair(prompt: &str, source: &str) -> (String, String) {
        (prompt.to_owned(), source.to_owned())
    }

    #[test]
    fn the_first_source_that_gives_a_prompt_wins() {
        let rows: [Row<'_>; 4] = [
            (Some("own"), Some("seen"), None, &[]),
            (None, Some("seen"), None, &[("cat", 0.9)]),
            (
                None,
                None,
                None,
                &[
                    ("long_hair", 0.9),
                    ("^_^", 0.8),
                    ("saber_(fate)", 0.7),
                    ("highres", 0.9),
                    ("dog", 0.4),
                ],
            ),
            (None, Some(""), None, &[]),
        ];
        let policy = PromptPolicy {
            order: vec![PromptSource::Metadata, interrogated(), tags()],
            routes: Vec::new(),
        };
        let made = policy.apply(batch(&rows), &[true; 4]).unwrap();
        let wanted = [
            pair("own", "metadata"),
            pair("seen", "interrogated"),
            pair("long hair, ^_^, saber \\(fate\\)", "tags"),
            pair("-", "none"),
        ];
        assert_eq!(prompts(&made), wanted);
        let reversed = PromptPolicy {
            order: vec![interrogated(), PromptSource::Metadata],
            routes: Vec::new(),
        };
        assert_eq!(
            prompts(&reversed.apply(batch(&rows), &[true; 4]).unwrap())[0],
            pair("seen", "interrogated")
        );
    }

    #[test]
    fn a_style_takes_its_own_way_and_metadata_still_wins() {
        let rows: [Row<'_>; 3] = [
            (None, Some("seen"), Some("anime"), &[("1girl", 0.9)]),
            (None, Some("seen"), Some("photo"), &[("1girl", 0.9)]),
            (Some("own"), Some("seen"), Some("anime"), &[("1girl", 0.9)]),
        ];
        let policy = PromptPolicy {
            order: vec![PromptSource::Metadata, interrogated()],
            routes: vec![PromptRoute {
                column: "style".into(),
                styles: vec!["anime".into()],
                instead: tags(),
            }],
        };
        let wanted = [
            pair("1girl", "tags"),
            pair("seen", "interrogated"),
            pair("own", "metadata"),
        ];
        assert_eq!(prompts(&policy.apply(batch(&rows), &[true; 3]).unwrap()), wanted);
    }

    #[test]
    fn rows_that_are_not_new_and_missing_columns_stay_as_they_are() {
        let rows: [Row<'_>; 2] = [(None, Some("seen"), None, &[]), (None, Some("seen"), None, &[])];
        let policy = PromptPolicy {
            order: vec![PromptSource::Metadata, interrogated()],
            routes: Vec::new(),
        };
        let made = policy.apply(batch(&rows), &[false, true]).unwrap();
        assert_eq!(prompts(&made), [pair("-", "none"), pair("seen", "interrogated")]);
        let elsewhere = PromptPolicy {
            order: vec![PromptSource::Interrogated {
                column: "nowhere".into(),
            }],
            routes: Vec::new(),
        };
        assert_eq!(
            prompts(&elsewhere.apply(batch(&rows), &[true; 2]).unwrap())[0],
            pair("-", "none")
        );
    }
}
