//! The numbers of one path: the distinct values in numeric order, and for each the rows that have it.
//!
//! Values are the nearest 64-bit floats; where a number is not what its float is written as, its token stands beside
//! it, so that comparisons stay exact. As bytes: a header of varints (form, base, width in bits, tokens, bytes of
//! tokens), then
//!
//! - the values: integers packed as their distance to the base (form 1), or floats as sortable u64 (form 0);
//! - for each value how many rows the values before it have, packed, unless each has one row;
//! - the rows: packed; or, where the values have many rows each (form + 2), as `postings` has them, with where each
//!   list starts (packed) before them;
//! - the tokens: for each the ordinal of its value (u32), for each where it ends (u32), then their text.

use std::cmp::Ordering;
use std::io;
use std::ops::{Bound, Range};

use attestry_event::Decimal;

use crate::filter::Bounds;
use crate::key::{float_of, key_of, plain_decimal};
use crate::out::{Out, Span};
use crate::pack::{Cursor, Packed, bits_for, pack, packed_len, put_varint, slice, u32_at, u64_at};
use crate::postings::{self, List};

/// Where the numbers of a path are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NumberSpan {
    /// Distinct values.
    pub(crate) count: u32,
    /// Values of all rows.
    pub(crate) entries: u32,
    pub(crate) bytes: Span,
}

/// Gathers a path's numbers, in numeric order.
#[derive(Default)]
pub(crate) struct NumberWriter {
    keys: Vec<u64>,
    starts: Vec<u32>,
    rows: Vec<u32>,
    token_ordinals: Vec<u8>,
    token_ends: Vec<u8>,
    tokens: Vec<u8>,
    blob: Vec<u8>,
}

const FLOATS: u64 = 0;
const INTEGERS: u64 = 1;
const LISTS: u64 = 2;

/// From this many rows a value on average, lists are smaller than packed rows.
const MANY_ROWS: usize = 128;

/// Integers below this many are exact in `i64` arithmetic, differences included.
const INTEGER_LIMIT: f64 = (1_i64 << 62) as f64;

fn integer_of(key: u64) -> Option<i64> {
    let float = float_of(key);
    (float.fract() == 0.0 && float.abs() < INTEGER_LIMIT).then_some(float as i64)
}

impl NumberWriter {
    /// Adds the next larger number with its rows, ascending; `token` where the key does not say everything.
    pub(crate) fn push(&mut self, key: u64, token: Option<&[u8]>, rows: &[u32]) {
        if let Some(token) = token {
            self.token_ordinals.extend_from_slice(&(self.keys.len() as u32).to_le_bytes());
            self.tokens.extend_from_slice(token);
            self.token_ends.extend_from_slice(&(self.tokens.len() as u32).to_le_bytes());
        }
        self.keys.push(key);
        self.starts.push(self.rows.len() as u32);
        self.rows.extend_from_slice(rows);
    }

