//! Makes a part of gathered rows.

use std::io::{self, Write};

use attestry_event::Field;

use crate::build::{Builder, COLUMNS, Gathered, NONE, Number, Unique, WORDS, value_hash};
use crate::dict::is_cut;
use crate::number::compare;
use crate::pairs::{Common, Gatherer, MAX_WORDS};
use crate::part::{PartWriter, Summary};
use crate::slot::{FieldSpan, Slot};
use crate::table::Term;

/// What writing a part taught about its fields.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// These have a value of its own in nearly every row.
    pub(crate) unique: Vec<Slot>,
    /// These were thought to, and do not.
    pub(crate) common: Vec<Slot>,
    /// Words that many of so many rows have.
    pub(crate) words: Vec<(Box<[u8]>, u32)>,
    pub(crate) rows: u32,
}

impl Learned {
    pub(crate) fn apply(self, unique: &mut Unique, common: &mut Common) {
        common.learn(self.words, self.rows);
        for slot in self.common {
            unique.remove(&slot);
        }
        for slot in self.unique {
            if unique.len() < MAX_UNIQUE {
                unique.insert(slot);
            }
        }
    }
}

/// How many fields are remembered to have unique values.
const MAX_UNIQUE: usize = 10_000;

/// Fewer values than this say nothing about how many there may be.
const ENOUGH_VALUES: u64 = 2_048;

/// When values are drawn from at least this many, a part of half a million rows holds nearly as many different ones.
const MANY_VALUES: u64 = 2_000_000;

/// Shorter values cost less in the dictionary than in a table of hashes.
const LONG_VALUE: u64 = 12;

/// Whether a field's values are kept as hashes only, because nearly all of them are different and long: identifiers,
/// and sentences, which are found by their words.
pub(crate) fn is_unique(slot: &Slot, occurrences: u64, distinct: u64, bytes_of_terms: u64) -> bool {
    // n draws from N values give about n²/2N repetitions.
    let repetitions = occurrences.saturating_sub(distinct).max(1);
    matches!(slot, Slot::Keyword(Field::RequestId) | Slot::Path(_))
        && occurrences >= ENOUGH_VALUES
        && occurrences.saturating_mul(occurrences) / (2 * repetitions) >= MANY_VALUES
        && bytes_of_terms >= distinct * LONG_VALUE
}

/// How many terms are fetched at once.
const AHEAD: usize = 32;

/// The terms of all fields, field by field and sorted, with their rows.
#[derive(Default)]
pub(crate) struct Turned {
    /// For each term where its rows end in `rows`; how many there are is the term's count.
    ends: Vec<u32>,
    rows: Vec<u32>,
    /// Term numbers by field, sorted within each.
    order: Vec<u32>,
    /// Where in `order` each field's terms start; one more at the end.
    of_field: Vec<u32>,
    keys: Vec<(u64, u32)>,
}

impl Builder {
    /// Writes the gathered rows as a part that starts at row `first` of the ledger. There is at least one row.
    pub(crate) fn seal(&mut self, first: u64, to: &mut dyn Write) -> io::Result<Learned> {
        let mut learned = Learned::default();
        let mut turned = std::mem::take(&mut self.turned);
        self.turn(&mut turned);
        let mut fields: Vec<usize> = (0..self.fields.len()).collect();
        fields.sort_unstable_by(|left, right| self.slot(*left).cmp(&self.slot(*right)));
        let mut writer = PartWriter::new(to, self.rows())?;
        let mut ordinals = vec![0; self.terms.len()];
        for place in fields {
            self.put_field(place, &turned, &mut ordinals, &mut writer, &mut learned)?;
        }
        if !self.loose.is_empty() {
            let mut field = FieldSpan::new(Slot::Loose);
            field.exists = writer.put_list(&self.loose)?;
            writer.end_field(&field);
        }
        self.put_pairs(&turned, &mut writer, &mut learned)?;
        let summary = Summary::of_times(first, self.times.iter().copied());
        writer.finish(&summary, self.times.iter().copied(), self.received.iter().copied())?;
        self.turned = turned;
        Ok(learned)
    }

