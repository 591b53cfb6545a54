//! One device with its labelers: a batch of squares in, the labelers' columns out.

use std::sync::Arc;

use anyhow::Context;

use crate::label::{BatchId, Labeler, Pictures};
use crate::record::{DecodedImage, Geometry, GroupSet, ImageBatch, LabelColumn, LabeledBatch, Twin, Twins};

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

    /// Runs every labeler that the batch asks for. A picture that a model fails on is a failed row.
    pub fn label(&mut self, batch: ImageBatch) -> anyhow::Result<LabeledBatch> {
        let ImageBatch { number, groups, images } = batch;
        let (mut records, mut squares, mut twins) = (Vec::new(), Vec::new(), Vec::new());
        for (
            row,
            DecodedImage {
                record,
                twin,
                squares: of_image,
            },
        ) in images.into_iter().enumerate()
        {
            records.push(record);
            squares.push(of_image);
            twins.extend(twin.map(|twin| (row, twin)));
        }
        let has_prompt: Vec<bool> = records.iter().map(|record| record.recovered.prompt.is_some()).collect();
        let id = BatchId::next();
        let mut columns: Vec<LabelColumn> = Vec::new();
        for (index, placed) in self.labelers.iter_mut().enumerate() {
            if !groups.contains(GroupSet::labeler(index)) {
                continue;
            }
            let of_geometry = |square: &usize| -> Vec<Option<&[u8]>> {
                squares
                    .iter()
                    .map(|of_image| of_image.get(*square).map(Vec::as_slice))
                    .collect()
            };
            let wanted = placed.squares.iter().map(of_geometry).collect();
            let labels = placed.labeler.label(&Pictures::new(id, wanted, has_prompt.clone()))?;
            columns.extend(placed.labeler.fields().into_iter().zip(labels.columns));
            for (row, failure) in labels.failures {
                records[row].failure.get_or_insert(failure);
            }
        }
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
