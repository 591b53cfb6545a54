//! Builders of tiny files of every container, made from the format facts, for tests only.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "byte literals are references to arrays"
)]

use std::io::{Cursor, Write};

use crate::metadata::{ReadOptions, read};
use crate::record::RawMetadata;

/// Reads bytes with the default limits.
pub fn read_bytes(bytes: &[u8]) -> RawMetadata {
    read(&mut Cursor::new(bytes.to_vec()), &ReadOptions::default())
}

/// Slot, key and text of each entry.
pub fn entries(raw: &RawMetadata) -> Vec<(&str, &str, &str)> {
    raw.entries
        .iter()
        .map(|entry| (&*entry.slot, &*entry.key, &*entry.text))
        .collect()
}

/// A zlib stream.
pub fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A brotli stream of uncompressed meta-blocks (RFC 7932 section 9.2).
pub fn brotli(data: &[u8]) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut out = Vec::new();
    let push = |bits: &mut Vec<bool>, value: usize, count: usize| {
        bits.extend((0..count).map(|i| value >> i & 1 == 1));
    };
    let flush = |bits: &mut Vec<bool>, out: &mut Vec<u8>| {
        out.extend(
            bits.chunks(8)
                .map(|byte| byte.iter().enumerate().fold(0, |b, (i, &bit)| b | u8::from(bit) << i)),
        );
        bits.clear();
    };
    // WBITS = 16 is one zero bit.
    push(&mut bits, 0, 1);
    for piece in data.chunks(1 << 16) {
        push(&mut bits, 0, 1); // not the last
        push(&mut bits, 0, 2); // length in four nibbles
        push(&mut bits, piece.len() - 1, 16);
        push(&mut bits, 1, 1); // uncompressed, from the next byte on
        flush(&mut bits, &mut out);
        out.extend(piece);
    }
    push(&mut bits, 3, 2); // last and empty
    flush(&mut bits, &mut out);
    out
}

/// One PNG chunk with its checksum.
pub fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(body);
    [
        &(body.len() as u32).to_be_bytes()[..],
        kind,
        body,
        &crc.sum().to_be_bytes(),
    ]
    .concat()
}

/// A 3x2 PNG with chunks before and after its pixels.
pub fn png(before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(chunk(b"IHDR", &[0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0]));
    out.extend(before.concat());
    let pixels = zlib(&[0; 20]);
    let (first, second) = pixels.split_at(5);
    out.extend([chunk(b"IDAT", first), chunk(b"IDAT", second)].concat());
    out.extend(after.concat());
    out.extend(chunk(b"IEND", b""));
    out
}

/// A `tEXt` chunk.
pub fn text_chunk(key: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"tEXt", &[key.as_bytes(), b"\0", text].concat())
}

/// A `zTXt` chunk.
pub fn ztxt_chunk(key: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"zTXt", &[key.as_bytes(), b"\0\0", &zlib(text)].concat())
}

/// An `iTXt` chunk with a language and a translated keyword.
pub fn itxt_chunk(key: &str, text: &[u8], is_compressed: bool) -> Vec<u8> {
    let body = if is_compressed { zlib(text) } else { text.to_vec() };
    chunk(
        b"iTXt",
        &[
            key.as_bytes(),
            &[0, u8::from(is_compressed), 0],
            b"en\0Schl\xc3\xbcssel\0",
            &body,
        ]
        .concat(),
    )
}

/// One JPEG segment.
pub fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

/// A 3x2 JPEG (headers only) with segments before its frame.
pub fn jpeg(segments: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    out.extend(segments.concat());
    out.extend(segment(0xc0, &[8, 0, 2, 0, 3, 1, 1, 0x11, 0]));
    out.extend(segment(0xda, &[1, 1, 0, 0, 63, 0]));
    out.extend([0x12, 0x34, 0xff, 0xd9]);
    out
}

/// A RIFF chunk, padded.
pub fn riff_chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = [&kind[..], &(body.len() as u32).to_le_bytes(), body].concat();
    out.resize(out.len() + body.len() % 2, 0);
    out
}

