//! The rows of a dataset as the exports want them: who the picture is, its caption, its words.

use std::collections::BTreeMap;

use super::Selection;
use super::memory::{ImageState, bytes_hash};
use super::tag_text::{Scored, TagCounts, TagRules};
use super::template::{Holds, TAGS, Template};
use crate::dataset::{
    DatasetReader, NumbersColumn, ReadError, Rows, RowsReader, TextColumn, TextsColumn, TimeColumn, WholeColumn,
};
use crate::write::{EDITED_PROMPT, EDITED_TAGS};

/// What becomes of a person's edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// They take the place of what labelmill made, as the person wrote them.
    Preferred,
    /// They are left aside.
    Ignored,
}

/// Who a picture is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// Where it is.
    pub uri: String,
    /// Its root.
    pub root: String,
    /// Its path in the root.
    pub path: String,
    /// Which making of it the row is about.
    pub image: ImageState,
    /// Whether the row failed.
    pub failed: bool,
}

/// A picture's caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The text.
    pub text: String,
    /// Hash of the edit that it is, if it is one.
    pub edited: Option<String>,
}

/// Hash of an edited text.
pub fn edit_hash_of_text(text: &str) -> String {
    bytes_hash(text.as_bytes())
}

/// Hash of edited tags.
pub fn edit_hash_of_tags(tags: &[&str]) -> String {
    bytes_hash(tags.join("\n").as_bytes())
}

/// Makes captions of the rows of a dataset.
pub struct Pictures<'a> {
    dataset: &'a DatasetReader,
    /// The template of captions.
    pub template: Template,
    /// The rules of their tags.
    pub rules: TagRules,
    edited: Edited,
    counts: TagCounts,
    /// Whether tags are wanted beside the template.
    also_tags: bool,
}

impl<'a> Pictures<'a> {
    /// Checks that the dataset has what the template names; counts tags where a rule needs it.
    /// With `also_tags` the tags are read where there are any, whatever the template says.
    pub fn new(
        dataset: &'a DatasetReader,
        template: Template,
        rules: TagRules,
        edited: Edited,
        selection: &Selection,
        also_tags: bool,
    ) -> Result<Self, ReadError> {
        let mut pictures = Self {
            also_tags: also_tags && dataset.has(TAGS),
            dataset,
            template,
            rules,
            edited,
            counts: TagCounts::new(),
        };
        dataset.require(&pictures.template.fields().collect::<Vec<_>>())?;
        if pictures.uses_tags() {
            dataset.require(&["tag_scores"])?;
        }
        if pictures.rules.min_count > 1 && pictures.uses_tags() {
            pictures.count_tags(selection)?;
        }
        Ok(pictures)
    }

    fn uses_tags(&self) -> bool {
        self.also_tags || self.template.fields().any(|field| field == TAGS)
    }

    fn count_tags(&mut self, selection: &Selection) -> Result<(), ReadError> {
        let mut counts = TagCounts::new();
        for rows in self.rows(&[])? {
            let rows = self.view(&rows?)?;
            for row in (0..rows.len()).filter(|row| selection.takes(rows.uri(*row))) {
                for tag in self.rules.choose(&rows.scored(row)) {
                    *counts.entry(tag.tag).or_default() += 1;
                }
            }
        }
        self.counts = counts;
        Ok(())
    }

    /// Streams the rows with the columns that captions need, and `more` where they are there.
    pub fn rows(&self, more: &[&str]) -> Result<RowsReader<'a>, ReadError> {
        let mut columns = vec!["uri", "root", "path", "blake3", "file_size", "modified_at", "status"];
        columns.extend(self.dataset.present(&[EDITED_PROMPT, EDITED_TAGS]));
        columns.extend(self.template.fields());
        if self.uses_tags() {
            columns.extend(self.dataset.present(&[TAGS, "tag_scores", "tag_categories"]));
        }
        columns.extend(self.dataset.present(more));
        self.dataset.rows(&columns)
    }

    /// The typed columns of some rows.
    pub fn view(&self, rows: &Rows) -> Result<PictureRows, ReadError> {
        let optional = |name: &str| rows.batch().column_by_name(name).is_some();
        let text = |name: &str| optional(name).then(|| rows.text(name)).transpose();
        let texts = |name: &str| optional(name).then(|| rows.texts(name)).transpose();
        let mut fields = BTreeMap::new();
        for field in self.template.fields().filter(|field| *field != TAGS) {
            fields.insert(field.to_owned(), Field::of(rows, field)?);
        }
        Ok(PictureRows {
            rows: rows.clone(),
            uri: rows.text("uri")?,
            root: rows.text("root")?,
            path: rows.text("path")?,
            status: rows.text("status")?,
            blake3: rows.text("blake3")?,
            size: rows.whole("file_size")?,
            modified_at: rows.time("modified_at")?,
            edited_prompt: text(EDITED_PROMPT)?,
            edited_tags: texts(EDITED_TAGS)?,
            tags: texts(TAGS)?.filter(|_| self.uses_tags()),
            scores: (self.uses_tags()).then(|| rows.numbers("tag_scores")).transpose()?,
            categories: texts("tag_categories")?,
            fields,
        })
    }

    /// The dataset.
    pub fn dataset(&self) -> &'a DatasetReader {
        self.dataset
    }

    /// The caption of a row; none where nothing is known to say.
    pub fn caption(&self, rows: &PictureRows, row: usize) -> Option<Caption> {
        let is_preferred = self.edited == Edited::Preferred;
        let prompt = rows.edited_prompt(row).filter(|_| is_preferred);
        let tags = rows.edited_tags(row).filter(|_| is_preferred);
        match self.template.holds() {
            Holds::Text => {
                if let Some(text) = prompt {
                    return Some(Caption {
                        text: text.to_owned(),
                        edited: Some(edit_hash_of_text(text)),
                    });
                }
            }
            Holds::Tags => {
                if let Some(tags) = tags {
                    return Some(Caption {
                        text: tags.join(&self.rules.separator),
                        edited: Some(edit_hash_of_tags(&tags)),
                    });
                }
            }
            Holds::Neither => {}
        }
        let mut values = BTreeMap::new();
        for field in self.template.fields() {
            let value = match (field, &tags) {
                (TAGS, Some(tags)) => tags.join(&self.rules.separator),
                (TAGS, None) => self.rules.join(&self.words(rows, row)),
                (field, _) => rows.fields[field].text(row, &self.rules.separator),
            };
            values.insert(field, value);
        }
        let text = self.template.fill(&values)?;
        Some(Caption { text, edited: None })
    }

    /// The tags of a row by the rules, or as a person edited them.
    pub fn tags(&self, rows: &PictureRows, row: usize) -> Vec<String> {
        match rows.edited_tags(row).filter(|_| self.edited == Edited::Preferred) {
            Some(tags) => tags.into_iter().map(str::to_owned).collect(),
            None => self.words(rows, row),
        }
    }

    fn words(&self, rows: &PictureRows, row: usize) -> Vec<String> {
        let chosen = self.rules.choose(&rows.scored(row));
        self.rules.words(chosen, &self.counts, rows.uri(row))
    }
}

