//! `attestry ledger`: which ledgers there are, their keys, and pruning them.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use attestry_event::{Clock, SystemClock};
use attestry_ledger::{DataDir, DataDirError, Options, Prunable};
use attestry_server::accounts::Actor;
use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::key::{data_dir, person};
use crate::client::Connection;
use crate::config::some_time;
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
    /// Remove the entries that came in before a time, by whole segments from the oldest on; whether or not the server runs. The event that
    /// says so goes first. With --url it takes an administrator's rights there, which no key has but the server's own in its data directory.
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
        let by = PruneBy { name, older_than: older_than.as_deref(), dry_run: *dry_run };
        return prune(&ledgers.connection, &by);
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

/// What a prune is asked for.
struct PruneBy<'a> {
    name: &'a str,
    older_than: Option<&'a str>,
    dry_run: bool,
}

/// By the server that has the directory, if one has it, else in the directory itself.
fn prune(connection: &Connection, by: &PruneBy<'_>) -> Result<()> {
    let pruned = match connection.names_server() {
        true => by.server(connection)?,
        false => match DataDir::open(&data_dir(connection)?) {
            Ok(data) => by.directory(connection, &data)?,
            Err(DataDirError::InUse { .. }) => by.server(connection)?,
            Err(error) => return Err(error.into()),
        },
    };
    let (name, mut out) = (by.name, io::stdout().lock());
    let Some([first, end, from, to, bytes]) = pruned else {
        writeln!(out, "nothing in {name} is old enough to be pruned")?;
        return Ok(());
    };
    let what = if by.dry_run { "would prune" } else { "pruned" };
    let bytes = HumanBytes(bytes.as_u64().unwrap_or(0));
    let (from, to) = (from.as_str().unwrap_or("?"), to.as_str().unwrap_or("?"));
    writeln!(out, "{what} entries {first}..{end} of {name}, received {from} to {to}, {bytes}")?;
    Ok(())
}

impl PruneBy<'_> {
    fn server(&self, connection: &Connection) -> Result<Option<[Value; 5]>> {
        let mut request = json!({"dry_run": self.dry_run});
        if let Some(age) = self.older_than {
            request["older_than"] = age.into();
        }
        if !connection.names_server() {
            request["by"] = person().into();
        }
        let path = format!("/api/v1/ledgers/{}/prune", self.name);
        let mut answer = connection.owner_client()?.post_json(&path, &request)?;
        let pruned = &mut answer["pruned"];
        Ok((!pruned.is_null()).then(|| {
            ["first", "end", "received_from", "received_to", "bytes"].map(|name| pruned[name].take())
        }))
    }

    fn directory(&self, connection: &Connection, data: &DataDir) -> Result<Option<[Value; 5]>> {
        let name = self.name;
        let config = connection.config()?;
        let Some(ledger) = config.ledgers.iter().find(|ledger| ledger.name == name) else {
            bail!("there is no ledger {name:?}")
        };
        let age = match self.older_than {
            Some(text) => some_time(text).map_err(anyhow::Error::msg).context("--older-than")?,
            None => ledger.retention.context("the ledger keeps its entries for ever; give --older-than")?,
        };
        let clock = SystemClock;
        let cutoff = clock.now().saturating_sub(age);
        let pruned = match self.dry_run {
            true => attestry_ledger::prunable_on_disk(&data.path().join("ledgers").join(name), cutoff)?,
            false => {
                let (opened, _) = data.ledger(name, Arc::new(clock), Options::default())?;
                attestry_server::prune(&opened, &SystemClock, cutoff, &Actor::local(person()))?
            }
        };
        Ok(pruned.map(|Prunable { range, received, bytes }| {
            let (from, to) = (received.0.to_string(), received.1.to_string());
            [range.start.into(), range.end.into(), from.into(), to.into(), bytes.into()]
        }))
    }
}

fn text(client: &crate::client::Client, path: &str) -> Result<String> {
    Ok(client.get_as(path, &[], "text/plain")?.body_mut().read_to_string()?)
}
