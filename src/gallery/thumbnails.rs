//! Thumbnail sheets: 4 by 4 thumbnails in one JPEG file, made from the images by our own decoder.
//!
//! A sheet is named by what is on it (paths, sizes, times), so that the next page takes over every
//! sheet whose images did not change. An image that is missing or broken leaves its cell empty.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context;
use arrow::array::RecordBatch;
use rayon::prelude::*;
use serde_json::{Value, json};
use turbojpeg::{Image, PixelFormat, Subsamp};

use super::value::Cells;
use crate::decode::{self, DecodeOptions, JpegScale};
use crate::progress::Progress;
use crate::record::{Alpha, Filter, Fit, Geometry};
use crate::source::path_of_text;

/// Cells in a row of a sheet, and rows.
const CELLS_A_SIDE: u32 = 4;
const CELLS: usize = (CELLS_A_SIDE * CELLS_A_SIDE) as usize;
/// Raised when the same images would give other sheets.
const VERSION: u32 = 1;
/// Good enough at this size; 90 doubles the bytes.
const JPEG_QUALITY: i32 = 78;
/// Larger files are not read for a thumbnail.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// An image that a thumbnail is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is; none where it is not a file of its own.
    pub path: Option<PathBuf>,
    /// EXIF orientation.
    pub orientation: u8,
}

/// The images of a batch's rows. A `uri` that is no absolute path (a store, a member of an archive)
/// has no file.
pub(super) fn image_files(batch: &RecordBatch) -> Vec<ImageFile> {
    let (uris, orientations) = (Cells::texts(batch, "uri"), Cells::numbers(batch, "orientation"));
    let file = |row| ImageFile {
        path: uris.text(row).filter(|uri| uri.starts_with('/')).map(path_of_text),
        orientation: orientations.number(row).map_or(1, |value| value as u8),
    };
    (0..batch.num_rows()).map(file).collect()
}

/// The sheets of a page.
pub(super) struct Thumbnails {
    pixels: u32,
    /// File name of each sheet; none where no cell has a picture.
    sheets: Vec<Sheet>,
    /// Thumbnails on sheets of the page before.
    pub reused: usize,
}

/// One sheet: its file's stem, and which of its cells have a picture.
struct Sheet {
    name: String,
    filled: u16,
    was_there: bool,
}

impl Thumbnails {
    /// Makes the sheets of `files` in `new`, taking over what `old`, the page before, has of them.
    pub fn make(
        files: &[ImageFile],
        pixels: u32,
        old: &Path,
        new: &Path,
        progress: &dyn Progress,
    ) -> anyhow::Result<Self> {
        let known = if pixels == 0 {
            HashMap::new()
        } else {
            sheets_in(&old.join("thumbnails"))
        };
        let files = if pixels == 0 { &[] } else { files };
        let sheets = files
            .par_chunks(CELLS)
            .map(|files| {
                let sheet = make_sheet(files, pixels, &known, new);
                progress.advance(files.len() as u64, 0);
                sheet
            })
            .collect::<anyhow::Result<Vec<Sheet>>>()?;
        let reused = sheets.iter().filter(|sheet| sheet.was_there).map(Sheet::count).sum();
        Ok(Self { pixels, sheets, reused })
    }

    /// Images with a thumbnail.
    pub fn count(&self) -> usize {
        self.sheets.iter().map(Sheet::count).sum()
    }

    /// What the page needs to find them.
    pub fn to_json(&self) -> Value {
        json!({
            "pixels": self.pixels,
            "cells_a_side": CELLS_A_SIDE,
            "sheets": self.sheets.iter().map(Sheet::file_stem).collect::<Vec<_>>(),
            "filled": self.sheets.iter().map(|sheet| sheet.filled).collect::<Vec<_>>(),
        })
    }
}

impl Sheet {
    fn count(&self) -> usize {
        self.filled.count_ones() as usize
    }

    fn file_stem(&self) -> String {
        format!("{}-{:04x}", self.name, self.filled)
    }
}

/// Path of each sheet of an earlier page by name, and which of its cells are filled.
fn sheets_in(folder: &Path) -> HashMap<String, (PathBuf, u16)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return HashMap::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = paths.filter_map(|path| {
        let (name, filled) = path.file_stem()?.to_str()?.split_once('-')?;
        let (name, filled) = (name.to_owned(), u16::from_str_radix(filled, 16).ok()?);
        Some((name, (path, filled)))
    });
    named.collect()
}

fn make_sheet(
    files: &[ImageFile],
    pixels: u32,
    known: &HashMap<String, (PathBuf, u16)>,
    new: &Path,
) -> anyhow::Result<Sheet> {
    let name = sheet_name(files, pixels);
    if let Some((path, filled)) = known.get(&name) {
        let sheet = Sheet {
            name,
            filled: *filled,
            was_there: true,
        };
        let into = new.join("thumbnails").join(format!("{}.jpg", sheet.file_stem()));
        if fs::hard_link(path, &into).is_ok() || fs::copy(path, &into).is_ok() {
            return Ok(sheet);
        }
        return draw(files, pixels, sheet.name, new);
    }
    draw(files, pixels, name, new)
}

