//! Events out of a queue.

use std::sync::Arc;
use std::time::Duration;

use attestry_pipeline::Inlet;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Connection, Consumer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{ANSWER_MAX, Broker, Declare, NAME_BYTES_MAX};
use crate::queue::{Attempts, Batching, Counters, Failed, Fetched, Putting, gather};

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
        wrong.extend(self.batch.check());
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
        if usize::from(self.prefetch) < self.batch.events {
            // No batch would ever become full.
            wrong.push((
                "prefetch",
                format!("{}, expected at least batch.events, {}", self.prefetch, self.batch.events),
            ));
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
    let mut attempts = Attempts::new("amqp", &counters);
    while let Err(failed) = session(&config, &inlet, &counters, &stop).await {
        if !attempts.wait(failed, &stop).await {
            return;
        }
    }
}

async fn session(
    config: &ConsumerConfig,
    inlet: &Arc<dyn Inlet>,
    counters: &Counters,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let (connection, consumer) = tokio::select! {
        connected = timeout(ANSWER_MAX, connect(config)) => match connected {
            Ok(connected) => connected?,
            Err(_) => return Err(Failed("the broker does not answer".to_owned())),
        },
        () = stop.cancelled() => return Ok(()),
    };
    counters.connected();
    let mut deliveries = consumer.map(|delivery| {
        let delivery = delivery?;
        Ok::<_, lapin::Error>(Fetched {
            body: delivery.data,
            redelivered: delivery.redelivered,
            tag: delivery.acker,
        })
    });
    loop {
        let gathered = tokio::select! {
            gathered = gather(&mut deliveries, &config.batch, counters) => gathered?,
            () = stop.cancelled() => break,
        };
        let Some(gathered) = gathered else {
            return Err(Failed("the broker has ended the subscription: the queue was deleted".to_owned()));
        };
        let last: Option<&Acker> = gathered.tags.last();
        // The client answers the broker's heartbeats by itself, however long this takes.
        if Putting::start(inlet, gathered.bodies).wait(counters, stop).await.is_err() {
            break;
        }
        if let Some(last) = last {
            last.ack(BasicAckOptions { multiple: true }).await?;
            counters.acknowledged(gathered.tags.len());
        }
    }
    // What was sent ahead goes back into the queue at once.
    let _ = timeout(Duration::from_secs(2), connection.close(200, "stopping".into())).await;
    Ok(())
}

async fn connect(config: &ConsumerConfig) -> Result<(Connection, Consumer), Failed> {
    let connection = config.broker.connect().await?;
    let channel = connection.create_channel().await?;
    if let Some(declare) = &config.declare {
        declare.apply(&channel, &config.exchange).await?;
    }
    channel.basic_qos(config.prefetch, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let queue = config.queue.as_str().into();
    let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await?;
    Ok((connection, consumer))
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
                vec!["broker.url", "queue", "prefetch"],
            ),
        ] {
            let wrong = parse(yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
    }
}
