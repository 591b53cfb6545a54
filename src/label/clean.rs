//! What CLIP's tokenizer does to a text before it splits it: the repairs of the `ftfy` package that
//! change token ids of real term tables (quotes, full-width forms, ligatures, control characters)
//! and HTML entities. Case, white space and Unicode normalisation are the tokenizer file's own.

use std::borrow::Cow;

/// `text` as CLIP's tokenizer wants it.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'&') {
        return Cow::Borrowed(text);
    }
    let mut repaired = String::with_capacity(text.len());
    // Twice, as CLIP does: texts from web pages are often escaped twice.
    for letter in unescape(&unescape(text)).chars() {
        push_repaired(letter, &mut repaired);
    }
    Cow::Owned(repaired)
}

fn push_repaired(letter: char, out: &mut String) {
    match letter {
        '\u{2018}'..='\u{201b}' | '\u{02bc}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        '\u{0132}' => out.push_str("IJ"),
        '\u{0133}' => out.push_str("ij"),
        '\u{0149}' => out.push_str("\u{2bc}n"),
        '\u{fb00}' => out.push_str("ff"),
        '\u{fb01}' => out.push_str("fi"),
        '\u{fb02}' => out.push_str("fl"),
        '\u{fb03}' => out.push_str("ffi"),
        '\u{fb04}' => out.push_str("ffl"),
        '\u{fb05}' | '\u{fb06}' => out.push_str("st"),
        // Full-width forms stand 0xfee0 above their ASCII letters.
        '\u{ff01}'..='\u{ff5e}' => out.extend(char::from_u32(letter as u32 - 0xfee0)),
        // Line ends and tabs are white space; other control characters and stray marks go.
        '\u{00a0}' | '\u{3000}' | '\t' | '\n' | '\r' | '\x0c' => out.push(' '),
        '\0'..='\x1f' | '\x7f' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => {}
        _ => out.push(letter),
    }
}

/// Resolves the HTML entities that texts from the web have: the five of XML, the no-break space,
/// and numbers.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest entity here, `&#1114111;`, is ten bytes.
        let end = rest.bytes().take(10).position(|byte| byte == b';');
        match end.and_then(|end| entity(&rest[1..end]).map(|letter| (end, letter))) {
            Some((end, letter)) => {
                plain.push(letter);
                rest = &rest[end + 1..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hex = number.strip_prefix(['x', 'X']);
        let code = hex.map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
        return code.ok().and_then(char::from_u32);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn what_ftfy_repairs_is_repaired() {
        let texts = [
            ("\u{2018}it\u{2019}s\u{201d}", "'it's\""),
            ("silver\u{ff0c}ivory", "silver,ivory"),
            ("\u{8}moebius", "moebius"),
            ("\u{fb01}ne\u{a0}art", "fine art"),
            ("a &amp;lt; b & c &#233;&#x41; &nothing;", "a < b & c \u{e9}A &nothing;"),
            ("Þórarinn \u{65e5}\u{672c}\u{753b}", "Þórarinn \u{65e5}\u{672c}\u{753b}"),
            ("plain (text:1.2)", "plain (text:1.2)"),
            ("&", "&"),
            ("caf\u{e9} &é;", "caf\u{e9} &é;"),
        ];
        for (dirty, wanted) in texts {
            assert_eq!(clean(dirty), wanted);
        }
    }
}
