//! From a model's name to its manifest and files: a folder that was named, `models/NAME` beside
//! the configuration or in the user's data folder, or compiled in. Files are checked against the
//! hashes that the manifest pins before anything reads them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::embedded::{EMBEDDED, EmbeddedModel};
use super::error::ModelError;
use super::manifest::Manifest;
use super::session::Graph;

/// Where models are looked for by name, in order; the embedded ones come last.
#[derive(Debug, Clone, Default)]
pub struct ModelStore {
    folders: Vec<PathBuf>,
}

/// Largest label file or tokenizer that is read, in bytes.
const MAX_SMALL_FILE: u64 = 256 << 20;

/// Largest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 4 << 20;

impl ModelStore {
    /// A store over these folders, each holding a folder a model.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// The store as this process sees it: `models/` beside the configuration file, then
    /// `LABELMILL_MODELS`, then `labelmill/models` in the user's data folder
    /// (`XDG_DATA_HOME`, else `~/.local/share`).
    pub fn from_environment(configuration_folder: Option<&Path>) -> Self {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let data = variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
        let folders = [
            configuration_folder.map(|folder| folder.join("models")),
            variable("LABELMILL_MODELS"),
            data.map(|data| data.join("labelmill/models")),
        ];
        Self::new(folders.into_iter().flatten().collect())
    }

    /// The model of this name, or in this folder where the name holds a slash or is a folder with
    /// a `model.toml`.
    ///
    /// # Errors
    /// `UnknownModel` with what was searched, `Manifest`, `ReadFile`.
    pub fn resolve(&self, name: &str) -> Result<Model, ModelError> {
        if name.contains('/') {
            return Model::open(PathBuf::from(name));
        }
        if let Some(folder) = self
            .folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|folder| has_manifest(folder))
        {
            return Model::open(folder);
        }
        if let Some(embedded) = EMBEDDED.iter().find(|embedded| embedded.name == name) {
            return Model::embedded(embedded);
        }
        if has_manifest(Path::new(name)) {
            return Model::open(PathBuf::from(name));
        }
        let mut searched: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        searched.push("the embedded models".to_owned());
        Err(ModelError::UnknownModel {
            name: name.to_owned(),
            searched,
            nearest_name: self.nearest(name),
        })
    }

    /// Every model that can be named, by name: those of the folders, then the embedded ones that
    /// no folder hides. A manifest that cannot be read is an error in its place.
    pub fn list(&self) -> Vec<(String, Result<Model, ModelError>)> {
        let mut models: Vec<(String, Result<Model, ModelError>)> = Vec::new();
        for folder in &self.folders {
            let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
            let mut paths: Vec<PathBuf> = entries
                .map(|entry| entry.path())
                .filter(|path| has_manifest(path))
                .collect();
            paths.sort();
            for path in paths {
                let name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                if !models.iter().any(|(known, _)| *known == name) {
                    models.push((name, Model::open(path)));
                }
            }
        }
        for embedded in EMBEDDED {
            if !models.iter().any(|(known, _)| known == embedded.name) {
                models.push((embedded.name.to_owned(), Model::embedded(embedded)));
            }
        }
        models.sort_by(|left, right| left.0.cmp(&right.0));
        models
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let known = self.list().into_iter().map(|(known, _)| known);
        let scored = known.map(|known| (strsim::jaro_winkler(name, &known), known));
        // Below this likeness a suggestion confuses more than it helps.
        let likely = scored.filter(|(likeness, _)| *likeness > 0.7);
        likely
            .max_by(|left, right| left.0.total_cmp(&right.0))
            .map(|(_, known)| known)
    }
}

fn has_manifest(folder: &Path) -> bool {
    folder.join("model.toml").is_file()
}

