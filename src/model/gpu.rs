//! What this machine has for NVIDIA devices: driver, cards, the libraries that ONNX Runtime's
//! providers need. Looks at files only; nothing here is loaded.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A library that a provider needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededLibrary {
    /// What it is part of.
    pub part: Part,
    /// Its file name.
    pub name: String,
    /// Where it is; none: not found.
    pub path: Option<PathBuf>,
}

/// What a library is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// NVIDIA's driver.
    Driver,
    /// The CUDA toolkit.
    Cuda,
    /// cuDNN.
    Cudnn,
    /// TensorRT.
    TensorRt,
}

impl Part {
    /// How to get it, given the major version of CUDA that the provider wants.
    pub fn remedy(self, cuda: u32) -> String {
        match self {
            Self::Driver => "install NVIDIA's driver (of the host, where this is a container)".to_owned(),
            Self::Cuda | Self::Cudnn => {
                "pip install 'onnxruntime-gpu[cuda,cudnn]' beside the library, or install the system's package"
                    .to_owned()
            }
            Self::TensorRt => {
                format!("pip install tensorrt-cu{cuda} beside the library, or install the system's package")
            }
        }
    }
}

/// The CUDA major version where the provider does not tell.
const USUAL_CUDA: u32 = 13;

/// NVIDIA's part of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuFacts {
    /// The driver's version; none without a driver.
    pub driver: Option<String>,
    /// The cards' names, by number.
    pub cards: Vec<String>,
    /// The CUDA major version that the provider was built for.
    pub cuda: u32,
    /// What the CUDA and TensorRT providers need.
    pub libraries: Vec<NeededLibrary>,
}

impl GpuFacts {
    /// Looks round, for an ONNX Runtime library at `onnxruntime`.
    pub fn gather(onnxruntime: &Path) -> Self {
        Self::gather_from(Path::new("/"), onnxruntime, &library_folders(onnxruntime))
    }

    fn gather_from(root: &Path, onnxruntime: &Path, folders: &[PathBuf]) -> Self {
        let folder = real_folder(onnxruntime);
        let wanted = |provider: &str, prefix: &str| {
            let provider = folder.join(format!("libonnxruntime_providers_{provider}.so"));
            version_named_in(&provider, prefix)
        };
        let cuda = wanted("cuda", "libcudart.so.").unwrap_or(USUAL_CUDA);
        let cudnn = wanted("cuda", "libcudnn.so.").unwrap_or(9);
        let tensorrt = wanted("tensorrt", "libnvinfer.so.").unwrap_or(10);
        let names = [
            (Part::Driver, "libcuda.so.1".to_owned()),
            (Part::Cuda, format!("libcudart.so.{cuda}")),
            (Part::Cuda, format!("libcublasLt.so.{cuda}")),
            (Part::Cudnn, format!("libcudnn.so.{cudnn}")),
            (Part::TensorRt, format!("libnvinfer.so.{tensorrt}")),
        ];
        let libraries = names.map(|(part, name)| NeededLibrary {
            part,
            path: folders
                .iter()
                .map(|folder| folder.join(&name))
                .find(|path| path.is_file()),
            name,
        });
        Self {
            driver: driver_version(root),
            cards: cards(root),
            cuda,
            libraries: libraries.to_vec(),
        }
    }

    /// What is missing for a provider, and how to get it; empty where all is here.
    pub fn missing(&self, with_tensorrt: bool) -> Vec<String> {
        let needed = self
            .libraries
            .iter()
            .filter(|library| with_tensorrt || library.part != Part::TensorRt);
        needed
            .filter(|library| library.path.is_none())
            .map(|library| format!("{} is not found: {}", library.name, library.part.remedy(self.cuda)))
            .collect()
    }

    /// TensorRT's version by the file that its library's name leads to; `unknown` without one.
    pub fn tensorrt_version(&self) -> String {
        let library = self.libraries.iter().find(|library| library.part == Part::TensorRt);
        let path = library.and_then(|library| library.path.as_ref()?.canonicalize().ok());
        let name = path.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        name.and_then(|name| name.strip_prefix("libnvinfer.so.").map(str::to_owned))
            .unwrap_or_else(|| "unknown".to_owned())
    }
}

/// Folders of the Python packages beside a library of the `onnxruntime-gpu` package
/// (`site-packages/onnxruntime/capi/`), where pip puts CUDA, cuDNN and TensorRT.
pub fn package_folders(onnxruntime: &Path) -> Vec<PathBuf> {
    let Some(packages) = real_folder(onnxruntime).ancestors().nth(2).map(Path::to_path_buf) else {
        return Vec::new();
    };
    let mut folders = vec![packages.join("tensorrt_libs")];
    let mut parts: Vec<PathBuf> = std::fs::read_dir(packages.join("nvidia"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("lib")))
        .collect();
    parts.sort();
    folders.extend(parts);
    folders.retain(|folder| folder.is_dir());
    folders
}

