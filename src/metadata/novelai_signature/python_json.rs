//! JSON text as Python's `json.dumps(json.loads(text))` writes it: `, ` and `: ` between the
//! parts, ASCII only, floats in their shortest form with Python's choice of exponent. Works on the
//! text itself, since a parsed value no longer knows `1.0` from `1` or how large an integer was.

use std::fmt::Write;

/// Rewrites an object without one of its own fields. `None` where `text` is not one valid object.
pub(super) fn dumps_without(text: &str, field: &str) -> Option<String> {
    // Whether the text is valid JSON at all, and not too deep, is settled here.
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut writer = Rewriter {
        rest: text.trim_start(),
        out: String::with_capacity(text.len()),
    };
    writer.object(Some(field))?;
    Some(writer.out)
}

struct Rewriter<'t> {
    rest: &'t str,
    out: String,
}

impl Rewriter<'_> {
    fn value(&mut self) -> Option<()> {
        self.skip_space();
        match self.rest.as_bytes().first()? {
            b'{' => self.object(None),
            b'[' => self.array(),
            b'"' => {
                let text = self.string()?;
                self.write_string(&text);
                Some(())
            }
            _ => self.atom(),
        }
    }

    fn object(&mut self, left_out: Option<&str>) -> Option<()> {
        self.rest = self.rest.strip_prefix('{')?;
        self.out.push('{');
        let first_at = self.out.len();
        while !self.take('}') {
            self.take(',');
            self.skip_space();
            let before = self.out.len();
            if before > first_at {
                self.out.push_str(", ");
            }
            let key = self.string()?;
            self.write_string(&key);
            self.out.push_str(": ");
            if !self.take(':') {
                return None;
            }
            self.value()?;
            if left_out == Some(key.as_str()) {
                self.out.truncate(before);
            }
        }
        self.out.push('}');
        Some(())
    }

    fn array(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix('[')?;
        self.out.push('[');
        let first_at = self.out.len();
        while !self.take(']') {
            self.take(',');
            if self.out.len() > first_at {
                self.out.push_str(", ");
            }
            self.value()?;
        }
        self.out.push(']');
        Some(())
    }

    /// Takes a string literal with its quotes, decoded.
    fn string(&mut self) -> Option<String> {
        let mut escaped = false;
        let inner = self.rest.strip_prefix('"')?;
        let end = inner.bytes().position(|byte| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        })?;
        let literal = &self.rest[..end + 2];
        self.rest = &self.rest[end + 2..];
        serde_json::from_str(literal).ok()
    }

    fn write_string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                ' '..='~' => self.out.push(c),
                _ => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push('"');
    }

    /// A number, or one of the three words.
    fn atom(&mut self) -> Option<()> {
        let end = self
            .rest
            .find([',', '}', ']', ' ', '\t', '\n', '\r'])
            .unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(end);
        self.rest = rest;
        if atom.contains(['.', 'e', 'E']) && !matches!(atom, "true" | "false") {
            let float: f64 = atom.parse().ok()?;
            self.out.push_str(&python_float(float));
        } else {
            // Python's integers are exact at any length; "-0" is the integer 0.
            self.out.push_str(if atom == "-0" { "0" } else { atom });
        }
        Some(())
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}

/// A float as Python's `repr` writes it: the shortest digits that give it back, in positional form
/// for exponents from -4 to 15.
fn python_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !value.is_finite() {
        return (if value > 0.0 { "Infinity" } else { "-Infinity" }).to_owned();
    }
    if (-4..16).contains(&exponent) {
        return format!("{value:?}").strip_suffix(".0").map_or_else(
            || {
                if format!("{value}").contains('.') {
                    format!("{value}")
                } else {
                    format!("{value}.0")
                }
            },
            |whole| format!("{whole}.0"),
        );
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_python_does() {
        let cases = [
            (
                r#"{"a":1,"signed_hash":"x","b":[1.50,2e-5,1e16,-0.0,1E2]}"#,
                r#"{"a": 1, "b": [1.5, 2e-05, 1e+16, -0.0, 100.0]}"#,
            ),
            (
                r#" { "signed_hash" : "x" , "b" : "é\/🐈\n" } "#,
                r#"{"b": "\u00e9/\ud83d\udc08\n"}"#,
            ),
            (r#"{"signed_hash":1}"#, "{}"),
            (
                r#"{"a":{"signed_hash":true},"b":[],"c":null}"#,
                r#"{"a": {"signed_hash": true}, "b": [], "c": null}"#,
            ),
            (r#"{"seed":18446744073709551616}"#, r#"{"seed": 18446744073709551616}"#),
        ];
        for (text, expected) in cases {
            assert_eq!(dumps_without(text, "signed_hash").as_deref(), Some(expected));
        }
        for broken in ["", "[]", "{", r#"{"a"}"#, r#"{"a":1,}"#, "1"] {
            assert_eq!(dumps_without(broken, "x"), None, "{broken}");
        }
    }

    #[test]
    fn floats() {
        for (value, text) in [
            (0.1, "0.1"),
            (5.0, "5.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1.5e300, "1.5e+300"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }
}
