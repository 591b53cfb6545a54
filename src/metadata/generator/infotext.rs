//! Infotext, the text that the A1111 family writes: prompt lines, `Negative prompt:` lines, then
//! one line of settings. Splitting and writing back are exact inverses for what the generators
//! write, so prompts come out verbatim. Who wrote it is `infotext_family`'s question.

use super::infotext_settings::{self, Setting, SettingsLine, is_known_key, is_prose_key};
use crate::metadata::json::{self, Arena};

pub use super::infotext_settings::{MAX_KEY_BYTES, is_key};

/// The parts of an infotext, verbatim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Infotext<'a> {
    /// The prompt; may be empty.
    pub prompt: String,
    /// The negative prompt, where there is a line for it; may be empty.
    pub negative_prompt: Option<String>,
    /// SD.Next: the prompt before its wildcards and styles were filled in.
    pub template: Option<String>,
    /// SD.Next: the same for the negative prompt.
    pub negative_template: Option<String>,
    /// The settings in the order of the file; empty where there is no settings line.
    pub settings: Vec<Setting<'a>>,
    /// Lines after the settings line, which belong to no part.
    pub trailing: String,
}

impl Infotext<'_> {
    /// The value of the first setting named `key`, whatever its case.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings
            .iter()
            .find(|setting| setting.key.eq_ignore_ascii_case(key))
            .map(|setting| setting.value.as_ref())
    }

    /// The first value of `key` that is not blank.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.settings
            .iter()
            .filter(|setting| setting.key.eq_ignore_ascii_case(key))
            .map(|setting| setting.value.as_ref())
            .find(|value| !value.trim().is_empty())
    }

    /// Whether some setting's key starts with `prefix`.
    pub fn has_setting_like(&self, prefix: &str) -> bool {
        self.settings.iter().any(|setting| setting.key.starts_with(prefix))
    }
}

/// What starts the negative prompt's lines.
const NEGATIVE_MARK: &str = "Negative prompt:";
/// What starts SD.Next's template lines.
const TEMPLATE_MARK: &str = "Template:";
/// What starts SD.Next's negative template lines.
const NEGATIVE_TEMPLATE_MARK: &str = "Negative template:";
/// Fewest settings of a settings line, as the first program of the family has it.
const MIN_SETTINGS: usize = 3;
/// Fewest of them that must be known: prose may look like `mood: calm, light: soft, style: oil`.
const MIN_KNOWN_SETTINGS: usize = 2;
/// Lines, from the end, that are tried as the settings line; bounds the work on hostile text.
const MAX_CANDIDATES: usize = 64;

/// Splits `text`. Always gives something: without a settings line all of it is prompt (and
/// negative prompt), so a caller that needs to know whether this *is* infotext asks
/// [`looks_like_infotext`] or checks `settings`.
pub fn split(text: &str) -> Infotext<'_> {
    let text = without_padding(text.trim_start_matches(['\0', '\u{feff}']));
    let mut parts = Infotext::default();
    let (head, jammed) = match find_settings(text) {
        Some(found) => {
            parts.settings = found.line.settings;
            let trailing = &text[found.start + found.line.length..];
            trailing
                .trim_start_matches(['\n', '\r', ' ', '\t'])
                .trim_end_matches(|c: char| c.is_whitespace() || c == '\0')
                .clone_into(&mut parts.trailing);
            (&text[..found.start], found.jammed)
        }
        None => (text, false),
    };
    let head = if jammed {
        head.trim_end()
    } else {
        without_line_break(head)
    };
    split_head(head, jammed, &mut parts);
    parts
}

/// Whether `text` has a settings line, or at least a line of negative prompt: what a file of
/// unknown origin must show before it counts as infotext (a training caption shows neither).
pub fn looks_like_infotext(text: &str) -> bool {
    find_settings(text).is_some()
}

/// Whether some line of `text` starts the negative prompt.
pub fn has_negative_line(text: &str) -> bool {
    line_start(text, NEGATIVE_MARK).is_some()
}

/// Whether some line of `text` would start SD.Next's template, were no negative prompt behind it.
pub fn has_template_line(text: &str) -> bool {
    line_start(text, TEMPLATE_MARK).is_some()
}

