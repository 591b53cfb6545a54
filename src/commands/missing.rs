//! Models that a plan names and that are not here: how much they are, and pulling them after a yes.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;

use super::download::Download;
use crate::cli::MessageArgs;
use crate::config::{Config, InterrogateScope};
use crate::model::pull::{self, Network};
use crate::model::source::FileSource;
use crate::model::{Model, ModelStore};
use crate::progress::human_bytes;

/// Who says that missing models may be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// The person at the terminal, where there is one.
    Ask,
    /// The command line.
    Given,
}

/// A model that lacks files, and the bytes that are to be pulled, where known.
struct Missing {
    model: Model,
    bytes: Option<u64>,
}

/// Every model that a configuration names, for whatever it does.
pub fn names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = config.model.iter().map(|entry| entry.name.clone()).collect();
    if config.prompt.interrogate != InterrogateScope::None {
        let interrogate = [&config.interrogate.model, &config.interrogate.captioner];
        names.extend(interrogate.into_iter().filter(|name| !name.is_empty()).cloned());
    }
    names
}

/// Pulls what the named models lack, after a yes.
///
/// # Errors
/// Files that are offered nowhere; no yes; whatever stops a pull.
pub fn pull(store: &ModelStore, names: &[String], consent: Consent, messages: &MessageArgs) -> anyhow::Result<()> {
    let mut lacking: Vec<Model> = Vec::new();
    for name in names {
        let model = store.resolve(name)?;
        let is_known = lacking.iter().any(|known| known.manifest.name == model.manifest.name);
        if !model.missing_files().is_empty() && !is_known {
            lacking.push(model);
        }
    }
    if lacking.is_empty() {
        return Ok(());
    }
    for model in &lacking {
        is_offered(model)?;
    }
    let network = Network::from_environment();
    let missing: Vec<Missing> = lacking.into_iter().map(|model| measure(model, &network)).collect();
    let is_allowed = match consent {
        Consent::Given => true,
        Consent::Ask => std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && ask(&missing)?,
    };
    if !is_allowed {
        anyhow::bail!("{}", refusal(&missing));
    }
    let progress = Download::new(messages);
    for Missing { model, .. } in &missing {
        let name = &model.manifest.name;
        pull::pull(model, &network, &progress).with_context(|| format!("pulling {name}"))?;
    }
    Ok(())
}

/// Whether every file that is missing can be pulled; otherwise the error that says what to do.
fn is_offered(model: &Model) -> anyhow::Result<()> {
    for wanted in model.wanted_files() {
        if matches!(wanted.source, None | Some(FileSource::Export(_))) {
            model.file(&wanted.file)?;
        }
    }
    Ok(())
}

fn measure(model: Model, network: &Network) -> Missing {
    let sizes = model.wanted_files().into_iter().map(|wanted| {
        // A server that does not tell, or cannot be reached, is no reason to stop here.
        pull::size_of(&wanted, network).ok().flatten().or(wanted.about)
    });
    let bytes = sizes.sum();
    Missing { model, bytes }
}

fn in_words(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "size unknown".to_owned(), human_bytes)
}

/// One line that names the one command to run.
fn refusal(missing: &[Missing]) -> String {
    let named: Vec<String> = missing
        .iter()
        .map(|Missing { model, bytes }| format!("{} ({})", model.manifest.name, in_words(*bytes)))
        .collect();
    let names: Vec<&str> = missing
        .iter()
        .map(|missing| missing.model.manifest.name.as_str())
        .collect();
    format!(
        "models are not here: {}; run `labelmill models pull {}` first, or give --yes",
        named.join(", "),
        names.join(" ")
    )
}

/// Asks at the terminal; anything but a yes is a no.
fn ask(missing: &[Missing]) -> anyhow::Result<bool> {
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "models that are not here yet:")?;
    for Missing { model, bytes } in missing {
        let manifest = &model.manifest;
        writeln!(
            stderr,
            "  {:<24} {:>10}  {}  [{}]",
            manifest.name,
            in_words(*bytes),
            manifest.description,
            manifest.licence
        )?;
    }
    let total = in_words(missing.iter().map(|missing| missing.bytes).sum());
    let place = missing[0].model.pull_folder().and_then(|folder| folder.parent());
    let place = place
        .map(|place| format!(" into {}", place.display()))
        .unwrap_or_default();
    write!(stderr, "pull them ({total}){place}? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// What a configuration would download, in words: nothing, or how much.
pub fn download_in_words(store: &ModelStore, names: &[String]) -> String {
    let mut bytes = Some(0_u64);
    let (mut is_missing, mut is_made) = (false, false);
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let Ok(model) = store.resolve(name) else {
            return "names a model that is not known".to_owned();
        };
        if seen.contains(&model.manifest.name) {
            continue;
        }
        seen.push(model.manifest.name.clone());
        for wanted in model.wanted_files() {
            is_missing = true;
            is_made |= matches!(wanted.source, Some(FileSource::Export(_)));
            bytes = bytes.zip(wanted.expected_size()).map(|(sum, size)| sum + size);
        }
    }
    if is_made {
        return "needs an export first: labelmill models list".to_owned();
    }
    match (is_missing, bytes) {
        (false, _) => "nothing to download".to_owned(),
        (true, Some(bytes)) => format!("downloads about {}", human_bytes(bytes)),
        (true, None) => "downloads models".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(is_yes("y\n") && is_yes(" YES "));
        assert!(!is_yes("") && !is_yes("n") && !is_yes("yeah, no"));
    }
}
