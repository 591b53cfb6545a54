//! What was typed: every command and flag, nothing resolved. `plan.rs` gives them meaning.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::BatchSize;

mod exports;

pub use exports::*;

/// Labels image collections in batches: the prompt an image carries, or guesses it; writes Parquet.
#[derive(Debug, Parser)]
#[command(name = "labelmill", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much is said on stderr.
    #[command(flatten)]
    pub messages: MessageArgs,
}

/// Everything labelmill can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Labels the images under PATH and writes a Parquet dataset
    Run(RunArgs),
    /// Tells what `run` would do, without doing it
    Plan(RunArgs),
    /// Shows what single images carry: prompt, settings, photo facts
    Inspect(InspectArgs),
    /// Tells which ONNX Runtime, devices and models are found, and what is missing
    Doctor(DoctorArgs),
    /// Lists, pulls, checks and adds models
    Models(ModelsArgs),
    /// Checks a dataset: footers, counts, duplicate rows, one schema
    Verify(DatasetArgs),
    /// Merges small parts of a dataset
    Compact(DatasetArgs),
    /// Makes the metadata columns of a dataset anew from its raw entries, without reading an image
    Reparse(ReparseArgs),
    /// Writes captions, tables, archives … from a dataset
    Export(Box<ExportArgs>),
    /// Takes over what people edited in exported files
    Import(ImportArgs),
    /// Finds the images nearest to a text or to another image, by the dataset's CLIP
    Search(SearchArgs),
    /// Writes a page to look at a dataset in a browser: OUT/_labelmill/report/index.html
    Report(ReportArgs),
    /// Prints a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct MessageArgs {
    /// Log format on stderr
    #[arg(long, global = true, value_enum, default_value = "text", env = "LABELMILL_LOG")]
    pub log: LogFormat,
    /// Say only errors and the closing summary
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// No progress bar, also on a terminal
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// Log formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `run` and `plan`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Folders or files; NAME=PATH names a root, so that it may move later
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Dataset folder [default: PATH-labels for one folder]
    #[arg(long, short, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Configuration file (TOML); configs/example.toml shows every key
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "LABELMILL_CONFIG",
        conflicts_with = "preset"
    )]
    pub config: Option<PathBuf>,
    /// A configuration that comes with the program
    #[arg(long, short, value_name = "NAME", env = "LABELMILL_PRESET")]
    pub preset: Option<String>,
    /// Devices of the models: auto, cpu, cuda:0, tensorrt:0; several with commas share the work
    #[arg(long, value_name = "DEVICE,…", env = "LABELMILL_DEVICE")]
    pub device: Option<String>,
    /// Images in one model batch: a number, or auto (by memory and measured throughput)
    #[arg(long, value_name = "N", env = "LABELMILL_BATCH")]
    pub batch: Option<BatchSize>,
    /// Decoding threads; 0 = one a core
    #[arg(long, value_name = "N", env = "LABELMILL_THREADS")]
    pub threads: Option<usize>,
    /// Path of libonnxruntime.so
    #[arg(long, value_name = "PATH", env = "LABELMILL_ONNXRUNTIME")]
    pub onnxruntime: Option<PathBuf>,
    /// Take only paths that match (glob, may be repeated)
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave out paths that match (glob, may be repeated)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Take files by content, whatever their extension
    #[arg(long)]
    pub sniff: bool,
    /// Follow symbolic links
    #[arg(long)]
    pub follow_links: bool,
    /// Take hidden files and folders too
    #[arg(long)]
    pub hidden: bool,
    /// Where to look for stealth metadata in pixels
    #[arg(long, value_enum)]
    pub stealth: Option<Stealth>,
    /// Type of embeddings: f16 or f32
    #[arg(long, value_enum)]
    pub embedding: Option<EmbeddingType>,
    /// Retry failed rows whose file has not changed: all, or those of one kind
    #[arg(long, value_name = "KIND", num_args = 0..=1, require_equals = true)]
    pub retry_failed: Option<Option<String>>,
    /// Pull models that are not here without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Accept that many or all images of a root are gone
    #[arg(long)]
    pub allow_gone: bool,
    /// Accept that columns of models which the plan does not name leave the dataset
    #[arg(long)]
    pub drop_labels: bool,
    /// Exit 3 when more inputs failed: a number or a share such as 5%
    #[arg(long, value_name = "N|N%", env = "LABELMILL_MAX_FAILED")]
    pub max_failed: Option<String>,
    /// Stop after this time (90s, 30m, 6h), committing what is done
    #[arg(long, value_name = "TIME")]
    pub max_duration: Option<String>,
    /// Stop after this many images
    #[arg(long, value_name = "N")]
    pub max_images: Option<u64>,
    /// Write Prometheus metrics for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub metrics_textfile: Option<PathBuf>,
}

