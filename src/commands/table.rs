//! `labelmill models list`: which models are here, how large they are, what they are for, and how
//! the others are had.

use std::io::{IsTerminal, Write};

use serde_json::json;

use crate::model::files::WantedFile;
use crate::model::source::FileSource;
use crate::model::{Model, ModelError, ModelStore};
use crate::progress::human_bytes;

/// Columns where stdout is a terminal that does not tell.
const DEFAULT_WIDTH: usize = 100;

/// Columns of a licence; a longer one is cut, `--json` has it whole.
const LONGEST_LICENCE: usize = 12;

/// How a model can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Having {
    Here,
    Pull,
    Export,
    ByHand,
}

impl Having {
    fn of(model: &Model) -> Self {
        let wanted = model.wanted_files();
        let is = |test: fn(&Option<FileSource>) -> bool| wanted.iter().any(|wanted| test(&wanted.source));
        if wanted.is_empty() {
            Self::Here
        } else if is(Option::is_none) {
            Self::ByHand
        } else if is(|source| matches!(source, Some(FileSource::Export(_)))) {
            Self::Export
        } else {
            Self::Pull
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Pull => "not here; get one with: labelmill models pull NAME",
            Self::Export => "not here; made by a command, then put into the store",
            Self::ByHand => "not here; its files are put into the store by hand",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Pull => "pull",
            Self::Export => "export",
            Self::ByHand => "by_hand",
        }
    }
}

/// One line of the table.
struct Row {
    having: Having,
    name: String,
    kind: &'static str,
    size: String,
    licence: String,
    text: String,
}

impl Row {
    fn new(name: &str, model: &Model) -> Self {
        let manifest = &model.manifest;
        let having = Having::of(model);
        let mark = if manifest.verified { "" } else { "* " };
        let text = match export_command(model).filter(|_| having == Having::Export) {
            Some(command) => format!("{mark}{command}"),
            None => format!("{mark}{}", manifest.description),
        };
        let size = match having {
            Having::Here => human_bytes(model.size_here()),
            _ => whole_size(model).map_or_else(|| "?".to_owned(), |size| rough(model, size)),
        };
        Self {
            having,
            name: name.to_owned(),
            kind: manifest.kind.as_str(),
            size,
            licence: manifest.licence.clone(),
            text,
        }
    }
}

/// Bytes of all files, those here and those that are not, where known; small files whose size is
/// not known count as nothing beside one that is.
fn whole_size(model: &Model) -> Option<u64> {
    let wanted = model.wanted_files();
    let is_graph = |file: &str| file.ends_with(".onnx") || file.ends_with("_data");
    if wanted
        .iter()
        .any(|wanted| is_graph(&wanted.file) && wanted.expected_size().is_none())
    {
        return None;
    }
    let missing: u64 = wanted.iter().filter_map(WantedFile::expected_size).sum();
    Some(missing + model.size_here())
}

/// A size in words, with a mark where it is not exact.
fn rough(model: &Model, size: u64) -> String {
    let is_exact = model.wanted_files().iter().all(|wanted| wanted.size.is_some());
    format!("{}{}", if is_exact { "" } else { "~" }, human_bytes(size))
}

fn export_command(model: &Model) -> Option<String> {
    model.wanted_files().into_iter().find_map(|wanted| match wanted.source {
        Some(FileSource::Export(command)) => Some(command),
        _ => None,
    })
}

/// Writes the table, cut to the terminal's width.
pub fn write(store: &ModelStore, out: &mut dyn Write) -> anyhow::Result<()> {
    let width = width_of_stdout();
    let mut rows = Vec::new();
    let mut broken = Vec::new();
    for (name, model) in store.list() {
        match model {
            Ok(model) => rows.push(Row::new(&name, &model)),
            Err(error) => broken.push((name, error)),
        }
    }
    rows.sort_by(|left, right| (left.having, &left.name).cmp(&(right.having, &right.name)));
    write_rows(&rows, width, out)?;
    for (name, error) in broken {
        writeln!(out, "\nbroken: {name}: {error}")?;
    }
    if rows.iter().any(|row| row.text.starts_with("* ")) {
        writeln!(
            out,
            "\n* not every fact of its manifest is established; the check at start decides"
        )?;
    }
    if let Some(home) = store.home() {
        writeln!(out, "\nthe store is {}", home.display())?;
    }
    Ok(())
}

fn write_rows(rows: &[Row], width: Option<usize>, out: &mut dyn Write) -> std::io::Result<()> {
    let longest = |text: fn(&Row) -> &str| rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
    let (name, kind) = (longest(|row| &row.name), longest(|row| row.kind));
    let (size, licence) = (
        longest(|row| &row.size),
        longest(|row| &row.licence).min(LONGEST_LICENCE),
    );
    let mut last = None;
    for row in rows {
        if last != Some(row.having) {
            let gap = if last.is_some() { "\n" } else { "" };
            writeln!(out, "{gap}{}", row.having.heading())?;
            last = Some(row.having);
        }
        let line = format!(
            "  {:<name$}  {:<kind$}  {:>size$}  {:<licence$}  {}",
            row.name,
            row.kind,
            row.size,
            cut(&row.licence, licence),
            row.text
        );
        let line = width.map_or_else(|| line.clone(), |width| cut(&line, width));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The text, or its start and a mark where it is longer than `width`.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}

/// Columns of the terminal; none where stdout is no terminal, so that nothing is cut.
fn width_of_stdout() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(&stdout).ok();
    let columns = told.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0);
    Some(columns.unwrap_or(DEFAULT_WIDTH).max(60))
}

/// Writes one JSON array, an object a model.
pub fn write_json(models: &[(String, Result<Model, ModelError>)], out: &mut dyn Write) -> anyhow::Result<()> {
    let described: Vec<serde_json::Value> = models
        .iter()
        .map(|(name, model)| match model {
            Ok(model) => describe(name, model),
            Err(error) => json!({ "name": name, "error": error.to_string() }),
        })
        .collect();
    serde_json::to_writer_pretty(&mut *out, &described)?;
    writeln!(out)?;
    Ok(())
}

fn describe(name: &str, model: &Model) -> serde_json::Value {
    let manifest = &model.manifest;
    let missing: Vec<serde_json::Value> = model
        .wanted_files()
        .iter()
        .map(|wanted| {
            json!({
                "file": wanted.file,
                "size": wanted.size,
                "source": wanted.source.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    json!({
        "name": name,
        "kind": manifest.kind.as_str(),
        "having": Having::of(model).as_str(),
        "size": whole_size(model),
        "size_here": model.size_here(),
        "folder": model.folder(),
        "missing": missing,
        "demo": manifest.demo,
        "verified": manifest.verified,
        "description": manifest.description,
        "licence": manifest.licence,
        "origin": manifest.origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_grouped_and_cut() {
        let row = |having, name: &str, size: &str, text: &str| Row {
            having,
            name: name.into(),
            kind: "clip",
            size: size.into(),
            licence: "MIT".into(),
            text: text.into(),
        };
        let rows = [
            row(Having::Here, "demo-clip", "7.6 MiB", "Two small towers"),
            row(
                Having::Pull,
                "vit-l-14",
                "1.6 GiB",
                "OpenAI's large one, for prompts of SD 1.5",
            ),
        ];
        let mut out = Vec::new();
        write_rows(&rows, Some(60), &mut out).unwrap();
        let expected = "here\n  demo-clip  clip  7.6 MiB  MIT  Two small towers\n\n\
             not here; get one with: labelmill models pull NAME\n  \
             vit-l-14   clip  1.6 GiB  MIT  OpenAI's large one, for pr…\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
