//! A text tower that is loaded when embeddings are first asked for: where every table has its cache
//! and the mode asks for no more than rankings, that is never, and a tower's weights take no memory.

use std::sync::Arc;

use super::build::EmbedTexts;
use crate::label::{LabelError, LabelerOptions, TextReader, TextTower};
use crate::model::{Model, Runtime};

/// A text tower, loaded or not yet.
pub struct TowerOnDemand<'a> {
    model: &'a Model,
    runtime: &'a dyn Runtime,
    options: &'a LabelerOptions,
    reader: Arc<TextReader>,
    /// Values an embedding of a picture; those of a text must be as many.
    width: usize,
    tower: Option<TextTower>,
}

impl<'a> TowerOnDemand<'a> {
    /// One that is not loaded, beside an image tower that gives `width` values.
    pub fn new(
        model: &'a Model,
        runtime: &'a dyn Runtime,
        options: &'a LabelerOptions,
        reader: Arc<TextReader>,
        width: usize,
    ) -> Self {
        Self {
            model,
            runtime,
            options,
            reader,
            width,
            tower: None,
        }
    }

    /// What reads its texts.
    pub fn reader(&self) -> &TextReader {
        &self.reader
    }

    /// Values an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The loaded tower.
    pub fn into_tower(mut self) -> Result<TextTower, LabelError> {
        self.take()
    }

    /// The tower out of here, loaded now if it was not.
    fn take(&mut self) -> Result<TextTower, LabelError> {
        match self.tower.take() {
            Some(tower) => Ok(tower),
            None => self.load(),
        }
    }

    fn load(&self) -> Result<TextTower, LabelError> {
        let tower = TextTower::load(self.reader.clone(), self.model, self.runtime, self.options)?;
        if tower.width() != self.width {
            let (picture, text) = (self.width, tower.width());
            let message = format!("its towers give {picture} and {text} values a picture and a text");
            return Err(LabelError::Option {
                model: self.model.manifest.name.clone(),
                message,
            });
        }
        Ok(tower)
    }
}

impl EmbedTexts for TowerOnDemand<'_> {
    fn length(&self, text: &str) -> Result<usize, LabelError> {
        Ok(self.reader.token_ids(text)?.len())
    }

    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, LabelError> {
        let tower = self.take()?;
        self.tower.insert(tower).embed_trimmed(texts)
    }
}
