//! One device with its labelers: a batch of squares in, the labelers' columns out.

use std::sync::Arc;

use anyhow::Context;

use crate::label::{BatchId, Labeler, Pictures};
use crate::record::{Geometry, GroupSet, ImageBatch, ImageRecord, LabelColumn, LabeledBatch, Twin, Twins};

/// A device's labelers, in the plan's order.
pub struct Device {
    labelers: Vec<Placed>,
    /// Reads the labels of files that are there under another name.
    twins: Option<Arc<dyn Twins>>,
}

struct Placed {
    labeler: Box<dyn Labeler>,
    /// Which of the prepared squares it takes, in the order of its geometries.
    squares: Vec<usize>,
}

impl Device {
    /// A device whose labelers find their squares in the order of `geometries`.
    pub fn new(labelers: Vec<Box<dyn Labeler>>, geometries: &[Geometry], twins: Option<Arc<dyn Twins>>) -> Self {
        let labelers = labelers
            .into_iter()
            .map(|labeler| {
                let place = |wanted| {
                    let found = geometries.iter().position(|geometry| *geometry == wanted);
                    found.expect("the plan collects the geometries of every labeler")
                };
                let squares = labeler.geometries().into_iter().map(place).collect();
                Placed { labeler, squares }
            })
            .collect();
        Self { labelers, twins }
    }

    /// Gives a batch's squares to the labelers that it asks for, so that their models can begin.
    pub fn begin(&mut self, batch: ImageBatch) -> Begun {
        let ImageBatch { number, groups, images } = batch;
        let mut begun = Begun {
            id: BatchId::next(),
            number,
            groups,
            records: Vec::with_capacity(images.len()),
            squares: Vec::with_capacity(images.len()),
            twins: Vec::new(),
        };
        for (row, image) in images.into_iter().enumerate() {
            begun.records.push(image.record);
            begun.squares.push(image.squares);
            begun.twins.extend(image.twin.map(|twin| (row, twin)));
        }
        for placed in self.asked_for(groups) {
            placed.labeler.begin(&begun.pictures(&placed.squares));
        }
        begun
    }

    /// Whether the models are done with what they began of a batch.
    pub fn is_ready(&mut self, begun: &Begun) -> bool {
        self.asked_for(begun.groups)
            .all(|placed| placed.labeler.is_ready(begun.id))
    }

    /// Makes the labels of a batch. A picture that a model fails on is a failed row.
    pub fn label(&mut self, mut begun: Begun) -> anyhow::Result<LabeledBatch> {
        let mut columns: Vec<LabelColumn> = Vec::new();
        let mut failures = Vec::new();
        for placed in self.asked_for(begun.groups) {
            let labels = placed.labeler.label(&begun.pictures(&placed.squares))?;
            columns.extend(placed.labeler.fields().into_iter().zip(labels.columns));
            failures.extend(labels.failures);
        }
        for (row, failure) in failures {
            begun.records[row].failure.get_or_insert(failure);
        }
        let Begun {
            number,
            groups,
            records,
            twins,
            ..
        } = begun;
        if let (Some(known), false) = (&self.twins, twins.is_empty()) {
            columns = take_over(columns, &twins, groups, known.as_ref())?;
        }
        Ok(LabeledBatch {
            number,
            groups,
            records,
            columns,
        })
    }

    fn asked_for(&mut self, groups: GroupSet) -> impl Iterator<Item = &mut Placed> {
        let labelers = self.labelers.iter_mut().enumerate();
        let asked_for = labelers.filter(move |(index, _)| groups.contains(GroupSet::labeler(*index)));
        asked_for.map(|(_, placed)| placed)
    }
}

/// A batch whose pictures the models have begun with.
pub struct Begun {
    id: BatchId,
    number: u64,
    groups: GroupSet,
    records: Vec<ImageRecord>,
    /// An image's each, one a geometry; none where it failed.
    squares: Vec<Vec<Vec<u8>>>,
    twins: Vec<(usize, Twin)>,
}

impl Begun {
    /// What a labeler sees of it that takes the squares of these places.
    fn pictures(&self, places: &[usize]) -> Pictures<'_> {
        let of_geometry = |place: &usize| -> Vec<Option<&[u8]>> {
            let squares = self.squares.iter();
            squares
                .map(|of_image| of_image.get(*place).map(Vec::as_slice))
                .collect()
        };
        let has_prompt = self.records.iter().map(|record| record.recovered.prompt.is_some());
        Pictures::new(self.id, places.iter().map(of_geometry).collect(), has_prompt.collect())
    }
}

/// Puts the labels of equal files, made under another name, where the models gave none.
fn take_over(
    columns: Vec<LabelColumn>,
    twins: &[(usize, Twin)],
    groups: GroupSet,
    known: &dyn Twins,
) -> anyhow::Result<Vec<LabelColumn>> {
    let wanted: Vec<Twin> = twins.iter().map(|(_, twin)| *twin).collect();
    let copies = known.labels(&wanted, groups)?;
    columns
        .into_iter()
        .map(|(field, made)| {
            let copy = copies.iter().find(|(name, _)| name.name() == field.name());
            let (_, copy) = copy.with_context(|| format!("the dataset has no column {}", field.name()))?;
            let copy = arrow::compute::cast(copy, made.data_type())?;
            let mut from: Vec<(usize, usize)> = (0..made.len()).map(|row| (0, row)).collect();
            for (index, (row, _)) in twins.iter().enumerate() {
                from[*row] = (1, index);
            }
            Ok((field, arrow::compute::interleave(&[&made, &copy], &from)?))
        })
        .collect()
}
