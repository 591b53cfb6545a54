//! `labelmill inspect`: what single images carry, for people, for scripts and for scorers.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;
use serde_json::{Map, Value};

use crate::cli::{InspectArgs, Stealth};
use crate::clock::StageClock;
use crate::exit::UsageError;
use crate::metadata::SidecarKind;
use crate::prepare::{PrepareOptions, StealthSearch, prepare_image};
use crate::record::{Destination, GroupSet, ImageRecord, RawEntry, Recovered, SourceImage, WorkItem};
use crate::source::{FolderOptions, FolderSource, Root, Source};

mod json;

/// Images looked at together, so that the output stays in order.
const CHUNK_IMAGES: usize = 1024;

/// Images that one thread looks at in a row, and whose text is one piece.
const PIECE_IMAGES: usize = 16;

/// What the text of most images fits in, in bytes.
const IMAGE_TEXT_BYTES: usize = 2 << 10;

/// Fields of the CSV table, in order.
const CSV_FIELDS: [&str; 14] = [
    "uri",
    "metadata_status",
    "generator",
    "prompt",
    "negative_prompt",
    "sampler",
    "scheduler",
    "steps",
    "cfg_scale",
    "seed",
    "model",
    "width",
    "height",
    "error",
];

/// Looks at every file and folder of `args` and writes what was found to `out`.
pub fn inspect(args: &InspectArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let roots = args
        .paths
        .iter()
        .map(|path| parse_root(path))
        .collect::<anyhow::Result<Vec<Root>>>()?;
    let options = PrepareOptions {
        geometries: Vec::new(),
        max_file_bytes: u64::MAX,
        decode: Default::default(),
        read: Default::default(),
        exif_orientation: true,
        sidecars: true,
        stealth: match args.stealth {
            Stealth::Off => StealthSearch::Off,
            Stealth::Auto => StealthSearch::WhenNothingFound,
            Stealth::All => StealthSearch::All,
        },
        keep_raw: true,
        hash: false,
        twins: None,
    };
    if args.csv {
        writeln!(out, "{}", CSV_FIELDS.join(","))?;
    }
    // By name, which is the path as typed: equal ones are one place, named twice.
    let typed: HashMap<&str, (&Path, &Root)> = roots
        .iter()
        .zip(&args.paths)
        .map(|(root, typed)| (&*root.name, (typed.as_path(), root)))
        .collect();
    let folder_options = FolderOptions {
        sidecar_suffixes: SidecarKind::ALL.map(SidecarKind::suffix).to_vec(),
        unseen: true,
        ..FolderOptions::default()
    };
    let source = FolderSource::new(roots.clone(), folder_options)?;
    let mut walk = source.walk();
    let mut next_chunk = || walk.by_ref().take(CHUNK_IMAGES).map(work).collect::<Vec<WorkItem>>();
    let clock = StageClock::default();
    let look = |items: &[WorkItem]| {
        let mut piece = Vec::with_capacity(items.len() * IMAGE_TEXT_BYTES);
        let done = items.iter().try_for_each(|item| {
            let (typed, root) = typed[&*item.image.id.root];
            let uri = shown_path(typed, root, &item.image.id.path);
            write_image(args, &uri, &prepare_image(item, &options, &clock).record, &mut piece)
        });
        (piece, done)
    };
    let mut is_first = true;
    let mut items = next_chunk();
    while !items.is_empty() {
        let pieces;
        (pieces, items) = if items.len() <= PIECE_IMAGES {
            // One piece: starting threads would take longer than looking at it.
            (vec![look(&items)], next_chunk())
        } else {
            rayon::join(
                || items.par_chunks(PIECE_IMAGES).map(look).collect::<Vec<_>>(),
                &mut next_chunk,
            )
        };
        for (piece, done) in pieces {
            let from = usize::from(is_first && is_for_people(args));
            out.write_all(piece.get(from..).unwrap_or_default())?;
            done?;
            is_first = false;
        }
    }
    Ok(())
}

fn work(image: SourceImage) -> WorkItem {
    WorkItem {
        image,
        destination: Destination::Append,
        groups: GroupSet::METADATA,
    }
}

fn parse_root(path: &Path) -> anyhow::Result<Root> {
    let absolute = crate::source::lexical_absolute(path)?;
    let name = crate::source::path_text(path);
    if absolute.is_file() {
        let folder = absolute.parent().map(Path::to_path_buf).unwrap_or_default();
        return Ok(Root {
            name: name.into(),
            folder,
            single_file: Some(absolute),
        });
    }
    if !absolute.is_dir() {
        return Err(UsageError::error(format!("{}: no such file or folder", path.display())));
    }
    Ok(Root {
        name: name.into(),
        folder: absolute,
        single_file: None,
    })
}

/// The path as it was typed.
fn shown_path(typed: &Path, root: &Root, path_in_root: &str) -> String {
    if root.single_file.is_some() {
        return crate::source::path_text(typed);
    }
    format!(
        "{}/{path_in_root}",
        crate::source::path_text(typed).trim_end_matches('/')
    )
}

/// Whether images are told in paragraphs, with an empty line before each but the first.
fn is_for_people(args: &InspectArgs) -> bool {
    !(args.json || args.csv || args.raw || args.field.is_some())
}

