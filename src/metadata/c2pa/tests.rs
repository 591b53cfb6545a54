//! What is seen in a manifest store, and stores made to do harm.

use super::cbor;
use crate::metadata::container::testing::*;
use crate::metadata::{ReadOptions, budget::Collector};
use crate::record::RawMetadata;

fn read_store(store: &[u8]) -> RawMetadata {
    let options = ReadOptions::default();
    let mut collector = Collector::new(&options);
    super::read(&mut &*store, 0, store.len() as u64, &mut collector);
    collector.finish()
}

#[test]
fn claim_action_and_agent() {
    let raw = read_store(&c2pa_store());
    assert_eq!(entries(&raw), C2PA_ENTRIES);
    assert!(raw.notes.is_empty(), "{:?}", raw.notes);
}

#[test]
fn both_generators_and_a_compressed_claim() {
    let claim = cbor_map(&[
        ("claim_generator", cbor_text("Tool/1.0")),
        ("claim_generator_info", cbor_map(&[("name", cbor_text("Tool"))])),
    ]);
    let plain = jumbf("c2pa.claim", &[bmff_box(b"cbor", &claim)]);
    let packed = bmff_box(b"brob", &[b"jumb", &brotli(&plain)[..]].concat());
    for store in [plain, jumbf("c2pa", &[packed])] {
        let expected = [
            ("c2pa", "claim_generator", "Tool/1.0"),
            ("c2pa", "claim_generator_info", "Tool"),
        ];
        assert_eq!(entries(&read_store(&store)), expected);
    }
}

#[test]
fn source_types_in_json() {
    let json = br#"{"@context": {}, "Iptc4xmpExt:DigitalSourceType": "trainedAlgorithmicMedia"}"#;
    let raw = read_store(&jumbf("c2pa.metadata", &[bmff_box(b"json", json)]));
    assert_eq!(
        entries(&raw),
        [("c2pa", "digital_source_type", "trainedAlgorithmicMedia")]
    );
}

#[test]
fn cbor_values() {
    assert_eq!(
        cbor::parse(&[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        u64::MAX
    );
    assert_eq!(cbor::parse(&[0x39, 0, 9]), -10);
    assert_eq!(cbor::parse(b"\x7f\x62ab\x61c\xff"), "abc");
    assert_eq!(cbor::parse(b"\x9f\x01\xf5\xff"), serde_json::json!([1, true]));
    assert_eq!(cbor::parse(b"\xbf\x61a\xf6\xff"), serde_json::json!({"a": null}));
    assert_eq!(cbor::parse(b"\xc1\x01"), 1);
    // Lengths that lie, and items inside items without end.
    assert_eq!(
        cbor::parse(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        serde_json::json!([1])
    );
    assert!(cbor::parse(&[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_null());
    cbor::parse(&vec![0x81; 100_000]);
    cbor::parse(&vec![0x9f; 100_000]);
    cbor::parse(&vec![0xc1; 100_000]);
    cbor::parse(&vec![0x7f; 100_000]);
    assert!(cbor::parse(&[]).is_null());
}

#[test]
fn boxes_without_end_are_bounded() {
    let nested = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        if inner.len() > 50_000 {
            inner
        } else {
            bmff_box(b"jumb", &inner)
        }
    });
    read_store(&nested);
    let raw = read_store(&bmff_box(b"free", &[]).repeat(10_000));
    assert!(raw.notes[0].contains("more than"));
    let bomb = bmff_box(b"brob", &[b"json", &brotli(&vec![b' '; 1 << 20])[..]].concat());
    assert!(read_store(&bomb.repeat(50)).entries.is_empty());
    for size in [0_u32, 1, 4, 0xffff_ffff] {
        read_store(&[&size.to_be_bytes()[..], b"jumb", &[0xff; 20]].concat());
    }
    assert_eq!(read_store(&[]).notes.len(), 1);
}

#[test]
fn every_cut_and_every_flipped_byte_is_survived() {
    let store = c2pa_store();
    for end in 0..store.len() {
        read_store(&store[..end]);
    }
    for at in (0..store.len()).filter(|&at| store[at] != 0x5a) {
        for value in [0, 0x7f, 0xff] {
            let mut broken = store.clone();
            broken[at] = value;
            read_store(&broken);
        }
    }
}
