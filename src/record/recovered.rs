//! What the metadata stage hands on: raw entries as the containers hold them, and the typed
//! fields that the interpretation makes of them. Plain values, no parsing here.

/// One piece of text found in a container, exactly as far as it could be decoded.
///
/// `slot` says where it was: `png:tEXt`, `png:zTXt`, `png:iTXt`, `png:comf`, `exif:IFD0`,
/// `exif:Exif`, `xmp`, `iptc`, `jpeg:COM`, `gif:comment`, `c2pa`, `stealth:alpha`, `stealth:rgb`,
/// `sidecar:txt`, `sidecar:json`, `sidecar:swarm.json`. `key` is the PNG keyword, the EXIF tag's
/// name (`UserComment`, `Model` …), the XMP property with its usual prefix (`dc:description`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RawEntry {
    /// Where in the file the text was.
    pub slot: String,
    /// The name under which it was stored there; empty where the slot has no names.
    pub key: String,
    /// The decoded text, verbatim.
    pub text: String,
}

/// Facts about the file as a picture and as a photograph, read from headers and EXIF.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhotoFacts {
    /// Format by content: `png`, `jpeg`, `webp`, `gif`, `bmp`, `tiff`, `avif`, `heic`, `jxl`.
    pub format: Option<&'static str>,
    /// Stored width in pixels, before orientation.
    pub width: Option<u32>,
    /// Stored height in pixels, before orientation.
    pub height: Option<u32>,
    /// EXIF orientation 1..=8, where the file has one.
    pub orientation: Option<u8>,
    /// EXIF `DateTimeOriginal` (or `DateTime`), microseconds of the camera's local clock since
    /// 1970-01-01T00:00:00 read as if it were UTC.
    pub taken_at: Option<i64>,
    /// Minutes east of UTC by EXIF `OffsetTimeOriginal`, where present.
    pub taken_at_offset_minutes: Option<i32>,
    /// Make and model, joined without repeating the make.
    pub camera: Option<String>,
    /// Lens model.
    pub lens: Option<String>,
    /// Exposure time in seconds.
    pub exposure_secs: Option<f64>,
    /// F-number.
    pub f_number: Option<f64>,
    /// ISO speed.
    pub iso: Option<u32>,
    /// Focal length in millimetres.
    pub focal_length_mm: Option<f64>,
    /// Latitude and longitude in degrees (north and east positive).
    pub gps: Option<(f64, f64)>,
    /// XMP `dc:subject` and IPTC keywords.
    pub keywords: Vec<String>,
    /// XMP rating, -1..=5.
    pub rating: Option<i32>,
}

/// Everything that reading the containers of one file (and its sidecars) gave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawMetadata {
    /// Header and EXIF facts.
    pub facts: PhotoFacts,
    /// The entries in file order.
    pub entries: Vec<RawEntry>,
    /// What was wrong or left out on the way: truncated chunk, cap reached, bad CRC …
    pub notes: Vec<String>,
}

/// How the search for generation metadata ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MetadataStatus {
    /// A prompt was recovered.
    Prompt,
    /// The generator is known and its metadata is there, but it holds no prompt.
    NoPrompt,
    /// Only a ComfyUI workflow (UI graph) is there; a prompt read from it is heuristic.
    WorkflowOnly,
    /// Marked as made by AI, without generation parameters.
    AiNoPrompt,
    /// Nothing generative.
    #[default]
    None,
    /// Something is there and could not be read.
    Error,
}

impl MetadataStatus {
    /// The name written to Parquet and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::NoPrompt => "no_prompt",
            Self::WorkflowOnly => "workflow_only",
            Self::AiNoPrompt => "ai_no_prompt",
            Self::None => "none",
            Self::Error => "error",
        }
    }
}

/// How far a recovered prompt can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Confidence {
    /// Written as text by the generator.
    Explicit,
    /// Derived from an executed graph.
    Graph,
    /// Guessed from widgets or from one of several candidates.
    Heuristic,
}

