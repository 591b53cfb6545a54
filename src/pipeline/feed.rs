//! Keeps the decoding threads busy and hands their pictures on in source order: a bounded number of
//! bytes and images is between the source and the models at any time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::RunOptions;
use super::read_ahead::ReadAhead;
use crate::clock::StageClock;
use crate::prepare::{PrepareOptions, prepare_image};
use crate::record::{DecodedImage, Geometry, GroupSet, ImageBatch, WorkItem};
use crate::stop::Stop;

/// Bytes of prepared pictures that may wait for the models. Pictures differ in their time by more
/// than ten times (a thumbnail, 12 megapixels), so where decoding and device are equally fast, whoever
/// is ahead must be able to go on for a while: some two hundred pictures of 224 pixels.
const BYTES_AHEAD: usize = 32 << 20;

/// Most pictures that may wait however small they are: each comes with the metadata of its file.
const IMAGES_AHEAD: usize = 256;

/// Images between the source and the models: as many as [`BYTES_AHEAD`] holds, and never less than
/// two batches ahead and two images a thread.
fn images_in_flight(options: RunOptions, geometries: &[Geometry]) -> usize {
    let least = 2 * options.images_per_batch + 2 * options.threads;
    let bytes: usize = geometries.iter().map(Geometry::bytes).sum();
    let fit = BYTES_AHEAD.checked_div(bytes).unwrap_or(0);
    fit.min(IMAGES_AHEAD).max(least)
}

struct Prepared {
    order: u64,
    groups: GroupSet,
    image: DecodedImage,
}

/// Prepares every item on the rayon pool and sends full batches, in order, until the items end,
/// `stop` asks for it, or nobody listens any more.
pub fn prepare_batches(
    items: impl Iterator<Item = WorkItem> + Send,
    pool: &rayon::ThreadPool,
    prepare: &Arc<PrepareOptions>,
    clock: &Arc<StageClock>,
    options: RunOptions,
    stop: &Stop,
    to_label: Sender<ImageBatch>,
) {
    // A permit is taken before an image is read and given back when its batch has been sent, so a
    // slow model holds back the reading and the reorder below stays bounded.
    let images_in_flight = images_in_flight(options, &prepare.geometries);
    let (give_permit, permits) = bounded::<()>(images_in_flight);
    for _ in 0..images_in_flight {
        give_permit.send(()).expect("the channel has room for every permit");
    }
    let (to_batcher, prepared) = unbounded::<Prepared>();
    std::thread::scope(|scope| {
        let batching = scope.spawn(|| send_batches(prepared, options.images_per_batch, stop, give_permit, to_label));
        for (order, item) in read_ahead(items, prepare).enumerate() {
            if stop.is_asked() || permits.recv().is_err() {
                break;
            }
            let (prepare, clock, to_batcher) = (prepare.clone(), clock.clone(), to_batcher.clone());
            pool.spawn_fifo(move || {
                let image = prepare_image(&item, &prepare, &clock);
                // Nobody listens any more only when the run is ending.
                let _ = to_batcher.send(Prepared {
                    order: order as u64,
                    groups: item.groups,
                    image,
                });
            });
        }
        drop(to_batcher);
        drop(permits);
        batching.join().expect("the batching thread does not panic");
    });
}

/// Read-ahead where files are read whole; a run that reads no more than it must asks for no more.
fn read_ahead<'a>(
    items: impl Iterator<Item = WorkItem> + Send + 'a,
    prepare: &PrepareOptions,
) -> Box<dyn Iterator<Item = WorkItem> + Send + 'a> {
    if prepare.reads_whole_files() {
        Box::new(ReadAhead::new(items))
    } else {
        Box::new(items)
    }
}

/// Restores the source's order, cuts batches (never mixing two sets of groups), and sends them. Who
/// asks for an end does not wait for what no model has seen yet; the next run takes it up.
fn send_batches(
    prepared: Receiver<Prepared>,
    images_per_batch: usize,
    stop: &Stop,
    permits: Sender<()>,
    to_label: Sender<ImageBatch>,
) {
    let mut waiting: BTreeMap<u64, Prepared> = BTreeMap::new();
    let mut next_order = 0;
    let mut batch = ImageBatch {
        number: 0,
        groups: GroupSet::default(),
        images: Vec::new(),
    };
    for arrived in prepared {
        waiting.insert(arrived.order, arrived);
        while let Some(next) = waiting.remove(&next_order) {
            if stop.is_asked() {
                return;
            }
            next_order += 1;
            if next.groups != batch.groups && !send(&mut batch, &permits, &to_label) {
                return;
            }
            batch.groups = next.groups;
            batch.images.push(next.image);
            if batch.images.len() == images_per_batch && !send(&mut batch, &permits, &to_label) {
                return;
            }
        }
    }
    send(&mut batch, &permits, &to_label);
}

fn send(batch: &mut ImageBatch, permits: &Sender<()>, to_label: &Sender<ImageBatch>) -> bool {
    if batch.images.is_empty() {
        return true;
    }
    let next = ImageBatch {
        number: batch.number + 1,
        groups: batch.groups,
        images: Vec::new(),
    };
    let full = std::mem::replace(batch, next);
    let images = full.images.len();
    let sent = to_label.send(full).is_ok();
    for _ in 0..images {
        // The feeder has gone only when the run is ending.
        let _ = permits.try_send(());
    }
    sent
}
