//! What was typed after `export`, `import` and `search`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// What to make
    #[arg(value_enum)]
    pub kind: ExportKind,
    /// Dataset folder
    pub out: PathBuf,
    /// Folder to write to [captions: beside the images; jsonl, csv: stdout]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Say what would be written, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Only the images of this list of uris, one a line; - is stdin
    #[arg(long, value_name = "LIST")]
    pub only: Option<PathBuf>,
    /// Which files that are there may be overwritten
    #[arg(long, value_enum, default_value = "own")]
    pub overwrite: OverwriteArg,
    /// What captions say: {tags}, {prompt}, {caption}, {style} … any column [default: {tags}]
    #[arg(long, value_name = "TEXT")]
    pub template: Option<String>,
    /// Write captions without what people edited and imported
    #[arg(long)]
    pub ignore_edited: bool,
    /// Extension of caption files
    #[arg(long, value_name = "EXT", default_value = ".txt")]
    pub extension: String,
    /// What becomes of a caption file that no export wrote (append and prepend keep its words)
    #[arg(long, value_enum, default_value = "replace")]
    pub existing: ExistingArg,
    /// How tags are chosen and spelled.
    #[command(flatten)]
    pub tags: TagArgs,
    /// imagefolder: how the images come to DIR
    #[arg(long, value_enum, default_value = "link")]
    pub images: ImagesArg,
    /// webdataset: samples in a shard
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub shard_samples: usize,
    /// webdataset: size at which a shard closes
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub shard_mib: u64,
    /// jsonl, csv: with embeddings
    #[arg(long)]
    pub embeddings: bool,
    /// npy: column of the embeddings
    #[arg(long, value_name = "NAME", default_value = "clip_embedding")]
    pub column: String,
}

/// What can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportKind {
    /// A text file an image, for trainers
    Captions,
    /// `meta_cap_dd.json` of sd-scripts, merged with what is there
    Kohya,
    /// Images and metadata.jsonl for `datasets.load_dataset`
    Imagefolder,
    /// Tar shards for `webdataset`
    Webdataset,
    /// One JSON object a row
    Jsonl,
    /// A CSV table
    Csv,
    /// Embeddings and their table as clip-retrieval lays them out
    Npy,
    /// What made each image: infotext, txt2img request, ComfyUI workflow
    Recipe,
}

impl ExportKind {
    /// The name as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Captions => "captions",
            Self::Kohya => "kohya",
            Self::Imagefolder => "imagefolder",
            Self::Webdataset => "webdataset",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Npy => "npy",
            Self::Recipe => "recipe",
        }
    }
}

/// How tags become words.
#[derive(Debug, Clone, Default, Args)]
pub struct TagArgs {
    /// Rules of a known tool, which the other flags change: webui-deepbooru, wd, kohya
    #[arg(long, value_name = "NAME", help_heading = "Tags")]
    pub preset: Option<String>,
    /// Score from which on tags stay: N for all, CATEGORY=N, or @CSV with one a tag (may be repeated) [default: 0.35]
    #[arg(long, value_name = "[CATEGORY=]N", help_heading = "Tags")]
    pub threshold: Vec<String>,
    /// Cut each category in the widest gap of its scores instead
    #[arg(long, help_heading = "Tags")]
    pub mcut: bool,
    /// Only these categories (general, character, copyright, artist, meta …)
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help_heading = "Tags")]
    pub categories: Vec<String>,
    /// At most this many tags of a category
    #[arg(long, value_name = "N", help_heading = "Tags")]
    pub top: Option<usize>,
    /// At most this many tags in all
    #[arg(long, value_name = "N", help_heading = "Tags")]
    pub max_tags: Option<usize>,
    /// Leave these tags out: a list, or @FILE with one a line
    #[arg(long, value_name = "TAG,…|@FILE", help_heading = "Tags")]
    pub exclude: Vec<String>,
    /// Write another tag: OLD=NEW, or @FILE with one a line
    #[arg(long, value_name = "OLD=NEW|@FILE", help_heading = "Tags")]
    pub replace: Vec<String>,
    /// Write name_(series) as two tags
    #[arg(long, help_heading = "Tags")]
    pub expand_characters: bool,
    /// CSV of child,parent: parents go where a child stays
    #[arg(long, value_name = "FILE", help_heading = "Tags")]
    pub implications: Option<PathBuf>,
    /// JSON of {TAG: [TAG, …]}: a tag goes where one of its list stays
    #[arg(long, value_name = "FILE", help_heading = "Tags")]
    pub overlaps: Option<PathBuf>,
    /// Leave out tags that are a part of another one's name
    #[arg(long, help_heading = "Tags")]
    pub drop_contained: bool,
    /// Leave out tags that fewer images have
    #[arg(long, value_name = "N", help_heading = "Tags")]
    pub min_count: Option<u64>,
    /// Order of the tags
    #[arg(long, value_enum, help_heading = "Tags")]
    pub order: Option<OrderArg>,
    /// Characters before everything else
    #[arg(long, help_heading = "Tags")]
    pub characters_first: bool,
    /// Trigger words in front
    #[arg(long, value_name = "WORD,…", value_delimiter = ',', help_heading = "Tags")]
    pub first: Vec<String>,
    /// Shuffle the tags, each image in its own way, the same with the same seed
    #[arg(long, value_name = "SEED", help_heading = "Tags")]
    pub shuffle: Option<u64>,
    /// Never shuffle the first N tags
    #[arg(long, value_name = "N", help_heading = "Tags")]
    pub keep_first: Option<usize>,
    /// How underscores are written
    #[arg(long, value_enum, help_heading = "Tags")]
    pub spelling: Option<SpellingArg>,
    /// What gets a backslash
    #[arg(long, value_enum, help_heading = "Tags")]
    pub escape: Option<EscapeArg>,
    /// Write tags with their scores, (tag:0.123)
    #[arg(long, help_heading = "Tags")]
    pub with_scores: bool,
    /// What stands between two tags [default: ", "]
    #[arg(long, value_name = "TEXT", help_heading = "Tags")]
    pub separator: Option<String>,
}