/// Where the loader and pip keep libraries.
fn library_folders(onnxruntime: &Path) -> Vec<PathBuf> {
    let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&named)
        .filter(|path| path.is_absolute())
        .collect();
    folders.extend(package_folders(onnxruntime));
    for prefix in ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64"] {
        folders.push(PathBuf::from(prefix));
    }
    // Containers of the NVIDIA runtime, and toolkits by hand.
    folders.push(PathBuf::from("/usr/local/nvidia/lib64"));
    let mut toolkits: Vec<PathBuf> = std::fs::read_dir("/usr/local")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("cuda"))
        })
        .collect();
    toolkits.sort();
    for toolkit in toolkits {
        folders.extend([
            toolkit.join("lib64"),
            toolkit.join("targets/x86_64-linux/lib"),
            toolkit.join("compat"),
        ]);
    }
    folders
}

fn real_folder(library: &Path) -> PathBuf {
    let real = library.canonicalize().unwrap_or_else(|_| library.to_path_buf());
    real.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// `550.54.14` of `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  …`.
fn driver_version(root: &Path) -> Option<String> {
    let text = std::fs::read_to_string(root.join("proc/driver/nvidia/version")).ok()?;
    let is_version = |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    text.lines()
        .next()?
        .split_whitespace()
        .find(is_version)
        .map(str::to_owned)
}

/// The cards by their places on the bus, which is CUDA's order of numbers where all are alike.
fn cards(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("proc/driver/nvidia/gpus"));
    let mut folders: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.sort();
    let name = |folder: &PathBuf| {
        let text = std::fs::read_to_string(folder.join("information")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
        Some(line.trim().to_owned())
    };
    folders.iter().filter_map(name).collect()
}

/// The number behind `prefix` in a library's list of needed libraries. The file is searched as
/// bytes: it is large, and this needs no more of its format than that names stand in it whole.
fn version_named_in(library: &Path, prefix: &str) -> Option<u32> {
    let mut file = File::open(library).ok()?;
    let mut window = Vec::with_capacity((1 << 20) + 64);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).ok()?;
        window.extend_from_slice(&buffer[..read]);
        for at in find_all(&window, prefix.as_bytes()) {
            let behind = &window[at + prefix.len()..];
            let digits: Vec<u8> = behind.iter().copied().take_while(u8::is_ascii_digit).collect();
            // A number that reaches to the end of what was read may go on behind it.
            let is_whole = read == 0 || digits.len() < behind.len();
            let number = String::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            if let Some(version) = number.filter(|_| is_whole) {
                return Some(version);
            }
        }
        if read == 0 {
            return None;
        }
        // What stands across two reads.
        window.drain(..window.len().saturating_sub(64));
    }
}

fn find_all<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = wanted.first().copied();
    let starts = bytes.iter().enumerate().filter(move |(_, byte)| Some(**byte) == first);
    starts
        .map(|(at, _)| at)
        .filter(move |&at| bytes[at..].starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, content: &[u8]) -> PathBuf {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn driver_cards_and_libraries_are_found_and_what_lacks_is_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        put(
            root,
            "proc/driver/nvidia/version",
            b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\nGCC version: 12\n",
        );
        put(
            root,
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            b"Model: \t\t NVIDIA L4\nIRQ: 1\n",
        );
        let library = put(root, "packages/onnxruntime/capi/libonnxruntime.so.1.31.1", b"");
        let mut provider = vec![b'l'; (1 << 20) - 5];
        provider.extend_from_slice(b"libcudart.so.12\0libcudnn.so.9\0");
        put(
            root,
            "packages/onnxruntime/capi/libonnxruntime_providers_cuda.so",
            &provider,
        );
        put(root, "packages/nvidia/cuda_runtime/lib/libcudart.so.12", b"");
        let folders = package_folders(&library);
        assert_eq!(folders, [root.join("packages/nvidia/cuda_runtime/lib")]);
        let facts = GpuFacts::gather_from(root, &library, &folders);
        assert_eq!(facts.driver.as_deref(), Some("550.54.14"));
        assert_eq!(
            (facts.cards.as_slice(), facts.cuda),
            (&["NVIDIA L4".to_owned()][..], 12)
        );
        assert_eq!(facts.tensorrt_version(), "unknown");
        let missing = facts.missing(false);
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert!(missing[0].contains("libcuda.so.1 is not found: install NVIDIA's driver"));
        assert!(missing[1].contains("libcublasLt.so.12") && missing[2].contains("libcudnn.so.9"));
        let with_tensorrt = facts.missing(true);
        assert!(with_tensorrt[3].contains("libnvinfer.so.10 is not found: pip install tensorrt-cu12"));
        let real = put(root, "trt/libnvinfer.so.10.9.0", b"");
        std::os::unix::fs::symlink(&real, root.join("trt/libnvinfer.so.10")).unwrap();
        let facts = GpuFacts::gather_from(root, &library, &[root.join("trt")]);
        assert_eq!(facts.tensorrt_version(), "10.9.0");
    }

    #[test]
    fn a_machine_without_a_gpu_says_so() {
        let root = tempfile::tempdir().unwrap();
        let facts = GpuFacts::gather_from(root.path(), Path::new("libonnxruntime.so"), &[]);
        assert_eq!(
            (facts.driver.clone(), facts.cards.len(), facts.cuda),
            (None, 0, USUAL_CUDA)
        );
        assert_eq!(facts.missing(true).len(), facts.libraries.len());
    }
}
