//! Rows as the binary log has them, turned into the cells that SQL would give.
//!
//! Source of the format: MySQL's `log_event.cc` and `rpl_utility.cc` (table map and rows events), `my_time.c` and `compat56.cc` (times), `decimal.c`
//! (decimals), MariaDB's `sql_type_uuid.h`, `sql_type_inet.cc`.

use std::net::Ipv4Addr;

use super::bytes::Bytes;
use super::column_type::{ColumnType, Text};
use super::float;
use super::json;
use crate::table::Table;

/// `MYSQL_TYPE_*`.
mod wire {
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const NEWDATE: u8 = 14;
    pub(super) const VARCHAR: u8 = 15;
    pub(super) const BIT: u8 = 16;
    pub(super) const TIMESTAMP2: u8 = 17;
    pub(super) const DATETIME2: u8 = 18;
    pub(super) const TIME2: u8 = 19;
    pub(super) const JSON: u8 = 245;
    pub(super) const NEWDECIMAL: u8 = 246;
    pub(super) const ENUM: u8 = 247;
    pub(super) const SET: u8 = 248;
    pub(super) const BLOB: u8 = 252;
    pub(super) const VAR_STRING: u8 = 253;
    pub(super) const STRING: u8 = 254;
    pub(super) const GEOMETRY: u8 = 255;
}

/// A column of a table map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapped {
    wire: u8,
    /// Two bytes of metadata; of one byte, that is the first.
    meta: [u8; 2],
}

/// How the rows of a table map are read, as cells of a known table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    columns: Vec<(Mapped, ColumnType)>,
}

/// A table map event, as far as it is of use here.
pub(super) struct TableMap<'a> {
    pub(super) id: u64,
    pub(super) schema: &'a [u8],
    pub(super) table: &'a [u8],
    columns: Vec<Mapped>,
    /// The columns' names, when `binlog_row_metadata` is FULL.
    names: Option<Vec<&'a [u8]>>,
}

impl<'a> TableMap<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<TableMap<'a>> {
        let mut body = Bytes::new(body);
        let id = body.little(6)?;
        body.take(2)?;
        let schema = body.counted(1)?;
        body.take(1)?;
        let table = body.counted(1)?;
        body.take(1)?;
        let count = usize::try_from(body.packed()?).ok()?;
        let types = body.take(count)?;
        let metadata_length = usize::try_from(body.packed()?).ok()?;
        let mut metadata = Bytes::new(body.take(metadata_length)?);
        body.take(count.div_ceil(8))?;
        let columns = types.iter().map(|wire| mapped(*wire, &mut metadata)).collect::<Option<Vec<_>>>()?;
        let mut names = None;
        while !body.is_empty() {
            /// `COLUMN_NAME` of the optional metadata.
            const NAMES: u8 = 4;
            let field = body.u8()?;
            let length = usize::try_from(body.packed()?).ok()?;
            let mut value = Bytes::new(body.take(length)?);
            if field == NAMES {
                let mut found = Vec::with_capacity(count);
                while !value.is_empty() {
                    let length = usize::try_from(value.packed()?).ok()?;
                    found.push(value.take(length)?);
                }
                names = Some(found);
            }
        }
        Some(TableMap { id, schema, table, columns, names })
    }

    /// How its rows are read as rows of a table; none when they are not such rows: another number of columns, other types or other names.
    pub(super) fn layout(&self, table: &Table) -> Option<Layout> {
        if self.columns.len() != table.columns.len() {
            return None;
        }
        if let Some(names) = &self.names
            && !names.iter().copied().eq(table.columns.iter().map(|column| column.name.as_bytes()))
        {
            return None;
        }
        let columns = self.columns.iter().zip(&table.columns).map(|(mapped, column)| {
            let known = column.mysql_type().ok()?;
            fits(*mapped, &known).then_some((*mapped, known))
        });
        columns.collect::<Option<_>>().map(|columns| Layout { columns })
    }
}