/// A sheet is known by its images: path, size and time as they are now.
fn sheet_name(files: &[ImageFile], pixels: u32) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{VERSION} {pixels} {JPEG_QUALITY}").as_bytes());
    for file in files {
        let stat = file.path.as_ref().and_then(|path| fs::metadata(path).ok());
        let modified = stat.as_ref().and_then(|stat| stat.modified().ok());
        let nanos = modified.and_then(|time| Some(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()));
        let size = stat.map(|stat| stat.len());
        hasher.update(format!("\0{:?} {} {size:?} {nanos:?}", file.path, file.orientation).as_bytes());
    }
    hasher.finalize().to_hex()[..20].to_owned()
}

fn draw(files: &[ImageFile], pixels: u32, name: String, new: &Path) -> anyhow::Result<Sheet> {
    let mut filled = 0;
    let side = (CELLS_A_SIDE * pixels) as usize;
    // Made with the first picture: most sheets of a collection that moved away have none.
    let mut sheet = Vec::new();
    for (cell, file) in files.iter().enumerate() {
        let Some(square) = thumbnail(file, pixels) else {
            continue;
        };
        filled |= 1 << cell;
        sheet.resize(side * side * 3, 0);
        let line = pixels as usize * 3;
        let (column, row) = (cell % CELLS_A_SIDE as usize, cell / CELLS_A_SIDE as usize);
        for (y, pixels_of_line) in square.chunks_exact(line).enumerate() {
            let at = (row * pixels as usize + y) * side * 3 + column * line;
            sheet[at..at + line].copy_from_slice(pixels_of_line);
        }
    }
    let made = Sheet {
        name,
        filled,
        was_there: false,
    };
    if filled != 0 {
        let path = new.join("thumbnails").join(format!("{}.jpg", made.file_stem()));
        let jpeg = jpeg_of(&sheet, side).with_context(|| format!("encoding {}", path.display()))?;
        fs::write(&path, jpeg).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(made)
}

/// The picture with its longest side at `pixels`, its outermost pixels repeated to a square.
fn thumbnail(file: &ImageFile, pixels: u32) -> Option<Vec<u8>> {
    let path = file.path.as_ref()?;
    let stat = fs::metadata(path).ok()?;
    if !stat.is_file() || stat.len() > MAX_FILE_BYTES {
        return None;
    }
    let options = DecodeOptions {
        jpeg_scale: JpegScale::Fast {
            smallest_short_side: pixels,
        },
        ..DecodeOptions::default()
    };
    let picture = decode::decode_guarded(&fs::read(path).ok()?, file.orientation, &options).ok()?;
    let geometry = Geometry {
        size: pixels,
        fit: Fit::Edge,
        filter: Filter::Bicubic,
        alpha: Alpha::Over,
        background: [255, 255, 255],
    };
    decode::resize(&picture, &[geometry]).pop()
}

fn jpeg_of(pixels: &[u8], side: usize) -> turbojpeg::Result<Vec<u8>> {
    let mut compressor = turbojpeg::Compressor::new()?;
    compressor.set_quality(JPEG_QUALITY)?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    compressor.compress_to_vec(Image {
        pixels,
        width: side,
        pitch: side * 3,
        height: side,
        format: PixelFormat::RGB,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Hidden;

    fn file(path: &str) -> ImageFile {
        ImageFile {
            path: Some(path.into()),
            orientation: 1,
        }
    }

    #[test]
    fn missing_images_leave_cells_empty_and_sheets_are_taken_over_until_an_image_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/samples/art/frog_60x40.png");
        let image = folder.path().join("frog.png");
        fs::copy(&sample, &image).expect("copied");
        let mut files = vec![file("/nowhere/a.png"); 20];
        files[2].path = Some(image.clone());
        let page = |name: &str| {
            let page = folder.path().join(name);
            fs::create_dir_all(page.join("thumbnails")).expect("made");
            page
        };
        let (first, second, third) = (page("1"), page("2"), page("3"));
        let made = Thumbnails::make(&files, 64, &page("0"), &first, &Hidden).expect("made");
        assert_eq!((made.count(), made.reused), (1, 0));
        assert_eq!(made.to_json()["filled"], json!([4, 0]));
        let again = Thumbnails::make(&files, 64, &first, &second, &Hidden).expect("made");
        assert_eq!((again.count(), again.reused), (1, 1));
        assert_eq!(again.to_json(), made.to_json());
        fs::remove_file(&image).expect("removed");
        let gone = Thumbnails::make(&files, 64, &second, &third, &Hidden).expect("made");
        assert_eq!((gone.count(), gone.reused), (0, 0));
    }
}
