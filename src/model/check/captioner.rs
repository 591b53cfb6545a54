//! The declarations of a captioner's three graphs.

use super::{find, input_shape, others_are_fed, refusal};
use crate::model::error::ModelError;
use crate::model::manifest::{CaptionNames, CaptionSpec, ImageSpec, Manifest};
use crate::model::session::Session;
use crate::model::tensor::ElementType;

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
