//! Files beside an image that belong to it: which there are, and a stamp by which the ledger
//! notices that one came, changed or went. A folder is listed once for them, and only what is there
//! is looked at, so that a collection without sidecars costs a listing a folder.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::local_file::file_stat;
use crate::record::SidecarStamp;

/// Where a sidecar with `suffix` may be: in place of the image's extension, or behind its name.
fn candidates(image: &Path, suffix: &str) -> impl Iterator<Item = PathBuf> {
    let mut appended = image.as_os_str().to_owned();
    appended.push(suffix);
    let replaced = image.with_extension(suffix.trim_start_matches('.'));
    [replaced, PathBuf::from(appended)]
        .into_iter()
        .filter(|path| path != image)
        .collect::<Vec<_>>()
        .into_iter()
}

/// The image's sidecar with `suffix`, if it has one.
pub(super) fn find(image: &Path, suffix: &str) -> Option<PathBuf> {
    candidates(image, suffix).find(|path| path.is_file())
}

/// What stands beside `image` now, of the files that `may_be_there`.
pub(super) fn stamp(image: &Path, suffixes: &[&str], may_be_there: impl Fn(&Path) -> bool) -> SidecarStamp {
    let mut hasher = blake3::Hasher::new();
    for suffix in suffixes {
        let found = candidates(image, suffix)
            .filter(|path| may_be_there(path))
            .find_map(|path| Some((std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?, path)));
        if let Some((metadata, path)) = found {
            let stat = file_stat(&metadata);
            hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(&stat.size.to_le_bytes());
            hasher.update(&stat.modified_at.to_le_bytes());
        }
    }
    if hasher.count() == 0 {
        return SidecarStamp::NONE;
    }
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    SidecarStamp(u32::from_le_bytes(bytes).max(1))
}

/// Images of one folder that are named one by one for which looking for their sidecars by name is
/// quicker than listing the folder, which may be large.
const FEW_NAMED: usize = 16;

/// Listings of the folders that a walk is in, from the root down.
#[derive(Default)]
pub(super) struct Listings {
    open: Vec<Listing>,
    /// The folder of the last image that was named by itself, and how many there were in a row.
    named: (PathBuf, usize),
}

struct Listing {
    folder: PathBuf,
    /// Names that end as sidecars do; none where the folder could not be listed.
    names: Option<HashSet<OsString>>,
}

impl Listing {
    /// Whether `image` is right in this folder, by its path as it is written, and no sidecar is.
    /// Taking every path apart would cost more than all else that is done for an image here.
    fn is_empty_and_has(&self, image: &Path) -> bool {
        let folder = self.folder.as_os_str().as_bytes();
        let name = image.as_os_str().as_bytes().strip_prefix(folder);
        self.names.as_ref().is_some_and(HashSet::is_empty)
            && name.is_some_and(|name| memchr::memrchr(b'/', name) == Some(0))
    }
}

impl Listings {
    /// The stamp of an image that was named by itself.
    pub(super) fn stamp_of_named(&mut self, image: &Path, suffixes: &[&str]) -> SidecarStamp {
        let folder = image.parent().unwrap_or(Path::new(""));
        if self.named.0 != folder {
            self.named = (folder.to_owned(), 0);
        }
        self.named.1 += 1;
        if self.named.1 <= FEW_NAMED {
            return stamp(image, suffixes, |_| true);
        }
        self.stamp(image, suffixes)
    }

