//! A text tower in steps: the keys and values of a prompt are computed once, then each phrase that
//! may follow costs its own few tokens (`scripts/export_clip_chain.py` tells the graph).
//!
//! The phrases of several pictures go through one run as rows of equal length: attention to what
//! stands before is one matrix product a picture and head, whatever the number of phrases.

use half::f16;

use crate::label::{LabelError, LabelerOptions};
use crate::model::session::SessionOptions;
use crate::model::tensor::{ElementType, Input, Output, Place, Tensor, TensorData};
use crate::model::{Model, ModelError, Runtime, Session};

/// Token positions a run: enough rows to keep a processor's matrix product busy, few enough for the
/// scores of one layer to stay small.
const POSITIONS_PER_RUN: usize = 1536;

/// Shortest length of a run; a phrase of no words still has its end token and one place of padding.
const MIN_LENGTH: usize = 2;

/// Prompts are padded to a multiple of this, so that runs have few different shapes.
const BEFORE_STEP: usize = 8;

/// The graph.
pub struct StepTower {
    model: String,
    session: Box<dyn Session>,
    layers: usize,
    heads: usize,
    head_width: usize,
    context: usize,
    ids: ElementType,
    cache: ElementType,
}

/// One prompt and the phrases that may follow, as token ids.
pub struct Steps<'a> {
    /// The prompt's ids with the start token, without the end token, shorter than the context.
    pub prompt: &'a [i64],
    /// Each phrase's ids with the end token, short enough to fit behind the prompt.
    pub phrases: Vec<&'a [i64]>,
}

