//! Texts hidden in the lowest bits of pixels ("stealth PNG info"): column by column, in the alpha
//! channel or in red, green and blue, plain or gzip. Survives what strips metadata.

use super::budget::Collector;
use super::{ReadOptions, inflate, text};
use crate::record::{Picture, RawMetadata};

/// Bytes of the magic words, which are all of one length.
const MAGIC_BYTES: usize = 15;

/// Where a magic word says that the text is, and how it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    magic: &'static [u8; MAGIC_BYTES],
    slot: &'static str,
    channels: Channels,
    is_gzip: bool,
}

/// Which channels hold bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channels {
    /// One bit a pixel.
    Alpha,
    /// Three bits a pixel: red, green, blue.
    Rgb,
}

const LAYOUTS: [Layout; 4] = [
    Layout {
        magic: b"stealth_pnginfo",
        slot: "stealth:alpha",
        channels: Channels::Alpha,
        is_gzip: false,
    },
    Layout {
        magic: b"stealth_pngcomp",
        slot: "stealth:alpha",
        channels: Channels::Alpha,
        is_gzip: true,
    },
    Layout {
        magic: b"stealth_rgbinfo",
        slot: "stealth:rgb",
        channels: Channels::Rgb,
        is_gzip: false,
    },
    Layout {
        magic: b"stealth_rgbcomp",
        slot: "stealth:rgb",
        channels: Channels::Rgb,
        is_gzip: true,
    },
];

/// Pixels of the first columns that decide whether anything is hidden: the magic word takes one
/// bit a pixel at most.
pub const DECIDING_PIXELS: u32 = (MAGIC_BYTES * 8) as u32;

/// Whether the picture begins with one of the magic words. Costs 15 bytes of bits.
pub fn is_present(picture: &Picture) -> bool {
    LAYOUTS.iter().any(|layout| has_magic(picture, *layout))
}

/// Reads what is hidden in the pixels as stored (before any orientation): at most one entry for
/// alpha and one for RGB, without keys. `None` where no magic word is there; a magic word without
/// a readable text behind it gives a note.
pub fn read(picture: &Picture, options: &ReadOptions) -> Option<RawMetadata> {
    let mut found = LAYOUTS.iter().filter(|layout| has_magic(picture, **layout)).peekable();
    found.peek()?;
    let mut collector = Collector::new(options);
    for layout in found {
        read_layout(picture, *layout, &mut collector);
    }
    Some(collector.finish())
}

fn has_magic(picture: &Picture, layout: Layout) -> bool {
    BitBytes::new(picture, layout.channels).is_some_and(|bytes| bytes.take(MAGIC_BYTES).eq(*layout.magic))
}

fn read_layout(picture: &Picture, layout: Layout, collector: &mut Collector) {
    let slot = layout.slot;
    let Some(mut bytes) = BitBytes::new(picture, layout.channels) else {
        return;
    };
    let mut header = bytes.by_ref().skip(MAGIC_BYTES).take(4);
    let length: Vec<u8> = header.by_ref().collect();
    let Some(length_bits) = length.first_chunk().map(|length| u32::from_be_bytes(*length)) else {
        collector.note(format!("{slot}: the picture ends in the header"));
        return;
    };
    // The packed text fits into the picture, so that its length is bounded by the pixels.
    let wanted = (length_bits / 8) as usize;
    let packed: Vec<u8> = bytes.take(wanted.min(collector.options().max_text_bytes)).collect();
    if packed.len() < wanted {
        collector.note(format!("{slot}: {} of {wanted} bytes are there", packed.len()));
    }
    let text = if layout.is_gzip {
        let inflated = inflate::gzip(&packed, collector.text_budget());
        if let Some(complaint) = inflated.ending.complaint() {
            collector.note(format!("{slot}: {complaint}"));
        }
        text::utf8_or_latin1(&inflated.bytes, inflated.ending.complaint().is_some())
    } else {
        text::utf8_or_latin1(&packed, packed.len() < wanted)
    };
    collector.entry(slot, "", text);
}

/// The bytes that the lowest bits make, highest bit first, columns from left to right and each
/// column from top to bottom.
struct BitBytes<'p> {
    picture: &'p Picture,
    channels: Channels,
    /// Next bit in the order of the walk.
    bit: u64,
    bits: u64,
}

impl<'p> BitBytes<'p> {
    /// `None` where the picture has no such channels, or is not as large as it says.
    fn new(picture: &'p Picture, channels: Channels) -> Option<Self> {
        let has_channels = match channels {
            Channels::Alpha => picture.channels == 4,
            Channels::Rgb => picture.channels == 3 || picture.channels == 4,
        };
        let pixels = u64::from(picture.width) * u64::from(picture.height);
        let is_whole = pixels.checked_mul(u64::from(picture.channels)) == Some(picture.data.len() as u64);
        let bits = match channels {
            Channels::Alpha => pixels,
            Channels::Rgb => pixels.checked_mul(3)?,
        };
        (has_channels && is_whole && bits > 0).then_some(Self {
            picture,
            channels,
            bit: 0,
            bits,
        })
    }

    fn bit(&self, index: u64) -> u8 {
        let (pixel, channel) = match self.channels {
            Channels::Alpha => (index, 3),
            Channels::Rgb => (index / 3, index % 3),
        };
        let height = u64::from(self.picture.height);
        let (x, y) = (pixel / height, pixel % height);
        let at = (y * u64::from(self.picture.width) + x) * u64::from(self.picture.channels) + channel;
        self.picture.data[at as usize] & 1
    }
}

impl Iterator for BitBytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let end = self.bit + 8;
        if end > self.bits {
            return None;
        }
        let byte = (self.bit..end).fold(0, |byte, index| byte << 1 | self.bit(index));
        self.bit = end;
        Some(byte)
    }
}

#[cfg(test)]
mod tests;
