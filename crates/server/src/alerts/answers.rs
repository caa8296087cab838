//! What is told of alerts and rules.

use std::collections::BTreeMap;

use attestry_event::Nanos;
use serde::Serialize;

/// How an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has seen to it.
    Open,
    /// Somebody has seen it.
    Acknowledged,
    /// Nothing is to be heard of it for a time.
    Silenced,
    /// It is over.
    Resolved,
}

/// Attention is asked for.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Alert {
    /// What it is called.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// The rule's version when it was opened.
    pub rule_version: String,
    /// What has happened, in the rule's words.
    pub title: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub level: String,
    /// How it stands.
    pub state: AlertState,
    /// What happened the last time.
    pub message: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the rule groups by: what is not told apart is one alert.
    pub group: BTreeMap<String, String>,
    /// How often it happened, as far as it was told.
    pub count: u64,
    /// How many events that were.
    pub events: u64,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub opened: Nanos,
    /// When it happened the last time, as far as it was told.
    #[schema(value_type = String, format = DateTime)]
    pub last: Nanos,
    /// The entries that opened it, and the newest of those after: ledger and index.
    pub evidence: Vec<String>,
    /// Who has seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Did>,
    /// Until when nothing is to be heard of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silenced: Option<Silenced>,
    /// How it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Did>,
    /// What the rule says about it; with one alert only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Every step, the oldest first, at most the newest 1000; with one alert only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTaken>,
}

/// That somebody did something.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Did {
    /// Who; `-` for the rules themselves.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Nanos,
    /// Why.
    pub reason: String,
}

/// That somebody wants silence.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Silenced {
    /// Who.
    pub by: String,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub until: Nanos,
    /// Why.
    pub reason: String,
}

/// What became of an alert at a time: an event in the ledger.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StepTaken {
    /// `alert.open`, `alert.repeat`, `alert.ack`, `alert.silence` or `alert.resolve`.
    pub name: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Nanos,
    /// Who; `-` for the rules themselves.
    pub by: String,
    /// The event's line.
    pub message: String,
    /// Where the event is.
    pub index: u64,
}

/// How many alerts there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Nobody has seen to them.
    pub open: u64,
    /// Somebody has seen them.
    pub acknowledged: u64,
    /// Silenced.
    pub silenced: u64,
    /// Over.
    pub resolved: u64,
    /// Not over, and critical.
    pub critical: u64,
    /// Not over, and high.
    pub high: u64,
}

/// The rules.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct RulesStatus {
    /// Those in force.
    pub rules: Vec<RuleStatus>,
    /// Those of log sources that are not here.
    pub not_applicable: Vec<NotInForce>,
    /// What is wrong with others.
    pub refused: Vec<NotInForce>,
    /// Ids of rules that are switched off.
    pub disabled: Vec<String>,
    /// Entries that the rules have not looked at yet.
    pub behind: u64,
    /// A hash over all rules in force.
    pub version: String,
}

/// A rule in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RuleStatus {
    /// Its id.
    pub id: String,
    /// What tells it from a former text of itself.
    pub version: String,
    /// What has happened when it fires.
    pub title: String,
    /// What it means and what to do.
    pub description: String,
    /// How bad that is.
    pub level: String,
    /// `match`, `threshold`, `distinct`, `sequence`, `absence`, `first_seen`, `sigma` or `correlation`.
    pub kind: String,
    /// What alerts are told apart by.
    pub by: Vec<String>,
    /// The file it is in.
    pub file: String,
    /// Its line there.
    pub line: u64,
    /// How often its program failed on an event since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u64>,
}

/// A rule that is not in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct NotInForce {
    /// The file it is in.
    pub file: String,
    /// Its line there.
    pub line: u64,
    /// Its id, where it has one.
    pub id: String,
    /// Why.
    pub reason: String,
}
