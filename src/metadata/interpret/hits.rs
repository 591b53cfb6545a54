//! Finds everything generative among a set of entries, and joins what belongs together (a graph
//! beside the parameters that a node or a front end wrote).

use super::format::{self, Format, JsonText};
use crate::metadata::generator::comfyui::{self, PictureSize};
use crate::metadata::generator::fields::extra;
use crate::metadata::generator::infotext_family::{self, Origin};
use crate::metadata::generator::{
    civitai, draw_things, easy_diffusion, fooocus, hf_space, infotext, invokeai, midjourney, novelai, provenance,
    ruined_fooocus, stability_matrix, swarmui, tensorart,
};
use crate::metadata::json::{self, Arena, Value};
use crate::record::{Confidence, MetadataStatus, RawEntry, Recovered};

/// Something recognised.
pub struct Hit {
    /// How specific the format is; lower is more.
    pub rank: Format,
    /// Where in the file it stood, by entry.
    pub position: usize,
    /// `slot:key`.
    pub slot: String,
    /// Its fields.
    pub recovered: Recovered,
}

/// What a search gave.
#[derive(Default)]
pub struct Search {
    /// Everything recognised.
    pub hits: Vec<Hit>,
    /// Notes on entries under a generator's own key that could not be read.
    pub unreadable: Vec<String>,
}

/// Keys under which ComfyUI and its relatives keep what is only drawn, or repeats other entries.
const DRAWN_KEYS: &[&str] = &[
    "workflow",
    "comfy:workflow",
    "invokeai_workflow",
    "invokeai_graph",
    "smproj",
];
/// Keys whose JSON only a generator writes.
const OWN_JSON_KEYS: &[&str] = &[
    "parameters",
    "prompt",
    "workflow",
    "invokeai_metadata",
    "sd-metadata",
    "generation_data",
    "parameters-json",
    "comfy:prompt",
];
/// Keys whose text is infotext even where it is only a prompt.
const OWN_TEXT_KEYS: &[&str] = &["parameters"];

/// Recognises what `entries` hold; `picture` is the file's own size.
pub fn search(entries: &[&RawEntry], picture: PictureSize) -> Search {
    let mut search = Search::default();
    for (position, entry) in entries.iter().enumerate().filter(|(_, entry)| !is_drawn(entry)) {
        search.entry(position, entry, entries, picture);
    }
    let has_graph = search
        .hits
        .iter()
        .any(|hit| matches!(hit.rank, Format::ApiGraph | Format::CivitaiGraph));
    for (position, entry) in entries.iter().enumerate().filter(|(_, entry)| is_drawn(entry)) {
        if !has_graph {
            search.entry(position, entry, entries, picture);
        }
    }
    search.easy_diffusion_fields(entries);
    search.join_graphs();
    search
}

fn is_drawn(entry: &RawEntry) -> bool {
    DRAWN_KEYS.contains(&entry.key.as_str())
        || entry
            .text
            .get(..9)
            .is_some_and(|start| start.eq_ignore_ascii_case("workflow:"))
}

impl Search {
    fn add(&mut self, rank: Format, position: usize, entry: &RawEntry, recovered: Recovered) {
        self.hits.push(Hit {
            rank,
            position,
            slot: provenance::slot_name(entry),
            recovered,
        });
    }

    fn entry(&mut self, position: usize, entry: &RawEntry, entries: &[&RawEntry], picture: PictureSize) {
        if matches!(entry.key.as_str(), "postprocessing" | "extras") {
            if let Some(recovered) = infotext_family::interpret_extras(&entry.text) {
                self.add(Format::Extras, position, entry, recovered);
            }
            return;
        }
        let is_json = json::with_arena(|arena| {
            let json = format::json_text(&entry.text, arena);
            if let Some(json) = &json {
                self.json(position, entry, json, entries, picture, arena);
            }
            json.is_some()
        });
        if is_json {
            return;
        }
        if let Some((rank, recovered)) = plain_text(entry) {
            self.add(rank, position, entry, recovered);
        } else if entry.text.trim_start().starts_with('{') && OWN_JSON_KEYS.contains(&entry.key.as_str()) {
            self.unreadable
                .push(format!("{}: not readable as JSON", provenance::slot_name(entry)));
        }
    }

    fn json(
        &mut self,
        position: usize,
        entry: &RawEntry,
        json: &JsonText<'_>,
        entries: &[&RawEntry],
        picture: PictureSize,
        arena: &Arena,
    ) {
        let object = &json.document.value;
        let mut notes = json.document.notes(&provenance::slot_name(entry));
        let found = interpret_object(object, entries, picture, arena, 0);
        if found.is_empty() {
            // A prompt that is a JSON document reaches this only without a settings line.
            let is_own = OWN_JSON_KEYS.contains(&entry.key.as_str());
            if is_own && entry.key == "parameters" && json.label.is_empty() {
                notes.push(format!("{}: JSON of no known generator", provenance::slot_name(entry)));
            }
            if is_own {
                self.unreadable.append(&mut notes);
            }
        }
        for (rank, mut recovered) in found {
            recovered.notes.extend(notes.iter().cloned());
            if json.document.truncated && recovered.confidence.is_some() {
                recovered.confidence = Some(Confidence::Heuristic);
            }
            self.add(rank, position, entry, recovered);
        }
    }

