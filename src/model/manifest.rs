//! `model.toml`: everything that labelmill must know about a model to run it. A new CLIP or tagger
//! is such a file and its weights, no Rust.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::ModelError;
use crate::record::{Alpha, Filter, Fit, Geometry};

mod caption;
mod score;
mod validate;

pub use caption::{CaptionFamily, CaptionNames, CaptionSearch, CaptionSpec};
pub use score::{HeadSpec, ScoreSpec};
pub use validate::check_tables;

/// What a model makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Two towers: embeddings of pictures and of texts.
    Clip,
    /// A score for each tag of a label file.
    Tagger,
    /// One number: how beautiful, how safe.
    Score,
    /// A sentence.
    Captioner,
}

impl ModelKind {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::Tagger => "tagger",
            Self::Score => "score",
            Self::Captioner => "captioner",
        }
    }
}

/// A model's manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The name users say: lower case letters, digits, dots and dashes.
    pub name: String,
    /// Other names that users say, in any case: `ViT-L-14/openai`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it makes.
    pub kind: ModelKind,
    /// Small, for trying out; said wherever its labels are shown.
    #[serde(default)]
    pub demo: bool,
    /// One sentence for lists.
    pub description: String,
    /// Licence of the weights, an SPDX expression where there is one.
    pub licence: String,
    /// Where the weights come from.
    pub origin: String,
    /// False where not every fact below is established; then `notes` says which.
    #[serde(default = "yes")]
    pub verified: bool,
    /// What a user should know.
    pub notes: Option<String>,
    /// The graph that pictures go through.
    pub image: ImageSpec,
    /// The text tower of a CLIP.
    pub text: Option<TextSpec>,
    /// Zero-shot tables of a CLIP.
    #[serde(default)]
    pub classify: Vec<ClassifyTable>,
    /// What a tagger's scores mean.
    pub output: Option<OutputSpec>,
    /// What a score model's number means.
    pub score: Option<ScoreSpec>,
    /// How a captioner's captions are made.
    pub caption: Option<CaptionSpec>,
    /// Default thresholds by category, applied at export.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f32>,
    /// Facts about files that have no table of their own, and where to fetch each.
    #[serde(default)]
    pub files: Vec<FileSpec>,
}

fn yes() -> bool {
    true
}

/// The graph that pictures go through, and the pixels it wants.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// ONNX file, relative to the manifest.
    pub file: String,
    /// Its SHA-256 in hex.
    pub sha256: Option<String>,
    /// Name of the input.
    pub input: String,
    /// Name of the output; of a captioner's vision tower, of the first.
    pub output: String,
    /// Side of the square in pixels.
    pub size: u32,
    /// Order of the input's dimensions.
    pub layout: Layout,
    /// Order of the colours along the channel dimension.
    pub channels: Channels,
    /// Range of the values before mean and std.
    pub scale: Scale,
    /// Subtracted after scaling; red, green, blue, whatever `channels` says.
    pub mean: Option<[f32; 3]>,
    /// Divided by after subtracting; red, green, blue, whatever `channels` says.
    pub std: Option<[f32; 3]>,
    /// How a picture becomes a square.
    pub geometry: Fit,
    /// Resampling filter.
    pub filter: Filter,
    /// What happens to transparency.
    pub alpha: Alpha,
    /// Colour under transparency and round padded pictures.
    #[serde(default = "white")]
    pub background: [u8; 3],
}

fn white() -> [u8; 3] {
    [255; 3]
}

/// Order of an image tensor's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

impl Layout {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nchw => "nchw",
            Self::Nhwc => "nhwc",
        }
    }
}

/// Order of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// Range to which bytes are mapped before mean and std.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum Scale {
    /// `v / 255`.
    #[serde(rename = "0..1")]
    ZeroToOne,
    /// `v`.
    #[serde(rename = "0..255")]
    Bytes,
    /// `v / 127.5 - 1`.
    #[serde(rename = "-1..1")]
    MinusOneToOne,
}

impl ImageSpec {
    /// The square of pixels that this model wants.
    pub fn geometry(&self) -> Geometry {
        Geometry {
            size: self.size,
            fit: self.geometry,
            filter: self.filter,
            alpha: self.alpha,
            background: self.background,
        }
    }

    /// Everything that happens to a picture before the graph, in one line that changes with any
    /// of it: part of the model's fingerprint, so written by the names in manifests, not by those
    /// in this file.
    pub fn describe_preprocessing(&self) -> String {
        let said = (
            self.geometry(),
            self.layout,
            self.channels,
            self.scale,
            self.mean,
            self.std,
        );
        serde_json::to_string(&said).expect("plain enums, numbers and arrays always become JSON")
    }
}

/// The text tower of a CLIP.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// ONNX file, relative to the manifest.
    pub file: String,
    /// Its SHA-256 in hex.
    pub sha256: Option<String>,
    /// Name of the input of token ids.
    pub input: String,
    /// Name of the input that says which ids are no padding, where the graph has one.
    pub attention_mask: Option<String>,
    /// Name of the output.
    pub output: String,
    /// `tokenizer.json`, relative to the manifest.
    pub tokenizer: String,
    /// Ids a text; longer texts are cut and keep their end token.
    pub context: usize,
    /// Id after the end of a shorter text.
    #[serde(default)]
    pub pad_id: i64,
    /// Factor on cosines before the softmax of zero-shot tables. CLIP's learned temperature is
    /// clipped to 100 and ends there (Radford et al. 2021, sections 2.5 and 3.1.2).
    #[serde(default = "hundred")]
    pub logit_scale: f32,
    /// Added to the scaled cosines; only a sigmoid feels it (SigLIP).
    #[serde(default)]
    pub logit_bias: f32,
    /// What makes scaled cosines into the scores of zero-shot tables: a softmax over the labels
    /// (CLIP) or a sigmoid for each (SigLIP).
    #[serde(default = "softmax")]
    pub activation: Activation,
    /// What happens to a text before its tokenizer.
    #[serde(default)]
    pub clean: TextCleaning,
    /// The same tower in steps (`scripts/export_clip_chain.py`), which makes chains of terms many
    /// times cheaper; an ONNX file.
    pub chain: Option<String>,
}

