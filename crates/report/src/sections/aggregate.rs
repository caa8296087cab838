//! Counts, most frequent values, counts over time. What the store gives of these is exact.

use attestry_store::{HistogramRequest, Interval};

use super::{matrix, sums};
use crate::body::{Chart, Content, Fact, Part, Series, Table};
use crate::cells::heading;
use crate::definition::{Aggregate, Counted, Histogram, Top};
use crate::make::Maker;
use crate::{Error, Section};

/// Buckets of a chart, unless their width is given.
const BUCKETS: usize = 60;

const SECOND: i64 = 1_000_000_000;

pub(super) fn write(
    maker: &Maker<'_>,
    section: &Section,
    aggregate: &Aggregate,
    part: &mut Part,
) -> Result<(), Error> {
    let Aggregate { counts: wanted, top: of_top, matrix: of_matrix, histogram: of_time, sums: of_sums } =
        aggregate;
    if !wanted.is_empty() {
        counts(maker, section, wanted, part)?;
    }
    if let Some(of) = of_top {
        top(maker, section, of, part)?;
    }
    if let Some(of) = of_matrix {
        matrix::write(maker, section, of, part)?;
    }
    if let Some(of) = of_time {
        histogram(maker, section, of, part)?;
    }
    if let Some(of) = of_sums {
        sums::write(maker, section, of, part)?;
    }
    Ok(())
}

fn counts(maker: &Maker<'_>, section: &Section, wanted: &[Counted], part: &mut Part) -> Result<(), Error> {
    let mut facts = Vec::with_capacity(wanted.len());
    for counted in wanted {
        let scope = maker.scope(section, &counted.query, part)?;
        let number = match &counted.distinct {
            Some(field) => maker.logs.store.distinct(&scope, field)?,
            None => maker.logs.store.count(&scope)?.count,
        };
        facts.push(Fact::new(maker.fill(&counted.name), number));
    }
    part.content.push(Content::Facts(facts));
    Ok(())
}

fn top(maker: &Maker<'_>, section: &Section, top: &Top, part: &mut Part) -> Result<(), Error> {
    let scope = maker.scope(section, &top.query, part)?;
    let found = maker.logs.store.top(&scope, &top.field, top.limit)?;
    let mut table = Table::new(&[heading(&top.field), "#events"]);
    table.left_out = found.distinct.saturating_sub(found.values.len() as u64);
    for (value, count) in found.values {
        table.row([value, count.to_string()], None);
    }
    if found.missing > 0 {
        table.row(["(none)".to_owned(), found.missing.to_string()], None);
    }
    part.content.push(Content::Table(table));
    Ok(())
}

fn histogram(
    maker: &Maker<'_>,
    section: &Section,
    histogram: &Histogram,
    part: &mut Part,
) -> Result<(), Error> {
    let scope = maker.scope(section, &histogram.query, part)?;
    let interval = match histogram.interval {
        Some(every) => Interval::Nanos(i64::try_from(every.0.as_nanos()).unwrap_or(i64::MAX)),
        None => Interval::AtMost(BUCKETS),
    };
    let request = HistogramRequest { scope, interval, by: histogram.by.clone(), by_limit: histogram.values };
    let found = maker.logs.store.histogram(&request)?;
    let mut series: Vec<Series> = found
        .by_values
        .iter()
        .enumerate()
        .map(|(nth, name)| Series {
            name: name.clone(),
            values: found.buckets.iter().map(|bucket| bucket.by.get(nth).copied().unwrap_or(0)).collect(),
        })
        .collect();
    let rest: Vec<u64> = found
        .buckets
        .iter()
        .map(|bucket| bucket.count.saturating_sub(bucket.by.iter().sum::<u64>()))
        .collect();
    if series.is_empty() || rest.iter().any(|count| *count > 0) {
        let name = if series.is_empty() { "events" } else { "others" };
        series.push(Series { name: name.to_owned(), values: rest });
    }
    let interval_s = u64::try_from(found.interval / SECOND).unwrap_or(1).max(1);
    part.notes.push(format!("{} events; each bar is {}.", found.count, length(interval_s)));
    part.content.push(Content::Chart(Chart { from: found.from, interval_s, series }));
    Ok(())
}

/// A length of time in words.
pub(super) fn length(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "second"));
    let number = seconds / unit;
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}
