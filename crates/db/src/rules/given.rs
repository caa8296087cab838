//! Cells as rules see them.
//!
//! | kind | to a rule |
//! |---|---|
//! | whole numbers | integers; `BIGINT UNSIGNED` and `BIT(64)` beyond 2⁶³−1 strings of digits |
//! | decimals | strings, for `decimal_add!` and the like |
//! | floats | floats; NaN and the infinities of PostgreSQL strings |
//! | dates and times with a date | timestamps in UTC, a date at midnight. What no calendar has (`0000-00-00`, `2026-02-31`), `infinity`, and years before 1 or after 9999 are null |
//! | texts | strings; Latin-1 brought to UTF-8, other character sets byte for byte |
//! | everything else (bytes, JSON, times of day, UUIDs …) | strings |
//!
//! What is not of the type that the compiler was told (a zero date in a column without NULL, NaN) makes a comparison fail at run time, which is a
//! breach of its own: never a wrong answer.

use std::borrow::Cow;

use attestry_script::{Given, RuleColumn, Seen};
use jiff::civil::Date;

use crate::cell::Cell;
use crate::table::{Column, Kind};

/// What the compiler is told of a column.
pub(super) fn seen(column: &Column) -> RuleColumn {
    let seen = match column.kind {
        Kind::Int => Seen::Int,
        Kind::Unsigned if fits_signed(&column.sql_type) => Seen::Int,
        Kind::Unsigned => Seen::Unsigned,
        Kind::Decimal => Seen::Decimal,
        Kind::Float | Kind::Double => Seen::Float,
        Kind::Bool => Seen::Bool,
        Kind::Date | Kind::DateTime | Kind::Timestamp => Seen::Time,
        Kind::Text | Kind::TextIn(_) | Kind::Bytes | Kind::Time | Kind::Json | Kind::Uuid | Kind::Other => {
            Seen::Text
        }
    };
    RuleColumn { name: column.name.clone(), seen, nullable: column.nullable, masked: column.masked }
}

/// Whether every value of an unsigned type fits into 63 bits.
fn fits_signed(sql_type: &str) -> bool {
    let lower = sql_type.to_ascii_lowercase();
    let name = lower.split(|char: char| !char.is_ascii_alphabetic()).next().unwrap_or_default();
    match name {
        "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "year" => true,
        "bit" => lower != "bit(64)",
        _ => false,
    }
}

/// A cell as a rule sees it.
pub(super) fn given<'c>(column: &Column, cell: &'c Cell) -> Given<'c> {
    let Cell::Value(bytes) = cell else { return Given::Null };
    let raw = || Given::Text(Cow::Borrowed(bytes.as_slice()));
    let text = std::str::from_utf8(bytes);
    match (&column.kind, text) {
        (Kind::Int | Kind::Unsigned, Ok(text)) => text.parse().map_or_else(|_| raw(), Given::Int),
        (Kind::Float | Kind::Double, Ok(text)) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Given::Float(number),
            _ => raw(),
        },
        (Kind::Bool, Ok("t")) => Given::Bool(true),
        (Kind::Bool, Ok("f")) => Given::Bool(false),
        (Kind::Date | Kind::DateTime | Kind::Timestamp, Ok(text)) => {
            time(text).map_or(Given::Null, |(seconds, nanos)| Given::Time(seconds, nanos))
        }
        (Kind::TextIn(set), _) => Given::Text(decoded(set, bytes)),
        _ => raw(),
    }
}

/// Text in MySQL's `latin1`, which is Windows-1252 with the five bytes that it leaves out, as UTF-8.
pub(super) fn decoded<'c>(set: &str, bytes: &'c [u8]) -> Cow<'c, [u8]> {
    if set != "latin1" || bytes.is_ascii() {
        return Cow::Borrowed(bytes);
    }
    let chars = bytes.iter().map(|byte| match byte {
        0x80..=0x9f => WINDOWS.get(usize::from(byte - 0x80)).copied().unwrap_or(char::from(*byte)),
        byte => char::from(*byte),
    });
    Cow::Owned(chars.collect::<String>().into_bytes())
}

/// The byte of a character in MySQL's `latin1`.
pub(crate) fn windows_1252(char: char) -> Option<u8> {
    if let Some(place) = WINDOWS.iter().position(|known| *known == char) {
        return u8::try_from(0x80 + place).ok();
    }
    u8::try_from(u32::from(char)).ok().filter(|byte| !(0x80..=0x9f).contains(byte))
}

