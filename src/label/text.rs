//! Texts for a CLIP: to token ids as its manifest says, and by its text tower to unit embeddings, for
//! zero-shot tables, terms and search.

use std::borrow::Cow;

use tokenizers::Tokenizer;

use super::LabelError;
use super::clean::clean;
use crate::model::manifest::{TextCleaning, TextSpec};
use crate::model::{Model, ModelError};

mod tower;

pub use tower::TextTower;

/// Reads texts as a model's text tower wants them. Needs no graph.
pub struct TextReader {
    name: String,
    spec: TextSpec,
    tokenizer: Tokenizer,
    /// SHA-256 of the graph's and of the tokenizer's file.
    sha256: [String; 2],
}

impl TextReader {
    /// Loads the tokenizer of a model.
    ///
    /// # Errors
    /// Where the model has no text tower, or a file of it is missing or not what it should be.
    pub fn open(model: &Model) -> Result<Self, LabelError> {
        let name = model.manifest.name.clone();
        let Some(spec) = model.manifest.text.clone() else {
            let message = "it has no text tower ([text] in its manifest)".to_owned();
            return Err(LabelError::Option { model: name, message });
        };
        let graph = model.file(&spec.file)?;
        let file = model.file(&spec.tokenizer)?;
        Ok(Self {
            tokenizer: read_tokenizer(&file.bytes()?, &name)?,
            name,
            spec,
            sha256: [graph.sha256, file.sha256],
        })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the manifest says of the tower.
    pub fn spec(&self) -> &TextSpec {
        &self.spec
    }

    /// SHA-256 of the graph's and of the tokenizer's file.
    pub fn sha256(&self) -> &[String; 2] {
        &self.sha256
    }

    /// Whether a text fills the tower's context to its end: a further word would be cut off.
    pub fn is_full(&self, text: &str) -> Result<bool, LabelError> {
        Ok(self.encode(text)?.len() >= self.spec.context)
    }

    /// Token ids of a text, start and end tokens included, not padded. Longer texts are cut, and
    /// the last id is then the end token.
    pub fn token_ids(&self, text: &str) -> Result<Vec<i64>, LabelError> {
        let mut ids = self.encode(text)?;
        if let (true, Some(&end)) = (ids.len() > self.spec.context, ids.last()) {
            ids.truncate(self.spec.context);
            if let Some(last) = ids.last_mut() {
                *last = end;
            }
        }
        Ok(ids)
    }

    /// Token ids of a text, however long it is.
    fn encode(&self, text: &str) -> Result<Vec<i64>, LabelError> {
        let encoded = self
            .tokenizer
            .encode(cleaned(text, self.spec.clean), true)
            .map_err(|source| self.refuse(source))?;
        Ok(encoded.get_ids().iter().map(|&id| i64::from(id)).collect())
    }
    fn refuse(&self, source: tokenizers::Error) -> LabelError {
        LabelError::Model(ModelError::Tokenizer {
            model: self.name.clone(),
            source,
        })
    }
}

/// A text as the manifest wants it before the tokenizer.
fn cleaned(text: &str, cleaning: TextCleaning) -> Cow<'_, str> {
    let text = clean(text);
    match cleaning {
        TextCleaning::None => text,
        TextCleaning::Lower => Cow::Owned(joined_words(&text).to_lowercase()),
        TextCleaning::Canonicalize => {
            let spaced = text.replace('_', " ");
            let letters: String = spaced.chars().filter(|c| !c.is_ascii_punctuation()).collect();
            Cow::Owned(joined_words(&letters.to_lowercase()))
        }
    }
}

/// The words of a text, one space between them.
fn joined_words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A tokenizer without padding and cutting of its own: those are the manifest's.
fn read_tokenizer(bytes: &[u8], model: &str) -> Result<Tokenizer, ModelError> {
    let refuse = |source| ModelError::Tokenizer {
        model: model.to_owned(),
        source,
    };
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(refuse)?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(refuse)?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_as_the_manifest_says() {
        let text = " A  Dog_house, (ΟΔΟΣ) ";
        assert_eq!(cleaned(text, TextCleaning::None), text);
        assert_eq!(cleaned(text, TextCleaning::Lower), "a dog_house, (οδος)");
        assert_eq!(cleaned(text, TextCleaning::Canonicalize), "a dog house οδος");
    }

    #[test]
    fn ids_are_open_clips_on_its_own_vocabulary() {
        // The real vocabulary, cut down to what these texts need (scripts/make_model_goldens.py).
        let golden = |name: &str| {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/golden/models")
                .join(name);
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let tokenizer = read_tokenizer(&golden("clip-tokenizer.json"), "clip").unwrap();
        let ids = |text: &str| -> Vec<u32> {
            let encoded = tokenizer.encode(cleaned(text, TextCleaning::Lower), true).unwrap();
            encoded.get_ids().to_vec()
        };
        let said: serde_json::Value = serde_json::from_slice(&golden("clip-ids.json")).unwrap();
        let rows = said.as_array().unwrap();
        assert!(rows.len() > 40);
        let mut wrong = Vec::new();
        for row in rows {
            let text = row["text"].as_str().unwrap();
            let wanted: Vec<u32> = row["ids"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_u64().unwrap() as u32)
                .collect();
            let made = ids(text);
            if made != wanted {
                wrong.push(format!("{text:?}: {made:?}, open_clip gives {wanted:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(ids("a photo of a cat"), [49406, 320, 1125, 539, 320, 2368, 49407]);
        assert_eq!(ids("l'art nouveau"), [49406, 331, 262, 794, 29948, 49407]);
    }
}
