//! AVIF and HEIC: the items of the `meta` box that hold EXIF and XMP, the size of the primary
//! picture, and C2PA in a `uuid` box.

mod items;

use std::borrow::Cow;

use super::{Bytes, Collector, Window, c2pa, exif, set_size, u32_be, u64_be, xmp};
use items::{Item, Items};

/// Boxes of one level that are visited.
const MAX_BOXES: usize = 1024;

/// Longest `meta` box, in bytes. It describes items and does not hold pictures; one of a
/// 100-megapixel HEIC with its tiles has some 20 KiB.
const MAX_META_BYTES: u64 = 8 << 20;

/// `uuid` box of C2PA.
const C2PA_UUID: [u8; 16] = [
    0xd8, 0xfe, 0xc3, 0xd6, 0x1b, 0x0e, 0x48, 0x3c, 0x92, 0x97, 0x58, 0x28, 0x87, 0x7e, 0xc4, 0x81,
];

/// `uuid` box of XMP.
const XMP_UUID: [u8; 16] = [
    0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac,
];

/// Which of the formats built on boxes the brands in a `ftyp` box tell.
pub(super) fn sniff_brand(head: &[u8]) -> Option<&'static str> {
    let length = (u32_be(head, 0)? as usize).min(head.len());
    // Type, size, major brand, version, then the compatible brands.
    let compatible = head.get(16..length).unwrap_or_default();
    let brands = head.get(8..12).into_iter().chain(compatible.chunks_exact(4));
    let mut has_image_brand = false;
    for brand in brands {
        match brand {
            b"avif" | b"avis" => return Some("avif"),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => return Some("heic"),
            b"mif1" | b"msf1" => has_image_brand = true,
            _ => {}
        }
    }
    has_image_brand.then_some("heic")
}

/// Reads all boxes of the file's first level.
pub(super) fn read(window: &mut Window, collector: &mut Collector) {
    let end = window.len();
    let mut walk = BoxWalk::new(0, end);
    while let Some(found) = walk.next(window) {
        match &found.kind {
            b"meta" => read_meta(&found, window, collector),
            b"uuid" => read_uuid(&found, window, collector),
            _ => {}
        }
    }
    if let Some(complaint) = walk.complaint {
        collector.note(format!("bmff: {complaint}"));
    }
}

/// A box: its type, where its body begins and where it ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoxAt {
    pub kind: [u8; 4],
    pub body_at: u64,
    pub end: u64,
}

/// Visits the boxes of one level, each beginning where the last one ended.
pub(super) struct BoxWalk {
    at: u64,
    end: u64,
    left: usize,
    /// What stopped the walk before its end.
    pub complaint: Option<&'static str>,
}

impl BoxWalk {
    pub fn new(at: u64, end: u64) -> Self {
        Self::with_limit(at, end, MAX_BOXES)
    }

    pub fn with_limit(at: u64, end: u64, most_boxes: usize) -> Self {
        Self {
            at,
            end,
            left: most_boxes,
            complaint: None,
        }
    }

    pub fn next(&mut self, bytes: &mut dyn Bytes) -> Option<BoxAt> {
        if self.at + 8 > self.end {
            return None;
        }
        if self.left == 0 {
            self.complaint = Some("too many boxes; the others are left out");
            return None;
        }
        self.left -= 1;
        let header = bytes.at(self.at, 16);
        let kind = *header.get(4..8)?.first_chunk()?;
        let (header_bytes, length) = match u32_be(&header, 0)? {
            // To the end of what is round it.
            0 => (8, self.end - self.at),
            1 => (16, u64_be(&header, 8).unwrap_or(0)),
            length => (8, u64::from(length)),
        };
        if length < header_bytes {
            self.complaint = Some("a box is shorter than its header");
            return None;
        }
        let body_at = self.at + header_bytes;
        let wanted_end = self.at.saturating_add(length);
        if wanted_end > self.end {
            self.complaint = Some("a box reaches beyond its end");
        }
        self.at = wanted_end.min(self.end);
        Some(BoxAt {
            kind,
            body_at: body_at.min(self.at),
            end: self.at,
        })
    }
}

fn read_meta(found: &BoxAt, window: &mut Window, collector: &mut Collector) {
    let length = found.end - found.body_at;
    if length > MAX_META_BYTES {
        collector.note("bmff: the meta box is over the limit and was left out");
        return;
    }
    // Four bytes of version and flags stand before the boxes.
    let meta = window.at(found.body_at, length as usize).into_owned();
    let items = Items::parse(meta.get(4..).unwrap_or_default());
    if let Some((width, height)) = items.primary_size() {
        set_size(collector, width, height);
    }
    for item in items.metadata() {
        let Some(body) = item_bytes(item, &items, window, collector) else {
            continue;
        };
        if item.is_exif() {
            exif::read_item(&body, collector);
        } else {
            xmp::read(&body, collector);
        }
    }
    let facts = collector.facts();
    match items.orientation() {
        // An orientation of 1 says nothing where the file says nothing.
        Some(1) if facts.orientation.is_none() => {}
        Some(orientation) => facts.orientation = Some(orientation),
        None => {}
    }
}

/// The bytes of an item from all its extents, within the budget.
fn item_bytes(item: &Item, items: &Items, window: &mut Window, collector: &mut Collector) -> Option<Vec<u8>> {
    let budget = collector.text_budget();
    let mut body: Vec<u8> = Vec::new();
    let mut is_short = item.extents.is_empty();
    for extent in &item.extents {
        let room = budget.saturating_sub(body.len());
        // A length of 0 means: to the end of the file.
        let length = if extent.length == 0 { u64::MAX } else { extent.length };
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(room);
        let bytes: Cow<[u8]> = match item.construction {
            0 => window.at(extent.offset, wanted),
            1 => (&mut &*items.idat).at(extent.offset, wanted).into_owned().into(),
            _ => return None,
        };
        is_short |= extent.length > 0 && (bytes.len() as u64) < extent.length;
        body.extend_from_slice(&bytes);
    }
    if is_short {
        collector.note(format!(
            "bmff: {} lies outside of the file or is over the limit",
            item.name()
        ));
    }
    // Extents may lie over each other: what is read costs, whatever becomes of it.
    collector.charge(body.len());
    (!body.is_empty()).then_some(body)
}

fn read_uuid(found: &BoxAt, window: &mut Window, collector: &mut Collector) {
    let head = window.at(found.body_at, 64).into_owned();
    let body_at = found.body_at + 16;
    if head.starts_with(&C2PA_UUID) {
        // Version and flags, a purpose that ends with NUL, the offset of a Merkle tree, the store.
        let purpose = head.get(20..).unwrap_or_default();
        let Some(end) = purpose.iter().position(|&byte| byte == 0) else {
            return;
        };
        let store_at = body_at + 4 + end as u64 + 1 + 8;
        if purpose[..end] == *b"manifest" && store_at < found.end {
            c2pa::read(window, store_at, found.end, collector);
        }
    } else if head.starts_with(&XMP_UUID) {
        let length = found.end.saturating_sub(body_at);
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(collector.options().max_xmp_bytes);
        let packet = window.at(body_at, length).into_owned();
        xmp::read(&packet, collector);
    }
}

#[cfg(test)]
mod tests;
