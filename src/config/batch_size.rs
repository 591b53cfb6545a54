//! `run.batch`: a number of images, or `auto`.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `run.batch`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchSize {
    /// By memory and measured throughput, for each model.
    #[default]
    Auto,
    /// So many images.
    Of(usize),
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(0)) => Err("it must be at least 1".to_owned()),
            (_, Ok(images)) => Ok(Self::Of(images)),
            (_, Err(_)) => Err(format!("`{text}` is neither a number nor auto")),
        }
    }
}

impl Serialize for BatchSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Of(images) => serializer.serialize_u64(*images as u64),
        }
    }
}

impl<'de> Deserialize<'de> for BatchSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of images, or \"auto\"")]
        enum NumberOrText {
            Number(u64),
            Text(String),
        }
        let text = match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(images) => images.to_string(),
            NumberOrText::Text(text) => text,
        };
        text.parse()
            .map_err(|error| serde::de::Error::custom(format!("batch: {error}")))
    }
}
