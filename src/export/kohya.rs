//! The metadata file of sd-scripts: one JSON object, a picture's absolute path to its caption and
//! tags. Entries and keys that others put there (`train_resolution` …) stay.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use super::captions::{FAILED, NOTHING_TO_SAY, entry, note_unknown};
use super::memory::bytes_hash;
use super::picture::{PictureRows, Pictures};
use super::template::Holds;
use super::{ExportReport, Selection, Writer};

/// The file in the folder of `--to`, by the name that sd-scripts' own guide uses.
pub const FILE: &str = "meta_cap_dd.json";

/// Merges captions and tags into `folder/meta_cap_dd.json`.
pub fn kohya(
    pictures: &Pictures<'_>,
    folder: &Path,
    selection: &Selection,
    mut writer: Writer,
) -> anyhow::Result<ExportReport> {
    let file = folder.join(FILE);
    let mut metadata = read(&file)?;
    let mut changed = Vec::new();
    let mut met = 0;
    for rows in pictures.rows(&[])? {
        let rows = pictures.view(&rows?)?;
        for row in (0..rows.len()).filter(|row| selection.takes(rows.uri(*row))) {
            met += 1;
            let who = rows.who(row);
            if who.failed {
                writer.report.pass_over(FAILED);
                continue;
            }
            let Some((said, edited)) = said(pictures, &rows, row) else {
                writer.report.pass_over(NOTHING_TO_SAY);
                continue;
            };
            let key = who.uri.clone();
            let known = metadata.get(&key).and_then(Value::as_object);
            let old = known.and_then(hash);
            if !writer.may_replace(&key, old.as_deref()) {
                continue;
            }
            let new = hash(&said).expect("something is said");
            writer.count(old.as_deref(), &new);
            let mut entry = entry(who, edited, Holds::Neither);
            entry.hash = new;
            writer.memory.set(&key, entry);
            match metadata.get_mut(&key).and_then(Value::as_object_mut) {
                Some(known) => known.extend(said),
                None => {
                    metadata.insert(key.clone(), said.into());
                }
            }
            changed.push(key);
        }
    }
    note_unknown(selection, met, &mut writer.report);
    if !writer.report.dry_run {
        fs::create_dir_all(folder).with_context(|| format!("creating the folder {}", folder.display()))?;
        writer.memory.note(&changed)?;
        let temporary = file.with_extension("json.tmp");
        let text = serde_json::to_string_pretty(&metadata)?;
        fs::write(&temporary, text)
            .and_then(|()| fs::rename(&temporary, &file))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    writer.finish()
}

fn read(file: &Path) -> anyhow::Result<Map<String, Value>> {
    match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} is no metadata file of sd-scripts (one JSON object)", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

/// Caption and tags of a row, and the hash of the edit in them.
fn said(pictures: &Pictures<'_>, rows: &PictureRows, row: usize) -> Option<(Map<String, Value>, Option<String>)> {
    let mut said = Map::new();
    let mut edited = None;
    if pictures.template.holds() != Holds::Tags
        && let Some(caption) = pictures.caption(rows, row)
    {
        said.insert("caption".to_owned(), caption.text.into());
        edited = caption.edited;
    }
    let tags = pictures.rules.join(&pictures.tags(rows, row));
    if !tags.is_empty() {
        said.insert("tags".to_owned(), tags.into());
    }
    (!said.is_empty()).then_some((said, edited))
}

/// Hash of what an entry says; none where it says nothing.
fn hash(entry: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let (caption, tags) = (text("caption"), text("tags"));
    if caption.is_none() && tags.is_none() {
        return None;
    }
    Some(bytes_hash(format!("{caption:?}\n{tags:?}").as_bytes()))
}
