//! How near texts are to pictures, by a CLIP's text tower: in steps where the model has the graph
//! for it, else by whole texts in trimmed batches.

use std::collections::HashMap;

use super::chain::{Extension, Judge, extended};
use super::steps::{StepTower, Steps};
use crate::label::{LabelError, TextTower};
use crate::model::ModelError;

/// How far cosines of one text may differ between batches: 32-bit rounding through a deep tower.
const ROUNDING: f32 = 4e-6;

/// Distance between embeddings of one text from which on two graphs are not the same tower.
const OTHER_TOWER: f32 = 0.05;

/// Terms with which a judge is tried.
const TRIED_TERMS: usize = 8;

/// The prompt with which a judge is tried.
const TRIED_PROMPT: &str = "a picture of something, in some style";

/// A text tower that judges.
pub struct TowerJudge {
    tower: TextTower,
    steps: Option<StepTower>,
    phrases: Vec<String>,
    /// Ids of phrases as they stand behind a comma, with the end token.
    phrase_ids: HashMap<usize, Vec<i64>>,
    tolerance: f32,
}

impl TowerJudge {
    /// A judge over `phrases`. The tower in steps is compared with the plain one.
    ///
    /// # Errors
    /// `Contract` where the two give different embeddings.
    pub fn open(tower: TextTower, steps: Option<StepTower>, phrases: Vec<String>) -> Result<Self, LabelError> {
        let mut judge = Self {
            tower,
            steps,
            phrases,
            phrase_ids: HashMap::new(),
            tolerance: ROUNDING,
        };
        judge.try_out()?;
        Ok(judge)
    }

    /// Measures how far embeddings on the cheap way are from those of texts by themselves.
    fn try_out(&mut self) -> Result<(), LabelError> {
        let step = self.phrases.len().div_ceil(TRIED_TERMS).max(1);
        let tried: Vec<usize> = (0..self.phrases.len()).step_by(step).collect();
        let rows = self.embed_extended(&[(TRIED_PROMPT, tried.as_slice())])?;
        let mut farthest = 0.0_f32;
        for (row, &phrase) in rows.iter().flatten().zip(&tried) {
            let alone = self.tower.embed_alone(&extended(TRIED_PROMPT, &self.phrases[phrase]))?;
            let squares = row.iter().zip(&alone).map(|(left, right)| (left - right).powi(2));
            farthest = farthest.max(squares.sum::<f32>().sqrt());
        }
        // Not a number is in no range.
        if !(0.0..OTHER_TOWER).contains(&farthest) {
            return Err(LabelError::Model(ModelError::Contract {
                model: self.tower.reader().name().to_owned(),
                message: format!("`text.chain` is not the tower of `text.file`: embeddings are {farthest:.2} apart"),
            }));
        }
        self.tolerance = ROUNDING.max(2.0 * farthest);
        Ok(())
    }

    /// Unit embeddings of each prompt followed by each of its phrases.
    fn embed_extended(&mut self, asked: &[(&str, &[usize])]) -> Result<Vec<Vec<Vec<f32>>>, LabelError> {
        let can_step = self.steps.is_some() && asked.iter().all(|(prompt, _)| !prompt.is_empty());
        if can_step && self.learn_phrases(asked)? {
            return self.embed_in_steps(asked);
        }
        let mut all = Vec::with_capacity(asked.len());
        for (prompt, phrases) in asked {
            let texts: Vec<String> = phrases
                .iter()
                .map(|&phrase| extended(prompt, &self.phrases[phrase]))
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            all.push(self.tower.embed_trimmed(&texts)?);
        }
        Ok(all)
    }