/// When pixels are searched for stealth metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stealth {
    /// Where nothing else was found and the pixels are decoded anyway (`inspect` decodes them).
    Auto,
    /// Never.
    Off,
    /// In every lossless picture.
    All,
}

/// Arrow type of embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingType {
    /// Half precision: half the size, read by DuckDB from 1.3 on, pandas and polars; not by Spark.
    F16,
    /// Single precision.
    F32,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Files or folders
    #[arg(required = true, value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// One JSON object a line
    #[arg(long, group = "form")]
    pub json: bool,
    /// A CSV table
    #[arg(long, group = "form")]
    pub csv: bool,
    /// The raw entries as the containers hold them
    #[arg(long, group = "form")]
    pub raw: bool,
    /// What the CLIP interrogator says: caption, prompt, terms with their scores (with --json too)
    #[arg(long, conflicts_with_all = ["csv", "raw", "field"])]
    pub interrogate: bool,
    /// With --interrogate: a configuration file
    #[arg(long, value_name = "FILE", requires = "interrogate", conflicts_with = "preset")]
    pub config: Option<PathBuf>,
    /// With --interrogate: a configuration that comes with the program [default: demo]
    #[arg(long, value_name = "NAME", requires = "interrogate")]
    pub preset: Option<String>,
    /// With --interrogate: path of libonnxruntime.so
    #[arg(long, value_name = "PATH", requires = "interrogate")]
    pub onnxruntime: Option<PathBuf>,
    /// Only this field (prompt, negative_prompt, generator, seed, model …)
    #[arg(long, value_name = "NAME", group = "form")]
    pub field: Option<String>,
    /// Where to look for stealth metadata in pixels
    #[arg(long, value_enum, default_value = "auto")]
    pub stealth: Stealth,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Path of libonnxruntime.so
    #[arg(long, value_name = "PATH", env = "LABELMILL_ONNXRUNTIME")]
    pub onnxruntime: Option<PathBuf>,
    /// Device to try: auto, cpu, cuda:0, tensorrt:0
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
}

/// `models`.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Lists the models that can be named: which are here, how large they are, how to get the others
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Downloads the files of models into the store
    Pull {
        /// Names of models.
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Hashes models' files and checks them against their manifests [default: all that are here]
    Verify {
        /// Names of models.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Prints where a model's files are
    Path {
        /// Name of the model.
        name: String,
    },
    /// Puts a model of your own into the store: a folder with a model.toml, or hub:OWNER/REPO
    Add {
        /// Where the model is.
        #[arg(help = "Folder, or hub:OWNER/REPO[@REVISION]")]
        #[arg(value_name = "PATH|hub:OWNER/REPO")]
        what: String,
        /// In the place of a model of the same name
        #[arg(long)]
        replace: bool,
    },
}

/// `reparse`.
#[derive(Debug, Args)]
pub struct ReparseArgs {
    /// Dataset folder
    pub out: PathBuf,
    /// Only count what would change; takes no lock and writes nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Commands on one dataset.
#[derive(Debug, Args)]
pub struct DatasetArgs {
    /// Dataset folder
    pub out: PathBuf,
}

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Dataset folder
    pub out: PathBuf,
    /// Longest side of a thumbnail in pixels; 0 makes none
    #[arg(long, value_name = "PIXELS", default_value_t = 256, value_parser = thumbnail_pixels)]
    pub thumbnails: u32,
    /// Rows on the page at most, the first ones
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub max_rows: usize,
}

/// A sheet has four thumbnails a side and must fit into a JPEG file and a graphics card's texture.
fn thumbnail_pixels(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(pixels) if pixels == 0 || (32..=1024).contains(&pixels) => Ok(pixels),
        _ => Err("0, or 32 to 1024".to_owned()),
    }
}
