//! Where the time goes: nanoseconds a stage, added up over threads without locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One stage's time.
#[derive(Debug, Default)]
pub struct Stopwatch(AtomicU64);

impl Stopwatch {
    /// Adds the time since `started`.
    pub fn add(&self, started: Instant) {
        self.0.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// The time so far.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The time of every stage of a run.
#[derive(Debug, Default)]
pub struct StageClock {
    /// Reading bytes and metadata, summed over the decoding threads.
    pub read: Stopwatch,
    /// Decoding and resizing, summed over the decoding threads.
    pub decode: Stopwatch,
    /// Models at work, summed over the devices.
    pub model: Stopwatch,
    /// Devices waiting for pictures.
    pub waiting_for_pictures: Stopwatch,
    /// Writing and committing.
    pub write: Stopwatch,
    /// The writer waiting for rows.
    pub waiting_for_rows: Stopwatch,
    /// Images that took the labels of an equal file instead of running the models.
    pub copied: AtomicU64,
}

impl StageClock {
    /// Every stage by name, in the order of the run.
    pub fn stages(&self) -> [(&'static str, &Stopwatch); 6] {
        [
            ("read", &self.read),
            ("decode", &self.decode),
            ("model", &self.model),
            ("waiting_for_pictures", &self.waiting_for_pictures),
            ("write", &self.write),
            ("waiting_for_rows", &self.waiting_for_rows),
        ]
    }

    /// What holds the run back, in a few words: the devices' waiting against their work.
    pub fn bottleneck(&self) -> String {
        let (waiting, model) = (self.waiting_for_pictures.total(), self.model.total());
        let (total, write) = (waiting + model, self.write.total());
        if total.is_zero() {
            return String::new();
        }
        let share = |part: Duration| (100.0 * part.as_secs_f64() / total.as_secs_f64()).round();
        format!("pictures {}% model {}% write {}%", share(waiting), share(model), share(write))
    }
}
