//! Building a table's embeddings: in batches of texts of like length, so that hardly a position is
//! padding, with every finished piece in a journal beside the cache. Whatever ends a build, the
//! next one goes on behind the last whole piece, and the cache appears only when it is complete.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use half::f16;
use rustix::fs::{FlockOperation, flock};

use super::cache::{self, CacheKey, half_bytes};
use super::tables::TermTable;
use crate::label::LabelError;

/// Terms a piece of the journal: a few seconds of work of a large text tower.
const PIECE_TERMS: usize = 512;

/// How often a build that waits for another one looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Rows of a public cache that are made anew, to see that it is of this model.
const COMPARED_TERMS: usize = 4;

/// Lowest cosine between a row of a public cache and the model's own: 16-bit towers on a GPU stay
/// above 0.999, other models below 0.5.
const SAME_MODEL_COSINE: f32 = 0.99;

/// Somebody who is told how far a build is, and may end it.
pub trait Watch {
    /// `done` of the table's `total` terms are embedded. `Break` ends the build; what is finished
    /// is kept.
    fn advanced(&self, table: &str, done: usize, total: usize) -> ControlFlow<()>;
}

/// Never ends a build.
pub struct Unwatched;

impl Watch for Unwatched {
    fn advanced(&self, _table: &str, _done: usize, _total: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What makes embeddings of texts.
pub trait EmbedTexts {
    /// Length of a text in tokens; texts are embedded in its order.
    fn length(&self, text: &str) -> Result<usize, LabelError>;
    /// Unit vectors, one a text.
    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>, LabelError>;
}

/// Where caches are kept, and under which model's name.
#[derive(Debug, Clone, Copy)]
pub struct CachePlace<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// The model as clip-interrogator writes it.
    pub model: &'a str,
}

/// The embeddings of a table: from its cache, or built and put there. Without a place they are
/// built anew and kept nowhere.
pub fn embeddings(
    table: &TermTable,
    key: &CacheKey,
    place: Option<CachePlace<'_>>,
    tower: &mut dyn EmbedTexts,
    watch: &dyn Watch,
) -> Result<Vec<f16>, LabelError> {
    let Some(place) = place else {
        return Build::new(table, key, tower, watch)?.all(None);
    };
    let path = place.folder.join(cache::file_name(place.model, &table.name));
    if let Some(rows) = usable(&path, table, key, tower)? {
        return Ok(rows);
    }
    let mut journal = match Journal::open(&path, key, &table.name, watch) {
        Ok(Opened::Journal(journal)) => journal,
        Ok(Opened::Ended) => return Err(ended(&table.name)),
        Err(error) => {
            tracing::warn!(
                "embeddings of the terms `{}` cannot be kept: {}: {error}",
                table.name,
                path.display()
            );
            return Build::new(table, key, tower, watch)?.all(None);
        }
    };
    // Another run may have finished it while this one waited.
    if let Some(rows) = usable(&path, table, key, tower)? {
        journal.remove();
        return Ok(rows);
    }
    let rows = Build::new(table, key, tower, watch)?.all(Some(&mut journal))?;
    match cache::write(&path, key, &rows) {
        Ok(()) => journal.remove(),
        Err(error) => tracing::warn!("{} cannot be written: {error}", path.display()),
    }
    Ok(rows)
}

/// The cache's rows, where they are of this table and model.
fn usable(
    path: &Path,
    table: &TermTable,
    key: &CacheKey,
    tower: &mut dyn EmbedTexts,
) -> Result<Option<Vec<f16>>, LabelError> {
    let Some(cached) = cache::read(path, key) else {
        return Ok(None);
    };
    if cached.names_tower {
        return Ok(Some(cached.rows));
    }
    let step = table.terms.len().div_ceil(COMPARED_TERMS).max(1);
    let compared: Vec<usize> = (0..table.terms.len()).step_by(step).collect();
    let texts: Vec<&str> = compared.iter().map(|&term| table.terms[term].as_str()).collect();
    for (term, own) in compared.iter().zip(tower.embed(&texts)?) {
        let row = &cached.rows[term * key.width..(term + 1) * key.width];
        let cosine: f32 = row.iter().zip(&own).map(|(left, right)| left.to_f32() * right).sum();
        if cosine < SAME_MODEL_COSINE {
            tracing::warn!(
                "{} is not used: it was made by another model (its `{}` has a cosine of {cosine:.3} with this model's)",
                path.display(),
                table.terms[*term]
            );
            return Ok(None);
        }
    }
    Ok(Some(cached.rows))
}

fn ended(table: &str) -> LabelError {
    LabelError::Ended(format!("embedding the terms `{table}`"))
}

/// One build: the terms in the order of their length.
struct Build<'a> {
    table: &'a TermTable,
    width: usize,
    order: Vec<usize>,
    tower: &'a mut dyn EmbedTexts,
    watch: &'a dyn Watch,
}

