//! The way out by e-mail: SMTP (RFC 5321) with submission (RFC 6409), `STARTTLS` (RFC 3207) or TLS from the beginning (RFC 8314).
//!
//! A batch is one message: its subject is the first event's line, its body has all of them. So ten thousand alerts are some mails and not ten
//! thousand. A report that is to be delivered (`report.sent`) is a message of its own, with the document and its signature attached.
//! `Message-ID` follows from the events: a message that is sent again after a failure is recognised as the same.
//! `Auto-Submitted: auto-generated` (RFC 3834) keeps answering machines from answering.
//!
//! A batch counts as delivered when the server has taken responsibility for it (the reply 250 to the end of the data). Replies 4xx and what
//! fails before are tried again, and so is a refused log-in, which somebody has to mend; other replies 5xx are refusals.

mod report;

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use attestry_event::Period;
use attestry_outbound::Reach;
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::notice::Notice;
use crate::secret::Secret;
use report::Report;

/// Events that a message lists in full; of more only their number is told.
const LISTED_MAX: usize = 100;

/// E-mail.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// The mail server.
    pub host: String,
    /// Its port. Default: 587, with `security: tls` 465, with `none` 25.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is kept from others: `starttls`, `tls`, or `none`. Default: starttls.
    #[serde(default)]
    pub security: Security,
    /// Certificates of the authorities to believe, a PEM file. Default: those of the public web.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The user to log in as. Default: nobody logs in.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Who it is from, such as `Attestry <attestry@example.org>`.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// The address of the page, for links to alerts, such as `https://audit.example.org`.
    #[serde(default)]
    pub link: Option<String>,
    /// How long a delivery may take in all. Default: 60s.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

/// How a connection is kept from others.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// It begins in clear and must become TLS before anything else is said.
    #[default]
    Starttls,
    /// TLS from the beginning.
    Tls,
    /// In clear: for a server on this host.
    None,
}

fn timeout() -> Period {
    Period::seconds(60)
}

impl SinkConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let expected = "expected an address such as alice@example.org or Alice <alice@example.org>";
        if self.host.is_empty() || self.host.contains(['/', ' ', '@']) {
            wrong.push(("host", format!("{:?}, expected a host such as mail.example.org", self.host)));
        }
        if self.from.parse::<Mailbox>().is_err() {
            wrong.push(("from", format!("{:?}, {expected}", self.from)));
        }
        for to in self.to.iter().filter(|to| to.parse::<Mailbox>().is_err()) {
            wrong.push(("to", format!("{to:?}, {expected}")));
        }
        if self.to.is_empty() {
            wrong.push(("to", "found nobody, expected somebody".to_owned()));
        }
        if self.user.is_some() != self.password.is_some() {
            wrong.push(("user", "found one of user and password, expected both or neither".to_owned()));
        }
        let local = matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if self.security == Security::None && self.user.is_some() && !local {
            wrong.push((
                "security",
                "found none, expected tls or starttls: a password would be sent in clear".to_owned(),
            ));
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "found 0s, expected a time".to_owned()));
        }
        wrong
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::None => 25,
        })
    }
}

/// The sink.
pub struct MailSink {
    config: SinkConfig,
}

impl std::fmt::Debug for MailSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailSink").field("host", &self.config.host).finish()
    }
}

impl MailSink {
    /// A sink that connects for each message.
    pub fn new(config: SinkConfig) -> MailSink {
        MailSink { config }
    }

    /// Made anew for each message: certificates and passwords may have been renewed.
    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let config = &self.config;
        let tls = || -> Result<TlsParameters, String> {
            let mut parameters = TlsParameters::builder(config.host.clone());
            if let Some(path) = &config.ca {
                let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let certificate =
                    Certificate::from_pem(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
                parameters = parameters.add_root_certificate(certificate);
            }
            parameters.build_rustls().map_err(|error| error.to_string())
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(config.host.clone())
            .port(config.port())
            .timeout(Some(config.timeout.0))
            .tls(match config.security {
                Security::Starttls => Tls::Required(tls()?),
                Security::Tls => Tls::Wrapper(tls()?),
                Security::None => Tls::None,
            });
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            let password = password.read().map_err(|error| error.to_string())?;
            builder = builder.credentials(Credentials::new(user.clone(), password.to_string()));
        }
        Ok(builder.build())
    }