/// A WebP of the given chunks.
pub fn webp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    [b"RIFF", &(body.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &body].concat()
}

/// `VP8X` for 3x2 pixels.
pub fn vp8x() -> Vec<u8> {
    riff_chunk(b"VP8X", &[0x0c, 0, 0, 0, 2, 0, 0, 1, 0, 0])
}

/// `VP8L` for 3x2 pixels.
pub fn vp8l() -> Vec<u8> {
    riff_chunk(
        b"VP8L",
        &[&[0x2f][..], &(2_u32 | 1 << 14).to_le_bytes(), &[0; 21]].concat(),
    )
}

/// A box of BMFF or JUMBF.
pub fn bmff_box(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

/// An AVIF (or, by its brand, a HEIC) of 3x2 pixels with items: type, content type, bytes.
/// The first lie in `mdat`, those from `in_idat` on in `idat`.
pub fn avif(brand: &[u8; 4], items: &[(&[u8; 4], &str, &[u8])], in_idat: usize) -> Vec<u8> {
    turned_avif(brand, items, in_idat, &[])
}

/// The same with further properties of the picture: its rotation, its mirror.
pub fn turned_avif(brand: &[u8; 4], items: &[(&[u8; 4], &str, &[u8])], in_idat: usize, turns: &[Vec<u8>]) -> Vec<u8> {
    let ftyp = bmff_box(b"ftyp", &[&brand[..], &[0; 4], b"mif1", brand].concat());
    // With a first guess of the offset the length of `meta` is known, and so the true offset.
    let length = avif_meta(items, in_idat, 0, turns).len();
    let meta = avif_meta(items, in_idat, (ftyp.len() + length + 8) as u32, turns);
    let data: Vec<u8> = items[..in_idat].iter().flat_map(|item| item.2.to_vec()).collect();
    [ftyp, meta, bmff_box(b"mdat", &data)].concat()
}

fn avif_meta(items: &[(&[u8; 4], &str, &[u8])], in_idat: usize, data_at: u32, turns: &[Vec<u8>]) -> Vec<u8> {
    let mut entries = vec![bmff_box(b"infe", b"\x02\0\0\0\0\x01\0\0av01\0")];
    let mut iloc = [&[1, 0, 0, 0, 0x44, 0][..], &(items.len() as u16).to_be_bytes()].concat();
    let (mut file_at, mut idat) = (data_at, Vec::new());
    for (index, (kind, content_type, bytes)) in items.iter().enumerate() {
        let id = (index as u16 + 2).to_be_bytes();
        entries.push(bmff_box(
            b"infe",
            &[
                &[2, 0, 0, 1],
                &id[..],
                &[0, 0],
                &kind[..],
                b"\0",
                content_type.as_bytes(),
                b"\0",
            ]
            .concat(),
        ));
        let is_inside = index >= in_idat;
        let offset = if is_inside { idat.len() as u32 } else { file_at };
        iloc.extend([&id[..], &[0, u8::from(is_inside), 0, 0, 0, 1]].concat());
        iloc.extend([offset.to_be_bytes(), (bytes.len() as u32).to_be_bytes()].concat());
        if is_inside {
            idat.extend(*bytes);
        } else {
            file_at += bytes.len() as u32;
        }
    }
    let iinf = [
        &[0, 0, 0, 0][..],
        &(entries.len() as u16).to_be_bytes(),
        &entries.concat(),
    ]
    .concat();
    let ispe = |width: u8, height: u8| bmff_box(b"ispe", &[0, 0, 0, 0, 0, 0, 0, width, 0, 0, 0, height]);
    // The encoder padded to 8x8 pixels, of which 3x2 are the picture.
    let clap = bmff_box(
        b"clap",
        &[
            0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1,
        ],
    );
    let ipco = bmff_box(
        b"ipco",
        &[ispe(9, 9), bmff_box(b"pixi", &[0; 8]), ispe(8, 8), clap, turns.concat()].concat(),
    );
    let linked = (5_u8..).take(turns.len()).map(|property| 0x80 | property);
    let links: Vec<u8> = [2, 0x83, 0x84].into_iter().chain(linked).collect();
    let ipma = bmff_box(
        b"ipma",
        &[&[0, 0, 0, 0, 0, 0, 0, 1, 0, 1, links.len() as u8][..], &links].concat(),
    );
    let boxes = [
        bmff_box(b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        bmff_box(b"pitm", &[0, 0, 0, 0, 0, 1]),
        bmff_box(b"iinf", &iinf),
        bmff_box(b"iloc", &iloc),
        bmff_box(b"iprp", &[ipco, ipma].concat()),
        bmff_box(b"idat", &idat),
    ];
    bmff_box(b"meta", &[vec![0; 4], boxes.concat()].concat())
}

/// A JPEG XL container of the given boxes; its codestream says 24x16 pixels.
pub fn jxl(boxes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"\0\0\0\x0cJXL \r\n\x87\n".to_vec();
    out.extend(bmff_box(b"ftyp", b"jxl \0\0\0\0jxl "));
    out.extend(boxes.concat());
    out.extend(bmff_box(b"jxlc", &jxl_codestream()));
    out
}

/// The beginning of a codestream of 24x16 pixels: small, 2 eighths high, ratio 4 (3:2).
pub fn jxl_codestream() -> Vec<u8> {
    let bits: u16 = 1 | 1 << 1 | 4 << 6;
    [&[0xff, 0x0a][..], &bits.to_le_bytes(), &[0; 8]].concat()
}

/// A GIF of 3x2 pixels with blocks before its one frame and after it.
pub fn gif(before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"GIF89a\x03\0\x02\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    out.extend(before.concat());
    out.extend(b"\x2c\0\0\0\0\x03\0\x02\0\x81\0\0\0\0\0\0\0\0\0\0\0\0\x02\x02\x84\x51\0");
    out.extend(after.concat());
    out.push(0x3b);
    out
}

/// A GIF comment in sub-blocks of 255 bytes.
pub fn gif_comment(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0x21, 0xfe];
    for block in text.chunks(255) {
        out.push(block.len() as u8);
        out.extend(block);
    }
    out.push(0);
    out
}

/// An XMP packet round the body of one `rdf:Description`; `attributes` stand in its tag.
pub fn xmp_packet(attributes: &str, body: &str) -> String {
    format!(
        "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?><x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description rdf:about=\"\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" \
         xmlns:xmpNote=\"http://ns.adobe.com/xmp/note/\" {attributes}>{body}</rdf:Description></rdf:RDF>\
         </x:xmpmeta><?xpacket end=\"w\"?>"
    )
}

/// A JUMBF superbox with a label.
pub fn jumbf(label: &str, boxes: &[Vec<u8>]) -> Vec<u8> {
    let description = bmff_box(b"jumd", &[&[0x11; 16], &[3][..], label.as_bytes(), b"\0"].concat());
    bmff_box(b"jumb", &[vec![description], boxes.to_vec()].concat().concat())
}

/// A C2PA store: an action made by a trained algorithm, a thumbnail, and a claim.
pub fn c2pa_store() -> Vec<u8> {
    let action = cbor_map(&[
        ("action", cbor_text("c2pa.created")),
        (
            "digitalSourceType",
            cbor_text("http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"),
        ),
        ("softwareAgent", cbor_map(&[("name", cbor_text("Painter"))])),
    ]);
    let actions = cbor_map(&[("actions", [vec![0x81], action].concat())]);
    let claim = cbor_map(&[
        (
            "claim_generator_info",
            [vec![0x81], cbor_map(&[("name", cbor_text("Example Service"))])].concat(),
        ),
        ("dc:title", cbor_text("a cat")),
        ("instanceID", [vec![0xd8, 37, 0x42], vec![1, 2]].concat()),
        ("dc:format", cbor_text("image/png")),
    ]);
    let assertions = jumbf(
        "c2pa.assertions",
        &[
            jumbf("c2pa.thumbnail.claim.png", &[bmff_box(b"bidb", &[0x5a; 5000])]),
            jumbf("c2pa.actions.v2", &[bmff_box(b"cbor", &actions)]),
        ],
    );
    let manifest = jumbf(
        "urn:c2pa:1",
        &[assertions, jumbf("c2pa.claim.v2", &[bmff_box(b"cbor", &claim)])],
    );
    jumbf("c2pa", &[manifest])
}

/// What [`c2pa_store`] gives.
pub const C2PA_ENTRIES: [(&str, &str, &str); 5] = [
    (
        "c2pa",
        "digital_source_type",
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
    ),
    ("c2pa", "software_agent", "Painter"),
    ("c2pa", "claim_generator", "Example Service"),
    ("c2pa", "title", "a cat"),
    ("c2pa", "format", "image/png"),
];

/// A CBOR text.
pub fn cbor_text(text: &str) -> Vec<u8> {
    [&[0x79][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// A CBOR map.
pub fn cbor_map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0xa0 | fields.len() as u8];
    for (key, value) in fields {
        out.extend(cbor_text(key));
        out.extend(value);
    }
    out
}

/// Byte order of a made TIFF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `MM`.
    Big,
    /// `II`.
    Little,
}

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        if self == Self::Big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        if self == Self::Big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }
}

