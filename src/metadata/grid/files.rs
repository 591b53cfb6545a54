//! Files, sidecars and pixels that carry given texts.

#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "byte literals are references to arrays"
)]

use std::io::Write;

use crate::metadata::SidecarKind;
use crate::metadata::container::testing::*;
use crate::record::Picture;

/// Something to be read.
pub enum Made {
    /// A file.
    File(Vec<u8>),
    /// A file and a text beside it.
    Beside(Vec<u8>, SidecarKind, String),
    /// A file and the pixels that it decodes to.
    Pixels(Vec<u8>, Picture),
}

/// A PNG without text.
pub fn bare_png() -> Vec<u8> {
    png(&[], &[])
}

/// `tEXt` as Pillow writes it: latin-1.
pub fn latin1_chunk(key: &str, text: &str) -> Vec<u8> {
    let bytes: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).expect("latin-1"))
        .collect();
    text_chunk(key, &bytes)
}

/// ImageMagick's EXIF in a text chunk: hexadecimal, with a length.
pub fn raw_profile(exif: &[u8]) -> Vec<u8> {
    let hex: Vec<String> = exif.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<String> = hex.chunks(36).map(<[String]>::concat).collect();
    let text = format!("\nexif\n{:8}\n{}\n", exif.len(), lines.join("\n"));
    ztxt_chunk("Raw profile type exif", text.as_bytes())
}

/// A JPEG with an EXIF block.
pub fn exif_jpeg(block: &[u8]) -> Vec<u8> {
    jpeg(&[segment(0xe1, &[b"Exif\0\0", block].concat())])
}

/// A JPEG with an XMP packet.
pub fn xmp_jpeg(packet: &str) -> Vec<u8> {
    jpeg(&[segment(
        0xe1,
        &[b"http://ns.adobe.com/xap/1.0/\0", packet.as_bytes()].concat(),
    )])
}

/// A JPEG with a C2PA store.
pub fn c2pa_jpeg(store: &[u8]) -> Vec<u8> {
    jpeg(&[segment(0xeb, &[b"JP\0\x01\0\0\0\x01", store].concat())])
}

/// A PNG with an XMP packet.
pub fn xmp_png(packet: &str) -> Vec<u8> {
    png(&[itxt_chunk("XML:com.adobe.xmp", packet.as_bytes(), false)], &[])
}

/// A WebP with an EXIF block behind its pixels.
pub fn exif_webp(block: &[u8]) -> Vec<u8> {
    webp(&[vp8x(), vp8l(), riff_chunk(b"EXIF", block)])
}

/// An AVIF or HEIC with an EXIF item.
pub fn exif_bmff(brand: &[u8; 4], block: &[u8]) -> Vec<u8> {
    avif(
        brand,
        &[(b"Exif", "", &[&[0, 0, 0, 6][..], b"Exif\0\0", block].concat())],
        1,
    )
}

/// An AVIF with an XMP item.
pub fn xmp_avif(packet: &str) -> Vec<u8> {
    avif(b"avif", &[(b"mime", "application/rdf+xml", packet.as_bytes())], 1)
}

/// An AVIF with a C2PA store.
pub fn c2pa_avif(store: &[u8]) -> Vec<u8> {
    const UUID: [u8; 16] = [
        0xd8, 0xfe, 0xc3, 0xd6, 0x1b, 0x0e, 0x48, 0x3c, 0x92, 0x97, 0x58, 0x28, 0x87, 0x7e, 0xc4, 0x81,
    ];
    let mut file = avif(b"avif", &[], 0);
    file.extend(bmff_box(
        b"uuid",
        &[&UUID[..], &[0; 4], b"manifest\0", &[0; 8], store].concat(),
    ));
    file
}

/// A JPEG XL with an EXIF box, packed or not.
pub fn exif_jxl(block: &[u8], is_packed: bool) -> Vec<u8> {
    let body = [&[0; 4][..], block].concat();
    if is_packed {
        jxl(&[bmff_box(b"brob", &[&b"Exif"[..], &brotli(&body)].concat())])
    } else {
        jxl(&[bmff_box(b"Exif", &body)])
    }
}

/// `UserComment` in a TIFF of one byte order with text of another.
pub fn comment_block(order: Order, text_order: Order, text: &str) -> Vec<u8> {
    let body: Vec<u8> = text.encode_utf16().flat_map(|unit| text_order.u16(unit)).collect();
    tiff(order, &[], &[(0x9286, 7, [&b"UNICODE\0"[..], &body].concat())], &[])
}

/// `UserComment` of bytes as they are.
pub fn plain_comment(bytes: &[u8]) -> Vec<u8> {
    tiff(Order::Big, &[], &[(0x9286, 7, bytes.to_vec())], &[])
}

/// The pixels that hide a text, and a PNG that could be theirs.
pub fn hidden(magic: &[u8; 15], text: &str) -> Made {
    let is_packed = magic.ends_with(b"comp");
    let payload = if is_packed {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    } else {
        text.as_bytes().to_vec()
    };
    let bytes = [&magic[..], &(payload.len() as u32 * 8).to_be_bytes(), &payload].concat();
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let (width, height, channels) = (128_u32, 200_u32, 4_usize);
    let mut data = vec![0xfe_u8; (width * height) as usize * channels];
    let used = if magic[8] == b'p' { 3..4 } else { 0..3 };
    for x in 0..width as usize {
        for y in 0..height as usize {
            for channel in used.clone() {
                data[(y * width as usize + x) * channels + channel] |= bits.next().unwrap_or(0);
            }
        }
    }
    assert!(bits.next().is_none(), "the picture is too small for the text");
    let picture = Picture {
        width,
        height,
        channels: channels as u8,
        data,
    };
    Made::Pixels(bare_png(), picture)
}

/// A C2PA store with a claim generator, and an action with a source type where one is given.
pub fn c2pa_of(claim_generator: &str, source_type: Option<&str>) -> Vec<u8> {
    let claim = cbor_map(&[
        ("claim_generator", cbor_text(claim_generator)),
        ("dc:title", cbor_text("a")),
    ]);
    let mut boxes = vec![jumbf("c2pa.claim", &[bmff_box(b"cbor", &claim)])];
    if let Some(source_type) = source_type {
        let uri = format!("http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}");
        let action = cbor_map(&[
            ("action", cbor_text("c2pa.created")),
            ("digitalSourceType", cbor_text(&uri)),
        ]);
        let actions = cbor_map(&[("actions", [vec![0x81], action].concat())]);
        boxes.insert(
            0,
            jumbf(
                "c2pa.assertions",
                &[jumbf("c2pa.actions", &[bmff_box(b"cbor", &actions)])],
            ),
        );
    }
    jumbf("c2pa", &[jumbf("urn:c2pa:1", &boxes)])
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    crate::metadata::json::write_string(text, &mut out);
    out
}

/// A text as XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
