//! `labelmill export`: from what was typed to what is written.

use std::fs;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::tag_rules::tag_rules;
use crate::cli::{ExistingArg, ExportArgs, ExportKind, ImagesArg, OverwriteArg};
use crate::dataset::DatasetReader;
use crate::exit::{ExitStatus, UsageError};
use crate::export::captions::{self, Places};
use crate::export::imagefolder::{self, Images};
use crate::export::memory::{Memory, Target};
use crate::export::recipe;
use crate::export::tables::{self, Embeddings};
use crate::export::template::Template;
use crate::export::webdataset::{self, ShardSize};
use crate::export::{
    Edited, Existing, ExportReport, Overwrite, Pictures, Selection, Writer, default_template, kohya, npy,
};
use crate::source::lexical_absolute;
use crate::write::{BOOKKEEPING_DIR, Editor, RealFs};

/// `labelmill export KIND OUT`
pub fn export(args: &ExportArgs, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let report = make(args, out)?;
    out.flush()?;
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    eprintln!("{}", report.closing_line());
    Ok(ExitStatus::Done)
}

fn make(args: &ExportArgs, out: &mut dyn Write) -> anyhow::Result<ExportReport> {
    let to = target_folder(args)?;
    let selection = selection(args)?;
    // Writers of files hold the lock: what they remember must not be lost in an exchange of folders.
    DatasetReader::open(&args.out)?;
    let needs_lock = !args.dry_run && (to.is_some() || args.kind == ExportKind::Captions);
    let editor = needs_lock
        .then(|| Editor::open(&args.out, Arc::new(RealFs)))
        .transpose()?;
    let dataset = DatasetReader::open(&args.out)?;
    let job = Job {
        args,
        dataset: &dataset,
        selection: &selection,
        to,
    };
    let report = job.make(out)?;
    drop(editor);
    Ok(report)
}

/// Everything that an export works with.
struct Job<'a> {
    args: &'a ExportArgs,
    dataset: &'a DatasetReader,
    selection: &'a Selection,
    /// `--to`, absolute.
    to: Option<PathBuf>,
}

