//! What pages and commands are shown of a copy.

use attestry_db::copy::{Version, Violation};
use attestry_db::{Cell, Kind, Table};
use attestry_event::Nanos;
use attestry_server::databases::{self as shown, Field, RowVersion, SignedOff};

/// A violation as it is answered.
pub(super) fn violation(watch: &str, found: Violation) -> shown::Violation {
    let table = &found.layout.table;
    let key = table.key.iter().zip(&found.key);
    shown::Violation {
        watch: watch.to_owned(),
        table: table.name.table.clone(),
        key: key.filter_map(|(place, cell)| field(table, *place, cell)).collect(),
        field: found.field,
        rule: found.rule,
        description: found.description,
        opened: micros(found.opened),
        last_seen: micros(found.last_seen),
        count: found.repeated + 1,
        event_id: found.event,
        account: found.account,
        old: found.old.map(|cells| row(table, &cells)),
        new: found.new.map(|cells| row(table, &cells)),
        signed_off: found.signed.map(|signed| SignedOff {
            by: signed.by,
            at: micros(signed.at),
            reason: signed.why,
        }),
        fingerprint: found.fingerprint,
    }
}

/// A version of a row as it is answered.
pub(super) fn version(found: Version) -> RowVersion {
    let table = &found.layout.table;
    RowVersion {
        version: found.version,
        at: micros(found.origin.time),
        seen_at: found.origin.seen.map(micros),
        operation: found.op.name().to_owned(),
        transaction: found.origin.transaction,
        account: found.origin.account,
        unexplained: found.origin.unexplained,
        row: found.cells.map(|cells| row(table, &cells)),
    }
}

fn row(table: &Table, cells: &[Cell]) -> Vec<Field> {
    cells.iter().enumerate().filter_map(|(place, cell)| field(table, place, cell)).collect()
}

fn field(table: &Table, place: usize, cell: &Cell) -> Option<Field> {
    let column = table.columns.get(place)?;
    let value = match cell {
        Cell::Null | Cell::Masked(_) => None,
        Cell::Value(bytes) => Some(text(&column.kind, bytes)),
    };
    Some(Field { column: column.name.clone(), value, masked: matches!(cell, Cell::Masked(_)) })
}

/// A value as text: bytes, and what is text in a character set that is not read here, in hexadecimal after `\x`.
fn text(kind: &Kind, bytes: &[u8]) -> String {
    let known = !matches!(kind, Kind::Bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) if known => text.to_owned(),
        _ => bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

fn micros(time: i64) -> Nanos {
    Nanos(time.saturating_mul(1_000))
}
