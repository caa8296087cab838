//! `attestry ledger`: which ledgers there are, their keys, and pruning them.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use attestry_event::{Clock, Nanos, SystemClock};
use attestry_ledger::{DataDir, Options, Prunable};
use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::Value;

use crate::client::Connection;
use crate::config::parse_duration;
use crate::house;
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
    /// Remove the entries that came in before a time, by whole segments from the oldest on. The event that says so goes first. While the server
    /// runs only --dry-run works: the retention of the configuration prunes then.
    Prune {
        /// The ledger's name.
        name: String,
        /// Age from which entries go, such as 365d. Default: the retention of the configuration.
        #[arg(long, value_name = "TIME")]
        older_than: Option<String>,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) fn ledger(ledgers: &Ledgers) -> Result<()> {
    if let Command::Prune { name, older_than, dry_run } = &ledgers.command {
        return prune(&ledgers.connection, name, older_than.as_deref(), *dry_run);
    }
    let client = ledgers.connection.client()?;
    let mut out = io::stdout().lock();
    match &ledgers.command {
        Command::List => {
            let answer = client.json("/api/v1/ledgers", &[])?;
            let mut table = Table::new(&["name", "entries", "first", "bytes", "kept", "signed"]);
            for ledger in answer.as_array().map(Vec::as_slice).unwrap_or_default() {
                let text = |name: &str| {
                    ledger[name].as_str().map_or_else(|| ledger[name].to_string(), str::to_owned)
                };
                let retention = ledger["retention_days"].as_u64();
                let retention =
                    retention.map_or_else(|| "for ever".to_owned(), |days| format!("{days} days"));
                table.row([
                    (text("name"), Look::Bold),
                    (text("size"), Look::Plain),
                    (text("first"), Look::Dim),
                    (HumanBytes(ledger["bytes"].as_u64().unwrap_or(0)).to_string(), Look::Plain),
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
            writeln!(out, "size         {}", HumanBytes(found["bytes"].as_u64().unwrap_or(0)))?;
            writeln!(out, "\n{checkpoint}")?;
        }
        Command::Prune { .. } => {}
    }
    Ok(())
}

fn prune(connection: &Connection, name: &str, older_than: Option<&str>, dry_run: bool) -> Result<()> {
    let config = connection.config()?;
    let Some(ledger) = config.ledgers.iter().find(|ledger| ledger.name == name) else {
        bail!("there is no ledger {name:?}")
    };
    let age = match older_than {
        Some(text) => {
            parse_duration(text).with_context(|| format!("{text:?} is no time, expected one such as 365d"))?
        }
        None => ledger.retention.context("the ledger keeps its entries for ever; give --older-than")?,
    };
    let mut out = io::stdout().lock();
    let data_dir = &config.written.data_dir;
    let tell = |out: &mut io::StdoutLock<'_>, prunable: Option<&Prunable>, what: &str| match prunable {
        None => writeln!(out, "nothing in {name} is old enough to be pruned"),
        Some(Prunable { range, received, bytes }) => writeln!(
            out,
            "{what} entries {}..{} of {name}, received {} to {}, {}",
            range.start,
            range.end,
            received.0,
            received.1,
            HumanBytes(*bytes)
        ),
    };
    let clock = SystemClock;
    let cutoff = Nanos(clock.now().0.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
    if dry_run {
        let prunable = attestry_ledger::prunable_on_disk(&data_dir.join("ledgers").join(name), cutoff)?;
        tell(&mut out, prunable.as_ref(), "would prune")?;
        return Ok(());
    }
    let data = DataDir::open(data_dir).context("pruning by hand needs the server stopped")?;
    let (opened, _) = data.ledger(name, Arc::new(clock), Options::default())?;
    let user = std::env::var("USER").unwrap_or_else(|_| "-".to_owned());
    let pruned = house::prune(&opened, &SystemClock, cutoff, &user)?;
    tell(&mut out, pruned.as_ref(), "pruned")?;
    Ok(())
}

fn text(client: &crate::client::Client, path: &str) -> Result<String> {
    Ok(client.get_as(path, &[], "text/plain")?.body_mut().read_to_string()?)
}
