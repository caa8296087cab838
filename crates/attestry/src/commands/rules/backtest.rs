//! What rules would have found in the events of a server. They are brought into the order in which the rules would have seen them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use attestry_event::{Entry, Nanos};
use attestry_rules::{Engine, Severity, Step, StepKind};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::client::Connection;
use crate::terminal::{Look, Table, escape, note};

/// Bytes of events that are held at once.
const BYTES_MAX: usize = 2 << 30;

/// Alerts that are shown.
const SHOWN: usize = 200;

#[derive(Args, Debug)]
pub(super) struct Backtest {
    /// How far back, such as 12h or 30d, or since when (RFC 3339).
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Until when: RFC 3339, or relative such as -7d. Default: now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only these rules.
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    /// Folders with rules instead of those of the configuration.
    folders: Vec<PathBuf>,
    /// As JSON: each alert that would have been opened, and how many by rule.
    #[arg(long)]
    json: bool,
}

/// An event on its way.
struct Held {
    received_at: Nanos,
    ledger: Arc<str>,
    index: u64,
    bytes: Vec<u8>,
}

pub(super) fn run(of: &Backtest, connection: &Connection) -> Result<()> {
    let rules = super::load(connection, &of.folders)?;
    if let Some(unknown) = of.rules.iter().find(|id| rules.info(id).is_none()) {
        bail!("there is no rule {unknown:?} in force");
    }
    let from = match of.since.as_str() {
        since if Nanos::parse(since).is_ok() => since.to_owned(),
        since => format!("-{}", since.trim_start_matches('-')),
    };
    let parameters = [
        ("from", Some(from.as_str())),
        ("to", of.until.as_deref()),
        ("order", Some("asc")),
        ("limit", Some("0")),
        ("format", Some("ndjson")),
    ];
    let answer = connection.client()?.get_as("/api/v1/events", &parameters, "application/x-ndjson")?;
    let progress = match io::stderr().is_terminal() {
        true => {
            ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{msg} {human_pos} events")?)
        }
        false => ProgressBar::hidden(),
    };
    progress.set_message("reading");
    let mut events = read(BufReader::new(answer.into_body().into_reader()), &progress)?;
    events.sort_by(|a, b| (a.received_at, &a.ledger, a.index).cmp(&(b.received_at, &b.ledger, b.index)));
    progress.set_message("looking at");
    progress.set_position(0);
    let mut engine = Engine::new(Arc::new(rules));
    let mut steps: Vec<Step> = Vec::new();
    for event in &events {
        let found = engine.feed(&event.ledger, event.index, &event.bytes).steps;
        steps.extend(found.into_iter().filter(|step| of.rules.is_empty() || of.rules.contains(&step.rule)));
        progress.inc(1);
    }
    progress.finish_and_clear();
    report(of, &engine, &steps, events.len())
}

fn read(lines: impl BufRead, progress: &ProgressBar) -> Result<Vec<Held>> {
    let mut events = Vec::new();
    let mut bytes = 0;
    for line in lines.split(b'\n') {
        let line = line.context("the answer broke off")?;
        if line.is_empty() {
            continue;
        }
        let held = held(&line).context("a line is no event with its address")?;
        bytes += held.bytes.len();
        if bytes > BYTES_MAX {
            bail!("more than {BYTES_MAX} bytes of events: give a shorter time with --since and --until");
        }
        events.push(held);
        progress.inc(1);
    }
    Ok(events)
}

/// `{"ledger":"…","index":n,"event":ENTRY}`, with the entry's own bytes.
fn held(line: &[u8]) -> Option<Held> {
    let rest = line.strip_prefix(b"{\"ledger\":\"")?;
    let end = memchr::memchr(b'"', rest)?;
    let (ledger, rest) = rest.split_at(end);
    let rest = rest.strip_prefix(b"\",\"index\":")?;
    let end = memchr::memchr(b',', rest)?;
    let (index, rest) = rest.split_at(end);
    let bytes = rest.strip_prefix(b",\"event\":")?.strip_suffix(b"}")?;
    Some(Held {
        received_at: Entry::parse(bytes).ok()?.received_at(),
        ledger: std::str::from_utf8(ledger).ok()?.into(),
        index: std::str::from_utf8(index).ok()?.parse().ok()?,
        bytes: bytes.to_vec(),
    })
}

fn report(of: &Backtest, engine: &Engine, steps: &[Step], events: usize) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut by_rule: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for step in steps {
        let (opened, repeated) = by_rule.entry(&step.rule).or_default();
        match step.kind {
            StepKind::Open => *opened += 1,
            StepKind::Repeat => *repeated += 1,
            StepKind::Resolve | StepKind::Gap => {}
        }
    }
    let opened: Vec<&Step> = steps.iter().filter(|step| step.kind == StepKind::Open).collect();
    let message = |step: &Step| step.event.message.clone().unwrap_or_default();
    if of.json {
        for step in &opened {
            let group: BTreeMap<&str, &str> =
                step.group.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let line = json!({
                "at": step.at.to_string(), "rule": step.rule, "alert": step.alert, "group": group, "message": message(step),
            });
            writeln!(out, "{line}")?;
        }
        return Ok(());
    }
    for step in opened.iter().take(SHOWN) {
        writeln!(out, "{}  {}  {}", step.at, escape(&step.rule), escape(&message(step)))?;
    }
    if opened.len() > SHOWN {
        writeln!(out, "… and {} more; --json gives all", opened.len() - SHOWN)?;
    }
    writeln!(out)?;
    let mut table = Table::new(&["rule", "level", "alerts", "repeated"]);
    for (rule, (opened, repeated)) in &by_rule {
        let severity = engine.rules().info(rule).map_or(Severity::Medium, |info| info.severity);
        table.row([
            (escape(rule), Look::Bold),
            (severity.name().to_owned(), super::look(severity)),
            (opened.to_string(), Look::Plain),
            (repeated.to_string(), Look::Dim),
        ]);
    }
    table.print(&mut out)?;
    note(&format!("{events} events, {} alerts; nothing was recorded", opened.len()));
    for (rule, failures) in engine.failures() {
        note(&format!("the program of {rule} failed on {failures} events"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_the_entry_as_it_is() {
        let entry = r#"{"v":1,"event_id":"a","event_time":"2026-11-21T00:00:00.000000000Z","received_at":"2026-11-21T00:00:01.000000000Z","event_name":"a.b","username":"-","event_source":"s","source_ip_address":"-","read_only":false}"#;
        let found = held(format!(r#"{{"ledger":"logs","index":7,"event":{entry}}}"#).as_bytes()).unwrap();
        assert_eq!((&*found.ledger, found.index, found.bytes.as_slice()), ("logs", 7, entry.as_bytes()));
        assert_eq!(found.received_at.to_string(), "2026-11-21T00:00:01.000000000Z");
        for line in ["", "{}", r#"{"ledger":"logs","index":x,"event":{}}"#] {
            assert!(held(line.as_bytes()).is_none(), "{line}");
        }
    }
}
