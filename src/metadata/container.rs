//! From a file of any format to raw entries. The format is what the bytes say, never the name.
//! A file is read as little as possible: its first 64 KiB, and from there on from block to block.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::ErrorKind;

use super::budget::Collector;
use super::{ReadOptions, c2pa, exif, inflate, iptc, text, xmp};
use crate::record::{RawMetadata, ReadSeek};

mod bmff;
mod gif;
mod jpeg;
mod jxl;
mod png;
mod riff;
#[cfg(test)]
pub(super) mod testing;
mod tiff;

/// Bytes read at once from the start of a file: in most files all metadata lies there.
const HEAD_BYTES: usize = 64 << 10;

/// Bytes read at once further on, where mostly one block header is wanted.
const STEP_BYTES: usize = 4 << 10;

/// Reads what the containers of one file hold: header and EXIF facts, texts, and notes on what was
/// broken or over the limits of `options`. Never fails: what cannot be read is a note. A file of
/// no known format has `facts.format` `None`.
pub fn read(reader: &mut dyn ReadSeek, options: &ReadOptions) -> RawMetadata {
    let mut collector = Collector::new(options);
    let mut window = Window::open(reader);
    let format = sniff(&window.at(0, HEAD_BYTES));
    collector.facts().format = format;
    match format {
        Some("png") => png::read(&mut window, &mut collector),
        Some("jpeg") => jpeg::read(&mut window, &mut collector),
        Some("webp") => riff::read(&mut window, &mut collector),
        Some("gif") => gif::read(&mut window, &mut collector),
        Some("bmp") => read_bmp_size(&mut window, &mut collector),
        Some("tiff") => tiff::read(&mut window, &mut collector),
        Some("avif" | "heic") => bmff::read(&mut window, &mut collector),
        Some("jxl") => jxl::read(&mut window, &mut collector),
        _ => {}
    }
    if let Some(error) = &window.error {
        collector.note(format!("reading failed: {error}"));
    }
    collector.finish()
}

/// The format that the first bytes of a file (a few dozen are enough) tell, by labelmill's name.
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("webp"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("gif"),
        // Two letters are weak evidence: the four reserved bytes of the header are always zero.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("bmp"),
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some("tiff"),
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', 0x0d, 0x0a, 0x87, 0x0a, ..] => Some("jxl"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => bmff::sniff_brand(head),
        _ => None,
    }
}

/// Width and height of a BMP, which carries no text.
fn read_bmp_size(window: &mut Window, collector: &mut Collector) {
    let head = window.at(14, 12);
    let size = match (u32_le(&head, 0), head.len()) {
        (Some(12), 8..) => (
            u32::from(u16_le(&head, 4).unwrap_or(0)),
            u32::from(u16_le(&head, 6).unwrap_or(0)),
        ),
        // The height is negative where rows go top to bottom.
        (Some(_), 12) => (
            u32_le(&head, 4).unwrap_or(0).cast_signed().unsigned_abs(),
            u32_le(&head, 8).unwrap_or(0).cast_signed().unsigned_abs(),
        ),
        _ => {
            collector.note("bmp: the file ends in its header");
            return;
        }
    };
    set_size(collector, size.0, size.1);
}

/// Keeps the first size that is one.
fn set_size(collector: &mut Collector, width: u32, height: u32) {
    let facts = collector.facts();
    if facts.width.is_none() && width > 0 && height > 0 {
        (facts.width, facts.height) = (Some(width), Some(height));
    }
}

/// Bytes that can be read anywhere: a file, or a block of one in memory.
pub(super) trait Bytes {
    /// How many there are.
    fn len(&self) -> u64;

    /// `length` bytes from `offset`, fewer where they end.
    fn at(&mut self, offset: u64, length: usize) -> Cow<'_, [u8]>;
}

impl Bytes for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn at(&mut self, offset: u64, length: usize) -> Cow<'_, [u8]> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(<[u8]>::len(self));
        let end = start.saturating_add(length).min(<[u8]>::len(self));
        Cow::Borrowed(&self[start..end])
    }
}

thread_local! {
    /// The buffer of the last file on this thread, for the next one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A file, of which the part last looked at is kept.
struct Window<'r> {
    reader: &'r mut dyn ReadSeek,
    length: u64,
    /// [`HEAD_BYTES`] of memory, of which the first `filled` are the file's.
    buffer: Vec<u8>,
    filled: usize,
    /// Offset in the file of the first byte in `buffer`.
    start: u64,
    /// The first error that reading gave; from there on nothing more is read.
    error: Option<std::io::Error>,
}

impl<'r> Window<'r> {
    fn open(reader: &'r mut dyn ReadSeek) -> Self {
        let (length, error) = match reader.length() {
            Ok(length) => (length, None),
            Err(error) => (0, Some(error)),
        };
        let mut buffer = SPARE.take();
        buffer.resize(HEAD_BYTES, 0);
        Self {
            reader,
            length,
            buffer,
            filled: 0,
            start: 0,
            error,
        }
    }

    /// How many of `length` bytes from `offset` the file has.
    fn available(&self, offset: u64, length: usize) -> usize {
        length.min(usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX))
    }

    /// Reads from `offset` on into `target` and says how much; less where the file ends.
    fn load(&mut self, offset: u64, target: &mut [u8]) -> usize {
        let mut filled = 0;
        if target.is_empty() || self.error.is_some() {
            return filled;
        }
        let mut read = || {
            while filled < target.len() {
                match self.reader.read_at(offset + filled as u64, &mut target[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            self.error = Some(error);
        }
        filled
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        SPARE.set(std::mem::take(&mut self.buffer));
    }
}

impl Bytes for Window<'_> {
    fn len(&self) -> u64 {
        self.length
    }

    fn at(&mut self, offset: u64, length: usize) -> Cow<'_, [u8]> {
        let end = offset.saturating_add(length as u64).min(self.length);
        let is_here = offset >= self.start && end <= self.start + self.filled as u64;
        if !is_here {
            let step = if offset == 0 { HEAD_BYTES } else { STEP_BYTES };
            if length > step {
                let mut bytes = vec![0; self.available(offset, length)];
                let filled = self.load(offset, &mut bytes);
                bytes.truncate(filled);
                return Cow::Owned(bytes);
            }
            let mut buffer = std::mem::take(&mut self.buffer);
            let wanted = self.available(offset, step);
            self.filled = self.load(offset, &mut buffer[..wanted]);
            self.buffer = buffer;
            self.start = offset;
        }
        let from = usize::try_from(offset.saturating_sub(self.start))
            .unwrap_or(usize::MAX)
            .min(self.filled);
        let to = from.saturating_add(length).min(self.filled);
        Cow::Borrowed(&self.buffer[from..to])
    }
}

fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

fn u64_be(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_be_bytes(*b))
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn u24_le(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b: &[u8; 3]| u32::from_le_bytes([b[0], b[1], b[2], 0]))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

#[cfg(test)]
mod tests;
