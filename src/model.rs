//! Models as data: what a manifest says, where the files are, and how their graphs are run.
//!
//! `runtime.rs` alone names the binding to ONNX Runtime; everything else, the labelers included,
//! sees named tensors through the traits in `session.rs`.

pub mod add;
pub mod bytes_input;
pub mod check;
pub mod device;
pub mod embedded;
pub mod engine_cache;
mod error;
pub mod files;
pub mod find_onnxruntime;
pub mod free_memory;
pub mod gpu;
pub mod in_turn;
pub mod labels;
pub mod lock;
pub mod manifest;
pub mod onnx_check;
pub mod preprocess;
mod protobuf;
pub mod provider_options;
pub mod pull;
pub mod runtime;
pub mod session;
pub mod small_graph;
pub mod source;
pub mod standin;
pub mod store;
pub mod tensor;
pub mod verified;
pub mod warm_up;

pub use device::{ChosenDevice, Device, DeviceList};
pub use error::{BoxError, ModelError};
pub use files::{Model, ModelFile};
pub use manifest::Manifest;
pub use runtime::OnnxRuntime;
pub use session::{Graph, Runtime, Session, SessionOptions};
pub use store::ModelStore;
pub use tensor::{Tensor, TensorData};

/// The repository's small test models, for the tests of this module and of the labelers.
#[cfg(test)]
pub(crate) mod testing {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use super::find_onnxruntime::Search;
    use super::manifest::ImageSpec;
    use super::{Manifest, Model, ModelStore, OnnxRuntime};

    /// The `[image]` of a made-up manifest with the input `pixels`, cropped to `size`.
    pub fn image_spec(size: usize, layout: &str, channels: &str, scale: &str, normalisation: &str) -> ImageSpec {
        let text = format!(
            "name = \"m\"\nkind = \"clip\"\ndescription = \"\"\nlicence = \"\"\norigin = \"\"\n[image]\nfile = \"f\"\n\
             input = \"pixels\"\noutput = \"o\"\nsize = {size}\nlayout = \"{layout}\"\nchannels = \"{channels}\"\n\
             scale = \"{scale}\"\n{normalisation}\ngeometry = \"crop\"\nfilter = \"bicubic\"\nalpha = \"over\"\n"
        );
        Manifest::parse(&text, "here").expect("it is whole").image
    }

    /// `tests/fixtures/models/NAME`.
    pub fn fixture(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/models")
            .join(name)
    }

    /// The model in `tests/fixtures/models/NAME`.
    pub fn model(name: &str) -> Model {
        ModelStore::default()
            .resolve(&fixture(name).display().to_string())
            .expect("the fixture is whole")
    }

    /// ONNX Runtime, or none with one printed line when this machine has no library.
    pub fn runtime() -> Option<&'static OnnxRuntime> {
        static FOUND: OnceLock<Option<&'static OnnxRuntime>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let found = OnnxRuntime::load(&Search::from_environment(None));
            if let Err(error) = &found {
                let said = error.to_string();
                println!(
                    "skipping what needs a model: {}",
                    said.lines().next().unwrap_or_default()
                );
            }
            found.ok()
        })
    }
}
