//! `labelmill inspect`: what single images carry, for people, for scripts and for scorers.

use std::io::{self, Write};
use std::path::Path;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde_json::{Map, Value, json};

use crate::cli::{InspectArgs, Stealth};
use crate::clock::StageClock;
use crate::exit::UsageError;
use crate::metadata::SidecarKind;
use crate::prepare::{PrepareOptions, StealthSearch, prepare_image};
use crate::record::{DecodedImage, Destination, GroupSet, ImageRecord, RawEntry, Recovered, WorkItem};
use crate::source::{FolderOptions, FolderSource, Root, Source};

/// Images looked at together, so that the output stays in order.
const CHUNK_IMAGES: usize = 256;

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
    let mut writer = Writer {
        args,
        out,
        is_first: true,
    };
    writer.header()?;
    for (root, typed) in roots.iter().zip(&args.paths) {
        // Each argument is a source of its own: the same file may be named twice.
        let folder_options = FolderOptions {
            sidecar_suffixes: SidecarKind::ALL.map(SidecarKind::suffix).to_vec(),
            ..FolderOptions::default()
        };
        let source = FolderSource::new(vec![root.clone()], folder_options)?;
        let items: Vec<WorkItem> = source
            .walk()
            .map(|image| WorkItem {
                image,
                destination: Destination::Append,
                groups: GroupSet::METADATA,
            })
            .collect();
        for chunk in items.chunks(CHUNK_IMAGES) {
            let clock = StageClock::default();
            let looked_at: Vec<DecodedImage> = chunk
                .par_iter()
                .map(|item| prepare_image(item, &options, &clock))
                .collect();
            for image in looked_at {
                let uri = shown_path(typed, root, &image.record.id.path);
                writer.image(&uri, &image.record)?;
            }
        }
    }
    Ok(())
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

struct Writer<'a> {
    args: &'a InspectArgs,
    out: &'a mut dyn Write,
    is_first: bool,
}

impl Writer<'_> {
    fn header(&mut self) -> io::Result<()> {
        if self.args.csv {
            writeln!(self.out, "{}", CSV_FIELDS.join(","))?;
        }
        Ok(())
    }

    fn image(&mut self, uri: &str, record: &ImageRecord) -> anyhow::Result<()> {
        let first = std::mem::replace(&mut self.is_first, false);
        if self.args.json {
            writeln!(self.out, "{}", Value::Object(to_json(uri, record)))?;
        } else if self.args.csv {
            let fields = flat(uri, record);
            let mut row = csv::Writer::from_writer(&mut *self.out);
            row.write_record(CSV_FIELDS.map(|name| text_of(fields.get(name).unwrap_or(&Value::Null))))?;
            row.flush()?;
        } else if self.args.raw {
            writeln!(self.out, "{uri}")?;
            for RawEntry { slot, key, text } in &record.raw {
                writeln!(self.out, "  [{slot}] {key}\n{}", indent(text))?;
            }
        } else if let Some(name) = &self.args.field {
            let fields = flat(uri, record);
            let Some(value) = fields.get(name.as_str()) else {
                let known = crate::config::nearest(name, fields.keys().map(String::as_str));
                let hint = known
                    .map(|known| format!("; did you mean {known}?"))
                    .unwrap_or_default();
                return Err(UsageError::error(format!("--field {name}: no such field{hint}")));
            };
            writeln!(self.out, "{}", text_of(value))?;
        } else {
            if !first {
                writeln!(self.out)?;
            }
            self.out.write_all(to_text(uri, record).as_bytes())?;
        }
        Ok(())
    }
}

/// One image as a JSON object, keys in a fixed order, absent values null.
fn to_json(uri: &str, record: &ImageRecord) -> Map<String, Value> {
    let Recovered { settings, .. } = &record.recovered;
    let recovered = &record.recovered;
    let object = json!({
        "uri": uri,
        "metadata_status": recovered.status.as_str(),
        "metadata_slot": recovered.slot,
        "confidence": recovered.confidence.map(crate::record::Confidence::as_str),
        "generator": recovered.generator,
        "generator_version": recovered.generator_version,
        "also": recovered.also,
        "prompt": recovered.prompt,
        "negative_prompt": recovered.negative_prompt,
        "original_prompt": recovered.original_prompt,
        "original_negative_prompt": recovered.original_negative_prompt,
        "character_prompts": recovered.character_prompts.iter().map(|character| json!({
            "prompt": character.prompt,
            "negative_prompt": character.negative_prompt,
            "center": character.center.map(|(x, y)| [x, y]),
        })).collect::<Vec<_>>(),
        "settings": {
            "sampler": settings.sampler,
            "scheduler": settings.scheduler,
            "steps": settings.steps,
            "cfg_scale": settings.cfg_scale,
            "seed": settings.seed,
            "model": settings.model,
            "model_hash": settings.model_hash,
            "vae": settings.vae,
            "clip_skip": settings.clip_skip,
            "denoising_strength": settings.denoising_strength,
            "guidance": settings.guidance,
            "width": settings.width,
            "height": settings.height,
        },
        "loras": recovered.loras.iter().map(|lora| json!({
            "name": lora.name, "weight": lora.weight, "hash": lora.hash,
        })).collect::<Vec<_>>(),
        "parameters_extra": recovered.parameters_extra.iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>(),
        "ai_provenance": recovered.ai_provenance.as_ref().map(|provenance| json!({
            "vendor": provenance.vendor,
            "claim_generator": provenance.claim_generator,
            "digital_source_type": provenance.digital_source_type,
            "evidence": provenance.evidence,
            "verified": provenance.verified,
        })),
        "signature_valid": recovered.signature_valid,
        "notes": recovered.notes,
        "format": record.facts.format,
        "width": record.facts.width,
        "height": record.facts.height,
        "taken_at": record.facts.taken_at.and_then(local_time),
        "camera": record.facts.camera,
        "lens": record.facts.lens,
        "exposure_secs": record.facts.exposure_secs,
        "f_number": record.facts.f_number,
        "iso": record.facts.iso,
        "focal_length_mm": record.facts.focal_length_mm,
        "gps": record.facts.gps.map(|(latitude, longitude)| [latitude, longitude]),
        "keywords": record.facts.keywords,
        "photo_rating": record.facts.rating,
        "file_size": record.id.stat.size,
        "error_kind": record.failure.as_ref().map(|failure| failure.kind.as_str()),
        "error": record.failure.as_ref().map(|failure| failure.message.as_str()),
    });
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The JSON object with the settings' fields beside the others (the picture's own width and height
/// keep their names).
fn flat(uri: &str, record: &ImageRecord) -> Map<String, Value> {
    let mut object = to_json(uri, record);
    if let Some(Value::Object(settings)) = object.remove("settings") {
        for (name, value) in settings {
            object.entry(name).or_insert(value);
        }
    }
    object
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Microseconds of the camera's clock as `2024-05-06T07:08:09`.
fn local_time(micros: i64) -> Option<String> {
    let timestamp = jiff::Timestamp::from_microsecond(micros).ok()?;
    Some(timestamp.to_zoned(jiff::tz::TimeZone::UTC).datetime().to_string())
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
    line("taken", facts.taken_at.and_then(local_time));
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
