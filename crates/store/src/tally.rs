//! Counting by value over many parts without looking at most values' text.
//!
//! A part numbers the values of a keyword field, each part in its own way. To add up over parts, every value has a fingerprint of 128
//! bits, kept for as long as its part lives; only of the values that are shown the text is read. Fingerprints are keyed
//! (SipHash with random keys), so nobody can make two values that have the same one.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Arc, Weak};

use attestry_event::Field;
use attestry_index::{Column, Part};
use parking_lot::Mutex;

use crate::Error;

/// The most different values that are told apart in one answer.
pub const MAX_VALUES: usize = 1_000_000;

/// The most bytes of values held for one answer.
pub(crate) const MAX_VALUE_BYTES: usize = 64 << 20;

/// The most fingerprints that are kept between searches: 32 MiB.
const MAX_KEPT: usize = 2 << 20;

/// Stands for a value of which the index has the start only.
const CUT: u128 = 0;

/// Fingerprints of values.
#[derive(Default)]
pub(crate) struct Fingerprints {
    keys: (RandomState, RandomState),
    kept: Mutex<Kept>,
}

type List = Arc<Vec<u128>>;

/// By part (its address, which stays its own for as long as the weak reference is held) and field.
#[derive(Default)]
struct Kept {
    lists: HashMap<(usize, Field), (Weak<Part>, List)>,
    total: usize,
}

impl Fingerprints {
    fn of(&self, value: &str) -> u128 {
        let (high, low) = (self.keys.0.hash_one(value), self.keys.1.hash_one(value));
        (u128::from(high) << 64 | u128::from(low)).max(CUT + 1)
    }

    /// One for each ordinal of a part's column.
    fn of_column(&self, part: &Arc<Part>, field: Field, column: &Column<'_>) -> List {
        let key = (Arc::as_ptr(part).addr(), field);
        if let Some((_, list)) = self.kept.lock().lists.get(&key) {
            return list.clone();
        }
        let fingerprint = |ordinal| {
            let value = column.value(ordinal);
            if value.whole { self.of(&value.text) } else { CUT }
        };
        let list: List = Arc::new((0..column.count()).map(fingerprint).collect());
        let mut kept = self.kept.lock();
        // Small parts come and go, and cost little to read again.
        if list.len() < 1024 {
            return list;
        }
        kept.lists.retain(|_, (part, _)| part.strong_count() > 0);
        kept.total = kept.lists.values().map(|(_, list)| list.len()).sum();
        if kept.total + list.len() > MAX_KEPT {
            kept.lists.clear();
        }
        if list.len() <= MAX_KEPT {
            kept.lists.insert(key, (Arc::downgrade(part), list.clone()));
        }
        list
    }
}

/// Where a value's text is: in [`Tally::texts`], or behind an ordinal of one of [`Tally::columns`].
enum Source {
    Text(u32),
    Ordinal { column: u32, ordinal: u32 },
}

