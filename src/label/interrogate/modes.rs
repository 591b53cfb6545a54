//! How captions and terms become prompts: the formats of clip-interrogator's modes and of the web
//! UI, as pure text.

use crate::label::LabelError;

/// How a prompt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The caption and the nearest terms of all tables.
    #[default]
    Fast,
    /// The caption, a medium, an artist, a trending, a movement and some flavors.
    Classic,
    /// The best of caption, classic, fast and a chain of terms, by the picture's own measure.
    Best,
    /// A chain of what the picture is not, for a negative prompt.
    Negative,
    /// The caption alone.
    Caption,
    /// The caption and the likeliest terms of each table, as the web UI writes it.
    Webui,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 6] = [
        Self::Fast,
        Self::Classic,
        Self::Best,
        Self::Negative,
        Self::Caption,
        Self::Webui,
    ];

    /// The name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Classic => "classic",
            Self::Best => "best",
            Self::Negative => "negative",
            Self::Caption => "caption",
            Self::Webui => "webui",
        }
    }
}

/// The tables that the classic format speaks of, in its order.
pub const CLASSIC_TABLES: [&str; 5] = ["mediums", "artists", "trendings", "movements", "flavors"];

/// The nearest terms of [`CLASSIC_TABLES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicTerms<'a> {
    /// One medium.
    pub medium: &'a str,
    /// One artist.
    pub artist: &'a str,
    /// One trending.
    pub trending: &'a str,
    /// One movement.
    pub movement: &'a str,
    /// Some flavors.
    pub flavors: Vec<&'a str>,
}

/// `caption, medium artist, trending, movement, flavors`; without the medium where the caption
/// begins with it.
pub fn classic(caption: &str, terms: &ClassicTerms<'_>) -> String {
    let ClassicTerms {
        medium,
        artist,
        trending,
        movement,
        flavors,
    } = terms;
    let flavors = flavors.join(", ");
    let lead = if caption.is_empty() {
        format!("{medium} {artist}")
    } else if caption.starts_with(medium) {
        format!("{caption} {artist}")
    } else {
        format!("{caption}, {medium} {artist}")
    };
    format!("{lead}, {trending}, {movement}, {flavors}")
}

/// `caption, term, term …`
pub fn fast(caption: &str, terms: &[&str]) -> String {
    let lead = Some(caption).filter(|caption| !caption.is_empty());
    let parts: Vec<&str> = lead.into_iter().chain(terms.iter().copied()).collect();
    parts.join(", ")
}

/// A match of the web UI: its text and its share of the table in percent.
pub type Match<'a> = (&'a str, f32);

/// `caption, match …` or, with ranks, `caption, (match:0.123) …`
pub fn webui(caption: &str, matches: &[Match<'_>], with_ranks: bool) -> String {
    let terms: Vec<String> = matches
        .iter()
        .map(|(term, percent)| {
            if with_ranks {
                format!("({term}:{:.3})", percent / 100.0)
            } else {
                (*term).to_owned()
            }
        })
        .collect();
    fast(caption, &terms.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The share of each wanted score, in percent, in a softmax over 100 times all scores.
pub fn shares(scores: &[f32], wanted: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |score: f32| (100.0 * f64::from(score - largest)).exp();
    let sum: f64 = scores.iter().map(|&score| power(score)).sum();
    wanted
        .iter()
        .map(|&score| (100.0 * power(score) / sum) as f32)
        .collect()
}

/// How the parts of a prompt are counted against the text tower's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fit {
    /// With the comma before each.
    #[default]
    Exact,
    /// Without, as clip-interrogator does: a prompt may come out a token or two too long.
    WithoutCommas,
}

/// As many of a prompt's comma-separated parts as the text tower sees, at least the first.
pub fn truncate_to_fit(
    prompt: &str,
    fit: Fit,
    is_full: &dyn Fn(&str) -> Result<bool, LabelError>,
) -> Result<String, LabelError> {
    let mut parts = prompt.split(", ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let longer = format!("{kept}, {part}");
        let is_too_long = match fit {
            Fit::Exact => is_full(&longer)?,
            Fit::WithoutCommas => is_full(&format!("{kept}{part}"))?,
        };
        if is_too_long {
            break;
        }
        kept = longer;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> ClassicTerms<'static> {
        ClassicTerms {
            medium: "a drawing",
            artist: "by X",
            trending: "pixiv",
            movement: "art deco",
            flavors: vec!["soft", "light"],
        }
    }

    #[test]
    fn the_classic_format_names_the_medium_once() {
        assert_eq!(
            classic("a cat", &terms()),
            "a cat, a drawing by X, pixiv, art deco, soft, light"
        );
        assert_eq!(
            classic("a drawing of a cat", &terms()),
            "a drawing of a cat by X, pixiv, art deco, soft, light"
        );
        assert_eq!(classic("", &terms()), "a drawing by X, pixiv, art deco, soft, light");
    }

    #[test]
    fn the_web_uis_format_with_and_without_ranks() {
        let matches = [("by X", 51.26), ("soft", 3.0)];
        assert_eq!(webui("a cat", &matches, false), "a cat, by X, soft");
        assert_eq!(webui("a cat", &matches, true), "a cat, (by X:0.513), (soft:0.030)");
        assert_eq!(webui("", &[], true), "");
    }

    #[test]
    fn shares_are_a_softmax_of_a_hundred_cosines() {
        let shares = shares(&[0.30, 0.29, -0.5], &[0.30, 0.29]);
        let wanted = [100.0 / (1.0 + (-1.0_f32).exp()), 100.0 / (1.0 + 1.0_f32.exp())];
        assert!(
            (shares[0] - wanted[0]).abs() < 1e-3 && (shares[1] - wanted[1]).abs() < 1e-3,
            "{shares:?}"
        );
    }

    #[test]
    fn prompts_are_cut_at_their_commas() {
        // Full at ten letters.
        let is_full = |text: &str| Ok(text.len() >= 10);
        let cut = |text, fit| truncate_to_fit(text, fit, &is_full).unwrap();
        assert_eq!(cut("abc, def, g", Fit::Exact), "abc, def");
        // `abc, def` and `g` are nine letters without the comma between them.
        assert_eq!(cut("abc, def, g", Fit::WithoutCommas), "abc, def, g");
        assert_eq!(cut("a long first part, x", Fit::Exact), "a long first part");
        assert_eq!(cut("", Fit::Exact), "");
    }
}
