//! EXIF as standard and other writers make it, facts of photographs, and broken directories.

use crate::metadata::container::testing::*;
use crate::metadata::{ReadOptions, budget::Collector};
use crate::record::RawMetadata;

fn read_block(block: &[u8]) -> RawMetadata {
    let options = ReadOptions::default();
    let mut collector = Collector::new(&options);
    super::read_block(block, &mut collector);
    collector.finish()
}

fn rational(order: Order, parts: &[(u32, u32)]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| [order.u32(part.0), order.u32(part.1)].concat())
        .collect()
}

#[test]
fn comments_in_every_order_of_header_and_text() {
    let text = "a cat, 猫";
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for order in [Order::Big, Order::Little] {
        for body in [&big, &little] {
            for kind in [2, 7] {
                let value = [b"UNICODE\0", &body[..]].concat();
                let raw = read_block(&tiff(order, &[], &[(0x9286, kind, value)], &[]));
                assert_eq!(entries(&raw), [("exif:Exif", "UserComment", text)]);
            }
        }
    }
}

#[test]
fn a_comment_and_a_scheme_in_the_main_directory() {
    let raw = read_block(&tiff(
        Order::Little,
        &[
            ascii(0x0131, b"Fooocus v2.5.5"),
            ascii(0x927c, b"a1111"),
            ascii(0x9286, b"{\"prompt\": \"caf\xc3\xa9\"}"),
        ],
        &[],
        &[],
    ));
    let expected = [
        ("exif:IFD0", "Software", "Fooocus v2.5.5"),
        ("exif:IFD0", "MakerNote", "a1111"),
        ("exif:IFD0", "UserComment", "{\"prompt\": \"café\"}"),
    ];
    assert_eq!(entries(&raw), expected);
}

#[test]
fn graphs_in_make_and_model_and_tags_without_a_name() {
    let raw = read_block(&tiff(
        Order::Big,
        &[
            ascii(0x010b, b"extra: {}"),
            ascii(0x010e, b"\0\0\0\0a description"),
            ascii(0x010f, b"workflow:{\"nodes\": []}"),
            ascii(0x0110, b"prompt:{\"1\": {}}"),
        ],
        &[],
        &[],
    ));
    let expected = [
        ("exif:IFD0", "0x010B", "extra: {}"),
        ("exif:IFD0", "ImageDescription", "a description"),
        ("exif:IFD0", "Make", "workflow:{\"nodes\": []}"),
        ("exif:IFD0", "Model", "prompt:{\"1\": {}}"),
    ];
    assert_eq!(entries(&raw), expected);
    assert_eq!(raw.facts.camera, None);
}

#[test]
fn windows_titles_and_undefined_text() {
    let title: Vec<u8> = "Titel 猫\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let raw = read_block(&tiff(
        Order::Big,
        &[
            (0x9c9b, 1, title),
            (0xc000, 7, b"plain text".to_vec()),
            (0xc001, 7, b"\x01\x02\x03\xff\xfe\x00".to_vec()),
        ],
        &[(0x9000, 7, b"0232".to_vec())],
        &[],
    ));
    assert_eq!(
        entries(&raw),
        [
            ("exif:IFD0", "XPTitle", "Titel 猫"),
            ("exif:IFD0", "0xC000", "plain text")
        ]
    );
}

#[test]
fn facts_of_a_photograph() {
    for order in [Order::Big, Order::Little] {
        let raw = read_block(&tiff(
            order,
            &[
                ascii(0x010f, b"Canon"),
                ascii(0x0110, b"Canon EOS 6D"),
                (0x0112, 3, order.u16(6).to_vec()),
                ascii(0x0132, b"2024:01:01 00:00:00"),
            ],
            &[
                (0x829a, 5, rational(order, &[(1, 250)])),
                (0x829d, 5, rational(order, &[(28, 10)])),
                (0x8827, 3, order.u16(400).to_vec()),
                ascii(0x9003, b"2023:12:31 23:59:58"),
                ascii(0x9011, b"-03:30"),
                ascii(0x9291, b"25"),
                (0x920a, 5, rational(order, &[(50, 1)])),
                ascii(0xa434, b"EF50mm f/1.8"),
            ],
            &[
                ascii(1, b"S"),
                (2, 5, rational(order, &[(33, 1), (30, 1), (0, 0)])),
                ascii(3, b"E"),
                (4, 5, rational(order, &[(151, 1), (12, 1), (36, 1)])),
            ],
        ));
        let facts = raw.facts;
        assert_eq!(facts.orientation, Some(6));
        assert_eq!(facts.taken_at, Some(1_704_067_198_250_000));
        assert_eq!(facts.taken_at_offset_minutes, Some(-210));
        assert_eq!(
            (facts.camera.as_deref(), facts.lens.as_deref()),
            (Some("Canon EOS 6D"), Some("EF50mm f/1.8"))
        );
        assert_eq!((facts.exposure_secs, facts.f_number), (Some(0.004), Some(2.8)));
        assert_eq!(
            (facts.iso, facts.focal_length_mm, facts.gps),
            (Some(400), Some(50.0), Some((-33.5, 151.21)))
        );
        assert!(raw.entries.iter().all(|entry| entry.slot != "exif:GPS"));
    }
}

