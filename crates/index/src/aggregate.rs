//! What a part says about many rows at once.

use attestry_event::Field;

use crate::dict::{Dict, Terms, is_cut, text};
use crate::filter::Target;
use crate::pack::Packed;
use crate::part::Part;
use crate::rows::RowSet;
use crate::slot::{FieldSpan, Kinds, Slot};
use crate::times::BLOCK;

/// The values of a keyword field, each with a number of its own (in the order of their bytes).
#[derive(Clone, Copy)]
pub struct Column<'a> {
    ordinals: Packed<'a>,
    dict: Dict<'a>,
}

impl<'a> Column<'a> {
    /// How many different values: ordinals are below this.
    pub fn count(&self) -> u32 {
        self.dict.count()
    }

    /// The ordinal of a row's value; `None` where the field is absent.
    #[inline]
    pub fn ordinal(&self, row: u32) -> Option<u32> {
        (self.ordinals.get(row as usize) as u32).checked_sub(1)
    }

    /// All values in the order of their ordinals.
    pub(crate) fn terms(&self) -> Terms<'a> {
        self.dict.iter()
    }

    /// The value with this ordinal.
    pub fn value(&self, ordinal: u32) -> Value {
        let term = self.dict.term(ordinal).unwrap_or_default();
        let (text, whole) = text(&term);
        Value { text: text.to_owned(), whole }
    }
}

/// A value as the index holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value, or the first 128 bytes of a longer one.
    pub text: String,
    /// Whether it is all of it.
    pub whole: bool,
}

/// How often each value occurs in some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Each value, in the order of the index, and how many of the rows have it. A row with several values counts for each.
    pub values: Vec<(String, u32)>,
    /// Rows whose values the index does not hold whole (long values, identifiers, `$ref`s, paths beyond the limits).
    /// They are counted in `values` with none of their values: look into the rows for these.
    pub unlisted: RowSet,
}

/// One path of `event_data` in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo<'a> {
    /// The path, without `event_data` itself.
    pub path: &'a str,
    /// What its values are.
    pub kinds: Kinds,
    /// How many rows have it.
    pub rows: u32,
}

