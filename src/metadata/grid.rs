//! Every generator in every container that it writes to: a file (a sidecar, pixels) a cell, made
//! from the format facts, read by the real readers and interpreted. [`TABLE`] lists the cells, so
//! that one that is missing, or made and not listed, is noticed.

mod cells;
mod files;

use std::collections::BTreeSet;
use std::io::Cursor;

use self::files::Made;
use super::interpret::interpret;
use super::{ReadOptions, read, read_sidecar, stealth};
use crate::record::{MetadataStatus, RawMetadata};

/// One cell: a generator at one place, and what must come of it.
struct Cell {
    generator: &'static str,
    place: &'static str,
    made: Made,
    expected: Expected,
}

/// What must be recovered from a cell.
#[derive(Clone)]
struct Expected {
    status: MetadataStatus,
    prompt: Option<&'static str>,
    negative: Option<&'static str>,
    seed: Option<u64>,
    /// `slot:key` of what counts.
    slot: String,
    /// Another generator that must be named beside it.
    also: Option<&'static str>,
}

/// The generators' cells: where each of them writes.
const TABLE: &[(&str, &[&str])] = &[
    (
        "a1111",
        &[
            "png tEXt",
            "png iTXt",
            "png iTXt compressed",
            "png zTXt after the pixels",
            "png eXIf",
            "png raw profile",
            "jpeg UserComment",
            "webp UserComment",
            "avif UserComment",
            "heic UserComment",
            "jxl UserComment",
            "jxl UserComment in brob",
            "gif comment",
            "tiff ImageDescription",
            "txt sidecar",
            "stealth alpha",
            "stealth alpha gzip",
            "stealth rgb",
            "stealth rgb gzip",
        ],
    ),
    ("a1111-extras", &["png tEXt postprocessing", "png tEXt extras"]),
    (
        "forge",
        &[
            "png tEXt",
            "png iTXt",
            "jpeg UserComment",
            "webp UserComment",
            "avif UserComment",
            "gif comment",
            "stealth alpha gzip",
            "stealth rgb gzip",
            "png tEXt and stealth",
        ],
    ),
    (
        "reforge",
        &[
            "png tEXt",
            "jpeg UserComment",
            "webp UserComment",
            "gif comment",
            "stealth alpha gzip",
        ],
    ),
    (
        "easy-reforge",
        &[
            "png tEXt",
            "jpeg UserComment",
            "webp UserComment",
            "gif comment",
            "stealth alpha gzip",
        ],
    ),
    (
        "forge-classic",
        &[
            "png tEXt",
            "jpeg UserComment",
            "webp UserComment",
            "gif comment",
            "stealth alpha gzip",
        ],
    ),
    (
        "forge-neo",
        &[
            "png tEXt",
            "jpeg UserComment",
            "webp UserComment",
            "gif comment",
            "stealth alpha gzip",
        ],
    ),
    (
        "sd-next",
        &[
            "png tEXt",
            "jpeg UserComment",
            "webp UserComment",
            "jxl UserComment",
            "jpeg UserComment II LE",
        ],
    ),
    ("infotext-unknown", &["jpeg UserComment"]),
    (
        "civitai",
        &["jpeg UserComment II BE", "jpeg UserComment II BE graph", "png tEXt"],
    ),
    (
        "fooocus",
        &[
            "png tEXt",
            "png tEXt a1111",
            "jpeg IFD0",
            "jpeg IFD0 a1111",
            "webp IFD0",
            "webp IFD0 a1111",
        ],
    ),
    ("fooocus-mre", &["png Comment", "jpeg COM"]),
    ("ruined-fooocus", &["png tEXt"]),
    (
        "comfyui",
        &[
            "png tEXt",
            "png iTXt",
            "png zTXt",
            "png comf after the pixels",
            "png graph under workflow",
            "webp Model and Make",
            "webp Model and Make without prefix",
            "jpeg Make and ImageDescription",
            "webp Make and ImageDescription",
            "jpeg UserComment without id",
            "webp UserComment without id",
            "avif XMP attribute",
            "avif XMP element",
            "jxl UserComment",
            "json sidecar",
            "png saver",
            "png workflow alone",
        ],
    ),
    (
        "swarmui",
        &[
            "png tEXt",
            "jpeg UserComment II LE",
            "jpeg UserComment",
            "webp UserComment",
            "webp UserComment II LE",
            "jpeg Model",
            "stealth alpha",
            "stealth alpha gzip",
            "swarm.json sidecar",
            "png beside a graph",
        ],
    ),
    ("invokeai-dream", &["png Dream"]),
    ("invokeai-sd-metadata", &["png tEXt", "png tEXt with a list"]),
    ("invokeai", &["png tEXt", "png iTXt"]),
    (
        "novelai",
        &[
            "png tEXt",
            "png tEXt of before Comment had prompts",
            "webp UserComment ASCII",
            "stealth alpha gzip",
        ],
    ),
    (
        "easy-diffusion",
        &[
            "png fields",
            "png human fields",
            "jpeg UserComment",
            "webp UserComment",
            "txt sidecar",
            "json sidecar",
        ],
    ),
    (
        "draw-things",
        &["png XMP", "jpeg XMP", "png Description", "jpeg XMP description"],
    ),
    ("stability-matrix", &["png tEXt", "webp ImageDescription"]),
    ("tensorart", &["png tEXt"]),
    ("hf-space", &["png tEXt"]),
    ("midjourney", &["png Description", "jpeg XMP description"]),
    ("openai", &["png caBX"]),
    ("google", &["png caBX", "jpeg XMP credit"]),
    ("adobe-firefly", &["jpeg APP11"]),
    ("black-forest-labs", &["png caBX", "webp C2PA"]),
    ("samsung", &["jpeg APP11"]),
    ("microsoft", &["avif C2PA"]),
    ("stability-ai", &["png caBX"]),
    ("doubao", &["png XMP"]),
    ("jimeng", &["jpeg XMP"]),
    ("xai-grok", &["jpeg IFD0"]),
    ("ideogram", &["jpeg IFD0"]),
    (
        "nobody",
        &[
            "png XMP source type",
            "jpeg XMP source type",
            "png caption sidecar",
            "jpeg photograph",
        ],
    ),
];

