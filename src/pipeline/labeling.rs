//! One device with its labelers: a batch of squares in, the labelers' columns out.

use crate::label::{LabelError, Labeler};
use crate::record::{DecodedImage, Geometry, GroupSet, ImageBatch, ImageRecord, LabelColumn, LabeledBatch};

/// A device's labelers, in the plan's order.
pub struct Device {
    labelers: Vec<Placed>,
}

struct Placed {
    labeler: Box<dyn Labeler>,
    /// Which of the prepared squares it takes.
    square: usize,
}

impl Device {
    /// A device whose labelers find their squares in the order of `geometries`.
    pub fn new(labelers: Vec<Box<dyn Labeler>>, geometries: &[Geometry]) -> Self {
        let labelers = labelers
            .into_iter()
            .map(|labeler| {
                let wanted = labeler.geometry();
                let square = geometries
                    .iter()
                    .position(|geometry| *geometry == wanted)
                    .expect("the plan collects the geometry of every labeler");
                Placed { labeler, square }
            })
            .collect();
        Self { labelers }
    }

    /// Runs every labeler that the batch asks for. A picture that a model fails on is a failed row.
    pub fn label(&mut self, batch: ImageBatch) -> Result<LabeledBatch, LabelError> {
        let ImageBatch { number, groups, images } = batch;
        let (mut records, squares): (Vec<ImageRecord>, Vec<Vec<Vec<u8>>>) =
            images.into_iter().map(|DecodedImage { record, squares }| (record, squares)).unzip();
        let mut columns: Vec<LabelColumn> = Vec::new();
        for (index, placed) in self.labelers.iter_mut().enumerate() {
            if !groups.contains(GroupSet::labeler(index)) {
                continue;
            }
            let wanted: Vec<Option<&[u8]>> =
                squares.iter().map(|squares| squares.get(placed.square).map(Vec::as_slice)).collect();
            let labels = placed.labeler.label(&wanted)?;
            columns.extend(placed.labeler.fields().into_iter().zip(labels.columns));
            for (row, failure) in labels.failures {
                records[row].failure.get_or_insert(failure);
            }
        }
        Ok(LabeledBatch { number, groups, records, columns })
    }
}
