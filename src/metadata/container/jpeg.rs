//! JPEG: the segments up to the first scan. EXIF, XMP and its extension, IPTC, C2PA, comments.

use std::collections::BTreeMap;

use super::{Bytes, Collector, Window, c2pa, exif, iptc, set_size, text, u16_be, u32_be, xmp};

/// Segments that are followed in one file; real files have a few hundred at most.
const MAX_SEGMENTS: usize = 1 << 14;

/// Bytes skipped where a marker should be, before the file is given up.
const MAX_GARBAGE_BYTES: u64 = 64 << 10;

/// Longest C2PA store that is joined from its segments, in bytes.
const MAX_C2PA_BYTES: usize = 16 << 20;

/// Reads all segments before the pixels.
pub(super) fn read(window: &mut Window, collector: &mut Collector) {
    let mut pieces = Pieces::default();
    let (mut at, mut count) = (2, 0);
    while let Some((marker, after)) = next_marker(window, at, collector) {
        count += 1;
        if count > MAX_SEGMENTS {
            collector.note(format!(
                "jpeg: more than {MAX_SEGMENTS} segments; what follows is left out"
            ));
            break;
        }
        match marker {
            // The pixels begin, or the file ends.
            0xda | 0xd9 => break,
            // Markers without a body.
            0x01 | 0xd0..=0xd8 => at = after,
            _ => {
                let Some(length) = u16_be(&window.at(after, 2), 0).filter(|&length| length >= 2) else {
                    collector.note(format!("jpeg: no segment length at byte {after}"));
                    break;
                };
                let length = usize::from(length) - 2;
                if is_wanted(marker) {
                    let body = window.at(after + 2, length);
                    if body.len() < length {
                        collector.note(format!("jpeg: the segment at byte {} is truncated", after - 2));
                    }
                    segment(marker, &body, &mut pieces, collector);
                }
                at = after + 2 + length as u64;
            }
        }
    }
    pieces.finish(collector);
}

/// The next marker at or after `at`, and the offset behind it.
fn next_marker(window: &mut Window, at: u64, collector: &mut Collector) -> Option<(u8, u64)> {
    let mut position = at;
    while position < at + MAX_GARBAGE_BYTES {
        let bytes = window.at(position, 64);
        let [first, rest @ ..] = &*bytes else {
            collector.note(format!("jpeg: the file ends at byte {position} before its pixels"));
            return None;
        };
        if *first != 0xff {
            collector.note_once("jpeg: bytes between segments were skipped");
            position += bytes.iter().position(|&byte| byte == 0xff).unwrap_or(bytes.len()) as u64;
            continue;
        }
        // Any number of 0xff may fill up before the marker; 0xff00 is no marker.
        match rest.iter().position(|&byte| byte != 0xff) {
            Some(fill) if rest[fill] != 0 => return Some((rest[fill], position + fill as u64 + 2)),
            Some(fill) => position += fill as u64 + 2,
            None if rest.is_empty() => return None,
            None => position += rest.len() as u64,
        }
    }
    collector.note(format!("jpeg: no segment at byte {at}"));
    None
}

fn is_wanted(marker: u8) -> bool {
    is_frame(marker) || matches!(marker, 0xe1 | 0xeb | 0xed | 0xfe)
}

/// Start-of-frame markers: 0xc0..=0xcf without the tables for Huffman, arithmetic coding and JPG.
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

fn segment(marker: u8, body: &[u8], pieces: &mut Pieces, collector: &mut Collector) {
    match marker {
        0xe1 => pieces.app1(body, collector),
        0xeb => pieces.app11(body, collector),
        0xed => {
            if let Some(resources) = body.strip_prefix(b"Photoshop 3.0\0") {
                pieces.photoshop.extend_from_slice(resources);
            }
        }
        0xfe => collector.entry("jpeg:COM", "", text::any(body).text),
        // Precision, height, width.
        _ => set_size(
            collector,
            u16_be(body, 3).map_or(0, u32::from),
            u16_be(body, 1).map_or(0, u32::from),
        ),
    }
}

/// What lies in several segments and is read when all are there.
#[derive(Default)]
struct Pieces {
    exif: Vec<Vec<u8>>,
    xmp: Vec<Vec<u8>>,
    /// Extended XMP by GUID: offset and bytes.
    extended_xmp: BTreeMap<[u8; 32], BTreeMap<u32, Vec<u8>>>,
    extended_bytes: usize,
    photoshop: Vec<u8>,
    /// C2PA boxes by instance number, in the order of their packets.
    c2pa: BTreeMap<u16, BTreeMap<u32, Vec<u8>>>,
    c2pa_bytes: usize,
}