    fn put_pairs(
        &self,
        turned: &Turned,
        writer: &mut PartWriter<'_>,
        learned: &mut Learned,
    ) -> io::Result<()> {
        let range = (turned.of_field.get(WORDS), turned.of_field.get(WORDS + 1));
        let (Some(&start), Some(&end)) = range else { return Ok(()) };
        let ids = turned.order.get(start as usize..end as usize).unwrap_or(&[]);
        let words =
            ids.iter().filter_map(|id| self.terms.get(*id)).map(|term| (self.bytes(term), term.count));
        let found = self.common.choose(words, self.rows());
        // Which were common stay so where they are rare, too, so that a merge of this part with others can keep them.
        let find = |word: &[u8]| {
            let bytes = |id: u32| self.terms.get(id).map_or(&[][..], |term| self.bytes(term));
            ids.binary_search_by(|id| bytes(*id).cmp(word)).ok().and_then(|at| ids.get(at)).copied()
        };
        let mut chosen: Vec<u32> = found.iter().filter_map(|(word, _)| find(word)).collect();
        for id in self.common.words().iter().filter_map(|word| find(word)) {
            if chosen.len() < MAX_WORDS && !chosen.contains(&id) {
                chosen.push(id);
            }
        }
        let mut places = vec![NONE; self.terms.len()];
        for (place, id) in chosen.iter().enumerate() {
            if let Some(slot) = places.get_mut(*id as usize) {
                *slot = place as u32;
            }
        }
        let bytes = chosen.iter().filter_map(|id| self.terms.get(*id)).map(|term| self.bytes(term)).collect();
        let mut gatherer = Gatherer::new(bytes);
        let mut from = 0;
        for (row, end) in self.order_ends.iter().enumerate() {
            let mut left = NONE;
            for id in self.order.get(from as usize..*end as usize).unwrap_or(&[]) {
                let right = places.get(*id as usize).copied().unwrap_or(NONE);
                if left != NONE && right != NONE {
                    gatherer.note(left as usize, right as usize, row as u32);
                }
                left = right;
            }
            from = *end;
        }
        gatherer.write(writer)?;
        (learned.words, learned.rows) = (found, self.rows());
        Ok(())
    }

    fn slot(&self, place: usize) -> Option<&Slot> {
        self.fields.get(place).map(|field| &field.slot)
    }

    fn bytes(&self, term: &Term) -> &[u8] {
        self.terms.bytes(term)
    }