/// Appends what `args` wants to know of one image.
fn write_image(args: &InspectArgs, uri: &str, record: &ImageRecord, out: &mut Vec<u8>) -> anyhow::Result<()> {
    if args.json {
        serde_json::to_writer(&mut *out, &json::Image::of(uri, record))?;
        out.push(b'\n');
    } else if args.csv {
        let fields = flat(uri, record)?;
        let mut row = csv::Writer::from_writer(&mut *out);
        row.write_record(CSV_FIELDS.map(|name| text_of(fields.get(name).unwrap_or(&Value::Null))))?;
        row.flush()?;
    } else if args.raw {
        writeln!(out, "{uri}")?;
        for RawEntry { slot, key, text } in &record.raw {
            writeln!(out, "  [{slot}] {key}\n{}", indent(text))?;
        }
    } else if let Some(name) = &args.field {
        let fields = flat(uri, record)?;
        let Some(value) = fields.get(name.as_str()) else {
            let known = crate::config::nearest(name, fields.keys().map(String::as_str));
            let hint = known
                .map(|known| format!("; did you mean {known}?"))
                .unwrap_or_default();
            return Err(UsageError::error(format!("--field {name}: no such field{hint}")));
        };
        writeln!(out, "{}", text_of(value))?;
    } else {
        writeln!(out)?;
        out.extend_from_slice(to_text(uri, record).as_bytes());
    }
    Ok(())
}

/// The JSON object with the settings' fields beside the others (the picture's own width and height
/// keep their names).
fn flat(uri: &str, record: &ImageRecord) -> serde_json::Result<Map<String, Value>> {
    let Value::Object(mut object) = serde_json::to_value(json::Image::of(uri, record))? else {
        return Ok(Map::new());
    };
    if let Some(Value::Object(settings)) = object.remove("settings") {
        for (name, value) in settings {
            object.entry(name).or_insert(value);
        }
    }
    Ok(object)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn indent(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// One image as a person reads it.
fn to_text(uri: &str, record: &ImageRecord) -> String {
    let recovered = &record.recovered;
    let facts = &record.facts;
    let size = match (facts.width, facts.height) {
        (Some(width), Some(height)) => format!("{width} x {height} "),
        _ => String::new(),
    };
    let mut lines = vec![uri.to_owned()];
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("  {name:<10} {}", value.replace('\n', "\n             ")));
        }
    };
    line(
        "picture",
        Some(format!("{size}{}", facts.format.unwrap_or("unknown format"))),
    );
    line("error", record.failure.as_ref().map(ToString::to_string));
    let origin = [recovered.generator.clone(), recovered.generator_version.clone()];
    line(
        "generator",
        Some(origin.into_iter().flatten().collect::<Vec<_>>().join(" ")),
    );
    let confidence = recovered
        .confidence
        .map(|confidence| format!(", {}", confidence.as_str()))
        .unwrap_or_default();
    let slot = recovered
        .slot
        .as_ref()
        .map(|slot| format!(" ({slot}{confidence})"))
        .unwrap_or_default();
    line("metadata", Some(format!("{}{slot}", recovered.status.as_str())));
    line("prompt", recovered.prompt.clone());
    line("negative", recovered.negative_prompt.clone());
    for character in &recovered.character_prompts {
        line("character", Some(character.prompt.clone()));
    }
    line("settings", Some(settings_text(recovered)));
    let loras = recovered.loras.iter().map(|lora| match lora.weight {
        Some(weight) => format!("{}:{weight}", lora.name),
        None => lora.name.clone(),
    });
    line("loras", Some(loras.collect::<Vec<_>>().join(", ")));
    let extra = recovered
        .parameters_extra
        .iter()
        .map(|(key, value)| format!("{key}: {value}"));
    line("more", Some(extra.collect::<Vec<_>>().join("\n")));
    line("made by AI", recovered.ai_provenance.as_ref().map(provenance_text));
    line("taken", facts.taken_at.and_then(json::local_time));
    line("camera", facts.camera.clone());
    line("keywords", Some(facts.keywords.join(", ")));
    for note in &recovered.notes {
        line("note", Some(note.clone()));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn provenance_text(provenance: &crate::record::AiProvenance) -> String {
    let parts = [
        &provenance.vendor,
        &provenance.claim_generator,
        &provenance.digital_source_type,
    ];
    let said: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    format!(
        "{} ({})",
        said.join(", "),
        if provenance.verified { "verified" } else { "unverified" }
    )
}

fn settings_text(recovered: &Recovered) -> String {
    let settings = &recovered.settings;
    let mut parts: Vec<String> = Vec::new();
    let mut part = |name: &str, value: Option<String>| parts.extend(value.map(|value| format!("{name} {value}")));
    part("model", settings.model.clone());
    part("hash", settings.model_hash.clone());
    part("sampler", settings.sampler.clone());
    part("scheduler", settings.scheduler.clone());
    part("steps", settings.steps.map(|n| n.to_string()));
    part("CFG", settings.cfg_scale.map(|n| n.to_string()));
    part("guidance", settings.guidance.map(|n| n.to_string()));
    part("seed", settings.seed.map(|n| n.to_string()));
    part(
        "size",
        settings.width.zip(settings.height).map(|(w, h)| format!("{w}x{h}")),
    );
    part("clip skip", settings.clip_skip.map(|n| n.to_string()));
    part("denoising", settings.denoising_strength.map(|n| n.to_string()));
    part("VAE", settings.vae.clone());
    parts.join(", ")
}
