//! The label stage: squares of pixels in, named Arrow columns out. A labeler knows its model's
//! manifest and graph; it knows nothing of files, rows before it, or the writer.

use std::path::PathBuf;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use crate::model::manifest::{ClassifyTable, ModelKind};
use crate::model::provider_options::{NormaliseOnDevice, ProviderOptions};
use crate::model::session::{CpuFallback, Precision};
use crate::model::{Device, Model, ModelError, Runtime};
use crate::record::{Failure, Geometry};

mod batch;
mod batch_size;
pub mod caption;
mod classify;
mod clean;
mod clip;
mod columns;
pub mod interrogate;
mod pictures;
mod pixels;
mod runner;
mod score;
mod tagger;
mod text;
mod tower;

pub use batch_size::{BatchChoice, OPENING as OPENING_BATCH, Sizing};
pub use caption::{CaptionLabeler, CaptionOptions};
pub use clip::ClipLabeler;
pub use pictures::{BatchId, Pictures};
pub use score::ScoreLabeler;
pub use tagger::TaggerLabeler;
pub use text::{TextReader, TextTower};
pub use tower::Towers;

/// Makes columns from pictures with one model.
pub trait Labeler: Send {
    /// The model's name.
    fn name(&self) -> &str;

    /// The columns it makes, in the order of [`Labels::columns`].
    fn fields(&self) -> Vec<FieldRef>;

    /// What its values depend on: model files, preprocessing, tables and options that change
    /// values, and a stage version raised by hand. Equal fingerprints mean equal labels.
    fn fingerprint(&self) -> &str;

    /// The squares of pixels that it wants, at least one.
    fn geometries(&self) -> Vec<Geometry>;

    /// Whether the model's manifest calls it a demo.
    fn is_demo(&self) -> bool;

    /// The device it runs on and why, for the summary.
    fn device(&self) -> &str;

    /// Chooses the batches that [`LabelerOptions::sizing`] left open, for a run over so many images,
    /// and tells what was chosen. Labels do not depend on it.
    ///
    /// # Errors
    /// A made-up picture fails, or not even the smallest batch fits into memory.
    fn fit_batch(&mut self, _images: u64) -> Result<Vec<BatchChoice>, LabelError> {
        Ok(Vec::new())
    }

    /// Tells which pictures will be asked for next, so that the model can begin with them;
    /// [`Self::label`] takes over what was begun. Labels do not depend on it.
    fn begin(&mut self, _pictures: &Pictures<'_>) {}

    /// Whether everything that was begun for this batch is done.
    fn is_ready(&mut self, _batch: BatchId) -> bool {
        true
    }

    /// Labels pictures: one row each, whose squares come in the order of [`Self::geometries`].
    ///
    /// # Errors
    /// A [`LabelError`] means that the model is broken, not a picture. A picture that the model
    /// fails on is a row in [`Labels::failures`].
    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError>;
}

/// What a labeler made of some pictures.
#[derive(Debug)]
pub struct Labels {
    /// One array a field, each with one value a picture; null where the picture failed.
    pub columns: Vec<ArrayRef>,
    /// Rows that the model failed on, rising, each with why.
    pub failures: Vec<(usize, Failure)>,
}

/// Why a run cannot go on with a model.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It fails on every picture, or on a made-up one.
    #[error("model `{model}` fails on every picture")]
    EveryPicture {
        /// The model.
        model: String,
        /// The first failure.
        source: ModelError,
    },
    /// Somebody wanted to end while it was being opened; what is finished is kept.
    #[error("ended while {0}; what is finished is kept")]
    Ended(String),
    /// An option that does not fit the model.
    #[error("model `{model}`: {message}")]
    Option {
        /// The model.
        model: String,
        /// Which option, and what to write.
        message: String,
    },
}

/// Type of the values of `clip_embedding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EmbeddingType {
    /// 16-bit floats: half the size, cosines good to three decimals.
    #[default]
    Float16,
    /// 32-bit floats.
    Float32,
}

