//! Where ONNX Runtime's library is looked for, in the one order that the README states, with a
//! report of every place. Finds paths only; `runtime.rs` loads them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One step of the search, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SearchStep {
    /// `--onnxruntime PATH`.
    Flag,
    /// `ORT_DYLIB_PATH`.
    Environment,
    /// The folder of the executable, `lib/` in it, `../lib/labelmill/` beside it.
    BesideExecutable,
    /// `.runtime/` of the project that the executable was built in.
    ProjectRuntime,
    /// The `onnxruntime` or `onnxruntime-gpu` package of the active Python.
    ActivePython,
    /// The system's library path.
    SystemPath,
}

impl fmt::Display for SearchStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "--onnxruntime",
            Self::Environment => "ORT_DYLIB_PATH",
            Self::BesideExecutable => "beside the executable",
            Self::ProjectRuntime => "the project's .runtime/",
            Self::ActivePython => "the active Python's onnxruntime package",
            Self::SystemPath => "the system's library path",
        })
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// Nothing there; where was looked, or why not.
    NotThere(String),
    /// A library is there and cannot be used; why.
    Refused(String),
    /// This library is used; its version.
    Loaded(String),
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The step.
    pub step: SearchStep,
    /// The library, where there was one.
    pub library: Option<PathBuf>,
    /// How it ended.
    pub outcome: StepOutcome,
}

/// Every place that was looked at, in order, until one was good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchReport {
    /// The places.
    pub tried: Vec<Tried>,
}

impl fmt::Display for SearchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tried) in self.tried.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let library = tried
                .library
                .as_ref()
                .map_or_else(String::new, |path| format!(" {}", path.display()));
            match &tried.outcome {
                StepOutcome::NotThere(why) => write!(f, "{separator}  {}: {why}", tried.step)?,
                StepOutcome::Refused(why) => write!(f, "{separator}  {}:{library} cannot be used: {why}", tried.step)?,
                StepOutcome::Loaded(version) => {
                    write!(f, "{separator}  {}:{library} (version {version})", tried.step)?;
                }
            }
        }
        Ok(())
    }
}

