//! How many pictures go through a model at once, where the configuration leaves it open: growing
//! batches are tried until more pictures at once bring no more pictures a second, or no more fit.
//!
//! One picture alone is never chosen: its matrix products take other kernels, whose last bits
//! differ from those of any larger batch. Those of 2 to 64 were bit for bit equal on the CPU.

use std::fmt;
use std::time::{Duration, Instant};

use crate::model::free_memory::free_bytes;
use crate::model::{Device, ModelError, check};

/// Pictures a run while a model whose batch is to be chosen is opened and checked.
pub const OPENING: usize = 8;

/// What is tried, in this order.
const SIZES: [usize; 6] = [2, 4, 8, 16, 32, 64];

/// A larger batch must bring this many times the pictures a second.
const GAIN: f64 = 1.05;

/// Share of a run's time that the trial may take.
const SHARE_OF_RUN: f64 = 0.02;

/// Fewer images are labeled with the usual batch: the trial would cost more than it brings.
const LEAST_IMAGES: u64 = 1000;

/// A size is timed again until so much time was measured, [`MOST_REPEATS`] times at most.
const TIMED_FOR: Duration = Duration::from_millis(50);
const MOST_REPEATS: u32 = 3;

/// Whether a model's batch is what was asked for or is to be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sizing {
    /// It is what was asked for.
    #[default]
    Asked,
    /// By memory and measured throughput, before the first picture of a run.
    Measured,
}

/// The batch that was chosen for models, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchChoice {
    /// Their names.
    pub models: Vec<String>,
    /// Pictures a run of each.
    pub batch: usize,
    /// Why, in words a person reads.
    pub why: String,
}

impl BatchChoice {
    /// Adds the choice to others: models that got the same for the same reason stand together, each
    /// once.
    pub fn add_to(self, choices: &mut Vec<Self>) {
        let same = choices
            .iter_mut()
            .find(|choice| choice.batch == self.batch && choice.why == self.why);
        match same {
            None => choices.push(self),
            Some(same) => {
                let new = self.models.into_iter().filter(|model| !same.models.contains(model));
                let new: Vec<String> = new.collect();
                same.models.extend(new);
            }
        }
    }
}

impl fmt::Display for BatchChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} ({})", self.batch, self.models.join(", "), self.why)
    }
}

/// The batch where nothing is tried.
pub(super) fn usual(device: Device) -> usize {
    match device {
        Device::Cpu | Device::Auto => 8,
        Device::Cuda(_) | Device::TensorRt(_) => 32,
    }
}

/// Chooses for a run over `images` pictures on `device`; `run` runs a batch of made-up squares of
/// `square_bytes` bytes, given with their rows.
pub(super) fn choose_by_made_up(
    model: &str,
    device: Device,
    images: u64,
    square_bytes: usize,
    mut run: impl FnMut(&[(usize, &[u8])]) -> Result<(), ModelError>,
) -> Result<BatchChoice, ModelError> {
    let squares = check::made_up_squares(square_bytes);
    choose(model, device, images, &mut |batch| {
        let part: Vec<(usize, &[u8])> = (0..batch)
            .map(|row| (row, squares[row % squares.len()].as_slice()))
            .collect();
        let started = Instant::now();
        run(&part).map(|()| started.elapsed())
    })
}

/// Chooses for a run over `images` pictures on `device`; `run` runs a batch and says how long it took.
fn choose(
    model: &str,
    device: Device,
    images: u64,
    run: &mut dyn FnMut(usize) -> Result<Duration, ModelError>,
) -> Result<BatchChoice, ModelError> {
    let (batch, why) = if images < LEAST_IMAGES {
        let why = format!("the usual size: {images} images are too few to try others");
        (usual(device), why)
    } else {
        let trial = Trial {
            images: images as f64,
            usual: usual(device),
            free: &|| free_bytes(device),
            tried: Vec::new(),
            spent_secs: 0.0,
        };
        trial.choose(run)?
    };
    Ok(BatchChoice {
        models: vec![model.to_owned()],
        batch,
        why,
    })
}

