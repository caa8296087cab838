//! What broke a rule of a watched database and was not signed off when the window ended, with the command that signs off.

use std::collections::HashMap;

use attestry_store::{Hit, Order, Query};

use crate::Error;
use crate::body::{Content, Fact, Part, Table};
use crate::cells::cell;
use crate::definition::Violations;
use crate::make::{Maker, cite};

/// What opens, repeats and closes.
const QUERY: &str = "event_name:violation.open OR event_name:violation.repeat OR event_name:violation.sign_off \
                     OR event_name:schema.pause OR event_name:schema.drop OR event_name:schema.accept";

struct Open {
    cells: Vec<String>,
    repeated: u64,
    hit: Hit,
}

pub(super) fn write(maker: &Maker<'_>, violations: &Violations, part: &mut Part) -> Result<(), Error> {
    let query = Query::parse(QUERY).map_err(|error| Error::refused(error.message))?;
    part.queries.push(query.to_string());
    let scope = maker.within(&query, false);
    let mut open: HashMap<(String, String), Open> = HashMap::new();
    maker.each(&scope, Order::OldestFirst, |hit, entry| {
        let of = |name: &str| cell(entry, name);
        let at = (of("event_source"), of("event_data.fingerprint"));
        match &*entry.event_name() {
            "violation.sign_off" | "schema.accept" => {
                open.remove(&at);
            }
            "violation.repeat" => {
                if let Some(open) = open.get_mut(&at) {
                    open.repeated += 1;
                }
            }
            name => {
                let rule = match name {
                    "violation.open" => of("event_data.rule"),
                    _ => "schema".to_owned(),
                };
                let description = match of("event_data.description") {
                    text if text.is_empty() => of("message"),
                    text => text,
                };
                let cells = vec![
                    at.1.clone(),
                    of("event_time"),
                    at.0.clone(),
                    of("resource"),
                    of("event_data.key"),
                    of("event_data.field"),
                    rule,
                    description,
                    of("username"),
                ];
                open.entry(at).or_insert(Open { cells, repeated: 0, hit: hit.clone() });
            }
        }
        Ok(true)
    })?;
    let mut pending: Vec<Open> = open.into_values().collect();
    pending.sort_by(|one, other| {
        let of = |open: &Open| (open.hit.event_time, open.hit.ledger.clone(), open.hit.index);
        of(one).cmp(&of(other))
    });
    part.content.push(Content::Facts(vec![Fact::new("pending at the end of the window", pending.len())]));
    let mut table = Table::new(&[
        "fingerprint",
        "opened",
        "watch",
        "table",
        "key",
        "field",
        "rule",
        "description",
        "by",
        "#seen again",
    ]);
    table.left_out = pending.len().saturating_sub(violations.limit) as u64;
    pending.truncate(violations.limit);
    // A fingerprint is hexadecimal; anything else has no place in a command that somebody copies.
    let plain = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let fingerprints: Vec<&str> =
        pending.iter().filter_map(|open| open.cells.first()).map(String::as_str).filter(plain).collect();
    let command = (!fingerprints.is_empty())
        .then(|| format!("attestry db sign-off {} --reason 'why this is all right'", fingerprints.join(" ")));
    for open in &pending {
        let cells = open.cells.iter().cloned().chain([open.repeated.to_string()]);
        table.row(cells, Some(cite(&open.hit)));
    }
    if !table.rows.is_empty() {
        part.content.push(Content::Table(table));
    }
    part.content.extend(command.map(Content::Command));
    Ok(())
}
