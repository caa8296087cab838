//! What the database is asked to compute: the bytes of cells, rows and keys (see [`crate::Cell`]), in SQL.
//!
//! A value's text is what its type's output function gives, as in the stream. A cast to `text` is the same for most types and quicker; for
//! `boolean`, `character(n)`, `inet` and others it is not, and `format('%s', …)` is what calls the output function itself. Texts are put together
//! as text and turned into UTF-8 once; in databases with another encoding the length counts the bytes of UTF-8 all the same.

use std::ops::RangeInclusive;

use tokio_postgres::types::ToSql;

use crate::cell::{Cell, MaskKey, encode_row};
use crate::table::{Column, Key, Kind, Table};

/// Types of which a cast to `text` is what the output function gives: beginnings of their names.
const CAST_IS_OUTPUT: [&str; 17] = [
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
    "text",
    "character varying",
    "uuid",
    "date",
    "timestamp",
    "time ",
    "interval",
    "jsonb",
    "json",
    "money",
    "oid",
];

/// Types that are compared as what they are, besides those of which the order is known here: beginnings of their names.
const COMPARED: [&str; 15] = [
    "numeric",
    "real",
    "double precision",
    "character",
    "date",
    "timestamp",
    "time ",
    "interval",
    "inet",
    "cidr",
    "macaddr",
    "bit",
    "money",
    "boolean",
    "name",
];

/// The parameters of a statement, as they are numbered in it.
#[derive(Default)]
pub(super) struct Given(Vec<Box<dyn ToSql + Sync + Send>>);

impl Given {
    /// Adds one; gives what stands for it.
    fn add(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// The statements over one table.
pub(super) struct Statements<'a> {
    table: &'a Table,
    /// Whether the database's own encoding is UTF-8.
    utf8: bool,
    /// What stands for the key of masked values, if there are any.
    mask: Option<String>,
    pub(super) given: Given,
}

/// A cell's bytes in a row, as text or as bytes.
enum Piece {
    Text(String),
    Bytes(String),
}

impl<'a> Statements<'a> {
    pub(super) fn new(table: &'a Table, mask: &MaskKey, utf8: bool) -> Statements<'a> {
        let mut given = Given::default();
        let masked = table.columns.iter().any(|column| column.masked);
        let mask = masked.then(|| format!("{}::bytea", given.add(mask.0.to_vec())));
        Statements { table, utf8, mask, given }
    }

    /// Rows of the table as the columns `c0`, `c1` …, each a value's text or bytes. What comes after `FROM` is `rest`.
    fn values(&self, rest: &str) -> String {
        let values =
            self.table.columns.iter().enumerate().map(|(at, column)| format!("{} AS c{at}", value(column)));
        let table = format!("{}.{}", quoted(&self.table.name.schema), quoted(&self.table.name.table));
        format!("SELECT {} FROM ONLY {table} AS t {rest}", values.collect::<Vec<_>>().join(", "))
    }

    /// The bytes of a row, over the columns of [`Statements::values`].
    fn row(&self) -> String {
        self.joined(0..self.table.columns.len())
    }

    /// The bytes of a row's key.
    fn key(&self) -> String {
        self.joined(self.table.key.iter().copied())
    }

    fn joined(&self, places: impl Iterator<Item = usize>) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        let utf8 =
            |texts: &mut Vec<String>| format!("convert_to({}, 'UTF8')", std::mem::take(texts).join(" || "));
        for place in places {
            let Some(column) = self.table.columns.get(place) else { continue };
            match self.piece(column, &format!("c{place}")) {
                Piece::Text(text) => texts.push(text),
                Piece::Bytes(bytes) => {
                    if !texts.is_empty() {
                        parts.push(utf8(&mut texts));
                    }
                    parts.push(bytes);
                }
            }
        }
        if !texts.is_empty() {
            parts.push(utf8(&mut texts));
        }
        if parts.is_empty() { "''::bytea".to_owned() } else { parts.join(" || ") }
    }

    fn piece(&self, column: &Column, value: &str) -> Piece {
        let is_bytes = column.kind == Kind::Bytes;
        let bytes = if is_bytes { value.to_owned() } else { format!("convert_to({value}, 'UTF8')") };
        match &self.mask {
            Some(mask) if column.masked => {
                Piece::Bytes(format!("coalesce('M'::bytea || sha256({mask} || sha256({bytes})), 'N'::bytea)"))
            }
            _ if is_bytes => Piece::Bytes(format!(
                "coalesce(convert_to(octet_length({value})::text || ':', 'UTF8') || {value}, 'N'::bytea)"
            )),
            _ => {
                let length = if self.utf8 { value } else { bytes.as_str() };
                Piece::Text(format!("coalesce(octet_length({length})::text || ':' || {value}, 'N')"))
            }
        }
    }

    /// What rows are ordered by: their key.
    fn order(&self) -> Vec<String> {
        let columns = self.table.key.iter().filter_map(|place| self.table.columns.get(*place));
        columns.map(|column| self.ordered(column)).collect()
    }

    fn ordered(&self, column: &Column) -> String {
        let name = format!("t.{}", quoted(&column.name));
        match cast(column) {
            Some(_) => name,
            // What has no order of its own that can be asked for has that of its bytes.
            None => match self.piece(column, &value(column)) {
                Piece::Text(text) => format!("convert_to({text}, 'UTF8')"),
                Piece::Bytes(bytes) => format!("({bytes})"),
            },
        }
    }

