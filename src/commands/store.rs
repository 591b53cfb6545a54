//! `labelmill models`.

use std::io::Write;

use anyhow::Context;

use super::download::Download;
use super::table;
use crate::cli::{MessageArgs, ModelsArgs, ModelsCommand};
use crate::exit::ExitStatus;
use crate::model::add::{self, SameName};
use crate::model::pull::{self, Network};
use crate::model::{Model, ModelStore};
use crate::progress::human_bytes;

/// `labelmill models`
pub fn models(args: &ModelsArgs, messages: &MessageArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let store = ModelStore::from_environment(None);
    match &args.command {
        ModelsCommand::List { json: true } => table::write_json(&store.list(), out)?,
        ModelsCommand::List { json: false } => table::write(&store, out)?,
        ModelsCommand::Pull { names } => pull_named(&store, names, messages)?,
        ModelsCommand::Verify { names } => return verify(&store, names, out),
        ModelsCommand::Path { name } => {
            let model = store.resolve(name)?;
            match model.folder() {
                Some(folder) => writeln!(out, "{}", folder.display())?,
                None if model.missing_files().is_empty() => writeln!(out, "embedded in the program")?,
                None => {
                    let lacks = model.missing_files()[0].to_owned();
                    model.file(&lacks)?;
                }
            }
        }
        ModelsCommand::Add { what, replace } => {
            let same_name = if *replace { SameName::Replace } else { SameName::Keep };
            let progress = Download::new(messages);
            let model = add::add(&store, what, same_name, &Network::from_environment(), &progress)
                .with_context(|| format!("adding {what}"))?;
            say_where(&model, "added");
        }
    }
    Ok(ExitStatus::Done)
}

fn pull_named(store: &ModelStore, names: &[String], messages: &MessageArgs) -> anyhow::Result<()> {
    let network = Network::from_environment();
    let progress = Download::new(messages);
    for name in names {
        let model = store.resolve(name)?;
        let pulled = pull::pull(&model, &network, &progress).with_context(|| format!("pulling {name}"))?;
        say_where(
            &model,
            if pulled.is_empty() {
                "was here already:"
            } else {
                "pulled"
            },
        );
    }
    Ok(())
}

fn say_where(model: &Model, what: &str) {
    let place = model
        .folder()
        .map_or_else(|| "the program".to_owned(), |folder| folder.display().to_string());
    tracing::info!(
        "{what} {} ({}, licence {}) in {place}",
        model.manifest.name,
        human_bytes(model.size_here()),
        model.manifest.licence
    );
}

/// Hashes every file of the named models, or of all that have files here.
fn verify(store: &ModelStore, names: &[String], out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let models: Vec<Model> = if names.is_empty() {
        let known = store.list().into_iter().filter_map(|(_, model)| model.ok());
        known.filter(|model| model.size_here() > 0).collect()
    } else {
        names.iter().map(|name| store.resolve(name)).collect::<Result<_, _>>()?
    };
    let mut status = ExitStatus::Done;
    for model in &models {
        for file in model.manifest.needed_files() {
            let name = &model.manifest.name;
            match model.verify(file) {
                Ok(found) => writeln!(out, "ok      {name}/{file}  sha256 {}", found.sha256)?,
                Err(error) => {
                    status = ExitStatus::Failed;
                    writeln!(out, "failed  {name}/{file}  {error}")?;
                }
            }
        }
    }
    Ok(status)
}
