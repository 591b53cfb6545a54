//! JPEG XL boxes, plain and brotli-compressed, and sizes.

use crate::metadata::container::testing::*;

const INFOTEXT: &str = "a café, 猫\nSteps: 20";

#[test]
fn plain_and_compressed_boxes() {
    let exif = [&[0; 4][..], &exif_with_comment(INFOTEXT)].concat();
    let packet = xmp_packet("xmp:CreatorTool=\"Tool\"", "");
    let packed = |kind: &[u8; 4], body: &[u8]| bmff_box(b"brob", &[&kind[..], &brotli(body)].concat());
    let plain = [
        bmff_box(b"Exif", &exif),
        bmff_box(b"xml ", packet.as_bytes()),
        c2pa_store(),
    ];
    let compressed = [
        packed(b"Exif", &exif),
        packed(b"xml ", packet.as_bytes()),
        packed(b"jumb", &c2pa_store()),
    ];
    for boxes in [plain, compressed] {
        let raw = read_bytes(&jxl(&boxes));
        let texts = [
            ("exif:Exif", "UserComment", INFOTEXT),
            ("xmp", "xmp:CreatorTool", "Tool"),
        ];
        assert_eq!(entries(&raw), [&texts[..], &C2PA_ENTRIES].concat());
        assert_eq!(
            (raw.facts.format, raw.facts.width, raw.facts.height),
            (Some("jxl"), Some(24), Some(16))
        );
        assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    }
}

#[test]
fn a_bare_codestream_has_a_size() {
    let facts = read_bytes(&jxl_codestream()).facts;
    assert_eq!(
        (facts.format, facts.width, facts.height),
        (Some("jxl"), Some(24), Some(16))
    );
    // Not small: 13 bits of height 1000, no ratio, 9 bits of width 500.
    let bits: u64 = (1 << 1) | (999 << 3) | (499 << 21);
    let large = [&[0xff, 0x0a][..], &bits.to_le_bytes()].concat();
    let facts = read_bytes(&large).facts;
    assert_eq!((facts.width, facts.height), (Some(500), Some(1000)));
    assert_eq!(read_bytes(&[0xff, 0x0a]).facts.width, None);
}

#[test]
fn a_box_over_the_limit_and_a_damaged_one() {
    let long = bmff_box(b"brob", &[b"xml ", &brotli(&vec![b' '; 40 << 20])[..]].concat());
    let raw = read_bytes(&jxl(&[long]));
    assert!(raw.notes.iter().any(|note| note.contains("was cut")), "{:?}", raw.notes);
    let raw = read_bytes(&jxl(&[
        bmff_box(b"brob", b"Exif\xff\xff\xff\xff"),
        bmff_box(b"brob", b"x"),
    ]));
    assert!(!raw.notes.is_empty());
}

#[test]
fn every_cut_is_survived() {
    let file = jxl(&[bmff_box(b"Exif", &exif_with_comment(INFOTEXT)), c2pa_store()]);
    for end in 0..file.len() {
        read_bytes(&file[..end]);
    }
}
