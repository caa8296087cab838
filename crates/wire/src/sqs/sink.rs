//! Events into a queue.

use std::collections::VecDeque;
use std::ops::Range;

use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError;
use aws_sdk_sqs::types::{BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Queue;
use crate::queue::{Failed, Message, again, messages, printable, too_large};

/// Messages in a request, at most.
const MESSAGES_MAX: usize = 10;

/// Sends events to a queue.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// The queue.
    pub queue: Queue,
    /// For a FIFO queue: the group of each message, within which the order is kept; `{ledger}` and `{event_name}` are filled in.
    /// Default: `{ledger}`.
    #[serde(default = "default_group")]
    pub group: String,
    /// The largest message in bytes, its attributes counted, and also the largest request: the queue's `MaximumMessageSize`.
    /// Default: 1048576 (1 MiB).
    #[serde(default = "default_max_bytes")]
    pub max_bytes: usize,
}

fn default_group() -> String {
    "{ledger}".to_owned()
}

fn default_max_bytes() -> usize {
    1 << 20
}

impl SinkConfig {
    /// What is wrong with it: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = self.queue.check();
        let example = self.group.replace("{ledger}", "l").replace("{event_name}", "e");
        if !(1..=128).contains(&example.len())
            || !example.bytes().all(|byte| byte.is_ascii_graphic())
            || example.contains(['{', '}'])
        {
            let expected = "expected 1 to 128 letters, digits or signs, in which {ledger} and {event_name} are filled in";
            wrong.push(("group", format!("{:?}, {expected}", self.group)));
        }
        if !(1_024..=1 << 20).contains(&self.max_bytes) {
            wrong.push(("max_bytes", format!("{}, expected 1024 to 1048576", self.max_bytes)));
        }
        wrong
    }
}

/// The sink.
#[derive(Debug)]
pub struct SqsSink {
    config: SinkConfig,
    client: Option<Client>,
}

/// A message as SQS takes it.
struct Outgoing {
    at: usize,
    bytes: usize,
    entry: SendMessageBatchRequestEntry,
}

impl SqsSink {
    /// A sink that connects when it is first used.
    pub fn new(config: SinkConfig) -> SqsSink {
        SqsSink { config, client: None }
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => {
                let made = self.config.queue.client().map_err(|Failed(reason)| Failure::again(reason))?;
                self.client.insert(made).clone()
            }
        };
        let (messages, mut refused) = messages(parcels, None);
        let mut outgoing = Vec::with_capacity(messages.len());
        for message in messages {
            let at = message.at;
            match self.outgoing(message) {
                Ok(message) => outgoing.push(message),
                Err(reason) => refused.push(Refused { at, reason }),
            }
        }
        let sizes: Vec<usize> = outgoing.iter().map(|message| message.bytes).collect();
        let mut requests = VecDeque::from(requests(&sizes, self.config.max_bytes));
        while let Some(range) = requests.pop_front() {
            let batch = outgoing.get(range.clone()).unwrap_or_default();
            let first = batch.first().map_or(0, |message| message.at);
            let entries = batch.iter().map(|message| message.entry.clone()).collect();
            let sent =
                client.send_message_batch().queue_url(&self.config.queue.url).set_entries(Some(entries));
            let answer = match sent.send().await {
                Ok(answer) => answer,
                // The queue takes less than was configured.
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(SendMessageBatchError::is_batch_request_too_long) =>
                {
                    match batch {
                        [one] => {
                            let reason =
                                format!("the event has {} bytes, and the queue takes less", one.bytes);
                            refused.push(Refused { at: one.at, reason });
                        }
                        _ => range.rev().for_each(|at| requests.push_front(at..at + 1)),
                    }
                    continue;
                }
                Err(error) => {
                    let Failed(reason) = Failed::from(error).at(&self.config.queue.endpoint());
                    return Err(again(first, &refused, reason));
                }
            };
            let mut failed: Vec<(usize, &BatchResultErrorEntry)> =
                answer.failed().iter().map(|failed| (failed.id().parse().unwrap_or(first), failed)).collect();
            failed.sort_by_key(|(at, _)| *at);
            let mut to_try = None;
            for (at, failed) in failed {
                let reason = format!("{}: {}", failed.code(), failed.message().unwrap_or("no reason given"));
                if is_the_events_fault(failed) {
                    refused.push(Refused { at, reason });
                } else if to_try.is_none() {
                    to_try = Some((at, reason));
                }
            }
            if let Some((at, reason)) = to_try {
                return Err(again(at, &refused, reason));
            }
        }
        refused.sort_by_key(|refused| refused.at);
        Ok(refused)
    }

    fn outgoing(&self, message: Message) -> Result<Outgoing, String> {
        let mut body = String::from_utf8(message.body).map_err(|_| "the event is not UTF-8".to_owned())?;
        for (character, escape) in [('\u{fffe}', "\\ufffe"), ('\u{ffff}', "\\uffff")] {
            if body.contains(character) {
                body = body.replace(character, escape);
            }
        }
        let mut bytes = body.len();
        let mut entry = SendMessageBatchRequestEntry::builder().id(message.at.to_string()).message_body(body);
        for (name, value) in [("ledger", &*message.ledger), ("event_name", &message.event_name)] {
            let value = printable(value);
            bytes += name.len() + "String".len() + value.len();
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            entry = entry.message_attributes(name, attribute.map_err(|error| error.to_string())?);
        }
        if bytes > self.config.max_bytes {
            return Err(too_large(bytes, self.config.max_bytes));
        }
        if self.config.queue.is_fifo() {
            let group = self
                .config
                .group
                .replace("{ledger}", &message.ledger)
                .replace("{event_name}", &message.event_name);
            let plain = |c: char| if c.is_ascii_graphic() { c } else { '_' };
            let group: String = group.chars().map(plain).take(128).collect();
            entry = entry.message_group_id(group).message_deduplication_id(message.id);
        }
        let entry = entry.build().map_err(|error| error.to_string())?;
        Ok(Outgoing { at: message.at, bytes, entry })
    }
}

