//! Every pixel format against Pillow, budgets, and that no damage to a file does worse than fail.

use std::io::Read;
use std::path::Path;

use super::*;

/// One line of `decode.txt`.
struct Golden {
    name: String,
    bytes: Vec<u8>,
    expected: Result<Picture, String>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/decode")
}

fn goldens() -> Vec<Golden> {
    let folder = folder();
    let mut pixels = Vec::new();
    let packed = std::fs::read(folder.join("decode.zlib")).unwrap();
    flate2::read::ZlibDecoder::new(&packed[..])
        .read_to_end(&mut pixels)
        .unwrap();
    let lines = std::fs::read_to_string(folder.join("decode.txt")).unwrap();
    lines
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<usize>().unwrap();
            let expected = if words[1] == "error" {
                Err(words[2].to_owned())
            } else {
                let (width, height, channels, begin) = (number(1), number(2), number(3), number(4));
                let data = pixels[begin..begin + width * height * channels].to_vec();
                Ok(Picture {
                    width: width as u32,
                    height: height as u32,
                    channels: channels as u8,
                    data,
                })
            };
            let bytes = std::fs::read(folder.join(words[0])).unwrap();
            Golden {
                name: words[0].to_owned(),
                bytes,
                expected,
            }
        })
        .collect()
}

/// The orientation in the name of a file (`orientation6.jpg`), else 1.
fn orientation_of(name: &str) -> u8 {
    name.strip_prefix("orientation")
        .map_or(1, |rest| rest.as_bytes()[0] - b'0')
}

/// Pixels with zero alpha have no colour that means anything; Pillow keeps what is stored, some
/// decoders write black.
fn without_invisible_colours(picture: &Picture) -> Vec<u8> {
    if picture.channels == 3 {
        return picture.data.clone();
    }
    picture
        .data
        .as_chunks::<4>()
        .0
        .iter()
        .flat_map(|pixel| if pixel[3] == 0 { [0; 4] } else { *pixel })
        .collect()
}

