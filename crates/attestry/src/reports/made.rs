//! A report that was made, as the event `report.made` remembers it.

use attestry_event::{Event, Nanos, Outcome};
use attestry_report::Recipe;
use serde_json::Value;

use super::short_hash;

/// A report that was made, as the ledger remembers it.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) event_id: String,
    pub(crate) report: String,
    pub(crate) title: String,
    pub(crate) by: String,
    pub(crate) at: Nanos,
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
    pub(crate) run: String,
    pub(crate) schedule: Option<String>,
    pub(crate) due: Option<Nanos>,
    pub(crate) body_sha256: String,
    pub(crate) cited: u64,
    pub(super) recipe: String,
    pub(super) checkpoints: Vec<String>,
}

impl Made {
    pub(super) fn event(&self) -> Event {
        let mut event = Event::new("report.made", self.by.as_str())
            .id(self.event_id.as_str())
            .resource(self.report.as_str())
            .read_only(true)
            .outcome(Outcome::Success)
            .message(format!("{} made the report {}", self.by, self.report))
            .data("title", self.title.as_str())
            .data("run", self.run.as_str());
        if let Some(schedule) = &self.schedule {
            event = event.data("schedule", schedule.as_str());
        }
        if let Some(due) = self.due {
            event = event.data("due", due.to_string());
        }
        event
            .data("from", self.from.to_string())
            .data("to", self.to.to_string())
            .data("body_sha256", self.body_sha256.as_str())
            .data("cited", self.cited)
            .data("recipe", self.recipe.as_str())
            .data("checkpoints", self.checkpoints.clone())
    }

    /// Reads a `report.made` event.
    pub(super) fn read(event: &Value) -> Option<Made> {
        let data = &event["event_data"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let time = |value: &Value| Nanos::parse(value.as_str()?).ok();
        Some(Made {
            event_id: text(&event["event_id"])?,
            report: text(&event["resource"])?,
            title: text(&data["title"])?,
            by: text(&event["username"])?,
            at: time(&event["event_time"])?,
            from: time(&data["from"])?,
            to: time(&data["to"])?,
            run: text(&data["run"])?,
            schedule: text(&data["schedule"]),
            due: time(&data["due"]),
            body_sha256: text(&data["body_sha256"])?,
            cited: data["cited"].as_u64()?,
            recipe: text(&data["recipe"])?,
            checkpoints: data["checkpoints"].as_array()?.iter().filter_map(text).collect(),
        })
    }

    /// What it was made from.
    pub(super) fn recipe(&self) -> Option<Recipe> {
        serde_json::from_str(&self.recipe).ok()
    }

    /// What its file is called, without the ending.
    pub(crate) fn file_stem(&self) -> String {
        let time: String = self.to.to_string().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
        match &self.schedule {
            // Several schedules may have it made for one folder, for the same second.
            Some(schedule) => format!("{}-{schedule}-{time}Z", self.report),
            None => format!("{}-{time}Z", self.report),
        }
    }
}

/// The id of the event that says that a run was made.
pub(super) fn made_id(run: &str) -> String {
    format!("rm-{}", short_hash(run))
}
