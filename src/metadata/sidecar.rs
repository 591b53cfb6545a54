//! Files beside an image that some generators write their settings into.

use std::io::Read;

use super::budget::Collector;
use super::{ReadOptions, text};
use crate::record::RawMetadata;

/// The kinds of sidecar, by the suffix that stands in place of the image's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SidecarKind {
    /// `.txt`: infotext, or a training caption, which only its text can tell.
    Text,
    /// `.json`.
    Json,
    /// `.swarm.json`.
    SwarmJson,
}

impl SidecarKind {
    /// All kinds, in the order in which they are read.
    pub const ALL: [Self; 3] = [Self::Text, Self::Json, Self::SwarmJson];

    /// What stands in place of the image's extension.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Text => ".txt",
            Self::Json => ".json",
            Self::SwarmJson => ".swarm.json",
        }
    }

    /// The slot of its entry.
    pub fn slot(self) -> &'static str {
        match self {
            Self::Text => "sidecar:txt",
            Self::Json => "sidecar:json",
            Self::SwarmJson => "sidecar:swarm.json",
        }
    }
}

/// Reads a sidecar whole: one entry without a key, or a note why there is none.
pub fn read_sidecar(reader: &mut dyn Read, kind: SidecarKind, options: &ReadOptions) -> RawMetadata {
    let mut collector = Collector::new(options);
    let limit = options.max_sidecar_bytes.min(collector.text_budget());
    let mut bytes = Vec::new();
    match reader.take(limit as u64 + 1).read_to_end(&mut bytes) {
        Err(error) => collector.note(format!("{}: reading failed: {error}", kind.slot())),
        Ok(_) if bytes.len() > limit => {
            collector.note(format!("{}: longer than {limit} bytes, left out", kind.slot()));
        }
        Ok(_) => {
            let decoded = text::any(&bytes);
            if decoded.is_lossy {
                collector.note(format!("{}: not valid UTF-16", kind.slot()));
            }
            collector.entry(kind.slot(), "", decoded.text);
        }
    }
    collector.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_in_any_encoding() {
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain("a 猫".encode_utf16().flat_map(u16::to_le_bytes))
            .collect();
        for bytes in ["a 猫".as_bytes(), "\u{feff}a 猫".as_bytes(), &utf16] {
            let raw = read_sidecar(&mut &*bytes, SidecarKind::Text, &ReadOptions::default());
            assert_eq!(
                (raw.entries[0].slot.as_str(), raw.entries[0].text.as_str()),
                ("sidecar:txt", "a 猫")
            );
        }
    }

    #[test]
    fn a_long_one_is_left_out_with_a_note() {
        let options = ReadOptions {
            max_sidecar_bytes: 10,
            ..ReadOptions::default()
        };
        let raw = read_sidecar(&mut std::io::repeat(b'x'), SidecarKind::Json, &options);
        assert!(raw.entries.is_empty() && raw.notes.len() == 1);
    }
}