/// A field of a made TIFF: tag, type, bytes of the value.
pub type TiffField = (u16, u16, Vec<u8>);

/// An ASCII field, NUL-terminated.
pub fn ascii(tag: u16, text: &[u8]) -> TiffField {
    (tag, 2, [text, b"\0"].concat())
}

/// A TIFF block with an IFD0 and, where it has fields, an Exif and a GPS IFD.
pub fn tiff(order: Order, main: &[TiffField], exif: &[TiffField], gps: &[TiffField]) -> Vec<u8> {
    let mut out = if order == Order::Big {
        b"MM\0*".to_vec()
    } else {
        b"II*\0".to_vec()
    };
    out.extend(order.u32(8));
    let mut main = main.to_vec();
    let mut pointers = Vec::new();
    for (tag, fields) in [(0x8769, exif), (0x8825, gps)] {
        if !fields.is_empty() {
            pointers.push((tag, fields));
            main.push((tag, 4, order.u32(0).to_vec()));
        }
    }
    let entries_at = out.len() + 2;
    directory(order, &main, &mut out);
    for (tag, fields) in pointers {
        let at = out.len() as u32;
        let index = main.iter().position(|field| field.0 == tag).unwrap();
        out.splice(entries_at + index * 12 + 8..entries_at + index * 12 + 12, order.u32(at));
        directory(order, fields, &mut out);
    }
    out
}

