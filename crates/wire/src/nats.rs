//! NATS JetStream: events into a stream, and out of one.
//!
//! What is promised: the sink counts an event as delivered when the stream has answered that it stored it (on a quorum, if it has
//! replicas); the consumer acknowledges a message when the event is durable on this side. Each event is published with a
//! `Nats-Msg-Id`, so a stream stores it once within its duplicate window, even if it is offered twice.
//!
//! Sources: the NATS documentation of JetStream (model deep dive; headers `Nats-Msg-Id` and `Nats-Expected-Stream`).

mod consumer;
mod sink;

use std::time::Duration;

use async_nats::jetstream::{Context, ContextBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use consumer::{ConsumerConfig, run};
pub use sink::{NatsSink, SinkConfig, StreamConfig};

use crate::queue::Failed;
use crate::secret::Secret;
use crate::tls::ClientTls;

/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an answer of the broker may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// As whom to log in. At most one way is to be given; by default there is none.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// A user's name; goes with `password`.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// The seed of an nkey, which begins with `SU`.
    pub nkey: Option<Secret>,
    /// The content of a `.creds` file: a JWT and the seed of its nkey. Usually `{file: ...}`.
    pub credentials: Option<Secret>,
}

impl Login {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.user.is_some() != self.password.is_some() {
            wrong.push(("login.user", "user and password go together, one of them is missing".to_owned()));
        }
        let ways =
            [self.user.is_some(), self.token.is_some(), self.nkey.is_some(), self.credentials.is_some()];
        let ways = ways.iter().filter(|given| **given).count();
        if ways > 1 {
            wrong.push((
                "login",
                format!("{ways} ways to log in, expected one: user, token, nkey or credentials"),
            ));
        }
        wrong
    }
}

fn check_address(url: &str, tls: Option<&ClientTls>) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    for server in servers(url) {
        match server.split_once("://") {
            Some(("nats" | "tls", rest)) if rest.contains('@') => {
                wrong.push(("url", "a name or password in it, expected those in `login`".to_owned()));
            }
            Some(("nats" | "tls", rest)) if !rest.is_empty() => {}
            _ => wrong.push((
                "url",
                format!("{server:?}, expected nats://host:4222 or tls://host:4222, several with commas"),
            )),
        }
    }
    if tls.is_some_and(|tls| tls.server_name.is_some()) {
        wrong.push((
            "tls.server_name",
            "not possible with NATS: the host of the address is the name".to_owned(),
        ));
    }
    wrong
}

fn servers(url: &str) -> impl Iterator<Item = &str> {
    url.split(',').map(str::trim)
}

/// Connects to one of the servers. Secrets and certificates are read anew.
async fn connect(url: &str, login: &Login, tls: Option<&ClientTls>) -> Result<Context, Failed> {
    log_in(url, login, tls).await.map_err(|failed| failed.at(&url))
}

async fn log_in(url: &str, login: &Login, tls: Option<&ClientTls>) -> Result<Context, Failed> {
    let mut options = async_nats::ConnectOptions::new()
        .name("attestry")
        .connection_timeout(CONNECT_MAX)
        .request_timeout(Some(ANSWER_MAX))
        .ping_interval(Duration::from_secs(20));
    if let (Some(user), Some(password)) = (&login.user, &login.password) {
        options = options.user_and_password(user.clone(), password.read()?);
    }
    if let Some(token) = &login.token {
        options = options.token(token.read()?);
    }
    if let Some(nkey) = &login.nkey {
        options = options.nkey(nkey.read()?.trim().to_owned());
    }
    if let Some(credentials) = &login.credentials {
        options = options.credentials(&credentials.read()?)?;
    }
    let default_tls = ClientTls::default();
    let encrypted = tls.is_some() || servers(url).any(|server| server.starts_with("tls://"));
    if encrypted {
        let config = tls.unwrap_or(&default_tls).client()?;
        options = options.require_tls(true).tls_client_config((*config).clone());
    }
    let servers: Vec<&str> = servers(url).collect();
    let client = options.connect(servers.as_slice()).await?;
    Ok(ContextBuilder::new().timeout(ANSWER_MAX).ack_timeout(ANSWER_MAX).build(client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_logins_are_checked() {
        let secret = || Some(Secret::Plain("s".to_owned()));
        let token = Login { token: secret(), ..Login::default() };
        let half = Login { user: Some("u".to_owned()), ..Login::default() };
        let two = Login { token: secret(), nkey: secret(), ..Login::default() };
        let named = ClientTls { server_name: Some("a".to_owned()), ..ClientTls::default() };
        for (url, login, tls, expected) in [
            ("nats://127.0.0.1:4222", Login::default(), None, vec![]),
            ("nats://a:4222, tls://b:4222", token, None, vec![]),
            ("http://a", Login::default(), None, vec!["url"]),
            ("nats://", half.clone(), None, vec!["url", "login.user"]),
            ("nats://u:p@a", two, None, vec!["url", "login"]),
            ("tls://a", Login::default(), Some(&named), vec!["tls.server_name"]),
        ] {
            let mut wrong = check_address(url, tls);
            wrong.extend(login.check());
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{url}: {wrong:?}");
            assert!(!format!("{wrong:?}").contains("u:p"), "a password is shown: {wrong:?}");
        }
    }
}
