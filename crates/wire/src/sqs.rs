//! Amazon SQS: events into a queue, and out of one.
//!
//! What is promised: the sink counts an event as delivered when SQS has answered that it stored it; the consumer deletes a message when its
//! event is durable on this side. A FIFO queue stores an event once within five minutes and keeps the order within a group; a standard
//! queue may deliver a message twice and in another order.
//!
//! Limits: a message, and a request of up to 10 messages, has at most 1 MiB with its attributes (256 KiB until 2025, and where a queue's
//! `MaximumMessageSize` says so). What is larger is refused. U+FFFE and U+FFFF, which SQS does not take, are sent escaped.
//!
//! Source: the reference of the SQS API, `SendMessageBatch` and `ReceiveMessage`.

mod client;
mod consumer;
mod credentials;
mod sink;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use consumer::{ConsumerConfig, run};
pub use credentials::Credentials;
pub use sink::{SinkConfig, SqsSink};

/// A queue, and as whom to use it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// The queue's URL, such as `https://sqs.eu-central-1.amazonaws.com/123456789012/audit`; it ends with `.fifo` for a FIFO queue.
    pub url: String,
    /// The region. Default: the one in the URL.
    #[serde(default)]
    pub region: Option<String>,
    /// Where the API is. Default: the host of the URL.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The keys. Default: those of the environment (`AWS_ACCESS_KEY_ID` and so on), or else of the profile file.
    #[serde(default)]
    pub credentials: Credentials,
    /// Certificates of the authorities to believe, a PEM file. Default: those of the system.
    #[serde(default)]
    pub ca: Option<std::path::PathBuf>,
}

impl Queue {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let host =
            self.url.split_once("://").map(|(scheme, rest)| (scheme, rest.split('/').next().unwrap_or(rest)));
        if !matches!(host, Some(("http" | "https", host)) if !host.is_empty() && !host.contains('@')) {
            wrong.push(("queue.url", "expected https://sqs.REGION.amazonaws.com/ACCOUNT/NAME".to_owned()));
        } else if self.region().is_none() {
            wrong.push(("queue.region", "missing, and the URL does not tell it".to_owned()));
        }
        wrong.extend(self.credentials.check());
        wrong
    }

    fn region(&self) -> Option<&str> {
        let from_url = || {
            let (_, rest) = self.url.split_once("://")?;
            let host = rest.split('/').next()?;
            host.strip_prefix("sqs.")?.split_once(".amazonaws.com").map(|(region, _)| region)
        };
        self.region.as_deref().or_else(from_url)
    }

    fn endpoint(&self) -> String {
        let of_url = || {
            let host = self.url.splitn(4, '/').take(3);
            host.collect::<Vec<_>>().join("/")
        };
        self.endpoint.clone().unwrap_or_else(of_url)
    }

    fn is_fifo(&self) -> bool {
        self.url.ends_with(".fifo")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_read_from_its_url() {
        for (yaml, region, endpoint, wrong) in [
            (
                "{url: 'https://sqs.eu-central-1.amazonaws.com/1/audit'}",
                Some("eu-central-1"),
                "https://sqs.eu-central-1.amazonaws.com",
                vec![],
            ),
            (
                "{url: 'https://sqs.cn-north-1.amazonaws.com.cn/1/a.fifo'}",
                Some("cn-north-1"),
                "https://sqs.cn-north-1.amazonaws.com.cn",
                vec![],
            ),
            ("{url: 'http://127.0.0.1:99/1/a', region: r}", Some("r"), "http://127.0.0.1:99", vec![]),
            (
                "{url: 'http://127.0.0.1:99/1/a', endpoint: 'http://b'}",
                None,
                "http://b",
                vec!["queue.region"],
            ),
            ("{url: 'https://u:p@b/a', region: r}", Some("r"), "https://u:p@b", vec!["queue.url"]),
            (
                "{url: audit, credentials: {access_key: a}}",
                None,
                "audit",
                vec!["queue.url", "queue.credentials"],
            ),
        ] {
            let queue: Queue = serde_saphyr::from_str(yaml).unwrap();
            assert_eq!(queue.region(), region, "{yaml}");
            assert_eq!(queue.endpoint(), endpoint, "{yaml}");
            let found = queue.check();
            assert_eq!(found.iter().map(|(field, _)| *field).collect::<Vec<_>>(), wrong, "{yaml}: {found:?}");
        }
    }
}
