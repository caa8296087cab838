//! What pages and commands are shown of a copy.

use attestry_db::copy::{Version, Violation};
use attestry_db::{Cell, Kind, Table};
use attestry_event::Nanos;
use attestry_server::databases::{self as shown, Field, RowVersion, SignedOff, Whole};
use sha2::{Digest as _, Sha256};

use super::copies::Place;

/// How much of a value is shown, in bytes.
const VALUE_BYTES: usize = 32 << 10;

/// A violation as it is answered.
pub(super) fn violation(place: &Place, found: Violation) -> shown::Violation {
    let table = &found.layout.table;
    let key = table.key.iter().zip(&found.key);
    let masked = |field: &String| place.config.masks(&table.name.table, field);
    let description = match &found.field {
        // It may say what the values were.
        Some(field) if masked(field) => {
            format!("Field {field}, which is masked, broke the rule {}", found.rule)
        }
        _ => found.description,
    };
    shown::Violation {
        watch: place.watch.clone(),
        table: table.name.table.clone(),
        key: key.filter_map(|(at, cell)| field(place, table, *at, cell)).collect(),
        field: found.field,
        rule: found.rule,
        description,
        opened: micros(found.opened),
        last_seen: micros(found.last_seen),
        count: found.repeated + 1,
        event_id: found.event,
        account: found.account,
        old: found.old.map(|cells| row(place, table, &cells)),
        new: found.new.map(|cells| row(place, table, &cells)),
        rows_left_out: found.left_out,
        signed_off: found.signed.map(|signed| SignedOff {
            by: signed.by,
            at: micros(signed.at),
            reason: signed.why,
        }),
        fingerprint: found.fingerprint,
    }
}

/// A version of a row as it is answered.
pub(super) fn version(place: &Place, found: Version) -> RowVersion {
    let table = &found.layout.table;
    RowVersion {
        version: found.version,
        at: micros(found.origin.time),
        seen_at: found.origin.seen.map(micros),
        operation: found.op.name().to_owned(),
        transaction: found.origin.transaction,
        account: found.origin.account,
        unexplained: found.origin.unexplained,
        row: found.cells.map(|cells| row(place, table, &cells)),
    }
}

fn row(place: &Place, table: &Table, cells: &[Cell]) -> Vec<Field> {
    cells.iter().enumerate().filter_map(|(at, cell)| field(place, table, at, cell)).collect()
}

/// A value, or what may be told of it. What was copied before its column was masked is not shown either.
fn field(place: &Place, table: &Table, at: usize, cell: &Cell) -> Option<Field> {
    let column = table.columns.get(at)?;
    let masked = place.config.masks(&table.name.table, &column.name);
    let (value, whole) = match cell {
        Cell::Value(bytes) if !masked => (Some(text(&column.kind, bytes)), whole(bytes)),
        _ => (None, None),
    };
    let masked = *cell != Cell::Null && (masked || matches!(cell, Cell::Masked(_)));
    Some(Field { column: column.name.clone(), value, masked, whole })
}

/// A value as text: bytes, and what is text in a character set that is not read here, in hexadecimal after `\x`. Of a long one the beginning.
fn text(kind: &Kind, bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !matches!(kind, Kind::Bytes) => text[..text.floor_char_boundary(VALUE_BYTES)].to_owned(),
        _ => format!("\\x{}", attestry_event::hex(&bytes[..VALUE_BYTES.min(bytes.len())])),
    }
}

/// What a value is of which only the beginning is shown.
fn whole(bytes: &[u8]) -> Option<Whole> {
    let sha256 = || attestry_event::hex(Sha256::digest(bytes));
    (bytes.len() > VALUE_BYTES).then(|| Whole { bytes: bytes.len() as u64, sha256: sha256() })
}

fn micros(time: i64) -> Nanos {
    Nanos(time.saturating_mul(1_000))
}
