//! From a model's name to its manifest: a folder that was named, `models/NAME` beside the
//! configuration or in the store, or compiled in. The store is one folder for all runs of a user;
//! pulled files are there, whatever the place of the manifest.

use std::path::{Path, PathBuf};

use super::embedded::EMBEDDED;
use super::error::ModelError;
use super::files::Model;

/// Where models are looked for by name, in order; the embedded ones come last.
#[derive(Debug, Clone, Default)]
pub struct ModelStore {
    folders: Vec<PathBuf>,
    /// Where pulled files are; also one of the folders.
    home: Option<PathBuf>,
}

impl ModelStore {
    /// A store over these folders, each holding a folder a model, that pulls nothing.
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, home: None }
    }

    /// The store as this process sees it: `models/` beside the configuration file, then
    /// `LABELMILL_MODELS`, then `labelmill/models` in the user's data folder
    /// (`XDG_DATA_HOME`, else `~/.local/share`). Pulled files go into the last two, into the first
    /// of them that is named.
    pub fn from_environment(configuration_folder: Option<&Path>) -> Self {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let data = variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
        let beside = configuration_folder.map(|folder| folder.join("models"));
        let named = variable("LABELMILL_MODELS");
        let data = data.map(|data| data.join("labelmill/models"));
        Self {
            home: named.clone().or_else(|| data.clone()),
            folders: [beside, named, data].into_iter().flatten().collect(),
        }
    }

    /// Where pulled files are, a folder a model.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The model of this name or alias (`ViT-L-14/openai`), or in this folder where the name holds a
    /// slash or is a folder with a `model.toml`.
    ///
    /// # Errors
    /// `UnknownModel` with what was searched, `Manifest`, `ReadFile`.
    pub fn resolve(&self, name: &str) -> Result<Model, ModelError> {
        if name.contains('/') {
            return match self.by_alias(name).filter(|_| !has_manifest(Path::new(name))) {
                Some(model) => Ok(model),
                None => Model::open(PathBuf::from(name), self.home()),
            };
        }
        if let Some(folder) = self
            .folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|folder| has_manifest(folder))
        {
            return Model::open(folder, self.home());
        }
        if let Some(embedded) = EMBEDDED.iter().find(|embedded| embedded.name == name) {
            return Model::embedded(embedded, self.home());
        }
        if has_manifest(Path::new(name)) {
            return Model::open(PathBuf::from(name), self.home());
        }
        if let Some(model) = self.by_alias(name) {
            return Ok(model);
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
                    models.push((name, Model::open(path, self.home())));
                }
            }
        }
        for embedded in EMBEDDED {
            if !models.iter().any(|(known, _)| known == embedded.name) {
                models.push((embedded.name.to_owned(), Model::embedded(embedded, self.home())));
            }
        }
        models.sort_by(|left, right| left.0.cmp(&right.0));
        models
    }

    fn by_alias(&self, name: &str) -> Option<Model> {
        let mut models = self.list().into_iter().filter_map(|(_, model)| model.ok());
        models.find(|model| model.manifest.answers_to(name))
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
    fn a_model_answers_to_its_aliases_and_a_path_stays_a_path() {
        let store = ModelStore::default();
        let model = store.resolve("ViT-L-14/openai").unwrap();
        assert_eq!(model.manifest.name, "vit-l-14");
        assert_eq!(store.resolve("vit-l-14").unwrap().manifest, model.manifest);
        let error = store.resolve("no/such/folder").unwrap_err().to_string();
        assert!(error.contains("no/such/folder/model.toml"), "{error}");
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
    fn hex_is_lower_case() {
        assert_eq!(hex(&[0x00, 0xaf, 0x9c]), "00af9c");
    }
}