impl<'a> Build<'a> {
    fn new(
        table: &'a TermTable,
        key: &CacheKey,
        tower: &'a mut dyn EmbedTexts,
        watch: &'a dyn Watch,
    ) -> Result<Self, LabelError> {
        let lengths = table.terms.iter().map(|term| tower.length(term));
        let lengths = lengths.collect::<Result<Vec<usize>, LabelError>>()?;
        let mut order: Vec<usize> = (0..table.terms.len()).collect();
        order.sort_by_key(|&term| lengths[term]);
        Ok(Self {
            table,
            width: key.width,
            order,
            tower,
            watch,
        })
    }

    /// Every row, those that the journal holds first.
    fn all(self, mut journal: Option<&mut Journal>) -> Result<Vec<f16>, LabelError> {
        let total = self.order.len();
        let mut done = journal.as_ref().map_or_else(Vec::new, |journal| journal.rows.clone());
        done.truncate(total * self.width);
        while done.len() < total * self.width {
            let start = done.len() / self.width;
            if self.watch.advanced(&self.table.name, start, total).is_break() {
                return Err(ended(&self.table.name));
            }
            let stop = (start + PIECE_TERMS).min(total);
            let texts: Vec<&str> = self.order[start..stop]
                .iter()
                .map(|&term| self.table.terms[term].as_str())
                .collect();
            let rows = self.tower.embed(&texts)?;
            let piece: Vec<f16> = rows.iter().flatten().map(|&value| f16::from_f32(value)).collect();
            if let Some(kept) = journal.as_mut()
                && let Err(error) = kept.append(&piece)
            {
                tracing::warn!("{} is not kept any further: {error}", kept.path.display());
                journal = None;
            }
            done.extend(piece);
        }
        // The caller is told of the end as well; there is nothing left to end.
        let _ = self.watch.advanced(&self.table.name, total, total);
        let mut rows = vec![f16::ZERO; done.len()];
        for (place, &term) in self.order.iter().enumerate() {
            let row = &done[place * self.width..(place + 1) * self.width];
            rows[term * self.width..(term + 1) * self.width].copy_from_slice(row);
        }
        Ok(rows)
    }
}

/// The pieces of a build that are finished, each with its BLAKE3; locked for one builder.
struct Journal {
    path: PathBuf,
    file: File,
    /// What it held when it was opened, in the order of the build.
    rows: Vec<f16>,
}

enum Opened {
    Journal(Journal),
    /// Somebody wanted to end while another build was waited for.
    Ended,
}

impl Journal {
    /// Opens, or begins, the journal of a cache. Waits while another run builds the same.
    fn open(cache: &Path, key: &CacheKey, table: &str, watch: &dyn Watch) -> io::Result<Opened> {
        let folder = cache.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let name = cache.file_name().unwrap_or_default().to_string_lossy();
        let path = cache.with_file_name(format!(".{name}.building"));
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        let mut file = open()?;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(error.into());
            }
            if watch.advanced(table, 0, key.terms).is_break() {
                return Ok(Opened::Ended);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let head = format!(
            "labelmill terms 1 {} {} {} {} {PIECE_TERMS}\n",
            key.table_hash, key.tower, key.terms, key.width
        );
        let (rows, end) = read_pieces(&mut file, head.as_bytes(), key)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        if end == 0 {
            file.write_all(head.as_bytes())?;
        }
        Ok(Opened::Journal(Self { path, file, rows }))
    }

    fn append(&mut self, piece: &[f16]) -> io::Result<()> {
        let mut bytes = half_bytes(piece);
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        self.file.write_all(&bytes)?;
        self.file.sync_data()
    }

    fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// The rows of the whole pieces of a journal that begins with `head`, and where they end; nothing
/// of a journal that begins otherwise.
fn read_pieces(file: &mut File, head: &[u8], key: &CacheKey) -> io::Result<(Vec<f16>, u64)> {
    let mut found = vec![0; head.len()];
    if file.metadata()?.len() < head.len() as u64 {
        return Ok((Vec::new(), 0));
    }
    file.read_exact(&mut found)?;
    if found != head {
        return Ok((Vec::new(), 0));
    }
    let (mut rows, mut end) = (Vec::new(), head.len() as u64);
    let mut remaining = key.terms;
    while remaining > 0 {
        let terms = remaining.min(PIECE_TERMS);
        let mut piece = vec![0; terms * key.width * 2 + blake3::OUT_LEN];
        match file.read_exact(&mut piece) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
        let (values, digest) = piece.split_at(terms * key.width * 2);
        if blake3::hash(values).as_bytes() != digest {
            break;
        }
        rows.extend(
            values
                .chunks_exact(2)
                .map(|pair| f16::from_le_bytes([pair[0], pair[1]])),
        );
        end += piece.len() as u64;
        remaining -= terms;
    }
    Ok((rows, end))
}

#[cfg(test)]
mod tests;
