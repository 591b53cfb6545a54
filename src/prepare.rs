//! One image through the stages that need no model: read, metadata, decode, resize. Whatever
//! happens to it, it comes out as one row.

use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::clock::StageClock;
use crate::decode::{self, DecodeOptions, Spare};
use crate::metadata::{self, ReadOptions, SidecarKind};
use crate::record::{
    DecodedImage, Destination, ErrorKind, Failure, FileStat, Geometry, GroupSet, ImageRecord, MetadataStatus, Picture,
    RawMetadata, SidecarStamp, Twins, WorkItem,
};

/// What the plan wants of every image before the models.
#[derive(Clone)]
pub struct PrepareOptions {
    /// The distinct geometries of the plan's models.
    pub geometries: Vec<Geometry>,
    /// Larger files are failed rows.
    pub max_file_bytes: u64,
    /// Limits and choices of the decoders.
    pub decode: DecodeOptions,
    /// Limits of the metadata readers.
    pub read: ReadOptions,
    /// Turn pictures as EXIF says.
    pub exif_orientation: bool,
    /// Look at the files beside the image.
    pub sidecars: bool,
    /// When pixels are searched for stealth metadata.
    pub stealth: StealthSearch,
    /// Keep the raw entries.
    pub keep_raw: bool,
    /// Read the file whole for its hash although nothing else needs it.
    pub hash: bool,
    /// Knows which bytes have been labeled already.
    pub twins: Option<Arc<dyn Twins>>,
}

impl PrepareOptions {
    /// Whether every byte of a file is wanted, for its pixels or its hash.
    pub fn reads_whole_files(&self) -> bool {
        let may_decode = matches!(self.stealth, StealthSearch::All | StealthSearch::WhenNothingFound);
        !self.geometries.is_empty() || self.hash || may_decode
    }
}

/// When pixels are searched for stealth metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StealthSearch {
    /// Never.
    Off,
    /// Where nothing else was found and the pixels are decoded anyway.
    WithPixels,
    /// Where nothing else was found, decoding lossless pictures for this alone.
    WhenNothingFound,
    /// In every lossless picture, decoding it for this alone if need be.
    All,
}

thread_local! {
    /// Files' bytes.
    static FILE_BYTES: Spare = const { Spare::new(64 << 20) };
}

/// Takes one image through read, metadata, decode and resize. A panic on the way is a failed row.
pub fn prepare_image(item: &WorkItem, options: &PrepareOptions, clock: &StageClock) -> DecodedImage {
    let started = Instant::now();
    let prepared = catch_unwind(AssertUnwindSafe(|| prepare(item, options, clock))).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a decoder panicked".to_owned());
        let mut record = empty_record(item);
        record.failure = Some(Failure::new(ErrorKind::Panic, message));
        DecodedImage {
            record,
            twin: None,
            squares: Vec::new(),
        }
    });
    clock.slowest.add(&item.image.id.path, started);
    prepared
}

