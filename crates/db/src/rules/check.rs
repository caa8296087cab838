//! Checks of whole tables: `SELECT sum(debit) - sum(credit) FROM entries` must give nothing.
//!
//! The first value of the first row decides. No row, NULL and a number that is 0, or no further from it than the tolerance, are right; everything
//! else is a breach, a text too: `SELECT 'accounts without a branch' FROM … WHERE …`. Numbers are compared as exact decimals.

use std::time::Duration;

use attestry_event::{Nanos, Period};
use attestry_script::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Breach, shown};
use crate::cell::Cell;
use crate::schedule::Schedule;

/// A check of whole tables.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CheckConfig {
    /// A SELECT, run in a transaction that can only read. The first value of its first row must be NULL or 0, or there must be no row.
    pub sql: String,
    /// How often: a time such as `15m`, or the five fields of a crontab on this host's clock. Default: 1h.
    #[serde(default = "every")]
    pub every: String,
    /// How far from 0 it may be: a decimal. Default: 0.
    #[serde(default)]
    pub tolerance: Option<String>,
    /// How long the statement may take. Default: 30s.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn every() -> String {
    "1h".to_owned()
}

fn timeout() -> Period {
    Period::seconds(30)
}

/// The rows of a check that are asked for: one is enough to know.
pub const CHECK_ROWS: u32 = 1;

/// A check, ready to run.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name, which is the rule's.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// How long it may take.
    pub timeout: Duration,
    rhythm: Rhythm,
    tolerance: Decimal,
}

#[derive(Clone, Debug)]
enum Rhythm {
    Every(Duration),
    Schedule(Schedule),
}

impl Check {
    /// A check of what is written.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(name: &str, config: &CheckConfig) -> Result<Check, String> {
        let tolerance = match &config.tolerance {
            None => Decimal::ZERO,
            Some(text) => text
                .parse::<Decimal>()
                .ok()
                .filter(|tolerance| *tolerance >= Decimal::ZERO)
                .ok_or_else(|| format!("tolerance: found {text:?}, expected a decimal such as 0.01"))?,
        };
        if config.sql.trim().is_empty() {
            return Err("sql: found nothing, expected a SELECT".to_owned());
        }
        Ok(Check {
            name: name.to_owned(),
            sql: config.sql.clone(),
            timeout: config.timeout.0,
            rhythm: rhythm(&config.every)?,
            tolerance,
        })
    }

    /// When it is due after it was run last.
    pub fn next(&self, last: Nanos) -> Option<Nanos> {
        match &self.rhythm {
            Rhythm::Every(period) => last.0.checked_add(i64::try_from(period.as_nanos()).ok()?).map(Nanos),
            Rhythm::Schedule(schedule) => schedule.next(last),
        }
    }

    /// What is wrong, if anything is, when the statement gave these rows.
    pub fn look(&self, rows: &[Vec<Cell>]) -> Option<Breach> {
        let cell = rows.first().and_then(|row| row.first()).unwrap_or(&Cell::Null);
        let bytes = match cell {
            Cell::Null => return None,
            Cell::Masked(_) => return Some(self.breach("The check gives a masked value".to_owned())),
            Cell::Value(bytes) => bytes,
        };
        let text = String::from_utf8_lossy(bytes);
        let Ok(number) = text.trim().parse::<Decimal>() else {
            return Some(self.breach(format!("The check gives {}", shown::text(&text))));
        };
        let difference = number.abs();
        (difference > self.tolerance).then(|| {
            let within = match self.tolerance == Decimal::ZERO {
                true => String::new(),
                false => format!(" or at most {} from it", self.tolerance),
            };
            self.breach(format!("The check gives {}, expected 0{within}", shown::text(&text)))
        })
    }

    /// That the statement could not be run, which is a breach of its own. `reason` must hold no data.
    pub fn failed(&self, reason: &str) -> Breach {
        let description = format!("The check {} failed: {}", self.name, shown::text(reason));
        Breach { field: None, rule: format!("{}:failed", self.name), description }
    }

    fn breach(&self, description: String) -> Breach {
        Breach { field: None, rule: self.name.clone(), description }
    }
}

