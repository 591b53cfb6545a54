//! The image tower of a CLIP, for every labeler of a device that wants it: a picture of a batch
//! goes through it once, whoever asks first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::{Encoded, ImageModel};
use super::batch_size::BatchChoice;
use super::classify::normalise;
use super::pictures::{BatchId, Pictures};
use super::{LabelError, LabelerOptions};
use crate::model::check;
use crate::model::{Model, ModelError, Runtime};
use crate::record::{ErrorKind, Failure, Geometry};

/// The image towers that the labelers of one device share.
#[derive(Default)]
pub struct Towers {
    open: Vec<(TowerKey, SharedTower)>,
}

/// What a tower is known by: its file's hash, the tensor that is taken and how pixels get there. A
/// score over a CLIP's embeddings so shares the tower of that CLIP, under whatever name.
type TowerKey = [String; 3];

impl Towers {
    /// The image tower of a model, loaded and checked where it is not open yet.
    pub(super) fn open(
        &mut self,
        model: &Model,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
    ) -> Result<SharedTower, LabelError> {
        let image = &model.manifest.image;
        let key = [
            model.file(&image.file)?.sha256,
            image.output.clone(),
            image.describe_preprocessing(),
        ];
        if let Some((_, tower)) = self.open.iter().find(|(known, _)| *known == key) {
            return Ok(tower.clone());
        }
        let tower = SharedTower::open(model, runtime, options)?;
        self.open.push((key, tower.clone()));
        Ok(tower)
    }
}

/// What became of a picture of the batch at hand.
#[derive(Debug, Clone)]
enum Row {
    /// Nobody has asked for it yet.
    Open,
    /// A unit vector.
    Embedded(Vec<f32>),
    /// The model failed on it.
    Failed(Failure),
}

struct ImageTower {
    name: String,
    image: ImageModel,
    /// The batch that `rows` tells of.
    batch: Option<BatchId>,
    rows: Vec<Row>,
}

/// An image tower that is open.
#[derive(Clone)]
pub struct SharedTower {
    tower: Arc<Mutex<ImageTower>>,
    geometry: Geometry,
    width: usize,
    device: String,
    sha256: String,
}

impl SharedTower {
    fn open(model: &Model, runtime: &dyn Runtime, options: &LabelerOptions) -> Result<Self, LabelError> {
        let (image, made_up) = ImageModel::open(model, runtime, options)?;
        check::embeddings(&model.manifest, &made_up)?;
        Ok(Self {
            geometry: model.manifest.image.geometry(),
            width: image.width(),
            device: image.device().to_owned(),
            sha256: image.sha256().to_owned(),
            tower: Arc::new(Mutex::new(ImageTower {
                name: model.manifest.name.clone(),
                image,
                batch: None,
                rows: Vec::new(),
            })),
        })
    }

    /// The square of pixels that it takes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Values an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The device it runs on and why.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// SHA-256 of the graph's file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Chooses the batch where that was left open.
    pub fn fit_batch(&self, images: u64) -> Result<Option<BatchChoice>, LabelError> {
        self.lock().image.fit_batch(images)
    }

    /// Begins with the pictures that are `wanted`, as [`super::Labeler::begin`]; who is first among
    /// those that share the tower says which these are.
    pub fn begin(&self, pictures: &Pictures<'_>, geometry: usize, wanted: impl Fn(usize) -> bool) {
        let squares = pictures.squares(geometry).iter().enumerate();
        let due: Vec<Option<&[u8]>> = squares.map(|(row, square)| square.filter(|_| wanted(row))).collect();
        self.lock().image.begin(pictures.batch(), &due);
    }

    /// Whether everything that was begun for this batch is done.
    pub fn is_ready(&self, batch: BatchId) -> bool {
        self.lock().image.is_ready(batch)
    }

