//! From bytes to text where nobody says, or somebody says wrongly, how it is encoded.

/// Text, and whether some of its bytes had no meaning in the encoding that fits best.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoded {
    /// The text, without NULs around it.
    pub text: String,
    /// Whether replacement characters had to be put in.
    pub is_lossy: bool,
}

impl Decoded {
    fn whole(text: impl AsRef<str>) -> Self {
        Self {
            text: text.as_ref().trim_matches('\0').to_owned(),
            is_lossy: false,
        }
    }
}

/// Byte order of UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Utf16 {
    Big,
    Little,
}

/// Text that should be UTF-8 or latin-1 and says nothing more (PNG, JPEG, GIF comments): strict
/// UTF-8, else latin-1, in which every byte means something.
/// `is_cut` says that the end is missing, so that half a character there proves nothing.
pub(super) fn utf8_or_latin1(bytes: &[u8], is_cut: bool) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) if is_cut && error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        Err(_) => latin1(bytes),
    };
    if text.ends_with('\0') {
        text.trim_end_matches('\0').to_owned()
    } else {
        text
    }
}

/// Text of unknown encoding: a byte order mark decides, then NULs in every other byte (UTF-16),
/// then strict UTF-8, else latin-1.
pub(super) fn any(bytes: &[u8]) -> Decoded {
    if let Some(decoded) = by_mark(bytes) {
        return decoded;
    }
    match utf16_by_nuls(bytes, Evidence::Strong) {
        Some(order) => utf16(bytes, order),
        None => Decoded::whole(utf8_or_latin1(bytes, false)),
    }
}

/// An EXIF `UserComment`: the 8-byte character code, where there is one, says which alphabet, but
/// neither it nor the byte order of the TIFF header says truly in which order UTF-16 was written:
/// writers with an `II` header and big-endian text, and the reverse, are both common.
pub(super) fn user_comment(bytes: &[u8]) -> Decoded {
    let Some((code, rest)) = bytes.split_first_chunk::<8>() else {
        return any(bytes);
    };
    match code {
        b"UNICODE\0" | b"Unicode\0" | b"unicode\0" => unicode(rest),
        b"ASCII\0\0\0" | b"UTF8\0\0\0\0" | b"UTF-8\0\0\0" | b"JIS\0\0\0\0\0" | [0, 0, 0, 0, 0, 0, 0, 0] => any(rest),
        _ => any(bytes),
    }
}

/// UTF-16 as Windows writes it into the `XP…` tags: little-endian, unless the text says otherwise.
pub(super) fn windows_xp(bytes: &[u8]) -> Decoded {
    by_mark(bytes).unwrap_or_else(|| utf16(bytes, utf16_by_nuls(bytes, Evidence::Any).unwrap_or(Utf16::Little)))
}

/// Whether bytes of undeclared type are plainly text: UTF-8 without control characters.
pub(super) fn looks_like_text(bytes: &[u8]) -> bool {
    let trimmed = bytes.trim_ascii();
    let trimmed = &trimmed[..trimmed.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1)];
    if trimmed.len() < 4 {
        return false;
    }
    let text = match std::str::from_utf8(trimmed) {
        Ok(text) => text,
        // Half a character at the end: only the beginning was given.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&trimmed[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

/// What follows the character code `UNICODE`.
fn unicode(bytes: &[u8]) -> Decoded {
    if let Some(decoded) = by_mark(bytes) {
        return decoded;
    }
    if let Some(order) = utf16_by_nuls(bytes, Evidence::Any) {
        return utf16(bytes, order);
    }
    // No NUL at all: UTF-8 under the wrong code, or UTF-16 without one ASCII character (CJK),
    // which is hardly ever valid UTF-8.
    match std::str::from_utf8(bytes) {
        Ok(text) => Decoded::whole(text),
        Err(_) => utf16(bytes, more_plausible_order(bytes)),
    }
}

/// Decodes by the byte order mark, where there is one.
fn by_mark(bytes: &[u8]) -> Option<Decoded> {
    match bytes {
        [0xfe, 0xff, rest @ ..] => Some(utf16(rest, Utf16::Big)),
        [0xff, 0xfe, rest @ ..] => Some(utf16(rest, Utf16::Little)),
        [0xef, 0xbb, 0xbf, rest @ ..] => Some(Decoded::whole(utf8_or_latin1(rest, false))),
        _ => None,
    }
}

/// How many NULs it takes to believe in UTF-16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// The text is said to be UTF-16: a clear majority decides the order, else what it would say.
    Any,
    /// Nothing says so: most pairs must hold a NUL, nearly all in one position, and more than the
    /// one or two that separate or end the parts of an ASCII value.
    Strong,
}

