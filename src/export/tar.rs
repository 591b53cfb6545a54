//! Tar archives (ustar) as far as shards of samples need them: regular files with short names.
//! Owner, mode and time are fixed, so that equal samples give equal bytes.

use std::io::{self, Write};

const BLOCK: usize = 512;
/// Longest name of a member here.
const MAX_NAME: usize = 100;

/// Writes members one after the other.
pub struct TarWriter<W: Write> {
    out: W,
}

impl<W: Write> TarWriter<W> {
    /// A new archive.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds a member.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(&header(name, bytes.len() as u64)?)?;
        self.out.write_all(bytes)?;
        let rest = bytes.len() % BLOCK;
        if rest > 0 {
            self.out.write_all(&vec![0; BLOCK - rest])?;
        }
        Ok(())
    }

    /// Writes the end of the archive and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Bytes of a member in an archive.
pub fn member_bytes(len: usize) -> u64 {
    (BLOCK + len.div_ceil(BLOCK) * BLOCK) as u64
}

fn header(name: &str, size: u64) -> io::Result<[u8; BLOCK]> {
    if name.len() > MAX_NAME || size >= 8 << 30 {
        return Err(io::Error::other(format!(
            "{name}: too long a name or too large a file for a tar archive"
        )));
    }
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_fill_whole_blocks_and_the_sum_holds() {
        let mut bytes = Vec::new();
        let mut tar = TarWriter::new(&mut bytes);
        tar.add("a.txt", b"hello").unwrap();
        tar.add("b.txt", &[7; 512]).unwrap();
        tar.finish().unwrap();
        assert_eq!(bytes.len() as u64, member_bytes(5) + member_bytes(512) + 1024);
        assert_eq!(&bytes[512..517], b"hello");
        let sum = u32::from_str_radix(std::str::from_utf8(&bytes[148..154]).unwrap(), 8).unwrap();
        let spaces = 8 * u32::from(b' ');
        let counted: u32 = bytes[..148]
            .iter()
            .chain(&bytes[156..512])
            .map(|byte| u32::from(*byte))
            .sum();
        assert_eq!(sum, counted + spaces);
        assert!(TarWriter::new(Vec::new()).add(&"x".repeat(101), b"").is_err());
    }
}
