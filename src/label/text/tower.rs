//! The text tower of a CLIP: token ids to unit embeddings.

use std::sync::Arc;

use super::TextReader;
use crate::label::classify::normalise;
use crate::label::{LabelError, LabelerOptions};
use crate::model::session::SessionOptions;
use crate::model::tensor::{ElementType, Tensor};
use crate::model::{Device, Model, ModelError, Runtime, Session};
use crate::model::{check, engine_cache};

/// Texts a run of the graph where it leaves the number open.
const TEXTS_PER_RUN: usize = 16;

/// Token positions a run of texts of like length: enough rows to keep a processor's matrix product
/// busy, few enough to stay in its caches.
const POSITIONS_PER_RUN: usize = 1536;

/// A loaded text tower.
pub struct TextTower {
    reader: Arc<TextReader>,
    session: Box<dyn Session>,
    /// Names as the graph has them.
    input: String,
    output: String,
    batch: usize,
    /// Whether the graph takes any number of texts of any length.
    is_open: bool,
    element: ElementType,
    /// Values an embedding.
    width: usize,
}

impl TextTower {
    /// Loads the tokenizer and the text tower of a model, checks its declaration, and runs it once.
    ///
    /// # Errors
    /// As [`super::super::open`]; and where the model has no text tower.
    pub fn open(model: &Model, runtime: &dyn Runtime, options: &LabelerOptions) -> Result<Self, LabelError> {
        Self::load(Arc::new(TextReader::open(model)?), model, runtime, options)
    }

