//! Facilities and levels (RFC 5424, section 6.2.1).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// What part of a system a message is from: `kern`, `user`, `mail`, `daemon`, `auth`, `syslog`, `lpr`, `news`, `uucp`, `cron`,
/// `authpriv`, `ftp`, `ntp`, `audit`, `alert`, `clock`, `local0` to `local7`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Facility(u8);

/// How urgent a message is: `emerg`, `alert`, `crit`, `err`, `warning`, `notice`, `info`, `debug`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Level(u8);

/// A name that is none of the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {what}, expected one of {}", known.join(" "))]
pub struct UnknownName {
    what: &'static str,
    found: String,
    known: &'static [&'static str],
}

impl Facility {
    /// `local0`.
    pub const LOCAL0: Facility = Facility(16);

    /// 0 to 23; none beyond.
    pub fn new(number: u8) -> Option<Facility> {
        (usize::from(number) < FACILITIES.len()).then_some(Facility(number))
    }

    /// 0 to 23.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The name in configuration files and in `event_data.facility`.
    pub fn name(self) -> &'static str {
        FACILITIES.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

impl Level {
    /// `info`.
    pub const INFO: Level = Level(6);

    /// 0 to 7; none beyond.
    pub fn new(number: u8) -> Option<Level> {
        (usize::from(number) < LEVELS.len()).then_some(Level(number))
    }

    /// 0 to 7, as an event's `severity`.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The name in configuration files.
    pub fn name(self) -> &'static str {
        LEVELS.get(usize::from(self.0)).copied().unwrap_or_default()
    }
}

fn find(name: &str, what: &'static str, known: &'static [&'static str]) -> Result<u8, UnknownName> {
    let at = known.iter().position(|known| *known == name);
    at.and_then(|at| u8::try_from(at).ok()).ok_or_else(|| UnknownName { what, found: name.to_owned(), known })
}

impl TryFrom<String> for Facility {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Facility, UnknownName> {
        find(&name, "facility", &FACILITIES).map(Facility)
    }
}

impl TryFrom<String> for Level {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Level, UnknownName> {
        // The long names, which some write.
        let short = match name.as_str() {
            "emergency" => "emerg",
            "critical" => "crit",
            "error" => "err",
            "warn" => "warning",
            other => other,
        };
        find(short, "level", &LEVELS).map(Level)
    }
}

impl From<Facility> for String {
    fn from(facility: Facility) -> String {
        facility.name().to_owned()
    }
}

impl From<Level> for String {
    fn from(level: Level) -> String {
        level.name().to_owned()
    }
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (name, number) in [("kern", 0), ("auth", 4), ("authpriv", 10), ("local0", 16), ("local7", 23)] {
            let facility = Facility::try_from(name.to_owned()).unwrap();
            assert_eq!((facility.number(), facility.name()), (number, name));
        }
        for (name, number) in [("emerg", 0), ("error", 3), ("warn", 4), ("info", 6), ("debug", 7)] {
            assert_eq!(Level::try_from(name.to_owned()).unwrap().number(), number);
        }
        assert_eq!((Facility::new(24), Level::new(8)), (None, None));
        let error = Facility::try_from("local8".to_owned()).unwrap_err().to_string();
        assert!(error.contains("local8") && error.contains("local7"), "{error}");
    }
}
