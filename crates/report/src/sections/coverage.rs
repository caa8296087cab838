//! Per host and source: what came, and when nothing did. What is known to be missing is told by `gap.*` events, which a section of its own lists.

use attestry_store::{HistogramRequest, Interval, Order, Query, Scope};

use super::aggregate::length;
use super::matrix::groups;
use crate::body::{Content, Part, Table};
use crate::cells::time;
use crate::definition::Coverage;
use crate::make::Maker;
use crate::{Error, Section};

const HOUR: i64 = 3_600_000_000_000;

/// The most pairs of host and source; each is a search of its own.
const PAIRS_MAX: usize = 2_000;

pub(super) fn write(
    maker: &Maker<'_>,
    section: &Section,
    coverage: &Coverage,
    part: &mut Part,
) -> Result<(), Error> {
    let scope = maker.scope(section, &coverage.query, part)?;
    let by = ["host", "event_source"].map(str::to_owned);
    let mut pairs: Vec<Vec<Option<String>>> =
        groups(maker, scope.clone(), &by)?.rows.into_iter().map(|row| row.by).collect();
    pairs.sort_unstable();
    if pairs.len() > PAIRS_MAX {
        let what = format!("there are {} pairs of host and source, more than {PAIRS_MAX}", pairs.len());
        return Err(Error::refused(what));
    }
    let names =
        ["host", "source", "#events", "first", "last", "#hours with none", "longest stretch with none"];
    let mut table = Table::new(&names);
    let window = maker.recipe.window;
    // A window of more hours than a histogram has buckets is looked at by days.
    let hours = (window.to.0.saturating_sub(window.from.0) / HOUR) as usize;
    let width = if hours < attestry_store::MAX_BUCKETS { HOUR } else { 24 * HOUR };
    for pair in pairs {
        let term = |(name, value): (&str, &Option<String>)| match value {
            None => format!("-{name}:*"),
            Some(value) => format!("{name}:\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
        };
        let text: Vec<String> = by.iter().map(String::as_str).zip(&pair).map(term).collect();
        let query = Query::parse(&text.join(" ")).map_err(|error| Error::refused(error.message))?;
        let scope = Scope { query: scope.query.and(&query), ..scope.clone() };
        let mut cells: Vec<String> = pair.into_iter().map(Option::unwrap_or_default).collect();
        cells.extend(figures(maker, scope, width)?);
        table.row(cells, None);
    }
    part.content.push(Content::Table(table));
    Ok(())
}

fn figures(maker: &Maker<'_>, scope: Scope, width: i64) -> Result<[String; 5], Error> {
    let mut ends = [String::new(), String::new()];
    for (end, order) in ends.iter_mut().zip([Order::OldestFirst, Order::NewestFirst]) {
        maker.each(&scope, order, |hit, _| {
            *end = time(hit.event_time);
            Ok(false)
        })?;
    }
    let request = HistogramRequest { scope, interval: Interval::Nanos(width), by: None, by_limit: 0 };
    let found = maker.logs.store.histogram(&request)?;
    let hours = (width / HOUR) as u64;
    let (mut none, mut stretch, mut longest) = (0, 0_u64, 0);
    for bucket in &found.buckets {
        stretch = if bucket.count == 0 { stretch + hours } else { 0 };
        none += if bucket.count == 0 { hours } else { 0 };
        longest = stretch.max(longest);
    }
    let longest = if longest == 0 { String::new() } else { length(longest * 3_600) };
    let [first, last] = ends;
    Ok([found.count.to_string(), first, last, none.to_string(), longest])
}
