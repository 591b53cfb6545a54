//! What the file says: the TOML configuration, its defaults, and the presets that come with the
//! program. Unknown keys are refused with the nearest known name.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::cli::{EmbeddingType, Stealth};
use crate::exit::UsageError;
use crate::model::DeviceList;
use crate::model::manifest::ClassifyTable;
use crate::model::provider_options::{CudaOptions, NormaliseOnDevice, TensorRtOptions};

mod batch_size;

pub use batch_size::BatchSize;

/// The whole configuration; every key has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which files are taken.
    pub input: InputConfig,
    /// What is read of a file's metadata.
    pub metadata: MetadataConfig,
    /// How pictures are decoded.
    pub decode: DecodeConfig,
    /// How the run is carried out.
    pub run: RunConfig,
    /// What the devices are told.
    pub device: DeviceConfig,
    /// How the dataset is written.
    pub output: OutputConfig,
    /// The models that label, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model: Vec<ModelConfig>,
    /// Zero-shot tables of the user's own, for the CLIP models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classify: Vec<ClassifyTable>,
    /// What the CLIP interrogator makes of pictures.
    pub interrogate: InterrogateConfig,
    /// Where the column `prompt` comes from.
    pub prompt: PromptConfig,
}

/// `[input]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputConfig {
    /// Globs on the path in the root; empty = everything.
    pub include: Vec<String>,
    /// Globs on the path in the root that are left out.
    pub exclude: Vec<String>,
    /// Any extension; the content decides.
    pub sniff: bool,
    /// Follow symbolic links.
    pub follow_links: bool,
    /// Hidden files and folders too.
    pub hidden: bool,
}

/// `[metadata]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetadataConfig {
    /// When pixels are searched for stealth metadata.
    pub stealth: Stealth,
    /// Sidecar files beside the image (.txt infotext, .json, .swarm.json).
    pub sidecars: bool,
    /// Keep the raw entries in `metadata_raw`.
    pub keep_raw: bool,
    /// Columns for GPS latitude and longitude.
    pub gps: bool,
    /// Read files whole for their BLAKE3 even where no model needs the pixels.
    pub hash: bool,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            stealth: Stealth::Auto,
            sidecars: true,
            keep_raw: true,
            gps: false,
            hash: true,
        }
    }
}

/// `[decode]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecodeConfig {
    /// Pictures with more pixels are failed rows (`too_large`).
    pub max_megapixels: u64,
    /// Files with more mebibytes are failed rows (`too_large`).
    pub max_file_mib: u64,
    /// Turn pictures as their EXIF orientation says.
    pub exif_orientation: bool,
    /// `exact` or `fast` (DCT scaling of large JPEGs).
    pub jpeg_scale: JpegScaleConfig,
}

/// `decode.jpeg_scale`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JpegScaleConfig {
    /// Every pixel is decoded.
    Exact,
    /// Large JPEGs are scaled while decoding, never below three times the models' size.
    Fast,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            max_megapixels: 250,
            max_file_mib: 1024,
            exif_orientation: true,
            jpeg_scale: JpegScaleConfig::Exact,
        }
    }
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// `auto`, `cpu`, `cuda:0`, `tensorrt:0`, or a list of several, which share the work.
    pub device: DeviceList,
    /// Images in one model batch: a number, or `auto`.
    pub batch: BatchSize,
    /// Decoding threads; 0 = one a core.
    pub threads: usize,
    /// Exit 3 above this many failed inputs: a number, a share such as `5%`, or empty for no limit.
    pub max_failed: String,
    /// Stop after this time (`6h`), or empty.
    pub max_duration: String,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            device: DeviceList::default(),
            batch: BatchSize::Auto,
            threads: 0,
            max_failed: String::new(),
            max_duration: String::new(),
        }
    }
}

/// `[device]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Compare a device's first values with the CPU's, and end where they differ.
    pub compare_with_cpu: bool,
    /// Where pixels are normalised.
    pub normalise_on_device: NormaliseOnDevice,
    /// `[device.cuda]`
    pub cuda: CudaOptions,
    /// `[device.tensorrt]`
    pub tensorrt: TensorRtOptions,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            compare_with_cpu: true,
            normalise_on_device: NormaliseOnDevice::default(),
            cuda: CudaOptions::default(),
            tensorrt: TensorRtOptions::default(),
        }
    }
}

/// `[output]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Type of embeddings.
    pub embedding: EmbeddingType,
    /// A part closes at this many rows,
    pub part_rows: usize,
    /// … this many mebibytes,
    pub part_mib: u64,
    /// … or this many seconds.
    pub part_secs: u64,
    /// Largest share of a root's rows that may be gone without `--allow-gone`.
    pub max_gone: f64,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            embedding: EmbeddingType::F16,
            part_rows: 20_000,
            part_mib: 256,
            part_secs: 300,
            max_gone: 0.2,
        }
    }
}

