//! When a report is due: a crontab line and a time zone, on the log's time.

use std::str::FromStr;

use attestry_event::Nanos;
use croner::Cron;
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::Window;

/// The most that a schedule is said to have missed at once: a year of hours.
const MISSED_MAX: usize = 9_000;

/// When a report is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The crontab line.
    #[error("cron: {0:?} is no line of a crontab ({1}); expected five fields such as \"0 6 * * 1\"")]
    Cron(String, String),
    /// The zone.
    #[error("zone: there is no time zone {0:?}; expected a name such as Europe/Paris or UTC")]
    Zone(String),
}

impl Schedule {
    /// Reads a crontab line (five fields, or six with seconds first) and the name of a time zone.
    ///
    /// # Errors
    /// [`ScheduleError`] says which of them is wrong.
    pub fn new(cron: &str, zone: &str) -> Result<Schedule, ScheduleError> {
        let wrong =
            |error: croner::errors::CronError| ScheduleError::Cron(cron.to_owned(), error.to_string());
        let zone = match zone {
            "" | "UTC" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))?,
        };
        Ok(Schedule { cron: Cron::from_str(cron).map_err(wrong)?, zone })
    }

    fn zoned(&self, time: Nanos) -> Option<Zoned> {
        let timestamp = jiff::Timestamp::from_nanosecond(i128::from(time.0)).ok()?;
        Some(timestamp.to_zoned(self.zone.clone()))
    }

    /// The first time after this one; none when there is none within what croner looks through.
    pub fn next(&self, after: Nanos) -> Option<Nanos> {
        let next = self.cron.find_next_occurrence(&self.zoned(after)?, false).ok()?;
        i64::try_from(next.timestamp().as_nanosecond()).ok().map(Nanos)
    }

    /// The last time at or before this one.
    pub fn last(&self, until: Nanos) -> Option<Nanos> {
        let last = self.cron.find_previous_occurrence(&self.zoned(until)?, true).ok()?;
        i64::try_from(last.timestamp().as_nanosecond()).ok().map(Nanos)
    }

    /// All times after `after` up to and with `until`, the oldest first; how many older ones are left out when there are more than 9,000.
    pub fn due(&self, after: Nanos, until: Nanos) -> (Vec<Nanos>, usize) {
        let (mut due, mut at) = (Vec::new(), after);
        while let Some(next) = self.next(at).filter(|next| *next <= until) {
            due.push(next);
            at = next;
        }
        let left_out = due.len().saturating_sub(MISSED_MAX);
        (due.split_off(left_out), left_out)
    }

    /// The time that a report due then is about: from when it was due before.
    pub fn window(&self, due: Nanos) -> Window {
        let before = self.last(Nanos(due.0.saturating_sub(1)));
        Window { from: before.unwrap_or(Nanos(due.0.saturating_sub(86_400_000_000_000))), to: due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Nanos {
        Nanos::parse(text).unwrap()
    }

    #[test]
    fn due_times_follow_the_zone() {
        let check = |cron: &str, zone: &str, after: &str, until: &str, expected: &[&str]| {
            let schedule = Schedule::new(cron, zone).unwrap();
            let (due, left_out) = schedule.due(time(after), time(until));
            let due: Vec<String> = due.iter().map(|due| due.to_string()[..16].to_owned()).collect();
            assert_eq!(
                (due.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), left_out),
                (expected, 0),
                "{cron} {zone}"
            );
        };
        check(
            "0 6 * * *",
            "Europe/Paris",
            "2026-10-23T12:00:00Z",
            "2026-10-26T12:00:00Z",
            // Summer time ends on the 25th.
            &["2026-10-24T04:00", "2026-10-25T05:00", "2026-10-26T05:00"],
        );
        check(
            "0 * * * *",
            "UTC",
            "2026-10-23T12:00:00Z",
            "2026-10-23T14:00:00Z",
            &["2026-10-23T13:00", "2026-10-23T14:00"],
        );
        check("0 6 * * 1", "", "2026-11-16T06:00:00Z", "2026-11-23T05:59:59Z", &[]);
        check("30 2 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-12-31T00:00:00Z", &["2028-02-29T02:30"]);
    }

    #[test]
    fn a_window_reaches_back_to_the_time_before() {
        let window = |cron: &str, due: &str| {
            let Window { from, to } = Schedule::new(cron, "Europe/Paris").unwrap().window(time(due));
            [from, to].map(|time| time.to_string()[..16].to_owned())
        };
        assert_eq!(window("0 6 * * *", "2026-10-25T05:00:00Z"), ["2026-10-24T04:00", "2026-10-25T05:00"]);
        assert_eq!(window("0 0 1 * *", "2026-10-31T23:00:00Z"), ["2026-09-30T22:00", "2026-10-31T23:00"]);
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for (cron, zone, expected) in [
            ("0 25 * * *", "UTC", "cron: "),
            ("", "UTC", "cron: "),
            ("daily", "UTC", "cron: "),
            ("0 6 * * *", "Mars/Base", "zone: "),
        ] {
            assert!(Schedule::new(cron, zone).unwrap_err().to_string().starts_with(expected), "{cron}");
        }
    }

    #[test]
    fn a_long_absence_is_bounded() {
        let schedule = Schedule::new("* * * * *", "UTC").unwrap();
        let (due, left_out) = schedule.due(time("2026-11-01T00:00:00Z"), time("2026-11-08T00:00:00Z"));
        assert_eq!((due.len(), left_out), (9_000, 1_080));
        assert_eq!(due.last(), Some(&time("2026-11-08T00:00:00Z")));
    }
}
