//! A runtime without a library: waits a given time, gives known values. For tests of everything
//! round a model, and for measuring the pipeline with a device that uses no CPU.

use std::sync::Arc;
use std::time::Duration;

use super::device::{ChosenDevice, Device};
use super::error::ModelError;
use super::session::{Graph, Runtime, Session, SessionOptions};
use super::tensor::{DeviceTensor, Input, Output, Place, Tensor, TensorInfo};

/// Makes the outputs of one run from its host inputs: (inputs, name of the output) to tensor.
pub type Answer = dyn Fn(&[(&str, &Tensor)], &str) -> Result<Tensor, ModelError> + Send + Sync;

/// One graph that the stand-in pretends to have.
#[derive(Clone)]
pub struct StandInGraph {
    /// What the graph declares.
    pub inputs: Vec<TensorInfo>,
    /// What the graph declares.
    pub outputs: Vec<TensorInfo>,
    /// How long one run takes; the thread sleeps.
    pub wait: Duration,
    /// What one run gives.
    pub answer: Arc<Answer>,
}

/// A runtime that has the graphs it was given, by the name they are loaded under
/// (`model/file`), the CPU, and the devices for which it was given graphs of their own.
#[derive(Clone, Default)]
pub struct StandInRuntime {
    graphs: Vec<(Option<Device>, String, StandInGraph)>,
}

impl StandInRuntime {
    /// Adds a graph.
    #[must_use]
    pub fn with_graph(mut self, name: &str, graph: StandInGraph) -> Self {
        self.graphs.push((None, name.to_owned(), graph));
        self
    }

    /// Adds a graph as a device runs it, and the device with it.
    #[must_use]
    pub fn with_graph_on(mut self, device: Device, name: &str, graph: StandInGraph) -> Self {
        self.graphs.push((Some(device), name.to_owned(), graph));
        self
    }
}

impl Runtime for StandInRuntime {
    fn describe(&self) -> String {
        "stand-in runtime".to_owned()
    }

    fn choose(&self, device: Device) -> Result<ChosenDevice, ModelError> {
        let has = self.graphs.iter().any(|(on, ..)| *on == Some(device));
        match device {
            Device::Cuda(_) | Device::TensorRt(_) if has => Ok(ChosenDevice {
                device,
                reason: "the stand-in was given it".to_owned(),
            }),
            Device::Auto | Device::Cpu => Ok(ChosenDevice {
                device: Device::Cpu,
                reason: "the stand-in has nothing else".to_owned(),
            }),
            Device::Cuda(_) | Device::TensorRt(_) => Err(ModelError::DeviceNotAvailable {
                device,
                reason: "the stand-in runtime has only a CPU".to_owned(),
                source: None,
            }),
        }
    }

    fn load(&self, name: &str, _graph: Graph<'_>, options: &SessionOptions) -> Result<Box<dyn Session>, ModelError> {
        let find = |on: Option<Device>| self.graphs.iter().find(|(of, known, _)| known == name && *of == on);
        let found = find(Some(options.device)).or_else(|| find(None));
        let (.., graph) = found.ok_or_else(|| ModelError::Load {
            graph: name.to_owned(),
            source: "the stand-in runtime was not given this graph".into(),
        })?;
        Ok(Box::new(StandInSession {
            name: name.to_owned(),
            graph: graph.clone(),
        }))
    }
}

struct StandInSession {
    name: String,
    graph: StandInGraph,
}

impl Session for StandInSession {
    fn inputs(&self) -> &[TensorInfo] {
        &self.graph.inputs
    }

    fn outputs(&self) -> &[TensorInfo] {
        &self.graph.outputs
    }

    fn run(&mut self, inputs: &[(&str, Input<'_>)], outputs: &[(&str, Place)]) -> Result<Vec<Output>, ModelError> {
        let refuse = |message: &str| ModelError::Run {
            graph: self.name.clone(),
            source: message.to_owned().into(),
        };
        let mut host = Vec::with_capacity(inputs.len());
        for (name, input) in inputs {
            match input {
                Input::Host(tensor) => host.push((*name, *tensor)),
                Input::Device(tensor) => match tensor.0.downcast_ref() {
                    Some(tensor) => host.push((*name, tensor)),
                    None => return Err(refuse("a device tensor of another runtime was given")),
                },
            }
        }
        std::thread::sleep(self.graph.wait);
        outputs
            .iter()
            .map(|(name, place)| {
                let tensor = (self.graph.answer)(&host, name)?;
                Ok(match place {
                    Place::Host => Output::Host(tensor),
                    Place::Device => Output::Device(DeviceTensor(Box::new(tensor))),
                })
            })
            .collect()
    }
}
