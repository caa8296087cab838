//! Sets of rows of one part.

use std::ops::Range;
use std::sync::Arc;

use crate::bitmap::{Bitmap, Bits, masks};

/// A set of row offsets within a part, ascending. Clones are cheap.
#[derive(Debug, Clone)]
pub enum RowSet {
    /// All offsets of a range.
    Range(Range<u32>),
    /// Few rows, ascending and distinct.
    Sorted(Arc<Vec<u32>>),
    /// Many rows.
    Bitmap(Arc<Bitmap>),
}

/// A set with fewer rows than its span divided by this is kept sorted rather than as a bitmap: 32 bits either way.
const SPARSE: u32 = 32;

impl RowSet {
    /// No rows.
    pub fn empty() -> RowSet {
        RowSet::Range(0..0)
    }

    /// From ascending, distinct rows below `rows`.
    pub(crate) fn from_sorted(sorted: Vec<u32>, rows: u32) -> RowSet {
        match (sorted.first(), sorted.last()) {
            (Some(&first), Some(&last))
                if last.wrapping_sub(first).wrapping_add(1) as usize == sorted.len() =>
            {
                RowSet::Range(first..last.saturating_add(1))
            }
            (None, _) => RowSet::empty(),
            _ if sorted.len() as u64 * u64::from(SPARSE) < u64::from(rows) => {
                RowSet::Sorted(Arc::new(sorted))
            }
            _ => {
                let mut bitmap = Bitmap::new(rows);
                sorted.iter().for_each(|row| bitmap.insert(*row));
                RowSet::Bitmap(Arc::new(bitmap))
            }
        }
    }

    /// From rows below `rows` in any order, some perhaps more than once.
    pub(crate) fn from_unsorted(mut found: Vec<u32>, rows: u32) -> RowSet {
        if found.len() as u64 * u64::from(SPARSE) < u64::from(rows) || found.len() < 64 {
            found.sort_unstable();
            found.dedup();
            return RowSet::from_sorted(found, rows);
        }
        let mut bitmap = Bitmap::new(rows);
        found.iter().for_each(|row| bitmap.insert(*row));
        RowSet::from_bitmap(bitmap, rows)
    }

    pub(crate) fn from_bitmap(bitmap: Bitmap, rows: u32) -> RowSet {
        if bitmap.len == 0 {
            RowSet::empty()
        } else if let Some(run) = bitmap.as_run() {
            RowSet::Range(run)
        } else if u64::from(bitmap.len) * u64::from(SPARSE) < u64::from(rows) {
            RowSet::from_sorted(bitmap.iter().collect(), rows)
        } else {
            RowSet::Bitmap(Arc::new(bitmap))
        }
    }

    /// How many rows.
    pub fn len(&self) -> u32 {
        match self {
            RowSet::Range(range) => range.end.saturating_sub(range.start),
            RowSet::Sorted(rows) => rows.len() as u32,
            RowSet::Bitmap(bitmap) => bitmap.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row is in the set.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        match self {
            RowSet::Range(range) => range.contains(&row),
            RowSet::Sorted(rows) => rows.binary_search(&row).is_ok(),
            RowSet::Bitmap(bitmap) => bitmap.contains(row),
        }
    }

    /// The rows, ascending.
    pub fn iter(&self) -> Rows<'_> {
        Rows::new(self)
    }