impl Pieces {
    fn app1(&mut self, body: &[u8], collector: &mut Collector) {
        if let Some(extension) = body.strip_prefix(b"http://ns.adobe.com/xmp/extension/\0") {
            self.extension(extension, collector);
        } else if let Some(packet) = xmp::strip_app1_header(body) {
            self.xmp.push(packet.to_vec());
        } else if body.starts_with(b"Exif\0") || exif::find_tiff(body).is_some() {
            // A block over 64 KiB goes on in the next segment, which then has no TIFF header.
            match (exif::find_tiff(body), self.exif.last_mut()) {
                (None, Some(last)) => last.extend_from_slice(body.get(6..).unwrap_or_default()),
                _ => self.exif.push(body.to_vec()),
            }
        }
    }

    /// One piece of extended XMP: GUID, full length, offset, bytes.
    fn extension(&mut self, piece: &[u8], collector: &mut Collector) {
        let (Some(&guid), Some(offset), Some(bytes)) = (piece.first_chunk::<32>(), u32_be(piece, 36), piece.get(40..))
        else {
            collector.note_once("jpeg: a piece of extended XMP is too short");
            return;
        };
        self.extended_bytes += bytes.len();
        if self.extended_bytes > collector.options().max_xmp_bytes {
            collector.note_once("jpeg: extended XMP is over the limit; the rest of it is left out");
            return;
        }
        self.extended_xmp
            .entry(guid)
            .or_default()
            .entry(offset)
            .or_insert_with(|| bytes.to_vec());
    }

    /// One piece of a JUMBF box: "JP", instance number, packet number, and the box, whose header
    /// every packet repeats.
    fn app11(&mut self, body: &[u8], collector: &mut Collector) {
        let Some(rest) = body.strip_prefix(b"JP") else { return };
        let (Some(instance), Some(packet), Some(bytes)) = (u16_be(rest, 0), u32_be(rest, 2), rest.get(6..)) else {
            collector.note_once("jpeg: a piece of C2PA is too short");
            return;
        };
        self.c2pa_bytes += bytes.len();
        if self.c2pa_bytes > MAX_C2PA_BYTES {
            collector.note_once("jpeg: the C2PA store is over the limit; the rest of it is left out");
            return;
        }
        self.c2pa
            .entry(instance)
            .or_default()
            .entry(packet)
            .or_insert_with(|| bytes.to_vec());
    }

    fn finish(self, collector: &mut Collector) {
        for block in &self.exif {
            exif::read_block(block, collector);
        }
        let mut guids = Vec::new();
        for packet in &self.xmp {
            guids.extend(xmp::read(packet, collector));
        }
        for (guid, pieces) in &self.extended_xmp {
            let is_named = guids.iter().any(|named| named.as_bytes().eq_ignore_ascii_case(guid));
            if !is_named {
                collector.note_once("jpeg: extended XMP that the main packet does not name");
            }
            xmp::read(&joined_by_offset(pieces, collector), collector);
        }
        if !self.photoshop.is_empty() {
            iptc::read_resources(&self.photoshop, collector);
        }
        for packets in self.c2pa.values() {
            let store = joined_boxes(packets);
            c2pa::read(&mut store.as_slice(), 0, store.len() as u64, collector);
        }
    }
}

/// The pieces one behind the other; a gap ends the text, an overlap is dropped.
fn joined_by_offset(pieces: &BTreeMap<u32, Vec<u8>>, collector: &mut Collector) -> Vec<u8> {
    let mut joined: Vec<u8> = Vec::new();
    for (&offset, bytes) in pieces {
        let Some(overlap) = joined.len().checked_sub(offset as usize) else {
            collector.note("jpeg: a piece of extended XMP is missing");
            break;
        };
        joined.extend_from_slice(bytes.get(overlap..).unwrap_or_default());
    }
    joined
}

/// The box of all packets: the first as it is, the others without the repeated header.
fn joined_boxes(packets: &BTreeMap<u32, Vec<u8>>) -> Vec<u8> {
    let mut joined: Vec<u8> = Vec::new();
    for bytes in packets.values() {
        let header_bytes = if u32_be(bytes, 0) == Some(1) { 16 } else { 8 };
        let skipped = if joined.is_empty() { 0 } else { header_bytes };
        joined.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
    }
    joined
}

#[cfg(test)]
mod tests;
