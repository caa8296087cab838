//! Events out of a queue.

use std::sync::Arc;
use std::time::Duration;

use attestry_pipeline::Inlet;
use futures_util::stream::try_unfold;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Broker;
use super::connection::{Connection, Frames};
use super::frame::Frame;
use crate::queue::{Batching, Consuming, Counters, Failed, Fetched};

/// The name of the only subscription of a connection.
const SUBSCRIPTION: &str = "0";

/// How long the last acknowledgements may take when the consumer stops.
const DISCONNECT_MAX: Duration = Duration::from_secs(2);

/// Fetches events from a queue.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerConfig {
    /// How to reach the broker.
    pub broker: Broker,
    /// Where from. With ActiveMQ `/queue/NAME`. Consumers that share a queue share the messages.
    pub destination: String,
    /// Messages that the broker sends ahead, before they are acknowledged; at least `batch.events`. Other brokers than ActiveMQ may not
    /// know this. Default: 2000.
    #[serde(default = "default_prefetch")]
    pub prefetch: u16,
    /// How many messages are taken in at once.
    #[serde(default)]
    pub batch: Batching,
}

fn default_prefetch() -> u16 {
    2_000
}

impl ConsumerConfig {
    /// What is wrong with it: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = self.broker.check();
        wrong.extend(self.batch.check_with(self.prefetch));
        if self.destination.is_empty() {
            wrong.push(("destination", "empty, expected one such as /queue/audit".to_owned()));
        }
        wrong
    }
}

/// Fetches events until `stop` is cancelled or the inlet is closed, connecting again for ever.
pub async fn run(
    config: ConsumerConfig,
    inlet: Arc<dyn Inlet>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let consuming = Consuming { protocol: "stomp", inlet, counters, stop };
    consuming.hold(|| session(&config, &consuming)).await;
}

async fn session(config: &ConsumerConfig, consuming: &Consuming) -> Result<(), Failed> {
    let Some(opened) = consuming.unless_stopped(Connection::open(&config.broker)).await else {
        return Ok(());
    };
    let Connection { mut frames, sender } = opened?;
    let subscribe = Frame::new("SUBSCRIBE")
        .with("id", SUBSCRIPTION)
        .with("destination", &config.destination)
        // An acknowledgement is for all messages up to that one.
        .with("ack", "client")
        .with("activemq.prefetchSize", config.prefetch.to_string());
    sender.send(&subscribe).await?;
    consuming.counters.connected();
    {
        let mut messages = std::pin::pin!(try_unfold(&mut frames, async |frames| {
            let message = next_message(frames).await?;
            Ok(Some((message, frames)))
        }));
        let acknowledge = |last: String| {
            let acknowledgement = Frame::new("ACK").with("id", last);
            let sender = &sender;
            async move { sender.send(&acknowledgement).await }
        };
        consuming.take_in(&mut messages, &config.batch, acknowledge).await?;
    }
    sender.send(&Frame::new("DISCONNECT").with("receipt", "bye")).await?;
    let _ = timeout(DISCONNECT_MAX, Connection { frames, sender }.receipt("bye")).await;
    Ok(())
}

async fn next_message(frames: &mut Frames) -> Result<Fetched<String>, Failed> {
    loop {
        let frame = frames.next().await?;
        if frame.command != "MESSAGE" {
            continue;
        }
        let Some(ack) = frame.header("ack") else {
            return Err(Failed("the broker sent a message without the header ack".to_owned()));
        };
        let redelivered = frame.header("redelivered") == Some("true");
        return Ok(Fetched { tag: ack.to_owned(), redelivered, body: frame.body });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked() {
        let parse = |yaml: &str| serde_saphyr::from_str::<ConsumerConfig>(yaml);
        for (yaml, expected) in [
            ("{broker: {url: 'stomp://a'}, destination: /queue/audit}", vec![]),
            (
                "{broker: {url: 'amqp://a'}, destination: '', prefetch: 10}",
                vec!["broker.url", "prefetch", "destination"],
            ),
        ] {
            let wrong = parse(yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
    }
}
