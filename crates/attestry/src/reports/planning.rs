//! Which reports are scheduled. What stands in the ledger counts: an event for each schedule that was made, changed or removed, those of the
//! configuration among them. So the ledger says since when a schedule holds, and what was due while nobody was there.

use std::collections::BTreeMap;

use attestry_event::{Event, Nanos, Outcome};
use attestry_report::{Planned, Schedule};
use attestry_store::Order;

use super::{Desk, DeskError};

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
            let since = event["event_time"].as_str().and_then(|time| Nanos::parse(time).ok());
            match (event["event_name"].as_str(), planned, since) {
                (Some("report.schedule"), Some(planned), Some(since)) => {
                    let by = event["username"].as_str().unwrap_or("-").to_owned();
                    let configured = event["event_data"]["configured"] == true;
                    held.insert(name.to_owned(), Held { planned, since, by, configured });
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
        let text = serde_json::to_string(planned).map_err(|error| DeskError::Failed(error.to_string()))?;
        let Planned { report, cron, zone, .. } = planned;
        let who = if configured { "the configuration" } else { by };
        self.record(
            Event::new("report.schedule", by)
                .resource(name)
                .outcome(Outcome::Success)
                .message(format!("{who} scheduled {report}: {cron} ({zone})"))
                .data("schedule", text)
                .data("configured", configured),
        )
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
    pub(super) fn last_due(&self, name: &str) -> Result<Option<Nanos>, DeskError> {
        let query = format!(
            "(event_name:report.made OR event_name:report.failed) -event_data.target:* event_data.due:* event_data.schedule:\"{name}\""
        );
        let found = self.events(&query, Order::NewestFirst, 20)?;
        let due = |event: &serde_json::Value| Nanos::parse(event["event_data"]["due"].as_str()?).ok();
        Ok(found.iter().filter_map(due).max())
    }
}
