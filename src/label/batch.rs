//! One image graph and its batches: padded to one shape whatever comes, halved when memory runs
//! out, searched for the picture at fault when a run fails.

use std::time::Instant;

use super::batch_size::{self, BatchChoice, Sizing};
use crate::label::{Comparison, LabelError, LabelerOptions};
use crate::model::preprocess::Preprocess;
use crate::model::session::{Precision, SessionOptions};
use crate::model::tensor::{ElementType, Tensor};
use crate::model::warm_up::{self, Tolerance};
use crate::model::{Device, Manifest, Model, ModelError, Runtime, Session};
use crate::model::{check, engine_cache};
use crate::record::{ErrorKind, Failure};

/// Rows of values for some pictures.
#[derive(Debug)]
pub struct Encoded {
    /// Values a row.
    pub width: usize,
    /// One entry a picture; none where it failed, here or before.
    pub rows: Vec<Option<Vec<f32>>>,
    /// Pictures that the model failed on, rising.
    pub failures: Vec<(usize, Failure)>,
}

/// A loaded image graph.
pub struct ImageModel {
    name: String,
    input_name: String,
    output_name: String,
    session: Box<dyn Session>,
    preprocess: Preprocess,
    /// Pictures a run; shrinks when memory runs out.
    batch: usize,
    /// Whether the graph itself fixes `batch`.
    batch_is_fixed: bool,
    sizing: Sizing,
    /// What was chosen, once it was.
    choice: Option<BatchChoice>,
    /// Reused by every run.
    input: Tensor,
    element: ElementType,
    width: usize,
    /// Where it runs.
    runs_on: Device,
    /// `device (why)`.
    device: String,
    /// SHA-256 of the graph's file.
    sha256: String,
}

impl ImageModel {
    /// Loads a model's image graph, checks its declaration, and runs it once on made-up pictures,
    /// whose raw rows come back for the checks of their meaning.
    pub fn open(
        model: &Model,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
    ) -> Result<(Self, Vec<f32>), LabelError> {
        let manifest = &model.manifest;
        let file = model.file(&manifest.image.file)?;
        let chosen = runtime.choose(options.device)?;
        let preprocess = Preprocess::new(&manifest.image);
        let shape = preprocess.shape(options.batch);
        // Held until the first run is over, by which an engine is built.
        let engines = engine_cache::open(
            options.engine_cache.as_deref(),
            chosen.device,
            &file.sha256,
            &shape,
            options.precision,
        )?;
        let session_options = SessionOptions {
            fixed_inputs: vec![(manifest.image.input.clone(), shape)],
            engine_cache: engines.as_ref().map(|engines| engines.folder.clone()),
            precision: options.precision,
            cpu_fallback: options.cpu_fallback,
            providers: options.providers.clone(),
            ..SessionOptions::new(chosen.device, options.threads)
        };
        let name = format!("{}/{}", manifest.name, manifest.image.file);
        let session = runtime.load(&name, file.graph(), &session_options)?;
        let contract = check::image_graph(manifest, session.as_ref())?;
        if contract.fixed_batch.is_some_and(|fixed| fixed != options.batch) {
            let fixed = contract.fixed_batch.unwrap_or(1);
            tracing::warn!(
                "model {} takes batches of {fixed} only, not {}: its pictures go through it by {fixed}",
                manifest.name,
                options.batch
            );
        }
        let batch = contract.fixed_batch.unwrap_or(options.batch).max(1);
        input_in_bounds(manifest, batch)?;
        let input = empty_input(&manifest.name, contract.element, &preprocess, batch)?;
        let mut image_model = Self {
            name: manifest.name.clone(),
            input_name: contract.input,
            output_name: contract.output,
            session,
            preprocess,
            batch,
            // TensorRT builds its engine for one batch.
            batch_is_fixed: contract.fixed_batch.is_some() || matches!(chosen.device, Device::TensorRt(_)),
            sizing: options.sizing,
            choice: None,
            input,
            element: contract.element,
            width: contract.width.unwrap_or(0),
            runs_on: chosen.device,
            device: chosen.to_string(),
            sha256: file.sha256,
        };
        let rows = image_model.run_made_up()?;
        check::width_in_bounds(manifest, image_model.width)?;
        if chosen.device != Device::Cpu && options.comparison == Comparison::WithCpu {
            image_model.compare_with_cpu(&rows, model, runtime, chosen.device, options)?;
        }
        Ok((image_model, rows))
    }