    fn embed_in_steps(&mut self, asked: &[(&str, &[usize])]) -> Result<Vec<Vec<Vec<f32>>>, LabelError> {
        let context = self.tower.reader().spec().context;
        let mut prompts = Vec::with_capacity(asked.len());
        let mut phrases: Vec<Vec<Vec<i64>>> = Vec::with_capacity(asked.len());
        for (prompt, of_prompt) in asked {
            let mut ids = self.tower.reader().token_ids(&format!("{prompt},"))?;
            ids.pop();
            let room = context - ids.len();
            let fitted = of_prompt.iter().map(|phrase| fitted(&self.phrase_ids[phrase], room));
            phrases.push(fitted.collect());
            prompts.push(ids);
        }
        let steps: Vec<Steps<'_>> = prompts
            .iter()
            .zip(&phrases)
            .map(|(prompt, phrases)| Steps {
                prompt,
                phrases: phrases.iter().map(Vec::as_slice).collect(),
            })
            .collect();
        let Some(tower) = &mut self.steps else {
            return Ok(Vec::new());
        };
        let mut rows = tower.embed(&steps)?;
        for row in rows.iter_mut().flatten() {
            if !crate::label::classify::normalise(row) {
                return Err(LabelError::Option {
                    model: self.tower.reader().name().to_owned(),
                    message: "a prompt gives an embedding without direction".to_owned(),
                });
            }
        }
        Ok(rows)
    }

    /// Gets the ids of phrases ready. False where the tokenizer does not cut texts at commas, so
    /// that a phrase has no ids of its own; then the tower goes on in whole texts.
    fn learn_phrases(&mut self, asked: &[(&str, &[usize])]) -> Result<bool, LabelError> {
        let mut lead = self.tower.reader().token_ids("a,")?;
        lead.pop();
        for phrase in asked.iter().flat_map(|(_, phrases)| *phrases) {
            if self.phrase_ids.contains_key(phrase) {
                continue;
            }
            let ids = self.tower.reader().token_ids(&extended("a", &self.phrases[*phrase]))?;
            let Some(own) = ids.strip_prefix(lead.as_slice()) else {
                tracing::warn!(
                    "model {}: its tokenizer joins `, ` and `{}`; chains go without steps",
                    self.tower.reader().name(),
                    self.phrases[*phrase]
                );
                self.steps = None;
                return Ok(false);
            };
            self.phrase_ids.insert(*phrase, own.to_vec());
        }
        Ok(true)
    }
}

/// A phrase's ids cut to the room that is left, the end token kept.
fn fitted(ids: &[i64], room: usize) -> Vec<i64> {
    let mut fitted = ids.to_vec();
    if let (true, Some(&end)) = (ids.len() > room, ids.last()) {
        fitted.truncate(room.max(1));
        if let Some(last) = fitted.last_mut() {
            *last = end;
        }
    }
    fitted
}

impl Judge for TowerJudge {
    fn extend(&mut self, asked: &[Extension<'_>]) -> Result<Vec<Vec<f32>>, LabelError> {
        let texts: Vec<(&str, &[usize])> = asked.iter().map(|asked| (asked.prompt, asked.phrases)).collect();
        let rows = self.embed_extended(&texts)?;
        let scores = asked.iter().zip(rows).map(|(asked, rows)| {
            let scores = rows.iter().map(|row| cosine(row, asked.picture));
            scores.collect()
        });
        Ok(scores.collect())
    }

    fn similarities(&mut self, asked: &[(&[f32], &str)]) -> Result<Vec<f32>, LabelError> {
        let similarity = |(picture, text): &(&[f32], &str)| Ok(cosine(&self.tower.embed_alone(text)?, picture));
        asked.iter().map(similarity).collect()
    }

    fn tolerance(&self) -> f32 {
        self.tolerance
    }

    fn is_full(&self, text: &str) -> Result<bool, LabelError> {
        self.tower.reader().is_full(text)
    }

    fn phrase(&self, phrase: usize) -> &str {
        &self.phrases[phrase]
    }
}

/// Cosine of two unit vectors, summed in 64 bits.
fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let products = left
        .iter()
        .zip(right)
        .map(|(&left, &right)| f64::from(left) * f64::from(right));
    products.sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_cut_to_the_room_and_keep_their_end() {
        assert_eq!(fitted(&[5, 6, 9], 3), [5, 6, 9]);
        assert_eq!(fitted(&[5, 6, 9], 2), [5, 9]);
        assert_eq!(fitted(&[5, 6, 9], 1), [9]);
        assert_eq!(fitted(&[5, 6, 9], 0), [9]);
    }
}
