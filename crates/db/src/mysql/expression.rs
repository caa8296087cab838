//! SQL that computes cells, rows' bytes, hashes and buckets inside the database, and that compares keys.
//!
//! Whatever comes from outside goes in as a hexadecimal literal or as a name in backquotes: nothing else is put into a statement.

use std::ops::RangeInclusive;

use super::column_type::ColumnType;
use crate::cell::{Cell, MaskKey};
use crate::database::{DbError, Scan};
use crate::table::{Column, Table};

/// A name between backquotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Bytes as a literal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut literal = String::with_capacity(bytes.len() * 2 + 3);
    literal.push_str("X'");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(literal, "{byte:02X}");
    }
    literal.push('\'');
    literal
}

/// Text as a literal.
pub(crate) fn text_literal(text: &str) -> String {
    format!("_utf8mb4 {}", hex(text.as_bytes()))
}

/// A value as a literal that is put into a column of the same type; none when no value of it is like this.
pub(crate) fn value_literal(column: &Column, cell: &Cell) -> Option<String> {
    let kind = column.mysql_type().ok()?;
    match (&kind, cell) {
        // Put in by their labels, whose character set the literal has to say.
        (ColumnType::Enum { .. } | ColumnType::Set { .. } | ColumnType::Json, Cell::Value(bytes)) => {
            Some(format!("_utf8mb4 {}", hex(bytes)))
        }
        _ => Typed { column, kind }.literal(cell).flatten(),
    }
}

/// The statements about one table.
pub(super) struct Statements<'a> {
    table: &'a Table,
    columns: Vec<Typed<'a>>,
    key: &'a MaskKey,
}

struct Typed<'a> {
    column: &'a Column,
    kind: ColumnType,
}

