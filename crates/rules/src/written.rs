//! Own rules as they stand in a file. The docs of the members are the manual.

use std::collections::BTreeMap;

use attestry_event::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

/// A file of own rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenFile {
    /// The rules.
    pub rules: Vec<Spanned<WrittenRule>>,
}

/// How bad it is; Sigma's levels.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Informational,
    /// To be looked at some time.
    Low,
    /// To be looked at.
    #[default]
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// All, the mildest first.
    pub const ALL: [Severity; 5] =
        [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Informational => "informational",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| severity.name() == name)
    }

    /// As the severity of an event, RFC 5424.
    pub const fn number(self) -> u8 {
        match self {
            Severity::Informational => 6,
            Severity::Low => 5,
            Severity::Medium => 4,
            Severity::High => 3,
            Severity::Critical => 2,
        }
    }
}

/// A rule.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenRule {
    /// What it is called: 1 to 64 of a-z, 0-9, `-`, `_` and `.`. Unique among all rules.
    pub id: String,
    /// What has happened, in a few words.
    pub title: String,
    /// What it means and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// informational, low, medium, high or critical. Default: medium.
    #[serde(default)]
    pub severity: Severity,
    /// Whether it is in force. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Which events, in the search language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Which events, as a VRL condition; together with `when`, both must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrl: Option<String>,
    /// Fields or `event_data.` paths: events that differ in them are different alerts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// So many events within a time. Without any of these five each event is an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<WrittenThreshold>,
    /// So many different values of a field within a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct: Option<WrittenDistinct>,
    /// One after the other within a time. Each step has its own `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<WrittenSequence>,
    /// Nothing, where something is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absence: Option<WrittenAbsence>,
    /// A group that was not there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<WrittenFirstSeen>,
    /// The line that people read, with `{field}`, `{event_data.path}` and `{count}`. Default: the title, and the event's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When an alert is over by itself.
    #[serde(default)]
    pub resolve: WrittenResolve,
    /// What shows that it does what it should.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<Case>,
}

fn yes() -> bool {
    true
}

/// So many events within a time.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenThreshold {
    /// How many, 2 to 10000.
    pub count: u32,
    /// Within which time.
    pub within: Period,
}

/// So many different values within a time.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenDistinct {
    /// Of which field or path.
    pub field: String,
    /// How many, 2 to 10000.
    pub count: u32,
    /// Within which time.
    pub within: Period,
}

/// One after the other.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenSequence {
    /// From the first event to the last.
    pub within: Period,
    /// 2 to 16 of them.
    pub steps: Vec<WrittenStep>,
}

/// A step of a sequence.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenStep {
    /// Which events, in the search language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Which events, as a VRL condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vrl: Option<String>,
    /// How many of them. Default: 1.
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

/// Nothing, where something is due.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenAbsence {
    /// At the latest so long after the last one. Without `by` it counts from when the rule came into force, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Period>,
    /// Or: when it is due, five fields of a crontab.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// On the clock of which place. Default: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How long after that it may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Period>,
    /// Groups that are waited for even if they were never heard: lists of values in the order of `by`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Vec<String>>,
}

/// A group that was not there before.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenFirstSeen {
    /// How long it only learns what there is, from when the rule came into force. Default: 7d.
    pub learn: Period,
    /// After which time without it a group is new again. Default: 90d.
    pub forget: Period,
}

impl Default for WrittenFirstSeen {
    fn default() -> Self {
        WrittenFirstSeen { learn: Period::seconds(7 * 86_400), forget: Period::seconds(90 * 86_400) }
    }
}

/// When an alert is over by itself.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WrittenResolve {
    /// So long after it happened the last time; an absence is over when it ends, and not before. Default: 1d.
    pub after: Period,
    /// Or by an event of the same group, in the search language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

impl Default for WrittenResolve {
    fn default() -> Self {
        WrittenResolve { after: Period::seconds(86_400), when: None }
    }
}

/// Events, and the alerts that they should give.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a few words.
    pub name: String,
    /// When it begins (RFC 3339). Default: 2026-01-05T00:00:00Z, a Monday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// What comes in, in this order.
    pub events: Vec<CaseEvent>,
    /// How long time goes on after the last event. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Period>,
    /// The alerts that are opened, in this order: all of them.
    pub alerts: Vec<ExpectedAlert>,
    /// How many are over by themselves; not looked at by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<u64>,
    /// How many `alert.repeat` events there are; not looked at by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<u64>,
}

/// An event of a case: its members, and when it comes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct CaseEvent {
    /// How long after the one before. Default: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Period>,
    /// How often it comes, `after` each other. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Into which ledger. Default: audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<String>,
    /// The event; `{n}` in a string is the number of the time it comes, from 1. Without a username it is `-`.
    #[serde(flatten)]
    pub event: Map<String, Value>,
}

/// An alert that is expected.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectedAlert {
    /// Values of its group, by field.
    pub group: BTreeMap<String, String>,
    /// A part of its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long after the begin of the case it is opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Period>,
}
