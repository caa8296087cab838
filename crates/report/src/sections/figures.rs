//! Figures from outside, as their events say.

use crate::Section;
use crate::body::{Content, Fact, Part, Table};
use crate::figures::Taken;
use crate::make::Maker;

pub(super) fn write(maker: &Maker<'_>, section: &Section, part: &mut Part) {
    let mut facts = Vec::new();
    for figure in &section.figures {
        part.queries.push(figure.source());
        let Some((cite, taken)) = maker.figures.get(&figure.name) else {
            facts.push(Fact::new(&figure.name, "(was not taken for this report)"));
            continue;
        };
        let value = match taken {
            Taken::Value(value) => value.clone(),
            Taken::Rows { rows, more: false, .. } => format!("{} rows", rows.len()),
            Taken::Rows { rows, .. } => format!("the first {} rows; there are more", rows.len()),
            Taken::Failed(why) => format!("(could not be had: {why})"),
        };
        facts.push(Fact { name: figure.name.clone(), value, cite: Some(cite.clone()) });
    }
    part.content.push(Content::Facts(facts));
    for figure in &section.figures {
        let Some((_, Taken::Rows { columns, rows, .. })) = maker.figures.get(&figure.name) else { continue };
        let mut table = Table {
            columns: columns.clone(),
            numeric: (0..columns.len()).map(|column| is_numeric(rows, column)).collect(),
            rows: Vec::new(),
            left_out: 0,
        };
        for row in rows {
            table.row(row.iter().map(|value| value.clone().unwrap_or_else(|| "(NULL)".to_owned())), None);
        }
        part.content.push(Content::Table(table));
    }
}

fn is_numeric(rows: &[Vec<Option<String>>], column: usize) -> bool {
    let mut values = rows.iter().filter_map(|row| row.get(column)?.as_ref()).peekable();
    values.peek().is_some() && values.all(|value| crate::decimal::Exact::parse(value).is_some())
}
