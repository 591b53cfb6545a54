//! Files that are broken, lie or attack, through the real program: what could be read, a note, and
//! all of it in bounded time and memory.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::Value;

use crate::support::{arg, temporary_folder};

const INFOTEXT: &str = "a red fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5";

/// Private memory of the program, in KiB: the texts of two files at their limit, and what is made
/// of them.
const MAX_DATA_KIB: u64 = 600 << 10;

/// Time for all the files together. They take about a second; the machine may be busy.
const MAX_SECS: u64 = 60;

fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
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

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("written");
    encoder.finish().expect("finished")
}

/// A 3x2 PNG with chunks before its pixels.
fn png(chunks: &[Vec<u8>]) -> Vec<u8> {
    let head = chunk(b"IHDR", &[0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0]);
    let pixels = chunk(b"IDAT", &zlib(&[0; 20]));
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &head,
        &chunks.concat(),
        &pixels,
        &chunk(b"IEND", b""),
    ]
    .concat()
}

fn text(key: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"tEXt", &[key.as_bytes(), b"\0", text].concat())
}

fn packed_text(key: &str, text: &[u8]) -> Vec<u8> {
    chunk(b"zTXt", &[key.as_bytes(), b"\0\0", &zlib(text)].concat())
}

/// A JPEG (headers only) with segments before its frame.
fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let rest = [
        (0xc0, vec![8, 0, 2, 0, 3, 1, 1, 0x11, 0]),
        (0xda, vec![1, 1, 0, 0, 63, 0]),
    ];
    for (marker, body) in segments.iter().chain(&rest) {
        out.extend([&[0xff, *marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat());
    }
    out.extend([0x12, 0x34, 0xff, 0xd9]);
    out
}

/// An EXIF block whose `UserComment` is `value`.
fn exif(value: &[u8]) -> Vec<u8> {
    let number = |number: u32| number.to_be_bytes();
    let field = |tag: u16, kind: u16, count: u32, value: u32| {
        [
            &tag.to_be_bytes()[..],
            &kind.to_be_bytes(),
            &number(count),
            &number(value),
        ]
        .concat()
    };
    let main = [&[0, 1][..], &field(0x8769, 4, 1, 26), &number(0)].concat();
    let inner = [&[0, 1][..], &field(0x9286, 7, value.len() as u32, 44), &number(0)].concat();
    [b"Exif\0\0MM\0*", &number(8)[..], &main, &inner, value].concat()
}

/// A PNG of 64 x 200 pixels in whose alpha the magic word stands, a length, and `payload`.
fn hidden(length_bits: u32, payload: &[u8]) -> Vec<u8> {
    let bytes = [b"stealth_pnginfo", &length_bits.to_be_bytes()[..], payload].concat();
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let (width, height) = (64_usize, 200_usize);
    let mut pixels = vec![0xfe_u8; width * height * 4];
    for x in 0..width {
        for y in 0..height {
            pixels[(y * width + x) * 4 + 3] |= bits.next().unwrap_or(0);
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("finished");
    out
}

fn xmp(doctype: &str, label: &str) -> Vec<u8> {
    let packet = format!(
        "{doctype}<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmp:Rating=\"4\"><dc:title>{label}</dc:title>\
         </rdf:Description></rdf:RDF></x:xmpmeta>"
    );
    jpeg(&[(0xe1, [b"http://ns.adobe.com/xap/1.0/\0", packet.as_bytes()].concat())])
}

/// What must come of a file.
struct Expected {
    prompt: Option<&'static str>,
    /// Part of a note, or nothing where no note is due.
    note: &'static str,
}

/// Every malformed kind: name, bytes, what must come of it.
fn files() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let found = |note| Expected {
        prompt: Some("a red fox"),
        note,
    };
    let nothing = |note| Expected { prompt: None, note };
    let infotext = text("parameters", INFOTEXT.as_bytes());
    let whole = png(std::slice::from_ref(&infotext));
    let mut wrong_checksum = infotext.clone();
    *wrong_checksum.last_mut().expect("a checksum") ^= 1;
    let mut lying = infotext.clone();
    lying[..4].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    let long = [INFOTEXT.as_bytes(), b", Note: \"", &vec![b'a'; 100 << 20], b"\""].concat();
    let deep = format!("{}1{}", "{\"a\":[".repeat(5_000), "]}".repeat(5_000));
    let cycle = r#"{"1": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["2", 0], "latent_image": ["1", 0]}},
        "2": {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": ["2", 0], "conditioning_2": ["3", 0]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": ["4", 0], "clip": ["3", 0]}},
        "4": {"class_type": "StringConcatenate", "inputs": {"string_a": "a red fox", "string_b": ["4", 0], "delimiter": ""}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}"#;
    let twice = r#"{"sui_image_params": {"prompt": "no", "seed": 1, "prompt": "a red fox"}}"#;
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
    let lone_surrogate = [
        b"UNICODE\0",
        &utf16("a red fox")[..],
        &[0xd8, 0],
        &utf16(&INFOTEXT[9..]),
    ]
    .concat();
    let odd = [b"UNICODE\0", &utf16(INFOTEXT)[..], &[0]].concat();
    let bomb: String = (1..30)
        .map(|at| format!("<!ENTITY a{at} \"&a{};&a{};\">", at - 1, at - 1))
        .collect();
    let bomb = format!("<!DOCTYPE x [<!ENTITY a0 \"ha\">{bomb}]>");
    vec![
        ("whole.png", whole.clone(), found("")),
        ("truncated_chunk.png", whole[..whole.len() - 60].to_vec(), found("")),
        ("truncated_text.png", whole[..80].to_vec(), found("truncated")),
        ("wrong_checksum.png", png(&[wrong_checksum]), found("wrong checksum")),
        ("lying_length.png", png(&[lying]), found("truncated")),
        (
            "chunk_of_100_mb.png",
            png(&[text("parameters", &long)]),
            found("cut from"),
        ),
        (
            "bomb.png",
            png(&[infotext.clone(), packed_text("workflow", &vec![0x20; 100 << 20])]),
            found(""),
        ),
        (
            "bombs.png",
            png(&[
                &[infotext.clone()][..],
                &vec![packed_text("Comment", &vec![b'x'; 40 << 20]); 4],
            ]
            .concat()),
            found("over the limit"),
        ),
        (
            "deep.png",
            png(&[infotext.clone(), text("prompt", deep.as_bytes())]),
            found(""),
        ),
        (
            "deep_alone.png",
            png(&[text("prompt", deep.as_bytes())]),
            nothing("deeper"),
        ),
        ("cycle.png", png(&[text("prompt", cycle.as_bytes())]), found("circle")),
        (
            "invalid_utf8.png",
            png(&[text(
                "parameters",
                &[INFOTEXT.as_bytes(), b", Note: \xff\xfe\x80"].concat(),
            )]),
            found(""),
        ),
        (
            "invalid_utf16.jpg",
            jpeg(&[(0xe1, exif(&lone_surrogate))]),
            Expected {
                prompt: Some("a red fox\u{fffd}"),
                note: "UTF-16",
            },
        ),
        ("odd_utf16.jpg", jpeg(&[(0xe1, exif(&odd))]), found("")),
        (
            "key_twice.png",
            png(&[text("parameters", b"{\"broken"), infotext.clone()]),
            found(""),
        ),
        (
            "json_key_twice.png",
            png(&[text("parameters", twice.as_bytes())]),
            found("duplicate JSON keys"),
        ),
        (
            "half_a_stealth_header.png",
            hidden(u32::MAX, b""),
            nothing("bytes are there"),
        ),
        (
            "short_stealth.png",
            hidden(8 * 4000, INFOTEXT.as_bytes()),
            Expected {
                prompt: Some("a red fox"),
                note: "bytes are there",
            },
        ),
        ("entity_bomb.jpg", xmp(&bomb, "&a29;"), nothing("document type")),
        ("empty_text.png", png(&[text("parameters", b"")]), nothing("")),
    ]
}

/// Starts `labelmill inspect --json FOLDER` under a limit of memory; gives its lines by file name.
fn inspect(folder: &Path) -> BTreeMap<String, Value> {
    let script = format!("ulimit -d {MAX_DATA_KIB} && exec \"$0\" inspect --json \"$1\"");
    let mut child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_labelmill"), arg(folder)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdout = child.stdout.take().expect("piped");
    let reading = std::thread::spawn(move || std::io::read_to_string(&mut stdout).expect("UTF-8"));
    let started = Instant::now();
    while child.try_wait().expect("waited for").is_none() {
        if started.elapsed() > Duration::from_secs(MAX_SECS) {
            child.kill().expect("killed");
            panic!("not done after {MAX_SECS} s");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("ended");
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = reading.join().expect("read");
    let line = |line: &str| -> (String, Value) {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let uri = value["uri"].as_str().expect("a uri");
        (uri.rsplit('/').next().expect("a name").to_owned(), value)
    };
    text.lines().map(line).collect()
}

#[test]
fn malformed_files_give_what_can_be_read_in_bounded_time_and_memory() {
    let dir = temporary_folder();
    let files = files();
    for (name, bytes, _) in &files {
        std::fs::write(dir.path().join(name), bytes).expect("written");
    }
    let lines = inspect(dir.path());
    assert_eq!(lines.len(), files.len());
    let mut wrong = Vec::new();
    for (name, _, expected) in &files {
        let line = &lines[*name];
        let notes: Vec<&str> = line["notes"]
            .as_array()
            .expect("notes")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let is_noted = notes.iter().any(|note| note.contains(expected.note)) || expected.note.is_empty();
        if line["prompt"].as_str() != expected.prompt || !is_noted {
            wrong.push(format!("{name}: prompt {} notes {notes:?}", line["prompt"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