    /// `(a, b) > ($1, $2)`: rows after a key, or up to one.
    fn compared(&mut self, operator: &str, key: &Key) -> String {
        let columns: Vec<&Column> =
            self.table.key.iter().filter_map(|place| self.table.columns.get(*place)).collect();
        let given: Vec<String> = columns
            .iter()
            .zip(key)
            .map(|(column, cell)| match (cast(column), cell) {
                (Some("bytea"), Cell::Value(bytes)) => format!("{}::bytea", self.given.add(bytes.clone())),
                (Some(cast), Cell::Value(bytes)) => {
                    format!("{}::text::{cast}", self.given.add(String::from_utf8_lossy(bytes).into_owned()))
                }
                _ => format!("{}::bytea", self.given.add(encode_row(std::slice::from_ref(cell)))),
            })
            .collect();
        format!("({}) {operator} ({})", self.order().join(", "), given.join(", "))
    }

    /// Whose key is greater than one and not greater than another.
    fn within(&mut self, after: Option<&Key>, upto: Option<&Key>) -> String {
        let mut conditions = Vec::new();
        conditions.extend(after.map(|key| self.compared(">", key)));
        conditions.extend(upto.map(|key| self.compared("<=", key)));
        match conditions.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", conditions.join(" AND ")),
        }
    }

    /// The next rows after a key, in order. Rows that have the same key, where nothing forbids them, are not parted.
    fn page(&mut self, after: Option<&Key>, limit: u32) -> String {
        let within = self.within(after, None);
        self.values(&format!(
            "{within} ORDER BY {} FETCH FIRST {limit} ROWS WITH TIES",
            self.order().join(", ")
        ))
    }

    /// The bytes of the next rows after a key.
    pub(super) fn rows_after(&mut self, after: Option<&Key>, limit: u32) -> String {
        let page = self.page(after, limit);
        format!("SELECT {} FROM ({page}) AS q", self.row())
    }

    /// The bytes of the rows of a range.
    pub(super) fn rows_within(&mut self, after: Option<&Key>, upto: Option<&Key>) -> String {
        let within = self.within(after, upto);
        format!("SELECT {} FROM ({}) AS q", self.row(), self.values(&format!("{within} OFFSET 0")))
    }

    /// The bytes of the rows of some buckets.
    pub(super) fn rows_of_buckets(&mut self, bits: u8, buckets: &[u32]) -> String {
        let buckets = self.given.add(buckets.iter().map(|bucket| i64::from(*bucket)).collect::<Vec<_>>());
        format!(
            "SELECT {} FROM ({}) AS q WHERE {} = ANY ({buckets}::bigint[])",
            self.row(),
            self.values("OFFSET 0"),
            bucket_of(&format!("sha256({})", self.key()), bits)
        )
    }

    /// How many the next rows after a key are, their digest, and the last one's key.
    pub(super) fn digest_after(&mut self, after: Option<&Key>, limit: u32) -> String {
        let page = self.page(after, limit);
        let keys = self.table.key.iter().map(|place| format!("q.c{place}")).collect::<Vec<_>>().join(", ");
        format!(
            "WITH page AS MATERIALIZED (SELECT {keys}, row_number() OVER () AS number, sha256({}) AS hash FROM ({page}) AS q) \
             SELECT count(*), {DIGEST}, (SELECT {} FROM page ORDER BY number DESC LIMIT 1) FROM page",
            self.row(),
            self.key(),
        )
    }

    /// Of each bucket of a range its number, how many rows, and their digest. The rows of others are not hashed.
    pub(super) fn digest_buckets(&self, bits: u8, buckets: &RangeInclusive<u32>) -> String {
        let (row, values) = (self.row(), self.values("OFFSET 0"));
        let keyed = format!("SELECT *, sha256({}) AS key FROM ({values}) AS q OFFSET 0", self.key());
        format!(
            "SELECT {bucket}, count(*), {DIGEST} FROM (SELECT key, sha256({row}) AS hash FROM ({keyed}) AS q \
             WHERE {bucket} BETWEEN {} AND {} OFFSET 0) AS h GROUP BY 1",
            buckets.start(),
            buckets.end(),
            bucket = bucket_of("key", bits),
        )
    }
}

/// [`crate::chunk_digest`].
const DIGEST: &str = "sha256(coalesce(string_agg(hash, ''::bytea ORDER BY hash), ''::bytea))";

/// The first bits of a hash, as a number.
fn bucket_of(hash: &str, bits: u8) -> String {
    let unused = 32_u8.saturating_sub(bits);
    format!("((('x' || encode(substr({hash}, 1, 4), 'hex'))::bit(32)::bigint) >> {unused})")
}

/// A value's text, or bytes; NULL for NULL. A composite value is not NULL because all its parts are.
fn value(column: &Column) -> String {
    let name = format!("t.{}", quoted(&column.name));
    if column.kind == Kind::Bytes {
        return format!("{name}::bytea");
    }
    let plain = CAST_IS_OUTPUT.iter().any(|known| column.sql_type.starts_with(known));
    match plain && !column.sql_type.ends_with(']') {
        true => format!("{name}::text"),
        false => format!("CASE WHEN num_nulls({name}) = 0 THEN format('%s', {name}) END"),
    }
}

/// The type that a key's text is turned into to be compared with the column; none: it is compared by its bytes. What has an order that is
/// [known here](Table::order_of) is always compared by that.
fn cast(column: &Column) -> Option<&str> {
    if column.masked || column.nullable {
        return None;
    }
    match column.kind {
        Kind::Int => Some("bigint"),
        Kind::Unsigned => Some("oid"),
        Kind::Uuid => Some("uuid"),
        Kind::Bytes => Some("bytea"),
        Kind::Text if column.binary_order || column.sql_type == "text" => Some("text"),
        _ => {
            let known = COMPARED.iter().any(|known| column.sql_type.starts_with(known));
            (known && !column.sql_type.ends_with(']')).then_some(column.sql_type.as_str())
        }
    }
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
