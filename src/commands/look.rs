//! `inspect --interrogate`: what the interrogator says of single pictures, for people and scripts.

use std::fmt::Write as _;
use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Float32Type;
use serde_json::json;

use super::interrogate::Readiness;
use super::models::load_labelers;
use crate::cli::{InspectArgs, RunArgs};
use crate::clock::StageClock;
use crate::config::{BatchSize, InterrogateScope};
use crate::exit::{ExitStatus, UsageError};
use crate::label::{BatchId, Labeler, Labels, Pictures};
use crate::plan::RunPlan;
use crate::prepare::prepare_image;
use crate::progress::Hidden;
use crate::record::{DecodedImage, Destination, GroupSet, WorkItem};
use crate::source::Source;
use crate::stop::Stop;

/// What is said of one picture.
struct Said {
    uri: String,
    /// Why nothing is.
    error: Option<String>,
    own_prompt: Option<String>,
    caption: Option<String>,
    /// The prompt's column and the prompt.
    prompt: Option<(String, String)>,
    /// Term, table, cosine; by falling cosine.
    terms: Vec<(String, String, f32)>,
}

/// Interrogates every file of `args` and writes what is said to `out`.
pub fn look(args: &InspectArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let plan = plan(args)?;
    let stop = Stop::new(None);
    stop.on_signals()?;
    let mut loaded = load_labelers(&plan, &Hidden, Readiness::ToLabel(&stop))?;
    let labeler = loaded
        .per_device
        .first_mut()
        .and_then(|of_device| of_device.first_mut());
    let Some(labeler) = labeler else {
        return Err(UsageError::error(
            "--interrogate: the configuration names no `interrogate.model`; --preset demo has one",
        ));
    };
    let prepare = plan.prepare(labeler.geometries());
    let mut is_first = true;
    for image in plan.source()?.walk() {
        let item = WorkItem {
            image,
            destination: Destination::Append,
            groups: GroupSet::all(1),
        };
        let prepared = prepare_image(&item, &prepare, &StageClock::default());
        let said = ask(labeler.as_mut(), prepared)?;
        if args.json {
            writeln!(out, "{}", to_json(&said))?;
        } else {
            if !std::mem::replace(&mut is_first, false) {
                writeln!(out)?;
            }
            out.write_all(to_text(&said).as_bytes())?;
        }
    }
    Ok(ExitStatus::Done)
}

/// The plan of a run over the files that only interrogates, whatever they carry.
fn plan(args: &InspectArgs) -> anyhow::Result<RunPlan> {
    let is_chosen = args.config.is_some() || args.preset.is_some();
    let mut plan = RunPlan::resolve(&RunArgs {
        paths: args.paths.iter().map(|path| path.display().to_string()).collect(),
        // Nothing is written; a plan must only know where it would be.
        out: Some(std::env::temp_dir().join("labelmill-inspect")),
        config: args.config.clone(),
        preset: args.preset.clone().or_else(|| (!is_chosen).then(|| "demo".to_owned())),
        onnxruntime: args.onnxruntime.clone(),
        ..RunArgs::default()
    })?;
    plan.config.model.clear();
    plan.config.prompt.interrogate = InterrogateScope::All;
    plan.config.metadata.hash = false;
    // One after the other, each shown when it is done.
    plan.config.run.batch = BatchSize::Of(1);
    Ok(plan)
}

fn ask(labeler: &mut dyn Labeler, prepared: DecodedImage) -> anyhow::Result<Said> {
    let DecodedImage { record, squares, .. } = prepared;
    let mut said = Said {
        uri: record.id.uri.clone(),
        error: record.failure.as_ref().map(ToString::to_string),
        own_prompt: record.recovered.prompt.clone(),
        caption: None,
        prompt: None,
        terms: Vec::new(),
    };
    if squares.is_empty() {
        return Ok(said);
    }
    // The plan prepared one square a geometry of this labeler alone, equal ones once.
    let geometries = labeler.geometries();
    let mut distinct = Vec::new();
    for geometry in &geometries {
        if !distinct.contains(geometry) {
            distinct.push(*geometry);
        }
    }
    let square = |wanted| distinct.iter().position(|geometry| *geometry == wanted).unwrap_or(0);
    let lists = geometries
        .iter()
        .map(|&geometry| vec![squares.get(square(geometry)).map(Vec::as_slice)])
        .collect();
    let labels = labeler.label(&Pictures::new(BatchId::next(), lists, vec![false]))?;
    take(&mut said, labeler, labels);
    Ok(said)
}

