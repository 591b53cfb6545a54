//! A text file a picture: what trainers read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Component, Path, PathBuf};

use super::memory::Entry;
use super::picture::{PictureRows, Pictures, Who};
use super::{ExportReport, Selection, Writer, local_file};
use crate::dataset::{DatasetReader, ReadError};
use crate::source::{path_of_text, path_text};

/// Where the files of pictures go.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of `--to`; none for beside the pictures.
    to: Option<PathBuf>,
    /// Folder in it by root; empty where the dataset has one root.
    folders: BTreeMap<String, String>,
}

impl Places {
    /// Lays out a folder a root where the dataset has several.
    pub fn new(dataset: &DatasetReader, to: Option<PathBuf>) -> Result<Self, ReadError> {
        let mut roots = BTreeSet::new();
        if to.is_some() {
            for rows in dataset.rows(&["root"])? {
                let rows = rows?;
                let column = rows.text("root")?;
                let mut last = None;
                for row in 0..rows.len() {
                    let root = column.get(row);
                    if root != last {
                        roots.insert(root.unwrap_or_default().to_owned());
                    }
                    last = root;
                }
            }
        }
        Ok(Self {
            to,
            folders: folders(&roots),
        })
    }

    /// The file of a picture with `extension` in place of the picture's, and the key under which
    /// it is remembered; none where there is no place for it.
    pub fn file(&self, who: &Who, extension: &str) -> Option<(String, PathBuf)> {
        let Some(to) = &self.to else {
            let file = with_extension(&local_file(&who.uri)?, extension);
            return Some((path_text(&file), file));
        };
        let relative = with_extension(&self.inside(who)?, extension);
        Some((path_text(&relative), to.join(relative)))
    }

    /// Where a picture itself would be in the folder of `--to`.
    pub fn picture(&self, who: &Who) -> Option<(String, PathBuf)> {
        let relative = self.inside(who)?;
        Some((path_text(&relative), self.to.as_ref()?.join(relative)))
    }

    /// The path of a picture relative to the folder of `--to`; none where it would lead out of it.
    fn inside(&self, who: &Who) -> Option<PathBuf> {
        let relative = path_of_text(&who.path);
        let is_inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !is_inside || relative.as_os_str().is_empty() {
            return None;
        }
        Some(match self.folders.get(&who.root) {
            Some(folder) => Path::new(folder).join(relative),
            None => relative,
        })
    }
}

/// A folder name a root: the last part of its name, numbered where two are the same.
fn folders(roots: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut used = BTreeSet::new();
    let mut folders = BTreeMap::new();
    if roots.len() < 2 {
        return folders;
    }
    for root in roots {
        let last = root
            .rsplit('/')
            .find(|part| !part.is_empty() && *part != "..")
            .unwrap_or("root");
        let mut name = last.to_owned();
        for number in 2.. {
            if used.insert(name.clone()) {
                break;
            }
            name = format!("{last}-{number}");
        }
        folders.insert(root.clone(), name);
    }
    folders
}

/// `a.b.png` as `a.b.txt`.
fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(extension);
    path.with_file_name(name)
}

/// Why a row gives no file.
pub(super) const NOTHING_TO_SAY: &str = "without anything to say";
pub(super) const FAILED: &str = "failed rows left out";
pub(super) const NOT_A_FILE: &str = "not local files (name a folder with --to)";
const SHARED: &str = "sharing their file's name with another picture";

/// Writes a file a picture.
pub fn captions(
    pictures: &Pictures<'_>,
    places: &Places,
    selection: &Selection,
    mut writer: Writer,
) -> anyhow::Result<ExportReport> {
    let extension = writer.memory.target.extension.clone();
    // `a.png` and `a.jpg` share `a.txt`, which trainers know no way around: the first one has it.
    let mut taken = HashSet::new();
    let mut met = 0;
    for rows in pictures.rows(&[])? {
        let rows = pictures.view(&rows?)?;
        for row in (0..rows.len()).filter(|row| selection.takes(rows.uri(*row))) {
            met += 1;
            let Some((who, text, edited)) = said(pictures, &rows, row, &mut writer.report) else {
                continue;
            };
            let Some((key, path)) = places.file(&who, &extension) else {
                writer.report.pass_over(NOT_A_FILE);
                continue;
            };
            if !taken.insert(key.clone()) {
                writer.report.pass_over(SHARED);
                continue;
            }
            let entry = entry(who, edited, pictures.template.holds());
            writer.text(&key, path, &text, entry)?;
        }
    }
    note_unknown(selection, met, &mut writer.report);
    writer.finish()
}

/// Who a row is about and what is said of it; counted where that is nothing.
pub(super) fn said(
    pictures: &Pictures<'_>,
    rows: &PictureRows,
    row: usize,
    report: &mut ExportReport,
) -> Option<(Who, String, Option<String>)> {
    let who = rows.who(row);
    if who.failed {
        report.pass_over(FAILED);
        return None;
    }
    match pictures.caption(rows, row) {
        Some(caption) => Some((who, caption.text, caption.edited)),
        None => {
            report.pass_over(NOTHING_TO_SAY);
            None
        }
    }
}

pub(super) fn entry(who: Who, edited: Option<String>, holds: super::template::Holds) -> Entry {
    Entry {
        root: who.root,
        path: who.path,
        hash: String::new(),
        image: who.image,
        edited,
        holds,
        base: None,
    }
}

/// Says how many uris of a list no row has.
pub(super) fn note_unknown(selection: &Selection, met: u64, report: &mut ExportReport) {
    if let Some(asked) = selection.count().filter(|asked| *asked > met) {
        report.notes.push(format!(
            "{} of the {asked} uris of the list are not in the dataset",
            asked - met
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(uri: &str, root: &str, path: &str) -> Who {
        Who {
            uri: uri.into(),
            root: root.into(),
            path: path.into(),
            ..Who::default()
        }
    }

    #[test]
    fn files_stand_beside_pictures_or_mirror_their_folders() {
        let beside = Places {
            to: None,
            folders: BTreeMap::new(),
        };
        let image = who("/pics/a/b.c.png", "pics", "a/b.c.png");
        assert_eq!(beside.file(&image, ".txt").unwrap().1, Path::new("/pics/a/b.c.txt"));
        assert_eq!(beside.file(&who("s3://x/a.png", "x", "a.png"), ".txt"), None);
        let mirrored = Places {
            to: Some("/out".into()),
            folders: folders(&["/one/pics".to_owned(), "/two/pics".to_owned()].into()),
        };
        let file = |root: &str, path: &str| mirrored.file(&who("/x", root, path), ".caption").map(|(_, file)| file);
        assert_eq!(
            file("/one/pics", "a/b.png").unwrap(),
            Path::new("/out/pics/a/b.caption")
        );
        assert_eq!(file("/two/pics", "b.png").unwrap(), Path::new("/out/pics-2/b.caption"));
        assert_eq!(
            file("/two/pics", "../b.png"),
            None,
            "nothing is written outside of --to"
        );
    }
}