    /// Writes what was gathered, for a part with `rows` rows, and is empty again.
    pub(crate) fn finish(&mut self, out: &mut Out<'_>, rows: u32) -> io::Result<NumberSpan> {
        let integers: Option<Vec<i64>> = self.keys.iter().map(|key| integer_of(*key)).collect();
        let (form, base, bits) = match integers.as_deref() {
            Some([first, .., last]) => (INTEGERS, *first, bits_for(last.wrapping_sub(*first) as u64)),
            Some([only]) => (INTEGERS, *only, 0),
            _ => (FLOATS, 0, 0),
        };
        let entries = self.rows.len();
        let lists = entries >= self.keys.len() * MANY_ROWS;
        let blob = &mut self.blob;
        blob.clear();
        put_varint(blob, form + if lists { LISTS } else { 0 });
        put_varint(blob, base as u64);
        put_varint(blob, u64::from(bits));
        put_varint(blob, (self.token_ends.len() / 4) as u64);
        put_varint(blob, self.tokens.len() as u64);
        match integers.filter(|_| form == INTEGERS) {
            Some(integers) => pack(blob, bits, integers.iter().map(|value| value.wrapping_sub(base) as u64)),
            None => self.keys.iter().for_each(|key| blob.extend_from_slice(&key.to_le_bytes())),
        }
        if entries != self.keys.len() {
            pack(blob, bits_for(entries as u64), self.starts.iter().map(|start| u64::from(*start)));
        }
        if lists {
            let (mut offsets, mut bytes) = (Vec::new(), Vec::new());
            for (at, start) in self.starts.iter().enumerate() {
                let end = self.starts.get(at + 1).map_or(entries, |end| *end as usize);
                offsets.push(bytes.len() as u64);
                postings::encode(self.rows.get(*start as usize..end).unwrap_or(&[]), rows, &mut bytes);
            }
            put_varint(blob, bytes.len() as u64);
            pack(blob, bits_for(bytes.len() as u64), offsets.into_iter());
            blob.extend_from_slice(&bytes);
        } else {
            pack(blob, row_bits(rows), self.rows.iter().map(|row| u64::from(*row)));
        }
        blob.extend_from_slice(&self.token_ordinals);
        blob.extend_from_slice(&self.token_ends);
        blob.extend_from_slice(&self.tokens);
        let span =
            NumberSpan { count: self.keys.len() as u32, entries: entries as u32, bytes: out.put(blob)? };
        self.keys.clear();
        self.starts.clear();
        self.rows.clear();
        self.token_ordinals.clear();
        self.token_ends.clear();
        self.tokens.clear();
        Ok(span)
    }
}

/// The width of a row offset in a part with `rows` rows.
pub(crate) fn row_bits(rows: u32) -> u8 {
    bits_for(u64::from(rows.saturating_sub(1)))
}

/// Reads a path's numbers.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    count: u32,
    entries: u32,
    form: u64,
    base: i64,
    values: Packed<'a>,
    floats: &'a [u8],
    /// `None` when each value has one row.
    starts: Option<Packed<'a>>,
    rows: RowForm<'a>,
    /// Rows of the part.
    all: u32,
    tokens: Tokens<'a>,
}

#[derive(Clone, Copy)]
enum RowForm<'a> {
    Packed(Packed<'a>),
    Lists { offsets: Packed<'a>, bytes: &'a [u8] },
}

#[derive(Clone, Copy)]
struct Tokens<'a> {
    count: usize,
    ordinals: &'a [u8],
    ends: &'a [u8],
    text: &'a [u8],
}

impl<'a> Numbers<'a> {
    pub(crate) fn new(part: &'a [u8], span: &NumberSpan, rows: u32) -> Numbers<'a> {
        let mut cursor = Cursor::new(slice(part, span.bytes.offset, span.bytes.len));
        let form_and_rows = cursor.varint();
        let form = form_and_rows & INTEGERS;
        let base = cursor.varint() as i64;
        let bits = cursor.varint() as u8;
        let token_count = cursor.varint() as usize;
        let token_bytes = cursor.varint() as usize;
        let (count, entries) = (span.count as usize, span.entries as usize);
        let (values, floats) = if form == INTEGERS {
            (Packed::new(cursor.take(packed_len(count, bits)), bits), &[][..])
        } else {
            (Packed::new(&[], 0), cursor.take(count * 8))
        };
        let starts = (count != entries).then(|| {
            let bits = bits_for(entries as u64);
            Packed::new(cursor.take(packed_len(count, bits)), bits)
        });
        let row_form = if form_and_rows & LISTS == 0 {
            let bits = row_bits(rows);
            RowForm::Packed(Packed::new(cursor.take(packed_len(entries, bits)), bits))
        } else {
            let len = cursor.varint() as usize;
            let bits = bits_for(len as u64);
            let offsets = Packed::new(cursor.take(packed_len(count, bits)), bits);
            RowForm::Lists { offsets, bytes: cursor.take(len) }
        };
        let tokens = Tokens {
            count: token_count,
            ordinals: cursor.take(token_count * 4),
            ends: cursor.take(token_count * 4),
            text: cursor.take(token_bytes),
        };
        let (count, entries, all, rows) = (span.count, span.entries, rows, row_form);
        Numbers { count, entries, form, base, values, floats, starts, rows, all, tokens }
    }

    /// How many distinct values.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn key(&self, ordinal: u32) -> u64 {
        if self.form == INTEGERS {
            key_of(self.base.wrapping_add(self.values.get(ordinal as usize) as i64) as f64)
        } else {
            u64_at(self.floats, ordinal as usize * 8)
        }
    }