/// Reads a row of the labeler's columns.
fn take(said: &mut Said, labeler: &dyn Labeler, labels: Labels) {
    said.error = said
        .error
        .take()
        .or_else(|| labels.failures.first().map(|(_, failure)| failure.to_string()));
    let fields = labeler.fields();
    let column = |name: &str| -> Option<(&str, &ArrayRef)> {
        let at = fields.iter().position(|field| field.name().ends_with(name))?;
        let array = labels.columns.get(at).filter(|array| array.is_valid(0))?;
        Some((fields[at].name(), array))
    };
    let text =
        |name: &str| column(name).map(|(name, array)| (name.to_owned(), array.as_string::<i32>().value(0).to_owned()));
    let list = |name: &str| column(name).map(|(_, array)| array.as_list::<i32>().value(0));
    said.caption = text("caption").map(|(_, caption)| caption);
    said.prompt = text("_prompt");
    if let (Some(terms), Some(tables), Some(scores)) =
        (list("clip_terms"), list("clip_term_tables"), list("clip_term_scores"))
    {
        let (terms, tables) = (terms.as_string::<i32>(), tables.as_string::<i32>());
        let scores = scores.as_primitive::<Float32Type>();
        said.terms = (0..terms.len())
            .map(|row| {
                (
                    terms.value(row).to_owned(),
                    tables.value(row).to_owned(),
                    scores.value(row),
                )
            })
            .collect();
    }
}

/// Tables in the order of their best term.
fn tables(said: &Said) -> Vec<&str> {
    let mut tables = Vec::new();
    for (_, table, _) in &said.terms {
        if !tables.contains(&table.as_str()) {
            tables.push(table.as_str());
        }
    }
    tables
}

fn to_text(said: &Said) -> String {
    let mut lines = format!("{}\n", said.uri);
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(lines, "  {name:<10} {}", value.replace('\n', "\n             "));
        }
    };
    line("error", said.error.as_deref());
    line("its own", said.own_prompt.as_deref());
    line("caption", said.caption.as_deref());
    if let Some((column, prompt)) = &said.prompt {
        let name = if column.contains("negative") {
            "negative"
        } else {
            "prompt"
        };
        line(name, Some(prompt));
    }
    for table in tables(said) {
        let _ = writeln!(lines, "  {table}");
        for (term, _, score) in said.terms.iter().filter(|(_, of, _)| of == table) {
            let _ = writeln!(lines, "    {score:>6.3}  {term}");
        }
    }
    lines
}

fn to_json(said: &Said) -> serde_json::Value {
    let terms = said.terms.iter();
    let terms: Vec<_> = terms
        .map(|(term, table, score)| json!({ "term": term, "table": table, "score": score }))
        .collect();
    let prompt = |negative: bool| {
        let found = said
            .prompt
            .as_ref()
            .filter(|(column, _)| column.contains("negative") == negative);
        found.map(|(_, prompt)| prompt.as_str())
    };
    json!({
        "uri": said.uri,
        "error": said.error,
        "prompt": said.own_prompt,
        "caption": said.caption,
        "clip_prompt": prompt(false),
        "clip_negative_prompt": prompt(true),
        "clip_terms": terms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_terms_by_table_and_scripts_as_a_list() {
        let said = Said {
            uri: "a.png".into(),
            error: None,
            own_prompt: None,
            caption: Some("a red fox".into()),
            prompt: Some(("clip_prompt".into(), "a red fox, ink".into())),
            terms: vec![
                ("ink".into(), "mediums".into(), 0.31),
                ("red".into(), "colours".into(), 0.30),
                ("oil".into(), "mediums".into(), 0.1234),
            ],
        };
        let wanted = "a.png\n  caption    a red fox\n  prompt     a red fox, ink\n  mediums\n     0.310  ink\n     0.123  oil\n  \
                      colours\n     0.300  red\n";
        assert_eq!(to_text(&said), wanted);
        let json = to_json(&said);
        assert_eq!(json["clip_prompt"], "a red fox, ink");
        assert_eq!(json["clip_terms"][1]["table"], "colours");
    }
}
