//! Reading a document: one pass over its text, values kept in an arena.

use std::collections::{HashMap, HashSet};

use super::{Arena, Document, Entry, MAX_BYTES, MAX_DEPTH, MAX_VALUES, Value, name_mark};

/// Reads the object or array at the start of `text` into `arena`; `None` where there is none, where
/// the syntax is broken (an early end is not broken, see [`Document`]), or where it is too long.
pub fn parse<'a>(text: &'a str, arena: &'a Arena) -> Option<Document<'a>> {
    /// Values that are open at once in most documents.
    const OPEN: usize = 64;
    let trimmed = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}');
    if !trimmed.starts_with(['{', '[']) || trimmed.len() > MAX_BYTES {
        return None;
    }
    let mut parser = Parser {
        arena,
        text: trimmed,
        at: 0,
        values: 0,
        open_values: Vec::with_capacity(OPEN),
        open_keys: Vec::with_capacity(OPEN),
        unescaped: String::new(),
        truncated: false,
        too_deep: false,
        too_large: false,
        duplicate_keys: false,
    };
    parser.value(0).ok()?;
    let value = parser.open_values.pop()?;
    let rest = trimmed.get(parser.at..).unwrap_or_default();
    Some(Document {
        value,
        truncated: parser.truncated,
        too_deep: parser.too_deep,
        too_large: parser.too_large,
        duplicate_keys: parser.duplicate_keys,
        trailing: rest.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == ','),
    })
}

/// [`parse`] into an arena that stays for ever.
#[cfg(test)]
pub fn parse_leaking(text: &str) -> Option<Document<'_>> {
    parse(text, Box::leak(Box::default()))
}

/// What may stand between the parts of a document; NULs too, which some writers pad with.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0
}

/// Why a value could not be read.
enum Stop {
    /// The text (or the budget) ended; what was read so far counts.
    End,
    /// Not JSON.
    Syntax,
}

