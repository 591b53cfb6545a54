//! A model's manifest together with its files: where they are, whether they are what they should
//! be, what is missing. A file is hashed, and a graph is checked, before anything reads it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::embedded::EmbeddedModel;
use super::error::ModelError;
use super::lock::ModelLock;
use super::manifest::Manifest;
use super::onnx_check;
use super::session::Graph;
use super::source::{FileSource, export_command};
use super::store::hex;
use super::verified::{VerifiedHashes, hash_file};

/// Largest label file or tokenizer that is read, in bytes.
const MAX_SMALL_FILE: u64 = 256 << 20;

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 4 << 20;

/// A manifest and the places of its files.
#[derive(Debug, Clone)]
pub struct Model {
    /// What the manifest says.
    pub manifest: Manifest,
    /// Where its files may be, in order; those of the embedded model come last.
    folders: Vec<PathBuf>,
    embedded: Option<&'static EmbeddedModel>,
    /// Where a pull puts its files.
    pull_folder: Option<PathBuf>,
    lock: ModelLock,
    hashes: Option<VerifiedHashes>,
}

/// Whether what was verified before may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hashing {
    Remembered,
    Anew,
}

/// A file of a model, its hash checked.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// SHA-256 of its bytes, in lower-case hex; of a graph with weights in files of their own, of
    /// all their hashes together.
    pub sha256: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Path(PathBuf),
    Memory(&'static [u8]),
}

/// A file that is not here, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedFile {
    /// Its name in the manifest.
    pub file: String,
    /// Where it can be had.
    pub source: Option<FileSource>,
    /// Bytes, where known.
    pub size: Option<u64>,
    /// Bytes, roughly, where the manifest says no more.
    pub about: Option<u64>,
    /// SHA-256 in hex that it must have, by the manifest or by an earlier pull, and who says so.
    pub sha256: Option<(String, &'static str)>,
}

impl WantedFile {
    /// Bytes, exactly or roughly.
    pub fn expected_size(&self) -> Option<u64> {
        self.size.or(self.about)
    }
}

impl ModelFile {
    /// The file as a graph.
    pub fn graph(&self) -> Graph<'_> {
        match &self.content {
            Content::Path(path) => Graph::File(path),
            Content::Memory(bytes) => Graph::Memory(bytes),
        }
    }

    /// The whole file; for label files and tokenizers, bounded at 256 MiB.
    pub fn bytes(&self) -> Result<Cow<'static, [u8]>, ModelError> {
        match &self.content {
            Content::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Content::Path(path) => read_small(path, MAX_SMALL_FILE).map(Cow::Owned),
        }
    }
}

/// Who says what a file's hash must be.
const BY_MANIFEST: &str = "its manifest";
const BY_LOCK: &str = "model.lock, written by the first pull,";

impl Model {
    /// The model whose manifest is in `folder`, with files in `home` too.
    pub(super) fn open(folder: PathBuf, home: Option<&Path>) -> Result<Self, ModelError> {
        let path = folder.join("model.toml");
        let text = String::from_utf8(read_small(&path, MAX_MANIFEST)?).map_err(|error| ModelError::Manifest {
            place: path.display().to_string(),
            message: format!("it is not UTF-8: {error}"),
        })?;
        let manifest = Manifest::parse(&text, &path.display().to_string())?;
        Self::new(manifest, vec![folder], None, home)
    }

    /// The model that is compiled in, with files in `home` too.
    pub(super) fn embedded(embedded: &'static EmbeddedModel, home: Option<&Path>) -> Result<Self, ModelError> {
        let manifest = Manifest::parse(embedded.manifest, &format!("the embedded model {}", embedded.name))?;
        Self::new(manifest, Vec::new(), Some(embedded), home)
    }

    fn new(
        manifest: Manifest,
        mut folders: Vec<PathBuf>,
        embedded: Option<&'static EmbeddedModel>,
        home: Option<&Path>,
    ) -> Result<Self, ModelError> {
        let pulled = home.map(|home| home.join(&manifest.name));
        let pull_folder = pulled.clone().or_else(|| folders.first().cloned());
        folders.extend(pulled.filter(|pulled| folders.first() != Some(pulled)));
        let lock = match &pull_folder {
            Some(folder) => ModelLock::read(folder).map_err(|source| ModelError::ReadFile {
                path: folder.join(super::lock::LOCK_FILE),
                source,
            })?,
            None => ModelLock::default(),
        };
        Ok(Self {
            manifest,
            folders,
            embedded,
            pull_folder,
            lock,
            hashes: home.map(|home| VerifiedHashes::new(home.join(".verified.json"))),
        })
    }

    /// The folder of its files; none while they are all compiled in, or none is here.
    pub fn folder(&self) -> Option<&Path> {
        let files = self.manifest.needed_files();
        let holds_some = |folder: &&PathBuf| files.iter().any(|file| folder.join(file).is_file());
        self.folders.iter().find(holds_some).map(PathBuf::as_path)
    }

    /// Where a pull puts its files.
    pub fn pull_folder(&self) -> Option<&Path> {
        self.pull_folder.as_deref()
    }

