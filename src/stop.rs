//! The wish to end early: a signal, a time limit, a number of images, or a stage that failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// Shared by all stages; cheap to ask.
#[derive(Debug, Clone)]
pub struct Stop {
    signal: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

/// Why a run ended before its work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A signal of this number.
    Signal(i32),
    /// The time limit.
    Deadline,
    /// A stage failed.
    Failed,
}

impl Stop {
    /// Nothing asks for an end but a stage that fails, or `deadline`.
    pub fn new(deadline: Option<Instant>) -> Self {
        Self {
            signal: Arc::default(),
            failed: Arc::default(),
            deadline,
        }
    }

    /// Also ends on SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        for signal in [SIGINT, SIGTERM] {
            let asked_before = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked_before.clone())?;
            signal_hook::flag::register(signal, asked_before)?;
            signal_hook::flag::register_usize(signal, self.signal.clone(), signal as usize)?;
        }
        Ok(())
    }

    /// A stage says that going on is of no use.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Why the run should end, if it should.
    pub fn reason(&self) -> Option<StopReason> {
        match self.signal.load(Ordering::Relaxed) {
            0 if self.failed.load(Ordering::Relaxed) => Some(StopReason::Failed),
            0 if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) => Some(StopReason::Deadline),
            0 => None,
            signal => Some(StopReason::Signal(signal as i32)),
        }
    }

    /// Whether the run should end.
    pub fn is_asked(&self) -> bool {
        self.reason().is_some()
    }
}