/// The state of one pass over a document.
struct Parser<'a> {
    arena: &'a Arena,
    text: &'a str,
    at: usize,
    values: usize,
    /// The values so far of the arrays and objects that are open, the innermost last; those of one
    /// that is whole go to the arena.
    open_values: Vec<Value<'a>>,
    /// The keys so far of the open objects.
    open_keys: Vec<&'a str>,
    /// The string being unescaped.
    unescaped: String,
    truncated: bool,
    too_deep: bool,
    too_large: bool,
    duplicate_keys: bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Reads one value on top of the open ones. (Handed back, each would be copied several times.)
    #[inline]
    fn value(&mut self, depth: usize) -> Result<(), Stop> {
        self.skip_space();
        if self.values >= MAX_VALUES {
            self.too_large = true;
            return Err(Stop::End);
        }
        self.values += 1;
        let value = match self.peek().ok_or(Stop::End)? {
            b'{' | b'[' if depth >= MAX_DEPTH => {
                self.too_deep = true;
                self.skip_nested()?;
                Value::Null
            }
            b'{' => Value::Object(self.object(depth)?),
            b'[' => Value::Array(self.array(depth)?),
            b'"' => Value::String(self.string()?),
            _ => self.word()?,
        };
        self.open_values.push(value);
        Ok(())
    }

    /// Lets `next` add one after the other until it says that there are no more. Where the text ends
    /// before that, those so far count.
    #[inline]
    fn until_closed(&mut self, next: impl Fn(&mut Self) -> Result<bool, Stop>) -> Result<(), Stop> {
        loop {
            match next(self) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Stop::End) => {
                    self.truncated = true;
                    return Ok(());
                }
                Err(Stop::Syntax) => return Err(Stop::Syntax),
            }
        }
    }

    #[inline(never)]
    fn object(&mut self, depth: usize) -> Result<&'a [Entry<'a>], Stop> {
        self.at += 1;
        let (first_key, first_value) = (self.open_keys.len(), self.open_values.len());
        self.until_closed(|parser| parser.object_entry(depth))?;
        let (keys, values) = (&self.open_keys[first_key..], &self.open_values[first_value..]);
        let entries: &[Entry<'a>] = if has_duplicates(keys) {
            self.duplicate_keys = true;
            self.arena.alloc_slice_copy(&last_of_each(keys, values))
        } else {
            self.arena
                .alloc_slice_fill_with(keys.len(), |at| (keys[at], values[at]))
        };
        self.open_keys.truncate(first_key);
        self.open_values.truncate(first_value);
        Ok(entries)
    }

    /// Adds the next entry; false after the closing brace.
    fn object_entry(&mut self, depth: usize) -> Result<bool, Stop> {
        self.skip_separators();
        match self.peek().ok_or(Stop::End)? {
            b'}' => {
                self.at += 1;
                Ok(false)
            }
            b'"' => {
                let key = self.string()?;
                self.skip_space();
                match self.peek().ok_or(Stop::End)? {
                    b':' => self.at += 1,
                    _ => return Err(Stop::Syntax),
                }
                self.value(depth + 1)?;
                self.open_keys.push(key);
                self.ensure_separated(b'}')?;
                Ok(true)
            }
            _ => Err(Stop::Syntax),
        }
    }

    #[inline(never)]
    fn array(&mut self, depth: usize) -> Result<&'a [Value<'a>], Stop> {
        self.at += 1;
        let first = self.open_values.len();
        self.until_closed(|parser| parser.array_item(depth))?;
        let items = self.arena.alloc_slice_copy(&self.open_values[first..]);
        self.open_values.truncate(first);
        Ok(items)
    }

    /// Adds the next element; false after the closing bracket.
    fn array_item(&mut self, depth: usize) -> Result<bool, Stop> {
        self.skip_separators();
        if self.peek().ok_or(Stop::End)? == b']' {
            self.at += 1;
            return Ok(false);
        }
        self.value(depth + 1)?;
        self.ensure_separated(b']')?;
        Ok(true)
    }

    /// Skips white space and commas: a comma too many is not worth losing a document.
    fn skip_separators(&mut self) {
        while self.peek().is_some_and(|byte| byte == b',' || is_space(byte)) {
            self.at += 1;
        }
    }

    /// After a value comes a comma, the closing bracket, or the end.
    #[inline]
    fn ensure_separated(&mut self, close: u8) -> Result<(), Stop> {
        self.skip_space();
        match self.peek() {
            None | Some(b',') => Ok(()),
            Some(byte) if byte == close => Ok(()),
            Some(_) => Err(Stop::Syntax),
        }
    }

    /// A number or one of the literal words.
    fn word(&mut self) -> Result<Value<'a>, Stop> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        match word {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "NaN" | "-NaN" | "Infinity" | "-Infinity" => Ok(Value::Number(word)),
            _ if self.at == self.text.len() => Err(Stop::End),
            _ if is_number(word) => Ok(Value::Number(word)),
            _ => Err(Stop::Syntax),
        }
    }

    fn string(&mut self) -> Result<&'a str, Stop> {
        self.at += 1;
        let start = self.at;
        if self.skip_plain().ok_or(Stop::End)? == b'\\' {
            return self.escaped_string(start);
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Ok(text)
    }

    /// Goes on to the next quote or backslash, and says which; none at the end of the text.
    fn skip_plain(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let found = memchr::memchr2(b'"', b'\\', rest);
        self.at += found.unwrap_or(rest.len());
        self.peek()
    }

    /// The rest of a string that holds escapes, from its first backslash on.
    fn escaped_string(&mut self, start: usize) -> Result<&'a str, Stop> {
        self.unescaped.clear();
        let mut plain_from = start;
        loop {
            let stop = self.skip_plain().ok_or(Stop::End)?;
            self.unescaped.push_str(&self.text[plain_from..self.at]);
            self.at += 1;
            if stop == b'"' {
                return Ok(self.arena.alloc_str(&self.unescaped));
            }
            let character = self.escape()?;
            self.unescaped.push(character);
            plain_from = self.at;
        }
    }

    /// One escape after its backslash; an unknown one stands for its own character.
    fn escape(&mut self) -> Result<char, Stop> {
        let character = self.text[self.at..].chars().next().ok_or(Stop::End)?;
        self.at += character.len_utf8();
        Ok(match character {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => self.unicode_escape()?,
            other => other,
        })
    }

    /// The character of `\uXXXX`, joining surrogate pairs; a lone half becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, Stop> {
        let first = self.hex4()?;
        if (0xD800..0xDC00).contains(&first) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                let joined = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let bytes = self.text.as_bytes();
        if self.at + 4 > bytes.len() {
            self.at = bytes.len();
            return Err(Stop::End);
        }
        let digits = self.text.get(self.at..self.at + 4).ok_or(Stop::Syntax)?;
        let number = u32::from_str_radix(digits, 16).map_err(|_| Stop::Syntax)?;
        self.at += 4;
        Ok(number)
    }

    /// Skips one object or array without recursion, minding strings.
    fn skip_nested(&mut self) -> Result<(), Stop> {
        let mut depth = 0_usize;
        loop {
            match self.peek().ok_or(Stop::End)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

/// Whether `word` is a number in JSON's sense, give or take a leading plus or zero.
fn is_number(word: &str) -> bool {
    let whole = word.strip_prefix('-').unwrap_or(word);
    if !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return true;
    }
    let digits = word.trim_start_matches(['+', '-']);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && word.parse::<f64>().is_ok()
}

/// Whether a key stands in `keys` twice.
fn has_duplicates(keys: &[&str]) -> bool {
    /// Up to here comparing the keys that look alike is cheaper than hashing.
    const FEW: usize = 64;
    if keys.len() > FEW {
        let mut seen = HashSet::with_capacity(keys.len());
        return keys.iter().any(|key| !seen.insert(*key));
    }
    let mut seen = 0_u64;
    keys.iter().enumerate().any(|(index, key)| {
        let mark = name_mark(key);
        let may_be_there = seen & mark != 0;
        seen |= mark;
        may_be_there && keys[..index].contains(key)
    })
}

/// The last value of each key, where the key first stood.
fn last_of_each<'a>(keys: &[&'a str], values: &[Value<'a>]) -> Vec<Entry<'a>> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(keys.len());
    let mut kept: Vec<Entry<'a>> = Vec::with_capacity(keys.len());
    for (key, value) in keys.iter().zip(values) {
        match places.get(key) {
            Some(place) => kept[*place].1 = *value,
            None => {
                places.insert(key, kept.len());
                kept.push((key, *value));
            }
        }
    }
    kept
}
