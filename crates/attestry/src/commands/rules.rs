//! `attestry rules`: which rules are in force, whether they do what they should, and what they would have found.

mod backtest;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use attestry_rules::{Options, Rules as Loaded, Severity, run_cases};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::{Client, Connection};
use crate::terminal::{Look, Table, escape, note, paint};

#[derive(Args, Debug)]
pub(crate) struct Rules {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The rules that the configuration puts in force, and those that are not, with the reason.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run the test cases that stand beside rules.
    Test {
        /// Folders with rules instead of those of the configuration.
        folders: Vec<PathBuf>,
    },
    /// What the rules would have found in the events that are there. Nothing is recorded.
    Backtest(backtest::Backtest),
    /// One alert: the rule, what it is about, the events that led to it, and what became of it.
    Explain {
        /// The alert's id.
        alert: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Alerts, the newest first.
    Alerts {
        /// Those that are over, too.
        #[arg(long)]
        all: bool,
        /// How many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say that somebody has seen alerts.
    Ack(Deed),
    /// Hear nothing of alerts for a time; what happens is counted.
    Silence {
        #[command(flatten)]
        deed: Deed,
        /// Until when (RFC 3339), or for how long, such as +30m, +4h or +7d.
        #[arg(long, value_name = "TIME")]
        until: String,
    },
    /// Say that alerts are over.
    Resolve(Deed),
}

#[derive(Args, Debug)]
struct Deed {
    /// Their ids.
    #[arg(required = true)]
    alerts: Vec<String>,
    /// Why.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Whether all is as it should be.
pub(crate) fn rules(rules: &Rules) -> Result<()> {
    let connection = &rules.connection;
    match &rules.command {
        Command::List { json } => list(&load(connection, &[])?, *json),
        Command::Test { folders } => test(&Arc::new(load(connection, folders)?)),
        Command::Backtest(of) => backtest::run(of, connection),
        Command::Explain { alert, json } => explain(&connection.client()?, alert, *json),
        Command::Alerts { all, limit, json } => alerts(&connection.client()?, *all, *limit, *json),
        Command::Ack(deed) => act(connection, "ack", deed, None),
        Command::Silence { deed, until } => act(connection, "silence", deed, Some(until)),
        Command::Resolve(deed) => act(connection, "resolve", deed, None),
    }
}

/// The rules of these folders, or those of the configuration.
fn load(connection: &Connection, folders: &[PathBuf]) -> Result<Loaded> {
    Ok(match folders {
        [] => Loaded::load(&connection.config()?.written.rules),
        folders => Loaded::load(&Options { folders: folders.to_vec(), starter: false, ..Options::default() }),
    })
}

fn look(severity: Severity) -> Look {
    if severity >= Severity::High { Look::Bad } else { Look::Plain }
}

fn list(rules: &Loaded, as_json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    let report = &rules.report;
    if as_json {
        let rule = |info: &attestry_rules::RuleInfo| {
            json!({
                "id": info.id, "version": info.version, "title": info.title, "level": info.severity.name(),
                "kind": info.kind.name(), "by": info.by, "file": info.file, "line": info.line, "cases": info.cases,
            })
        };
        let not_applicable: Vec<Value> = report
            .not_applicable
            .iter()
            .map(|of| json!({"file": of.file, "line": of.line, "id": of.id, "missing": of.missing}))
            .collect();
        let refused: Vec<Value> = report
            .refused
            .iter()
            .map(|of| json!({"file": of.file, "line": of.line, "reason": of.reason}))
            .collect();
        let rules: Vec<Value> = rules.infos().iter().map(rule).collect();
        let all = json!({
            "rules": rules, "not_applicable": not_applicable, "refused": refused, "disabled": report.disabled,
        });
        writeln!(out, "{all}")?;
        return Ok(());
    }
    let mut table = Table::new(&["rule", "level", "kind", "title", "tests", "file"]);
    for info in rules.infos() {
        table.row([
            (escape(&info.id), Look::Bold),
            (info.severity.name().to_owned(), look(info.severity)),
            (info.kind.name().to_owned(), Look::Dim),
            (escape(&info.title), Look::Plain),
            (info.cases.to_string(), Look::Dim),
            (format!("{}:{}", escape(&info.file), info.line), Look::Dim),
        ]);
    }
    table.print(&mut out)?;
    if !report.not_applicable.is_empty() {
        writeln!(out, "\nNot applicable here:")?;
        let mut table = Table::new(&["file", "rule", "why"]);
        for of in &report.not_applicable {
            let place = format!("{}:{}", escape(&of.file), of.line);
            table.row([
                (place, Look::Dim),
                (escape(&of.id), Look::Plain),
                (escape(&of.missing), Look::Plain),
            ]);
        }
        table.print(&mut out)?;
    }
    if !report.refused.is_empty() {
        writeln!(out, "\nRefused:")?;
        for of in &report.refused {
            writeln!(out, "  {}:{}: {}", escape(&of.file), of.line, paint(&escape(&of.reason), Look::Bad))?;
        }
    }
    for id in &report.disabled {
        writeln!(out, "switched off: {}", escape(id))?;
    }
    for id in &report.unknown {
        writeln!(out, "rules.disable: there is no rule {}", escape(id))?;
    }
    note(&format!(
        "{} in force, {} not applicable, {} refused",
        rules.infos().len(),
        report.not_applicable.len(),
        report.refused.len()
    ));
    Ok(())
}

fn test(rules: &Arc<Loaded>) -> Result<()> {
    let mut out = io::stdout().lock();
    let results = run_cases(rules);
    let failed = results.iter().filter(|result| !result.passed()).count();
    for result in &results {
        let word = if result.passed() { "ok    " } else { "FAILED" };
        writeln!(out, "{word} {}: {}", escape(&result.rule), escape(&result.name))?;
        for failure in &result.failures {
            writeln!(out, "         {}", escape(failure))?;
        }
    }
    for of in &rules.report.refused {
        writeln!(out, "{}:{}: {}", escape(&of.file), of.line, escape(&of.reason))?;
    }
    writeln!(out, "{} cases, {failed} failed", results.len())?;
    match failed + rules.report.refused.len() {
        0 => Ok(()),
        _ => bail!("{failed} cases are not as expected, {} rules are wrong", rules.report.refused.len()),
    }
}

/// A member's text, harmless on a terminal; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escape(text),
        other => other.to_string(),
    }
}

fn alerts(client: &Client, all: bool, limit: u16, as_json: bool) -> Result<()> {
    let limit = limit.to_string();
    let state = if all { "all" } else { "active" };
    let answer = client.json("/api/v1/alerts", &[("state", Some(state)), ("limit", Some(&limit))])?;
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", answer["alerts"])?;
    } else {
        let alerts = answer["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
        if alerts.is_empty() {
            note(if all { "there are no alerts" } else { "no alert is open" });
            return Ok(());
        }
        let mut table = Table::new(&["alert", "level", "state", "opened", "count", "message"]);
        for alert in alerts {
            let severe = Severity::named(alert["level"].as_str().unwrap_or_default()).unwrap_or_default();
            let over = alert["state"] == "resolved";
            table.row([
                (text(&alert["id"]), if over { Look::Dim } else { Look::Bold }),
                (text(&alert["level"]), if over { Look::Dim } else { look(severe) }),
                (text(&alert["state"]), Look::Plain),
                (text(&alert["opened"]), Look::Dim),
                (text(&alert["count"]), Look::Plain),
                (text(&alert["message"]), if over { Look::Dim } else { Look::Plain }),
            ]);
        }
        table.print(&mut out)?;
    }
    if answer["more"] == true {
        note("there are more: --limit shows up to 1000");
    }
    Ok(())
}

fn explain(client: &Client, id: &str, as_json: bool) -> Result<()> {
    let alert = client.json(&format!("/api/v1/alerts/{id}"), &[])?;
    let mut entries = Vec::new();
    for place in alert["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let Some((ledger, index)) = place.rsplit_once('/') else { continue };
        // What was pruned since is told as such.
        let found = client.json(&format!("/api/v1/ledgers/{ledger}/entries/{index}"), &[]);
        entries.push((place.to_owned(), found.map_err(|error| format!("{error:#}"))));
    }
    let mut out = io::stdout().lock();
    if as_json {
        let events: Vec<Value> = entries
            .into_iter()
            .map(|(place, found)| match found {
                Ok(event) => json!({"place": place, "event": event}),
                Err(error) => json!({"place": place, "error": error}),
            })
            .collect();
        writeln!(out, "{}", json!({"alert": alert, "events": events}))?;
        return Ok(());
    }
    writeln!(out, "{}  {}", paint(&text(&alert["id"]), Look::Bold), text(&alert["message"]))?;
    let rule = format!("{} ({}): {}", text(&alert["rule"]), text(&alert["level"]), text(&alert["title"]));
    writeln!(out, "  {:<10} {rule}", "rule")?;
    for (name, member) in [("state", "state"), ("opened", "opened"), ("last", "last"), ("host", "host")] {
        if !alert[member].is_null() {
            writeln!(out, "  {name:<10} {}", text(&alert[member]))?;
        }
    }
    writeln!(out, "  {:<10} {} times, {} events", "happened", text(&alert["count"]), text(&alert["events"]))?;
    for (name, value) in alert["group"].as_object().into_iter().flatten() {
        writeln!(out, "  {:<10} {} {}", "about", escape(name), text(value))?;
    }
    if let Some(description) = alert["description"].as_str() {
        writeln!(out, "\n{}", escape(description))?;
    }
    writeln!(out, "\nThe events that led to it, the newest of them:")?;
    for (place, found) in &entries {
        match found {
            Ok(found) => {
                let event = if found["event"].is_object() { &found["event"] } else { found };
                let (time, name) = (text(&event["event_time"]), text(&event["event_name"]));
                writeln!(
                    out,
                    "  {place}  {time}  {name}  {}  {}",
                    text(&event["username"]),
                    text(&event["message"])
                )?;
            }
            Err(error) => writeln!(out, "  {place}  {}", escape(error))?,
        }
    }
    writeln!(out, "\nWhat became of it:")?;
    for step in alert["steps"].as_array().into_iter().flatten() {
        let (at, name) = (text(&step["at"]), text(&step["name"]));
        writeln!(out, "  {at}  {name:<13}  {}  {}", text(&step["by"]), text(&step["message"]))?;
    }
    Ok(())
}

fn act(connection: &Connection, deed: &str, of: &Deed, until: Option<&str>) -> Result<()> {
    let mut body = json!({"alerts": of.alerts, "reason": of.reason});
    if let Some(until) = until {
        body["until"] = until.into();
    }
    if !connection.names_server() {
        body["by"] = super::key::person().into();
    }
    let answer = connection.owner_client()?.post_json(&format!("/api/v1/alerts/{deed}"), &body)?;
    writeln!(io::stdout(), "Done: {}.", text(&answer["done"]))?;
    Ok(())
}
