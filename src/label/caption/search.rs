//! The search for one picture's caption: logits of a step in, the next ids out. Greedy and beams
//! choose as transformers' `generate` does; nothing here knows of graphs.

use crate::model::manifest::{CaptionSearch, CaptionSpec};

/// What a search needs to know.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Ids that every caption begins with: the first id, then the prompt's.
    pub given: Vec<i64>,
    /// Id that ends a caption.
    pub end_id: i64,
    /// How it is searched for.
    pub search: CaptionSearch,
}

impl Rules {
    /// The rules of a manifest under `search`.
    pub fn new(spec: &CaptionSpec, search: CaptionSearch) -> Self {
        let mut given = vec![spec.begin_id];
        if search.prompted {
            given.extend(&spec.prompt_ids);
        }
        Self {
            given,
            end_id: spec.end_id,
            search,
        }
    }
}

/// A caption that is being followed.
#[derive(Debug, Clone, PartialEq)]
struct Path {
    ids: Vec<i64>,
    /// Sum of the log-probabilities of the ids after those given.
    score: f32,
    /// Its beam in the step before.
    from: usize,
}

/// The search for one caption.
#[derive(Debug)]
pub struct Search<'a> {
    rules: &'a Rules,
    /// Captions that go on: one in greedy and at the start, else as many as there are beams.
    live: Vec<Path>,
    /// Captions that have ended, best first, with their score an id.
    ended: Vec<(f32, Vec<i64>)>,
    done: bool,
}

/// Why a search cannot go on: a score is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANumber;

impl<'a> Search<'a> {
    /// A search whose one live caption holds the given ids.
    pub fn new(rules: &'a Rules) -> Self {
        let start = Path {
            ids: rules.given.clone(),
            score: 0.0,
            from: 0,
        };
        Self {
            rules,
            live: vec![start],
            ended: Vec::new(),
            done: false,
        }
    }

    /// Whether the caption is found.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Each live caption's last id and its beam in the step before.
    pub fn next(&self) -> impl Iterator<Item = (i64, usize)> {
        self.live
            .iter()
            .map(|path| (*path.ids.last().expect("a caption begins with a given id"), path.from))
    }

    /// The ids of each live caption.
    #[cfg(test)]
    pub fn live_ids(&self) -> impl Iterator<Item = &[i64]> {
        self.live.iter().map(|path| path.ids.as_slice())
    }

    /// The ids found, the given ones and the last one included.
    pub fn into_ids(self) -> Vec<i64> {
        let best = self.ended.into_iter().next().map(|(_, ids)| ids);
        best.unwrap_or_else(|| self.live.into_iter().next().map(|path| path.ids).unwrap_or_default())
    }

    /// Takes the logits after each live caption, a row of `width` each, which are changed.
    pub fn advance(&mut self, logits: &mut [f32], width: usize) -> Result<(), NotANumber> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return Err(NotANumber);
        }
        if self.rules.search.beams == 1 {
            self.advance_greedy(logits);
        } else {
            self.advance_beams(logits, width);
        }
        Ok(())
    }

    fn advance_greedy(&mut self, logits: &mut [f32]) {
        let path = &mut self.live[0];
        apply_rules(self.rules, &path.ids, logits);
        let next = best(logits, 1)[0] as i64;
        path.ids.push(next);
        self.done = next == self.rules.end_id || path.ids.len() >= self.rules.search.max_length;
    }

    fn advance_beams(&mut self, logits: &mut [f32], width: usize) {
        let beams = self.rules.search.beams;
        for (path, row) in self.live.iter().zip(logits.chunks_exact_mut(width)) {
            to_log_probabilities(row);
            apply_rules(self.rules, &path.ids, row);
            for value in row {
                *value += path.score;
            }
        }
        // Twice as many as there are beams: if each of the first half ends, the others go on.
        let mut next = Vec::with_capacity(beams);
        let length = self.live[0].ids.len() + 1;
        let new_ids = (length - self.rules.given.len()) as f32;
        for (rank, index) in best(logits, 2 * beams).into_iter().enumerate() {
            let (from, id, score) = (index / width, (index % width) as i64, logits[index]);
            let mut ids = self.live[from].ids.clone();
            ids.push(id);
            let ends = id == self.rules.end_id || length >= self.rules.search.max_length;
            if !ends && next.len() < beams {
                next.push(Path { ids, score, from });
            } else if ends && rank < beams {
                self.end(score / new_ids, ids);
            }
        }
        // What goes on can only lose: it is over when the best of it, over its present length, is
        // no better than the worst that has ended.
        let hope = next.first().map(|path| path.score / new_ids);
        let full = self.ended.len() == beams;
        let worst = self.ended.last().map_or(f32::NEG_INFINITY, |(score, _)| *score);
        self.done = length >= self.rules.search.max_length || hope.is_none_or(|hope| full && hope <= worst);
        self.live = next;
    }

    /// Keeps an ended caption among the best, of equals the earlier one first.
    fn end(&mut self, score: f32, ids: Vec<i64>) {
        let place = self.ended.partition_point(|(known, _)| *known >= score);
        self.ended.insert(place, (score, ids));
        self.ended.truncate(self.rules.search.beams);
    }
}

/// The penalty on ids that the caption holds, then the ban on ending too early, in this order.
fn apply_rules(rules: &Rules, ids: &[i64], row: &mut [f32]) {
    let penalty = rules.search.repetition_penalty;
    if penalty.to_bits() != 1.0_f32.to_bits() {
        for (index, id) in ids.iter().enumerate() {
            // Once an id, however often the caption holds it.
            let known = ids[..index].contains(id);
            if let Some(value) = usize::try_from(*id)
                .ok()
                .and_then(|id| row.get_mut(id))
                .filter(|_| !known)
            {
                *value = if *value < 0.0 {
                    *value * penalty
                } else {
                    *value / penalty
                };
            }
        }
    }
    if ids.len() < rules.search.min_length
        && let Some(value) = usize::try_from(rules.end_id).ok().and_then(|id| row.get_mut(id))
    {
        *value = f32::NEG_INFINITY;
    }
}

/// Logits to log-probabilities.
fn to_log_probabilities(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|value| (value - largest).exp()).sum();
    let shift = largest + sum.ln();
    for value in row {
        *value -= shift;
    }
}

/// Indices of the `count` largest values, falling; of equals the first.
fn best(values: &[f32], count: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::with_capacity(count + 1);
    let mut least = f32::NEG_INFINITY;
    for (index, &value) in values.iter().enumerate() {
        if chosen.len() == count && value <= least {
            continue;
        }
        let place = chosen.partition_point(|&known| values[known] >= value);
        chosen.insert(place, index);
        chosen.truncate(count);
        least = values[*chosen.last().expect("one was just put in")];
    }
    chosen
}

#[cfg(test)]
mod tests;
