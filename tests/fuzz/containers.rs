//! Container targets: files of every format, and the blocks inside them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use super::mutate::run;
use super::pairs;
use crate::metadata::budget::Collector;
use crate::metadata::container::testing::*;
use crate::metadata::{self, ReadOptions};
use crate::record::{Picture, RawMetadata};

const INFOTEXT: &str = "a café, 猫\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, Seed: 1";

/// Limits small enough for an input of some KiB to reach them.
fn options() -> ReadOptions {
    ReadOptions {
        max_text_bytes: 1 << 20,
        max_total_bytes: 2 << 20,
        max_entries: 64,
        max_xmp_bytes: 64 << 10,
        max_sidecar_bytes: 1 << 20,
        max_gif_scan_bytes: 32 << 10,
    }
}

/// Checks what must hold for any input, and tells how the reading went: each two of its complaints,
/// its slots with the number of their entries, and its facts.
fn ways(raw: &RawMetadata) -> Vec<u64> {
    let limits = options();
    assert!(raw.entries.len() <= limits.max_entries && raw.notes.len() <= 33);
    assert!(raw.entries.iter().map(|entry| entry.text.len()).sum::<usize>() <= limits.max_total_bytes);
    assert!(raw.entries.iter().all(|entry| !entry.text.is_empty()));
    assert!(raw.notes.iter().all(|note| note.len() < 1000));
    let mut parts = BTreeSet::new();
    for note in &raw.notes {
        // Notes end with what is wrong, after names and numbers from the file.
        parts.insert(
            note.chars()
                .rev()
                .filter(|c| !c.is_ascii_digit())
                .take(8)
                .collect::<String>(),
        );
    }
    let mut slots: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for entry in &raw.entries {
        // Keys come from the file, but for these.
        let key = if entry.slot == "c2pa" { entry.key.as_str() } else { "" };
        *slots.entry((&entry.slot, key)).or_default() += 1;
    }
    parts.extend(
        slots
            .iter()
            .map(|((slot, key), count)| format!("{slot} {key} {}", count.ilog2())),
    );
    let facts = &raw.facts;
    parts.insert(format!(
        "{:?} {:?} {}",
        facts.format,
        facts.orientation,
        facts.keywords.len().min(9)
    ));
    parts.insert(format!(
        "{} {} {:?}",
        facts.taken_at.is_some(),
        facts.gps.is_some(),
        facts.rating
    ));
    pairs(&parts)
}

/// A whole file.
pub fn file(bytes: &[u8]) -> Vec<u64> {
    ways(&metadata::read(&mut Cursor::new(bytes.to_vec()), &options()))
}

fn block(read: impl FnOnce(&mut Collector)) -> Vec<u64> {
    let options = options();
    let mut collector = Collector::new(&options);
    read(&mut collector);
    ways(&collector.finish())
}

/// An EXIF block.
pub fn exif(bytes: &[u8]) -> Vec<u64> {
    block(|collector| metadata::exif::read_block(bytes, collector))
}

/// An XMP packet, or Photoshop's resources.
pub fn xmp(bytes: &[u8]) -> Vec<u64> {
    block(|collector| match bytes.strip_prefix(b"8BIM") {
        Some(_) => metadata::iptc::read_resources(bytes, collector),
        None => drop(metadata::xmp::read(bytes, collector)),
    })
}

/// A C2PA store.
pub fn c2pa(bytes: &[u8]) -> Vec<u64> {
    block(|collector| metadata::c2pa::read(&mut &*bytes, 0, bytes.len() as u64, collector))
}

/// Pixels: channels, width and height in two bytes each, and the lowest bits of the channels as
/// bytes; and text as the settings of a signature.
pub fn stealth(bytes: &[u8]) -> Vec<u64> {
    let Some((&[channels, wide, width, high, height], rest)) = bytes.split_first_chunk::<5>() else {
        return Vec::new();
    };
    let (width, height) = (
        u32::from(wide) * 256 + u32::from(width),
        u32::from(high) * 256 + u32::from(height),
    );
    let (width, height) = (width % 512, height % 512);
    let mut data: Vec<u8> = rest
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1))
        .collect();
    data.resize((width * height) as usize * usize::from(channels % 5), 0);
    let picture = Picture {
        width,
        height,
        channels: channels % 5,
        data,
    };
    metadata::novelai_signature::novelai_signature_valid(&picture, &String::from_utf8_lossy(rest));
    metadata::stealth::read(&picture, &options()).map_or_else(Vec::new, |raw| ways(&raw))
}

fn exif_block() -> Vec<u8> {
    let order = Order::Little;
    let gps = [
        ascii(1, b"N"),
        (2, 5, [1_u32, 1, 2, 1, 3, 1].map(u32::to_le_bytes).concat()),
    ];
    let main = [
        ascii(0x010f, b"Canon"),
        ascii(0x0110, b"Canon EOS 6D"),
        (0x0112, 3, order.u16(6).to_vec()),
        ascii(0x0132, b"2024:01:01 00:00:00"),
        (0x02bc, 1, packet()),
        (0x83bb, 7, b"\x1c\x02\x19\0\x03cat".to_vec()),
        (0x9c9b, 1, b"T\0i\0t\0l\0e\0".to_vec()),
    ];
    tiff(
        order,
        &main,
        &[unicode_comment(INFOTEXT), ascii(0x9011, b"+02:00")],
        &gps,
    )
}