/// A manifest and the place of its files.
#[derive(Debug, Clone)]
pub struct Model {
    /// What the manifest says.
    pub manifest: Manifest,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    Embedded(&'static EmbeddedModel),
}

/// A file of a model, its hash checked.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// SHA-256 of its bytes, in lower-case hex.
    pub sha256: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Path(PathBuf),
    Memory(&'static [u8]),
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

impl Model {
    fn open(folder: PathBuf) -> Result<Self, ModelError> {
        let path = folder.join("model.toml");
        let text = String::from_utf8(read_small(&path, MAX_MANIFEST)?).map_err(|error| ModelError::Manifest {
            place: path.display().to_string(),
            message: format!("it is not UTF-8: {error}"),
        })?;
        let manifest = Manifest::parse(&text, &path.display().to_string())?;
        Ok(Self {
            manifest,
            place: Place::Folder(folder),
        })
    }

    fn embedded(embedded: &'static EmbeddedModel) -> Result<Self, ModelError> {
        let manifest = Manifest::parse(embedded.manifest, &format!("the embedded model {}", embedded.name))?;
        Ok(Self {
            manifest,
            place: Place::Embedded(embedded),
        })
    }

    /// The folder of its files; none for an embedded model.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Embedded(_) => None,
        }
    }

    /// The files that the manifest names and that are not here.
    pub fn missing_files(&self) -> Vec<&str> {
        let here = |file: &str| match &self.place {
            Place::Folder(folder) => folder.join(file).is_file(),
            Place::Embedded(embedded) => embedded.files.iter().any(|(known, _)| *known == file),
        };
        self.manifest
            .needed_files()
            .into_iter()
            .filter(|file| !here(file))
            .collect()
    }

    /// One file of the model, hashed and compared with what the manifest pins.
    ///
    /// # Errors
    /// `MissingFile`, `ReadFile`, `WrongHash`.
    pub fn file(&self, name: &str) -> Result<ModelFile, ModelError> {
        let (content, sha256) = match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                if !path.is_file() {
                    return Err(self.missing(name, folder));
                }
                let sha256 = hash_file(&path).map_err(|source| ModelError::ReadFile {
                    path: path.clone(),
                    source,
                })?;
                (Content::Path(path), sha256)
            }
            Place::Embedded(embedded) => {
                let found = embedded.files.iter().find(|(known, _)| *known == name);
                let (_, bytes) = found.ok_or_else(|| self.missing(name, Path::new("the program")))?;
                (Content::Memory(bytes), hex(&Sha256::digest(bytes)))
            }
        };
        match self.manifest.pinned_sha256(name) {
            Some(wanted) if !wanted.eq_ignore_ascii_case(&sha256) => Err(ModelError::WrongHash {
                model: self.manifest.name.clone(),
                file: name.to_owned(),
                wanted: wanted.to_ascii_lowercase(),
                found: sha256,
            }),
            _ => Ok(ModelFile { sha256, content }),
        }
    }

    fn missing(&self, file: &str, folder: &Path) -> ModelError {
        ModelError::MissingFile {
            model: self.manifest.name.clone(),
            file: file.to_owned(),
            folder: folder.to_path_buf(),
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

fn hash_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// Lower-case hex of some bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::fixture;

    #[test]
    fn a_folder_and_a_name_give_the_same_model() {
        let models = fixture("");
        let by_name = ModelStore::new(vec![models]).resolve("tiny-clip").unwrap();
        let by_path = ModelStore::default()
            .resolve(&fixture("tiny-clip").display().to_string())
            .unwrap();
        assert_eq!(by_name.manifest, by_path.manifest);
        assert!(by_name.missing_files().is_empty());
        let file = by_name.file("image.onnx").unwrap();
        assert_eq!(Some(file.sha256.as_str()), by_name.manifest.pinned_sha256("image.onnx"));
    }

    #[test]
    fn an_unknown_name_says_where_it_looked_and_what_is_near() {
        let error = ModelStore::new(vec![fixture("")])
            .resolve("tiny-clap")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("tests/fixtures/models") && error.contains("did you mean `tiny-clip`"),
            "{error}"
        );
    }

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
        assert!(error.contains("lacks its file tokenizer.json"), "{error}");
        std::fs::write(folder.path().join("image.onnx"), b"changed").unwrap();
        let error = model.file("image.onnx").unwrap_err();
        assert!(matches!(error, ModelError::WrongHash { .. }), "{error}");
    }

    #[test]
    fn hex_is_lower_case() {
        assert_eq!(hex(&[0x00, 0xaf, 0x9c]), "00af9c");
    }
}
