//! The check at start: is the graph what the manifest says? Names, types, ranks, layout and sizes
//! by the graph's declaration, values by one run on made-up pictures. Before the first image, so
//! that a wrong manifest is one message and not a night of wrong labels.

use super::error::ModelError;
use super::manifest::{Activation, CaptionNames, CaptionSpec, HeadSpec, ImageSpec, Layout, Manifest, Scale, ScoreSpec};
use super::session::Session;
use super::tensor::{ElementType, TensorInfo};

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

/// Checks the declarations of a captioner's three graphs; gives the type of the pixels.
///
/// # Errors
/// `Contract`, with what differs and what to change.
pub fn captioner_graphs(
    manifest: &Manifest,
    spec: &CaptionSpec,
    vision: &dyn Session,
    step: &dyn Session,
    select: &dyn Session,
) -> Result<ElementType, ModelError> {
    let refuse = |message: String| refusal(manifest, message);
    let element = captioner_pixels(&manifest.image, vision).map_err(refuse)?;
    let names = &spec.names;
    let of_layers = |key: &str, value: &str| CaptionNames::of_layers(key, value, spec.layers);
    let cross = of_layers(&names.cross_key, &names.cross_value);
    let past = of_layers(&names.past_key, &names.past_value);
    let grown = of_layers(&names.key, &names.value);
    let small = [&names.ids, &names.position, &names.source];
    let fed: Vec<&str> = small
        .into_iter()
        .chain(&past)
        .chain(&cross)
        .map(String::as_str)
        .collect();
    let rows = [names.values.as_str(), &names.rows];
    for (declared, wanted) in [
        (vision.outputs(), cross.iter().map(String::as_str).collect()),
        (step.inputs(), fed.clone()),
        (
            step.outputs(),
            grown.iter().chain([&names.logits]).map(String::as_str).collect(),
        ),
        (select.inputs(), rows.to_vec()),
        (select.outputs(), vec![names.selected.as_str()]),
    ] {
        for name in wanted {
            find(declared, name, "caption.names").map_err(refuse)?;
        }
    }
    others_are_fed(step.inputs(), &fed).map_err(refuse)?;
    others_are_fed(select.inputs(), &rows).map_err(refuse)?;
    let cache = find(step.inputs(), &past[0], "caption.names.past_key").map_err(refuse)?;
    let fits = |place: usize, length: usize| {
        let declared = cache.shape.get(place).copied().flatten();
        declared.is_none_or(|declared| declared == length)
    };
    if cache.shape.len() != 5 || !fits(2, spec.heads) || !fits(4, spec.head_width) {
        return Err(refuse(format!(
            "`caption.heads` is {} and `caption.head_width` {}, and the graph takes {}",
            spec.heads,
            spec.head_width,
            cache.describe()
        )));
    }
    Ok(element)
}