/// Which messages go into one request: in order, up to 10 of them, up to `max` bytes.
fn requests(sizes: &[usize], max: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut bytes) = (0, 0_usize);
    for (at, size) in sizes.iter().enumerate() {
        if at > start && (at - start >= MESSAGES_MAX || bytes + size > max) {
            ranges.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        ranges.push(start..sizes.len());
    }
    ranges
}

/// Whether the message itself is wrong. That the queue's key may not be used is called the sender's fault as well, and can be mended.
fn is_the_events_fault(failed: &BatchResultErrorEntry) -> bool {
    let mendable = ["Kms", "Access", "Throttl", "Overlimit"].iter().any(|text| failed.code().contains(text));
    failed.sender_fault() && !mendable
}

impl Sink for SqsSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(async move {
            let result = self.offer(parcels).await;
            if result.is_err() {
                // Keys may have been renewed.
                self.client = None;
            }
            result
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_hold_as_much_as_they_can() {
        for (sizes, expected) in [
            (vec![], vec![]),
            (vec![1; 10], vec![(0, 10)]),
            (vec![1; 21], vec![(0, 10), (10, 20), (20, 21)]),
            (vec![60, 40, 1], vec![(0, 2), (2, 3)]),
            (vec![100, 100], vec![(0, 1), (1, 2)]),
        ] {
            let found: Vec<_> = requests(&sizes, 100).iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(found, expected, "{sizes:?}");
        }
    }

    #[test]
    fn only_what_cannot_be_mended_is_refused() {
        for (code, sender_fault, expected) in [
            ("InvalidMessageContents", true, true),
            ("InternalError", false, false),
            ("KMS.AccessDeniedException", true, false),
            ("KmsThrottled", true, false),
        ] {
            let failed =
                BatchResultErrorEntry::builder().id("0").code(code).sender_fault(sender_fault).build();
            assert_eq!(is_the_events_fault(&failed.unwrap()), expected, "{code}");
        }
    }

    #[test]
    fn a_configuration_is_checked() {
        let parse = |yaml: &str| serde_saphyr::from_str::<SinkConfig>(yaml);
        let queue = "queue: {url: 'https://sqs.eu-central-1.amazonaws.com/1/a'}";
        for (yaml, expected) in [
            (format!("{{{queue}}}"), vec![]),
            (format!("{{{queue}, group: '{{event_name}}', max_bytes: 262144}}"), vec![]),
            (format!("{{{queue}, group: 'a b', max_bytes: 2000000}}"), vec!["group", "max_bytes"]),
        ] {
            let wrong = parse(&yaml).unwrap().check();
            let fields: Vec<&str> = wrong.iter().map(|(field, _)| *field).collect();
            assert_eq!(fields, expected, "{yaml}: {wrong:?}");
        }
    }
}
