//! Scores: one number a picture, how safe or how beautiful, from an image graph or from a small
//! graph over its embedding.

use std::sync::Arc;

use arrow::array::Float32Builder;
use arrow::datatypes::{DataType, FieldRef};

use super::batch::ImageModel;
use super::clip::fingerprint;
use super::columns::ColumnNames;
use super::tagger::activate;
use super::tower::{SharedTower, Towers, broken_values};
use super::{BatchChoice, BatchId, LabelError, Labeler, LabelerOptions, Labels, Pictures};
use crate::model::manifest::{HeadSpec, ScoreSpec};
use crate::model::session::SessionOptions;
use crate::model::tensor::{ElementType, Tensor, TensorData};
use crate::model::{Model, ModelError, Runtime, Session, check};
use crate::record::{ErrorKind, Failure, Geometry};

/// Raised by hand when the same model and options give other values.
const STAGE_VERSION: u32 = 1;

/// Makes one column of scores.
pub struct ScoreLabeler {
    source: Source,
    name: String,
    geometry: Geometry,
    demo: bool,
    score: ScoreSpec,
    fields: Vec<FieldRef>,
    fingerprint: String,
}

/// What gives the row that a score is taken from.
enum Source {
    /// The image graph itself.
    Graph(Box<ImageModel>),
    /// A head over the embeddings of an image tower, which a CLIP of the plan may share.
    Head(SharedTower, Box<Head>),
}

impl ScoreLabeler {
    /// Loads the image graph, and the head where there is one, and checks both.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(
        model: &Model,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
        towers: &mut Towers,
    ) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let names = ColumnNames::new(options.columns.as_deref(), &manifest.name)?;
        let Some(score) = manifest.score.clone() else {
            let message = "it has no [score]".to_owned();
            return Err(ModelError::Contract {
                model: manifest.name.clone(),
                message,
            }
            .into());
        };
        let (source, hashes) = Source::open(model, &score, runtime, options, towers)?;
        let score_said = serde_json::to_string(&score).expect("texts and numbers always become JSON");
        let mut said: Vec<&str> = hashes.iter().map(String::as_str).collect();
        let preprocessing = manifest.image.describe_preprocessing();
        said.extend([preprocessing.as_str(), score_said.as_str()]);
        Ok(Self {
            name: manifest.name.clone(),
            geometry: manifest.image.geometry(),
            demo: manifest.demo,
            fields: vec![names.field(&score.column, DataType::Float32)],
            fingerprint: fingerprint("score", STAGE_VERSION, &said),
            score,
            source,
        })
    }

    /// The score of one row of the image graph's output; none where it is no number.
    fn score_of(&mut self, row: Vec<f32>) -> Result<Option<f32>, LabelError> {
        let mut row = match &mut self.source {
            Source::Graph(_) => row,
            Source::Head(_, head) => head.scores(&row)?,
        };
        activate(&mut row, self.score.activation);
        Ok(row.get(self.score.index).copied().filter(|score| score.is_finite()))
    }
}

