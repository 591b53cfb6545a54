//! Which notes of a row the interpretation made, rather than the reading of the file: they are made
//! anew with it.

/// How the interpretation's notes begin.
const BEGINNINGS: &[&str] = &["heuristic: ", "ambiguous: ", "the ComfyUI graph "];

/// How they end, behind the name of an entry and perhaps a number.
const ENDINGS: &[&str] = &[
    ": not readable as JSON",
    ": JSON of no known generator",
    ": the JSON ends in the middle",
    " levels was left out",
    " JSON values were read",
    ": duplicate JSON keys, the last of each counts",
];

/// Whether a note is one of the interpretation's. What an earlier version wrote stays listed here.
pub fn is_own_note(note: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| note.starts_with(beginning))
        || ENDINGS.iter().any(|ending| note.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_reading_stay() {
        for note in [
            "png: the file ends at byte 9 without its last chunk",
            "png:tEXt parameters: cut from 9 to 5 bytes",
            "stealth:alpha: 3 of 9 bytes are there",
            "sidecar:txt: longer than 9 bytes, left out",
            "gif: no block at byte 3; what follows is left out",
        ] {
            assert!(!is_own_note(note), "{note}");
        }
        let document = crate::metadata::json::parse_leaking("{\"a\": 1, \"a\": [").expect("an object");
        let notes = document.notes("png:tEXt:prompt");
        assert_eq!(notes.len(), 2);
        assert!(notes.iter().all(|note| is_own_note(note)), "{notes:?}");
    }
}
