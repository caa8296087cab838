//! A report that a control message asks for: made at once, and delivered to wherever its schedules say.
//!
//! A message that is cut off by a crash comes again. What was made for it is then found in the ledger by its run, and not made again.

use attestry_report::Planned;
use attestry_server::RecordError;

use super::deliver::targets;
use super::made::made_id;
use super::schedules::Held;
use super::{Desk, DeskError, Made, Wanted};

impl Desk {
    /// Makes the report of this name for each of its schedules, or for the schedule of this name, and delivers it; one without a schedule is made
    /// and kept. `order` tells the message from all others. Gives what came of it, for people.
    ///
    /// What cannot be delivered now is left to the scheduler, and is no error.
    ///
    /// # Errors
    /// When a report cannot be made. Others that were asked for are made nevertheless.
    pub(crate) fn ordered(&self, name: &str, by: &str, order: &str) -> Result<String, DeskError> {
        self.note_configured()?;
        let is_report = self.given().kinds.contains_key(name);
        let mut held = self.schedules()?;
        held.retain(|schedule, held| if is_report { held.planned.report == name } else { schedule == name });
        if held.is_empty() {
            let (report, run) = (name.to_owned(), Some(order.to_owned()));
            let made = self.made_once(&Wanted { report, by: by.to_owned(), run, ..Wanted::default() })?;
            return Ok(format!("made the report {}; no schedule says where it goes", made.event_id));
        }
        let (mut told, mut all_made) = (Vec::new(), true);
        for (schedule, held) in &held {
            match self.ordered_for(schedule, held, by, order) {
                Ok(done) => told.push(done),
                Err(error) if error.passes() => return Err(error),
                Err(error) => {
                    all_made = false;
                    let why = format!("{:#}", anyhow::Error::from(error));
                    told.push(format!("could not make the report for {schedule}: {why}"));
                }
            }
        }
        let told = told.join("; ");
        if all_made { Ok(told) } else { Err(DeskError::Refused(told)) }
    }

    fn ordered_for(&self, schedule: &str, held: &Held, by: &str, order: &str) -> Result<String, DeskError> {
        let Planned { report, window, parameters, .. } = &held.planned;
        let made = self.made_once(&Wanted {
            report: report.clone(),
            window: window.map(|window| window.0),
            parameters: parameters.clone(),
            by: by.to_owned(),
            schedule: Some(schedule.to_owned()),
            run: Some(format!("{schedule}@{order}")),
            ..Wanted::default()
        })?;
        let failed = self.deliver(&made, &held.planned)?;
        let mut told = format!("made the report {} for {schedule}", made.event_id);
        let targets = targets(&held.planned);
        if targets.is_empty() {
            told.push_str(", which goes nowhere");
        } else if failed.is_empty() {
            told.push_str(&format!(", delivered to {}", targets.join(", ")));
        } else {
            self.note_waiting(&made, held, &failed)?;
            self.left.lock().push((schedule.to_owned(), made));
            let why: Vec<&str> = failed.iter().map(|one| one.why.as_str()).collect();
            told.push_str(&format!(", not delivered to everybody yet: {}", why.join(", ")));
        }
        Ok(told)
    }

    /// What was left to the scheduler to deliver.
    pub(super) fn take_left(&self) -> Vec<(String, Made)> {
        std::mem::take(&mut self.left.lock())
    }

    /// Makes a report unless its run was made before.
    fn made_once(&self, wanted: &Wanted) -> Result<Made, DeskError> {
        if let Some(run) = &wanted.run {
            match self.find_made(&made_id(run)) {
                Err(DeskError::Unknown(_)) => {}
                found => return found,
            }
        }
        self.run(wanted, &|_| {}).map(|(made, _)| made)
    }
}

impl DeskError {
    /// Whether it is worth trying again by and by.
    pub(crate) fn passes(&self) -> bool {
        matches!(
            self,
            DeskError::Record(RecordError::Refused(_)) | DeskError::Report(attestry_report::Error::Behind(_))
        )
    }
}
