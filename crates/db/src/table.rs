//! Tables and their columns, as a database describes them.

use serde::{Deserialize, Serialize};

use crate::cell::Cell;

/// The name of a table.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Name {
    /// The schema it is in; with MySQL, the database.
    pub schema: String,
    /// Its own name.
    pub table: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// What a column's [cells](Cell) mean.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A whole number from −2⁶³ to 2⁶³−1.
    Int,
    /// A whole number from 0 to 2⁶⁴−1. Also BIT of MySQL.
    Unsigned,
    /// An exact decimal.
    Decimal,
    /// A float of 32 bits.
    Float,
    /// A float of 64 bits.
    Double,
    /// `t` or `f` (PostgreSQL; MySQL's are numbers).
    Bool,
    /// Text that is UTF-8.
    Text,
    /// Text in another character set, by MySQL's name of it; only Latin-1 and ASCII are shown as text.
    TextIn(String),
    /// Bytes.
    Bytes,
    /// `2026-11-21`, or `0000-00-00`.
    Date,
    /// A time of day or a length of time: `-838:59:59.000000`.
    Time,
    /// Date and time without a zone.
    DateTime,
    /// Date and time in UTC.
    Timestamp,
    /// JSON text.
    Json,
    /// One of PostgreSQL's UUIDs, in its usual form.
    Uuid,
    /// Something else that has a text.
    Other,
}

/// A column.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its cells mean.
    pub kind: Kind,
    /// Its type in full, as the database writes it: `bigint(20) unsigned`, `numeric(10,2)`, `enum('a','b')`.
    pub sql_type: String,
    /// Whether it can be NULL.
    pub nullable: bool,
    /// Whether the database computes it from other columns.
    pub generated: bool,
    /// Whether texts compare byte for byte (binary collations, `C`), so that a key of it has an order that is known here.
    pub binary_order: bool,
    /// Whether its values are masked before they are compared.
    pub masked: bool,
}

/// A table.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Table {
    /// Its name.
    pub name: Name,
    /// Its columns, in the table's order.
    pub columns: Vec<Column>,
    /// The columns that tell its rows apart, by place in `columns`: the primary key, else a unique key without NULLs, else what the configuration
    /// says. Empty: nothing does, and the table cannot be watched.
    pub key: Vec<usize>,
}

/// The cells of a row's key, in the order of [`Table::key`].
pub type Key = Vec<Cell>;

impl Table {
    /// The key of a row of this table. A row that is too short has NULLs in it.
    pub fn key_of(&self, row: &[Cell]) -> Key {
        self.key.iter().map(|place| row.get(*place).cloned().unwrap_or(Cell::Null)).collect()
    }

    /// The place of a column.
    pub fn place_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// Bytes that sort as the database sorts this key, when its order is known here: whole numbers, dates, UUIDs, bytes, and texts that compare
    /// byte for byte. `None` when it is not: such tables are compared by buckets of a hash instead of ranges.
    pub fn order_of(&self, key: &[Cell]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for (place, cell) in self.key.iter().zip(key) {
            let column = self.columns.get(*place)?;
            let bytes = cell.bytes()?;
            match column.kind {
                Kind::Int => {
                    let number: i64 = cell.text()?.parse().ok()?;
                    out.extend_from_slice(&(number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
                }
                Kind::Unsigned => out.extend_from_slice(&cell.text()?.parse::<u64>().ok()?.to_be_bytes()),
                Kind::Uuid => out.extend_from_slice(bytes),
                Kind::Bytes => escape(bytes, &mut out),
                Kind::Text | Kind::TextIn(_) if column.binary_order => escape(bytes, &mut out),
                _ => return None,
            }
        }
        Some(out)
    }

    /// Whether keys of this table have an order that is known here: see [`Table::order_of`].
    pub fn is_ordered(&self) -> bool {
        !self.key.is_empty()
            && self.key.iter().filter_map(|place| self.columns.get(*place)).all(|column| match column.kind {
                // NULLs, which only columns that somebody named can have, sort differently in different databases.
                _ if column.masked || column.nullable => false,
                Kind::Int | Kind::Unsigned | Kind::Uuid | Kind::Bytes => true,
                Kind::Text | Kind::TextIn(_) => column.binary_order,
                _ => false,
            })
    }
}

/// So that one key's end sorts before another's going on: a zero byte is followed by 255, and two zeros end it.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kinds: &[(Kind, bool)]) -> Table {
        let columns = kinds.iter().enumerate().map(|(at, (kind, binary_order))| Column {
            name: format!("c{at}"),
            kind: kind.clone(),
            sql_type: String::new(),
            nullable: false,
            generated: false,
            binary_order: *binary_order,
            masked: false,
        });
        let columns: Vec<Column> = columns.collect();
        let name = Name { schema: "s".to_owned(), table: "t".to_owned() };
        Table { name, key: (0..columns.len()).collect(), columns }
    }

    #[test]
    fn keys_sort_as_the_database_sorts_them() {
        for (kind, sorted) in [
            (Kind::Int, &["-9223372036854775808", "-1", "0", "9", "10", "9223372036854775807"][..]),
            (Kind::Unsigned, &["0", "9", "10", "18446744073709551615"]),
            (Kind::Bytes, &["", "\0", "\0a", "\u{1}", "a", "a\0", "aa", "b"]),
            (Kind::Text, &["", "A", "B", "a", "ab", "b"]),
        ] {
            let table = table(&[(kind.clone(), true), (Kind::Int, true)]);
            let orders: Vec<_> = sorted
                .iter()
                .flat_map(|text| [[Cell::of(*text), Cell::of("-5")], [Cell::of(*text), Cell::of("5")]])
                .map(|key| table.order_of(&key).unwrap())
                .collect();
            assert!(orders.is_sorted(), "{kind:?}: {orders:?}");
            assert!(table.is_ordered());
        }
    }

    #[test]
    fn an_order_that_is_not_known_is_none() {
        for (kind, binary) in [(Kind::Text, false), (Kind::Decimal, true), (Kind::Double, true)] {
            let table = table(&[(kind, binary)]);
            assert!(!table.is_ordered());
            assert_eq!(table.order_of(&[Cell::of("1")]), None);
        }
        assert_eq!(table(&[(Kind::Int, true)]).order_of(&[Cell::Null]), None);
    }
}