impl Job<'_> {
    fn make(&self, out: &mut dyn Write) -> anyhow::Result<ExportReport> {
        match (self.args.kind, &self.to) {
            (ExportKind::Jsonl | ExportKind::Csv, None) => {
                let mut report = self.report("rows", "stdout".to_owned());
                report.dry_run = false;
                self.table(&mut report, out)?;
                Ok(report)
            }
            (ExportKind::Jsonl | ExportKind::Csv, Some(to)) => self.table_file(to),
            (ExportKind::Captions, _) => {
                let pictures = self.pictures(AlsoTags::No)?;
                let places = Places::new(self.dataset, self.to.clone())?;
                let place = self
                    .to
                    .as_ref()
                    .map_or("beside the images".to_owned(), |to| to.display().to_string());
                let writer = self
                    .writer("captions", place, &pictures)?
                    .with_existing(self.existing());
                captions::captions(&pictures, &places, self.selection, writer)
            }
            (_, None) => Err(UsageError::error(format!(
                "export {} needs --to DIR",
                self.args.kind.name()
            ))),
            (kind, Some(to)) => self.folder(kind, to),
        }
    }

    fn folder(&self, kind: ExportKind, to: &Path) -> anyhow::Result<ExportReport> {
        let place = to.display().to_string();
        let pictures = self.pictures(AlsoTags::Yes)?;
        match kind {
            ExportKind::Kohya => {
                let writer = self.writer("entries", format!("{place}/{}", kohya::FILE), &pictures)?;
                kohya::kohya(&pictures, to, self.selection, writer)
            }
            ExportKind::Imagefolder => {
                let places = Places::new(self.dataset, Some(to.to_owned()))?;
                let images = match self.args.images {
                    ImagesArg::Link => Images::Link,
                    ImagesArg::Copy => Images::Copy,
                    ImagesArg::Leave => Images::Leave,
                };
                let writer = self.writer("images", place, &pictures)?;
                imagefolder::imagefolder(&pictures, &places, to, images, self.selection, writer)
            }
            ExportKind::Recipe => {
                let places = Places::new(self.dataset, Some(to.to_owned()))?;
                let writer = self.writer("files", place, &pictures)?;
                recipe::recipe(&pictures, &places, self.selection, writer)
            }
            ExportKind::Webdataset => {
                let size = ShardSize {
                    samples: self.args.shard_samples.clamp(1, 100_000),
                    bytes: self.args.shard_mib.max(1) << 20,
                };
                let writer = self.writer("samples", place, &pictures)?;
                webdataset::webdataset(&pictures, to, size, self.selection, writer)
            }
            _ => {
                let writer = self.writer("embeddings", place, &pictures)?;
                npy::npy(&pictures, &self.args.column, to, self.selection, writer)
            }
        }
    }

    fn table(&self, report: &mut ExportReport, out: &mut dyn Write) -> anyhow::Result<()> {
        let embeddings = if self.args.embeddings {
            Embeddings::Included
        } else {
            Embeddings::LeftOut
        };
        match self.args.kind {
            ExportKind::Csv => tables::csv(self.dataset, embeddings, self.selection, report, out),
            _ => tables::jsonl(self.dataset, embeddings, self.selection, report, out),
        }
    }

    fn table_file(&self, to: &Path) -> anyhow::Result<ExportReport> {
        let name = format!("labels.{}", self.args.kind.name());
        let path = to.join(&name);
        let mut report = self.report("rows", path.display().to_string());
        let mut writer = self.plain_writer(self.report("files", String::new()))?;
        let mut stream = writer.begin(&path)?;
        self.table(&mut report, &mut stream)?;
        writer.commit_whole(&name, stream)?;
        writer.finish()?;
        Ok(report)
    }

    fn report(&self, what: &'static str, place: String) -> ExportReport {
        ExportReport {
            what,
            place,
            dry_run: self.args.dry_run,
            ..ExportReport::default()
        }
    }

    fn pictures(&self, also_tags: AlsoTags) -> anyhow::Result<Pictures<'_>> {
        let text = match (&self.args.template, self.args.kind) {
            (Some(text), _) => text.as_str(),
            // sd-scripts keeps captions and tags apart.
            (None, ExportKind::Kohya) if self.dataset.has("caption") => "{caption}",
            (None, _) => default_template(self.dataset),
        };
        let template = Template::parse(text).map_err(UsageError::error)?;
        let rules = tag_rules(&self.args.tags)?;
        let edited = if self.args.ignore_edited {
            Edited::Ignored
        } else {
            Edited::Preferred
        };
        let also_tags = also_tags == AlsoTags::Yes;
        Ok(Pictures::new(
            self.dataset,
            template,
            rules,
            edited,
            self.selection,
            also_tags,
        )?)
    }

    fn writer(&self, what: &'static str, place: String, pictures: &Pictures<'_>) -> anyhow::Result<Writer> {
        let mut writer = self.plain_writer(self.report(what, place))?;
        writer.memory.target.template = self.args.template.clone().unwrap_or_default();
        writer.memory.target.separator.clone_from(&pictures.rules.separator);
        Ok(writer)
    }

    fn plain_writer(&self, report: ExportReport) -> anyhow::Result<Writer> {
        let target = Target {
            kind: self.args.kind.name().to_owned(),
            to: self.to.clone(),
            extension: extension(&self.args.extension),
            template: String::new(),
            separator: ", ".to_owned(),
        };
        let overwrite = match self.args.overwrite {
            OverwriteArg::Own => Overwrite::Own,
            OverwriteArg::Edited => Overwrite::Edited,
            OverwriteArg::All => Overwrite::All,
        };
        let memory = Memory::open(&self.args.out.join(BOOKKEEPING_DIR), target)?;
        Ok(Writer::new(memory, overwrite, report))
    }

    fn existing(&self) -> Existing {
        match self.args.existing {
            ExistingArg::Replace => Existing::Replace,
            ExistingArg::Append => Existing::Append,
            ExistingArg::Prepend => Existing::Prepend,
        }
    }
}

/// Whether an export wants tags beside the template.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AlsoTags {
    Yes,
    No,
}

/// `.txt`, also where `txt` was typed.
pub(super) fn extension(typed: &str) -> String {
    format!(".{}", typed.trim_start_matches('.'))
}

/// `--to`, absolute; never in the dataset, whose readers would trip over what lies there.
fn target_folder(args: &ExportArgs) -> anyhow::Result<Option<PathBuf>> {
    let Some(to) = &args.to else { return Ok(None) };
    let to = lexical_absolute(to).with_context(|| format!("--to {}", to.display()))?;
    let out = lexical_absolute(&args.out).with_context(|| format!("{}", args.out.display()))?;
    if to.starts_with(&out) {
        return Err(UsageError::error(format!(
            "--to {} is inside the dataset, whose readers would take its files for parts; name another folder",
            to.display()
        )));
    }
    Ok(Some(to))
}

fn selection(args: &ExportArgs) -> anyhow::Result<Selection> {
    match &args.only {
        None => Ok(Selection::default()),
        Some(list) if list.as_os_str() == "-" => Selection::read(io::stdin().lock()).context("reading stdin"),
        Some(list) => {
            let open = fs::File::open(list).with_context(|| format!("reading {}", list.display()))?;
            Selection::read(BufReader::new(open)).with_context(|| format!("reading {}", list.display()))
        }
    }
}
