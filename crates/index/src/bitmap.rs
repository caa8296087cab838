//! Many rows: one bit each.

use std::ops::Range;

/// One bit a row.
#[derive(Debug, Clone)]
pub struct Bitmap {
    pub(crate) words: Vec<u64>,
    pub(crate) len: u32,
}

impl Bitmap {
    /// No rows, with room for the offsets below `rows`.
    pub(crate) fn new(rows: u32) -> Bitmap {
        Bitmap { words: vec![0; rows.div_ceil(64) as usize], len: 0 }
    }

    /// Takes words whose bits beyond `rows` are ignored.
    pub(crate) fn from_words(mut words: Vec<u64>, rows: u32) -> Bitmap {
        words.resize(rows.div_ceil(64) as usize, 0);
        if let Some(last) = words.last_mut()
            && !rows.is_multiple_of(64)
        {
            *last &= (1 << (rows % 64)) - 1;
        }
        Bitmap::counted(words)
    }

    pub(crate) fn counted(words: Vec<u64>) -> Bitmap {
        let len = words.iter().map(|word| word.count_ones()).sum();
        Bitmap { words, len }
    }

    #[inline]
    pub(crate) fn contains(&self, row: u32) -> bool {
        self.words.get((row >> 6) as usize).is_some_and(|word| word >> (row & 63) & 1 == 1)
    }

    /// Adds a row; those beyond the room are ignored.
    #[inline]
    pub(crate) fn insert(&mut self, row: u32) {
        if let Some(word) = self.words.get_mut((row >> 6) as usize) {
            let bit = 1 << (row & 63);
            self.len += u32::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Like [`insert`](Bitmap::insert) without counting: [`recounted`](Bitmap::recounted) must follow.
    #[inline]
    pub(crate) fn set(&mut self, row: u32) {
        if let Some(word) = self.words.get_mut((row >> 6) as usize) {
            *word |= 1 << (row & 63);
        }
    }

    /// Adds 64 rows, from `at × 64` on, without counting.
    #[inline]
    pub(crate) fn set_word(&mut self, at: usize, bits: u64) {
        if let Some(word) = self.words.get_mut(at) {
            *word |= bits;
        }
    }

    pub(crate) fn recounted(self) -> Bitmap {
        Bitmap::counted(self.words)
    }

    pub(crate) fn insert_range(&mut self, range: Range<u32>) {
        for (word, mask) in masks(&range) {
            if let Some(word) = self.words.get_mut(word) {
                self.len += (mask & !*word).count_ones();
                *word |= mask;
            }
        }
    }

    pub(crate) fn combine(&self, other: &Bitmap, with: impl Fn(u64, u64) -> u64) -> Bitmap {
        let longest = self.words.len().max(other.words.len());
        let word = |map: &Bitmap, at: usize| map.words.get(at).copied().unwrap_or(0);
        Bitmap::counted((0..longest).map(|at| with(word(self, at), word(other, at))).collect())
    }

    /// How many rows of `range` are in the set.
    pub(crate) fn count_in(&self, range: &Range<u32>) -> u32 {
        masks(range)
            .map(|(word, mask)| (self.words.get(word).copied().unwrap_or(0) & mask).count_ones())
            .sum()
    }

    /// The rows as a range, when they are one.
    pub(crate) fn as_run(&self) -> Option<Range<u32>> {
        let start = self.words.iter().position(|word| *word != 0)?;
        let end = self.words.iter().rposition(|word| *word != 0)?;
        let first = (start as u32) << 6 | self.words.get(start)?.trailing_zeros();
        let last = (end as u32) << 6 | (63 - self.words.get(end)?.leading_zeros());
        (last - first + 1 == self.len).then_some(first..last + 1)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| Bits { word: *word, base: (at as u32) << 6 })
    }
}

/// The words of a bitmap that `range` touches, with a mask of its bits in them.
pub(crate) fn masks(range: &Range<u32>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let (start, end) = (range.start, range.end.max(range.start));
    let words = if start == end { 0..0 } else { (start >> 6)..((end - 1) >> 6) + 1 };
    words.map(move |word| {
        let low = start.saturating_sub(word << 6);
        let high = (end - (word << 6)).min(64);
        let mask = (u64::MAX << low) & (u64::MAX >> (64 - high));
        (word as usize, mask)
    })
}

/// The rows of one word of a bitmap.
pub(crate) struct Bits {
    pub(crate) word: u64,
    pub(crate) base: u32,
}

impl Iterator for Bits {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        if self.word == 0 {
            return None;
        }
        let bit = self.word.trailing_zeros();
        self.word &= self.word - 1;
        Some(self.base + bit)
    }
}

impl DoubleEndedIterator for Bits {
    #[inline]
    fn next_back(&mut self) -> Option<u32> {
        if self.word == 0 {
            return None;
        }
        let bit = 63 - self.word.leading_zeros();
        self.word &= !(1 << bit);
        Some(self.base + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_beyond_the_rows_are_ignored() {
        let bitmap = Bitmap::from_words(vec![u64::MAX; 3], 70);
        assert_eq!(bitmap.len, 70);
        assert_eq!(Bitmap::from_words(vec![u64::MAX], 128).len, 64);
    }
}
