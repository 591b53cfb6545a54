//! The chain: a prompt grows phrase by phrase, each time by the one that brings it nearest to the
//! picture (or farthest, for negative prompts). Many pictures go step by step together, so that
//! their texts share runs of the text tower.

use std::collections::HashSet;

use super::rank::End;
use crate::label::LabelError;

/// Candidates so near to the best that rounding could change their order are looked at exactly,
/// this many at most: a prompt that is full makes all of them equal.
const MAX_NEAR_TIES: usize = 16;

/// What tells how near texts are to pictures.
pub trait Judge {
    /// Cosines of `prompt, phrase` with the picture for each phrase, good to [`Self::tolerance`].
    fn extend(&mut self, asked: &[Extension<'_>]) -> Result<Vec<Vec<f32>>, LabelError>;

    /// The cosine of each text with its picture, the same whatever else is asked.
    fn similarities(&mut self, asked: &[(&[f32], &str)]) -> Result<Vec<f32>, LabelError>;

    /// How far a cosine of [`Self::extend`] may be from the exact one.
    fn tolerance(&self) -> f32;

    /// Whether a further word would be cut off.
    fn is_full(&self, text: &str) -> Result<bool, LabelError>;

    /// The text of a phrase.
    fn phrase(&self, phrase: usize) -> &str;
}

/// One picture's question at one step.
#[derive(Debug, Clone, Copy)]
pub struct Extension<'a> {
    /// Its unit embedding.
    pub picture: &'a [f32],
    /// What is there already.
    pub prompt: &'a str,
    /// What may be added.
    pub phrases: &'a [usize],
}

/// How a chain grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainRules {
    /// Phrases that are taken even where they help nothing.
    pub min_phrases: usize,
    /// Steps at most.
    pub max_phrases: usize,
    /// Towards the picture or away from it.
    pub end: End,
    /// The first phrase counts with the sign that it has in clip-interrogator, also where less is
    /// better; then a first phrase of positive cosine is hardly ever improved upon.
    pub first_sign_as_peer: bool,
}

/// Where a chain begins.
#[derive(Debug, Clone)]
pub struct ChainStart<'a> {
    /// The picture's unit embedding.
    pub picture: &'a [f32],
    /// What is there already; empty: the best phrase begins.
    pub prompt: &'a str,
    /// The candidates, of equals the first wins.
    pub phrases: Vec<usize>,
}

/// A text and how good it is: of two, more is better.
#[derive(Debug, Clone)]
struct Judged {
    text: String,
    worth: f32,
}

struct Growing<'a> {
    picture: &'a [f32],
    phrases: Vec<usize>,
    best: Judged,
    current: Judged,
    grows: bool,
}

/// Grows a prompt for each picture; gives the best that each came through.
pub fn chains(
    starts: Vec<ChainStart<'_>>,
    rules: ChainRules,
    judge: &mut dyn Judge,
) -> Result<Vec<String>, LabelError> {
    let mut growing = begin(starts, rules, judge)?;
    for step in 0..rules.max_phrases {
        let active: Vec<usize> = (0..growing.len())
            .filter(|&chain| growing[chain].grows && !growing[chain].phrases.is_empty())
            .collect();
        if active.is_empty() {
            break;
        }
        let asked: Vec<Extension<'_>> = active
            .iter()
            .map(|&chain| Extension {
                picture: growing[chain].picture,
                prompt: &growing[chain].current.text,
                phrases: &growing[chain].phrases,
            })
            .collect();
        let chosen = choose(&asked, rules.end, judge)?;
        for (&chain, choice) in active.iter().zip(chosen) {
            growing[chain].take(choice, step < rules.min_phrases, judge)?;
        }
    }
    Ok(growing.into_iter().map(|chain| chain.best.text).collect())
}

fn begin<'a>(
    starts: Vec<ChainStart<'a>>,
    rules: ChainRules,
    judge: &mut dyn Judge,
) -> Result<Vec<Growing<'a>>, LabelError> {
    let mut growing = Vec::with_capacity(starts.len());
    for start in starts {
        let mut seen = HashSet::new();
        let mut phrases = start.phrases;
        phrases.retain(|&phrase| seen.insert(judge.phrase(phrase).to_owned()));
        let mut first = Judged {
            text: start.prompt.to_owned(),
            worth: 0.0,
        };
        if !start.prompt.is_empty() {
            let similarity = judge.similarities(&[(start.picture, start.prompt)])?;
            first.worth = similarity
                .first()
                .map_or(0.0, |&similarity| rules.end.worth(similarity));
        } else if !phrases.is_empty() {
            let asked = Extension {
                picture: start.picture,
                prompt: "",
                phrases: &phrases,
            };
            if let Some(choice) = choose(&[asked], rules.end, judge)?.pop() {
                first = choice.judged;
                if rules.first_sign_as_peer {
                    first.worth = rules.end.worth(first.worth);
                }
                phrases.remove(choice.place);
            }
        }
        growing.push(Growing {
            picture: start.picture,
            phrases,
            best: first.clone(),
            current: first,
            grows: true,
        });
    }
    Ok(growing)
}

