//! Why a picture failed: the kinds that users filter by, and the sentence that tells a person
//! what happened.

/// The kind of a failure, written to `error_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The file has no bytes.
    Empty,
    /// The file could not be opened or read.
    Unreadable,
    /// The content is no image at all.
    NotAnImage,
    /// An image, in a format or variant that this build cannot decode.
    UnsupportedFormat,
    /// The header claims more pixels or bytes than the limits allow.
    TooLarge,
    /// The file ends early.
    Truncated,
    /// The content contradicts its format.
    Corrupt,
    /// A decoder panicked; the picture is a failed row and the run goes on.
    Panic,
    /// A model failed on this picture.
    Model,
    /// Size or modification time changed while the file was read.
    ChangedWhileRead,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Empty,
        Self::Unreadable,
        Self::NotAnImage,
        Self::UnsupportedFormat,
        Self::TooLarge,
        Self::Truncated,
        Self::Corrupt,
        Self::Panic,
        Self::Model,
        Self::ChangedWhileRead,
    ];

    /// The name written to Parquet.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Unreadable => "unreadable",
            Self::NotAnImage => "not_an_image",
            Self::UnsupportedFormat => "unsupported_format",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::Panic => "panic",
            Self::Model => "model",
            Self::ChangedWhileRead => "changed_while_read",
        }
    }
}

/// One failure: its kind, and what happened in words (lower case, no final stop).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What users filter by.
    pub kind: ErrorKind,
    /// What failed and what to do.
    pub message: String,
}

impl Failure {
    /// A failure of `kind` with its sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl std::error::Error for Failure {}
