//! The models that are part of the program: small, for trying out, there without any download.

/// A model whose files are compiled in.
#[derive(Debug)]
pub struct EmbeddedModel {
    /// The name in its manifest.
    pub name: &'static str,
    /// Its `model.toml`.
    pub manifest: &'static str,
    /// Its files: name in the manifest, bytes.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// The named files of `models/NAME/`, compiled in.
macro_rules! embedded {
    ($name:literal: $($file:literal),+) => {
        EmbeddedModel {
            name: $name,
            manifest: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $name, "/model.toml")),
            files: &[$((
                $file,
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/", $name, "/", $file)).as_slice(),
            )),+],
        }
    };
}

/// Every embedded model.
pub static EMBEDDED: &[EmbeddedModel] = &[
    embedded!("demo-clip": "image.onnx", "text.onnx", "tokenizer.json"),
    embedded!("demo-tagger": "model.onnx", "selected_tags.csv"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Manifest, ModelStore};

    #[test]
    fn every_embedded_model_is_whole_and_says_that_it_is_a_demo() {
        for embedded in EMBEDDED {
            let manifest = Manifest::parse(embedded.manifest, embedded.name).unwrap();
            assert_eq!(manifest.name, embedded.name);
            assert!(manifest.demo);
            let files: Vec<&str> = embedded.files.iter().map(|(name, _)| *name).collect();
            for needed in manifest.needed_files() {
                assert!(files.contains(&needed), "{} lacks {needed}", embedded.name);
            }
            let model = ModelStore::default().resolve(embedded.name).unwrap();
            for file in files {
                model.file(file).unwrap();
            }
        }
    }
}
