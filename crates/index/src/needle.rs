//! Literal text that every match holds: found in a dictionary without comparing each term with the whole pattern.
//!
//! Terms share their starts with the term before, so only what is new in a term is searched. Before that, a dictionary
//! says whether it has every pair of neighbouring bytes at all ([`Bigrams`]): most that cannot hold a match are done
//! with at once. The pairs are gathered when they are first asked for; they are in no file.

use crate::dict::{Dict, Terms};

/// What stands in every text that passes a test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needle {
    text: String,
    any_case: bool,
}

impl Needle {
    /// Nothing is known.
    pub const fn none() -> Needle {
        Needle { text: String::new(), any_case: false }
    }

    /// Exactly this text.
    pub fn exact(text: impl Into<String>) -> Needle {
        Needle { text: text.into(), any_case: false }
    }

    /// This text, each of its ASCII letters in upper or lower case.
    pub fn any_case(text: impl Into<String>) -> Needle {
        Needle { text: text.into(), any_case: true }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.text.is_empty()
    }

    fn fits(&self, text: &[u8]) -> bool {
        let needle = self.text.as_bytes();
        if self.any_case { text.eq_ignore_ascii_case(needle) } else { text == needle }
    }

    /// Where the first occurrence ends that starts at `from` or later.
    fn end_in(&self, text: &[u8], from: usize) -> Option<usize> {
        let len = self.text.len();
        let rest = text.get(from..).filter(|rest| rest.len() >= len)?;
        let first = *self.text.as_bytes().first()?;
        let other = if self.any_case { swapped(first) } else { first };
        rest.windows(len)
            .position(|window| {
                window.first().is_some_and(|byte| *byte == first || *byte == other) && self.fits(window)
            })
            .map(|place| from + place + len)
    }

    /// Whether a text holds it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.is_none() || self.end_in(text.as_bytes(), 0).is_some()
    }
}

/// A letter in its other case.
fn swapped(byte: u8) -> u8 {
    if byte.is_ascii_alphabetic() { byte ^ 0x20 } else { byte }
}

/// Looks for a needle in one term after the other.
pub(crate) struct Search<'a> {
    needle: &'a Needle,
    /// Where the first occurrence in the term before ended.
    end: Option<usize>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(needle: &'a Needle) -> Search<'a> {
        Search { needle, end: None }
    }

    /// Whether the term where `terms` stands holds the needle. To be asked of every term, from a block's first on or
    /// from where `terms` began.
    #[inline]
    pub(crate) fn holds(&mut self, terms: &Terms<'_>) -> bool {
        if self.needle.is_none() {
            return true;
        }
        let shared = terms.shared();
        if self.end.is_none_or(|end| end > shared) {
            // What the terms share holds none: a new one ends behind it.
            let from = (shared + 1).saturating_sub(self.needle.text.len());
            self.end = self.needle.end_in(terms.term(), from);
        }
        self.end.is_some()
    }
}

/// Which pairs of neighbouring bytes the terms of a dictionary have, by their lowest seven bits.
#[derive(Clone)]
pub(crate) struct Bigrams([u64; 256]);

impl Bigrams {
    pub(crate) fn of(dict: &Dict<'_>) -> Bigrams {
        let mut bigrams = Bigrams([0; 256]);
        let mut terms = dict.iter();
        while terms.advance() {
            let new = terms.term().get(terms.shared().saturating_sub(1)..).unwrap_or(&[]);
            for (left, right) in new.iter().zip(new.iter().skip(1)) {
                let (word, bit) = place(*left, *right);
                if let Some(word) = bigrams.0.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        bigrams
    }

    fn has(&self, left: u8, right: u8) -> bool {
        let (word, bit) = place(left, right);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Whether some term may hold the needle.
    pub(crate) fn may_hold(&self, needle: &Needle) -> bool {
        let bytes = needle.text.as_bytes();
        bytes.iter().zip(bytes.iter().skip(1)).all(|(&left, &right)| {
            self.has(left, right)
                || needle.any_case
                    && (self.has(swapped(left), right)
                        || self.has(left, swapped(right))
                        || self.has(swapped(left), swapped(right)))
        })
    }
}

impl std::fmt::Debug for Bigrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        write!(f, "Bigrams({count})")
    }
}

fn place(left: u8, right: u8) -> (usize, u64) {
    let bit = usize::from(left & 0x7F) << 7 | usize::from(right & 0x7F);
    (bit >> 6, 1 << (bit & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dict::DictWriter;
    use crate::out::Out;

    /// Every needle is found in the terms that hold it and in no others, and bigrams deny none of them.
    #[test]
    fn needles_are_found_wherever_they_stand() {
        let mut terms: Vec<String> = Vec::new();
        for start in ["", "a", "ab", "abc", "user/abab", "Abc", "é", "aé"] {
            for end in ["", "a", "b", "ab", "ba", "bab", "AB", "é", "x", "xab", "/abc/"] {
                terms.push(format!("{start}{end}"));
                terms.push(format!("{start}-long-and-shared-{end}"));
            }
        }
        terms.sort();
        terms.dedup();
        let mut bytes = Vec::new();
        let mut out = Out::new(&mut bytes);
        let mut writer = DictWriter::new(10);
        writer.start(&out);
        for term in &terms {
            writer.push(&mut out, term.as_bytes(), &[1]).unwrap();
        }
        let span = writer.finish(&mut out).unwrap();
        out.checksum().unwrap();
        let dict = Dict::new(&bytes, &span, 10);
        let bigrams = Bigrams::of(&dict);
        let mut denied = 0;
        for text in
            ["", "a", "b", "ab", "aba", "bab", "AB", "red-", "é", "bé", "é-", "zz", "ab/", "d-x", "r/a"]
        {
            for needle in [Needle::exact(text), Needle::any_case(text)] {
                let holds = |term: &str| match needle.any_case {
                    true => term.to_ascii_lowercase().contains(&text.to_ascii_lowercase()),
                    false => term.contains(text),
                };
                let mut all = dict.iter();
                let mut search = Search::new(&needle);
                let mut any = false;
                for term in &terms {
                    assert!(all.advance());
                    assert_eq!(search.holds(&all), holds(term), "{needle:?} in {term}");
                    assert_eq!(needle.is_in(term), holds(term), "{needle:?} in {term}");
                    any |= holds(term);
                }
                assert!(bigrams.may_hold(&needle) || !any, "{needle:?}");
                denied += usize::from(!bigrams.may_hold(&needle));
            }
        }
        assert!(denied >= 2, "{denied}");
    }
}
