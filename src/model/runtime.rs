//! ONNX Runtime: this file and its folder alone name its binding. Inside, results are the binding's; they
//! become ours once, at the edge of each public function.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use ort::ep;
use ort::ep::ExecutionProvider as _;
use ort::session::SessionInputValue;
use ort::value::TensorRef;

use super::device::{ChosenDevice, Device};
use super::error::ModelError;
use super::find_onnxruntime::{Found, Search, SearchReport, SearchStep, StepOutcome, Tried};
use super::gpu::{self, GpuFacts};
use super::session::{Graph, Runtime, Session, SessionOptions};
use super::tensor::{DeviceTensor, Input, Output, Place, TensorInfo};

mod providers;
mod values;

use providers::session_builder;
use values::{describe, device_value, host_tensor, input_value, memory_of, owned_value};

/// The loaded library. There is one for a process, for ever: it cannot be unloaded.
pub struct OnnxRuntime {
    environment: ort::environment::Environment,
    path: PathBuf,
    version: String,
    report: SearchReport,
    gpu: OnceLock<GpuFacts>,
}

static LOADED: Mutex<Option<&'static OnnxRuntime>> = Mutex::new(None);

impl OnnxRuntime {
    /// Loads the first good library of the search. Call it on the main thread before any worker:
    /// a failure inside the binding on another thread would hide its cause. Later calls give the
    /// library that is already loaded, whatever they search for.
    ///
    /// # Errors
    /// `RuntimeNotFound` with every place that was looked at. A library that was named by flag or
    /// environment and cannot be loaded ends the search: nothing else is used in its place.
    pub fn load(search: &Search) -> Result<&'static Self, ModelError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = *loaded {
            return Ok(runtime);
        }
        let mut report = SearchReport::default();
        for (step, found) in search.steps() {
            let path = match found {
                Found::Library(path) => path,
                Found::Nothing(looked) => {
                    report.tried.push(Tried {
                        step,
                        library: None,
                        outcome: StepOutcome::NotThere(looked),
                    });
                    continue;
                }
            };
            let builder = match ort::init_from(&path) {
                Ok(builder) => builder,
                Err(error) => {
                    report.tried.push(tried_in_vain(step, path, &error));
                    if matches!(step, SearchStep::Flag | SearchStep::Environment) {
                        break;
                    }
                    continue;
                }
            };
            let environment = builder
                .with_name("labelmill")
                .with_telemetry(false)
                .with_logger(Arc::new(log))
                .build();
            let environment = environment.map_err(|source| ModelError::RuntimeStart {
                path: path.clone(),
                source: Box::new(source),
            })?;
            environment.set_log_level(ort::logging::LogLevel::Warning);
            let version = version_of(&path);
            let outcome = StepOutcome::Loaded(version.clone());
            report.tried.push(Tried {
                step,
                library: Some(path.clone()),
                outcome,
            });
            let runtime: &'static Self = Box::leak(Box::new(Self {
                environment,
                path,
                version,
                report,
                gpu: OnceLock::new(),
            }));
            *loaded = Some(runtime);
            return Ok(runtime);
        }
        Err(ModelError::RuntimeNotFound(report))
    }

    /// The library's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library's version, `unknown` where neither its file name nor its build says so.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it was looked for, for `doctor`.
    pub fn report(&self) -> &SearchReport {
        &self.report
    }

    /// What this machine has for NVIDIA devices; looked up once.
    pub fn gpu(&self) -> &GpuFacts {
        self.gpu.get_or_init(|| GpuFacts::gather(&self.path))
    }

    /// Names of the devices that this build of the library knows, whether or not one can be had.
    pub fn built_for(&self) -> Vec<&'static str> {
        let mut names = vec!["cpu"];
        if ep::CUDA::is_available().unwrap_or(false) {
            names.push("cuda");
        }
        if ep::TensorRT::is_available().unwrap_or(false) {
            names.push("tensorrt");
        }
        names
    }

    /// Why a device that this build knows cannot be had: the libraries that are missing and how to
    /// get them, or else what the library says.
    fn why_not(&self, device: Device, provider: &str, error: &ort::Error) -> String {
        let with_tensorrt = matches!(device, Device::TensorRt(_));
        let missing = self.gpu().missing(with_tensorrt);
        if missing.is_empty() {
            return format!("{provider} does not work here: {}", reason_of(error.message()));
        }
        format!("{provider} does not work here: {}", missing.join("; "))
    }

    /// Loads what pip put beside this library (CUDA, cuDNN, TensorRT), which the system's loader
    /// would not find. What cannot be loaded shows when a device is tried.
    fn preload_packages(&self) {
        let beside = gpu::package_folders(&self.path);
        for library in self.gpu().libraries.iter().filter_map(|library| library.path.as_ref()) {
            if beside.iter().any(|folder| library.starts_with(folder))
                && let Err(error) = ort::util::preload_dylib(library)
            {
                tracing::debug!("{}: {error}", library.display());
            }
        }
    }

    /// Loads and runs a graph of one node on the device, the only sure proof that it can be had.
    fn probe(&self, device: Device) -> ort::Result<()> {
        static PRELOADED: Once = Once::new();
        PRELOADED.call_once(|| self.preload_packages());
        let options = SessionOptions::new(device, 1);
        let mut session = session_builder(&self.environment, &options)?.commit_from_memory(PROBE_GRAPH)?;
        let value = TensorRef::from_array_view(([1_usize], &[1.0_f32][..]))?;
        session.run(ort::inputs!["x" => value])?;
        Ok(())
    }
}

