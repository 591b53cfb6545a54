//! One image graph and its batches: padded to one shape whatever comes (but on the CPU, which gains
//! nothing by it), halved when memory runs out, searched for the picture at fault when a run fails.

use std::collections::VecDeque;
use std::ops::Range;

use super::batch_size::{self, BatchChoice, Sizing};
use super::pictures::BatchId;
use super::pixels::PixelWay;
use super::runner::{Done, Runner, Running};
use crate::label::{Comparison, LabelError, LabelerOptions};
use crate::model::preprocess::Preprocess;
use crate::model::provider_options::NormaliseOnDevice;
use crate::model::session::{Precision, SessionOptions};
use crate::model::tensor::{ElementType, Tensor};
use crate::model::warm_up::{self, Tolerance};
use crate::model::{Device, Manifest, Model, ModelError, Runtime};
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

/// Batches that may be begun before they are asked for: the one that is waited for and the next.
const BATCHES_BEGUN: usize = 2;

/// Runs of a graph that are asked for at once, so that it never waits for the next one's pixels.
const RUNS_IN_FLIGHT: usize = 2;

/// Most bytes of pixels that wait for their run where more than [`RUNS_IN_FLIGHT`] do.
const BYTES_AHEAD: usize = 64 << 20;

/// Fewest pictures of a run that is not padded to its batch: one alone goes through other kernels,
/// whose last bits differ from those of all larger batches (see [`batch_size`]).
const LEAST_PICTURES: usize = 2;

/// A run that was asked for.
struct Run {
    /// The batch when it was.
    batch: usize,
    /// Pictures that it is over, those that fill it up among them.
    rows: usize,
    running: Running,
}

/// A run and the pictures that it is over, by their places among those that are there.
struct Started {
    part: Range<usize>,
    run: Run,
}

/// Runs of a batch that nobody has asked for yet.
struct Begun {
    batch: BatchId,
    /// The rows that the runs are over, and those of the runs that are not begun.
    rows: Vec<usize>,
    runs: VecDeque<Started>,
}

/// A range in parts of at most `length`.
fn parts(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let Range { start, end } = range;
    (start..end)
        .step_by(length.max(1))
        .map(move |at| at..(at + length).min(end))
}