/// Checks the input of a captioner's vision tower.
fn captioner_pixels(image: &ImageSpec, vision: &dyn Session) -> Result<ElementType, String> {
    let input = find(vision.inputs(), &image.input, "image.input")?;
    others_are_fed(vision.inputs(), &[&image.input])?;
    find(vision.outputs(), &image.output, "image.output")?;
    if !matches!(input.element, ElementType::F32 | ElementType::F16) {
        return Err(format!(
            "its input is {}, and pixels are float32 or float16",
            input.describe()
        ));
    }
    input_shape(image, input)?;
    match input.shape[0] {
        Some(batch) => Err(format!("the graph fixes its batch at {batch}; a captioner's is open")),
        None => Ok(input.element),
    }
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
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::device::Device;
    use crate::model::session::{Graph, Runtime, SessionOptions};
    use crate::model::standin::{StandInGraph, StandInRuntime};
    use crate::model::testing::model;

    fn info(name: &str, element: ElementType, shape: &[i64]) -> TensorInfo {
        let shape = shape.iter().map(|&length| usize::try_from(length).ok()).collect();
        TensorInfo {
            name: name.to_owned(),
            element,
            shape,
        }
    }

    fn session(inputs: Vec<TensorInfo>, outputs: Vec<TensorInfo>) -> Box<dyn Session> {
        let answer = Arc::new(|_: &[(&str, &crate::model::Tensor)], name: &str| {
            Err(ModelError::Run {
                graph: name.to_owned(),
                source: "not run in this test".into(),
            })
        });
        let graph = StandInGraph {
            inputs,
            outputs,
            wait: Duration::ZERO,
            answer,
        };
        let runtime = StandInRuntime::default().with_graph("g", graph);
        runtime
            .load("g", Graph::Memory(&[]), &SessionOptions::new(Device::Cpu, 1))
            .unwrap()
    }

    fn image_message(inputs: Vec<TensorInfo>, outputs: Vec<TensorInfo>) -> String {
        let model = model("tiny-wd-tagger");
        image_graph(&model.manifest, session(inputs, outputs).as_ref())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_graph_that_differs_is_refused_with_what_to_change() {
        use ElementType::{F32, I64};
        let good = || vec![info("output", F32, &[-1, 15])];
        for (inputs, outputs, says) in [
            (
                vec![info("pixels", F32, &[-1, 32, 32, 3])],
                good(),
                "`image.input` is `input`",
            ),
            (
                vec![info("input", F32, &[-1, 3, 32, 32])],
                good(),
                "write layout = \"nchw\"",
            ),
            (vec![info("input", F32, &[-1, 48, 48, 3])], good(), "`image.size` is 32"),
            (vec![info("input", F32, &[-1, 3072])], good(), "4 dimensions"),
            (
                vec![info("input", I64, &[-1, 32, 32, 3])],
                good(),
                "float32, float16 or uint8",
            ),
            (
                vec![info("input", F32, &[-1, 32, 32, 3]), info("mask", F32, &[1])],
                good(),
                "also wants the input mask",
            ),
            (
                vec![info("input", F32, &[-1, 32, 32, 3])],
                vec![info("scores", F32, &[-1, 15])],
                "`image.output`",
            ),
            (
                vec![info("input", F32, &[-1, 32, 32, 3])],
                vec![info("output", I64, &[-1, 15])],
                "scores are float32",
            ),
            (
                vec![info("input", F32, &[-1, 32, 32, 3])],
                vec![info("output", F32, &[-1, 15, 8, 8])],
                "a row of values",
            ),
        ] {
            let message = image_message(inputs, outputs);
            assert!(
                message.contains(says) && message.contains("tiny-wd-tagger"),
                "{message} should say {says}"
            );
        }
    }

    #[test]
    fn a_good_graph_says_what_it_leaves_open() {
        let model = model("tiny-wd-tagger");
        let open = session(
            vec![info("input", ElementType::F32, &[-1, -1, -1, 3])],
            vec![info("output", ElementType::F32, &[-1, -1])],
        );
        let contract = image_graph(&model.manifest, open.as_ref()).unwrap();
        assert_eq!(
            contract,
            Contract {
                input: "input".to_owned(),
                output: "output".to_owned(),
                element: ElementType::F32,
                fixed_batch: None,
                width: None
            }
        );
    }

    #[test]
    fn an_unverified_manifest_leaves_names_and_activation_to_the_graph() {
        let mut manifest = model("tiny-wd-tagger").manifest;
        let graph = || {
            let outputs = vec![
                info("initial", ElementType::F32, &[-1, 15]),
                info("features", ElementType::F32, &[-1, 15, 8, 8]),
                info("refined", ElementType::F32, &[-1, 15]),
                info("loss", ElementType::F32, &[]),
            ];
            session(vec![info("pixels", ElementType::F32, &[-1, 32, 32, 3])], outputs)
        };
        let refused = image_graph(&manifest, graph().as_ref()).unwrap_err().to_string();
        assert!(refused.contains("`image.input`"), "{refused}");
        assert!(activation(&manifest, Activation::None, &[-2.0, 3.0], 2).is_err());
        manifest.verified = false;
        let contract = image_graph(&manifest, graph().as_ref()).unwrap();
        assert_eq!(
            (contract.input.as_str(), contract.output.as_str()),
            ("pixels", "refined")
        );
        let rows = [0.5; 16];
        for (declared, rows, taken) in [
            (Activation::None, [-2.0; 16].as_slice(), Activation::Sigmoid),
            (Activation::Sigmoid, &rows, Activation::None),
            (Activation::None, &rows, Activation::None),
        ] {
            assert_eq!(activation(&manifest, declared, rows, 8).unwrap(), taken);
        }
        assert!(activation(&manifest, Activation::None, &[f32::NAN; 8], 8).is_err());
    }

    #[test]
    fn a_text_graph_is_checked_too() {
        use ElementType::{F32, I64};
        let model = model("tiny-clip");
        let output = || vec![info("text_embeds", F32, &[-1, 16])];
        for (inputs, says) in [
            (vec![info("input_ids", I64, &[-1, 77])], "`text.context` is 12"),
            (vec![info("input_ids", F32, &[-1, 12])], "int64 or int32"),
            (vec![info("ids", I64, &[-1, 12])], "`text.input`"),
            (
                vec![
                    info("input_ids", I64, &[-1, 12]),
                    info("attention_mask", I64, &[-1, 12]),
                ],
                "attention_mask",
            ),
        ] {
            let message = text_graph(&model.manifest, session(inputs, output()).as_ref())
                .unwrap_err()
                .to_string();
            assert!(message.contains(says), "{message} should say {says}");
        }
    }

    #[test]
    fn wrong_activations_and_label_counts_are_refused() {
        let manifest = model("tiny-wd-tagger").manifest;
        let message = scores(&manifest, Activation::None, &[0.5, -3.0], 2)
            .unwrap_err()
            .to_string();
        assert!(message.contains("sigmoid"), "{message}");
        let message = scores(&manifest, Activation::Sigmoid, &[0.5; 16], 8)
            .unwrap_err()
            .to_string();
        assert!(message.contains("second activation"), "{message}");
        let message = scores(&manifest, Activation::None, &[f32::NAN], 1)
            .unwrap_err()
            .to_string();
        assert!(message.contains("NaN"), "{message}");
        assert!(scores(&manifest, Activation::None, &[0.0, 1.0], 2).is_ok());
        // Few labels tell nothing, unless they are a softmax already.
        assert!(scores(&manifest, Activation::Softmax, &[0.2, 0.3, 0.9, 0.4], 2).is_ok());
        assert!(scores(&manifest, Activation::Softmax, &[0.25, 0.75, 0.9, 0.1], 2).is_err());
        let message = label_count(&manifest, 15, 16).unwrap_err().to_string();
        assert!(
            message.contains("selected_tags.csv names 15") && message.contains("16 scores"),
            "{message}"
        );
        assert!(embeddings(&manifest, &[0.0, 0.0]).is_err() && embeddings(&manifest, &[0.0, 0.1]).is_ok());
    }
}
