//! EXIF, and TIFF as a file: the texts of IFD0 and the Exif IFD, and the facts of a photograph.
//! Reads what non-standard writers do too: comments in IFD0, text in undefined types, tags that
//! have no name. Offsets are never trusted and no IFD is read twice.

mod facts;
mod tags;

use std::borrow::Cow;

use super::budget::Collector;
use super::container::Bytes;
use super::{iptc, text, xmp};

/// Fields of one IFD that are read; real ones have a few dozen.
const MAX_FIELDS: u16 = 1024;

/// Bytes at the start of a value of undefined kind that tell whether it is worth reading.
const PROBE_BYTES: usize = 256;

const EXIF_IFD: u16 = 0x8769;
const GPS_IFD: u16 = 0x8825;
const MAKER_NOTE: u16 = 0x927c;
const USER_COMMENT: u16 = 0x9286;
const XMP_PACKET: u16 = 0x02bc;
const IPTC_RECORDS: u16 = 0x83bb;
const PHOTOSHOP_RESOURCES: u16 = 0x8649;

/// Titles and comments as Windows writes them.
fn is_xp(tag: u16) -> bool {
    matches!(tag, 0x9c9b..=0x9c9f)
}

/// Where the TIFF header lies in a block that should begin with it: after `Exif\0\0`, after the
/// offset that HEIF writes, or at once.
pub(super) fn find_tiff(block: &[u8]) -> Option<usize> {
    const HEADERS: [&[u8; 4]; 2] = [b"II*\0", b"MM\0*"];
    (0..=16).find(|&at| {
        block
            .get(at..)
            .is_some_and(|rest| HEADERS.iter().any(|header| rest.starts_with(*header)))
    })
}

/// Reads the EXIF block of a container.
pub(super) fn read_block(block: &[u8], collector: &mut Collector) {
    match find_tiff(block) {
        Some(at) => {
            read_tiff(&mut &block[at..], collector);
        }
        None if block.iter().all(|&byte| byte == 0) => {}
        None => collector.note("exif: the block has no TIFF header"),
    }
}

/// Reads the EXIF item of a container of boxes (HEIF, JPEG XL): it begins with the number of bytes
/// before the TIFF header, which writers also get wrong.
pub(super) fn read_item(item: &[u8], collector: &mut Collector) {
    let declared = item
        .first_chunk()
        .map_or(0, |offset| u32::from_be_bytes(*offset) as usize);
    let behind = item.get(4..).and_then(|rest| rest.get(declared..)).unwrap_or_default();
    let is_far = find_tiff(item).is_none() && find_tiff(behind) == Some(0);
    read_block(if is_far { behind } else { item }, collector);
}

/// Reads a TIFF structure from its first byte. Gives the size of the first picture in pixels,
/// where it says one.
pub(super) fn read_tiff(bytes: &mut dyn Bytes, collector: &mut Collector) -> Option<(u32, u32)> {
    let header = bytes.at(0, 16);
    let (order, widths) = match header.get(..4) {
        Some(b"II*\0") => (Order::Little, &CLASSIC),
        Some(b"MM\0*") => (Order::Big, &CLASSIC),
        // 8 bytes an offset, and two that are zero.
        Some(b"II+\0") if header.get(4..8) == Some(b"\x08\0\0\0") => (Order::Little, &BIG_TIFF),
        Some(b"MM\0+") if header.get(4..8) == Some(b"\0\x08\0\0") => (Order::Big, &BIG_TIFF),
        _ => {
            collector.note("exif: not a TIFF header");
            return None;
        }
    };
    let Some(first) = order.number(&header, widths.header - widths.offset, widths.offset) else {
        collector.note("exif: the TIFF header is truncated");
        return None;
    };
    drop(header);
    let mut tiff = Tiff {
        bytes,
        order,
        widths,
        visited: Vec::new(),
    };
    let fields = tiff.fields(first, "IFD0", collector);
    let mut photo = facts::PhotoFields::default();
    tiff.read_fields(&fields, Directory::Main, &mut photo, collector);
    for (tag, directory) in [(EXIF_IFD, Directory::Exif), (GPS_IFD, Directory::Gps)] {
        for pointer in fields.iter().filter(|field| field.tag == tag) {
            let Some(offset) = tiff.offset(pointer) else { continue };
            let inner = tiff.fields(offset, directory.name(), collector);
            tiff.read_fields(&inner, directory, &mut photo, collector);
        }
    }
    photo.fill(collector.facts());
    photo.size()
}

