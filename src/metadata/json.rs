//! Tolerant JSON for metadata that other programs wrote: `NaN` and `Infinity` as Python writes
//! them, trailing NULs, texts cut off in the middle, duplicate keys, lone surrogates. Strings and
//! numbers borrow from the input, numbers stay verbatim (a seed of 2^64 - 1 loses no digit), and
//! depth, number of values and length are capped here rather than by the stack.

use std::fmt::Write as _;

pub use self::arena::{Arena, with_arena};
pub use self::parse::parse;
#[cfg(test)]
pub use self::parse::parse_leaking;

mod arena;
mod parse;

/// Deepest nesting that is kept. Real UI graphs with nested subgraphs stay under 20.
pub const MAX_DEPTH: usize = 128;
/// Most values of one document. The largest workflows seen hold about 100,000.
pub const MAX_VALUES: usize = 2_000_000;
/// Longest document in bytes that is looked at.
pub const MAX_BYTES: usize = 64 << 20;

/// One JSON value. It lives as long as the text that it was read from and the arena that it was
/// read into.
// The kind is a whole word, so that values are copied by words: as a byte with a boolean beside it,
// a copy waits until the writes of several odd lengths are done.
#[repr(u64)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `null`, and whatever was nested deeper than [`MAX_DEPTH`].
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The number as written, `NaN` and `Infinity` included.
    Number(&'a str),
    /// The string, unescaped.
    String(&'a str),
    /// The elements.
    Array(&'a [Value<'a>]),
    /// Keys and values in the order of the file; of a key that came twice, the last value, as
    /// Python, JavaScript and C# read it.
    Object(&'a [Entry<'a>]),
}

/// A key and its value.
pub type Entry<'a> = (&'a str, Value<'a>);

impl<'a> Value<'a> {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.entries()
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Whether this is an object with `key`.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Keys and values of an object; nothing for other values.
    pub fn entries(&self) -> &'a [Entry<'a>] {
        match self {
            Value::Object(entries) => entries,
            _ => &[],
        }
    }

    /// Elements of an array; nothing for other values.
    pub fn items(&self) -> &'a [Value<'a>] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The number as a finite float.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(raw) => raw.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// The number as an unsigned integer, exact; whole floats below 2^53 count.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::Number(raw) => whole_number(raw),
            _ => None,
        }
    }

    /// The value as text for people: strings plain, everything else as compact JSON.
    pub fn to_text(self) -> String {
        match self {
            Value::String(text) => (*text).to_owned(),
            other => {
                let mut out = String::new();
                other.write(&mut out);
                out
            }
        }
    }

    /// Appends the value as compact JSON. Nesting is at most [`MAX_DEPTH`].
    fn write(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Number(raw) => out.push_str(raw),
            Value::String(text) => write_string(text, out),
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Value::Object(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends `text` as a JSON string, with the quotes.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("writing to a String cannot fail");
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Reads an unsigned integer exactly; `20.0` and `2e1` count while a float holds them exactly.
pub fn whole_number(raw: &str) -> Option<u64> {
    /// First integer from which on floats skip numbers.
    const EXACT_FLOAT_LIMIT: f64 = 9_007_199_254_740_992.0;
    if let Ok(number) = raw.parse::<u64>() {
        return Some(number);
    }
    let number: f64 = raw.parse().ok()?;
    ((0.0..EXACT_FLOAT_LIMIT).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// One bit of 64 for a name, by its length and its ends: names with different bits differ.
#[inline]
pub const fn name_mark(name: &str) -> u64 {
    let mixed = match name.as_bytes() {
        [] => 0,
        [only] => *only as usize * 5 + 1,
        [first, .., last] => *first as usize * 5 + *last as usize * 11 + name.len(),
    };
    1 << (mixed % 64)
}

/// A document and what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<'a> {
    /// The value; incomplete where `truncated` or `too_large` is set.
    pub value: Value<'a>,
    /// The text ended inside the value. A string or number that was cut is left out.
    pub truncated: bool,
    /// Something was nested deeper than [`MAX_DEPTH`] and became null.
    pub too_deep: bool,
    /// [`MAX_VALUES`] was reached; the rest is left out.
    pub too_large: bool,
    /// Some object holds a key twice.
    pub duplicate_keys: bool,
    /// What follows the value, trimmed of white space, NULs and commas.
    pub trailing: &'a str,
}

impl Document<'_> {
    /// Whether the text is one whole JSON value and nothing else.
    pub fn is_whole(&self) -> bool {
        !self.truncated && self.trailing.is_empty()
    }

    /// What a person should know about the document named `name`.
    pub fn notes(&self, name: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.truncated {
            notes.push(format!("{name}: the JSON ends in the middle"));
        }
        if self.too_deep {
            notes.push(format!(
                "{name}: JSON nested deeper than {MAX_DEPTH} levels was left out"
            ));
        }
        if self.too_large {
            notes.push(format!("{name}: only the first {MAX_VALUES} JSON values were read"));
        }
        if self.duplicate_keys {
            notes.push(format!("{name}: duplicate JSON keys, the last of each counts"));
        }
        notes
    }
}

#[cfg(test)]
mod tests;