/// Why no larger batch was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Larger ones bring no more, or there are none.
    Saturated,
    /// They would need more memory than is there.
    Memory,
    /// The trial would take too much of the run.
    Time,
}

struct Trial<'a> {
    images: f64,
    usual: usize,
    free: &'a dyn Fn() -> Option<u64>,
    /// Sizes and pictures a second.
    tried: Vec<(usize, f64)>,
    spent_secs: f64,
}

impl Trial<'_> {
    fn choose(
        mut self,
        run: &mut dyn FnMut(usize) -> Result<Duration, ModelError>,
    ) -> Result<(usize, String), ModelError> {
        let free_before = (self.free)();
        let mut end = End::Saturated;
        for size in SIZES {
            if let Some(reason) = self.reason_to_end(size) {
                end = reason;
                break;
            }
            match self.time(size, run) {
                Ok(pictures_a_second) => self.tried.push((size, pictures_a_second)),
                Err(error) if error.is_out_of_memory() && !self.tried.is_empty() => {
                    end = End::Memory;
                    break;
                }
                Err(error) => return Err(error),
            }
            if twice_is_too_much(free_before, (self.free)()) {
                end = End::Memory;
                break;
            }
        }
        Ok(self.conclude(end))
    }

    /// The fastest of those that were tried, of nearly equal ones the smallest.
    fn best(&self) -> Option<(usize, f64)> {
        let fastest = self.tried.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        self.tried.iter().copied().find(|(_, rate)| rate * GAIN >= fastest)
    }

    fn reason_to_end(&self, size: usize) -> Option<End> {
        let (best, rate) = self.best()?;
        // Two larger ones brought nothing; one could be a disturbance.
        if size > 4 * best {
            return Some(End::Saturated);
        }
        let costs = 2.0 * size as f64 / rate;
        let allowed = SHARE_OF_RUN * self.images / rate;
        (self.spent_secs + costs > allowed).then_some(End::Time)
    }

    /// Pictures a second: one run to get memory and kernels ready, then the fastest of some.
    fn time(
        &mut self,
        size: usize,
        run: &mut dyn FnMut(usize) -> Result<Duration, ModelError>,
    ) -> Result<f64, ModelError> {
        self.spent_secs += run(size)?.as_secs_f64();
        let (mut fastest, mut timed) = (Duration::MAX, Duration::ZERO);
        for _ in 0..MOST_REPEATS {
            let took = run(size)?;
            fastest = fastest.min(took);
            timed += took;
            if timed >= TIMED_FOR {
                break;
            }
        }
        self.spent_secs += timed.as_secs_f64();
        Ok(size as f64 / fastest.as_secs_f64().max(1e-9))
    }

    fn conclude(&self, end: End) -> (usize, String) {
        let measured = self.best().map_or(self.usual, |(size, _)| size);
        // Where the time was over before it ceased to grow, the usual size is the better guess.
        let batch = if end == End::Time {
            measured.max(self.usual)
        } else {
            measured
        };
        let rates: Vec<String> = self
            .tried
            .iter()
            .map(|(size, rate)| format!("{rate:.1} at {size}"))
            .collect();
        let rest = match end {
            End::Saturated => "",
            End::Memory => "; larger ones need more memory than is there",
            End::Time => "; trying larger ones would take too much of this run",
        };
        (batch, format!("images/s: {}{rest}", rates.join(", ")))
    }
}