    /// Compares the rows of the made-up pictures with those that the CPU gives.
    fn compare_with_cpu(
        &self,
        rows: &[f32],
        model: &Model,
        runtime: &dyn Runtime,
        device: Device,
        options: &LabelerOptions,
    ) -> Result<(), LabelError> {
        let on_cpu = LabelerOptions {
            device: Device::Cpu,
            batch: options.batch.min(check::MADE_UP),
            sizing: Sizing::Asked,
            ..options.clone()
        };
        let (_, wanted) = Self::open(model, runtime, &on_cpu)?;
        let graph = format!("{}/{}", self.name, model.manifest.image.file);
        let is_fp16 = matches!(device, Device::TensorRt(_)) && options.precision == Precision::Float16;
        let tolerance = Tolerance::of(if is_fp16 { Precision::Float16 } else { Precision::Graph });
        Ok(warm_up::compare(&graph, device, rows, &wanted, self.width, tolerance)?)
    }

    /// Values a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The device and why it is this one.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// SHA-256 of the graph's file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Chooses the batch where that was left open; once, however many labelers share the graph.
    pub fn fit_batch(&mut self, images: u64) -> Result<Option<BatchChoice>, LabelError> {
        if self.sizing == Sizing::Measured && !self.batch_is_fixed && self.choice.is_none() {
            let square = check::made_up_squares(self.preprocess.square_bytes());
            let (name, runs_on) = (self.name.clone(), self.runs_on);
            let choice = batch_size::choose(&name, runs_on, images, &mut |batch| {
                self.set_batch(batch)?;
                let part: Vec<(usize, &[u8])> = (0..batch).map(|row| (row, square[row % 2].as_slice())).collect();
                let started = Instant::now();
                self.run(&part).map(|_| started.elapsed())
            })?;
            self.set_batch(choice.batch)?;
            self.choice = Some(choice);
        }
        Ok(self.choice.clone())
    }

    fn set_batch(&mut self, batch: usize) -> Result<(), ModelError> {
        self.input = empty_input(&self.name, self.element, &self.preprocess, batch)?;
        self.batch = batch;
        Ok(())
    }

