//! How many events, and when.

use std::sync::Arc;

use attestry_event::Nanos;
use attestry_index::{Filter, Matches, Part, RowSet};

use crate::column::{Key, read_values};
use crate::scope::{Running, Source};
use crate::tally::Tally;
use crate::top::{having, tally_part};
use crate::{Error, Scope, Store};

/// The most buckets in a histogram.
pub const MAX_BUCKETS: usize = 10_000;

/// The most values a histogram is stacked by.
pub const MAX_STACK: usize = 50;

/// How many events answer a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number.
    pub count: u64,
    /// How many committed entries the index has not taken in yet.
    pub behind: u64,
}

/// How wide a histogram's buckets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// This many nanoseconds; more than 0.
    Nanos(i64),
    /// The smallest round width that makes at most this many buckets.
    AtMost(usize),
}

/// A request for a histogram over `event_time`.
#[derive(Debug, Clone)]
pub struct HistogramRequest {
    /// Which events. Without `from` and `to` it spans the events that are found.
    pub scope: Scope,
    /// The width of the buckets.
    pub interval: Interval,
    /// A field whose values each bucket is divided by.
    pub by: Option<String>,
    /// By how many of them, the most frequent; at most [`MAX_STACK`].
    pub by_limit: usize,
}

/// Counts over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// Where the first bucket begins: a whole number of intervals since 1970.
    pub from: Nanos,
    /// Where the last one ends.
    pub to: Nanos,
    /// The width of a bucket in nanoseconds.
    pub interval: i64,
    /// The buckets, in order, empty ones too.
    pub buckets: Vec<Bucket>,
    /// The values that [`Bucket::by`] counts, the most frequent first.
    pub by_values: Vec<String>,
    /// How many more values the field has; their events are in [`Bucket::count`] only.
    pub more_values: u64,
    /// How many events.
    pub count: u64,
    /// How many committed entries the index has not taken in yet.
    pub behind: u64,
}

/// The events of one interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins.
    pub time: Nanos,
    /// How many.
    pub count: u64,
    /// How many have each of [`Histogram::by_values`]. An event with several values counts in each.
    pub by: Vec<u64>,
}

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Round widths, from a microsecond to ten years.
const WIDTHS: [i64; 39] = [
    1_000,
    10_000,
    100_000,
    SECOND / 1000,
    SECOND / 500,
    SECOND / 200,
    SECOND / 100,
    SECOND / 50,
    SECOND / 20,
    SECOND / 10,
    SECOND / 5,
    SECOND / 2,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    90 * DAY,
    180 * DAY,
    365 * DAY,
    1826 * DAY,
    3652 * DAY,
];

/// What a part says when it is asked how many.
enum Answer {
    Known(u32),
    Rows(Matches),
}

impl Store {
    /// How many events answer the query.
    pub fn count(&self, scope: &Scope) -> Result<Count, Error> {
        let running = self.run(scope)?;
        let mut count = 0;
        let ask = |part: &Part, filter: &Filter| match part.quick_count(filter) {
            Some(count) => Answer::Known(count),
            None => Answer::Rows(part.eval(filter)),
        };
        running.ask_parts(&ask, &mut |source, part, answer| {
            count += u64::from(match answer {
                Answer::Known(count) => count,
                Answer::Rows(matches) => running.exact(source, part, matches)?.len(),
            });
            Ok(())
        })?;
        Ok(Count { count, behind: running.behind })
    }

    /// How many events answer the query in each interval of time.
    pub fn histogram(&self, request: &HistogramRequest) -> Result<Histogram, Error> {
        if request.by_limit > MAX_STACK {
            return Err(Error::Refused(format!("a histogram is stacked by at most {MAX_STACK} values")));
        }
        let key = request.by.as_deref().map(Key::parse).transpose()?;
        let running = self.run(&request.scope)?;
        let mut found: Vec<(usize, Arc<Part>, RowSet)> = Vec::new();
        let (mut least, mut greatest) = (i64::MAX, i64::MIN);
        let mut count = 0;
        running.each_part(|source, part, rows| {
            count += u64::from(rows.len());
            // Which events there are decides where a side without a bound begins.
            if request.scope.from.is_none() || request.scope.to.is_none() {
                let (first, last) = times(part, &rows);
                least = least.min(first);
                greatest = greatest.max(last);
            }
            found.push((running.number_of(source), part.clone(), rows));
            Ok(())
        })?;
        let from = request.scope.from.map_or(least, |from| from.0);
        let last = request.scope.to.map_or(greatest, |to| to.0.saturating_sub(1));
        let mut histogram = Histogram {
            from: Nanos(from.min(last)),
            to: Nanos(from.min(last)),
            interval: 0,
            buckets: Vec::new(),
            by_values: Vec::new(),
            more_values: 0,
            count,
            behind: running.behind,
        };
        if from > last {
            return Ok(histogram);
        }
        let (interval, first, number) = buckets(request.interval, from, last)?;
        histogram.interval = interval;
        let start = |bucket: i64| Nanos(first.saturating_add(bucket).saturating_mul(interval));
        histogram.from = start(0);
        histogram.to = start(number as i64);
        histogram.buckets = (0..number as i64)
            .map(|bucket| Bucket { time: start(bucket), count: 0, by: Vec::new() })
            .collect();
        let mut counts = vec![0; number];
        for (_, part, rows) in &found {
            running.check()?;
            part.histogram(rows, histogram.from.0, interval, &mut counts);
        }
        for (bucket, count) in histogram.buckets.iter_mut().zip(counts) {
            bucket.count = count;
        }
        if let Some(key) = key {
            let tally = Tally::new(&self.fingerprints);
            stack(&running, &key, request.by_limit, &found, &mut histogram, tally)?;
        }
        Ok(histogram)
    }
}

