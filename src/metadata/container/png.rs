//! PNG and APNG: text before and after the pixels, EXIF, XMP, C2PA. Pixel data is stepped over,
//! a wrong checksum or a missing end is noted and what is there is used.

use super::{Bytes, Collector, Window, c2pa, exif, inflate, iptc, set_size, text, u32_be, xmp};
use crate::metadata::budget::shown;

/// Chunks that are followed in one file. At the 8 KiB that small writers put into a chunk this is
/// 8 GiB of pixels.
const MAX_CHUNKS: usize = 1 << 20;

/// What setting up an inflater counts for, in bytes of text: a million empty chunks must cost no
/// more than one large one.
const INFLATE_COST_BYTES: usize = 1 << 10;

/// The keyword under which PNG carries XMP.
const XMP_KEYWORD: &str = "XML:com.adobe.xmp";

/// Reads all chunks up to the end of the picture.
pub(super) fn read(window: &mut Window, collector: &mut Collector) {
    let mut at = 8;
    for _ in 0..MAX_CHUNKS {
        let header = window.at(at, 8);
        let (Some(length), Some(&kind)) = (u32_be(&header, 0), header.get(4..).and_then(<[u8]>::first_chunk::<4>))
        else {
            collector.note(format!("png: the file ends at byte {at} without its last chunk"));
            return;
        };
        if kind == *b"IEND" {
            return;
        }
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            collector.note(format!("png: no chunk at byte {at}; what follows is left out"));
            return;
        }
        let chunk = Chunk {
            kind,
            body_at: at + 8,
            length: u64::from(length),
        };
        if chunk.is_metadata() {
            chunk.read(window, collector);
        } else if kind == *b"IDAT" {
            at = last_of_equal_chunks(at, header_of(&chunk), chunk.length + 12, window);
        }
        at += chunk.length + 12;
    }
    collector.note(format!("png: more than {MAX_CHUNKS} chunks; what follows is left out"));
}

/// The offset of the last of a run of pixel chunks that all have the header of the one at `at`, or
/// of one near it.
///
/// Pixel chunks must follow each other without others between, and writers make all but the last
/// of one length. So where, a whole number of chunks further on, there stands the same header
/// again, all between is pixels. In most files nothing but the last pixel chunk and the end
/// follows, so that place is looked at first; in the others a file of 200 chunks costs some 15
/// reads and not 200.
fn last_of_equal_chunks(at: u64, header: [u8; 8], stride: u64, window: &mut Window) -> u64 {
    let mut last = at;
    let after = window.len().saturating_sub(at + stride);
    if after > stride {
        let near_end = at + after / stride * stride;
        if *window.at(near_end, 8) == header {
            last = near_end;
        }
    }
    let mut step = stride;
    while *window.at(last + step, 8) == header {
        last += step;
        step *= 2;
    }
    while step > stride {
        step /= 2;
        if *window.at(last + step, 8) == header {
            last += step;
        }
    }
    last
}

fn header_of(chunk: &Chunk) -> [u8; 8] {
    let length = (chunk.length as u32).to_be_bytes();
    [
        length[0],
        length[1],
        length[2],
        length[3],
        chunk.kind[0],
        chunk.kind[1],
        chunk.kind[2],
        chunk.kind[3],
    ]
}

/// One chunk in the file.
struct Chunk {
    kind: [u8; 4],
    body_at: u64,
    length: u64,
}

impl Chunk {
    fn is_metadata(&self) -> bool {
        matches!(
            &self.kind,
            b"IHDR" | b"tEXt" | b"zTXt" | b"iTXt" | b"eXIf" | b"comf" | b"caBX"
        )
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.kind).into_owned()
    }

    /// Reads the chunk as far as it is there and as the budget allows.
    fn read(&self, window: &mut Window, collector: &mut Collector) {
        if self.kind == *b"caBX" {
            c2pa::read(window, self.body_at, self.body_at + self.length, collector);
            return;
        }
        // The checksum comes with the body; the keyword is not counted as text.
        let wanted = usize::try_from(self.length)
            .unwrap_or(usize::MAX)
            .min(collector.text_budget().saturating_add(128));
        let with_checksum = window.at(self.body_at, wanted + 4);
        let body = &with_checksum[..with_checksum.len().min(wanted)];
        let is_cut = (body.len() as u64) < self.length;
        if is_cut && body.len() < wanted {
            collector.note(format!(
                "png: {} at byte {} is truncated",
                self.name(),
                self.body_at - 8
            ));
        } else if !is_cut {
            self.check(body, &with_checksum[wanted..], collector);
        }
        match &self.kind {
            b"IHDR" => set_size(collector, u32_be(body, 0).unwrap_or(0), u32_be(body, 4).unwrap_or(0)),
            b"tEXt" => uncompressed(body, is_cut, collector),
            b"zTXt" => compressed(body, collector),
            b"iTXt" => international(body, is_cut, collector),
            b"eXIf" => exif::read_block(body, collector),
            _ => {
                let (key, value) = split_keyword(body);
                collector.entry("png:comf", key, text::utf8_or_latin1(value, is_cut));
            }
        }
    }

    fn check(&self, body: &[u8], checksum: &[u8], collector: &mut Collector) {
        let mut crc = flate2::Crc::new();
        crc.update(&self.kind);
        crc.update(body);
        if u32_be(checksum, 0) != Some(crc.sum()) {
            collector.note(format!(
                "png: wrong checksum of {} at byte {}",
                self.name(),
                self.body_at - 8
            ));
        }
    }
}

