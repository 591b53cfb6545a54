//! Label files in JSON: each with its own keys, all of them a tag a number from 0 on.

use serde_json::{Map, Value};

use super::{Category, MAX_TAGS, ModelError, Tag, plain_tag};

/// `["tag", …]`.
pub(super) fn list(bytes: &[u8], place: &str) -> Result<Vec<Tag>, ModelError> {
    let value = read(bytes, place)?;
    let names = value
        .as_array()
        .ok_or_else(|| refusal(place, "it is no list of tags".to_owned()))?;
    let tags = names.iter().map(|name| text(name, place).map(plain_tag));
    tags.collect()
}

/// `{"0": {"tag": "…", "category": "…"}, …}`.
pub(super) fn tag_mapping(bytes: &[u8], place: &str) -> Result<Vec<Tag>, ModelError> {
    let value = read(bytes, place)?;
    let tags = numbered(object(&value, "tag mapping", place)?, place)?;
    tags.into_iter()
        .map(|entry| {
            let name = text(entry.get("tag").unwrap_or(&Value::Null), place)?;
            let said = text(entry.get("category").unwrap_or(&Value::Null), place)?;
            Ok(Tag {
                name: name.to_owned(),
                category: category(name, said, place)?,
            })
        })
        .collect()
}

/// `{"idx_to_tag": {"0": "…"}, "tag_to_category": {"…": "…"}}`, perhaps in `dataset_info.tag_mapping`.
pub(super) fn camie(bytes: &[u8], place: &str) -> Result<Vec<Tag>, ModelError> {
    let value = read(bytes, place)?;
    let inner = value.pointer("/dataset_info/tag_mapping").unwrap_or(&value);
    let names = numbered(
        object(inner.get("idx_to_tag").unwrap_or(&Value::Null), "idx_to_tag", place)?,
        place,
    )?;
    let categories = object(
        inner.get("tag_to_category").unwrap_or(&Value::Null),
        "tag_to_category",
        place,
    )?;
    names
        .into_iter()
        .map(|name| {
            let name = text(name, place)?;
            let said = text(categories.get(name).unwrap_or(&Value::Null), place)?;
            let category = category(name, said, place)?;
            // Its ratings are called `rating_general` and so on.
            let short = match category {
                Category::Rating => name.strip_prefix("rating_").unwrap_or(name),
                _ => name,
            };
            Ok(Tag {
                name: short.to_owned(),
                category,
            })
        })
        .collect()
}

/// `{"id2label": {"0": "…", …}, …}`.
pub(super) fn id2label(bytes: &[u8], place: &str) -> Result<Vec<Tag>, ModelError> {
    let value = read(bytes, place)?;
    let names = object(value.get("id2label").unwrap_or(&Value::Null), "id2label", place)?;
    let tags = numbered(names, place)?;
    tags.into_iter().map(|name| text(name, place).map(plain_tag)).collect()
}

fn read(bytes: &[u8], place: &str) -> Result<Value, ModelError> {
    let text = std::str::from_utf8(bytes).map_err(|error| refusal(place, format!("it is not UTF-8: {error}")))?;
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| refusal(place, format!("it is no JSON: {error}")))
}

/// The values of the keys 0, 1, 2 …, of which none may be missing.
fn numbered<'a>(map: &'a Map<String, Value>, place: &str) -> Result<Vec<&'a Value>, ModelError> {
    if map.len() > MAX_TAGS {
        return Err(refusal(place, format!("more than {MAX_TAGS} tags")));
    }
    (0..map.len())
        .map(|index| {
            map.get(&index.to_string())
                .ok_or_else(|| refusal(place, format!("it has {} tags and none numbered {index}", map.len())))
        })
        .collect()
}

fn object<'a>(value: &'a Value, key: &str, place: &str) -> Result<&'a Map<String, Value>, ModelError> {
    value
        .as_object()
        .ok_or_else(|| refusal(place, format!("it has no `{key}` of numbered tags")))
}

