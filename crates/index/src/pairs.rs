//! Common words that stand side by side.
//!
//! Which rows have two words says little about a phrase when nearly all rows have both. So each part keeps, of its
//! most frequent words, the rows in which one directly follows another in the same text. The dictionary of the field
//! holds the words themselves, without rows, and `left right` for each pair that occurs; words have no spaces.
//!
//! A pair is only useful where the rows of *all* its occurrences are known: of a part's common words each pair is
//! complete. A merge keeps a word when it is common in each source or occurs nowhere else, so words that were common
//! stay so for the parts to come ([`Common`]).

use std::collections::BTreeSet;
use std::io;

use crate::dict::is_cut;
use crate::part::{Part, PartWriter};
use crate::postings::List;
use crate::slot::{FieldSpan, Slot};

/// The most common words of a part: their pairs are at most 4,096.
pub(crate) const MAX_WORDS: usize = 64;

/// A word in one row of this many or more is common.
const ENOUGH: u64 = 16;

/// One that was common stays so down to one row in this many.
pub(crate) const STILL_ENOUGH: u64 = 32;

/// Fewer rows say nothing about how frequent words are.
const ENOUGH_ROWS: u32 = 64;

/// Stands between two words of a dictionary of pairs.
const SPACE: u8 = b' ';

/// A word and how many rows have it.
type Counted = (Box<[u8]>, u32);

/// The words that are to be common in the next part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Common {
    /// Ascending.
    words: Vec<Box<[u8]>>,
    /// How many rows they were learned from.
    rows: u32,
}

impl Common {
    /// Goes on with what a part has.
    pub(crate) fn of_part(part: &Part) -> Common {
        let words = complete_words(part).into_iter().collect();
        Common { words, rows: part.row_count() }
    }

    /// Takes over what a part of so many rows found common: instead of what far fewer rows said, or besides.
    pub(crate) fn learn(&mut self, found: Vec<Counted>, rows: u32) {
        if rows < ENOUGH_ROWS {
            return;
        }
        if rows >= self.rows / 4 {
            *self = Common { words: Vec::new(), rows };
        }
        for (word, _) in found {
            if let Err(place) = self.words.binary_search(&word)
                && self.words.len() < MAX_WORDS
            {
                self.words.insert(place, word);
            }
        }
    }

    pub(crate) fn words(&self) -> &[Box<[u8]>] {
        &self.words
    }

    /// Of words and how many of `rows` have them, those that are common, at most [`MAX_WORDS`].
    pub(crate) fn choose(
        &self,
        words: impl Iterator<Item = (impl AsRef<[u8]>, u32)>,
        rows: u32,
    ) -> Vec<Counted> {
        let mut chosen: Vec<(bool, Counted)> = Vec::new();
        for (word, count) in words {
            // Most words are told apart by their count alone.
            if u64::from(count) * STILL_ENOUGH < u64::from(rows) || is_cut(word.as_ref()) {
                continue;
            }
            let known = self.words.binary_search_by(|known| (**known).cmp(word.as_ref())).is_ok();
            if known || rows >= ENOUGH_ROWS && u64::from(count) * ENOUGH >= u64::from(rows) {
                chosen.push((known, (word.as_ref().into(), count)));
            }
        }
        chosen.sort_unstable_by_key(|(known, (_, count))| std::cmp::Reverse((*known, *count)));
        chosen.truncate(MAX_WORDS);
        chosen.into_iter().map(|(_, counted)| counted).collect()
    }
}

/// The words all of whose pairs a part knows.
fn complete_words(part: &Part) -> BTreeSet<Box<[u8]>> {
    let mut words = BTreeSet::new();
    if let Some(field) = part.field(&Slot::Pairs) {
        let mut terms = part.dict(field).iter();
        while terms.advance() {
            if !terms.term().contains(&SPACE) {
                words.insert(terms.term().into());
            }
        }
    }
    words
}

/// The term of a pair.
pub(crate) fn pair(left: &[u8], right: &[u8]) -> Vec<u8> {
    [left, &[SPACE], right].concat()
}

/// Gathers which common words follow each other.
pub(crate) struct Gatherer<'a> {
    words: Vec<&'a [u8]>,
    /// For each pair its rows.
    rows: Vec<Vec<u32>>,
}

