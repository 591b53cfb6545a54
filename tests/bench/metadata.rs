//! The limit of reading metadata: opens every file, reads the bytes that labelmill reads of it, no more, and closes it.
//!
//! `metadata-bench ROUNDS <LIST`: LIST has a path a line. Prints a JSON object: how many reads and bytes the files
//! take, and the seconds and processor seconds of each round. Started by `scripts/bench/metadata`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use labelmill::metadata::{self, ReadOptions};
use labelmill::record::ReadSeek;

/// A file that notes which of its bytes are read.
struct Noting {
    file: File,
    at: u64,
    /// Offset and length of each read that does not go on where the one before ended.
    reads: Vec<(u64, usize)>,
}

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        match self.reads.last_mut() {
            Some((start, length)) if *start + *length as u64 == self.at => *length += count,
            _ => self.reads.push((self.at, count)),
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Noting {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl ReadSeek for Noting {}

fn main() -> io::Result<()> {
    let rounds: usize = std::env::args()
        .nth(1)
        .and_then(|rounds| rounds.parse().ok())
        .expect("usage: metadata-bench ROUNDS <LIST");
    let files = io::stdin().lines().collect::<io::Result<Vec<String>>>()?;
    let reads = files
        .iter()
        .map(|file| reads_of(file))
        .collect::<io::Result<Vec<_>>>()?;
    let longest = reads.iter().flatten().map(|(_, length)| *length).max();
    let mut buffer = vec![0; longest.unwrap_or(0)];
    let (mut wall, mut processor) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (started, used) = (Instant::now(), processor_secs()?);
        for (file, reads) in files.iter().zip(&reads) {
            let file = File::open(file)?;
            for (offset, length) in reads {
                file.read_exact_at(&mut buffer[..*length], *offset)?;
            }
        }
        wall.push(started.elapsed().as_secs_f64());
        processor.push(processor_secs()? - used);
    }
    let bytes: usize = reads.iter().flatten().map(|(_, length)| length).sum();
    let count = reads.iter().map(Vec::len).sum::<usize>();
    println!(
        "{}",
        serde_json::json!({"files": files.len(), "reads": count, "bytes": bytes, "secs": wall, "processor_secs": processor})
    );
    Ok(())
}

fn reads_of(path: &str) -> io::Result<Vec<(u64, usize)>> {
    let mut noting = Noting {
        file: File::open(path)?,
        at: 0,
        reads: Vec::new(),
    };
    metadata::read(&mut noting, &ReadOptions::default());
    Ok(noting.reads)
}

/// What this thread, the only one, has used of a processor.
fn processor_secs() -> io::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = text.split(' ').next().and_then(|number| number.parse::<f64>().ok());
    Ok(nanoseconds.expect("the kernel writes three numbers") / 1e9)
}