    /// The token of a number that is more than its key.
    pub(crate) fn token(&self, ordinal: u32) -> Option<&'a [u8]> {
        let tokens = &self.tokens;
        let at = |place: usize| u32_at(tokens.ordinals, place * 4);
        let (mut low, mut high) = (0, tokens.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if at(middle) < ordinal {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == tokens.count || at(low) != ordinal {
            return None;
        }
        let start = low.checked_sub(1).map_or(0, |before| u32_at(tokens.ends, before * 4)) as usize;
        let end = u32_at(tokens.ends, low * 4) as usize;
        Some(slice(tokens.text, start, end.saturating_sub(start)))
    }

    pub(crate) fn decimal(&self, ordinal: u32) -> Decimal {
        exact(self.key(ordinal), self.token(ordinal))
    }

    pub(crate) fn float(&self, ordinal: u32) -> f64 {
        float_of(self.key(ordinal))
    }

    fn start(&self, ordinal: u32) -> usize {
        if ordinal >= self.count {
            return self.entries as usize;
        }
        self.starts.map_or(ordinal as usize, |starts| starts.get(ordinal as usize) as usize)
    }

    /// How many rows have the values of these ordinals, a row with several counted for each.
    pub(crate) fn len(&self, ordinals: &Range<u32>) -> usize {
        self.start(ordinals.end).saturating_sub(self.start(ordinals.start))
    }

    /// The rows with a value, where they are kept as a list.
    pub(crate) fn list(&self, ordinal: u32) -> Option<List<'a>> {
        match self.rows {
            RowForm::Packed(_) => None,
            RowForm::Lists { offsets, bytes } => {
                let start = offsets.get(ordinal as usize) as usize;
                let count = self.len(&(ordinal..ordinal + 1)) as u32;
                Some(List::new(count, self.all, slice(bytes, start, usize::MAX)))
            }
        }
    }

    /// Calls `each` with the rows that have values of these ordinals; for each value ascending.
    pub(crate) fn each_row(&self, ordinals: Range<u32>, mut each: impl FnMut(u32)) {
        match self.rows {
            RowForm::Packed(rows) => {
                (self.start(ordinals.start)..self.start(ordinals.end))
                    .for_each(|at| each(rows.get(at) as u32));
            }
            RowForm::Lists { .. } => {
                let mut rows = Vec::new();
                for list in ordinals.filter_map(|ordinal| self.list(ordinal)) {
                    rows.clear();
                    list.decode(0, &mut rows);
                    rows.iter().for_each(|row| each(*row));
                }
            }
        }
    }

    /// The ordinals of the values within bounds.
    pub(crate) fn within(&self, bounds: &Bounds) -> Range<u32> {
        let start = match &bounds.low {
            Bound::Unbounded => 0,
            Bound::Included(low) => self.partition(low, |order| order == Ordering::Less),
            Bound::Excluded(low) => self.partition(low, |order| order != Ordering::Greater),
        };
        let end = match &bounds.high {
            Bound::Unbounded => self.count,
            Bound::Included(high) => self.partition(high, |order| order != Ordering::Greater),
            Bound::Excluded(high) => self.partition(high, |order| order == Ordering::Less),
        };
        start..end.max(start)
    }

