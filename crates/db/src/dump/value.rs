//! What stands in a dump, brought to the form of a [`Cell`].

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::token::unhex;
use crate::cell::Cell;
use crate::table::Kind;

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    Null,
    /// Quoted.
    Text(Vec<u8>),
    /// A number or a keyword.
    Bare(Vec<u8>),
    /// Written as hexadecimal digits, or said to be binary.
    Bytes(Vec<u8>),
    /// `b'0101'`.
    Bits(Vec<u8>),
}

/// How a column's values are brought to their form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they stand.
    Plain,
    /// A number without zeros in front (ZEROFILL, YEAR).
    Number,
    /// MySQL's BIT: bytes, the highest first, as a number.
    Bit,
    /// Text that the dump has in UTF-8 and the column in Latin-1.
    Latin1,
    /// In UTF-16 with the high byte first (`ucs2`, `utf16`).
    Utf16,
    /// With the low byte first (`utf16le`).
    Utf16Le,
    /// In UTF-32 with the high byte first (`utf32`).
    Utf32,
    /// PostgreSQL's boolean: `t` or `f`.
    Bool,
    /// PostgreSQL's bytes: `\x…`, or with `\ooo`.
    Bytea,
    /// PostgreSQL's time with a zone: in UTC.
    Zoned,
    /// Arrays and ranges of these: each in UTC.
    ZonedWithin,
    /// PostgreSQL's bits: their digits.
    Digits,
}

/// The cell, or what was expected.
pub(super) fn cell(form: Form, kind: &Kind, literal: Literal) -> Result<Cell, &'static str> {
    let bytes = match (literal, form) {
        (Literal::Null, _) => return Ok(Cell::Null),
        (Literal::Text(bytes) | Literal::Bytes(bytes), Form::Bit) => {
            // A BIT has at most 64; MySQL writes as many bytes as it has.
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let digits = bytes.get(zeros..).unwrap_or_default();
            if digits.len() > 8 {
                return Err("at most 64 bits");
            }
            let number = digits.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            number.to_string().into_bytes()
        }
        (Literal::Bits(digits), Form::Bit) => {
            let text = std::str::from_utf8(&digits).map_err(|_| "bits")?;
            u64::from_str_radix(text, 2).map_err(|_| "at most 64 bits")?.to_string().into_bytes()
        }
        (Literal::Bits(digits), Form::Digits) => digits,
        (Literal::Bits(_), _) => return Err("a value of the column's type, not bits"),
        (Literal::Bytes(bytes), Form::Bytea | Form::Plain) => bytes,
        (Literal::Bytes(bytes), form) => written(form, bytes)?,
        (Literal::Text(bytes), form) => written(form, bytes)?,
        (Literal::Bare(word), form) => {
            let keyword = match word.to_ascii_lowercase().as_slice() {
                b"true" if form == Form::Bool => Some(b't'),
                b"false" if form == Form::Bool => Some(b'f'),
                _ => None,
            };
            let number = word.iter().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte));
            match keyword {
                Some(byte) => vec![byte],
                None if number || matches!(kind, Kind::Float | Kind::Double | Kind::Decimal) => {
                    written(form, word)?
                }
                None => return Err("a value: a number, a text, bytes or NULL"),
            }
        }
    };
    Ok(Cell::Value(bytes))
}