/// Whether twice what was taken so far would be more than half of what was free.
fn twice_is_too_much(before: Option<u64>, now: Option<u64>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => before.saturating_sub(now).saturating_mul(2) > before / 2,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Chooses with a device whose run of a batch takes `secs`.
    fn chosen(images: u64, secs: impl Fn(usize) -> f64, free: &dyn Fn() -> Option<u64>) -> (usize, String, Vec<usize>) {
        let mut seen = Vec::new();
        let trial = Trial {
            images: images as f64,
            usual: 8,
            free,
            tried: Vec::new(),
            spent_secs: 0.0,
        };
        let (batch, why) = trial
            .choose(&mut |size| {
                seen.push(size);
                Ok(Duration::from_secs_f64(secs(size)))
            })
            .unwrap();
        seen.dedup();
        (batch, why, seen)
    }

    #[test]
    fn the_smallest_batch_is_taken_beyond_which_nothing_is_gained() {
        // A second a run and a tenth a picture: it grows to the end.
        let (batch, why, tried) = chosen(100_000, |size| 1.0 + size as f64 / 10.0, &|| None);
        assert_eq!((batch, tried.len()), (64, 6), "{why}");
        // Costs of the pictures alone: two more are tried, then it ends.
        let (batch, why, tried) = chosen(100_000, |size| size as f64 / 10.0, &|| None);
        assert_eq!((batch, tried), (2, vec![2, 4, 8]), "{why}");
        assert_eq!(why, "images/s: 10.0 at 2, 10.0 at 4, 10.0 at 8");
        // A batch that outgrows a cache.
        let slower = |size: usize| size as f64 * if size > 8 { 0.2 } else { 0.1 } + 0.2;
        assert_eq!(chosen(100_000, slower, &|| None).0, 8);
    }

    #[test]
    fn the_trial_takes_a_small_share_of_the_run() {
        let spent = Cell::new(0.0);
        let secs = |size: usize| {
            let secs = 1.0 + size as f64 / 10.0;
            spent.set(spent.get() + secs);
            secs
        };
        let (batch, why, tried) = chosen(2000, secs, &|| None);
        // 2,000 images at the best rate that was seen take some hundreds of seconds.
        assert!(
            spent.get() < 0.03 * 2000.0 * 0.35,
            "{} s for {tried:?}: {why}",
            spent.get()
        );
        assert!(
            batch >= 8 && why.contains("too much of this run"),
            "not below the usual size, as it still grew: {why}"
        );
    }

    #[test]
    fn memory_ends_the_trial() {
        // 100 units are free, and a batch takes one a picture.
        let free = Cell::new(100_u64);
        let secs = |size: usize| {
            free.set(100 - size as u64);
            1.0 + size as f64 / 100.0
        };
        let (batch, why, _) = chosen(100_000, secs, &|| Some(free.get()));
        assert_eq!(batch, 32, "{why}");
        assert!(why.contains("more memory than is there"), "{why}");

        let out_of_memory = |size: usize| {
            if size > 4 {
                let (graph, source) = ("g".to_owned(), "no more".into());
                return Err(ModelError::OutOfMemory { graph, source });
            }
            Ok(Duration::from_secs_f64(1.0 + size as f64 / 100.0))
        };
        let choice = choose("m", Device::Cpu, 100_000, &mut { out_of_memory }).unwrap();
        assert_eq!(choice.batch, 4, "{choice}");
        let error = choose("m", Device::Cpu, 100_000, &mut |_| out_of_memory(64)).unwrap_err();
        assert!(error.is_out_of_memory(), "not even the smallest fits");
    }

    #[test]
    fn few_images_are_labeled_with_the_usual_batch_and_nothing_is_run() {
        let mut never = |_: usize| panic!("nothing is tried");
        for (device, usual) in [(Device::Cpu, 8), (Device::Cuda(0), 32)] {
            let choice = choose("m", device, 200, &mut never).unwrap();
            assert_eq!(choice.batch, usual);
            assert!(choice.to_string().contains("200 images are too few"), "{choice}");
        }
    }

    #[test]
    fn models_with_the_same_choice_are_told_in_one_line() {
        let mut choices = Vec::new();
        for (model, batch) in [("a", 8), ("b", 8), ("a", 8), ("c", 16)] {
            let (models, why) = (vec![model.to_owned()], "why".to_owned());
            BatchChoice { models, batch, why }.add_to(&mut choices);
        }
        let told: Vec<String> = choices.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["8 for a, b (why)", "16 for c (why)"]);
    }
}
