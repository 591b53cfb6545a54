//! Every PNG slot, before and after the pixels, and what is broken in a PNG.

use crate::metadata::container::testing::*;

const INFOTEXT: &str = "a café, 猫\nSteps: 20";

#[test]
fn every_kind_of_text_before_and_after_the_pixels() {
    let chunks = [
        text_chunk("parameters", INFOTEXT.as_bytes()),
        text_chunk("Comment", b"caf\xe9 in latin-1\0"),
        ztxt_chunk("workflow", INFOTEXT.as_bytes()),
        itxt_chunk("Title", INFOTEXT.as_bytes(), false),
        itxt_chunk("prompt", INFOTEXT.as_bytes(), true),
        chunk(b"comf", b"prompt\0{\"1\":{}}"),
    ];
    let expected = [
        ("png:tEXt", "parameters", INFOTEXT),
        ("png:tEXt", "Comment", "café in latin-1"),
        ("png:zTXt", "workflow", INFOTEXT),
        ("png:iTXt", "Title", INFOTEXT),
        ("png:iTXt", "prompt", INFOTEXT),
        ("png:comf", "prompt", "{\"1\":{}}"),
    ];
    for file in [png(&chunks, &[]), png(&[], &chunks)] {
        let raw = read_bytes(&file);
        assert_eq!(entries(&raw), expected);
        assert_eq!(
            (raw.facts.format, raw.facts.width, raw.facts.height),
            (Some("png"), Some(3), Some(2))
        );
        assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    }
}

#[test]
fn equal_keywords_are_all_kept_in_order() {
    let raw = read_bytes(&png(
        &[text_chunk("parameters", b"1"), text_chunk("parameters", b"2")],
        &[text_chunk("parameters", b"3")],
    ));
    assert_eq!(
        raw.entries.iter().map(|entry| &*entry.text).collect::<Vec<_>>(),
        ["1", "2", "3"]
    );
}

#[test]
fn exif_xmp_and_c2pa() {
    let packet = xmp_packet("xmp:CreatorTool=\"Tool\"", "");
    let chunks = [
        chunk(b"eXIf", &exif_with_comment(INFOTEXT)),
        itxt_chunk("XML:com.adobe.xmp", packet.as_bytes(), false),
        text_chunk("XML:com.adobe.xmp", packet.as_bytes()),
        ztxt_chunk("XML:com.adobe.xmp", packet.as_bytes()),
        chunk(b"caBX", &c2pa_store()),
    ];
    let raw = read_bytes(&png(&chunks, &[]));
    let xmp = ("xmp", "xmp:CreatorTool", "Tool");
    let expected = [
        &[("exif:Exif", "UserComment", INFOTEXT), xmp, xmp, xmp][..],
        &C2PA_ENTRIES,
    ]
    .concat();
    assert_eq!(entries(&raw), expected);
    assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    let with_prefix = [&b"Exif\0\0"[..], &exif_with_comment(INFOTEXT)].concat();
    let raw = read_bytes(&png(&[], &[chunk(b"eXIf", &with_prefix)]));
    assert_eq!(entries(&raw), [("exif:Exif", "UserComment", INFOTEXT)]);
}

#[test]
fn raw_profiles_in_hexadecimal() {
    let profile = |name: &str, bytes: &[u8]| {
        let mut text = format!("\n{name}\n{:8}\n", bytes.len());
        for line in bytes.chunks(36) {
            text.extend(line.iter().map(|byte| format!("{byte:02x}")));
            text.push('\n');
        }
        ztxt_chunk(&format!("Raw profile type {name}"), text.as_bytes())
    };
    let packet = xmp_packet("xmp:CreatorTool=\"Tool\"", "");
    let exif = [&b"Exif\0\0"[..], &exif_with_comment(INFOTEXT)].concat();
    let app1_xmp = [b"http://ns.adobe.com/xap/1.0/\0", packet.as_bytes()].concat();
    let iptc = [&b"8BIM\x04\x04\0\0\0\0\0\x08"[..], b"\x1c\x02\x19\0\x03cat\0"].concat();
    let raw = read_bytes(&png(
        &[
            profile("exif", &exif),
            profile("xmp", packet.as_bytes()),
            profile("APP1", &app1_xmp),
            profile("iptc", &iptc),
        ],
        &[profile("icc", b"nothing")],
    ));
    let xmp = ("xmp", "xmp:CreatorTool", "Tool");
    assert_eq!(
        entries(&raw),
        [
            ("exif:Exif", "UserComment", INFOTEXT),
            xmp,
            xmp,
            ("iptc", "Keywords", "cat")
        ]
    );
    assert_eq!(raw.facts.keywords, ["cat"]);
    assert!(raw.notes.is_empty(), "{:?}", raw.notes);
}

#[test]
fn a_wrong_checksum_is_a_note() {
    let mut text = text_chunk("parameters", INFOTEXT.as_bytes());
    *text.last_mut().unwrap() ^= 1;
    let raw = read_bytes(&png(&[text], &[]));
    assert_eq!(entries(&raw), [("png:tEXt", "parameters", INFOTEXT)]);
    assert_eq!(raw.notes.len(), 1);
    assert!(raw.notes[0].contains("wrong checksum of tEXt"));
}

