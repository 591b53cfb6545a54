//! WebP: the RIFF chunks. Metadata chunks come behind the pixels, which are stepped over.

use super::{Bytes, Collector, Window, c2pa, exif, set_size, u16_le, u24_le, u32_le, xmp};

/// Chunks that are followed in one file (an animation has one a frame).
const MAX_CHUNKS: usize = 1 << 18;

/// Reads all chunks. The length in the RIFF header is not trusted: the file's end counts.
pub(super) fn read(window: &mut Window, collector: &mut Collector) {
    let declared = u32_le(&window.at(4, 4), 0).map_or(0, |length| u64::from(length) + 8);
    if declared > window.len() {
        collector.note(format!("webp: the file ends at byte {} of {declared}", window.len()));
    }
    let mut at = 12;
    for _ in 0..MAX_CHUNKS {
        // A lone byte is padding.
        if at + 8 > window.len() {
            return;
        }
        let header = window.at(at, 8);
        let (Some(&kind), Some(length)) = (header.first_chunk::<4>(), u32_le(&header, 4)) else {
            return;
        };
        let body_at = at + 8;
        chunk(kind, body_at, u64::from(length), window, collector);
        // Chunks are padded to an even length; a writer that forgot to is forgiven.
        at = body_at + u64::from(length);
        let is_chunk = |bytes: &[u8]| bytes.len() == 4 && bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
        at += u64::from(length % 2 == 1 && !is_chunk(&window.at(at, 4)));
    }
    collector.note(format!("webp: more than {MAX_CHUNKS} chunks; what follows is left out"));
}

fn chunk(kind: [u8; 4], body_at: u64, length: u64, window: &mut Window, collector: &mut Collector) {
    match &kind {
        b"VP8X" => {
            let body = window.at(body_at, 10);
            if let (Some(width), Some(height)) = (u24_le(&body, 4), u24_le(&body, 7)) {
                set_size(collector, width + 1, height + 1);
            }
        }
        b"VP8 " => {
            // Three bytes of frame tag, three of start code, then 14 bits of width and of height.
            let body = window.at(body_at, 10);
            if body.get(3..6) == Some(&[0x9d, 0x01, 0x2a]) {
                let side = |at| u16_le(&body, at).map_or(0, |bits| u32::from(bits & 0x3fff));
                set_size(collector, side(6), side(8));
            }
        }
        b"VP8L" => {
            // One byte of signature, then 14 bits of width - 1 and 14 of height - 1.
            let body = window.at(body_at, 5);
            if let (Some(0x2f), Some(bits)) = (body.first(), u32_le(&body, 1)) {
                set_size(collector, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
            }
        }
        b"EXIF" => {
            let body = text_chunk("EXIF", body_at, length, window, collector);
            exif::read_block(&body, collector);
        }
        b"XMP " => {
            let body = text_chunk("XMP", body_at, length, window, collector);
            xmp::read(&body, collector);
        }
        b"C2PA" => c2pa::read(window, body_at, body_at + length, collector),
        _ => {}
    }
}

/// A chunk as far as it is there and as the budget allows.
fn text_chunk(name: &str, body_at: u64, length: u64, window: &mut Window, collector: &mut Collector) -> Vec<u8> {
    let wanted = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(collector.text_budget());
    let body = window.at(body_at, wanted).into_owned();
    if (body.len() as u64) < length {
        collector.note(format!(
            "webp: {name} at byte {} is cut at {} bytes",
            body_at - 8,
            body.len()
        ));
    }
    body
}

#[cfg(test)]
mod tests;