    fn lock(&self) -> MutexGuard<'_, ImageTower> {
        // A poisoned lock means that a labeler panicked, which ends the run before this one is asked.
        self.tower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unit embeddings of the pictures that are `wanted`, from their squares of this index.
    pub fn embed(
        &self,
        pictures: &Pictures<'_>,
        geometry: usize,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<Encoded, LabelError> {
        let mut tower = self.lock();
        if tower.batch != Some(pictures.batch()) {
            tower.batch = Some(pictures.batch());
            tower.rows = vec![Row::Open; pictures.len()];
        }
        tower.encode_open(pictures.batch(), pictures.squares(geometry), &wanted)?;
        let mut given = Encoded {
            width: self.width,
            rows: vec![None; pictures.len()],
            failures: Vec::new(),
        };
        for (index, row) in tower.rows.iter().enumerate().filter(|(index, _)| wanted(*index)) {
            match row {
                Row::Open => {}
                Row::Embedded(values) => given.rows[index] = Some(values.clone()),
                Row::Failed(failure) => given.failures.push((index, failure.clone())),
            }
        }
        Ok(given)
    }
}

impl ImageTower {
    /// Embeds the wanted pictures that nobody has asked for yet.
    fn encode_open(
        &mut self,
        batch: BatchId,
        squares: &[Option<&[u8]>],
        wanted: &dyn Fn(usize) -> bool,
    ) -> Result<(), LabelError> {
        let is_due = |index: usize| wanted(index) && matches!(self.rows[index], Row::Open);
        let due: Vec<Option<&[u8]>> = squares
            .iter()
            .enumerate()
            .map(|(index, square)| square.filter(|_| is_due(index)))
            .collect();
        if due.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut given = self.image.encode(batch, &due)?;
        normalise_rows(&mut given, &self.name)?;
        for (index, row) in given.rows.into_iter().enumerate() {
            if let Some(values) = row {
                self.rows[index] = Row::Embedded(values);
            }
        }
        for (index, failure) in given.failures {
            self.rows[index] = Row::Failed(failure);
        }
        Ok(())
    }
}

/// Makes every row a unit vector; a row without direction becomes a failure.
fn normalise_rows(given: &mut Encoded, model: &str) -> Result<(), LabelError> {
    let present = given.rows.iter().flatten().count();
    let mut broken = 0;
    for (index, row) in given.rows.iter_mut().enumerate() {
        if row.as_mut().is_some_and(|values| !normalise(values)) {
            *row = None;
            broken += 1;
            let message = "the model gives an embedding that is zero or not a number";
            given.failures.push((index, Failure::new(ErrorKind::Model, message)));
        }
    }
    if broken > 1 && broken == present {
        return Err(broken_values(model));
    }
    given.failures.sort_by_key(|(row, _)| *row);
    Ok(())
}

/// The error for a model whose every row is not a number.
pub(super) fn broken_values(model: &str) -> LabelError {
    let source = "every value is zero or not a number; a 16-bit model may need 32 bits on this device".into();
    LabelError::EveryPicture {
        model: model.to_owned(),
        source: ModelError::Run {
            graph: model.to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::model::standin::{StandInGraph, StandInRuntime};
    use crate::model::tensor::{ElementType, Tensor, TensorData, TensorInfo};
    use crate::model::testing::model;

    /// A tower that counts its runs and gives each picture its first value and a constant.
    fn counting(runs: &Arc<AtomicUsize>, size: usize) -> StandInRuntime {
        let runs = runs.clone();
        let info = |name: &str, shape: Vec<Option<usize>>| TensorInfo {
            name: name.to_owned(),
            element: ElementType::F32,
            shape,
        };
        StandInRuntime::default().with_graph(
            "tiny-clip/image.onnx",
            StandInGraph {
                inputs: vec![info("pixel_values", vec![None, Some(3), Some(size), Some(size)])],
                outputs: vec![info("image_embeds", vec![None, Some(2)])],
                wait: Duration::ZERO,
                answer: Arc::new(move |inputs, _| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    let pixels = inputs[0].1.clone();
                    let (batch, size) = (pixels.shape[0], pixels.shape[1..].iter().product::<usize>());
                    let values = pixels.into_f32().expect("pixels are floats");
                    let data = (0..batch).flat_map(|row| [values[row * size], 1.0]).collect();
                    Ok(Tensor {
                        shape: vec![batch, 2],
                        data: TensorData::F32(data),
                    })
                }),
            },
        )
    }

    #[test]
    fn two_labelers_cost_one_run_a_picture_and_see_the_same() {
        let model = model("tiny-clip");
        let size = model.manifest.image.size as usize;
        let runs = Arc::new(AtomicUsize::new(0));
        let options = LabelerOptions {
            batch: 4,
            ..LabelerOptions::default()
        };
        let mut towers = Towers::default();
        let runtime = counting(&runs, size);
        let first = towers.open(&model, &runtime, &options).unwrap();
        let second = towers.open(&model, &runtime, &options).unwrap();
        let squares: Vec<Vec<u8>> = (1..=3).map(|value| vec![value * 40; size * size * 3]).collect();
        let pictures: Vec<Option<&[u8]>> = squares.iter().map(|square| Some(square.as_slice())).collect();
        runs.store(0, Ordering::Relaxed);

        let batch = Pictures::of(&pictures);
        let some = first.embed(&batch, 0, |row| row == 1).unwrap();
        assert!(some.rows[0].is_none() && some.rows[1].is_some() && runs.load(Ordering::Relaxed) == 1);
        let all = second.embed(&batch, 0, |_| true).unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 2, "only the two others are run");
        assert_eq!(all.rows[1], some.rows[1]);
        assert_eq!(first.embed(&batch, 0, |_| true).unwrap().rows, all.rows);
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        // The same squares in another batch are another picture.
        first.embed(&Pictures::of(&pictures), 0, |_| true).unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }
}
