//! `attestry spool`: what waits for the sinks, and their dead letters.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use attestry_journal::disk::RealDisk;
use attestry_ledger::DataDir;
use attestry_pipeline::DeadLetters;
use attestry_pipeline::dead::DeadOptions;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::client::Connection;
use crate::commands::key::data_dir;
use crate::control::{Request, ask, status};
use crate::terminal::{Look, Table, escape};

#[derive(Args, Debug)]
pub(crate) struct Spools {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How receivers and sinks are doing: what waits, what was refused, what is wrong.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the events that a sink refused for good, with the reason, as NDJSON.
    Inspect {
        /// The sink.
        sink: String,
    },
    /// Offer a sink's dead letters to it again.
    Replay {
        /// The sink.
        sink: String,
        /// Their numbers, as `inspect` shows them. Default: all.
        #[arg(value_name = "ID")]
        ids: Vec<u64>,
    },
    /// Forget dead letters for good. It becomes an event.
    Drop {
        /// The sink.
        sink: String,
        /// Their numbers, as `inspect` shows them.
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<u64>,
        /// All of them.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

pub(crate) fn spool(spools: &Spools) -> Result<()> {
    let dir = data_dir(&spools.connection)?;
    match &spools.command {
        Command::List { json } => list(&dir, *json),
        Command::Inspect { sink } => inspect(&dir, sink),
        Command::Replay { sink, ids } => {
            let ids = (!ids.is_empty()).then(|| ids.clone());
            let request = Request::Replay { sink: sink.clone(), ids };
            let told = one(&dir, &request)?;
            let told = told
                .context("nothing runs on this data directory: replaying takes a running `attestry run`")?;
            let count = |name: &str| told[name].as_u64().unwrap_or(0);
            writeln!(io::stdout(), "{} delivered, {} refused again", count("delivered"), count("refused"))?;
            Ok(())
        }
        Command::Drop { sink, ids, all } => {
            let ids = (!all).then(|| ids.clone());
            let request = Request::Drop { sink: sink.clone(), ids: ids.clone() };
            match one(&dir, &request)? {
                Some(told) => writeln!(io::stdout(), "{} dropped", told["dropped"].as_u64().unwrap_or(0))?,
                None => {
                    bail!(
                        "nothing runs on this data directory: dropping takes a running `attestry run`, which records it"
                    )
                }
            }
            Ok(())
        }
    }
}

/// The one line that answers a request; none when nothing runs.
fn one(dir: &Path, request: &Request) -> Result<Option<Value>> {
    let mut found = None;
    ask(dir, request, &mut |line| {
        found = Some(line);
        Ok(())
    })?;
    Ok(found)
}

fn list(dir: &Path, json: bool) -> Result<()> {
    let Some(status) = status(dir)? else {
        bail!("nothing runs on {}: `attestry run` starts it", dir.display());
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{status}")?;
        return Ok(());
    }
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let spool = &status["spool"];
    if let (Some(bytes), Some(most)) = (spool["bytes"].as_u64(), spool["max_bytes"].as_u64()) {
        writeln!(out, "The spool takes {} MiB of {} MiB.", bytes >> 20, most >> 20)?;
        if let Some(why) = spool["stalled"]["why"].as_str() {
            let since = text(&spool["stalled"]["since_s"]);
            writeln!(
                out,
                "For {since} s it takes nothing: {}. Who can wait waits and is not acknowledged.",
                escape(why)
            )?;
        }
        writeln!(out)?;
    }
    let rows = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let mut table = Table::new(&[
        "receiver",
        "protocol",
        "address",
        "ledger",
        "kept",
        "filtered",
        "malformed",
        "lost",
        "last",
        "why",
    ]);
    for receiver in rows("receivers") {
        let malformed = receiver["malformed"].as_u64().unwrap_or(0);
        table.row([
            (text(&receiver["name"]), Look::Bold),
            (text(&receiver["protocol"]), Look::Plain),
            (text(&receiver["address"]), Look::Plain),
            (text(&receiver["ledger"]), Look::Plain),
            (text(&receiver["kept"]), Look::Plain),
            (text(&receiver["filtered"]), Look::Dim),
            (malformed.to_string(), if malformed > 0 { Look::Bad } else { Look::Dim }),
            (text(&receiver["dropped"]), if receiver["dropped"] == 0 { Look::Dim } else { Look::Bad }),
            (text(&receiver["last"]), Look::Dim),
            (text(&receiver["why"]), Look::Bad),
        ]);
    }
    if !rows("receivers").is_empty() {
        table.print(&mut out)?;
        writeln!(out)?;
    }
    let mut table = Table::new(&[
        "sink",
        "protocol",
        "follows",
        "state",
        "waiting",
        "delivered",
        "filtered",
        "dead letters",
        "why",
    ]);
    for sink in rows("sinks") {
        let state = text(&sink["state"]);
        let look = if state == "running" { Look::Plain } else { Look::Bad };
        let dead = sink["dead"].as_u64().unwrap_or(0);
        table.row([
            (text(&sink["name"]), Look::Bold),
            (text(&sink["protocol"]), Look::Plain),
            (text(&sink["log"]), Look::Plain),
            (state, look),
            (text(&sink["lag"]), Look::Plain),
            (text(&sink["delivered"]), Look::Plain),
            (text(&sink["filtered"]), Look::Dim),
            (dead.to_string(), if dead > 0 { Look::Bad } else { Look::Dim }),
            (text(&sink["why"]), Look::Bad),
        ]);
    }
    match rows("sinks").is_empty() {
        true => writeln!(out, "No sinks are configured.")?,
        false => table.print(&mut out)?,
    }
    Ok(())
}

fn inspect(dir: &Path, sink: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let shown = io::stdout().is_terminal();
    let mut say = |letter: &Value| -> Result<()> {
        let line = letter.to_string();
        match shown {
            true => writeln!(out, "{}", escape(&line))?,
            false => writeln!(out, "{line}")?,
        }
        Ok(())
    };
    // A page at a time, on from the last number.
    let mut from = 0;
    loop {
        let mut page = 0;
        let running = ask(dir, &Request::Dead { sink: sink.to_owned(), from }, &mut |letter| {
            page += 1;
            from = letter["id"].as_u64().map_or(u64::MAX, |id| id.saturating_add(1));
            say(&letter)
        })?;
        if !running {
            return offline(dir, sink, &mut say);
        }
        if page == 0 {
            return Ok(());
        }
    }
}

/// Without a running program the directory is read, under its lock.
fn offline(dir: &Path, sink: &str, say: &mut dyn FnMut(&Value) -> Result<()>) -> Result<()> {
    let _alone = DataDir::open(dir)?;
    let folder = dir.join("sinks").join(sink).join("dead");
    if sink.contains(['/', '\\']) || !folder.exists() {
        bail!("there is no sink {sink:?} that has ever run here");
    }
    let (dead, _) = DeadLetters::open(RealDisk, &folder, DeadOptions::default())?;
    for id in dead.ids() {
        if let Some(letter) = dead.get(id)? {
            say(&crate::control::shown(&letter))?;
        }
    }
    Ok(())
}