    /// Easy Diffusion in a PNG: one text a field, known by its name for the model.
    fn easy_diffusion_fields(&mut self, entries: &[&RawEntry]) {
        let is_field = |entry: &&&RawEntry| entry.slot.starts_with("png:");
        let Some(position) = entries.iter().position(|entry| easy_diffusion::is_own_key(&entry.key)) else {
            return;
        };
        let fields = entries
            .iter()
            .filter(is_field)
            .map(|entry| (entry.key.as_str(), entry.text.as_str()));
        let recovered = easy_diffusion::from_fields(fields);
        let prompt = entries.iter().find(|entry| entry.key.eq_ignore_ascii_case("prompt"));
        self.add(
            Format::EasyDiffusion,
            position,
            prompt.unwrap_or(&entries[position]),
            recovered,
        );
    }

    /// A graph that ran beside other parameters completes them.
    fn join_graphs(&mut self) {
        let is_graph = |hit: &Hit| matches!(hit.rank, Format::ApiGraph | Format::UiGraph);
        let Some(at) = self.hits.iter().position(is_graph) else {
            return;
        };
        if self.hits.iter().all(is_graph) {
            return;
        }
        let graph = self.hits[at].recovered.clone();
        let ran = self.hits[at].rank == Format::ApiGraph;
        for hit in &mut self.hits {
            match hit.rank {
                Format::StabilityMatrix => prefer_graph_sampling(&mut hit.recovered, &graph),
                Format::TensorArt | Format::SwarmUi => {}
                Format::Infotext if is_by_comfyui(&hit.recovered) && !says_nothing(&hit.recovered) => {
                    let writer = hit.recovered.generator.replace("comfyui".to_owned());
                    hit.recovered.also = writer.into_iter().collect();
                    hit.recovered.generator_version = None;
                }
                _ => continue,
            }
            if ran {
                comfyui::complete_from_graph(&mut hit.recovered, graph.clone());
            }
        }
        self.drop_empty_infotext(&graph);
        let has_front_end = self.hits.iter().any(|hit| hit.rank == Format::StabilityMatrix);
        // Stability Matrix repeats its parameters as infotext.
        self.hits.retain(|hit| !(has_front_end && hit.rank == Format::Infotext));
    }

    /// A saver that found no prompt writes "unknown"; the graph knows better.
    fn drop_empty_infotext(&mut self, graph: &Recovered) {
        if graph.prompt.is_some() {
            self.hits
                .retain(|hit| hit.rank != Format::Infotext || !says_nothing(&hit.recovered));
        }
    }
}

/// Infotext beside a graph was written by a node, unless it names a program of its own.
fn is_by_comfyui(recovered: &Recovered) -> bool {
    matches!(recovered.generator.as_deref(), Some("a1111" | "infotext-unknown"))
}

fn says_nothing(recovered: &Recovered) -> bool {
    let prompt = recovered.prompt.as_deref().map_or("", str::trim);
    prompt.is_empty() || prompt.eq_ignore_ascii_case("unknown")
}

/// Stability Matrix joins sampler and scheduler and gives the upscaled size; the graph is exact.
fn prefer_graph_sampling(recovered: &mut Recovered, graph: &Recovered) {
    let from = &graph.settings;
    if let (Some(sampler), Some(joined)) = (from.sampler.clone(), recovered.settings.sampler.clone()) {
        recovered.settings.sampler = Some(sampler);
        recovered.settings.scheduler.clone_from(&from.scheduler);
        extra(recovered, "Sampler", joined);
    }
    if let (Some(width), Some(height)) = (from.width, from.height) {
        for (key, upscaled) in [
            ("Width", recovered.settings.width),
            ("Height", recovered.settings.height),
        ] {
            if let Some(upscaled) = upscaled {
                extra(recovered, key, upscaled.to_string());
            }
        }
        recovered.settings.width = Some(width);
        recovered.settings.height = Some(height);
    }
}

