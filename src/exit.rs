//! Exit statuses: all of them, in one place. The README repeats this table and a test compares.

use std::process::ExitCode;

/// How the program ended, as the shell and cron see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, also with failed rows, and when `--max-duration` or `--max-images` ended the run.
    Done,
    /// Failed: nothing more could be done.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Done, but more inputs failed than `max_failed` allows.
    TooManyFailed,
    /// Another run holds the lock of the dataset.
    Locked,
    /// Ended by SIGINT; all finished work is committed.
    Interrupted,
    /// Ended by SIGTERM; all finished work is committed.
    Terminated,
}

impl ExitStatus {
    /// Every status with its number and meaning, in the order of the README's table.
    pub const TABLE: [(Self, &'static str); 7] = [
        (
            Self::Done,
            "done, also with failed rows, or ended by --max-duration or --max-images",
        ),
        (Self::Failed, "failed"),
        (Self::Usage, "wrong command line or configuration"),
        (
            Self::TooManyFailed,
            "done, but more inputs failed than max_failed allows",
        ),
        (Self::Locked, "another run holds the lock of the dataset"),
        (Self::Interrupted, "interrupted (SIGINT), finished work committed"),
        (Self::Terminated, "terminated (SIGTERM), finished work committed"),
    ];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::TooManyFailed => 3,
            Self::Locked => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// The command line or the configuration is wrong: exit 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl UsageError {
    /// A usage error as an `anyhow` error.
    pub fn error(message: impl Into<String>) -> anyhow::Error {
        Self(message.into()).into()
    }
}
