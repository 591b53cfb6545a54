//! The file of a table's embeddings, in clip-interrogator's own layout: safetensors with `embeds`
//! (16-bit floats, a unit vector a term) and `hash` (the table's hash in ASCII). Its public caches
//! load here, ours load there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use half::f16;
use serde_json::{Map, Value, json};

/// What a cache must be of to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheKey {
    /// [`super::tables::TermTable::hash`].
    pub table_hash: String,
    /// How many terms.
    pub terms: usize,
    /// Values an embedding.
    pub width: usize,
    /// What says which text tower made it; public caches do not say.
    pub tower: String,
}

/// A cache that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Cached {
    /// A unit vector a term.
    pub rows: Vec<f16>,
    /// Whether the file names the text tower that made it. A public cache does not, so its rows
    /// are to be compared with some of the model's own.
    pub names_tower: bool,
}

/// Largest header that is read, in bytes; ours and the public ones have some 200.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// How far the length of a stored row may be from 1: 16-bit rounding over some thousand values.
const LENGTH_TOLERANCE: f32 = 0.02;

/// The name of a table's cache: the model as clip-interrogator writes it, `/` and `@` replaced.
pub fn file_name(model: &str, table: &str) -> String {
    let plain = |name: &str| name.replace(['/', '@', '\\'], "_");
    format!("{}_{}.safetensors", plain(model), plain(table))
}

/// The rows of a cache; none where there is no file, where it is of another table or tower, or
/// where it is damaged. Never more is read than the key lets expect.
pub fn read(path: &Path, key: &CacheKey) -> Option<Cached> {
    match try_read(path, key) {
        Ok(cached) => Some(cached),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!("{} is not used: {error}", path.display());
            None
        }
    }
}

fn try_read(path: &Path, key: &CacheKey) -> io::Result<Cached> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let header = read_header(&mut file, size)?;
    let (rows_at, row_bytes) = tensor(&header, "embeds", "F16", &[key.terms, key.width])?;
    let (hash_at, hash_bytes) = tensor(&header, "hash", "I8", &[64])?;
    let data = size - 8 - header.bytes;
    if rows_at + row_bytes > data || hash_at + hash_bytes > data {
        return Err(wrong("it is shorter than its header says"));
    }
    let mut bytes = vec![0; data as usize];
    file.read_exact(&mut bytes)?;
    let part = |at: u64, length: u64| &bytes[at as usize..(at + length) as usize];
    if part(hash_at, hash_bytes) != key.table_hash.as_bytes() {
        return Err(wrong("it was made for another list of terms"));
    }
    let tower = header.json.get("__metadata__").and_then(|made| made.get("text_tower"));
    if tower.is_some_and(|tower| tower.as_str() != Some(&key.tower)) {
        return Err(wrong("it was made by another text tower"));
    }
    let rows = halves(part(rows_at, row_bytes));
    ensure_unit_rows(&rows, key.width)?;
    Ok(Cached {
        rows,
        names_tower: tower.is_some(),
    })
}

struct Header {
    json: Map<String, Value>,
    /// Its length, without the eight bytes that say it.
    bytes: u64,
}

fn read_header(file: &mut File, size: u64) -> io::Result<Header> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let bytes = u64::from_le_bytes(length);
    if bytes > MAX_HEADER_BYTES || bytes + 8 > size {
        return Err(wrong("its header is damaged"));
    }
    let mut text = vec![0; bytes as usize];
    file.read_exact(&mut text)?;
    match serde_json::from_slice(&text) {
        Ok(Value::Object(json)) => Ok(Header { json, bytes }),
        _ => Err(wrong("its header is damaged")),
    }
}

/// Offset and length of a tensor behind the header, checked against its type and shape.
fn tensor(header: &Header, name: &str, kind: &str, shape: &[usize]) -> io::Result<(u64, u64)> {
    let found = header.json.get(name).ok_or_else(|| wrong("a tensor is missing"))?;
    if found["dtype"] != kind || found["shape"] != json!(shape) {
        let message = format!(
            "its `{name}` is {} {}, not {kind} {shape:?}",
            found["dtype"], found["shape"]
        );
        return Err(wrong(&message));
    }
    let offsets = (found["data_offsets"][0].as_u64(), found["data_offsets"][1].as_u64());
    let size = if kind == "F16" { 2 } else { 1 } * shape.iter().product::<usize>() as u64;
    match offsets {
        (Some(start), Some(end)) if end.checked_sub(start) == Some(size) => Ok((start, size)),
        _ => Err(wrong("its offsets are damaged")),
    }
}