fn packet() -> Vec<u8> {
    xmp_packet(
        "xmp:Rating=\"4\"",
        "<dc:subject><rdf:Bag><rdf:li>cat</rdf:li></rdf:Bag></dc:subject>",
    )
    .into_bytes()
}

fn image_resources() -> Vec<u8> {
    [
        &b"8BIM\x04\x04\0\0\0\0\0\x12"[..],
        b"\x1c\x02\x19\0\x03cat\x1c\x02\x78\0\x05a cat",
    ]
    .concat()
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_png() {
    let exif = exif_block();
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap();
    let raw_profile: String = exif
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect();
    let profile = format!("\nexif\n{:8}\n{raw_profile}\n", exif.len());
    let seeds = vec![
        png(
            &[
                text_chunk("parameters", INFOTEXT.as_bytes()),
                ztxt_chunk("workflow", b"{\"nodes\": []}"),
            ],
            &[],
        ),
        png(
            &[itxt_chunk("prompt", INFOTEXT.as_bytes(), true)],
            &[itxt_chunk("Title", b"x", false)],
        ),
        png(
            &[chunk(b"eXIf", &exif)],
            &[chunk(b"comf", b"prompt\0{}"), chunk(b"caBX", &c2pa_store())],
        ),
        png(
            &[itxt_chunk("XML:com.adobe.xmp", &packet(), false)],
            &[ztxt_chunk("Raw profile type exif", profile.as_bytes())],
        ),
    ];
    let words = [
        &b"tEXt"[..],
        b"zTXt",
        b"iTXt",
        b"eXIf",
        b"caBX",
        b"comf",
        b"IEND",
        b"XML:com.adobe.xmp\0",
        b"Raw profile type xmp\0",
    ];
    run("png", seeds, &words, file);
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_jpeg() {
    let guid = [b'A'; 32];
    let extension = |from: u32, bytes: &[u8]| {
        let numbers = [&200_u32.to_be_bytes()[..], &from.to_be_bytes()].concat();
        segment(
            0xe1,
            &[&b"http://ns.adobe.com/xmp/extension/\0"[..], &guid, &numbers, bytes].concat(),
        )
    };
    let main = xmp_packet(&format!("xmpNote:HasExtendedXMP=\"{}\"", "A".repeat(32)), "");
    let long = packet();
    let store = c2pa_store();
    let seeds = vec![
        jpeg(&[
            segment(0xfe, INFOTEXT.as_bytes()),
            segment(0xe1, &[b"Exif\0\0", &exif_block()[..]].concat()),
        ]),
        jpeg(&[
            segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", main.as_bytes()].concat()),
            extension(0, &long[..100]),
            extension(100, &long[100..]),
        ]),
        jpeg(&[
            segment(0xeb, &[&b"JP\0\x01\0\0\0\x01"[..], &store[..900]].concat()),
            segment(0xeb, &[&b"JP\0\x01\0\0\0\x02"[..], &store[..8], &store[900..]].concat()),
            segment(0xed, &[b"Photoshop 3.0\0", &image_resources()[..]].concat()),
        ]),
    ];
    let words = [
        &b"\xff\xe1"[..],
        b"\xff\xeb",
        b"\xff\xed",
        b"\xff\xfe",
        b"\xff\xda",
        b"Exif\0\0",
        b"JP",
        b"Photoshop 3.0\0",
    ];
    run("jpeg", seeds, &words, file);
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_webp() {
    let seeds = vec![
        webp(&[
            vp8x(),
            vp8l(),
            riff_chunk(b"EXIF", &exif_block()),
            riff_chunk(b"XMP ", &packet()),
        ]),
        webp(&[vp8l(), riff_chunk(b"C2PA", &c2pa_store())]),
    ];
    run(
        "webp",
        seeds,
        &[b"VP8 ", b"VP8L", b"VP8X", b"EXIF", b"XMP ", b"C2PA", b"ANMF"],
        file,
    );
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_bmff() {
    let (exif, packet) = (exif_block(), packet());
    let items: [(&[u8; 4], &str, &[u8]); 2] = [(b"Exif", "", &exif), (b"mime", "application/rdf+xml", &packet)];
    let seeds = vec![avif(b"avif", &items, 2), avif(b"heic", &items, 0)];
    let words = [
        &b"meta"[..],
        b"iinf",
        b"infe",
        b"iloc",
        b"iprp",
        b"ipco",
        b"ispe",
        b"clap",
        b"ipma",
        b"pitm",
        b"idat",
        b"uuid",
        b"Exif",
        b"mime",
    ];
    run("bmff", seeds, &words, file);
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_other() {
    let packed = bmff_box(b"brob", &[b"Exif", &brotli(&exif_block())[..]].concat());
    let mut xmp_extension = b"\x21\xff\x0bXMP DataXMP".to_vec();
    xmp_extension.extend([packet(), vec![1], (0..=255).rev().collect(), vec![0]].concat());
    let seeds = vec![
        jxl(&[packed, bmff_box(b"xml ", &packet()), c2pa_store()]),
        jxl_codestream(),
        gif(&[gif_comment(INFOTEXT.repeat(5).as_bytes())], &[xmp_extension]),
        exif_block(),
        b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x03\0\0\0\x02\0\0\0".to_vec(),
    ];
    run(
        "other",
        seeds,
        &[
            b"brob",
            b"Exif",
            b"xml ",
            b"jumb",
            b"jxlc",
            b"jxlp",
            b"\x21\xfe",
            b"\x21\xff",
            b"\x2c",
        ],
        file,
    );
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_exif() {
    let order = Order::Big;
    let generator = [
        ascii(0x010f, b"workflow:{}"),
        ascii(0x0110, b"prompt:{}"),
        ascii(0x9286, b"{\"prompt\": 1}"),
    ];
    let seeds = vec![
        exif_block(),
        exif_with_comment(INFOTEXT),
        tiff(order, &generator, &[(0x9286, 7, b"ASCII\0\0\0x".to_vec())], &[]),
    ];
    run(
        "exif",
        seeds,
        &[
            b"II*\0",
            b"MM\0*",
            b"Exif\0\0",
            b"UNICODE\0",
            b"ASCII\0\0\0",
            b"\x87\x69",
            b"\x92\x86",
        ],
        exif,
    );
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_xmp() {
    let structures = xmp_packet(
        "xmlns:c=\"https://github.com/Comfy-Org/ComfyUI\" c:prompt=\"{&quot;a&quot;: &#65;}\"",
        "<dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">a</rdf:li></rdf:Alt></dc:title><c:x rdf:parseType=\"Resource\">\
         <c:y>&amp;<![CDATA[<z>]]></c:y></c:x>",
    );
    let seeds = vec![packet(), structures.into_bytes(), image_resources()];
    let words = [
        &b"<rdf:li>"[..],
        b"</",
        b"/>",
        b"<![CDATA[",
        b"]]>",
        b"<!DOCTYPE x [<!ENTITY a \"b\">]>",
        b"&a;",
        b"&#x",
        b"xmlns:",
        b"8BIM",
        b"\x1c\x02",
    ];
    run("xmp", seeds, &words, xmp);
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_c2pa() {
    let claim = jumbf(
        "c2pa.claim",
        &[bmff_box(
            b"cbor",
            &cbor_map(&[("claim_generator", cbor_text("Tool/1"))]),
        )],
    );
    let json = jumbf(
        "c2pa.metadata",
        &[bmff_box(b"json", br#"{"Iptc4xmpExt:DigitalSourceType": "x"}"#)],
    );
    let packed = bmff_box(b"brob", &[b"jumb", &brotli(&claim)[..]].concat());
    let seeds = vec![c2pa_store(), claim, json, packed];
    run(
        "c2pa",
        seeds,
        &[
            b"jumb",
            b"jumd",
            b"cbor",
            b"json",
            b"brob",
            b"\x9f",
            b"\xbf",
            b"\xff",
            b"\x7f",
            b"digitalSourceType",
        ],
        c2pa,
    );
}

#[test]
#[ignore = "scripts/fuzz runs it"]
fn fuzz_stealth() {
    // One column: the bits of the text lie one behind the other in the channels of the layout.
    let hidden = |magic: &[u8; 15], channels: u8| {
        let text = [&magic[..], &64_u32.to_be_bytes(), b"hello, a"].concat();
        let bits = text
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
        let samples: Vec<u8> = if magic[8] == b'p' {
            bits.flat_map(|bit| [0, 0, 0, bit]).collect()
        } else {
            bits.collect()
        };
        let packed = samples
            .chunks(8)
            .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << at));
        let height = (samples.len() / usize::from(channels)) as u16;
        [
            &[channels, 0, 1],
            &height.to_be_bytes()[..],
            &packed.collect::<Vec<u8>>(),
        ]
        .concat()
    };
    let seeds = vec![
        hidden(b"stealth_pnginfo", 4),
        hidden(b"stealth_pngcomp", 4),
        hidden(b"stealth_rgbinfo", 3),
        hidden(b"stealth_rgbcomp", 3),
        br#"?????{"signed_hash": "AAAA", "a": [1.50, "\u00e9"]}"#.to_vec(),
    ];
    for seed in &seeds[..4] {
        assert!(!stealth(seed).is_empty(), "the seed hides something");
    }
    run(
        "stealth",
        seeds,
        &[b"signed_hash", b"\"", b"{", b"\\u", b"1e400"],
        stealth,
    );
}