#[test]
fn every_pixel_format_equals_pillow() {
    let mut wrong = Vec::new();
    for golden in goldens() {
        let seen = decode(&golden.bytes, orientation_of(&golden.name), &DecodeOptions::default());
        match (seen, golden.expected) {
            (Err(failure), Err(kind)) if failure.kind.as_str() == kind => {}
            (Ok(seen), Ok(expected)) => {
                if (seen.width, seen.height, seen.channels) != (expected.width, expected.height, expected.channels) {
                    wrong.push(format!("{}: {seen:?}, expected {expected:?}", golden.name));
                    continue;
                }
                let (left, right) = (without_invisible_colours(&seen), without_invisible_colours(&expected));
                let differing = left.iter().zip(&right).filter(|(a, b)| a != b).count();
                let largest = left.iter().zip(&right).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
                // Pillow widens 5 and 6 bits by another rounding; JPEG inside TIFF goes through
                // another decoder than libjpeg.
                let allowed = if matches!(golden.name.as_str(), "rgb565.bmp" | "jpeg.tif") {
                    1
                } else {
                    0
                };
                if largest > allowed {
                    wrong.push(format!("{}: {differing} bytes differ, by up to {largest}", golden.name));
                }
            }
            (seen, expected) => wrong.push(format!("{}: {seen:?}, expected {expected:?}", golden.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_cannot_be_a_picture_says_why() {
    let kind = |bytes: &[u8]| decode(bytes, 1, &DecodeOptions::default()).unwrap_err().kind;
    assert_eq!(kind(b""), ErrorKind::Empty);
    assert_eq!(kind(b"this is a text"), ErrorKind::NotAnImage);
    assert_eq!(kind(b"\x89PNG\r\n\x1a\n"), ErrorKind::Truncated);
    assert_eq!(kind(b"\xff\xd8\xff"), ErrorKind::Truncated);
    assert_eq!(
        kind(b"\0\0\0\x1cftypavif\0\0\0\0mif1miaf"),
        ErrorKind::UnsupportedFormat
    );
    let failure = decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1", 1, &DecodeOptions::default()).unwrap_err();
    assert!(failure.message.contains("heif-convert"), "{}", failure.message);
}

/// Files whose headers claim 60,000 x 60,000 pixels (WebP: 16,383 squared, all it can).
fn huge_headers() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name: &str| std::fs::read(folder().join(name)).unwrap();
    let side = 60_000_u32;
    let mut png = read("rgb8.png");
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());

    let mut jpeg = read("ycc420.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == b"\xff\xc0").unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&(side as u16).to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&(side as u16).to_be_bytes());

    let mut gif = read("palette.gif");
    gif[6..8].copy_from_slice(&(side as u16).to_le_bytes());
    gif[8..10].copy_from_slice(&(side as u16).to_le_bytes());

    let mut bmp = read("rgb24.bmp");
    bmp[18..22].copy_from_slice(&side.to_le_bytes());
    bmp[22..26].copy_from_slice(&side.to_le_bytes());

    let mut tiff = read("raw.tif");
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let entries = u16::from_le_bytes(tiff[directory..directory + 2].try_into().unwrap());
    for at in (0..entries as usize).map(|entry| directory + 2 + entry * 12) {
        // Width, height and rows a strip; the value is rewritten as a LONG.
        if matches!(
            u16::from_le_bytes(tiff[at..at + 2].try_into().unwrap()),
            256 | 257 | 278
        ) {
            tiff[at + 2..at + 4].copy_from_slice(&4_u16.to_le_bytes());
            tiff[at + 8..at + 12].copy_from_slice(&side.to_le_bytes());
        }
    }

    let mut webp = read("animated.webp");
    webp[24..27].copy_from_slice(&(side - 1).to_le_bytes()[..3]);
    webp[27..30].copy_from_slice(&(side - 1).to_le_bytes()[..3]);
    vec![
        ("png", png),
        ("jpeg", jpeg),
        ("gif", gif),
        ("bmp", bmp),
        ("tiff", tiff),
        ("webp", webp),
    ]
}

#[test]
fn headers_that_claim_too_much_fail_before_any_allocation() {
    for (name, bytes) in huge_headers() {
        let failure = decode(&bytes, 1, &DecodeOptions::default()).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::TooLarge, "{name}: {failure}");
        for number in ["60000 x 60000", "3600000000", "250000000"] {
            assert!(failure.message.contains(number), "{name}: {failure}");
        }
    }
    let small = DecodeOptions {
        max_pixels: 24 * 16,
        max_side: 24,
        ..DecodeOptions::default()
    };
    for golden in goldens().iter().filter(|golden| golden.expected.is_ok()) {
        assert!(decode(&golden.bytes, 1, &small).is_ok(), "{}", golden.name);
        for less in [
            DecodeOptions {
                max_pixels: 24 * 16 - 1,
                ..small
            },
            DecodeOptions { max_side: 23, ..small },
            DecodeOptions {
                max_bytes: 100,
                ..small
            },
        ] {
            let kind = decode(&golden.bytes, 1, &less).unwrap_err().kind;
            assert_eq!(kind, ErrorKind::TooLarge, "{}", golden.name);
        }
    }
}

/// A file that lost its end is `truncated`, wherever it was cut. Formats whose pixels end before
/// their file does (PNG's and GIF's last chunk, later frames, bytes after the picture) give the
/// whole picture once its pixels are there; JPEG and still WebP files need every byte.
#[test]
fn a_prefix_of_a_file_is_truncated_or_the_whole_picture() {
    for golden in goldens() {
        let Ok(expected) = &golden.expected else { continue };
        let tolerant = !golden.name.ends_with(".jpg") && !golden.name.ends_with(".webp")
            || golden.name.starts_with("animated")
            || golden.name == "trailing-junk.jpg";
        for length in 0..golden.bytes.len() {
            let cut = format!("{} cut to {length} of {} bytes", golden.name, golden.bytes.len());
            match decode_guarded(
                &golden.bytes[..length],
                orientation_of(&golden.name),
                &DecodeOptions::default(),
            ) {
                Ok(picture) => {
                    assert!(tolerant, "{cut} decodes");
                    let same = without_invisible_colours(&picture) == without_invisible_colours(expected);
                    assert!(
                        same || golden.name == "rgb565.bmp" || golden.name == "jpeg.tif",
                        "{cut} gives another picture"
                    );
                }
                Err(failure) => {
                    let kinds: &[ErrorKind] = match length {
                        0 => &[ErrorKind::Empty],
                        1..32 => &[ErrorKind::Truncated, ErrorKind::NotAnImage],
                        _ => &[ErrorKind::Truncated],
                    };
                    assert!(kinds.contains(&failure.kind), "{cut}: {failure}");
                }
            }
        }
    }
}

/// A small generator of repeatable numbers (xorshift64*), enough to choose bytes to damage.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

#[test]
fn damaged_files_never_escape_the_guard() {
    let small = DecodeOptions {
        max_pixels: 1 << 22,
        max_bytes: 1 << 26,
        ..DecodeOptions::default()
    };
    let mut numbers = Numbers(0x1abe_1311);
    let mut panics = Vec::new();
    let rounds = 120;
    for golden in goldens() {
        for _ in 0..rounds {
            let mut bytes = golden.bytes.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                match numbers.below(4) {
                    0 => bytes[at] = numbers.below(256) as u8,
                    1 => bytes[at] ^= 1 << numbers.below(8),
                    2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
                    _ => bytes.truncate(at.max(1)),
                }
            }
            match decode_guarded(&bytes, 1 + numbers.below(8) as u8, &small) {
                Ok(picture) => {
                    let bytes = u64::from(picture.width) * u64::from(picture.height) * u64::from(picture.channels);
                    assert_eq!(picture.data.len() as u64, bytes, "{}", golden.name);
                    assert!(matches!(picture.channels, 3 | 4));
                }
                Err(failure) if failure.kind == ErrorKind::Panic => panics.push(format!("{}: {failure}", golden.name)),
                Err(_) => {}
            }
        }
    }
    // The guard is a second line: no decoder is known to panic on any of these.
    assert!(panics.is_empty(), "{panics:#?}");
}

#[test]
fn a_panic_is_a_failure_with_its_message() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let failure = guarded::<()>(|| panic!("row {} out of range", 7)).unwrap_err();
    std::panic::set_hook(hook);
    assert_eq!(failure.kind, ErrorKind::Panic);
    assert!(failure.message.contains("row 7 out of range"), "{failure}");
}

#[test]
fn fast_scaling_halves_only_while_the_short_side_stays_long_enough() {
    let bytes = std::fs::read(folder().join("ycc420.jpg")).unwrap();
    let with = |smallest_short_side| {
        let options = DecodeOptions {
            jpeg_scale: JpegScale::Fast { smallest_short_side },
            ..DecodeOptions::default()
        };
        let picture = decode(&bytes, 1, &options).unwrap();
        (picture.width, picture.height)
    };
    assert_eq!(
        [17, 16, 9, 8, 5, 4, 3, 2, 1].map(with),
        [
            (24, 16),
            (24, 16),
            (24, 16),
            (12, 8),
            (12, 8),
            (6, 4),
            (6, 4),
            (3, 2),
            (3, 2)
        ]
    );
}

#[test]
fn a_recycled_buffer_changes_nothing() {
    let goldens = goldens();
    let large = Picture {
        width: 500,
        height: 500,
        channels: 4,
        data: vec![0xAB; 1_000_000],
    };
    for golden in &goldens {
        recycle(large.clone());
        let first = decode(&golden.bytes, 1, &DecodeOptions::default());
        let second = decode(&golden.bytes, 1, &DecodeOptions::default());
        assert_eq!(first, second, "{}", golden.name);
        if let Ok(picture) = first {
            recycle(picture);
        }
    }
}

#[test]
fn top_rows_are_those_of_the_whole_picture() {
    let mut seen = [0, 0];
    for golden in goldens() {
        let whole = decode(&golden.bytes, 1, &DecodeOptions::default());
        for rows in [1, 3, 100_000] {
            let mut reader = std::io::Cursor::new(golden.bytes.clone());
            let Some(top) = top_rows(&mut reader, rows, u64::MAX, &DecodeOptions::default()) else {
                continue;
            };
            seen[usize::from(golden.name.ends_with("webp"))] += 1;
            let whole = whole
                .as_ref()
                .unwrap_or_else(|error| panic!("{}: {error}", golden.name));
            assert_eq!(
                (top.width, top.channels),
                (whole.width, whole.channels),
                "{}",
                golden.name
            );
            assert_eq!(top.height, rows.min(whole.height), "{}", golden.name);
            if golden.name.starts_with("lossy") {
                let alpha =
                    |picture: &Picture| -> Vec<u8> { picture.data.iter().skip(3).step_by(4).copied().collect() };
                assert!(
                    top.channels == 3 || alpha(whole).starts_with(&alpha(&top)),
                    "{}",
                    golden.name
                );
            } else {
                assert!(whole.data.starts_with(&top.data), "{}", golden.name);
            }
        }
    }
    assert!(seen[0] >= 30 && seen[1] >= 9, "{seen:?}");
}
