//! The most frequent values of a field, and how many there are.

use std::cmp::Reverse;
use std::collections::HashMap;

use attestry_event::Field;
use attestry_index::{Bounds, Counts, Decimal, Filter, Part, RowSet, Target};

use crate::column::{Key, MAX_VALUE_BYTES, read_values};
use crate::{Error, Scope, Store};

/// The most different values that are told apart in one answer.
pub const MAX_VALUES: usize = 1_000_000;

/// The most frequent values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// Values and in how many events each is, the most frequent first, equally frequent ones in the order of their bytes. An event
    /// with several values counts for each.
    pub values: Vec<(String, u64)>,
    /// How many different values there are.
    pub distinct: u64,
    /// How many events have none.
    pub missing: u64,
    /// How many events answer the query.
    pub count: u64,
    /// How many committed entries the index has not taken in yet.
    pub behind: u64,
}

/// Counts by value, within bounds.
#[derive(Default)]
pub(crate) struct Tally {
    counts: HashMap<String, u64>,
    bytes: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, value: String, count: u64) -> Result<(), Error> {
        let length = value.len();
        let mut new = false;
        *self.counts.entry(value).or_insert_with(|| {
            new = true;
            0
        }) += count;
        if new {
            self.bytes += length;
            if self.counts.len() > MAX_VALUES {
                return Err(Error::TooMany { what: "different values", limit: MAX_VALUES });
            }
            if self.bytes > MAX_VALUE_BYTES {
                return Err(Error::TooMany { what: "bytes of values", limit: MAX_VALUE_BYTES });
            }
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// The `limit` largest, the largest first.
    pub(crate) fn into_largest(self, limit: usize) -> Vec<(String, u64)> {
        let mut all: Vec<(Reverse<u64>, String)> =
            self.counts.into_iter().map(|(value, count)| (Reverse(count), value)).collect();
        if limit == 0 {
            return Vec::new();
        }
        if all.len() > limit {
            all.select_nth_unstable(limit - 1);
            all.truncate(limit);
        }
        all.sort_unstable();
        all.into_iter().map(|(Reverse(count), value)| (value, count)).collect()
    }
}

impl Store {
    /// The `limit` most frequent values of a field among the events that answer the query. Exact; reads entries only
    /// for values that the index does not hold whole (ids, very long ones).
    pub fn top(&self, scope: &Scope, field: &str, limit: usize) -> Result<Top, Error> {
        let key = Key::parse(field)?;
        let running = self.run(scope)?;
        let mut tally = Tally::default();
        let (mut count, mut having) = (0, 0);
        running.each_part(|source, part, rows| {
            count += u64::from(rows.len());
            let target = match &key {
                Key::Ledger => {
                    having += u64::from(rows.len());
                    return tally.add(source.name.to_string(), u64::from(rows.len()));
                }
                Key::Target(target) => target,
            };
            let unlisted = match target {
                Target::Keyword(Field::EventId) => rows.clone(),
                target => {
                    let mut counts = part.counts(target, &rows);
                    merge_equal(part, target, &rows, &mut counts);
                    counts
                        .values
                        .into_iter()
                        .try_for_each(|(value, count)| tally.add(value, u64::from(count)))?;
                    let exists = part.eval(&Filter::Exists(target.clone())).possible;
                    having += u64::from(exists.and(&rows).minus(&counts.unlisted, part.row_count()).len());
                    counts.unlisted
                }
            };
            read_values(&running, source, part, &key, &unlisted, |_, values| {
                having += 1;
                values.into_iter().try_for_each(|value| tally.add(value, 1))
            })
        })?;
        let distinct = tally.len() as u64;
        Ok(Top {
            values: tally.into_largest(limit),
            distinct,
            missing: count - having,
            count,
            behind: running.behind,
        })
    }

    /// How many different values a field has among the events that answer the query.
    pub fn distinct(&self, scope: &Scope, field: &str) -> Result<u64, Error> {
        Ok(self.top(scope, field, 0)?.distinct)
    }
}

/// A path may have the number 500 and the string "500", which are one value here, in the same row even: such values are
/// counted once for each row.
fn merge_equal(part: &Part, target: &Target, rows: &RowSet, counts: &mut Counts) {
    if !matches!(target, Target::Path(_)) {
        return;
    }
    counts.values.sort_unstable();
    let listed = rows.minus(&counts.unlisted, part.row_count());
    counts.values.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same && let Some(number) = Decimal::parse(&kept.0) {
            let either = Filter::Or(vec![
                Filter::Equals(target.clone(), kept.0.clone()),
                Filter::Number(target.clone(), Bounds::exactly(number)),
            ]);
            kept.1 = part.eval(&either).possible.and(&listed).len();
        }
        same
    });
}