#[test]
fn every_generator_in_every_container() {
    let cells = cells::all();
    let listed: BTreeSet<(&str, &str)> = TABLE
        .iter()
        .flat_map(|(generator, places)| places.iter().map(|place| (*generator, *place)))
        .collect();
    let made: BTreeSet<(&str, &str)> = cells.iter().map(|cell| (cell.generator, cell.place)).collect();
    assert_eq!(made, listed);
    assert_eq!(made.len(), cells.len(), "a cell is made twice");
    let wrong: Vec<String> = cells
        .iter()
        .filter_map(|cell| complaint(cell).map(|what| format!("{} in {}: {what}", cell.generator, cell.place)))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cells:\n{}",
        wrong.len(),
        cells.len(),
        wrong.join("\n")
    );
}

/// What the readers give for a cell.
fn raw_of(made: &Made) -> RawMetadata {
    let options = ReadOptions::default();
    let file = |bytes: &[u8]| read(&mut Cursor::new(bytes.to_vec()), &options);
    match made {
        Made::File(bytes) => file(bytes),
        Made::Beside(bytes, kind, text) => {
            let mut raw = file(bytes);
            raw.entries
                .extend(read_sidecar(&mut text.as_bytes(), *kind, &options).entries);
            raw
        }
        Made::Pixels(bytes, picture) => {
            let mut raw = file(bytes);
            raw.entries
                .extend(stealth::read(picture, &options).expect("something is hidden").entries);
            raw
        }
    }
}

/// What is not as expected, if anything.
fn complaint(cell: &Cell) -> Option<String> {
    let raw = raw_of(&cell.made);
    let recovered = interpret(&raw);
    let Expected {
        status,
        prompt,
        negative,
        seed,
        slot,
        also,
    } = &cell.expected;
    let generator = recovered.generator.as_deref().unwrap_or("nobody");
    let is_right = generator == cell.generator
        && recovered.status == *status
        && recovered.prompt.as_deref() == *prompt
        && recovered.negative_prompt.as_deref() == *negative
        && recovered.settings.seed == *seed
        && recovered.slot.as_deref().unwrap_or_default() == slot
        && also.is_none_or(|also| recovered.also.iter().any(|name| name == also));
    (!is_right || !raw.notes.is_empty()).then(|| format!("{recovered:?}\n  notes {:?}", raw.notes))
}
