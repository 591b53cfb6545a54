//! From a picture's scored tags to the words of a caption: which stay, in which order, how they
//! are spelled. Pure; whoever reads the scores applies it, so a threshold never costs a rerun.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A tag as the dataset has it, underscores included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored<'a> {
    /// Its name.
    pub tag: &'a str,
    /// Its score, 0 to 1.
    pub score: f32,
    /// `general`, `character` …
    pub category: &'a str,
}

/// A tag that stays.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// Its name, underscores included.
    pub tag: String,
    /// Its score.
    pub score: f32,
    /// Its category.
    pub category: String,
}

/// From which score on a tag stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// The threshold itself stays (web UI, kohya).
    AtLeast,
    /// Only more than the threshold stays (the WD space).
    Above,
}

/// The order of the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By falling score.
    Score,
    /// By name, code point by code point, before the spelling is applied.
    Alphabetical,
    /// General tags, then characters, then the other categories; by falling score in each.
    Category,
    /// `solo`, then the counts of people (`2girls`), then by falling score.
    PeopleFirst,
}

/// How a tag's underscores are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// As they are.
    Underscores,
    /// As spaces, except in kaomoji (`^_^`).
    Spaces,
    /// As spaces everywhere, in kaomoji too (web UI).
    SpacesEverywhere,
    /// As spaces in tags of more than three characters (kohya).
    SpacesInLongTags,
}

/// Which characters get a backslash, so that a web UI does not read them as weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// None.
    Nothing,
    /// `(` and `)`.
    Parentheses,
    /// `\`, `(` and `)`.
    All,
}

/// How trigger words come to stand in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstOrder {
    /// As they were given.
    AsGiven,
    /// Each put before the one before it, as kohya's script does.
    LastFirst,
}

/// A threshold found in the scores themselves: the middle of their widest gap.
pub const CHARACTER_MCUT_FLOOR: f32 = 0.15;

/// Tags that are faces, not words: their underscore is never a space.
pub const KAOMOJI: [&str; 19] = [
    "0_0", "(o)_(o)", "+_+", "+_-", "._.", "<o>_<o>", "<|>_<|>", "=_=", ">_<", "3_3", "6_9", ">_o", "@_@", "^_^",
    "o_o", "u_u", "x_x", "|_|", "||_||",
];

/// Everything that decides about a caption's tags.
#[derive(Debug, Clone, PartialEq)]
pub struct TagRules {
    /// Threshold of categories without one of their own.
    pub threshold: f32,
    /// Thresholds of single categories.
    pub thresholds: BTreeMap<String, f32>,
    /// Thresholds of single tags, which win over their category's.
    pub tag_thresholds: BTreeMap<String, f32>,
    /// Whether the threshold itself stays.
    pub compare: Compare,
    /// Whether the threshold of a category is the middle of its widest gap of scores instead.
    pub mcut: bool,
    /// The only categories that stay; every one where it is empty.
    pub categories: BTreeSet<String>,
    /// How many tags of a category stay.
    pub top: Option<usize>,
    /// How many tags stay in all, trigger words included.
    pub max_tags: Option<usize>,
    /// Tags that never stay.
    pub exclude: BTreeSet<String>,
    /// Tags that become others.
    pub replace: BTreeMap<String, String>,
    /// Whether `name_(series)` becomes `name` and `series`.
    pub expand_characters: bool,
    /// A tag, and the tags that it implies: those go where it stays.
    pub implications: BTreeMap<String, BTreeSet<String>>,
    /// A tag, and the tags beside which it says nothing: it goes where one of them stays.
    pub overlaps: BTreeMap<String, BTreeSet<String>>,
    /// Whether a tag goes that is a part of another one's name.
    pub drop_contained: bool,
    /// Tags that fewer pictures of the export have go.
    pub min_count: u64,
    /// The order.
    pub order: Order,
    /// Whether characters stand before everything else.
    pub characters_first: bool,
    /// Trigger words, as they are to be written.
    pub first: Vec<String>,
    /// How they come to stand.
    pub first_order: FirstOrder,
    /// Shuffles all but the first `keep_first` tags, for each picture in its own way.
    pub shuffle_seed: Option<u64>,
    /// How many tags at the front are never shuffled.
    pub keep_first: usize,
    /// How underscores are written.
    pub spelling: Spelling,
    /// What gets a backslash.
    pub escape: Escape,
    /// Whether a tag is written with its score, `(tag:0.123)`.
    pub with_scores: bool,
    /// What stands between two tags.
    pub separator: String,
}

