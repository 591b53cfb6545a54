//! Interrogates pictures as a job says and prints prompts and times as one JSON object.
//!
//! `interrogate-bench JOB.json`, started by `scripts/bench/interrogator_parity`, which compares it
//! with the Python package clip-interrogator. By the job's `peer` it follows that package's quirks.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use labelmill::decode::{self, DecodeOptions};
use labelmill::label::caption::{Caption, Captioner, Captions, open_captioner};
use labelmill::label::interrogate::{
    Engine, InterrogateOptions, InterrogatorLabeler, Mode, Question, Rules, Scope, TermTable, Unwatched,
};
use labelmill::label::{BatchId, LabelError, Labeler, LabelerOptions, Pictures, TextTower, Towers};
use labelmill::model::find_onnxruntime::Search;
use labelmill::model::{Device, Model, ModelStore, OnnxRuntime};
use labelmill::record::{Alpha, Filter, Fit, Geometry};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    /// Folder of the CLIP.
    model: String,
    /// Folder of the captioner; none: the given captions.
    captioner: Option<String>,
    #[serde(default)]
    captions: Vec<String>,
    /// Folder of clip-interrogator's tables.
    terms: PathBuf,
    tables: Vec<String>,
    /// Terms of each table, the first ones; none: all.
    table_terms: Option<usize>,
    modes: Vec<String>,
    peer: bool,
    threads: usize,
    batch: usize,
    max_terms: usize,
    min_terms: usize,
    candidates: usize,
    /// `chunk_size` of the package.
    block: usize,
    cache: Option<PathBuf>,
    #[serde(default)]
    pictures: Vec<PathBuf>,
    /// Made-up embeddings that are ranked, for the time alone.
    #[serde(default)]
    ranked: usize,
}

/// Says what the job says, picture by picture.
struct Given {
    captions: Vec<String>,
    next: usize,
}

impl Captioner for Given {
    fn name(&self) -> &str {
        "given"
    }

    fn fingerprint(&self) -> &str {
        "given"
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            size: 8,
            fit: Fit::Squash,
            filter: Filter::Bicubic,
            alpha: Alpha::Drop,
            background: [255; 3],
        }
    }

    fn is_demo(&self) -> bool {
        false
    }

    fn device(&self) -> &str {
        "none"
    }

    fn caption(&mut self, squares: &[Option<&[u8]>]) -> Result<Captions, LabelError> {
        let captions = squares.iter().map(|_| {
            let text = self.captions.get(self.next).cloned().unwrap_or_default();
            self.next += 1;
            Some(Ok(Caption { text, ids: Vec::new() }))
        });
        Ok(captions.collect())
    }
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("usage: interrogate-bench JOB.json")?;
    let job: Job = serde_json::from_slice(&std::fs::read(path)?)?;
    let runtime = OnnxRuntime::load(&Search::from_environment(None))?;
    let store = ModelStore::default();
    let model = store.resolve(&job.model)?;
    let labeler = LabelerOptions {
        device: Device::Cpu,
        batch: job.batch,
        threads: job.threads,
        ..LabelerOptions::default()
    };
    let mut answers = serde_json::Map::new();
    for name in &job.modes {
        let mode = Mode::ALL.into_iter().find(|mode| mode.as_str() == name);
        let options = options(&job, mode.context("unknown mode")?)?;
        answers.insert(name.clone(), ask(&job, &store, &model, runtime, &labeler, options)?);
    }
    if job.ranked > 0 {
        answers.insert("ranking".to_owned(), rank(&job, &model, runtime, &labeler)?);
    }
    println!("{}", Value::Object(answers));
    Ok(())
}

fn options(job: &Job, mode: Mode) -> anyhow::Result<InterrogateOptions> {
    let mut tables = Vec::new();
    for name in &job.tables {
        let mut table = TermTable::named(name, &job.terms)?;
        if let Some(kept) = job.table_terms {
            cut(&mut table, kept);
        }
        tables.push(table);
    }
    Ok(InterrogateOptions {
        mode,
        scope: Scope::All,
        tables,
        max_terms: job.max_terms,
        min_terms: job.min_terms,
        candidates: job.candidates,
        peer_block: job.block,
        rules: if job.peer { Rules::Peer } else { Rules::Clean },
        cache: job.cache.clone(),
        ..InterrogateOptions::default()
    })
}

