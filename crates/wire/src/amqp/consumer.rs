//! Events out of a queue.

use std::sync::Arc;
use std::time::Duration;

use attestry_pipeline::Inlet;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ANSWER_MAX, Broker, Declare, NAME_BYTES_MAX};
use crate::queue::{Batching, Consuming, Counters, Failed, Fetched};

/// Fetches events from a queue.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerConfig {
    /// How to reach the broker.
    pub broker: Broker,
    /// The queue. Consumers that share one share the messages. It is waited for while it is missing.
    pub queue: String,
    /// Makes the queue when it is missing, and binds it to `exchange`. Default: it must be there.
    #[serde(default)]
    pub declare: Option<Declare>,
    /// The exchange that a declared queue is bound to. Default: none.
    #[serde(default)]
    pub exchange: String,
    /// Messages that the broker sends ahead, before they are acknowledged; at least `batch.events`. Default: 2000.
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
        if !(1..=NAME_BYTES_MAX).contains(&self.queue.len()) {
            wrong
                .push(("queue", format!("{:?}, expected a name of 1 to {NAME_BYTES_MAX} bytes", self.queue)));
        }
        if let Some(declare) = &self.declare {
            wrong.extend(declare.check());
            if declare.queue != self.queue {
                wrong.push(("declare.queue", format!("{:?}, expected that of `queue`", declare.queue)));
            }
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
    let consuming = Consuming { protocol: "amqp", inlet, counters, stop };
    consuming.hold(|| session(&config, &consuming)).await;
}

async fn session(config: &ConsumerConfig, consuming: &Consuming) -> Result<(), Failed> {
    let Some(connected) = consuming.unless_stopped(timeout(ANSWER_MAX, connect(config))).await else {
        return Ok(());
    };
    let (connection, channel, consumer) =
        connected.unwrap_or_else(|_| Err(Failed("the broker does not answer".to_owned())))?;
    let channel = &channel;
    consuming.counters.connected();
    let mut messages = consumer.map(|delivery| {
        let Delivery { data: body, redelivered, delivery_tag: tag, .. } = delivery?;
        Ok(Fetched { body, redelivered, tag })
    });
    // By the channel and not by the delivery's own `acker`: when the connection ends at that moment, lapin 4.12 keeps what the acker asked for in the
    // queue of a task that has ended, and the acker waits for ever.
    let acknowledge = |last| async move {
        let sent = timeout(ANSWER_MAX, channel.basic_ack(last, BasicAckOptions { multiple: true })).await;
        Ok(sent.map_err(|_| Failed("the broker takes no acknowledgement".to_owned()))??)
    };
    consuming.take_in(&mut messages, &config.batch, acknowledge).await?;
    // What was sent ahead goes back into the queue at once.
    let _ = timeout(Duration::from_secs(2), connection.close(200, "stopping".into())).await;
    Ok(())
}

async fn connect(config: &ConsumerConfig) -> Result<(Connection, Channel, Consumer), Failed> {
    let connection = config.broker.connect().await?;
    let channel = connection.create_channel().await?;
    if let Some(declare) = &config.declare {
        declare.apply(&channel, &config.exchange).await?;
    }
    channel.basic_qos(config.prefetch, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let queue = config.queue.as_str().into();
    let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
    Ok((connection, channel, consumer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked() {
        let parse = |yaml: &str| serde_saphyr::from_str::<ConsumerConfig>(yaml);
        for (yaml, expected) in [
            ("{broker: {url: 'amqp://a'}, queue: events}", vec![]),
            ("{broker: {url: 'amqp://a'}, queue: q, declare: {queue: q, queue_type: classic}}", vec![]),
            ("{broker: {url: 'amqp://a'}, queue: q, declare: {queue: p}}", vec!["declare.queue"]),
            (
                "{broker: {url: 'amqp://a:b'}, queue: '', prefetch: 10}",
                vec!["broker.url", "prefetch", "queue"],
            ),
        ] {
            let wrong = parse(yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
    }
}
