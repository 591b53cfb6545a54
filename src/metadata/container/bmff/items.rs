//! The items that a `meta` box describes: what they are, where they lie, how large pictures are.

use super::super::u32_be;
use super::BoxWalk;

/// Boxes of one level; a tiled HEIC describes some hundred items.
const MAX_BOXES: usize = 1 << 14;

/// Items with metadata; real files have two.
const MAX_METADATA_ITEMS: usize = 32;

/// Extents of one item.
const MAX_EXTENTS: usize = 64;

/// Sizes and property links that are kept.
const MAX_LINKS: usize = 1 << 16;

/// Part of an item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// An item that may hold metadata.
#[derive(Debug, Clone)]
pub(super) struct Item {
    id: u32,
    kind: [u8; 4],
    content_type: Vec<u8>,
    /// 0: offsets count from the start of the file; 1: in the `idat` box.
    pub construction: u8,
    pub extents: Vec<Extent>,
}

impl Item {
    pub fn is_exif(&self) -> bool {
        self.kind == *b"Exif"
    }

    fn is_xmp(&self) -> bool {
        self.kind == *b"mime" && self.content_type.eq_ignore_ascii_case(b"application/rdf+xml")
    }

    pub fn name(&self) -> &'static str {
        if self.is_exif() { "EXIF" } else { "XMP" }
    }
}

/// A property of pictures, as far as it tells their size or how they are turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    /// `ispe`: the size as encoded.
    Size(u32, u32),
    /// `clap`: the part of it that is the picture; encoders pad to their block size.
    Clip(u32, u32),
    /// `irot`: quarter turns against the clock.
    Rotation(u8),
    /// `imir`: top and bottom are exchanged, or (true) left and right.
    Mirror(bool),
    Other,
}

impl Property {
    fn parse(kind: [u8; 4], body: &[u8]) -> Self {
        let number = |at| u32_be(body, at);
        let ratio = |at| number(at)?.checked_div(number(at + 4)?).filter(|&side| side > 0);
        match &kind {
            // Version and flags stand before width and height.
            b"ispe" => number(4)
                .zip(number(8))
                .map(|(width, height)| Self::Size(width, height)),
            b"clap" => ratio(0).zip(ratio(8)).map(|(width, height)| Self::Clip(width, height)),
            b"irot" => body.first().map(|angle| Self::Rotation(angle & 3)),
            b"imir" => body.first().map(|axis| Self::Mirror(axis & 1 == 1)),
            _ => None,
        }
        .unwrap_or(Self::Other)
    }

    fn size(&self) -> Option<(u32, u32)> {
        match *self {
            Self::Size(width, height) => Some((width, height)),
            _ => None,
        }
    }

    fn clip(&self) -> Option<(u32, u32)> {
        match *self {
            Self::Clip(width, height) => Some((width, height)),
            _ => None,
        }
    }
}

/// What a `meta` box says.
#[derive(Debug, Default)]
pub(super) struct Items {
    with_metadata: Vec<Item>,
    primary: Option<u32>,
    /// Properties in their order.
    properties: Vec<Property>,
    /// Item and 1-based property.
    links: Vec<(u32, u16)>,
    /// Bytes of items that lie in the box itself.
    pub idat: Vec<u8>,
}

impl Items {
    /// Parses the boxes in a `meta` box.
    pub fn parse(meta: &[u8]) -> Self {
        let mut items = Self::default();
        let mut locations = Vec::new();
        for_each_box(meta, |kind, body| match kind {
            b"pitm" => items.primary = Reader::new(body).primary(),
            b"iinf" => items.describe(body),
            b"iloc" => locations = body.to_vec(),
            b"iprp" => items.properties(body),
            b"idat" => items.idat = body.to_vec(),
            _ => {}
        });
        items.locate(&locations);
        items
    }

    /// The items that hold EXIF or XMP.
    pub fn metadata(&self) -> impl Iterator<Item = &Item> {
        self.with_metadata.iter()
    }

    /// Properties of the primary picture in the order in which they apply; none where no picture is
    /// said to be primary, or it has none.
    fn of_primary(&self) -> Vec<&Property> {
        let is_primary = |link: &&(u32, u16)| Some(link.0) == self.primary;
        let property = |link: &(u32, u16)| self.properties.get(usize::from(link.1).checked_sub(1)?);
        self.links.iter().filter(is_primary).filter_map(property).collect()
    }

    /// How the primary picture is turned for display, as EXIF would say it: first the rotation,
    /// then the mirror. None where nothing is known of it; the orientation in its EXIF does not
    /// count in these formats.
    pub fn orientation(&self) -> Option<u8> {
        let properties = self.of_primary();
        if properties.is_empty() {
            return None;
        }
        let (mut turns, mut mirror) = (0, None);
        for property in properties {
            match property {
                Property::Rotation(angle) => turns = *angle,
                Property::Mirror(is_left_right) => mirror = Some(*is_left_right),
                _ => {}
            }
        }
        Some(match (turns, mirror) {
            (0, None) => 1,
            (0, Some(true)) | (2, Some(false)) => 2,
            (2, None) => 3,
            (0, Some(false)) | (2, Some(true)) => 4,
            (1, Some(false)) | (3, Some(true)) => 5,
            (3, None) => 6,
            (1, Some(true)) | (3, Some(false)) => 7,
            _ => 8,
        })
    }

