//! The text of a caption: `{caption}, {tags}` with the fields of a row in it.

use std::collections::BTreeMap;

/// What of a caption a person who edits it has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// Tags and no prompt or caption: an edit is a list of tags.
    Tags,
    /// A prompt or a caption, perhaps with tags: an edit is a text.
    Text,
    /// Neither: an edit has no column to go to.
    Neither,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(String),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// The field that the tag rules fill.
pub const TAGS: &str = "tags";
/// The field whose column may be edited.
pub const PROMPT: &str = "prompt";

impl Template {
    /// Reads a template: `{name}` is a field, `{{` and `}}` are braces, `\n` is a new line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' if chars.next_if_eq(&'{').is_some() => literal.push('{'),
                '}' if chars.next_if_eq(&'}').is_some() => literal.push('}'),
                '\\' if chars.next_if_eq(&'n').is_some() => literal.push('\n'),
                '}' => return Err(format!("template `{text}`: a `}}` without `{{`; `}}}}` is a brace")),
                '{' => {
                    let name: String = std::iter::from_fn(|| chars.next_if(|c| *c != '}')).collect();
                    if chars.next().is_none() {
                        return Err(format!("template `{text}`: `{{{name}` is not closed"));
                    }
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Field(name.trim().to_owned()));
                }
                c => literal.push(c),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        let template = Self { pieces };
        if template.fields().next().is_none() {
            return Err(format!(
                "template `{text}` names no field such as {{tags}} or {{prompt}}"
            ));
        }
        Ok(template)
    }

    /// Names of the fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// What an edit of its text is.
    pub fn holds(&self) -> Holds {
        let is_text = |name: &str| {
            matches!(name, PROMPT | "original_prompt") || name.ends_with("caption") || name.ends_with("clip_prompt")
        };
        if self.fields().any(is_text) {
            Holds::Text
        } else if self.fields().any(|name| name == TAGS || name.ends_with("_tags")) {
            Holds::Tags
        } else {
            Holds::Neither
        }
    }

    /// The text with `values` in the fields; none where every field is empty. What stands between
    /// two fields is left out where the one before or all behind it are empty.
    pub fn fill(&self, values: &BTreeMap<&str, String>) -> Option<String> {
        let value = |name: &str| values.get(name).map_or("", |value| value.trim());
        let is_filled = |piece: &Piece| matches!(piece, Piece::Field(name) if !value(name).is_empty());
        let first = self.pieces.iter().position(is_filled)?;
        let mut text = String::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Field(name) => text.push_str(value(name)),
                Piece::Literal(literal) => {
                    let before = self.pieces[..index].last();
                    let is_open = before.is_none_or(is_filled);
                    let is_last = index + 1 == self.pieces.len();
                    let goes_on = self.pieces[index..].iter().any(is_filled);
                    // In front of the first field it belongs to the text as a whole.
                    if (before.is_none() || index > first) && is_open && (is_last || goes_on) {
                        text.push_str(literal);
                    }
                }
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, values: &[(&'static str, &str)]) -> Option<String> {
        let values = values
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Template::parse(template).unwrap().fill(&values)
    }

    #[test]
    fn literals_stand_only_between_filled_fields() {
        let template = "{caption}, {tags}";
        assert_eq!(
            fill(template, &[("caption", "a cat"), ("tags", "cat")]).unwrap(),
            "a cat, cat"
        );
        assert_eq!(fill(template, &[("tags", "cat")]).unwrap(), "cat");
        assert_eq!(fill(template, &[("caption", "a cat")]).unwrap(), "a cat");
        assert_eq!(fill(template, &[("caption", " ")]), None);
        assert_eq!(fill("photo of {tags}.", &[("tags", "cat")]).unwrap(), "photo of cat.");
        assert_eq!(fill("{a} / {b} / {c}", &[("a", "1"), ("c", "3")]).unwrap(), "1 / 3");
        assert_eq!(fill(r"{a}\n{{{b}}}", &[("a", "1"), ("b", "2")]).unwrap(), "1\n{2}");
    }

    #[test]
    fn braces_that_do_not_fit_are_errors() {
        for wrong in ["{tags", "tags}", "no field", ""] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_edit_goes_where_the_template_says() {
        for (template, holds) in [
            ("{tags}", Holds::Tags),
            ("{style}, {wd_tags}", Holds::Tags),
            ("{caption}, {tags}", Holds::Text),
            ("{prompt}", Holds::Text),
            ("{negative_prompt}", Holds::Neither),
        ] {
            assert_eq!(Template::parse(template).unwrap().holds(), holds, "{template}");
        }
    }
}
