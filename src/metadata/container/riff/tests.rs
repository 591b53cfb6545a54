//! Every WebP slot, and what is broken in a WebP.

use crate::metadata::container::testing::*;

const INFOTEXT: &str = "a café, 猫\nSteps: 20";

#[test]
fn every_slot_behind_the_pixels() {
    let packet = xmp_packet("xmp:CreatorTool=\"Tool\"", "");
    let exif = exif_with_comment(INFOTEXT);
    for block in [exif.clone(), [b"Exif\0\0", &exif[..]].concat()] {
        for head in [vec![vp8x(), vp8l()], vec![vp8l()]] {
            let metadata = [
                riff_chunk(b"EXIF", &block),
                riff_chunk(b"XMP ", packet.as_bytes()),
                riff_chunk(b"C2PA", &c2pa_store()),
            ];
            let raw = read_bytes(&webp(&[head, metadata.to_vec()].concat()));
            let texts = [
                ("exif:Exif", "UserComment", INFOTEXT),
                ("xmp", "xmp:CreatorTool", "Tool"),
            ];
            assert_eq!(entries(&raw), [&texts[..], &C2PA_ENTRIES].concat());
            assert_eq!(
                (raw.facts.format, raw.facts.width, raw.facts.height),
                (Some("webp"), Some(3), Some(2))
            );
            assert!(raw.notes.is_empty(), "{:?}", raw.notes);
        }
    }
}

#[test]
fn sizes_of_every_bitstream() {
    let lossy = riff_chunk(b"VP8 ", &[0x30, 1, 0, 0x9d, 1, 0x2a, 3, 0x40, 2, 0x80, 0]);
    for (chunk, name) in [(lossy, "VP8"), (vp8l(), "VP8L"), (vp8x(), "VP8X")] {
        let facts = read_bytes(&webp(&[chunk])).facts;
        assert_eq!((facts.width, facts.height), (Some(3), Some(2)), "{name}");
    }
}

#[test]
fn missing_padding_is_forgiven() {
    let mut odd = riff_chunk(b"ALPH", b"odd");
    odd.pop();
    let raw = read_bytes(&webp(&[vp8x(), odd, riff_chunk(b"EXIF", &exif_with_comment(INFOTEXT))]));
    assert_eq!(entries(&raw), [("exif:Exif", "UserComment", INFOTEXT)]);
}

#[test]
fn a_file_cut_anywhere_and_a_length_that_lies() {
    let file = webp(&[vp8x(), vp8l(), riff_chunk(b"EXIF", &exif_with_comment("a cat"))]);
    for end in 12..file.len() {
        let raw = read_bytes(&file[..end]);
        assert!(!raw.notes.is_empty(), "{end}");
    }
    let cut = read_bytes(&file[..file.len() - 4]);
    assert_eq!(entries(&cut), [("exif:Exif", "UserComment", "a c")]);
    let mut lying = file.clone();
    lying[4..8].copy_from_slice(&[1, 0, 0, 0]);
    assert_eq!(entries(&read_bytes(&lying)), [("exif:Exif", "UserComment", "a cat")]);
    let at = file.len() - exif_with_comment("a cat").len() - 4;
    lying[at..at + 4].fill(0xff);
    assert_eq!(entries(&read_bytes(&lying)), [("exif:Exif", "UserComment", "a cat")]);
}
