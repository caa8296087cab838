//! Events out of a stream.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::{AckKind, Message};
use attestry_pipeline::Inlet;
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::sink::check_name;
use super::{ANSWER_MAX, Login, check_address, connect};
use crate::queue::{Batching, Consuming, Counters, Failed, Fetched, Gathered};
use crate::tls::ClientTls;
use attestry_event::Period;

/// How long an idle fetch waits at the server before it is renewed.
const IDLE: Duration = Duration::from_secs(5);

/// Fetches events from a JetStream stream, as a durable pull consumer with explicit acknowledgement.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerConfig {
    /// One server or several of a cluster, with commas between: `nats://host:4222`, or `tls://host:4222`.
    pub url: String,
    /// The stream. It is waited for while it is missing.
    pub stream: String,
    /// The durable consumer's name; it is made when it is missing. Nodes that share one share the messages.
    pub durable: String,
    /// Only messages with a subject like this, such as `attestry.audit.>`. For a durable that is made. Default: all.
    #[serde(default)]
    pub filter: Option<String>,
    /// Time after which a message that was not acknowledged is delivered again. For a durable that is made. While a batch waits for
    /// room, the time is extended. Default: 30s.
    #[serde(default = "default_ack_wait")]
    pub ack_wait: Period,
    /// Messages that may wait for their acknowledgement, at most. For a durable that is made. Default: 10000.
    #[serde(default = "default_max_ack_pending")]
    pub max_ack_pending: u32,
    /// How many messages are taken in at once.
    #[serde(default)]
    pub batch: Batching,
    /// As whom to log in.
    #[serde(default)]
    pub login: Login,
    /// TLS; needs not be given for the authorities of the public web and an address that begins with `tls:`.
    #[serde(default)]
    pub tls: Option<ClientTls>,
}

fn default_ack_wait() -> Period {
    Period::seconds(30)
}

fn default_max_ack_pending() -> u32 {
    10_000
}

impl ConsumerConfig {
    /// What is wrong with it: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = check_address(&self.url, self.tls.as_ref());
        wrong.extend(self.login.check());
        wrong.extend(self.batch.check());
        for (field, name) in [("stream", &self.stream), ("durable", &self.durable)] {
            if let Err(reason) = check_name(name) {
                wrong.push((field, reason));
            }
        }
        if self.ack_wait.0 < Duration::from_secs(1) {
            wrong.push(("ack_wait", format!("{}, expected at least 1s", self.ack_wait)));
        }
        if self.max_ack_pending == 0 {
            wrong.push(("max_ack_pending", "0, expected at least 1".to_owned()));
        }
        wrong
    }

    fn durable(&self) -> Config {
        Config {
            durable_name: Some(self.durable.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait.0,
            filter_subject: self.filter.clone().unwrap_or_default(),
            max_ack_pending: i64::from(self.max_ack_pending),
            // As often as it takes: what is no event is acknowledged as well, so nothing goes round for ever.
            max_deliver: -1,
            ..Config::default()
        }
    }
}

/// Fetches events until `stop` is cancelled or the inlet is closed, connecting again for ever.
pub async fn run(
    config: ConsumerConfig,
    inlet: Arc<dyn Inlet>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let consuming = Consuming { protocol: "nats", inlet, counters, stop };
    consuming.hold(|| session(&config, &consuming)).await;
}