fn prepare(item: &WorkItem, options: &PrepareOptions, clock: &StageClock) -> DecodedImage {
    let mut record = empty_record(item);
    let needs_pixels = !options.geometries.is_empty() && item.groups != GroupSet::METADATA;
    // What pixels tell beside their labels (a hash, a stealth prompt, a signature) is in every row of
    // a plan with models, also where the metadata alone is made anew.
    let plan_decodes = !options.geometries.is_empty();
    let needs_bytes = plan_decodes || options.hash;

    let reading = Instant::now();
    let bytes = read_image(item, needs_bytes, options, &mut record);
    clock.read.add(reading);
    let (mut raw, bytes) = match bytes {
        Ok(read) => read,
        Err(failure) => {
            record.failure = Some(failure);
            return DecodedImage {
                record,
                twin: None,
                squares: Vec::new(),
            };
        }
    };
    // One that came since the image was found is the next run's.
    if options.sidecars && item.image.id.sidecars != SidecarStamp::NONE {
        add_sidecars(item, &options.read, &mut raw);
    }
    record.recovered = metadata::interpret::interpret(&raw);
    record.facts = raw.facts.clone();

    // Only new rows have twins: once committed rows are replaced, a part may lose rows, and those
    // behind them are no longer where the ledger says.
    let is_new = item.destination == Destination::Append;
    let twin = match (&options.twins, &record.blake3) {
        (Some(twins), Some(blake3)) if needs_pixels && is_new => twins.find(blake3, item.groups),
        _ => None,
    };
    clock.copied.fetch_add(u64::from(twin.is_some()), Ordering::Relaxed);
    let needs_pixels = needs_pixels && twin.is_none();
    let mut squares = Vec::new();
    let wants_stealth = searches_stealth(options, &raw, record.recovered.status, plan_decodes)
        && (needs_pixels || may_hide_text(item, options));
    let wants_signature = plan_decodes && record.recovered.generator.as_deref() == Some("novelai");
    let wants_picture = needs_pixels || wants_stealth || wants_signature;
    let bytes = match bytes {
        None if wants_stealth => read_whole(item, record.id.stat.size, options),
        bytes => bytes,
    };
    if let Some(bytes) = bytes.as_ref().filter(|_| wants_picture) {
        let decoding = Instant::now();
        let orientation = if options.exif_orientation {
            raw.facts.orientation.unwrap_or(1)
        } else {
            1
        };
        match decode::decode_guarded(bytes, orientation, &options.decode) {
            Ok(picture) => {
                if wants_stealth {
                    read_stealth(bytes, orientation, &picture, options, &mut raw, &mut record);
                }
                if record.recovered.generator.as_deref() == Some("novelai") && orientation == 1 {
                    record.recovered.signature_valid = metadata::novelai_signature::check_entries(&picture, &raw);
                }
                if needs_pixels {
                    squares = decode::resize(&picture, &options.geometries);
                }
            }
            Err(failure) if needs_pixels => record.failure = Some(failure),
            Err(_) => {}
        }
        clock.decode.add(decoding);
    }
    if let Some(bytes) = bytes {
        FILE_BYTES.with(|spare| spare.give(bytes));
    }
    record.raw = if options.keep_raw { raw.entries } else { Vec::new() };
    DecodedImage { record, twin, squares }
}

fn empty_record(item: &WorkItem) -> ImageRecord {
    ImageRecord {
        sequence: item.image.sequence,
        destination: item.destination,
        id: item.image.id.clone(),
        blake3: None,
        facts: Default::default(),
        failure: None,
        recovered: Default::default(),
        raw: Vec::new(),
    }
}

type ReadBytes = (RawMetadata, Option<Vec<u8>>);

/// Reads the file (whole where its pixels or its hash are wanted) and its containers' metadata.
fn read_image(
    item: &WorkItem,
    whole: bool,
    options: &PrepareOptions,
    record: &mut ImageRecord,
) -> Result<ReadBytes, Failure> {
    let unreadable = |error: std::io::Error| Failure::new(ErrorKind::Unreadable, error.to_string());
    let mut reader = item.image.open.open().map_err(unreadable)?;
    let is_unseen = item.image.id.stat == FileStat::UNSEEN;
    if is_unseen {
        record.id.stat.size = reader.length().map_err(unreadable)?;
    }
    let found = record.id.stat;
    if found.size == 0 {
        return Err(Failure::new(ErrorKind::Empty, "the file is empty (0 bytes)"));
    }
    if whole && found.size > options.max_file_bytes {
        let message = format!(
            "{} bytes, more than the limit of {} (decode.max_file_mib)",
            found.size, options.max_file_bytes
        );
        return Err(Failure::new(ErrorKind::TooLarge, message));
    }
    let (raw, bytes) = if whole {
        let mut bytes = FILE_BYTES.with(Spare::take);
        bytes.clear();
        bytes.reserve_exact(found.size as usize + 1);
        // One byte more than found tells that the file has grown, without reading on for ever.
        Read::by_ref(&mut reader)
            .take(found.size + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        record.blake3 = Some(blake3::hash(&bytes).to_hex().to_string());
        (metadata::read(&mut Cursor::new(&bytes), &options.read), Some(bytes))
    } else {
        (metadata::read(&mut *reader, &options.read), None)
    };
    // Of an unseen file nothing is known that could have changed.
    let now = if is_unseen {
        None
    } else {
        reader.stat().map_err(unreadable)?
    };
    if now.is_some_and(|now| now != found) || bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 != found.size) {
        record.blake3 = None;
        let message = "the file changed while it was read; the next run takes it again";
        return Err(Failure::new(ErrorKind::ChangedWhileRead, message));
    }
    if raw.facts.format.is_none() {
        if let Some(note) = raw.notes.iter().find(|note| note.starts_with("reading failed")) {
            return Err(Failure::new(ErrorKind::Unreadable, note.clone()));
        }
        record.facts = raw.facts;
        let head = bytes.as_deref().map(|bytes| &bytes[..bytes.len().min(64)]);
        return Err(not_an_image(item, head));
    }
    Ok((raw, bytes))
}

