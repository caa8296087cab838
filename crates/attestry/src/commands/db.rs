//! `attestry db`: databases that are watched row by row.

mod check;
mod dump;
mod snapshot;
mod violations;

use std::io::{self, Write};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::key::person;
use crate::client::{Client, Connection};
use crate::terminal::{Look, Table, escape, note};

#[derive(Args, Debug)]
pub(crate) struct Db {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at the databases that the configuration names: what will be watched, what is missing, and how to mend it.
    Check {
        /// Only this one.
        name: Option<String>,
    },
    /// How the watched databases are doing, table by table.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What happened between two dumps, or between a watch's copy and a dump, and which of it breaks rules. Exit code 1: something that must be looked at.
    AuditDump(dump::AuditDump),
    /// Make a snapshot now, by the program that runs.
    Snapshot(snapshot::Snapshot),
    /// Rows that broke a rule. Exit code 1: the copy of a watch cannot be read; it is named, and those of the others are listed.
    Violations(violations::List),
    /// One violation: the row before and since, and all it has ever been.
    Show {
        /// The violation's fingerprint, or its beginning.
        fingerprint: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say that violations, or the change of a table's schema, are all right, and why. All of them or none: those named, or all pending
    /// ones that have something in common.
    SignOff(violations::SignOff),
}

/// Whether nothing was found that somebody must look at, and every copy could be asked.
pub(crate) fn db(db: &Db) -> Result<bool> {
    match &db.command {
        Command::AuditDump(of) => return dump::audit(of, &db.connection.config()?),
        Command::Check { name } => check::check(&db.connection.config()?, name.as_deref()),
        Command::Snapshot(of) => snapshot::snapshot(of, &db.connection.config()?),
        Command::Status { json } => status(&db.connection.client()?, *json),
        Command::Violations(list) => return violations::list(&db.connection.client()?, list),
        Command::Show { fingerprint, json } => {
            return violations::show(&db.connection.client()?, fingerprint, *json);
        }
        Command::SignOff(of) => {
            let by = (!db.connection.names_server()).then(person);
            return violations::sign_off(&db.connection.owner_client()?, of, by);
        }
    }
    .map(|()| true)
}

/// A member's text, harmless on a terminal; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => escape(text),
        other => other.to_string(),
    }
}

fn status(client: &Client, as_json: bool) -> Result<()> {
    let answer = client.json("/api/v1/databases", &[])?;
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", answer["watches"])?;
        return Ok(());
    }
    let watches = answer["watches"].as_array().map(Vec::as_slice).unwrap_or_default();
    if watches.is_empty() {
        note(
            "no database is watched: name one under `audit:` in the configuration; `attestry db check` says what it takes",
        );
        return Ok(());
    }
    for (at, watch) in watches.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        head(watch, &mut out)?;
        let mut table =
            Table::new(&["table", "state", "rows", "inserts", "updates", "deletes", "pending", "why"]);
        for of in watch["tables"].as_array().into_iter().flatten() {
            let (pending, well) = (of["pending"].as_u64().unwrap_or(0), of["state"] == "watched");
            let number = |name: &str| (text(&of[name]), Look::Plain);
            let why = match &of["fingerprint"] {
                Value::String(fingerprint) => {
                    format!("{} (sign off {})", text(&of["why"]), escape(fingerprint))
                }
                _ => text(&of["why"]),
            };
            table.row([
                (text(&of["name"]), Look::Bold),
                (text(&of["state"]), if well { Look::Plain } else { Look::Bad }),
                number("rows"),
                number("inserts"),
                number("updates"),
                number("deletes"),
                (pending.to_string(), if pending > 0 { Look::Bad } else { Look::Dim }),
                (why, Look::Dim),
            ]);
        }
        table.print(&mut out)?;
    }
    Ok(())
}

/// What there is to say of a watch as a whole.
fn head(watch: &Value, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "{}  {} at {}: {}",
        text(&watch["name"]),
        text(&watch["engine"]),
        text(&watch["place"]),
        text(&watch["state"])
    )?;
    if watch["why"].is_string() {
        writeln!(out, "  {}", text(&watch["why"]))?;
    }
    if let Value::Object(projection) = &watch["projection"] {
        let part = |name: &str| text(projection.get(name).unwrap_or(&Value::Null));
        let why = if projection.contains_key("why") { format!(": {}", part("why")) } else { String::new() };
        writeln!(out, "  copy in the schema {}: {}{why}", part("schema"), part("state"))?;
    }
    let mut parts = Vec::new();
    if watch["position"].is_string() {
        parts.push(format!("at {}", text(&watch["position"])));
    }
    if let Some(lag) = watch["lag_ms"].as_u64() {
        parts.push(format!("{lag} ms behind"));
    }
    match (watch["compared_at"].as_str(), watch["pass_s"].as_u64()) {
        (Some(at), Some(took)) => {
            let took = if took == 0 { "less than 1 s".to_owned() } else { format!("{took} s") };
            parts.push(format!("all compared at {}, which took {took}", escape(at)));
        }
        _ => parts.push("not compared yet".to_owned()),
    }
    parts.push(format!("{} violations pending", text(&watch["pending"])));
    writeln!(out, "  {}", parts.join(", "))?;
    Ok(())
}
