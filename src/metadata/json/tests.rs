//! JSON as it should be, and as it is found in files.

use super::*;

fn value(text: &str) -> Value<'_> {
    parse_leaking(text).expect("parses").value
}

#[test]
fn seeds_keep_every_digit() {
    assert_eq!(
        value(r#"{"seed": 18446744073709551615}"#).get("seed").unwrap().as_u64(),
        Some(u64::MAX)
    );
    assert_eq!(value(r#"{"seed": 20.0}"#).get("seed").unwrap().as_u64(), Some(20));
    assert_eq!(value(r#"{"seed": -1}"#).get("seed").unwrap().as_u64(), None);
    assert_eq!(value(r#"{"seed": 1e300}"#).get("seed").unwrap().as_u64(), None);
}

#[test]
fn not_a_number_stays_out_of_strings() {
    let document = value(r#"{"is_changed": [NaN, -Infinity, Infinity], "text": "a: NaN, b"}"#);
    assert_eq!(document.get("text").unwrap().as_str(), Some("a: NaN, b"));
    assert_eq!(document.get("is_changed").unwrap().items().len(), 3);
    assert_eq!(document.get("is_changed").unwrap().items()[0].as_f64(), None);
}

#[test]
fn escapes_and_surrogates() {
    let document = value(r#"{"a": "\u30c6\"\\\n\ud83d\ude00", "b": "\ud83d!", "c": "\q"}"#);
    assert_eq!(document.get("a").unwrap().as_str(), Some("テ\"\\\n😀"));
    assert_eq!(document.get("b").unwrap().as_str(), Some("\u{fffd}!"));
    assert_eq!(document.get("c").unwrap().as_str(), Some("q"));
}

#[test]
fn trailing_nuls_and_commas_are_nothing() {
    assert!(parse_leaking("{\"a\": 1}\0\0, \n").unwrap().is_whole());
    assert_eq!(parse_leaking("{\"a\": 1}\nSteps: 3").unwrap().trailing, "Steps: 3");
    assert!(parse_leaking("{\"a\": [1, 2,],}").unwrap().is_whole());
}

#[test]
fn a_cut_document_gives_what_was_whole() {
    let document = parse_leaking(r#"{"a": {"b": "c", "d": [1, 2, "cut off"#).unwrap();
    assert!(document.truncated);
    assert_eq!(document.value.to_text(), r#"{"a":{"b":"c","d":[1,2]}}"#);
    assert!(
        parse_leaking(r#"{"a": 12"#).unwrap().value.get("a").is_none(),
        "the number may have gone on"
    );
}

#[test]
fn prose_is_not_json() {
    for text in [
        "{masterpiece}, best quality",
        "[a:b:0.5]",
        "plain",
        "",
        "{\"a\" 1}",
        "{a: 1}",
    ] {
        assert!(parse_leaking(text).is_none(), "{text}");
    }
}

#[test]
fn duplicate_keys_are_noted_and_the_last_counts() {
    let document = parse_leaking(r#"{"a": 1, "a": 2}"#).unwrap();
    assert!(document.duplicate_keys);
    assert_eq!(document.value.get("a").unwrap().as_u64(), Some(2));
    assert_eq!(document.notes("x").len(), 1);
    let many: Vec<String> = (0..40).map(|at| format!("\"{}\": {at}", at % 20)).collect();
    let text = format!("{{{}}}", many.join(", "));
    let document = parse_leaking(&text).unwrap();
    let values: Vec<_> = document
        .value
        .entries()
        .iter()
        .map(|(_, value)| value.as_u64())
        .collect();
    assert_eq!(values, (20..40).map(Some).collect::<Vec<_>>());
}

#[test]
fn ten_thousand_levels_are_bounded() {
    for open in ["[", "{\"a\":"] {
        let close = if open == "[" { "]" } else { "}" };
        let deep = format!(
            "{{\"before\": 1, \"deep\": {}1{}, \"after\": 2}}",
            open.repeat(10_000),
            close.repeat(10_000)
        );
        let document = parse_leaking(&deep).unwrap();
        assert!(document.too_deep && document.is_whole());
        assert_eq!(document.value.get("after").unwrap().as_u64(), Some(2));
        let cut = parse_leaking(&deep[..deep.len() / 2]).unwrap();
        assert!(cut.truncated && cut.too_deep);
    }
}

#[test]
fn too_many_values_are_cut() {
    let many = format!("[{}0]", "0,".repeat(MAX_VALUES + 10));
    let document = parse_leaking(&many).unwrap();
    assert!(document.too_large && document.truncated);
}

proptest::proptest! {
    #[test]
    fn never_panics(text in ".{0,200}", json in "[\\[\\]{}\",:0-9a-z\\\\u -]{0,200}") {
        let _ = parse_leaking(&text);
        let _ = parse_leaking(&json);
        let _ = parse_leaking(&format!("{{{json}"));
    }

    #[test]
    fn strings_survive_a_round_trip(text in ".{0,100}") {
        let mut out = String::from("[");
        write_string(&text, &mut out);
        out.push(']');
        let document = parse_leaking(&out).unwrap();
        proptest::prop_assert_eq!(document.value.items()[0].as_str(), Some(text.as_str()));
    }
}
