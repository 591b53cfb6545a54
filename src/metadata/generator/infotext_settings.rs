//! The scanner of infotext's settings line: `Key: value, Key: "quoted, value", Key: {"json": 1}`.
//! Quotes and brackets are followed as they open and close, and where a value is not what it
//! promised (unescaped quotes, commas in bare values, brackets that never close) the scanner goes
//! on at the next key that it knows. One pass, with a budget for looking ahead, so that hostile
//! text costs linear time.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::metadata::json::{self, Arena};

/// One setting of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The key as written, without the colon.
    pub key: Cow<'a, str>,
    /// The value; unescaped where it was a quoted string, otherwise as written.
    pub value: Cow<'a, str>,
}

/// A scanned settings line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsLine<'a> {
    /// The settings in the order of the line.
    pub settings: Vec<Setting<'a>>,
    /// Bytes read, up to the line break after the last value or the end of the text.
    pub length: usize,
}

/// Keys of the generators' own settings, lower case. They decide what is a settings line and
/// where the scanner goes on after a value that it cannot read.
#[rustfmt::skip]
const KNOWN_KEYS: &[&str] = &[
    "steps", "sampler", "schedule type", "scheduler", "cfg scale", "cfg", "seed", "size", "model hash", "model",
    "vae hash", "vae", "clip skip", "denoising strength", "version", "app", "pipeline", "operations", "backend",
    "eta", "ensd", "rng", "hashes", "lora hashes", "ti hashes", "ti", "face restoration", "tiling", "mask blur",
    "masked content", "inpaint area", "variation seed", "variation seed strength", "seed resize from", "batch size",
    "batch pos", "style selector enabled", "hires upscale", "hires steps", "hires upscaler", "hires prompt",
    "hires negative prompt", "hires cfg scale", "hires sampler", "hires schedule type", "hires checkpoint",
    "hires resize", "hires size", "hires scale", "hires mode", "hires denoising strength", "distilled cfg scale",
    "diffusion in low bits", "module 1", "module 2", "module 3", "adetailer model", "adetailer prompt",
    "adetailer negative prompt", "adetailer confidence", "adetailer version", "adetailer dilate erode",
    "adetailer mask blur", "adetailer denoising strength", "adetailer inpaint only masked",
    "adetailer inpaint padding", "adetailer model 2nd", "adetailer prompt 2nd", "adetailer negative prompt 2nd",
    "adetailer confidence 2nd", "controlnet 0", "controlnet 1", "controlnet 2", "civitai resources",
    "civitai metadata", "created date", "template", "negative template", "wildcard prompt", "raw prompt",
    "raw negative prompt", "styles", "performance", "resolution", "guidance scale", "sharpness", "base model",
    "base model hash", "refiner", "refiner switch at", "refiner model", "refiner model hash", "user", "emphasis",
    "pad conds", "parser", "cfg rescale", "cfg true", "image cfg scale", "init image size", "init image hash",
    "sampler sigma", "strength", "aesthetic_score", "conditional mask weight", "token merging ratio",
    "skip early cfg", "ngms", "beta schedule alpha", "shift", "schedule max sigma", "schedule min sigma",
    "downcast alphas_cumprod", "fooocus v2 expansion", "metadata scheme", "adm guidance", "freeu", "cfg rescale phi",
    "dynamic thresholding enabled", "lora 1", "loras", "refine",
];

/// Keys whose values are prose: written bare, they may hold commas and colons of every kind.
const PROSE_KEYS: &[&str] = &[
    "hires prompt",
    "hires negative prompt",
    "adetailer prompt",
    "adetailer negative prompt",
    "template",
    "negative template",
    "wildcard prompt",
    "raw prompt",
    "raw negative prompt",
    "controlnet",
];

/// Longest key in bytes.
pub const MAX_KEY_BYTES: usize = 64;

/// The known keys by their length: a handful of each.
static KNOWN_BY_LENGTH: LazyLock<[Vec<&'static str>; MAX_KEY_BYTES + 1]> = LazyLock::new(|| {
    std::array::from_fn(|length| {
        let keys = KNOWN_KEYS.iter().copied();
        keys.filter(|key| key.len() == length).collect()
    })
});

