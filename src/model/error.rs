//! What can go wrong with a model before or while it runs. The binding's own errors are kept as
//! sources and never turned into text.

use std::io;
use std::path::PathBuf;

use super::device::Device;
use super::find_onnxruntime::SearchReport;

/// An error of any kind, as a source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a model cannot be used, or failed while it ran.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No library was found, or none that could be loaded.
    #[error(
        "no usable ONNX Runtime found (1.24 or later): run scripts/fetch-onnxruntime, or pip install onnxruntime \
         into the active Python, or name the library with --onnxruntime PATH\n{0}"
    )]
    RuntimeNotFound(SearchReport),
    /// The library was loaded and then would not start.
    #[error("ONNX Runtime at {} does not start", path.display())]
    RuntimeStart {
        /// The library.
        path: PathBuf,
        /// What it says.
        source: BoxError,
    },
    /// A device was asked for by name and cannot be had.
    #[error("device {device} is not available: {reason}")]
    DeviceNotAvailable {
        /// What was asked for.
        device: Device,
        /// Why not, and what to do.
        reason: String,
        /// What the library says, where it was asked.
        source: Option<BoxError>,
    },
    /// A graph could not be read or prepared.
    #[error("cannot load the graph {graph}")]
    Load {
        /// `model/file`.
        graph: String,
        /// What the library says.
        source: BoxError,
    },
    /// A graph failed while it ran.
    #[error("the graph {graph} failed")]
    Run {
        /// `model/file`.
        graph: String,
        /// What the library says.
        source: BoxError,
    },
    /// A graph needed more memory than there is.
    #[error("the graph {graph} ran out of memory; try a smaller batch")]
    OutOfMemory {
        /// `model/file`.
        graph: String,
        /// What the library says.
        source: BoxError,
    },
    /// A device that gives other values than the CPU.
    #[error(
        "device {device} gives other values than the CPU for the graph {graph}: {message}; \
         use another device, or 32 bits (fp16 = false)"
    )]
    DeviceDiffers {
        /// `model/file`.
        graph: String,
        /// The device.
        device: Device,
        /// By how much.
        message: String,
    },
    /// A manifest that is not as it should be.
    #[error("{place}: {message}")]
    Manifest {
        /// The manifest's path, and line where known.
        place: String,
        /// Which key, and what is wrong with it.
        message: String,
    },
    /// No model of this name anywhere.
    #[error("there is no model `{name}`: looked in {}{}", searched.join(", "), nearest(nearest_name.as_deref()))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// Folders and sets that were searched, in order.
        searched: Vec<String>,
        /// The known name that is most like it.
        nearest_name: Option<String>,
    },
    /// The manifest is known, but a file that it names is not here.
    #[error("model `{model}` lacks its file {file}: {remedy}")]
    MissingFile {
        /// The model.
        model: String,
        /// The file as its manifest names it.
        file: String,
        /// What to run, or where to put it.
        remedy: String,
    },
    /// A model's file could not be read.
    #[error("cannot read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file differs from what the manifest pins, or from what was pulled first.
    #[error(
        "{file} of model `{model}` has SHA-256 {found}, and {wanted}; remove the file and run \
         `labelmill models pull {model}`"
    )]
    WrongHash {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Who says which SHA-256 it must have: `its manifest says …`.
        wanted: String,
        /// By the bytes.
        found: String,
    },
    /// A graph that could reach beyond itself; no runtime has seen it.
    #[error("{file} of model `{model}` is refused: {message}")]
    Refused {
        /// The model.
        model: String,
        /// The graph's file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// A label file that cannot be understood.
    #[error("label file {place}: {message}")]
    Labels {
        /// The file, and line where known.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A tokenizer that cannot be understood or refuses a text.
    #[error("tokenizer of model `{model}`")]
    Tokenizer {
        /// The model.
        model: String,
        /// What the tokenizer says.
        source: BoxError,
    },
    /// The graph is not what the manifest says (found by the check at start).
    #[error("model `{model}` is not as its manifest says: {message}")]
    Contract {
        /// The model.
        model: String,
        /// What differs, and what to change.
        message: String,
    },
}

/// The part of a message that names the nearest known name.
fn nearest(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

impl ModelError {
    /// Whether a smaller batch could help.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. })
    }

    /// The message with those of its sources, joined by colons: one line for a row's `error`.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text.replace('\n', " ")
    }
}