async fn session(config: &ConsumerConfig, consuming: &Consuming) -> Result<(), Failed> {
    let connected = async {
        let context = connect(&config.url, &config.login, config.tls.as_ref()).await?;
        let stream = context.get_stream(&config.stream).await?;
        let consumer = stream.get_or_create_consumer(&config.durable, config.durable()).await?;
        Ok::<_, Failed>((context.client(), consumer))
    };
    let Some(connected) = consuming.unless_stopped(connected).await else { return Ok(()) };
    let (client, consumer) = connected?;
    let found = &consumer.cached_info().config;
    if found.ack_policy != AckPolicy::Explicit {
        let reason = format!(
            "the durable {} has the ack policy {:?}, expected Explicit",
            config.durable, found.ack_policy
        );
        return Err(Failed(reason));
    }
    let progress = found.ack_wait / 3;
    let counters = &consuming.counters;
    counters.connected();
    loop {
        let fetched = fetch(&consumer, &config.batch, counters);
        let Some(gathered) = consuming.unless_stopped(fetched).await else { return Ok(()) };
        let Gathered { bodies, tags: messages, .. } = gathered?;
        if messages.is_empty() {
            continue;
        }
        let working = || async {
            for message in &messages {
                // If this is lost, the message is delivered again, and recognised.
                let _ = message.ack_with(AckKind::Progress).await;
            }
        };
        if !consuming.put(bodies, progress, working).await {
            return Ok(());
        }
        for message in &messages {
            message.ack().await.map_err(|error| Failed(error.to_string()))?;
        }
        client.flush().await?;
        counters.acknowledged(messages.len());
    }
}

/// What is there now; when there is nothing, the next message within a while, and what came with it.
async fn fetch(
    consumer: &PullConsumer,
    batching: &Batching,
    counters: &Counters,
) -> Result<Gathered<Message>, Failed> {
    let mut gathered = Gathered::new();
    // Fails also where the next message alone is larger than a batch: then it is fetched by itself, without that limit.
    let _ = take_ready(consumer, batching, &mut gathered, counters).await;
    if gathered.tags.is_empty() {
        // No heartbeats here: the client's stream of a batch stops being woken after the first one.
        let mut next = consumer.batch().max_messages(1).expires(IDLE).messages().await?;
        take(&mut next, IDLE + ANSWER_MAX, &mut gathered, counters).await?;
        if !gathered.tags.is_empty() && !gathered.is_full(batching) {
            tokio::time::sleep(batching.wait.0).await;
            let _ = take_ready(consumer, batching, &mut gathered, counters).await;
        }
    }
    Ok(gathered)
}

async fn take_ready(
    consumer: &PullConsumer,
    batching: &Batching,
    gathered: &mut Gathered<Message>,
    counters: &Counters,
) -> Result<(), Failed> {
    let room = batching.events.saturating_sub(gathered.tags.len());
    let ready = consumer.fetch().max_messages(room).max_bytes(batching.bytes);
    take(&mut ready.messages().await?, ANSWER_MAX, gathered, counters).await
}

async fn take(
    batch: &mut Batch,
    silence: Duration,
    gathered: &mut Gathered<Message>,
    counters: &Counters,
) -> Result<(), Failed> {
    loop {
        // The client waits for ever for an answer that was lost with a connection.
        let Ok(next) = timeout(silence, batch.next()).await else {
            return Err(Failed("no answer to a fetch".to_owned()));
        };
        let Some(message) = next else { return Ok(()) };
        let message = message.map_err(|error| Failed(error.to_string()))?;
        let redelivered = message.info().is_ok_and(|info| info.delivered > 1);
        let body = message.payload.to_vec();
        gathered.push(Fetched { body, redelivered, tag: message }, counters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_checked() {
        let parse = |yaml: &str| serde_saphyr::from_str::<ConsumerConfig>(yaml);
        for (yaml, expected) in [
            ("{url: 'nats://a', stream: audit, durable: siem}", vec![]),
            (
                "{url: 'nats://a', stream: audit, durable: siem, batch: {events: 10, wait: 1s}, ack_wait: 1m}",
                vec![],
            ),
            (
                "{url: 'nats://a', stream: '', durable: a b, batch: {events: 0, bytes: 0}, ack_wait: 5ms, max_ack_pending: 0}",
                vec!["batch.events", "batch.bytes", "stream", "durable", "ack_wait", "max_ack_pending"],
            ),
        ] {
            let wrong = parse(yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
        assert!(parse("{url: 'nats://a', stream: audit}").is_err());
    }
}
