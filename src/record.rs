//! The types that travel from stage to stage. Stages share these and nothing else.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

mod failure;
mod pixels;
mod recovered;

pub use failure::{ErrorKind, Failure};
pub use pixels::{Alpha, Filter, Fit, Geometry, Picture};
pub use recovered::{
    AiProvenance, CharacterPrompt, Confidence, Lora, MetadataStatus, PhotoFacts, RawEntry, RawMetadata, Recovered,
    Settings,
};

/// A reader that a source opens: a file now, a tar member or an object store's blob later.
pub trait ReadSeek: Read + Seek + Send {
    /// Reads some bytes from `offset` on, as many as come at once; where reading goes on afterwards
    /// is not said.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.seek(SeekFrom::Start(offset))?;
        self.read(buffer)
    }

    /// How many bytes there are; where reading goes on afterwards is not said.
    fn length(&mut self) -> std::io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }

    /// Size and modification time now, to notice a file that changed while it was read; `None`
    /// where what was opened cannot change.
    fn stat(&self) -> std::io::Result<Option<FileStat>> {
        Ok(None)
    }
}

impl<T: AsRef<[u8]> + Send> ReadSeek for Cursor<T> {}

/// How the bytes of one image are reached.
pub trait OpenImage: Send + Sync {
    /// Opens the image for reading from its first byte.
    fn open(&self) -> std::io::Result<Box<dyn ReadSeek>>;

    /// Opens the file beside the image that has `suffix` in place of the image's extension
    /// (`.txt`) or appended to its name, where the source has such a thing.
    fn open_sidecar(&self, _suffix: &str) -> Option<std::io::Result<Box<dyn Read>>> {
        None
    }

    /// Starts fetching the bytes where the source can do so without waiting for them; a failure
    /// shows when the image is opened.
    fn read_ahead(&self) {}
}

/// Size and modification time of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStat {
    /// Bytes.
    pub size: u64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub modified_at: i64,
}

impl FileStat {
    /// Of a file that was not looked at before it is opened.
    pub const UNSEEN: Self = Self {
        size: u64::MAX,
        modified_at: i64::MIN,
    };
}

/// Which files of a kind that generators write stood beside an image, with their sizes and times:
/// a hash, to notice that one came, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SidecarStamp(pub u32);

impl SidecarStamp {
    /// No such file, or none was looked for.
    pub const NONE: Self = Self(0);
}

/// Who an image is: what the ledger compares and the first columns of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageId {
    /// Absolute lexical path; a store's URL; `container#member`.
    pub uri: String,
    /// Name of the root it was found under.
    pub root: Arc<str>,
    /// Path in the root, with `/` between the parts.
    pub path: String,
    /// Size and modification time when it was found.
    pub stat: FileStat,
    /// What stood beside it when it was found.
    pub sidecars: SidecarStamp,
}

/// One found image, before a byte of it is read.
#[derive(Clone)]
pub struct SourceImage {
    /// Position in the source, from 0 without gaps; drives the reorder before writing.
    pub sequence: u64,
    /// Who it is.
    pub id: ImageId,
    /// How to reach its bytes.
    pub open: Arc<dyn OpenImage>,
}

impl std::fmt::Debug for SourceImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceImage({}, {})", self.sequence, self.id.uri)
    }
}

/// Which column groups of the plan a piece of work makes: bit 0 is the metadata group (every
/// column that is not a labeler's), bit `i + 1` the plan's labeler `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GroupSet(pub u32);

impl GroupSet {
    /// The metadata group alone.
    pub const METADATA: Self = Self(1);

    /// The metadata group and `labelers` labelers.
    pub fn all(labelers: usize) -> Self {
        Self((1_u32 << (labelers + 1)) - 1)
    }

    /// The group of the plan's labeler `index`.
    pub fn labeler(index: usize) -> Self {
        Self(1 << (index + 1))
    }

    /// Whether every group of `other` is in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Where a finished row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Into a new part.
    Append,
    /// In place of a committed row: the columns of the work's groups are new, the others stay.
    Replace {
        /// Index of the part in the ledger.
        part: u32,
        /// Row in that part.
        row: u32,
    },
}

/// One image and what is to be done with it.
#[derive(Debug, Clone)]
pub struct WorkItem {
    /// The image.
    pub image: SourceImage,
    /// Where its row goes.
    pub destination: Destination,
    /// What is to be made for it.
    pub groups: GroupSet,
}

/// What a row says of one image, apart from the labelers' columns.
#[derive(Debug, Clone)]
pub struct ImageRecord {
    /// Position in the source.
    pub sequence: u64,
    /// Where the row goes.
    pub destination: Destination,
    /// Who it is.
    pub id: ImageId,
    /// BLAKE3 of the whole file in hex; null where the file was not read whole.
    pub blake3: Option<String>,
    /// Header and EXIF facts.
    pub facts: PhotoFacts,
    /// Why the row failed, if it did.
    pub failure: Option<Failure>,
    /// What the metadata gave.
    pub recovered: Recovered,
    /// The raw entries that can hold generation data (empty with `keep_raw = false`).
    pub raw: Vec<RawEntry>,
}

/// A committed row whose file has the same bytes, so that its labels hold here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Twin {
    /// Index of the part in the ledger.
    pub part: u32,
    /// Row in that part.
    pub row: u32,
}

/// Finds twins and reads their labels.
pub trait Twins: Send + Sync {
    /// A row made of the same bytes in which every group of `groups` is current.
    fn find(&self, blake3: &str, groups: GroupSet) -> Option<Twin>;

    /// The columns of the labelers in `groups`, a row for each of `twins`.
    fn labels(&self, twins: &[Twin], groups: GroupSet) -> anyhow::Result<Vec<LabelColumn>>;
}

/// One image after decoding: its record, and a square of pixels for each geometry of the plan
/// (RGB, HWC, 8 bits); none where the picture failed or the plan has no model.
#[derive(Debug)]
pub struct DecodedImage {
    /// The row so far.
    pub record: ImageRecord,
    /// The row whose labels are taken instead of running the models.
    pub twin: Option<Twin>,
    /// One buffer a geometry of the plan, `size * size * 3` bytes each; empty where it failed.
    pub squares: Vec<Vec<u8>>,
}

/// Consecutive images of the source on their way to the models.
#[derive(Debug)]
pub struct ImageBatch {
    /// Position of the batch, from 0 without gaps.
    pub number: u64,
    /// What is to be made for each of its images (a batch never mixes two sets).
    pub groups: GroupSet,
    /// The images in source order, failed ones included.
    pub images: Vec<DecodedImage>,
}

/// A named Arrow column with one value for each row of a batch.
pub type LabelColumn = (FieldRef, ArrayRef);

/// Rows ready for the writer: records and the labelers' columns, equally long.
#[derive(Debug)]
pub struct LabeledBatch {
    /// Position of the batch, from 0 without gaps.
    pub number: u64,
    /// Which column groups are made anew for these rows.
    pub groups: GroupSet,
    /// One record a row, in source order.
    pub records: Vec<ImageRecord>,
    /// The columns of the labelers in `groups`, in the plan's order.
    pub columns: Vec<LabelColumn>,
}