impl Part {
    /// The values of a field row by row. `None` where no row has it, where a row may have several (`via`), and where
    /// nearly every row has a value of its own.
    pub fn column(&self, field: Field) -> Option<Column<'_>> {
        let span = self.keyword(field)?;
        (span.ordinals.len > 0).then(|| Column { ordinals: self.ordinals(span), dict: self.dict(span) })
    }

    /// Whether any row has a value of this field.
    pub fn has(&self, target: &Target) -> bool {
        match target {
            Target::Keyword(field) => self.keyword(*field).is_some(),
            Target::Path(path) => self.path(path).is_some() || self.field(&Slot::Loose).is_some(),
            Target::AnyKeyword => true,
        }
    }

    /// For each ordinal of a [`column`](Part::column) how many of the rows have it, and how many have none.
    pub fn count_ordinals(&self, column: &Column<'_>, rows: &RowSet) -> (Vec<u32>, u32) {
        let mut counts = vec![0_u32; column.count() as usize + 1];
        if rows.len() == self.row_count() {
            let mut terms = column.dict.iter();
            let mut present = 0;
            for count in counts.iter_mut().skip(1) {
                if terms.advance() {
                    *count = terms.list().count();
                    present += *count;
                }
            }
            if let Some(missing) = counts.first_mut() {
                *missing = self.row_count().saturating_sub(present);
            }
        } else {
            rows.for_each(|row| {
                if let Some(count) = counts.get_mut(column.ordinals.get(row as usize) as usize) {
                    *count += 1;
                }
            });
        }
        let missing = counts.remove(0);
        (counts, missing)
    }

    /// How often each value of a target occurs in `rows`: strings, tokens of bools and nulls, and numbers.
    pub fn counts(&self, target: &Target, rows: &RowSet) -> Counts {
        let mut counts = Counts { values: Vec::new(), unlisted: RowSet::empty() };
        let all = self.row_count();
        if let (Target::Path(_), Some(loose)) = (target, self.field(&Slot::Loose)) {
            counts.unlisted = self.list(&loose.exists).within(rows);
        }
        let field = match target {
            Target::Keyword(field) => self.keyword(*field),
            Target::Path(path) => self.path(path),
            Target::AnyKeyword => None,
        };
        let Some(field) = field else { return counts };
        counts.unlisted = counts.unlisted.or(&self.unlisted(field).and(rows), all);
        // A row is either counted with all its values or listed as unlisted.
        let rows = &rows.minus(&counts.unlisted, all);
        if let Target::Keyword(keyword) = target
            && let Some(column) = self.column(*keyword)
            && (rows.len() as u64) * 4 < u64::from(all) + u64::from(column.count())
        {
            let (found, _) = self.count_ordinals(&column, rows);
            let some = found.into_iter().enumerate().filter(|(_, count)| *count > 0);
            counts.values = some.map(|(ordinal, count)| (column.value(ordinal as u32).text, count)).collect();
            return counts;
        }
        let mut terms = self.dict(field).iter();
        while terms.advance() {
            if field.cut && is_cut(terms.term()) {
                continue;
            }
            let list = terms.list();
            let count = if rows.len() == all { list.count() } else { list.within(rows).len() };
            if count > 0 {
                counts.values.push((text(terms.term()).0.to_owned(), count));
            }
        }
        if let Target::Path(_) | Target::Keyword(Field::AgentEpoch | Field::AgentSeq) = target
            && field.numbers.count > 0
        {
            let numbers = self.numbers(field);
            for ordinal in 0..numbers.count() {
                let mut count = 0;
                numbers.each_row(ordinal..ordinal + 1, |row| count += u32::from(rows.contains(row)));
                if count > 0 {
                    counts.values.push((numbers.decimal(ordinal).to_string(), count));
                }
            }
        }
        counts
    }

    /// The rows of a field with a value that the index does not hold whole.
    pub(crate) fn unlisted(&self, field: &FieldSpan) -> RowSet {
        let all = self.row_count();
        let mut unlisted = Vec::new();
        if field.hashes.count > 0 {
            unlisted = self.hashes(field).rows();
        }
        if field.refs.count > 0 {
            self.list(&field.refs).decode(0, &mut unlisted);
        }
        if let Slot::Keyword(Field::Message) = field.slot {
            self.list(&field.exists).decode(0, &mut unlisted);
        }
        if field.cut {
            let mut terms = self.dict(field).iter();
            while terms.advance() {
                if is_cut(terms.term()) {
                    terms.list().decode(0, &mut unlisted);
                }
            }
        }
        RowSet::from_unsorted(unlisted, all)
    }

    /// Calls `each` with every number that one of `rows` has at the target: the row, and the nearest float. Goes by
    /// value, not by row. Gives the rows whose paths are not all indexed, of which some numbers may be missing.
    pub fn numeric(&self, target: &Target, rows: &RowSet, each: &mut dyn FnMut(u32, f64)) -> RowSet {
        let field = match target {
            Target::Keyword(field) => self.keyword(*field),
            Target::Path(path) => self.path(path),
            Target::AnyKeyword => None,
        };
        let loose = match (target, self.field(&Slot::Loose)) {
            (Target::Path(_), Some(loose)) => self.list(&loose.exists).within(rows),
            _ => RowSet::empty(),
        };
        if let Some(field) = field.filter(|field| field.numbers.count > 0) {
            let numbers = self.numbers(field);
            let every = rows.len() == self.row_count() && loose.is_empty();
            for ordinal in 0..numbers.count() {
                let float = numbers.float(ordinal);
                numbers.each_row(ordinal..ordinal + 1, |row| {
                    if every || rows.contains(row) && !loose.contains(row) {
                        each(row, float);
                    }
                });
            }
        }
        loose
    }

    /// Appends the event time of each row, in the order of the rows.
    pub fn times_of(&self, rows: &RowSet, times: &mut Vec<i64>) {
        let column = self.event_times();
        times.reserve(rows.len() as usize);
        let mut number = 0;
        let mut block = column.block(0);
        rows.for_each(|row| {
            if row / BLOCK != number {
                number = row / BLOCK;
                block = column.block(number);
            }
            times.push(block.time(row % BLOCK));
        });
    }

    /// Adds to each bucket how many of the rows have an event time in it. Bucket `i` begins at `start + i × width`
    /// nanoseconds; rows outside all buckets are left out.
    pub fn histogram(&self, rows: &RowSet, start: i64, width: i64, buckets: &mut [u64]) {
        let width = width.max(1);
        let column = self.event_times();
        let bucket_of = |time: i64| {
            let distance = i128::from(time) - i128::from(start);
            usize::try_from(distance.div_euclid(i128::from(width))).ok()
        };
        let mut add = |bucket: Option<usize>, count: u32| {
            if let Some(bucket) = bucket.and_then(|bucket| buckets.get_mut(bucket)) {
                *bucket += u64::from(count);
            }
        };
        for number in 0..self.row_count().div_ceil(BLOCK) {
            let base = number * BLOCK;
            let range = base..(base + BLOCK).min(self.row_count());
            let count = rows.count_in(range.clone());
            if count == 0 {
                continue;
            }
            let block = column.block(number);
            let least = bucket_of(block.least);
            if least == bucket_of(block.greatest) {
                add(least, count);
                continue;
            }
            rows.for_each_in(range, |row| add(bucket_of(block.time(row - base)), 1));
        }
    }

    /// The paths of `event_data`, in the order of their bytes. Rows may have more when
    /// [`has_loose`](Part::has_loose) says so.
    pub fn paths(&self) -> impl Iterator<Item = PathInfo<'_>> {
        self.fields().iter().filter_map(|field| match &field.slot {
            Slot::Path(path) => Some(PathInfo { path, kinds: field.kinds, rows: field.exists.count }),
            _ => None,
        })
    }

    /// How many rows have a field.
    pub fn rows_with(&self, field: Field) -> u32 {
        match field {
            Field::EventId | Field::EventTime | Field::ReceivedAt => self.row_count(),
            _ => self.keyword(field).map_or(0, |field| field.exists.count),
        }
    }

    /// Whether some rows have paths that are not indexed: too many, or with too long names.
    pub fn has_loose(&self) -> bool {
        self.field(&Slot::Loose).is_some()
    }

    /// Up to `limit` values of a target that start with `prefix`, in the order of their bytes, and in how many rows
    /// each occurs. Numbers are not among them.
    pub fn values_with_prefix(&self, target: &Target, prefix: &str, limit: usize) -> Vec<(String, u32)> {
        let field = match target {
            Target::Keyword(field) => self.keyword(*field),
            Target::Path(path) => self.path(path),
            Target::AnyKeyword => None,
        };
        let Some(field) = field else { return Vec::new() };
        let mut terms = self.dict(field).seek(prefix.as_bytes());
        let mut values = Vec::new();
        while values.len() < limit && terms.advance() && terms.term().starts_with(prefix.as_bytes()) {
            if let (value, true) = text(terms.term()) {
                values.push((value.to_owned(), terms.list().count()));
            }
        }
        values
    }
}
