//! The models that come with the program: every manifest in `models/`, and the small files beside
//! them. The demo models are whole and need no download; of the others the weights are fetched.

/// A model whose manifest, and perhaps files, are compiled in.
#[derive(Debug)]
pub struct EmbeddedModel {
    /// The name in its manifest, which is that of its folder.
    pub name: &'static str,
    /// Its `model.toml`.
    pub manifest: &'static str,
    /// The files that are compiled in: name in the manifest, bytes.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// Every model in `models/`, by name; `build.rs` lists the folder.
pub static EMBEDDED: &[EmbeddedModel] = include!(concat!(env!("OUT_DIR"), "/embedded_models.rs"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Manifest, ModelStore};

    #[test]
    fn every_manifest_parses_is_named_as_its_folder_and_tells_licence_and_origin() {
        assert!(EMBEDDED.iter().any(|embedded| embedded.name == "demo-clip"));
        for embedded in EMBEDDED {
            let manifest = Manifest::parse(embedded.manifest, embedded.name).unwrap();
            assert_eq!(manifest.name, embedded.name);
            for (key, value) in [("licence", &manifest.licence), ("origin", &manifest.origin)] {
                assert!(!value.trim().is_empty(), "{} tells no {key}", embedded.name);
            }
        }
    }

    #[test]
    fn demo_models_are_whole_and_compiled_in_files_are_as_pinned() {
        for embedded in EMBEDDED {
            let model = ModelStore::default().resolve(embedded.name).unwrap();
            for (file, _) in embedded.files {
                model.file(file).unwrap();
            }
            assert!(
                !model.manifest.demo || model.missing_files().is_empty(),
                "{} lacks {:?}",
                embedded.name,
                model.missing_files()
            );
        }
    }
}
