//! Events into a queue.

use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Broker;
use super::connection::Connection;
use super::frame::Frame;
use crate::queue::{CONTENT_TYPE, Failed, Message, messages};

/// Room for the headers of a frame, in bytes.
const HEADERS_BYTES_MAX: usize = 4_096;

/// Sends events to a queue or topic.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// How to reach the broker.
    pub broker: Broker,
    /// Where to; `{ledger}` and `{event_name}` are filled in. With ActiveMQ `/queue/NAME`; a `/topic/NAME` keeps nothing while nobody
    /// has subscribed to it.
    pub destination: String,
}

impl SinkConfig {
    /// What is wrong with it: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = self.broker.check();
        let example = self.destination("", "");
        if self.destination.is_empty() || example.contains(['{', '}']) {
            let expected = "expected a destination, in which {ledger} and {event_name} are filled in";
            wrong.push(("destination", format!("{:?}, {expected}", self.destination)));
        }
        wrong
    }

    fn destination(&self, ledger: &str, event_name: &str) -> String {
        self.destination.replace("{ledger}", ledger).replace("{event_name}", event_name)
    }
}

/// The sink.
#[derive(Debug)]
pub struct StompSink {
    config: SinkConfig,
    connection: Option<Connection>,
    transactions: u64,
}

impl StompSink {
    /// A sink that connects when it is first used.
    pub fn new(config: SinkConfig) -> StompSink {
        StompSink { config, connection: None, transactions: 0 }
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failed> {
        let limit = self.config.broker.max_frame.saturating_sub(HEADERS_BYTES_MAX);
        let (messages, refused) = messages(parcels, Some(limit));
        if messages.is_empty() {
            return Ok(refused);
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(&self.config.broker).await?),
        };
        self.transactions += 1;
        let transaction = format!("t{}", self.transactions);
        connection.sender.send(&Frame::new("BEGIN").with("transaction", &transaction)).await?;
        for message in messages {
            let destination = self.config.destination(&message.ledger, &message.event_name);
            connection.sender.send(&send(message, destination, &transaction)).await?;
        }
        let commit = Frame::new("COMMIT").with("transaction", &transaction).with("receipt", &transaction);
        connection.sender.send(&commit).await?;
        connection.receipt(&transaction).await?;
        Ok(refused)
    }
}

fn send(message: Message, destination: String, transaction: &str) -> Frame {
    let mut frame = Frame::new("SEND")
        .with("destination", destination)
        .with("transaction", transaction)
        .with("persistent", "true")
        .with("content-type", CONTENT_TYPE)
        .with("id", message.id)
        .with("ledger", &*message.ledger)
        .with("event_name", message.event_name);
    frame.body = message.body;
    frame
}

impl Sink for StompSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(async move {
            // A connection is used again only when all that was asked of it was answered, also where this is dropped half-way.
            let result = self.offer(parcels).await;
            result.map_err(|Failed(reason)| {
                self.connection = None;
                Failure::again(reason)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked() {
        let parse = |yaml: &str| serde_saphyr::from_str::<SinkConfig>(yaml);
        for (yaml, expected) in [
            ("{broker: {url: 'stomp://a'}, destination: /queue/audit}", vec![]),
            (
                "{broker: {url: 'stomp+ssl://a', tls: {}, user: u, password: p}, destination: '/queue/{ledger}'}",
                vec![],
            ),
            (
                "{broker: {url: 'stomp://a', tls: {}, user: u}, destination: '{x}'}",
                vec!["broker.tls", "broker.user", "destination"],
            ),
            (
                "{broker: {url: a, heartbeat: 1ms, max_frame: 1}, destination: a}",
                vec!["broker.url", "broker.heartbeat", "broker.max_frame"],
            ),
        ] {
            let wrong = parse(yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
    }
}
