//! Values in rows, counts in columns.

use std::collections::HashMap;

use attestry_store::{Calculation, Figure, MAX_GROUPS, Scope, Stats, StatsRequest};

use crate::body::{Content, Part, Table};
use crate::cells::heading;
use crate::definition::Matrix;
use crate::make::Maker;
use crate::{Error, Section};

pub(super) fn write(
    maker: &Maker<'_>,
    section: &Section,
    matrix: &Matrix,
    part: &mut Part,
) -> Result<(), Error> {
    let all = groups(maker, maker.scope(section, &matrix.query, part)?, &matrix.by)?;
    let mut columns: Vec<HashMap<Vec<Option<String>>, u64>> = Vec::with_capacity(matrix.columns.len());
    for column in &matrix.columns {
        let query = format!("({}) ({})", or_all(&matrix.query), or_all(&column.query));
        let found = groups(maker, maker.scope(section, &query, part)?, &matrix.by)?;
        columns.push(found.rows.into_iter().map(|row| (row.by, row.count)).collect());
    }
    let names = matrix.by.iter().map(|name| heading(name).to_owned());
    let numbers = matrix.columns.iter().map(|column| format!("#{}", maker.fill(&column.name)));
    let names: Vec<String> = names.chain(["#events".to_owned()]).chain(numbers).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut table = Table::new(&names);
    table.left_out = all.groups.saturating_sub(matrix.limit as u64);
    for row in all.rows.into_iter().take(matrix.limit) {
        let counts = columns.iter().map(|column| column.get(&row.by).copied().unwrap_or(0).to_string());
        let counts: Vec<String> = std::iter::once(row.count.to_string()).chain(counts).collect();
        table.row(row.by.into_iter().map(Option::unwrap_or_default).chain(counts), None);
    }
    part.content.push(Content::Table(table));
    Ok(())
}

fn or_all(query: &str) -> &str {
    if query.trim().is_empty() { "*" } else { query }
}

/// How many events each group has. All groups, or an error: of a cut list nobody could tell what a missing one has.
pub(super) fn groups(maker: &Maker<'_>, scope: Scope, by: &[String]) -> Result<Stats, Error> {
    let request = StatsRequest {
        scope,
        by: by.to_vec(),
        calculations: vec![Calculation { figure: Figure::Events, field: String::new() }],
        limit: MAX_GROUPS,
    };
    let stats = maker.logs.store.stats(&request)?;
    if stats.cut {
        let by = by.join(", ");
        return Err(Error::refused(format!(
            "there are {} different values of {by}, more than {MAX_GROUPS}: narrow the query or the window",
            stats.groups
        )));
    }
    Ok(stats)
}
