//! The most frequent values of a field, and how many there are.

use std::sync::Arc;

use attestry_event::{Decimal, Field};
use attestry_index::{Bounds, Counts, Filter, Part, RowSet, Target};

use crate::column::{Key, read_values};
use crate::scope::{Running, Source};
use crate::tally::Tally;
use crate::{Error, Scope, Store};

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

impl Store {
    /// The `limit` most frequent values of a field among the events that answer the query. Exact; reads entries only
    /// for values that the index does not hold whole (ids, very long ones).
    pub fn top(&self, scope: &Scope, field: &str, limit: usize) -> Result<Top, Error> {
        let key = Key::parse(field)?;
        let running = self.run(scope)?;
        if let Some(top) = of_one_ledger(&running, &key, limit)? {
            return Ok(top);
        }
        let mut tally = Tally::new(&self.fingerprints);
        let (mut count, mut having) = (0, 0);
        running.each_part(|source, part, rows| {
            count += u64::from(rows.len());
            let (with, _) = tally_part(&running, source, part, &key, &rows, &mut tally)?;
            having += with;
            Ok(())
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

/// The most values, of all parts together, that an index is asked to number: it keeps the numbers, up to 64 bytes for each
/// different value.
const MAX_NUMBERED: usize = 1_000_000;

/// Where one ledger has all the events, its index adds up the values under numbers of its own, without their text. `None`
/// where that is not so, or the index does not hold all values whole.
fn of_one_ledger(running: &Running<'_>, key: &Key, limit: usize) -> Result<Option<Top>, Error> {
    let Key::Target(target @ Target::Keyword(field)) = key else { return Ok(None) };
    let mut sources =
        running.sources.iter().filter(|source| source.parts.iter().any(|part| running.reaches(part)));
    let (Some(source), None) = (sources.next(), sources.next()) else { return Ok(None) };
    let Some(snapshot) = &source.snapshot else { return Ok(None) };
    let mut values = 0;
    for part in &source.parts {
        match part.column(*field) {
            Some(column) => values += column.count() as usize,
            None if part.rows_with(*field) > 0 => return Ok(None),
            None => {}
        }
    }
    if values > MAX_NUMBERED {
        return Ok(None);
    }
    let mut rows = vec![RowSet::empty(); source.parts.len()];
    let mut count = 0;
    running.each_part(|_, part, found| {
        count += u64::from(found.len());
        let place = source.parts.iter().position(|own| Arc::ptr_eq(own, part));
        if let Some(rows) = place.and_then(|place| rows.get_mut(place)) {
            *rows = found;
        }
        Ok(())
    })?;
    let tally = snapshot.tally(target, &rows, limit);
    if tally.unlisted.iter().any(|rows| !rows.is_empty()) {
        return Ok(None);
    }
    Ok(Some(Top {
        values: tally.top,
        distinct: tally.distinct,
        missing: count - tally.total,
        count,
        behind: running.behind,
    }))
}

/// Adds the values that some rows of a part have. Gives how many of the rows have any, and those whose values the
/// index does not hold whole: their entries were read.
pub(crate) fn tally_part(
    running: &Running<'_>,
    source: &Source,
    part: &Arc<Part>,
    key: &Key,
    rows: &RowSet,
    tally: &mut Tally<'_>,
) -> Result<(u64, RowSet), Error> {
    let all = part.row_count();
    let (mut having, unlisted) = match key {
        Key::Ledger => {
            tally.add(source.name.to_string(), u64::from(rows.len()))?;
            return Ok((u64::from(rows.len()), RowSet::empty()));
        }
        Key::Target(Target::Keyword(Field::EventId)) => (0, rows.clone()),
        Key::Target(target) => match target {
            Target::Keyword(field) if let Some(column) = part.column(*field) => {
                let (counts, missing) = part.count_ordinals(&column, rows);
                let cut = tally.add_ordinals(part, *field, &column, &counts)?;
                let mut unlisted = Vec::new();
                if !cut.is_empty() {
                    rows.for_each(|row| {
                        if column.ordinal(row).is_some_and(|ordinal| cut.binary_search(&ordinal).is_ok()) {
                            unlisted.push(row);
                        }
                    });
                }
                (u64::from(rows.len() - missing) - unlisted.len() as u64, RowSet::Sorted(Arc::new(unlisted)))
            }
            target => {
                let mut counts = part.counts(target, rows);
                merge_equal(part, target, rows, &mut counts);
                counts
                    .values
                    .into_iter()
                    .try_for_each(|(value, count)| tally.add(value, u64::from(count)))?;
                let exists = part.eval(&Filter::Exists(target.clone())).possible;
                let listed = exists.and(rows).minus(&counts.unlisted, all);
                (u64::from(listed.len()), counts.unlisted)
            }
        },
    };
    read_values(running, source, part, key, &unlisted, |_, values| {
        having += 1;
        values.into_iter().try_for_each(|value| tally.add(value, 1))
    })?;
    Ok((having, unlisted))
}

/// Asks for rows with this value, as text or as a number. A number is listed in one form only: `5e2` and `007` are text.
pub(crate) fn having(target: &Target, value: &str) -> Filter {
    let text = Filter::Equals(target.clone(), value.to_owned());
    match Decimal::parse(value).filter(|number| number.to_string() == value) {
        Some(number) => Filter::Or(vec![text, Filter::Number(target.clone(), Bounds::exactly(number))]),
        None => text,
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
        if same {
            kept.1 = part.eval(&having(target, &kept.0)).possible.and(&listed).len();
        }
        same
    });
}
