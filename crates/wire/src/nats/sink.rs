//! Events into a stream.

use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Login, check_address, connect};
use crate::queue::{CONTENT_TYPE, Failed, Message, again, messages, printable, reason};
use crate::tls::ClientTls;
use attestry_event::Period;

/// Messages that are on their way at once, at most: the client's own limit is 5000.
const IN_FLIGHT_MAX: usize = 2_000;

/// Sends events to a JetStream stream.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// One server or several of a cluster, with commas between: `nats://host:4222`, or `tls://host:4222`.
    pub url: String,
    /// The stream; an event that another stream would take is not sent.
    pub stream: String,
    /// The subject of each message. `{ledger}` and `{event_name}` are filled in; what a subject cannot hold becomes `_`, and the dots of
    /// an event's name stay. Default: `attestry.{ledger}.{event_name}`.
    #[serde(default = "default_subject")]
    pub subject: String,
    /// Makes the stream when it is missing. Default: it must be there.
    #[serde(default)]
    pub create: Option<StreamConfig>,
    /// As whom to log in.
    #[serde(default)]
    pub login: Login,
    /// TLS; needs not be given for the authorities of the public web and an address that begins with `tls:`.
    #[serde(default)]
    pub tls: Option<ClientTls>,
}

/// How a missing stream is made. It is kept on disk.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// The subjects that it takes. Default: all that the `subject` of the sink can become.
    pub subjects: Vec<String>,
    /// On so many servers; 3 survive the loss of one. Default: 1.
    pub replicas: usize,
    /// Messages older than this are dropped by the broker. Default: never.
    pub max_age: Option<Period>,
    /// Bytes from which on the stream takes no more, and the sink waits. Default: no limit.
    pub max_bytes: Option<u64>,
    /// How long the stream remembers ids, to store an event once that is offered twice. Default: 2m.
    pub duplicate_window: Period,
}

impl Default for StreamConfig {
    fn default() -> StreamConfig {
        StreamConfig {
            subjects: Vec::new(),
            replicas: 1,
            max_age: None,
            max_bytes: None,
            duplicate_window: Period::seconds(120),
        }
    }
}

fn default_subject() -> String {
    "attestry.{ledger}.{event_name}".to_owned()
}

impl SinkConfig {
    /// What is wrong with it: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = check_address(&self.url, self.tls.as_ref());
        wrong.extend(self.login.check());
        if let Err(reason) = check_name(&self.stream) {
            wrong.push(("stream", reason));
        }
        let example = subject(&self.subject, "ledger", "event.name");
        if example.contains(['{', '}', ' ', '*', '>'])
            || example.split('.').any(str::is_empty)
            || !example.bytes().all(|byte| byte.is_ascii_graphic())
        {
            wrong.push((
                "subject",
                format!(
                    "{:?}, expected words with dots between, {{ledger}} and {{event_name}}",
                    self.subject
                ),
            ));
        }
        if let Some(create) = &self.create
            && !(1..=5).contains(&create.replicas)
        {
            wrong.push(("create.replicas", format!("{}, expected 1 to 5", create.replicas)));
        }
        wrong
    }

    fn stream(&self, create: &StreamConfig) -> Config {
        let subjects = match create.subjects.as_slice() {
            [] => vec![pattern(&self.subject)],
            subjects => subjects.to_vec(),
        };
        Config {
            name: self.stream.clone(),
            subjects,
            storage: StorageType::File,
            num_replicas: create.replicas,
            max_age: create.max_age.map(|age| age.0).unwrap_or_default(),
            max_bytes: create.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            // A full stream makes the sink wait; the other policy drops what nobody has read.
            discard: DiscardPolicy::New,
            duplicate_window: create.duplicate_window.0,
            ..Config::default()
        }
    }
}

/// Names of streams and durables: no dots, no wildcards, no white space.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let good =
        !name.is_empty() && !name.contains(['.', '*', '>', '/', '\\']) && !name.contains(char::is_whitespace);
    if good { Ok(()) } else { Err(format!("{name:?}, expected a name without dots, slashes, * and >")) }
}

/// The subject of an event.
fn subject(template: &str, ledger: &str, event_name: &str) -> String {
    template
        .replace("{ledger}", &token(ledger))
        .replace("{event_name}", &event_name.split('.').map(token).collect::<Vec<_>>().join("."))
}

/// A word of a subject that says as much of `text` as a subject can hold.
fn token(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    if text.is_empty() { "_".to_owned() } else { text.chars().map(plain).collect() }
}

/// All subjects that a template can become: its words up to the first that is filled in.
fn pattern(template: &str) -> String {
    match template.split_once('{') {
        None => template.to_owned(),
        Some((before, _)) => match before.rsplit_once('.') {
            Some((words, _)) => format!("{words}.>"),
            None => ">".to_owned(),
        },
    }
}

/// The sink.
#[derive(Debug)]
pub struct NatsSink {
    config: SinkConfig,
    context: Option<Context>,
}

