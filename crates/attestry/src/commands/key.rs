//! `attestry key`: makes, lists and revokes API keys, whether or not the server runs.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use attestry_event::{Clock, Nanos, SystemClock};
use attestry_server::accounts::{Accounts, Actor, KeyKind, NewKey};
use clap::{ArgGroup, Args, Subcommand};

use crate::client::Connection;
use crate::config::some_time;
use crate::run::ACCOUNTS_FILE;
use crate::terminal::{Look, Table};

#[derive(Args, Debug)]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key. It is printed once, alone on standard output.
    Create(Create),
    /// List the keys, without their secrets.
    List,
    /// Revoke a key, by its name or id; it stops working within a second.
    Revoke {
        /// Name or id.
        key: String,
    },
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("purpose").args(["write", "read"]).required(true))]
struct Create {
    /// The key's name. What a write key posts has it as `event_source`.
    name: String,
    /// A key that posts events.
    #[arg(long)]
    write: bool,
    /// A key that reads.
    #[arg(long)]
    read: bool,
    /// The ledger a write key posts to (default: audit), or those a read key reads (default: all), separated by commas.
    #[arg(long, value_delimiter = ',')]
    ledger: Vec<String>,
    /// A query that limits what a read key sees.
    #[arg(long, conflicts_with = "write")]
    filter: Option<String>,
    /// Unknown fields of an event move into event_data instead of being refused.
    #[arg(long, conflicts_with = "read")]
    lenient: bool,
    /// How long the key is good, such as 90d. Default: until it is revoked.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// How often something comes by a write key at least, such as 1h; a longer silence becomes an event. Default: it may be silent.
    #[arg(long, value_name = "TIME", conflicts_with = "read")]
    expect: Option<String>,
}

/// The local data directory. It is there: asking about one must not make one.
pub(crate) fn data_dir(connection: &Connection) -> Result<PathBuf> {
    let data_dir = connection.config()?.written.data_dir;
    if !data_dir.join("FORMAT").exists() {
        bail!(
            "{} is no data directory of Attestry (`attestry run` makes one; --data-dir names another)",
            data_dir.display()
        );
    }
    Ok(data_dir)
}

/// Who is at the command line.
pub(crate) fn person() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "-".to_owned())
}

/// The accounts of the local data directory, and who is at the command line.
pub(crate) fn accounts(connection: &Connection) -> Result<(Accounts, Actor)> {
    let data_dir = data_dir(connection)?;
    let accounts = Accounts::open(&data_dir.join(ACCOUNTS_FILE), Arc::new(SystemClock))
        .context("cannot open the accounts")?;
    Ok((accounts, Actor::local(person())))
}

pub(crate) fn key(keys: &Keys) -> Result<()> {
    let (accounts, actor) = accounts(&keys.connection)?;
    let mut out = io::stdout().lock();
    match &keys.command {
        Command::Create(create) => {
            let known: Vec<String> =
                keys.connection.config()?.ledgers.into_iter().map(|ledger| ledger.name).collect();
            let (key, secret) = accounts.create_key(&create.new_key(&known)?, &actor)?;
            writeln!(out, "{secret}")?;
            writeln!(
                io::stderr(),
                "The key {:?} ({}) is shown this once; only its hash is kept.",
                key.name,
                key.kind.name()
            )?;
        }
        Command::List => {
            let mut table = Table::new(&[
                "id",
                "name",
                "kind",
                "ledgers",
                "filter",
                "created",
                "last used",
                "expected",
                "state",
            ]);
            for key in accounts.keys()? {
                let now = SystemClock.now();
                let state = match (key.revoked_at, key.expires_at) {
                    (Some(_), _) => ("revoked".to_owned(), Look::Dim),
                    (None, Some(at)) if at <= now => ("expired".to_owned(), Look::Dim),
                    (None, Some(at)) => (format!("until {}", date(at)), Look::Plain),
                    (None, None) => ("good".to_owned(), Look::Plain),
                };
                let ledgers = if key.ledgers.is_empty() { "all".to_owned() } else { key.ledgers.join(",") };
                table.row([
                    (key.id, Look::Dim),
                    (key.name, Look::Bold),
                    (key.kind.name().to_owned(), Look::Plain),
                    (ledgers, Look::Plain),
                    (key.filter.unwrap_or_default(), Look::Plain),
                    (date(key.created_at), Look::Dim),
                    (key.last_used_at.map_or_else(|| "never".to_owned(), date), Look::Dim),
                    (key.expect.map_or_else(String::new, every), Look::Plain),
                    state,
                ]);
            }
            table.print(&mut out)?;
        }
        Command::Revoke { key } => {
            let key = accounts.revoke_key(key, &actor).with_context(|| {
                format!("cannot revoke {key:?}; `attestry key list` shows which keys there are")
            })?;
            writeln!(io::stderr(), "The key {:?} ({}) is revoked.", key.name, key.id)?;
        }
    }
    Ok(())
}

impl Create {
    fn new_key(&self, known: &[String]) -> Result<NewKey> {
        let kind = if self.write { KeyKind::Write } else { KeyKind::Read };
        let mut ledgers = self.ledger.clone();
        if self.write && ledgers.is_empty() {
            ledgers.push("audit".to_owned());
        }
        if self.write && ledgers.len() > 1 {
            bail!("a write key posts to one ledger, {} are named", ledgers.len());
        }
        if let Some(unknown) = ledgers.iter().find(|ledger| !known.contains(ledger)) {
            bail!("there is no ledger {unknown:?}, there are {}", known.join(", "));
        }
        if let Some(filter) = &self.filter {
            attestry_store::Query::parse(filter).map_err(|error| anyhow::anyhow!("the filter: {error}"))?;
        }
        let time = |text: &Option<String>, option| match text {
            None => Ok(None),
            Some(text) => some_time(text).map(Some).map_err(anyhow::Error::msg).context(option),
        };
        let expires_at = time(&self.expires, "--expires")?.map(|time| SystemClock.now().saturating_add(time));
        Ok(NewKey {
            name: self.name.clone(),
            kind,
            ledgers,
            filter: self.filter.clone(),
            lenient: self.lenient,
            expires_at,
            expect: time(&self.expect, "--expect")?,
        })
    }
}

/// How often, in the largest unit that says it whole.
fn every(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(7 * 86_400, "w"), (86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

fn date(time: Nanos) -> String {
    time.to_string().chars().take(16).collect::<String>().replace('T', " ")
}
