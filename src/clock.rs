//! Where the time goes: nanoseconds a stage, added up over threads without locks.

use std::sync::Mutex;
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
    /// The images that took longest.
    pub slowest: Slowest,
}

/// Images that a summary names as the slowest.
const SLOWEST_KEPT: usize = 10;

/// The images that took longest to read and decode, slowest first.
#[derive(Debug, Default)]
pub struct Slowest {
    images: Mutex<Vec<(String, f64)>>,
    /// Nanoseconds that an image must have taken to be among them, to ask without the lock.
    least: AtomicU64,
}

impl Slowest {
    /// Notes an image that was begun at `started`.
    pub fn add(&self, path: &str, started: Instant) {
        let took = started.elapsed();
        if (took.as_nanos() as u64) < self.least.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut images) = self.images.lock() else { return };
        let secs = took.as_secs_f64();
        let place = images.partition_point(|(_, other)| *other >= secs);
        images.insert(place, (path.to_owned(), secs));
        images.truncate(SLOWEST_KEPT);
        if let (SLOWEST_KEPT, Some((_, last))) = (images.len(), images.last()) {
            self.least.store((last * 1e9) as u64, Ordering::Relaxed);
        }
    }

    /// Path in the root and seconds.
    pub fn images(&self) -> Vec<(String, f64)> {
        self.images.lock().map(|images| images.clone()).unwrap_or_default()
    }
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
        format!(
            "pictures {}% model {}% write {}%",
            share(waiting),
            share(model),
            share(write)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_images_are_kept_slowest_first() {
        let slowest = Slowest::default();
        let now = Instant::now();
        for secs in [3, 14, 1, 5, 9, 2, 6, 8, 7, 12, 11, 4] {
            slowest.add(&secs.to_string(), now.checked_sub(Duration::from_secs(secs)).unwrap());
        }
        let names: Vec<String> = slowest.images().into_iter().map(|(path, _)| path).collect();
        assert_eq!(names, ["14", "12", "11", "9", "8", "7", "6", "5", "4", "3"]);
    }
}
