//! The event `report.failed`: a report was not made, or waits to be delivered.

use attestry_event::{Event, Nanos, Outcome};

use super::deliver::Undelivered;
use super::schedules::Held;
use super::{Desk, DeskError, Made, short_hash};

/// What was not made, or not delivered.
pub(super) struct Failed {
    pub(super) run: String,
    pub(super) due: Option<Nanos>,
    /// None: it was not even made.
    pub(super) target: Option<String>,
    pub(super) why: String,
}

impl Desk {
    /// Records that a report waits to be delivered, to whom and why.
    pub(super) fn note_waiting(
        &self,
        made: &Made,
        held: &Held,
        undelivered: &[Undelivered],
    ) -> Result<(), DeskError> {
        let Some(schedule) = &made.schedule else { return Ok(()) };
        for Undelivered { target, why } in undelivered {
            tracing::warn!(report = made.report, why, "a report waits to be delivered");
            let (run, target) = (made.run.clone(), Some(target.clone()));
            self.give_up(schedule, held, &Failed { run, due: made.due, target, why: why.clone() })?;
        }
        Ok(())
    }

    /// Records that a report was not made or not delivered; once for each run and target.
    pub(super) fn give_up(&self, name: &str, held: &Held, failed: &Failed) -> Result<(), DeskError> {
        let Failed { run, due, target, why } = failed;
        let event_id =
            format!("rf-{}", short_hash(&format!("{run}|{}", target.as_deref().unwrap_or_default())));
        if self.has(&event_id)? {
            return Ok(());
        }
        let report = &held.planned.report;
        let what = if target.is_some() { "delivered" } else { "made" };
        let mut event = Event::new("report.failed", held.by.as_str())
            .id(event_id)
            .resource(report.as_str())
            .outcome(Outcome::Failure)
            .severity(3)
            .message(format!("the report {report} could not be {what}: {why}"))
            .data("schedule", name);
        if let Some(due) = due {
            event = event.data("due", due.to_string());
        }
        event = event.data("run", run.as_str());
        if let Some(target) = target {
            event = event.data("target", target.as_str());
        }
        self.record(event.data("error", why.as_str()))
    }
}
