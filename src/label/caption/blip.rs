//! BLIP: the vision tower once a picture, with the decoder's cross-attention keys and values at its
//! end, then the decoding loop over a batch.

use super::search::Rules;
use super::steps::{Decoder, Found, on_device};
use super::wordpiece::WordPiece;
use super::{Caption, Captioner, Captions, refusal};
use crate::label::batch::blame;
use crate::label::batch_size::{self, BatchChoice, Sizing};
use crate::label::clip::fingerprint;
use crate::label::pixels::PixelWay;
use crate::label::{LabelError, LabelerOptions};
use crate::model::manifest::{CaptionNames, CaptionSearch, CaptionSpec};
use crate::model::preprocess::Preprocess;
use crate::model::session::SessionOptions;
use crate::model::tensor::{ElementType, Input, Place, Tensor};
use crate::model::{Device, Model, ModelError, Runtime, Session, check};
use crate::record::{ErrorKind, Failure, Geometry};

/// Raised by hand when the same model and options give other captions.
const STAGE_VERSION: u32 = 1;

/// A loaded BLIP.
pub struct Blip {
    name: String,
    geometry: Geometry,
    demo: bool,
    /// `device (why)`.
    device: String,
    fingerprint: String,
    input_name: String,
    cross_names: Vec<String>,
    vision: Box<dyn Session>,
    decoder: Decoder,
    preprocess: Preprocess,
    element: ElementType,
    /// Pictures a run; shrinks when memory runs out.
    batch: usize,
    sizing: Sizing,
    runs_on: Device,
    /// Whether a smaller last batch is padded: for devices that build an engine a shape.
    pads: bool,
    rules: Rules,
    vocabulary: WordPiece,
}

impl Blip {
    /// Loads the graphs and the vocabulary, checks their declarations, and captions two made-up
    /// pictures.
    pub fn open(
        model: &Model,
        spec: &CaptionSpec,
        search: CaptionSearch,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
    ) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let files = [&manifest.image.file, &spec.step, &spec.select, &spec.vocabulary];
        let [vision, step, select, vocabulary] = files.map(|file| model.file(file));
        let (vision, step, select, vocabulary) = (vision?, step?, select?, vocabulary?);
        let place = format!("{}/{}", manifest.name, spec.vocabulary);
        let words = WordPiece::parse(&vocabulary.bytes()?, &spec.special_ids, spec.clean_up, &place)?;