    /// Bytes of its files that are here.
    pub fn size_here(&self) -> u64 {
        let here = self
            .manifest
            .needed_files()
            .into_iter()
            .filter_map(|file| self.find(file));
        here.map(|content| match content {
            Content::Path(path) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
            Content::Memory(bytes) => bytes.len() as u64,
        })
        .sum()
    }

    /// The files that the manifest names and that are not here.
    pub fn missing_files(&self) -> Vec<&str> {
        let mut files = self.manifest.needed_files();
        files.retain(|file| self.find(file).is_none());
        files
    }

    /// What is known of the files that are not here.
    pub fn wanted_files(&self) -> Vec<WantedFile> {
        self.missing_files().into_iter().map(|file| self.wanted(file)).collect()
    }

    fn wanted(&self, file: &str) -> WantedFile {
        let listed = self.manifest.files.iter().find(|listed| listed.file == file);
        let own = listed.and_then(|listed| listed.source.clone());
        let beside = || {
            let origin = self.lock.origin.as_ref()?;
            Some(format!("{}/{file}", origin.trim_end_matches('/')))
        };
        WantedFile {
            file: file.to_owned(),
            source: own.or_else(beside).and_then(|source| source.parse().ok()),
            size: listed
                .and_then(|listed| listed.size)
                .or_else(|| self.lock.files.get(file).map(|locked| locked.size)),
            about: listed
                .and_then(|listed| listed.about_mb)
                .map(|megabytes| u64::from(megabytes) * 1_000_000),
            sha256: self.wanted_sha256(file),
        }
    }

    /// The hash that a file must have, and who says so.
    fn wanted_sha256(&self, file: &str) -> Option<(String, &'static str)> {
        let pinned = self.manifest.pinned_sha256(file);
        let locked = || self.lock.files.get(file).map(|locked| locked.sha256.as_str());
        pinned
            .map(|sha256| (sha256.to_ascii_lowercase(), BY_MANIFEST))
            .or_else(|| locked().map(|sha256| (sha256.to_ascii_lowercase(), BY_LOCK)))
    }

    /// One file of the model, hashed and compared with what the manifest pins or the first pull
    /// recorded; a graph is checked too, with the files of its weights.
    ///
    /// # Errors
    /// `MissingFile`, `ReadFile`, `WrongHash`, `Refused`.
    pub fn file(&self, name: &str) -> Result<ModelFile, ModelError> {
        self.checked(name, Hashing::Remembered)
    }

    /// As [`Model::file`], by reading every byte, whatever is remembered of the file.
    ///
    /// # Errors
    /// As [`Model::file`].
    pub fn verify(&self, name: &str) -> Result<ModelFile, ModelError> {
        self.checked(name, Hashing::Anew)
    }

    fn checked(&self, name: &str, hashing: Hashing) -> Result<ModelFile, ModelError> {
        let mut file = self.hashed(name, hashing)?;
        if Path::new(name).extension().is_some_and(|extension| extension == "onnx") {
            let weights = self.check_graph(name, &file.content)?;
            if !weights.is_empty() {
                let mut together = Sha256::new();
                together.update(&file.sha256);
                for name in &weights {
                    together.update(format!("\n{name} {}", self.hashed(name, hashing)?.sha256));
                }
                file.sha256 = hex(&together.finalize());
            }
        }
        Ok(file)
    }

    fn hashed(&self, name: &str, hashing: Hashing) -> Result<ModelFile, ModelError> {
        let content = self.find(name).ok_or_else(|| self.missing(name))?;
        let sha256 = match &content {
            Content::Memory(bytes) => hex(&Sha256::digest(bytes)),
            Content::Path(path) => {
                let hashed = match (&self.hashes, hashing) {
                    (Some(hashes), Hashing::Remembered) => hashes.sha256(path),
                    (None, _) | (_, Hashing::Anew) => hash_file(path),
                };
                hashed.map_err(|source| ModelError::ReadFile {
                    path: path.clone(),
                    source,
                })?
            }
        };
        match self.wanted_sha256(name) {
            Some((wanted, by)) if wanted != sha256 => Err(ModelError::WrongHash {
                model: self.manifest.name.clone(),
                file: name.to_owned(),
                wanted: format!("{by} says {wanted}"),
                found: sha256,
            }),
            _ => Ok(ModelFile { sha256, content }),
        }
    }

    /// Checks a graph before a runtime sees it; the names of the files that hold its weights.
    fn check_graph(&self, name: &str, content: &Content) -> Result<Vec<String>, ModelError> {
        let refused = |source: onnx_check::Refusal| ModelError::Refused {
            model: self.manifest.name.clone(),
            file: name.to_owned(),
            message: source.to_string(),
        };
        let path = match content {
            Content::Memory(bytes) => {
                onnx_check::bytes(bytes).map_err(refused)?;
                return Ok(Vec::new());
            }
            Content::Path(path) => path,
        };
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let beside = onnx_check::file(path).map_err(refused)?;
        let weights: BTreeSet<String> = beside
            .iter()
            .map(|location| {
                let parts = folder.join(location);
                let parts = parts
                    .components()
                    .filter(|part| !matches!(part, std::path::Component::CurDir));
                parts.collect::<PathBuf>().display().to_string()
            })
            .collect();
        let known = self.manifest.needed_files();
        if let Some(unlisted) = weights.iter().find(|file| !known.contains(&file.as_str())) {
            return Err(ModelError::Refused {
                model: self.manifest.name.clone(),
                file: name.to_owned(),
                message: format!(
                    "it has weights in {unlisted}, which the manifest does not name; add [[files]] file = \"{unlisted}\""
                ),
            });
        }
        Ok(weights.into_iter().collect())
    }