fn mapped(wire: u8, metadata: &mut Bytes<'_>) -> Option<Mapped> {
    let count = match wire {
        wire::FLOAT
        | wire::DOUBLE
        | wire::BLOB
        | wire::GEOMETRY
        | wire::JSON
        | wire::TIME2
        | wire::DATETIME2
        | wire::TIMESTAMP2 => 1,
        wire::VARCHAR
        | wire::VAR_STRING
        | wire::STRING
        | wire::ENUM
        | wire::SET
        | wire::BIT
        | wire::NEWDECIMAL => 2,
        wire::TINY
        | wire::SHORT
        | wire::LONG
        | wire::LONGLONG
        | wire::INT24
        | wire::DATE
        | wire::NEWDATE
        | wire::TIME
        | wire::DATETIME
        | wire::TIMESTAMP
        | wire::YEAR => 0,
        // MariaDB's compressed columns among them.
        _ => return None,
    };
    let mut meta = [0; 2];
    meta.get_mut(..count)?.copy_from_slice(metadata.take(count)?);
    Some(Mapped { wire, meta })
}

/// Whether a column of the log is one of this type.
fn fits(Mapped { wire, meta }: Mapped, known: &ColumnType) -> bool {
    let string_of = |real| wire == wire::STRING && meta[0] == real;
    let is_string = wire == wire::STRING && ![wire::ENUM, wire::SET].contains(&meta[0]);
    let is_var = matches!(wire, wire::VARCHAR | wire::VAR_STRING);
    match known {
        ColumnType::Int { bytes, .. } => match wire {
            wire::TINY => *bytes == 1,
            wire::SHORT => *bytes == 2,
            wire::INT24 => *bytes == 3,
            wire::LONG => *bytes == 4,
            wire::LONGLONG => *bytes == 8,
            _ => false,
        },
        ColumnType::Decimal { precision, scale, .. } => {
            wire == wire::NEWDECIMAL && meta == [*precision, *scale]
        }
        ColumnType::Float => wire == wire::FLOAT && meta[0] == 4,
        ColumnType::Double => wire == wire::DOUBLE && meta[0] == 8,
        ColumnType::Bit { bits } => {
            wire == wire::BIT && u16::from(meta[1]) * 8 + u16::from(meta[0]) == u16::from(*bits)
        }
        ColumnType::Year { .. } => wire == wire::YEAR,
        ColumnType::Date => matches!(wire, wire::DATE | wire::NEWDATE),
        // The forms before MySQL 5.6 are read only without a fraction: with one, MariaDB's differ.
        ColumnType::Time { fraction } => {
            wire == wire::TIME2 && meta[0] == *fraction || wire == wire::TIME && *fraction == 0
        }
        ColumnType::DateTime { fraction } => {
            wire == wire::DATETIME2 && meta[0] == *fraction || wire == wire::DATETIME && *fraction == 0
        }
        ColumnType::Timestamp { fraction } => {
            wire == wire::TIMESTAMP2 && meta[0] == *fraction || wire == wire::TIMESTAMP && *fraction == 0
        }
        ColumnType::Text(Text { padded: true, .. }) | ColumnType::Binary { .. } => is_string,
        ColumnType::Text(_) | ColumnType::Bytes => is_var || wire == wire::BLOB && (1..=4).contains(&meta[0]),
        ColumnType::Enum { .. } => string_of(wire::ENUM) && (1..=2).contains(&meta[1]),
        ColumnType::Set { .. } => string_of(wire::SET) && (1..=8).contains(&meta[1]),
        ColumnType::Geometry => wire == wire::GEOMETRY && (1..=4).contains(&meta[0]),
        ColumnType::Uuid | ColumnType::Inet6 => string_of(wire::STRING) && meta[1] == 16,
        ColumnType::Inet4 => string_of(wire::STRING) && meta[1] == 4,
        ColumnType::Json => wire == wire::JSON && (1..=4).contains(&meta[0]),
    }
}