#[test]
fn a_file_cut_anywhere_gives_what_came_before() {
    let file = png(
        &[text_chunk("parameters", b"first")],
        &[text_chunk("prompt", b"second")],
    );
    for end in 8..file.len() {
        let raw = read_bytes(&file[..end]);
        assert!(!raw.notes.is_empty() || end > file.len() - 5, "{end}");
        assert_eq!(
            raw.entries.iter().any(|entry| entry.text == "first"),
            end >= 33 + 8 + 16,
            "{end}"
        );
    }
    let raw = read_bytes(&file[..33 + 8 + 14]);
    assert_eq!(entries(&raw), [("png:tEXt", "parameters", "fir")]);
}

#[test]
fn a_length_that_lies_takes_the_rest_of_the_file() {
    let mut lying = text_chunk("parameters", b"all that is there");
    lying[..4].copy_from_slice(&0xffff_fff0_u32.to_be_bytes());
    let raw = read_bytes(&png(&[lying], &[]));
    assert!(raw.entries[0].text.starts_with("all that is there"));
    assert!(raw.notes.iter().any(|note| note.contains("truncated")));
}

#[test]
fn a_chunk_of_100_mb_is_cut() {
    let mut body = b"parameters\0".to_vec();
    body.resize(100 << 20, b'a');
    let raw = read_bytes(&png(&[chunk(b"tEXt", &body), text_chunk("Comment", b"x")], &[]));
    assert!((31 << 20..=32 << 20).contains(&raw.entries[0].text.len()));
    assert_eq!(entries(&raw)[1], ("png:tEXt", "Comment", "x"));
    assert_eq!(raw.notes.len(), 1, "{:?}", raw.notes);
}

#[test]
fn bombs_stop_at_the_limit_of_the_file() {
    for filling in [b'a', 0] {
        for keyword in [
            "parameters",
            "XML:com.adobe.xmp",
            "Raw profile type exif",
            "Raw profile type x",
        ] {
            // Without the budget of the file these would be 10 GB.
            let bomb = ztxt_chunk(keyword, &vec![filling; 10 << 20]);
            let raw = read_bytes(&png(&vec![bomb; 1000], &[]));
            assert!(raw.entries.iter().map(|entry| entry.text.len()).sum::<usize>() <= 64 << 20);
            assert!(!raw.notes.is_empty());
        }
    }
}

#[test]
fn damaged_compression_gives_its_beginning() {
    let text = (0..5000).map(|i| i.to_string()).collect::<String>();
    let mut packed = zlib(text.as_bytes());
    let middle = packed.len() / 2;
    packed.truncate(middle);
    packed.extend([0xff; 40]);
    let raw = read_bytes(&png(&[chunk(b"zTXt", &[b"parameters\0\0", &packed[..]].concat())], &[]));
    assert!(raw.entries[0].text.len() > 1000);
    assert_eq!(raw.notes.len(), 1);
}

#[test]
fn odd_chunks_do_no_harm() {
    let chunks = [
        chunk(b"tEXt", b""),
        chunk(b"tEXt", b"no NUL"),
        chunk(b"zTXt", b"key"),
        chunk(b"zTXt", b"key\0"),
        chunk(b"iTXt", b"key\0"),
        chunk(b"iTXt", b"key\0\0\0"),
        chunk(b"iTXt", b"key\0\x01\0\0\0"),
        chunk(b"eXIf", b""),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        chunk(b"caBX", b""),
        chunk(b"acTL", &[0; 8]),
    ];
    let raw = read_bytes(&png(&chunks, &chunks));
    assert_eq!(entries(&raw), [("png:tEXt", "", "no NUL"), ("png:tEXt", "", "no NUL")]);
    let raw = read_bytes(&[png(&[], &[])[..33].to_vec(), b"\0\0\0\x01\0\x01\x02\x03".to_vec()].concat());
    assert!(raw.notes[0].contains("no chunk"));
}

#[test]
fn runs_of_equal_pixel_chunks_are_jumped() {
    for count in [1, 2, 3, 7, 8, 100, 1000] {
        for last in [&b"short"[..], &[0x11; 8192]] {
            let mut pixels = vec![chunk(b"IDAT", &[0x11; 8192]); count];
            pixels.push(chunk(b"IDAT", last));
            pixels.push(text_chunk("parameters", b"behind"));
            let raw = read_bytes(&png(&pixels, &[]));
            assert_eq!(
                (entries(&raw), raw.notes.len()),
                (vec![("png:tEXt", "parameters", "behind")], 0),
                "{count}"
            );
        }
    }
    // Cut in the middle of the run.
    let file = png(&vec![chunk(b"IDAT", &[0x11; 8192]); 100], &[]);
    for end in [9000, 20_000, 70_000, 100_000] {
        assert_eq!(read_bytes(&file[..end]).notes.len(), 1);
    }
    let empty = png(&vec![chunk(b"IDAT", b""); 5000], &[text_chunk("parameters", b"behind")]);
    assert_eq!(entries(&read_bytes(&empty)).len(), 1);
}