/// Whether `key` is one that generators write.
pub fn is_known_key(key: &str) -> bool {
    let alike = KNOWN_BY_LENGTH.get(key.len());
    alike.is_some_and(|known| known.iter().any(|known| known.eq_ignore_ascii_case(key)))
}

/// Whether the values of `key` are prose.
pub fn is_prose_key(key: &str) -> bool {
    let starts_with = |prose: &str| {
        let start = key.as_bytes().get(..prose.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prose.as_bytes()))
    };
    PROSE_KEYS.iter().any(|prose| starts_with(prose))
}

/// Whether `key` is read back where it stands in a settings line.
pub fn is_key(key: &str) -> bool {
    key_at(&format!("{key}: ")) == Some(key)
}

/// The key that `text` starts with, if it is `Key:` followed by a space, a value's opening
/// character or the end.
fn key_at(text: &str) -> Option<&str> {
    let head = &text.as_bytes()[..text.len().min(MAX_KEY_BYTES + 1)];
    // No key holds a comma, so text without a colon before the next one is not looked at further.
    let colon = head.iter().position(|byte| matches!(byte, b':' | b','))?;
    if head[colon] == b',' {
        return None;
    }
    let key = text.get(..colon)?;
    let after = text.as_bytes().get(colon + 1);
    let opens = || matches!(after, None | Some(b' ' | b'"' | b'{' | b'[' | b'\n' | b'\r' | b'\t')) || is_known_key(key);
    (opens() && is_written_like_key(key)).then_some(key)
}

/// Whether ASCII characters may stand in a key.
const IN_KEYS: [bool; 128] = {
    let mut in_keys = [false; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        in_keys[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b' ' | b'_' | b'-' | b'/' | b'.' | b'(' | b')' | b'+' | b'#' | b'&' | b'\''
            );
        byte += 1;
    }
    in_keys
};

/// Whether `key` holds what keys hold, letters of any language among it, and begins and ends as one.
fn is_written_like_key(key: &str) -> bool {
    let fits = |byte: u8| IN_KEYS.get(usize::from(byte)).copied().unwrap_or(true);
    key.starts_with(char::is_alphanumeric)
        && !key.ends_with(' ')
        && key.bytes().all(fits)
        && (key.is_ascii() || key.chars().all(|c| c.is_ascii() || c.is_alphanumeric()))
}

/// Scans the settings at the start of `text`, to the line break that ends them.
pub fn scan(text: &str) -> SettingsLine<'_> {
    let mut scanner = Scanner {
        text,
        at: 0,
        line_end: 0,
        next_key: (0, 0),
        look_ahead: 4 * text.len() + (1 << 16),
    };
    let mut line = SettingsLine::default();
    loop {
        scanner.skip_separators();
        let Some(key) = scanner.key() else {
            let segment = scanner.bare(false);
            match line.settings.last_mut() {
                // A bare value went on after its comma.
                Some(last) if !segment.is_empty() => {
                    let value = last.value.to_mut();
                    value.push_str(", ");
                    value.push_str(segment);
                    continue;
                }
                _ => break,
            }
        };
        scanner.at += key.len() + 1;
        let value = scanner.value(is_prose_key(key));
        line.settings.push(Setting {
            key: Cow::Borrowed(key),
            value,
        });
        if scanner.at_line_end() {
            break;
        }
    }
    line.length = scanner.at;
    line
}

