//! Test cases that stand beside a program in the configuration: an event, and what should become of it.

use std::fmt;

use attestry_event::Nanos;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::{Applied, Condition, Parser, RunError, Transform};

/// One case.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows, in a few words.
    pub name: String,
    /// The event, as a client would send it: an object, or its JSON as a string where numbers must stand as they are written.
    pub event: Value,
    /// When it came in (RFC 3339). Default: the event's `event_time`, and without one the beginning of 2026.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<String>,
    /// What should become of it.
    pub expect: Expect,
}

/// What should become of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// `dropped`: nothing is left, by the transform's `abort` or a condition that does not hold.
    Dropped,
    /// `unchanged`: it goes on as it is.
    Unchanged,
    /// `failed`: the program fails on it.
    Failed,
    /// `true`, `false`: whether the condition holds.
    Holds(bool),
    /// An object: the event that goes on has these members, and may have others. `null` stands for absent, too.
    Event(Value),
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expect, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(holds) => Ok(Expect::Holds(holds)),
            Value::String(word) if word == "dropped" => Ok(Expect::Dropped),
            Value::String(word) if word == "unchanged" => Ok(Expect::Unchanged),
            Value::String(word) if word == "failed" => Ok(Expect::Failed),
            event @ Value::Object(_) => Ok(Expect::Event(event)),
            other => {
                let found = match other {
                    Value::String(word) => format!("`{word}`"),
                    other => other.to_string(),
                };
                Err(serde::de::Error::custom(format!(
                    "{found}; expected true, false, dropped, unchanged, failed, or members of the event"
                )))
            }
        }
    }
}

impl Serialize for Expect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Expect::Dropped => serializer.serialize_str("dropped"),
            Expect::Unchanged => serializer.serialize_str("unchanged"),
            Expect::Failed => serializer.serialize_str("failed"),
            Expect::Holds(holds) => serializer.serialize_bool(*holds),
            Expect::Event(event) => event.serialize(serializer),
        }
    }
}

impl JsonSchema for Expect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expect".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "true or false: whether the condition holds; dropped, unchanged, failed; or members of the event that goes on",
            "anyOf": [
                { "type": "boolean" },
                { "enum": ["dropped", "unchanged", "failed"] },
                { "type": "object" }
            ]
        })
    }
}

/// The programs of one way through Attestry, in the order in which they run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scripts<'s> {
    /// Runs first.
    pub parser: Option<&'s Parser>,
    /// Runs on what the parser left.
    pub transform: Option<&'s Transform>,
    /// Is asked of what the transform left.
    pub condition: Option<&'s Condition>,
}

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// What is not as expected, a line for each: the path, what was expected and what was found. Empty: all is.
    pub failures: Vec<String>,
}

impl CaseResult {
    /// Whether all is as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for CaseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.passed() { "ok    " } else { "FAILED" }, self.name)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n         {failure}"))
    }
}

/// Runs the cases. They know no clock: the same programs and cases always give the same.
pub fn run_cases(scripts: &Scripts<'_>, cases: &[Case]) -> Vec<CaseResult> {
    let run = |case: &Case| {
        let failures = match event_of(case) {
            Ok((json, received)) => failures(&case.expect, &outcome(scripts, json, received)),
            Err(problem) => vec![problem],
        };
        CaseResult { name: case.name.clone(), failures }
    };
    cases.iter().map(run).collect()
}

/// 2026-01-01T00:00:00Z.
const UNKNOWN_TIME: Nanos = Nanos(1_767_225_600_000_000_000);

fn event_of(case: &Case) -> Result<(Vec<u8>, Nanos), String> {
    let json = match &case.event {
        Value::String(json) => json.clone(),
        event => event.to_string(),
    };
    let parsed: Value = serde_json::from_str(&json).map_err(|error| format!("event: {error}"))?;
    let time = match (&case.received_at, parsed.get("event_time").and_then(Value::as_str)) {
        (Some(time), _) => Nanos::parse(time).map_err(|error| format!("received_at: {time}: {error}"))?,
        (None, Some(time)) => Nanos::parse(time).unwrap_or(UNKNOWN_TIME),
        (None, None) => UNKNOWN_TIME,
    };
    Ok((json.into_bytes(), time))
}

/// What became of an event.
struct Outcome {
    /// What goes on, whether or not the condition held; `None` after `abort`.
    event: Option<Vec<u8>>,
    changed: bool,
    /// Whether the condition held; `None` without one.
    holds: Option<bool>,
    error: Option<RunError>,
}

