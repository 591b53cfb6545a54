//! `[caption]`: the graphs of a captioner beside its vision tower, and how captions are decoded.

use serde::{Deserialize, Serialize};

/// Most beams that may be asked for.
const MAX_BEAMS: usize = 64;

/// Longest caption in ids; the position tables of captioners end at 512 or before.
const MAX_LENGTH: usize = 4096;

/// Which captioner it is: what its graphs take and give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptionFamily {
    /// Three graphs as `scripts/export_blip.py` writes them.
    Blip,
}

/// How a captioner's graphs are used.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionSpec {
    /// Which captioner it is.
    pub family: CaptionFamily,
    /// ONNX file of one decoding step, relative to the manifest.
    pub step: String,
    /// ONNX file that takes rows of a tensor, relative to the manifest.
    pub select: String,
    /// `WordPiece` vocabulary, a token a line, relative to the manifest.
    pub vocabulary: String,
    /// Layers of the decoder.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Values a head.
    pub head_width: usize,
    /// Id before every caption.
    pub begin_id: i64,
    /// Id after every caption.
    pub end_id: i64,
    /// Id that is fed for captions that have ended.
    #[serde(default)]
    pub pad_id: i64,
    /// Ids that are no part of a text.
    #[serde(default)]
    pub special_ids: Vec<i64>,
    /// Whether `" ."`, `" n't"` and their like are closed up, as BERT's tokenizer does.
    #[serde(default = "yes")]
    pub clean_up: bool,
    /// Ids of the prompt that captions can be made to begin with, such as "a picture of".
    #[serde(default)]
    pub prompt_ids: Vec<i64>,
    /// Whether the prompt is used, and how a caption is searched for.
    #[serde(default)]
    pub search: CaptionSearch,
    /// Names of tensors.
    #[serde(default)]
    pub names: CaptionNames,
}

/// How a caption is searched for. Lengths count the first id, the prompt and the last id.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionSearch {
    /// Whether captions begin with the prompt; it is no part of the text.
    pub prompted: bool,
    /// Sequences that are followed at once; 1 is greedy.
    pub beams: usize,
    /// Ids before which a caption does not end.
    pub min_length: usize,
    /// Ids at which a caption is cut off.
    pub max_length: usize,
    /// Divides the score of ids that the caption holds already; 1 leaves them.
    pub repetition_penalty: f32,
}

impl Default for CaptionSearch {
    fn default() -> Self {
        Self {
            prompted: false,
            beams: 1,
            min_length: 0,
            max_length: 50,
            repetition_penalty: 1.0,
        }
    }
}

/// Names of the tensors of a captioner's graphs; `{}` stands for the number of the layer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionNames {
    /// Last id of every caption, `[pictures, beams]`.
    pub ids: String,
    /// Place of that id, `[1]`.
    pub position: String,
    /// Picture and beam of the past that each caption goes on from, `[pictures, beams, 2]`.
    pub source: String,
    /// Scores of the next id, `[pictures, beams, vocabulary]`.
    pub logits: String,
    /// Keys of the cross-attention: an output of the vision tower, an input of a step.
    pub cross_key: String,
    /// Values of the cross-attention.
    pub cross_value: String,
    /// Keys of the self-attention before a step.
    pub past_key: String,
    /// Values of the self-attention before a step.
    pub past_value: String,
    /// Keys of the self-attention after it.
    pub key: String,
    /// Values of the self-attention after it.
    pub value: String,
    /// Tensor whose rows are taken.
    pub values: String,
    /// Which rows, `[chosen]`.
    pub rows: String,
    /// The rows.
    pub selected: String,
}

impl Default for CaptionNames {
    fn default() -> Self {
        let name = str::to_owned;
        Self {
            ids: name("input_ids"),
            position: name("position"),
            source: name("source"),
            logits: name("logits"),
            cross_key: name("cross_key.{}"),
            cross_value: name("cross_value.{}"),
            past_key: name("past_key.{}"),
            past_value: name("past_value.{}"),
            key: name("key.{}"),
            value: name("value.{}"),
            values: name("values"),
            rows: name("rows"),
            selected: name("selected"),
        }
    }
}

impl CaptionNames {
    /// Every name with its key.
    fn all(&self) -> [(&'static str, &str); 13] {
        [
            ("ids", &self.ids),
            ("position", &self.position),
            ("source", &self.source),
            ("logits", &self.logits),
            ("cross_key", &self.cross_key),
            ("cross_value", &self.cross_value),
            ("past_key", &self.past_key),
            ("past_value", &self.past_value),
            ("key", &self.key),
            ("value", &self.value),
            ("values", &self.values),
            ("rows", &self.rows),
            ("selected", &self.selected),
        ]
    }

    /// The names of a pair of patterns for every layer, as they lie in caches: key, value, key …
    pub fn of_layers(key: &str, value: &str, layers: usize) -> Vec<String> {
        let of_layer = |layer: usize| [key, value].map(|pattern| pattern.replace("{}", &layer.to_string()));
        (0..layers).flat_map(of_layer).collect()
    }
}

fn yes() -> bool {
    true
}

impl CaptionSpec {
    /// What the types cannot say. The message names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, value, most) in [
            ("layers", self.layers, 256),
            ("heads", self.heads, 1024),
            ("head_width", self.head_width, 4096),
        ] {
            if value == 0 || value > most {
                return Err(format!("`caption.{key}` is {value}; 1 to {most} is wanted"));
            }
        }
        let ids = [self.begin_id, self.end_id, self.pad_id];
        if let Some(id) = ids
            .iter()
            .chain(&self.prompt_ids)
            .chain(&self.special_ids)
            .find(|&&id| id < 0)
        {
            return Err(format!("`caption` has the id {id}; ids begin at 0"));
        }
        for (key, name) in self.names.all() {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(format!(
                    "`caption.names.{key}` is {name:?}; the name of a tensor is wanted"
                ));
            }
        }
        self.search.check(&self.prompt_ids)
    }
}

impl CaptionSearch {
    /// Checks the numbers, from a manifest or from a user's configuration.
    ///
    /// # Errors
    /// A message that names the key.
    pub fn check(&self, prompt_ids: &[i64]) -> Result<(), String> {
        if self.beams == 0 || self.beams > MAX_BEAMS {
            return Err(format!("`beams` is {}; 1 to {MAX_BEAMS} is wanted", self.beams));
        }
        if self.prompted && prompt_ids.is_empty() {
            return Err("`prompted` is true, and the model has no `prompt_ids`".to_owned());
        }
        let shortest = if self.prompted { prompt_ids.len() + 2 } else { 2 };
        if self.max_length < shortest || self.max_length > MAX_LENGTH {
            let length = self.max_length;
            return Err(format!(
                "`max_length` is {length}; {shortest} to {MAX_LENGTH} is wanted"
            ));
        }
        if self.min_length > self.max_length {
            return Err(format!(
                "`min_length` is {} and `max_length` {}; it must not be more",
                self.min_length, self.max_length
            ));
        }
        if !self.repetition_penalty.is_finite() || self.repetition_penalty <= 0.0 {
            return Err(format!(
                "`repetition_penalty` is {}; a number above 0 is wanted",
                self.repetition_penalty
            ));
        }
        Ok(())
    }
}