impl Growing<'_> {
    /// Adds the chosen phrase where it helps or has to be taken, else ends the chain.
    fn take(&mut self, choice: Choice, is_forced: bool, judge: &dyn Judge) -> Result<(), LabelError> {
        let Choice { place, judged } = choice;
        if judged.worth > self.best.worth {
            self.best = judged.clone();
        }
        if judged.worth > self.current.worth || is_forced {
            self.current = judged;
            self.grows = !judge.is_full(&self.current.text)?;
            self.phrases.remove(place);
        } else {
            self.grows = false;
        }
        Ok(())
    }
}

/// The best phrase of a step.
struct Choice {
    /// Its place among the phrases asked about.
    place: usize,
    judged: Judged,
}

/// The best phrase for each question, near ties decided by exact cosines and then by order.
fn choose(asked: &[Extension<'_>], end: End, judge: &mut dyn Judge) -> Result<Vec<Choice>, LabelError> {
    let scores = judge.extend(asked)?;
    let reach = 2.0 * judge.tolerance();
    let mut choices = Vec::with_capacity(asked.len());
    for (question, scores) in asked.iter().zip(scores) {
        let worth = |place: &usize| end.worth(scores[*place]);
        let best = (0..scores.len())
            .map(|place| worth(&place))
            .fold(f32::NEG_INFINITY, f32::max);
        let mut near: Vec<usize> = (0..scores.len())
            .filter(|place| worth(place) >= best - reach)
            .take(MAX_NEAR_TIES)
            .collect();
        if near.is_empty() {
            // No score is a number: the first is as good as any.
            near.push(0);
        }
        let texts: Vec<String> = near
            .iter()
            .map(|&place| extended(question.prompt, judge.phrase(question.phrases[place])))
            .collect();
        let pairs: Vec<(&[f32], &str)> = texts.iter().map(|text| (question.picture, text.as_str())).collect();
        let exact = judge.similarities(&pairs)?;
        let mut winner = 0;
        for (index, &similarity) in exact.iter().enumerate() {
            if end.worth(similarity) > end.worth(exact[winner]) {
                winner = index;
            }
        }
        choices.push(Choice {
            place: near[winner],
            judged: Judged {
                text: texts[winner].clone(),
                worth: end.worth(exact[winner]),
            },
        });
    }
    Ok(choices)
}

/// A prompt with a phrase added.
pub fn extended(prompt: &str, phrase: &str) -> String {
    if prompt.is_empty() {
        phrase.to_owned()
    } else {
        format!("{prompt}, {phrase}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges by letters: a text's vector counts a few letters, and `extend` is off by a little.
    struct Letters {
        phrases: Vec<&'static str>,
        longest: usize,
        error: f32,
    }

    fn vector(text: &str) -> Vec<f32> {
        let mut counts: Vec<f32> = "abcde"
            .chars()
            .map(|letter| text.matches(letter).count() as f32)
            .collect();
        let length = counts.iter().map(|count| count * count).sum::<f32>().sqrt().max(1e-9);
        for count in &mut counts {
            *count /= length;
        }
        counts
    }

    fn cosine(picture: &[f32], text: &str) -> f32 {
        vector(text).iter().zip(picture).map(|(left, right)| left * right).sum()
    }

    impl Judge for Letters {
        fn extend(&mut self, asked: &[Extension<'_>]) -> Result<Vec<Vec<f32>>, LabelError> {
            let scores = |asked: &Extension<'_>| {
                let score = |(place, &phrase): (usize, &usize)| {
                    let error = if place % 2 == 0 { self.error } else { -self.error };
                    cosine(asked.picture, &extended(asked.prompt, self.phrases[phrase])) + error
                };
                asked.phrases.iter().enumerate().map(score).collect()
            };
            Ok(asked.iter().map(scores).collect())
        }

        fn similarities(&mut self, asked: &[(&[f32], &str)]) -> Result<Vec<f32>, LabelError> {
            Ok(asked.iter().map(|(picture, text)| cosine(picture, text)).collect())
        }

        fn tolerance(&self) -> f32 {
            self.error
        }

        fn is_full(&self, text: &str) -> Result<bool, LabelError> {
            Ok(text.len() >= self.longest)
        }

        fn phrase(&self, phrase: usize) -> &str {
            self.phrases[phrase]
        }
    }

    fn judge() -> Letters {
        Letters {
            phrases: vec!["a", "b", "c", "ab", "bc", "abc", "e", "a"],
            longest: 40,
            error: 0.0,
        }
    }

    fn rules() -> ChainRules {
        ChainRules {
            min_phrases: 0,
            max_phrases: 32,
            end: End::Nearest,
            first_sign_as_peer: false,
        }
    }

    fn start<'a>(picture: &'a [f32], prompt: &'a str) -> ChainStart<'a> {
        ChainStart {
            picture,
            prompt,
            phrases: (0..8).collect(),
        }
    }

    #[test]
    fn a_chain_takes_what_helps_and_ends_where_nothing_does() {
        let picture = vector("abbbc");
        let grown = chains(vec![start(&picture, "c")], rules(), &mut judge()).unwrap();
        // c (0.30) + ab (0.87, as b would not: 0.85) + bc … as long as the cosine rises.
        assert_eq!(grown[0].split(", ").next(), Some("c"));
        assert!(cosine(&picture, &grown[0]) > 0.95, "{grown:?}");
        let again = chains(vec![start(&picture, "abbbc")], rules(), &mut judge()).unwrap();
        assert_eq!(again, ["abbbc"], "nothing helps a perfect text");
    }

    #[test]
    fn without_a_start_the_best_phrase_begins_and_each_comes_once() {
        let picture = vector("ab");
        let grown = chains(vec![start(&picture, "")], rules(), &mut judge()).unwrap();
        assert_eq!(grown, ["ab"]);
        let rules = ChainRules {
            min_phrases: 32,
            ..rules()
        };
        let mut judge = judge();
        judge.longest = 1000;
        let picture = vector("e");
        let forced = chains(vec![start(&picture, "d")], rules, &mut judge).unwrap();
        // Everything is taken once, the repeated `a` too, but the best on the way is given back.
        assert_eq!(forced, ["d, e"]);
    }

    #[test]
    fn a_chain_ends_when_the_prompt_is_full() {
        let mut judge = judge();
        judge.longest = 4;
        let picture = vector("abc");
        let rules = ChainRules {
            min_phrases: 8,
            ..rules()
        };
        let grown = chains(vec![start(&picture, "a")], rules, &mut judge).unwrap();
        assert_eq!(grown, ["a, bc"]);
    }

    #[test]
    fn pictures_together_grow_as_alone_also_with_rounding() {
        let pictures: Vec<Vec<f32>> = ["abc", "aab", "e", "bcc", "abbbc"].map(vector).to_vec();
        let alone: Vec<String> = pictures
            .iter()
            .map(|picture| {
                chains(vec![start(picture, "c")], rules(), &mut judge())
                    .unwrap()
                    .remove(0)
            })
            .collect();
        let mut rounding = judge();
        rounding.error = 1e-3;
        let starts = pictures.iter().map(|picture| start(picture, "c")).collect();
        assert_eq!(chains(starts, rules(), &mut rounding).unwrap(), alone);
    }

    #[test]
    fn nothing_to_say_is_an_empty_prompt_in_its_place() {
        let picture = vector("ab");
        let nothing = ChainStart {
            phrases: Vec::new(),
            ..start(&picture, "")
        };
        let grown = chains(vec![nothing, start(&picture, "")], rules(), &mut judge()).unwrap();
        assert_eq!(grown, ["", "ab"]);
    }

    #[test]
    fn negative_chains_go_away_from_the_picture() {
        let picture = vector("aaabbc");
        let rules = |first_sign_as_peer| ChainRules {
            min_phrases: 2,
            end: End::Farthest,
            first_sign_as_peer,
            ..rules()
        };
        let grown = chains(vec![start(&picture, "")], rules(false), &mut judge()).unwrap();
        assert_eq!(grown, ["e"]);
        // With every phrase near, the first one's sign decides whether the chain can improve on it.
        let near = ChainStart {
            phrases: vec![0, 1, 2],
            ..start(&picture, "")
        };
        let ours = chains(vec![near.clone()], rules(false), &mut judge()).unwrap();
        assert_eq!(ours, ["c"]);
        let mut with_e = near;
        with_e.phrases = vec![2, 6];
        with_e.prompt = "c";
        let improved = chains(vec![with_e], rules(false), &mut judge()).unwrap();
        assert_eq!(improved, ["c, e"]);
    }
}
