//! IPTC: Photoshop's image resources, and in them the IPTC-IIM records (captions, keywords).

use super::budget::Collector;
use super::{text, xmp};

/// Records of one block that are read.
const MAX_RECORDS: usize = 4096;

/// Reads Photoshop image resources (JPEG APP13, TIFF tag 0x8649), or bare IPTC records.
pub(super) fn read_resources(block: &[u8], collector: &mut Collector) {
    if block.first() == Some(&0x1c) {
        return read_records(block, collector);
    }
    let mut rest = block;
    while let Some((kind, body, after)) = next_resource(rest) {
        match kind {
            0x0404 => read_records(body, collector),
            0x0424 => {
                xmp::read(body, collector);
            }
            _ => {}
        }
        rest = after;
    }
    if rest.len() > 4 {
        collector.note("iptc: an image resource is truncated");
    }
}

/// One resource: `8BIM`, a number, a padded name, a length, a padded body.
fn next_resource(block: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let rest = block.strip_prefix(b"8BIM")?;
    let kind = u16::from_be_bytes(*rest.first_chunk()?);
    // The name counts its length byte, together an even number.
    let name_length = (usize::from(*rest.get(2)?) + 2) & !1;
    let rest = rest.get(2 + name_length..)?;
    let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
    let rest = rest.get(4..)?;
    let body = rest.get(..length)?;
    let after = rest.get(length + (length & 1)..).unwrap_or_default();
    Some((kind, body, after))
}

/// Reads IPTC-IIM records: each is 0x1c, record, dataset, length, value.
pub(super) fn read_records(block: &[u8], collector: &mut Collector) {
    let mut rest = block;
    for _ in 0..MAX_RECORDS {
        let &[0x1c, record, dataset, high, low, ref after @ ..] = rest else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // The highest bit marks an extended length, which only pictures inside IPTC need.
        let Some(value) = after.get(..length).filter(|_| high < 0x80) else {
            collector.note("iptc: a record is truncated");
            break;
        };
        if let (2, Some(name)) = (record, name(dataset)) {
            let value = text::utf8_or_latin1(value, false);
            if dataset == 25 {
                collector.keyword(&value);
            }
            collector.entry("iptc", name, value);
        }
        rest = &after[length..];
    }
}

/// Names of the datasets of record 2 that hold text a person wrote.
fn name(dataset: u8) -> Option<&'static str> {
    Some(match dataset {
        5 => "ObjectName",
        25 => "Keywords",
        40 => "SpecialInstructions",
        55 => "DateCreated",
        65 => "OriginatingProgram",
        80 => "By-line",
        85 => "By-lineTitle",
        90 => "City",
        101 => "Country-PrimaryLocationName",
        103 => "OriginalTransmissionReference",
        105 => "Headline",
        110 => "Credit",
        115 => "Source",
        116 => "CopyrightNotice",
        120 => "Caption-Abstract",
        122 => "Writer-Editor",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::ReadOptions;

    fn record(dataset: u8, value: &[u8]) -> Vec<u8> {
        [&[0x1c, 2, dataset][..], &(value.len() as u16).to_be_bytes(), value].concat()
    }

    fn resource(kind: u16, name: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = [b"8BIM", &kind.to_be_bytes()[..], &[name.len() as u8], name].concat();
        if out.len() % 2 == 1 {
            out.push(0);
        }
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
        if body.len() % 2 == 1 {
            out.push(0);
        }
        out
    }

    #[test]
    fn keywords_and_captions_come_out_of_image_resources() {
        let records = [
            record(25, b"cat"),
            record(25, "Stra\u{df}e".as_bytes()),
            record(120, b"caf\xe9"),
        ]
        .concat();
        let block = [resource(0x03ed, b"x", b"odd"), resource(0x0404, b"ab", &records)].concat();
        let options = ReadOptions::default();
        let mut collector = Collector::new(&options);
        read_resources(&block, &mut collector);
        let raw = collector.finish();
        assert_eq!(raw.facts.keywords, ["cat", "Straße"]);
        assert_eq!(
            (raw.entries[2].key.as_str(), raw.entries[2].text.as_str()),
            ("Caption-Abstract", "café")
        );
        assert!(raw.notes.is_empty(), "{:?}", raw.notes);
    }

    #[test]
    fn every_cut_of_a_block_is_survived() {
        let block = resource(0x0404, b"", &[record(25, b"cat"), record(5, b"title")].concat());
        for end in 0..block.len() {
            let options = ReadOptions::default();
            let mut collector = Collector::new(&options);
            read_resources(&block[..end], &mut collector);
        }
    }
}