impl Runtime for OnnxRuntime {
    fn describe(&self) -> String {
        format!("ONNX Runtime {}", self.version)
    }

    fn engine_key(&self, device: Device) -> String {
        let facts = self.gpu();
        let number = match device {
            Device::Cuda(number) | Device::TensorRt(number) => number as usize,
            Device::Auto | Device::Cpu => 0,
        };
        let card = facts.cards.get(number).map_or("unknown", String::as_str);
        format!("ort{}-trt{}-{card}", self.version, facts.tensorrt_version())
    }

    fn choose(&self, device: Device) -> Result<ChosenDevice, ModelError> {
        let chosen = |device, reason: &str| ChosenDevice {
            device,
            reason: reason.to_owned(),
        };
        let (provider, built) = match device {
            Device::Cpu => return Ok(chosen(device, "as asked")),
            Device::Auto | Device::Cuda(_) => ("CUDA", ep::CUDA::is_available().unwrap_or(false)),
            Device::TensorRt(_) => ("TensorRT", ep::TensorRT::is_available().unwrap_or(false)),
        };
        if device == Device::Auto {
            if !built {
                return Ok(chosen(Device::Cpu, "this ONNX Runtime is built without CUDA"));
            }
            return Ok(match self.probe(Device::Cuda(0)) {
                Ok(()) => chosen(Device::Cuda(0), "CUDA works here"),
                Err(error) => chosen(Device::Cpu, &self.why_not(Device::Cuda(0), "CUDA", &error)),
            });
        }
        if !built {
            let reason = format!(
                "ONNX Runtime {} at {} is built without {provider}; scripts/fetch-onnxruntime --gpu gets one that has it",
                self.version,
                self.path.display()
            );
            return Err(ModelError::DeviceNotAvailable {
                device,
                reason,
                source: None,
            });
        }
        self.probe(device).map_err(|error| ModelError::DeviceNotAvailable {
            device,
            reason: self.why_not(device, provider, &error),
            source: Some(Box::new(error)),
        })?;
        Ok(chosen(device, "as asked"))
    }

    fn load(&self, name: &str, graph: Graph<'_>, options: &SessionOptions) -> Result<Box<dyn Session>, ModelError> {
        if let Graph::File(path) = graph
            && path.extension().is_none_or(|extension| extension != "onnx")
        {
            // The library takes other formats by their names, which nothing here has checked.
            let source = format!("{} is no .onnx file", path.display()).into();
            let graph = name.to_owned();
            return Err(ModelError::Load { graph, source });
        }
        let load = || -> ort::Result<ort::session::Session> {
            let mut builder = session_builder(&self.environment, options)?;
            match graph {
                Graph::File(path) => builder.commit_from_file(path),
                Graph::Memory(bytes) => builder.commit_from_memory(bytes),
                Graph::MemoryBeside(bytes, folder) => builder
                    .with_config_entry(WEIGHTS_FOLDER, folder.to_string_lossy())?
                    .commit_from_memory(bytes),
            }
        };
        let session = load().map_err(|source| edge(name, Doing::Loading, source))?;
        Ok(Box::new(OnnxSession {
            name: name.to_owned(),
            device: options.device,
            inputs: session.inputs().iter().map(describe).collect(),
            outputs: session.outputs().iter().map(describe).collect(),
            session,
        }))
    }
}

/// The library's key for the folder of weights beside a graph in memory.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// `y = Identity(x)` over one float, an ONNX file of IR version 8 and opset 13.
const PROBE_GRAPH: &[u8] = &[
    8, 8, 58, 55, 10, 16, 10, 1, 120, 18, 1, 121, 34, 8, 73, 100, 101, 110, 116, 105, 116, 121, 18, 1, 112, 90, 15, 10,
    1, 120, 18, 10, 10, 8, 8, 1, 18, 4, 10, 2, 8, 1, 98, 15, 10, 1, 121, 18, 10, 10, 8, 8, 1, 18, 4, 10, 2, 8, 1, 66,
    4, 10, 0, 16, 13,
];

struct OnnxSession {
    name: String,
    device: Device,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    session: ort::session::Session,
}

impl Session for OnnxSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(&str, Input<'_>)], outputs: &[(&str, Place)]) -> Result<Vec<Output>, ModelError> {
        let given = if outputs.iter().all(|(_, place)| *place == Place::Host) {
            self.run_to_host(inputs, outputs)
        } else {
            self.run_bound(inputs, outputs)
        };
        given.map_err(|source| edge(&self.name, Doing::Running, source))
    }
}