impl<'a> Statements<'a> {
    pub(super) fn new(table: &'a Table, key: &'a MaskKey) -> Result<Statements<'a>, DbError> {
        let columns = table.columns.iter().map(|column| {
            let kind = column.mysql_type();
            kind.map(|kind| Typed { column, kind }).map_err(|reason| {
                DbError::Refused(format!("the column {} of {}: {reason}", column.name, table.name))
            })
        });
        let columns = columns.collect::<Result<_, _>>()?;
        if table.key.is_empty() {
            return Err(DbError::Refused(format!("nothing tells the rows of {} apart", table.name)));
        }
        Ok(Statements { table, columns, key })
    }

    fn name(&self) -> String {
        format!("{}.{}", quoted(&self.table.name.schema), quoted(&self.table.name.table))
    }

    fn keys(&self) -> impl Iterator<Item = &Typed<'a>> {
        self.table.key.iter().filter_map(|place| self.columns.get(*place))
    }

    /// The rows of a range, all their cells, in the order of their keys.
    pub(super) fn rows(&self, condition: &str) -> String {
        format!("SELECT {} FROM {} WHERE {condition} ORDER BY {}", self.cells(), self.name(), self.order())
    }

    /// The key of the row that is `offset` rows after the first of a range.
    pub(super) fn key_at(&self, condition: &str, offset: u32) -> String {
        let key: Vec<String> = self.keys().map(|typed| typed.cell(self.key)).collect();
        let key = key.join(", ");
        let (name, order) = (self.name(), self.order());
        format!("SELECT {key} FROM {name} WHERE {condition} ORDER BY {order} LIMIT 1 OFFSET {offset}")
    }

    /// Rows, hashed rows, the length of the hashes and the digest of a part.
    ///
    /// The hashes go into a temporary table of 32 bytes a row (that is what the LIMIT is for), else each would be computed once for every
    /// function that uses it.
    pub(super) fn digest(&self, condition: &str) -> String {
        let (hash, name) = (self.hash(), self.name());
        format!(
            "SELECT n, hashed, COALESCE(LENGTH(g), 0), SHA2(COALESCE(g, ''), 256) FROM (SELECT COUNT(*) AS n, COUNT(h) AS hashed, \
             GROUP_CONCAT(h ORDER BY h SEPARATOR '') AS g FROM (SELECT {hash} AS h FROM {name} WHERE {condition} \
             LIMIT {ALL}) AS hashes) AS joined"
        )
    }

    /// The same for every bucket of a range, with the bucket before it. The rows of others are not hashed.
    pub(super) fn buckets(&self, bits: u8, buckets: &RangeInclusive<u32>) -> String {
        let (hash, bucket, name) = (self.hash(), self.bucket(bits), self.name());
        let (first, last) = buckets.clone().into_inner();
        let all = first == 0 && u64::from(last) + 1 >= 1 << bits.min(32);
        let within = if all { "TRUE".to_owned() } else { format!("{bucket} BETWEEN {first} AND {last}") };
        format!(
            "SELECT b, n, hashed, COALESCE(LENGTH(g), 0), SHA2(COALESCE(g, ''), 256) FROM (SELECT b, COUNT(*) AS n, \
             COUNT(h) AS hashed, GROUP_CONCAT(h ORDER BY h SEPARATOR '') AS g FROM (SELECT {bucket} AS b, {hash} AS h FROM {name} \
             WHERE {within} LIMIT {ALL}) AS hashes GROUP BY b) AS joined"
        )
    }

    /// The condition of the rows of some buckets.
    pub(super) fn within_buckets(&self, bits: u8, buckets: &[u32]) -> String {
        let buckets: Vec<String> = buckets.iter().map(u32::to_string).collect();
        if buckets.is_empty() {
            return "FALSE".to_owned();
        }
        format!("{} IN ({})", self.bucket(bits), buckets.join(", "))
    }

    /// The condition of a part.
    pub(super) fn within(&self, scan: &Scan) -> Result<String, DbError> {
        match scan {
            Scan::Range { after, upto } => {
                let after = after.as_ref().map(|key| self.compare(key, Side::After)).transpose()?;
                let upto = upto.as_ref().map(|key| self.compare(key, Side::Upto)).transpose()?;
                let both: Vec<String> = [after, upto].into_iter().flatten().collect();
                Ok(if both.is_empty() { "TRUE".to_owned() } else { both.join(" AND ") })
            }
            Scan::Bucket { bits, bucket } => Ok(self.within_buckets(*bits, &[*bucket])),
        }
    }

    fn cells(&self) -> String {
        let cells: Vec<String> = self.columns.iter().map(|typed| typed.cell(self.key)).collect();
        cells.join(", ")
    }

    fn order(&self) -> String {
        let order: Vec<String> = self.keys().map(|typed| typed.sorted(self.key)).collect();
        order.join(", ")
    }

    fn hash(&self) -> String {
        format!("UNHEX(SHA2({}, 256))", encoded(self.columns.iter(), self.key))
    }

    fn bucket(&self, bits: u8) -> String {
        let row = encoded(self.keys(), self.key);
        format!("(CONV(SUBSTR(SHA2({row}, 256), 1, 8), 16, 10) >> {})", 32 - u32::from(bits.min(32)))
    }

    /// A key compared column by column, spelled out because only then an index is used: `a > 1 OR (a = 1 AND (b > 2))`.
    fn compare(&self, key: &[Cell], side: Side) -> Result<String, DbError> {
        let wrong = || DbError::Refused(format!("this is no key of {}", self.table.name));
        if key.len() != self.table.key.len() {
            return Err(wrong());
        }
        let mut condition: Option<String> = None;
        let parts: Vec<_> = self.keys().zip(key).collect();
        for (typed, cell) in parts.into_iter().rev() {
            let sorted = typed.sorted(self.key);
            let literal = typed.literal(cell).ok_or_else(wrong)?;
            let last = condition.is_none();
            // NULL sorts before everything.
            let beyond = match (&literal, side) {
                (Some(literal), Side::After) => format!("{sorted} > {literal}"),
                (None, Side::After) => format!("{sorted} IS NOT NULL"),
                (Some(literal), Side::Upto) => {
                    let less = format!("{sorted} {} {literal}", if last { "<=" } else { "<" });
                    if typed.column.nullable { format!("({less} OR {sorted} IS NULL)") } else { less }
                }
                (None, Side::Upto) if last => format!("{sorted} IS NULL"),
                (None, Side::Upto) => "FALSE".to_owned(),
            };
            let same = match &literal {
                Some(literal) => format!("{sorted} = {literal}"),
                None => format!("{sorted} IS NULL"),
            };
            condition = Some(match condition {
                None => format!("({beyond})"),
                Some(rest) => format!("({beyond} OR ({same} AND {rest}))"),
            });
        }
        condition.ok_or_else(wrong)
    }
}

