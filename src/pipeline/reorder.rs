//! Several devices finish batches in any order; rows are written in the source's.

use std::collections::BTreeMap;

use crate::record::LabeledBatch;

/// Holds batches back until all before them have come.
#[derive(Debug, Default)]
pub struct Reorder {
    waiting: BTreeMap<u64, LabeledBatch>,
    next: u64,
}

impl Reorder {
    /// Takes a batch and gives those that are now in order.
    pub fn add(&mut self, batch: LabeledBatch) -> impl Iterator<Item = LabeledBatch> + '_ {
        self.waiting.insert(batch.number, batch);
        std::iter::from_fn(move || {
            let batch = self.waiting.remove(&self.next)?;
            self.next += 1;
            Some(batch)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::GroupSet;

    #[test]
    fn batches_leave_in_order_whatever_the_order_they_come_in() {
        let mut reorder = Reorder::default();
        let mut left = Vec::new();
        for number in [2, 0, 3, 1, 4] {
            let batch = LabeledBatch {
                number,
                groups: GroupSet::METADATA,
                records: Vec::new(),
                columns: Vec::new(),
            };
            left.extend(reorder.add(batch).map(|batch| batch.number));
        }
        assert_eq!(left, [0, 1, 2, 3, 4]);
    }
}
