//! A report that is made again and again: which, when, and where it goes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use attestry_event::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Format, Schedule};

/// A report that is made again and again.
///
/// ```yaml
/// reports:
///   schedules:
///     nightly:
///       report: violations
///       cron: "0 6 * * *"
///       zone: Europe/Paris
///       formats: [markdown]
///       folder: /srv/reports
///       sinks: [office]
///       sign_with: auditor@example.org
///       encrypt_to: [boss@example.org]
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The report's name.
    pub report: String,
    /// When it is due: the five fields of a crontab, or six with seconds first.
    pub cron: String,
    /// The time zone of `cron`. Default: UTC.
    #[serde(default = "utc")]
    pub zone: String,
    /// How much time before it is due it covers. Default: from when it was due before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// The report's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// How it is written. Default: html.
    #[serde(default = "html")]
    pub formats: Vec<Format>,
    /// The folder it is put into. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The sinks it is sent to, by name: each gets an event `report.sent` with the report in `event_data.document`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
    /// The OpenPGP key that signs it, by fingerprint, id or mail address. Default: it is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_with: Option<String>,
    /// The OpenPGP keys of those who can read it. Default: everybody can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encrypt_to: Vec<String>,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn html() -> Vec<Format> {
    vec![Format::Html]
}

impl Planned {
    /// What is wrong, each with the item it is about; `reports` and `sinks` are the names there are.
    pub fn check(&self, reports: &[&str], sinks: Option<&[&str]>) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if !reports.contains(&self.report.as_str()) {
            let what = format!("there is no report {:?}, there are {}", self.report, reports.join(", "));
            wrong.push(("report", what));
        }
        if let Err(error) = Schedule::new(&self.cron, &self.zone) {
            let item = if error.to_string().starts_with("zone") { "zone" } else { "cron" };
            wrong.push((item, error.to_string()));
        }
        if let Some(why) = self.window.and_then(|window| window.at_least(Period::seconds(1))) {
            wrong.push(("window", why));
        }
        if self.formats.is_empty() {
            wrong.push(("formats", "expected at least one of html, markdown, json and csv".to_owned()));
        }
        if let Some(folder) = &self.folder
            && !folder.is_absolute()
        {
            let what = format!("found {}, expected a path that begins with /", folder.display());
            wrong.push(("folder", what));
        }
        for sink in &self.sinks {
            if sinks.is_some_and(|sinks| !sinks.contains(&sink.as_str())) {
                wrong.push(("sinks", format!("there is no sink {sink:?}")));
            }
        }
        wrong
    }
}