/// What Windows-1252 has for 0x80 to 0x9f.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Seconds since 1970 and nanoseconds of `2026-11-21`, `2026-11-21 12:30:00.5` or `2026-11-21 12:30:00.5+00`.
fn time(text: &str) -> Option<(i64, u32)> {
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-');
    let mut part = |digits: usize| parts.next().and_then(|part| number(part, digits));
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() || year < 1 {
        return None;
    }
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let (clock, fraction) = time.strip_suffix("+00").unwrap_or(time).split_once('.').unwrap_or((time, ""));
    let mut parts = clock.strip_suffix("+00").unwrap_or(clock).split(':');
    let mut part = || parts.next().and_then(|part| number(part, 2)).map(i64::from);
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 59 || fraction.len() > 9 {
        return None;
    }
    let nanos = match fraction {
        "" => 0,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => format!("{digits:0<9}").parse().ok()?,
        _ => return None,
    };
    let days = date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
    Some((days * 86_400 + hours * 3_600 + minutes * 60 + seconds, nanos))
}

fn number(text: &str, digits: usize) -> Option<i16> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_times_or_none() {
        for (text, expected) in [
            ("1970-01-01", Some((0, 0))),
            ("2026-11-21 12:30:00.000001", Some((1_795_264_200, 1_000))),
            ("2026-11-21 12:30:00+00", Some((1_795_264_200, 0))),
            ("2026-11-21 12:30:00.5+00", Some((1_795_264_200, 500_000_000))),
            ("9999-12-31 23:59:59.999999", Some((253_402_300_799, 999_999_000))),
            ("0001-01-01 00:00:00", Some((-62_135_596_800, 0))),
            ("0000-00-00", None),
            ("0000-00-00 00:00:00", None),
            ("2026-00-00", None),
            ("2026-02-31", None),
            ("infinity", None),
            ("0044-03-15 BC", None),
            ("10000-01-01 00:00:00", None),
            ("2026-11-21 12:30:00+02", None),
            ("2026-11-21 12:30", None),
            ("", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn cells_are_given_by_kind() {
        let check = |kind: Kind, sql_type: &str, cell: &[u8], expected: Given<'_>, told: Seen| {
            let column = Column {
                name: "c".to_owned(),
                kind,
                sql_type: sql_type.to_owned(),
                nullable: false,
                generated: false,
                binary_order: false,
                masked: false,
            };
            assert_eq!(given(&column, &Cell::of(cell)), expected, "{column:?}");
            assert_eq!(seen(&column).seen, told, "{column:?}");
        };
        let text = |text: &'static str| Given::Text(Cow::Borrowed(text.as_bytes()));
        check(Kind::Int, "bigint", b"-9223372036854775808", Given::Int(i64::MIN), Seen::Int);
        check(Kind::Unsigned, "int(10) unsigned", b"4294967295", Given::Int(4_294_967_295), Seen::Int);
        check(Kind::Unsigned, "bit(8)", b"255", Given::Int(255), Seen::Int);
        let largest = "18446744073709551615";
        check(Kind::Unsigned, "bigint(20) unsigned", largest.as_bytes(), text(largest), Seen::Unsigned);
        check(Kind::Unsigned, "bigint unsigned", b"7", Given::Int(7), Seen::Unsigned);
        check(Kind::Unsigned, "bit(64)", b"7", Given::Int(7), Seen::Unsigned);
        check(Kind::Decimal, "decimal(65,30)", b"0.10", text("0.10"), Seen::Decimal);
        check(Kind::Double, "double", b"1e-05", Given::Float(1e-5), Seen::Float);
        check(Kind::Double, "double precision", b"NaN", text("NaN"), Seen::Float);
        check(Kind::Float, "real", b"-Infinity", text("-Infinity"), Seen::Float);
        check(Kind::Bool, "boolean", b"t", Given::Bool(true), Seen::Bool);
        check(Kind::TextIn("latin1".to_owned()), "text", b"\xe9\x80", text("é€"), Seen::Text);
        check(
            Kind::TextIn("sjis".to_owned()),
            "text",
            b"\x83",
            Given::Text(Cow::Borrowed(b"\x83")),
            Seen::Text,
        );
        check(Kind::Time, "time", b"-838:59:59", text("-838:59:59"), Seen::Text);
        check(Kind::Date, "date", b"0000-00-00", Given::Null, Seen::Time);
    }
}