    /// The stamp of an image that the walk has come to.
    pub(super) fn stamp(&mut self, image: &Path, suffixes: &[&str]) -> SidecarStamp {
        if self.open.last().is_some_and(|last| last.is_empty_and_has(image)) {
            return SidecarStamp::NONE;
        }
        let Some(folder) = image.parent().filter(|_| !suffixes.is_empty()) else {
            return SidecarStamp::NONE;
        };
        while self.open.last().is_some_and(|last| !folder.starts_with(&last.folder)) {
            self.open.pop();
        }
        if self.open.last().is_none_or(|last| last.folder != folder) {
            self.open.push(Listing {
                folder: folder.to_owned(),
                names: list(folder, suffixes).ok(),
            });
        }
        let names = self.open.last().and_then(|last| last.names.as_ref());
        if names.is_some_and(HashSet::is_empty) {
            return SidecarStamp::NONE;
        }
        stamp(image, suffixes, |path| match names {
            Some(names) => path.file_name().is_some_and(|name| names.contains(name)),
            None => true,
        })
    }
}

fn list(folder: &Path, suffixes: &[&str]) -> io::Result<HashSet<OsString>> {
    let mut names = HashSet::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if suffixes.iter().any(|suffix| bytes.ends_with(suffix.as_bytes())) {
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUFFIXES: [&str; 2] = [".txt", ".swarm.json"];

    #[test]
    fn a_stamp_tells_of_a_sidecar_that_comes_changes_or_goes() {
        let dir = tempfile::tempdir().expect("tempdir");
        let image = dir.path().join("a.b.png");
        let now = || {
            let direct = stamp(&image, &SUFFIXES, |_| true);
            assert_eq!(Listings::default().stamp(&image, &SUFFIXES), direct);
            direct
        };
        let mut seen = vec![now()];
        assert_eq!(seen[0], SidecarStamp::NONE);
        for (name, text) in [
            ("a.b.png.txt", "x"),
            ("a.b.png.txt", "longer"),
            ("a.b.txt", "longer"),
            ("a.b.swarm.json", "{}"),
        ] {
            std::fs::write(dir.path().join(name), text).expect("written");
            seen.push(now());
        }
        // Not this image's: another stem, another suffix.
        for name in ["a.txt", "a.b.json"] {
            std::fs::write(dir.path().join(name), "x").expect("written");
        }
        assert_eq!(now(), seen[4]);
        for (index, stamp) in seen.iter().enumerate() {
            assert!(!seen[..index].contains(stamp), "{seen:?}");
        }
        for name in ["a.b.png.txt", "a.b.txt", "a.b.swarm.json"] {
            std::fs::remove_file(dir.path().join(name)).expect("removed");
        }
        assert_eq!(now(), SidecarStamp::NONE);
        assert_eq!(Listings::default().stamp(&image, &[]), SidecarStamp::NONE);
    }

    #[test]
    fn a_folder_is_listed_once_although_others_lie_between_its_images() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::create_dir(dir.path().join("m")).expect("folder");
        std::fs::write(dir.path().join("a.txt"), "x").expect("written");
        let mut listings = Listings::default();
        let mut at = |path: &str| listings.stamp(&dir.path().join(path), &SUFFIXES);
        assert_ne!(at("a.png"), SidecarStamp::NONE);
        // Came after the listing: the walk does not see it, and looks for it no more.
        std::fs::write(dir.path().join("z.txt"), "x").expect("written");
        assert_eq!((at("m/1.png"), at("z.png")), (SidecarStamp::NONE, SidecarStamp::NONE));
    }

    #[test]
    fn images_named_one_by_one_have_the_stamps_that_the_walk_gives() {
        let dir = tempfile::tempdir().expect("tempdir");
        for name in ["3.txt", "20.txt", "21.swarm.json"] {
            std::fs::write(dir.path().join(name), "x").expect("written");
        }
        let (mut named, mut walked) = (Listings::default(), Listings::default());
        let mut found = 0;
        for number in 0..30 {
            let image = dir.path().join(format!("{number}.png"));
            let stamp = named.stamp_of_named(&image, &SUFFIXES);
            assert_eq!(stamp, walked.stamp(&image, &SUFFIXES), "{number}");
            found += usize::from(stamp != SidecarStamp::NONE);
        }
        assert_eq!(found, 3);
    }
}