impl EmbeddingType {
    /// The name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Float16 => "float16",
            Self::Float32 => "float32",
        }
    }
}

/// Whether a device's first values are compared with the CPU's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Comparison {
    /// Yes: a device that gives other values is an error.
    #[default]
    WithCpu,
    /// No.
    Skipped,
}

/// How a model is to be run, and what of it is to be written.
#[derive(Debug, Clone)]
pub struct LabelerOptions {
    /// Where it runs.
    pub device: Device,
    /// Pictures a run of the graph; every batch is padded to it.
    pub batch: usize,
    /// Whether `batch` stays, or is chosen by [`Labeler::fit_batch`].
    pub sizing: Sizing,
    /// Threads that work on one run on the CPU.
    pub threads: usize,
    /// Prefix of the columns' names: `anime` makes `anime_tags`; none: the plain names.
    pub columns: Option<String>,
    /// Type of embeddings.
    pub embedding: EmbeddingType,
    /// Zero-shot tables beside the manifest's; one of the same name takes its place.
    pub classify: Vec<ClassifyTable>,
    /// Lowest score kept in `tags`, in place of the manifest's.
    pub floor: Option<f32>,
    /// How captions are searched for, where it differs from the manifest.
    pub caption: CaptionOptions,
    /// Folder for built TensorRT engines.
    pub engine_cache: Option<PathBuf>,
    /// Arithmetic.
    pub precision: Precision,
    /// Nodes that the device cannot run.
    pub cpu_fallback: CpuFallback,
    /// Options of the device's provider.
    pub providers: ProviderOptions,
    /// Whether the device is compared with the CPU.
    pub comparison: Comparison,
    /// Where pixels are normalised.
    pub normalise: NormaliseOnDevice,
}

impl Default for LabelerOptions {
    fn default() -> Self {
        Self {
            device: Device::Auto,
            batch: 16,
            sizing: Sizing::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            columns: None,
            embedding: EmbeddingType::default(),
            classify: Vec::new(),
            floor: None,
            caption: CaptionOptions::default(),
            engine_cache: None,
            precision: Precision::default(),
            cpu_fallback: CpuFallback::default(),
            providers: ProviderOptions::default(),
            comparison: Comparison::default(),
            normalise: NormaliseOnDevice::default(),
        }
    }
}

/// Loads a model, checks it against its manifest, and makes its labeler.
///
/// # Errors
/// Missing or changed files, a device that cannot be had, a graph that is not as the manifest
/// says; all before the first picture.
pub fn open(model: &Model, runtime: &dyn Runtime, options: &LabelerOptions) -> Result<Box<dyn Labeler>, LabelError> {
    open_beside(model, runtime, options, &mut Towers::default())
}

/// As [`open`], sharing image towers with the other labelers of the device.
pub fn open_beside(
    model: &Model,
    runtime: &dyn Runtime,
    options: &LabelerOptions,
    towers: &mut Towers,
) -> Result<Box<dyn Labeler>, LabelError> {
    if options.batch == 0 {
        let message = "`batch` is 0; at least 1 is wanted".to_owned();
        return Err(LabelError::Option {
            model: model.manifest.name.clone(),
            message,
        });
    }
    if options.caption != CaptionOptions::default() && model.manifest.kind != ModelKind::Captioner {
        let kind = model.manifest.kind.as_str();
        return Err(LabelError::Option {
            model: model.manifest.name.clone(),
            message: format!("it is a {kind}, and `caption` is for captioners"),
        });
    }
    Ok(match model.manifest.kind {
        ModelKind::Clip => Box::new(ClipLabeler::open(model, runtime, options, towers)?),
        ModelKind::Tagger => Box::new(TaggerLabeler::open(model, runtime, options)?),
        ModelKind::Score => Box::new(ScoreLabeler::open(model, runtime, options, towers)?),
        ModelKind::Captioner => Box::new(CaptionLabeler::open(model, runtime, options)?),
    })
}

#[cfg(test)]
mod tests;
