//! `labelmill search`: the pictures of a dataset that are nearest to a text or to a picture, by the
//! CLIP that made its embeddings.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::models::{group_name, options_for};
use crate::cli::{RunArgs, SearchArgs};
use crate::config::{BatchSize, ModelConfig};
use crate::dataset::{DatasetReader, EmbeddingColumn};
use crate::decode;
use crate::exit::{ExitStatus, UsageError};
use crate::label::{self, Labeler, LabelerOptions, Pictures, TextTower};
use crate::metadata::{self, ReadOptions};
use crate::model::find_onnxruntime::Search;
use crate::model::manifest::ModelKind;
use crate::model::{Device, Model, ModelStore, OnnxRuntime};
use crate::plan::RunPlan;
use crate::write::BOOKKEEPING_DIR;

/// Columns that a found picture is told with, where the dataset has them.
const TOLD: [&str; 4] = ["path", "prompt", "style", "caption"];

/// `labelmill search OUT QUERY`
pub fn search(args: &SearchArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let dataset = DatasetReader::open(&args.out)?;
    let plan = recorded_plan(args)?;
    let clip = Clip::of(&dataset, &plan, args)?;
    let query = clip.embed(args, &dataset)?;
    let found = nearest(&dataset, &clip.column, &query, args.top)?;
    for hit in &found {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&hit.told)?)?;
        } else {
            writeln!(
                out,
                "{:>7.4}  {}",
                hit.score,
                hit.told["uri"].as_str().unwrap_or_default()
            )?;
        }
    }
    Ok(ExitStatus::Done)
}

/// The plan that the dataset was made with.
fn recorded_plan(args: &SearchArgs) -> anyhow::Result<RunPlan> {
    let recorded = args.out.join(BOOKKEEPING_DIR).join("plan.toml");
    anyhow::ensure!(
        recorded.is_file(),
        "{} is missing, so the model of the embeddings is not known; `labelmill run` writes it",
        recorded.display()
    );
    RunPlan::resolve(&RunArgs {
        paths: vec![args.out.to_string_lossy().into_owned()],
        device: Some(args.device.clone()),
        onnxruntime: args.onnxruntime.clone(),
        batch: Some(BatchSize::Of(1)),
        ..RunArgs::default()
    })
}

/// The model that made a column of embeddings.
struct Clip<'a> {
    plan: &'a RunPlan,
    store: ModelStore,
    entry: &'a ModelConfig,
    model: Model,
    column: String,
}

impl<'a> Clip<'a> {
    /// The CLIP of the column that was asked for, or of the only one.
    fn of(dataset: &DatasetReader, plan: &'a RunPlan, args: &SearchArgs) -> anyhow::Result<Self> {
        let open_store = || ModelStore::from_environment(plan.config_folder.as_deref());
        let store = open_store();
        let mut found = Vec::new();
        for entry in plan.models() {
            let model = store.resolve(&entry.name)?;
            if model.manifest.kind == ModelKind::Clip {
                let prefix = if entry.columns.is_empty() {
                    String::new()
                } else {
                    format!("{}_", entry.columns)
                };
                found.push(Self {
                    plan,
                    store: open_store(),
                    entry,
                    model,
                    column: format!("{prefix}clip_embedding"),
                });
            }
        }
        let columns: Vec<String> = found.iter().map(|clip| clip.column.clone()).collect();
        if found.is_empty() {
            dataset.require(&["clip_embedding"])?;
        }
        let wanted = match (&args.column, columns.as_slice()) {
            (Some(column), _) => column,
            (None, [only]) => only,
            (None, _) => {
                let message = format!(
                    "several models made embeddings; --column {} says which",
                    columns.join(" | ")
                );
                return Err(UsageError::error(message));
            }
        };
        dataset.require(&[wanted])?;
        let position = found.iter().position(|clip| clip.column == *wanted);
        let position = position.with_context(|| format!("no CLIP of the recorded plan makes {wanted}"))?;
        Ok(found.swap_remove(position))
    }

