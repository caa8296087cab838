//! Values counted over all parts, exactly.
//!
//! A part numbers the values of a column for itself. To add up the counts of several parts, each value gets a number
//! that all parts share, once for each part and column that is asked for; after that counting is adding in arrays.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use attestry_event::Field;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::aggregate::Column;
use crate::filter::Target;
use crate::part::Part;
use crate::rows::RowSet;
use crate::snapshot::Snapshot;

/// How often each value occurs in some rows of a ledger.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// The values with their counts, most frequent first, equally frequent ones in the order of their bytes.
    pub top: Vec<(String, u64)>,
    /// How many different values there are.
    pub distinct: u64,
    /// The sum of all counts.
    pub total: u64,
    /// For each part the rows that were not counted, because the index does not hold their values whole: look into
    /// the rows, and add what is there.
    pub unlisted: Vec<RowSet>,
}

/// The most values of one field that are given shared numbers. With their text they take about 64 bytes each, and
/// 8 bytes for each part that has them. A field with more is counted by its text, which is slower.
const MAX_VALUES: usize = 1_000_000;

/// The numbers that all parts share, by field.
#[derive(Default)]
pub(crate) struct Values {
    fields: [Mutex<Numbering>; Field::ALL.len()],
}

/// Gives the values of one field numbers.
#[derive(Default)]
struct Numbering {
    table: HashTable<u32>,
    hasher: RandomState,
    /// Where each value's bytes end.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    /// Rises when all numbers are taken back, because values that no part has any more fill the table.
    generation: u64,
}

/// A part's values of one field: by ordinal.
pub(crate) struct Numbered {
    generation: u64,
    /// The value's shared number.
    numbers: Vec<u32>,
    /// How many rows of the part have it.
    counts: Vec<u32>,
}

impl Numbering {
    fn value(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or(&[])
    }

    /// The value's number; `None` when there are too many.
    fn number(&mut self, value: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(value);
        if let Some(number) = self.table.find(hash, |number| self.value(*number) == value) {
            return Some(*number);
        }
        if self.ends.len() >= MAX_VALUES {
            return None;
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
        let mut table = std::mem::take(&mut self.table);
        table.insert_unique(hash, number, |number| self.hasher.hash_one(self.value(*number)));
        self.table = table;
        Some(number)
    }

    fn part(&mut self, part: &Part, field: Field, column: &Column<'_>) -> Option<Arc<Numbered>> {
        let mut cache = part.numbered().lock();
        if let Some((_, known)) = cache.iter().find(|(of, _)| *of == field)
            && known.generation == self.generation
        {
            return Some(known.clone());
        }
        let mut numbers = Vec::with_capacity(column.count() as usize);
        let mut counts = Vec::with_capacity(column.count() as usize);
        let mut terms = column.terms();
        while terms.advance() {
            numbers.push(self.number(terms.term())?);
            counts.push(terms.list().count());
        }
        let numbered = Arc::new(Numbered { generation: self.generation, numbers, counts });
        cache.retain(|(of, _)| *of != field);
        cache.push((field, numbered.clone()));
        Some(numbered)
    }

    /// The shared numbers of the field's values in each of the parts that have it; `None` when there are too many.
    fn parts(&mut self, field: Field, columns: &[Option<Column<'_>>], parts: &[Arc<Part>]) -> Option<Shared> {
        for _ in 0..2 {
            let numbered: Option<Vec<Option<Arc<Numbered>>>> = columns
                .iter()
                .zip(parts)
                .map(|(column, part)| match column {
                    Some(column) => self.part(part, field, column).map(Some),
                    None => Some(None),
                })
                .collect();
            if let Some(parts) = numbered {
                return Some(Shared { parts, values: self.ends.len() });
            }
            // Perhaps only because of values that no part has any more.
            *self = Numbering { generation: self.generation + 1, ..Numbering::default() };
        }
        None
    }
}

/// The shared numbers of some parts.
struct Shared {
    parts: Vec<Option<Arc<Numbered>>>,
    /// All numbers are below this.
    values: usize,
}

impl Snapshot {
    /// Counts the values of a target in `rows`, which has a set for each part, and gives the `limit` most frequent.
    pub fn tally(&self, target: &Target, rows: &[RowSet], limit: usize) -> Tally {
        if let Target::Keyword(field) = target
            && let Some(tally) = self.tally_columns(*field, rows, limit)
        {
            return tally;
        }
        let mut sums: HashMap<String, u64, RandomState> = HashMap::default();
        let mut tally = Tally::default();
        for (part, rows) in self.parts().iter().zip(rows) {
            let counts = part.counts(target, rows);
            tally.unlisted.push(counts.unlisted);
            for (value, count) in counts.values {
                tally.total += u64::from(count);
                *sums.entry(value).or_default() += u64::from(count);
            }
        }
        tally.distinct = sums.len() as u64;
        let mut top: Vec<(String, u64)> = sums.into_iter().collect();
        let order = |left: &(String, u64), right: &(String, u64)| {
            right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0))
        };
        if limit < top.len() {
            top.select_nth_unstable_by(limit, order);
            top.truncate(limit);
        }
        top.sort_unstable_by(order);
        tally.top = top;
        tally
    }