        let chosen = runtime.choose(options.device)?;
        let way = PixelWay::choose(vision.graph(), &manifest.image, chosen.device, options.normalise)?;
        let session_options = SessionOptions {
            engine_cache: options.engine_cache.clone(),
            precision: options.precision,
            cpu_fallback: options.cpu_fallback,
            ..SessionOptions::new(chosen.device, options.threads)
        };
        let vision_options = SessionOptions {
            fixed_inputs: vec![way.fixed_input(options.batch)],
            ..session_options.clone()
        };
        let load = |file: &str, graph, options: &SessionOptions| {
            runtime.load(&format!("{}/{file}", manifest.name), graph, options)
        };
        let decoder = Decoder::new(
            &manifest.name,
            spec,
            load(&spec.step, step.graph(), &session_options)?,
            load(&spec.select, select.graph(), &session_options)?,
        );
        let image_name = format!("{}/{}", manifest.name, manifest.image.file);
        let session = way.load(runtime, &image_name, &vision_options)?;
        let declared = check::captioner_graphs(manifest, spec, session.as_ref(), decoder.step(), decoder.select())?;
        check_vocabulary(&manifest.name, spec, search, &words, decoder.step())?;
        let searched = serde_json::to_string(&(search, &spec.prompt_ids, spec.clean_up, &spec.special_ids));
        let mut blip = Self {
            name: manifest.name.clone(),
            geometry: manifest.image.geometry(),
            demo: manifest.demo,
            device: chosen.to_string(),
            fingerprint: fingerprint(
                "caption",
                STAGE_VERSION,
                &[
                    &vision.sha256,
                    &step.sha256,
                    &vocabulary.sha256,
                    &manifest.image.describe_preprocessing(),
                    &searched.expect("numbers and lists always become JSON"),
                ],
            ),
            input_name: manifest.image.input.clone(),
            cross_names: CaptionNames::of_layers(&spec.names.cross_key, &spec.names.cross_value, spec.layers),
            vision: session,
            decoder,
            element: way.element(declared),
            batch: options.batch,
            sizing: options.sizing,
            runs_on: chosen.device,
            pads: matches!(chosen.device, Device::TensorRt(_)),
            rules: Rules::new(spec, search),
            vocabulary: words,
            preprocess: way.preprocess,
        };
        blip.run_made_up()?;
        Ok(blip)
    }

    /// Captions two made-up pictures.
    fn run_made_up(&mut self) -> Result<(), LabelError> {
        let squares = check::made_up_squares(self.preprocess.square_bytes());
        let present: Vec<(usize, &[u8])> = squares.iter().map(Vec::as_slice).enumerate().collect();
        for part in present.chunks(self.batch) {
            if self.run(part)?.iter().any(Option::is_none) {
                return Err(refusal(
                    &self.name,
                    "a made-up picture gives scores that are not numbers".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// The ids of some pictures' captions, at most a batch.
    fn run(&mut self, part: &[(usize, &[u8])]) -> Result<Vec<Found>, ModelError> {
        let rows = if self.pads { self.batch } else { part.len() };
        let squares: Vec<&[u8]> = part.iter().map(|(_, square)| *square).collect();
        let mut pixels =
            Tensor::zeros(self.element, self.preprocess.shape(rows)).ok_or_else(|| ModelError::Contract {
                model: self.name.clone(),
                message: format!("pixels cannot be {}", self.element),
            })?;
        self.preprocess.fill(&squares, &mut pixels);
        let outputs: Vec<(&str, Place)> = self
            .cross_names
            .iter()
            .map(|name| (name.as_str(), Place::Device))
            .collect();
        let given = self.vision.run(&[(&self.input_name, Input::Host(&pixels))], &outputs)?;
        let cross = on_device(given.into_iter(), &self.input_name)?;
        self.decoder.decode(cross, rows, part.len(), &self.rules)
    }

    /// The caption that some ids are, or the failure that stands for scores that were no numbers.
    fn caption_of(&self, found: Found) -> Result<Caption, Failure> {
        let message = "the model gives scores that are not numbers";
        let ids = found.ok_or_else(|| Failure::new(ErrorKind::Model, message))?;
        let said = ids.get(self.rules.given.len()..).unwrap_or_default();
        let said = said.strip_suffix(&[self.rules.end_id]).unwrap_or(said);
        Ok(Caption {
            text: self.vocabulary.decode(said),
            ids,
        })
    }

    /// Goes on with half the batch, or gives the error back where that is not possible.
    fn halve_batch(&mut self, error: ModelError) -> Result<(), ModelError> {
        if self.batch == 1 || self.pads {
            return Err(error);
        }
        self.batch /= 2;
        tracing::warn!(
            "model {} is out of memory; it goes on with batches of {}",
            self.name,
            self.batch
        );
        Ok(())
    }
}

impl Captioner for Blip {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn is_demo(&self) -> bool {
        self.demo
    }

    fn device(&self) -> &str {
        &self.device
    }

    fn fit_batch(&mut self, images: u64) -> Result<Option<BatchChoice>, LabelError> {
        if self.sizing == Sizing::Asked || self.pads {
            return Ok(None);
        }
        let (name, runs_on) = (self.name.clone(), self.runs_on);
        let square_bytes = self.preprocess.square_bytes();
        let choice =
            batch_size::choose_by_made_up(&name, runs_on, images, square_bytes, |part| self.run(part).map(drop))?;
        self.batch = choice.batch;
        self.sizing = Sizing::Asked;
        Ok(Some(choice))
    }

    fn caption(&mut self, squares: &[Option<&[u8]>]) -> Result<Captions, LabelError> {
        let wanted = self.preprocess.square_bytes();
        let mut captions: Captions = squares.iter().map(|_| None).collect();
        let mut present = Vec::with_capacity(squares.len());
        for (row, square) in squares.iter().enumerate() {
            match square {
                Some(square) if square.len() == wanted => present.push((row, *square)),
                Some(square) => {
                    let message = format!(
                        "the model was given {} bytes of pixels and wants {wanted}",
                        square.len()
                    );
                    captions[row] = Some(Err(Failure::new(ErrorKind::Model, message)));
                }
                None => {}
            }
        }
        let mut first_error = None;
        let mut failed = 0;
        // A stack of runs to do; the first pictures on top.
        let mut waiting: Vec<&[(usize, &[u8])]> = present.chunks(self.batch).rev().collect();
        while let Some(part) = waiting.pop() {
            if part.len() > self.batch {
                waiting.extend(part.chunks(self.batch).rev());
                continue;
            }
            match self.run(part) {
                Ok(found) => {
                    for ((row, _), found) in part.iter().zip(found) {
                        captions[*row] = Some(self.caption_of(found));
                    }
                }
                Err(error) if error.is_out_of_memory() => {
                    self.halve_batch(error)?;
                    waiting.push(part);
                }
                Err(error) if part.len() == 1 => {
                    captions[part[0].0] = Some(Err(Failure::new(ErrorKind::Model, error.chain())));
                    failed += 1;
                    first_error.get_or_insert(error);
                }
                Err(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    waiting.extend([second, first]);
                }
            }
        }
        if let Some(error) = first_error {
            let model = self.name.clone();
            blame(&model, error, present.len(), failed, || self.run_made_up().is_err())?;
        }
        Ok(captions)
    }
}

/// Checks that every id has a token, and that there are enough of them to search among.
fn check_vocabulary(
    model: &str,
    spec: &CaptionSpec,
    search: CaptionSearch,
    words: &WordPiece,
    step: &dyn Session,
) -> Result<(), LabelError> {
    let tokens = words.len();
    let logits = step.outputs().iter().find(|output| output.name == spec.names.logits);
    let width = logits.and_then(|logits| logits.shape.last().copied().flatten());
    if let Some(width) = width.filter(|width| *width != tokens) {
        let file = &spec.vocabulary;
        let message = format!("{file} has {tokens} tokens, and the graph scores {width}");
        return Err(refusal(model, message));
    }
    let ids = [spec.begin_id, spec.end_id, spec.pad_id];
    let id = ids.iter().chain(&spec.prompt_ids).find(|&&id| id as usize >= tokens);
    if let Some(id) = id {
        return Err(refusal(
            model,
            format!("`caption` has the id {id}, and there are {tokens} tokens"),
        ));
    }
    if search.beams * 2 > tokens {
        return Err(refusal(
            model,
            format!("{} beams are too many for {tokens} tokens", search.beams),
        ));
    }
    Ok(())
}
