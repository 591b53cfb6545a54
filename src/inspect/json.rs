//! One image as a JSON object: keys in a fixed order, absent values null. Written straight from the
//! record, since over a large folder the writing would cost more than the reading.

use serde::Serialize;

use crate::record::{CharacterPrompt, Confidence, FileStat, ImageRecord, Recovered, Settings};

/// The object.
#[derive(Serialize)]
pub(super) struct Image<'r> {
    uri: &'r str,
    metadata_status: &'static str,
    metadata_slot: Option<&'r str>,
    confidence: Option<&'static str>,
    generator: Option<&'r str>,
    generator_version: Option<&'r str>,
    also: &'r [String],
    prompt: Option<&'r str>,
    negative_prompt: Option<&'r str>,
    original_prompt: Option<&'r str>,
    original_negative_prompt: Option<&'r str>,
    character_prompts: Vec<Character<'r>>,
    settings: SettingsObject<'r>,
    loras: Vec<Lora<'r>>,
    parameters_extra: &'r [(String, String)],
    ai_provenance: Option<Provenance<'r>>,
    signature_valid: Option<bool>,
    notes: &'r [String],
    format: Option<&'static str>,
    width: Option<u32>,
    height: Option<u32>,
    taken_at: Option<String>,
    camera: Option<&'r str>,
    lens: Option<&'r str>,
    exposure_secs: Option<f64>,
    f_number: Option<f64>,
    iso: Option<u32>,
    focal_length_mm: Option<f64>,
    gps: Option<(f64, f64)>,
    keywords: &'r [String],
    photo_rating: Option<i32>,
    file_size: Option<u64>,
    error_kind: Option<&'static str>,
    error: Option<&'r str>,
}

#[derive(Serialize)]
struct Character<'r> {
    prompt: &'r str,
    negative_prompt: &'r str,
    center: Option<(f64, f64)>,
}

#[derive(Serialize)]
struct SettingsObject<'r> {
    sampler: Option<&'r str>,
    scheduler: Option<&'r str>,
    steps: Option<u32>,
    cfg_scale: Option<f64>,
    seed: Option<u64>,
    model: Option<&'r str>,
    model_hash: Option<&'r str>,
    vae: Option<&'r str>,
    clip_skip: Option<u32>,
    denoising_strength: Option<f64>,
    guidance: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
}

#[derive(Serialize)]
struct Lora<'r> {
    name: &'r str,
    weight: Option<f64>,
    hash: Option<&'r str>,
}

#[derive(Serialize)]
struct Provenance<'r> {
    vendor: Option<&'r str>,
    claim_generator: Option<&'r str>,
    digital_source_type: Option<&'r str>,
    evidence: Option<&'r str>,
    verified: bool,
}

impl<'r> Image<'r> {
    /// What `record` says, under the name `uri`.
    pub(super) fn of(uri: &'r str, record: &'r ImageRecord) -> Self {
        let ImageRecord {
            recovered,
            facts,
            failure,
            ..
        } = record;
        Self {
            uri,
            metadata_status: recovered.status.as_str(),
            metadata_slot: recovered.slot.as_deref(),
            confidence: recovered.confidence.map(Confidence::as_str),
            generator: recovered.generator.as_deref(),
            generator_version: recovered.generator_version.as_deref(),
            also: &recovered.also,
            prompt: recovered.prompt.as_deref(),
            negative_prompt: recovered.negative_prompt.as_deref(),
            original_prompt: recovered.original_prompt.as_deref(),
            original_negative_prompt: recovered.original_negative_prompt.as_deref(),
            character_prompts: recovered.character_prompts.iter().map(Character::of).collect(),
            settings: SettingsObject::of(&recovered.settings),
            loras: recovered.loras.iter().map(Lora::of).collect(),
            parameters_extra: &recovered.parameters_extra,
            ai_provenance: provenance(recovered),
            signature_valid: recovered.signature_valid,
            notes: &recovered.notes,
            format: facts.format,
            width: facts.width,
            height: facts.height,
            taken_at: facts.taken_at.and_then(local_time),
            camera: facts.camera.as_deref(),
            lens: facts.lens.as_deref(),
            exposure_secs: facts.exposure_secs,
            f_number: facts.f_number,
            iso: facts.iso,
            focal_length_mm: facts.focal_length_mm,
            gps: facts.gps,
            keywords: &facts.keywords,
            photo_rating: facts.rating,
            file_size: (record.id.stat.size != FileStat::UNSEEN.size).then_some(record.id.stat.size),
            error_kind: failure.as_ref().map(|failure| failure.kind.as_str()),
            error: failure.as_ref().map(|failure| failure.message.as_str()),
        }
    }
}

impl<'r> Character<'r> {
    fn of(character: &'r CharacterPrompt) -> Self {
        Self {
            prompt: &character.prompt,
            negative_prompt: &character.negative_prompt,
            center: character.center,
        }
    }
}

impl<'r> SettingsObject<'r> {
    fn of(settings: &'r Settings) -> Self {
        Self {
            sampler: settings.sampler.as_deref(),
            scheduler: settings.scheduler.as_deref(),
            steps: settings.steps,
            cfg_scale: settings.cfg_scale,
            seed: settings.seed,
            model: settings.model.as_deref(),
            model_hash: settings.model_hash.as_deref(),
            vae: settings.vae.as_deref(),
            clip_skip: settings.clip_skip,
            denoising_strength: settings.denoising_strength,
            guidance: settings.guidance,
            width: settings.width,
            height: settings.height,
        }
    }
}

impl<'r> Lora<'r> {
    fn of(lora: &'r crate::record::Lora) -> Self {
        Self {
            name: &lora.name,
            weight: lora.weight,
            hash: lora.hash.as_deref(),
        }
    }
}

fn provenance(recovered: &Recovered) -> Option<Provenance<'_>> {
    recovered.ai_provenance.as_ref().map(|provenance| Provenance {
        vendor: provenance.vendor.as_deref(),
        claim_generator: provenance.claim_generator.as_deref(),
        digital_source_type: provenance.digital_source_type.as_deref(),
        evidence: provenance.evidence.as_deref(),
        verified: provenance.verified,
    })
}

/// Microseconds of the camera's clock as `2024-05-06T07:08:09`.
pub(super) fn local_time(micros: i64) -> Option<String> {
    let timestamp = jiff::Timestamp::from_microsecond(micros).ok()?;
    Some(timestamp.to_zoned(jiff::tz::TimeZone::UTC).datetime().to_string())
}
