//! The decoding loop of a batch: one run of the step graph gives every caption one more id. Caches
//! stay where the graph makes them; the next step is told which rows of them to go on from, so that
//! beams are reordered and finished pictures dropped without a run of their own.

use super::search::{Rules, Search};
use crate::model::manifest::{CaptionNames, CaptionSpec};
use crate::model::tensor::{DeviceTensor, ElementType, Input, Output, Place, Tensor, TensorData};
use crate::model::{ModelError, Session};

/// The graphs that decode, and the names of their tensors.
pub struct Decoder {
    /// For messages.
    model: String,
    step: Box<dyn Session>,
    select: Box<dyn Session>,
    pad_id: i64,
    names: CaptionNames,
    /// Key, value, key, value … of every layer.
    cross_names: Vec<String>,
    past_names: Vec<String>,
    grown_names: Vec<String>,
    /// Heads and values a head, of the cache.
    heads: [usize; 2],
    /// Type of the cache.
    element: ElementType,
}

/// The ids of one caption, or why there are none: a score was not a number.
pub type Found = Option<Vec<i64>>;

/// The pictures of a batch that are still in the caches.
struct Batch<'a> {
    /// Of each row, the picture that it belongs to.
    pictures: Vec<usize>,
    /// By picture.
    searches: Vec<Search<'a>>,
    /// By picture: a score was not a number.
    broken: Vec<bool>,
}

/// What a step goes on from.
enum Past {
    /// Nothing: tensors without a place in time.
    Empty(Tensor),
    /// What the step before left.
    Grown(Vec<DeviceTensor>),
}

impl Decoder {
    /// A decoder of loaded graphs.
    pub fn new(model: &str, spec: &CaptionSpec, step: Box<dyn Session>, select: Box<dyn Session>) -> Self {
        let names = spec.names.clone();
        let of_layers = |key: &str, value: &str| CaptionNames::of_layers(key, value, spec.layers);
        let past_names = of_layers(&names.past_key, &names.past_value);
        let element = step.inputs().iter().find(|input| input.name == past_names[0]);
        Self {
            model: model.to_owned(),
            element: element.map_or(ElementType::F32, |input| input.element),
            step,
            select,
            pad_id: spec.pad_id,
            cross_names: of_layers(&names.cross_key, &names.cross_value),
            grown_names: of_layers(&names.key, &names.value),
            past_names,
            names,
            heads: [spec.heads, spec.head_width],
        }
    }

    /// The step graph.
    pub fn step(&self) -> &dyn Session {
        self.step.as_ref()
    }

    /// The graph that takes rows.
    pub fn select(&self) -> &dyn Session {
        self.select.as_ref()
    }

    /// Captions of the first `pictures` rows of the cross-attention's keys and values.
    pub fn decode(
        &mut self,
        mut cross: Vec<DeviceTensor>,
        rows: usize,
        pictures: usize,
        rules: &Rules,
    ) -> Result<Vec<Found>, ModelError> {
        let mut batch = Batch::new(rules, pictures);
        if rows > pictures {
            self.keep_rows(&mut cross, &(0..pictures).collect::<Vec<_>>())?;
        }
        let mut past = Past::Empty(self.nothing(pictures)?);
        let last_given = rules.given.len() - 1;
        for (position, &id) in rules.given[..last_given].iter().enumerate() {
            let feed = Feed::forced(id, position, pictures);
            past = self.run_step(&feed, &past, &cross)?.1;
        }
        // Of each row, where it lies in the past.
        let mut lies_at: Vec<usize> = (0..pictures).collect();
        for position in last_given.. {
            let feed = batch.feed(position, &lies_at, self.pad_id);
            let (logits, grown) = self.run_step(&feed, &past, &cross)?;
            past = grown;
            batch.advance(logits, feed.beams, &self.names.logits)?;
            let kept = batch.rows_to_keep();
            if kept.is_empty() {
                break;
            }
            if kept.len() < batch.pictures.len() {
                self.keep_rows(&mut cross, &kept)?;
                batch.pictures = kept.iter().map(|&row| batch.pictures[row]).collect();
            }
            lies_at = kept;
        }
        Ok(batch.into_found())
    }

    /// A cache before the first step.
    fn nothing(&self, pictures: usize) -> Result<Tensor, ModelError> {
        let [heads, width] = self.heads;
        Tensor::zeros(self.element, vec![pictures, 1, heads, 0, width]).ok_or_else(|| ModelError::Contract {
            model: self.model.clone(),
            message: format!("the cache `{}` cannot be {}", self.past_names[0], self.element),
        })
    }

    /// One more id for every caption: logits, and the caches grown by one place.
    fn run_step(&mut self, feed: &Feed, past: &Past, cross: &[DeviceTensor]) -> Result<(Tensor, Past), ModelError> {
        let mut inputs = vec![
            (self.names.ids.as_str(), Input::Host(&feed.ids)),
            (self.names.position.as_str(), Input::Host(&feed.position)),
            (self.names.source.as_str(), Input::Host(&feed.source)),
        ];
        for (index, name) in self.past_names.iter().enumerate() {
            let input = match past {
                Past::Empty(tensor) => Input::Host(tensor),
                Past::Grown(tensors) => Input::Device(&tensors[index]),
            };
            inputs.push((name, input));
        }
        let cross = cross.iter().map(Input::Device);
        inputs.extend(self.cross_names.iter().map(String::as_str).zip(cross));
        let mut outputs = vec![(self.names.logits.as_str(), Place::Host)];
        outputs.extend(self.grown_names.iter().map(|name| (name.as_str(), Place::Device)));
        let mut given = self.step.run(&inputs, &outputs)?.into_iter();
        let Some(Output::Host(logits)) = given.next() else {
            return Err(not_as_asked(&self.names.logits));
        };
        Ok((logits, Past::Grown(on_device(given, &self.names.key)?)))
    }

