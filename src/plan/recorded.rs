//! What a dataset remembers of the plan it was made with, in `OUT/_labelmill/plan.toml`,
//! `roots.json` and `filters.json`: enough to plan or run it again by its own name, to know a root
//! that is typed differently the next time, and to notice that a run takes less of a root than the
//! one before. Labels never depend on these files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::RunPlan;
use crate::config::{Config, InputConfig};
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

/// In which way this plan takes less of one of its roots than the run did that recorded it.
pub fn narrowed(plan: &RunPlan) -> anyhow::Result<Option<String>> {
    let before = filters(&plan.out)?;
    let now = &plan.config.input;
    Ok(plan
        .roots
        .iter()
        .filter_map(|root| before.get(&*root.name))
        .find_map(|before| narrowing(before, now)))
}

/// Why files that `before` took may be left out by `now`.
fn narrowing(before: &InputConfig, now: &InputConfig) -> Option<String> {
    let is_new = |glob: &&String| !before.exclude.contains(glob);
    if let Some(glob) = now.exclude.iter().find(is_new) {
        return Some(format!("exclude = {glob:?} is new"));
    }
    if !now.include.is_empty() {
        if before.include.is_empty() {
            return Some(format!("include = {:?} is new", now.include[0]));
        }
        if let Some(glob) = before.include.iter().find(|glob| !now.include.contains(glob)) {
            return Some(format!("include = {glob:?} is missing"));
        }
    }
    let switches = [
        ("hidden", before.hidden && !now.hidden),
        ("follow_links", before.follow_links && !now.follow_links),
        // By content or by extension: each takes what the other leaves out.
        ("sniff", before.sniff != now.sniff),
    ];
    let (name, _) = switches.into_iter().find(|(_, narrows)| *narrows)?;
    Some(format!("{name} is another"))
}

/// Records roots and plan of a run beside what earlier runs recorded. To be called before the first
/// row is written: a run that is killed leaves rows, and the next one must know their roots.
pub fn write(plan: &RunPlan, bookkeeping: &Path) -> anyhow::Result<()> {
    let mut known = folders(&plan.out)?;
    for root in plan.roots.iter().filter(|root| root.single_file.is_none()) {
        known.insert(root.name.to_string(), path_text(&root.folder));
    }
    let mut taken = filters(&plan.out)?;
    for root in &plan.roots {
        // A limited run takes nothing out, so what it leaves out is not settled yet.
        if plan.max_images.is_none() || !taken.contains_key(&*root.name) {
            taken.insert(root.name.to_string(), plan.config.input.clone());
        }
    }
    let roots = serde_json::to_string_pretty(&known)?;
    let taken = serde_json::to_string_pretty(&taken)?;
    let texts = [
        ("plan.toml", plan.to_toml()),
        ("roots.json", roots),
        ("filters.json", taken),
    ];
    for (name, text) in texts {
        let temporary = bookkeeping.join(format!("{name}.tmp"));
        std::fs::write(&temporary, text)?;
        std::fs::rename(&temporary, bookkeeping.join(name))?;
    }
    Ok(())
}

/// Folder by root name.
fn folders(out: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    by_root(out, "roots.json")
}

/// What the last whole run took, by root name.
fn filters(out: &Path) -> anyhow::Result<BTreeMap<String, InputConfig>> {
    by_root(out, "filters.json")
}

fn by_root<T: serde::de::DeserializeOwned>(out: &Path, name: &str) -> anyhow::Result<BTreeMap<String, T>> {
    let path = out.join(BOOKKEEPING_DIR).join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is damaged; remove it", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_takes_more_is_no_narrowing() {
        let of = |include: &[&str], exclude: &[&str]| InputConfig {
            include: include.iter().map(|glob| (*glob).to_owned()).collect(),
            exclude: exclude.iter().map(|glob| (*glob).to_owned()).collect(),
            ..InputConfig::default()
        };
        let wider = [
            (of(&["a/**"], &["b", "c"]), of(&["a/**", "d/**"], &["c"])),
            (of(&["a/**"], &[]), of(&[], &[])),
            (
                of(&[], &[]),
                InputConfig {
                    hidden: true,
                    follow_links: true,
                    ..of(&[], &[])
                },
            ),
        ];
        for (before, now) in &wider {
            assert_eq!(narrowing(before, now), None);
            assert!(narrowing(now, before).is_some(), "{now:?} to {before:?}");
        }
        let by_content = InputConfig {
            sniff: true,
            ..of(&[], &[])
        };
        assert!(narrowing(&by_content, &of(&[], &[])).is_some());
        assert!(narrowing(&of(&[], &[]), &by_content).is_some());
    }
}