/// Counts by value, within bounds.
pub(crate) struct Tally<'a> {
    fingerprints: &'a Fingerprints,
    counts: HashMap<u128, (u64, Source), BuildHasherDefault<AsIs>>,
    texts: Vec<String>,
    columns: Vec<(Arc<Part>, Field)>,
    bytes: usize,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(fingerprints: &'a Fingerprints) -> Tally<'a> {
        Tally { fingerprints, counts: HashMap::default(), texts: Vec::new(), columns: Vec::new(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, value: String, count: u64) -> Result<(), Error> {
        let fingerprint = self.fingerprints.of(&value);
        if let Some((sum, _)) = self.counts.get_mut(&fingerprint) {
            *sum += count;
            return Ok(());
        }
        self.bytes += value.len();
        if self.bytes > MAX_VALUE_BYTES {
            return Err(Error::TooMany { what: "bytes of values", limit: MAX_VALUE_BYTES });
        }
        self.counts.insert(fingerprint, (count, Source::Text(self.texts.len() as u32)));
        self.texts.push(value);
        self.check()
    }

    /// Adds counts by ordinal. Gives which ordinals stand for values that the index does not hold whole and that were
    /// therefore not added.
    pub(crate) fn add_ordinals(
        &mut self,
        part: &Arc<Part>,
        field: Field,
        column: &Column<'_>,
        counts: &[u32],
    ) -> Result<Vec<u32>, Error> {
        let list = self.fingerprints.of_column(part, field, column);
        let number = self.columns.len() as u32;
        self.columns.push((part.clone(), field));
        if self.counts.is_empty() {
            self.counts.reserve(counts.iter().filter(|count| **count > 0).count().min(MAX_VALUES));
        }
        let mut cut = Vec::new();
        for (ordinal, (fingerprint, count)) in (0_u32..).zip(list.iter().zip(counts)) {
            if *count == 0 {
                continue;
            }
            if *fingerprint == CUT {
                cut.push(ordinal);
                continue;
            }
            let source = Source::Ordinal { column: number, ordinal };
            self.counts.entry(*fingerprint).or_insert((0, source)).0 += u64::from(*count);
        }
        self.check()?;
        Ok(cut)
    }

    fn check(&self) -> Result<(), Error> {
        match self.counts.len() {
            many if many > MAX_VALUES => Err(Error::TooMany { what: "different values", limit: MAX_VALUES }),
            _ => Ok(()),
        }
    }

    /// How many different values.
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// The `limit` largest, the largest first, equal ones in the order of their bytes.
    pub(crate) fn into_largest(mut self, limit: usize) -> Vec<(String, u64)> {
        let mut all: Vec<(u64, Source)> = std::mem::take(&mut self.counts).into_values().collect();
        if limit == 0 {
            return Vec::new();
        }
        if all.len() > limit {
            // All that are as large as the last shown one: which of them are shown depends on their text.
            let (_, (least, _), _) = all.select_nth_unstable_by_key(limit - 1, |(count, _)| Reverse(*count));
            let least = *least;
            all.retain(|(count, _)| *count >= least);
        }
        let mut named: Vec<(Reverse<u64>, String)> =
            all.into_iter().map(|(count, source)| (Reverse(count), self.text(&source))).collect();
        named.sort_unstable();
        named.truncate(limit);
        named.into_iter().map(|(Reverse(count), value)| (value, count)).collect()
    }

    fn text(&mut self, source: &Source) -> String {
        match source {
            Source::Text(place) => {
                self.texts.get_mut(*place as usize).map(std::mem::take).unwrap_or_default()
            }
            Source::Ordinal { column, ordinal } => {
                let column = self.columns.get(*column as usize).and_then(|(part, field)| part.column(*field));
                column.map_or_else(String::new, |column| column.value(*ordinal).text)
            }
        }
    }
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_largest() {
        let fingerprints = Fingerprints::default();
        let mut tally = Tally::new(&fingerprints);
        for (value, count) in [("b", 2), ("a", 1), ("c", 2), ("d", 5), ("a", 1), ("", 2)] {
            tally.add(value.to_owned(), count).unwrap();
        }
        assert_eq!(tally.len(), 5);
        let largest = tally.into_largest(4);
        let expected = [("d", 5), ("", 2), ("a", 2), ("b", 2)];
        assert_eq!(largest, expected.map(|(value, count)| (value.to_owned(), count)));
        assert!(Tally::new(&fingerprints).into_largest(3).is_empty());
    }

    #[test]
    fn is_bounded() {
        let fingerprints = Fingerprints::default();
        let mut tally = Tally::new(&fingerprints);
        assert!(tally.add("x".repeat(MAX_VALUE_BYTES), 1).is_ok());
        assert!(tally.add("x".repeat(MAX_VALUE_BYTES), 1).is_ok());
        assert!(matches!(tally.add("y".to_owned(), 1), Err(Error::TooMany { .. })));
    }
}