fn rhythm(every: &str) -> Result<Rhythm, String> {
    if let Ok(Period(period)) = every.parse::<Period>() {
        return if period.is_zero() {
            Err("every: found 0s, expected a time".to_owned())
        } else {
            Ok(Rhythm::Every(period))
        };
    }
    let wrong = |why: String| {
        format!(
            "every: found {every:?}, expected a time such as 15m or a crontab such as \"0 3 * * *\": {why}"
        )
    };
    Schedule::new(every, None).map(Rhythm::Schedule).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(every: &str, tolerance: Option<&str>) -> Result<Check, String> {
        let config = CheckConfig {
            sql: "SELECT sum(debit) - sum(credit) FROM entries".to_owned(),
            every: every.to_owned(),
            tolerance: tolerance.map(str::to_owned),
            timeout: timeout(),
        };
        Check::new("balanced", &config)
    }

    #[test]
    fn nothing_is_right_and_everything_else_is_not() {
        for (tolerance, rows, expected) in [
            (None, vec![], None),
            (None, vec![vec![]], None),
            (None, vec![vec![Cell::Null, Cell::of("7")]], None),
            (None, vec![vec![Cell::of("0")]], None),
            (None, vec![vec![Cell::of("-0.0000")]], None),
            (
                None,
                vec![vec![Cell::of("0.0000000000000000000000000001")]],
                Some("The check gives 0.0000000000000000000000000001, expected 0"),
            ),
            (
                None,
                vec![vec![Cell::of("9007199254740993.01")]],
                Some("The check gives 9007199254740993.01, expected 0"),
            ),
            (Some("0.01"), vec![vec![Cell::of("-0.01")]], None),
            (
                Some("0.01"),
                vec![vec![Cell::of("-0.010000001")]],
                Some("The check gives -0.010000001, expected 0 or at most 0.01 from it"),
            ),
            (Some("1"), vec![vec![Cell::of("5e-1")]], None),
            (None, vec![vec![Cell::of("NaN")]], Some("The check gives NaN")),
            (None, vec![vec![Cell::of("")]], Some("The check gives ")),
            (None, vec![vec![Cell::of("no branch\n")]], Some("The check gives no branch\\n")),
            (None, vec![vec![Cell::of("0")], vec![Cell::of("7")]], None),
        ] {
            let breach = check("1h", tolerance).unwrap().look(&rows);
            assert_eq!(breach.as_ref().map(|breach| breach.description.as_str()), expected, "{rows:?}");
            assert!(breach.is_none_or(|breach| breach.rule == "balanced" && breach.field.is_none()));
        }
        let failed = check("1h", None).unwrap().failed("it took longer than 30 s");
        assert_eq!(failed.rule, "balanced:failed");
    }

    #[test]
    fn it_is_due_by_a_period_or_a_crontab() {
        let hour = 3_600_000_000_000;
        assert_eq!(check("15m", None).unwrap().next(Nanos(hour)), Some(Nanos(hour + hour / 4)));
        let next = check("30 * * * *", None).unwrap().next(Nanos(0)).unwrap();
        assert!(next.0 > 0 && next.0 <= hour, "{next:?}");
        for (every, tolerance, says) in [
            ("sometimes", None, "every: found \"sometimes\""),
            ("* * * * * *", None, "it has 6 fields"),
            ("61 * * * *", None, "every"),
            ("0s", None, "found 0s"),
            ("1h", Some("-1"), "tolerance: found \"-1\""),
            ("1h", Some("a little"), "tolerance"),
        ] {
            assert!(check(every, tolerance).unwrap_err().contains(says), "{every}");
        }
    }
}
