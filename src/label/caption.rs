//! Captions: one sentence a picture. A captioner is a trait, so that other families (an
//! encoder-decoder of another kind, a server) can stand where BLIP stands.

use std::sync::Arc;

use arrow::array::StringBuilder;
use arrow::datatypes::{DataType, FieldRef};

use super::columns::ColumnNames;
use super::{BatchChoice, LabelError, Labeler, LabelerOptions, Labels, Pictures};
use crate::model::manifest::{CaptionFamily, CaptionSearch};
use crate::model::{Model, ModelError, Runtime};
use crate::record::{Failure, Geometry};

mod blip;
mod search;
mod steps;
mod wordpiece;

/// What a captioner says of one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caption {
    /// The sentence, without the prompt.
    pub text: String,
    /// Its ids: the first one, the prompt's, the sentence's, and the last one where it was not cut off.
    pub ids: Vec<i64>,
}

/// What became of each picture: none where there was none, else a caption or why there is none.
pub type Captions = Vec<Option<Result<Caption, Failure>>>;

/// Makes a sentence of a picture.
pub trait Captioner: Send {
    /// The model's name.
    fn name(&self) -> &str;

    /// What its captions depend on, as [`Labeler::fingerprint`].
    fn fingerprint(&self) -> &str;

    /// The square of pixels that it wants.
    fn geometry(&self) -> Geometry;

    /// Whether the model's manifest calls it a demo.
    fn is_demo(&self) -> bool;

    /// The device it runs on and why.
    fn device(&self) -> &str;

    /// Chooses the batch where that was left open, as [`Labeler::fit_batch`].
    ///
    /// # Errors
    /// As there.
    fn fit_batch(&mut self, _images: u64) -> Result<Option<BatchChoice>, LabelError> {
        Ok(None)
    }

    /// Captions of pictures, one entry a row, as [`Labeler::label`].
    ///
    /// # Errors
    /// A [`LabelError`] means that the model is broken, not a picture.
    fn caption(&mut self, squares: &[Option<&[u8]>]) -> Result<Captions, LabelError>;
}

/// What a user's configuration changes of a manifest's `[caption.search]`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CaptionOptions {
    /// Whether captions begin with the model's prompt.
    pub prompted: Option<bool>,
    /// Sequences that are followed at once.
    pub beams: Option<usize>,
    /// Ids before which a caption does not end.
    pub min_length: Option<usize>,
    /// Ids at which a caption is cut off.
    pub max_length: Option<usize>,
    /// Divides the score of ids that the caption holds already.
    pub repetition_penalty: Option<f32>,
}

impl CaptionOptions {
    /// The manifest's search with what the user changes of it.
    fn over(&self, manifest: CaptionSearch) -> CaptionSearch {
        CaptionSearch {
            prompted: self.prompted.unwrap_or(manifest.prompted),
            beams: self.beams.unwrap_or(manifest.beams),
            min_length: self.min_length.unwrap_or(manifest.min_length),
            max_length: self.max_length.unwrap_or(manifest.max_length),
            repetition_penalty: self.repetition_penalty.unwrap_or(manifest.repetition_penalty),
        }
    }
}

/// Loads a captioner and checks it against its manifest.
///
/// # Errors
/// As [`super::open`].
pub fn open_captioner(
    model: &Model,
    runtime: &dyn Runtime,
    options: &LabelerOptions,
) -> Result<Box<dyn Captioner>, LabelError> {
    let manifest = &model.manifest;
    let Some(spec) = &manifest.caption else {
        return Err(LabelError::Option {
            model: manifest.name.clone(),
            message: format!("it makes no captions, it is a {}", manifest.kind.as_str()),
        });
    };
    let search = options.caption.over(spec.search);
    search.check(&spec.prompt_ids).map_err(|message| LabelError::Option {
        model: manifest.name.clone(),
        message,
    })?;
    match spec.family {
        CaptionFamily::Blip => Ok(Box::new(blip::Blip::open(model, spec, search, runtime, options)?)),
    }
}

/// Makes `caption`.
pub struct CaptionLabeler {
    captioner: Box<dyn Captioner>,
    field: FieldRef,
}

impl CaptionLabeler {
    /// Loads the model's captioner.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(model: &Model, runtime: &dyn Runtime, options: &LabelerOptions) -> Result<Self, LabelError> {
        let names = ColumnNames::new(options.columns.as_deref(), &model.manifest.name)?;
        Ok(Self {
            captioner: open_captioner(model, runtime, options)?,
            field: names.field("caption", DataType::Utf8),
        })
    }
}

impl Labeler for CaptionLabeler {
    fn name(&self) -> &str {
        self.captioner.name()
    }

    fn fields(&self) -> Vec<FieldRef> {
        vec![Arc::clone(&self.field)]
    }

    fn fingerprint(&self) -> &str {
        self.captioner.fingerprint()
    }

    fn geometries(&self) -> Vec<Geometry> {
        vec![self.captioner.geometry()]
    }

    fn is_demo(&self) -> bool {
        self.captioner.is_demo()
    }

    fn device(&self) -> &str {
        self.captioner.device()
    }

    fn fit_batch(&mut self, images: u64) -> Result<Vec<BatchChoice>, LabelError> {
        Ok(self.captioner.fit_batch(images)?.into_iter().collect())
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        let mut texts = StringBuilder::new();
        let mut failures = Vec::new();
        for (row, caption) in self.captioner.caption(pictures.squares(0))?.into_iter().enumerate() {
            match caption {
                Some(Ok(caption)) => texts.append_value(caption.text),
                Some(Err(failure)) => {
                    texts.append_null();
                    failures.push((row, failure));
                }
                None => texts.append_null(),
            }
        }
        Ok(Labels {
            columns: vec![Arc::new(texts.finish())],
            failures,
        })
    }
}

/// The refusal of a model that is not as its manifest says.
fn refusal(model: &str, message: String) -> LabelError {
    LabelError::Model(ModelError::Contract {
        model: model.to_owned(),
        message,
    })
}

#[cfg(test)]
mod tests;