/// The keyword, and what follows its NUL. A body without a NUL is all text.
fn split_keyword(body: &[u8]) -> (String, &[u8]) {
    match body.iter().position(|&byte| byte == 0) {
        Some(end) => (text::utf8_or_latin1(&body[..end], false), &body[end + 1..]),
        None => (String::new(), body),
    }
}

fn uncompressed(body: &[u8], is_cut: bool, collector: &mut Collector) {
    let (key, value) = split_keyword(body);
    keep("png:tEXt", key, value, is_cut, collector);
}

fn compressed(body: &[u8], collector: &mut Collector) {
    let (key, rest) = split_keyword(body);
    // One byte of method, of which only 0 (zlib) exists.
    inflate_and_keep("png:zTXt", key, rest.get(1..).unwrap_or_default(), collector);
}

fn international(body: &[u8], is_cut: bool, collector: &mut Collector) {
    let (key, rest) = split_keyword(body);
    let Some((&[is_compressed, _method], rest)) = rest.split_first_chunk::<2>() else {
        collector.note(format!("png: iTXt {} ends in its header", shown(&key)));
        return;
    };
    // Language tag and translated keyword.
    let mut value = rest;
    for _ in 0..2 {
        value = value
            .iter()
            .position(|&byte| byte == 0)
            .map_or(value, |end| &value[end + 1..]);
    }
    if is_compressed == 1 {
        inflate_and_keep("png:iTXt", key, value, collector);
    } else {
        keep("png:iTXt", key, value, is_cut, collector);
    }
}

fn inflate_and_keep(slot: &str, key: String, packed: &[u8], collector: &mut Collector) {
    collector.charge(INFLATE_COST_BYTES);
    if collector.text_budget() == 0 {
        collector.note_once("png: the texts are over the limit of a file; the others are left out");
        return;
    }
    let inflated = inflate::zlib(packed, collector.text_budget());
    if let Some(complaint) = inflated.ending.complaint() {
        collector.note(format!("{slot} {}: {complaint}", shown(&key)));
    }
    keep(
        slot,
        key,
        &inflated.bytes,
        inflated.ending.complaint().is_some(),
        collector,
    );
}

/// Keeps a text, or reads it as what its keyword says it is.
fn keep(slot: &str, key: String, value: &[u8], is_cut: bool, collector: &mut Collector) {
    if key == XMP_KEYWORD {
        xmp::read(value, collector);
    } else if let Some(kind) = key.strip_prefix("Raw profile type ") {
        // What is no text costs too: it may have been packed a thousand times smaller.
        collector.charge(value.len());
        raw_profile(kind, value, collector);
    } else {
        let text = text::utf8_or_latin1(value, is_cut);
        // NULs that were trimmed off may have been unpacked in millions.
        collector.charge(value.len().saturating_sub(text.len()));
        collector.entry(slot, key, text);
    }
}

/// A profile as ImageMagick writes it where PNG has no chunk for it: a line break, the name, the
/// length in decimal, and the bytes in hexadecimal.
fn raw_profile(kind: &str, value: &[u8], collector: &mut Collector) {
    if !matches!(
        kind.to_ascii_lowercase().as_str(),
        "exif" | "app1" | "xmp" | "iptc" | "8bim"
    ) {
        return;
    }
    let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let length = words
        .by_ref()
        .nth(1)
        .and_then(|word| std::str::from_utf8(word).ok()?.parse::<usize>().ok());
    let digits: Vec<u8> = words.flatten().copied().collect();
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let (Some(high), Some(low)) = (char::from(pair[0]).to_digit(16), char::from(pair[1]).to_digit(16)) else {
            break;
        };
        bytes.push((high << 4 | low) as u8);
    }
    if length != Some(bytes.len()) {
        collector.note(format!("png: raw profile {} is not as long as it says", shown(kind)));
    }
    if let Some(packet) = xmp::strip_app1_header(&bytes) {
        xmp::read(packet, collector);
    } else if exif::find_tiff(&bytes).is_some() {
        exif::read_block(&bytes, collector);
    } else if kind.eq_ignore_ascii_case("xmp") {
        xmp::read(&bytes, collector);
    } else {
        iptc::read_resources(&bytes, collector);
    }
}

#[cfg(test)]
mod tests;
