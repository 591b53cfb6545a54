//! From raw entries to typed fields. Every entry is told by its shape (the key alone proves
//! little: `prompt` is ComfyUI's, Easy Diffusion's and others'), everything that is recognised
//! becomes a hit, and the most specific hit with a prompt is the answer; the rest is named in
//! `also`. Sidecars are asked only where the image itself has no prompt.

mod format;
mod hits;
mod notes;
#[cfg(test)]
mod tests;

pub use self::notes::is_own_note;

use self::hits::Hit;
use super::generator::comfyui;
use super::generator::provenance::{self, Marks};
use crate::record::{MetadataStatus, RawEntry, RawMetadata, Recovered};

/// Raised by hand when the same entries give other fields; `labelmill reparse` brings the rows of an
/// earlier version up to date without their images.
pub const VERSION: u32 = 2;

/// Makes typed fields of what the containers held. Pure: the same entries give the same fields.
pub fn interpret(raw: &RawMetadata) -> Recovered {
    let (beside, inside): (Vec<&RawEntry>, Vec<&RawEntry>) =
        raw.entries.iter().partition(|entry| entry.slot.starts_with("sidecar"));
    let picture = raw.facts.width.zip(raw.facts.height);
    let mut found = best(&inside, picture);
    if found.recovered.status != MetadataStatus::Prompt && !beside.is_empty() {
        let from_sidecar = best(&beside, picture);
        if from_sidecar.recovered.prompt.is_some() {
            found = prefer_sidecar(found, from_sidecar);
        }
    }
    let mut recovered = found.recovered;
    add_provenance(&mut recovered, provenance::read(&raw.entries));
    if recovered.status == MetadataStatus::None && !found.unreadable.is_empty() {
        recovered.status = MetadataStatus::Error;
    }
    recovered.notes.extend(found.unreadable);
    recovered.notes.splice(0..0, raw.notes.iter().cloned());
    recovered
}

/// What one set of entries comes to.
struct Found {
    recovered: Recovered,
    /// Notes on entries that only a generator writes and that could not be read.
    unreadable: Vec<String>,
}

/// The most specific hit, the other generators beside it.
fn best(entries: &[&RawEntry], picture: comfyui::PictureSize) -> Found {
    let hits::Search { hits, unreadable } = hits::search(entries, picture);
    let order = |hit: &Hit| (hit.recovered.prompt.is_none(), hit.rank, hit.position);
    let Some(first) = (0..hits.len()).min_by_key(|at| order(&hits[*at])) else {
        return Found {
            recovered: Recovered::default(),
            unreadable,
        };
    };
    let generators: Vec<String> = hits.iter().filter_map(|hit| hit.recovered.generator.clone()).collect();
    let hit = hits.into_iter().nth(first).expect("the index comes from this list");
    let mut recovered = hit.recovered;
    recovered.slot = Some(hit.slot);
    for generator in generators {
        name_also(&mut recovered, generator);
    }
    Found { recovered, unreadable }
}

/// Adds a generator to `also`, once, and never the primary one.
fn name_also(recovered: &mut Recovered, generator: String) {
    if recovered.generator.as_ref() != Some(&generator) && !recovered.also.contains(&generator) {
        recovered.also.push(generator);
    }
}

/// The sidecar has the prompt; what was recognised in the image itself is named beside it.
fn prefer_sidecar(inside: Found, mut sidecar: Found) -> Found {
    let Recovered {
        generator, also, notes, ..
    } = inside.recovered;
    for generator in generator.into_iter().chain(also) {
        name_also(&mut sidecar.recovered, generator);
    }
    sidecar.recovered.notes.extend(notes);
    sidecar.unreadable.extend(inside.unreadable);
    sidecar
}

/// Attaches provenance marks. Where they are all there is, their vendor is the generator.
fn add_provenance(recovered: &mut Recovered, marks: Marks) {
    let vendor = marks
        .provenance
        .as_ref()
        .and_then(|provenance| provenance.vendor.clone());
    if recovered.generator.is_none() && marks.is_ai {
        recovered.status = MetadataStatus::AiNoPrompt;
        recovered.slot = marks
            .provenance
            .as_ref()
            .and_then(|provenance| provenance.evidence.clone());
        recovered.generator = vendor;
    } else if let Some(vendor) = vendor
        && recovered.generator.is_some()
    {
        name_also(recovered, vendor);
    }
    recovered.ai_provenance = marks.provenance;
}
