//! ComfyUI: the graph that ran (or, failing that, the workflow as drawn) is walked from what it
//! saves back to the sampler, and from there to the texts, the model and the settings. Slot-aware,
//! bounded, and honest about what is ambiguous.

pub mod conditioning;
pub mod graph;
pub mod model;
pub mod sampler;
pub mod strings;
#[cfg(test)]
mod tests;
pub mod widgets;
pub mod workflow;

use self::conditioning::{Conditioning, Side};
use self::graph::{Graph, Input};
use super::fields::{conclude, extra, named};
use super::loras;
use crate::metadata::json::{self, Arena, Value};
use crate::record::{Confidence, MetadataStatus, Recovered};

/// Width and height of the picture in the file, to tell several outputs apart.
pub type PictureSize = Option<(u32, u32)>;

/// Interprets an API graph, which is read into `arena`; `None` where the object is none.
pub fn interpret_api(object: &Value<'_>, picture: PictureSize, arena: &Arena) -> Option<Recovered> {
    if !graph::is_api_graph(object) {
        return None;
    }
    let graph = graph::from_api(object, arena)?;
    Some(interpret_graph(&graph, picture, Confidence::Graph))
}

/// Interprets a UI graph, which is read into `arena`; `None` where the object is none. Its prompt is heuristic.
pub fn interpret_ui(object: &Value<'_>, picture: PictureSize, arena: &Arena) -> Option<Recovered> {
    if !workflow::is_ui_graph(object) {
        return None;
    }
    let Some(graph) = workflow::from_ui(object, arena) else {
        return Some(Recovered {
            status: MetadataStatus::WorkflowOnly,
            ..named("comfyui")
        });
    };
    let mut recovered = interpret_graph(&graph, picture, Confidence::Heuristic);
    recovered.status = MetadataStatus::WorkflowOnly;
    if recovered.prompt.is_some() {
        recovered
            .notes
            .push("heuristic: the prompt is read from the workflow's widgets".to_owned());
    }
    Some(recovered)
}

fn interpret_graph(graph: &Graph<'_>, picture: PictureSize, confidence: Confidence) -> Recovered {
    let mut recovered = named("comfyui");
    let origins = sampler::origins(graph);
    let Some(choice) = choose(graph, &origins, picture) else {
        return conclude(recovered, confidence);
    };
    let node = &graph.nodes[choice.sampler];
    let positive = conditioning::of_sampler(graph, node, choice.sampler, Side::Positive);
    let negative = conditioning::of_sampler(graph, node, choice.sampler, Side::Negative);
    let ambiguous = note_ambiguity(graph, &origins, &choice, &positive, &mut recovered);
    if positive.opaque || negative.opaque {
        recovered
            .notes
            .push("heuristic: the prompt passes through a node whose output is not in the file".to_owned());
    }
    fill_settings(graph, choice.sampler, &positive, &mut recovered);
    recovered.prompt = positive.prompt();
    recovered.negative_prompt = negative.prompt();
    for lora in positive.texts.iter().flat_map(|text| loras::in_prompt(text)) {
        if !recovered.loras.iter().any(|known| known.name == lora.name) {
            recovered.loras.push(lora);
        }
    }
    add_extras(graph, &origins.samplers, choice.sampler, &mut recovered);
    if graph.is_exhausted() {
        recovered
            .notes
            .push("the ComfyUI graph is too large to be followed to its end".to_owned());
    }
    let has_circle = graph.leads_in_a_circle();
    if has_circle {
        recovered
            .notes
            .push("the ComfyUI graph leads in a circle, so it never ran as it is".to_owned());
    }
    let guessed = ambiguous || positive.opaque || graph.is_exhausted() || has_circle;
    conclude(recovered, if guessed { Confidence::Heuristic } else { confidence })
}

/// The sampler whose prompt counts.
struct Choice {
    sampler: usize,
    /// Outputs that lead to other pictures.
    others: usize,
}

/// One output: its chain's base. Several: the one that fits the picture's size, else the nearest.
fn choose(graph: &Graph<'_>, origins: &sampler::Origins, picture: PictureSize) -> Option<Choice> {
    let bases: Vec<usize> = origins
        .nearest
        .iter()
        .map(|last| sampler::base_of(graph, *last))
        .collect();
    let first = *bases.first()?;
    let others = bases.iter().filter(|base| **base != first).count();
    let mut chosen = 0;
    if others > 0 && picture.is_some() {
        let mut fitting = (0..bases.len()).filter(|at| sampler::settings(graph, origins.nearest[*at]).size == picture);
        if let Some(fits) = fitting.next()
            && fitting.all(|at| bases[at] == bases[fits])
        {
            chosen = fits;
        }
    }
    Some(Choice {
        sampler: bases[chosen],
        others,
    })
}

