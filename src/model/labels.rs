//! Label files of taggers: which tag each column of the output stands for.

use std::borrow::Cow;

use super::error::ModelError;
use super::manifest::LabelFormat;

mod json;

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// As the label file writes it, underscores included.
    pub name: String,
    /// What kind of tag it is.
    pub category: Category,
}

/// The kind of a tag, by the codes that danbooru and the label files of this field share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// 0.
    General,
    /// 1.
    Artist,
    /// 3: the work a character is from.
    Copyright,
    /// 4.
    Character,
    /// 5.
    Meta,
    /// 9: how safe the picture is; not a tag, but a column of its own.
    Rating,
    /// 10.
    Year,
    /// How good the picture is; has no code.
    Quality,
    /// The model that made the picture; has no code.
    Model,
    /// What kind of creature; has no code.
    Species,
    /// Any other code.
    Other(u32),
}

impl Category {
    /// The category of a code in a label file.
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::General,
            1 => Self::Artist,
            3 => Self::Copyright,
            4 => Self::Character,
            5 => Self::Meta,
            9 => Self::Rating,
            10 => Self::Year,
            other => Self::Other(other),
        }
    }

    /// The category of a name in a label file, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let known = [
            Self::General,
            Self::Artist,
            Self::Copyright,
            Self::Character,
            Self::Meta,
            Self::Rating,
            Self::Year,
            Self::Quality,
            Self::Model,
            Self::Species,
        ];
        known
            .into_iter()
            .find(|category| category.name().eq_ignore_ascii_case(name.trim()))
    }

    /// The name written to `tag_categories`.
    pub fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::General => "general",
            Self::Artist => "artist",
            Self::Copyright => "copyright",
            Self::Character => "character",
            Self::Meta => "meta",
            Self::Rating => "rating",
            Self::Year => "year",
            Self::Quality => "quality",
            Self::Model => "model",
            Self::Species => "species",
            Self::Other(code) => return Cow::Owned(format!("category_{code}")),
        })
    }
}

/// Most tags that a label file may name; the largest known has 70,527.
const MAX_TAGS: usize = 1_000_000;

/// Reads a label file; `place` is how errors call it. The tags come in the order of the output's
/// columns.
///
/// # Errors
/// `Labels`, with the line.
pub fn parse(bytes: &[u8], format: LabelFormat, place: &str) -> Result<Vec<Tag>, ModelError> {
    let tags = match format {
        LabelFormat::WdCsv => parse_wd_csv(bytes, place)?,
        LabelFormat::Lines => parse_lines(bytes, place)?,
        LabelFormat::JsonList => json::list(bytes, place)?,
        LabelFormat::TagMapping => json::tag_mapping(bytes, place)?,
        LabelFormat::Camie => json::camie(bytes, place)?,
        LabelFormat::Id2label => json::id2label(bytes, place)?,
    };
    if tags.is_empty() {
        return Err(ModelError::Labels {
            place: place.to_owned(),
            message: "it names no tag".to_owned(),
        });
    }
    Ok(tags)
}

fn parse_wd_csv(bytes: &[u8], place: &str) -> Result<Vec<Tag>, ModelError> {
    let at = |line: Option<u64>, message: String| ModelError::Labels {
        place: line.map_or_else(|| place.to_owned(), |line| format!("{place} line {line}")),
        message,
    };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader
        .headers()
        .map_err(|error| at(Some(1), error.to_string()))?
        .clone();
    let column = |name: &str| {
        let found = header
            .iter()
            .position(|known| known.trim().trim_start_matches('\u{feff}') == name);
        found.ok_or_else(|| at(Some(1), format!("its header has no column `{name}`")))
    };
    let (name, category) = (column("name")?, column("category")?);
    let mut tags = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| at(error.position().map(csv::Position::line), error.to_string()))?;
        let line = record.position().map(csv::Position::line);
        let (Some(tag), Some(code)) = (record.get(name), record.get(category)) else {
            return Err(at(line, "the row is too short".to_owned()));
        };
        let code = code
            .trim()
            .parse()
            .map_err(|_| at(line, format!("the category `{code}` is no number")))?;
        if tags.len() == MAX_TAGS {
            return Err(at(line, format!("more than {MAX_TAGS} tags")));
        }
        tags.push(Tag {
            name: tag.to_owned(),
            category: Category::from_code(code),
        });
    }
    Ok(tags)
}

/// A tag of a list without categories; `rating:safe` is the rating `safe`.
fn plain_tag(name: &str) -> Tag {
    match name.strip_prefix("rating:") {
        Some(rating) => Tag {
            name: rating.to_owned(),
            category: Category::Rating,
        },
        None => Tag {
            name: name.to_owned(),
            category: Category::General,
        },
    }
}

fn parse_lines(bytes: &[u8], place: &str) -> Result<Vec<Tag>, ModelError> {
    let refuse = |message: String| ModelError::Labels {
        place: place.to_owned(),
        message,
    };
    let text = std::str::from_utf8(bytes).map_err(|error| refuse(format!("it is not UTF-8: {error}")))?;
    let names = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let tags: Vec<Tag> = names.map(plain_tag).collect();
    if tags.len() > MAX_TAGS {
        return Err(refuse(format!("more than {MAX_TAGS} tags")));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_with_quotes_and_every_category() {
        let text =
            "tag_id,name,category,count\n1,general,9,5\n2,1girl,0,4\n3,\"a \"\"b\"\", c\",4,3\n4,x,3,2\n5,y,77,1\n";
        let tags = parse(text.as_bytes(), LabelFormat::WdCsv, "tags.csv").unwrap();
        let seen: Vec<(&str, Cow<'_, str>)> = tags
            .iter()
            .map(|tag| (tag.name.as_str(), tag.category.name()))
            .collect();
        assert_eq!(
            seen,
            [
                ("general", "rating".into()),
                ("1girl", "general".into()),
                ("a \"b\", c", "character".into()),
                ("x", "copyright".into()),
                ("y", "category_77".into()),
            ]
        );
    }

    #[test]
    fn bad_csv_is_named_with_its_line() {
        for (text, says) in [
            ("id,category\n1,2\n", "no column `name`"),
            ("name,category\na,0\nb,x\n", "line 3: the category `x`"),
            ("name,category\na\n", "line 2: the row is too short"),
            ("name,category\n", "names no tag"),
        ] {
            let error = parse(text.as_bytes(), LabelFormat::WdCsv, "tags.csv")
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error} should say {says}");
        }
    }

    #[test]
    fn lines_skip_blanks() {
        let tags = parse(b"one\r\n\n two words \n\n", LabelFormat::Lines, "tags.txt").unwrap();
        assert_eq!(
            tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(),
            ["one", "two words"]
        );
        assert!(parse(b"\xff", LabelFormat::Lines, "tags.txt").is_err());
    }
}
