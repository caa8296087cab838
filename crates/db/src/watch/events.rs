//! The events of a watch.
//!
//! A change of a row is `row.insert`, `row.update`, `row.delete` or `row.truncate`. Its id follows from watch, transaction and the change's
//! number in it, so that the same change gives the same event after a crash; `request_id` is the transaction, `username` the account, or
//! `-` where the server does not tell. Values are shown as what their column holds: numbers where JSON can hold them exactly, texts as texts,
//! bytes as hexadecimal digits; of long ones the beginning, the length and SHA-256; of masked ones nothing.

use attestry_event::{Event, Nanos};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::cell::Cell;
use crate::copy::{Origin, SeenBy};
use crate::hex;
use crate::table::{Column, Kind, Name, Table};

/// How many bytes of a value are shown.
const VALUE_BYTES: usize = 1_024;

/// How many bytes of the values of one event are shown, so that it stays within what an entry may hold; after that only their lengths.
const SHOWN_BYTES: usize = 20_000;

/// How many columns are shown.
const COLUMNS_MAX: usize = 100;

/// How many digits an event's id has.
const ID_DIGITS: usize = 32;

/// The id of an event, made of what it tells and of the watch that does: another watch of the same database tells the same in events of its own.
pub(super) fn id(watch: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in [watch.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digits = hex(&hash.finalize());
    digits.truncate(ID_DIGITS);
    digits
}

/// The id of a change's event: of the transaction, and of the change's number among those of its table, which is the same whatever else is watched.
pub(super) fn change_id(watch: &str, transaction: &str, time: i64, table: &Name, number: u64) -> String {
    let (time, number) = (time.to_be_bytes(), number.to_be_bytes());
    let (schema, table) = (table.schema.as_bytes(), table.table.as_bytes());
    id(watch, &[b"change", transaction.as_bytes(), &time, schema, table, &number])
}

/// Microseconds since 1970.
pub(super) fn micros(time: Nanos) -> i64 {
    time.0.div_euclid(1_000)
}

/// The time of so many microseconds since 1970.
pub(super) fn time_of(micros: i64) -> Nanos {
    Nanos(micros.saturating_mul(1_000))
}

/// The stream of a watch leaves something out.
pub(super) fn gap(watch: &str, time: i64, position: Option<&str>, message: String, reason: String) -> Event {
    let at = position.unwrap_or_default().as_bytes();
    let event = Event::new("gap.stream", "-")
        .id(id(watch, &[b"gap.stream", &time.to_be_bytes(), at]))
        .time(time_of(time))
        .resource(watch)
        .severity(3)
        .message(message)
        .data("watch", watch)
        .data("reason", reason);
    match position {
        Some(position) => event.data("position", position),
        None => event,
    }
}

/// Shows values until there is too much of them.
#[derive(Default)]
pub(super) struct Shown {
    bytes: usize,
    columns: usize,
}

impl Shown {
    /// A value, as JSON.
    pub(super) fn value(&mut self, column: &Column, cell: &Cell) -> Value {
        let bytes = match cell {
            Cell::Null => return Value::Null,
            Cell::Masked(_) => return json!({"masked": true}),
            Cell::Value(bytes) => bytes,
        };
        let room = VALUE_BYTES.min(SHOWN_BYTES.saturating_sub(self.bytes));
        self.bytes += bytes.len().min(VALUE_BYTES) + column.name.len();
        if bytes.len() > room {
            let mut short = Map::new();
            if let Value::String(start) = shown(column, start_of(bytes, room.min(64))) {
                short.insert("start".to_owned(), Value::String(start));
            }
            short.insert("bytes".to_owned(), json!(bytes.len()));
            short.insert("sha256".to_owned(), json!(hex(&Sha256::digest(bytes))));
            return Value::Object(short);
        }
        shown(column, bytes)
    }

    fn columns<'a>(&mut self, table: &'a Table) -> impl Iterator<Item = (usize, &'a Column)> + use<'a> {
        let left = COLUMNS_MAX.saturating_sub(self.columns);
        self.columns += table.columns.len().min(left);
        table.columns.iter().enumerate().take(left)
    }

    /// A row, or a key, by column.
    pub(super) fn row(&mut self, table: &Table, cells: &[Cell]) -> Map<String, Value> {
        let shown = self.columns(table);
        let shown = shown.filter_map(|(place, column)| Some((column, cells.get(place)?)));
        shown.map(|(column, cell)| (column.name.clone(), self.value(column, cell))).collect()
    }

    /// The key of a row.
    pub(super) fn key(&mut self, table: &Table, key: &[Cell]) -> Map<String, Value> {
        let columns =
            table.key.iter().zip(key).filter_map(|(place, cell)| Some((table.columns.get(*place)?, cell)));
        columns.map(|(column, cell)| (column.name.clone(), self.value(column, cell))).collect()
    }

    /// The columns that are different.
    pub(super) fn changes(&mut self, table: &Table, old: &[Cell], new: &[Cell]) -> Map<String, Value> {
        let mut changes = Map::new();
        for (place, column) in table.columns.iter().enumerate() {
            let (old, new) = (old.get(place).unwrap_or(&Cell::Null), new.get(place).unwrap_or(&Cell::Null));
            if old == new {
                continue;
            }
            if changes.len() == COLUMNS_MAX {
                break;
            }
            let change = match (old, new) {
                (Cell::Masked(_), _) | (_, Cell::Masked(_)) => json!({"masked": true}),
                _ => json!({"old": self.value(column, old), "new": self.value(column, new)}),
            };
            changes.insert(column.name.clone(), change);
        }
        changes
    }
}

/// Not in the middle of a character.
fn start_of(bytes: &[u8], length: usize) -> &[u8] {
    let start = bytes.get(..length).unwrap_or(bytes);
    match std::str::from_utf8(start) {
        Ok(_) => start,
        Err(error) if error.error_len().is_none() => start.get(..error.valid_up_to()).unwrap_or(start),
        Err(_) => start,
    }
}

fn shown(column: &Column, bytes: &[u8]) -> Value {
    let text = || std::str::from_utf8(bytes).ok();
    let number = match column.kind {
        Kind::Int => text().and_then(|text| text.parse::<i64>().ok()).map(Value::from),
        Kind::Unsigned => text().and_then(|text| text.parse::<u64>().ok()).map(Value::from),
        Kind::Bool => match bytes {
            b"t" => Some(Value::Bool(true)),
            b"f" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Bytes => Some(json!({"hex": hex(bytes)})),
        // Its code points are the same bytes, apart from those that MySQL's own Latin-1 has between 128 and 159.
        Kind::TextIn(ref set) if set == "latin1" && !bytes.iter().any(|byte| (128..160).contains(byte)) => {
            Some(Value::String(bytes.iter().map(|byte| char::from(*byte)).collect()))
        }
        Kind::TextIn(_) if !bytes.is_ascii() => Some(json!({"hex": hex(bytes)})),
        _ => None,
    };
    number.unwrap_or_else(|| text().map_or_else(|| json!({"hex": hex(bytes)}), |text| json!(text)))
}

/// What an event of a change begins with.
pub(super) fn row_event(name: &str, id: String, table: &Table, origin: &Origin) -> Event {
    let mut event =
        Event::new(name, origin.account.as_deref().filter(|name| !name.is_empty()).unwrap_or("-"))
            .id(id)
            .time(time_of(origin.time))
            .resource(table.name.to_string())
            .data("schema", table.name.schema.as_str())
            .data("table", table.name.table.as_str());
    if let Some(transaction) = &origin.transaction {
        event = event.request_id(transaction.as_str()).data("transaction", transaction.as_str());
    }
    if origin.seen_by == SeenBy::Comparison {
        event = event.data("seen_by", origin.seen_by.name());
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            sql_type: String::new(),
            nullable: true,
            generated: false,
            binary_order: false,
            masked: false,
        }
    }

    #[test]
    fn values_are_what_their_columns_hold() {
        let long = "ä".repeat(600);
        let hash = hex(&Sha256::digest(long.as_bytes()));
        for (kind, bytes, expected) in [
            (Kind::Int, &b"-5"[..], json!(-5)),
            (Kind::Unsigned, b"18446744073709551615", json!(u64::MAX)),
            (Kind::Decimal, b"100.00", json!("100.00")),
            (Kind::Double, b"0.1", json!("0.1")),
            (Kind::Bool, b"t", json!(true)),
            (Kind::Text, "ä😀".as_bytes(), json!("ä😀")),
            (Kind::Text, &[0xff], json!({"hex": "ff"})),
            (Kind::TextIn("latin1".to_owned()), &[b'a', 0xe4], json!("aä")),
            (Kind::TextIn("latin1".to_owned()), &[0x80], json!({"hex": "80"})),
            (Kind::TextIn("sjis".to_owned()), &[0xb1], json!({"hex": "b1"})),
            (Kind::Bytes, b"\0\xff", json!({"hex": "00ff"})),
            (Kind::Date, b"0000-00-00", json!("0000-00-00")),
            (Kind::Text, long.as_bytes(), json!({"start": "ä".repeat(32), "bytes": 1200, "sha256": hash})),
        ] {
            assert_eq!(Shown::default().value(&column("c", kind), &Cell::of(bytes)), expected);
        }
        assert_eq!(Shown::default().value(&column("c", Kind::Int), &Cell::Null), Value::Null);
    }

    #[test]
    fn what_is_shown_has_a_bound_and_masked_values_are_not() {
        let columns: Vec<Column> = (0..1_000).map(|at| column(&format!("column_{at}"), Kind::Text)).collect();
        let name = crate::Name { schema: "s".to_owned(), table: "t".to_owned() };
        let table = Table { name, columns, key: vec![0] };
        let cells = |letter: &str| vec![Cell::of(letter.repeat(1_000)); 1_000];
        let row = Shown::default().row(&table, &cells("a"));
        let changes = Shown::default().changes(&table, &cells("a"), &cells("b"));
        for shown in [row, changes] {
            let length = serde_json::to_string(&shown).unwrap().len();
            assert!(length < 58_000, "{length}");
        }
        let masked = [Cell::Masked([7; 32])];
        let changes = Shown::default().changes(&table, &masked, &[Cell::Masked([8; 32])]);
        assert_eq!(Value::Object(changes), json!({"column_0": {"masked": true}}));
    }
}
