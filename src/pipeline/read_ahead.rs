//! Tells the source which images come next, so that a cold disk or a network share reads them
//! while earlier ones are decoded.

use std::collections::VecDeque;

use crate::record::WorkItem;

/// Images asked for ahead of the one that is being read. At a few megabytes each they fit into any
/// page cache, and at a few milliseconds a seek they hide a disk behind two decoding threads.
const IMAGES_AHEAD: usize = 16;

/// Passes items on and asks for the bytes of the next [`IMAGES_AHEAD`] of them.
pub struct ReadAhead<I> {
    items: I,
    asked: VecDeque<WorkItem>,
}

impl<I: Iterator<Item = WorkItem>> ReadAhead<I> {
    /// Read-ahead over `items`.
    pub fn new(items: I) -> Self {
        Self {
            items,
            asked: VecDeque::with_capacity(IMAGES_AHEAD),
        }
    }
}

impl<I: Iterator<Item = WorkItem>> Iterator for ReadAhead<I> {
    type Item = WorkItem;

    fn next(&mut self) -> Option<WorkItem> {
        while self.asked.len() <= IMAGES_AHEAD {
            let Some(item) = self.items.next() else { break };
            item.image.open.read_ahead();
            self.asked.push_back(item);
        }
        self.asked.pop_front()
    }
}