impl<'a> Gatherer<'a> {
    /// `words` are different.
    pub(crate) fn new(words: Vec<&'a [u8]>) -> Gatherer<'a> {
        let rows = vec![Vec::new(); words.len() * words.len()];
        Gatherer { words, rows }
    }

    /// Notes that in a row the word `right` follows `left`, by their places. Rows come in order.
    #[inline]
    pub(crate) fn note(&mut self, left: usize, right: usize, row: u32) {
        if let Some(rows) = self.rows.get_mut(left * self.words.len() + right)
            && rows.last() != Some(&row)
        {
            rows.push(row);
        }
    }

    /// Writes the field.
    pub(crate) fn write(self, writer: &mut PartWriter<'_>) -> io::Result<()> {
        if self.words.is_empty() {
            return Ok(());
        }
        let mut terms: Vec<(Vec<u8>, &[u32])> =
            self.words.iter().map(|word| (word.to_vec(), &[][..])).collect();
        for (place, rows) in self.rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let (left, right) = (place / self.words.len(), place % self.words.len());
            if let (Some(left), Some(right)) = (self.words.get(left), self.words.get(right)) {
                terms.push((pair(left, right), rows));
            }
        }
        terms.sort_unstable();
        writer.dict.start(&writer.out);
        for (term, rows) in terms {
            writer.dict.push(&mut writer.out, &term, rows)?;
        }
        let mut field = FieldSpan::new(Slot::Pairs);
        field.dict = writer.dict.finish(&mut writer.out)?;
        writer.end_field(&field);
        Ok(())
    }
}

/// The words all of whose pairs these parts know together.
pub(crate) struct Complete(BTreeSet<Box<[u8]>>);

impl Complete {
    pub(crate) fn of<'p>(parts: impl Iterator<Item = &'p Part> + Clone) -> Complete {
        let of_parts: Vec<BTreeSet<Box<[u8]>>> = parts.clone().map(complete_words).collect();
        let occurs = |part: &Part, word: &[u8]| {
            part.field(&Slot::Words)
                .is_some_and(|field| part.dict(field).find(word).map_or(0, |(_, list)| list.count()) > 0)
        };
        let count = |word: &[u8]| -> u64 {
            let in_part = |part: &Part| {
                part.field(&Slot::Words)
                    .and_then(|field| part.dict(field).find(word))
                    .map_or(0, |(_, list)| list.count())
            };
            parts.clone().map(|part| u64::from(in_part(part))).sum()
        };
        let all: BTreeSet<&Box<[u8]>> = of_parts.iter().flatten().collect();
        let mut kept: Vec<(u64, &Box<[u8]>)> = all
            .into_iter()
            .filter(|word| {
                parts.clone().zip(&of_parts).all(|(part, own)| own.contains(*word) || !occurs(part, word))
            })
            .map(|word| (count(word), word))
            .collect();
        kept.sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count));
        Complete(kept.into_iter().take(MAX_WORDS).map(|(_, word)| word.clone()).collect())
    }

    /// Whether a word or pair of a part's dictionary is kept.
    pub(crate) fn keeps(&self, term: &[u8]) -> bool {
        term.split(|byte| *byte == SPACE).all(|word| self.0.contains(word))
    }
}

impl Part {
    /// The rows in which `right` directly follows `left` in a text, where the part knows all of them; those of texts that
    /// stand beside the entry are not among them.
    pub(crate) fn rows_of_pair(&self, left: &str, right: &str) -> Option<List<'_>> {
        let dict = self.dict(self.field(&Slot::Pairs)?);
        dict.find(left.as_bytes())?;
        dict.find(right.as_bytes())?;
        let found = dict.find(&pair(left.as_bytes(), right.as_bytes()));
        Some(found.map_or(List::none(), |(_, list)| list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(words: &[(&str, u32)]) -> Vec<Counted> {
        words.iter().map(|(word, count)| (word.as_bytes().into(), *count)).collect()
    }

    #[test]
    fn words_become_common_and_stay_so_for_a_while() {
        let mut common = Common::default();
        let check = |common: &Common, words: &[(&str, u32)], rows: u32, expected: &[&str]| {
            let chosen = common.choose(counted(words).into_iter(), rows);
            let chosen: Vec<&[u8]> = chosen.iter().map(|(word, _)| &**word).collect();
            assert_eq!(chosen, expected.iter().map(|word| word.as_bytes()).collect::<Vec<_>>(), "{words:?}");
        };
        check(&common, &[("a", 10)], 10, &[]);
        check(&common, &[("a", 62), ("b", 63), ("c", 500)], 1_000, &["c", "b"]);
        common.learn(counted(&[("a", 63)]), 1_000);
        check(&common, &[("a", 32), ("b", 32), ("c", 500)], 1_000, &["a", "c"]);
        check(&common, &[("a", 31)], 1_000, &[]);
        check(&common, &[("a", 1)], 10, &["a"]);
        // What few rows say is added, what many say counts.
        common.learn(counted(&[("b", 30)]), 70);
        assert_eq!(common.words().len(), 2);
        common.learn(counted(&[("c", 1)]), 10);
        assert_eq!(common.words().len(), 2);
        common.learn(counted(&[("c", 500)]), 2_000);
        assert_eq!(common.words(), [Box::from(&b"c"[..])]);
        let many: Vec<String> = (0..100).map(|number| format!("{number:03}")).collect();
        let many: Vec<(&str, u32)> = many.iter().map(|word| (word.as_str(), 900)).collect();
        assert_eq!(common.choose(counted(&many).into_iter(), 1_000).len(), MAX_WORDS);
        common.learn(counted(&many), 1_000);
        assert_eq!(common.words().len(), MAX_WORDS);
    }
}
