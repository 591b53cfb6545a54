//! The check at start: is the graph what the manifest says? Names, types, ranks, layout and sizes
//! by the graph's declaration, values by one run on made-up pictures (`values`). Before the first
//! image, so that a wrong manifest is one message and not a night of wrong labels.

use super::error::ModelError;
use super::manifest::{HeadSpec, ImageSpec, Layout, Manifest, Scale};
use super::session::Session;
use super::tensor::{ElementType, TensorInfo};

mod captioner;
mod values;

pub use captioner::captioner_graphs;
pub use values::{MADE_UP, activation, embeddings, made_up_squares, score_row, scores};

/// What the graph leaves to its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Name of the input.
    pub input: String,
    /// Name of the output.
    pub output: String,
    /// Type of the input's elements.
    pub element: ElementType,
    /// Pictures or texts a run, where the graph fixes it.
    pub fixed_batch: Option<usize>,
    /// Values a row of the output, where the graph says.
    pub width: Option<usize>,
}

/// Checks the declaration of an image graph.
///
/// # Errors
/// `Contract`, with what differs and what to change.
pub fn image_graph(manifest: &Manifest, session: &dyn Session) -> Result<Contract, ModelError> {
    let refuse = |message: String| refusal(manifest, message);
    let image = &manifest.image;
    let input = find_or_guess(manifest, session.inputs(), &image.input, "image.input").map_err(refuse)?;
    others_are_fed(session.inputs(), &[&input.name]).map_err(refuse)?;
    if !matches!(input.element, ElementType::F32 | ElementType::F16 | ElementType::U8) {
        return Err(refuse(format!(
            "its input is {}, and pixels are float32, float16 or uint8",
            input.describe()
        )));
    }
    if input.element == ElementType::U8 && (image.scale != Scale::Bytes || image.mean.is_some()) {
        let message = "the graph takes bytes, so it scales them itself: write scale = \"0..255\" without mean and std";
        return Err(refuse(message.to_owned()));
    }
    input_shape(image, input).map_err(refuse)?;
    batch_in_bounds(input).map_err(refuse)?;
    let output = find_or_guess(manifest, session.outputs(), &image.output, "image.output").map_err(refuse)?;
    Ok(Contract {
        input: input.name.clone(),
        output: output.name.clone(),
        element: input.element,
        fixed_batch: input.shape.first().copied().flatten(),
        width: output_width(output).map_err(refuse)?,
    })
}

/// Checks the declaration of a text graph.
///
/// # Errors
/// `Contract`, with what differs and what to change.
pub fn text_graph(manifest: &Manifest, session: &dyn Session) -> Result<Contract, ModelError> {
    let refuse = |message: String| refusal(manifest, message);
    let Some(text) = &manifest.text else {
        return Err(refuse("it has no [text]".to_owned()));
    };
    let input = find_or_guess(manifest, session.inputs(), &text.input, "text.input").map_err(refuse)?;
    let mut fed = vec![input.name.as_str()];
    if let Some(mask) = &text.attention_mask {
        find(session.inputs(), mask, "text.attention_mask").map_err(refuse)?;
        fed.push(mask);
    }
    others_are_fed(session.inputs(), &fed).map_err(refuse)?;
    if !matches!(input.element, ElementType::I64 | ElementType::I32) {
        return Err(refuse(format!(
            "its input is {}, and token ids are int64 or int32",
            input.describe()
        )));
    }
    match input.shape.as_slice() {
        [_, length] if length.is_none_or(|length| length == text.context) => {}
        [_, _] => {
            return Err(refuse(format!(
                "`text.context` is {}, and the graph takes {}",
                text.context,
                input.describe()
            )));
        }
        _ => {
            return Err(refuse(format!(
                "token ids have 2 dimensions, and the graph takes {}",
                input.describe()
            )));
        }
    }
    batch_in_bounds(input).map_err(refuse)?;
    let output = find_or_guess(manifest, session.outputs(), &text.output, "text.output").map_err(refuse)?;
    Ok(Contract {
        input: input.name.clone(),
        output: output.name.clone(),
        element: input.element,
        fixed_batch: input.shape[0],
        width: output_width(output).map_err(refuse)?,
    })
}

/// Checks the width of a row, as declared or as found by the first run.
///
/// # Errors
/// `Contract`, with the width.
pub fn width_in_bounds(manifest: &Manifest, width: usize) -> Result<(), ModelError> {
    if width == 0 || width > MAX_WIDTH {
        return Err(refusal(
            manifest,
            format!("a row of {width} values; 1 to {MAX_WIDTH} is wanted"),
        ));
    }
    Ok(())
}

/// Checks that a tagger has a label for each value of a row.
///
/// # Errors
/// `Contract`, with both numbers.
pub fn label_count(manifest: &Manifest, labels: usize, width: usize) -> Result<(), ModelError> {
    if labels == width {
        return Ok(());
    }
    let file = manifest.output.as_ref().map_or("", |output| output.labels.as_str());
    Err(refusal(
        manifest,
        format!("{file} names {labels} labels, and the graph gives {width} scores a picture"),
    ))
}

/// Most values a row; the largest known tagger has 70,527.
const MAX_WIDTH: usize = 1_000_000;