/// More rows than there are: makes a subquery a table of its own.
const ALL: u64 = u64::MAX;

#[derive(Clone, Copy)]
enum Side {
    After,
    Upto,
}

/// The bytes of a row: see [`encode_row`](crate::encode_row). NULL when they are more than `max_allowed_packet`.
fn encoded<'a>(columns: impl Iterator<Item = &'a Typed<'a>>, key: &MaskKey) -> String {
    let cells: Vec<String> = columns
        .map(|Typed { column, kind }| {
            let value = if column.masked {
                format!("CONCAT('M', {})", masked(&kind.value(&quoted(&column.name)), key))
            } else {
                let value = kind.value(&quoted(&column.name));
                format!("CONCAT(LENGTH({value}), ':', {value})")
            };
            // A NULL that comes from the limit must not look like one that stands there. And a column that cannot be NULL must not be asked: of a
            // date `0000-00-00` the server says that it is.
            if column.nullable {
                format!("IF({} IS NULL, 'N', {value})", quoted(&column.name))
            } else {
                value
            }
        })
        .collect();
    format!("CONCAT({})", cells.join(", "))
}

/// What stands for a value: see [`MaskKey`].
fn masked(value: &str, key: &MaskKey) -> String {
    format!("UNHEX(SHA2(CONCAT({}, UNHEX(SHA2({value}, 256))), 256))", hex(&key.0))
}

impl ColumnType {
    /// The bytes of a cell, of a column (already quoted).
    fn value(&self, name: &str) -> String {
        match self {
            ColumnType::Int { unsigned: false, .. } => format!("CAST({name} AS SIGNED)"),
            ColumnType::Int { unsigned: true, .. } | ColumnType::Bit { .. } | ColumnType::Year { .. } => {
                format!("CAST({name} AS UNSIGNED)")
            }
            // Without the zeros that it is shown with.
            ColumnType::Decimal { zerofill: true, .. } => format!("({name} + 0)"),
            // A FLOAT is shown with six digits, and a FLOAT(7,3) with three after the point: that is not what is stored.
            ColumnType::Float | ColumnType::Double => format!("CAST({name} AS DOUBLE)"),
            ColumnType::Decimal { .. }
            | ColumnType::Date
            | ColumnType::Time { .. }
            | ColumnType::DateTime { .. }
            | ColumnType::Timestamp { .. }
            | ColumnType::Uuid
            | ColumnType::Inet6
            | ColumnType::Inet4 => format!("CAST({name} AS CHAR)"),
            ColumnType::Text(_) | ColumnType::Binary { .. } | ColumnType::Bytes | ColumnType::Geometry => {
                format!("CAST({name} AS BINARY)")
            }
            ColumnType::Enum { .. } | ColumnType::Set { .. } | ColumnType::Json => {
                format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")
            }
        }
    }
}