/// The state of one scan.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// End of the line that `at` is in, once it was looked for.
    line_end: usize,
    /// Where the key after the last bare value starts, and how long it is.
    next_key: (usize, usize),
    /// Bytes that may still be looked at twice.
    look_ahead: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The key that comes next.
    fn key(&self) -> Option<&'a str> {
        let rest = self.rest();
        match self.next_key {
            (at, length) if at == self.at && length > 0 => Some(&rest[..length]),
            _ => key_at(rest),
        }
    }

    fn at_line_end(&self) -> bool {
        matches!(self.rest().as_bytes().first(), None | Some(b'\n' | b'\r'))
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn skip_separators(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', ',']).len();
    }

    fn value(&mut self, prose: bool) -> Cow<'a, str> {
        self.skip_spaces();
        if self.rest().starts_with(',') && ends_value(self.rest()) {
            return Cow::Borrowed("");
        }
        let structured = match self.rest().as_bytes().first() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'[') => self.bracketed().map(Cow::Borrowed),
            _ => None,
        };
        let opened = !self.rest().is_empty() && matches!(self.rest().as_bytes()[0], b'"' | b'{' | b'[');
        structured.unwrap_or_else(|| Cow::Borrowed(self.bare(prose || opened)))
    }

    /// A quoted value. Its closing quote is the first unescaped one after which the line ends or
    /// goes on with a key; where there is none such, the first before a comma or the line's end.
    fn quoted(&mut self) -> Option<Cow<'a, str>> {
        let text = self.rest();
        let mut fallback = None;
        let mut from = 1;
        let mut close = None;
        while self.look_ahead > 0 {
            let found = next_quote(text, from);
            self.look_ahead = self
                .look_ahead
                .saturating_sub(found.unwrap_or(text.len()) + 1 - from.min(text.len()));
            let Some(quote) = found else { break };
            let after = text[quote + 1..].trim_start_matches([' ', '\t']);
            if ends_value(after) {
                close = Some(quote);
                break;
            }
            if after.starts_with(',') && fallback.is_none() {
                fallback = Some(quote);
            }
            from = quote + 1;
        }
        let close = close.or(fallback)?;
        self.at += close + 1;
        self.skip_spaces();
        Some(unquote(&text[..=close]))
    }

    /// A JSON object or array (or a Python list), up to the bracket that closes it.
    fn bracketed(&mut self) -> Option<&'a str> {
        let text = self.rest();
        let end = balanced_end(text, self.look_ahead);
        self.look_ahead = self.look_ahead.saturating_sub(end.unwrap_or(text.len()));
        let end = end?;
        let after = text[end..].trim_start_matches([' ', '\t']);
        if !(after.starts_with(',') || ends_value(after)) {
            return None;
        }
        self.at += end;
        self.skip_spaces();
        Some(&text[..end])
    }

    /// Text up to the comma before the next key, or the line's end. After prose, and after a value
    /// that broke its promise, only a key that is known or capitalised counts.
    fn bare(&mut self, prose: bool) -> &'a str {
        if self.line_end < self.at {
            self.line_end = self.at;
        }
        if self.line_end == self.at {
            let rest = self.rest().as_bytes();
            self.line_end += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        }
        let line = &self.text[self.at..self.line_end];
        let mut end = line.len();
        let mut from = 0;
        while let Some(comma) = line[from..].find(',').map(|found| found + from) {
            let next = line[comma + 1..].trim_start_matches([' ', '\t', ',']);
            let key = key_at(next)
                .filter(|key| !prose || key.starts_with(|c: char| c.is_ascii_uppercase()) || is_known_key(key));
            if let Some(key) = key {
                self.next_key = (self.line_end - next.len(), key.len());
                end = comma;
                break;
            }
            from = comma + 1;
        }
        self.at += end;
        line[..end].trim()
    }
}

/// Whether a value may end before `after`: at the end, at a line break, or at a comma and a key.
fn ends_value(after: &str) -> bool {
    match after.as_bytes().first() {
        None | Some(b'\n' | b'\r') => true,
        Some(b',') => key_at(after.trim_start_matches([' ', '\t', ','])).is_some() || after.trim_end() == ",",
        _ => false,
    }
}

/// The next quote from byte `from` on that no backslash escapes.
fn next_quote(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The text of a quoted value: unescaped where it is proper JSON, else what is between the quotes.
fn unquote(quoted: &str) -> Cow<'_, str> {
    let inner = &quoted[1..quoted.len() - 1];
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let document = format!("[{quoted}]");
    let arena = Arena::new();
    match json::parse(&document, &arena) {
        Some(parsed) if parsed.is_whole() && parsed.value.items().len() == 1 => {
            Cow::Owned(parsed.value.items()[0].as_str().unwrap_or(inner).to_owned())
        }
        _ => Cow::Borrowed(inner),
    }
}

