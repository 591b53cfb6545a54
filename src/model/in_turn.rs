//! Graphs that share the cores of the CPU run one after the other: each has a thread a core, so two
//! at once would only take turns in the middle of their work.

use std::sync::{Arc, Mutex, PoisonError};

use super::device::{ChosenDevice, Device};
use super::error::ModelError;
use super::session::{Graph, Runtime, Session, SessionOptions};
use super::tensor::{Input, Output, Place, TensorInfo};

/// A runtime whose graphs on the CPU wait for each other. Those on other devices do not: there one
/// graph's copies go on while another computes.
pub struct InTurn<'a> {
    inner: &'a dyn Runtime,
    turn: Arc<Mutex<()>>,
}

impl<'a> InTurn<'a> {
    /// One share of the cores; graphs of another share run at the same time.
    pub fn new(inner: &'a dyn Runtime) -> Self {
        Self {
            inner,
            turn: Arc::default(),
        }
    }
}

impl Runtime for InTurn<'_> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn choose(&self, device: Device) -> Result<ChosenDevice, ModelError> {
        self.inner.choose(device)
    }

    fn engine_key(&self, device: Device) -> String {
        self.inner.engine_key(device)
    }

    fn load(&self, name: &str, graph: Graph<'_>, options: &SessionOptions) -> Result<Box<dyn Session>, ModelError> {
        let session = self.inner.load(name, graph, options)?;
        if options.device != Device::Cpu {
            return Ok(session);
        }
        let turn = Arc::clone(&self.turn);
        Ok(Box::new(TurnSession { session, turn }))
    }
}

struct TurnSession {
    session: Box<dyn Session>,
    turn: Arc<Mutex<()>>,
}

impl Session for TurnSession {
    fn inputs(&self) -> &[TensorInfo] {
        self.session.inputs()
    }

    fn outputs(&self) -> &[TensorInfo] {
        self.session.outputs()
    }

    fn run(&mut self, inputs: &[(&str, Input<'_>)], outputs: &[(&str, Place)]) -> Result<Vec<Output>, ModelError> {
        // Nothing is behind the lock that a panic could have left half done.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.session.run(inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::model::standin::{StandInGraph, StandInRuntime};
    use crate::model::tensor::{ElementType, Tensor};

    /// The most runs that were under way at once, of two graphs that each run three times.
    fn most_at_once(device: Device) -> usize {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counts, peak) = (Arc::clone(&now), Arc::clone(&most));
        let graph = StandInGraph {
            inputs: Vec::new(),
            outputs: Vec::new(),
            wait: Duration::ZERO,
            answer: Arc::new(move |_, _| {
                peak.fetch_max(counts.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(10));
                counts.fetch_sub(1, Ordering::SeqCst);
                Ok(Tensor::zeros(ElementType::F32, vec![1, 1]).expect("floats have a host form"))
            }),
        };
        let inner = StandInRuntime::default().with_graph("a", graph);
        let runtime = InTurn::new(&inner);
        let options = SessionOptions::new(device, 1);
        let load = || {
            runtime
                .load("a", Graph::Memory(&[]), &options)
                .expect("it has the graph")
        };
        std::thread::scope(|scope| {
            for mut session in [load(), load()] {
                scope.spawn(move || {
                    for _ in 0..3 {
                        session.run_one(&[], "y").expect("it runs");
                    }
                });
            }
        });
        most.load(Ordering::SeqCst)
    }

    #[test]
    fn graphs_on_the_cpu_wait_for_each_other_and_others_do_not() {
        assert_eq!(most_at_once(Device::Cpu), 1);
        assert_eq!(most_at_once(Device::Cuda(0)), 2);
    }
}