fn not_an_image(item: &WorkItem, head: Option<&[u8]>) -> Failure {
    let known = head.and_then(decode::sniff).map(decode::ImageFormat::as_str);
    match known {
        Some(format) => Failure::new(
            ErrorKind::UnsupportedFormat,
            format!("{format} pictures cannot be read yet"),
        ),
        None => Failure::new(
            ErrorKind::NotAnImage,
            format!(
                "the content of {} is no image format that labelmill knows",
                item.image.id.path
            ),
        ),
    }
}

fn add_sidecars(item: &WorkItem, options: &ReadOptions, raw: &mut RawMetadata) {
    for kind in SidecarKind::ALL {
        let Some(opened) = item.image.open.open_sidecar(kind.suffix()) else {
            continue;
        };
        match opened {
            Ok(mut reader) => join(raw, metadata::read_sidecar(&mut reader, kind, options)),
            Err(error) => raw.notes.push(format!("sidecar {}: {error}", kind.suffix())),
        }
    }
}

/// Adds what a further place gave; the facts stay the image's own.
fn join(raw: &mut RawMetadata, further: RawMetadata) {
    raw.entries.extend(further.entries);
    raw.notes.extend(further.notes);
}

fn searches_stealth(options: &PrepareOptions, raw: &RawMetadata, status: MetadataStatus, has_pixels: bool) -> bool {
    let lossless = matches!(raw.facts.format, Some("png" | "webp"));
    lossless
        && match options.stealth {
            StealthSearch::Off => false,
            StealthSearch::WithPixels => has_pixels && status != MetadataStatus::Prompt,
            StealthSearch::WhenNothingFound => status != MetadataStatus::Prompt,
            StealthSearch::All => true,
        }
}

/// Looks at the first rows, which decide for most pictures that nothing is hidden in them. Where
/// they cannot be had alone, something may be.
fn may_hide_text(item: &WorkItem, options: &PrepareOptions) -> bool {
    let Ok(mut reader) = item.image.open.open() else {
        return false;
    };
    let rows = metadata::stealth::DECIDING_PIXELS;
    let top = decode::top_rows(&mut *reader, rows, options.max_file_bytes, &options.decode);
    top.is_none_or(|picture| metadata::stealth::is_present(&picture))
}

/// The whole file, where it has the size that it was found with and is within the limit.
fn read_whole(item: &WorkItem, size: u64, options: &PrepareOptions) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let reader = item.image.open.open().ok().filter(|_| size <= options.max_file_bytes)?;
    reader.take(size + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == size).then_some(bytes)
}

/// Looks into the pixels as they are stored, so orientation is undone by decoding once more.
fn read_stealth(
    bytes: &[u8],
    orientation: u8,
    picture: &Picture,
    options: &PrepareOptions,
    raw: &mut RawMetadata,
    record: &mut ImageRecord,
) {
    let turned_back;
    let stored = if orientation == 1 {
        picture
    } else {
        let Ok(stored) = decode::decode_guarded(bytes, 1, &options.decode) else {
            return;
        };
        turned_back = stored;
        &turned_back
    };
    if let Some(found) = metadata::stealth::read(stored, &options.read) {
        join(raw, found);
        record.recovered = metadata::interpret::interpret(raw);
    }
}