/// How wide the numbers of a TIFF are, in bytes.
#[derive(Debug)]
struct Widths {
    header: usize,
    /// Of an offset, of a count of values, and of the room for a value in a field.
    offset: usize,
    /// Of the number of fields in a directory.
    count: usize,
    field: usize,
}

const CLASSIC: Widths = Widths {
    header: 8,
    offset: 4,
    count: 2,
    field: 12,
};

const BIG_TIFF: Widths = Widths {
    header: 16,
    offset: 8,
    count: 8,
    field: 20,
};

/// Byte order of the numbers (not of the texts).
#[derive(Debug, Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    /// A number of 2, 4 or 8 bytes.
    fn number(self, bytes: &[u8], at: usize, width: usize) -> Option<u64> {
        match width {
            2 => self.u16(bytes, at).map(u64::from),
            4 => self.u32(bytes, at).map(u64::from),
            _ => {
                let value = *bytes.get(at..)?.first_chunk()?;
                Some(match self {
                    Self::Big => u64::from_be_bytes(value),
                    Self::Little => u64::from_le_bytes(value),
                })
            }
        }
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let value = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u16::from_be_bytes(value),
            Self::Little => u16::from_le_bytes(value),
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let value = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Big => u32::from_be_bytes(value),
            Self::Little => u32::from_le_bytes(value),
        })
    }
}

/// Which directory a field stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directory {
    Main,
    Exif,
    Gps,
}

impl Directory {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "IFD0",
            Self::Exif => "Exif",
            Self::Gps => "GPS",
        }
    }

    fn slot(self) -> &'static str {
        match self {
            Self::Main => "exif:IFD0",
            Self::Exif => "exif:Exif",
            Self::Gps => "exif:GPS",
        }
    }
}

/// One field of a directory: its type and where its value lies.
#[derive(Debug, Clone, Copy)]
struct Field {
    tag: u16,
    kind: u16,
    count: u64,
    /// Offset of the value: in the field itself where it fits there, else where the field points.
    value_at: u64,
}

impl Field {
    fn byte_length(self) -> u64 {
        let width = match self.kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16..=18 => 8,
            _ => 1,
        };
        self.count.saturating_mul(width)
    }
}

struct Tiff<'b> {
    bytes: &'b mut dyn Bytes,
    order: Order,
    widths: &'static Widths,
    /// Offsets of the directories read so far: a directory that points back is read once.
    visited: Vec<u64>,
}

