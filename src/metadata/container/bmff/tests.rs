//! EXIF, XMP and C2PA in AVIF and HEIC, and what is broken in their boxes.

use super::C2PA_UUID;
use crate::metadata::container::testing::*;

const INFOTEXT: &str = "a café, 猫\nSteps: 20";

fn exif_item() -> Vec<u8> {
    [&[0, 0, 0, 6][..], b"Exif\0\0", &exif_with_comment(INFOTEXT)].concat()
}

#[test]
fn items_in_mdat_and_in_idat() {
    let packet = xmp_packet("xmp:CreatorTool=\"Tool\"", "");
    let exif = exif_item();
    let items: [(&[u8; 4], &str, &[u8]); 3] = [
        (b"Exif", "", &exif),
        (b"mime", "text/plain", b"no"),
        (b"mime", "application/rdf+xml", packet.as_bytes()),
    ];
    for brand in [b"avif", b"heic"] {
        for in_idat in [3, 0, 2] {
            let raw = read_bytes(&avif(brand, &items, in_idat));
            let expected = [
                ("exif:Exif", "UserComment", INFOTEXT),
                ("xmp", "xmp:CreatorTool", "Tool"),
            ];
            assert_eq!(entries(&raw), expected);
            assert_eq!(raw.facts.format.map(str::as_bytes), Some(&brand[..]));
            assert_eq!((raw.facts.width, raw.facts.height), (Some(3), Some(2)));
            assert!(raw.notes.is_empty(), "{:?}", raw.notes);
        }
    }
}

#[test]
fn exif_with_any_offset_or_none() {
    let bare = exif_with_comment(INFOTEXT);
    let far = [&[0, 0, 0, 40][..], &[7; 40], &bare].concat();
    for block in [bare.clone(), [&[0; 4], &bare[..]].concat(), far] {
        let raw = read_bytes(&avif(b"avif", &[(b"Exif", "", &block)], 1));
        assert_eq!(entries(&raw), [("exif:Exif", "UserComment", INFOTEXT)]);
    }
}

#[test]
fn c2pa_and_xmp_in_uuid_boxes() {
    let body = [&C2PA_UUID[..], &[0; 4], b"manifest\0", &[0; 8], &c2pa_store()].concat();
    let packet = xmp_packet("xmp:CreatorTool=\"Tool\"", "");
    let xmp = [&super::XMP_UUID[..], packet.as_bytes()].concat();
    let mut file = avif(b"avif", &[], 0);
    file.extend(bmff_box(b"uuid", &body));
    file.extend(bmff_box(b"uuid", &xmp));
    let raw = read_bytes(&file);
    assert_eq!(
        entries(&raw),
        [&C2PA_ENTRIES[..], &[("xmp", "xmp:CreatorTool", "Tool")]].concat()
    );
}

#[test]
fn pictures_are_turned_by_their_properties_and_not_by_exif() {
    let sideways = tiff(Order::Big, &[(0x0112, 3, Order::Big.u16(6).to_vec())], &[], &[]);
    let exif: (&[u8; 4], &str, &[u8]) = (b"Exif", "", &sideways);
    let turn = |angle: u8| bmff_box(b"irot", &[angle]);
    let mirror = |axis: u8| bmff_box(b"imir", &[axis]);
    for (turns, orientation) in [
        (vec![], 1),
        (vec![turn(1)], 8),
        (vec![turn(2)], 3),
        (vec![turn(3)], 6),
        (vec![mirror(0)], 4),
        (vec![mirror(1)], 2),
        (vec![turn(1), mirror(0)], 5),
        (vec![turn(1), mirror(1)], 7),
        (vec![turn(2), mirror(0)], 2),
        (vec![turn(2), mirror(1)], 4),
        (vec![turn(3), mirror(0)], 7),
        (vec![turn(3), mirror(1)], 5),
    ] {
        let raw = read_bytes(&turned_avif(b"heic", &[exif], 1, &turns));
        assert_eq!(raw.facts.orientation, Some(orientation), "{turns:?}");
        assert_eq!((raw.facts.width, raw.facts.height), (Some(3), Some(2)));
    }
    assert_eq!(read_bytes(&avif(b"avif", &[], 0)).facts.orientation, None);
    assert_eq!(
        read_bytes(&turned_avif(b"avif", &[], 0, &[turn(3)])).facts.orientation,
        Some(6)
    );
}

#[test]
fn brands() {
    let with = |brands: &[u8]| super::sniff_brand(&bmff_box(b"ftyp", brands));
    assert_eq!(with(b"mif1\0\0\0\0avif"), Some("avif"));
    assert_eq!(with(b"mif1\0\0\0\0"), Some("heic"));
    assert_eq!(with(b"isom\0\0\0\0mp41"), None);
    assert_eq!(with(b""), None);
}

#[test]
fn every_cut_and_every_flipped_byte_is_survived() {
    let exif = exif_item();
    let file = avif(b"avif", &[(b"Exif", "", &exif)], 1);
    for end in 0..file.len() {
        read_bytes(&file[..end]);
    }
    for at in 12..file.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut broken = file.clone();
            broken[at] = value;
            read_bytes(&broken);
        }
    }
}

#[test]
fn boxes_of_no_size_or_too_much_end_the_walk() {
    let ftyp = bmff_box(b"ftyp", b"avif\0\0\0\0");
    // A size of 0 reaches to the end of the file; one smaller than a header cannot be.
    let open = [&ftyp[..], b"\0\0\0\0mdat", &[7; 100]].concat();
    assert!(read_bytes(&open).notes.is_empty());
    for size in [1_u32, 2, 7] {
        let file = [&ftyp[..], &size.to_be_bytes(), b"meta", &[0; 8]].concat();
        assert!(!read_bytes(&file).notes.is_empty(), "{size}");
    }
    let many = [ftyp.clone(), bmff_box(b"free", &[]).repeat(5000)].concat();
    assert!(read_bytes(&many).notes[0].contains("too many boxes"));
    let beyond = [&ftyp[..], &[0xff; 4], b"meta", &[0; 40]].concat();
    assert!(read_bytes(&beyond).notes[0].contains("beyond"));
}

#[test]
fn overlapping_extents_cost_what_they_read() {
    // Sixty extents of one item, all over the whole file.
    let file_bytes = 4_u32 << 20;
    let infe = bmff_box(b"infe", b"\x02\0\0\x01\0\x02\0\0Exif\0");
    let iinf = bmff_box(b"iinf", &[&[0, 0, 0, 0, 0, 1][..], &infe].concat());
    let extent = [0_u32.to_be_bytes(), file_bytes.to_be_bytes()].concat();
    let iloc = bmff_box(
        b"iloc",
        &[&[0, 0, 0, 0, 0x44, 0, 0, 1, 0, 2, 0, 0, 0, 60][..], &extent.repeat(60)].concat(),
    );
    let meta = bmff_box(b"meta", &[&[0; 4][..], &iinf, &iloc].concat());
    let mut file = [bmff_box(b"ftyp", b"avif\0\0\0\0"), meta].concat();
    file.resize(file_bytes as usize, 0);
    let raw = read_bytes(&file);
    assert!(raw.entries.is_empty() && !raw.notes.is_empty());
}
