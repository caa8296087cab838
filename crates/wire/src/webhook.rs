//! The way out to a web hook: events in the body of a POST, signed.
//!
//! With a `secret`, each request has the header
//!
//! ```text
//! Attestry-Signature: t=<seconds since 1970>,v1=<hex>
//! ```
//!
//! where the hex is the HMAC-SHA256, with the secret as key, over the decimal digits of `t`, a dot, and the body as it was sent. Whoever
//! takes the request computes the same over what came, compares in constant time, and refuses a `t` that is more than some minutes
//! old, so that nobody can send a seen request again. In Python:
//!
//! ```python
//! fields = dict(part.split("=", 1) for part in headers["Attestry-Signature"].split(","))
//! expected = hmac.new(secret, fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
//! ok = hmac.compare_digest(expected, fields["v1"]) and abs(time.time() - int(fields["t"])) < 300
//! ```
//!
//! Requests go to the address that was checked, follow no redirect, never reach a link-local address, and a private one or this host
//! only with `allow_private: true`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::http::{AddressError, Answer, Headers, Http, HttpError, Reach, address, header};
use crate::notice::Notice;
use crate::secret::Secret;
use crate::tls::ClientTls;
use attestry_event::{Period, hex};

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "Attestry-Signature";

/// A web hook.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Where the events are posted to.
    pub url: String,
    /// How events stand in a body. Default: array.
    #[serde(default)]
    pub format: Format,
    /// What requests are signed with. Default: they are not signed.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Further headers of each request; their values may be secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How long a request may take in all. Default: 30s.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// Whether this host and private networks may be reached. Default: no.
    #[serde(default)]
    pub allow_private: bool,
    /// TLS: whom to believe, and a client certificate.
    #[serde(default)]
    pub tls: ClientTls,
}

/// How events stand in a body.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A batch in one request, as a JSON array.
    #[default]
    Array,
    /// A batch in one request, one event a line.
    Ndjson,
    /// A request for each event, a JSON object.
    Single,
    /// A batch in one message, as Slack, Mattermost and others take it at an incoming web hook: `{"text": "…"}`.
    Slack,
}

fn timeout() -> Period {
    Period::seconds(30)
}

/// Headers that the sink or HTTP itself sets.
const OWN_HEADERS: [&str; 6] =
    ["attestry-signature", "connection", "content-length", "content-type", "host", "transfer-encoding"];

impl SinkConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if let Err(error) = address(&self.url) {
            wrong.push(("url", format!("{:?} is {error}", self.url)));
        }
        for name in self.headers.keys() {
            if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                wrong.push(("headers", format!("found {name:?}, expected none that is set anyway")));
            } else if header(name, "").is_err() {
                wrong.push(("headers", format!("found {name:?}, expected a name such as X-Api-Key")));
            }
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "found 0s, expected a time".into()));
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            wrong.push(("tls", "found one of cert and key, expected both or neither".into()));
        }
        wrong
    }
}

/// The sink.
#[derive(Debug)]
pub struct WebhookSink {
    http: Http,
    config: SinkConfig,
}

