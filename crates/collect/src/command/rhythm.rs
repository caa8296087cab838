//! When a program is due.

use std::{str::FromStr, time::Duration};

use attestry_event::Nanos;
use croner::Cron;
use jiff::{Timestamp, tz::TimeZone};

/// Missed runs are counted so far.
const MAX_MISSED: u64 = 1_000;
/// A last run that is further in the future was on a clock that has been set since.
const CLOCK_SET_NANOS: i64 = 3_600 * 1_000_000_000;

/// When a program runs.
pub(super) enum Rhythm {
    /// At this interval, from start to start.
    Every(Duration),
    /// As a crontab says, on the clock of a place.
    Schedule(Box<Cron>, TimeZone),
}

/// The next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) at: Nanos,
    /// How many runs before it were due, too, and were not made.
    pub(super) missed: u64,
}

impl Due {
    /// How long to wait for it; none when it is due.
    pub(super) fn in_the_future(self, now: Nanos) -> Option<Duration> {
        let nanos = u64::try_from(self.at.0.saturating_sub(now.0)).ok().filter(|nanos| *nanos > 0)?;
        Some(Duration::from_nanos(nanos))
    }
}

impl Rhythm {
    /// Reads a line of a crontab without its command. Otherwise the wrong setting, and what is wrong with it.
    pub(super) fn schedule(text: &str, zone: Option<&str>) -> Result<Rhythm, (&'static str, String)> {
        let zone = match zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name).map_err(|error| ("time_zone", error.to_string()))?,
        };
        let wrong =
            |why: String| ("schedule", format!("{text:?} is no schedule such as \"*/5 * * * *\": {why}"));
        // The parser takes seconds and years as well; a crontab has neither.
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.trim_start().starts_with('@') {
            return Err(wrong(format!("it has {fields} fields")));
        }
        let cron = Cron::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let rhythm = Rhythm::Schedule(Box::new(cron), zone);
        match rhythm.next(Nanos(0)) {
            Some(_) => Ok(rhythm),
            None => Err(wrong("it never comes".into())),
        }
    }

    /// The first time after `last`.
    fn next(&self, last: Nanos) -> Option<Nanos> {
        match self {
            Rhythm::Every(interval) => {
                let nanos = i64::try_from(interval.as_nanos()).ok()?;
                last.0.checked_add(nanos.max(1)).map(Nanos)
            }
            Rhythm::Schedule(cron, zone) => {
                let from = Timestamp::from_nanosecond(last.0.into()).ok()?.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&from, false).ok()?;
                let nanos = i64::try_from(next.timestamp().as_nanosecond()).ok()?;
                // What does not come after cannot be waited for.
                (nanos > last.0).then_some(Nanos(nanos))
            }
        }
    }

    /// The next run after `last` (or, when there was none, after `started`): the newest that is due, else the first to come.
    pub(super) fn due(&self, last: Option<Nanos>, started: Nanos, now: Nanos) -> Due {
        let interval = match self {
            Rhythm::Every(interval) => i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX),
            Rhythm::Schedule(..) => 0,
        };
        let last = last.filter(|last| last.0 <= now.0.saturating_add(CLOCK_SET_NANOS.max(interval)));
        let base = match (last, self) {
            // An interval begins when it is first heard of.
            (None, Rhythm::Every(_)) => return Due { at: now, missed: 0 },
            (None, Rhythm::Schedule(..)) => started.min(now),
            (Some(last), _) => last,
        };
        let never = Due { at: Nanos(i64::MAX), missed: 0 };
        let Some(mut at) = self.next(base) else { return never };
        if interval > 0 && at <= now {
            let missed = (now.0 - at.0) / interval;
            return Due {
                at: Nanos(at.0.saturating_add(missed.saturating_mul(interval))),
                missed: u64::try_from(missed).unwrap_or(0).min(MAX_MISSED),
            };
        }
        let mut missed = 0;
        while missed < MAX_MISSED
            && let Some(next) = self.next(at).filter(|next| *next <= now)
        {
            (at, missed) = (next, missed + 1);
        }
        if missed == MAX_MISSED {
            // There are more, which nobody counts: from now on.
            at = at.max(now);
        }
        Due { at, missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Nanos {
        Nanos::parse(text).unwrap()
    }

    #[track_caller]
    fn check(rhythm: &Rhythm, last: &str, now: &str, due: &str, missed: u64) {
        let last = (!last.is_empty()).then(|| at(last));
        let found = rhythm.due(last, at("2026-03-01T00:00:30Z"), at(now));
        assert_eq!((found.at.to_string(), found.missed), (at(due).to_string(), missed), "{last:?} {now}");
    }

    #[test]
    fn intervals_keep_their_beat() {
        let every = Rhythm::Every(Duration::from_secs(300));
        for (last, now, due, missed) in [
            ("", "2026-03-01T00:00:30Z", "2026-03-01T00:00:30Z", 0),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:01:00Z", "2026-03-01T00:05:00Z", 0),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:05:02Z", "2026-03-01T00:05:00Z", 0),
            // It ran for 12 minutes.
            ("2026-03-01T00:00:00Z", "2026-03-01T00:12:00Z", "2026-03-01T00:10:00Z", 1),
            ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z", 287),
            // The clock was a year ahead at the last run.
            ("2027-03-01T00:00:00Z", "2026-03-01T00:01:00Z", "2026-03-01T00:01:00Z", 0),
        ] {
            check(&every, last, now, due, missed);
        }
    }

    #[test]
    fn schedules_are_those_of_a_crontab() {
        let of = |text| Rhythm::schedule(text, Some("UTC")).ok().unwrap();
        for (text, last, now, due, missed) in [
            ("*/5 * * * *", "", "2026-03-01T00:00:31Z", "2026-03-01T00:05:00Z", 0),
            ("*/5 * * * *", "", "2026-03-01T00:05:01Z", "2026-03-01T00:05:00Z", 0),
            ("*/5 * * * *", "2026-03-01T00:05:00Z", "2026-03-01T00:05:01Z", "2026-03-01T00:10:00Z", 0),
            ("*/5 * * * *", "2026-03-01T00:05:00Z", "2026-03-01T00:21:00Z", "2026-03-01T00:20:00Z", 2),
            ("30 2 * * mon-fri", "2026-03-06T02:30:00Z", "2026-03-06T03:00:00Z", "2026-03-09T02:30:00Z", 0),
            ("@daily", "2026-03-01T00:00:00Z", "2026-03-04T12:00:00Z", "2026-03-04T00:00:00Z", 2),
            ("0 0 29 2 *", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z", 0),
            // A minute for a month is counted no further than that.
            ("* * * * *", "2026-02-01T00:00:00Z", "2026-03-01T00:00:10Z", "2026-03-01T00:00:10Z", 1_000),
        ] {
            check(&of(text), last, now, due, missed);
        }
    }

    /// 2026-03-29 02:00 to 03:00 does not exist in Vienna, 2026-10-25 02:00 to 03:00 comes twice.
    #[test]
    fn a_place_changes_its_clock() {
        let of = |text| Rhythm::schedule(text, Some("Europe/Vienna")).ok().unwrap();
        let night = of("30 2 * * *");
        check(&night, "2026-03-28T01:30:00Z", "2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", 0);
        check(&night, "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-30T00:30:00Z", 0);
        check(&night, "2026-10-24T00:30:00Z", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", 0);
        check(&night, "2026-10-25T00:30:00Z", "2026-10-25T00:31:00Z", "2026-10-26T01:30:00Z", 0);
        // What runs all day runs in the second of the two hours, too.
        let often = of("*/30 * * * *");
        check(&often, "2026-10-25T00:30:00Z", "2026-10-25T00:31:00Z", "2026-10-25T01:00:00Z", 0);
        check(&often, "2026-10-25T01:00:00Z", "2026-10-25T01:01:00Z", "2026-10-25T01:30:00Z", 0);
        check(&often, "2026-03-29T00:30:00Z", "2026-03-29T00:31:00Z", "2026-03-29T01:00:00Z", 0);
    }

    #[test]
    fn mistakes_are_told() {
        for text in ["", "often", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@never"] {
            let wrong = Rhythm::schedule(text, None).err().unwrap();
            assert_eq!(wrong.0, "schedule", "{text}");
        }
        assert_eq!(Rhythm::schedule("* * * * *", Some("Europe/Nowhere")).err().unwrap().0, "time_zone");
    }
}
