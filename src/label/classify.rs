//! Zero-shot tables: which label's text is nearest to a picture. The table's embeddings are made
//! once, at start.

use crate::label::LabelError;
use crate::label::text::TextTower;
use crate::model::manifest::{Activation, ClassifyTable, TextSpec};

/// A zero-shot table, ready to be asked.
#[derive(Debug, Clone)]
pub struct ZeroShot {
    /// Name of its column.
    pub name: String,
    labels: Vec<String>,
    /// One unit vector a label.
    embeddings: Vec<Vec<f32>>,
    scoring: Scoring,
}

/// How cosines become scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scoring {
    scale: f32,
    bias: f32,
    activation: Activation,
}

impl From<&TextSpec> for Scoring {
    fn from(text: &TextSpec) -> Self {
        Self {
            scale: text.logit_scale,
            bias: text.logit_bias,
            activation: text.activation,
        }
    }
}

impl ZeroShot {
    /// Embeds a table's prompts: a label is the normalised mean of its prompts' unit embeddings
    /// (prompt ensembling, Radford et al. 2021, section 3.1.4).
    pub fn new(table: &ClassifyTable, text: &mut TextTower) -> Result<Self, LabelError> {
        let mut embeddings = Vec::with_capacity(table.labels.len());
        for label in &table.labels {
            let prompts = text.embed_texts(&label.prompts)?;
            let mut mean = vec![0.0_f32; prompts.first().map_or(0, Vec::len)];
            for prompt in &prompts {
                for (sum, value) in mean.iter_mut().zip(prompt) {
                    *sum += value / prompts.len() as f32;
                }
            }
            if !normalise(&mut mean) {
                return Err(LabelError::Option {
                    model: text.reader().name().to_owned(),
                    message: format!(
                        "the prompts of `{}` in table `{}` cancel each other out",
                        label.name, table.name
                    ),
                });
            }
            embeddings.push(mean);
        }
        let labels = table.labels.iter().map(|label| label.name.clone()).collect();
        Ok(Self {
            name: table.name.clone(),
            labels,
            embeddings,
            scoring: Scoring::from(text.reader().spec()),
        })
    }

    /// The likeliest label of a unit embedding and its probability: a softmax over the scaled
    /// cosines, or the label's own sigmoid. Of equals, the first in the table.
    pub fn choose(&self, embedding: &[f32]) -> (&str, f32) {
        let logits: Vec<f32> = self
            .embeddings
            .iter()
            .map(|label| self.scoring.scale * dot(label, embedding) + self.scoring.bias)
            .collect();
        let mut best = 0;
        for (index, logit) in logits.iter().enumerate() {
            if *logit > logits[best] {
                best = index;
            }
        }
        if self.scoring.activation == Activation::Sigmoid {
            return (&self.labels[best], 1.0 / (1.0 + (-logits[best]).exp()));
        }
        let sum: f32 = logits.iter().map(|logit| (logit - logits[best]).exp()).sum();
        (&self.labels[best], 1.0 / sum)
    }
}

/// Scalar product.
fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

/// Makes a vector one of length 1; false where it has no direction or is not finite.
pub fn normalise(values: &mut [f32]) -> bool {
    // In 64 bits: the squares of a 16-bit model's embedding may leave 32.
    let length = values
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum::<f64>()
        .sqrt();
    if !length.is_finite() || length <= 0.0 {
        return false;
    }
    for value in values {
        *value = (f64::from(*value) / length) as f32;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(embeddings: Vec<Vec<f32>>) -> ZeroShot {
        let labels = (0..embeddings.len()).map(|index| format!("label{index}")).collect();
        ZeroShot {
            name: "style".to_owned(),
            labels,
            embeddings,
            scoring: Scoring {
                scale: 100.0,
                bias: 0.0,
                activation: Activation::Softmax,
            },
        }
    }

    #[test]
    fn a_sigmoid_scores_a_label_whatever_the_others_are() {
        let mut table = table(vec![vec![1.0, 0.0], vec![0.0, 1.0]]);
        table.scoring = Scoring {
            scale: 10.0,
            bias: -9.0,
            activation: Activation::Sigmoid,
        };
        let (label, score) = table.choose(&[0.6, 0.8]);
        assert_eq!(label, "label1");
        assert!((score - 1.0 / (1.0 + 1.0_f32.exp())).abs() < 1e-6, "{score}");
    }

    #[test]
    fn the_nearest_label_wins_with_its_softmax() {
        let table = table(vec![vec![1.0, 0.0], vec![0.8, 0.6], vec![0.0, 1.0]]);
        let (label, score) = table.choose(&[0.6, 0.8]);
        assert_eq!(label, "label1");
        let logits = [60.0_f64, 96.0, 80.0];
        let wanted = logits[1].exp() / logits.iter().map(|logit| logit.exp()).sum::<f64>();
        assert!((f64::from(score) - wanted).abs() < 1e-6, "{score} {wanted}");
    }

    #[test]
    fn of_equals_the_first_wins() {
        let table = table(vec![vec![1.0, 0.0], vec![1.0, 0.0]]);
        let (label, score) = table.choose(&[1.0, 0.0]);
        assert_eq!((label, score), ("label0", 0.5));
    }

    #[test]
    fn vectors_without_direction_are_told() {
        assert!(!normalise(&mut [0.0, 0.0]));
        assert!(!normalise(&mut [f32::NAN, 1.0]));
        let mut large = [3e30_f32, 4e30];
        assert!(normalise(&mut large));
        assert!((large[0] - 0.6).abs() < 1e-6 && (large[1] - 0.8).abs() < 1e-6);
    }
}
