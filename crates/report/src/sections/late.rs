//! What came after the report that the schedule had made before, though it happened before this window: an agent was offline, or it was on its way.
//! No report of the schedule has it in its window.

use attestry_store::{Order, Query};

use crate::body::{Content, Fact, Part, Table};
use crate::cells::{cell, heading, time};
use crate::make::{Maker, cite};
use crate::{Error, Previous};

/// The most events that are listed; what is left out is counted.
const ROWS: usize = 100;

const COLUMNS: [&str; 7] =
    ["event_time", "received_at", "host", "username", "event_name", "resource", "message"];

/// The part that says so; `looked_at` is what the sections asked for within the window. None when they asked for nothing.
pub(crate) fn part(
    maker: &Maker<'_>,
    previous: &Previous,
    looked_at: &[String],
) -> Result<Option<Part>, Error> {
    if looked_at.is_empty() {
        return Ok(None);
    }
    let since = |at: &crate::LedgerAt| {
        let size = previous.sizes.get(&at.name).copied().filter(|size| *size < at.size)?;
        Some(format!("(_ledger:{} _index:[{size} TO {}}})", at.name, at.size))
    };
    let came: Vec<String> = maker.recipe.ledgers.iter().filter_map(since).collect();
    let from = maker.recipe.window.from;
    let note = format!(
        "What happened before this window and came after the report before this one was made (its window ended at {}). No report of this schedule has it in its window.",
        time(previous.to)
    );
    let mut part = Part {
        title: "Came late".to_owned(),
        notes: vec![note],
        queries: Vec::new(),
        content: vec![Content::Facts(vec![Fact::new("came late", 0)])],
    };
    if came.is_empty() {
        return Ok(Some(part));
    }
    let read = |what: &[String]| {
        Query::parse(&format!("event_time:[* TO {from}}} ({}) ({})", came.join(" OR "), what.join(" OR ")))
    };
    let covered = |query: &String| looked_at.iter().any(|other| is_narrower(query, other));
    let asked = looked_at.iter().filter(|query| !covered(query));
    let asked: Vec<String> = asked.map(|query| format!("({query})")).collect();
    // All sections' queries together may be longer than a query may be. Then it is everything that came late.
    let query =
        read(&asked).or_else(|_| read(&["*".to_owned()])).map_err(|error| Error::refused(error.message))?;
    let scope = maker.within(&query, false);
    let mut table = Table::new(&COLUMNS.map(heading));
    maker.each(&scope, Order::OldestFirst, |hit, entry| {
        table.row(COLUMNS.iter().map(|name| cell(entry, name)), Some(cite(hit)));
        Ok(table.rows.len() < ROWS)
    })?;
    let count = maker.logs.store.count(&scope)?.count;
    table.left_out = count.saturating_sub(table.rows.len() as u64);
    if count > 0 {
        part.queries.push(query.to_string());
        part.content = vec![Content::Facts(vec![Fact::new("came late", count)]), Content::Table(table)];
    }
    Ok(Some(part))
}

/// Whether a query is another one and more conditions, as far as the texts tell.
fn is_narrower(query: &str, other: &str) -> bool {
    query.strip_prefix(other).is_some_and(|more| more.starts_with(' ') && !more.contains(" OR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_with_more_conditions_is_narrower() {
        for (query, other, expected) in [
            ("a:b c:d", "a:b", true),
            ("a:b OR c:d e:f", "a:b OR c:d", true),
            ("a:b NOT c:d", "a:b", true),
            ("a:b", "a:b", false),
            ("a:bc", "a:b", false),
            ("a:b OR c:d", "a:b", false),
            ("a:b c:d OR e:f", "a:b", false),
            ("c:d", "a:b", false),
        ] {
            assert_eq!(is_narrower(query, other), expected, "{query}, {other}");
        }
    }
}
