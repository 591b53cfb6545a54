//! Folders and single files on a file system, walked in the byte order of names.

use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

use super::local_file::{LocalFile, file_stat};
use super::{Source, Walk, WalkReport, sidecars};
use crate::record::{FileStat, ImageId, SourceImage};

/// Extensions of files that are taken for images, lower case.
const IMAGE_EXTENSIONS: [&str; 15] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif", "heic", "heif",
];

/// Further image extensions, listed apart because nothing can decode them here yet: their metadata
/// is read, and a plan with models makes a failed row that says so.
const METADATA_ONLY_EXTENSIONS: [&str; 1] = ["jxl"];

/// Folders that NAS boxes, desktops and version control keep for themselves.
const BOOKKEEPING_NAMES: [&str; 15] = [
    "@eaDir",
    "@tmp",
    "#recycle",
    "#snapshot",
    ".snapshot",
    ".snapshots",
    ".zfs",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    ".Trashes",
    ".thumbnails",
    ".AppleDouble",
    "__MACOSX",
    "_labelmill",
];

/// Most error sentences that a walk keeps.
const MAX_ERRORS_KEPT: usize = 1000;

/// Whether a folder of this name is somebody's bookkeeping and never holds a collection.
pub fn is_bookkeeping_name(name: &str) -> bool {
    BOOKKEEPING_NAMES.contains(&name) || name.starts_with(".Trash-")
}

/// One place that images are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its name in the dataset: as typed, or `NAME` of `NAME=PATH`.
    pub name: Arc<str>,
    /// Absolute lexical path of the folder (for a single file: of the folder it is in).
    pub folder: PathBuf,
    /// The only file taken, where a file was named.
    pub single_file: Option<PathBuf>,
}

impl Root {
    /// Understands `PATH` or `NAME=PATH`. A path that exists wins over the reading as `NAME=PATH`.
    pub fn parse(typed: &str) -> io::Result<Self> {
        let (name, path) = match typed.split_once('=') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') && !Path::new(typed).exists() => (name, path),
            _ => (typed, typed),
        };
        let absolute = lexical_absolute(Path::new(path))?;
        let trimmed = name.trim_end_matches('/');
        let name = if trimmed.is_empty() { name } else { trimmed };
        if absolute.is_file() {
            let folder = absolute.parent().map(Path::to_path_buf).unwrap_or_default();
            let named = name != path.trim_end_matches('/');
            let parent = Path::new(name)
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."));
            let root_name = if named { name.to_owned() } else { path_text(parent) };
            return Ok(Self {
                name: root_name.into(),
                folder,
                single_file: Some(absolute),
            });
        }
        Ok(Self {
            name: name.into(),
            folder: absolute,
            single_file: None,
        })
    }
}

/// The absolute path without `.` and `..`, by its text alone (links are not resolved).
pub fn lexical_absolute(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    Ok(clean)
}

/// What is taken of the roots.
#[derive(Clone, Default)]
pub struct FolderOptions {
    /// Globs on the path in the root; empty takes everything.
    pub include: Vec<String>,
    /// Globs on the path in the root that are left out.
    pub exclude: Vec<String>,
    /// Follow symbolic links.
    pub follow_links: bool,
    /// Hidden files and folders too.
    pub hidden: bool,
    /// Decides by the first bytes whether a file is an image; replaces the test by extension.
    pub sniff: Option<fn(&[u8]) -> bool>,
    /// How the names of files end that belong to an image beside them; empty looks for none.
    pub sidecar_suffixes: Vec<&'static str>,
    /// Folders that are never entered (the output).
    pub skip_folders: Vec<PathBuf>,
    /// Leaves each file's size and time to whoever opens it: [`FileStat::UNSEEN`] until then.
    pub unseen: bool,
}

/// Images in folders and single files.
pub struct FolderSource {
    roots: Vec<Root>,
    options: FolderOptions,
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl FolderSource {
    /// A source over `roots`; fails on a glob that cannot be read.
    pub fn new(roots: Vec<Root>, options: FolderOptions) -> Result<Self, globset::Error> {
        let include = if options.include.is_empty() {
            None
        } else {
            Some(glob_set(&options.include)?)
        };
        let exclude = glob_set(&options.exclude)?;
        Ok(Self {
            roots,
            options,
            include,
            exclude,
        })
    }

    fn takes_folder(&self, entry: &DirEntry) -> bool {
        if entry.depth() == 0 {
            return true;
        }
        let path = entry.path().as_os_str().as_bytes();
        let name = &path[memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1)..];
        self.takes_name(entry.path(), &String::from_utf8_lossy(name), entry.file_type().is_dir())
    }

