//! Ranking: how near each term of every table is to each picture of a batch, in one matrix product
//! on the session's device, and the nearest (or farthest) of a range of terms.

use std::cmp::Ordering;
use std::ops::Range;

use half::f16;

use crate::label::{LabelError, LabelerOptions};
use crate::model::small_graph::{Node, onnx, type_number};
use crate::model::tensor::{DeviceTensor, ElementType, Input, Output, Place, Tensor, TensorData};
use crate::model::{Graph, ModelError, Runtime, Session, SessionOptions};

/// Which end of a ranking is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The most similar terms.
    Nearest,
    /// The least similar ones, for negative prompts.
    Farthest,
}

impl End {
    /// A value of which more is better.
    pub fn worth(self, similarity: f32) -> f32 {
        match self {
            Self::Nearest => similarity,
            Self::Farthest => -similarity,
        }
    }
}

/// Terms further down than asked for that are looked at exactly: the device's rounding may have
/// moved them.
const SPARE_TERMS: usize = 32;

/// The embeddings of all terms, here as 16-bit floats and on the device as 32-bit ones.
pub struct Ranker {
    session: Box<dyn Session>,
    on_device: DeviceTensor,
    /// One unit vector a term, as caches hold them.
    rows: Vec<f16>,
    width: usize,
    /// Pictures a product; every product is padded to it, so that a picture alone gets the values
    /// that it gets among others.
    batch: usize,
}

impl Ranker {
    /// Puts the rows on the device.
    pub fn open(
        rows: Vec<f16>,
        width: usize,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
    ) -> Result<Self, LabelError> {
        let device = runtime.choose(options.device)?.device;
        let session_options = SessionOptions {
            precision: options.precision,
            cpu_fallback: options.cpu_fallback,
            ..SessionOptions::new(device, options.threads)
        };
        let tensor = Tensor {
            shape: vec![rows.len() / width.max(1), width],
            data: TensorData::F16(rows),
        };
        let mut widen = runtime.load("terms/widen", Graph::Memory(&widen_graph()), &session_options)?;
        let widened = widen.run(&[("halves", Input::Host(&tensor))], &[("rows", Place::Device)])?;
        let Some(Output::Device(on_device)) = widened.into_iter().next() else {
            return Err(broken("the runtime left no terms on the device"));
        };
        let TensorData::F16(rows) = tensor.data else {
            unreachable!("the tensor was made of 16-bit floats above")
        };
        Ok(Self {
            session: runtime.load("terms/rank", Graph::Memory(&rank_graph()), &session_options)?,
            on_device,
            rows,
            width,
            batch: options.batch.max(1),
        })
    }

    /// How many terms there are.
    pub fn count(&self) -> usize {
        self.rows.len() / self.width.max(1)
    }

    /// Cosines of every term with each of some unit vectors: a row a picture. They are as exact as
    /// the device's 32-bit product.
    pub fn scores(&mut self, pictures: &[&[f32]]) -> Result<Vec<Vec<f32>>, LabelError> {
        let mut all = Vec::with_capacity(pictures.len());
        for part in pictures.chunks(self.batch) {
            let mut values = Vec::with_capacity(self.batch * self.width);
            for picture in part {
                values.extend_from_slice(picture);
            }
            values.resize(self.batch * self.width, 0.0);
            let tensor = Tensor {
                shape: vec![self.batch, self.width],
                data: TensorData::F32(values),
            };
            let inputs = [
                ("pictures", Input::Host(&tensor)),
                ("rows", Input::Device(&self.on_device)),
            ];
            let given = self.session.run(&inputs, &[("scores", Place::Host)])?;
            let Some(Output::Host(scores)) = given.into_iter().next() else {
                return Err(broken("the runtime gave no scores"));
            };
            let scores = scores.into_f32().unwrap_or_default();
            let count = self.count();
            if scores.len() != self.batch * count {
                return Err(broken("the runtime gave another number of scores"));
            }
            all.extend(scores.chunks_exact(count.max(1)).take(part.len()).map(<[f32]>::to_vec));
        }
        Ok(all)
    }

    /// The `wanted` first terms of a range with their exact cosines, best first; of equals the one
    /// that comes first in the tables. `scores` are the picture's, of all terms.
    pub fn best(&self, picture: &[f32], scores: &[f32], range: Range<usize>, wanted: usize, end: End) -> Vec<Ranked> {
        let near = top(scores, range, wanted.saturating_add(SPARE_TERMS), end);
        let mut exact: Vec<Ranked> = near
            .into_iter()
            .map(|term| Ranked {
                term,
                similarity: self.similarity(picture, term),
            })
            .collect();
        exact.sort_by(|left, right| better(end, (left.similarity, left.term), (right.similarity, right.term)));
        exact.truncate(wanted);
        exact
    }

    /// The cosine of one term, summed in 64 bits: the same value whatever the batch and the device.
    fn similarity(&self, picture: &[f32], term: usize) -> f32 {
        let row = &self.rows[term * self.width..(term + 1) * self.width];
        let sum: f64 = row
            .iter()
            .zip(picture)
            .map(|(left, right)| f64::from(left.to_f32()) * f64::from(*right))
            .sum();
        sum as f32
    }
}

/// A term and its cosine with a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Index among all terms.
    pub term: usize,
    /// Cosine.
    pub similarity: f32,
}

/// Indices of the `wanted` first scores of a range, best first; of equals the lower index.
pub fn top(scores: &[f32], range: Range<usize>, wanted: usize, end: End) -> Vec<usize> {
    let mut indices: Vec<usize> = range.collect();
    if wanted == 0 {
        return Vec::new();
    }
    let order = |left: &usize, right: &usize| better(end, (scores[*left], *left), (scores[*right], *right));
    if wanted < indices.len() {
        indices.select_nth_unstable_by(wanted - 1, order);
        indices.truncate(wanted);
    }
    indices.sort_unstable_by(order);
    indices
}

