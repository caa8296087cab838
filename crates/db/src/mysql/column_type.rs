//! What a column's type is, from what `information_schema` writes.
//!
//! [`Column::sql_type`] is `COLUMN_TYPE`, and for texts the character set and collation after it, as `SHOW CREATE TABLE` writes them: a change of either
//! is a change of the type.

use crate::table::{Column, Kind};

/// A type, as far as its values' forms differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    /// Of 1, 2, 3, 4 or 8 bytes.
    Int {
        bytes: u8,
        unsigned: bool,
    },
    Decimal {
        precision: u8,
        scale: u8,
        zerofill: bool,
    },
    Float,
    Double,
    /// Of 1 to 64 bits.
    Bit {
        bits: u8,
    },
    /// Of 2 or 4 digits.
    Year {
        digits: u8,
    },
    Date,
    /// With 0 to 6 digits after the second.
    Time {
        fraction: u8,
    },
    DateTime {
        fraction: u8,
    },
    Timestamp {
        fraction: u8,
    },
    /// CHAR, VARCHAR, TEXT and MariaDB's JSON.
    Text(Text),
    /// BINARY(n).
    Binary {
        length: u16,
    },
    /// VARBINARY and BLOB.
    Bytes,
    /// The labels in UTF-8.
    Enum {
        labels: Vec<String>,
    },
    Set {
        labels: Vec<String>,
    },
    /// MySQL's own binary JSON.
    Json,
    Geometry,
    /// MariaDB's.
    Uuid,
    Inet6,
    Inet4,
}

/// How a text is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) charset: String,
    pub(super) collation: String,
    /// CHAR rather than VARCHAR or TEXT.
    pub(super) padded: bool,
}

impl ColumnType {
    /// The type, or why a column of it cannot be watched.
    pub(super) fn of(sql_type: &str) -> Result<ColumnType, String> {
        if sql_type.contains("COMPRESSED") {
            return Err("COMPRESSED columns are in the log in a form that is not read here".to_owned());
        }
        let (written, charset) = match sql_type.split_once(" character set ") {
            Some((written, rest)) => (written, rest.split_once(" collate ")),
            None => (sql_type, None),
        };
        let name_end = written.find(['(', ' ']).unwrap_or(written.len());
        let (name, rest) = written.split_at(name_end);
        let arguments = rest.strip_prefix('(').and_then(|rest| rest.rsplit_once(')')).map(|(inner, _)| inner);
        let number = |at: usize| -> Option<u16> { arguments?.split(',').nth(at)?.trim().parse().ok() };
        let small = |at: usize, default: u8| number(at).map_or(Some(default), |n| u8::try_from(n).ok());
        let unsigned = rest.contains("unsigned");
        let unknown = || format!("columns of the type {sql_type} are not known here");
        let int = |bytes| ColumnType::Int { bytes, unsigned };
        let fraction = small(0, 0).filter(|fraction| *fraction <= 6);
        let text = |padded| {
            let (charset, collation) = charset?;
            // Both become part of statements.
            let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !plain(charset) || !plain(collation) {
                return None;
            }
            Some(ColumnType::Text(Text { charset: charset.into(), collation: collation.into(), padded }))
        };
        let known = match name {
            "tinyint" => Some(int(1)),
            "smallint" => Some(int(2)),
            "mediumint" => Some(int(3)),
            "int" => Some(int(4)),
            "bigint" => Some(int(8)),
            "decimal" => small(0, 10).zip(small(1, 0)).map(|(precision, scale)| ColumnType::Decimal {
                precision,
                scale,
                zerofill: rest.contains("zerofill"),
            }),
            "float" => Some(ColumnType::Float),
            "double" => Some(ColumnType::Double),
            "bit" => small(0, 1).filter(|bits| (1..=64).contains(bits)).map(|bits| ColumnType::Bit { bits }),
            "year" => small(0, 4).map(|digits| ColumnType::Year { digits }),
            "date" => Some(ColumnType::Date),
            "time" => fraction.map(|fraction| ColumnType::Time { fraction }),
            "datetime" => fraction.map(|fraction| ColumnType::DateTime { fraction }),
            "timestamp" => fraction.map(|fraction| ColumnType::Timestamp { fraction }),
            "char" => text(true),
            "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => text(false),
            "binary" => number(0).or(Some(1)).map(|length| ColumnType::Binary { length }),
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Some(ColumnType::Bytes),
            "enum" => arguments.and_then(labels).map(|labels| ColumnType::Enum { labels }),
            "set" => arguments.and_then(labels).map(|labels| ColumnType::Set { labels }),
            "json" => Some(ColumnType::Json),
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geometrycollection" | "geomcollection" => Some(ColumnType::Geometry),
            "uuid" if rest.is_empty() => Some(ColumnType::Uuid),
            "inet6" => Some(ColumnType::Inet6),
            "inet4" => Some(ColumnType::Inet4),
            _ => None,
        };
        known.ok_or_else(unknown)
    }

