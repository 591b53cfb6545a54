//! Decompression with a limit, that gives what could be had from broken or cut streams.
//! Checksums of the streams are not checked: a text with one wrong byte is still a text.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

/// Bytes handed to the inflater at a time. When a stream breaks, the output of the piece in which
/// it broke is lost, so pieces are small.
const PIECE_BYTES: usize = 256;

/// How a compressed stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The stream is whole.
    Complete,
    /// The input ended before the stream did.
    Truncated,
    /// The limit was reached.
    OverLimit,
    /// The stream is not valid from some point on.
    Broken,
}

impl Ending {
    /// What a note says of it; nothing when all is well.
    pub fn complaint(self) -> Option<&'static str> {
        match self {
            Self::Complete => None,
            Self::Truncated => Some("the compressed data ends early"),
            Self::OverLimit => Some("the decompressed text is over the limit and was cut"),
            Self::Broken => Some("the compressed data is damaged"),
        }
    }
}

/// What came out, and how it ended.
#[derive(Debug)]
pub(super) struct Inflated {
    /// The decompressed bytes, never more than the limit.
    pub bytes: Vec<u8>,
    /// How the stream ended.
    pub ending: Ending,
}

/// Inflates a zlib stream (RFC 1950), or a raw deflate stream where the header is missing.
pub(super) fn zlib(input: &[u8], limit: usize) -> Inflated {
    let has_header =
        input.len() >= 2 && input[0] & 0x0f == 8 && u16::from_be_bytes([input[0], input[1]]).is_multiple_of(31);
    deflate(if has_header { &input[2..] } else { input }, limit)
}

/// Inflates a gzip member (RFC 1952).
pub(super) fn gzip(input: &[u8], limit: usize) -> Inflated {
    match gzip_body(input) {
        Some(body) => deflate(body, limit),
        None => Inflated {
            bytes: Vec::new(),
            ending: Ending::Broken,
        },
    }
}

/// Decompresses a brotli stream (RFC 7932).
pub(super) fn brotli(input: &[u8], limit: usize) -> Inflated {
    let mut decoder = brotli_decompressor::Decompressor::new(input, 4096);
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    let ending = loop {
        match decoder.read(&mut buffer) {
            Ok(0) => break Ending::Complete,
            Ok(count) => {
                let room = limit - bytes.len();
                bytes.extend_from_slice(&buffer[..count.min(room)]);
                if count > room {
                    break Ending::OverLimit;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break Ending::Truncated,
            Err(_) => break Ending::Broken,
        }
    };
    Inflated { bytes, ending }
}

fn deflate(input: &[u8], limit: usize) -> Inflated {
    let mut decompress = Decompress::new(false);
    let mut bytes = Vec::new();
    let mut rest = input;
    loop {
        if bytes.len() == bytes.capacity() {
            if bytes.len() > limit {
                bytes.truncate(limit);
                return Inflated {
                    bytes,
                    ending: Ending::OverLimit,
                };
            }
            // Doubling, but never more than one byte over the limit: that byte tells "over".
            bytes.reserve_exact(bytes.len().clamp(1024, 1 << 20).min(limit + 1 - bytes.len()));
        }
        let before = (decompress.total_in(), decompress.total_out());
        let piece = &rest[..rest.len().min(PIECE_BYTES)];
        let status = decompress.decompress_vec(piece, &mut bytes, FlushDecompress::None);
        rest = &rest[(decompress.total_in() - before.0) as usize..];
        let is_stuck = before == (decompress.total_in(), decompress.total_out());
        let ending = match status {
            Ok(Status::StreamEnd) => Ending::Complete,
            Ok(_) if rest.is_empty() && bytes.len() < bytes.capacity() => Ending::Truncated,
            Ok(_) if is_stuck && bytes.len() < bytes.capacity() => Ending::Broken,
            Ok(_) => continue,
            Err(_) => Ending::Broken,
        };
        let ending = if bytes.len() > limit { Ending::OverLimit } else { ending };
        bytes.truncate(limit);
        return Inflated { bytes, ending };
    }
}

/// The deflate stream behind a gzip header.
fn gzip_body(input: &[u8]) -> Option<&[u8]> {
    const HAS_CRC: u8 = 2;
    const HAS_EXTRA: u8 = 4;
    const HAS_NAME: u8 = 8;
    const HAS_COMMENT: u8 = 16;
    let [0x1f, 0x8b, 8, flags, ..] = *input else {
        return None;
    };
    let mut rest = input.get(10..)?;
    if flags & HAS_EXTRA != 0 {
        let length = u16::from_le_bytes([*rest.first()?, *rest.get(1)?]);
        rest = rest.get(2 + usize::from(length)..)?;
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&b| b == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HAS_CRC != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zlib_of(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn whole_streams_come_out_whole() {
        for length in [0, 1, 1023, 1024, 1025, 100_000] {
            let data: Vec<u8> = (0..length).map(|i: u32| (i.wrapping_mul(i) % 251) as u8).collect();
            let out = zlib(&zlib_of(&data), 1 << 20);
            assert_eq!((out.bytes == data, out.ending), (true, Ending::Complete), "{length}");
            let mut encoder = flate2::GzBuilder::new()
                .filename("name")
                .comment("comment")
                .extra([1, 2, 3])
                .write(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&data).unwrap();
            let out = gzip(&encoder.finish().unwrap(), 1 << 20);
            assert_eq!((out.bytes == data, out.ending), (true, Ending::Complete), "{length}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = zlib_of(&vec![b'a'; 50 << 20]);
        for limit in [0, 1, 1000, 1 << 20] {
            let out = zlib(&bomb, limit);
            assert_eq!((out.bytes.len(), out.ending), (limit, Ending::OverLimit));
            assert!(out.bytes.capacity() <= limit + 1025);
        }
        let exact = zlib(&zlib_of(&vec![b'a'; 5000]), 5000);
        assert_eq!((exact.bytes.len(), exact.ending), (5000, Ending::Complete));
    }

    #[test]
    fn a_cut_or_damaged_stream_gives_its_beginning() {
        let data: Vec<u8> = (0..20_000_u32)
            .flat_map(|i| (i * 7919).to_string().into_bytes())
            .collect();
        let mut packed = zlib_of(&data);
        let cut = zlib(&packed[..packed.len() / 2], 1 << 20);
        assert_eq!(cut.ending, Ending::Truncated);
        assert!(cut.bytes.len() > data.len() / 3 && data.starts_with(&cut.bytes));
        let middle = packed.len() / 2;
        packed[middle..middle + 64].fill(0xff);
        let damaged = zlib(&packed, 1 << 20);
        assert_ne!(damaged.ending, Ending::OverLimit);
        assert!(damaged.bytes.len() > data.len() / 3);
        assert_eq!(zlib(&[], 10).ending, Ending::Truncated);
        assert_eq!(gzip(b"no gzip", 10).ending, Ending::Broken);
    }

    #[test]
    fn brotli_is_bounded_too() {
        // A brotli stream made of uncompressed and empty meta-blocks: "hello".
        let stream = [0x0b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', 0x03];
        assert_eq!(brotli(&stream, 100).bytes, b"hello");
        let cut = brotli(&stream, 3);
        assert_eq!((cut.bytes.as_slice(), cut.ending), (&b"hel"[..], Ending::OverLimit));
        assert!(brotli(&stream[..4], 100).ending != Ending::Complete);
        assert_eq!(brotli(&[0xff; 40], 100).ending, Ending::Broken);
    }
}