/// One `[[model]]` entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name of a model (`labelmill models list`) or path of a folder with a model.toml.
    pub name: String,
    /// Prefix of its columns; empty = the plain names. Two models of a kind need distinct ones.
    #[serde(default)]
    pub columns: String,
    /// How a captioner's captions are searched for, where it differs from the model's own.
    #[serde(default)]
    pub caption: CaptionConfig,
}

/// `[model.caption]`: keys that are left out are the model's own. Lengths count the first id, the
/// prompt and the last id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptionConfig {
    /// Whether captions begin with the model's prompt ("a picture of"), which is not written.
    pub prompted: Option<bool>,
    /// Sequences that are followed at once; 1 is greedy.
    pub beams: Option<usize>,
    /// Ids before which a caption does not end.
    pub min_length: Option<usize>,
    /// Ids at which a caption is cut off.
    pub max_length: Option<usize>,
    /// Divides the score of ids that the caption holds already.
    pub repetition_penalty: Option<f32>,
}

/// `[interrogate]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterrogateConfig {
    /// The CLIP that looks; empty = no interrogation.
    pub model: String,
    /// The model that says the caption; empty = none.
    pub captioner: String,
    /// `fast`, `classic`, `best`, `caption`, `negative` or `webui`.
    pub mode: String,
    /// Term tables by name, in their order.
    pub tables: Vec<String>,
    /// Terms added to a caption at most.
    pub max_terms: usize,
    /// Terms that a chain (`best`, `negative`) takes even where they do not help.
    pub min_terms: usize,
    /// Candidates of a chain.
    pub candidates: usize,
    /// Terms of each table in `clip_terms`, and in a `webui` prompt.
    pub terms_per_table: usize,
    /// Whether a `webui` prompt carries each term's share.
    pub ranks: bool,
    /// Folder of the tables' embeddings; empty = the user's cache folder.
    pub cache: String,
    /// Prefix of its columns; empty = the plain names.
    pub columns: String,
    /// Tables of the user's own; one of a known name takes its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub table: Vec<TermTableConfig>,
}

impl Default for InterrogateConfig {
    fn default() -> Self {
        Self {
            model: String::new(),
            captioner: String::new(),
            mode: "fast".into(),
            tables: ["artists", "flavors", "mediums", "movements", "trendings", "negative"]
                .map(String::from)
                .to_vec(),
            max_terms: 32,
            min_terms: 8,
            candidates: 2048,
            terms_per_table: 5,
            ranks: false,
            cache: String::new(),
            columns: String::new(),
            table: Vec::new(),
        }
    }
}

/// `[[interrogate.table]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermTableConfig {
    /// Its name.
    pub name: String,
    /// A text file, a term a line; relative to the configuration.
    pub file: String,
}

/// `[prompt]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptConfig {
    /// Where `prompt` comes from: the first of these that gives one (`metadata`, `interrogate`, `tags`).
    pub order: Vec<PromptStep>,
    /// Which pictures are interrogated: `missing` (a prompt of their own), `all` or `none`.
    pub interrogate: InterrogateScope,
    /// Lowest score of a tag that goes into a prompt.
    pub tag_threshold: f64,
    /// Styles whose pictures take another way than `interrogate`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<PromptRoute>,
}

impl Default for PromptConfig {
    fn default() -> Self {
        Self {
            order: vec![PromptStep::Metadata, PromptStep::Interrogate],
            interrogate: InterrogateScope::Missing,
            tag_threshold: 0.35,
            route: Vec::new(),
        }
    }
}

/// Something a prompt can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptStep {
    /// What the image itself says.
    Metadata,
    /// `clip_prompt`.
    Interrogate,
    /// `tags`.
    Tags,
}

/// `prompt.interrogate`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterrogateScope {
    /// Pictures without a prompt of their own.
    Missing,
    /// Every picture.
    All,
    /// No picture; the model is not loaded.
    None,
}

/// `[[prompt.route]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptRoute {
    /// Values of the column `style`.
    pub style: Vec<String>,
    /// What stands in for `interrogate` there.
    pub use_instead: PromptStep,
}