    /// The query as an embedding of length 1, by the very model that made the dataset's.
    fn embed(&self, args: &SearchArgs, dataset: &DatasetReader) -> anyhow::Result<Vec<f32>> {
        let device: Device = args
            .device
            .parse()
            .map_err(|error| UsageError::error(format!("--device: {error}")))?;
        let runtime = OnnxRuntime::load(&Search::from_environment(args.onnxruntime.clone()))?;
        let options = options_for(
            self.plan,
            &self.entry.columns,
            &self.model,
            device,
            &self.store,
            runtime,
        );
        let mut labeler = label::open(&self.model, runtime, &options)?;
        self.ensure_same(labeler.as_ref(), dataset)?;
        match (&args.image, &args.query) {
            (Some(file), _) => embed_picture(labeler.as_mut(), file, &self.column),
            (None, query) => {
                drop(labeler);
                self.embed_text(runtime, &options, query.as_deref().unwrap_or_default())
            }
        }
    }

    fn embed_text(&self, runtime: &OnnxRuntime, options: &LabelerOptions, query: &str) -> anyhow::Result<Vec<f32>> {
        let mut tower = TextTower::open(&self.model, runtime, options)?;
        let embeddings = tower.embed_texts(&[query.to_owned()])?;
        embeddings
            .into_iter()
            .next()
            .context("the text tower gave no embedding")
    }

    /// Embeddings of two models, or of two preparations of a picture, cannot be compared.
    fn ensure_same(&self, labeler: &dyn Labeler, dataset: &DatasetReader) -> anyhow::Result<()> {
        let group = group_name(self.model.manifest.kind.as_str(), labeler.name(), &self.entry.columns);
        let meta = dataset.meta();
        let made_by = meta.fingerprints.get(&group).map_or(&[][..], Vec::as_slice);
        anyhow::ensure!(
            made_by == [labeler.fingerprint()],
            "the embeddings in {} were not all made by {} as it is now (model files, preprocessing or zero-shot tables \
             differ); `labelmill run {}` makes them anew",
            dataset.out().display(),
            self.entry.name,
            dataset.out().display()
        );
        Ok(())
    }
}

fn embed_picture(labeler: &mut dyn Labeler, file: &Path, column: &str) -> anyhow::Result<Vec<f32>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let orientation = metadata::read(&mut Cursor::new(&bytes), &ReadOptions::default())
        .facts
        .orientation;
    let picture = decode::decode_guarded(&bytes, orientation.unwrap_or(1), &decode::DecodeOptions::default())
        .with_context(|| format!("{}", file.display()))?;
    let squares = decode::resize(&picture, &labeler.geometries());
    let labels = labeler.label(&Pictures::of(&[squares.first().map(Vec::as_slice)]))?;
    if let Some((_, failure)) = labels.failures.into_iter().next() {
        return Err(failure).with_context(|| format!("{}", file.display()));
    }
    let rows = RecordBatch::try_new(Schema::new(labeler.fields()).into(), labels.columns)?;
    let embeddings = rows.column_by_name(column).context("the model gives no embedding")?;
    let embeddings = EmbeddingColumn::new(column, embeddings)?;
    let embedding = embeddings.get(0).context("the model gives no embedding")?;
    Ok(embedding.to_vec())
}

/// A found picture.
struct Hit {
    score: f32,
    told: serde_json::Map<String, serde_json::Value>,
}

/// The `top` rows with the largest cosine to `query`, best first, equals in the dataset's order.
fn nearest(dataset: &DatasetReader, column: &str, query: &[f32], top: usize) -> anyhow::Result<Vec<Hit>> {
    let mut columns = vec!["uri", column];
    columns.extend(dataset.present(&TOLD));
    let mut hits: Vec<Hit> = Vec::new();
    for rows in dataset.rows(&columns)? {
        let rows = rows?;
        let embeddings = rows.embedding(column)?;
        anyhow::ensure!(
            embeddings.width() == query.len(),
            "{column} has {} numbers, the model gives {}",
            embeddings.width(),
            query.len()
        );
        for row in 0..rows.len() {
            let Some(embedding) = embeddings.get(row) else { continue };
            let score: f32 = embedding.iter().zip(query).map(|(one, other)| one * other).sum();
            let place = hits.partition_point(|hit| hit.score >= score);
            if place < top {
                let mut told = serde_json::Map::new();
                told.insert("score".to_owned(), score.into());
                told.extend(rows.json(row).into_iter().filter(|(name, _)| name != column));
                hits.insert(place, Hit { score, told });
                hits.truncate(top);
            }
        }
    }
    Ok(hits)
}
