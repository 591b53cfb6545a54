//! A graph on a thread of its own: while it runs one batch, its labeler assembles the next and makes
//! columns of the one before. Runs are done in the order in which they are asked for.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

use crate::model::tensor::Tensor;
use crate::model::{ModelError, Session};

/// The thread and the way to it; ends when it is dropped.
pub struct Runner {
    graph: String,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

struct Job {
    pixels: Tensor,
    done: Sender<Done>,
}

/// A run that is over.
pub struct Done {
    /// What was fed, to be filled again.
    pub pixels: Tensor,
    /// What came out.
    pub output: Result<Tensor, ModelError>,
}

/// A run that was asked for.
pub struct Running {
    graph: String,
    done: Receiver<Done>,
    arrived: Option<Done>,
}

impl Runner {
    /// Starts a thread for the graph, which is fed under the name `input` and asked for `output`.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        graph: &str,
        mut session: Box<dyn Session>,
        input: String,
        output: String,
    ) -> Result<Self, ModelError> {
        let (jobs, to_do) = unbounded::<Job>();
        let work = move || {
            for Job { pixels, done } in to_do {
                let output = session.run_one(&[(&input, &pixels)], &output);
                // Nobody listens any more where an error has ended the run.
                let _ = done.send(Done { pixels, output });
            }
        };
        let thread = std::thread::Builder::new().name("model".to_owned()).spawn(work);
        let thread = thread.map_err(|source| ModelError::Run {
            graph: graph.to_owned(),
            source: Box::new(source),
        })?;
        Ok(Self {
            graph: graph.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Asks for a run. Its caller bounds how many wait.
    pub fn submit(&self, pixels: Tensor) -> Running {
        let (done, to_come) = bounded(1);
        if let Some(jobs) = &self.jobs {
            // Without a thread, since the session panicked, the answer's channel is closed as well.
            let _ = jobs.send(Job { pixels, done });
        }
        Running {
            graph: self.graph.clone(),
            done: to_come,
            arrived: None,
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was told as the error of its run.
            let _ = thread.join();
        }
    }
}

impl Running {
    /// Whether waiting would not take long.
    pub fn is_done(&mut self) -> bool {
        if self.arrived.is_some() {
            return true;
        }
        match self.done.try_recv() {
            Ok(done) => {
                self.arrived = Some(done);
                true
            }
            Err(TryRecvError::Disconnected) => true,
            Err(TryRecvError::Empty) => false,
        }
    }

    /// Waits for the run.
    ///
    /// # Errors
    /// The thread is gone, since the runtime panicked; an error of the run itself is in [`Done`].
    pub fn wait(self) -> Result<Done, ModelError> {
        let done = self.arrived.map_or_else(|| self.done.recv(), Ok);
        done.map_err(|_| ModelError::Run {
            graph: self.graph,
            source: "the runtime panicked".into(),
        })
    }
}
