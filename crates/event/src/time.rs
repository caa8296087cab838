//! Points in time: nanoseconds since 1970, written as RFC 3339.
//!
//! Every entry holds two times and a batch may hold ten thousand entries, so both directions are plain integer
//! arithmetic on the proleptic Gregorian calendar. The tests compare it with `jiff`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The length in bytes of a time as an entry writes it: `2026-11-21T03:04:05.000000000Z`.
pub const TIME_LEN: usize = 30;

const SECOND: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds: from 1677-09-21 to 2262-04-11.
///
/// `Display` and serde write the entry's form: RFC 3339, UTC, nine fractional digits, 30 characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text does not have the form of RFC 3339.
    #[error("not an RFC 3339 time: unexpected text at byte {at}")]
    Syntax {
        /// Where the first byte that does not fit stands.
        at: usize,
    },
    /// The form is right, but there is no such date, hour or offset.
    #[error("no such {0}")]
    NoSuch(&'static str),
    /// More than nine digits of a second's fraction, which nanoseconds cannot hold.
    #[error("more than nine fractional digits")]
    Fraction,
    /// Before 1677-09-21 or after 2262-04-11.
    #[error("outside the years 1677 to 2262")]
    Range,
}

impl Nanos {
    /// So much later, or the latest time there is.
    pub fn saturating_add(self, by: Duration) -> Nanos {
        Nanos(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// So much earlier, or the earliest time there is.
    pub fn saturating_sub(self, by: Duration) -> Nanos {
        Nanos(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Reads an RFC 3339 time with any offset and up to nine fractional digits.
    ///
    /// As RFC 3339 allows, `t`, `z` and a space instead of `T` are taken too. A leap second (`:60`) is read as the
    /// second before it, since POSIX time has no place for it.
    pub fn parse(text: &str) -> Result<Nanos, TimeError> {
        let bytes = text.as_bytes();
        let (seconds, mut pos) = date_and_time(bytes)?;
        let mut fraction = 0;
        if bytes.get(pos) == Some(&b'.') {
            let first = pos + 1;
            pos = first;
            while let Some(digit) = bytes.get(pos).filter(|byte| byte.is_ascii_digit()) {
                if pos - first == 9 {
                    return Err(TimeError::Fraction);
                }
                fraction = fraction * 10 + i64::from(digit - b'0');
                pos += 1;
            }
            if pos == first {
                return Err(TimeError::Syntax { at: pos });
            }
            for _ in pos - first..9 {
                fraction *= 10;
            }
        }
        let offset = match bytes.get(pos) {
            Some(b'Z' | b'z') => {
                pos += 1;
                0
            }
            Some(sign @ (b'+' | b'-')) => {
                let hours = two(bytes, pos + 1)?;
                punctuation(bytes, pos + 3, b':')?;
                let minutes = two(bytes, pos + 4)?;
                if hours > 23 || minutes > 59 {
                    return Err(TimeError::NoSuch("offset"));
                }
                pos += 6;
                let seconds = (hours * 60 + minutes) * 60;
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return Err(TimeError::Syntax { at: pos }),
        };
        if pos != bytes.len() {
            return Err(TimeError::Syntax { at: pos });
        }
        let nanos = i128::from(seconds - offset) * i128::from(SECOND) + i128::from(fraction);
        i64::try_from(nanos).map(Nanos).map_err(|_| TimeError::Range)
    }

    /// Reads a time exactly as an entry writes it, and nothing else.
    pub(crate) fn parse_entry(bytes: &[u8]) -> Option<Nanos> {
        let bytes: &[u8; TIME_LEN] = bytes.try_into().ok()?;
        if bytes[10] != b'T' || bytes[19] != b'.' || bytes[29] != b'Z' {
            return None;
        }
        let (seconds, _) = date_and_time(bytes).ok()?;
        let mut fraction = 0;
        for digit in &bytes[20..29] {
            if !digit.is_ascii_digit() {
                return None;
            }
            fraction = fraction * 10 + i64::from(digit - b'0');
        }
        seconds.checked_mul(SECOND)?.checked_add(fraction).map(Nanos)
    }

    /// Writes the entry's form: `2026-11-21T03:04:05.000000000Z`.
    pub fn write(self, out: &mut [u8; TIME_LEN]) {
        let seconds = self.0.div_euclid(SECOND);
        let fraction = self.0.rem_euclid(SECOND) as u32;
        let (year, month, day) = civil(seconds.div_euclid(DAY_SECONDS));
        let second = seconds.rem_euclid(DAY_SECONDS) as u32;
        *out = *b"0000-00-00T00:00:00.000000000Z";
        put(out, 0, year / 100);
        put(out, 2, year % 100);
        put(out, 5, month);
        put(out, 8, day);
        put(out, 11, second / 3_600);
        put(out, 14, second / 60 % 60);
        put(out, 17, second % 60);
        put(out, 20, fraction / 10_000_000);
        put(out, 22, fraction / 100_000 % 100);
        put(out, 24, fraction / 1_000 % 100);
        put(out, 26, fraction / 10 % 100);
        out[28] = b'0' + (fraction % 10) as u8;
    }

    /// The entry's form, as an array.
    pub fn to_bytes(self) -> [u8; TIME_LEN] {
        let mut out = [0; TIME_LEN];
        self.write(&mut out);
        out
    }
}

/// Reads `YYYY-MM-DDThh:mm:ss` and returns seconds since 1970 (as if in UTC) and where the text goes on.
fn date_and_time(bytes: &[u8]) -> Result<(i64, usize), TimeError> {
    let year = two(bytes, 0)? * 100 + two(bytes, 2)?;
    punctuation(bytes, 4, b'-')?;
    let month = two(bytes, 5)?;
    punctuation(bytes, 7, b'-')?;
    let day = two(bytes, 8)?;
    if !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return Err(TimeError::Syntax { at: 10 });
    }
    let hour = two(bytes, 11)?;
    punctuation(bytes, 13, b':')?;
    let minute = two(bytes, 14)?;
    punctuation(bytes, 16, b':')?;
    let second = two(bytes, 17)?;
    if !(1..=12).contains(&month) {
        return Err(TimeError::NoSuch("month"));
    }
    if day == 0 || day > days_in(year, month) {
        return Err(TimeError::NoSuch("day"));
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err(TimeError::NoSuch("time of day"));
    }
    let seconds = days(year, month, day) * DAY_SECONDS + hour * 3_600 + minute * 60 + second.min(59);
    Ok((seconds, 19))
}

fn two(bytes: &[u8], at: usize) -> Result<i64, TimeError> {
    match bytes.get(at..at + 2) {
        Some([tens @ b'0'..=b'9', ones @ b'0'..=b'9']) => {
            Ok(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => Err(TimeError::Syntax { at }),
    }
}

fn punctuation(bytes: &[u8], at: usize, expected: u8) -> Result<(), TimeError> {
    if bytes.get(at) == Some(&expected) { Ok(()) } else { Err(TimeError::Syntax { at }) }
}

const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839\
4041424344454647484950515253545556575859606162636465666768697071727374757677787980818283848586878889\
90919293949596979899";

/// Writes `number`, which is below 100, as two digits.
fn put(out: &mut [u8; TIME_LEN], at: usize, number: u32) {
    let pair = number as usize * 2;
    out[at] = PAIRS[pair];
    out[at + 1] = PAIRS[pair + 1];
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. The year is counted from March, so that the leap day is its last; 400 years are 146,097
/// days, and 719,468 days lie between 0000-03-01 and 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days`]: year, month, day.
fn civil(days: i64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

impl fmt::Display for Nanos {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.to_bytes();
        out.pad(std::str::from_utf8(&bytes).map_err(|_| fmt::Error)?)
    }
}

impl std::str::FromStr for Nanos {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Nanos, TimeError> {
        Nanos::parse(text)
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nanos, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Nanos;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an RFC 3339 time")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Nanos, E> {
                Nanos::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thousand_years_end_where_time_does() {
        let (now, long) = (Nanos(1_800_000_000_000_000_000), Duration::from_secs(1_000 * 365 * 86_400));
        assert_eq!(
            (now.saturating_sub(long), now.saturating_add(long)),
            (Nanos(i64::MIN + 1 + now.0), Nanos(i64::MAX))
        );
        assert_eq!(now.saturating_sub(Duration::from_secs(1)), Nanos(1_799_999_999_000_000_000));
    }

    fn check(text: &str, expected: Result<i64, TimeError>) {
        assert_eq!(Nanos::parse(text), expected.map(Nanos), "{text}");
    }

    #[test]
    fn reads_rfc_3339() {
        check("1970-01-01T00:00:00Z", Ok(0));
        check("1970-01-01T00:00:00.000000001Z", Ok(1));
        check("1969-12-31T23:59:59.999999999Z", Ok(-1));
        check("1970-01-01t01:00:00+01:00", Ok(0));
        check("1970-01-01 00:00:00z", Ok(0));
        check("1969-12-31T12:30:00-11:30", Ok(0));
        check("1970-01-01T00:00:00-00:00", Ok(0));
        check("1970-01-01T00:00:00.5Z", Ok(500_000_000));
        check("2024-02-29T00:00:00Z", Ok(1_709_164_800 * SECOND));
        check("2016-12-31T23:59:60Z", Ok(1_483_228_799 * SECOND));
        check("2262-04-11T23:47:16.854775807Z", Ok(i64::MAX));
        check("1677-09-21T00:12:43.145224192Z", Ok(i64::MIN));
    }

    #[test]
    fn refuses_what_is_no_time() {
        check("", Err(TimeError::Syntax { at: 0 }));
        check("2006-01-02T15:04:05Z07:00", Err(TimeError::Syntax { at: 20 }));
        check("2026-11-21", Err(TimeError::Syntax { at: 10 }));
        check("2026-11-21T03:04:05", Err(TimeError::Syntax { at: 19 }));
        check("2026-11-21T03:04:05.Z", Err(TimeError::Syntax { at: 20 }));
        check("2026-11-21T03:04:05,5Z", Err(TimeError::Syntax { at: 19 }));
        check("2026-11-21T03:04:05+0100", Err(TimeError::Syntax { at: 22 }));
        check("2026-11-21T03:04:05 Z", Err(TimeError::Syntax { at: 19 }));
        check("+026-11-21T03:04:05Z", Err(TimeError::Syntax { at: 0 }));
        check("２026-11-21T03:04:05Z", Err(TimeError::Syntax { at: 0 }));
        check("2026-11-21T03:04:05.1234567890Z", Err(TimeError::Fraction));
        check("2026-00-21T03:04:05Z", Err(TimeError::NoSuch("month")));
        check("2026-13-21T03:04:05Z", Err(TimeError::NoSuch("month")));
        check("2026-02-29T03:04:05Z", Err(TimeError::NoSuch("day")));
        check("1900-02-29T03:04:05Z", Err(TimeError::NoSuch("day")));
        check("2026-04-31T03:04:05Z", Err(TimeError::NoSuch("day")));
        check("2026-04-00T03:04:05Z", Err(TimeError::NoSuch("day")));
        check("2026-11-21T24:00:00Z", Err(TimeError::NoSuch("time of day")));
        check("2026-11-21T23:60:00Z", Err(TimeError::NoSuch("time of day")));
        check("2026-11-21T23:00:61Z", Err(TimeError::NoSuch("time of day")));
        check("2026-11-21T23:00:00+24:00", Err(TimeError::NoSuch("offset")));
        check("2026-11-21T23:00:00+23:60", Err(TimeError::NoSuch("offset")));
        check("0000-01-01T00:00:00Z", Err(TimeError::Range));
        check("9999-12-31T23:59:59Z", Err(TimeError::Range));
        check("2262-04-11T23:47:16.854775808Z", Err(TimeError::Range));
        check("1677-09-21T00:12:43.145224191Z", Err(TimeError::Range));
    }

    #[test]
    fn entries_hold_one_form_only() {
        for text in [
            "2026-11-21T03:04:05Z",
            "2026-11-21t03:04:05.000000000Z",
            "2026-11-21 03:04:05.000000000Z",
            "2026-11-21T03:04:05.00000000ZZ",
            "2026-11-21T03:04:05.000+01:00x",
        ] {
            assert_eq!(Nanos::parse_entry(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn serde_uses_the_text() {
        let json = serde_json::to_string(&Nanos(1)).unwrap();
        assert_eq!(json, "\"1970-01-01T00:00:00.000000001Z\"");
        assert_eq!(serde_json::from_str::<Nanos>(&json).unwrap(), Nanos(1));
        assert!(serde_json::from_str::<Nanos>("1").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn agrees_with_jiff(nanos in any::<i64>(), offset in -1_439i32..=1_439) {
            let theirs = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap();
            let text = Nanos(nanos).to_string();
            prop_assert_eq!(&text, &format!("{theirs:.9}"));
            prop_assert_eq!(Nanos::parse(&text), Ok(Nanos(nanos)));
            prop_assert_eq!(Nanos::parse_entry(text.as_bytes()), Some(Nanos(nanos)));

            let zone = jiff::tz::Offset::from_seconds(offset * 60).unwrap().to_time_zone();
            let local = theirs.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string();
            prop_assert_eq!(Nanos::parse(&local), Ok(Nanos(nanos)));
        }

        #[test]
        fn never_panics(text in "[0-9TZtz:.+ -]{0,40}") {
            if let Ok(time) = Nanos::parse(&text) {
                prop_assert_eq!(Nanos::parse(&time.to_string()), Ok(time));
            }
            Nanos::parse_entry(text.as_bytes());
        }
    }
}