impl Labeler for ScoreLabeler {
    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Vec<FieldRef> {
        self.fields.clone()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn geometries(&self) -> Vec<Geometry> {
        vec![self.geometry]
    }

    fn is_demo(&self) -> bool {
        self.demo
    }

    fn device(&self) -> &str {
        match &self.source {
            Source::Graph(image) => image.device(),
            Source::Head(tower, _) => tower.device(),
        }
    }

    fn fit_batch(&mut self, images: u64) -> Result<Vec<BatchChoice>, LabelError> {
        let choice = match &mut self.source {
            Source::Graph(image) => image.fit_batch(images)?,
            Source::Head(tower, _) => tower.fit_batch(images)?,
        };
        Ok(choice.into_iter().collect())
    }

    fn begin(&mut self, pictures: &Pictures<'_>) {
        match &mut self.source {
            Source::Graph(image) => image.begin(pictures.batch(), pictures.squares(0)),
            Source::Head(tower, _) => tower.begin(pictures, 0, |_| true),
        }
    }

    fn is_ready(&mut self, batch: BatchId) -> bool {
        match &mut self.source {
            Source::Graph(image) => image.is_ready(batch),
            Source::Head(tower, _) => tower.is_ready(batch),
        }
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        let mut given = match &mut self.source {
            Source::Graph(image) => image.encode(pictures.batch(), pictures.squares(0))?,
            Source::Head(tower, _) => tower.embed(pictures, 0, |_| true)?,
        };
        let (mut present, mut broken) = (0, 0);
        let mut scores = Float32Builder::with_capacity(given.rows.len());
        for (index, row) in given.rows.into_iter().enumerate() {
            present += usize::from(row.is_some());
            let has_row = row.is_some();
            let score = row.map_or(Ok(None), |row| self.score_of(row))?;
            if has_row && score.is_none() {
                broken += 1;
                let message = "the model gives a score that is not a number";
                given.failures.push((index, Failure::new(ErrorKind::Model, message)));
            }
            scores.append_option(score);
        }
        if broken > 1 && broken == present {
            return Err(broken_values(&self.name));
        }
        given.failures.sort_by_key(|(row, _)| *row);
        Ok(Labels {
            columns: vec![Arc::new(scores.finish())],
            failures: given.failures,
        })
    }
}

impl Source {
    /// The source, and the hashes of its files.
    fn open(
        model: &Model,
        score: &ScoreSpec,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
        towers: &mut Towers,
    ) -> Result<(Self, Vec<String>), LabelError> {
        let manifest = &model.manifest;
        let Some(spec) = &score.head else {
            let (image, made_up) = ImageModel::open(model, runtime, options)?;
            check::score_row(manifest, score, &made_up, image.width())?;
            let hashes = vec![image.sha256().to_owned()];
            return Ok((Self::Graph(Box::new(image)), hashes));
        };
        let tower = towers.open(model, runtime, options)?;
        let mut head = Head::open(model, spec, tower.width(), runtime, options)?;
        // A made-up unit embedding.
        let made_up = vec![(tower.width() as f32).sqrt().recip(); tower.width()];
        let scores = head.scores(&made_up)?;
        check::score_row(manifest, score, &scores, scores.len())?;
        let hashes = vec![tower.sha256().to_owned(), head.sha256.clone()];
        Ok((Self::Head(tower, Box::new(head)), hashes))
    }
}

/// A loaded graph over embeddings. Rows go through it one by one: it is a few matrices, nothing
/// beside the tower before it.
struct Head {
    model: String,
    spec: HeadSpec,
    session: Box<dyn Session>,
    sha256: String,
}

impl Head {
    fn open(
        model: &Model,
        spec: &HeadSpec,
        width: usize,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
    ) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let file = model.file(&spec.file)?;
        let session_options = SessionOptions {
            fixed_inputs: vec![(spec.input.clone(), vec![1, width])],
            engine_cache: options.engine_cache.clone(),
            precision: options.precision,
            cpu_fallback: options.cpu_fallback,
            ..SessionOptions::new(runtime.choose(options.device)?.device, options.threads)
        };
        let session = runtime.load(
            &format!("{}/{}", manifest.name, spec.file),
            file.graph(),
            &session_options,
        )?;
        check::head_graph(manifest, spec, width, session.as_ref())?;
        Ok(Self {
            model: manifest.name.clone(),
            spec: spec.clone(),
            session,
            sha256: file.sha256,
        })
    }