/// The byte order that the positions of NULs over the whole value give: UTF-16BE writes the NUL of
/// an ASCII character first, UTF-16LE second.
fn utf16_by_nuls(bytes: &[u8], evidence: Evidence) -> Option<Utf16> {
    let (mut first, mut second, mut all) = (0_usize, 0_usize, 0_usize);
    for pair in bytes.chunks_exact(2) {
        let (is_first, is_second) = (pair[0] == 0, pair[1] == 0);
        first += usize::from(is_first && !is_second);
        second += usize::from(is_second && !is_first);
        all += usize::from(!(is_first && is_second));
    }
    let (order, most, least) = if first > second {
        (Utf16::Big, first, second)
    } else {
        (Utf16::Little, second, first)
    };
    match evidence {
        // A few NULs are no ASCII: U+4E00, the commonest of Chinese characters, ends with one.
        Evidence::Any if most == least || most * 4 < all => (most > 0).then(|| more_plausible_order(bytes)),
        Evidence::Any => Some(order),
        Evidence::Strong => (most >= 3 && most * 5 >= all * 3 && least * 10 <= most).then_some(order),
    }
}

/// The order in which fewer code units are private, unassigned or control characters; big-endian
/// where both are equally good, since that is what writers of EXIF without a preference use.
fn more_plausible_order(bytes: &[u8]) -> Utf16 {
    let oddness = |order| -> usize {
        char::decode_utf16(units(bytes, order))
            .map(|unit| match unit {
                Ok(c) => match c as u32 {
                    9 | 10 | 13 | 0x20..=0x7e => 0,
                    // Kana, CJK, Hangul, full-width forms: the scripts in which prompts have no ASCII.
                    0x3000..=0x30ff | 0x4e00..=0x9fff | 0xac00..=0xd7a3 | 0xff00..=0xffef => 1,
                    0xa0..=0x1fff | 0x2000..=0x2fff | 0x1_f000..=0x1_faff => 2,
                    0..=0x9f | 0xe000..=0xf8ff | 0xfff0..=0xffff => 8,
                    _ => 4,
                },
                Err(_) => 8,
            })
            .sum()
    };
    if oddness(Utf16::Little) < oddness(Utf16::Big) {
        Utf16::Little
    } else {
        Utf16::Big
    }
}

fn utf16(bytes: &[u8], order: Utf16) -> Decoded {
    let encoding = match order {
        Utf16::Big => encoding_rs::UTF_16BE,
        Utf16::Little => encoding_rs::UTF_16LE,
    };
    // An odd byte at the end is dropped.
    let whole_units = &bytes[..bytes.len() / 2 * 2];
    let (text, is_lossy) = encoding.decode_without_bom_handling(whole_units);
    Decoded {
        text: text.trim_start_matches('\u{feff}').trim_matches('\0').to_owned(),
        is_lossy,
    }
}

/// The 16-bit units; an odd byte at the end is dropped.
fn units(bytes: &[u8], order: Utf16) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(move |pair| match order {
        Utf16::Big => u16::from_be_bytes([pair[0], pair[1]]),
        Utf16::Little => u16::from_le_bytes([pair[0], pair[1]]),
    })
}