/// What the search starts from, so that tests need not change the process.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// `--onnxruntime PATH`: a library, or a folder that holds one.
    pub flag: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`, likewise.
    pub environment: Option<PathBuf>,
    /// Folder of the running executable.
    pub executable_folder: Option<PathBuf>,
    /// Prefixes of Python environments, the most active first.
    pub python_prefixes: Vec<PathBuf>,
    /// Whether `python3` may be started when no prefix holds the package.
    pub ask_python: bool,
    /// Whether the system's library path is tried.
    pub system: bool,
}

/// What one step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A library: an absolute path, or a bare name for the system's loader.
    Library(PathBuf),
    /// Nothing; where was looked.
    Nothing(String),
}

impl Search {
    /// The search as this process would do it; `flag` is `--onnxruntime PATH`.
    pub fn from_environment(flag: Option<PathBuf>) -> Self {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let executable = std::env::current_exe()
            .ok()
            .map(|path| path.canonicalize().unwrap_or(path));
        let executable_folder = executable.and_then(|path| path.parent().map(Path::to_path_buf));
        let mut python_prefixes: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
            .into_iter()
            .filter_map(variable)
            .collect();
        // Installed into an environment's bin/ and started by its path, without activation.
        let own_prefix = executable_folder.as_deref().and_then(Path::parent);
        python_prefixes.extend(
            own_prefix
                .filter(|prefix| prefix.join("pyvenv.cfg").is_file())
                .map(Path::to_path_buf),
        );
        Self {
            flag,
            environment: variable("ORT_DYLIB_PATH"),
            executable_folder,
            python_prefixes,
            ask_python: true,
            system: true,
        }
    }

    /// The steps in order, each with what it found; evaluated one by one, so that Python is
    /// started only where nothing before it was good.
    pub fn steps(&self) -> impl Iterator<Item = (SearchStep, Found)> + '_ {
        let mut steps: Vec<(SearchStep, Box<dyn Fn() -> Found + '_>)> = vec![
            (SearchStep::Flag, Box::new(|| named(self.flag.as_deref(), "not given"))),
            (
                SearchStep::Environment,
                Box::new(|| named(self.environment.as_deref(), "not set")),
            ),
            (SearchStep::BesideExecutable, Box::new(|| self.beside_executable())),
            (SearchStep::ProjectRuntime, Box::new(|| self.project_runtime())),
            (SearchStep::ActivePython, Box::new(|| self.active_python())),
        ];
        if self.system {
            // The loader knows its path better than any list here.
            steps.push((
                SearchStep::SystemPath,
                Box::new(|| Found::Library(PathBuf::from("libonnxruntime.so.1"))),
            ));
            steps.push((
                SearchStep::SystemPath,
                Box::new(|| Found::Library(PathBuf::from("libonnxruntime.so"))),
            ));
        }
        steps.into_iter().map(|(step, find)| (step, find()))
    }

    fn beside_executable(&self) -> Found {
        let Some(folder) = &self.executable_folder else {
            return Found::Nothing("the executable's folder is not known".to_owned());
        };
        let mut folders = vec![folder.clone(), folder.join("lib")];
        folders.extend(folder.parent().map(|prefix| prefix.join("lib/labelmill")));
        first_library(&folders)
    }

    fn project_runtime(&self) -> Found {
        // target/release/labelmill and target/debug/deps/main-… are at most four folders below
        // the project. Never the working directory's .runtime: that may be anybody's folder.
        let ancestors = self
            .executable_folder
            .iter()
            .flat_map(|folder| folder.ancestors().take(5));
        let runtime = ancestors
            .map(|folder| folder.join(".runtime"))
            .find(|folder| folder.is_dir());
        match runtime {
            Some(folder) => first_library(&[folder.join("onnxruntime/capi"), folder.join("lib"), folder.clone()]),
            None => {
                Found::Nothing("there is none above the executable (scripts/fetch-onnxruntime makes it)".to_owned())
            }
        }
    }

    fn active_python(&self) -> Found {
        let mut looked = Vec::new();
        for prefix in &self.python_prefixes {
            for folder in package_folders(prefix) {
                if let Some(library) = library_of_package(&folder) {
                    return Found::Library(library);
                }
            }
            looked.push(prefix.display().to_string());
        }
        if self.ask_python {
            match ask_python()
                .as_deref()
                .map(|folder| (folder, library_of_package(folder)))
            {
                Some((_, Some(library))) => return Found::Library(library),
                Some((folder, None)) => looked.push(folder.display().to_string()),
                None => looked.push("python3 (has no such package)".to_owned()),
            }
        }
        if looked.is_empty() {
            return Found::Nothing("no environment is active".to_owned());
        }
        Found::Nothing(format!("nothing in {}", looked.join(", ")))
    }
}

/// A library that was named: the file itself, or the one in a folder.
fn named(path: Option<&Path>, absent: &str) -> Found {
    let Some(path) = path else {
        return Found::Nothing(absent.to_owned());
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    // A file that does not exist stays a candidate: loading it gives the error that a person needs.
    let library = if path.is_dir() {
        library_in(&path).unwrap_or(path)
    } else {
        path
    };
    Found::Library(library)
}

fn first_library(folders: &[PathBuf]) -> Found {
    match folders.iter().find_map(|folder| library_in(folder)) {
        Some(library) => Found::Library(library),
        None => Found::Nothing(format!(
            "nothing in {}",
            folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

/// `libonnxruntime.so` in a folder, else the highest `libonnxruntime.so.VERSION`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join("libonnxruntime.so");
    if plain.is_file() {
        return Some(plain);
    }
    let entries = std::fs::read_dir(folder).ok()?;
    let versions = entries.filter_map(Result::ok).filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix("libonnxruntime.so.")?;
        let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
        numbers.map(|numbers| (numbers, entry.path()))
    });
    versions.max().map(|(_, path)| path)
}

/// The library in `site-packages/onnxruntime/capi`. The packages `onnxruntime` and `onnxruntime-gpu`
/// both install there; where both are, the one of `onnxruntime-gpu` is taken, by the version that its
/// `dist-info` folder is named after: it runs everything that the other one does.
fn library_of_package(folder: &Path) -> Option<PathBuf> {
    let of_gpu = folder.parent().and_then(Path::parent).and_then(|site_packages| {
        let names = std::fs::read_dir(site_packages).ok()?.filter_map(Result::ok);
        let versions = names.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("onnxruntime_gpu-")?.strip_suffix(".dist-info")?;
            Some(folder.join(format!("libonnxruntime.so.{version}")))
        });
        versions.filter(|library| library.is_file()).max()
    });
    of_gpu.or_else(|| library_in(folder))
}

/// The folders of a Python prefix that may hold the package's library.
fn package_folders(prefix: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(prefix.join("lib")) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path().join("site-packages/onnxruntime/capi"))
        .collect();
    folders.sort();
    folders
}

/// The package's library folder as `python3` on the PATH sees it; starts Python, imports nothing.
fn ask_python() -> Option<PathBuf> {
    // Without the first entry of sys.path, which is the working directory: a folder there that
    // is called onnxruntime must not be loaded.
    const ASK: &str = "import sys\nsys.path = [p for p in sys.path if p]\nimport importlib.util, os\n\
        spec = importlib.util.find_spec('onnxruntime')\n\
        print(os.path.join(os.path.dirname(spec.origin), 'capi') if spec and spec.origin else '')";
    let output = Command::new("python3").args(["-c", ASK]).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    let folder = folder.trim();
    (output.status.success() && !folder.is_empty()).then(|| PathBuf::from(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    fn found(search: &Search, wanted: SearchStep) -> Found {
        search.steps().find(|(step, _)| *step == wanted).unwrap().1
    }

    #[test]
    fn steps_come_in_the_documented_order() {
        let search = Search {
            system: true,
            ..Search::default()
        };
        let order: Vec<SearchStep> = search.steps().map(|(step, _)| step).collect();
        assert_eq!(
            order,
            [
                SearchStep::Flag,
                SearchStep::Environment,
                SearchStep::BesideExecutable,
                SearchStep::ProjectRuntime,
                SearchStep::ActivePython,
                SearchStep::SystemPath,
                SearchStep::SystemPath,
            ]
        );
    }

    #[test]
    fn the_highest_version_is_taken_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["1.9.0", "1.24.1", "1.31.0"] {
            touch(&folder.path().join(format!("libonnxruntime.so.{version}")));
        }
        touch(&folder.path().join("libonnxruntime_providers_shared.so"));
        touch(&folder.path().join("libonnxruntime.so.debug"));
        assert_eq!(
            library_in(folder.path()),
            Some(folder.path().join("libonnxruntime.so.1.31.0"))
        );
    }

    #[test]
    fn a_projects_runtime_is_found_from_its_target_folder() {
        let project = tempfile::tempdir().unwrap();
        let library = project
            .path()
            .join(".runtime/onnxruntime/capi/libonnxruntime.so.1.32.0");
        touch(&library);
        let executable_folder = Some(project.path().join("target/release"));
        let search = Search {
            executable_folder,
            ..Search::default()
        };
        assert_eq!(found(&search, SearchStep::ProjectRuntime), Found::Library(library));
    }

    #[test]
    fn an_active_environment_is_searched_without_python() {
        let prefix = tempfile::tempdir().unwrap();
        let library = prefix
            .path()
            .join("lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.1.30.0");
        touch(&library);
        let search = Search {
            python_prefixes: vec![prefix.path().to_path_buf()],
            ..Search::default()
        };
        assert_eq!(found(&search, SearchStep::ActivePython), Found::Library(library));
    }

    #[test]
    fn where_both_packages_are_installed_the_gpu_ones_library_is_taken() {
        let prefix = tempfile::tempdir().unwrap();
        let packages = prefix.path().join("lib/python3.12/site-packages");
        for version in ["1.31.1", "1.32.0"] {
            touch(&packages.join(format!("onnxruntime/capi/libonnxruntime.so.{version}")));
        }
        let search = Search {
            python_prefixes: vec![prefix.path().to_path_buf()],
            ..Search::default()
        };
        let library = |version: &str| {
            let name = format!("onnxruntime/capi/libonnxruntime.so.{version}");
            Found::Library(packages.join(name))
        };
        assert_eq!(found(&search, SearchStep::ActivePython), library("1.32.0"));
        touch(&packages.join("onnxruntime_gpu-1.31.1.dist-info/RECORD"));
        assert_eq!(found(&search, SearchStep::ActivePython), library("1.31.1"));
    }

    #[test]
    fn a_named_folder_gives_its_library_and_a_missing_file_stays_a_candidate() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libonnxruntime.so");
        touch(&library);
        let search = Search {
            flag: Some(folder.path().to_path_buf()),
            ..Search::default()
        };
        assert_eq!(found(&search, SearchStep::Flag), Found::Library(library));
        let missing = folder.path().join("nothing.so");
        let search = Search {
            flag: Some(missing.clone()),
            ..Search::default()
        };
        assert_eq!(found(&search, SearchStep::Flag), Found::Library(missing));
    }
}