/// Where the settings line is.
struct SettingsPlace<'a> {
    start: usize,
    /// It follows the prompt on the same line, as after copying with tools that drop line breaks.
    jammed: bool,
    line: SettingsLine<'a>,
}

/// The last line that passes the settings test, or else the first place inside a line where one
/// begins.
fn find_settings(text: &str) -> Option<SettingsPlace<'_>> {
    let mut end = text.len();
    let mut tried = 0;
    while tried < MAX_CANDIDATES {
        let start = memchr::memrchr2(b'\n', b'\r', &text.as_bytes()[..end]).map_or(0, |line_break| line_break + 1);
        let line = text[start..].trim_start_matches([' ', '\t']);
        if starts_with_known_key(line) {
            tried += 1;
            let scanned = infotext_settings::scan(line);
            if passes_test(&scanned.settings) {
                return Some(SettingsPlace {
                    start: text.len() - line.len(),
                    jammed: false,
                    line: scanned,
                });
            }
        }
        if start == 0 {
            break;
        }
        end = start - 1;
    }
    find_jammed_settings(text)
}

/// Settings that start in the middle of a line: the first `Steps:` with a bare number after which
/// the rest reads as settings.
fn find_jammed_settings(text: &str) -> Option<SettingsPlace<'_>> {
    const MARK: &str = "Steps: ";
    text.match_indices(MARK)
        .filter(|(at, _)| *at > 0 && !text[..*at].ends_with(|c: char| c.is_alphanumeric()))
        .filter(|(at, _)| steps_number_ends(&text[at + MARK.len()..]))
        .take(MAX_CANDIDATES)
        .map(|(start, _)| SettingsPlace {
            start,
            jammed: true,
            line: infotext_settings::scan(&text[start..]),
        })
        .find(|found| passes_test(&found.line.settings))
}

/// Whether `text` is a number up to a comma: `Steps: 1 2 3` inside a prompt is not a setting.
fn steps_number_ends(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && text[digits..].starts_with(',')
}

/// Whether a line begins with `Key:` of a known key.
fn starts_with_known_key(line: &str) -> bool {
    let head = &line.as_bytes()[..line.len().min(64)];
    let key = head
        .iter()
        .position(|&byte| byte == b':')
        .and_then(|colon| line.get(..colon));
    key.is_some_and(|key| is_known_key(key) || key.starts_with("Postprocess "))
}