/// Keeps the first terms; of the artists, which come twice, as many of either kind.
fn cut(table: &mut TermTable, kept: usize) {
    if table.name != "artists" {
        table.terms.truncate(kept);
        return;
    }
    let mut inspired = table.terms.split_off(table.terms.len() / 2);
    table.terms.truncate(kept / 2);
    inspired.truncate(kept / 2);
    table.terms.append(&mut inspired);
}

/// One mode over all pictures, as a run does it.
fn ask(
    job: &Job,
    store: &ModelStore,
    model: &Model,
    runtime: &OnnxRuntime,
    labeler: &LabelerOptions,
    options: InterrogateOptions,
) -> anyhow::Result<Value> {
    let opening = Instant::now();
    let captioner: Box<dyn Captioner> = match &job.captioner {
        Some(name) => open_captioner(&store.resolve(name)?, runtime, labeler)?,
        None => Box::new(Given {
            captions: job.captions.clone(),
            next: 0,
        }),
    };
    let mut towers = Towers::default();
    let mut interrogator = InterrogatorLabeler::open(model, runtime, labeler, options, Some(captioner), &mut towers)?;
    interrogator.make_ready(model, runtime, labeler, &Unwatched)?;
    let opening_secs = opening.elapsed().as_secs_f64();
    let geometries = interrogator.geometries();
    let squares = job.pictures.iter().map(|path| squares_of(path, &geometries));
    let squares = squares.collect::<anyhow::Result<Vec<_>>>()?;
    let asking = Instant::now();
    let (mut captions, mut prompts) = (Vec::new(), Vec::new());
    for batch in squares.chunks(job.batch) {
        let of_geometry = |at: usize| batch.iter().map(|of_picture| Some(of_picture[at].as_slice())).collect();
        let lists = (0..geometries.len()).map(of_geometry).collect();
        let labels = interrogator.label(&Pictures::new(BatchId::next(), lists, vec![false; batch.len()]))?;
        for (column, texts) in [(0, &mut captions), (1, &mut prompts)] {
            let array = arrow::array::AsArray::as_string::<i32>(&labels.columns[column]);
            texts.extend(array.iter().map(|text| text.unwrap_or_default().to_owned()));
        }
    }
    Ok(json!({
        "opening_secs": opening_secs,
        "secs": asking.elapsed().as_secs_f64(),
        "captions": captions,
        "prompts": prompts,
    }))
}

fn squares_of(path: &Path, geometries: &[Geometry]) -> anyhow::Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let picture = decode::decode(&bytes, 1, &DecodeOptions::default())
        .map_err(|failure| anyhow::anyhow!("{}: {}", path.display(), failure.message))?;
    Ok(decode::resize(&picture, geometries))
}

/// Ranks made-up unit vectors against all tables, and writes the nearest terms of each.
fn rank(job: &Job, model: &Model, runtime: &OnnxRuntime, labeler: &LabelerOptions) -> anyhow::Result<Value> {
    let tower = TextTower::open(model, runtime, labeler)?;
    let (reader, width) = (tower.reader().clone(), tower.width());
    let mut engine = Engine::open(
        model,
        reader,
        width,
        runtime,
        labeler,
        options(job, Mode::Fast)?,
        &Unwatched,
    )?;
    let vectors: Vec<Vec<f32>> = (0..job.ranked).map(|seed| made_up(seed, width)).collect();
    let questions: Vec<Question<'_>> = vectors
        .iter()
        .map(|picture| Question { picture, caption: "a" })
        .collect();
    engine.ask(&questions[..1])?;
    let asking = Instant::now();
    for part in questions.chunks(job.batch) {
        engine.ask(part)?;
    }
    Ok(json!({ "secs": asking.elapsed().as_secs_f64(), "pictures": job.ranked }))
}

fn made_up(seed: usize, width: usize) -> Vec<f32> {
    let value = |index: usize| ((seed * 7919 + index * 104_729) % 1009) as f32 / 504.5 - 1.0;
    let mut vector: Vec<f32> = (0..width).map(value).collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in &mut vector {
        *value /= length;
    }
    vector
}