    /// The same where every part that has the field has a column of it.
    fn tally_columns(&self, field: Field, rows: &[RowSet], limit: usize) -> Option<Tally> {
        let mut columns = Vec::with_capacity(rows.len());
        for part in self.parts() {
            let column = part.column(field);
            if column.is_none() && part.keyword(field).is_some() {
                return None;
            }
            columns.push(column);
        }
        let shared = self.values.fields.get(field as usize)?.lock().parts(field, &columns, self.parts())?;
        let mut tally = Tally::default();
        let mut sums = vec![0_u64; shared.values];
        for (((part, column), numbered), rows) in
            self.parts().iter().zip(&columns).zip(&shared.parts).zip(rows)
        {
            let (Some(column), Some(numbered), Some(span)) = (column, numbered, part.keyword(field)) else {
                tally.unlisted.push(RowSet::empty());
                continue;
            };
            let unlisted = if span.cut { part.unlisted(span).and(rows) } else { RowSet::empty() };
            let rows = rows.minus(&unlisted, part.row_count());
            tally.unlisted.push(unlisted);
            let mut add = |number: Option<&u32>, count: u64| {
                if let Some(sum) = number.and_then(|number| sums.get_mut(*number as usize)) {
                    *sum += count;
                }
            };
            if rows.len() == part.row_count() {
                numbered.numbers.iter().zip(&numbered.counts).for_each(|(number, count)| {
                    add(Some(number), u64::from(*count));
                });
            } else if rows.len() < column.count() {
                rows.for_each(|row| {
                    add(column.ordinal(row).and_then(|ordinal| numbered.numbers.get(ordinal as usize)), 1);
                });
            } else {
                let (counts, _) = part.count_ordinals(column, &rows);
                numbered
                    .numbers
                    .iter()
                    .zip(&counts)
                    .for_each(|(number, count)| add(Some(number), u64::from(*count)));
            }
        }
        tally.distinct = sums.iter().filter(|sum| **sum > 0).count() as u64;
        tally.total = sums.iter().sum();
        tally.top = most_frequent(&sums, limit, &columns, &shared);
        Some(tally)
    }
}

/// The values of the largest sums.
fn most_frequent(
    sums: &[u64],
    limit: usize,
    columns: &[Option<Column<'_>>],
    shared: &Shared,
) -> Vec<(String, u64)> {
    if limit == 0 {
        return Vec::new();
    }
    // As frequent as the last that finds a place: of several the bytes decide, so all of them are looked at.
    let mut largest: Vec<u64> = sums.iter().copied().filter(|sum| *sum > 0).collect();
    let least = if limit < largest.len() {
        let (_, least, _) = largest.select_nth_unstable_by(limit - 1, |left, right| right.cmp(left));
        *least
    } else {
        1
    };
    let mut taken = vec![false; sums.len()];
    let mut top = Vec::new();
    for (column, numbered) in columns.iter().zip(&shared.parts) {
        let (Some(column), Some(numbered)) = (column, numbered) else { continue };
        for (ordinal, number) in numbered.numbers.iter().enumerate() {
            let (Some(sum), Some(taken)) = (sums.get(*number as usize), taken.get_mut(*number as usize))
            else {
                continue;
            };
            if *sum >= least && !*taken {
                *taken = true;
                top.push((column.value(ordinal as u32).text, *sum));
            }
        }
    }
    top.sort_unstable_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    top.truncate(limit);
    top
}
