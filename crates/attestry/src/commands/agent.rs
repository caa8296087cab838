//! `attestry agent`: lets other hosts send here, and makes this host one that sends.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use attestry_event::{Clock, Nanos, SystemClock};
use attestry_ledger::DataDir;
use attestry_server::accounts::{Agent, Invitation};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::key::accounts;
use crate::client::Connection;
use crate::enrolment::{Folder, New};
use crate::first_contact::{Trust, first_contact};
use crate::terminal::{Look, Table};

#[derive(Args, Debug)]
pub(crate) struct Agents {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token with which one host can be enrolled, once, within an hour. It is printed alone on standard output.
    Token {
        /// The agent's name: 1 to 64 of A-Z, a-z, 0-9, dot, - and _.
        name: String,
        /// The ledgers it may write to, separated by commas. Default: all.
        #[arg(long, value_delimiter = ',')]
        ledger: Vec<String>,
    },
    /// Enroll this host with a server: from then on `attestry run` sends its events there.
    Enroll {
        /// The server's address, such as https://audit.example.org:7984.
        server: String,
        /// The token, or `-` to read it from standard input, where other users of this host do not see it.
        token: String,
    },
    /// List the agents of this server.
    List,
    /// Refuse an agent from now on.
    Revoke {
        /// Its name.
        name: String,
    },
}

pub(crate) fn agent(agents: &Agents) -> Result<()> {
    match &agents.command {
        Command::Token { name, ledger } => token(&agents.connection, name, ledger),
        Command::Enroll { server, token } => enroll(&agents.connection, server, token),
        Command::List => list(&agents.connection),
        Command::Revoke { name } => {
            let (accounts, actor) = accounts(&agents.connection)?;
            accounts.revoke_agent(name, &actor)?;
            writeln!(io::stderr(), "The agent {name:?} is revoked.")?;
            Ok(())
        }
    }
}

fn token(connection: &Connection, name: &str, ledgers: &[String]) -> Result<()> {
    let (accounts, actor) = accounts(connection)?;
    let config = connection.config()?;
    let known: Vec<String> = config.ledgers.iter().map(|ledger| ledger.name.clone()).collect();
    if let Some(unknown) = ledgers.iter().find(|ledger| !known.contains(ledger)) {
        bail!("there is no ledger {unknown:?}, there are {}", known.join(", "));
    }
    let Some(fingerprint) = attestry_server::fingerprint(&config.server)? else {
        bail!(
            "agents need TLS, and this server speaks none: set server.tls_cert and tls_key, or tls_self_signed"
        );
    };
    let ledgers = if ledgers.is_empty() { known } else { ledgers.to_vec() };
    let secret = accounts.invite_agent(&Invitation { name: name.to_owned(), ledgers }, &actor)?;
    writeln!(io::stdout(), "{name}.{secret}.{fingerprint}")?;
    let url = connection.public_url(&config);
    writeln!(
        io::stderr(),
        "Good once, within an hour. On {name}: attestry agent enroll {url} - (and paste the token)"
    )?;
    Ok(())
}

/// A token's parts: name, secret, fingerprint of the server.
fn parts(token: &str) -> Option<(&str, &str, &str)> {
    let (rest, fingerprint) = token.rsplit_once('.')?;
    let (name, secret) = rest.rsplit_once('.')?;
    let hex = fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && !name.is_empty() && !secret.is_empty()).then_some((name, secret, fingerprint))
}

fn enroll(connection: &Connection, server: &str, token: &str) -> Result<()> {
    let token = match token {
        "-" => io::read_to_string(io::stdin()).context("cannot read the token")?,
        token => token.to_owned(),
    };
    let Some((name, secret, fingerprint)) = parts(token.trim()) else {
        bail!(
            "this is no token: expected what `attestry agent token NAME` printed, three parts with dots between"
        );
    };
    let url = server.trim_end_matches('/').to_owned();
    if !url.starts_with("https://") {
        bail!(
            "{url:?} is no address of a server that agents can use: expected one that begins with https://"
        );
    }
    let trust = first_contact(&url, fingerprint)?;
    let data_dir = connection.config()?.written.data_dir;
    if !data_dir.join("FORMAT").exists() {
        DataDir::open(&data_dir)?;
    }
    let folder = Folder::of(&data_dir);

    let key = rcgen::KeyPair::generate().context("cannot make a key")?;
    let request = rcgen::CertificateParams::default().serialize_request(&key)?.pem()?;
    let client = connection.unkeyed(&url, trust.roots())?;
    let answer = client.post_json("/api/v1/agents/enroll", &json!({"token": secret, "csr": request}))?;
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let missing =
        "the server's answer lacks what an enrolment needs: is it an Attestry server of this version?";
    let mut ledgers = BTreeMap::new();
    let mut pins = BTreeMap::new();
    for ledger in answer["ledgers"].as_array().context(missing)? {
        let (name, vkey) = (text(ledger, "name").context(missing)?, text(ledger, "vkey").context(missing)?);
        if let Some(checkpoint) = text(ledger, "checkpoint") {
            let pin: attestry_tlog::Pin = format!("{vkey}\n\n{checkpoint}")
                .parse()
                .with_context(|| format!("the server's checkpoint of {name} does not fit its key"))?;
            pins.insert(name.clone(), pin.to_string());
        }
        ledgers.insert(name, vkey);
    }
    let new = New {
        name: text(&answer, "name").filter(|given| given == name).context(missing)?,
        url: url.clone(),
        ledgers,
        pins,
        key: key.serialize_pem(),
        certificate: text(&answer, "certificate").context(missing)?,
        server: match trust {
            Trust::Web => None,
            Trust::Pinned(pem) => Some(pem),
        },
    };
    let enrolment = folder.save(&new)?;
    let mut out = io::stdout().lock();
    writeln!(out, "This host is the agent {:?} of {url}.", enrolment.name)?;
    writeln!(
        out,
        "`attestry run` sends its events there from now on, and keeps them while the server is away."
    )?;
    Ok(())
}