fn outcome(scripts: &Scripts<'_>, json: Vec<u8>, received: Nanos) -> Outcome {
    let mut outcome = Outcome { event: Some(json), changed: false, holds: None, error: None };
    let Some(event) = &mut outcome.event else { return outcome };
    if let Some(Applied::Changed(json)) = scripts.parser.map(|parser| parser.apply(event, received)) {
        *event = json;
        outcome.changed = true;
    }
    match scripts.transform.map(|transform| transform.apply(event, received)) {
        None | Some(Ok(Applied::Unchanged)) => {}
        Some(Ok(Applied::Changed(json))) => {
            *event = json;
            outcome.changed = true;
        }
        Some(Ok(Applied::Dropped)) => {
            outcome.event = None;
            outcome.holds = scripts.condition.map(|_| false);
            return outcome;
        }
        Some(Err(error)) => {
            outcome.error = Some(error);
            return outcome;
        }
    }
    match scripts.condition.map(|condition| condition.holds(event, received)) {
        None => {}
        Some(Ok(holds)) => outcome.holds = Some(holds),
        Some(Err(error)) => outcome.error = Some(error),
    }
    outcome
}

fn failures(expect: &Expect, outcome: &Outcome) -> Vec<String> {
    if let Some(error) = &outcome.error {
        return match expect {
            Expect::Failed => Vec::new(),
            _ => vec![format!("the program failed: {error}")],
        };
    }
    let gone = outcome.event.is_none() || outcome.holds == Some(false);
    let became = match (&outcome.event, outcome.changed) {
        _ if gone => "dropped",
        (_, true) => "changed",
        (_, false) => "unchanged",
    };
    let differs = |expected: &str| vec![format!("expected {expected}, but it is {became}")];
    match expect {
        Expect::Failed => vec![format!("expected that the program fails, but the event is {became}")],
        Expect::Dropped if gone => Vec::new(),
        Expect::Dropped => differs("dropped"),
        Expect::Unchanged if became == "unchanged" => Vec::new(),
        Expect::Unchanged => {
            let mut failures = differs("unchanged");
            let event = outcome.event.iter().filter(|_| !gone);
            failures.extend(event.map(|event| String::from_utf8_lossy(event).into_owned()));
            failures
        }
        Expect::Holds(expected) => match outcome.holds {
            Some(holds) if holds == *expected => Vec::new(),
            Some(holds) => vec![format!("expected {expected}, but the condition is {holds}")],
            None => vec![format!("expected {expected}, but there is no condition")],
        },
        Expect::Event(_) if gone => differs("an event"),
        Expect::Event(expected) => {
            let event = outcome.event.as_deref().unwrap_or_default();
            match serde_json::from_slice::<Value>(event) {
                Ok(found) => {
                    let mut failures = Vec::new();
                    compare("", expected, Some(&found), &mut failures);
                    failures
                }
                Err(error) => vec![format!("what goes on is not JSON: {error}")],
            }
        }
    }
}

/// Every place where `found` does not have what is expected.
fn compare(path: &str, expected: &Value, found: Option<&Value>, failures: &mut Vec<String>) {
    match (expected, found) {
        (Value::Null, None) => {}
        (Value::Object(expected), Some(Value::Object(found))) => {
            for (name, expected) in expected {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&path, expected, found.get(name), failures);
            }
        }
        (Value::Array(expected), Some(Value::Array(found))) if expected.len() == found.len() => {
            for (place, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}[{place}]"), expected, Some(found), failures);
            }
        }
        (expected, found) if found.is_some_and(|found| same(path, expected, found)) => {}
        (expected, Some(found)) => failures.push(format!("{path}: expected {expected}, found {found}")),
        (expected, None) => failures.push(format!("{path}: expected {expected}, found nothing")),
    }
}

/// Numbers by value, the event's time as a time.
fn same(path: &str, expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(expected), Value::Number(found)) => {
            expected == found || (expected.is_f64() || found.is_f64()) && expected.as_f64() == found.as_f64()
        }
        (Value::String(expected), Value::String(found)) if path == "event_time" => {
            expected == found || Nanos::parse(expected).is_ok_and(|time| Nanos::parse(found) == Ok(time))
        }
        (expected, found) => expected == found,
    }
}
