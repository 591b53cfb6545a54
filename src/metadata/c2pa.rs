//! C2PA manifests, looked into and not verified: who claims to have made the picture and what kind
//! of source it says it has. Boxes are walked without reading thumbnails; CBOR and JSON are
//! bounded in size and depth.

mod cbor;

use serde_json::Value;

use super::budget::Collector;
use super::container::Bytes;
use super::inflate;

/// Boxes of one store that are visited.
const MAX_BOXES: usize = 4096;

/// Boxes inside boxes.
const MAX_DEPTH: usize = 16;

/// Longest claim or assertion that is read, in bytes; real ones have a few KiB.
const MAX_CONTENT_BYTES: u64 = 256 << 10;

/// Claims and assertions of one store together, in bytes, after decompression.
const MAX_TOTAL_BYTES: usize = 4 << 20;

/// What setting up a decompression counts for, in bytes of content: a file of tiny compressed boxes
/// must cost no more than one of large ones.
const DECOMPRESSION_COST_BYTES: usize = 64 << 10;

const SLOT: &str = "c2pa";

/// Reads the JUMBF boxes between `start` and `end`.
pub(super) fn read(bytes: &mut dyn Bytes, start: u64, end: u64, collector: &mut Collector) {
    let there = bytes.len();
    if end > there {
        collector.note("c2pa: the manifest store is truncated");
    }
    let mut walk = Walk {
        boxes: 0,
        content_bytes: 0,
        // A file may hold any number of stores: all of them draw on its budget.
        most_content_bytes: MAX_TOTAL_BYTES.min(collector.text_budget()),
        found: Vec::new(),
    };
    walk.boxes(bytes, start, end.min(there), "", 0);
    if walk.boxes > MAX_BOXES {
        collector.note(format!("c2pa: more than {MAX_BOXES} boxes; the others are left out"));
    }
    collector.charge(walk.content_bytes);
    if walk.content_bytes > walk.most_content_bytes {
        collector.note_once("c2pa: the claims are over the limit; the rest of them is left out");
    }
    if walk.boxes == 0 {
        collector.note("c2pa: no boxes");
    }
    for (key, text) in walk.found {
        collector.entry(SLOT, key, text);
    }
}

struct Walk {
    boxes: usize,
    content_bytes: usize,
    most_content_bytes: usize,
    /// Keys and texts, each pair once.
    found: Vec<(&'static str, String)>,
}

impl Walk {
    /// Visits the boxes of one level; `label` is that of the superbox round them.
    fn boxes(&mut self, bytes: &mut dyn Bytes, start: u64, end: u64, label: &str, depth: usize) {
        let mut label = label.to_owned();
        let mut at = start;
        while at + 8 <= end && self.boxes <= MAX_BOXES && depth <= MAX_DEPTH {
            self.boxes += 1;
            let header = bytes.at(at, 16).into_owned();
            let Some((kind, body_at, box_end)) = box_header(&header, at, end) else {
                return;
            };
            match &kind {
                b"jumb" => self.boxes(bytes, body_at, box_end, &label, depth + 1),
                b"jumd" => label = description_label(&bytes.at(body_at, 256)).unwrap_or(label),
                b"cbor" | b"json" | b"brob" if box_end - body_at <= MAX_CONTENT_BYTES => {
                    let content = bytes.at(body_at, (box_end - body_at) as usize).into_owned();
                    self.content(kind, &content, &label, depth);
                }
                _ => {}
            }
            at = box_end;
        }
    }

    fn content(&mut self, kind: [u8; 4], content: &[u8], label: &str, depth: usize) {
        self.content_bytes += content.len();
        if self.content_bytes > self.most_content_bytes {
            return;
        }
        match &kind {
            b"cbor" => self.assertion(&cbor::parse(content), label),
            b"json" => {
                if let Ok(value) = serde_json::from_slice(content) {
                    self.assertion(&value, label);
                }
            }
            _ => self.compressed(content, label, depth),
        }
    }