    fn takes_name(&self, path: &Path, name: &str, is_folder: bool) -> bool {
        if name.starts_with('.') && !self.options.hidden {
            return false;
        }
        !is_folder || !(is_bookkeeping_name(name) || self.options.skip_folders.iter().any(|folder| folder == path))
    }

    fn takes_file(&self, path: &Path, path_in_root: &str) -> io::Result<bool> {
        let is_excluded = !self.exclude.is_empty() && self.exclude.is_match(path_in_root);
        if is_excluded || self.include.as_ref().is_some_and(|set| !set.is_match(path_in_root)) {
            return Ok(false);
        }
        match self.options.sniff {
            Some(sniff) => {
                let mut head = Vec::with_capacity(64);
                std::fs::File::open(path)?.take(64).read_to_end(&mut head)?;
                Ok(sniff(&head))
            }
            None => Ok(has_image_extension(path_in_root)),
        }
    }
}

fn glob_set(globs: &[String]) -> Result<GlobSet, globset::Error> {
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(Glob::new(glob)?);
    }
    builder.build()
}

/// What is left of `path` behind `folder`; all of it where it is not in there.
fn in_folder<'p>(path: &'p Path, folder: &Path) -> &'p Path {
    let bytes = path.as_os_str().as_bytes();
    // A walk joins names to the folder as it is written, so there is seldom need to take paths apart.
    match bytes.strip_prefix(folder.as_os_str().as_bytes()) {
        Some([b'/', rest @ ..]) if !rest.starts_with(b"/") => Path::new(std::ffi::OsStr::from_bytes(rest)),
        _ => path.strip_prefix(folder).unwrap_or(path),
    }
}

fn has_image_extension(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((_, extension)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        return false;
    };
    let mut known = IMAGE_EXTENSIONS.iter().chain(&METADATA_ONLY_EXTENSIONS);
    known.any(|known| extension.eq_ignore_ascii_case(known))
}

impl Source for FolderSource {
    fn walk(&self) -> Box<dyn Walk + Send + '_> {
        Box::new(FolderWalk {
            source: self,
            next_root: 0,
            current: None,
            listings: sidecars::Listings::default(),
            report: WalkReport::default(),
            errors_in_root: 0,
        })
    }

    fn roots(&self) -> Vec<Arc<str>> {
        self.roots.iter().map(|root| root.name.clone()).collect()
    }

    fn locate(&self, root: &str, path: &str) -> Option<SourceImage> {
        let root = self.roots.iter().find(|known| *known.name == *root)?;
        let file = root.folder.join(path_of_text(path));
        // A file that has vanished since the walk is found out when it is opened.
        let stat = std::fs::metadata(&file).map_or(
            FileStat {
                size: 0,
                modified_at: 0,
            },
            |found| file_stat(&found),
        );
        Some(SourceImage {
            sequence: 0,
            id: ImageId {
                uri: path_text(&file),
                root: root.name.clone(),
                path: path.to_owned(),
                stat,
                sidecars: sidecars::stamp(&file, &self.options.sidecar_suffixes, |_| true),
            },
            open: Arc::new(LocalFile {
                path: file,
                length: Some(stat.size),
            }),
        })
    }

    fn has(&self, root: &str, path: &str) -> bool {
        let Some(root) = self.roots.iter().find(|known| *known.name == *root) else {
            return false;
        };
        let in_root = path_of_text(path);
        let file = root.folder.join(&in_root);
        match std::fs::metadata(&file) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => false,
            // What cannot be looked at is not known to be gone.
            Err(_) => true,
            Ok(found) => {
                found.is_file() && self.leads_to(&root.folder, &in_root) && self.takes_file(&file, path).unwrap_or(true)
            }
        }
    }
}

impl FolderSource {
    /// Whether the walk comes to `path` in `folder`: through no folder that it passes over, and
    /// over no link that it does not follow.
    fn leads_to(&self, folder: &Path, path: &Path) -> bool {
        let mut at = folder.to_path_buf();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            at.push(part);
            let is_folder = parts.peek().is_some();
            if !self.takes_name(&at, &part.as_os_str().to_string_lossy(), is_folder) {
                return false;
            }
            let is_link = || at.symlink_metadata().is_ok_and(|found| found.is_symlink());
            if !self.options.follow_links && is_link() {
                return false;
            }
        }
        true
    }
}

type Entries<'a> = Box<dyn Iterator<Item = walkdir::Result<DirEntry>> + Send + 'a>;

