//! Events out of a queue.

use std::sync::Arc;
use std::time::Duration;

use attestry_pipeline::Inlet;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Queue;
use crate::queue::{Batching, Consuming, Counters, Failed, Fetched, Gathered};
use attestry_event::Period;

/// Messages in a request, at most.
const MESSAGES_MAX: usize = 10;

/// How long a request waits at the queue for a message, in seconds: the most that SQS allows.
const WAIT_SECONDS: i32 = 20;

/// Fetches events from a queue.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerConfig {
    /// The queue. Consumers that share one share the messages.
    pub queue: Queue,
    /// Time after which a message that was not deleted is delivered again. While a batch waits for room, the time is extended.
    /// Default: 60s.
    #[serde(default = "default_visibility")]
    pub visibility: Period,
    /// How many messages are taken in at once.
    #[serde(default)]
    pub batch: Batching,
}

fn default_visibility() -> Period {
    Period::seconds(60)
}

impl ConsumerConfig {
    /// What is wrong with it: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = self.queue.check();
        wrong.extend(self.batch.check());
        if !(3..=43_200).contains(&self.visibility.0.as_secs()) {
            wrong.push(("visibility", format!("{}, expected 3s to 12h", self.visibility)));
        }
        wrong
    }

    fn visibility_seconds(&self) -> i32 {
        i32::try_from(self.visibility.0.as_secs()).unwrap_or(43_200)
    }
}

/// Fetches events until `stop` is cancelled or the inlet is closed, connecting again for ever.
pub async fn run(
    config: ConsumerConfig,
    inlet: Arc<dyn Inlet>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let consuming = Consuming { protocol: "sqs", inlet, counters, stop };
    consuming.hold(|| session(&config, &consuming)).await;
}

async fn session(config: &ConsumerConfig, consuming: &Consuming) -> Result<(), Failed> {
    let client = config.queue.client()?;
    // The first answer tells whether the queue is there, so it is not waited for.
    let mut wait = 0;
    let counters = &consuming.counters;
    loop {
        let fetched = fetch(&client, config, wait, counters);
        let Some(gathered) = consuming.unless_stopped(fetched).await else { return Ok(()) };
        let Gathered { bodies, tags: receipts, .. } = gathered?;
        if wait == 0 {
            counters.connected();
            wait = WAIT_SECONDS;
        }
        if receipts.is_empty() {
            continue;
        }
        let hide = || keep_hidden(&client, config, &receipts);
        if !consuming.put(bodies, config.visibility.0 / 3, hide).await {
            return Ok(());
        }
        counters.acknowledged(delete(&client, config, &receipts).await?);
    }
}

/// Waits for a message, and takes what comes with it, until the batch is full or its time has passed.
async fn fetch(
    client: &Client,
    config: &ConsumerConfig,
    wait: i32,
    counters: &Counters,
) -> Result<Gathered<String>, Failed> {
    let mut gathered = Gathered::new();
    let mut wait = wait;
    let mut deadline = None;
    loop {
        let room = config.batch.events.saturating_sub(gathered.tags.len()).min(MESSAGES_MAX);
        let request = client
            .receive_message()
            .queue_url(&config.queue.url)
            // Both fit: 1 to 10, and as checked.
            .max_number_of_messages(room as i32)
            .visibility_timeout(config.visibility_seconds())
            .wait_time_seconds(wait)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let answer = match request.send().await {
            Ok(answer) => answer,
            // What is there goes in first; the next request says it again.
            Err(_) if !gathered.tags.is_empty() => return Ok(gathered),
            Err(error) => return Err(Failed::from(error).at(&config.queue.endpoint())),
        };
        let mut came = 0;
        for message in answer.messages.unwrap_or_default() {
            let count = message
                .attributes()
                .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
            let redelivered = count.is_some_and(|count| count != "1");
            let (Some(body), Some(tag)) = (message.body, message.receipt_handle) else { continue };
            gathered.push(Fetched { body: body.into_bytes(), redelivered, tag }, counters);
            came += 1;
        }
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + config.batch.wait.0);
        if came == 0 || gathered.is_full(&config.batch) || Instant::now() >= deadline {
            return Ok(gathered);
        }
        wait = 0;
    }
}

/// Deletes what is durable. What cannot be deleted is delivered again, and recognised.
async fn delete(client: &Client, config: &ConsumerConfig, receipts: &[String]) -> Result<usize, Failed> {
    let mut deleted = 0;
    for chunk in receipts.chunks(MESSAGES_MAX) {
        let mut request = client.delete_message_batch().queue_url(&config.queue.url);
        for (number, receipt) in chunk.iter().enumerate() {
            let entry =
                DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt);
            request = request.entries(entry.build()?);
        }
        let answer = request.send().await?;
        deleted += answer.successful().len();
        if let Some(failed) = answer.failed().first() {
            tracing::warn!(
                code = failed.code(),
                messages = answer.failed().len(),
                "messages cannot be deleted"
            );
        }
    }
    Ok(deleted)
}

/// Keeps the messages from being delivered to others while they wait for room. If this fails they are, and are recognised.
async fn keep_hidden(client: &Client, config: &ConsumerConfig, receipts: &[String]) {
    for chunk in receipts.chunks(MESSAGES_MAX) {
        let mut request = client.change_message_visibility_batch().queue_url(&config.queue.url);
        for (number, receipt) in chunk.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(receipt)
                .visibility_timeout(config.visibility_seconds());
            match entry.build() {
                Ok(entry) => request = request.entries(entry),
                Err(_) => return,
            }
        }
        let _ = tokio::time::timeout(Duration::from_secs(10), request.send()).await;
    }
}