/// Orders by falling worth, then by rising index.
fn better(end: End, left: (f32, usize), right: (f32, usize)) -> Ordering {
    let by_worth = end.worth(right.0).total_cmp(&end.worth(left.0));
    by_worth.then(left.1.cmp(&right.1))
}

/// As clip-interrogator ranks a long table: the first few of each consecutive block, then the
/// first of the survivors, which its second stage always takes from the near end.
pub fn top_in_blocks(scores: &[f32], range: Range<usize>, wanted: usize, end: End, block: usize) -> Vec<usize> {
    let count = range.len();
    if count <= block {
        return top(scores, range, wanted, end);
    }
    let kept = block / count.div_ceil(block);
    let mut survivors = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let stop = (start + block).min(range.end);
        survivors.extend(top(scores, start..stop, kept, end));
        start = stop;
    }
    let values: Vec<f32> = survivors.iter().map(|&term| scores[term]).collect();
    let chosen = top(&values, 0..values.len(), wanted, End::Nearest);
    chosen.into_iter().map(|index| survivors[index]).collect()
}

fn widen_graph() -> Vec<u8> {
    let cast = Node {
        operator: "Cast",
        inputs: &["halves"],
        output: "rows",
        whole: &[("to", type_number(ElementType::F32))],
    };
    onnx(
        &[cast],
        &[("halves", ElementType::F16, &["terms", "width"])],
        &[("rows", ElementType::F32, &["terms", "width"])],
    )
}

fn rank_graph() -> Vec<u8> {
    let product = Node {
        operator: "Gemm",
        inputs: &["pictures", "rows"],
        output: "scores",
        whole: &[("transB", 1)],
    };
    onnx(
        &[product],
        &[
            ("pictures", ElementType::F32, &["pictures", "width"]),
            ("rows", ElementType::F32, &["terms", "width"]),
        ],
        &[("scores", ElementType::F32, &["pictures", "terms"])],
    )
}

fn broken(message: &str) -> LabelError {
    LabelError::Model(ModelError::Run {
        graph: "terms/rank".to_owned(),
        source: message.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Device;
    use crate::model::testing::runtime;

    #[test]
    fn the_first_come_in_order_and_equals_by_index() {
        let scores = [0.1, 0.5, 0.5, -0.2, 0.5, 0.3];
        assert_eq!(top(&scores, 0..6, 4, End::Nearest), [1, 2, 4, 5]);
        assert_eq!(top(&scores, 0..6, 2, End::Farthest), [3, 0]);
        assert_eq!(top(&scores, 2..4, 9, End::Nearest), [2, 3]);
        assert!(top(&scores, 0..6, 0, End::Nearest).is_empty());
        assert!(top(&scores, 3..3, 2, End::Nearest).is_empty());
    }

    #[test]
    fn blocks_keep_their_own_first_terms_only() {
        // Three blocks of 4: one term of each survives.
        let scores = [0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.3, 0.0, 0.5, 0.4];
        assert_eq!(top_in_blocks(&scores, 0..10, 10, End::Nearest, 4), [0, 8, 6]);
        // Backwards the survivors are the least similar, and still come nearest first.
        assert_eq!(top_in_blocks(&scores, 0..10, 10, End::Farthest, 4), [3, 9, 7]);
        assert_eq!(top_in_blocks(&scores, 4..8, 2, End::Nearest, 4), [6, 5]);
    }

    /// The last block of the artists holds 290 terms, fewer than it might keep.
    #[test]
    fn the_merged_table_of_the_package_keeps_2035_candidates() {
        let scores: Vec<f32> = (0..111_867).map(|index| (index as f32 * 0.37).sin()).collect();
        assert_eq!(top_in_blocks(&scores, 0..111_867, 2048, End::Nearest, 2048).len(), 2035);
        assert_eq!(
            top_in_blocks(&scores, 0..100_970, 2048, End::Farthest, 2048).len(),
            2000
        );
        assert_eq!(
            top_in_blocks(&scores, 0..10_530, 2048, End::Nearest, 2048).len(),
            5 * 341 + 290
        );
    }

    #[test]
    fn a_picture_alone_ranks_as_among_others() {
        let Some(runtime) = runtime() else { return };
        let (width, count) = (24, 500);
        let value = |seed: usize| ((seed * 7919 % 1009) as f32 / 504.5) - 1.0;
        let rows = (0..width * count).map(|seed| f16::from_f32(value(seed))).collect();
        let options = LabelerOptions {
            device: Device::Cpu,
            batch: 4,
            threads: 1,
            ..LabelerOptions::default()
        };
        let mut ranker = Ranker::open(rows, width, runtime, &options).unwrap();
        let pictures: Vec<Vec<f32>> = (0..6)
            .map(|picture| (0..width).map(|index| value(picture * 131 + index * 17)).collect())
            .collect();
        let pictures: Vec<&[f32]> = pictures.iter().map(Vec::as_slice).collect();
        let together = ranker.scores(&pictures).unwrap();
        for (picture, scores) in pictures.iter().zip(&together) {
            let alone = ranker.scores(&[*picture]).unwrap().remove(0);
            assert_eq!(alone, *scores);
            let best = ranker.best(picture, scores, 0..count, 5, End::Nearest);
            let plain = top(scores, 0..count, 5, End::Nearest);
            assert_eq!(best.iter().map(|ranked| ranked.term).collect::<Vec<_>>(), plain);
            assert!((best[0].similarity - scores[plain[0]]).abs() < 1e-4);
        }
    }
}
