//! The two traits behind which a runtime hides: one that loads graphs, one that runs a loaded graph.

use std::path::{Path, PathBuf};

use super::device::{ChosenDevice, Device};
use super::error::ModelError;
use super::provider_options::ProviderOptions;
use super::tensor::{Input, Output, Place, Tensor, TensorInfo};

/// A graph's bytes, or where they are (a file may have external data beside it).
#[derive(Debug, Clone, Copy)]
pub enum Graph<'a> {
    /// A file.
    File(&'a Path),
    /// Bytes in memory.
    Memory(&'a [u8]),
    /// Bytes in memory, and the folder of the weights that are in files of their own.
    MemoryBeside(&'a [u8], &'a Path),
}

/// Whether nodes that the device cannot run may run on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CpuFallback {
    /// No: such a graph is an error, so that nobody waits for a GPU that does nothing.
    #[default]
    Refuse,
    /// Yes.
    Allow,
}

/// Arithmetic that a device may use in place of the graph's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// As the graph says.
    #[default]
    Graph,
    /// 16-bit floats where the device gains by it (TensorRT).
    Float16,
}

/// How a graph is to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Where it runs. `Auto` is resolved by [`Runtime::choose`].
    pub device: Device,
    /// Threads that work on one run on the CPU, the caller's included.
    pub threads: usize,
    /// Inputs whose shape never changes during a run: name and lengths. TensorRT builds its
    /// engine for exactly these.
    pub fixed_inputs: Vec<(String, Vec<usize>)>,
    /// Folder in which TensorRT keeps built engines and timings; none: built anew each time.
    pub engine_cache: Option<PathBuf>,
    /// Arithmetic.
    pub precision: Precision,
    /// Nodes that the device cannot run.
    pub cpu_fallback: CpuFallback,
    /// Options of the device's provider.
    pub providers: ProviderOptions,
}

impl SessionOptions {
    /// Options for `device` with `threads` threads (at least one) and every default.
    pub fn new(device: Device, threads: usize) -> Self {
        Self {
            device,
            threads: threads.max(1),
            fixed_inputs: Vec::new(),
            engine_cache: None,
            precision: Precision::default(),
            cpu_fallback: CpuFallback::default(),
            providers: ProviderOptions::default(),
        }
    }
}

/// Something that loads graphs.
pub trait Runtime: Send + Sync {
    /// Name and version, for people.
    fn describe(&self) -> String;

    /// Resolves `Auto` and checks that a named device can be had. The answer never says `Auto`.
    fn choose(&self, device: Device) -> Result<ChosenDevice, ModelError>;

    /// What the engines that a device builds depend on beside the graph: versions and the card.
    fn engine_key(&self, _device: Device) -> String {
        self.describe()
    }

    /// Loads a graph; `name` is how errors call it (`model/file`).
    fn load(&self, name: &str, graph: Graph<'_>, options: &SessionOptions) -> Result<Box<dyn Session>, ModelError>;
}

/// A loaded graph.
pub trait Session: Send {
    /// The inputs that the graph declares, in its order.
    fn inputs(&self) -> &[TensorInfo];

    /// The outputs that the graph declares, in its order.
    fn outputs(&self) -> &[TensorInfo];

    /// Runs the graph once: named inputs in, the named outputs back in the order asked for.
    fn run(&mut self, inputs: &[(&str, Input<'_>)], outputs: &[(&str, Place)]) -> Result<Vec<Output>, ModelError>;

    /// Runs the graph on host tensors and gives one output in host memory.
    fn run_one(&mut self, inputs: &[(&str, &Tensor)], output: &str) -> Result<Tensor, ModelError> {
        let inputs: Vec<(&str, Input<'_>)> = inputs
            .iter()
            .map(|&(name, tensor)| (name, Input::Host(tensor)))
            .collect();
        match self.run(&inputs, &[(output, Place::Host)])?.pop() {
            Some(Output::Host(tensor)) => Ok(tensor),
            Some(Output::Device(_)) | None => Err(ModelError::Run {
                graph: output.to_owned(),
                source: "the runtime gave no tensor in host memory".into(),
            }),
        }
    }
}