    /// Runs pictures through the graph. One entry a picture, none where it failed before.
    pub fn encode(&mut self, squares: &[Option<&[u8]>]) -> Result<Encoded, LabelError> {
        let mut given = Encoded {
            width: self.width,
            rows: vec![None; squares.len()],
            failures: Vec::new(),
        };
        let mut present = Vec::with_capacity(squares.len());
        for (row, square) in squares.iter().enumerate() {
            match square {
                Some(square) if square.len() == self.preprocess.square_bytes() => present.push((row, *square)),
                Some(square) => given
                    .failures
                    .push((row, wrong_size(square.len(), self.preprocess.square_bytes()))),
                None => {}
            }
        }
        let mut first_error = None;
        // A stack of runs to do; the first pictures on top.
        let mut waiting: Vec<&[(usize, &[u8])]> = present.chunks(self.batch).rev().collect();
        while let Some(part) = waiting.pop() {
            if part.len() > self.batch {
                waiting.extend(part.chunks(self.batch).rev());
                continue;
            }
            match self.run(part) {
                Ok(values) => {
                    for ((row, _), values) in part.iter().zip(values.chunks_exact(self.width)) {
                        given.rows[*row] = Some(values.to_vec());
                    }
                }
                Err(error) if error.is_out_of_memory() => {
                    self.halve_batch(error)?;
                    waiting.push(part);
                }
                Err(error) if part.len() == 1 => {
                    given
                        .failures
                        .push((part[0].0, Failure::new(ErrorKind::Model, error.chain())));
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
            blame(&model, error, present.len(), given.failures.len(), || {
                self.run_made_up().is_err()
            })?;
        }
        given.failures.sort_by_key(|(row, _)| *row);
        Ok(given)
    }

    /// Raw rows of two made-up pictures.
    fn run_made_up(&mut self) -> Result<Vec<f32>, ModelError> {
        let squares = check::made_up_squares(self.preprocess.square_bytes());
        let mut rows = Vec::new();
        let present: Vec<(usize, &[u8])> = squares.iter().map(Vec::as_slice).enumerate().collect();
        for part in present.chunks(self.batch) {
            rows.extend_from_slice(&self.run(part)?);
        }
        Ok(rows)
    }

    /// One run of the graph, padded to its batch; the values of the given pictures.
    fn run(&mut self, part: &[(usize, &[u8])]) -> Result<Vec<f32>, ModelError> {
        let squares: Vec<&[u8]> = part.iter().map(|(_, square)| *square).collect();
        self.preprocess.fill(&squares, &mut self.input);
        let output = self
            .session
            .run_one(&[(&self.input_name, &self.input)], &self.output_name)?;
        let shape = output.shape.clone();
        let wrong_shape = || ModelError::Contract {
            model: self.name.clone(),
            message: format!("a batch of {} pictures gives an output of shape {shape:?}", self.batch),
        };
        let mut values = output.into_f32().ok_or_else(wrong_shape)?;
        if self.width == 0 && values.len().is_multiple_of(self.batch) {
            // The graph's declaration left it open.
            self.width = values.len() / self.batch;
        }
        if self.width == 0 || shape != [self.batch, self.width] || values.len() != self.batch * self.width {
            return Err(wrong_shape());
        }
        values.truncate(part.len() * self.width);
        Ok(values)
    }

    /// Goes on with half the batch, or gives the error back where that is not possible.
    fn halve_batch(&mut self, error: ModelError) -> Result<(), ModelError> {
        if self.batch == 1 || self.batch_is_fixed {
            return Err(error);
        }
        self.set_batch(self.batch / 2)?;
        tracing::warn!(
            "model {} is out of memory; it goes on with batches of {}",
            self.name,
            self.batch
        );
        Ok(())
    }
}

/// Room for the pixels of `batch` pictures.
fn empty_input(model: &str, element: ElementType, preprocess: &Preprocess, batch: usize) -> Result<Tensor, ModelError> {
    Tensor::zeros(element, preprocess.shape(batch)).ok_or_else(|| ModelError::Contract {
        model: model.to_owned(),
        message: format!("pixels cannot be {element}"),
    })
}

/// Decides whether failures are the pictures' or the model's: it is the model's where every one of
/// several pictures failed, or where a made-up picture fails as well.
pub fn blame(
    model: &str,
    error: ModelError,
    pictures: usize,
    failed: usize,
    made_up_picture_fails: impl FnOnce() -> bool,
) -> Result<(), LabelError> {
    let model_fails = if pictures > 1 {
        failed >= pictures
    } else {
        made_up_picture_fails()
    };
    if model_fails {
        return Err(LabelError::EveryPicture {
            model: model.to_owned(),
            source: error,
        });
    }
    Ok(())
}

/// Largest input tensor, in values: 8 GiB of 32-bit floats.
const MAX_INPUT_VALUES: u64 = 2 << 30;

/// Checks the input tensor's size before it is allocated.
fn input_in_bounds(manifest: &Manifest, batch: usize) -> Result<(), LabelError> {
    let size = u64::from(manifest.image.size);
    let values = (batch as u64).saturating_mul(size * size * 3);
    if values > MAX_INPUT_VALUES {
        let message = format!("a batch of {batch} pictures of {size} x {size} is too large; make `batch` smaller");
        return Err(LabelError::Option {
            model: manifest.name.clone(),
            message,
        });
    }
    Ok(())
}

fn wrong_size(found: usize, wanted: usize) -> Failure {
    Failure::new(
        ErrorKind::Model,
        format!("the model was given {found} bytes of pixels and wants {wanted}"),
    )
}

#[cfg(test)]
mod tests;
