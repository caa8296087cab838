//! A list of events.

use attestry_store::Order;

use crate::body::{Content, Part, Table};
use crate::cells::{cell, heading};
use crate::definition::{Search, column_of};
use crate::make::{Maker, cite};
use crate::{Error, Section};

const COLUMNS: [&str; 6] = ["event_time", "host", "username", "event_name", "resource", "message"];

pub(super) fn write(
    maker: &Maker<'_>,
    section: &Section,
    search: &Search,
    part: &mut Part,
) -> Result<(), Error> {
    let scope = maker.scope(section, &search.query, part)?;
    let columns: Vec<(&str, &str)> = match search.columns.as_slice() {
        [] => COLUMNS.iter().map(|name| (*name, heading(name))).collect(),
        columns => columns
            .iter()
            .map(|column| match column_of(column) {
                (path, name) if path == name => (path, heading(name)),
                named => named,
            })
            .collect(),
    };
    let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
    let mut table = Table::new(&names);
    let order = if search.newest_first { Order::NewestFirst } else { Order::OldestFirst };
    maker.each(&scope, order, |hit, entry| {
        table.row(columns.iter().map(|(path, _)| cell(entry, path)), Some(cite(hit)));
        Ok(table.rows.len() < search.limit)
    })?;
    let count = maker.logs.store.count(&scope)?.count;
    table.left_out = count.saturating_sub(table.rows.len() as u64);
    part.content.push(Content::Table(table));
    Ok(())
}
