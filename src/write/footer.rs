//! What a part's footer says beside its rows: the key/value metadata that makes the parts the
//! only record of what was labeled, and by what.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;

use super::DatasetSpec;
use super::error::OpenError;
use super::parts::part_name;
use super::schema::SCHEMA_VERSION;

const VERSION_KEY: &str = "labelmill.schema_version";
const PLAN_KEY: &str = "labelmill.plan";
const MODELS_KEY: &str = "labelmill.models";
const DEMO_KEY: &str = "labelmill.demo";
const ROOT_KEY: &str = "labelmill.root";
const FOLDER_KEY: &str = "labelmill.root_folder";
const GROUP_PREFIX: &str = "labelmill.group.";
const BEGUN_PREFIX: &str = "labelmill.begun.";

/// A group that a run began to make anew in a part and did not finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// This many rows, from the first on, are made anew.
    pub rows: u64,
    /// What made them.
    pub fingerprint: String,
}

/// The key/value metadata of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartMeta {
    /// Version of the base columns.
    pub schema_version: u32,
    /// Fingerprint of each column group by name; a group whose rows are not all of one making
    /// has none.
    pub fingerprints: BTreeMap<String, String>,
    /// Groups on the way from one making to the next, by name.
    pub begun: BTreeMap<String, Begun>,
    /// Name of the root, where all rows are of one.
    pub root: Option<String>,
    /// Where that root was: what the `uri` of every row begins with.
    pub root_folder: Option<String>,
    /// The plan that wrote the part, as TOML.
    pub plan: String,
    /// Names of the models.
    pub models: Vec<String>,
    /// Whether demo models spoke.
    pub demo: bool,
}

impl PartMeta {
    /// What a part of images of `root` says that is wholly made by `spec`.
    pub fn of(spec: &DatasetSpec, root: Option<String>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            fingerprints: spec
                .groups
                .iter()
                .map(|group| (group.name.clone(), group.fingerprint.clone()))
                .collect(),
            begun: BTreeMap::new(),
            root_folder: root.as_ref().and_then(|root| spec.root_folders.get(root).cloned()),
            root,
            plan: spec.plan_toml.clone(),
            models: spec.model_names.clone(),
            demo: spec.demo,
        }
    }

    /// The pairs as they are written.
    pub fn key_values(&self) -> Vec<(String, String)> {
        let mut pairs = vec![(VERSION_KEY.to_owned(), self.schema_version.to_string())];
        pairs.extend(
            self.fingerprints
                .iter()
                .map(|(group, fingerprint)| (format!("{GROUP_PREFIX}{group}"), fingerprint.clone())),
        );
        pairs.extend(self.begun.iter().map(|(group, begun)| {
            (
                format!("{BEGUN_PREFIX}{group}"),
                format!("{} {}", begun.rows, begun.fingerprint),
            )
        }));
        pairs.extend(self.root.iter().map(|root| (ROOT_KEY.to_owned(), root.clone())));
        pairs.extend(
            self.root_folder
                .iter()
                .map(|folder| (FOLDER_KEY.to_owned(), folder.clone())),
        );
        pairs.push((PLAN_KEY.to_owned(), self.plan.clone()));
        pairs.push((
            MODELS_KEY.to_owned(),
            serde_json::Value::from(self.models.clone()).to_string(),
        ));
        if self.demo {
            pairs.push((DEMO_KEY.to_owned(), "true".to_owned()));
        }
        pairs
    }

    /// Where the part's root is now, if it was elsewhere when its rows were written.
    pub fn moved_to<'a>(&self, folders: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let now = folders.get(self.root.as_ref()?)?;
        (self.root_folder.as_ref() != Some(now)).then_some(now)
    }

    /// Names of the groups that the part has in whole or in part.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.fingerprints.keys().chain(self.begun.keys()).map(String::as_str)
    }

    /// Reads the pairs back; none where they are not labelmill's.
    fn parse<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut version = None;
        let mut meta = Self::default();
        for (key, value) in pairs {
            match key {
                VERSION_KEY => version = value.parse().ok(),
                ROOT_KEY => meta.root = Some(value.to_owned()),
                FOLDER_KEY => meta.root_folder = Some(value.to_owned()),
                PLAN_KEY => value.clone_into(&mut meta.plan),
                MODELS_KEY => meta.models = serde_json::from_str(value).unwrap_or_default(),
                DEMO_KEY => meta.demo = value == "true",
                _ => meta.parse_group(key, value),
            }
        }
        version.map(|schema_version| Self { schema_version, ..meta })
    }

    fn parse_group(&mut self, key: &str, value: &str) {
        if let Some(group) = key.strip_prefix(GROUP_PREFIX) {
            self.fingerprints.insert(group.to_owned(), value.to_owned());
        } else if let Some(group) = key.strip_prefix(BEGUN_PREFIX)
            && let Some((rows, fingerprint)) = value.split_once(' ')
            && let Ok(rows) = rows.parse()
        {
            self.begun.insert(
                group.to_owned(),
                Begun {
                    rows,
                    fingerprint: fingerprint.to_owned(),
                },
            );
        }
    }
}

/// A part as its footer describes it.
#[derive(Debug, Clone)]
pub struct PartInfo {
    /// Number in its name.
    pub number: u32,
    /// Its rows.
    pub rows: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Its Arrow schema.
    pub schema: SchemaRef,
    /// Its key/value metadata.
    pub meta: PartMeta,
}

impl PartInfo {
    /// Its file name.
    pub fn name(&self) -> String {
        part_name(self.number)
    }

    /// Its path in the dataset `out`.
    pub fn path(&self, out: &Path) -> PathBuf {
        out.join(self.name())
    }

    /// Reads the footer of part `number` at `path`.
    pub fn read(path: &Path, number: u32) -> Result<(Self, ArrowReaderMetadata), OpenError> {
        let corrupt = |source: ParquetError| OpenError::Corrupt {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(|error| corrupt(error.into()))?;
        let bytes = file.metadata().map_err(|error| corrupt(error.into()))?.len();
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(corrupt)?;
        let file_metadata = footer.metadata().file_metadata();
        let rows = u64::try_from(file_metadata.num_rows()).unwrap_or(0);
        let pairs = file_metadata.key_value_metadata().into_iter().flatten();
        let pairs = pairs.filter_map(|pair| Some((pair.key.as_str(), pair.value.as_deref()?)));
        let meta = PartMeta::parse(pairs).ok_or_else(|| OpenError::Foreign { path: path.to_owned() })?;
        if meta.schema_version > SCHEMA_VERSION {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                version: meta.schema_version,
            });
        }
        Ok((
            Self {
                number,
                rows,
                bytes,
                schema: std::sync::Arc::clone(footer.schema()),
                meta,
            },
            footer,
        ))
    }
}
