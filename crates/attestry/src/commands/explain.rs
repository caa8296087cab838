//! `attestry explain`: for one event, which ways in and out take it, and which line of the configuration decided.

use std::io;

use anyhow::{Context, Result, bail};
use attestry_event::{Batch, Border, Clock, Nanos, SystemClock, write_event};
use attestry_script::Applied;
use clap::Args;

use crate::client::Connection;
use crate::config::{Config, Filters};
use crate::terminal::{Look, Table};

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// A file with one event as JSON, or `-` for standard input.
    #[arg(value_name = "EVENT.json")]
    event: String,
    #[command(flatten)]
    connection: Connection,
}

/// What became of an event on one way, and what decided.
struct Fate {
    taken: bool,
    because: String,
}

pub(crate) fn explain(explain: &Explain) -> Result<()> {
    let text = match explain.event.as_str() {
        "-" => io::read_to_string(io::stdin()).context("cannot read standard input")?,
        path => std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?,
    };
    let config = explain.connection.config()?;
    let event = encoded(text.trim())?;
    let mut table = Table::new(&["way", "name", "taken", "because"]);
    let mut row = |way: &str, name: &str, fate: Fate| {
        let taken = if fate.taken { ("yes".to_owned(), Look::Bold) } else { ("no".to_owned(), Look::Bad) };
        table.row([
            (way.to_owned(), Look::Dim),
            (name.to_owned(), Look::Plain),
            taken,
            (fate.because, Look::Plain),
        ]);
    };
    for (name, (source, filters)) in &config.sources {
        let fate = match source.enabled {
            true => fate(&config, &["sources", name], filters, &event),
            false => off(&config, &["sources", name]),
        };
        row("source", name, fate);
    }
    for (name, (receiver, filters)) in &config.receivers {
        let fate = match receiver.enabled {
            true => fate(&config, &["receivers", name], filters, &event),
            false => off(&config, &["receivers", name]),
        };
        row("receiver", name, fate);
    }
    for (name, (sink, filters)) in &config.sinks {
        let fate = match sink.enabled {
            true => fate(&config, &["sinks", name], filters, &event),
            false => off(&config, &["sinks", name]),
        };
        row("sink", name, fate);
    }
    table.print(&mut io::stdout().lock())?;
    Ok(())
}

fn off(config: &Config, path: &[&str; 2]) -> Fate {
    let place = config.lines.place(&[path[0], path[1], "enabled"]);
    Fate { taken: false, because: format!("{place}: it is switched off") }
}

/// The event as filters see it, with its defaults filled in.
fn encoded(text: &str) -> Result<Vec<u8>> {
    let border = Border {
        event_source: "explain",
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: true,
        now: SystemClock.now(),
    };
    let mut batch = Batch::new();
    if let Err(problems) = batch.push_json(text.as_bytes(), &border) {
        let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("this is no event:\n  {}", list.join("\n  "));
    }
    let mut json = Vec::new();
    write_event(batch.entry(0), &batch.values, &mut json)?;
    Ok(json)
}

fn event_name(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    value["event_name"].as_str().unwrap_or_default().to_owned()
}

/// What a parser made of an event.
fn reading(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    match value["event_data"]["unparsed"] == true {
        true => "cannot read it and keeps it as it is".to_owned(),
        false => format!("makes {} of it", value["event_name"].as_str().unwrap_or_default()),
    }
}

/// Asks the filters in the order in which they are asked when events flow. At a sink the names come first, on the way in they are those
/// that the transform left.
fn fate(config: &Config, path: &[&str; 2], filters: &Filters, event: &[u8]) -> Fate {
    let now: Nanos = SystemClock.now();
    let [section, name] = *path;
    let place = |item: &str| config.lines.place(&[section, name, item]);
    let mut because: Vec<String> = Vec::new();
    let mut json = event.to_vec();
    let names = |json: &[u8], because: &mut Vec<String>| match &filters.methods {
        None => true,
        Some(methods) => {
            let decided = methods.decide(&event_name(json));
            because.push(format!("{}: {decided}", place("methods")));
            decided.taken()
        }
    };
    if section == "sinks" && !names(&json, &mut because) {
        return Fate { taken: false, because: because.join("; ") };
    }
    for (item, what, program) in
        [("redact", "the redaction", &filters.redact), ("transform", "the transform", &filters.transform)]
    {
        if item == "transform"
            && let Some(parser) = &filters.parser
        {
            if let Applied::Changed(changed) = parser.apply(&json, now) {
                json = changed;
            }
            because.push(format!("{}: the parser {}", place("parser"), reading(&json)));
        }
        let Some(program) = program else { continue };
        match program.apply(&json, now) {
            Ok(Applied::Unchanged) => {}
            Ok(Applied::Changed(changed)) => {
                because.push(format!("{}: {what} changes it", place(item)));
                json = changed;
            }
            Ok(Applied::Dropped) => {
                because.push(format!("{}: {what} drops it", place(item)));
                return Fate { taken: false, because: because.join("; ") };
            }
            Err(error) => {
                because.push(format!("{}: {what} fails: {error}", place(item)));
                return Fate { taken: false, because: because.join("; ") };
            }
        }
    }
    if let Some(condition) = &filters.condition {
        let (taken, what) = match condition.holds(&json, now) {
            Ok(true) => (true, "the condition holds".to_owned()),
            Ok(false) => (false, "the condition does not hold".to_owned()),
            Err(error) => (false, format!("the condition fails: {error}")),
        };
        because.push(format!("{}: {what}", place("where")));
        if !taken {
            return Fate { taken: false, because: because.join("; ") };
        }
    }
    if section != "sinks" && !names(&json, &mut because) {
        return Fate { taken: false, because: because.join("; ") };
    }
    if because.is_empty() {
        because.push(format!("{}: it takes everything", config.lines.place(path)));
    }
    Fate { taken: true, because: because.join("; ") }
}
