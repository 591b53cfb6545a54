//! TIFF files: text of the first directory, wherever in the file it lies.

use crate::metadata::container::testing::*;

#[test]
fn texts_size_and_blocks() {
    let packet = xmp_packet("xmp:CreatorTool=\"Tool\"", "");
    for order in [Order::Big, Order::Little] {
        let file = tiff(
            order,
            &[
                (0x0100, 3, order.u16(3).to_vec()),
                (0x0101, 4, order.u32(2).to_vec()),
                ascii(0x010e, b"a cat"),
                (0x02bc, 1, packet.clone().into_bytes()),
                (0x83bb, 7, b"\x1c\x02\x19\0\x03cat".to_vec()),
            ],
            &[unicode_comment("steps")],
            &[],
        );
        let raw = read_bytes(&file);
        let expected = [
            ("exif:IFD0", "ImageDescription", "a cat"),
            ("xmp", "xmp:CreatorTool", "Tool"),
            ("iptc", "Keywords", "cat"),
            ("exif:Exif", "UserComment", "steps"),
        ];
        assert_eq!(entries(&raw), expected);
        assert_eq!(
            (raw.facts.format, raw.facts.width, raw.facts.height),
            (Some("tiff"), Some(3), Some(2))
        );
        assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    }
}

#[test]
fn a_directory_at_the_end_of_a_large_file() {
    let mut file = tiff(Order::Little, &[ascii(0x010e, b"a cat and a dog")], &[], &[]);
    let directory = file.split_off(8);
    file.resize(300_000, 0);
    file[4..8].copy_from_slice(&300_000_u32.to_le_bytes());
    // The one value lies behind the directory.
    let mut moved = directory;
    let value_at = u32::from_le_bytes(moved[10..14].try_into().unwrap()) - 8 + 300_000;
    moved[10..14].copy_from_slice(&value_at.to_le_bytes());
    file.extend(moved);
    assert_eq!(
        entries(&read_bytes(&file)),
        [("exif:IFD0", "ImageDescription", "a cat and a dog")]
    );
}

/// A BigTIFF: offsets, counts and the room for a value have 8 bytes each.
fn big_tiff(order: Order, main: &[TiffField], exif: &[TiffField]) -> Vec<u8> {
    let wide = |number: u64| match order {
        Order::Big => number.to_be_bytes(),
        Order::Little => number.to_le_bytes(),
    };
    let mut out = [if order == Order::Big { b"MM" } else { b"II" }, &order.u16(43)[..]].concat();
    out.extend([order.u16(8), order.u16(0)].concat());
    out.extend(wide(16));
    let directory = |fields: &[TiffField], start: usize, next: u64| {
        let mut values_at = start + 8 + fields.len() * 20 + 8;
        let mut bytes = wide(fields.len() as u64).to_vec();
        let mut values = Vec::new();
        for (tag, kind, value) in fields {
            let width = match kind {
                3 => 2,
                4 => 4,
                16 | 18 => 8,
                _ => 1,
            };
            bytes.extend(
                [
                    &order.u16(*tag)[..],
                    &order.u16(*kind),
                    &wide((value.len() / width) as u64),
                ]
                .concat(),
            );
            if value.len() <= 8 {
                bytes.extend([&value[..], &[0; 8][value.len()..]].concat());
            } else {
                bytes.extend(wide(values_at as u64));
                values_at += value.len();
                values.extend(value);
            }
        }
        [bytes, wide(next).to_vec(), values].concat()
    };
    let exif_at = 1000;
    let main = [main, &[(0x8769, 18, wide(exif_at as u64).to_vec())]].concat();
    out.extend(directory(&main, 16, 0));
    assert!(out.len() <= exif_at);
    out.resize(exif_at, 0);
    out.extend(directory(exif, exif_at, 0));
    out
}

#[test]
fn a_bigtiff_is_read_like_a_tiff() {
    for order in [Order::Big, Order::Little] {
        let wide = |number: u64| {
            if order == Order::Big {
                number.to_be_bytes()
            } else {
                number.to_le_bytes()
            }
        };
        let main = [
            (0x0100, 16, wide(3).to_vec()),
            (0x0101, 3, order.u16(2).to_vec()),
            ascii(0x010e, b"a cat and a dog"),
            ascii(0x0131, b"Tool"),
        ];
        let file = big_tiff(order, &main, &[unicode_comment("steps")]);
        let raw = read_bytes(&file);
        let expected = [
            ("exif:IFD0", "ImageDescription", "a cat and a dog"),
            ("exif:IFD0", "Software", "Tool"),
            ("exif:Exif", "UserComment", "steps"),
        ];
        assert_eq!(entries(&raw), expected);
        assert_eq!((raw.facts.width, raw.facts.height), (Some(3), Some(2)));
        assert!(raw.notes.is_empty(), "{:?}", raw.notes);
        for end in 0..file.len() {
            read_bytes(&file[..end]);
        }
        for at in 0..file.len() {
            for value in [0, 0x7f, 0xff] {
                let mut broken = file.clone();
                broken[at] = value;
                read_bytes(&broken);
            }
        }
    }
    assert_eq!(read_bytes(b"II\x2b\0\x08\0\0\0").notes.len(), 1);
    assert_eq!(read_bytes(b"II\x2b\0\x04\0\0\0\x08\0\0\0\0\0\0\0").notes.len(), 1);
}
