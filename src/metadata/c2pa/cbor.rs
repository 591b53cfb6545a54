//! CBOR (RFC 8949) as far as C2PA needs it, as JSON values: byte strings and what JSON lacks
//! become null, tags are dropped. What is cut or broken ends the value there.

use serde_json::{Map, Value};

/// Arrays and maps inside each other.
pub(super) const MAX_DEPTH: usize = 32;

/// Parses the first item; null where there is none.
pub(super) fn parse(bytes: &[u8]) -> Value {
    Parser { rest: bytes }.item(0).unwrap_or(Value::Null)
}

struct Parser<'b> {
    rest: &'b [u8],
}

/// Length of a string, array or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(u64),
    UntilBreak,
}

impl<'b> Parser<'b> {
    fn item(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (major, length) = self.head()?;
        Some(match (major, length) {
            (0, Length::Known(number)) => number.into(),
            (1, Length::Known(number)) => (-1 - i64::try_from(number).ok()?).into(),
            (2, length) => {
                self.string(2, length)?;
                Value::Null
            }
            (3, length) => Value::String(String::from_utf8_lossy(&self.string(3, length)?).into_owned()),
            (4, length) => self.array(length, depth),
            (5, length) => self.map(length, depth),
            (6, Length::Known(_)) => self.item(depth + 1)?,
            (7, Length::Known(20)) => false.into(),
            (7, Length::Known(21)) => true.into(),
            (7, Length::Known(_)) => Value::Null,
            _ => return None,
        })
    }

    /// Major type and argument.
    fn head(&mut self) -> Option<(u8, Length)> {
        let (&first, _) = self.rest.split_first()?;
        let (major, info) = (first >> 5, first & 31);
        let width = match info {
            0..=23 | 31 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        let argument = self.rest.get(1..=width)?;
        let value = argument.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        self.rest = &self.rest[1 + width..];
        Some(match info {
            0..=23 => (major, Length::Known(u64::from(info))),
            31 => (major, Length::UntilBreak),
            _ => (major, Length::Known(value)),
        })
    }

    fn string(&mut self, major: u8, length: Length) -> Option<std::borrow::Cow<'b, [u8]>> {
        match length {
            Length::Known(length) => {
                let (string, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
                self.rest = rest;
                Some(string.into())
            }
            Length::UntilBreak => {
                let mut joined = Vec::new();
                while !self.take_break() {
                    match self.head()? {
                        (piece, length @ Length::Known(_)) if piece == major => {
                            joined.extend_from_slice(&self.string(major, length)?);
                        }
                        _ => return None,
                    }
                }
                Some(joined.into())
            }
        }
    }

    fn array(&mut self, length: Length, depth: usize) -> Value {
        let mut items = Vec::new();
        while self.has_next(length, items.len()) {
            let Some(item) = self.item(depth + 1) else { break };
            items.push(item);
        }
        Value::Array(items)
    }

    fn map(&mut self, length: Length, depth: usize) -> Value {
        let mut fields = Map::new();
        let mut count = 0;
        while self.has_next(length, count) {
            let (Some(key), Some(value)) = (self.item(depth + 1), self.item(depth + 1)) else {
                break;
            };
            if let Value::String(key) = key {
                fields.insert(key, value);
            }
            count += 1;
        }
        Value::Object(fields)
    }

    fn has_next(&mut self, length: Length, count: usize) -> bool {
        match length {
            Length::Known(length) => (count as u64) < length && !self.rest.is_empty(),
            Length::UntilBreak => !self.rest.is_empty() && !self.take_break(),
        }
    }

    fn take_break(&mut self) -> bool {
        let is_break = self.rest.first() == Some(&0xff);
        if is_break {
            self.rest = &self.rest[1..];
        }
        is_break
    }
}