fn ensure_unit_rows(rows: &[f16], width: usize) -> io::Result<()> {
    let is_unit = |row: &[f16]| {
        let length: f32 = row.iter().map(|value| value.to_f32().powi(2)).sum();
        // Not a number is in no range.
        (1.0 - LENGTH_TOLERANCE..1.0 + LENGTH_TOLERANCE).contains(&length)
    };
    if rows.chunks_exact(width.max(1)).all(is_unit) {
        Ok(())
    } else {
        Err(wrong("some of its rows are no unit vectors"))
    }
}

fn halves(bytes: &[u8]) -> Vec<f16> {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|pair| f16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// The bytes of 16-bit floats as files hold them.
pub fn half_bytes(rows: &[f16]) -> Vec<u8> {
    rows.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes a cache under a temporary name and moves it into place once it is whole on disk.
pub fn write(path: &Path, key: &CacheKey, rows: &[f16]) -> io::Result<()> {
    let row_bytes = rows.len() * 2;
    let header = json!({
        "__metadata__": { "made_by": "labelmill", "text_tower": key.tower },
        "embeds": { "dtype": "F16", "shape": [key.terms, key.width], "data_offsets": [0, row_bytes] },
        "hash": { "dtype": "I8", "shape": [64], "data_offsets": [row_bytes, row_bytes + 64] },
    });
    let mut header = header.to_string();
    // Readers map the file: the data begins at a multiple of eight.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let temporary = temporary_beside(path);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(&half_bytes(rows))?;
        file.write_all(key.table_hash.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.inspect_err(|_| {
        // What is left of it would only take room.
        let _ = std::fs::remove_file(&temporary);
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

fn wrong(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CacheKey {
        CacheKey {
            table_hash: "0123456789abcdef".repeat(4),
            terms: 3,
            width: 4,
            tower: "tower".to_owned(),
        }
    }

    fn rows() -> Vec<f16> {
        let unit = |at: usize| (0..4).map(move |index| f16::from_f32(if index == at { 1.0 } else { 0.0 }));
        [0, 1, 2].into_iter().flat_map(unit).collect()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_remains() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file_name("ViT-L-14/openai@x", "artists"));
        assert!(path.ends_with("ViT-L-14_openai_x_artists.safetensors"));
        assert_eq!(read(&path, &key()), None);
        write(&path, &key(), &rows()).unwrap();
        let wanted = Cached {
            rows: rows(),
            names_tower: true,
        };
        assert_eq!(read(&path, &key()), Some(wanted));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_cache_of_something_else_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, &key(), &rows()).unwrap();
        let others: [fn(&mut CacheKey); 4] = [
            |key| key.table_hash = "f".repeat(64),
            |key| key.terms = 4,
            |key| key.width = 3,
            |key| key.tower = "other".to_owned(),
        ];
        for change in others {
            let mut other = key();
            change(&mut other);
            assert_eq!(read(&path, &other), None, "{other:?}");
        }
    }

    #[test]
    fn no_torn_or_changed_file_gives_other_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        write(&path, &key(), &rows()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path, &key()), None, "cut at {length}");
        }
        // A header that promises far more than there is must not be believed.
        for length in [u64::MAX, u64::MAX - 8, whole.len() as u64] {
            let mut changed = whole.clone();
            changed[..8].copy_from_slice(&length.to_le_bytes());
            std::fs::write(&path, &changed).unwrap();
            assert_eq!(read(&path, &key()), None, "header of {length}");
        }
        let not_unit: Vec<f16> = rows().iter().map(|value| *value * f16::from_f32(0.5)).collect();
        write(&path, &key(), &not_unit).unwrap();
        assert_eq!(read(&path, &key()), None);
    }
}