/// The presets that come with the program: name, what it is for, TOML.
pub const PRESETS: [(&str, &str, &str); 6] = [
    (
        "metadata",
        "prompts and settings that images carry; no model",
        include_str!("../configs/metadata.toml"),
    ),
    (
        "demo",
        "embedded demo models, for trying out",
        include_str!("../configs/demo.toml"),
    ),
    (
        "sd15",
        "prompts for Stable Diffusion 1.5: CLIP ViT-L/14 at 336 px and term tables",
        include_str!("../configs/sd15.toml"),
    ),
    (
        "sdxl",
        "prompts for SDXL: CLIP ViT-g/14 and term tables",
        include_str!("../configs/sdxl.toml"),
    ),
    (
        "anime",
        "danbooru tags, by WD v3 and DeepDanbooru",
        include_str!("../configs/anime.toml"),
    ),
    (
        "nightly",
        "metadata every night from cron, with limits",
        include_str!("../configs/nightly.toml"),
    ),
];

impl Config {
    /// Parses a configuration; `origin` names it in errors.
    pub fn parse(text: &str, origin: &str) -> anyhow::Result<Self> {
        toml::from_str(text).map_err(|error| UsageError::error(describe_parse_error(&error, text, origin)))
    }

    /// Reads a configuration file.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the configuration {}", path.display()))
            .map_err(|error| UsageError::error(format!("{error:#}")))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// A preset that comes with the program.
    pub fn preset(name: &str) -> anyhow::Result<Self> {
        let Some((_, _, text)) = PRESETS.iter().find(|(preset, ..)| *preset == name) else {
            let names: Vec<&str> = PRESETS.iter().map(|(preset, ..)| *preset).collect();
            let hint = nearest(name, names.iter().copied())
                .map(|n| format!("; did you mean `{n}`?"))
                .unwrap_or_default();
            return Err(UsageError::error(format!(
                "no preset `{name}`{hint} (presets: {})",
                names.join(", ")
            )));
        };
        Self::parse(text, &format!("preset {name}"))
    }
}

/// A parse error with line, and for an unknown key the nearest known name.
fn describe_parse_error(error: &toml::de::Error, text: &str, origin: &str) -> String {
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = line.map_or_else(|| origin.to_owned(), |line| format!("{origin}:{line}"));
    let message = error.message();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let hint = match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => nearest(unknown, quoted)
            .map(|known| format!("; did you mean `{known}`?"))
            .unwrap_or_default(),
        _ => String::new(),
    };
    format!("{place}: {message}{hint}")
}

/// The known name most like `word`, where one is at all alike.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        let error = Config::parse("[run]\nbtach = 3\n", "x.toml")
            .expect_err("unknown key")
            .to_string();
        assert!(
            error.contains("x.toml:2") && error.contains("did you mean `batch`?"),
            "{error}"
        );
    }

    #[test]
    fn a_batch_is_a_number_or_auto() {
        let read = |text: &str| Config::parse(text, "x.toml").map(|config| config.run.batch);
        assert_eq!(read("").expect("the default"), BatchSize::Auto);
        assert_eq!(read("[run]\nbatch = 7").expect("a number"), BatchSize::Of(7));
        assert_eq!(read("[run]\nbatch = \"auto\"").expect("auto"), BatchSize::Auto);
        assert_eq!("12".parse(), Ok(BatchSize::Of(12)));
        for (text, says) in [
            ("0", "at least 1"),
            ("\"large\"", "neither a number nor auto"),
            ("2.5", "a number of images"),
            ("-1", "a number of images"),
        ] {
            let error = read(&format!("[run]\nbatch = {text}")).expect_err(text).to_string();
            assert!(error.contains(says), "{error} should say {says}");
        }
        let written = toml::to_string(&Config::default()).expect("writes");
        assert!(written.contains("batch = \"auto\""), "{written}");
    }

    #[test]
    fn presets_parse() {
        for (name, ..) in PRESETS {
            Config::preset(name).expect(name);
        }
        let error = Config::preset("dmeo").expect_err("unknown preset").to_string();
        assert!(error.contains("did you mean `demo`?"), "{error}");
    }

    #[test]
    fn the_example_is_complete_and_at_its_defaults() {
        let text = include_str!("../configs/example.toml");
        assert_eq!(Config::parse(text, "example").expect("example"), Config::default());
        let example: toml::Table = toml::from_str(text).expect("example");
        let default: toml::Table =
            toml::from_str(&toml::to_string(&Config::default()).expect("writes")).expect("reads");
        assert_eq!(
            example, default,
            "configs/example.toml must show every key at its default"
        );
        // The commented tables parse too, with every key of theirs.
        let uncommented: String = text
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("#: ").unwrap_or(line)))
            .collect();
        let full = Config::parse(&uncommented, "example, uncommented").expect("uncommented example");
        assert!(!full.model.is_empty() && !full.classify.is_empty());
        assert!(!full.interrogate.table.is_empty() && !full.prompt.route.is_empty());
    }
}