impl Layout {
    pub(super) fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Reads a row: for each column that is sent (a bit set in `present`) its bytes, `None` in the place of NULL. Columns that are not sent are left out:
    /// `each` is told the column's place.
    pub(super) fn row(
        &self,
        present: &[u8],
        rows: &mut Bytes<'_>,
        mut each: impl FnMut(usize, Option<Vec<u8>>),
    ) -> Option<()> {
        let sent = (0..self.columns.len()).filter(|at| bit(present, *at)).count();
        let nulls = rows.take(sent.div_ceil(8))?;
        let mut place = 0;
        for (at, (mapped, known)) in self.columns.iter().enumerate() {
            if !bit(present, at) {
                continue;
            }
            let value = if bit(nulls, place) { None } else { Some(value(*mapped, known, rows)?) };
            each(at, value);
            place += 1;
        }
        Some(())
    }
}

fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte & (1 << (at % 8)) != 0)
}

fn value(mapped: Mapped, known: &ColumnType, rows: &mut Bytes<'_>) -> Option<Vec<u8>> {
    let text = match known {
        ColumnType::Int { bytes, unsigned } => {
            let raw = rows.little(usize::from(*bytes))?;
            if *unsigned {
                raw.to_string()
            } else {
                let unused = 64 - 8 * u32::from(*bytes);
                ((raw << unused).cast_signed() >> unused).to_string()
            }
        }
        ColumnType::Decimal { precision, scale, .. } => decimal(*precision, *scale, rows)?,
        ColumnType::Float => float::text(f64::from(f32::from_bits(rows.u32()?))),
        ColumnType::Double => float::text(f64::from_bits(rows.u64()?)),
        ColumnType::Bit { bits } => rows.big(usize::from(bits.div_ceil(8)))?.to_string(),
        ColumnType::Year { digits } => match (rows.u8()?, digits) {
            (0, _) => "0".to_owned(),
            (since, 2) => (since % 100).to_string(),
            (since, _) => (1_900 + u16::from(since)).to_string(),
        },
        ColumnType::Date => {
            let packed = rows.little(3)?;
            format!("{:04}-{:02}-{:02}", packed >> 9, packed >> 5 & 15, packed & 31)
        }
        ColumnType::Time { fraction } => time(mapped, *fraction, rows)?,
        ColumnType::DateTime { fraction } => date_time(mapped, *fraction, rows)?,
        ColumnType::Timestamp { fraction } => timestamp(mapped, *fraction, rows)?,
        ColumnType::Text(text) => {
            let bytes = string(mapped, rows)?;
            return Some(if text.padded { unpadded(bytes, &text.charset) } else { bytes }.to_vec());
        }
        ColumnType::Bytes | ColumnType::Geometry => return Some(string(mapped, rows)?.to_vec()),
        ColumnType::Binary { length } => return zeros_added(string(mapped, rows)?, usize::from(*length)),
        ColumnType::Enum { labels } => match rows.little(usize::from(mapped.meta[1]))? {
            // What was no label when it was put in.
            0 => String::new(),
            label => labels.get(usize::try_from(label).ok()? - 1)?.clone(),
        },
        ColumnType::Set { labels } => {
            let bits = rows.little(usize::from(mapped.meta[1]))?;
            if labels.len() < 64 && bits >> labels.len() != 0 {
                return None;
            }
            let set: Vec<&str> = labels
                .iter()
                .enumerate()
                .filter(|(at, _)| bits >> at & 1 == 1)
                .map(|(_, label)| label.as_str())
                .collect();
            set.join(",")
        }
        ColumnType::Json => json::text(string(mapped, rows)?)?,
        ColumnType::Uuid => uuid(&zeros_added(string(mapped, rows)?, 16)?.try_into().ok()?),
        ColumnType::Inet6 => inet6(&zeros_added(string(mapped, rows)?, 16)?.try_into().ok()?),
        ColumnType::Inet4 => {
            let bytes: [u8; 4] = zeros_added(string(mapped, rows)?, 4)?.try_into().ok()?;
            Ipv4Addr::from(bytes).to_string()
        }
    };
    Some(text.into_bytes())
}

