//! Rows gathered from many lists: the terms that match, the numbers in a range, the times in a range.

use std::ops::Range;

use crate::bitmap::Bitmap;
use crate::build::MAX_VALUE_BYTES;
use crate::dict::{CUT, Dict, text};
use crate::filter::{Matcher, Verdict};
use crate::number::Numbers;
use crate::postings::List;
use crate::rows::RowSet;
use crate::times::{self, Times};
use crate::words::{MAX_WORD_BYTES, cut};

/// The rows of all terms that match, and those of terms that are not known whole and may.
pub(crate) fn matching(dict: &Dict<'_>, matcher: &Matcher, rows: u32) -> (RowSet, RowSet) {
    let prefix = matcher.prefix();
    let mut certain = Gather::new(rows);
    let mut maybe = Gather::new(rows);
    for limit in [MAX_WORD_BYTES, MAX_VALUE_BYTES] {
        if prefix.len() > limit {
            // Of something longer than the prefix only this start may be known.
            let mut start = cut(prefix, limit).as_bytes().to_vec();
            start.push(CUT);
            let mut terms = dict.seek(&start);
            while terms.advance() && terms.term().starts_with(&start) {
                maybe.add(&terms.list());
            }
        }
    }
    let mut terms = dict.seek(prefix.as_bytes());
    while terms.advance() && terms.term().starts_with(prefix.as_bytes()) {
        match text(terms.term()) {
            (value, true) if matcher.is_match(value) => certain.add(&terms.list()),
            (_, true) => {}
            (start, false) => match matcher.of_start(start) {
                Verdict::Yes => certain.add(&terms.list()),
                Verdict::Maybe => maybe.add(&terms.list()),
                Verdict::No => {}
            },
        }
    }
    (certain.finish(), maybe.finish())
}

/// The rows that have numbers of these ordinals.
pub(crate) fn rows_with(numbers: &Numbers<'_>, ordinals: Range<u32>, rows: u32) -> RowSet {
    let mut found = Gather::new(rows);
    if numbers.list(0).is_some() {
        ordinals.filter_map(|ordinal| numbers.list(ordinal)).for_each(|list| found.add(&list));
    } else {
        found.expect(numbers.len(&ordinals));
        numbers.each_row(ordinals, |row| found.insert(row));
    }
    found.finish()
}

/// Rows from many places: a list while they are few, then a bitmap.
struct Gather {
    rows: u32,
    few: Vec<u32>,
    many: Option<Bitmap>,
}

impl Gather {
    fn new(rows: u32) -> Gather {
        Gather { rows, few: Vec::new(), many: None }
    }

    /// So many rows will come.
    fn expect(&mut self, count: usize) {
        if count > 4096 && count > self.rows as usize / 64 {
            self.many.get_or_insert_with(|| Bitmap::new(self.rows));
        }
    }

    #[inline]
    fn insert(&mut self, row: u32) {
        match &mut self.many {
            Some(bitmap) => bitmap.set(row),
            None => self.few.push(row),
        }
    }

    fn add(&mut self, list: &List<'_>) {
        self.expect(self.few.len() + list.count() as usize);
        match &mut self.many {
            Some(bitmap) => list.add_to(bitmap, &mut self.few),
            None => list.decode(0, &mut self.few),
        }
    }

    fn finish(self) -> RowSet {
        match self.many {
            Some(mut bitmap) => {
                self.few.iter().for_each(|row| bitmap.set(*row));
                RowSet::from_bitmap(bitmap.recounted(), self.rows)
            }
            None => RowSet::from_unsorted(self.few, self.rows),
        }
    }
}

/// The rows of `within` whose times lie in a range; `sorted` when times never decrease.
pub(crate) fn find_times(
    times: &Times<'_>,
    sorted: bool,
    range: &Range<i64>,
    within: &RowSet,
    rows: u32,
) -> RowSet {
    if let RowSet::Sorted(few) = within
        && (few.len() as u32) < rows / 64
    {
        let inside = few.iter().copied().filter(|row| range.contains(&times.get(*row)));
        return RowSet::Sorted(std::sync::Arc::new(inside.collect()));
    }
    if sorted {
        let below = |time: i64| partition(rows, |row| times.get(row) < time);
        let start = below(range.start);
        return RowSet::Range(start..below(range.end).max(start)).and(within);
    }
    let mut bitmap = Bitmap::new(rows);
    for number in 0..rows.div_ceil(times::BLOCK) {
        let block = times.block(number);
        let start = number * times::BLOCK;
        let len = times::BLOCK.min(rows - start);
        if range.start <= block.least && block.greatest < range.end {
            bitmap.insert_range(start..start + len);
        } else if range.start <= block.greatest && block.least < range.end {
            (0..len).filter(|at| range.contains(&block.time(*at))).for_each(|at| bitmap.insert(start + at));
        }
    }
    RowSet::from_bitmap(bitmap, rows).and(within)
}

/// How many rows stand before the first for which `before` does not hold.
fn partition(rows: u32, before: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, rows);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
