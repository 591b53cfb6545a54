//! The CLIP interrogator: what a picture shows, as a caption, as the terms of tables that are
//! nearest to it, and as a prompt made of both.
//!
//! `tables` and `cache`/`build` give the terms and their embeddings, `rank` finds the nearest,
//! `chain` grows prompts, `modes` formats them, `engine` puts these together, and the labeler
//! here makes columns of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder};
use arrow::datatypes::{DataType, FieldRef};

use super::caption::Captioner;
use super::clip::fingerprint;
use super::columns::{self, ColumnNames};
use super::tower::SharedTower;
use super::{BatchChoice, BatchId, LabelError, Labeler, LabelerOptions, Labels, Pictures, TextReader, Towers};
use crate::model::{Model, Runtime};
use crate::record::{Failure, Geometry};

mod build;
mod cache;
mod chain;
mod engine;
mod judge;
mod lexicon;
mod modes;
mod on_demand;
mod rank;
mod steps;
mod tables;

pub use build::{Unwatched, Watch};
pub use engine::{Answer, Engine, Question, Rules};
pub use modes::Mode;
pub use tables::{PEER_TABLES, TableError, TermTable};

use lexicon::Lexicon;

/// Raised by hand when the same models, tables and options give other prompts.
const STAGE_VERSION: u32 = 1;

/// Which pictures are interrogated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scope {
    /// Those that carry no prompt of their own.
    #[default]
    Missing,
    /// Every one.
    All,
}

/// What is to be made of pictures.
#[derive(Debug, Clone)]
pub struct InterrogateOptions {
    /// How prompts are made.
    pub mode: Mode,
    /// Which pictures are interrogated.
    pub scope: Scope,
    /// The term tables, in the order in which their terms count as earlier.
    pub tables: Vec<TermTable>,
    /// Terms added to a caption at most.
    pub max_terms: usize,
    /// Terms that a chain takes even where they do not help.
    pub min_terms: usize,
    /// Flavors in the classic format.
    pub classic_flavors: usize,
    /// Candidates of a chain.
    pub candidates: usize,
    /// Terms of each table in `clip_terms`, and in a prompt of the web UI's format.
    pub terms_per_table: usize,
    /// Whether the web UI's format carries shares.
    pub ranks: bool,
    /// Ours, or clip-interrogator's with its quirks.
    pub rules: Rules,
    /// Terms a block in which clip-interrogator ranks, its `chunk_size`.
    pub peer_block: usize,
    /// Folder of the tables' embeddings; none: they are built anew each time.
    pub cache: Option<PathBuf>,
}

impl Default for InterrogateOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            scope: Scope::default(),
            tables: Vec::new(),
            max_terms: 32,
            min_terms: 8,
            classic_flavors: 3,
            candidates: 2048,
            terms_per_table: 5,
            ranks: false,
            rules: Rules::default(),
            peer_block: 2048,
            cache: None,
        }
    }
}

/// How far an interrogator is.
enum Stage {
    /// It can tell what it makes.
    Opened(Box<(Arc<TextReader>, InterrogateOptions)>),
    /// It can make it.
    Ready(Box<Engine>),
    /// Getting ready failed.
    Broken,
}

/// Makes `caption` where it has a captioner, `clip_prompt` (`clip_negative_prompt` in negative
/// mode), `clip_terms`, `clip_term_tables` and `clip_term_scores`.
pub struct InterrogatorLabeler {
    name: String,
    image: SharedTower,
    captioner: Option<Box<dyn Captioner>>,
    stage: Stage,
    scope: Scope,
    demo: bool,
    fields: Vec<FieldRef>,
    fingerprint: String,
}