    /// The rows, descending.
    pub fn iter_desc(&self) -> std::iter::Rev<Rows<'_>> {
        Rows::new(self).rev()
    }

    /// Calls `each` with every row, ascending: faster than the iterator where there are many.
    #[inline]
    pub fn for_each(&self, mut each: impl FnMut(u32)) {
        match self {
            RowSet::Range(range) => range.clone().for_each(each),
            RowSet::Sorted(rows) => rows.iter().for_each(|row| each(*row)),
            RowSet::Bitmap(bitmap) => {
                for (at, word) in bitmap.words.iter().enumerate() {
                    Bits { word: *word, base: (at as u32) << 6 }.for_each(&mut each);
                }
            }
        }
    }

    /// Calls `each` with every row of `range`, ascending.
    pub fn for_each_in(&self, range: Range<u32>, mut each: impl FnMut(u32)) {
        match self {
            RowSet::Range(own) => (range.start.max(own.start)..range.end.min(own.end)).for_each(each),
            RowSet::Sorted(rows) => {
                let start = rows.partition_point(|row| *row < range.start);
                let rest = rows.get(start..).unwrap_or(&[]);
                rest.iter().take_while(|row| **row < range.end).for_each(|row| each(*row));
            }
            RowSet::Bitmap(bitmap) => {
                for (word, mask) in masks(&range) {
                    let bits = bitmap.words.get(word).copied().unwrap_or(0) & mask;
                    Bits { word: bits, base: (word as u32) << 6 }.for_each(&mut each);
                }
            }
        }
    }

    /// How many rows lie in `range`.
    pub fn count_in(&self, range: Range<u32>) -> u32 {
        match self {
            RowSet::Range(own) => range.end.min(own.end).saturating_sub(range.start.max(own.start)),
            RowSet::Sorted(rows) => {
                let below = |row: u32| rows.partition_point(|own| *own < row);
                below(range.end).saturating_sub(below(range.start)) as u32
            }
            RowSet::Bitmap(bitmap) => bitmap.count_in(&range),
        }
    }

    /// The rows of both sets.
    pub fn and(&self, other: &RowSet) -> RowSet {
        match (self, other) {
            (RowSet::Range(left), RowSet::Range(right)) => {
                let start = left.start.max(right.start);
                RowSet::Range(start..left.end.min(right.end).max(start))
            }
            (RowSet::Range(range), RowSet::Sorted(rows)) | (RowSet::Sorted(rows), RowSet::Range(range)) => {
                let start = rows.partition_point(|row| *row < range.start);
                let end = rows.partition_point(|row| *row < range.end).max(start);
                if start == 0 && end == rows.len() {
                    return RowSet::Sorted(rows.clone());
                }
                RowSet::Sorted(Arc::new(rows.get(start..end).unwrap_or(&[]).to_vec()))
            }
            (RowSet::Range(range), RowSet::Bitmap(bitmap))
            | (RowSet::Bitmap(bitmap), RowSet::Range(range)) => {
                let room = (bitmap.words.len() as u32) << 6;
                if range.start == 0 && range.end >= room {
                    return RowSet::Bitmap(bitmap.clone());
                }
                let mut words = vec![0; bitmap.words.len()];
                for (word, mask) in masks(&(range.start.min(room)..range.end.min(room))) {
                    if let (Some(to), Some(from)) = (words.get_mut(word), bitmap.words.get(word)) {
                        *to = from & mask;
                    }
                }
                RowSet::from_bitmap(Bitmap::counted(words), room)
            }
            (RowSet::Sorted(left), RowSet::Sorted(right)) => RowSet::Sorted(Arc::new(intersect(left, right))),
            (RowSet::Sorted(rows), RowSet::Bitmap(bitmap))
            | (RowSet::Bitmap(bitmap), RowSet::Sorted(rows)) => {
                RowSet::Sorted(Arc::new(rows.iter().copied().filter(|row| bitmap.contains(*row)).collect()))
            }
            (RowSet::Bitmap(left), RowSet::Bitmap(right)) => {
                let room = (left.words.len() as u32) << 6;
                RowSet::from_bitmap(left.combine(right, |left, right| left & right), room)
            }
        }
    }

    /// The rows of either set; both are of a part with `rows` rows.
    pub fn or(&self, other: &RowSet, rows: u32) -> RowSet {
        if self.is_empty() {
            return other.clone();
        }
        if other.is_empty() {
            return self.clone();
        }
        match (self, other) {
            (RowSet::Range(left), RowSet::Range(right))
                if left.start <= right.end && right.start <= left.end =>
            {
                RowSet::Range(left.start.min(right.start)..left.end.max(right.end))
            }
            (RowSet::Sorted(left), RowSet::Sorted(right)) => {
                let mut both = Vec::with_capacity(left.len() + right.len());
                both.extend_from_slice(left);
                both.extend_from_slice(right);
                RowSet::from_unsorted(both, rows)
            }
            (RowSet::Bitmap(left), RowSet::Bitmap(right)) => {
                RowSet::from_bitmap(left.combine(right, |left, right| left | right), rows)
            }
            _ => {
                let mut bitmap = self.to_bitmap(rows);
                match other {
                    RowSet::Range(range) => bitmap.insert_range(range.start..range.end.min(rows)),
                    _ => other.for_each(|row| bitmap.insert(row)),
                }
                RowSet::from_bitmap(bitmap, rows)
            }
        }
    }

    /// The rows that are not in `other`; both are of a part with `rows` rows.
    pub fn minus(&self, other: &RowSet, rows: u32) -> RowSet {
        if self.is_empty() || other.is_empty() {
            return self.clone();
        }
        match (self, other) {
            (RowSet::Range(left), RowSet::Range(right))
                if right.start <= left.start || right.end >= left.end =>
            {
                if right.start <= left.start {
                    RowSet::Range(left.start.max(right.end).min(left.end)..left.end)
                } else {
                    RowSet::Range(left.start..left.end.min(right.start))
                }
            }
            (RowSet::Sorted(left), _) => {
                RowSet::Sorted(Arc::new(left.iter().copied().filter(|row| !other.contains(*row)).collect()))
            }
            _ => {
                let (left, right) = (self.to_bitmap(rows), other.to_bitmap(rows));
                RowSet::from_bitmap(left.combine(&right, |left, right| left & !right), rows)
            }
        }
    }

    /// The rows below `rows` that are not in the set.
    pub fn not(&self, rows: u32) -> RowSet {
        RowSet::Range(0..rows).minus(self, rows)
    }

    fn to_bitmap(&self, rows: u32) -> Bitmap {
        match self {
            RowSet::Bitmap(bitmap) => Bitmap::clone(bitmap),
            RowSet::Range(range) => {
                let mut bitmap = Bitmap::new(rows);
                bitmap.insert_range(range.start..range.end.min(rows));
                bitmap
            }
            RowSet::Sorted(sorted) => {
                let mut bitmap = Bitmap::new(rows);
                sorted.iter().for_each(|row| bitmap.insert(*row));
                bitmap
            }
        }
    }
}