/// What an agent last said of its spool and program.
struct Said(Value);

impl Said {
    fn of(agent: &Agent) -> Said {
        let status = agent.status.as_deref().and_then(|status| serde_json::from_str(status).ok());
        Said(status.unwrap_or(Value::Null))
    }

    fn waiting(&self) -> String {
        self.0["spool"]["events"].as_u64().map_or_else(String::new, |events| events.to_string())
    }

    /// What keeps events from coming although the agent is there: a sink that waits for a person, or a spool that takes nothing.
    fn trouble(&self) -> Option<&'static str> {
        let halted = |sinks: &Vec<Value>| sinks.iter().any(|sink| sink["state"] == "halted");
        match &self.0 {
            said if said["sinks"].as_array().is_some_and(halted) => Some("halted"),
            said if said["spool"]["stalled"].is_string() => Some("stalled"),
            _ => None,
        }
    }

    fn version(&self) -> String {
        self.0["version"].as_str().unwrap_or_default().to_owned()
    }
}

fn list(connection: &Connection) -> Result<()> {
    let (accounts, _) = accounts(connection)?;
    let now = SystemClock.now();
    let mut table =
        Table::new(&["name", "version", "address", "last seen", "waiting", "lost", "ledgers", "state"]);
    for agent in accounts.agents()? {
        let said = Said::of(&agent);
        let lost: u64 = agent.progress.iter().map(|progress| progress.lost).sum();
        let state = match (agent.revoked_at, agent.expires_at) {
            (Some(_), _) => ("revoked".to_owned(), Look::Dim),
            (None, Some(at)) if at <= now => ("expired".to_owned(), Look::Bad),
            _ => match agent.last_seen {
                None => ("never seen".to_owned(), Look::Dim),
                Some(seen) if now.0.saturating_sub(seen.0) > 180_000_000_000 => {
                    ("silent".to_owned(), Look::Bad)
                }
                Some(_) => match said.trouble() {
                    Some(trouble) => (trouble.to_owned(), Look::Bad),
                    None => ("sending".to_owned(), Look::Plain),
                },
            },
        };
        table.row([
            (agent.name, Look::Bold),
            (said.version(), Look::Plain),
            (agent.address.unwrap_or_default(), Look::Plain),
            (agent.last_seen.map_or_else(|| "never".to_owned(), |seen: Nanos| seen.to_string()), Look::Dim),
            (said.waiting(), Look::Plain),
            (lost.to_string(), if lost > 0 { Look::Bad } else { Look::Dim }),
            (agent.ledgers.join(","), Look::Plain),
            state,
        ]);
    }
    table.print(&mut io::stdout().lock())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_keeps_events_from_coming() {
        for (said, expected) in [
            (json!(null), None),
            (json!({"sinks": [{"state": "waiting"}], "spool": {"stalled": null}}), None),
            (json!({"sinks": [], "spool": {"stalled": "the disk is full"}}), Some("stalled")),
            (json!({"sinks": [{"state": "running"}, {"state": "halted"}], "spool": {}}), Some("halted")),
        ] {
            assert_eq!(Said(said.clone()).trouble(), expected, "{said}");
        }
    }

    #[test]
    fn tokens_have_three_parts() {
        let fingerprint = "ab".repeat(32);
        for (token, expected) in [
            (format!("web1.secret.{fingerprint}"), Some(("web1", "secret"))),
            (format!("web1.example.org.secret.{fingerprint}"), Some(("web1.example.org", "secret"))),
            (format!("secret.{fingerprint}"), None),
            (format!(".secret.{fingerprint}"), None),
            (format!("web1..{fingerprint}"), None),
            ("web1.secret.short".to_owned(), None),
            (String::new(), None),
        ] {
            let found = parts(&token).map(|(name, secret, _)| (name, secret));
            assert_eq!(found, expected, "{token}");
        }
    }
}