impl WebhookSink {
    /// A sink that connects when it is first used.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(config: SinkConfig) -> Result<WebhookSink, AddressError> {
        let reach = if config.allow_private { Reach::Private } else { Reach::Public };
        let http = Http::new(&config.url, config.tls.clone(), config.timeout.0, reach)?;
        Ok(WebhookSink { http, config })
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let mut refused = Vec::new();
        let mut events = Vec::with_capacity(parcels.len());
        for (at, parcel) in parcels.iter().enumerate() {
            let mut json = Vec::with_capacity(parcel.bytes());
            let written = match self.config.format {
                Format::Slack => Notice::of(parcel).map(|notice| json.extend(slack_line(&notice).bytes())),
                _ => parcel.write_json(&mut json).map_err(|error| error.to_string()),
            };
            match written {
                Ok(()) => events.push((at, json)),
                Err(reason) => refused.push(Refused { at, reason }),
            }
        }
        let each = if self.config.format == Format::Single { 1 } else { events.len().max(1) };
        for group in events.chunks(each) {
            match self.request(body(self.config.format, group)).await.and_then(|answer| judge(&answer)) {
                Ok(None) => {}
                Ok(Some(reason)) => {
                    refused.extend(group.iter().map(|(at, _)| Refused { at: *at, reason: reason.clone() }));
                }
                Err(Failure::Again { reason, after, .. }) => {
                    // A refused event ends what counts as delivered: a failure has no place for its reason.
                    let first_open = group.first().map_or(0, |(at, _)| *at);
                    let first_refused = refused.iter().map(|refused| refused.at).min().unwrap_or(usize::MAX);
                    return Err(Failure::Again { delivered: first_open.min(first_refused), reason, after });
                }
                Err(halt) => return Err(halt),
            }
        }
        refused.sort_by_key(|refused| refused.at);
        Ok(refused)
    }

    async fn request(&mut self, body: Vec<u8>) -> Result<Answer, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let headers = self.headers(&body, now).map_err(|error| Failure::again(error.to_string()))?;
        let answer = self.http.post(None, headers, body).await;
        answer.map_err(|error| Failure::again(error.to_string()))
    }

    fn headers(&self, body: &[u8], now: u64) -> Result<Headers, HttpError> {
        let secret =
            |secret: &Secret| secret.read().map_err(|error| HttpError::Connection(error.to_string()));
        let kind = match self.config.format {
            Format::Ndjson => "application/x-ndjson",
            Format::Array | Format::Single | Format::Slack => "application/json",
        };
        let mut headers = vec![header("content-type", kind)?];
        for (name, value) in &self.config.headers {
            headers.push(header(name, &secret(value)?)?);
        }
        if let Some(key) = &self.config.secret {
            headers.push(header("attestry-signature", &signature(secret(key)?.as_bytes(), now, body))?);
        }
        Ok(headers)
    }
}

impl Sink for WebhookSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }
}

/// The signature header's value for a body sent at a time (seconds since 1970).
pub fn signature(secret: &[u8], time: u64, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(time.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let digest = hex(mac.finalize().into_bytes());
    format!("t={time},v1={digest}")
}

/// Lines of a message to a chat; of more only their number is told.
const SLACK_LINES_MAX: usize = 50;

/// An event as a line of a message: bold, with what a chat would take for markup written so that it is not
/// (<https://docs.slack.dev/messaging/formatting-message-text>).
fn slack_line(notice: &Notice) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut line = format!("*{}*", escape(&notice.title()).replace('*', "∗"));
    for (before, text) in [(" on ", &notice.host), (", rule ", &notice.rule), (", alert ", &notice.alert)] {
        if !text.is_empty() {
            line.push_str(&format!("{before}{}", escape(text)));
        }
    }
    line
}

fn slack(events: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let lines = events.iter().take(SLACK_LINES_MAX).map(|(_, line)| String::from_utf8_lossy(line));
    let mut text = lines.collect::<Vec<_>>().join("\n");
    if events.len() > SLACK_LINES_MAX {
        text.push_str(&format!("\n… and {} more", events.len() - SLACK_LINES_MAX));
    }
    serde_json::json!({ "text": text }).to_string().into_bytes()
}

fn body(format: Format, events: &[(usize, Vec<u8>)]) -> Vec<u8> {
    if format == Format::Slack {
        return slack(events);
    }
    let (open, between, close): (&[u8], &[u8], &[u8]) = match format {
        Format::Array => (b"[", b",", b"]"),
        Format::Ndjson => (b"", b"\n", b"\n"),
        Format::Single | Format::Slack => (b"", b"", b""),
    };
    let mut body = open.to_vec();
    for (at, (_, event)) in events.iter().enumerate() {
        if at > 0 {
            body.extend_from_slice(between);
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(close);
    body
}

/// Taken, refused and why, or to be tried again.
fn judge(answer: &Answer) -> Result<Option<String>, Failure> {
    let again = |reason| Err(Failure::Again { delivered: 0, reason, after: answer.retry_after });
    match answer.status {
        200..=299 => Ok(None),
        300..=399 => again(format!(
            "the hook sends us elsewhere (status {}), where we do not go: give the address where it really is",
            answer.status
        )),
        408 | 409 | 425 | 429 => again(format!("the hook answered {}", answer.status)),
        400..=499 => {
            let said = String::from_utf8_lossy(answer.body.get(..200).unwrap_or(&answer.body)).into_owned();
            let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            Ok(Some(format!("the hook answered {}: {}", answer.status, said.trim())))
        }
        status => again(format!("the hook answered {status}")),
    }
}

#[cfg(test)]
mod tests;
