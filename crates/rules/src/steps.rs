//! Steps of alerts, and the events that they are in the ledger.

use attestry_event::{Event, Nanos, hex};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::load::RuleInfo;

/// Where an entry is: the ledger's number within an engine, and the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) ledger: u16,
    pub(crate) index: u64,
}

/// What becomes of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// It is there.
    Open,
    /// It happened again, so often as it says.
    Repeat,
    /// It is over by itself.
    Resolve,
    /// Something was forgotten for want of room.
    Gap,
}

impl StepKind {
    /// The name of its event.
    pub const fn event_name(self) -> &'static str {
        match self {
            StepKind::Open => "alert.open",
            StepKind::Repeat => "alert.repeat",
            StepKind::Resolve => "alert.resolve",
            StepKind::Gap => "gap.rules",
        }
    }
}

/// A step, and the event that records it. The event's id follows from what it is about: recorded twice it is there once.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What became of it.
    pub kind: StepKind,
    /// The rule.
    pub rule: String,
    /// The alert; empty for a gap.
    pub alert: String,
    /// What it is about, by the names of the rule's `by`.
    pub group: Vec<(String, String)>,
    /// The event to record.
    pub event: Event,
    /// When it happened, on the log's time.
    pub at: Nanos,
}

/// What a step says, before it is an event.
pub(crate) struct Said<'a> {
    pub(crate) kind: StepKind,
    pub(crate) rule: &'a RuleInfo,
    pub(crate) alert: &'a str,
    pub(crate) group: Vec<(String, String)>,
    pub(crate) message: String,
    pub(crate) host: Option<String>,
    pub(crate) at: i64,
    /// How often it happened, this step included.
    pub(crate) count: u64,
    /// How many events were in it.
    pub(crate) events: u64,
    pub(crate) evidence: Vec<(String, u64)>,
    pub(crate) why: Option<&'static str>,
}

impl Said<'_> {
    pub(crate) fn step(self) -> Step {
        let id = match self.kind {
            StepKind::Repeat => format!("{}:repeat:{}", self.alert, self.count),
            kind => format!("{}:{}", self.alert, kind.event_name().rsplit('.').next().unwrap_or_default()),
        };
        let group: serde_json::Map<String, Value> =
            self.group.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let evidence: Vec<String> =
            self.evidence.iter().map(|(ledger, index)| format!("{ledger}/{index}")).collect();
        let event = match self.kind {
            StepKind::Open => Event::new("alert.open", "-"),
            StepKind::Repeat => Event::new("alert.repeat", "-"),
            StepKind::Resolve => Event::new("alert.resolve", "-"),
            StepKind::Gap => Event::new("gap.rules", "-"),
        };
        let mut event = event
            .id(id)
            .time(Nanos(self.at))
            .resource(self.alert)
            .severity(if self.kind == StepKind::Resolve { 5 } else { self.rule.severity.number() })
            .message(self.message)
            .data("alert", self.alert)
            .data("rule", self.rule.id.as_str())
            .data("rule_version", self.rule.version.as_str())
            .data("title", self.rule.title.as_str())
            .data("level", self.rule.severity.name())
            .data("group", Value::Object(group))
            .data("count", self.count)
            .data("events", self.events);
        if !evidence.is_empty() {
            event = event.data("evidence", json!(evidence));
        }
        if let Some(why) = self.why {
            event = event.data("why", why);
        }
        event.host = self.host.filter(|host| !host.is_empty());
        let rule = self.rule.id.clone();
        Step {
            kind: self.kind,
            rule,
            alert: self.alert.to_owned(),
            group: self.group,
            event,
            at: Nanos(self.at),
        }
    }
}

/// Tells that something was forgotten.
pub(crate) fn gap(rule: &RuleInfo, at: i64, what: &'static str, dropped: usize) -> Step {
    let id = digest(&["gap", &rule.id, what, &at.to_string()]);
    let event = Event::new("gap.rules", "-")
        .id(format!("rules:{}", &id[..32]))
        .time(Nanos(at))
        .resource(rule.id.as_str())
        .severity(4)
        .message(format!(
            "the rule {} had no more room: {dropped} {what} were forgotten, the longest unused ones",
            rule.id
        ))
        .data("rule", rule.id.as_str())
        .data("what", what)
        .data("count", dropped as u64);
    let (rule, alert) = (rule.id.clone(), String::new());
    Step { kind: StepKind::Gap, rule, alert, group: Vec::new(), event, at: Nanos(at) }
}

/// SHA-256 over the parts, hexadecimal; no part can be taken for a piece of another.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(hash.finalize())
}

/// The alert that an entry named `alert.*` is about.
pub fn alert_of(entry: &attestry_event::Entry<'_>) -> Option<String> {
    let ours = entry.event_source() == attestry_event::RESERVED_SOURCE;
    let alert = entry.field(attestry_event::Field::Resource)?.into_owned();
    (ours && entry.event_name().starts_with("alert.")).then_some(alert)
}
