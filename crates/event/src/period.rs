//! Lengths of time as people write them: `500ms`, `30s`, `5m`, `12h`, `7d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A length of time: a whole number and `ms`, `s`, `m`, `h`, `d` or `w`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Period(pub Duration);

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no length of time, expected one such as 500ms, 30s, 5m, 12h or 7d")]
pub struct NoPeriod(String);

const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    /// So many milliseconds.
    pub const fn millis(millis: u64) -> Period {
        Period(Duration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Period {
        Period(Duration::from_secs(seconds))
    }

    /// What is wrong with it where it must not be shorter than `least`.
    pub fn at_least(self, least: Period) -> Option<String> {
        (self.0 < least.0).then(|| format!("{self} is too short, expected at least {least}"))
    }
}

impl TryFrom<String> for Period {
    type Error = NoPeriod;

    fn try_from(text: String) -> Result<Period, NoPeriod> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
        let millis = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
        millis.map(Period::millis).ok_or(NoPeriod(text))
    }
}

impl FromStr for Period {
    type Err = NoPeriod;

    fn from_str(text: &str) -> Result<Period, NoPeriod> {
        Period::try_from(text.to_owned())
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let whole = UNITS.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(u128::from(*unit)));
        let (name, unit) = whole.unwrap_or(&("s", 1_000));
        write!(f, "{}{name}", millis / u128::from(*unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_written() {
        for (text, millis, canonical) in [
            ("500ms", 500, "500ms"),
            ("30s", 30_000, "30s"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("24h", 86_400_000, "1d"),
            ("2w", 1_209_600_000, "2w"),
            ("0s", 0, "0s"),
        ] {
            let period = Period::try_from(text.to_owned()).unwrap();
            assert_eq!(period, Period::millis(millis), "{text}");
            assert_eq!(period.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn says_what_is_expected() {
        for text in
            ["", "5", "s", "-1s", "1.5s", "1 s", "5y", "99999999999999999999s", "18446744073709551615w"]
        {
            let error = Period::try_from(text.to_owned()).unwrap_err();
            assert!(error.to_string().contains("expected"), "{text}: {error}");
        }
    }
}
