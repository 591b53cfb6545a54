//! Which format some bytes are, decided by content alone, and what to say about those that are
//! no image or that this build cannot decode.

use crate::record::{ErrorKind, Failure};

/// How many bytes from the start of a file are enough for [`sniff`].
pub const HEAD_BYTES: usize = 512;

/// A format that [`sniff`] knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// Portable Network Graphics, animated ones included.
    Png,
    /// JPEG, multi-picture files (MPO) included.
    Jpeg,
    /// WebP, lossy, lossless or animated.
    WebP,
    /// Graphics Interchange Format.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// Tagged Image File Format, `BigTIFF` included.
    Tiff,
    /// AV1 Image File Format.
    Avif,
    /// High Efficiency Image File Format with HEVC or another codec.
    Heic,
    /// JPEG XL.
    Jxl,
    /// JPEG 2000, with or without a container.
    Jp2,
    /// Windows icon or cursor.
    Ico,
    /// Adobe Photoshop.
    Psd,
    /// Scalable Vector Graphics.
    Svg,
    /// Quite OK Image.
    Qoi,
    /// `OpenEXR`.
    Exr,
    /// Radiance HDR.
    Hdr,
    /// Netpbm: PBM, PGM, PPM, PAM, PFM.
    Pnm,
    /// `DirectDraw` Surface.
    Dds,
    /// GIMP.
    Xcf,
    /// Multiple-image Network Graphics and its JPEG relative.
    Mng,
    /// Apple icon image.
    Icns,
    /// `DjVu`.
    DjVu,
    /// A camera's raw file, by the marks that tell it from TIFF.
    CameraRaw,
}

impl ImageFormat {
    /// The name written to Parquet and used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Avif => "avif",
            Self::Heic => "heic",
            Self::Jxl => "jxl",
            Self::Jp2 => "jp2",
            Self::Ico => "ico",
            Self::Psd => "psd",
            Self::Svg => "svg",
            Self::Qoi => "qoi",
            Self::Exr => "exr",
            Self::Hdr => "hdr",
            Self::Pnm => "pnm",
            Self::Dds => "dds",
            Self::Xcf => "xcf",
            Self::Mng => "mng",
            Self::Icns => "icns",
            Self::DjVu => "djvu",
            Self::CameraRaw => "raw",
        }
    }
}

/// The format of a file by its first bytes ([`HEAD_BYTES`] are enough); none where it is no image.
pub fn sniff(head: &[u8]) -> Option<ImageFormat> {
    use ImageFormat as F;
    const MAGIC: &[(&[u8], ImageFormat)] = &[
        (b"\x89PNG\r\n\x1a\n", F::Png),
        (b"\xff\xd8\xff", F::Jpeg),
        (b"GIF87a", F::Gif),
        (b"GIF89a", F::Gif),
        (b"\xff\x0a", F::Jxl),
        (b"\0\0\0\x0cJXL \r\n\x87\n", F::Jxl),
        (b"\0\0\0\x0cjP  \r\n\x87\n", F::Jp2),
        (b"\xff\x4f\xff\x51", F::Jp2),
        (b"8BPS\0", F::Psd),
        (b"qoif", F::Qoi),
        (b"\x76\x2f\x31\x01", F::Exr),
        (b"#?RADIANCE", F::Hdr),
        (b"#?RGBE", F::Hdr),
        (b"DDS |", F::Dds),
        (b"gimp xcf ", F::Xcf),
        (b"\x8aMNG\r\n\x1a\n", F::Mng),
        (b"\x8bJNG\r\n\x1a\n", F::Mng),
        (b"icns", F::Icns),
        (b"AT&TFORM", F::DjVu),
        (b"FUJIFILMCCD-RAW", F::CameraRaw),
        (b"FOVb", F::CameraRaw),
        (b"IIRO", F::CameraRaw),
        (b"IIU\0", F::CameraRaw),
    ];
    if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(*format);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Some(F::WebP);
    }
    sniff_tiff(head)
        .or_else(|| sniff_iso_media(head))
        .or_else(|| is_bmp(head).then_some(F::Bmp))
        .or_else(|| is_ico(head).then_some(F::Ico))
        .or_else(|| is_pnm(head).then_some(F::Pnm))
        .or_else(|| is_svg(head).then_some(F::Svg))
}

/// TIFF and BigTIFF in both byte orders; Canon's raw files carry `CR` after the header.
fn sniff_tiff(head: &[u8]) -> Option<ImageFormat> {
    let mark = head.get(..4)?;
    if ![b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]
        .iter()
        .any(|known| mark == *known)
    {
        return None;
    }
    Some(if head.get(8..10) == Some(b"CR") {
        ImageFormat::CameraRaw
    } else {
        ImageFormat::Tiff
    })
}

/// AVIF, HEIC and Canon CR3 by the brands of their `ftyp` box; videos are none of them.
fn sniff_iso_media(head: &[u8]) -> Option<ImageFormat> {
    if head.get(4..8)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(head.get(..4)?.try_into().ok()?) as usize;
    let brands = head.get(8..length.clamp(8, head.len()))?;
    // The major brand comes first, then a version, then the compatible brands.
    let mut of_brand = brands
        .chunks_exact(4)
        .enumerate()
        .filter(|(index, _)| *index != 1)
        .filter_map(|(_, brand)| match brand {
            b"avif" | b"avis" => Some(ImageFormat::Avif),
            b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => Some(ImageFormat::Heic),
            b"crx " => Some(ImageFormat::CameraRaw),
            _ => None,
        });
    let first = of_brand.next()?;
    // `mif1` may come before `avif`.
    if first == ImageFormat::Heic && of_brand.any(|format| format == ImageFormat::Avif) {
        return Some(ImageFormat::Avif);
    }
    Some(first)
}