/// A length and as many bytes.
fn string<'a>(Mapped { wire, meta }: Mapped, rows: &mut Bytes<'a>) -> Option<&'a [u8]> {
    let two_if_long = |longest: u16| if longest > 255 { 2 } else { 1 };
    let count = match wire {
        wire::BLOB | wire::GEOMETRY | wire::JSON => usize::from(meta[0]),
        wire::STRING => {
            // The two highest bits of the length are hidden in the type, inverted (MySQL's bug 37426).
            let high = if meta[0] & 0x30 == 0x30 { 0 } else { u16::from(meta[0] & 0x30 ^ 0x30) << 4 };
            two_if_long(high | u16::from(meta[1]))
        }
        _ => two_if_long(u16::from_le_bytes(meta)),
    };
    rows.counted(count)
}

/// CHAR without the blanks at its end, which are not part of its value.
fn unpadded<'a>(mut bytes: &'a [u8], charset: &str) -> &'a [u8] {
    let blank: &[u8] = match charset {
        "ucs2" | "utf16" => &[0, b' '],
        "utf16le" => &[b' ', 0],
        "utf32" => &[0, 0, 0, b' '],
        _ => b" ",
    };
    while let Some(shorter) = bytes.strip_suffix(blank) {
        bytes = shorter;
    }
    bytes
}

/// BINARY with the zeros at its end, which the log leaves out.
fn zeros_added(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    if bytes.len() > length {
        return None;
    }
    let mut whole = bytes.to_vec();
    whole.resize(length, 0);
    Some(whole)
}

/// Nine digits in four bytes, what is left over in as few as hold it; the first bit says "not negative", and a negative number has all bits inverted.
pub(super) fn decimal(precision: u8, scale: u8, rows: &mut Bytes<'_>) -> Option<String> {
    const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let (whole, scale) = (usize::from(precision.checked_sub(scale)?), usize::from(scale));
    let groups = |digits: usize| digits / 9 * 4 + BYTES.get(digits % 9).copied().unwrap_or(0);
    let mut bytes = rows.take(groups(whole) + groups(scale))?.to_vec();
    let first = bytes.first_mut()?;
    let negative = *first & 0x80 == 0;
    *first ^= 0x80;
    if negative {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut bytes = Bytes::new(&bytes);
    let mut digits = String::with_capacity(usize::from(precision) + 3);
    let mut group = |count: usize| -> Option<()> {
        if count > 0 {
            let value = bytes.big(*BYTES.get(count)?)?;
            digits.push_str(&format!("{value:0count$}"));
        }
        Some(())
    };
    group(whole % 9)?;
    (0..whole / 9).try_for_each(|_| group(9))?;
    (0..scale / 9).try_for_each(|_| group(9))?;
    group(scale % 9)?;
    let (before, after) = digits.split_at_checked(digits.len().checked_sub(scale)?)?;
    let before = before.trim_start_matches('0');
    let before = if before.is_empty() { "0" } else { before };
    let sign = if negative && digits.bytes().any(|digit| digit != b'0') { "-" } else { "" };
    let dot = if scale > 0 { "." } else { "" };
    Some(format!("{sign}{before}{dot}{after}"))
}

/// Microseconds from a fraction as it is kept: one, two or three bytes.
fn microseconds(fraction: u8, raw: u64) -> u64 {
    match fraction {
        1 | 2 => raw * 10_000,
        3 | 4 => raw * 100,
        _ => raw,
    }
}

/// `.5`, with as many digits as the column has.
fn fraction_text(fraction: u8, microseconds: u64) -> String {
    match fraction {
        0 => String::new(),
        some => {
            let digits = usize::from(some.min(6));
            let shown = format!("{microseconds:06}");
            format!(".{}", shown.get(..digits).unwrap_or(&shown))
        }
    }
}

fn time(mapped: Mapped, fraction: u8, rows: &mut Bytes<'_>) -> Option<String> {
    if mapped.wire == wire::TIME {
        let raw = rows.little(3)?.cast_signed() << 40 >> 40;
        let (sign, raw) = (if raw < 0 { "-" } else { "" }, raw.unsigned_abs());
        return Some(format!("{sign}{:02}:{:02}:{:02}", raw / 10_000, raw / 100 % 100, raw % 100));
    }
    let fraction_bytes = usize::from(fraction.div_ceil(2));
    // One number of whole and fraction, moved so that all are positive: so a negative time borrows from the whole for its fraction.
    let bits = 24 + 8 * u32::try_from(fraction_bytes).ok()?;
    let moved = rows.big(3 + fraction_bytes)?.cast_signed() - (1 << (bits - 1));
    let (sign, packed) = (if moved < 0 { "-" } else { "" }, moved.unsigned_abs());
    let (whole, raw) = (packed >> (bits - 24), packed & ((1 << (bits - 24)) - 1));
    let text = fraction_text(fraction, microseconds(fraction, raw));
    Some(format!("{sign}{:02}:{:02}:{:02}{text}", whole >> 12 & 1023, whole >> 6 & 63, whole & 63))
}

fn date_time(mapped: Mapped, fraction: u8, rows: &mut Bytes<'_>) -> Option<String> {
    if mapped.wire == wire::DATETIME {
        let raw = rows.u64()?;
        let (date, time) = (raw / 1_000_000, raw % 1_000_000);
        return Some(format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            date / 10_000,
            date / 100 % 100,
            date % 100,
            time / 10_000,
            time / 100 % 100,
            time % 100
        ));
    }
    let packed = rows.big(5)?.checked_sub(1 << 39)?;
    let (date, time) = (packed >> 17, packed & ((1 << 17) - 1));
    let (months, day) = (date >> 5, date & 31);
    let raw = rows.big(usize::from(fraction.div_ceil(2)))?;
    let text = fraction_text(fraction, microseconds(fraction, raw));
    Some(format!(
        "{:04}-{:02}-{day:02} {:02}:{:02}:{:02}{text}",
        months / 13,
        months % 13,
        time >> 12,
        time >> 6 & 63,
        time & 63
    ))
}

