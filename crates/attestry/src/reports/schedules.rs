//! Which reports are scheduled. What stands in the ledger counts: an event for each schedule that was made, changed or removed, those of the
//! configuration among them. So the ledger says since when a schedule holds, and what was due while nobody was there.

use std::collections::BTreeMap;
use std::time::Duration;

use attestry_event::{Event, Nanos, Outcome};
use attestry_report::{Planned, Previous, Schedule};
use attestry_store::Order;

use super::{Desk, DeskError, Made};

/// More schedules than this are not made.
const SCHEDULES_MAX: usize = 1_000;

/// Events of schedules that are read; more come together only by changing schedules for years.
const EVENTS_MAX: usize = 100_000;

/// A schedule that holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) planned: Planned,
    /// Since when.
    pub(crate) since: Nanos,
    pub(crate) by: String,
    /// Whether it stands in the configuration.
    pub(crate) configured: bool,
    /// When it was recorded, the last time.
    pub(super) noted: Nanos,
    /// When its report had been due by then, for the last time; known when it was recorded again.
    last: Option<Nanos>,
}

impl Held {
    pub(super) fn schedule(&self) -> Result<Schedule, DeskError> {
        Schedule::new(&self.planned.cron, &self.planned.zone)
            .map_err(|error| DeskError::Refused(error.to_string()))
    }
}

impl Desk {
    /// The schedules that hold, as the ledger says.
    pub(crate) fn schedules(&self) -> Result<BTreeMap<String, Held>, DeskError> {
        let query = "event_name:report.schedule OR event_name:report.unschedule";
        let mut held = BTreeMap::new();
        for event in self.events(query, Order::OldestFirst, EVENTS_MAX)? {
            let Some(name) = event["resource"].as_str() else { continue };
            let text = event["event_data"]["schedule"].as_str();
            let planned = text.and_then(|text| serde_json::from_str::<Planned>(text).ok());
            let time = |value: &serde_json::Value| Nanos::parse(value.as_str()?).ok();
            match (event["event_name"].as_str(), planned, time(&event["event_time"])) {
                (Some("report.schedule"), Some(planned), Some(noted)) => {
                    let by = event["username"].as_str().unwrap_or("-").to_owned();
                    let configured = event["event_data"]["configured"] == true;
                    let since = time(&event["event_data"]["since"]).unwrap_or(noted);
                    let last = time(&event["event_data"]["last"]);
                    held.insert(name.to_owned(), Held { planned, since, by, configured, noted, last });
                }
                _ => drop(held.remove(name)),
            }
        }
        Ok(held)
    }

    /// Brings what the ledger says of the configuration's schedules to what stands there, once for each configuration.
    pub(super) fn note_configured(&self) -> Result<(), DeskError> {
        let mut noted = self.noted.lock();
        if !*noted {
            self.note_differences()?;
            *noted = true;
        }
        Ok(())
    }

    fn note_differences(&self) -> Result<(), DeskError> {
        let (held, given) = (self.schedules()?, self.given());
        for (name, planned) in &given.settings.schedules {
            let same = held.get(name).is_some_and(|held| held.configured && held.planned == *planned);
            if !same {
                self.note_schedule(name, planned, "-", true)?;
            }
        }
        for (name, _) in held.iter().filter(|(_, held)| held.configured) {
            if !given.settings.schedules.contains_key(name) {
                self.note_removal(name, "-", true)?;
            }
        }
        Ok(())
    }

    fn note_schedule(
        &self,
        name: &str,
        planned: &Planned,
        by: &str,
        configured: bool,
    ) -> Result<(), DeskError> {
        let Planned { report, cron, zone, .. } = planned;
        let who = if configured { "the configuration" } else { by };
        let message = format!("{who} scheduled {report}: {cron} ({zone})");
        self.record(scheduled(name, planned, by, configured)?.message(message))
    }

    /// Records those schedules again, with since when they hold, whose event may be pruned soon: what holds is what the ledger says.
    pub(super) fn renew_schedules(&self) -> Result<(), DeskError> {
        let _alone = self.noted.lock();
        let old = self.clock.now().saturating_sub(self.renew_after());
        for (name, held) in self.schedules()?.iter().filter(|(_, held)| held.noted <= old) {
            let Planned { report, cron, zone, .. } = &held.planned;
            let mut event = scheduled(name, &held.planned, &held.by, held.configured)?
                .message(format!("{report} is scheduled as before: {cron} ({zone})"))
                .data("since", held.since.to_string());
            if let Some(last) = self.last_due(name, held)? {
                event = event.data("last", last.to_string());
            }
            self.record(event)?;
        }
        Ok(())
    }

