//! `[score]`: one number a picture, from the image graph itself or from a small graph over its
//! embedding.

use serde::{Deserialize, Serialize};

use super::Activation;

/// What a score model's number means.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreSpec {
    /// Name of the column.
    pub column: String,
    /// Which value of a row of the output it is.
    #[serde(default)]
    pub index: usize,
    /// What makes the row into the score.
    #[serde(default = "none")]
    pub activation: Activation,
    /// Lowest and highest score that can come; another one means a wrong manifest.
    pub range: Option<[f32; 2]>,
    /// A graph over the unit embeddings that the image graph gives, where it gives embeddings.
    pub head: Option<HeadSpec>,
}

/// A small graph over embeddings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpec {
    /// ONNX file, relative to the manifest.
    pub file: String,
    /// Name of the input: rows of unit length.
    pub input: String,
    /// Name of the output.
    pub output: String,
}

fn none() -> Activation {
    Activation::None
}

impl ScoreSpec {
    /// The head's file, where there is a head.
    pub fn head_file(&self) -> Option<&str> {
        self.head.as_ref().map(|head| head.file.as_str())
    }

    /// What the types cannot say. The message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !self.column.starts_with(|c: char| c.is_ascii_lowercase()) || !self.column.chars().all(plain) {
            return Err(format!(
                "`score.column` is `{}`; a column's name in lower case is wanted",
                self.column
            ));
        }
        if let Some([lowest, highest]) = self.range
            && !(lowest.is_finite() && highest.is_finite() && lowest < highest)
        {
            return Err(format!(
                "`score.range` is [{lowest}, {highest}]; a lower and a higher number are wanted"
            ));
        }
        Ok(())
    }
}