    /// What the graph gives for one unit embedding.
    fn scores(&mut self, embedding: &[f32]) -> Result<Vec<f32>, ModelError> {
        let mut input =
            Tensor::zeros(ElementType::F32, vec![1, embedding.len()]).expect("tensors of 32-bit floats can be made");
        input.data = TensorData::F32(embedding.to_vec());
        let output = self
            .session
            .run_one(&[(self.spec.input.as_str(), &input)], &self.spec.output)?;
        let shape = output.shape.clone();
        output.into_f32().ok_or_else(|| ModelError::Contract {
            model: self.model.clone(),
            message: format!("its head gives an output of shape {shape:?}, which are no floats"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float32Type;

    use super::*;
    use crate::label::open_beside;
    use crate::model::manifest::{Activation, ModelKind};
    use crate::model::standin::{StandInGraph, StandInRuntime};
    use crate::model::tensor::TensorInfo;
    use crate::model::testing::model;

    fn info(name: &str, shape: Vec<Option<usize>>) -> TensorInfo {
        TensorInfo {
            name: name.to_owned(),
            element: ElementType::F32,
            shape,
        }
    }

    fn rows_of(batch: usize, row: [f32; 2]) -> Tensor {
        Tensor {
            shape: vec![batch, 2],
            data: TensorData::F32((0..batch).flat_map(|_| row).collect()),
        }
    }

    /// A tower that gives every picture (3, 4), and a head that gives 10 times its input.
    fn runtime(tower_runs: &Arc<AtomicUsize>) -> StandInRuntime {
        let runs = tower_runs.clone();
        let tower = StandInGraph {
            inputs: vec![info("pixel_values", vec![None, Some(3), None, None])],
            outputs: vec![info("image_embeds", vec![None, Some(2)])],
            wait: Duration::ZERO,
            answer: Arc::new(move |inputs, _| {
                runs.fetch_add(1, Ordering::Relaxed);
                Ok(rows_of(inputs[0].1.shape[0], [3.0, 4.0]))
            }),
        };
        let head = StandInGraph {
            inputs: vec![info("embedding", vec![None, Some(2)])],
            outputs: vec![info("score", vec![None, Some(2)])],
            wait: Duration::ZERO,
            answer: Arc::new(|inputs, _| {
                let values = inputs[0].1.clone().into_f32().expect("embeddings are floats");
                Ok(rows_of(1, [values[0] * 10.0, values[1] * 10.0]))
            }),
        };
        StandInRuntime::default()
            .with_graph("tiny-clip/image.onnx", tower)
            .with_graph("tiny-clip/text.onnx", head)
    }

    fn aesthetic(index: usize, range: [f32; 2]) -> Model {
        let mut model = model("tiny-clip");
        model.manifest.kind = ModelKind::Score;
        model.manifest.text = None;
        model.manifest.classify.clear();
        model.manifest.score = Some(ScoreSpec {
            column: "aesthetic".to_owned(),
            index,
            activation: Activation::None,
            range: Some(range),
            head: Some(HeadSpec {
                // Any file will do for a stand-in.
                file: "text.onnx".to_owned(),
                input: "embedding".to_owned(),
                output: "score".to_owned(),
            }),
        });
        model
    }

    #[test]
    fn a_head_shares_the_tower_of_the_clip_beside_it() {
        let runs = Arc::new(AtomicUsize::new(0));
        let runtime = runtime(&runs);
        let (options, mut towers) = (LabelerOptions::default(), Towers::default());
        let mut clip = model("tiny-clip");
        clip.manifest.name = "tiny-clip".to_owned();
        clip.manifest.classify.clear();
        let mut clip = open_beside(&clip, &runtime, &options, &mut towers).unwrap();
        let model = aesthetic(1, [0.0, 10.0]);
        let mut score = open_beside(&model, &runtime, &options, &mut towers).unwrap();
        assert_eq!(score.fields()[0].name(), "aesthetic");
        assert_eq!(score.geometries(), clip.geometries());
        let square = vec![9; score.geometries()[0].bytes()];
        let pictures = Pictures::of(&[Some(&square), None]);
        runs.store(0, Ordering::Relaxed);
        clip.label(&pictures).unwrap();
        let labels = score.label(&pictures).unwrap();
        assert_eq!(
            runs.load(Ordering::Relaxed),
            1,
            "the picture goes through the tower once"
        );
        let scores = labels.columns[0].as_primitive::<Float32Type>();
        // The embedding (3, 4) has the length 5.
        assert!((scores.value(0) - 8.0).abs() < 1e-5 && scores.is_null(1));
    }

    #[test]
    fn a_score_outside_its_range_or_its_row_is_refused_at_the_start() {
        let runtime = runtime(&Arc::new(AtomicUsize::new(0)));
        for (model, says) in [
            (aesthetic(0, [0.0, 1.0]), "`score.range` is [0, 1]"),
            (aesthetic(2, [0.0, 10.0]), "`score.index` is 2"),
        ] {
            let opened = ScoreLabeler::open(&model, &runtime, &LabelerOptions::default(), &mut Towers::default());
            let message = opened.err().unwrap().to_string();
            assert!(message.contains(says), "{message} should say {says}");
        }
    }
}
