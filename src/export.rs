//! What people take out of a dataset: captions for training, tables, archives, recipes. No model is
//! needed; everything comes from [`crate::dataset`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::PathBuf;

pub mod captions;
pub mod edits;
mod files;
pub mod imagefolder;
pub mod kohya;
pub mod memory;
pub mod npy;
mod picture;
pub mod recipe;
pub mod tables;
pub mod tag_text;
mod tar;
pub mod template;
pub mod webdataset;

pub use files::{Existing, Overwrite, Writer};
pub use picture::{Edited, Pictures, default_template};

/// What an export did, for its closing line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// What the counted things are called (`captions`, `rows` …).
    pub what: &'static str,
    /// Where they went.
    pub place: String,
    /// Things that were not there before.
    pub written: u64,
    /// Things that had another content.
    pub updated: u64,
    /// Things that were there as they should be.
    pub unchanged: u64,
    /// Things that were left alone or out, by reason.
    pub passed_over: BTreeMap<&'static str, u64>,
    /// Sentences for a person.
    pub notes: Vec<String>,
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
}

impl ExportReport {
    /// Counts something that was left alone or out.
    pub fn pass_over(&mut self, reason: &'static str) {
        *self.passed_over.entry(reason).or_default() += 1;
    }

    /// The closing line.
    pub fn closing_line(&self) -> String {
        let verb = if self.dry_run { "would write" } else { "wrote" };
        let total = self.written + self.updated + self.unchanged;
        let mut line = format!(
            "{verb} {} of {total} {} to {}",
            self.written + self.updated,
            self.what,
            self.place
        );
        let mut details = Vec::new();
        if self.updated > 0 {
            details.push(format!("{} changed", self.updated));
        }
        if self.unchanged > 0 {
            details.push(format!("{} unchanged", self.unchanged));
        }
        details.extend(
            self.passed_over
                .iter()
                .map(|(reason, count)| format!("{count} {reason}")),
        );
        if !details.is_empty() {
            line.push_str(&format!(" ({})", details.join(", ")));
        }
        line
    }
}

/// Which rows an export takes.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only these, by `uri`; every row where it is none.
    only: Option<BTreeSet<String>>,
}

impl Selection {
    /// Reads a list of uris, one a line; quotes round a line, as CSV writers set them, are taken off.
    pub fn read(list: impl BufRead) -> std::io::Result<Self> {
        let mut only = BTreeSet::new();
        for line in list.lines() {
            let line = line?;
            let line = line.trim_start_matches('\u{feff}').trim_end_matches('\r');
            let line = line
                .strip_prefix('"')
                .and_then(|line| line.strip_suffix('"'))
                .unwrap_or(line);
            if !line.is_empty() && line != "uri" {
                only.insert(line.to_owned());
            }
        }
        Ok(Self { only: Some(only) })
    }

    /// Whether a row is taken.
    pub fn takes(&self, uri: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(uri))
    }

    /// How many were asked for, where only some were.
    pub fn count(&self) -> Option<u64> {
        self.only.as_ref().map(|only| only.len() as u64)
    }
}

/// The local file of a row, where its uri is one: not a store's address, not a member of an archive.
pub fn local_file(uri: &str) -> Option<PathBuf> {
    let path = crate::source::path_of_text(uri);
    (path.is_absolute() && !uri.contains("://")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_come_from_a_csv_writer() {
        let selection = Selection::read("\u{feff}uri\r\n\"/a, b.png\"\n/c.png\n\n".as_bytes()).unwrap();
        assert!(selection.takes("/a, b.png") && selection.takes("/c.png") && !selection.takes("/d.png"));
        assert_eq!(selection.count(), Some(2));
        assert!(Selection::default().takes("/d.png"));
    }

    #[test]
    fn the_closing_line_counts_everything() {
        let mut report = ExportReport {
            what: "captions",
            place: "/x".into(),
            written: 2,
            updated: 1,
            unchanged: 3,
            ..ExportReport::default()
        };
        report.pass_over("edited by hand and kept");
        assert_eq!(
            report.closing_line(),
            "wrote 3 of 6 captions to /x (1 changed, 3 unchanged, 1 edited by hand and kept)"
        );
    }
}