impl Confidence {
    /// The name written to Parquet and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Graph => "graph",
            Self::Heuristic => "heuristic",
        }
    }
}

/// The generation settings that have a column of their own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Sampling steps.
    pub steps: Option<u32>,
    /// Sampler, verbatim (`DPM++ 2M Karras` stays whole).
    pub sampler: Option<String>,
    /// Scheduler, only where the file has its own key for it.
    pub scheduler: Option<String>,
    /// CFG scale.
    pub cfg_scale: Option<f64>,
    /// Seed, exact up to 2^64 - 1; null where the file says -1 or random.
    pub seed: Option<u64>,
    /// Checkpoint name.
    pub model: Option<String>,
    /// Checkpoint hash as written.
    pub model_hash: Option<String>,
    /// VAE name.
    pub vae: Option<String>,
    /// CLIP skip.
    pub clip_skip: Option<u32>,
    /// Denoising strength.
    pub denoising_strength: Option<f64>,
    /// Guidance of distilled models (FLUX).
    pub guidance: Option<f64>,
    /// Generated width in pixels.
    pub width: Option<u32>,
    /// Generated height in pixels.
    pub height: Option<u32>,
}

/// One LoRA that took part.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// Name without folder tricks, as the file writes it.
    pub name: String,
    /// Weight, where known.
    pub weight: Option<f64>,
    /// Hash as written, where known.
    pub hash: Option<String>,
}

/// Provenance marks that say "made by AI" without generation parameters. Never verified
/// cryptographically: `verified` is false unless a signature was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AiProvenance {
    /// Vendor by labelmill's name (`openai`, `google`, `adobe-firefly` …), where known.
    pub vendor: Option<String>,
    /// C2PA claim generator, verbatim.
    pub claim_generator: Option<String>,
    /// IPTC digital source type, the last part of its URI (`trainedAlgorithmicMedia`).
    pub digital_source_type: Option<String>,
    /// The slot that says so.
    pub evidence: Option<String>,
    /// Whether a signature was checked and holds.
    pub verified: bool,
}

/// A prompt for one character of the picture (NovelAI V4 and later).
#[derive(Debug, Clone, PartialEq)]
pub struct CharacterPrompt {
    /// What should be seen.
    pub prompt: String,
    /// What should not.
    pub negative_prompt: String,
    /// Centre in the picture, 0..1, where given.
    pub center: Option<(f64, f64)>,
}

/// The typed fields made of one file's raw entries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// How the search ended.
    pub status: MetadataStatus,
    /// `slot:key` that the prompt came from, for instance `png:tEXt:parameters`.
    pub slot: Option<String>,
    /// Generator (`a1111`, `forge`, `comfyui` …); null when nothing generative was found.
    pub generator: Option<String>,
    /// Its version as written.
    pub generator_version: Option<String>,
    /// Further generators recognised in the same file.
    pub also: Vec<String>,
    /// How far the prompt can be trusted.
    pub confidence: Option<Confidence>,
    /// Provenance marks.
    pub ai_provenance: Option<AiProvenance>,
    /// Positive prompt, verbatim.
    pub prompt: Option<String>,
    /// Negative prompt, verbatim; empty when the file says so.
    pub negative_prompt: Option<String>,
    /// Prompt before wildcards, styles or templates were applied.
    pub original_prompt: Option<String>,
    /// Negative prompt before wildcards, styles or templates were applied.
    pub original_negative_prompt: Option<String>,
    /// Prompts a character.
    pub character_prompts: Vec<CharacterPrompt>,
    /// Settings with columns of their own.
    pub settings: Settings,
    /// LoRAs in the order of the file.
    pub loras: Vec<Lora>,
    /// Every other key and value, in the order of the file.
    pub parameters_extra: Vec<(String, String)>,
    /// Whether the generator's signature over the pixels holds (NovelAI); null where not checked.
    pub signature_valid: Option<bool>,
    /// What was ambiguous, heuristic or unreadable.
    pub notes: Vec<String>,
}
