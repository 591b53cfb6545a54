//! From embeddings and captions of pictures to prompts and terms.

use std::ops::Range;
use std::sync::Arc;

use super::InterrogateOptions;
use super::build::{CachePlace, Watch, embeddings};
use super::cache::CacheKey;
use super::chain::{ChainRules, ChainStart, Judge, chains};
use super::judge::TowerJudge;
use super::lexicon::Lexicon;
use super::modes::{self, CLASSIC_TABLES, ClassicTerms, Fit, Mode};
use super::on_demand::TowerOnDemand;
use super::rank::{End, Ranked, Ranker, top, top_in_blocks};
use super::steps::StepTower;
use super::tables::TermTable;
use crate::label::{LabelError, LabelerOptions, TextReader};
use crate::model::{Model, Runtime};

/// Whose rules hold where clip-interrogator's differ from what its modes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rules {
    /// The nearest candidates of all, each term once, the right sign in negative chains, prompts
    /// that fit with their commas.
    #[default]
    Clean,
    /// As clip-interrogator 0.6.0, for comparison with it.
    Peer,
}

/// Repeated terms that a ranking may meet before the list of distinct ones runs short.
const SPARE_REPEATS: usize = 32;

/// One picture.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Its unit embedding.
    pub picture: &'a [f32],
    /// Its caption, empty where there is none.
    pub caption: &'a str,
}

/// What is said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The prompt.
    pub prompt: String,
    /// The nearest terms of each table, by falling cosine.
    pub terms: Vec<Ranked>,
}

/// An interrogator that is ready.
pub struct Engine {
    model: String,
    lexicon: Lexicon,
    ranker: Ranker,
    reader: Arc<TextReader>,
    /// In the modes that compare whole prompts.
    judge: Option<TowerJudge>,
    options: InterrogateOptions,
}

impl Engine {
    /// Gets the tables' embeddings, from caches or by building them, and puts them on the device.
    /// Pictures' embeddings have `width` values.
    pub fn open(
        model: &Model,
        reader: Arc<TextReader>,
        width: usize,
        runtime: &dyn Runtime,
        labeler: &LabelerOptions,
        mut options: InterrogateOptions,
        watch: &dyn Watch,
    ) -> Result<Self, LabelError> {
        let tables = std::mem::take(&mut options.tables);
        let lexicon = Lexicon::new(tables.clone());
        let mut text = TowerOnDemand::new(model, runtime, labeler, reader.clone(), width);
        let mut rows = Vec::new();
        for (name, _) in lexicon.positive_tables().chain([("negative", lexicon.negative())]) {
            if let Some(table) = tables.iter().find(|table| table.name == name) {
                rows.extend(table_rows(model, table, &mut text, options.cache.as_deref(), watch)?);
            }
        }
        let judge = match options.mode {
            Mode::Best | Mode::Negative => {
                let spec = reader.spec();
                let steps = spec.chain.as_ref();
                let steps = steps.map(|graph| StepTower::open(model, graph, spec.context, runtime, labeler));
                let steps = steps.transpose()?;
                Some(TowerJudge::open(text.into_tower()?, steps, lexicon.texts().to_vec())?)
            }
            Mode::Fast | Mode::Classic | Mode::Webui | Mode::Caption => None,
        };
        Ok(Self {
            model: model.manifest.name.clone(),
            ranker: Ranker::open(rows, width, runtime, labeler)?,
            reader,
            judge,
            lexicon,
            options,
        })
    }