/// Which files may be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverwriteArg {
    /// Those that an export wrote and nobody changed since
    Own,
    /// Also those that a person edited since
    Edited,
    /// Every one
    All,
}

/// What becomes of words that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExistingArg {
    /// They go, as far as --overwrite allows
    Replace,
    /// New ones come behind them
    Append,
    /// New ones come before them
    Prepend,
}

/// Orders of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OrderArg {
    /// By falling score
    Score,
    /// By name
    Alphabetical,
    /// General, character, then the others, by falling score in each
    Category,
    /// solo, counts of people (2girls), then by falling score
    PeopleFirst,
}

/// Spellings of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SpellingArg {
    /// red_hair
    Underscores,
    /// red hair, but ^_^
    Spaces,
    /// red hair, and ^ ^
    SpacesEverywhere,
    /// Spaces in tags of more than three characters
    SpacesInLongTags,
}

/// What gets a backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EscapeArg {
    /// Nothing
    Nothing,
    /// ( and )
    Parentheses,
    /// \, ( and )
    All,
}

/// How pictures come into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImagesArg {
    /// Hard links, copies where that cannot be
    Link,
    /// Copies
    Copy,
    /// They are there already
    Leave,
}

/// `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// What to read.
    #[command(subcommand)]
    pub what: ImportCommand,
}

/// What can be imported.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Takes over what a person changed in caption files since they were exported
    Captions {
        /// Folder of the caption files
        dir: PathBuf,
        /// Dataset folder
        out: PathBuf,
        /// What is done with a file that contradicts the dataset
        #[arg(long, value_enum, default_value = "list")]
        on_conflict: OnConflictArg,
        /// Read also files that no export wrote, as this
        #[arg(long, value_enum)]
        r#as: Option<AsArg>,
        /// Extension of files that no export wrote
        #[arg(long, value_name = "EXT", default_value = ".txt")]
        extension: String,
        /// Say what would be taken over, write nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// What is done with contradictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnConflictArg {
    /// They are listed and left alone
    List,
    /// The file counts
    File,
}

/// What a caption file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AsArg {
    /// A prompt or caption
    Prompt,
    /// Tags
    Tags,
}

/// `search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Dataset folder
    pub out: PathBuf,
    /// What the pictures should show
    #[arg(required_unless_present = "image", conflicts_with = "image")]
    pub query: Option<String>,
    /// Find pictures that look like this one
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// How many are told
    #[arg(long, short = 'k', value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Column of the embeddings, where the dataset has several
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// Device of the model: auto, cpu, cuda:0, tensorrt:0
    #[arg(long, value_name = "DEVICE", default_value = "auto", env = "LABELMILL_DEVICE")]
    pub device: String,
    /// Path of libonnxruntime.so
    #[arg(long, value_name = "PATH", env = "LABELMILL_ONNXRUNTIME")]
    pub onnxruntime: Option<PathBuf>,
}