impl OnnxSession {
    fn run_to_host(&mut self, inputs: &[(&str, Input<'_>)], outputs: &[(&str, Place)]) -> ort::Result<Vec<Output>> {
        let values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = inputs
            .iter()
            .map(|(name, input)| Ok((Cow::Borrowed(*name), input_value(input)?)))
            .collect::<ort::Result<_>>()?;
        let given = self.session.run(values)?;
        let pick = |name: &str| {
            let value = given
                .get(name)
                .ok_or_else(|| ort::Error::new(format!("the graph has no output `{name}`")))?;
            host_tensor(value).map(Output::Host)
        };
        outputs.iter().map(|(name, _)| pick(name)).collect()
    }

    /// Through bindings, which leave an output where the graph makes it.
    fn run_bound(&mut self, inputs: &[(&str, Input<'_>)], outputs: &[(&str, Place)]) -> ort::Result<Vec<Output>> {
        let mut binding = self.session.create_binding()?;
        for (name, input) in inputs {
            match input {
                Input::Host(tensor) => binding.bind_input(*name, &owned_value(tensor)?)?,
                Input::Device(tensor) => binding.bind_input(*name, device_value(tensor)?)?,
            }
        }
        for (name, place) in outputs {
            let device = if *place == Place::Device {
                self.device
            } else {
                Device::Cpu
            };
            binding.bind_output_to_device(*name, &memory_of(device)?)?;
        }
        let mut given = self.session.run_binding(&binding)?;
        outputs
            .iter()
            .map(|(name, place)| {
                let value = given.remove(name);
                let value = value.ok_or_else(|| ort::Error::new(format!("the graph has no output `{name}`")))?;
                Ok(match place {
                    Place::Host => Output::Host(host_tensor(&value)?),
                    Place::Device => Output::Device(DeviceTensor(Box::new(value))),
                })
            })
            .collect()
    }
}

#[derive(Clone, Copy)]
enum Doing {
    Loading,
    Running,
}

/// What the library says when memory runs out; it has no code for it. In lower case, by its
/// allocators on the CPU and on CUDA.
const OUT_OF_MEMORY: [&str; 4] = [
    "failed to allocate memory",
    "out of memory",
    "bad_alloc",
    "out_of_memory",
];

/// The one place where the binding's errors become ours.
fn edge(graph: &str, doing: Doing, error: ort::Error) -> ModelError {
    let graph = graph.to_owned();
    let message = error.message().to_lowercase();
    let source = Box::new(error);
    if OUT_OF_MEMORY.iter().any(|words| message.contains(words)) {
        return ModelError::OutOfMemory { graph, source };
    }
    match doing {
        Doing::Loading => ModelError::Load { graph, source },
        Doing::Running => ModelError::Run { graph, source },
    }
}

fn tried_in_vain(step: SearchStep, path: PathBuf, error: &ort::LoadDynamicError) -> Tried {
    let (library, outcome) = match error {
        ort::LoadDynamicError::BadVersion { version_str, .. } => {
            let why = format!(
                "its version is {version_str}, at least 1.{} is needed",
                ort::MINOR_VERSION
            );
            (Some(path), StepOutcome::Refused(why))
        }
        ort::LoadDynamicError::Dlopen { .. } if step == SearchStep::SystemPath => {
            (None, StepOutcome::NotThere(format!("{} is not on it", path.display())))
        }
        other => (Some(path), StepOutcome::Refused(other.to_string())),
    };
    Tried { step, library, outcome }
}

/// The version by the library's file name (`libonnxruntime.so.1.32.0`, through links), else by
/// the branch that its build information names.
fn version_of(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = real
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let by_name = name
        .strip_prefix("libonnxruntime.so.")
        .filter(|version| version.contains('.'));
    let by_build = || {
        let branch = ort::info().split("git-branch=").nth(1)?;
        branch.split(',').next()?.strip_prefix("rel-").map(str::to_owned)
    };
    by_name
        .map(str::to_owned)
        .or_else(by_build)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// What happened, in one line, without the library's source location and status code in front
/// (`FILE:LINE FUNCTION [ONNXRuntimeError] : CODE : NAME : what happened`).
fn reason_of(message: &str) -> &str {
    let line = message.lines().next().unwrap_or(message);
    let told = line.split_once("[ONNXRuntimeError] : ").map_or(line, |(_, told)| told);
    told.splitn(3, " : ").nth(2).unwrap_or(told)
}

/// The library's own log, from warnings up, into ours.
fn log(level: ort::logging::LogLevel, _category: &str, _id: &str, _location: &str, message: &str) {
    use ort::logging::LogLevel;
    match level {
        LogLevel::Verbose | LogLevel::Info => {}
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(target: "onnxruntime", "{message}"),
    }
}

#[cfg(test)]
mod tests;