/// Whether scanned settings are a settings line.
fn passes_test(settings: &[Setting<'_>]) -> bool {
    let known = settings.iter().filter(|setting| is_known_key(&setting.key)).count();
    let steps_first = settings
        .first()
        .is_none_or(|first| first.key != "Steps" || is_plain_number(&first.value));
    let is_extras = settings.len() >= 2 && settings.iter().all(|setting| setting.key.starts_with("Postprocess "));
    steps_first && (is_extras || (settings.len() >= MIN_SETTINGS && known >= MIN_KNOWN_SETTINGS))
}

/// Digits and points alone.
fn is_plain_number(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Whether settings, written as a line, are found again as one.
pub fn is_settings_line(settings: &[Setting<'_>]) -> bool {
    settings.first().is_some_and(may_begin_line) && passes_test(settings)
}

/// Whether a line that begins with this setting is looked at as a settings line.
pub fn may_begin_line(first: &Setting<'_>) -> bool {
    starts_with_known_key(&format!("{}:", first.key)) && (first.key != "Steps" || is_plain_number(&first.value))
}

/// Splits what stands before the settings line.
fn split_head(head: &str, jammed: bool, parts: &mut Infotext<'_>) {
    let negative = match line_start(head, NEGATIVE_MARK) {
        Some(start) => Some(start),
        None if jammed => head.rfind(NEGATIVE_MARK),
        None => None,
    };
    let is_sd_next = parts.setting("App") == Some("SD.Next");
    let (prompt, rest) = match negative {
        Some(start) => (&head[..start], Some(&head[start..])),
        None if is_sd_next => match line_start(head, TEMPLATE_MARK) {
            Some(start) => (&head[..start], Some(&head[start..])),
            None => (head, None),
        },
        None => (head, None),
    };
    let prompt = if rest.is_none() {
        prompt
    } else {
        without_line_break(prompt)
    };
    let prompt = if jammed { prompt.trim_end() } else { prompt };
    prompt.clone_into(&mut parts.prompt);
    let Some(rest) = rest else { return };

    let (rest, template) = if is_sd_next {
        cut_at_line(rest, TEMPLATE_MARK)
    } else {
        (rest, None)
    };
    if let Some(template) = template {
        let (template, negative_template) = cut_at_line(template, NEGATIVE_TEMPLATE_MARK);
        parts.template = Some(after_mark(template, TEMPLATE_MARK).to_owned());
        parts.negative_template = negative_template.map(|text| after_mark(text, NEGATIVE_TEMPLATE_MARK).to_owned());
    }
    if rest.starts_with(NEGATIVE_MARK) {
        parts.negative_prompt = Some(after_mark(rest, NEGATIVE_MARK).to_owned());
    }
}

/// Splits before the line that starts with `mark`; the line break between belongs to neither.
fn cut_at_line<'a>(text: &'a str, mark: &str) -> (&'a str, Option<&'a str>) {
    match line_start(text, mark) {
        Some(start) => (without_line_break(&text[..start]), Some(&text[start..])),
        None => (text, None),
    }
}

/// What follows `mark` and the one space after it.
fn after_mark<'a>(text: &'a str, mark: &str) -> &'a str {
    let rest = text.strip_prefix(mark).unwrap_or(text);
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// The first line of `text` that starts with `mark`.
fn line_start(text: &str, mark: &str) -> Option<usize> {
    text.match_indices(mark)
        .map(|(at, _)| at)
        .find(|&at| at == 0 || matches!(text.as_bytes()[at - 1], b'\n' | b'\r'))
}

/// `text` without what the end of a file, rather than its author, puts behind a prompt.
pub fn without_padding(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r', ' ', '\0'])
}

/// `text` without the one line break at its end.
fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Writes the parts back as the family writes them: the settings' values quoted where they hold a
/// comma, a colon, a quote or a line break and are not JSON themselves.
pub fn write(parts: &Infotext<'_>) -> String {
    let mut out = parts.prompt.clone();
    for (mark, text) in [
        (NEGATIVE_MARK, &parts.negative_prompt),
        (TEMPLATE_MARK, &parts.template),
        (NEGATIVE_TEMPLATE_MARK, &parts.negative_template),
    ] {
        if let Some(text) = text {
            break_line(&mut out);
            out.push_str(mark);
            out.push(' ');
            out.push_str(text);
        }
    }
    if !parts.settings.is_empty() {
        break_line(&mut out);
        write_settings(&parts.settings, &mut out);
    }
    if !parts.trailing.is_empty() {
        break_line(&mut out);
        out.push_str(&parts.trailing);
    }
    out
}

/// Begins a new line, so that reading takes away no more than was added.
fn break_line(out: &mut String) {
    if out.ends_with('\r') {
        out.push('\r');
    }
    if !out.is_empty() {
        out.push('\n');
    }
}

/// Appends one settings line.
fn write_settings(settings: &[Setting<'_>], out: &mut String) {
    for (index, Setting { key, value }) in settings.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(key);
        out.push_str(": ");
        if needs_quotes(key, value) {
            json::write_string(value, out);
        } else {
            out.push_str(value);
        }
    }
}

/// Whether a value must be quoted to come back as it was.
fn needs_quotes(key: &str, value: &str) -> bool {
    let breaks_line = value.contains(['\n', '\r']);
    // The parser passes over NULs and commas behind the value; they belong to it here.
    let is_json = value.starts_with(['{', '['])
        && value.ends_with(['}', ']'])
        && !breaks_line
        && value.trim() == value
        && json::parse(value, &Arena::new()).is_some_and(|document| document.is_whole());
    let is_bare_prose = is_prose_key(key) && !value.is_empty();
    !is_json
        && (is_bare_prose
            || value.contains([',', ':', '"', '{', '[', '\\'])
            || value.trim() != value
            || value.chars().any(char::is_control))
}

#[cfg(test)]
mod tests;
