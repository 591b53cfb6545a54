//! `labelmill models add`: a model of the user's own, or of somebody's repository, into the store
//! under its name. Its manifest is checked first, its files while they come.

use std::path::{Path, PathBuf};

use super::embedded::EMBEDDED;
use super::files::Model;
use super::lock::ModelLock;
use super::manifest::Manifest;
use super::pull::{self, Network, PullError, PullProgress};
use super::source::{FileSource, HubFile};
use super::store::ModelStore;
use super::verified::write_whole;

/// Largest manifest that is taken, in bytes.
const MAX_MANIFEST: u64 = 4 << 20;

/// Whether a model of the same name may give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameName {
    /// No: it is an error.
    Keep,
    /// Yes.
    Replace,
}

/// Adds the model in a folder, or in `hub:OWNER/REPO[@REVISION]`, and pulls its files.
///
/// # Errors
/// No manifest there, one that is wrong, a name that is taken, a file that cannot be had, a graph
/// that is refused.
pub fn add(
    store: &ModelStore,
    what: &str,
    same_name: SameName,
    network: &Network,
    progress: &dyn PullProgress,
) -> Result<Model, PullError> {
    let home = store
        .home()
        .ok_or_else(|| PullError::Source("there is no store: set HOME, XDG_DATA_HOME or LABELMILL_MODELS".into()))?;
    let (text, origin) = match what.strip_prefix("hub:") {
        Some(repository) => from_hub(repository, network)?,
        None => from_folder(Path::new(what))?,
    };
    let manifest = Manifest::parse(&text, &format!("{what}/model.toml"))?;
    if what.starts_with("hub:") {
        names_no_local_files(&manifest, what)?;
    }
    let folder = home.join(&manifest.name);
    let is_taken = folder.join("model.toml").is_file() || EMBEDDED.iter().any(|model| model.name == manifest.name);
    if is_taken {
        if same_name == SameName::Keep {
            return Err(PullError::Source(format!(
                "there is a model `{}` already; give --replace to put this one in its place",
                manifest.name
            )));
        }
        remove(&folder)?;
    }
    register(&folder, &text, origin)?;
    let model = Model::open(folder.clone(), Some(home))?;
    let pulled = pull::pull(&model, network, progress);
    if matches!(pulled, Err(PullError::Model(_) | PullError::NoSource { .. })) {
        // Nothing of a refused model stays.
        remove(&folder)?;
    }
    pulled.map(|_| model)
}

fn register(folder: &Path, manifest: &str, origin: String) -> Result<(), PullError> {
    let lock = ModelLock {
        origin: Some(origin),
        ..ModelLock::default()
    };
    let write = || {
        std::fs::create_dir_all(folder)?;
        lock.write(folder)?;
        write_whole(&folder.join("model.toml"), manifest.as_bytes())
    };
    write().map_err(PullError::file(folder))
}

fn remove(folder: &Path) -> Result<(), PullError> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(PullError::file(folder))?;
    }
    Ok(())
}

fn from_folder(folder: &Path) -> Result<(String, String), PullError> {
    let path: PathBuf = folder.join("model.toml");
    let metadata = std::fs::metadata(&path).map_err(PullError::file(&path))?;
    if metadata.len() > MAX_MANIFEST {
        return Err(PullError::Source(format!("{} is larger than 4 MiB", path.display())));
    }
    let text = std::fs::read_to_string(&path).map_err(PullError::file(&path))?;
    let folder = folder.canonicalize().map_err(PullError::file(folder))?;
    Ok((text, format!("folder:{}", folder.display())))
}

/// The manifest of a hub's repository, and the repository at the commit that it is of now, so that
/// later pulls are of the same.
fn from_hub(repository: &str, network: &Network) -> Result<(String, String), PullError> {
    let mut file = HubFile::parse(repository).map_err(PullError::Source)?;
    if !file.path.is_empty() {
        let message = format!("hub:{repository} names a file; hub:OWNER/REPO[@REVISION] is wanted");
        return Err(PullError::Source(message));
    }
    "model.toml".clone_into(&mut file.path);
    let (text, commit) = pull::read_text(&file, network, MAX_MANIFEST)?;
    let revision = commit.unwrap_or(file.revision);
    Ok((text, format!("hub:{}@{revision}", file.repository)))
}

/// Somebody else's manifest has no business with files of this machine.
fn names_no_local_files(manifest: &Manifest, what: &str) -> Result<(), PullError> {
    let sources = manifest.files.iter().filter_map(|listed| listed.source.as_ref());
    let mut local = sources.filter(|source| matches!(source.parse(), Ok(FileSource::Folder(_))));
    match local.next() {
        Some(source) => Err(PullError::Source(format!(
            "{what}/model.toml takes a file of this machine ({source}); it is not added"
        ))),
        None => Ok(()),
    }
}