/// The least and the greatest event time of some rows.
fn times(part: &Part, rows: &RowSet) -> (i64, i64) {
    if rows.len() == part.row_count() {
        return part.times();
    }
    if part.times_sorted() {
        let (first, last) = (rows.iter().next(), rows.iter_desc().next());
        return (first.map_or(i64::MAX, |row| part.time(row)), last.map_or(i64::MIN, |row| part.time(row)));
    }
    let mut times = Vec::new();
    part.times_of(rows, &mut times);
    let (least, greatest) = (times.iter().min(), times.iter().max());
    (least.copied().unwrap_or(i64::MAX), greatest.copied().unwrap_or(i64::MIN))
}

/// The width, the number of the first bucket (counted from 1970), and how many there are.
fn buckets(interval: Interval, from: i64, last: i64) -> Result<(i64, i64, usize), Error> {
    let number = |width: i64| {
        let number = i128::from(last.div_euclid(width)) - i128::from(from.div_euclid(width)) + 1;
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let width = match interval {
        Interval::Nanos(width) if width > 0 => width,
        Interval::Nanos(_) => return Err(Error::Refused("an interval is longer than nothing".to_owned())),
        Interval::AtMost(most) => {
            let most = most.clamp(2, MAX_BUCKETS);
            let fits = WIDTHS.into_iter().find(|width| number(*width) <= most);
            // The range of times is 585 years: half of it makes four buckets at most.
            fits.unwrap_or(i64::MAX)
        }
    };
    match number(width) {
        number if number <= MAX_BUCKETS => Ok((width, from.div_euclid(width), number)),
        _ => Err(Error::TooMany { what: "buckets", limit: MAX_BUCKETS }),
    }
}

fn stack(
    running: &Running<'_>,
    key: &Key,
    limit: usize,
    found: &[(usize, Arc<Part>, RowSet)],
    histogram: &mut Histogram,
    mut tally: Tally<'_>,
) -> Result<(), Error> {
    let mut parts: Vec<(&Source, &Arc<Part>, &RowSet, RowSet)> = Vec::new();
    for (number, part, rows) in found {
        running.check()?;
        let Some(source) = running.sources.get(*number) else { continue };
        let (_, unlisted) = tally_part(running, source, part, key, rows, &mut tally)?;
        parts.push((source, part, rows, unlisted));
    }
    let total = tally.len();
    histogram.by_values = tally.into_largest(limit).into_iter().map(|(value, _)| value).collect();
    histogram.more_values = (total - histogram.by_values.len()) as u64;
    let (from, width) = (histogram.from.0, histogram.interval);
    let mut counts = vec![vec![0_u64; histogram.buckets.len()]; histogram.by_values.len()];
    for (source, part, rows, unlisted) in parts {
        running.check()?;
        let listed = rows.minus(&unlisted, part.row_count());
        for (value, counts) in histogram.by_values.iter().zip(&mut counts) {
            let with = match key {
                Key::Ledger if *value == *source.name => listed.clone(),
                Key::Ledger => continue,
                Key::Target(target) => part.eval(&having(target, value)).possible.and(&listed),
            };
            part.histogram(&with, from, width, counts);
        }
        read_values(running, source, part, key, &unlisted, |row, values| {
            let bucket = usize::try_from(part.time(row).saturating_sub(from) / width).unwrap_or(usize::MAX);
            for (value, counts) in histogram.by_values.iter().zip(&mut counts) {
                if let Some(count) = counts.get_mut(bucket)
                    && values.contains(value)
                {
                    *count += 1;
                }
            }
            Ok(())
        })?;
    }
    for (number, bucket) in histogram.buckets.iter_mut().enumerate() {
        bucket.by = counts.iter().map(|counts| counts.get(number).copied().unwrap_or(0)).collect();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_rise() {
        assert!(WIDTHS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn chooses_widths() {
        let cases = [
            (Interval::AtMost(100), 0, DAY - 1, HOUR / 4, 96),
            (Interval::AtMost(24), 0, DAY - 1, HOUR, 24),
            (Interval::AtMost(23), 0, DAY - 1, 2 * HOUR, 12),
            (Interval::AtMost(10), -DAY, DAY - 1, 6 * HOUR, 8),
            (Interval::AtMost(1), 5, 5, 1_000, 1),
            (Interval::AtMost(0), i64::MIN, i64::MAX, i64::MAX, 4),
            (Interval::Nanos(7), -1, 7, 7, 3),
        ];
        for (interval, from, last, width, number) in cases {
            let found = buckets(interval, from, last).unwrap();
            assert_eq!((found.0, found.2), (width, number), "{interval:?} {from} {last}");
        }
        assert!(matches!(buckets(Interval::Nanos(0), 0, 1), Err(Error::Refused(_))));
        assert!(matches!(buckets(Interval::Nanos(1), 0, DAY), Err(Error::TooMany { .. })));
        assert!(matches!(buckets(Interval::Nanos(1), i64::MIN, i64::MAX), Err(Error::TooMany { .. })));
    }
}