impl InterrogatorLabeler {
    /// Loads the image tower of a CLIP, which may be open already as the captioner is, and reads what
    /// the text tower is. Before it labels, it has to be made ready.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(
        model: &Model,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
        interrogate: InterrogateOptions,
        captioner: Option<Box<dyn Captioner>>,
        towers: &mut Towers,
    ) -> Result<Self, LabelError> {
        let manifest = &model.manifest;
        let names = ColumnNames::new(options.columns.as_deref(), &manifest.name)?;
        let image = towers.open(model, runtime, options)?;
        let reader = Arc::new(TextReader::open(model)?);
        engine::check(&manifest.name, &interrogate, captioner.is_some())?;
        let said = describe(&interrogate, &reader);
        let said_by = captioner.as_ref().map_or("", |captioner| captioner.fingerprint());
        let parts = [image.sha256(), &manifest.image.describe_preprocessing(), &said, said_by];
        let fingerprint = fingerprint("interrogate", STAGE_VERSION, &parts);
        Ok(Self {
            name: manifest.name.clone(),
            image,
            scope: interrogate.scope,
            demo: manifest.demo || captioner.as_ref().is_some_and(|captioner| captioner.is_demo()),
            fields: fields(&names, interrogate.mode, captioner.is_some()),
            captioner,
            fingerprint,
            stage: Stage::Opened(Box::new((reader, interrogate))),
        })
    }

    /// Gets the tables' embeddings, which can take long the first time: `watch` is told and may
    /// end it. The text tower is loaded where something is left to embed.
    ///
    /// # Errors
    /// `Ended` where `watch` ended it.
    pub fn make_ready(
        &mut self,
        model: &Model,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
        watch: &dyn Watch,
    ) -> Result<(), LabelError> {
        if let Stage::Opened(opened) = std::mem::replace(&mut self.stage, Stage::Broken) {
            let (reader, interrogate) = *opened;
            let width = self.image.width();
            let engine = Engine::open(model, reader, width, runtime, options, interrogate, watch)?;
            self.stage = Stage::Ready(Box::new(engine));
        }
        Ok(())
    }

    /// The captions of the wanted pictures; a picture without one stands in `failures`.
    fn captions(
        &mut self,
        pictures: &Pictures<'_>,
        wanted: &[bool],
        failures: &mut Vec<(usize, Failure)>,
    ) -> Result<Vec<Option<String>>, LabelError> {
        let Some(captioner) = &mut self.captioner else {
            return Ok(vec![None; pictures.len()]);
        };
        let squares = pictures.squares(1).iter().zip(wanted);
        let squares: Vec<Option<&[u8]>> = squares.map(|(square, wanted)| square.filter(|_| *wanted)).collect();
        let mut captions = Vec::with_capacity(squares.len());
        for (row, made) in captioner.caption(&squares)?.into_iter().enumerate() {
            let made = made.and_then(|made| made.map_err(|failure| failures.push((row, failure))).ok());
            captions.push(made.map(|caption| caption.text));
        }
        Ok(captions)
    }

    fn is_wanted(&self, pictures: &Pictures<'_>, row: usize) -> bool {
        match self.scope {
            Scope::Missing => !pictures.has_prompt(row),
            Scope::All => true,
        }
    }
}

impl Labeler for InterrogatorLabeler {
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
        let captioner = self.captioner.as_ref().map(|captioner| captioner.geometry());
        std::iter::once(self.image.geometry()).chain(captioner).collect()
    }

    fn is_demo(&self) -> bool {
        self.demo
    }

    fn device(&self) -> &str {
        self.image.device()
    }

    fn fit_batch(&mut self, images: u64) -> Result<Vec<BatchChoice>, LabelError> {
        let mut choices: Vec<BatchChoice> = self.image.fit_batch(images)?.into_iter().collect();
        if let Some(captioner) = &mut self.captioner {
            choices.extend(captioner.fit_batch(images)?);
        }
        Ok(choices)
    }

    fn begin(&mut self, pictures: &Pictures<'_>) {
        let wanted: Vec<bool> = (0..pictures.len()).map(|row| self.is_wanted(pictures, row)).collect();
        self.image.begin(pictures, 0, |row| wanted[row]);
    }

    fn is_ready(&mut self, batch: BatchId) -> bool {
        self.image.is_ready(batch)
    }

    fn label(&mut self, pictures: &Pictures<'_>) -> Result<Labels, LabelError> {
        let wanted: Vec<bool> = (0..pictures.len()).map(|row| self.is_wanted(pictures, row)).collect();
        let given = self.image.embed(pictures, 0, |row| wanted[row])?;
        let mut failures = given.failures;
        let captions = self.captions(pictures, &wanted, &mut failures)?;
        let Stage::Ready(engine) = &mut self.stage else {
            return Err(LabelError::Option {
                model: self.name.clone(),
                message: "the interrogator was not made ready".to_owned(),
            });
        };
        let is_failed = |row: usize| failures.iter().any(|(failed, _)| *failed == row);
        let (mut rows, mut questions) = (Vec::new(), Vec::new());
        for (row, picture) in given.rows.iter().enumerate() {
            if let (Some(picture), false) = (picture, is_failed(row)) {
                let caption = captions[row].as_deref().unwrap_or_default();
                rows.push(row);
                questions.push(Question { picture, caption });
            }
        }
        let mut answers: Vec<Option<Answer>> = vec![None; pictures.len()];
        for (row, answer) in rows.into_iter().zip(engine.ask(&questions)?) {
            answers[row] = Some(answer);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.fields.len());
        if self.captioner.is_some() {
            columns.push(Arc::new(captions.iter().map(Option::as_deref).collect::<StringArray>()));
        }
        columns.extend(answer_columns(&answers, engine.lexicon()));
        failures.sort_by_key(|(row, _)| *row);
        Ok(Labels { columns, failures })
    }
}