    /// Checks every graph that is here.
    ///
    /// # Errors
    /// `Refused`, `ReadFile`.
    pub fn check_graphs(&self) -> Result<(), ModelError> {
        for name in self.manifest.needed_files() {
            let is_graph = Path::new(name).extension().is_some_and(|extension| extension == "onnx");
            if let Some(content) = self.find(name).filter(|_| is_graph) {
                self.check_graph(name, &content)?;
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<Content> {
        let on_disk = self.folders.iter().map(|folder| folder.join(name));
        let compiled_in = || {
            let files = self.embedded.iter().flat_map(|embedded| embedded.files);
            let mut named = files.filter(|(known, _)| *known == name);
            named.next().map(|(_, bytes)| Content::Memory(bytes))
        };
        on_disk
            .into_iter()
            .find(|path| path.is_file())
            .map(Content::Path)
            .or_else(compiled_in)
    }

    fn missing(&self, file: &str) -> ModelError {
        let folder = self.pull_folder.as_deref().unwrap_or(Path::new("the model's folder"));
        let remedy = match self.wanted(file).source {
            Some(FileSource::Export(command)) => format!("make it with `{}`", export_command(&command, folder)),
            Some(_) => format!("run `labelmill models pull {}`", self.manifest.name),
            None => format!("put it into {}", folder.display()),
        };
        ModelError::MissingFile {
            model: self.manifest.name.clone(),
            file: file.to_owned(),
            remedy,
        }
    }
}

fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    let refuse = |source| ModelError::ReadFile {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(refuse)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(refuse)?;
    if bytes.len() as u64 > limit {
        return Err(refuse(io::Error::other(format!(
            "it is larger than {} MiB",
            limit >> 20
        ))));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use crate::model::testing::fixture;
    use crate::model::{ModelError, ModelStore};

    #[test]
    fn a_changed_or_missing_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["model.toml", "image.onnx", "text.onnx"] {
            std::fs::copy(fixture("tiny-clip").join(file), folder.path().join(file)).unwrap();
        }
        let model = ModelStore::default()
            .resolve(&folder.path().display().to_string())
            .unwrap();
        assert_eq!(model.missing_files(), ["tokenizer.json"]);
        let error = model.file("tokenizer.json").unwrap_err().to_string();
        assert!(error.contains("lacks its file tokenizer.json: put it into"), "{error}");
        std::fs::write(folder.path().join("image.onnx"), b"changed").unwrap();
        let error = model.file("image.onnx").unwrap_err();
        assert!(matches!(error, ModelError::WrongHash { .. }), "{error}");
    }

    #[test]
    fn weights_in_a_file_of_their_own_are_files_of_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = std::fs::read_to_string(fixture("tiny-logits-tagger").join("model.toml")).unwrap();
        let unpinned: String = manifest
            .lines()
            .filter(|line| !line.starts_with("sha256"))
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::copy(
            fixture("tiny-logits-tagger").join("tags.txt"),
            folder.path().join("tags.txt"),
        )
        .unwrap();
        // `ModelProto { graph { initializer { dims 2, float, location "weights" } } }`
        let tensor = b"\x08\x02\x10\x01\x6a\x13\x0a\x08location\x12\x07weights\x70\x01".as_slice();
        let graph = [&[0x2a, tensor.len() as u8], tensor].concat();
        let model = [&[0x3a, graph.len() as u8], graph.as_slice()].concat();
        std::fs::write(folder.path().join("image.onnx"), model).unwrap();
        std::fs::write(folder.path().join("weights"), [1; 8]).unwrap();
        let open = |manifest: &str| {
            std::fs::write(folder.path().join("model.toml"), manifest).unwrap();
            ModelStore::default()
                .resolve(&folder.path().display().to_string())
                .unwrap()
        };
        let error = open(&unpinned).file("image.onnx").unwrap_err().to_string();
        assert!(error.contains("add [[files]] file = \"weights\""), "{error}");
        let listed = format!("{unpinned}\n[[files]]\nfile = \"weights\"\n");
        let before = open(&listed).file("image.onnx").unwrap().sha256;
        std::fs::write(folder.path().join("weights"), [2; 8]).unwrap();
        assert_ne!(open(&listed).file("image.onnx").unwrap().sha256, before);
        std::fs::write(folder.path().join("weights"), [2; 7]).unwrap();
        let error = open(&listed).file("image.onnx").unwrap_err();
        assert!(matches!(error, ModelError::Refused { .. }), "{error}");
    }
}
