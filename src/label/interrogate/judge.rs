//! How near texts are to pictures, by a CLIP's text tower.

use super::chain::{Extension, Judge, extended};
use crate::label::{LabelError, TextTower};

/// How far cosines of one text may differ between batches: 32-bit rounding through a deep tower.
const ROUNDING: f32 = 4e-6;

/// A text tower that judges.
pub struct TowerJudge {
    tower: TextTower,
    phrases: Vec<String>,
}

impl TowerJudge {
    /// A judge over `phrases`.
    pub fn new(tower: TextTower, phrases: Vec<String>) -> Self {
        Self { tower, phrases }
    }
}

impl Judge for TowerJudge {
    fn extend(&mut self, asked: &[Extension<'_>]) -> Result<Vec<Vec<f32>>, LabelError> {
        let mut scores = Vec::with_capacity(asked.len());
        for question in asked {
            let phrases = question.phrases.iter().map(|&phrase| self.phrases[phrase].as_str());
            let texts: Vec<String> = phrases.map(|phrase| extended(question.prompt, phrase)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let rows = self.tower.embed_trimmed(&texts)?;
            scores.push(rows.iter().map(|row| cosine(row, question.picture)).collect());
        }
        Ok(scores)
    }

    fn similarities(&mut self, asked: &[(&[f32], &str)]) -> Result<Vec<f32>, LabelError> {
        let similarity = |(picture, text): &(&[f32], &str)| Ok(cosine(&self.tower.embed_alone(text)?, picture));
        asked.iter().map(similarity).collect()
    }

    fn tolerance(&self) -> f32 {
        ROUNDING
    }

    fn is_full(&self, text: &str) -> Result<bool, LabelError> {
        self.tower.is_full(text)
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