impl Default for TagRules {
    fn default() -> Self {
        Self {
            threshold: 0.35,
            thresholds: BTreeMap::new(),
            tag_thresholds: BTreeMap::new(),
            compare: Compare::AtLeast,
            mcut: false,
            categories: BTreeSet::new(),
            top: None,
            max_tags: None,
            exclude: BTreeSet::new(),
            replace: BTreeMap::new(),
            expand_characters: false,
            implications: BTreeMap::new(),
            overlaps: BTreeMap::new(),
            drop_contained: false,
            min_count: 0,
            order: Order::Score,
            characters_first: false,
            first: Vec::new(),
            first_order: FirstOrder::AsGiven,
            shuffle_seed: None,
            keep_first: 0,
            spelling: Spelling::Spaces,
            escape: Escape::Nothing,
            with_scores: false,
            separator: ", ".to_owned(),
        }
    }
}

/// The rules of a preset, by the name of the tool whose captions they give.
pub fn preset(name: &str) -> Option<TagRules> {
    let base = TagRules::default();
    Some(match name {
        "webui-deepbooru" => TagRules {
            threshold: 0.5,
            order: Order::Alphabetical,
            spelling: Spelling::SpacesEverywhere,
            escape: Escape::All,
            ..base
        },
        "wd" => TagRules {
            thresholds: BTreeMap::from([("character".to_owned(), 0.85)]),
            compare: Compare::Above,
            order: Order::Category,
            escape: Escape::Parentheses,
            ..base
        },
        "kohya" => TagRules {
            order: Order::Category,
            first_order: FirstOrder::LastFirst,
            spelling: Spelling::SpacesInLongTags,
            ..base
        },
        _ => return None,
    })
}

/// The presets' names.
pub const PRESETS: [&str; 3] = ["webui-deepbooru", "wd", "kohya"];

/// How many pictures have a tag.
pub type TagCounts = HashMap<String, u64>;