impl NatsSink {
    /// A sink that connects when it is first used.
    pub fn new(config: SinkConfig) -> NatsSink {
        NatsSink { config, context: None }
    }

    /// The connection, made when there is none.
    async fn context(&mut self) -> Result<Context, Failed> {
        if let Some(context) = &self.context {
            return Ok(context.clone());
        }
        let context = connect(&self.config.url, &self.config.login, self.config.tls.as_ref()).await?;
        if let Some(create) = &self.config.create {
            context.get_or_create_stream(self.config.stream(create)).await?;
        }
        self.context = Some(context.clone());
        Ok(context)
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let context = self.context().await.map_err(|Failed(reason)| Failure::again(reason))?;
        let (messages, mut refused) = messages(parcels, Some(context.client().max_payload()));
        let mut waiting: Vec<(usize, PublishAckFuture)> = Vec::new();
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            for message in messages.by_ref().take(IN_FLIGHT_MAX) {
                let at = message.at;
                match self.publish(&context, message).await {
                    Ok(answer) => waiting.push((at, answer)),
                    Err(error) => match refusal(at, &error) {
                        Some(refusal) => refused.push(refusal),
                        None => return Err(again(at, &refused, reason(&error))),
                    },
                }
            }
            for (at, answer) in waiting.drain(..) {
                if let Err(error) = answer.await {
                    match refusal(at, &error) {
                        Some(refusal) => refused.push(refusal),
                        None => return Err(again(at, &refused, reason(&error))),
                    }
                }
            }
        }
        refused.sort_by_key(|refused| refused.at);
        Ok(refused)
    }

    async fn publish(&self, context: &Context, message: Message) -> Result<PublishAckFuture, PublishError> {
        let subject = subject(&self.config.subject, &message.ledger, &message.event_name);
        let publish = PublishMessage::build()
            .message_id(&message.id)
            .expected_stream(&self.config.stream)
            .header("Content-Type", CONTENT_TYPE)
            .header("Attestry-Ledger", printable(&message.ledger).as_str())
            .header("Attestry-Event-Name", printable(&message.event_name).as_str())
            .payload(message.body.into());
        context.send_publish(subject, publish).await
    }
}

impl Sink for NatsSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(async move {
            let result = self.offer(parcels).await;
            if result.is_err() {
                // The next attempt finds another server of the cluster, and secrets that have changed.
                self.context = None;
            }
            result
        })
    }
}

/// The event will never be taken: it is larger than the server or the stream allows.
fn refusal(at: usize, error: &PublishError) -> Option<Refused> {
    let too_large = error.kind() == PublishErrorKind::MaxPayloadExceeded
        || code(error).is_some_and(|code| {
            code == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
                || code == ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM
        });
    too_large.then(|| Refused { at, reason: reason(error) })
}

fn code(error: &PublishError) -> Option<ErrorCode> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<async_nats::jetstream::Error>().map(|error| error.error_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_holds_only_what_it_can() {
        for (template, ledger, name, expected) in [
            ("attestry.{ledger}.{event_name}", "audit", "login.failure", "attestry.audit.login.failure"),
            ("attestry.{ledger}.{event_name}", "a.b", "x", "attestry.a_b.x"),
            ("a.{event_name}", "l", "one two.*.>", "a.one_two._._"),
            ("a.{event_name}", "l", ".größe..", "a._.gr__e._._"),
            ("a.{event_name}.{ledger}", "l", "{ledger}", "a._ledger_.l"),
            ("all", "l", "x", "all"),
        ] {
            assert_eq!(subject(template, ledger, name), expected);
        }
    }

    #[test]
    fn a_missing_stream_takes_what_the_template_makes() {
        for (template, expected) in [
            ("attestry.{ledger}.{event_name}", "attestry.>"),
            ("a.b.{ledger}", "a.b.>"),
            ("{ledger}.x", ">"),
            ("a.pre{ledger}", "a.>"),
            ("all.events", "all.events"),
        ] {
            assert_eq!(pattern(template), expected);
        }
    }

    #[test]
    fn a_configuration_is_checked() {
        let parse = |yaml: &str| serde_saphyr::from_str::<SinkConfig>(yaml);
        for (yaml, expected) in [
            ("{url: 'nats://a', stream: audit}", vec![]),
            ("{url: 'nats://a', stream: audit, create: {replicas: 3, max_age: 30d}}", vec![]),
            (
                "{url: 'nats://a', stream: a.b, subject: 'x.{host}', create: {replicas: 6}}",
                vec!["stream", "subject", "create.replicas"],
            ),
            ("{url: 'nats://a', stream: audit, subject: 'a..b'}", vec!["subject"]),
            ("{url: 'nats://a', stream: audit, subject: 'a.>'}", vec!["subject"]),
        ] {
            let wrong = parse(yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
        assert!(parse("{url: 'nats://a', stream: audit, subjekt: x}").is_err());
    }
}