/// A loaded image graph.
pub struct ImageModel {
    name: String,
    runner: Runner,
    preprocess: Preprocess,
    /// Pictures a run; shrinks when memory runs out.
    batch: usize,
    /// Whether the graph itself fixes `batch`.
    batch_is_fixed: bool,
    sizing: Sizing,
    /// What was chosen, once it was.
    choice: Option<BatchChoice>,
    /// Tensors of the batch's shape that no run needs at the moment.
    spare: Vec<Tensor>,
    /// What was begun before it was asked for, oldest first.
    begun: VecDeque<Begun>,
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
        let way = PixelWay::choose(file.graph(), &manifest.image, chosen.device, options.normalise)?;
        let fixed = way.fixed_input(options.batch);
        // Held until the first run is over, by which an engine is built.
        let engines = engine_cache::open(
            options.engine_cache.as_deref(),
            chosen.device,
            &way.engine_hash(&file.sha256),
            &fixed.1,
            options.precision,
        )?;
        let session_options = SessionOptions {
            fixed_inputs: vec![fixed],
            engine_cache: engines.as_ref().map(|engines| engines.folder.clone()),
            precision: options.precision,
            cpu_fallback: options.cpu_fallback,
            providers: options.providers.clone(),
            ..SessionOptions::new(chosen.device, options.threads)
        };
        let name = format!("{}/{}", manifest.name, manifest.image.file);
        let session = way.load(runtime, &name, &session_options)?;
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
        let mut image_model = Self {
            name: manifest.name.clone(),
            runner: Runner::start(&name, session, contract.input, contract.output)?,
            element: way.element(contract.element),
            preprocess: way.preprocess,
            batch,
            // TensorRT builds its engine for one batch.
            batch_is_fixed: contract.fixed_batch.is_some() || matches!(chosen.device, Device::TensorRt(_)),
            sizing: options.sizing,
            choice: None,
            spare: Vec::new(),
            begun: VecDeque::new(),
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
            // So that this too is compared.
            normalise: NormaliseOnDevice::Never,
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
            let (name, runs_on) = (self.name.clone(), self.runs_on);
            let square_bytes = self.preprocess.square_bytes();
            let choice = batch_size::choose_by_made_up(&name, runs_on, images, square_bytes, |part| {
                self.set_batch(part.len());
                self.run(part).map(drop)
            })?;
            self.set_batch(choice.batch);
            self.choice = Some(choice);
        }
        Ok(self.choice.clone())
    }

    fn set_batch(&mut self, batch: usize) {
        self.spare.clear();
        self.batch = batch;
    }

    /// Begins runs of pictures that [`Self::encode`] will be asked for with the same batch.
    pub fn begin(&mut self, batch: BatchId, squares: &[Option<&[u8]>]) {
        if self.begun.iter().any(|begun| begun.batch == batch) {
            return;
        }
        let present = self.present(squares);
        let mut runs = VecDeque::new();
        for part in parts(0..present.len(), self.batch).take(self.runs_ahead()) {
            match self.start(&present[part.clone()]) {
                Ok(run) => runs.push_back(Started { part, run }),
                // Whoever asks for it meets the same error.
                Err(_) => break,
            }
        }
        let rows = present.iter().map(|(row, _)| *row).collect();
        self.begun.push_back(Begun { batch, rows, runs });
        if self.begun.len() > BATCHES_BEGUN {
            // Nobody asked for the oldest.
            self.begun.pop_front();
        }
    }

    /// Whether everything that was begun for this batch is done.
    pub fn is_ready(&mut self, batch: BatchId) -> bool {
        let mut of_batch = self.begun.iter_mut().filter(|begun| begun.batch == batch);
        of_batch.all(|begun| begun.runs.iter_mut().all(|started| started.run.running.is_done()))
    }

    /// Runs that may wait: enough to hide the work between two batches, few enough to fit.
    fn runs_ahead(&self) -> usize {
        let values: usize = self.preprocess.shape(self.batch).iter().product();
        (BYTES_AHEAD / (values * size_of::<f32>()).max(1)).max(RUNS_IN_FLIGHT)
    }

    /// The squares that are there and have the right size, by row.
    fn present<'a>(&self, squares: &[Option<&'a [u8]>]) -> Vec<(usize, &'a [u8])> {
        let wanted = self.preprocess.square_bytes();
        let there = squares.iter().enumerate();
        let there = there.filter_map(|(row, square)| Some((row, (*square)?)));
        there.filter(|(_, square)| square.len() == wanted).collect()
    }

    /// The runs that were begun for these pictures; none where others were.
    fn take_begun(&mut self, batch: BatchId, present: &[(usize, &[u8])]) -> VecDeque<Started> {
        let Some(at) = self.begun.iter().position(|begun| begun.batch == batch) else {
            return VecDeque::new();
        };
        let begun = self.begun.remove(at).expect("its place was just found");
        let is_same = begun.rows.iter().eq(present.iter().map(|(row, _)| row));
        if is_same { begun.runs } else { VecDeque::new() }
    }

    /// Runs pictures through the graph; takes over what was begun for `batch`. One entry a picture,
    /// none where it failed before.
    pub fn encode(&mut self, batch: BatchId, squares: &[Option<&[u8]>]) -> Result<Encoded, LabelError> {
        let mut given = Encoded {
            width: self.width,
            rows: vec![None; squares.len()],
            failures: self.wrong_sizes(squares),
        };
        let present = self.present(squares);
        let mut first_error = None;
        let mut running = self.take_begun(batch, &present);
        let begun = running.back().map_or(0, |started| started.part.end);
        // A stack of runs to do; the first pictures on top.
        let mut waiting = Vec::new();
        waiting.push(begun..present.len());
        loop {
            self.keep_running(&present, &mut waiting, &mut running)?;
            let Some(Started { part, run }) = running.pop_front() else {
                break;
            };
            let ran_with = run.batch;
            match self.finish(run, part.len()) {
                Ok(values) => {
                    for ((row, _), values) in present[part].iter().zip(values.chunks_exact(self.width)) {
                        given.rows[*row] = Some(values.to_vec());
                    }
                }
                Err(error) if error.is_out_of_memory() => {
                    // A run that was under way when another halved the batch says nothing of the half.
                    if ran_with == self.batch {
                        self.halve_batch(error)?;
                    }
                    waiting.push(part);
                }
                Err(error) if part.len() == 1 => {
                    let failure = Failure::new(ErrorKind::Model, error.chain());
                    given.failures.push((present[part.start].0, failure));
                    first_error.get_or_insert(error);
                }
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    waiting.extend([middle..part.end, part.start..middle]);
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

    fn wrong_sizes(&self, squares: &[Option<&[u8]>]) -> Vec<(usize, Failure)> {
        let wanted = self.preprocess.square_bytes();
        let lengths = squares.iter().enumerate();
        let lengths = lengths.filter_map(|(row, square)| Some((row, (*square)?.len())));
        let wrong = lengths.filter(|(_, length)| *length != wanted);
        wrong.map(|(row, length)| (row, wrong_size(length, wanted))).collect()
    }

    /// Starts what waits until enough is under way.
    fn keep_running(
        &mut self,
        present: &[(usize, &[u8])],
        waiting: &mut Vec<Range<usize>>,
        running: &mut VecDeque<Started>,
    ) -> Result<(), ModelError> {
        while running.len() < RUNS_IN_FLIGHT {
            let Some(part) = waiting.pop() else { break };
            if part.len() > self.batch {
                waiting.extend([part.start + self.batch..part.end, part.start..part.start + self.batch]);
            } else if !part.is_empty() {
                let run = self.start(&present[part.clone()])?;
                running.push_back(Started { part, run });
            }
        }
        Ok(())
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

    /// One run of the graph; the values of the given pictures.
    fn run(&mut self, part: &[(usize, &[u8])]) -> Result<Vec<f32>, ModelError> {
        let run = self.start(part)?;
        self.finish(run, part.len())
    }

    /// Pictures of a run over so many. A device keeps kernels and memory for one shape; the CPU would
    /// only work on pictures that are not there.
    fn rows_for(&self, pictures: usize) -> usize {
        if self.runs_on == Device::Cpu && !self.batch_is_fixed {
            pictures.max(LEAST_PICTURES).min(self.batch)
        } else {
            self.batch
        }
    }

    /// Asks for a run over some pictures.
    fn start(&mut self, part: &[(usize, &[u8])]) -> Result<Run, ModelError> {
        let rows = self.rows_for(part.len());
        let spare = if rows == self.batch { self.spare.pop() } else { None };
        let mut pixels = match spare {
            Some(pixels) => pixels,
            None => empty_input(&self.name, self.element, &self.preprocess, rows)?,
        };
        let squares: Vec<&[u8]> = part.iter().map(|(_, square)| *square).collect();
        self.preprocess.fill(&squares, &mut pixels);
        Ok(Run {
            batch: self.batch,
            rows,
            running: self.runner.submit(pixels),
        })
    }

    /// Waits for a run and gives the values of its first `pictures` pictures.
    fn finish(&mut self, run: Run, pictures: usize) -> Result<Vec<f32>, ModelError> {
        let Run { rows, running, .. } = run;
        let Done { pixels, output } = running.wait()?;
        if rows == self.batch {
            self.spare.push(pixels);
        }
        let output = output?;
        let shape = output.shape.clone();
        let wrong_shape = || ModelError::Contract {
            model: self.name.clone(),
            message: format!("a batch of {rows} pictures gives an output of shape {shape:?}"),
        };
        let mut values = output.into_f32().ok_or_else(wrong_shape)?;
        if self.width == 0 && values.len().is_multiple_of(rows) {
            // The graph's declaration left it open.
            self.width = values.len() / rows;
        }
        if self.width == 0 || shape != [rows, self.width] || values.len() != rows * self.width {
            return Err(wrong_shape());
        }
        values.truncate(pictures * self.width);
        Ok(values)
    }

    /// Goes on with half the batch, or gives the error back where that is not possible.
    fn halve_batch(&mut self, error: ModelError) -> Result<(), ModelError> {
        if self.batch == 1 || self.batch_is_fixed {
            return Err(error);
        }
        self.set_batch(self.batch / 2);
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