    async fn offer(&self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let (mut refused, mut messages, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        for (at, parcel) in parcels.iter().enumerate() {
            match (Report::of(parcel), Notice::of(parcel)) {
                (Some(report), _) => {
                    messages.extend(self.together(std::mem::take(&mut notices)));
                    messages.push((vec![at], report.message(&self.config)));
                }
                (None, Ok(notice)) => notices.push((at, notice)),
                (None, Err(reason)) => refused.push(Refused { at, reason }),
            }
        }
        messages.extend(self.together(notices));
        for (of, message) in messages {
            let sent = match message {
                Ok(message) => self.send(message).await,
                Err(reason) => Ok(Some(reason)),
            };
            match sent {
                Ok(None) => {}
                Ok(Some(reason)) => {
                    refused.extend(of.into_iter().map(|at| Refused { at, reason: reason.clone() }));
                }
                Err(Failure::Again { reason, after, .. }) => {
                    // What was sent is not sent again. A refused event ends what counts as delivered: a failure has no place for its reason.
                    let first = refused.iter().map(|refused| refused.at).chain(of).min();
                    return Err(Failure::Again { delivered: first.unwrap_or(0), reason, after });
                }
                Err(halt) => return Err(halt),
            }
        }
        refused.sort_by_key(|refused| refused.at);
        Ok(refused)
    }

    /// Notices in one message, and which parcels they are; none when there are none.
    fn together(&self, notices: Vec<(usize, Notice)>) -> Option<(Vec<usize>, Result<Message, String>)> {
        if notices.is_empty() {
            return None;
        }
        let (of, notices): (Vec<usize>, Vec<Notice>) = notices.into_iter().unzip();
        let listed: Vec<&Notice> = notices.iter().collect();
        Some((of, message(&self.config, &listed)))
    }

    /// Sends; gives why the server refuses it for good.
    async fn send(&self, message: Message) -> Result<Option<String>, Failure> {
        let (host, port) = (self.config.host.clone(), self.config.port());
        let looked_up = tokio::task::spawn_blocking(move || {
            (host.as_str(), port).to_socket_addrs().map(|found| found.collect::<Vec<_>>())
        });
        let addresses = match looked_up.await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => return Err(Failure::again(format!("{}: {error}", self.config.host))),
            Err(_) => return Err(Failure::again("the look-up was given up")),
        };
        for address in addresses {
            // A mail server is often on a private network; where clouds hand out credentials there is none.
            Reach::Private.check(address.ip()).map_err(|error| Failure::again(error.to_string()))?;
        }
        let transport = self.transport().map_err(Failure::again)?;
        let error = match transport.send(message).await {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        let told = told(&error);
        // 530, 534, 535, 538 (RFC 4954): it is the log-in that is refused, and not the message.
        let login = error
            .status()
            .is_some_and(|code| matches!(code.to_string().as_str(), "530" | "534" | "535" | "538"));
        match error.is_permanent() && !login {
            true => Ok(Some(told)),
            false => Err(Failure::again(told)),
        }
    }
}

impl Sink for MailSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }
}

/// An error with its causes, in one line.
fn told(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    if error.is_client() && text.contains("STARTTLS") {
        return "the mail server offers no STARTTLS, so nothing was sent to it; `security: tls` is for one that speaks TLS from the beginning"
            .to_owned();
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let more = cause.to_string();
        // Some say again what their cause says.
        match (more.contains(&text), text.contains(&more)) {
            (true, _) => text = more,
            (false, true) => {}
            (false, false) => text = format!("{text}: {more}"),
        }
        source = cause.source();
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

fn message(config: &SinkConfig, notices: &[&Notice]) -> Result<Message, String> {
    let first = notices.first().ok_or("there is nothing to tell")?;
    let subject = match notices.len() {
        1 => first.title(),
        several => format!("{} (and {} more)", first.title(), several - 1),
    };
    let builder = builder(config, subject, &first.event_id, notices.len())?.header(ContentType::TEXT_PLAIN);
    builder.body(body(config, notices)).map_err(|error| error.to_string())
}

/// All of a message's head that does not depend on what it tells. `event_id` and `count` are those of the first event and of all.
fn builder(
    config: &SinkConfig,
    subject: String,
    event_id: &str,
    count: usize,
) -> Result<MessageBuilder, String> {
    let from: Mailbox = config.from.parse().map_err(|error| format!("from: {error}"))?;
    let domain = from.email.domain().to_owned();
    // Event ids are letters, digits and `.`, `_`, `:`, `-`; a colon is none of a dot-atom.
    let id = format!("<{}.{count}@{domain}>", event_id.replace(':', "."));
    let mut builder: MessageBuilder = Message::builder().from(from).subject(subject).message_id(Some(id));
    for to in &config.to {
        builder = builder.to(to.parse().map_err(|error| format!("to: {error}"))?);
    }
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let automatic = HeaderValue::new(automatic, "auto-generated".to_owned());
    Ok(builder.raw_header(automatic))
}

fn body(config: &SinkConfig, notices: &[&Notice]) -> String {
    let mut body = String::new();
    for notice in notices.iter().take(LISTED_MAX) {
        body.push_str(&format!("{}\n  {}  {}", notice.title(), notice.time, notice.name));
        if !notice.host.is_empty() {
            body.push_str(&format!("  on {}", notice.host));
        }
        if notice.count > 1 {
            body.push_str(&format!("  {} times", notice.count));
        }
        body.push('\n');
        if !notice.alert.is_empty() {
            body.push_str(&format!("  rule {}\n", notice.rule));
            match &config.link {
                Some(link) => {
                    body.push_str(&format!("  {}/alerts?id={}\n", link.trim_end_matches('/'), notice.alert))
                }
                None => body.push_str(&format!("  attestry rules explain {}\n", notice.alert)),
            }
        }
        body.push('\n');
    }
    if notices.len() > LISTED_MAX {
        body.push_str(&format!("… and {} more.\n", notices.len() - LISTED_MAX));
    }
    body
}

#[cfg(test)]
mod tests;
