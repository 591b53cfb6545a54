//! Texts hidden in pixels, in every layout, and halves of them.

use std::io::Write;

use super::{is_present, read};
use crate::metadata::ReadOptions;
use crate::record::Picture;

const INFOTEXT: &str = "a café, 猫\nSteps: 20, Sampler: Euler a, CFG scale: 7";

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A picture that hides `payload` behind `magic` and a length in bits.
fn hide(magic: &[u8; 15], length_bits: u32, payload: &[u8], width: u32, height: u32, channels: u8) -> Picture {
    let bytes = [&magic[..], &length_bits.to_be_bytes(), payload].concat();
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let mut data = vec![0xfe_u8; (width * height * u32::from(channels)) as usize];
    let used = if magic[8] == b'p' { 3..4 } else { 0..3 };
    'all: for x in 0..width {
        for y in 0..height {
            for channel in used.clone() {
                let Some(bit) = bits.next() else { break 'all };
                data[((y * width + x) * u32::from(channels) + channel) as usize] |= bit;
            }
        }
    }
    Picture {
        width,
        height,
        channels,
        data,
    }
}

#[test]
fn every_layout() {
    let packed = gzip(INFOTEXT.as_bytes());
    for (magic, payload, channels, slot) in [
        (b"stealth_pnginfo", INFOTEXT.as_bytes(), 4, "stealth:alpha"),
        (b"stealth_pngcomp", &packed[..], 4, "stealth:alpha"),
        (b"stealth_rgbinfo", INFOTEXT.as_bytes(), 3, "stealth:rgb"),
        (b"stealth_rgbcomp", &packed[..], 3, "stealth:rgb"),
        (b"stealth_rgbcomp", &packed[..], 4, "stealth:rgb"),
    ] {
        // Columns shorter and longer than the magic word, and a payload that does not end one.
        for (width, height) in [(64, 37), (8, 200), (1, 2000)] {
            let picture = hide(magic, payload.len() as u32 * 8, payload, width, height, channels);
            assert!(is_present(&picture));
            let raw = read(&picture, &ReadOptions::default()).unwrap();
            assert_eq!((raw.entries.len(), raw.entries[0].slot.as_str()), (1, slot));
            assert_eq!((raw.entries[0].text.as_str(), raw.notes.len()), (INFOTEXT, 0));
        }
    }
}

#[test]
fn a_picture_without_a_magic_word_is_rejected() {
    for channels in [1, 3, 4] {
        let picture = Picture {
            width: 64,
            height: 64,
            channels,
            data: vec![255; 64 * 64 * usize::from(channels)],
        };
        assert!(!is_present(&picture) && read(&picture, &ReadOptions::default()).is_none());
    }
    let lying = Picture {
        width: 1000,
        height: 1000,
        channels: 4,
        data: vec![0; 10],
    };
    assert!(read(&lying, &ReadOptions::default()).is_none());
    let empty = Picture {
        width: 0,
        height: 0,
        channels: 4,
        data: Vec::new(),
    };
    assert!(read(&empty, &ReadOptions::default()).is_none());
}

#[test]
fn half_a_header_and_half_a_text_are_notes() {
    let header_only = hide(b"stealth_pnginfo", 800, b"", 1, 130, 4);
    let raw = read(&header_only, &ReadOptions::default()).unwrap();
    assert!(
        raw.entries.is_empty() && raw.notes[0].contains("header"),
        "{:?}",
        raw.notes
    );
    let half = hide(b"stealth_pnginfo", 8000, INFOTEXT.as_bytes(), 10, 20, 4);
    let raw = read(&half, &ReadOptions::default()).unwrap();
    assert!(raw.entries[0].text.starts_with("a c") && raw.notes.len() == 1);
    let packed = gzip(INFOTEXT.as_bytes());
    let cut = hide(
        b"stealth_rgbcomp",
        packed.len() as u32 * 8,
        &packed[..packed.len() / 2],
        8,
        8,
        4,
    );
    assert!(!read(&cut, &ReadOptions::default()).unwrap().notes.is_empty());
    let lying = hide(b"stealth_pngcomp", u32::MAX, &packed, 64, 64, 4);
    let raw = read(&lying, &ReadOptions::default()).unwrap();
    assert_eq!(raw.entries[0].text, INFOTEXT);
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let packed = gzip(&vec![b'a'; 4 << 20]);
    let picture = hide(b"stealth_pngcomp", packed.len() as u32 * 8, &packed, 256, 256, 4);
    let options = ReadOptions {
        max_text_bytes: 1 << 20,
        ..ReadOptions::default()
    };
    let raw = read(&picture, &options).unwrap();
    assert_eq!((raw.entries[0].text.len(), raw.notes.len()), (1 << 20, 1));
}