struct FolderWalk<'a> {
    source: &'a FolderSource,
    next_root: usize,
    current: Option<(&'a Root, Entries<'a>)>,
    listings: sidecars::Listings,
    report: WalkReport,
    errors_in_root: u64,
}

impl FolderWalk<'_> {
    fn note_error(&mut self, sentence: String) {
        self.errors_in_root += 1;
        if self.report.errors.len() < MAX_ERRORS_KEPT {
            self.report.errors.push(sentence);
        }
    }

    fn start_next_root(&mut self) -> bool {
        let source = self.source;
        let Some(root) = source.roots.get(self.next_root) else {
            return false;
        };
        self.next_root += 1;
        self.errors_in_root = 0;
        let start = root.single_file.as_ref().unwrap_or(&root.folder);
        let entries = WalkDir::new(start)
            .follow_links(source.options.follow_links)
            // By the name: all else of the paths in one folder is the same.
            .sort_by(|a, b| a.path().as_os_str().cmp(b.path().as_os_str()))
            .into_iter()
            .filter_entry(|entry| source.takes_folder(entry));
        self.current = Some((root, Box::new(entries)));
        true
    }

    fn end_root(&mut self) {
        if let Some((root, _)) = self.current.take()
            && self.errors_in_root == 0
            && root.single_file.is_none()
        {
            self.report.complete_roots.push(root.name.clone());
        }
    }

    fn image(&mut self, root: &Root, entry: &DirEntry) -> Option<SourceImage> {
        if entry.path_is_symlink() && !self.source.options.follow_links && entry.depth() > 0 {
            self.report.links_passed_over += 1;
            return None;
        }
        let file_type = entry.file_type();
        if !(file_type.is_file() || (entry.depth() == 0 && entry.path().is_file())) {
            return None;
        }
        let path_in_root = path_text(in_folder(entry.path(), &root.folder));
        match self.source.takes_file(entry.path(), &path_in_root) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.note_error(format!("{}: {error}", entry.path().display()));
                return None;
            }
        }
        let looked_at = if self.source.options.unseen {
            Ok(None)
        } else {
            std::fs::metadata(entry.path()).map(|metadata| Some(file_stat(&metadata)))
        };
        let stat = match looked_at {
            Ok(stat) => stat,
            // Deleted between listing and looking: it is simply not there any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.note_error(format!("{}: {error}", entry.path().display()));
                return None;
            }
        };
        let suffixes = &self.source.options.sidecar_suffixes;
        let sidecars = if root.single_file.is_some() {
            self.listings.stamp_of_named(entry.path(), suffixes)
        } else {
            self.listings.stamp(entry.path(), suffixes)
        };
        let sequence = self.report.found;
        self.report.found += 1;
        Some(SourceImage {
            sequence,
            id: ImageId {
                uri: path_text(entry.path()),
                root: root.name.clone(),
                path: path_in_root,
                stat: stat.unwrap_or(FileStat::UNSEEN),
                sidecars,
            },
            open: Arc::new(LocalFile {
                path: entry.path().to_path_buf(),
                length: stat.map(|stat| stat.size),
            }),
        })
    }
}

impl Iterator for FolderWalk<'_> {
    type Item = SourceImage;

    fn next(&mut self) -> Option<SourceImage> {
        loop {
            if self.current.is_none() && !self.start_next_root() {
                return None;
            }
            let (root, entry) = match self.current.as_mut() {
                Some((root, entries)) => (*root, entries.next()),
                None => continue,
            };
            match entry {
                None => self.end_root(),
                Some(Ok(entry)) => {
                    if let Some(image) = self.image(root, &entry) {
                        return Some(image);
                    }
                }
                // A loop hides nothing: what it leads to is walked on its own path.
                Some(Err(error)) if error.loop_ancestor().is_some() => self.report.loops += 1,
                Some(Err(error)) => {
                    let vanished = error.depth() > 0
                        && error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
                        && !self.source.options.follow_links;
                    if !vanished {
                        self.note_error(error.to_string());
                    }
                }
            }
        }
    }
}

impl Walk for FolderWalk<'_> {
    fn report(&self) -> WalkReport {
        self.report.clone()
    }
}

/// A path as text that is never ambiguous: bytes that are not UTF-8 become `\xNN`, and a name that
/// already holds `\x` has that backslash written as `\x5C`.
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        match chunk.valid() {
            plain if !plain.contains("\\x") => text.push_str(plain),
            odd => text.push_str(&odd.replace("\\x", "\\x5Cx")),
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

/// The path that [`path_text`] wrote as `text`.
pub fn path_of_text(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.extend_from_slice(b"\\x");
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests;