/// Keys and values of some prompts.
struct Cache {
    start: Vec<i64>,
    before: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl StepTower {
    /// Loads the graph and reads its dimensions.
    pub fn open(
        model: &Model,
        graph: &str,
        context: usize,
        runtime: &dyn Runtime,
        options: &LabelerOptions,
    ) -> Result<Self, LabelError> {
        let name = model.manifest.name.clone();
        let file = model.file(graph)?;
        let device = runtime.choose(options.device)?.device;
        let session_options = SessionOptions {
            precision: options.precision,
            cpu_fallback: options.cpu_fallback,
            ..SessionOptions::new(device, options.threads)
        };
        let session = runtime.load(&format!("{name}/{graph}"), file.graph(), &session_options)?;
        let find = |wanted: &str| session.inputs().iter().find(|input| input.name == wanted);
        let (Some(ids), Some(keys)) = (find("input_ids"), find("keys")) else {
            return Err(refuse(&name, "has no inputs `input_ids` and `keys`"));
        };
        let [_, Some(layers), Some(heads), _, Some(head_width)] = keys.shape[..] else {
            return Err(refuse(
                &name,
                &format!("leaves its layers or heads open: {}", keys.describe()),
            ));
        };
        Ok(Self {
            layers,
            heads,
            head_width,
            context,
            ids: ids.element,
            cache: keys.element,
            model: name,
            session,
        })
    }

    /// Embeddings, not normalised, of each prompt followed by each of its phrases. Steps of about
    /// equally many phrases of about equal lengths share their runs best.
    pub fn embed(&mut self, steps: &[Steps<'_>]) -> Result<Vec<Vec<Vec<f32>>>, LabelError> {
        let cache = self.read_prompts(steps)?;
        // Each picture's phrases by length, so that rows which share a run are padded little.
        let orders: Vec<Vec<usize>> = steps.iter().map(|step| by_length(&step.phrases)).collect();
        let most = orders.iter().map(Vec::len).max().unwrap_or(0);
        let mut embeddings: Vec<Vec<Vec<f32>>> =
            steps.iter().map(|step| vec![Vec::new(); step.phrases.len()]).collect();
        let mut from = 0;
        while from < most {
            let active: Vec<usize> = (0..steps.len()).filter(|&step| from < orders[step].len()).collect();
            let longest = |rows: usize| {
                let last =
                    |&step: &usize| steps[step].phrases[orders[step][(from + rows).min(orders[step].len()) - 1]].len();
                active.iter().map(last).max().unwrap_or(0).max(MIN_LENGTH)
            };
            // By the shortest rows: those that follow are hardly longer.
            let rows = (POSITIONS_PER_RUN / (active.len() * longest(1))).clamp(1, most - from);
            let given = self.run_phrases(steps, &orders, &active, from..from + rows, longest(rows), &cache)?;
            for (&step, rows) in active.iter().zip(given) {
                for (&phrase, row) in orders[step][from..].iter().zip(rows) {
                    embeddings[step][phrase] = row;
                }
            }
            from += rows;
        }
        Ok(embeddings)
    }

    /// Runs the prompts themselves, one text a picture with nothing before it.
    fn read_prompts(&mut self, steps: &[Steps<'_>]) -> Result<Cache, LabelError> {
        let pictures = steps.len();
        let longest = steps.iter().map(|step| step.prompt.len()).max().unwrap_or(0);
        let before = longest.next_multiple_of(BEFORE_STEP).min(self.context).max(MIN_LENGTH);
        let mut ids = vec![0; pictures * before];
        for (row, step) in steps.iter().enumerate() {
            ids[row * before..row * before + step.prompt.len()].copy_from_slice(step.prompt);
        }
        let nothing = Cache {
            start: vec![0; pictures],
            before: MIN_LENGTH,
            keys: vec![0.0; pictures * self.cache_row(MIN_LENGTH)],
            values: vec![0.0; pictures * self.cache_row(MIN_LENGTH)],
        };
        let given = self.run([pictures, 1, before], ids, &nothing, &["new_keys", "new_values"])?;
        let [keys, values] = <[Tensor; 2]>::try_from(given).map_err(|_| self.broken("another number of outputs"))?;
        let (keys, values) = (
            keys.into_f32().unwrap_or_default(),
            values.into_f32().unwrap_or_default(),
        );
        let wanted = pictures * self.cache_row(before);
        if keys.len() != wanted || values.len() != wanted {
            return Err(self.broken("keys of another shape"));
        }
        Ok(Cache {
            start: steps.iter().map(|step| step.prompt.len() as i64).collect(),
            before,
            keys,
            values,
        })
    }

    /// One run: the rows `range` of every active picture, a list of embeddings each.
    fn run_phrases(
        &mut self,
        steps: &[Steps<'_>],
        orders: &[Vec<usize>],
        active: &[usize],
        range: std::ops::Range<usize>,
        length: usize,
        cache: &Cache,
    ) -> Result<Vec<Vec<Vec<f32>>>, LabelError> {
        let rows = range.len();
        let mut ids = vec![0; active.len() * rows * length];
        for (place, &step) in active.iter().enumerate() {
            for row in 0..rows {
                // A picture of fewer phrases repeats its last one.
                let order = &orders[step];
                let phrase = steps[step].phrases[order[(range.start + row).min(order.len() - 1)]];
                let at = (place * rows + row) * length;
                ids[at..at + phrase.len()].copy_from_slice(phrase);
            }
        }
        let cache = self.part_of(cache, active);
        let given = self.run([active.len(), rows, length], ids, &cache, &["text_embeds"])?;
        let embeds = given.into_iter().next().and_then(Tensor::into_f32).unwrap_or_default();
        let width = embeds.len() / (active.len() * rows).max(1);
        if width == 0 || embeds.len() != active.len() * rows * width {
            return Err(self.broken("embeddings of another shape"));
        }
        let of_picture = |values: &[f32]| values.chunks_exact(width).map(<[f32]>::to_vec).collect();
        Ok(embeds.chunks_exact(rows * width).map(of_picture).collect())
    }

    /// The cache of some of its pictures.
    fn part_of(&self, cache: &Cache, active: &[usize]) -> Cache {
        let row = self.cache_row(cache.before);
        let pick = |all: &[f32]| -> Vec<f32> {
            let rows = active.iter().map(|&step| &all[step * row..(step + 1) * row]);
            rows.flatten().copied().collect()
        };
        Cache {
            start: active.iter().map(|&step| cache.start[step]).collect(),
            before: cache.before,
            keys: pick(&cache.keys),
            values: pick(&cache.values),
        }
    }

    /// Values of the keys of one picture.
    fn cache_row(&self, before: usize) -> usize {
        self.layers * self.heads * before * self.head_width
    }

    fn run(
        &mut self,
        shape: [usize; 3],
        ids: Vec<i64>,
        cache: &Cache,
        outputs: &[&str],
    ) -> Result<Vec<Tensor>, LabelError> {
        let ids = Tensor::integers(self.ids, ids, &shape);
        let start = Tensor::integers(self.ids, cache.start.clone(), &[shape[0]]);
        let of_cache = [shape[0], self.layers, self.heads, cache.before, self.head_width];
        let (keys, values) = (
            self.floats(&cache.keys, &of_cache),
            self.floats(&cache.values, &of_cache),
        );
        let inputs = [
            ("input_ids", Input::Host(&ids)),
            ("start", Input::Host(&start)),
            ("keys", Input::Host(&keys)),
            ("values", Input::Host(&values)),
        ];
        let wanted: Vec<(&str, Place)> = outputs.iter().map(|name| (*name, Place::Host)).collect();
        let given = self.session.run(&inputs, &wanted)?;
        let on_host = |output| match output {
            Output::Host(tensor) => Some(tensor),
            Output::Device(_) => None,
        };
        Ok(given.into_iter().filter_map(on_host).collect())
    }

    fn floats(&self, values: &[f32], shape: &[usize]) -> Tensor {
        let data = match self.cache {
            ElementType::F16 => TensorData::F16(values.iter().map(|&value| f16::from_f32(value)).collect()),
            _ => TensorData::F32(values.to_vec()),
        };
        Tensor {
            shape: shape.to_vec(),
            data,
        }
    }

    fn broken(&self, what: &str) -> LabelError {
        refuse(&self.model, &format!("gives {what}"))
    }
}

fn by_length(phrases: &[&[i64]]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..phrases.len()).collect();
    order.sort_by_key(|&phrase| phrases[phrase].len());
    order
}

fn refuse(model: &str, message: &str) -> LabelError {
    LabelError::Model(ModelError::Contract {
        model: model.to_owned(),
        message: format!("the graph of `text.chain` {message}"),
    })
}
