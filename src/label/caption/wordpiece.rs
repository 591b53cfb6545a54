//! Ids to text, as BERT's `WordPiece` tokenizer decodes them.

use crate::model::ModelError;

/// A vocabulary, and which of it is text.
#[derive(Debug)]
pub struct WordPiece {
    /// By id; none for ids that are no part of a text.
    tokens: Vec<Option<String>>,
    clean_up: bool,
}

/// What is closed up to the word before it, in the order of transformers' clean-up.
const CLOSED_UP: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

impl WordPiece {
    /// Reads a vocabulary of a token a line; `place` is how errors call it.
    pub fn parse(bytes: &[u8], special_ids: &[i64], clean_up: bool, place: &str) -> Result<Self, ModelError> {
        let refuse = |message: &str| ModelError::Labels {
            place: place.to_owned(),
            message: message.to_owned(),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8"))?;
        let mut tokens: Vec<Option<String>> = text.lines().map(|line| Some(line.to_owned())).collect();
        if tokens.is_empty() {
            return Err(refuse("it is empty"));
        }
        for &id in special_ids {
            let token = usize::try_from(id).ok().and_then(|id| tokens.get_mut(id));
            *token.ok_or_else(|| refuse("it is shorter than the largest of `special_ids`"))? = None;
        }
        Ok(Self { tokens, clean_up })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The text of some ids.
    pub fn decode(&self, ids: &[i64]) -> String {
        let mut text = String::new();
        for &id in ids {
            let token = usize::try_from(id).ok().and_then(|id| self.tokens.get(id));
            let Some(token) = token.and_then(Option::as_deref) else {
                continue;
            };
            match token.strip_prefix("##") {
                Some(rest) if !text.is_empty() => text.push_str(rest),
                _ => {
                    if !text.is_empty() {
                        text.push(' ');
                    }
                    text.push_str(token);
                }
            }
        }
        if self.clean_up {
            for (apart, closed) in CLOSED_UP {
                if text.contains(apart) {
                    text = text.replace(apart, closed);
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(clean_up: bool) -> WordPiece {
        let tokens = "[PAD]\n[DEC]\na\nclose\n-\nup\nof\nhippo\n##pot\n##amus\n's\n,\n.\nn't\ndo\nnot";
        WordPiece::parse(tokens.as_bytes(), &[0, 1], clean_up, "vocab.txt").unwrap()
    }

    #[test]
    fn pieces_are_glued_and_special_ids_dropped() {
        let words = vocabulary(true);
        assert_eq!(
            words.decode(&[1, 2, 3, 4, 5, 6, 2, 7, 8, 9, 0, 0]),
            "a close - up of a hippopotamus"
        );
        assert_eq!(words.decode(&[2, 7, 10, 11, 2, 12]), "a hippo's, a.");
        assert_eq!(words.decode(&[8, 7]), "##pot hippo");
        assert_eq!(words.decode(&[99, -1, 2]), "a");
        assert_eq!(vocabulary(false).decode(&[2, 7, 10, 11]), "a hippo 's ,");
    }

    #[test]
    fn vocabularies_that_do_not_fit_are_refused() {
        assert!(WordPiece::parse(b"", &[], true, "v").is_err());
        assert!(WordPiece::parse(b"a\nb", &[2], true, "v").is_err());
        assert!(WordPiece::parse(&[0xff], &[], true, "v").is_err());
    }
}
