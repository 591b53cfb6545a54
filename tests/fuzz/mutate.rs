//! A mutation fuzzer without instrumentation: inputs that make a target go another way than any
//! before (other notes, other entries) are mutated further. A panic, or one input that takes
//! longer than [`SLOW_AFTER`], ends the run and leaves the input in `crashes/`.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest input.
const MAX_BYTES: usize = 64 << 10;

/// Inputs that are kept for further mutation.
const MAX_CORPUS: usize = 2048;

/// Time for one input, after which it counts as a finding: a thousand times the usual.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Numbers at which code that counts goes wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    4,
    7,
    8,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    u64::MAX,
];

/// Runs a target for `LABELMILL_FUZZ_SECS` seconds (20 where it is not set), with the generator
/// seeded by `LABELMILL_FUZZ_SEED` (1). `words` are bytes that the format knows.
pub fn run(name: &'static str, seeds: Vec<Vec<u8>>, words: &[&[u8]], target: super::Target) {
    let number = |variable, default| {
        std::env::var(variable)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let seconds = Duration::from_secs(number("LABELMILL_FUZZ_SECS", 20));
    let mut random = Random(number("LABELMILL_FUZZ_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let watch = Watch::start(name);
    let mut ways = HashSet::new();
    for seed in &seeds {
        ways.extend(watch.tried(seed, target));
    }
    let (mut corpus, mut count, started) = (seeds, 0_u64, Instant::now());
    while started.elapsed() < seconds {
        let input = mutated(&corpus, words, &mut random);
        count += 1;
        let known = ways.len();
        ways.extend(watch.tried(&input, target));
        if ways.len() > known {
            let at = if corpus.len() < MAX_CORPUS {
                corpus.len()
            } else {
                random.below(MAX_CORPUS)
            };
            corpus.resize(corpus.len().max(at + 1), Vec::new());
            corpus[at] = input;
        }
    }
    println!("{name}: {count} inputs, {} ways, no finding", ways.len());
}

/// The input under way, and when it began.
type Trial = (Instant, Vec<u8>);

/// Tries inputs, and keeps the one that panics or takes too long.
struct Watch {
    name: &'static str,
    /// Empty between two inputs; the watching thread ends the process over one that hangs.
    current: Arc<Mutex<Option<Trial>>>,
}

impl Watch {
    fn start(name: &'static str) -> Self {
        let current: Arc<Mutex<Option<Trial>>> = Arc::default();
        let watched = Arc::clone(&current);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(SLOW_AFTER);
                let state = watched.lock().unwrap();
                if let Some((_, input)) = state.as_ref().filter(|(began, _)| began.elapsed() > SLOW_AFTER * 30) {
                    println!("{name}: still not done with {}", keep(name, input).display());
                    std::process::exit(1);
                }
            }
        });
        Self { name, current }
    }

    /// Tries an input. One that takes too long is tried again by the time of the processor: a busy
    /// machine stops a process for seconds.
    fn tried(&self, input: &[u8], target: super::Target) -> Vec<u64> {
        let (ways, took) = self.tried_once(input, target);
        if took <= SLOW_AFTER {
            return ways;
        }
        let before = processor_time();
        let (ways, took) = self.tried_once(input, target);
        let took = before
            .zip(processor_time())
            .map_or(took, |(before, after)| after.saturating_sub(before));
        let name = self.name;
        assert!(
            took <= SLOW_AFTER,
            "{name}: {took:?} for {}",
            keep(name, input).display()
        );
        ways
    }

    fn tried_once(&self, input: &[u8], target: super::Target) -> (Vec<u64>, Duration) {
        let began = Instant::now();
        *self.current.lock().unwrap() = Some((began, input.to_vec()));
        let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
        *self.current.lock().unwrap() = None;
        let name = self.name;
        let Ok(ways) = outcome else {
            panic!("{name}: panicked on {}", keep(name, input).display())
        };
        (ways, began.elapsed())
    }
}

/// How long this thread has run; none where the system does not say.
fn processor_time() -> Option<Duration> {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    said.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Writes a finding to `crashes/`.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fuzz/crashes/{name}-{hash:016x}"));
    std::fs::write(&path, input).expect("the folder of the crashes can be written");
    path
}

/// One to eight changes to one input of the corpus.
fn mutated(corpus: &[Vec<u8>], words: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let length = random.length(input.len() - at);
        match random.below(10) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 | 3 => put_number(&mut input, at, random),
            4 => drop(input.drain(at..at + length)),
            5 => {
                let copy = input[at..at + length].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, copy);
            }
            6 => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len() + 1);
                let taken = random.length(other.len() - from);
                input.splice(at..at + length, other[from..from + taken].iter().copied());
            }
            7 => input.truncate(at),
            8 => {
                let filling = vec![random.next() as u8; random.length(4096)];
                input.splice(at..at, filling);
            }
            _ if !words.is_empty() => {
                let word = words[random.below(words.len())];
                let end = if random.below(2) == 0 {
                    at
                } else {
                    (at + word.len()).min(input.len())
                };
                input.splice(at..end, word.iter().copied());
            }
            _ => {}
        }
    }
    input.truncate(MAX_BYTES);
    input
}

/// Writes a number of 1 to 8 bytes in either order: an edge, or one near the length of the rest.
fn put_number(input: &mut [u8], at: usize, random: &mut Random) {
    let width = 1 << random.below(4);
    let Some(place) = input.get_mut(at..at + width) else {
        return;
    };
    let number = match random.below(3) {
        0 => EDGES[random.below(EDGES.len())],
        1 => random.next() >> random.below(64),
        _ => (random.below(64) as u64).wrapping_sub(32),
    };
    let bytes = number.to_be_bytes();
    place.copy_from_slice(&bytes[8 - width..]);
    if random.below(2) == 0 {
        place.reverse();
    }
}

/// xorshift64*: small, seeded, good enough to choose where to break something.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 where that is 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    /// A length up to `most`, mostly a short one.
    fn length(&mut self, most: usize) -> usize {
        let most = if self.below(4) == 0 { most } else { most.min(16) };
        self.below(most + 1)
    }
}