/// Where the bracket that opens `text` is closed, minding JSON strings.
fn balanced_end(text: &str, budget: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len().min(budget) {
        match bytes[at] {
            b'"' => at = next_quote(text, at + 1)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        scan(text)
            .settings
            .into_iter()
            .map(|setting| (setting.key.into_owned(), setting.value.into_owned()))
            .collect()
    }

    fn value(text: &str, key: &str) -> String {
        pairs(text)
            .into_iter()
            .find(|(name, _)| name == key)
            .unwrap_or_else(|| panic!("{key} in {text}"))
            .1
    }

    #[test]
    fn quoted_values_hold_commas_colons_and_line_breaks() {
        let line = r#"Steps: 30, Hires prompt: "castle, Negative prompt: x\nline2", ADetailer prompt: "face, \"smile\"", Version: v1"#;
        assert_eq!(value(line, "Hires prompt"), "castle, Negative prompt: x\nline2");
        assert_eq!(value(line, "ADetailer prompt"), "face, \"smile\"");
        assert_eq!(value(line, "Version"), "v1");
    }

    #[test]
    fn json_values_are_balanced() {
        let line = r#"Steps: 3, Hashes: {"model": "3}1", "lora:x": "y"}, Civitai resources: [{"type":"checkpoint","a":[1,2]}], Civitai metadata: {}, Seed: 4"#;
        assert_eq!(value(line, "Hashes"), r#"{"model": "3}1", "lora:x": "y"}"#);
        assert_eq!(value(line, "Civitai resources"), r#"[{"type":"checkpoint","a":[1,2]}]"#);
        assert_eq!(value(line, "Seed"), "4");
        assert_eq!(
            value("Styles: ['Fooocus V2', 'Sharp'], Seed: 1", "Styles"),
            "['Fooocus V2', 'Sharp']"
        );
    }

    #[test]
    fn unescaped_quotes_resynchronise() {
        let line = r#"Steps: 3, ADetailer prompt: "a "red" cat, smile", ADetailer confidence: 0.3, Seed: 4"#;
        assert_eq!(value(line, "ADetailer prompt"), "a \"red\" cat, smile");
        assert_eq!(value(line, "ADetailer confidence"), "0.3");
        let open = r#"Steps: 3, ADetailer prompt: "never closed, b: c, ADetailer confidence: 0.3, Seed: 4"#;
        assert_eq!(value(open, "ADetailer confidence"), "0.3");
        assert_eq!(value(open, "Seed"), "4");
    }

    #[test]
    fn bare_values_keep_their_commas() {
        let line = "Steps: 3, ADetailer prompt: face, (smile:1.2), mood: happy, ADetailer confidence: 0.3, AddNet Weight A 1: lbw=1,0,0.5, Seed: 9";
        assert_eq!(value(line, "ADetailer prompt"), "face, (smile:1.2), mood: happy");
        assert_eq!(value(line, "AddNet Weight A 1"), "lbw=1,0,0.5");
        assert_eq!(value(line, "Seed"), "9");
    }

    #[test]
    fn broken_brackets_resynchronise() {
        let line = "Steps: 3, Hashes: {\"model\": \"x\", Seed: 4";
        assert_eq!(value(line, "Seed"), "4");
    }

    #[test]
    fn the_line_ends_at_a_line_break() {
        let line = scan("Steps: 3, Seed: 4\nmore: text, x: y");
        assert_eq!(line.settings.len(), 2);
        assert_eq!(line.length, "Steps: 3, Seed: 4".len());
    }

    #[test]
    fn empty_values_and_odd_spacing() {
        assert_eq!(
            pairs("Steps:3,Sampler: ,  Seed:  7 , Model: a b"),
            [
                ("Steps".into(), "3".into()),
                ("Sampler".into(), String::new()),
                ("Seed".into(), "7".into()),
                ("Model".into(), "a b".into()),
            ]
        );
    }

    #[test]
    fn hostile_lines_cost_linear_time() {
        let started = std::time::Instant::now();
        for pattern in [
            "A: \"x\" y, ",
            "A: {, ",
            "A: [\"",
            "Steps: \"",
            ",",
            "a:",
            "{",
            "\"\\",
            "A: \"x\", b, ",
        ] {
            scan(&pattern.repeat(1 << 20 >> 2));
        }
        assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_stays_inside(text in "[A-Za-z\": ,{}\\[\\]\\\\\n\u{e9}\u{30c6}]{0,200}") {
            proptest::prop_assert!(scan(&text).length <= text.len());
        }
    }
}
