//! Formats by content, and how little of a file is read.

use std::io::{Cursor, Read, Seek, SeekFrom};

use super::testing::*;
use crate::metadata::{ReadOptions, read, sniff};
use crate::record::ReadSeek;

/// Counts the bytes that are read from it.
struct Counted {
    inner: Cursor<Vec<u8>>,
    bytes: usize,
    fails_after: usize,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.bytes >= self.fails_after {
            return Err(std::io::Error::other("the disk is gone"));
        }
        let count = self.inner.read(buffer)?;
        self.bytes += count;
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(to)
    }
}

impl ReadSeek for Counted {}

fn counted(file: Vec<u8>) -> Counted {
    Counted {
        inner: Cursor::new(file),
        bytes: 0,
        fails_after: usize::MAX,
    }
}

#[test]
fn pixels_are_stepped_over() {
    let pixels = vec![0x55_u8; 10 << 20];
    let text = text_chunk("parameters", b"behind the pixels");
    let files = [
        png(&[chunk(b"IDAT", &pixels)], &[text]),
        webp(&[
            vp8x(),
            riff_chunk(b"VP8 ", &pixels),
            riff_chunk(b"EXIF", &exif_with_comment("behind the pixels")),
        ]),
        [jpeg(&[segment(0xfe, b"before")]), pixels.clone()].concat(),
        avif(
            b"avif",
            &[(b"mime", "image/png", &pixels), (b"Exif", "", &exif_with_comment("x"))],
            2,
        ),
    ];
    for file in files {
        let mut reader = counted(file);
        let raw = read(&mut reader, &ReadOptions::default());
        assert_eq!(raw.entries.len(), 1, "{:?}", raw.facts.format);
        assert!(
            reader.bytes < 100 << 10,
            "{:?}: {} bytes",
            raw.facts.format,
            reader.bytes
        );
    }
}

#[test]
fn a_reader_that_fails_is_a_note() {
    let file = png(&[chunk(b"IDAT", &vec![0; 1 << 20])], &[text_chunk("parameters", b"x")]);
    let mut reader = Counted {
        fails_after: 64 << 10,
        ..counted(file)
    };
    let raw = read(&mut reader, &ReadOptions::default());
    assert!(
        raw.notes.iter().any(|note| note.contains("the disk is gone")),
        "{:?}",
        raw.notes
    );
    assert_eq!(raw.facts.width, Some(3));
}

#[test]
fn bmp_has_a_size() {
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x03\0\0\0".to_vec();
    file.extend((-2_i32).to_le_bytes());
    let facts = read_bytes(&file).facts;
    assert_eq!(
        (facts.format, facts.width, facts.height),
        (Some("bmp"), Some(3), Some(2))
    );
    let old = read_bytes(b"BM\0\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0\x03\0\x02\0\x01\0\x18\0").facts;
    assert_eq!((old.width, old.height), (Some(3), Some(2)));
    assert_eq!(read_bytes(b"BM\0\0\0\0\0\0\0\0").notes.len(), 1);
}

#[test]
fn formats_by_content() {
    for (head, format) in [
        (&b"\x89PNG\r\n\x1a\n"[..], Some("png")),
        (b"\xff\xd8\xff\xe0", Some("jpeg")),
        (b"RIFF\0\0\0\0WEBPVP8 ", Some("webp")),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"GIF87a", Some("gif")),
        (b"II*\0", Some("tiff")),
        (b"MM\0*", Some("tiff")),
        (b"\xff\x0a", Some("jxl")),
        (b"\0\0\0\x0cJXL \r\n\x87\n", Some("jxl")),
        (b"BM plain text", None),
        (b"", None),
    ] {
        assert_eq!(sniff(head), format);
    }
    assert_eq!(read_bytes(b"").facts.format, None);
}

#[test]
fn files_with_wrong_extensions_do_not_matter_and_every_prefix_is_survived() {
    let files = [
        png(&[text_chunk("parameters", b"x")], &[]),
        jpeg(&[segment(0xfe, b"x")]),
        gif(&[gif_comment(b"x")], &[]),
        jxl(&[]),
        avif(b"heic", &[(b"Exif", "", &exif_with_comment("x"))], 0),
    ];
    for file in files {
        for end in 0..file.len() {
            read_bytes(&file[..end]);
        }
    }
}