fn directory(order: Order, fields: &[TiffField], out: &mut Vec<u8>) {
    let mut values_at = out.len() + 2 + fields.len() * 12 + 4;
    let mut values: Vec<u8> = Vec::new();
    out.extend(order.u16(fields.len() as u16));
    for (tag, kind, value) in fields {
        let width = match kind {
            3 => 2,
            4 => 4,
            5 | 10 => 8,
            _ => 1,
        };
        out.extend(order.u16(*tag));
        out.extend(order.u16(*kind));
        out.extend(order.u32((value.len() / width) as u32));
        if value.len() <= 4 {
            out.extend([&value[..], &[0; 4][value.len()..]].concat());
        } else {
            out.extend(order.u32(values_at as u32));
            values_at += value.len();
            values.extend(value);
        }
    }
    out.extend(order.u32(0));
    out.extend(values);
}

/// `UserComment` as A1111 writes it: `UNICODE`, UTF-16BE.
pub fn unicode_comment(text: &str) -> TiffField {
    let body: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    (0x9286, 7, [&b"UNICODE\0"[..], &body].concat())
}

/// An EXIF block with one infotext.
pub fn exif_with_comment(text: &str) -> Vec<u8> {
    tiff(Order::Big, &[], &[unicode_comment(text)], &[])
}