    /// How old the event of a schedule may become.
    pub(super) fn renew_after(&self) -> Duration {
        self.given().renew_after
    }

    fn note_removal(&self, name: &str, by: &str, configured: bool) -> Result<(), DeskError> {
        let who = if configured { "the configuration" } else { by };
        self.record(
            Event::new("report.unschedule", by)
                .resource(name)
                .outcome(Outcome::Success)
                .message(format!("{who} removed the schedule {name}"))
                .data("configured", configured),
        )
    }

    /// Schedules a report, or changes its schedule.
    pub(crate) fn schedule(&self, name: &str, planned: &Planned, by: &str) -> Result<(), DeskError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            let what = format!("name: found {name:.80?}, expected 1 to 64 of A-Z, a-z, 0-9, - and _");
            return Err(DeskError::Refused(what));
        }
        let given = self.given();
        let reports: Vec<&str> = given.kinds.keys().map(String::as_str).collect();
        let sinks: Vec<&str> = given.sinks.iter().map(String::as_str).collect();
        if let Some((item, what)) = planned.check(&reports, Some(&sinks)).into_iter().next() {
            return Err(DeskError::Refused(format!("{item}: {what}")));
        }
        self.check_keys(planned)?;
        let _alone = self.noted.lock();
        let held = self.schedules()?;
        if held.get(name).is_some_and(|held| held.configured) {
            return Err(DeskError::Refused(format!(
                "the schedule {name} stands in the configuration: change it there"
            )));
        }
        if held.len() >= SCHEDULES_MAX && !held.contains_key(name) {
            return Err(DeskError::Refused(format!("there are {SCHEDULES_MAX} schedules already")));
        }
        self.note_schedule(name, planned, by, false)
    }

    /// Removes a schedule.
    pub(crate) fn unschedule(&self, name: &str, by: &str) -> Result<(), DeskError> {
        let _alone = self.noted.lock();
        match self.schedules()?.get(name) {
            None => Err(DeskError::Unknown(format!("there is no schedule {name:.80?}"))),
            Some(held) if held.configured => {
                let what = format!("the schedule {name} stands in the configuration: remove it there");
                Err(DeskError::Refused(what))
            }
            Some(_) => self.note_removal(name, by, false),
        }
    }

    /// When a schedule's report was due the last time that it was made, or that it was given up.
    pub(super) fn last_due(&self, name: &str, held: &Held) -> Result<Option<Nanos>, DeskError> {
        let query = format!(
            "(event_name:report.made OR event_name:report.failed) -event_data.target:* event_data.due:* event_data.schedule:\"{name}\""
        );
        let found = self.events(&query, Order::NewestFirst, 20)?;
        let due = |event: &serde_json::Value| Nanos::parse(event["event_data"]["due"].as_str()?).ok();
        Ok(found.iter().filter_map(due).max().max(held.last))
    }

    /// What the schedule had made of this report the last time before it was due then.
    pub(super) fn previous(
        &self,
        schedule: &str,
        report: &str,
        due: Nanos,
    ) -> Result<Option<Previous>, DeskError> {
        let query = format!("event_name:report.made event_data.due:* event_data.schedule:\"{schedule}\"");
        let found = self.events(&query, Order::NewestFirst, 20)?;
        let made = found.iter().filter_map(Made::read);
        let before = made.filter(|made| made.report == report && made.due.is_some_and(|at| at < due));
        let last = before.max_by_key(|made| made.due);
        Ok(last.and_then(|made| made.recipe()).map(|recipe| Previous::of(&recipe)))
    }
}

/// The event of a schedule, but for its message.
fn scheduled(name: &str, planned: &Planned, by: &str, configured: bool) -> Result<Event, DeskError> {
    let text = serde_json::to_string(planned).map_err(|error| DeskError::Failed(error.to_string()))?;
    Ok(Event::new("report.schedule", by)
        .resource(name)
        .outcome(Outcome::Success)
        .data("schedule", text)
        .data("configured", configured))
}