fn written(form: Form, bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    match form {
        Form::Plain | Form::Bit | Form::Digits => Ok(bytes),
        Form::Number => {
            let zeros = bytes.iter().take_while(|byte| **byte == b'0').count();
            // 0000 is 0, and 00.5 is 0.5.
            let digits = bytes.get(zeros).is_some_and(u8::is_ascii_digit);
            let kept = if digits { zeros } else { zeros.saturating_sub(1) };
            Ok(bytes.get(kept..).unwrap_or_default().to_vec())
        }
        Form::Latin1 => latin1(&bytes).ok_or("text that Latin-1 has"),
        Form::Utf16 => Ok(utf8(&bytes)?.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        Form::Utf16Le => Ok(utf8(&bytes)?.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        Form::Utf32 => Ok(utf8(&bytes)?.chars().map(u32::from).flat_map(u32::to_be_bytes).collect()),
        Form::Bool => match bytes.as_slice() {
            b"t" | b"true" => Ok(vec![b't']),
            b"f" | b"false" => Ok(vec![b'f']),
            _ => Err("t or f"),
        },
        Form::Bytea => {
            bytea(&bytes).ok_or("bytes as \\x and hexadecimal digits, or with \\ and octal digits")
        }
        Form::Zoned => Ok(in_utc(&bytes).unwrap_or(bytes)),
        Form::ZonedWithin => Ok(each_in_utc(&bytes)),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "UTF-8")
}

/// UTF-8 as MySQL's `latin1`, which is Windows-1252.
fn latin1(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().map(crate::rules::windows_1252).collect()
}

fn bytea(text: &[u8]) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix(b"\\x") {
        return unhex(digits);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                after
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            (b'\\', _) => return None,
            (other, after) => {
                out.push(*other);
                after
            }
        };
    }
    Some(out)
}

/// `2026-11-21 13:30:00.5+01` as `2026-11-21 12:30:00.5+00`, and `0044-03-15 12:00:00+01 BC` likewise; none for what is no date here: `infinity`,
/// years after 9999.
fn in_utc(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (text, before_christ) = text.strip_suffix(" BC").map_or((text, false), |text| (text, true));
    if text.ends_with("+00") {
        return None;
    }
    let (date, time) = text.split_once(' ')?;
    let (clock, zone) = time.split_at_checked(time.find(['+', '-'])?)?;
    let (clock, fraction) =
        clock.split_once('.').map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut numbers = date.split('-').chain(clock.split(':')).map(|part| part.parse::<i16>().ok());
    let mut number = || numbers.next().flatten();
    // The year 1 before Christ is 0.
    let year = number().map(|year| if before_christ { 1 - year } else { year })?;
    let mut small = || number().and_then(|number| i8::try_from(number).ok());
    let (month, day, hour, minute, second) = (small()?, small()?, small()?, small()?, small()?);
    let local = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let parts = zone.get(1..)?.split(':').map(|part| part.parse::<i32>().ok());
    let seconds = parts.zip([3_600, 60, 1]).try_fold(0, |sum, (part, unit)| Some(sum + part? * unit))?;
    let offset = Offset::from_seconds(if zone.starts_with('-') { -seconds } else { seconds }).ok()?;
    let utc = Offset::UTC.to_datetime(offset.to_timestamp(local).ok()?);
    let (year, era) = if utc.year() < 1 { (1 - utc.year(), " BC") } else { (utc.year(), "") };
    let fraction = fraction.map(|digits| format!(".{digits}")).unwrap_or_default();
    Some(format!("{year:04}-{}{fraction}+00{era}", utc.strftime("%m-%d %H:%M:%S")).into_bytes())
}

