//! JPEG XL: EXIF, XMP and C2PA boxes, plain or brotli-compressed, and the size of the picture.

use super::bmff::BoxWalk;
use super::{Bytes, Collector, Window, c2pa, exif, inflate, set_size, xmp};

/// Bytes from the start of the codestream that hold its size, at most.
const SIZE_BYTES: usize = 16;

/// Reads all boxes; a bare codestream has none.
pub(super) fn read(window: &mut Window, collector: &mut Collector) {
    if window.at(0, 2).starts_with(&[0xff, 0x0a]) {
        let codestream = window.at(0, SIZE_BYTES).into_owned();
        return size(&codestream, collector);
    }
    let end = window.len();
    let mut walk = BoxWalk::new(0, end);
    while let Some(found) = walk.next(window) {
        match &found.kind {
            b"jxlc" => size(&window.at(found.body_at, SIZE_BYTES), collector),
            // Partial codestreams begin with their number; only the first holds a size.
            b"jxlp" => size(&window.at(found.body_at + 4, SIZE_BYTES), collector),
            b"jumb" => c2pa::read(window, found.body_at - 8, found.end, collector),
            b"Exif" | b"xml " | b"brob" => {
                let length = usize::try_from(found.end - found.body_at).unwrap_or(usize::MAX);
                let body = window
                    .at(found.body_at, length.min(collector.text_budget()))
                    .into_owned();
                if body.len() < length {
                    collector.note(format!("jxl: a box was cut to {} bytes", body.len()));
                }
                metadata(found.kind, &body, collector);
            }
            _ => {}
        }
    }
    if let Some(complaint) = walk.complaint {
        collector.note(format!("jxl: {complaint}"));
    }
}

fn metadata(kind: [u8; 4], body: &[u8], collector: &mut Collector) {
    match &kind {
        b"Exif" => exif::read_item(body, collector),
        b"xml " => {
            xmp::read(body, collector);
        }
        b"jumb" => {
            let length = body.len() as u64;
            c2pa::read(&mut &*body, 0, length, collector);
        }
        b"brob" => {
            let Some((inner, packed)) = body.split_first_chunk::<4>() else {
                return;
            };
            if !matches!(inner, b"Exif" | b"xml " | b"jumb") {
                return;
            }
            let inflated = inflate::brotli(packed, collector.text_budget());
            if let Some(complaint) = inflated.ending.complaint() {
                collector.note(format!("jxl: {}: {complaint}", String::from_utf8_lossy(inner)));
            }
            // A small box can unpack to a large one that is no text: it costs too.
            collector.charge(inflated.bytes.len());
            metadata(*inner, &inflated.bytes, collector);
        }
        _ => {}
    }
}

/// Width and height from the first bits of a codestream (ISO/IEC 18181-1, `SizeHeader`).
fn size(codestream: &[u8], collector: &mut Collector) {
    let Some(body) = codestream.strip_prefix(&[0xff, 0x0a]) else {
        return;
    };
    let mut bits = Bits { bytes: body, at: 0 };
    let is_small = bits.take(1) == 1;
    let height = bits.side(is_small);
    // Either one of the usual ratios, or the width itself.
    let width = match bits.take(3) {
        0 => bits.side(is_small),
        1 => height,
        2 => height * 12 / 10,
        3 => height * 4 / 3,
        4 => height * 3 / 2,
        5 => height * 16 / 9,
        6 => height * 5 / 4,
        _ => height * 2,
    };
    if bits.at <= body.len() * 8 {
        set_size(
            collector,
            u32::try_from(width).unwrap_or(0),
            u32::try_from(height).unwrap_or(0),
        );
    }
}

/// Bits from the lowest of each byte on; zeros behind the end.
struct Bits<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> u64 {
        let bit = |at: usize| u64::from(self.bytes.get(at / 8).copied().unwrap_or(0) >> (at % 8) & 1);
        let value = (0..count).fold(0, |value, index| value | bit(self.at + index) << index);
        self.at += count;
        value
    }

    /// A side: five bits of eighths, or a number of one of four widths.
    fn side(&mut self, is_small: bool) -> u64 {
        if is_small {
            return (self.take(5) + 1) * 8;
        }
        let width = [9, 13, 18, 30][self.take(2) as usize];
        self.take(width) + 1
    }
}

#[cfg(test)]
mod tests;