    /// Drops all rows but those given from the cross-attention's keys and values, a tensor at a
    /// time, so that no two copies of all of them are there at once.
    fn keep_rows(&mut self, cross: &mut [DeviceTensor], rows: &[usize]) -> Result<(), ModelError> {
        let rows = integers(vec![rows.len()], rows.iter().map(|&row| row as i64).collect());
        for tensor in cross {
            let inputs = [
                (self.names.values.as_str(), Input::Device(tensor)),
                (self.names.rows.as_str(), Input::Host(&rows)),
            ];
            let given = self.select.run(&inputs, &[(&self.names.selected, Place::Device)])?;
            *tensor = on_device(given.into_iter(), &self.names.selected)?
                .pop()
                .ok_or_else(|| not_as_asked(&self.names.selected))?;
        }
        Ok(())
    }
}

/// The small inputs of one step.
struct Feed {
    beams: usize,
    ids: Tensor,
    position: Tensor,
    source: Tensor,
}

impl Feed {
    fn new(position: usize, beams: usize, ids: Vec<i64>, source: Vec<i64>) -> Self {
        let rows = ids.len() / beams;
        Self {
            beams,
            ids: integers(vec![rows, beams], ids),
            position: integers(vec![1], vec![position as i64]),
            source: integers(vec![rows, beams, 2], source),
        }
    }

    /// The same id for every picture, none of which has beams yet.
    fn forced(id: i64, position: usize, pictures: usize) -> Self {
        let source = (0..pictures).flat_map(|row| [row as i64, 0]).collect();
        Self::new(position, 1, vec![id; pictures], source)
    }
}

impl<'a> Batch<'a> {
    fn new(rules: &'a Rules, pictures: usize) -> Self {
        Self {
            pictures: (0..pictures).collect(),
            searches: (0..pictures).map(|_| Search::new(rules)).collect(),
            broken: vec![false; pictures],
        }
    }

    /// The last ids of every row, padded for pictures that are done and still have a row.
    fn feed(&self, position: usize, lies_at: &[usize], pad_id: i64) -> Feed {
        let beams = self
            .rows()
            .map(|search| search.next().count())
            .max()
            .unwrap_or(1)
            .max(1);
        let (mut ids, mut source) = (Vec::new(), Vec::new());
        for (search, &row) in self.rows().zip(lies_at) {
            let mut next: Vec<(i64, usize)> = search.next().collect();
            next.resize(beams, (pad_id, 0));
            for (id, from) in next {
                ids.push(if search.is_done() { pad_id } else { id });
                source.extend([row as i64, from as i64]);
            }
        }
        Feed::new(position, beams, ids, source)
    }

    fn rows(&self) -> impl Iterator<Item = &Search<'a>> {
        self.pictures.iter().map(|&picture| &self.searches[picture])
    }

    fn advance(&mut self, logits: Tensor, beams: usize, name: &str) -> Result<(), ModelError> {
        let shape = logits.shape.clone();
        let wanted = [self.pictures.len(), beams];
        let width = shape.get(2).copied().unwrap_or(0);
        let mut values = logits.into_f32().ok_or_else(|| not_as_asked(name))?;
        if shape.len() != 3 || shape[..2] != wanted || width == 0 {
            return Err(ModelError::Run {
                graph: name.to_owned(),
                source: format!("{wanted:?} captions give logits of shape {shape:?}").into(),
            });
        }
        for (&picture, rows) in self.pictures.iter().zip(values.chunks_exact_mut(beams * width)) {
            let search = &mut self.searches[picture];
            if !self.broken[picture] && !search.is_done() && search.advance(rows, width).is_err() {
                self.broken[picture] = true;
            }
        }
        Ok(())
    }

    /// Rows that stay in the caches: all, until a fourth of them is done. Taking rows costs about
    /// as much as a step gains by it for a row that is not there in four steps.
    fn rows_to_keep(&self) -> Vec<usize> {
        let open = |&row: &usize| {
            let picture = self.pictures[row];
            !self.broken[picture] && !self.searches[picture].is_done()
        };
        let rows = 0..self.pictures.len();
        let kept: Vec<usize> = rows.clone().filter(open).collect();
        let done = self.pictures.len() - kept.len();
        if kept.is_empty() || done * 4 >= self.pictures.len() {
            kept
        } else {
            rows.collect()
        }
    }

    fn into_found(self) -> Vec<Found> {
        let found = self.searches.into_iter().zip(self.broken);
        found
            .map(|(search, broken)| (!broken).then(|| search.into_ids()))
            .collect()
    }
}

fn integers(shape: Vec<usize>, values: Vec<i64>) -> Tensor {
    Tensor {
        shape,
        data: TensorData::I64(values),
    }
}

/// Outputs that were asked for on the device.
pub fn on_device(outputs: impl Iterator<Item = Output>, name: &str) -> Result<Vec<DeviceTensor>, ModelError> {
    outputs
        .map(|output| match output {
            Output::Device(tensor) => Ok(tensor),
            Output::Host(_) => Err(not_as_asked(name)),
        })
        .collect()
}

fn not_as_asked(name: &str) -> ModelError {
    ModelError::Run {
        graph: name.to_owned(),
        source: "the runtime gave an output of another kind or in another place than asked for".into(),
    }
}

#[cfg(test)]
mod tests;
