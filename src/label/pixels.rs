//! How pixels get into an image graph: as floats that the host has normalised, or as bytes that the
//! device normalises.

use super::LabelError;
use crate::model::bytes_input::BytesGraph;
use crate::model::manifest::ImageSpec;
use crate::model::preprocess::Preprocess;
use crate::model::provider_options::NormaliseOnDevice;
use crate::model::session::SessionOptions;
use crate::model::tensor::ElementType;
use crate::model::{Device, Graph, ModelError, Runtime, Session};

/// The way that was chosen for a graph on a device.
pub struct PixelWay<'a> {
    graph: Graph<'a>,
    /// The graph that takes bytes; none where it takes floats.
    bytes: Option<BytesGraph<'a>>,
    /// Name of the input when the graph is loaded.
    input: String,
    /// Fills the tensors that are fed.
    pub preprocess: Preprocess,
}

impl<'a> PixelWay<'a> {
    /// Bytes where `wanted` says so and the graph allows it.
    pub fn choose(
        graph: Graph<'a>,
        image: &ImageSpec,
        device: Device,
        wanted: NormaliseOnDevice,
    ) -> Result<Self, LabelError> {
        let bytes = if wanted.holds_for(device) {
            BytesGraph::of(graph, image)?
        } else {
            None
        };
        let (input, preprocess) = if bytes.is_some() {
            (BytesGraph::input().to_owned(), Preprocess::of_bytes(image))
        } else {
            (image.input.clone(), Preprocess::new(image))
        };
        Ok(Self {
            graph,
            bytes,
            input,
            preprocess,
        })
    }

    /// Shape of the input for so many pictures, as providers want to know it beforehand.
    pub fn fixed_input(&self, batch: usize) -> (String, Vec<usize>) {
        (self.input.clone(), self.preprocess.shape(batch))
    }

    /// What engines of this graph are kept under, given its file's hash.
    pub fn engine_hash(&self, sha256: &str) -> String {
        if self.bytes.is_some() {
            format!("u8{sha256}")
        } else {
            sha256.to_owned()
        }
    }

    /// Type of what is fed, where the graph declares `declared`.
    pub fn element(&self, declared: ElementType) -> ElementType {
        if self.bytes.is_some() {
            ElementType::U8
        } else {
            declared
        }
    }

    /// Loads the graph. The session declares what the graph did, whatever it is fed.
    pub fn load(
        &self,
        runtime: &dyn Runtime,
        name: &str,
        options: &SessionOptions,
    ) -> Result<Box<dyn Session>, ModelError> {
        match &self.bytes {
            Some(bytes) => bytes.load(runtime, name, options),
            None => runtime.load(name, self.graph, options),
        }
    }
}
