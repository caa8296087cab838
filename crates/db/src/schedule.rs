//! The five fields of a crontab, in a time zone.

use std::str::FromStr;

use attestry_event::Nanos;
use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// When something is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Box<Cron>,
    zone: TimeZone,
}

impl Schedule {
    /// Of what is written: `0 3 * * *` or `@daily`. Without a time zone (`Europe/Berlin`) it is this host's.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn new(text: &str, zone: Option<&str>) -> Result<Schedule, String> {
        // The parser takes seconds and years as well; a crontab has neither.
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.starts_with('@') {
            return Err(format!("it has {fields} fields, expected 5"));
        }
        let cron = Cron::from_str(text).map_err(|error| error.to_string())?;
        let zone = match zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name)
                .map_err(|_| format!("there is no time zone {name:?}, expected one such as Europe/Berlin"))?,
        };
        Ok(Schedule { cron: Box::new(cron), zone })
    }

    /// The first time after this one; none when there is no further.
    pub fn next(&self, after: Nanos) -> Option<Nanos> {
        let from = Timestamp::from_nanosecond(after.0.into()).ok()?.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&from, false).ok()?.timestamp().as_nanosecond();
        // What does not come after cannot be waited for.
        i64::try_from(next).ok().filter(|next| *next > after.0).map(Nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(time: &str) -> Nanos {
        Nanos(i64::try_from(time.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap())
    }

    #[test]
    fn it_is_due_by_the_clock_of_its_zone() {
        for (text, zone, after, expected) in [
            ("0 3 * * *", "UTC", "2026-03-28T12:00:00Z", "2026-03-29T03:00:00Z"),
            ("0 3 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-28T02:00:00Z"),
            // The clock is put forward at 02:00, back at 03:00.
            ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("@daily", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        ] {
            let schedule = Schedule::new(text, Some(zone)).unwrap();
            let next = schedule.next(nanos(after)).unwrap();
            assert_eq!(next, nanos(expected), "{text} {zone} after {after}");
        }
        for (text, zone, says) in [
            ("sometimes", None, "fields"),
            ("* * * * * *", None, "it has 6 fields"),
            ("61 * * * *", None, ""),
            ("0 3 * * *", Some("Mars/Olympus"), "Mars/Olympus"),
        ] {
            assert!(Schedule::new(text, zone).unwrap_err().contains(says), "{text}");
        }
    }
}
