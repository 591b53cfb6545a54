//! Every JPEG slot, and what is broken in a JPEG.

use crate::metadata::container::testing::*;

const INFOTEXT: &str = "a café, 猫\nSteps: 20";

fn exif_segment(block: &[u8]) -> Vec<u8> {
    segment(0xe1, &[b"Exif\0\0", block].concat())
}

fn xmp_segment(packet: &str) -> Vec<u8> {
    segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", packet.as_bytes()].concat())
}

#[test]
fn every_slot() {
    let iptc = [
        &b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08"[..],
        b"\x1c\x02\x19\0\x03cat",
    ]
    .concat();
    let app11 = [b"JP\0\x01\0\0\0\x01", &c2pa_store()[..]].concat();
    let raw = read_bytes(&jpeg(&[
        segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        exif_segment(&exif_with_comment(INFOTEXT)),
        xmp_segment(&xmp_packet("xmp:Rating=\"4\"", "")),
        segment(0xed, &iptc),
        segment(0xfe, INFOTEXT.as_bytes()),
        segment(0xeb, &app11),
    ]));
    let expected = [
        &[
            ("jpeg:COM", "", INFOTEXT),
            ("exif:Exif", "UserComment", INFOTEXT),
            ("xmp", "xmp:Rating", "4"),
            ("iptc", "Keywords", "cat"),
        ][..],
        &C2PA_ENTRIES,
    ]
    .concat();
    assert_eq!(entries(&raw), expected);
    assert_eq!(
        (raw.facts.format, raw.facts.width, raw.facts.height),
        (Some("jpeg"), Some(3), Some(2))
    );
    assert_eq!(
        (raw.facts.rating, raw.facts.keywords.as_slice()),
        (Some(4), &["cat".to_owned()][..])
    );
    assert!(raw.notes.is_empty(), "{:?}", raw.notes);
}

#[test]
fn extended_xmp_is_joined_by_guid_in_any_order() {
    let guid = "0123456789ABCDEF0123456789ABCDEF";
    let packet = xmp_packet("", "<dc:description>a very long one</dc:description>");
    let piece = |from: usize, to: usize| {
        let header = [&(packet.len() as u32).to_be_bytes()[..], &(from as u32).to_be_bytes()].concat();
        let bytes = &packet.as_bytes()[from..to];
        segment(
            0xe1,
            &[b"http://ns.adobe.com/xmp/extension/\0", guid.as_bytes(), &header, bytes].concat(),
        )
    };
    let main = xmp_segment(&xmp_packet(&format!("xmpNote:HasExtendedXMP=\"{guid}\""), ""));
    let description = ("xmp", "dc:description", "a very long one");
    let raw = read_bytes(&jpeg(&[main.clone(), piece(100, packet.len()), piece(0, 100)]));
    assert_eq!(entries(&raw)[1..], [description]);
    assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    // Without the main packet it is still read, with a note; with a gap its beginning is.
    let raw = read_bytes(&jpeg(&[piece(0, 100), piece(100, packet.len())]));
    assert_eq!((entries(&raw), raw.notes.len()), (vec![description], 1));
    let raw = read_bytes(&jpeg(&[main, piece(0, 100), piece(120, packet.len())]));
    assert_eq!(raw.notes.len(), 2, "{:?}", raw.notes);
}

#[test]
fn c2pa_is_joined_from_its_segments() {
    let store = c2pa_store();
    let piece = |number: u8, bytes: &[u8]| segment(0xeb, &[b"JP\0\x07\0\0\0", &[number][..], bytes].concat());
    // Every piece repeats the header of the box.
    let pieces = [
        piece(1, &store[..2000]),
        piece(2, &[&store[..8], &store[2000..]].concat()),
    ];
    for order in [[0, 1], [1, 0]] {
        let raw = read_bytes(&jpeg(&order.map(|index| pieces[index].clone())));
        assert_eq!(entries(&raw), C2PA_ENTRIES);
    }
}

#[test]
fn exif_that_goes_on_in_the_next_segment() {
    let text = "x".repeat(70_000);
    let block = tiff(Order::Little, &[ascii(0x010e, text.as_bytes())], &[], &[]);
    let (first, second) = block.split_at(60_000);
    let raw = read_bytes(&jpeg(&[exif_segment(first), exif_segment(second)]));
    assert_eq!(entries(&raw), [("exif:IFD0", "ImageDescription", &*text)]);
}

#[test]
fn a_file_cut_anywhere_gives_what_came_before() {
    let file = jpeg(&[
        segment(0xfe, b"first"),
        exif_segment(&exif_with_comment(INFOTEXT)),
        segment(0xfe, b"second"),
    ]);
    for end in 3..file.len() {
        let raw = read_bytes(&file[..end]);
        assert_eq!(
            raw.entries.iter().any(|entry| entry.text == "first"),
            end >= 2 + 9,
            "{end}"
        );
    }
    let raw = read_bytes(&file[..2 + 7]);
    assert_eq!((entries(&raw), raw.notes.len()), (vec![("jpeg:COM", "", "fir")], 2));
}

#[test]
fn garbage_and_filling_between_segments() {
    let mut file = jpeg(&[segment(0xe0, b""), segment(0xfe, b"first")]);
    file.splice(6..6, [0, 1, 2, 0xff, 0, 0xff, 0xff, 0xff]);
    let raw = read_bytes(&file);
    assert_eq!(
        (entries(&raw), raw.facts.width),
        (vec![("jpeg:COM", "", "first")], Some(3))
    );
    let raw = read_bytes(&[&[0xff, 0xd8, 0xff][..], &vec![0; 200_000]].concat());
    assert!(
        raw.notes.iter().any(|note| note.contains("no segment")),
        "{:?}",
        raw.notes
    );
    let raw = read_bytes(&[&[0xff, 0xd8][..], &vec![0xff; 200_000]].concat());
    assert!(!raw.notes.is_empty());
    let raw = read_bytes(&[&[0xff, 0xd8][..], &[0xff, 0xd0].repeat(20_000)].concat());
    assert!(raw.notes[0].contains("segments"), "{:?}", raw.notes);
    let raw = read_bytes(&[0xff, 0xd8, 0xff, 0xfe, 0, 1, 0]);
    assert!(raw.notes[0].contains("no segment length"));
}

#[test]
fn nothing_behind_the_first_scan_is_read() {
    let mut file = jpeg(&[]);
    file.extend(segment(0xfe, b"behind"));
    assert!(read_bytes(&file).entries.is_empty());
}
