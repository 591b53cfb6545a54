//! The run, from the first image to the last row:
//!
//! `source -> read -> metadata -> decode -> resize per model -> batch => label => write`
//!
//! Three rules. The decoding pool belongs to the feeding thread, each device to one label thread,
//! the dataset to the calling thread. Every channel (`=>`) is bounded, so the slowest stage sets
//! the pace and memory stays flat. The stage that fails owns the error: it asks the others to stop,
//! they finish what they hold, and whatever was finished is committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

mod feed;
mod labeling;
mod read_ahead;
mod reorder;

use labeling::Begun;
pub use labeling::Device;

use crate::clock::StageClock;
use crate::prepare::PrepareOptions;
use crate::progress::Progress;
use crate::record::{ImageBatch, LabeledBatch, WorkItem};
use crate::report::RunReport;
use crate::stop::Stop;
use crate::write::{Ending, Sink, WriteReport};

/// Batches that may wait between two stages.
const BATCHES_IN_FLIGHT: usize = 2;

/// Batches that a device has at once: the one that its models run and the next.
const BATCHES_IN_HAND: usize = 2;

/// How often a device that could take another batch looks whether the one it has is done.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long the writer waits for rows before it looks whether a part is old enough to close.
const TICK: Duration = Duration::from_secs(1);

/// How a run is dimensioned.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Images in one batch.
    pub images_per_batch: usize,
    /// Decoding threads.
    pub threads: usize,
}

/// What a run works with.
pub struct Run<'a> {
    /// What is to be done, in order.
    pub work: Box<dyn Iterator<Item = WorkItem> + Send + 'a>,
    /// What every image goes through before the models.
    pub prepare: PrepareOptions,
    /// The devices, each with its own copy of every labeler; one without labelers where no model
    /// is wanted.
    pub devices: Vec<Device>,
    /// Where rows go.
    pub sink: Box<dyn Sink + 'a>,
    /// Batch size and threads.
    pub options: RunOptions,
    /// What the end of the work means: `Early` where it is limited, so that nothing is gone.
    pub ending: Ending,
    /// Who wants to end early.
    pub stop: &'a Stop,
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
}

/// Labels all of the work and commits it; counts into `report`.
pub fn run(run: Run<'_>, report: &mut RunReport) -> anyhow::Result<WriteReport> {
    let Run {
        work,
        prepare,
        devices,
        sink,
        options,
        ending,
        stop,
        progress,
    } = run;
    let clock = Arc::new(StageClock::default());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|index| format!("decode-{index}"))
        .build()
        .context("starting the decoding threads")?;
    let prepare = Arc::new(prepare);
    let (to_label, batches) = bounded::<ImageBatch>(BATCHES_IN_FLIGHT * devices.len());
    let (to_writer, labeled) = bounded::<LabeledBatch>(BATCHES_IN_FLIGHT * devices.len());

    let (labeling, written) = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feed::prepare_batches(work, &pool, &prepare, &clock, options, stop, to_label));
        let labeling: Vec<_> = devices
            .into_iter()
            .map(|device| {
                let (batches, to_writer, clock) = (batches.clone(), to_writer.clone(), clock.clone());
                scope.spawn(move || label_batches(device, batches, to_writer, &clock, stop))
            })
            .collect();
        drop((batches, to_writer));
        let written = write_batches(sink, ending, labeled, &clock, stop, progress, report);
        feeding.join().expect("the feeding thread does not panic");
        let labeling: anyhow::Result<Vec<()>> = labeling
            .into_iter()
            .map(|thread| thread.join().expect("a label thread does not panic"))
            .collect();
        (labeling, written)
    });
    report.take_clock(&clock);
    let written = written?;
    labeling.context("labeling")?;
    Ok(written)
}

/// Labels batches on one device until no more come: two are in its hands where there are two, so
/// that the models run one while the other is assembled or becomes columns.
fn label_batches(
    mut device: Device,
    batches: Receiver<ImageBatch>,
    to_writer: Sender<LabeledBatch>,
    clock: &StageClock,
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut begun: VecDeque<Begun> = VecDeque::with_capacity(BATCHES_IN_HAND);
    loop {
        let since = Instant::now();
        if begun.len() < BATCHES_IN_HAND {
            let next = match begun.front() {
                None => batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(first) if device.is_ready(first) => batches.recv_timeout(Duration::ZERO),
                Some(_) => batches.recv_timeout(LOOK_EVERY),
            };
            let watch = if begun.is_empty() {
                &clock.waiting_for_pictures
            } else {
                &clock.model
            };
            watch.add(since);
            let since = Instant::now();
            match (next, begun.front()) {
                (Ok(batch), _) => {
                    begun.push_back(device.begin(batch));
                    clock.model.add(since);
                    continue;
                }
                (Err(RecvTimeoutError::Timeout), Some(first)) if !device.is_ready(first) => continue,
                // Nothing to wait for but the models.
                (Err(_), _) => {}
            }
        }
        let since = Instant::now();
        let Some(first) = begun.pop_front() else { return Ok(()) };
        let labeled = device.label(first).inspect_err(|_| stop.fail())?;
        clock.model.add(since);
        if to_writer.send(labeled).is_err() {
            return Ok(());
        }
    }
}

/// Writes batches in source order and commits; on a failure asks everybody to stop.
fn write_batches(
    mut sink: Box<dyn Sink + '_>,
    ending: Ending,
    labeled: Receiver<LabeledBatch>,
    clock: &StageClock,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut RunReport,
) -> anyhow::Result<WriteReport> {
    let mut in_order = reorder::Reorder::default();
    let result = loop {
        let waiting = Instant::now();
        let received = labeled.recv_timeout(TICK);
        clock.waiting_for_rows.add(waiting);
        let writing = Instant::now();
        let step = match received {
            Ok(batch) => in_order.add(batch).try_for_each(|batch| {
                let failed = batch.records.iter().filter(|record| record.failure.is_some()).count();
                let images = batch.records.len();
                batch.records.iter().for_each(|record| report.count(record));
                report.count_labelers(batch.groups, (images - failed) as u64);
                sink.write(batch)?;
                progress.advance(images as u64, failed as u64);
                progress.bottleneck(&clock.bottleneck());
                Ok(())
            }),
            Err(RecvTimeoutError::Timeout) => sink.tick(),
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
        };
        clock.write.add(writing);
        if step.is_err() {
            stop.fail();
            break step;
        }
    };
    // After a failure nobody listens any more, so the other stages come to their end.
    drop(labeled);
    let ending = if stop.is_asked() { Ending::Early } else { ending };
    let committing = Instant::now();
    let finished = sink.finish(ending);
    clock.write.add(committing);
    result?;
    Ok(finished?)
}

#[cfg(test)]
mod tests;