    /// What its cells mean. `json` is whether a text is checked to be JSON.
    pub(super) fn kind(&self, json: bool) -> Kind {
        match self {
            ColumnType::Int { unsigned: false, .. } => Kind::Int,
            ColumnType::Int { unsigned: true, .. } | ColumnType::Bit { .. } => Kind::Unsigned,
            // Of two digits it sorts by what is stored, 1970 before 2069.
            ColumnType::Year { digits } => {
                if *digits == 4 {
                    Kind::Unsigned
                } else {
                    Kind::Other
                }
            }
            ColumnType::Decimal { .. } => Kind::Decimal,
            ColumnType::Float => Kind::Float,
            ColumnType::Double => Kind::Double,
            ColumnType::Date => Kind::Date,
            ColumnType::Time { .. } => Kind::Time,
            ColumnType::DateTime { .. } => Kind::DateTime,
            ColumnType::Timestamp { .. } => Kind::Timestamp,
            ColumnType::Text(text) => match text.charset.as_str() {
                "utf8mb4" | "utf8mb3" | "utf8" | "ascii" if json => Kind::Json,
                "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Kind::Text,
                other => Kind::TextIn(other.to_owned()),
            },
            ColumnType::Binary { .. } | ColumnType::Bytes | ColumnType::Geometry => Kind::Bytes,
            ColumnType::Enum { .. } | ColumnType::Set { .. } => Kind::Text,
            ColumnType::Json => Kind::Json,
            ColumnType::Uuid | ColumnType::Inet6 | ColumnType::Inet4 => Kind::Other,
        }
    }

    /// Whether texts of it compare byte for byte. Not by the collations that take blanks at the end for nothing (`utf8mb4_bin`): there a tab at the
    /// end sorts before nothing.
    pub(super) fn binary_order(&self) -> bool {
        match self {
            ColumnType::Text(text) => {
                let ordered = ["utf8mb4", "utf8mb3", "latin1", "ascii"].contains(&text.charset.as_str());
                let exact = text.collation.ends_with("_nopad_bin") || text.collation == "utf8mb4_0900_bin";
                ordered && exact && !text.padded
            }
            ColumnType::Binary { .. } | ColumnType::Bytes => true,
            _ => false,
        }
    }
}

impl Column {
    /// Its type as MySQL has it.
    pub(super) fn mysql_type(&self) -> Result<ColumnType, String> {
        ColumnType::of(&self.sql_type)
    }
}

/// `'a','it''s'` as the labels.
fn labels(written: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = written;
    loop {
        let mut label = String::new();
        rest = rest.strip_prefix('\'')?;
        loop {
            let (before, after) = rest.split_once('\'')?;
            label.push_str(before);
            match after.strip_prefix('\'') {
                Some(after) => {
                    label.push('\'');
                    rest = after;
                }
                None => {
                    rest = after;
                    break;
                }
            }
        }
        found.push(label);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return rest.is_empty().then_some(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_as_the_servers_write_them() {
        for (written, expected) in [
            ("int(6) unsigned zerofill", ColumnType::Int { bytes: 4, unsigned: true }),
            ("bigint", ColumnType::Int { bytes: 8, unsigned: false }),
            ("decimal(65,30)", ColumnType::Decimal { precision: 65, scale: 30, zerofill: false }),
            ("float(7,3)", ColumnType::Float),
            ("bit(9)", ColumnType::Bit { bits: 9 }),
            ("year(2)", ColumnType::Year { digits: 2 }),
            ("year", ColumnType::Year { digits: 4 }),
            ("time(6)", ColumnType::Time { fraction: 6 }),
            ("datetime", ColumnType::DateTime { fraction: 0 }),
            ("binary(255)", ColumnType::Binary { length: 255 }),
            (
                "enum('a','it''s',',','b)') character set latin1 collate latin1_bin",
                ColumnType::Enum { labels: ["a", "it's", ",", "b)"].map(str::to_owned).to_vec() },
            ),
            (
                "char(3) character set utf8mb4 collate utf8mb4_nopad_bin",
                ColumnType::Text(Text {
                    charset: "utf8mb4".into(),
                    collation: "utf8mb4_nopad_bin".into(),
                    padded: true,
                }),
            ),
        ] {
            assert_eq!(ColumnType::of(written).as_ref(), Ok(&expected), "{written}");
        }
        for unknown in ["varchar(20) /*M!100301 COMPRESSED*/", "vector(3)", "time(7)", "varchar(3)", ""] {
            assert!(ColumnType::of(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn only_exact_collations_have_an_order() {
        for (written, expected) in [
            ("varchar(9) character set utf8mb4 collate utf8mb4_nopad_bin", true),
            ("varchar(9) character set utf8mb4 collate utf8mb4_0900_bin", true),
            ("varchar(9) character set utf8mb4 collate utf8mb4_bin", false),
            ("char(9) character set utf8mb4 collate utf8mb4_nopad_bin", false),
            ("varchar(9) character set utf16 collate utf16_nopad_bin", false),
            ("varchar(9) character set latin1 collate latin1_swedish_ci", false),
            ("varbinary(9)", true),
        ] {
            assert_eq!(ColumnType::of(written).unwrap().binary_order(), expected, "{written}");
        }
    }
}
