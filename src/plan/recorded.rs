//! What a dataset remembers of the plan it was made with, in `OUT/_labelmill/plan.toml` and
//! `roots.json`: enough to plan or run it again by its own name, and to know a root that is typed
//! differently the next time. Labels never depend on these files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::RunPlan;
use crate::config::Config;
use crate::exit::UsageError;
use crate::source::{Root, lexical_absolute, path_of_text, path_text};
use crate::write::BOOKKEEPING_DIR;

/// The plan of an earlier run.
pub struct Recorded {
    /// The dataset.
    pub out: PathBuf,
    /// Its roots.
    pub roots: Vec<Root>,
    /// Its configuration.
    pub config: Config,
}

/// The plan of the dataset that was typed in place of the inputs, if it is one.
pub fn read(paths: &[String]) -> anyhow::Result<Option<Recorded>> {
    let [path] = paths else { return Ok(None) };
    let out = lexical_absolute(Path::new(path))?;
    let plan = out.join(BOOKKEEPING_DIR).join("plan.toml");
    if !plan.is_file() {
        return Ok(None);
    }
    let config = Config::load(&plan)?;
    let roots = folders(&out)?.into_iter().map(|(name, folder)| Root {
        name: name.into(),
        folder: path_of_text(&folder),
        single_file: None,
    });
    Ok(Some(Recorded {
        roots: roots.collect(),
        config,
        out,
    }))
}

/// Gives roots the names under which the dataset knows their folders: `pics` and its absolute path
/// are one root, and a single file in it is a row of that root. A folder inside or around a known
/// one is refused.
pub fn keep_names(mut roots: Vec<Root>, out: &Path) -> anyhow::Result<Vec<Root>> {
    let known = folders(out)?;
    for root in roots.iter_mut().filter(|root| !known.contains_key(&*root.name)) {
        let overlapping = known.iter().map(|(name, folder)| (name, path_of_text(folder)));
        for (name, folder) in overlapping {
            if root.folder == folder || (root.single_file.is_some() && root.folder.starts_with(&folder)) {
                (root.name, root.folder) = (name.as_str().into(), folder);
                break;
            }
            if root.folder.starts_with(&folder) || folder.starts_with(&root.folder) {
                let message = format!(
                    "{} overlaps {}, which this dataset knows as {name}: its images would be there twice; \
                     label {name} again, or name another --out",
                    root.folder.display(),
                    folder.display()
                );
                return Err(UsageError::error(message));
            }
        }
    }
    Ok(roots)
}

/// Records roots and plan of a run beside what earlier runs recorded. To be called before the first
/// row is written: a run that is killed leaves rows, and the next one must know their roots.
pub fn write(plan: &RunPlan, bookkeeping: &Path) -> anyhow::Result<()> {
    let mut known = folders(&plan.out)?;
    for root in plan.roots.iter().filter(|root| root.single_file.is_none()) {
        known.insert(root.name.to_string(), path_text(&root.folder));
    }
    let roots = serde_json::to_string_pretty(&known)?;
    for (name, text) in [("plan.toml", plan.to_toml()), ("roots.json", roots)] {
        let temporary = bookkeeping.join(format!("{name}.tmp"));
        std::fs::write(&temporary, text)?;
        std::fs::rename(&temporary, bookkeeping.join(name))?;
    }
    Ok(())
}

/// Folder by root name.
fn folders(out: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let path = out.join(BOOKKEEPING_DIR).join("roots.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is damaged; remove it", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
