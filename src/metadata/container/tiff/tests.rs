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

#[test]
fn a_bigtiff_is_a_note() {
    assert_eq!(read_bytes(b"II\x2b\0\x08\0\0\0").notes.len(), 1);
}
