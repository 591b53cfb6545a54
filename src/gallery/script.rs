//! The page's data files: one call of a function of the page with JSON in it.
//!
//! The JSON holds text from images, so it is written such that no HTML parser, and no JavaScript
//! parser older than 2019, can take a part of it for something else.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// One data file.
pub(super) struct Script {
    kind: &'static str,
    number: Option<usize>,
}

impl Script {
    /// The only file of its kind.
    pub fn only(kind: &'static str) -> Self {
        Self { kind, number: None }
    }

    /// One of several.
    pub fn new(kind: &'static str, number: usize) -> Self {
        Self {
            kind,
            number: Some(number),
        }
    }

    /// Writes `data/KIND-NUMBER.js` in `folder`.
    pub fn write(&self, folder: &Path, value: &Value) -> anyhow::Result<()> {
        let Self { kind, number } = self;
        let (name, first) = match number {
            Some(number) => (format!("{kind}-{number}.js"), format!("{number},")),
            None => (format!("{kind}.js"), String::new()),
        };
        let path = folder.join("data").join(name);
        let text = format!("labelmill.{kind}({first}{});\n", script_safe(&value.to_string()));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

/// JSON whose strings hold no character that ends a script, opens markup, or ends a line in old
/// JavaScript. All of them can stand in strings only, so escaping them keeps the meaning.
fn script_safe(json: &str) -> String {
    let is_risky = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    let mut safe = String::with_capacity(json.len() + json.len() / 64);
    let mut rest = json;
    while let Some(at) = rest.find(is_risky) {
        safe.push_str(&rest[..at]);
        let mut after = rest[at..].chars();
        let risky = after.next().map_or(0, u32::from);
        safe.push_str(&format!("\\u{risky:04x}"));
        rest = after.as_str();
    }
    safe.push_str(rest);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_string_can_end_the_script_and_nothing_is_lost() {
        let hostile = "</script><script>alert(1)</script><!-- ]]> & \u{2028}\u{2029}\u{feff} \" \\ é 🐦";
        let value = Value::from(vec![hostile]);
        let safe = script_safe(&value.to_string());
        assert!(
            !safe.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{feff}']),
            "{safe}"
        );
        assert_eq!(serde_json::from_str::<Value>(&safe).expect("still JSON"), value);
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back(text in proptest::prelude::any::<String>()) {
            let value = Value::from(text);
            let safe = script_safe(&value.to_string());
            let ends_something = safe.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
            proptest::prop_assert!(!ends_something);
            proptest::prop_assert_eq!(serde_json::from_str::<Value>(&safe).expect("still JSON"), value);
        }
    }
}