    /// Size of the primary picture, or of the largest where none is said to be primary.
    pub fn primary_size(&self) -> Option<(u32, u32)> {
        let of_primary = self.of_primary();
        let clipped = of_primary.iter().find_map(|property| property.clip());
        let stored = of_primary.iter().find_map(|property| property.size());
        let area = |size: &(u32, u32)| u64::from(size.0) * u64::from(size.1);
        let largest = || self.properties.iter().filter_map(Property::size).max_by_key(area);
        clipped.or(stored).or_else(largest)
    }

    /// `iinf`: version and flags, a count, then one `infe` box an item.
    fn describe(&mut self, body: &[u8]) {
        let boxes_at = if body.first() == Some(&0) { 6 } else { 8 };
        let items = &mut self.with_metadata;
        for_each_box(body.get(boxes_at..).unwrap_or_default(), |kind, entry| {
            if kind == b"infe" && items.len() < MAX_METADATA_ITEMS {
                items.extend(Reader::new(entry).item().filter(|item| item.is_exif() || item.is_xmp()));
            }
        });
    }

    fn locate(&mut self, iloc: &[u8]) {
        let mut reader = Reader::new(iloc);
        // Whatever is missing at the end is missing: the items before it are located.
        let _ = reader.locations(&mut self.with_metadata);
    }

    /// `iprp`: the properties, then which item has which.
    fn properties(&mut self, body: &[u8]) {
        let (properties, links) = (&mut self.properties, &mut self.links);
        for_each_box(body, |kind, inner| match kind {
            b"ipco" => for_each_box(inner, |kind, property| {
                if properties.len() < MAX_LINKS {
                    properties.push(Property::parse(*kind, property));
                }
            }),
            b"ipma" => {
                let _ = Reader::new(inner).associations(links);
            }
            _ => {}
        });
    }
}

/// Calls `visit` with type and body of each box.
fn for_each_box(bytes: &[u8], mut visit: impl FnMut(&[u8; 4], &[u8])) {
    let mut source = bytes;
    let mut walk = BoxWalk::with_limit(0, bytes.len() as u64, MAX_BOXES);
    while let Some(found) = walk.next(&mut source) {
        // Offsets in a slice fit its index type.
        visit(
            &found.kind,
            bytes
                .get(found.body_at as usize..found.end as usize)
                .unwrap_or_default(),
        );
    }
}

/// Big-endian numbers one after the other.
struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    fn number(&mut self, width: usize) -> Option<u64> {
        let (bytes, rest) = self.rest.split_at_checked(width)?;
        self.rest = rest;
        Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// An identifier of 2 bytes, or of 4 in later versions of a box.
    fn id(&mut self, is_wide: bool) -> Option<u32> {
        self.number(if is_wide { 4 } else { 2 }).map(|id| id as u32)
    }

    fn version(&mut self) -> Option<u8> {
        self.number(4).map(|version_and_flags| (version_and_flags >> 24) as u8)
    }

    fn primary(&mut self) -> Option<u32> {
        let version = self.version()?;
        self.id(version > 0)
    }

    /// `infe`: version, item, protection, type, name, content type. Versions before 2 have no type.
    fn item(&mut self) -> Option<Item> {
        let version = self.version().filter(|&version| version >= 2)?;
        let id = self.id(version > 2)?;
        self.number(2)?;
        let kind = (self.number(4)? as u32).to_be_bytes();
        let mut names = self.rest.split(|&byte| byte == 0);
        let content_type = names.nth(1).unwrap_or_default().to_vec();
        Some(Item {
            id,
            kind,
            content_type,
            construction: 0,
            extents: Vec::new(),
        })
    }

    /// `iloc`: widths of the numbers, then for each item its extents.
    fn locations(&mut self, items: &mut [Item]) -> Option<()> {
        let version = self.version()?;
        let widths = self.number(2)?;
        let width = |shift: u32| (widths >> shift & 15) as usize;
        let (offset_width, length_width, base_width) = (width(12), width(8), width(4));
        let index_width = if version > 0 { width(0) } else { 0 };
        if [offset_width, length_width, base_width, index_width]
            .iter()
            .any(|&width| width > 8)
        {
            return None;
        }
        let count = self.id(version > 1)?;
        for _ in 0..count {
            let id = self.id(version > 1)?;
            let construction = if version > 0 { (self.number(2)? & 15) as u8 } else { 0 };
            self.number(2)?;
            let base = self.number(base_width)?;
            let extents = self.number(2)?;
            let mut item = items.iter_mut().find(|item| item.id == id);
            for _ in 0..extents {
                self.number(index_width)?;
                let offset = base.saturating_add(self.number(offset_width)?);
                let length = self.number(length_width)?;
                if let Some(item) = item.as_mut().filter(|item| item.extents.len() < MAX_EXTENTS) {
                    item.construction = construction;
                    item.extents.push(Extent { offset, length });
                }
            }
        }
        Some(())
    }

    /// `ipma`: for each item the numbers of its properties; the highest bit says "essential".
    fn associations(&mut self, links: &mut Vec<(u32, u16)>) -> Option<()> {
        let version_and_flags = self.number(4)?;
        let (is_wide_id, is_wide_property) = (version_and_flags >> 24 > 0, version_and_flags & 1 == 1);
        let count = self.number(4)?;
        for _ in 0..count {
            let id = self.id(is_wide_id)?;
            for _ in 0..self.number(1)? {
                let property = if is_wide_property {
                    self.number(2)? & 0x7fff
                } else {
                    self.number(1)? & 0x7f
                };
                if links.len() >= MAX_LINKS {
                    return None;
                }
                links.push((id, property as u16));
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_needed() {
        let items = Items::parse(&[]);
        assert!(items.primary_size().is_none() && items.metadata().next().is_none());
    }
}
