//! `attestry messages`: what was sent and received, from the ledger.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::client::Connection;
use crate::terminal::{Look, Table, escape, json, note, note_behind};

/// What came in.
const RECEIVED: &str = "event_name:control.*";

/// What went out, or did not.
const SENT: &str =
    "event_name:report.sent OR (event_name:report.failed event_data.target:*) OR event_name:notice.*";

/// The most messages that one request answers.
const PAGE: u64 = 1_000;

#[derive(Args, Debug)]
pub(crate) struct Messages {
    /// Only what was received: control messages, accepted or refused.
    #[arg(long, conflicts_with = "sent")]
    received: bool,
    /// Only what was sent, or could not be: reports and notices.
    #[arg(long)]
    sent: bool,
    /// Not before: RFC 3339, or relative such as -24h or -7d. Default: the first one.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Not after: RFC 3339, relative, or now. Default: the last one.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// How many at most, the newest first.
    #[arg(short = 'n', long, default_value_t = 100)]
    limit: u64,
    /// The events as JSON, one a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn messages(of: &Messages) -> Result<()> {
    let client = of.connection.client()?;
    let query = match (of.received, of.sent) {
        (true, _) => RECEIVED.to_owned(),
        (_, true) => SENT.to_owned(),
        _ => format!("{RECEIVED} OR {SENT}"),
    };
    let mut out = io::stdout().lock();
    let mut table = Table::new(&["time", "", "message", "result", "by or to", "what"]);
    let (mut left, mut cursor, mut behind): (_, Option<String>, _) = (of.limit, None, 0);
    while left > 0 {
        let limit = left.min(PAGE).to_string();
        let page = client.json(
            "/api/v1/events",
            &[
                ("q", Some(query.as_str())),
                ("from", of.from.as_deref()),
                ("to", of.to.as_deref()),
                ("order", Some("desc")),
                ("limit", Some(&limit)),
                ("cursor", cursor.as_deref()),
            ],
        )?;
        let events = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        for found in events {
            match of.json {
                true => writeln!(out, "{}", json(found, io::stdout().is_terminal()))?,
                false => tell(&found["event"], &mut table),
            }
        }
        left = left.saturating_sub(events.len() as u64);
        behind = page["behind"].as_u64().unwrap_or(0).max(behind);
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || events.is_empty() {
            break;
        }
    }
    if !of.json {
        table.print(&mut out)?;
        if cursor.is_some() && io::stderr().is_terminal() {
            note(&format!("there are more; -n shows up to as many as it says, not only {}", of.limit));
        }
    }
    note_behind(behind);
    Ok(())
}

fn tell(event: &Value, table: &mut Table) {
    let text = |value: &Value| escape(value.as_str().unwrap_or_default());
    let name = event["event_name"].as_str().unwrap_or_default();
    let received = name.starts_with("control.");
    let well = event["outcome"] != "failure";
    let who = match received {
        true => text(&event["username"]),
        // A report's resource is the report itself.
        false if event["event_data"]["target"].is_string() => text(&event["event_data"]["target"]),
        false => text(&event["resource"]),
    };
    table.row([
        (text(&event["event_time"]).chars().take(19).collect(), Look::Dim),
        (if received { "received" } else { "sent" }.to_owned(), Look::Plain),
        (escape(name), if well { Look::Bold } else { Look::Bad }),
        (text(&event["outcome"]), if well { Look::Plain } else { Look::Bad }),
        (who, Look::Plain),
        (text(&event["message"]), Look::Plain),
    ]);
}