/// Where `scripts/fetch-terms` puts clip-interrogator's tables: `LABELMILL_TERMS`, else
/// `labelmill/terms/clip-interrogator` in the user's data folder.
pub fn peer_data_folder() -> PathBuf {
    let variable = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let data = || variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    variable("LABELMILL_TERMS").unwrap_or_else(|| {
        let data = data().unwrap_or_else(|| Path::new(".").to_path_buf());
        data.join("labelmill/terms/clip-interrogator")
    })
}

/// Everything that prompts depend on beside the image tower, in one text.
fn describe(options: &InterrogateOptions, text: &TextReader) -> String {
    let tables: Vec<(&str, String)> = options
        .tables
        .iter()
        .map(|table| (table.name.as_str(), table.hash()))
        .collect();
    let spec = text.spec();
    let said = (
        (tables, text.sha256(), spec.context, spec.pad_id),
        (options.mode.as_str(), options.scope == Scope::All, options.ranks),
        (options.max_terms, options.min_terms, options.classic_flavors),
        (options.candidates, options.terms_per_table),
        (options.rules == Rules::Peer, options.peer_block),
    );
    serde_json::to_string(&said).expect("texts, numbers and lists always become JSON")
}

fn fields(names: &ColumnNames, mode: Mode, has_caption: bool) -> Vec<FieldRef> {
    let prompt = match mode {
        // Never to be taken for what the picture shows.
        Mode::Negative => "clip_negative_prompt",
        _ => "clip_prompt",
    };
    let mut fields = Vec::new();
    if has_caption {
        fields.push(names.field("caption", DataType::Utf8));
    }
    fields.extend([
        names.field(prompt, DataType::Utf8),
        names.field("clip_terms", columns::list_type(DataType::Utf8)),
        names.field("clip_term_tables", columns::list_type(DataType::Utf8)),
        names.field("clip_term_scores", columns::list_type(DataType::Float32)),
    ]);
    fields
}

/// The columns of [`fields`] but the caption, null where there is no answer.
fn answer_columns(answers: &[Option<Answer>], lexicon: &Lexicon) -> Vec<ArrayRef> {
    let mut prompts = StringBuilder::new();
    let (mut terms, mut tables) = (columns::text_lists(), columns::text_lists());
    let mut scores = columns::score_lists();
    for answer in answers {
        prompts.append_option(answer.as_ref().map(|answer| answer.prompt.as_str()));
        for term in answer.iter().flat_map(|answer| &answer.terms) {
            terms.values().append_value(lexicon.text(term.term));
            tables.values().append_value(lexicon.table_of(term.term));
            scores.values().append_value(term.similarity);
        }
        terms.append(answer.is_some());
        tables.append(answer.is_some());
        scores.append(answer.is_some());
    }
    vec![
        Arc::new(prompts.finish()),
        Arc::new(terms.finish()),
        Arc::new(tables.finish()),
        Arc::new(scores.finish()),
    ]
}

#[cfg(test)]
mod tests;
