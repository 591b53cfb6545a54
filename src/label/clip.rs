//! CLIP: the embedding of a picture, and zero-shot tables over it.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Builder, StringBuilder};
use arrow::datatypes::{DataType, FieldRef};
use sha2::{Digest, Sha256};

use super::classify::ZeroShot;
use super::columns::{self, ColumnNames};
use super::text::TextTower;
use super::tower::{SharedTower, Towers};
use super::{BatchChoice, BatchId, EmbeddingType, LabelError, Labeler, LabelerOptions, Labels, Pictures};
use crate::model::manifest::{Activation, ClassifyTable, TextCleaning, check_tables};
use crate::model::store::hex;
use crate::model::{Model, Runtime};
use crate::record::Geometry;

/// Raised by hand when the same model and options give other values.
const STAGE_VERSION: u32 = 1;

/// Makes `clip_embedding`, and two columns for each zero-shot table.
pub struct ClipLabeler {
    image: SharedTower,
    name: String,
    demo: bool,
    tables: Vec<ZeroShot>,
    embedding: EmbeddingType,
    fields: Vec<FieldRef>,
    fingerprint: String,
}

impl ClipLabeler {
    /// Loads the image tower, and the text tower for as long as the tables need it.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(
        model: &Model,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
        towers: &mut Towers,
    ) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let names = ColumnNames::new(options.columns.as_deref(), &manifest.name)?;
        let wanted = merge_tables(&manifest.classify, &options.classify);
        let option_error = |message| LabelError::Option {
            model: manifest.name.clone(),
            message,
        };
        check_tables(&wanted).map_err(option_error)?;
        let image = towers.open(model, runtime, options)?;
        let (tables, tables_said) = open_tables(model, runtime, options, &wanted)?;
        Ok(Self {
            name: manifest.name.clone(),
            demo: manifest.demo,
            embedding: options.embedding,
            fields: fields(&names, &tables, options.embedding, image.width()),
            fingerprint: fingerprint(
                "clip",
                STAGE_VERSION,
                &[
                    image.sha256(),
                    &manifest.image.describe_preprocessing(),
                    options.embedding.as_str(),
                    tables_said.as_str(),
                ],
            ),
            image,
            tables,
        })
    }
}

impl Labeler for ClipLabeler {
    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Vec<FieldRef> {
        self.fields.clone()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn geometries(&self) -> Vec<Geometry> {
        vec![self.image.geometry()]
    }

    fn is_demo(&self) -> bool {
        self.demo
    }

    fn device(&self) -> &str {
        self.image.device()
    }

    fn fit_batch(&mut self, images: u64) -> Result<Vec<BatchChoice>, LabelError> {
        Ok(self.image.fit_batch(images)?.into_iter().collect())
    }

    fn begin(&mut self, pictures: &Pictures<'_>) {
        self.image.begin(pictures, 0, |_| true);
    }

    fn is_ready(&mut self, batch: BatchId) -> bool {
        self.image.is_ready(batch)
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        let given = self.image.embed(pictures, 0, |_| true)?;
        let mut made: Vec<ArrayRef> = Vec::with_capacity(self.fields.len());
        for table in &self.tables {
            let mut labels = StringBuilder::new();
            let mut scores = Float32Builder::new();
            for row in &given.rows {
                let chosen = row.as_deref().map(|embedding| table.choose(embedding));
                labels.append_option(chosen.map(|(label, _)| label));
                scores.append_option(chosen.map(|(_, score)| score));
            }
            made.push(Arc::new(labels.finish()));
            made.push(Arc::new(scores.finish()));
        }
        made.push(columns::embeddings(&given.rows, given.width, self.embedding));
        Ok(Labels {
            columns: made,
            failures: given.failures,
        })
    }
}

/// The manifest's tables, each replaced by the user's of the same name, then the user's others.
fn merge_tables(manifest: &[ClassifyTable], user: &[ClassifyTable]) -> Vec<ClassifyTable> {
    let by_user = |name: &str| user.iter().find(|table| table.name == name);
    let kept = manifest
        .iter()
        .map(|table| by_user(&table.name).unwrap_or(table).clone());
    let added = user
        .iter()
        .filter(|table| manifest.iter().all(|known| known.name != table.name))
        .cloned();
    kept.chain(added).collect()
}

fn fields(names: &ColumnNames, tables: &[ZeroShot], embedding: EmbeddingType, width: usize) -> Vec<FieldRef> {
    let mut fields = Vec::with_capacity(tables.len() * 2 + 1);
    for table in tables {
        fields.push(names.field(&table.name, DataType::Utf8));
        fields.push(names.field(&format!("{}_score", table.name), DataType::Float32));
    }
    fields.push(names.field("clip_embedding", columns::embedding_type(embedding, width)));
    fields
}

/// Embeds the tables' prompts, and says in one text everything that their columns depend on.
/// The text tower is loaded only where there is a table, and let go at the end.
fn open_tables(
    model: &Model,
    runtime: &dyn Runtime,
    options: &LabelerOptions,
    wanted: &[ClassifyTable],
) -> Result<(Vec<ZeroShot>, String), LabelError> {
    if wanted.is_empty() {
        return Ok((Vec::new(), String::new()));
    }
    let mut text = TextTower::open(model, runtime, options)?;
    let reader = text.reader().clone();
    let spec = reader.spec();
    let tables = wanted.iter().map(|table| ZeroShot::new(table, &mut text));
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    let said = (wanted, reader.sha256(), spec.context, spec.pad_id, spec.logit_scale);
    let mut said = serde_json::to_string(&said).expect("texts, numbers and lists always become JSON");
    if spec.activation != Activation::Softmax || spec.clean != TextCleaning::None {
        // Said only where it is not as in the first version, whose labels stay good.
        let _ = write!(said, " {:?} {} {:?}", spec.activation, spec.logit_bias, spec.clean);
    }
    Ok((tables, said))
}

/// `KIND:VERSION:HASH` over everything that values depend on.
pub(super) fn fingerprint(kind: &str, version: u32, parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // With its length, so that no two lists of parts read the same.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{kind}:{version}:{}", &hex(&hasher.finalize())[..32])
}