    /// All terms.
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Prompts and terms of pictures, one answer a question.
    pub fn ask(&mut self, questions: &[Question<'_>]) -> Result<Vec<Answer>, LabelError> {
        let pictures: Vec<&[f32]> = questions.iter().map(|question| question.picture).collect();
        let scores = self.ranker.scores(&pictures)?;
        let prompts = match self.options.mode {
            Mode::Caption => questions.iter().map(|question| question.caption.to_owned()).collect(),
            Mode::Fast => self.each(questions, &scores, Self::fast)?,
            Mode::Classic => self.each(questions, &scores, |engine, question, scores| {
                engine.classic(question, scores, engine.options.classic_flavors)
            })?,
            Mode::Webui => self.each(questions, &scores, |engine, question, scores| {
                Ok(engine.webui(question, scores))
            })?,
            Mode::Best => self.best(questions, &scores)?,
            Mode::Negative => self.negative(questions, &scores)?,
        };
        let terms = questions.iter().zip(&scores);
        let terms = terms.map(|(question, scores)| self.terms(question.picture, scores));
        Ok(prompts
            .into_iter()
            .zip(terms)
            .map(|(prompt, terms)| Answer { prompt, terms })
            .collect())
    }

    fn each(
        &self,
        questions: &[Question<'_>],
        scores: &[Vec<f32>],
        answer: impl Fn(&Self, Question<'_>, &[f32]) -> Result<String, LabelError>,
    ) -> Result<Vec<String>, LabelError> {
        let pairs = questions.iter().zip(scores);
        pairs
            .map(|(&question, scores)| answer(self, question, scores))
            .collect()
    }

    /// The nearest terms of every table, by falling cosine.
    fn terms(&self, picture: &[f32], scores: &[f32]) -> Vec<Ranked> {
        let mut terms: Vec<Ranked> = self
            .lexicon
            .positive_tables()
            .flat_map(|(_, range)| self.nearest(picture, scores, range, self.options.terms_per_table))
            .collect();
        terms.sort_by(|left, right| {
            let by_similarity = right.similarity.total_cmp(&left.similarity);
            by_similarity.then(left.term.cmp(&right.term))
        });
        terms
    }

    /// The first terms of a range with their exact cosines; by our rules each text once.
    fn nearest(&self, picture: &[f32], scores: &[f32], range: Range<usize>, wanted: usize) -> Vec<Ranked> {
        if self.options.rules == Rules::Peer {
            return self.ranker.best(picture, scores, range, wanted, End::Nearest);
        }
        let spare = wanted.saturating_add(SPARE_REPEATS);
        let ranked = self.ranker.best(picture, scores, range, spare, End::Nearest);
        let distinct = self.lexicon.distinct(ranked.iter().map(|ranked| ranked.term));
        let kept: Vec<usize> = distinct.take(wanted).collect();
        ranked
            .into_iter()
            .filter(|ranked| kept.contains(&ranked.term))
            .collect()
    }

    fn texts(&self, ranked: &[Ranked]) -> Vec<&str> {
        ranked.iter().map(|ranked| self.lexicon.text(ranked.term)).collect()
    }

    fn fast(&self, question: Question<'_>, scores: &[f32]) -> Result<String, LabelError> {
        let wanted = self.options.max_terms;
        let nearest = self.nearest(question.picture, scores, self.lexicon.merged(), wanted);
        self.fit(&modes::fast(question.caption, &self.texts(&nearest)))
    }

    fn classic(&self, question: Question<'_>, scores: &[f32], flavors: usize) -> Result<String, LabelError> {
        let of = |table: &str, wanted: usize| -> Vec<&str> {
            let range = self.lexicon.range(table).unwrap_or(0..0);
            self.texts(&self.nearest(question.picture, scores, range, wanted))
        };
        let first = |table: &str| of(table, 1).first().copied().unwrap_or_default();
        let terms = ClassicTerms {
            medium: first("mediums"),
            artist: first("artists"),
            trending: first("trendings"),
            movement: first("movements"),
            flavors: of("flavors", flavors),
        };
        self.fit(&modes::classic(question.caption, &terms))
    }

    fn webui(&self, question: Question<'_>, scores: &[f32]) -> String {
        let mut matches = Vec::new();
        for (_, range) in self.lexicon.positive_tables() {
            let wanted = self.options.terms_per_table;
            let nearest = self.nearest(question.picture, scores, range.clone(), wanted);
            let similarities: Vec<f32> = nearest.iter().map(|ranked| ranked.similarity).collect();
            let shares = modes::shares(&scores[range], &similarities);
            matches.extend(self.texts(&nearest).into_iter().zip(shares));
        }
        modes::webui(question.caption, &matches, self.options.ranks)
    }

    /// The best of caption, classic, fast and chain, of equals the first.
    fn best(&mut self, questions: &[Question<'_>], scores: &[Vec<f32>]) -> Result<Vec<String>, LabelError> {
        let starts = questions.iter().zip(scores).map(|(question, scores)| ChainStart {
            picture: question.picture,
            prompt: question.caption,
            phrases: self.candidates(scores, self.lexicon.merged(), End::Nearest),
        });
        let starts = starts.collect();
        let rules = self.chain_rules(End::Nearest);
        let grown = chains(starts, rules, self.judge())?;
        let mut prompts = Vec::with_capacity(questions.len());
        for ((question, scores), chain) in questions.iter().zip(scores).zip(grown) {
            let mut rivals = Vec::new();
            if !question.caption.is_empty() {
                rivals.push(question.caption.to_owned());
            }
            if self.has_classic_tables() {
                rivals.push(self.classic(*question, scores, self.options.max_terms)?);
            }
            rivals.push(self.fast(*question, scores)?);
            rivals.push(chain);
            let asked: Vec<(&[f32], &str)> = rivals.iter().map(|text| (question.picture, text.as_str())).collect();
            let similarities = self.judge().similarities(&asked)?;
            prompts.push(rivals.swap_remove(first_of_largest(&similarities)));
        }
        Ok(prompts)
    }

    /// A chain of what each picture is not.
    fn negative(&mut self, questions: &[Question<'_>], scores: &[Vec<f32>]) -> Result<Vec<String>, LabelError> {
        let flavors = self.lexicon.range("flavors").unwrap_or(self.lexicon.merged());
        let starts = questions.iter().zip(scores).map(|(question, scores)| {
            let mut phrases = self.candidates(scores, flavors.clone(), End::Farthest);
            phrases.extend(self.lexicon.negative());
            ChainStart {
                picture: question.picture,
                prompt: "",
                phrases,
            }
        });
        let starts = starts.collect();
        let rules = self.chain_rules(End::Farthest);
        chains(starts, rules, self.judge())
    }

    /// What a chain may choose from.
    fn candidates(&self, scores: &[f32], range: Range<usize>, end: End) -> Vec<usize> {
        let wanted = self.options.candidates;
        match self.options.rules {
            Rules::Peer => top_in_blocks(scores, range, wanted, end, self.options.peer_block),
            Rules::Clean => {
                let nearest = top(scores, range, wanted, end);
                self.lexicon.distinct(nearest.into_iter()).collect()
            }
        }
    }

    fn chain_rules(&self, end: End) -> ChainRules {
        ChainRules {
            min_phrases: self.options.min_terms,
            max_phrases: self.options.max_terms,
            end,
            first_sign_as_peer: self.options.rules == Rules::Peer,
        }
    }

    fn judge(&mut self) -> &mut TowerJudge {
        self.judge.as_mut().expect("the modes that judge open one")
    }

    fn has_classic_tables(&self) -> bool {
        CLASSIC_TABLES.iter().all(|table| self.lexicon.range(table).is_some())
    }

    fn fit(&self, prompt: &str) -> Result<String, LabelError> {
        let fit = match self.options.rules {
            Rules::Clean => Fit::Exact,
            Rules::Peer => Fit::WithoutCommas,
        };
        modes::truncate_to_fit(prompt, fit, &|text| self.reader.is_full(text))
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }
}

fn first_of_largest(values: &[f32]) -> usize {
    let mut largest = 0;
    for (index, &value) in values.iter().enumerate() {
        if value > values[largest] {
            largest = index;
        }
    }
    largest
}

/// Checks what the mode needs of the tables.
pub fn check(model: &str, options: &InterrogateOptions, has_captioner: bool) -> Result<(), LabelError> {
    let (tables, mode) = (&options.tables, options.mode);
    let refuse = |message: String| LabelError::Option {
        model: model.to_owned(),
        message,
    };
    for (index, table) in tables.iter().enumerate() {
        if tables[..index].iter().any(|earlier| earlier.name == table.name) {
            return Err(refuse(format!("two term tables are called `{}`", table.name)));
        }
    }
    let has = |name: &str| tables.iter().any(|table| table.name == name);
    let missing: Vec<&str> = CLASSIC_TABLES.into_iter().filter(|table| !has(table)).collect();
    match mode {
        Mode::Classic if !missing.is_empty() => Err(refuse(format!(
            "the mode `classic` speaks of tables that are not there: {}",
            missing.join(", ")
        ))),
        Mode::Caption if !has_captioner => Err(refuse("the mode `caption` needs a captioner".to_owned())),
        Mode::Caption => Ok(()),
        _ if tables.iter().all(|table| table.name == "negative") => {
            Err(refuse(format!("the mode `{}` needs a term table", mode.as_str())))
        }
        _ => Ok(()),
    }
}

fn table_rows(
    model: &Model,
    table: &TermTable,
    text: &mut TowerOnDemand<'_>,
    cache: Option<&std::path::Path>,
    watch: &dyn Watch,
) -> Result<Vec<half::f16>, LabelError> {
    let [graph, tokenizer] = text.reader().sha256();
    let key = CacheKey {
        table_hash: table.hash(),
        terms: table.terms.len(),
        width: text.width(),
        tower: format!("{graph}-{tokenizer}"),
    };
    // A model of the program's own has small tables, which are embedded faster than they are found.
    // As open_clip writes it, under which public caches are kept.
    let aliases = &model.manifest.aliases;
    let name = aliases
        .iter()
        .find(|alias| alias.contains('/'))
        .unwrap_or(&model.manifest.name);
    let place = cache
        .filter(|_| model.folder().is_some())
        .map(|folder| CachePlace { folder, model: name });
    embeddings(table, &key, place, text, watch)
}