fn timestamp(mapped: Mapped, fraction: u8, rows: &mut Bytes<'_>) -> Option<String> {
    let (seconds, raw) = if mapped.wire == wire::TIMESTAMP {
        (u64::from(rows.u32()?), 0)
    } else {
        (rows.big(4)?, rows.big(usize::from(fraction.div_ceil(2)))?)
    };
    let microseconds = microseconds(fraction, raw);
    let text = fraction_text(fraction, microseconds);
    if seconds == 0 && microseconds == 0 {
        return Some(format!("0000-00-00 00:00:00{text}"));
    }
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{text}"))
}

/// Year, month and day of a day after 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// Kept with its parts turned around, so that those made one after the other sort so; others (versions 6 and later, none at all) as they are.
fn uuid(kept: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *kept;
    let turned = g & 0x80 != 0 && i > 0 && i < 0x60;
    let bytes = if turned { [m, n, o, p, k, l, i, j, g, h, a, b, c, d, e, f] } else { *kept };
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// As MariaDB writes it: the first of the longest runs of zeros is left out, be it only one, and what may be an IPv4 address is written as one.
fn inet6(bytes: &[u8; 16]) -> String {
    let words: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
    let mut gap = (0, 0);
    let mut run = (0, 0);
    for (at, word) in words.iter().enumerate() {
        if *word == 0 {
            run = if run.1 == 0 { (at, 1) } else { (run.0, run.1 + 1) };
            if run.1 > gap.1 {
                gap = run;
            }
        } else {
            run = (0, 0);
        }
    }
    let mut text = String::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if gap.1 > 0 && at == gap.0 {
            text.push_str(if at == 0 { "::" } else { ":" });
            at += gap.1;
            continue;
        }
        let mapped = gap.1 == 5 && words.get(5) == Some(&0xffff);
        if at == 6 && gap.1 > 0 && gap.0 == 0 && (gap.1 == 6 || mapped) {
            let [.., a, b, c, d] = *bytes;
            text.push_str(&Ipv4Addr::new(a, b, c, d).to_string());
            return text;
        }
        text.push_str(&format!("{word:x}"));
        if at < 7 {
            text.push(':');
        }
        at += 1;
    }
    text
}