/// What happens to a text before its tokenizer, in `open_clip`'s words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TextCleaning {
    /// Nothing.
    #[default]
    None,
    /// Repaired (quotes, entities), white space closed up, lower case: CLIP.
    Lower,
    /// And without punctuation: SigLIP.
    Canonicalize,
}

fn softmax() -> Activation {
    Activation::Softmax
}

fn hundred() -> f32 {
    100.0
}

/// A zero-shot table: the best label a picture, by the mean of each label's prompts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyTable {
    /// Name of the column; a second one is `NAME_score`.
    pub name: String,
    /// The labels to choose from.
    pub labels: Vec<ClassifyLabel>,
}

/// One label of a zero-shot table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifyLabel {
    /// What is written.
    pub name: String,
    /// Texts that describe it.
    pub prompts: Vec<String>,
}

/// What a tagger's output means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// What makes the output into probabilities.
    pub activation: Activation,
    /// Label file, relative to the manifest.
    pub labels: String,
    /// How it is written.
    pub label_format: LabelFormat,
    /// Lowest score that is kept in `tags`.
    #[serde(default = "five_percent")]
    pub floor: f32,
}

fn five_percent() -> f32 {
    0.05
}

/// What makes a tagger's output into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing: they are probabilities.
    None,
    /// A sigmoid for each tag.
    Sigmoid,
    /// A softmax over all tags.
    Softmax,
}

impl Activation {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
        }
    }
}

/// How a label file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelFormat {
    /// CSV with a header that names at least `name` and `category` (a code); WD, `PixAI`.
    WdCsv,
    /// A tag a line, blank lines skipped, all of category `general` but for `rating:NAME`;
    /// `DeepDanbooru`, `JoyTag`.
    Lines,
    /// A JSON list of tags; `ML-Danbooru`.
    JsonList,
    /// JSON `{"0": {"tag": …, "category": …}}`; `cl_tagger`.
    TagMapping,
    /// JSON with `idx_to_tag` and `tag_to_category`, at its top or in `dataset_info.tag_mapping`;
    /// Camie.
    Camie,
    /// JSON with `id2label`: the `config.json` of a transformers classifier.
    Id2label,
}

/// A file of the model: what it must be, and where it can be had.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Relative to the manifest.
    pub file: String,
    /// SHA-256 in hex.
    pub sha256: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Megabytes, where only that is known: for lists, nothing is checked by it.
    pub about_mb: Option<u32>,
    /// Where it is had: `hub:OWNER/REPO[@REVISION]/PATH`, a URL, `wheel:PACKAGE==VERSION/PATH`,
    /// `folder:/PATH`; or `export:COMMAND` where no place offers it and a script makes it.
    pub source: Option<String>,
}

impl Manifest {
    /// Reads and checks a manifest; `place` is how errors call it.
    ///
    /// # Errors
    /// `Manifest`, with the line and the key.
    pub fn parse(text: &str, place: &str) -> Result<Self, ModelError> {
        let manifest: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let excerpt = line.and_then(|line| text.lines().nth(line - 1)).unwrap_or("").trim();
            ModelError::Manifest {
                place: line.map_or_else(|| place.to_owned(), |line| format!("{place} line {line}")),
                message: if excerpt.is_empty() {
                    error.message().to_owned()
                } else {
                    format!("{} in `{excerpt}`", error.message())
                },
            }
        })?;
        manifest.check().map_err(|message| ModelError::Manifest {
            place: place.to_owned(),
            message,
        })?;
        Ok(manifest)
    }

    /// Whether a user who says `name` means this model: its name or an alias, in any case.
    pub fn answers_to(&self, name: &str) -> bool {
        let mut names = std::iter::once(&self.name).chain(&self.aliases);
        names.any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The SHA-256 that the manifest pins for a file, if it does.
    pub fn pinned_sha256(&self, file: &str) -> Option<&str> {
        let image = (self.image.file == file)
            .then_some(self.image.sha256.as_deref())
            .flatten();
        let text = self
            .text
            .as_ref()
            .filter(|text| text.file == file)
            .and_then(|text| text.sha256.as_deref());
        let listed = self
            .files
            .iter()
            .find(|listed| listed.file == file)
            .and_then(|listed| listed.sha256.as_deref());
        image.or(text).or(listed)
    }

    /// Every file that a run needs, relative to the manifest, in the order in which they are read.
    pub fn needed_files(&self) -> Vec<&str> {
        let mut files = vec![self.image.file.as_str()];
        if let Some(text) = &self.text {
            files.extend([text.file.as_str(), text.tokenizer.as_str()]);
            files.extend(text.chain.as_deref());
        }
        files.extend(self.output.iter().map(|output| output.labels.as_str()));
        files.extend(self.score.iter().filter_map(ScoreSpec::head_file));
        if let Some(caption) = &self.caption {
            files.extend([&caption.step, &caption.select, &caption.vocabulary].map(String::as_str));
        }
        files.extend(
            self.files
                .iter()
                .map(|listed| listed.file.as_str())
                .filter(|file| !files.contains(file))
                .collect::<Vec<_>>(),
        );
        files
    }
}

#[cfg(test)]
mod tests;