impl TagRules {
    /// The tags of a picture that stay, by falling score; those that are too rare are still among
    /// them.
    pub fn choose(&self, tags: &[Scored<'_>]) -> Vec<Chosen> {
        let mut chosen = self.above_threshold(tags);
        chosen.retain(|tag| !self.exclude.contains(&normal(&tag.tag)));
        for tag in &mut chosen {
            if let Some(other) = self.replace.get(&normal(&tag.tag)) {
                tag.tag.clone_from(other);
            }
        }
        if self.expand_characters {
            chosen = chosen.into_iter().flat_map(expand_character).collect();
        }
        let mut seen = HashSet::new();
        chosen.retain(|tag| !tag.tag.is_empty() && seen.insert(tag.tag.clone()));
        self.prune(&mut chosen);
        chosen
    }

    /// The words of a caption, in their order and spelling. `picture` tells one picture from
    /// another, so that each is shuffled in its own way and always in the same.
    pub fn words(&self, mut chosen: Vec<Chosen>, counts: &TagCounts, picture: &str) -> Vec<String> {
        if self.min_count > 1 {
            chosen.retain(|tag| counts.get(&tag.tag).is_some_and(|count| *count >= self.min_count));
        }
        self.sort(&mut chosen);
        let mut words: Vec<String> = chosen.iter().map(|tag| self.spell(tag)).collect();
        self.put_first(&mut words);
        if let Some(seed) = self.shuffle_seed {
            let kept = self.keep_first.max(self.first.len()).min(words.len());
            shuffle(&mut words[kept..], seed, picture);
        }
        words.truncate(self.max_tags.unwrap_or(usize::MAX));
        words
    }

    /// Words as one text.
    pub fn join(&self, words: &[String]) -> String {
        words.join(&self.separator)
    }

    fn above_threshold(&self, tags: &[Scored<'_>]) -> Vec<Chosen> {
        let mut by_category: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
        for tag in tags {
            by_category.entry(tag.category).or_default().push(tag.score);
        }
        let cuts: BTreeMap<&str, (f32, Compare)> = by_category
            .iter()
            .map(|(category, scores)| (*category, self.cut(category, scores)))
            .collect();
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        let mut sorted: Vec<&Scored<'_>> = tags.iter().collect();
        sorted.sort_by(|one, other| other.score.total_cmp(&one.score));
        let stays = |tag: &&Scored<'_>| {
            let (cut, compare) = match self.tag_thresholds.get(tag.tag) {
                Some(own) => (*own, self.compare),
                None => cuts[tag.category],
            };
            let is_above = match compare {
                Compare::AtLeast => tag.score >= cut,
                Compare::Above => tag.score > cut,
            };
            let is_wanted = self.categories.is_empty() || self.categories.contains(tag.category);
            is_above && is_wanted
        };
        sorted
            .into_iter()
            .filter(stays)
            .filter(|tag| {
                let count = taken.entry(tag.category).or_default();
                *count += 1;
                self.top.is_none_or(|top| *count <= top)
            })
            .map(|tag| Chosen {
                tag: tag.tag.to_owned(),
                score: tag.score,
                category: tag.category.to_owned(),
            })
            .collect()
    }

    fn cut(&self, category: &str, scores: &[f32]) -> (f32, Compare) {
        if let (true, Some(cut)) = (self.mcut, mcut(scores)) {
            let floor = if category == "character" {
                CHARACTER_MCUT_FLOOR
            } else {
                0.0
            };
            return (cut.max(floor), Compare::Above);
        }
        let own = self.thresholds.get(category).copied();
        (own.unwrap_or(self.threshold), self.compare)
    }

    /// Takes out what other tags of the picture say already.
    fn prune(&self, chosen: &mut Vec<Chosen>) {
        if self.implications.is_empty() && self.overlaps.is_empty() && !self.drop_contained {
            return;
        }
        let present: BTreeSet<String> = chosen.iter().map(|tag| normal(&tag.tag)).collect();
        let implied: BTreeMap<&str, BTreeSet<&str>> =
            present.iter().map(|tag| (&**tag, self.implied_by(tag))).collect();
        // Where two tags imply each other both stay.
        let is_implied = |tag: &str| {
            implied
                .iter()
                .any(|(other, parents)| parents.contains(tag) && !implied[tag].contains(other))
        };
        let is_overlapped = |tag: &str| {
            let beside = self.overlaps.get(tag);
            beside.is_some_and(|beside| beside.iter().any(|other| other != tag && present.contains(other)))
        };
        let is_contained =
            |tag: &str| self.drop_contained && present.iter().any(|other| other != tag && other.contains(tag));
        chosen.retain(|tag| {
            let tag = normal(&tag.tag);
            !is_implied(&tag) && !is_overlapped(&tag) && !is_contained(&tag)
        });
    }

    /// All that `tag` implies, over several steps; a circle in the user's file ends by itself.
    fn implied_by(&self, tag: &str) -> BTreeSet<&str> {
        let mut implied = BTreeSet::new();
        let mut open: Vec<&str> = self
            .implications
            .get(tag)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        while let Some(parent) = open.pop() {
            if implied.insert(parent) {
                open.extend(self.implications.get(parent).into_iter().flatten().map(String::as_str));
            }
        }
        implied
    }

    fn sort(&self, chosen: &mut [Chosen]) {
        match self.order {
            Order::Score => {}
            Order::Alphabetical => chosen.sort_by(|one, other| one.tag.cmp(&other.tag)),
            Order::Category => chosen.sort_by_key(|tag| category_rank(&tag.category)),
            Order::PeopleFirst => chosen.sort_by_key(|tag| people_rank(&tag.tag)),
        }
        if self.characters_first {
            chosen.sort_by_key(|tag| tag.category != "character");
        }
    }

    fn put_first(&self, words: &mut Vec<String>) {
        let mut first = self.first.clone();
        if self.first_order == FirstOrder::LastFirst {
            first.reverse();
        }
        words.retain(|word| !first.contains(word));
        words.splice(0..0, first);
    }

    fn spell(&self, tag: &Chosen) -> String {
        let spaced = match self.spelling {
            Spelling::Underscores => false,
            Spelling::Spaces => !KAOMOJI.contains(&tag.tag.as_str()),
            Spelling::SpacesEverywhere => true,
            Spelling::SpacesInLongTags => tag.tag.chars().count() > 3,
        };
        let word = if spaced {
            tag.tag.replace('_', " ")
        } else {
            tag.tag.clone()
        };
        let word = escape(&word, self.escape);
        if self.with_scores {
            format!("({word}:{:.3})", tag.score)
        } else {
            word
        }
    }
}

/// The name under which rules know a tag, however their file spells it.
pub fn normal(tag: &str) -> String {
    tag.trim().replace(' ', "_")
}

fn escape(word: &str, escape: Escape) -> String {
    let is_escaped = |c: char| match escape {
        Escape::Nothing => false,
        Escape::Parentheses => matches!(c, '(' | ')'),
        Escape::All => matches!(c, '\\' | '(' | ')'),
    };
    let mut escaped = String::with_capacity(word.len());
    for c in word.chars() {
        if is_escaped(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The middle of the widest gap between neighbouring scores.
fn mcut(scores: &[f32]) -> Option<f32> {
    let mut scores = scores.to_vec();
    scores.sort_by(|one, other| other.total_cmp(one));
    let mut widest: Option<(f32, f32)> = None;
    for pair in scores.windows(2) {
        let gap = pair[0] - pair[1];
        // The first of equal gaps, as an argmax finds it.
        if widest.is_none_or(|(known, _)| gap > known) {
            widest = Some((gap, f32::midpoint(pair[0], pair[1])));
        }
    }
    widest.map(|(_, middle)| middle)
}

/// `name_(series)` as `name` and `series`, by the last parenthesis.
fn expand_character(tag: Chosen) -> Vec<Chosen> {
    let parts = tag
        .tag
        .strip_suffix(')')
        .filter(|_| tag.category == "character")
        .and_then(|open| open.rsplit_once("_("))
        .filter(|(name, series)| !name.is_empty() && !series.is_empty());
    let Some((name, series)) = parts else { return vec![tag] };
    let part = |part: &str| Chosen {
        tag: part.to_owned(),
        ..tag.clone()
    };
    vec![part(name), part(series)]
}

fn category_rank(category: &str) -> usize {
    const ORDER: [&str; 4] = ["general", "character", "copyright", "artist"];
    let position = ORDER.iter().position(|known| *known == category);
    position.unwrap_or(ORDER.len())
}

/// 0 for `solo`, 1 for counts of people (`1girl`, `6+boys`), 2 for the others.
fn people_rank(tag: &str) -> u8 {
    let rest = tag.trim_start_matches(|c: char| c.is_ascii_digit());
    let counted = rest.strip_prefix('+').unwrap_or(rest);
    match (tag, counted) {
        ("solo", _) => 0,
        (_, "girl" | "girls" | "boy" | "boys") if rest.len() < tag.len() => 1,
        _ => 2,
    }
}

/// Fisher-Yates with numbers of `seed` and `picture` alone, so that it never differs.
fn shuffle(words: &mut [String], seed: u64, picture: &str) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(picture.as_bytes());
    let mut numbers = hasher.finalize_xof();
    for last in (1..words.len()).rev() {
        let mut bytes = [0; 8];
        numbers.fill(&mut bytes);
        words.swap(last, (u64::from_le_bytes(bytes) % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests;
