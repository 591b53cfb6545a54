//! All terms of all tables in one list: a term is known by its index there.

use std::collections::HashSet;
use std::ops::Range;

use super::tables::TermTable;

/// The table that serves negative prompts alone.
const NEGATIVE: &str = "negative";

/// The terms of some tables, one table after the other.
#[derive(Debug, Clone)]
pub struct Lexicon {
    texts: Vec<String>,
    tables: Vec<(String, Range<usize>)>,
}

impl Lexicon {
    /// The tables in their order, the one for negative prompts last.
    pub fn new(tables: Vec<TermTable>) -> Self {
        let (negative, others): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.name == NEGATIVE);
        let mut lexicon = Self {
            texts: Vec::new(),
            tables: Vec::new(),
        };
        for table in others.into_iter().chain(negative) {
            let start = lexicon.texts.len();
            lexicon.texts.extend(table.terms);
            lexicon.tables.push((table.name, start..lexicon.texts.len()));
        }
        lexicon
    }

    /// A term's text.
    pub fn text(&self, term: usize) -> &str {
        &self.texts[term]
    }

    /// Every text, by index.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The name of a term's table.
    pub fn table_of(&self, term: usize) -> &str {
        let found = self.tables.iter().find(|(_, range)| range.contains(&term));
        found.map_or("", |(name, _)| name)
    }

    /// The terms of a table.
    pub fn range(&self, table: &str) -> Option<Range<usize>> {
        let found = self.tables.iter().find(|(name, _)| name == table);
        found.map(|(_, range)| range.clone())
    }

    /// The terms that say what a picture shows: those of every table but the negative one.
    pub fn merged(&self) -> Range<usize> {
        0..self.range(NEGATIVE).map_or(self.texts.len(), |range| range.start)
    }

    /// The terms of the negative table.
    pub fn negative(&self) -> Range<usize> {
        self.range(NEGATIVE).unwrap_or(self.texts.len()..self.texts.len())
    }

    /// The tables whose terms say what a picture shows, with their terms.
    pub fn positive_tables(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let shown = self.tables.iter().filter(|(name, _)| name != NEGATIVE);
        shown.map(|(name, range)| (name.as_str(), range.clone()))
    }

    /// Those of some terms that say something no earlier one said, blank ones left out.
    pub fn distinct(&self, terms: impl Iterator<Item = usize>) -> impl Iterator<Item = usize> {
        let mut seen = HashSet::new();
        terms.filter(move |&term| !self.texts[term].is_empty() && seen.insert(self.texts[term].to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_negative_table_stands_behind_the_others() {
        let table = |name: &str, terms: &[&str]| TermTable {
            name: name.to_owned(),
            terms: terms.iter().map(|term| (*term).to_owned()).collect(),
        };
        let lexicon = Lexicon::new(vec![
            table("artists", &["by X"]),
            table("negative", &["blurry"]),
            table("flavors", &["soft", "", "Soft", "light"]),
        ]);
        assert_eq!((lexicon.merged(), lexicon.negative()), (0..5, 5..6));
        assert_eq!(
            (lexicon.text(5), lexicon.table_of(5), lexicon.table_of(2)),
            ("blurry", "negative", "flavors")
        );
        assert_eq!(lexicon.distinct(0..5).collect::<Vec<_>>(), [0, 1, 4]);
        assert_eq!(lexicon.range("mediums"), None);
        let names: Vec<&str> = lexicon.positive_tables().map(|(name, _)| name).collect();
        assert_eq!(names, ["artists", "flavors"]);
    }
}