/// A field of a template that is no tag list with scores.
enum Field {
    Text(TextColumn),
    Texts(TextsColumn),
    Whole(WholeColumn),
    Number(crate::dataset::NumberColumn),
}

impl Field {
    fn of(rows: &Rows, name: &str) -> Result<Self, ReadError> {
        let kinds = [
            rows.text(name).map(Self::Text),
            rows.texts(name).map(Self::Texts),
            rows.whole(name).map(Self::Whole),
            rows.number(name).map(Self::Number),
        ];
        let mut first_error = None;
        for kind in kinds {
            match kind {
                Ok(field) => return Ok(field),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.expect("four kinds were tried"))
    }

    fn text(&self, row: usize, separator: &str) -> String {
        match self {
            Self::Text(column) => column.get(row).unwrap_or_default().to_owned(),
            Self::Texts(column) => column.get(row).join(separator),
            Self::Whole(column) => column.get(row).map(|number| number.to_string()).unwrap_or_default(),
            Self::Number(column) => column.get(row).map(|number| number.to_string()).unwrap_or_default(),
        }
    }
}

/// Some rows with typed columns.
pub struct PictureRows {
    /// The rows themselves.
    pub rows: Rows,
    uri: TextColumn,
    root: TextColumn,
    path: TextColumn,
    status: TextColumn,
    blake3: TextColumn,
    size: WholeColumn,
    modified_at: TimeColumn,
    edited_prompt: Option<TextColumn>,
    edited_tags: Option<TextsColumn>,
    tags: Option<TextsColumn>,
    scores: Option<NumbersColumn>,
    categories: Option<TextsColumn>,
    fields: BTreeMap<String, Field>,
}

impl PictureRows {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Where the picture of a row is.
    pub fn uri(&self, row: usize) -> &str {
        self.uri.get(row).unwrap_or_default()
    }

    /// Who the picture of a row is.
    pub fn who(&self, row: usize) -> Who {
        let text = |column: &TextColumn| column.get(row).unwrap_or_default().to_owned();
        Who {
            uri: text(&self.uri),
            root: text(&self.root),
            path: text(&self.path),
            image: ImageState {
                blake3: self.blake3.get(row).map(str::to_owned),
                size: self.size.get(row).unwrap_or_default() as i64,
                modified_at: self.modified_at.get(row).unwrap_or_default(),
            },
            failed: self.status.get(row) == Some("failed"),
        }
    }

    /// The prompt that a person wrote.
    pub fn edited_prompt(&self, row: usize) -> Option<&str> {
        self.edited_prompt.as_ref()?.get(row)
    }

    /// The tags that a person left.
    pub fn edited_tags(&self, row: usize) -> Option<Vec<&str>> {
        let column = self.edited_tags.as_ref()?;
        (!column.is_null(row)).then(|| column.get(row))
    }

    fn scored(&self, row: usize) -> Vec<Scored<'_>> {
        let (Some(tags), Some(scores)) = (&self.tags, &self.scores) else {
            return Vec::new();
        };
        let categories = self
            .categories
            .as_ref()
            .map(|column| column.get(row))
            .unwrap_or_default();
        let tags = tags.get(row).into_iter().zip(scores.get(row)).enumerate();
        tags.map(|(index, (tag, score))| Scored {
            tag,
            score: *score,
            category: categories.get(index).copied().unwrap_or("general"),
        })
        .collect()
    }
}

/// The default template of a dataset: its tags, else its captions, else its prompts.
pub fn default_template(dataset: &DatasetReader) -> &'static str {
    if dataset.has(TAGS) {
        "{tags}"
    } else if dataset.has("caption") {
        "{caption}"
    } else {
        "{prompt}"
    }
}