    /// A compressed box: the type of what is inside, then brotli.
    fn compressed(&mut self, content: &[u8], label: &str, depth: usize) {
        let Some((inner, packed)) = content.split_first_chunk::<4>() else {
            return;
        };
        let unpacked = inflate::brotli(packed, MAX_CONTENT_BYTES as usize).bytes;
        self.content_bytes += unpacked.len() + DECOMPRESSION_COST_BYTES;
        match inner {
            b"jumb" => self.boxes(&mut unpacked.as_slice(), 0, unpacked.len() as u64, label, depth + 1),
            b"cbor" | b"json" => self.content(*inner, &unpacked, label, depth),
            _ => {}
        }
    }

    /// What a claim or an assertion says.
    fn assertion(&mut self, value: &Value, label: &str) {
        if label.starts_with("c2pa.claim") {
            self.claim(value);
        }
        self.sources(value, 0);
    }

    fn claim(&mut self, claim: &Value) {
        let generator = claim.get("claim_generator").and_then(Value::as_str);
        if let Some(generator) = generator {
            self.keep("claim_generator", generator);
        }
        let info = claim.get("claim_generator_info");
        let infos = match info {
            Some(Value::Array(infos)) => infos.as_slice(),
            Some(info) => std::slice::from_ref(info),
            None => &[],
        };
        for name in infos.iter().filter_map(|info| info.get("name")?.as_str()) {
            self.keep(
                if generator.is_some() {
                    "claim_generator_info"
                } else {
                    "claim_generator"
                },
                name,
            );
        }
        for (key, names) in [("title", ["dc:title", "title"]), ("format", ["dc:format", "format"])] {
            if let Some(text) = names.iter().find_map(|name| claim.get(name)?.as_str()) {
                self.keep(key, text);
            }
        }
    }

    /// Digital source types and software agents, wherever actions or metadata assertions have them.
    fn sources(&mut self, value: &Value, depth: usize) {
        if depth > cbor::MAX_DEPTH {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.sources(item, depth + 1)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    let local = name.rsplit([':', '/']).next().unwrap_or(name);
                    match (local, field) {
                        ("digitalSourceType" | "DigitalSourceType", Value::String(text)) => {
                            self.keep("digital_source_type", text);
                        }
                        ("softwareAgent", Value::String(text)) => self.keep("software_agent", text),
                        ("softwareAgent", Value::Object(agent)) => {
                            if let Some(text) = agent.get("name").and_then(Value::as_str) {
                                self.keep("software_agent", text);
                            }
                        }
                        _ => self.sources(field, depth + 1),
                    }
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, key: &'static str, text: &str) {
        let is_new = !self.found.iter().any(|(k, t)| *k == key && t == text);
        if is_new && !text.is_empty() && self.found.len() < 64 {
            self.found
                .push((key, text[..text.floor_char_boundary(4096)].to_owned()));
        }
    }
}

/// Type, start of the body and end of the box that begins at `at`; boxes never reach beyond `end`.
fn box_header(header: &[u8], at: u64, end: u64) -> Option<([u8; 4], u64, u64)> {
    let short = u32::from_be_bytes(*header.first_chunk()?);
    let kind = *header.get(4..8)?.first_chunk()?;
    let (header_bytes, length) = match short {
        // To the end of what is round it.
        0 => (8, end - at),
        1 => (16, u64::from_be_bytes(*header.get(8..16)?.first_chunk()?)),
        length => (8, u64::from(length)),
    };
    let box_end = at.checked_add(length)?.min(end);
    (length >= header_bytes && at + header_bytes <= box_end).then_some((kind, at + header_bytes, box_end))
}

/// The label in a description box: 16 bytes of UUID, toggles, and a text that ends with NUL.
fn description_label(body: &[u8]) -> Option<String> {
    const HAS_LABEL: u8 = 2;
    let toggles = *body.get(16)?;
    let label = body.get(17..)?.split(|&byte| byte == 0).next()?;
    (toggles & HAS_LABEL != 0).then(|| String::from_utf8_lossy(label).into_owned())
}

#[cfg(test)]
mod tests;