    fn turn(&self, turned: &mut Turned) {
        let Turned { ends, rows, order, of_field, keys } = turned;
        let refill = |vec: &mut Vec<u32>, len: usize| {
            vec.clear();
            vec.resize(len, 0);
        };
        refill(of_field, self.fields.len() + 1);
        for term in self.terms.terms() {
            if let Some(count) = of_field.get_mut(usize::from(term.field) + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in of_field.iter_mut() {
            sum += *start;
            *start = sum;
        }
        refill(order, self.terms.len());
        let mut next = of_field.clone();
        for (id, term) in self.terms.terms().iter().enumerate() {
            if let Some(at) = next.get_mut(usize::from(term.field)) {
                if let Some(place) = order.get_mut(*at as usize) {
                    *place = id as u32;
                }
                *at += 1;
            }
        }
        for field in of_field.windows(2) {
            if let [start, end] = *field
                && let Some(ids) = order.get_mut(start as usize..end as usize)
            {
                self.sort(ids, keys);
            }
        }
        refill(ends, self.terms.len());
        let mut at = 0;
        for id in order.iter() {
            if let (Some(start), Some(term)) = (ends.get_mut(*id as usize), self.terms.get(*id)) {
                *start = at;
                at += term.count;
            }
        }
        // Each term's place starts where its rows do and ends where they end.
        refill(rows, self.log.len());
        let mut from = 0;
        for (row, end) in self.ends.iter().enumerate() {
            for id in self.log.get(from as usize..*end as usize).unwrap_or(&[]) {
                if let Some(cursor) = ends.get_mut(*id as usize) {
                    if let Some(place) = rows.get_mut(*cursor as usize) {
                        *place = row as u32;
                    }
                    *cursor += 1;
                }
            }
            from = *end;
        }
    }

    /// Sorts the terms of one field by their bytes: mostly by the first eight after what all have in common.
    fn sort(&self, ids: &mut [u32], keys: &mut Vec<(u64, u32)>) {
        let term = |id: u32| self.terms.get(id).map_or(&[][..], |term| self.bytes(term));
        let Some(sample) = ids.first().map(|id| term(*id)) else { return };
        let shared =
            |bytes: &[u8]| sample.iter().zip(bytes).take_while(|(left, right)| left == right).count();
        let common = ids.iter().map(|id| shared(term(*id))).min().unwrap_or(0);
        keys.clear();
        keys.extend(ids.iter().map(|id| {
            let rest = term(*id).get(common..).unwrap_or(&[]);
            let mut key = [0; 8];
            key.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            (u64::from_be_bytes(key), *id)
        }));
        let rest = |id: u32| term(id).get(common..).unwrap_or(&[]);
        keys.sort_unstable_by(|left, right| {
            left.0.cmp(&right.0).then_with(|| rest(left.1).cmp(rest(right.1)))
        });
        ids.iter_mut().zip(keys).for_each(|(id, key)| *id = key.1);
    }

    fn put_field(
        &mut self,
        place: usize,
        turned: &Turned,
        ordinals: &mut [u32],
        writer: &mut PartWriter<'_>,
        learned: &mut Learned,
    ) -> io::Result<()> {
        let Some(gathered) = self.fields.get(place) else { return Ok(()) };
        let range = (turned.of_field.get(place), turned.of_field.get(place + 1));
        let (Some(&start), Some(&end)) = range else { return Ok(()) };
        let ids = turned.order.get(start as usize..end as usize).unwrap_or(&[]);
        if ids.is_empty() && gathered.exists.is_empty() && gathered.refs.is_empty() {
            return Ok(());
        }
        let mut field = FieldSpan::new(gathered.slot.clone());
        field.kinds = gathered.kinds;
        field.several = gathered.several;
        field.exists = writer.put_list(&gathered.exists)?;
        field.refs = writer.put_list(&gathered.refs)?;

        let mut hashes = Vec::new();
        if self.hash_anew(gathered, ids) {
            learned.unique.push(gathered.slot.clone());
            for (term, rows) in self.with_rows(ids, turned) {
                hashes.extend(rows.iter().map(|row| value_hash(term, *row)));
            }
        } else if !ids.is_empty() {
            writer.dict.start(&writer.out);
            let mut cased = Vec::new();
            for (id, (term, rows)) in ids.iter().zip(self.with_rows(ids, turned)) {
                field.cut |= is_cut(term);
                let ordinal = writer.dict.push(&mut writer.out, term, rows)?;
                if self.is_cased(*id) {
                    cased.push(ordinal);
                }
                if let Some(place) = ordinals.get_mut(*id as usize) {
                    *place = ordinal + 1;
                }
            }
            field.dict = writer.dict.finish(&mut writer.out)?;
            field.cased = writer.put_cased(&cased, field.dict.count)?;
            if is_column(&gathered.slot) {
                let of_term =
                    |id: &u32| if *id == NONE { 0 } else { ordinals.get(*id as usize).copied().unwrap_or(0) };
                let column = gathered.column.iter().map(of_term);
                (field.ordinal_bits, field.ordinals) = writer.put_ordinals(field.dict.count, column)?;
            }
        }

        // Done with reading: the rest is taken out and left empty.
        let Some(gathered) = self.fields.get_mut(place) else { return Ok(()) };
        let mut numbers = std::mem::take(&mut gathered.numbers);
        if gathered.hashed {
            hashes.append(&mut gathered.hashes);
        }
        if !hashes.is_empty() {
            let slot = gathered.slot.clone();
            let (table, distinct) = writer.put_hashes(&hashes)?;
            field.hashes = table;
            if hashes.len() as u64 >= ENOUGH_VALUES && distinct * 2 < hashes.len() {
                learned.common.push(slot);
            }
        }
        if !numbers.is_empty() {
            self.put_numbers(&mut numbers, writer);
            field.numbers = writer.numbers.finish(&mut writer.out, writer.rows)?;
        }
        writer.end_field(&field);
        Ok(())
    }

    fn hash_anew(&self, gathered: &Gathered, ids: &[u32]) -> bool {
        let terms = || ids.iter().filter_map(|id| self.terms.get(*id));
        let occurrences = terms().map(|term| u64::from(term.count)).sum();
        let bytes = terms().map(|term| self.bytes(term).len() as u64).sum();
        is_unique(&gathered.slot, occurrences, ids.len() as u64, bytes)
    }

    fn with_rows<'a>(
        &'a self,
        ids: &'a [u32],
        turned: &'a Turned,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u32])> {
        // In sorted order the terms lie anywhere in memory. Several are fetched before the first is used, so that they
        // come at once.
        ids.chunks(AHEAD).flat_map(move |ids| {
            let mut ahead: [(&[u8], &[u32]); AHEAD] = [(&[], &[]); AHEAD];
            for (place, id) in ahead.iter_mut().zip(ids) {
                *place = self.term_with_rows(*id, turned).unwrap_or_default();
                std::hint::black_box(place.0.first().copied());
            }
            ahead.into_iter().take(ids.len())
        })
    }

    fn term_with_rows<'a>(&'a self, id: u32, turned: &'a Turned) -> Option<(&'a [u8], &'a [u32])> {
        let term = self.terms.get(id)?;
        let end = *turned.ends.get(id as usize)? as usize;
        Some((self.bytes(term), turned.rows.get(end - term.count as usize..end)?))
    }

    fn token(&self, number: &Number) -> Option<&[u8]> {
        let (at, len) = *self.tokens.get(number.token as usize)?;
        self.token_bytes.get(at as usize..(at + len) as usize)
    }

    fn put_numbers(&self, numbers: &mut [Number], writer: &mut PartWriter<'_>) {
        if numbers.iter().all(|number| number.token == NONE) {
            numbers.sort_unstable_by_key(|number| (number.key, number.row));
        } else {
            numbers.sort_unstable_by(|left, right| {
                compare((left.key, self.token(left)), (right.key, self.token(right)))
                    .then(left.row.cmp(&right.row))
            });
        }
        let same = |left: &Number, right: &Number| {
            left.key == right.key
                && (left.token == NONE && right.token == NONE
                    || compare((left.key, self.token(left)), (right.key, self.token(right))).is_eq())
        };
        let mut rows = Vec::new();
        for group in numbers.chunk_by(same) {
            rows.clear();
            rows.extend(group.iter().map(|number| number.row));
            rows.dedup();
            if let Some(first) = group.first() {
                writer.numbers.push(first.key, self.token(first), &rows);
            }
        }
    }
}

/// Whether each row's value is kept as an ordinal.
pub(crate) fn is_column(slot: &Slot) -> bool {
    matches!(slot, Slot::Keyword(field) if COLUMNS.contains(field))
}