impl From<Range<u32>> for RowSet {
    /// All rows of a range.
    fn from(rows: Range<u32>) -> RowSet {
        RowSet::Range(rows)
    }
}

impl PartialEq for RowSet {
    /// The same rows, however they are kept.
    fn eq(&self, other: &RowSet) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for RowSet {}

/// Rows of both ascending slices. Gallops through the longer one, so a short one costs little.
fn intersect(left: &[u32], right: &[u32]) -> Vec<u32> {
    let (short, mut long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    let mut both = Vec::with_capacity(short.len());
    for &row in short {
        let mut step = 1;
        while long.get(step).is_some_and(|at| *at < row) {
            step *= 2;
        }
        let window = long.get(..(step + 1).min(long.len())).unwrap_or(long);
        let skip = window.partition_point(|at| *at < row);
        long = long.get(skip..).unwrap_or(&[]);
        match long.first() {
            None => break,
            Some(first) if *first == row => both.push(row),
            Some(_) => {}
        }
    }
    both
}

/// The rows of a [`RowSet`], from either end.
pub struct Rows<'a> {
    form: Form<'a>,
}

enum Form<'a> {
    Range(Range<u32>),
    Sorted(std::slice::Iter<'a, u32>),
    Bitmap { words: &'a [u64], front: Bits, front_at: usize, back: Bits, back_at: usize },
}

impl<'a> Rows<'a> {
    fn new(set: &'a RowSet) -> Rows<'a> {
        let form = match set {
            RowSet::Range(range) => Form::Range(range.clone()),
            RowSet::Sorted(rows) => Form::Sorted(rows.iter()),
            RowSet::Bitmap(bitmap) => {
                let words = bitmap.words.as_slice();
                let none = || Bits { word: 0, base: 0 };
                Form::Bitmap { words, front: none(), front_at: 0, back: none(), back_at: words.len() }
            }
        };
        Rows { form }
    }
}

impl Iterator for Rows<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        match &mut self.form {
            Form::Range(range) => range.next(),
            Form::Sorted(rows) => rows.next().copied(),
            Form::Bitmap { words, front, front_at, back, back_at } => loop {
                if let Some(row) = front.next() {
                    return Some(row);
                }
                if front_at >= back_at {
                    return back.next();
                }
                *front = Bits { word: *words.get(*front_at)?, base: (*front_at as u32) << 6 };
                *front_at += 1;
            },
        }
    }
}

impl DoubleEndedIterator for Rows<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<u32> {
        match &mut self.form {
            Form::Range(range) => range.next_back(),
            Form::Sorted(rows) => rows.next_back().copied(),
            Form::Bitmap { words, front, front_at, back, back_at } => loop {
                if let Some(row) = back.next_back() {
                    return Some(row);
                }
                if front_at >= back_at {
                    return front.next_back();
                }
                *back_at -= 1;
                *back = Bits { word: *words.get(*back_at)?, base: (*back_at as u32) << 6 };
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ROWS: u32 = 1000;

    /// Sets of every form, among them the edges of words and of the span.
    fn sets() -> Vec<BTreeSet<u32>> {
        vec![
            BTreeSet::new(),
            (0..ROWS).collect(),
            (64..128).collect(),
            (63..130).collect(),
            (999..ROWS).collect(),
            [0, 63, 64, 127, 128, 999].into(),
            [5].into(),
            (0..ROWS).filter(|row| row % 3 == 0).collect(),
            (0..ROWS).filter(|row| row % 7 < 5).collect(),
            (0..ROWS).filter(|row| row % 90 == 13).collect(),
            (500..ROWS).filter(|row| row % 2 == 0).collect(),
        ]
    }

    /// Every way to hold the same rows.
    fn forms(rows: &BTreeSet<u32>) -> Vec<RowSet> {
        let sorted: Vec<u32> = rows.iter().copied().collect();
        let mut bitmap = Bitmap::new(ROWS);
        sorted.iter().for_each(|row| bitmap.insert(*row));
        assert_eq!(bitmap.len as usize, rows.len());
        let mut forms = vec![
            RowSet::Sorted(Arc::new(sorted.clone())),
            RowSet::Bitmap(Arc::new(bitmap)),
            RowSet::from_sorted(sorted.clone(), ROWS),
            RowSet::from_unsorted(sorted.iter().rev().chain(&sorted).copied().collect(), ROWS),
        ];
        if let (Some(first), Some(last)) = (sorted.first(), sorted.last())
            && (last - first) as usize + 1 == sorted.len()
        {
            forms.push(RowSet::Range(*first..last + 1));
        }
        forms
    }

    fn check(found: &RowSet, expected: impl Iterator<Item = u32>, what: &str) {
        let expected: Vec<u32> = expected.collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{what}");
        assert_eq!(found.len() as usize, expected.len(), "{what}");
        let mut visited = Vec::new();
        found.for_each(|row| visited.push(row));
        assert_eq!(visited, expected, "{what}");
        let descending: Vec<u32> = found.iter_desc().collect();
        assert_eq!(descending, expected.iter().rev().copied().collect::<Vec<_>>(), "{what}");
    }

    #[test]
    fn operations_are_those_of_sets() {
        for left in sets() {
            for right in sets() {
                for a in forms(&left) {
                    for b in forms(&right) {
                        let what = format!("{a:?} {b:?}");
                        check(&a.and(&b), left.intersection(&right).copied(), &what);
                        check(&a.or(&b, ROWS), left.union(&right).copied(), &what);
                        check(&a.minus(&b, ROWS), left.difference(&right).copied(), &what);
                        assert_eq!(a == b, left == right);
                    }
                }
            }
        }
    }

    #[test]
    fn single_sets() {
        for set in sets() {
            for form in forms(&set) {
                check(&form, set.iter().copied(), "form");
                check(&form.not(ROWS), (0..ROWS).filter(|row| !set.contains(row)), "not");
                for range in [0..0, 0..ROWS, 10..64, 64..128, 100..101, 900..ROWS] {
                    let expected: Vec<u32> = set.range(range.clone()).copied().collect();
                    let mut visited = Vec::new();
                    form.for_each_in(range.clone(), |row| visited.push(row));
                    assert_eq!(visited, expected);
                    assert_eq!(form.count_in(range) as usize, expected.len());
                }
                (0..ROWS).for_each(|row| assert_eq!(form.contains(row), set.contains(&row)));
            }
        }
    }

    #[test]
    fn both_ends_meet() {
        for set in sets() {
            for form in forms(&set) {
                let mut iter = form.iter();
                let mut found = BTreeSet::new();
                let mut front = true;
                while let Some(row) = if front { iter.next() } else { iter.next_back() } {
                    assert!(found.insert(row), "{row} twice");
                    front = !front;
                }
                assert_eq!(found, set);
            }
        }
    }
}