    /// How many values stand before the first whose order to `bound` is not `before`.
    fn partition(&self, bound: &Decimal, before: impl Fn(Ordering) -> bool) -> u32 {
        let key = key_of(bound.to_f64());
        let order = |ordinal: u32| self.key(ordinal).cmp(&key).then_with(|| self.decimal(ordinal).cmp(bound));
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(order(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The number of a key and, where the key does not say everything, its token.
pub(crate) fn exact(key: u64, token: Option<&[u8]>) -> Decimal {
    token
        .and_then(|token| Decimal::parse(std::str::from_utf8(token).ok()?))
        .unwrap_or_else(|| plain_decimal(key))
}

/// The exact order of two numbers.
pub(crate) fn compare(left: (u64, Option<&[u8]>), right: (u64, Option<&[u8]>)) -> Ordering {
    left.0.cmp(&right.0).then_with(|| match (left.1, right.1) {
        (None, None) => Ordering::Equal,
        _ => exact(left.0, left.1).cmp(&exact(right.0, right.1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::keyed;

    /// Tokens, each with its rows, in numeric order.
    fn check(numbers: &[(&str, Vec<u32>)]) {
        let rows = 1000;
        let mut bytes = Vec::new();
        let mut out = Out::new(&mut bytes);
        let mut writer = NumberWriter::default();
        let mut span = NumberSpan::default();
        for _ in 0..2 {
            for (token, list) in numbers {
                let keyed = keyed(token).unwrap();
                writer.push(keyed.key, (!keyed.plain).then_some(token.as_bytes()), list);
            }
            span = writer.finish(&mut out, rows).unwrap();
        }
        out.checksum().unwrap();
        let read = Numbers::new(&bytes, &span, rows);
        let decimals: Vec<Decimal> =
            numbers.iter().map(|(token, _)| Decimal::parse(token).unwrap()).collect();
        assert_eq!(read.count() as usize, numbers.len());
        for (at, (token, list)) in numbers.iter().enumerate() {
            let at = at as u32;
            assert_eq!(read.decimal(at), decimals[at as usize]);
            assert_eq!(read.float(at), token.parse::<f64>().unwrap());
            let mut rows = Vec::new();
            read.each_row(at..at + 1, |row| rows.push(row));
            assert_eq!(rows, *list);
            assert_eq!(read.len(&(at..at + 1)), list.len());
        }
        for low in &decimals {
            for high in &decimals {
                let bounds = |low, high| Bounds { low, high };
                let cases = [
                    bounds(Bound::Included(low.clone()), Bound::Included(high.clone())),
                    bounds(Bound::Excluded(low.clone()), Bound::Excluded(high.clone())),
                    bounds(Bound::Included(low.clone()), Bound::Unbounded),
                    bounds(Bound::Unbounded, Bound::Excluded(high.clone())),
                ];
                for bounds in cases {
                    let found = read.within(&bounds);
                    let expected: Vec<&Decimal> =
                        decimals.iter().filter(|number| bounds.contain(number)).collect();
                    let found: Vec<&Decimal> =
                        decimals[found.start as usize..found.end as usize].iter().collect();
                    assert_eq!(found, expected, "{bounds:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_come_back() {
        check(&[]);
        check(&[("7", vec![3])]);
        check(&[("-5", vec![1, 2]), ("0", vec![0]), ("7", vec![3, 999]), ("9007199254740991", vec![4])]);
        check(&[("1", vec![5]), ("2", vec![4]), ("3", vec![3])]);
        check(&[("1", vec![5]), ("2", (0..900).collect()), ("2.5", (0..500).map(|row| row * 2).collect())]);
        check(&[("3", (0..1000).collect())]);
        check(&[("-0.5", vec![1]), ("1", vec![1]), ("1e300", vec![2])]);
        check(&[
            ("-1e400", vec![1]),
            ("-9007199254740993", vec![1]),
            ("-9007199254740992", vec![2]),
            ("1e-400", vec![8]),
            ("0.1", vec![3]),
            ("0.10000000000000000001", vec![4, 5]),
            ("9007199254740992", vec![6]),
            ("9007199254740993", vec![7]),
            ("1e400", vec![9]),
        ]);
        check(&[
            ("1732156800123456789", vec![1]),
            ("1732156800123456790", vec![2]),
            ("1732156800123456999", vec![3]),
        ]);
    }
}
