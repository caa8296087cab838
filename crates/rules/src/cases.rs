//! The cases that stand beside rules: events in, alerts out.

use std::sync::Arc;

use attestry_event::{Batch, Border, Nanos};
use serde_json::Value;

use crate::due::nanos;
use crate::written::{Case, CaseEvent};
use crate::{Engine, Rules, Step, StepKind};

/// A Monday.
const START: &str = "2026-01-05T00:00:00Z";

/// The most that an event of a case may come.
const TIMES_MAX: u32 = 100_000;

/// How a case came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The rule.
    pub rule: String,
    /// The case.
    pub name: String,
    /// What is not as expected, a line for each. Empty: all is.
    pub failures: Vec<String>,
}

impl CaseResult {
    /// Whether all is as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs the cases beside all rules. Only the steps of the rule itself count. They know no clock: they always give the same.
pub fn run_cases(rules: &Arc<Rules>) -> Vec<CaseResult> {
    let mut results = Vec::new();
    for (info, cases) in rules.with_cases() {
        for case in cases {
            let failures = match steps(rules, case) {
                Ok((start, steps)) => {
                    let own: Vec<Step> = steps.into_iter().filter(|step| step.rule == info.id).collect();
                    failures(case, start, &own)
                }
                Err(problem) => vec![problem],
            };
            results.push(CaseResult { rule: info.id.clone(), name: case.name.clone(), failures });
        }
    }
    results
}

fn steps(rules: &Arc<Rules>, case: &Case) -> Result<(i64, Vec<Step>), String> {
    let start = case.start.as_deref().unwrap_or(START);
    let start = Nanos::parse(start).map_err(|error| format!("start: {start}: {error}"))?;
    let mut engine = Engine::new(Arc::clone(rules));
    let mut steps = Vec::new();
    let mut now = start.0;
    let mut index = 0;
    // The rules come into force with the beginning.
    engine.advance(start, &mut steps);
    for (nth, event) in case.events.iter().enumerate() {
        for time in 1..=event.times.unwrap_or(1).min(TIMES_MAX) {
            if index > 0 {
                now += event.after.map_or(1_000_000_000, |period| nanos(period.0));
            }
            let entry = entry(event, time, Nanos(now)).map_err(|what| format!("events[{nth}]: {what}"))?;
            steps.extend(engine.feed(event.ledger.as_deref().unwrap_or("audit"), index, &entry).steps);
            index += 1;
        }
    }
    let end = now + case.then.map_or(0, |period| nanos(period.0));
    engine.advance(Nanos(end), &mut steps);
    Ok((start.0, steps))
}

/// The entry that an event would be, received at a time.
pub(crate) fn entry(event: &CaseEvent, time: u32, received: Nanos) -> Result<Vec<u8>, String> {
    let mut json = event.event.clone();
    json.entry("username").or_insert_with(|| Value::from("-"));
    for value in json.values_mut() {
        number(value, time);
    }
    let text = Value::Object(json).to_string();
    let border = Border {
        event_source: "test",
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: true,
        now: received,
    };
    let mut batch = Batch::new();
    batch.push_json(text.as_bytes(), &border).map_err(|problems| format!("{problems:?}"))?;
    let mut bytes = batch.entry(0).to_vec();
    let at = batch.rows.first().map_or(0, |row| usize::from(row.received_at));
    let stamp = received.to_bytes();
    match bytes.get_mut(at..at + stamp.len()) {
        Some(place) => place.copy_from_slice(&stamp),
        None => return Err("it is no entry".to_owned()),
    }
    Ok(bytes)
}

fn number(value: &mut Value, time: u32) {
    match value {
        Value::String(text) => *text = text.replace("{n}", &time.to_string()),
        Value::Array(values) => values.iter_mut().for_each(|value| number(value, time)),
        Value::Object(values) => values.values_mut().for_each(|value| number(value, time)),
        _ => {}
    }
}

fn failures(case: &Case, start: i64, steps: &[Step]) -> Vec<String> {
    let mut failures = Vec::new();
    let of = |kind: StepKind| steps.iter().filter(move |step| step.kind == kind);
    let opened: Vec<&Step> = of(StepKind::Open).collect();
    if opened.len() != case.alerts.len() {
        failures.push(format!("expected {} alerts, found {}:", case.alerts.len(), opened.len()));
        failures.extend(opened.iter().map(|step| format!("  {} {:?}", message(step), step.group)));
    }
    for (nth, (expected, found)) in case.alerts.iter().zip(&opened).enumerate() {
        for (name, value) in &expected.group {
            let is = found.group.iter().find(|(known, _)| known == name).map(|(_, value)| value);
            if is != Some(value) {
                failures.push(format!("alerts[{nth}]: expected {name} {value:?}, found {is:?}"));
            }
        }
        if let Some(part) = &expected.message
            && !message(found).contains(part)
        {
            failures.push(format!("alerts[{nth}]: expected {part:?} in {:?}", message(found)));
        }
        if let Some(at) = expected.at {
            let found = found.at.0 - start;
            if found != nanos(at.0) {
                failures.push(format!("alerts[{nth}]: expected after {at}, found {} s", found as f64 / 1e9));
            }
        }
    }
    for (what, expected, kind) in
        [("resolved", case.resolved, StepKind::Resolve), ("repeated", case.repeated, StepKind::Repeat)]
    {
        let found = of(kind).count() as u64;
        if expected.is_some_and(|expected| expected != found) {
            failures.push(format!("{what}: expected {}, found {found}", expected.unwrap_or_default()));
        }
    }
    failures
}

fn message(step: &Step) -> &str {
    step.event.message.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
