//! What reading one file may cost, and the collector that every container reader writes to.
//! Budgets are checked before memory is taken, so a hostile file costs no more than a large one.

use crate::record::{PhotoFacts, RawEntry, RawMetadata};

/// Notes that one file can give; a file broken in a thousand places needs no thousand notes.
const MAX_NOTES: usize = 32;

/// Keywords of one photograph; photographers give some dozens.
const MAX_KEYWORDS: usize = 256;

/// Limits for reading one file's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Longest single text in bytes, after decompression. `ComfyUI` graphs with embedded pictures
    /// reach a few MiB; what is longer is cut here, with a note.
    pub max_text_bytes: usize,
    /// All texts of one file together, in bytes, after decompression.
    pub max_total_bytes: usize,
    /// Entries of one file.
    pub max_entries: usize,
    /// Longest XMP packet in bytes (extended XMP included).
    pub max_xmp_bytes: usize,
    /// Longest sidecar in bytes; a longer one is left out with a note.
    pub max_sidecar_bytes: usize,
    /// How far a GIF is followed through its frames in search of comments, in bytes: its blocks
    /// are 255 bytes long and cannot be skipped without being read.
    pub max_gif_scan_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            max_text_bytes: 32 << 20,
            max_total_bytes: 64 << 20,
            max_entries: 4096,
            max_xmp_bytes: 16 << 20,
            max_sidecar_bytes: 8 << 20,
            max_gif_scan_bytes: 16 << 20,
        }
    }
}

/// Gathers what the readers of one file find, within the budget.
#[derive(Debug)]
pub(super) struct Collector<'o> {
    options: &'o ReadOptions,
    bytes_left: usize,
    notes_left_out: usize,
    raw: RawMetadata,
}

impl<'o> Collector<'o> {
    /// Starts with nothing found and the whole budget.
    pub fn new(options: &'o ReadOptions) -> Self {
        Self {
            options,
            bytes_left: options.max_total_bytes,
            notes_left_out: 0,
            raw: RawMetadata::default(),
        }
    }

    /// The limits in force.
    pub fn options(&self) -> &'o ReadOptions {
        self.options
    }

    /// The facts found so far.
    pub fn facts(&mut self) -> &mut PhotoFacts {
        &mut self.raw.facts
    }

    /// How long the next text may be, in bytes.
    pub fn text_budget(&self) -> usize {
        self.options.max_text_bytes.min(self.bytes_left)
    }

    /// Takes `bytes` of text from the budget that will not become an entry of that size (XMP).
    pub fn charge(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    /// Whether no further entry will be kept; says so once in a note.
    pub fn is_full(&mut self) -> bool {
        let is_full = self.raw.entries.len() >= self.options.max_entries;
        if is_full {
            self.note_once(format!(
                "more than {} texts: the others are left out",
                self.options.max_entries
            ));
        }
        is_full
    }

    /// Adds a text, cut to the budget; empty texts say nothing and are left out.
    pub fn entry(&mut self, slot: &str, key: impl Into<String>, mut text: String) {
        if text.is_empty() || self.is_full() {
            return;
        }
        let key: String = key.into();
        let budget = self.text_budget().saturating_sub(key.len());
        if text.len() > budget {
            let cut = text.floor_char_boundary(budget);
            self.note(format!(
                "{slot} {}: cut from {} to {cut} bytes",
                shown(&key),
                text.len()
            ));
            text.truncate(cut);
        }
        self.charge(text.len() + key.len());
        if !text.is_empty() {
            self.raw.entries.push(RawEntry {
                slot: slot.to_owned(),
                key,
                text,
            });
        }
    }

    /// Says what was wrong or left out.
    pub fn note(&mut self, note: impl Into<String>) {
        if self.raw.notes.len() < MAX_NOTES {
            self.raw.notes.push(note.into());
        } else {
            self.notes_left_out += 1;
        }
    }

    /// Says it unless it was said already.
    pub fn note_once(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.raw.notes.contains(&note) {
            self.note(note);
        }
    }

    /// Adds a keyword of the photograph, each once.
    pub fn keyword(&mut self, keyword: &str) {
        let keyword = keyword.trim();
        let known = &mut self.raw.facts.keywords;
        let has_room = known.len() < MAX_KEYWORDS && keyword.len() <= self.bytes_left;
        if !keyword.is_empty() && has_room && !known.iter().any(|k| k == keyword) {
            known.push(keyword.to_owned());
            self.charge(keyword.len());
        }
    }

    /// Everything that was found.
    pub fn finish(mut self) -> RawMetadata {
        if self.notes_left_out > 0 {
            self.raw
                .notes
                .push(format!("{} further notes are left out", self.notes_left_out));
        }
        self.raw
    }
}

/// A name from a file as it may stand in a note: short, without control characters.
pub(super) fn shown(name: &str) -> String {
    name.chars()
        .take(40)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_over_the_budget_is_cut_at_a_character_with_a_note() {
        let options = ReadOptions {
            max_text_bytes: 4,
            ..ReadOptions::default()
        };
        let mut collector = Collector::new(&options);
        collector.entry("png:tEXt", "", "aéééé".to_owned());
        let raw = collector.finish();
        assert_eq!(raw.entries[0].text, "aé");
        assert_eq!(raw.notes.len(), 1);
    }

    #[test]
    fn entries_and_notes_are_bounded() {
        let options = ReadOptions {
            max_entries: 2,
            ..ReadOptions::default()
        };
        let mut collector = Collector::new(&options);
        for _ in 0..100 {
            collector.entry("gif:comment", "", "x".to_owned());
            collector.note("broken");
        }
        let raw = collector.finish();
        assert_eq!(raw.entries.len(), 2);
        assert_eq!(raw.notes.len(), MAX_NOTES + 1);
    }

    #[test]
    fn the_budget_of_a_file_is_shared_by_its_texts() {
        let options = ReadOptions {
            max_total_bytes: 10,
            ..ReadOptions::default()
        };
        let mut collector = Collector::new(&options);
        for _ in 0..4 {
            collector.entry("gif:comment", "", "123456".to_owned());
        }
        let raw = collector.finish();
        assert_eq!(raw.entries.iter().map(|e| e.text.len()).sum::<usize>(), 10);
    }
}
