//! Where TensorRT keeps the engines that it builds for minutes. An engine fits one graph, one ONNX
//! Runtime, one TensorRT, one kind of card, one batch and one arithmetic, so the folder's name says
//! them all; one process at a time builds in it.

use std::path::{Path, PathBuf};

use super::device::Device;
use super::error::ModelError;
use super::lock::FolderGuard;
use super::session::{Precision, Runtime};

/// A graph's folder of engines, held while its engine may be built.
#[derive(Debug)]
pub struct EngineCache {
    /// The folder.
    pub folder: PathBuf,
    _guard: FolderGuard,
}

/// The folder of all engines of one runtime and card, in the store.
pub fn root(home: &Path, runtime: &dyn Runtime, device: Device) -> PathBuf {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => c,
        _ => '_',
    };
    let key: String = runtime.engine_key(device).chars().map(plain).collect();
    home.join(".engines").join(key)
}

/// Opens the folder in `root` for a graph of this hash and input shape; none where the device
/// builds no engines.
///
/// # Errors
/// `ReadFile`: the folder cannot be made or locked.
pub fn open(
    root: Option<&Path>,
    device: Device,
    sha256: &str,
    shape: &[usize],
    precision: Precision,
) -> Result<Option<EngineCache>, ModelError> {
    let (Some(root), Device::TensorRt(_)) = (root, device) else {
        return Ok(None);
    };
    let folder = root.join(name(sha256, shape, precision));
    let guard = FolderGuard::take(&folder, || {
        tracing::info!("another process builds this TensorRT engine; waiting for it");
    })
    .map_err(|source| ModelError::ReadFile {
        path: folder.clone(),
        source,
    })?;
    let entries = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
    let is_engine = |path: PathBuf| path.extension().is_some_and(|extension| extension == "engine");
    if !entries.map(|entry| entry.path()).any(is_engine) {
        tracing::info!(
            "building a TensorRT engine, which takes minutes; it is kept in {}",
            folder.display()
        );
    }
    Ok(Some(EngineCache { folder, _guard: guard }))
}

fn name(sha256: &str, shape: &[usize], precision: Precision) -> String {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let arithmetic = match precision {
        Precision::Graph => "graph",
        Precision::Float16 => "fp16",
    };
    format!(
        "{}-{}-{arithmetic}",
        sha256.get(..16).unwrap_or(sha256),
        shape.join("x")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::standin::StandInRuntime;

    #[test]
    fn the_name_changes_with_everything_that_an_engine_depends_on() {
        let sha256 = "ab".repeat(32);
        let base = name(&sha256, &[16, 3, 224, 224], Precision::Graph);
        assert_eq!(base, "abababababababab-16x3x224x224-graph");
        for other in [
            name(&"cd".repeat(32), &[16, 3, 224, 224], Precision::Graph),
            name(&sha256, &[8, 3, 224, 224], Precision::Graph),
            name(&sha256, &[16, 3, 224, 224], Precision::Float16),
        ] {
            assert_ne!(other, base);
        }
        let runtime = StandInRuntime::default();
        let root = root(Path::new("/store"), &runtime, Device::TensorRt(0));
        assert_eq!(root, Path::new("/store/.engines/stand-in_runtime"));
    }

    #[test]
    fn only_tensorrt_has_a_folder_and_it_is_held() {
        let root = tempfile::tempdir().unwrap();
        let open = |device| open(Some(root.path()), device, "00", &[1], Precision::Graph).unwrap();
        assert!(open(Device::Cuda(0)).is_none() && open(Device::Cpu).is_none());
        let held = open(Device::TensorRt(0)).unwrap();
        assert!(held.folder.is_dir());
    }
}
