//! The values of one run on made-up pictures: are they what the manifest says they are?

use super::refusal;
use crate::model::error::ModelError;
use crate::model::manifest::{Activation, Manifest, ScoreSpec};

/// Fewest labels for which scores that all lie in [0, 1] cannot be logits by chance.
const TELLING_LABELS: usize = 8;

/// Checks a tagger's raw scores on made-up pictures against the declared activation: the double
/// and the missing sigmoid, the two most common bugs of taggers. `rows` holds whole rows of
/// `width` values.
///
/// # Errors
/// `Contract`, with what the scores look like and what to write.
pub fn scores(manifest: &Manifest, activation: Activation, rows: &[f32], width: usize) -> Result<(), ModelError> {
    let refuse = |message: String| Err(refusal(manifest, message));
    if let Some(value) = rows.iter().find(|value| !value.is_finite()) {
        return refuse(format!("a made-up picture gives the score {value}"));
    }
    let outside = rows.iter().find(|value| !(0.0..=1.0).contains(*value));
    let sums_to_one = |row: &[f32]| (row.iter().sum::<f32>() - 1.0).abs() < 1e-3;
    let is_softmax = width > 1 && outside.is_none() && rows.chunks_exact(width).all(sums_to_one);
    match (activation, outside) {
        (Activation::None, Some(value)) => refuse(format!(
            "`output.activation` is none, so scores are probabilities, and a made-up picture gives {value}: \
             write activation = \"sigmoid\" (or \"softmax\") if these are logits"
        )),
        (Activation::Sigmoid | Activation::Softmax, None) if width >= TELLING_LABELS || is_softmax => refuse(
            "`output.activation` asks for a second activation: the graph's scores are all between 0 and 1 already; \
             write activation = \"none\""
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// Checks the raw rows of a score model on made-up pictures: the wanted value is there, and lies
/// where the manifest says. `rows` holds whole rows of `width` values.
///
/// # Errors
/// `Contract`, with the value and what to write.
pub fn score_row(manifest: &Manifest, score: &ScoreSpec, rows: &[f32], width: usize) -> Result<(), ModelError> {
    if score.index >= width {
        return Err(refusal(
            manifest,
            format!("`score.index` is {}, and a row has {width} values", score.index),
        ));
    }
    let Some([lowest, highest]) = score.range else {
        return Ok(());
    };
    if score.activation == Activation::None {
        let wanted = rows.chunks_exact(width).map(|row| row[score.index]);
        if let Some(value) = wanted.into_iter().find(|value| !(lowest..=highest).contains(value)) {
            return Err(refusal(
                manifest,
                format!("`score.range` is [{lowest}, {highest}], and a made-up picture gives {value}"),
            ));
        }
        return Ok(());
    }
    scores(manifest, score.activation, rows, width)
}

/// The activation that a tagger's raw scores ask for: the declared one, or where the manifest is
/// not verified the one that the scores on made-up pictures show, with a warning.
///
/// # Errors
/// As [`scores`].
pub fn activation(
    manifest: &Manifest,
    declared: Activation,
    rows: &[f32],
    width: usize,
) -> Result<Activation, ModelError> {
    let refused = match scores(manifest, declared, rows, width) {
        Ok(()) => return Ok(declared),
        Err(error) => error,
    };
    let shown = match declared {
        Activation::None => Activation::Sigmoid,
        Activation::Sigmoid | Activation::Softmax => Activation::None,
    };
    if manifest.verified || scores(manifest, shown, rows, width).is_err() {
        return Err(refused);
    }
    tracing::warn!(
        "model {}: `output.activation` is {}, and the graph's scores ask for {}, which is taken, as the manifest is \
         not verified",
        manifest.name,
        declared.as_str(),
        shown.as_str()
    );
    Ok(shown)
}

/// Checks that the rows of an embedding are finite and not all zero.
///
/// # Errors
/// `Contract`, with the value.
pub fn embeddings(manifest: &Manifest, rows: &[f32]) -> Result<(), ModelError> {
    if let Some(value) = rows.iter().find(|value| !value.is_finite()) {
        return Err(refusal(
            manifest,
            format!("a made-up input gives an embedding with the value {value}"),
        ));
    }
    if rows.iter().all(|&value| value == 0.0) {
        return Err(refusal(
            manifest,
            "a made-up input gives an embedding of zeros".to_owned(),
        ));
    }
    Ok(())
}

/// How many made-up squares there are.
pub const MADE_UP: usize = 2;

/// Two made-up squares of `bytes` bytes each, whose content the check's scores are about: a
/// gradient, and noise from a fixed generator.
pub fn made_up_squares(bytes: usize) -> [Vec<u8>; MADE_UP] {
    let gradient = (0..bytes).map(|index| (index * 255 / bytes.max(1)) as u8).collect();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let noise = (0..bytes)
        .map(|_| {
            // xorshift64 (Marsaglia 2003): any spread of bytes will do.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    [gradient, noise]
}
