//! When something must have come: at a steady pace, or as a crontab says.

use attestry_event::Nanos;
use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::written::WrittenAbsence;

/// When a group must be heard of.
#[derive(Clone, Debug)]
pub(crate) enum Due {
    /// So many nanoseconds after it was heard the last time.
    Every(i64),
    /// Within so many nanoseconds after each time that the schedule names.
    Schedule { cron: Box<Cron>, zone: TimeZone, within: i64 },
}

impl Due {
    pub(crate) fn of(written: &WrittenAbsence) -> Result<Due, String> {
        let within = written.within.map(|period| nanos(period.0));
        match (&written.every, &written.cron) {
            (Some(_), None) if written.zone.is_some() || within.is_some() => {
                Err("absence.every takes neither zone nor within".to_owned())
            }
            (Some(every), None) if every.0.as_secs() == 0 => {
                Err("absence.every: expected at least a second".to_owned())
            }
            (Some(every), None) => Ok(Due::Every(nanos(every.0))),
            (None, Some(text)) => {
                let wrong = |why: String| {
                    format!("absence.cron: {text:?} is no schedule such as \"0 3 * * *\": {why}")
                };
                let fields = text.split_whitespace().count();
                if fields != 5 && !text.starts_with('@') {
                    return Err(wrong(format!("it has {fields} fields")));
                }
                let cron: Cron = text.parse().map_err(|error| wrong(format!("{error}")))?;
                let zone = written.zone.as_deref().unwrap_or("UTC");
                let zone = TimeZone::get(zone).map_err(|error| format!("absence.zone: {error}"))?;
                let within =
                    within.ok_or("absence.cron needs within: how long after its time it may come")?;
                let due = Due::Schedule { cron: Box::new(cron), zone, within };
                match due.deadline(Nanos(0)) {
                    Some(_) => Ok(due),
                    None => Err(wrong("it never comes".to_owned())),
                }
            }
            _ => Err("absence: expected either every or cron".to_owned()),
        }
    }

    /// The time by which it must be heard again, having been heard at `last`, or having begun to be waited for then.
    pub(crate) fn deadline(&self, last: Nanos) -> Option<Nanos> {
        match self {
            Due::Every(every) => last.0.checked_add(*every).map(Nanos),
            Due::Schedule { cron, zone, within } => {
                let from = Timestamp::from_nanosecond(last.0.into()).ok()?.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&from, false).ok()?;
                let next = i64::try_from(next.timestamp().as_nanosecond()).ok()?;
                (next > last.0).then(|| next.checked_add(*within)).flatten().map(Nanos)
            }
        }
    }
}

pub(crate) fn nanos(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_follow_the_clock_of_their_place() {
        let written = |yaml: &str| serde_saphyr::from_str::<WrittenAbsence>(yaml).unwrap();
        for (yaml, last, deadline) in [
            ("{every: 26h}", "2026-11-20T03:00:00Z", "2026-11-21T05:00:00.000000000Z"),
            ("{cron: '0 3 * * *', within: 2h}", "2026-11-20T03:00:10Z", "2026-11-21T05:00:00.000000000Z"),
            // Winter time begins in between.
            (
                "{cron: '0 3 * * *', zone: Europe/Berlin, within: 1h}",
                "2026-10-24T01:00:01Z",
                "2026-10-25T03:00:00.000000000Z",
            ),
        ] {
            let due = Due::of(&written(yaml)).unwrap();
            assert_eq!(due.deadline(Nanos::parse(last).unwrap()).unwrap().to_string(), deadline, "{yaml}");
        }
        for (yaml, expected) in [
            ("{}", "either"),
            ("{every: 1h, cron: '* * * * *'}", "either"),
            ("{cron: '0 3 * * *'}", "within"),
            ("{cron: '0 3 * *', within: 1h}", "4 fields"),
            ("{cron: '0 3 30 2 *', within: 1h}", "no schedule"),
            ("{cron: '0 3 * * *', within: 1h, zone: Mars/Base}", "zone"),
        ] {
            let error = Due::of(&written(yaml)).unwrap_err();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