/// `BM` alone begins many a text, so the size of the second header is asked too.
fn is_bmp(head: &[u8]) -> bool {
    const HEADER_SIZES: [u32; 8] = [12, 16, 40, 52, 56, 64, 108, 124];
    if !head.starts_with(b"BM") {
        return false;
    }
    match head.get(14..18) {
        Some(size) => HEADER_SIZES.contains(&u32::from_le_bytes([size[0], size[1], size[2], size[3]])),
        None => !head.is_ascii() || head.contains(&0),
    }
}

/// Reserved 0, type 1 or 2, a count above 0, and a first entry whose reserved byte is 0.
fn is_ico(head: &[u8]) -> bool {
    matches!(head.get(..10), Some([0, 0, 1 | 2, 0, low, high, _, _, _, 0]) if *low != 0 || *high != 0)
}

/// `P1` .. `P7`, `PF` or `Pf`, then white space.
fn is_pnm(head: &[u8]) -> bool {
    matches!(
        head.get(..3),
        Some([b'P', b'1'..=b'7' | b'F' | b'f', b' ' | b'\n' | b'\r' | b'\t'])
    )
}

/// An `<svg` element near the start of something that begins like markup.
fn is_svg(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    text.starts_with(b"<")
        && text[..text.len().min(HEAD_BYTES)]
            .windows(4)
            .any(|window| window == b"<svg")
}

/// The failure for bytes that [`sniff`] does not know, with a guess at what they are.
pub(super) fn not_an_image(bytes: &[u8]) -> Failure {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let lower: Vec<u8> = text.iter().take(64).map(u8::to_ascii_lowercase).collect();
    let guess = if head.starts_with(b"version https://git-lfs") {
        "it is a git lfs pointer: fetch the real file with `git lfs pull`"
    } else if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
        "it is an html page, as a failed download leaves it"
    } else if head.starts_with(b"%PDF") {
        "it is a pdf document"
    } else if head.starts_with(b"PK\x03\x04") {
        "it is a zip archive or an office document"
    } else if head.get(4..8) == Some(b"ftyp") || head.starts_with(b"\x1aE\xdf\xa3") {
        "it is a video"
    } else if head.iter().all(|byte| *byte == 0) {
        "it begins with nothing but zero bytes, as an interrupted copy leaves it"
    } else if is_text(head) {
        "it is text"
    } else {
        "its first bytes are those of no known image format"
    };
    Failure::new(ErrorKind::NotAnImage, format!("the content is no image: {guess}"))
}

/// UTF-8 (possibly cut inside a character) without control characters.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).expect("valid up to there, as the error says")
        }
        Err(_) => return false,
    };
    !valid.is_empty()
        && !valid
            .chars()
            .any(|letter| letter.is_control() && !letter.is_whitespace())
}

/// The failure for an image that this build cannot decode, with a way to convert it.
pub(super) fn unsupported(format: ImageFormat) -> Failure {
    let way = match format {
        ImageFormat::Avif => "`avifdec in.avif out.png` (libavif)",
        ImageFormat::Heic => "`heif-convert in.heic out.jpg` (libheif)",
        ImageFormat::Jxl => "`djxl in.jxl out.png` (libjxl)",
        ImageFormat::Jp2 => "`opj_decompress -i in.jp2 -o out.png` (openjpeg)",
        ImageFormat::Svg => "`rsvg-convert in.svg -o out.png` (librsvg)",
        ImageFormat::CameraRaw => "the camera's or any raw converter, to jpeg",
        ImageFormat::Xcf => "gimp's export",
        _ => "`magick in out.png` (imagemagick)",
    };
    let name = format.as_str();
    Failure::new(
        ErrorKind::UnsupportedFormat,
        format!(
            "{name} pictures are recognised but not decoded by this build; convert it first, for instance with {way}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_content() {
        let cases: &[(&[u8], Option<ImageFormat>)] = &[
            (b"\x89PNG\r\n\x1a\n", Some(ImageFormat::Png)),
            (b"\xff\xd8\xff\xe0", Some(ImageFormat::Jpeg)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some(ImageFormat::WebP)),
            (b"RIFF\0\0\0\0WAVEfmt ", None),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1miaf", Some(ImageFormat::Avif)),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", Some(ImageFormat::Avif)),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1", Some(ImageFormat::Heic)),
            (b"\0\0\0\x18ftypisom\0\0\0\0mp41", None),
            (b"\0\0\0\x0cJXL \r\n\x87\n", Some(ImageFormat::Jxl)),
            (b"II*\0\x08\0\0\0\x01\0", Some(ImageFormat::Tiff)),
            (b"II*\0\x10\0\0\0CR\x02\0", Some(ImageFormat::CameraRaw)),
            (b"BM is how this text begins, no bitmap", None),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0", Some(ImageFormat::Ico)),
            (b"<?xml version='1.0'?>\n<svg xmlns='", Some(ImageFormat::Svg)),
            (b"<html><body>", None),
            (b"P6\n2 2\n255\n", Some(ImageFormat::Pnm)),
            (b"", None),
        ];
        for (bytes, format) in cases {
            assert_eq!(sniff(bytes), *format, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_no_image_is_named() {
        for (bytes, words) in [
            (&b"a text file named .png"[..], "it is text"),
            ("gr\u{fc}n".as_bytes(), "it is text"),
            (b"<!DOCTYPE HTML><html>", "html page"),
            (b"%PDF-1.7", "pdf"),
            (&[0; 100], "zero bytes"),
            (b"\x01\x02\x03\xfe", "no known image format"),
        ] {
            let failure = not_an_image(bytes);
            assert_eq!(failure.kind, ErrorKind::NotAnImage);
            assert!(failure.message.contains(words), "{}", failure.message);
        }
    }
}