/// Notes what could have been read otherwise; true where that concerns the prompt.
fn note_ambiguity(
    graph: &Graph<'_>,
    origins: &sampler::Origins,
    choice: &Choice,
    positive: &Conditioning,
    recovered: &mut Recovered,
) -> bool {
    if choice.others > 0 {
        let count = choice.others + 1;
        recovered.notes.push(format!(
            "ambiguous: {count} outputs come from different samplers, one was chosen"
        ));
        return true;
    }
    if origins.samplers.len() < 2 {
        return false;
    }
    let differs = origins
        .nearest
        .iter()
        .filter(|last| **last != choice.sampler)
        .any(|last| {
            conditioning::of_sampler(graph, &graph.nodes[*last], *last, Side::Positive).texts != positive.texts
        });
    let count = origins.samplers.len();
    recovered.notes.push(if differs {
        format!("ambiguous: {count} samplers in a row with different prompts, the first one's is given")
    } else {
        format!("ambiguous: {count} samplers take part, the settings are those of the first of the chain")
    });
    differs
}

fn fill_settings(graph: &Graph<'_>, index: usize, positive: &Conditioning, recovered: &mut Recovered) {
    let found = sampler::settings(graph, index);
    let settings = &mut recovered.settings;
    settings.seed = found.seed;
    settings.steps = found.steps;
    settings.cfg_scale = found.cfg_scale;
    settings.sampler = found.sampler;
    settings.scheduler = found.scheduler;
    settings.denoising_strength = found.denoise;
    settings.guidance = positive.guidance;
    settings.width = found.size.map(|(width, _)| width);
    settings.height = found.size.map(|(_, height)| height);
    settings.vae = model::vae(graph);
    settings.clip_skip = positive.encoder.and_then(|encoder| model::clip_skip(graph, encoder));
    let path = model::path_of(graph, index);
    settings.model = path.model;
    recovered.loras = path.loras;
}

/// Further values typed at the sampler, and the other samplers whole.
fn add_extras(graph: &Graph<'_>, samplers: &[usize], chosen: usize, recovered: &mut Recovered) {
    const COLUMNS: &[&str] = &[
        "seed",
        "noise_seed",
        "steps",
        "cfg",
        "sampler_name",
        "scheduler",
        "denoise",
    ];
    /// Other samplers that are listed.
    const MAX_OTHERS: usize = 16;
    let node = &graph.nodes[chosen];
    for (name, input) in node.inputs {
        if let Input::Value(value) = input {
            let is_random_seed = name.ends_with("seed") && recovered.settings.seed.is_none();
            if !COLUMNS.contains(name) || is_random_seed {
                extra(recovered, &format!("{}.{name}", node.class), value.to_text());
            }
        }
    }
    for index in samplers.iter().filter(|index| **index != chosen).take(MAX_OTHERS) {
        let node = &graph.nodes[*index];
        let mut text = String::from("{\"class_type\":");
        json::write_string(node.class, &mut text);
        for (name, input) in node.inputs {
            if let Input::Value(value) = input {
                text.push(',');
                json::write_string(name, &mut text);
                text.push(':');
                match value.as_str() {
                    Some(typed) => json::write_string(typed, &mut text),
                    None => text.push_str(&value.to_text()),
                }
            }
        }
        text.push('}');
        extra(recovered, &format!("sampler {}", node.id), text);
    }
}

/// Fills what `recovered` lacks from the graph that the same file holds.
pub fn complete_from_graph(recovered: &mut Recovered, graph: Recovered) {
    let Recovered {
        prompt,
        negative_prompt,
        settings: from,
        loras,
        parameters_extra,
        notes,
        ..
    } = graph;
    let to = &mut recovered.settings;
    recovered.prompt = recovered.prompt.take().or(prompt);
    recovered.negative_prompt = recovered.negative_prompt.take().or(negative_prompt);
    to.steps = to.steps.or(from.steps);
    to.sampler = to.sampler.take().or(from.sampler);
    to.scheduler = to.scheduler.take().or(from.scheduler);
    to.cfg_scale = to.cfg_scale.or(from.cfg_scale);
    to.seed = to.seed.or(from.seed);
    to.model = to.model.take().or(from.model);
    to.vae = to.vae.take().or(from.vae);
    to.clip_skip = to.clip_skip.or(from.clip_skip);
    to.denoising_strength = to.denoising_strength.or(from.denoising_strength);
    to.guidance = to.guidance.or(from.guidance);
    if to.width.is_none() && to.height.is_none() {
        (to.width, to.height) = (from.width, from.height);
    }
    if recovered.loras.is_empty() {
        recovered.loras = loras;
    }
    recovered.parameters_extra.extend(parameters_extra);
    recovered.notes.extend(notes);
}