    /// The same with the tokenizer loaded.
    pub fn load(
        reader: Arc<TextReader>,
        model: &Model,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
    ) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let spec = reader.spec();
        let graph = model.file(&spec.file)?;
        let device = runtime.choose(options.device)?.device;
        let shape = vec![TEXTS_PER_RUN, spec.context];
        let engines = engine_cache::open(
            options.engine_cache.as_deref(),
            device,
            &graph.sha256,
            &shape,
            options.precision,
        )?;
        let session_options = SessionOptions {
            engine_cache: engines.as_ref().map(|engines| engines.folder.clone()),
            precision: options.precision,
            cpu_fallback: options.cpu_fallback,
            providers: options.providers.clone(),
            fixed_inputs: vec![(spec.input.clone(), shape)],
            ..SessionOptions::new(device, options.threads)
        };
        let session = runtime.load(
            &format!("{}/{}", manifest.name, spec.file),
            graph.graph(),
            &session_options,
        )?;
        let contract = check::text_graph(manifest, session.as_ref())?;
        let input = session.inputs().iter().find(|input| input.name == contract.input);
        let shape_is_open = input.is_some_and(|input| input.shape.iter().all(Option::is_none));
        let mut tower = Self {
            session,
            input: contract.input,
            output: contract.output,
            batch: contract.fixed_batch.unwrap_or(TEXTS_PER_RUN).max(1),
            // TensorRT builds an engine for every shape.
            is_open: shape_is_open && !matches!(device, Device::TensorRt(_)),
            element: contract.element,
            reader: reader.clone(),
            width: 0,
        };
        let made_up = reader.token_ids("a picture")?;
        let made_up = tower.run(&[&made_up], tower.batch, reader.spec().context)?;
        tower.width = made_up.len();
        check::embeddings(manifest, &made_up)?;
        Ok(tower)
    }

    /// What reads its texts.
    pub fn reader(&self) -> &Arc<TextReader> {
        &self.reader
    }

    /// Values an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Unit embeddings of texts, one a text. A text gives the same values alone and among others.
    pub fn embed_texts(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, LabelError> {
        let mut embeddings = Vec::with_capacity(texts.len());
        for part in texts.chunks(self.batch) {
            let ids = part.iter().map(|text| self.reader.token_ids(text));
            let ids = ids.collect::<Result<Vec<_>, LabelError>>()?;
            let ids: Vec<&[i64]> = ids.iter().map(Vec::as_slice).collect();
            let values = self.run(&ids, self.batch, self.reader.spec().context)?;
            self.push_unit_rows(values, part.iter().map(String::as_str), &mut embeddings)?;
        }
        Ok(embeddings)
    }

    /// Unit embeddings of texts, one a text, in batches of texts of like length that are padded to
    /// the longest of them only: a CLIP never looks behind the end token, so the values are those
    /// of [`Self::embed_texts`] up to rounding. For many short texts many times cheaper.
    pub fn embed_trimmed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, LabelError> {
        let ids = texts.iter().map(|text| self.reader.token_ids(text));
        let ids = ids.collect::<Result<Vec<_>, LabelError>>()?;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| ids[text].len());
        let mut embeddings = vec![Vec::new(); texts.len()];
        let mut waiting = order.as_slice();
        while let Some(&shortest) = waiting.first() {
            let (batch, length) = if self.is_open {
                // By the shortest: the longest of as many texts is hardly longer.
                let wanted = (POSITIONS_PER_RUN / ids[shortest].len().max(1)).clamp(1, waiting.len());
                (wanted, ids[waiting[wanted - 1]].len())
            } else {
                (self.batch, self.reader.spec().context)
            };
            let (part, rest) = waiting.split_at(batch.min(waiting.len()));
            let part_ids: Vec<&[i64]> = part.iter().map(|&text| ids[text].as_slice()).collect();
            let values = self.run(&part_ids, batch, length)?;
            let mut rows = Vec::with_capacity(part.len());
            self.push_unit_rows(values, part.iter().map(|&text| texts[text]), &mut rows)?;
            for (&text, row) in part.iter().zip(rows) {
                embeddings[text] = row;
            }
            waiting = rest;
        }
        Ok(embeddings)
    }

    /// The unit embedding of one text, by itself: it depends on nothing else.
    pub fn embed_alone(&mut self, text: &str) -> Result<Vec<f32>, LabelError> {
        let ids = self.reader.token_ids(text)?;
        let (batch, length) = if self.is_open {
            (1, ids.len())
        } else {
            (self.batch, self.reader.spec().context)
        };
        let values = self.run(&[&ids], batch, length)?;
        let mut rows = Vec::new();
        self.push_unit_rows(values, [text].into_iter(), &mut rows)?;
        Ok(rows.pop().expect("one text gives one row"))
    }

    /// Appends one unit vector a text from a run's values.
    fn push_unit_rows<'a>(
        &self,
        values: Vec<f32>,
        texts: impl ExactSizeIterator<Item = &'a str>,
        rows: &mut Vec<Vec<f32>>,
    ) -> Result<(), LabelError> {
        let width = values.len() / texts.len().max(1);
        for (text, row) in texts.zip(values.chunks_exact(width.max(1))) {
            let mut row = row.to_vec();
            if !normalise(&mut row) {
                let message = format!("the text `{text}` gives an embedding without direction");
                return Err(LabelError::Option {
                    model: self.reader.name().to_owned(),
                    message,
                });
            }
            rows.push(row);
        }
        Ok(())
    }

    /// One run of `batch` texts of `length` ids; the values of the given texts, at least one.
    fn run(&mut self, texts: &[&[i64]], batch: usize, length: usize) -> Result<Vec<f32>, LabelError> {
        let mut ids = vec![self.reader.spec().pad_id; batch * length];
        let mut mask = vec![0_i64; batch * length];
        for (row, text) in texts.iter().enumerate() {
            let start = row * length;
            ids[start..start + text.len()].copy_from_slice(text);
            mask[start..start + text.len()].fill(1);
        }
        let shape = [batch, length];
        let [ids, mask] = [ids, mask].map(|values| Tensor::integers(self.element, values, &shape));
        let mut inputs = vec![(self.input.as_str(), &ids)];
        inputs.extend(self.reader.spec().attention_mask.as_deref().map(|name| (name, &mask)));
        let output = self.session.run_one(&inputs, &self.output)?;
        let shape = output.shape.clone();
        let mut values = output.into_f32().unwrap_or_default();
        let width = shape.last().copied().unwrap_or(0);
        if width == 0 || shape != [batch, width] || values.len() != batch * width {
            return Err(LabelError::Model(ModelError::Contract {
                model: self.reader.name().to_owned(),
                message: format!("a batch of {batch} texts gives an output of shape {shape:?}"),
            }));
        }
        values.truncate(texts.len() * width);
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{model, runtime};

    fn tower() -> Option<TextTower> {
        let options = LabelerOptions {
            device: Device::Cpu,
            threads: 1,
            ..LabelerOptions::default()
        };
        Some(TextTower::open(&model("tiny-clip"), runtime()?, &options).unwrap())
    }

    #[test]
    fn long_texts_are_cut_and_keep_their_end_token() {
        let Some(tower) = tower() else { return };
        let short = tower.reader.token_ids("A photo of a cat").unwrap();
        // <start> and <end> as the fixture's tokenizer numbers them.
        assert_eq!((short[0], *short.last().unwrap()), (1, 2));
        assert!(short.len() < 12);
        let long = tower.reader.token_ids(&"unheard-of words ".repeat(20)).unwrap();
        assert_eq!(long.len(), 12);
        assert_eq!((long[0], long[11]), (1, 2));
    }

    #[test]
    fn a_text_alone_equals_the_text_among_others() {
        let Some(mut tower) = tower() else { return };
        let texts: Vec<String> = (0..20).map(|index| format!("a drawing of {index} dogs")).collect();
        let together = tower.embed_texts(&texts).unwrap();
        for (text, among) in texts.iter().zip(&together) {
            let alone = tower.embed_texts(std::slice::from_ref(text)).unwrap();
            let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&alone[0]), bits(among));
            let length: f32 = among.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn trimmed_texts_have_the_values_of_padded_ones() {
        let Some(runtime) = runtime() else { return };
        let demo = crate::model::ModelStore::default().resolve("demo-clip").unwrap();
        for model in [model("tiny-clip"), demo] {
            let options = LabelerOptions {
                device: Device::Cpu,
                threads: 1,
                ..LabelerOptions::default()
            };
            let mut tower = TextTower::open(&model, runtime, &options).unwrap();
            let texts: Vec<String> = (0..300).map(|index| "a red fox, ".repeat(1 + index * 7 % 5)).collect();
            let padded = tower.embed_texts(&texts).unwrap();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let trimmed = tower.embed_trimmed(&texts).unwrap();
            for (padded, trimmed) in padded.iter().zip(&trimmed) {
                let cosine: f32 = padded.iter().zip(trimmed).map(|(left, right)| left * right).sum();
                assert!(cosine > 0.999_999, "{cosine}");
            }
            assert!(tower.embed_trimmed(&[]).unwrap().is_empty());
            let long = "a red fox, ".repeat(20);
            assert!(tower.reader.is_full(&long).unwrap() && !tower.reader.is_full("a").unwrap());
        }
    }

    #[test]
    fn a_model_without_text_says_so() {
        let Some(runtime) = runtime() else { return };
        let error = TextTower::open(&model("tiny-wd-tagger"), runtime, &LabelerOptions::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains("no text tower"), "{error}");
    }
}
