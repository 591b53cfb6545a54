//! The text tower of a CLIP: texts to token ids to unit embeddings, for zero-shot tables now and
//! for search.

use std::borrow::Cow;

use tokenizers::Tokenizer;

use super::classify::normalise;
use super::clean::clean;
use super::{LabelError, LabelerOptions};
use crate::model::manifest::{TextCleaning, TextSpec};
use crate::model::session::SessionOptions;
use crate::model::tensor::{ElementType, Tensor, TensorData};
use crate::model::{Device, Model, ModelError, Runtime, Session};
use crate::model::{check, engine_cache};

/// Texts a run of the graph where it leaves the number open.
const TEXTS_PER_RUN: usize = 16;

/// Token positions a run of texts of like length: enough rows to keep a processor's matrix product
/// busy, few enough to stay in its caches.
const POSITIONS_PER_RUN: usize = 1536;

/// A loaded text tower.
pub struct TextTower {
    name: String,
    spec: TextSpec,
    tokenizer: Tokenizer,
    session: Box<dyn Session>,
    batch: usize,
    /// Whether the graph takes any number of texts of any length.
    is_open: bool,
    element: ElementType,
    /// SHA-256 of the graph's and of the tokenizer's file.
    sha256: [String; 2],
    /// Values an embedding.
    width: usize,
}

impl TextTower {
    /// Loads the text tower of a model, checks its declaration, and runs it once.
    ///
    /// # Errors
    /// As [`super::open`]; and where the model has no text tower.
    pub fn open(model: &Model, runtime: &dyn Runtime, options: &LabelerOptions) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let name = manifest.name.clone();
        let Some(spec) = manifest.text.clone() else {
            let message = "it has no text tower ([text] in its manifest)".to_owned();
            return Err(LabelError::Option { model: name, message });
        };
        let graph = model.file(&spec.file)?;
        let tokenizer_file = model.file(&spec.tokenizer)?;
        let tokenizer = read_tokenizer(&tokenizer_file.bytes()?, &name)?;
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
        let session = runtime.load(&format!("{name}/{}", spec.file), graph.graph(), &session_options)?;
        let contract = check::text_graph(manifest, session.as_ref())?;
        let input = session.inputs().iter().find(|input| input.name == contract.input);
        let shape_is_open = input.is_some_and(|input| input.shape.iter().all(Option::is_none));
        let mut tower = Self {
            name,
            spec: TextSpec {
                input: contract.input,
                output: contract.output,
                ..spec
            },
            tokenizer,
            session,
            batch: contract.fixed_batch.unwrap_or(TEXTS_PER_RUN).max(1),
            // TensorRT builds an engine for every shape.
            is_open: shape_is_open && !matches!(device, Device::TensorRt(_)),
            element: contract.element,
            sha256: [graph.sha256, tokenizer_file.sha256],
            width: 0,
        };
        let made_up = tower.token_ids("a picture")?;
        let made_up = tower.run(&[&made_up], tower.batch, tower.spec.context)?;
        tower.width = made_up.len();
        check::embeddings(manifest, &made_up)?;
        Ok(tower)
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the manifest says of it.
    pub fn spec(&self) -> &TextSpec {
        &self.spec
    }

    /// Values an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// SHA-256 of the graph's and of the tokenizer's file.
    pub fn sha256(&self) -> &[String; 2] {
        &self.sha256
    }

    /// Unit embeddings of texts, one a text. A text gives the same values alone and among others.
    pub fn embed_texts(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, LabelError> {
        let mut embeddings = Vec::with_capacity(texts.len());
        for part in texts.chunks(self.batch) {
            let ids = part.iter().map(|text| self.token_ids(text));
            let ids = ids.collect::<Result<Vec<_>, LabelError>>()?;
            let ids: Vec<&[i64]> = ids.iter().map(Vec::as_slice).collect();
            let values = self.run(&ids, self.batch, self.spec.context)?;
            self.push_unit_rows(values, part.iter().map(String::as_str), &mut embeddings)?;
        }
        Ok(embeddings)
    }

    /// Unit embeddings of texts, one a text, in batches of texts of like length that are padded to
    /// the longest of them only: a CLIP never looks behind the end token, so the values are those
    /// of [`Self::embed_texts`] up to rounding. For many short texts many times cheaper.
    pub fn embed_trimmed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, LabelError> {
        let ids = texts.iter().map(|text| self.token_ids(text));
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
                (self.batch, self.spec.context)
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
        let ids = self.token_ids(text)?;
        let (batch, length) = if self.is_open {
            (1, ids.len())
        } else {
            (self.batch, self.spec.context)
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
                    model: self.name.clone(),
                    message,
                });
            }
            rows.push(row);
        }
        Ok(())
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

    /// One run of `batch` texts of `length` ids; the values of the given texts, at least one.
    fn run(&mut self, texts: &[&[i64]], batch: usize, length: usize) -> Result<Vec<f32>, LabelError> {
        let mut ids = vec![self.spec.pad_id; batch * length];
        let mut mask = vec![0_i64; batch * length];
        for (row, text) in texts.iter().enumerate() {
            let start = row * length;
            ids[start..start + text.len()].copy_from_slice(text);
            mask[start..start + text.len()].fill(1);
        }
        let shape = [batch, length];
        let (ids, mask) = (self.tensor(ids, &shape), self.tensor(mask, &shape));
        let mut inputs = vec![(self.spec.input.as_str(), &ids)];
        inputs.extend(self.spec.attention_mask.as_deref().map(|name| (name, &mask)));
        let output = self.session.run_one(&inputs, &self.spec.output)?;
        let shape = output.shape.clone();
        let mut values = output.into_f32().unwrap_or_default();
        let width = shape.last().copied().unwrap_or(0);
        if width == 0 || shape != [batch, width] || values.len() != batch * width {
            return Err(LabelError::Model(ModelError::Contract {
                model: self.name.clone(),
                message: format!("a batch of {batch} texts gives an output of shape {shape:?}"),
            }));
        }
        values.truncate(texts.len() * width);
        Ok(values)
    }

    fn tensor(&self, values: Vec<i64>, shape: &[usize]) -> Tensor {
        let data = match self.element {
            ElementType::I32 => TensorData::I32(values.into_iter().map(|value| value as i32).collect()),
            _ => TensorData::I64(values),
        };
        Tensor {
            shape: shape.to_vec(),
            data,
        }
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
    use crate::model::Device;
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
        let short = tower.token_ids("A photo of a cat").unwrap();
        // <start> and <end> as the fixture's tokenizer numbers them.
        assert_eq!((short[0], *short.last().unwrap()), (1, 2));
        assert!(short.len() < 12);
        let long = tower.token_ids(&"unheard-of words ".repeat(20)).unwrap();
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
            assert!(tower.is_full(&long).unwrap() && !tower.is_full("a").unwrap());
        }
    }

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

    #[test]
    fn a_model_without_text_says_so() {
        let Some(runtime) = runtime() else { return };
        let error = TextTower::open(&model("tiny-wd-tagger"), runtime, &LabelerOptions::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains("no text tower"), "{error}");
    }
}