#[test]
fn zeros_and_nonsense_are_no_facts() {
    let order = Order::Little;
    let raw = read_block(&tiff(
        order,
        &[
            (0x0112, 3, order.u16(9).to_vec()),
            ascii(0x0132, b"0000:00:00 00:00:00"),
        ],
        &[
            (0x829a, 5, rational(order, &[(0, 0)])),
            (0x829d, 5, rational(order, &[(1, 0)])),
            (0x8827, 3, vec![0, 0]),
        ],
        &[
            (2, 5, rational(order, &[(0, 0); 3])),
            (4, 5, rational(order, &[(0, 0); 3])),
        ],
    ));
    assert_eq!(raw.facts, crate::record::PhotoFacts::default());
}

#[test]
fn directories_that_point_at_themselves_are_read_once() {
    let mut block = tiff(Order::Big, &[ascii(0x0131, b"tool")], &[ascii(0x9003, b"x")], &[]);
    let pointer = block.windows(2).position(|pair| pair == [0x87, 0x69]).unwrap() + 8;
    block[pointer..pointer + 4].copy_from_slice(&8_u32.to_be_bytes());
    assert_eq!(entries(&read_block(&block)), [("exif:IFD0", "Software", "tool")]);
}

#[test]
fn lying_counts_and_offsets_give_what_is_there() {
    let mut block = tiff(Order::Big, &[ascii(0x010e, b"a cat and a dog")], &[], &[]);
    // The count of the one field says 4 GiB.
    block[14..18].fill(0xff);
    let raw = read_block(&block);
    assert_eq!(
        (entries(&raw), raw.notes.len()),
        (vec![("exif:IFD0", "ImageDescription", "a cat and a dog")], 1)
    );
    // The directory says 65,535 fields.
    block[8..10].fill(0xff);
    assert!(!read_block(&block).notes.is_empty());
    // The directory lies behind the end.
    block[4..8].fill(0xff);
    assert_eq!(read_block(&block).notes.len(), 1);
}

#[test]
fn many_fields_over_one_large_value_are_bounded() {
    let order = Order::Big;
    for (kind, filling) in [(7, b'a'), (2, b'a'), (2, 0), (7, 0)] {
        let mut block = tiff(order, &vec![(0xc000, kind, vec![b'a'; 8]); 1000], &[], &[]);
        let value_at = block.len() as u32;
        block.resize(block.len() + (4 << 20), filling);
        for index in 0..1000 {
            let at = 10 + index * 12 + 4;
            block[at..at + 8].copy_from_slice(&[order.u32(4 << 20), order.u32(value_at)].concat());
        }
        let raw = read_block(&block);
        assert!(raw.entries.iter().map(|entry| entry.text.len()).sum::<usize>() <= 64 << 20);
    }
}

#[test]
fn every_cut_and_every_flipped_byte_is_survived() {
    let block = tiff(
        Order::Little,
        &[ascii(0x010e, b"abc"), ascii(0x0110, b"a long model")],
        &[unicode_comment("x")],
        &[],
    );
    for end in 0..block.len() {
        read_block(&block[..end]);
    }
    for at in 0..block.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut broken = block.clone();
            broken[at] = value;
            read_block(&broken);
        }
    }
}

#[test]
fn unpaired_surrogates_are_a_note() {
    let value = [b"UNICODE\0", &b"\0a\xd8\0\0b"[..]].concat();
    let raw = read_block(&tiff(Order::Big, &[], &[(0x9286, 7, value)], &[]));
    assert_eq!((raw.entries[0].text.as_str(), raw.notes.len()), ("a\u{fffd}b", 1));
}
