//! `attestry ledger`: which ledgers there are, their keys, and pruning them.

use std::io::{self, Write};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::client::Connection;
use crate::terminal::{Look, Table};

#[derive(Args, Debug)]
pub(crate) struct Ledgers {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the ledgers with their sizes.
    List,
    /// Show a ledger: its verifier key, checkpoint and what is kept.
    Show {
        /// The ledger's name.
        name: String,
        /// Only the verifier key and the newest checkpoint: a pin, to be kept elsewhere for `attestry verify --pin`.
        #[arg(long)]
        pin: bool,
    },
}

pub(crate) fn ledger(ledgers: &Ledgers) -> Result<()> {
    let client = ledgers.connection.client()?;
    let mut out = io::stdout().lock();
    match &ledgers.command {
        Command::List => {
            let answer = client.json("/api/v1/ledgers", &[])?;
            let mut table = Table::new(&["name", "entries", "first", "bytes", "retention", "signed"]);
            for ledger in answer.as_array().map(Vec::as_slice).unwrap_or_default() {
                let text = |name: &str| {
                    ledger[name].as_str().map_or_else(|| ledger[name].to_string(), str::to_owned)
                };
                let retention =
                    if ledger["retention"].is_null() { "for ever".to_owned() } else { text("retention") };
                table.row([
                    (text("name"), Look::Bold),
                    (text("size"), Look::Plain),
                    (text("first"), Look::Dim),
                    (text("bytes"), Look::Plain),
                    (retention, Look::Plain),
                    (ledger["checkpoint"]["time"].as_str().unwrap_or("never").to_owned(), Look::Dim),
                ]);
            }
            table.print(&mut out)?;
        }
        Command::Show { name, pin } => {
            let vkey = text(&client, &format!("/log/{name}/vkey"))?;
            let checkpoint = text(&client, &format!("/log/{name}/checkpoint"))?;
            if *pin {
                write!(out, "{}\n\n{checkpoint}", vkey.trim())?;
                return Ok(());
            }
            let answer = client.json("/api/v1/ledgers", &[])?;
            let found =
                answer.as_array().and_then(|all| all.iter().find(|ledger| ledger["name"] == name.as_str()));
            let found = found.unwrap_or(&Value::Null);
            writeln!(out, "ledger       {name}")?;
            writeln!(out, "verifier key {}", vkey.trim())?;
            writeln!(out, "entries      {} (the first kept is {})", found["size"], found["first"])?;
            writeln!(out, "bytes        {}", found["bytes"])?;
            writeln!(out, "\n{checkpoint}")?;
        }
    }
    Ok(())
}

fn text(client: &crate::client::Client, path: &str) -> Result<String> {
    Ok(client.get_as(path, &[], "text/plain")?.body_mut().read_to_string()?)
}
