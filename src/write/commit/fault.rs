//! A file system for tests that fails, or stops the machine, at a given call, and that knows what
//! a power loss would leave: files as they were synced last, names as their folder was.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{CommitFile, CommitFs, RealFs};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails as on a full disk; later ones work.
    Error,
    /// The machine stops: the call and all later ones do nothing.
    Stop,
}

/// Whether the file system can exchange two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    Works,
    Missing,
}

/// What a power loss leaves on the disk. (Where only the process was killed, everything is left.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// Only what was synced.
    Synced,
    /// All names, but only synced bytes behind them.
    NamesAndSyncedBytes,
    /// Of the base folder what was synced; below it all names, with synced bytes behind them.
    InnerNamesAndSyncedBytes,
}

impl Remains {
    pub(crate) const ALL: [Self; 3] = [Self::Synced, Self::NamesAndSyncedBytes, Self::InnerNamesAndSyncedBytes];
}

/// The real file system without syncing, for tests that nothing interrupts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnsyncedFs;

struct UnsyncedFile(Box<dyn CommitFile>);

impl Write for UnsyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl CommitFile for UnsyncedFile {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl CommitFs for UnsyncedFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn CommitFile>> {
        Ok(Box::new(UnsyncedFile(RealFs.create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.remove_dir(dir)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.hard_link(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        RealFs.exchange(one, other)
    }
}

/// The real file system with a fault at one call. What is synced is only noted.
#[derive(Clone)]
pub(crate) struct FaultFs(Arc<Mutex<State>>);

struct State {
    disk: Disk,
    calls: usize,
    fault: Option<(usize, Fault)>,
    has_stopped: bool,
    exchange: Exchange,
}

impl FaultFs {
    /// Watches `base`, all of which counts as synced. The fault comes at call number `at`.
    pub(crate) fn new(base: &Path, fault: Option<(usize, Fault)>, exchange: Exchange) -> Self {
        let disk = Disk::scan(base);
        Self(Arc::new(Mutex::new(State {
            disk,
            calls: 0,
            fault,
            has_stopped: false,
            exchange,
        })))
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// Writes what a stop at this moment leaves to the new folder `target`.
    pub(crate) fn leave(&self, remains: Remains, target: &Path) {
        self.0.lock().unwrap().disk.write_to(ROOT, remains, target);
    }

    fn call<T>(&self, real: impl FnOnce() -> io::Result<T>, model: impl FnOnce(&mut Disk)) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        if state.has_stopped {
            return Err(io::Error::other("the machine has stopped"));
        }
        state.calls += 1;
        match state.fault {
            Some((at, Fault::Error)) if at == state.calls => return Err(io::ErrorKind::StorageFull.into()),
            Some((at, Fault::Stop)) if at == state.calls => {
                state.has_stopped = true;
                return Err(io::Error::other("the machine stops"));
            }
            _ => {}
        }
        let value = real()?;
        model(&mut state.disk);
        Ok(value)
    }
}

struct FaultFile {
    fs: FaultFs,
    node: usize,
    real: Box<dyn CommitFile>,
}

impl Write for FaultFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (real, node) = (&mut self.real, self.node);
        self.fs.call(
            || real.write_all(bytes),
            |disk| disk.nodes[node].live_bytes.extend_from_slice(bytes),
        )?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.real.flush()
    }
}

impl CommitFile for FaultFile {
    fn sync(&mut self) -> io::Result<()> {
        let node = self.node;
        self.fs.call(
            || Ok(()),
            |disk| disk.nodes[node].synced_bytes = disk.nodes[node].live_bytes.clone(),
        )
    }
}

impl CommitFs for FaultFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn CommitFile>> {
        let mut node = 0;
        let real = self.call(|| RealFs.create(path), |disk| node = disk.create(path))?;
        Ok(Box::new(FaultFile {
            fs: self.clone(),
            node,
            real,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(
            || RealFs.rename(from, to),
            |disk| {
                let node = disk.unlink(from);
                disk.link(to, node);
            },
        )
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(
            || Ok(()),
            |disk| {
                let node = disk.find(dir);
                disk.nodes[node].synced_names = disk.nodes[node].live_names.clone();
            },
        )
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(
            || RealFs.remove_file(path),
            |disk| {
                disk.unlink(path);
            },
        )
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(
            || RealFs.create_dir(dir),
            |disk| {
                let node = disk.add(Node {
                    is_dir: true,
                    ..Node::default()
                });
                disk.link(dir, node);
            },
        )
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(
            || RealFs.remove_dir(dir),
            |disk| {
                disk.unlink(dir);
            },
        )
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(
            || RealFs.hard_link(from, to),
            |disk| {
                let node = disk.find(from);
                disk.link(to, node);
            },
        )
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        if self.0.lock().unwrap().exchange == Exchange::Missing {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.call(
            || RealFs.exchange(one, other),
            |disk| {
                let (first, second) = (disk.unlink(one), disk.unlink(other));
                disk.link(one, second);
                disk.link(other, first);
            },
        )
    }
}

/// Position of the base folder in [`Disk::nodes`].
const ROOT: usize = 0;

/// Files and folders, each as it is and as it was synced last.
struct Disk {
    base: PathBuf,
    nodes: Vec<Node>,
}

#[derive(Default, Clone)]
struct Node {
    is_dir: bool,
    live_names: BTreeMap<OsString, usize>,
    synced_names: BTreeMap<OsString, usize>,
    live_bytes: Vec<u8>,
    synced_bytes: Vec<u8>,
}

impl Disk {
    fn scan(base: &Path) -> Self {
        let mut disk = Self {
            base: base.to_owned(),
            nodes: vec![Node {
                is_dir: true,
                ..Node::default()
            }],
        };
        disk.scan_dir(ROOT, base);
        disk
    }

    fn scan_dir(&mut self, node: usize, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let child = self.import(&entry.path());
            self.nodes[node].live_names.insert(entry.file_name(), child);
        }
        self.nodes[node].synced_names = self.nodes[node].live_names.clone();
    }

    /// Takes in a file or folder that is there without having come by [`FaultFs`].
    fn import(&mut self, path: &Path) -> usize {
        if path.is_dir() {
            let node = self.add(Node {
                is_dir: true,
                ..Node::default()
            });
            self.scan_dir(node, path);
            return node;
        }
        let bytes = fs::read(path).unwrap();
        self.add(Node {
            live_bytes: bytes.clone(),
            synced_bytes: bytes,
            ..Node::default()
        })
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn find(&mut self, path: &Path) -> usize {
        let relative = path.strip_prefix(&self.base).expect("a path under the base").to_owned();
        let mut node = ROOT;
        let mut here = self.base.clone();
        for component in relative.components() {
            let Component::Normal(name) = component else {
                panic!("{path:?} is not plain")
            };
            here.push(name);
            let known = self.nodes[node].live_names.get(name).copied();
            let child = known.unwrap_or_else(|| self.import(&here));
            self.nodes[node].live_names.insert(name.to_owned(), child);
            node = child;
        }
        node
    }

    fn create(&mut self, path: &Path) -> usize {
        let parent = self.find(path.parent().unwrap());
        let existing = self.nodes[parent].live_names.get(path.file_name().unwrap()).copied();
        let node = existing.unwrap_or_else(|| self.add(Node::default()));
        self.nodes[node].live_bytes.clear();
        self.link(path, node);
        node
    }

    fn link(&mut self, path: &Path, node: usize) {
        let parent = self.find(path.parent().unwrap());
        self.nodes[parent]
            .live_names
            .insert(path.file_name().unwrap().to_owned(), node);
    }

    fn unlink(&mut self, path: &Path) -> usize {
        let parent = self.find(path.parent().unwrap());
        // A name that did not come by here (the lock) has no bytes worth keeping.
        let known = self.nodes[parent].live_names.remove(path.file_name().unwrap());
        known.unwrap_or_else(|| self.add(Node::default()))
    }

    fn write_to(&self, node: usize, remains: Remains, target: &Path) {
        let is_base = node == ROOT;
        let node = &self.nodes[node];
        if !node.is_dir {
            return fs::write(target, &node.synced_bytes).unwrap();
        }
        fs::create_dir_all(target).unwrap();
        let names = match remains {
            Remains::Synced => &node.synced_names,
            Remains::InnerNamesAndSyncedBytes if is_base => &node.synced_names,
            Remains::NamesAndSyncedBytes | Remains::InnerNamesAndSyncedBytes => &node.live_names,
        };
        for (name, child) in names {
            self.write_to(*child, remains, &target.join(name));
        }
    }
}
