//! Scores: one number a picture, how safe or how beautiful, from an image graph or from a small
//! graph over its embedding.

use std::sync::Arc;

use arrow::array::Float32Builder;
use arrow::datatypes::{DataType, FieldRef};

use super::batch::ImageModel;
use super::classify::normalise;
use super::clip::fingerprint;
use super::columns::ColumnNames;
use super::tagger::activate;
use super::tower::broken_values;
use super::{LabelError, Labeler, LabelerOptions, Labels, Pictures};
use crate::model::manifest::{HeadSpec, ScoreSpec};
use crate::model::session::SessionOptions;
use crate::model::tensor::{ElementType, Tensor, TensorData};
use crate::model::{Model, ModelError, Runtime, Session, check};
use crate::record::{ErrorKind, Failure, Geometry};

/// Raised by hand when the same model and options give other values.
const STAGE_VERSION: u32 = 1;

/// Makes one column of scores.
pub struct ScoreLabeler {
    image: ImageModel,
    name: String,
    geometry: Geometry,
    demo: bool,
    score: ScoreSpec,
    head: Option<Head>,
    fields: Vec<FieldRef>,
    fingerprint: String,
}

impl ScoreLabeler {
    /// Loads the image graph, and the head where there is one, and checks both.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(model: &Model, runtime: &dyn Runtime, options: &LabelerOptions) -> Result<Self, LabelError> {
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
        let (image, made_up) = ImageModel::open(model, runtime, options)?;
        let mut said = vec![image.sha256().to_owned()];
        let head = match &score.head {
            None => {
                check::score_row(manifest, &score, &made_up, image.width())?;
                None
            }
            Some(spec) => {
                check::embeddings(manifest, &made_up)?;
                let mut head = Head::open(model, spec, image.width(), runtime, options)?;
                for row in made_up.chunks_exact(image.width()) {
                    let scores = head.scores(unit(row.to_vec()).as_deref().unwrap_or(row))?;
                    check::score_row(manifest, &score, &scores, scores.len())?;
                }
                said.push(head.sha256.clone());
                Some(head)
            }
        };
        said.push(manifest.image.describe_preprocessing());
        said.push(serde_json::to_string(&score).expect("texts and numbers always become JSON"));
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        Ok(Self {
            name: manifest.name.clone(),
            geometry: manifest.image.geometry(),
            demo: manifest.demo,
            fields: vec![names.field(&score.column, DataType::Float32)],
            fingerprint: fingerprint("score", STAGE_VERSION, &said),
            score,
            head,
            image,
        })
    }

    /// The score of one row of the image graph's output; none where it is no number.
    fn score_of(&mut self, row: Vec<f32>) -> Result<Option<f32>, LabelError> {
        let mut row = match &mut self.head {
            None => row,
            Some(head) => match unit(row) {
                Some(embedding) => head.scores(&embedding)?,
                None => return Ok(None),
            },
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
        self.image.device()
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        let mut given = self.image.encode(pictures.squares(0))?;
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

/// A row made one of length 1; none where it has no direction.
fn unit(mut row: Vec<f32>) -> Option<Vec<f32>> {
    normalise(&mut row).then_some(row)
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