fn text<'a>(value: &'a Value, place: &str) -> Result<&'a str, ModelError> {
    value
        .as_str()
        .ok_or_else(|| refusal(place, format!("`{value}` stands where a text is wanted")))
}

fn category(tag: &str, said: &str, place: &str) -> Result<Category, ModelError> {
    Category::from_name(said).ok_or_else(|| refusal(place, format!("the category `{said}` of `{tag}` is not known")))
}

fn refusal(place: &str, message: String) -> ModelError {
    ModelError::Labels {
        place: place.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use crate::model::labels::{Category, parse};
    use crate::model::manifest::LabelFormat;

    fn parsed(format: LabelFormat, text: &str) -> Vec<(String, Category)> {
        let tags = parse(text.as_bytes(), format, "labels.json").unwrap();
        tags.into_iter().map(|tag| (tag.name, tag.category)).collect()
    }

    fn refused(format: LabelFormat, text: &str) -> String {
        parse(text.as_bytes(), format, "labels.json").unwrap_err().to_string()
    }

    #[test]
    fn tags_come_by_number_not_by_place() {
        let text = r#"{"10": {"tag": "k", "category": "Quality"}, "0": {"tag": "general", "category": "Rating"},
            "1": {"tag": "a", "category": "General"}, "2": {"tag": "b", "category": "character"},
            "3": {"tag": "c", "category": "Copyright"}, "4": {"tag": "d", "category": "Artist"},
            "5": {"tag": "e", "category": "Meta"}, "6": {"tag": "f", "category": "Model"},
            "7": {"tag": "g", "category": "General"}, "8": {"tag": "h", "category": "General"},
            "9": {"tag": "i", "category": "General"}}"#;
        let tags = parsed(LabelFormat::TagMapping, text);
        assert_eq!(tags[0], ("general".to_owned(), Category::Rating));
        assert_eq!(tags[10], ("k".to_owned(), Category::Quality));
        assert_eq!(tags[6].1, Category::Model);
        assert!(
            refused(LabelFormat::TagMapping, r#"{"1": {"tag": "a", "category": "General"}}"#).contains("numbered 0")
        );
        let message = refused(LabelFormat::TagMapping, r#"{"0": {"tag": "a", "category": "Mood"}}"#);
        assert!(message.contains("`Mood` of `a`"), "{message}");
    }

    #[test]
    fn camie_files_of_both_versions() {
        let inner = r#""idx_to_tag": {"0": "rating_general", "1": "1girl"},
            "tag_to_category": {"1girl": "general", "rating_general": "rating"}"#;
        let wanted = [
            ("general".to_owned(), Category::Rating),
            ("1girl".to_owned(), Category::General),
        ];
        let first = parsed(LabelFormat::Camie, &format!("{{{inner}}}"));
        let second = parsed(
            LabelFormat::Camie,
            &format!(r#"{{"dataset_info": {{"tag_mapping": {{{inner}}}}}}}"#),
        );
        assert!(first == wanted && second == wanted);
        assert!(refused(LabelFormat::Camie, "{}").contains("no `idx_to_tag`"));
    }

    #[test]
    fn lists_and_the_configurations_of_classifiers() {
        let tags = parsed(LabelFormat::JsonList, r#"["1girl", "rating:safe"]"#);
        assert_eq!(tags[1], ("safe".to_owned(), Category::Rating));
        let tags = parsed(
            LabelFormat::Id2label,
            r#"{"id2label": {"0": "cat", "1": "dog"}, "other": 1}"#,
        );
        assert_eq!(tags[1], ("dog".to_owned(), Category::General));
        assert!(refused(LabelFormat::JsonList, r#"["a", 3]"#).contains("`3` stands"));
        assert!(refused(LabelFormat::JsonList, "[").contains("no JSON"));
        assert!(refused(LabelFormat::JsonList, "[]").contains("names no tag"));
    }
}