/// Most pictures or texts that a graph may fix for a run.
const MAX_FIXED_BATCH: usize = 4096;

/// Checks the declaration of a score's head over embeddings of `width` values.
///
/// # Errors
/// `Contract`, with what differs.
pub fn head_graph(manifest: &Manifest, head: &HeadSpec, width: usize, session: &dyn Session) -> Result<(), ModelError> {
    let refuse = |message: String| refusal(manifest, message);
    let input = find(session.inputs(), &head.input, "score.head.input").map_err(refuse)?;
    others_are_fed(session.inputs(), &[&head.input]).map_err(refuse)?;
    let output = find(session.outputs(), &head.output, "score.head.output").map_err(refuse)?;
    let fits = matches!(input.shape.as_slice(), [_, length] if length.is_none_or(|length| length == width));
    if input.element != ElementType::F32 || !fits {
        return Err(refuse(format!(
            "the image graph gives embeddings of {width} values, and the head takes {}",
            input.describe()
        )));
    }
    if output.element != ElementType::F32 {
        return Err(refuse(format!(
            "scores are float32, and the head gives {}",
            output.describe()
        )));
    }
    Ok(())
}

fn refusal(manifest: &Manifest, message: String) -> ModelError {
    ModelError::Contract {
        model: manifest.name.clone(),
        message,
    }
}

fn find<'a>(declared: &'a [TensorInfo], name: &str, key: &str) -> Result<&'a TensorInfo, String> {
    declared.iter().find(|info| info.name == name).ok_or_else(|| {
        let names: Vec<String> = declared.iter().map(TensorInfo::describe).collect();
        format!("`{key}` is `{name}`, and the graph has {}", names.join(", "))
    })
}

/// As [`find`]; but where the manifest says that it is not verified, the graph decides: its only
/// tensor of pictures, ids or rows is taken, of several the last, with a warning.
fn find_or_guess<'a>(
    manifest: &Manifest,
    declared: &'a [TensorInfo],
    name: &str,
    key: &str,
) -> Result<&'a TensorInfo, String> {
    let found = find(declared, name, key);
    if found.is_ok() || manifest.verified {
        return found;
    }
    // Pictures have four dimensions, ids and rows of values two.
    let rank = if key == "image.input" { 4 } else { 2 };
    let guess = declared.iter().rev().find(|info| info.shape.len() == rank);
    if let Some(guess) = guess {
        tracing::warn!(
            "model {}: `{key}` is `{name}`, which its graph does not have; `{}` is taken, as the manifest is not verified",
            manifest.name,
            guess.name
        );
    }
    guess.map_or(found, Ok)
}

fn others_are_fed(inputs: &[TensorInfo], fed: &[&str]) -> Result<(), String> {
    match inputs.iter().find(|info| !fed.contains(&info.name.as_str())) {
        Some(other) => Err(format!(
            "the graph also wants the input {}, which no key of the manifest feeds",
            other.describe()
        )),
        None => Ok(()),
    }
}

fn input_shape(image: &ImageSpec, input: &TensorInfo) -> Result<(), String> {
    let size = image.size as usize;
    let wanted = |layout: Layout| match layout {
        Layout::Nchw => [3, size, size],
        Layout::Nhwc => [size, size, 3],
    };
    let fits = |layout: Layout| {
        let lengths = input.shape.iter().skip(1);
        lengths
            .zip(wanted(layout))
            .all(|(length, wanted)| length.is_none_or(|length| length == wanted))
    };
    if input.shape.len() != 4 {
        return Err(format!(
            "pictures have 4 dimensions, and the graph takes {}",
            input.describe()
        ));
    }
    if fits(image.layout) {
        return Ok(());
    }
    let other = match image.layout {
        Layout::Nchw => Layout::Nhwc,
        Layout::Nhwc => Layout::Nchw,
    };
    if fits(other) {
        return Err(format!(
            "`image.layout` is {}, and the graph takes {}: write layout = \"{}\"",
            image.layout.as_str(),
            input.describe(),
            other.as_str()
        ));
    }
    Err(format!(
        "`image.size` is {size} with layout {}, and the graph takes {}",
        image.layout.as_str(),
        input.describe()
    ))
}

/// A graph is foreign input: the batch that it fixes is allocated here.
fn batch_in_bounds(input: &TensorInfo) -> Result<(), String> {
    match input.shape.first() {
        Some(Some(batch)) if *batch == 0 || *batch > MAX_FIXED_BATCH => Err(format!(
            "the graph fixes its batch at {batch}; 1 to {MAX_FIXED_BATCH} is wanted"
        )),
        _ => Ok(()),
    }
}

fn output_width(output: &TensorInfo) -> Result<Option<usize>, String> {
    if !matches!(output.element, ElementType::F32 | ElementType::F16) {
        return Err(format!(
            "its output is {}, and scores are float32 or float16",
            output.describe()
        ));
    }
    match output.shape.as_slice() {
        [_, width] => Ok(*width),
        _ => Err(format!(
            "a row of values a picture is wanted, and the graph gives {}",
            output.describe()
        )),
    }
}

#[cfg(test)]
mod tests;