impl Tiff<'_> {
    /// The fields of the directory at `offset`, as many as are there.
    fn fields(&mut self, offset: u64, name: &str, collector: &mut Collector) -> Vec<Field> {
        if offset == 0 || self.visited.contains(&offset) {
            return Vec::new();
        }
        self.visited.push(offset);
        let (order, widths) = (self.order, self.widths);
        let Some(count) = order.number(&self.bytes.at(offset, widths.count), 0, widths.count) else {
            collector.note(format!("exif: {name} lies outside of its block"));
            return Vec::new();
        };
        let table_at = offset.saturating_add(widths.count as u64);
        let wanted = count.min(u64::from(MAX_FIELDS)) as usize;
        let table = self.bytes.at(table_at, wanted * widths.field);
        if ((table.len() / widths.field) as u64) < count {
            collector.note(format!(
                "exif: {name} has {} of {count} fields",
                table.len() / widths.field
            ));
        }
        let field = |(index, entry): (usize, &[u8])| -> Option<Field> {
            let room_at = 4 + widths.offset;
            let mut field = Field {
                tag: order.u16(entry, 0)?,
                kind: order.u16(entry, 2)?,
                count: order.number(entry, 4, widths.offset)?,
                value_at: table_at.saturating_add((index * widths.field + room_at) as u64),
            };
            if field.byte_length() > widths.offset as u64 {
                field.value_at = order.number(entry, room_at, widths.offset)?;
            }
            Some(field)
        };
        let entries = table.chunks_exact(widths.field);
        entries.enumerate().filter_map(field).collect()
    }

    fn read_fields(
        &mut self,
        fields: &[Field],
        directory: Directory,
        photo: &mut facts::PhotoFields,
        collector: &mut Collector,
    ) {
        for field in fields {
            if facts::is_wanted(directory, field.tag) {
                let value = self.number(field);
                photo.number(directory, field.tag, &value);
            }
            // Positions are facts, not texts.
            if directory != Directory::Gps {
                self.read_text(field, directory, photo, collector);
            } else if field.kind == 2 {
                photo.text(directory, field.tag, &text::any(&self.value(field, 4)).text);
            }
        }
    }

    /// Keeps a field that is text, or that holds a block of texts of its own.
    fn read_text(
        &mut self,
        field: &Field,
        directory: Directory,
        photo: &mut facts::PhotoFields,
        collector: &mut Collector,
    ) {
        let is_block = matches!(field.tag, XMP_PACKET | IPTC_RECORDS | PHOTOSHOP_RESOURCES);
        let is_pointer = matches!(field.tag, EXIF_IFD | GPS_IFD);
        if is_pointer || !is_block && !tags::can_be_text(field.tag, field.kind) {
            return;
        }
        let budget = collector.text_budget() as u64;
        let length = field.byte_length();
        let is_certain = is_block || field.tag == USER_COMMENT || matches!(field.kind, 2 | 129) || is_xp(field.tag);
        if !is_certain && !text::looks_like_text(&self.value(field, PROBE_BYTES)) {
            return;
        }
        let value = self.value(field, length.min(budget) as usize).into_owned();
        if (value.len() as u64) < length {
            collector.note(format!(
                "exif: {} has {} of {length} bytes",
                tags::name(field.tag),
                value.len()
            ));
        }
        if is_block {
            // Any number of fields may point to one block: each costs.
            collector.charge(value.len());
        }
        let decoded = match field.tag {
            XMP_PACKET => {
                xmp::read(&value, collector);
                return;
            }
            IPTC_RECORDS => return iptc::read_records(&value, collector),
            PHOTOSHOP_RESOURCES => return iptc::read_resources(&value, collector),
            USER_COMMENT => text::user_comment(&value),
            tag if is_xp(tag) => text::windows_xp(&value),
            _ if is_certain || text::looks_like_text(&value) => text::any(&value),
            _ => return collector.charge(value.len()),
        };
        // A value that decodes to less than it takes (NULs) was read all the same.
        collector.charge(value.len().saturating_sub(decoded.text.len()));
        if decoded.is_lossy {
            collector.note(format!("exif: {} is not valid UTF-16", tags::name(field.tag)));
        }
        photo.text(directory, field.tag, &decoded.text);
        collector.entry(directory.slot(), tags::name(field.tag), decoded.text);
    }

    /// The first bytes of a field's value.
    fn value(&mut self, field: &Field, length: usize) -> Cow<'_, [u8]> {
        self.bytes.at(
            field.value_at,
            usize::try_from(field.byte_length()).unwrap_or(usize::MAX).min(length),
        )
    }

    /// The offset that a field holds.
    fn offset(&mut self, field: &Field) -> Option<u64> {
        let order = self.order;
        let width = match field.kind {
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return None,
        };
        order.number(&self.value(field, width), 0, width)
    }

    /// The first numbers of a field (three make a geographic position).
    fn number(&mut self, field: &Field) -> Vec<f64> {
        let order = self.order;
        let bytes = self.value(field, 24);
        let long = |at| order.u32(&bytes, at);
        let numbers = (0..3).map_while(|index| match field.kind {
            1 | 7 => bytes.get(index).map(|&byte| f64::from(byte)),
            3 => order.u16(&bytes, index * 2).map(f64::from),
            4 | 13 => long(index * 4).map(f64::from),
            9 => long(index * 4).map(|value| f64::from(value.cast_signed())),
            5 => Some(f64::from(long(index * 8)?) / f64::from(long(index * 8 + 4)?)),
            10 => Some(f64::from(long(index * 8)?.cast_signed()) / f64::from(long(index * 8 + 4)?.cast_signed())),
            // Counts and offsets of BigTIFF, which stay far below what a float holds exactly.
            16 | 18 => order.number(&bytes, index * 8, 8).map(|value| value as f64),
            _ => None,
        });
        numbers.collect()
    }
}

#[cfg(test)]
mod tests;
