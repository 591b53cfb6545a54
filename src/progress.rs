//! What a person sees while a run goes on: a bar on a terminal, plain lines without one, nothing
//! when asked to be quiet.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Seconds between two plain lines.
const LINE_EVERY_SECS: u64 = 10;

/// Somebody who is told how far a run is.
pub trait Progress: Send + Sync {
    /// Something that comes before the work has so many of its pieces done.
    fn step(&self, what: &str, done: u64, total: u64);
    /// The work is known: this many images.
    fn start(&self, images: u64);
    /// So many more images are done, so many of them failed.
    fn advance(&self, images: u64, failed: u64);
    /// Where the time goes, in a few words.
    fn bottleneck(&self, words: &str);
    /// Something worth a line of its own.
    fn say(&self, line: &str);
    /// The run is over.
    fn finish(&self);
}

/// The progress that fits: hidden when `quiet`, a bar on a terminal, lines elsewhere.
pub fn choose(quiet: bool, no_bar: bool) -> Box<dyn Progress> {
    if quiet {
        Box::new(Hidden)
    } else if std::io::stderr().is_terminal() && !no_bar {
        Box::new(Bar::default())
    } else {
        Box::new(Lines::default())
    }
}

/// Says nothing.
pub struct Hidden;

impl Progress for Hidden {
    fn step(&self, _what: &str, _done: u64, _total: u64) {}
    fn start(&self, _images: u64) {}
    fn advance(&self, _images: u64, _failed: u64) {}
    fn bottleneck(&self, _words: &str) {}
    fn say(&self, _line: &str) {}
    fn finish(&self) {}
}

/// A bar with images/s, time left, failures and where the time goes.
pub struct Bar {
    bar: ProgressBar,
    failed: AtomicU64,
    words: Mutex<String>,
}

impl Default for Bar {
    fn default() -> Self {
        let bar = ProgressBar::no_length();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            failed: AtomicU64::new(0),
            words: Mutex::default(),
        }
    }
}

impl Bar {
    fn show(&self) {
        let failed = self.failed.load(Ordering::Relaxed);
        let words = self.words.lock().map(|words| words.clone()).unwrap_or_default();
        self.bar.set_message(format!("{failed} failed  {words}"));
    }
}

impl Progress for Bar {
    fn step(&self, what: &str, done: u64, total: u64) {
        let style = ProgressStyle::with_template("{msg}  {wide_bar} {human_pos}/{human_len}  {eta} left")
            .expect("the template is well formed");
        if self.bar.message() != what {
            self.bar.set_style(style);
            self.bar.set_message(what.to_owned());
            self.bar.reset_eta();
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn start(&self, images: u64) {
        let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len}  {per_sec}  {eta} left  {msg}")
            .expect("the template is well formed");
        self.bar.set_style(style);
        self.bar.set_message("");
        self.bar.set_length(images);
        self.bar.set_position(0);
        self.bar.reset_eta();
    }

    fn advance(&self, images: u64, failed: u64) {
        self.failed.fetch_add(failed, Ordering::Relaxed);
        self.bar.inc(images);
        self.show();
    }

    fn bottleneck(&self, words: &str) {
        if let Ok(mut shown) = self.words.lock() {
            words.clone_into(&mut shown);
        }
        self.show();
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| tracing::info!("{line}"));
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A log line now and then.
pub struct Lines {
    total: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    state: Mutex<LineState>,
}

struct LineState {
    started: Instant,
    last: Instant,
    words: String,
}

impl Default for Lines {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            state: Mutex::new(LineState {
                started: now,
                last: now,
                words: String::new(),
            }),
        }
    }
}

impl Progress for Lines {
    fn step(&self, what: &str, done: u64, total: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        if state.last.elapsed().as_secs() >= LINE_EVERY_SECS {
            state.last = Instant::now();
            tracing::info!(done, total, "{what}");
        }
    }

    fn start(&self, images: u64) {
        self.total.store(images, Ordering::Relaxed);
        if let Ok(mut state) = self.state.lock() {
            state.started = Instant::now();
            state.last = state.started;
        }
    }

    fn advance(&self, images: u64, failed: u64) {
        let done = self.done.fetch_add(images, Ordering::Relaxed) + images;
        let failed = self.failed.fetch_add(failed, Ordering::Relaxed) + failed;
        let Ok(mut state) = self.state.lock() else { return };
        if state.last.elapsed().as_secs() < LINE_EVERY_SECS {
            return;
        }
        state.last = Instant::now();
        let total = self.total.load(Ordering::Relaxed);
        let rate = done as f64 / state.started.elapsed().as_secs_f64().max(1e-9);
        let left_secs = (total.saturating_sub(done)) as f64 / rate.max(1e-9);
        let (images_per_sec, time_left) = (
            format!("{rate:.1}"),
            human_duration(Duration::from_secs_f64(left_secs.min(1e9))),
        );
        tracing::info!(
            done,
            total,
            failed,
            images_per_sec,
            time_left,
            time_goes_to = state.words,
            "progress"
        );
    }

    fn bottleneck(&self, words: &str) {
        if let Ok(mut state) = self.state.lock() {
            words.clone_into(&mut state.words);
        }
    }

    fn say(&self, line: &str) {
        tracing::info!("{line}");
    }

    fn finish(&self) {}
}

/// A duration as people say it: `8.4 s`, `3 min 20 s`, `2 h 5 min`.
pub fn human_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{secs} s"),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
    }
}

/// A number of bytes as people say it.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}
