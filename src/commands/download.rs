//! What a person sees while models are pulled: a bar on a terminal, a line a file without one.

use std::cell::Cell;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::MessageArgs;
use crate::model::pull::PullProgress;
use crate::progress::human_bytes;

/// How far a pull is, on stderr.
pub struct Download {
    bar: ProgressBar,
    has_bar: bool,
    quiet: bool,
    /// Whether the file that is pulled was named already.
    is_named: Cell<bool>,
}

impl Download {
    /// A bar where stderr is a terminal and nobody said otherwise.
    pub fn new(messages: &MessageArgs) -> Self {
        let has_bar = std::io::stderr().is_terminal() && !messages.no_progress && !messages.quiet;
        let bar = if has_bar {
            ProgressBar::no_length()
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            has_bar,
            quiet: messages.quiet,
            is_named: Cell::new(false),
        }
    }
}

impl PullProgress for Download {
    fn begin(&self, file: &str, here: u64, size: Option<u64>) {
        let template = if size.is_some() {
            "{msg}  {wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left"
        } else {
            "{msg}  {spinner} {bytes}  {bytes_per_sec}"
        };
        self.bar
            .set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
        self.bar.set_message(file.to_owned());
        if let Some(size) = size {
            self.bar.set_length(size);
        }
        self.bar.set_position(here);
        self.bar.reset_eta();
        if !self.has_bar && !self.quiet && !self.is_named.replace(true) {
            let size = size.map_or_else(|| "size unknown".to_owned(), human_bytes);
            let gone_on = if here > 0 {
                format!(", going on at {}", human_bytes(here))
            } else {
                String::new()
            };
            tracing::info!("pulling {file} ({size}{gone_on})");
        }
    }

    fn advance(&self, here: u64) {
        self.bar.set_position(here);
    }

    fn end(&self) {
        self.is_named.set(false);
        self.bar.set_position(0);
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            self.bar.suspend(|| tracing::info!("{line}"));
        }
    }
}
