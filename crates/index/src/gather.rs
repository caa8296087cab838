//! Rows gathered from many lists: the terms that match, the numbers in a range, the times in a range.

use std::ops::Range;

use crate::bitmap::Bitmap;
use crate::build::MAX_VALUE_BYTES;
use crate::dict::{CUT, Dict, Terms, is_cut, text};
use crate::filter::{Matcher, Verdict};
use crate::needle::Search;
use crate::number::Numbers;
use crate::postings::List;
use crate::rows::RowSet;
use crate::times::{self, Times};
use crate::words::{MAX_WORD_BYTES, cut as start};

/// The rows of all terms that match, and those of terms that are not known whole and may. `cut` says whether there are
/// any of the latter.
pub(crate) fn matching(dict: &Dict<'_>, cut: bool, matcher: &Matcher, rows: u32) -> (RowSet, RowSet) {
    let mut found = [Gather::new(rows), Gather::new(rows)];
    each_match(dict, cut, matcher, &mut |terms, verdict| {
        let [certain, maybe] = &mut found;
        match verdict {
            Verdict::Yes => certain.add(&terms.list()),
            Verdict::Maybe => maybe.add(&terms.list()),
            Verdict::No => {}
        }
    });
    let [certain, maybe] = found;
    (certain.finish(), maybe.finish())
}

/// What words must match as they were written.
pub(crate) struct AsWritten<'a> {
    pub(crate) exact: &'a Matcher,
    /// `exact` does not tell upper from lower case: it decides of every word in ASCII. (What is ASCII in lower case may
    /// have been a Kelvin sign, which folds to a letter as well.)
    pub(crate) any_case: bool,
    /// The ordinals of words that were not always written in lower case.
    pub(crate) cased: RowSet,
}

/// The rows of words that match as they were written, and those of words of which too little is known. What matches
/// has a lower case that `lower` matches.
pub(crate) fn matching_as_written(
    dict: &Dict<'_>,
    cut: bool,
    lower: &Matcher,
    written: &AsWritten<'_>,
    rows: u32,
) -> (RowSet, RowSet) {
    let mut found = [Gather::new(rows), Gather::new(rows)];
    each_match(dict, cut, lower, &mut |terms, verdict| {
        let [certain, maybe] = &mut found;
        let decided = (!cut || !is_cut(terms.term()))
            && verdict == Verdict::Yes
            && (written.any_case && terms.term().is_ascii() || !written.cased.contains(terms.ordinal()));
        if !decided {
            maybe.add(&terms.list());
        } else if written.exact.is_match(text(terms.term()).0) {
            certain.add(&terms.list());
        }
    });
    let [certain, maybe] = found;
    (certain.finish(), maybe.finish())
}

/// Calls `each` with every term that matches or may.
fn each_match(dict: &Dict<'_>, cut: bool, matcher: &Matcher, each: &mut impl FnMut(&Terms<'_>, Verdict)) {
    let prefix = matcher.prefix();
    for limit in [MAX_WORD_BYTES, MAX_VALUE_BYTES] {
        if cut && prefix.len() > limit {
            // Of something longer than the prefix only this start may be known.
            let mut start = self::start(prefix, limit).as_bytes().to_vec();
            start.push(CUT);
            let mut terms = dict.seek(&start);
            while terms.advance() && terms.term().starts_with(&start) {
                each(&terms, Verdict::Maybe);
            }
        }
    }
    let needle_is_all = matches!(matcher, Matcher::Contains(_));
    let mut search = Search::new(matcher.needle());
    let mut terms = dict.seek(prefix.as_bytes());
    // Most patterns have no prefix: then every term is looked at, and each nanosecond counts.
    while terms.advance() && (prefix.is_empty() || terms.term().starts_with(prefix.as_bytes())) {
        let found = search.holds(&terms);
        if cut && is_cut(terms.term()) {
            let verdict = matcher.of_start(text(terms.term()).0);
            if verdict != Verdict::No {
                each(&terms, verdict);
            }
        } else if found && (needle_is_all || matcher.is_match(text(terms.term()).0)) {
            each(&terms, Verdict::Yes);
        }
    }
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
