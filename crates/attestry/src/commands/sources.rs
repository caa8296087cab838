//! `attestry sources`: every source of this host, on or off and why, and how it is doing.

use std::io::{self, Write};

use anyhow::Result;
use attestry_collect::Paths;
use clap::Args;
use serde_json::{Value, json};

use crate::client::Connection;
use crate::config::Config;
use crate::control::status;
use crate::sources::availability;
use crate::terminal::{Look, Table, note};

#[derive(Args, Debug)]
pub(crate) struct Sources {
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn sources(sources: &Sources) -> Result<()> {
    let config = sources.connection.config()?;
    let running = status(&config.written.data_dir)?;
    let list = match &running {
        Some(status) => status["sources"].as_array().cloned().unwrap_or_default(),
        None => {
            note("nothing runs on this data directory; `attestry run` would find:");
            found(&config)
        }
    };
    let mut out = io::stdout().lock();
    if sources.json {
        writeln!(out, "{}", Value::from(list))?;
        return Ok(());
    }
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut table = Table::new(&["source", "state", "last event", "events", "losses", "why"]);
    for source in &list {
        let on = source["on"] == true;
        let why = match on {
            true => text(&source["why"]),
            false => format!("{} (needs {})", text(&source["why"]), text(&source["needs"])),
        };
        let lost = source["losses"].as_u64().is_some_and(|losses| losses > 0);
        table.row([
            (text(&source["name"]), Look::Bold),
            (if on { "on" } else { "off" }.to_owned(), if on { Look::Plain } else { Look::Dim }),
            (text(&source["last_event"]), Look::Dim),
            (text(&source["events"]), Look::Plain),
            (text(&source["losses"]), if lost { Look::Bad } else { Look::Dim }),
            (why, if on { Look::Plain } else { Look::Dim }),
        ]);
    }
    table.print(&mut out)?;
    Ok(())
}

/// What could run here, by looking.
fn found(config: &Config) -> Vec<Value> {
    let paths = Paths::default();
    let mut found = Vec::new();
    for (name, (of, _)) in &config.sources {
        for source in of.kinds() {
            let available = availability(&*source, of, &paths);
            found.push(
                json!({"name": name, "on": available.on, "why": available.why, "needs": source.needs()}),
            );
        }
    }
    found
}