/// The fields of a JSON object of a known format; both where it wraps two graphs.
fn interpret_object(
    object: &Value<'_>,
    entries: &[&RawEntry],
    picture: PictureSize,
    arena: &Arena,
    depth: usize,
) -> Vec<(Format, Recovered)> {
    let Some(format) = format::of_object(object) else {
        return wrapped_graphs(object, entries, picture, arena, depth);
    };
    let recovered = match format {
        Format::SwarmUi => swarmui::interpret(object),
        Format::StabilityMatrix => Some(stability_matrix::interpret(object)),
        Format::InvokeAi => Some(invokeai::interpret(object)),
        Format::InvokeAiSdMetadata => invokeai::interpret_sd_metadata(object),
        Format::TensorArt => Some(tensorart::interpret(object)),
        Format::RuinedFooocus => Some(ruined_fooocus::interpret(object)),
        Format::Fooocus | Format::FooocusMre => Some(fooocus::interpret(object)),
        Format::DrawThings => Some(draw_things::interpret(object)),
        Format::NovelAi => novelai::interpret(object, beside_novelai(entries)),
        Format::HfSpace => Some(hf_space::interpret(object)),
        Format::EasyDiffusion => Some(easy_diffusion::interpret(object)),
        Format::CivitaiGraph => civitai::interpret_graph(object, arena),
        Format::ApiGraph => comfyui::interpret_api(object, picture, arena),
        Format::UiGraph => comfyui::interpret_ui(object, picture, arena),
        Format::InvokeAiDream | Format::Infotext | Format::Midjourney | Format::Extras => None,
    };
    recovered.map(|recovered| (format, recovered)).into_iter().collect()
}

/// `{"prompt": graph, "workflow": graph}`, either of which may be JSON in a string.
fn wrapped_graphs(
    object: &Value<'_>,
    entries: &[&RawEntry],
    picture: PictureSize,
    arena: &Arena,
    depth: usize,
) -> Vec<(Format, Recovered)> {
    const MAX_WRAPS: usize = 3;
    if depth >= MAX_WRAPS {
        return Vec::new();
    }
    for key in ["prompt", "workflow", "extra_pnginfo", "Comment"] {
        let found = match object.get(key) {
            Some(inner @ Value::Object(_)) => interpret_object(inner, entries, picture, arena, depth + 1),
            Some(Value::String(text)) => match json::parse(text, arena).filter(json::Document::is_whole) {
                Some(inner) => interpret_object(&inner.value, entries, picture, arena, depth + 1),
                None => continue,
            },
            _ => continue,
        };
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// NovelAI's other texts in the same file: PNG keywords, or the EXIF tags that stand for them.
fn beside_novelai<'e>(entries: &[&'e RawEntry]) -> novelai::Beside<'e> {
    let text = |keys: &[&str]| {
        let found = keys
            .iter()
            .find_map(|key| entries.iter().find(|entry| entry.key == *key));
        found.map(|entry| entry.text.trim_matches('\0'))
    };
    novelai::Beside {
        description: text(&["Description", "ImageDescription"]),
        source: text(&["Source"]),
        software: text(&["Software"]),
    }
}

/// Formats that are no JSON.
fn plain_text(entry: &RawEntry) -> Option<(Format, Recovered)> {
    let text = entry.text.trim_matches('\0');
    if entry.key == "Dream" {
        return invokeai::interpret_dream(text).map(|recovered| (Format::InvokeAiDream, recovered));
    }
    let is_sidecar = entry.slot.starts_with("sidecar");
    let own_slot = OWN_TEXT_KEYS.contains(&entry.key.as_str()) || entry.slot.starts_with("stealth");
    if text.contains("Guidance Scale: ")
        && let Some(recovered) = draw_things::interpret_description(text)
    {
        return Some((Format::DrawThings, recovered));
    }
    let looks_right = || infotext::looks_like_infotext(text) || (infotext::has_negative_line(text) && !is_sidecar);
    if own_slot || looks_right() {
        let origin = if own_slot || entry.slot == "gif:comment" {
            Origin::OwnSlot
        } else {
            Origin::SharedSlot
        };
        let recovered = infotext_family::interpret(text, origin)?;
        return Some((infotext_rank(&recovered), recovered));
    }
    if is_sidecar {
        return easy_diffusion::interpret_lines(text).map(|recovered| (Format::EasyDiffusion, recovered));
    }
    let describes = [
        "Description",
        "ImageDescription",
        "dc:description",
        "Comment",
        "parameters",
        "Caption-Abstract",
        "UserComment",
    ];
    let is_description = describes.iter().any(|key| entry.key.ends_with(key));
    let recovered = if is_description {
        midjourney::interpret(text)
    } else {
        None
    };
    recovered.map(|recovered| (Format::Midjourney, recovered))
}

/// Fooocus writes infotext too, in its scheme of that name.
fn infotext_rank(recovered: &Recovered) -> Format {
    match (recovered.generator.as_deref(), recovered.status) {
        (Some("fooocus"), _) => Format::Fooocus,
        (Some("a1111-extras"), MetadataStatus::NoPrompt) => Format::Extras,
        _ => Format::Infotext,
    }
}