impl Typed<'_> {
    /// What is selected.
    fn cell(&self, key: &MaskKey) -> String {
        let value = self.kind.value(&quoted(&self.column.name));
        if self.column.masked { masked(&value, key) } else { value }
    }

    /// What is sorted and compared by: the column itself, so that an index is used, unless that sorts otherwise than it compares (ENUM, SET), or its value
    /// must not be known.
    fn sorted(&self, key: &MaskKey) -> String {
        let name = quoted(&self.column.name);
        if self.column.masked {
            return self.cell(key);
        }
        match self.kind {
            ColumnType::Enum { .. } | ColumnType::Set { .. } | ColumnType::Json | ColumnType::Geometry => {
                self.kind.value(&name)
            }
            _ => name,
        }
    }

    /// A cell as what [`Typed::sorted`] is compared with; `Some(None)` for NULL. `None` when this column has no such cells.
    fn literal(&self, cell: &Cell) -> Option<Option<String>> {
        let bytes = match (cell, self.column.masked) {
            (Cell::Null, _) => return Some(None),
            (Cell::Masked(hash), true) => return Some(Some(hex(hash))),
            (Cell::Value(bytes), false) => bytes,
            _ => return None,
        };
        let number = |allowed: &[u8]| {
            let text = std::str::from_utf8(bytes).ok()?;
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || allowed.contains(&b));
            plain.then(|| text.to_owned())
        };
        let literal = match &self.kind {
            ColumnType::Int { .. }
            | ColumnType::Bit { .. }
            | ColumnType::Year { .. }
            | ColumnType::Decimal { .. } => number(b"-.")?,
            ColumnType::Float | ColumnType::Double => {
                let text = number(b"-.e+")?;
                if text.contains('e') { text } else { format!("{text}e0") }
            }
            ColumnType::Date
            | ColumnType::Time { .. }
            | ColumnType::DateTime { .. }
            | ColumnType::Timestamp { .. }
            | ColumnType::Uuid
            | ColumnType::Inet6
            | ColumnType::Inet4 => format!("_utf8mb4 {}", hex(bytes)),
            ColumnType::Text(text) => format!("_{} {}", text.charset, hex(bytes)),
            ColumnType::Binary { .. }
            | ColumnType::Bytes
            | ColumnType::Enum { .. }
            | ColumnType::Set { .. }
            | ColumnType::Json
            | ColumnType::Geometry => hex(bytes),
        };
        Some(Some(literal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Name;

    fn column(name: &str, sql_type: &str, nullable: bool, masked: bool) -> Column {
        let kind = ColumnType::of(sql_type).unwrap();
        Column {
            name: name.to_owned(),
            kind: kind.kind(false),
            sql_type: sql_type.to_owned(),
            nullable,
            generated: false,
            binary_order: kind.binary_order(),
            masked,
        }
    }

    #[test]
    fn keys_are_compared_column_by_column() {
        let table = Table {
            name: Name { schema: "s".into(), table: "t`s".into() },
            columns: vec![
                column("a", "int(11)", false, false),
                column("b", "varchar(9) character set latin1 collate latin1_bin", true, false),
            ],
            key: vec![0, 1],
        };
        let key = MaskKey([0; 32]);
        let statements = Statements::new(&table, &key).unwrap();
        let range = |after, upto| statements.within(&Scan::Range { after, upto }).unwrap();
        let one = Some(vec![Cell::of("-1"), Cell::of("A'")]);
        let null = Some(vec![Cell::of("-1"), Cell::Null]);
        assert_eq!(range(None, None), "TRUE");
        assert_eq!(range(one.clone(), None), "(`a` > -1 OR (`a` = -1 AND (`b` > _latin1 X'4127')))");
        assert_eq!(
            range(null.clone(), one),
            "(`a` > -1 OR (`a` = -1 AND (`b` IS NOT NULL))) AND \
             (`a` < -1 OR (`a` = -1 AND ((`b` <= _latin1 X'4127' OR `b` IS NULL))))"
        );
        assert_eq!(range(None, null), "(`a` < -1 OR (`a` = -1 AND (`b` IS NULL)))");
        assert!(statements.rows("TRUE").contains("FROM `s`.`t``s` WHERE"));
        for wrong in [vec![Cell::of("1")], vec![Cell::of("1 OR 1"), Cell::Null]] {
            let scan = Scan::Range { after: Some(wrong), upto: None };
            assert!(matches!(statements.within(&scan), Err(DbError::Refused(_))));
        }
    }

    #[test]
    fn masked_values_are_hashed_where_they_are() {
        let table = Table {
            name: Name { schema: "s".into(), table: "t".into() },
            columns: vec![column("a", "int(11)", false, false), column("b", "varbinary(9)", true, true)],
            key: vec![0],
        };
        let key = MaskKey([0xab; 32]);
        let statements = Statements::new(&table, &key).unwrap();
        let value = "CAST(`b` AS BINARY)";
        for sql in [statements.rows("TRUE"), statements.digest("TRUE"), statements.buckets(4, &(0..=15))] {
            assert_eq!(
                sql.matches(value).count(),
                sql.matches(&format!("UNHEX(SHA2({value}, 256))")).count()
            );
        }
    }
}