fn latin1(bytes: &[u8]) -> String {
    encoding_rs::mem::decode_latin1(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_assert_eq, prop_oneof, proptest};

    proptest! {
        #[test]
        fn utf16_is_read_as_the_standard_library_reads_it(
            units in prop::collection::vec(prop_oneof![0..=u16::MAX, 0x20..0x7f_u16, 0xd800..0xe000_u16, 0x4e00..0x4f00_u16], 0..40),
            odd in prop::option::of(0..=u8::MAX),
        ) {
            for order in [Utf16::Big, Utf16::Little] {
                let pairs = units.iter().map(|unit| if order == Utf16::Big { unit.to_be_bytes() } else { unit.to_le_bytes() });
                let bytes: Vec<u8> = pairs.flatten().chain(odd).collect();
                let wanted = String::from_utf16_lossy(&units);
                let is_lossy = char::decode_utf16(units.iter().copied()).any(|unit| unit.is_err());
                let wanted = wanted.trim_start_matches('\u{feff}').trim_matches('\0').to_owned();
                prop_assert_eq!(utf16(&bytes, order), Decoded { text: wanted, is_lossy });
            }
        }

        #[test]
        fn latin1_gives_every_byte_its_character(bytes in prop::collection::vec(0..=u8::MAX, 0..40)) {
            prop_assert_eq!(latin1(&bytes), bytes.iter().map(|&byte| char::from(byte)).collect::<String>());
        }
    }

    fn coded(code: &[u8], body: &[u8]) -> Vec<u8> {
        [code, body].concat()
    }

    fn big(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    fn little(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn the_text_decides_the_byte_order() {
        for text in [
            "a cat, 猫 🐈\nSteps: 20",
            "一只猫，杰作 a",
            "cafe",
            "x",
            "\u{3000}猫\u{3000}a cat",
        ] {
            assert_eq!(user_comment(&coded(b"UNICODE\0", &big(text))).text, text);
            assert_eq!(user_comment(&coded(b"UNICODE\0", &little(text))).text, text);
        }
    }

    #[test]
    fn pure_cjk_is_told_by_plausibility() {
        for text in ["一只可爱的猫坐在窗台上", "可愛い猫の写真です", "고양이 사진입니다"] {
            assert_eq!(user_comment(&coded(b"UNICODE\0", &big(text))).text, text);
            assert_eq!(user_comment(&coded(b"UNICODE\0", &little(text))).text, text);
        }
    }

    #[test]
    fn every_character_code_and_none() {
        let infotext = "a café\nSteps: 20";
        for code in [
            b"ASCII\0\0\0",
            b"UTF8\0\0\0\0",
            b"\0\0\0\0\0\0\0\0",
            b"JIS\0\0\0\0\0",
            b"UNICODE\0",
        ] {
            assert_eq!(user_comment(&coded(code, infotext.as_bytes())).text, infotext);
        }
        assert_eq!(user_comment(b"{\"prompt\":1}\0\0").text, "{\"prompt\":1}");
        assert_eq!(user_comment(&big("no code at all")).text, "no code at all");
        assert_eq!(user_comment(b"short").text, "short");
        assert_eq!(user_comment(b"").text, "");
    }

    #[test]
    fn marks_win() {
        assert_eq!(
            user_comment(&coded(b"UNICODE\0", &[&[0xff, 0xfe][..], &little("猫")].concat())).text,
            "猫"
        );
        assert_eq!(
            user_comment(&coded(b"UNICODE\0", &[&[0xfe, 0xff][..], &big("猫")].concat())).text,
            "猫"
        );
        assert_eq!(any(b"\xef\xbb\xbfx").text, "x");
    }

    #[test]
    fn halves_of_characters_are_replaced_or_dropped() {
        let mut bytes = big("ab🐈");
        bytes.truncate(bytes.len() - 2);
        let decoded = user_comment(&coded(b"UNICODE\0", &bytes));
        assert_eq!((decoded.text.as_str(), decoded.is_lossy), ("ab\u{fffd}", true));
        assert_eq!(user_comment(&coded(b"UNICODE\0", &big("abc")[..5])).text, "ab");
    }

    #[test]
    fn utf8_before_latin1_and_no_trailing_nuls() {
        assert_eq!(utf8_or_latin1("naïve 猫\0".as_bytes(), false), "naïve 猫");
        assert_eq!(utf8_or_latin1(b"caf\xe9", false), "café");
        assert_eq!(utf8_or_latin1(&"猫猫".as_bytes()[..5], true), "猫");
        assert_eq!(any(b"\0\0\0\0text\0").text, "text");
        for ascii in ["MDF\0", "abc\0d\0", "a\0b\0", "ab\0cd\0ef\0", "a\0"] {
            assert_eq!(any(ascii.as_bytes()).text, ascii.trim_end_matches('\0'));
        }
    }

    #[test]
    fn text_is_told_from_binary() {
        assert!(looks_like_text(b"a1111\0") && looks_like_text("猫が好き".as_bytes()));
        assert!(
            !looks_like_text(b"Nikon\0\x02\x10\0\0")
                && !looks_like_text(b"abc")
                && !looks_like_text(b"\xff\xd8\xff\xe0")
        );
    }
}