/// Times within `{…}`, `[…)`: all stand between quotes, which are escaped where they stand within other quotes.
fn each_in_utc(bytes: &[u8]) -> Vec<u8> {
    let each = bytes.split(|byte| *byte == b'"').map(|piece| {
        let length = piece.iter().rposition(|byte| *byte != b'\\').map_or(0, |last| last + 1);
        let (time, escapes) = piece.split_at(length);
        [in_utc(time).as_deref().unwrap_or(time), escapes].concat()
    });
    each.collect::<Vec<_>>().join(&b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_to_their_form() {
        let text = |text: &str| Literal::Text(text.as_bytes().to_vec());
        let bare = |text: &str| Literal::Bare(text.as_bytes().to_vec());
        let check = |form, kind: Kind, literal: Literal, expected: Result<&[u8], &str>| {
            let cell = cell(form, &kind, literal.clone());
            assert_eq!(cell, expected.map(Cell::of), "{literal:?}");
        };
        check(Form::Bit, Kind::Unsigned, Literal::Bytes(vec![1, 2]), Ok(b"258"));
        check(Form::Bit, Kind::Unsigned, text("\u{5}"), Ok(b"5"));
        check(Form::Bit, Kind::Unsigned, Literal::Bytes(vec![0xff; 8]), Ok(b"18446744073709551615"));
        check(Form::Bit, Kind::Unsigned, Literal::Bytes(vec![1; 9]), Err("at most 64 bits"));
        check(Form::Bit, Kind::Unsigned, Literal::Bits(b"101".to_vec()), Ok(b"5"));
        check(Form::Number, Kind::Unsigned, bare("0007"), Ok(b"7"));
        check(Form::Number, Kind::Unsigned, bare("000"), Ok(b"0"));
        check(Form::Number, Kind::Decimal, bare("0001.50"), Ok(b"1.50"));
        check(Form::Number, Kind::Decimal, bare("0000.50"), Ok(b"0.50"));
        check(Form::Plain, Kind::Decimal, bare("-10.00"), Ok(b"-10.00"));
        check(Form::Plain, Kind::Int, bare("CURRENT_DATE"), Err("a value: a number, a text, bytes or NULL"));
        check(Form::Latin1, Kind::TextIn("latin1".to_owned()), text("é€"), Ok(b"\xe9\x80"));
        check(Form::Latin1, Kind::TextIn("latin1".to_owned()), text("я"), Err("text that Latin-1 has"));
        check(Form::Utf16, Kind::TextIn("utf16".to_owned()), text("é😀"), Ok(b"\0\xe9\xd8\x3d\xde\0"));
        check(Form::Utf16Le, Kind::TextIn("utf16le".to_owned()), text("é😀"), Ok(b"\xe9\0\x3d\xd8\0\xde"));
        check(Form::Utf32, Kind::TextIn("utf32".to_owned()), text("é😀"), Ok(b"\0\0\0\xe9\0\x01\xf6\0"));
        check(Form::Bool, Kind::Bool, bare("true"), Ok(b"t"));
        check(Form::Bytea, Kind::Bytes, text("\\x00fF"), Ok(b"\0\xff"));
        check(Form::Bytea, Kind::Bytes, text("a\\\\\\001"), Ok(b"a\\\x01"));
        check(
            Form::Bytea,
            Kind::Bytes,
            text("\\x0"),
            Err("bytes as \\x and hexadecimal digits, or with \\ and octal digits"),
        );
        check(
            Form::Zoned,
            Kind::Timestamp,
            text("2026-11-21 00:30:00.50+01"),
            Ok(b"2026-11-20 23:30:00.50+00"),
        );
        check(Form::Zoned, Kind::Timestamp, text("2026-11-21 00:30:00-05:30"), Ok(b"2026-11-21 06:00:00+00"));
        check(
            Form::Zoned,
            Kind::Timestamp,
            text("0044-03-15 08:29:08-03:30:52 BC"),
            Ok(b"0044-03-15 12:00:00+00 BC"),
        );
        check(Form::Zoned, Kind::Timestamp, text("0001-01-01 00:30:00+01"), Ok(b"0001-12-31 23:30:00+00 BC"));
        check(Form::Zoned, Kind::Timestamp, text("infinity"), Ok(b"infinity"));
        for (written, expected) in [
            ("{}", "{}"),
            ("empty", "empty"),
            (r#"{"2026-11-21 00:30:00+01",NULL,infinity}"#, r#"{"2026-11-20 23:30:00+00",NULL,infinity}"#),
            (r#"["2026-11-21 00:30:00.5+01",)"#, r#"["2026-11-20 23:30:00.5+00",)"#),
            (
                r#"{"[\"2026-07-01 02:00:00+02\",\"2026-11-21 00:00:00+00\")","(,)"}"#,
                r#"{"[\"2026-07-01 00:00:00+00\",\"2026-11-21 00:00:00+00\")","(,)"}"#,
            ),
        ] {
            check(Form::ZonedWithin, Kind::Other, text(written), Ok(expected.as_bytes()));
        }
    }
}
