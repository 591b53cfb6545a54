//! From `[interrogate]` and `[prompt]` to an interrogator that is ready to work.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::config::{InterrogateConfig, InterrogateScope, nearest};
use crate::exit::UsageError;
use crate::label::caption::open_captioner;
use crate::label::interrogate::{
    InterrogateOptions, InterrogatorLabeler, Mode, PEER_TABLES, Rules, Scope, TermTable, Unwatched, Watch,
    peer_data_folder,
};
use crate::label::{LabelError, LabelerOptions, Towers};
use crate::model::{Model, Runtime};
use crate::plan::RunPlan;
use crate::progress::Progress;
use crate::stop::Stop;

/// How far models are to be made ready.
#[derive(Clone, Copy)]
pub enum Readiness<'a> {
    /// They only tell their columns and fingerprints.
    ToTell,
    /// They label; who wants to end may do so while term tables are embedded.
    ToLabel(&'a Stop),
}

/// The name of the CLIP that interrogates, if one does.
pub fn wanted_model(plan: &RunPlan) -> Option<&str> {
    let is_wanted = plan.config.prompt.interrogate != InterrogateScope::None;
    Some(plan.config.interrogate.model.as_str()).filter(|model| is_wanted && !model.is_empty())
}

/// What an interrogator is opened with.
pub struct Opening<'a> {
    /// The plan.
    pub plan: &'a RunPlan,
    /// Loads graphs.
    pub runtime: &'a dyn Runtime,
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
    /// What for.
    pub readiness: Readiness<'a>,
}

/// Loads the interrogator of a plan: a CLIP, and the captioner where one is named.
pub fn open(
    opening: &Opening<'_>,
    model: &Model,
    captioner: Option<&Model>,
    labeler: &LabelerOptions,
    towers: &mut Towers,
) -> anyhow::Result<InterrogatorLabeler> {
    let Opening { plan, runtime, .. } = *opening;
    let captioner = captioner
        .map(|captioner| open_captioner(captioner, runtime, labeler))
        .transpose()?;
    let mut interrogator = InterrogatorLabeler::open(model, runtime, labeler, options(plan)?, captioner, towers)?;
    if let Readiness::ToLabel(stop) = opening.readiness {
        let watch = Watched {
            progress: opening.progress,
            stop,
        };
        interrogator.make_ready(model, runtime, labeler, &watch)?;
    }
    Ok(interrogator)
}

/// Whether an error only says that somebody wanted to end.
pub fn is_end(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| matches!(cause.downcast_ref(), Some(LabelError::Ended(_))))
}

struct Watched<'a> {
    progress: &'a dyn Progress,
    stop: &'a Stop,
}

impl Watch for Watched<'_> {
    fn advanced(&self, table: &str, done: usize, total: usize) -> ControlFlow<()> {
        self.progress
            .step(&format!("embedding the terms {table}"), done as u64, total as u64);
        if self.stop.is_asked() {
            ControlFlow::Break(())
        } else {
            Unwatched.advanced(table, done, total)
        }
    }
}

fn options(plan: &RunPlan) -> anyhow::Result<InterrogateOptions> {
    let config = &plan.config.interrogate;
    Ok(InterrogateOptions {
        mode: mode(&config.mode)?,
        scope: match plan.config.prompt.interrogate {
            InterrogateScope::All => Scope::All,
            InterrogateScope::Missing | InterrogateScope::None => Scope::Missing,
        },
        tables: tables(config)?,
        max_terms: config.max_terms,
        min_terms: config.min_terms,
        candidates: config.candidates,
        terms_per_table: config.terms_per_table,
        ranks: config.ranks,
        rules: Rules::Clean,
        cache: Some(cache_folder(config)),
        ..InterrogateOptions::default()
    })
}

fn mode(name: &str) -> anyhow::Result<Mode> {
    let names = || Mode::ALL.into_iter().map(Mode::as_str);
    Mode::ALL.into_iter().find(|mode| mode.as_str() == name).ok_or_else(|| {
        let hint = nearest(name, names()).map(|near| format!("; did you mean `{near}`?"));
        let all: Vec<&str> = names().collect();
        UsageError::error(format!(
            "interrogate.mode is `{name}`{} (modes: {})",
            hint.unwrap_or_default(),
            all.join(", ")
        ))
    })
}

/// The tables that are named, then the user's others. The one for negative prompts is read only
/// for them.
fn tables(config: &InterrogateConfig) -> anyhow::Result<Vec<TermTable>> {
    let (folder, is_negative) = (peer_data_folder(), config.mode == Mode::Negative.as_str());
    let mut tables = Vec::new();
    for name in config
        .tables
        .iter()
        .filter(|name| is_negative || *name != PEER_TABLES[5])
    {
        let own = config.table.iter().find(|table| table.name == **name);
        tables.push(match own {
            Some(own) => TermTable::from_file(name, Path::new(&own.file))?,
            None => TermTable::named(name, &folder)?,
        });
    }
    for own in config.table.iter().filter(|own| !config.tables.contains(&own.name)) {
        tables.push(TermTable::from_file(&own.name, Path::new(&own.file))?);
    }
    Ok(tables)
}

/// As configured, else `labelmill/terms` in the user's cache folder.
fn cache_folder(config: &InterrogateConfig) -> PathBuf {
    if !config.cache.is_empty() {
        return PathBuf::from(&config.cache);
    }
    let variable = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("labelmill/terms")
}
