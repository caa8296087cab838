//! Where events go besides the ledgers.

use attestry_event::Period;
use attestry_pipeline::worker::{Batching, Retry, Start};
use attestry_script::{Case, Zone};
use attestry_wire::{
    amqp, archive, attestry, file, gelf, mail, nats, sql, sqs, stdout, stomp, syslog, webhook,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filters::{MethodLists, Written};

/// One sink. Exactly one of the protocols is given.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sink {
    /// Whether it is fed. A sink that is not keeps its place. Default: true.
    pub(crate) enabled: bool,
    /// Another Attestry, by HTTP.
    pub(crate) attestry: Option<attestry::SinkConfig>,
    /// A syslog server or the local one.
    pub(crate) syslog: Option<syslog::SinkConfig>,
    /// A Graylog server, or another that takes GELF.
    pub(crate) gelf: Option<gelf::SinkConfig>,
    /// NATS JetStream.
    pub(crate) nats: Option<nats::SinkConfig>,
    /// AMQP 0.9.1, such as RabbitMQ.
    pub(crate) amqp: Option<amqp::SinkConfig>,
    /// STOMP, such as ActiveMQ.
    pub(crate) stomp: Option<stomp::SinkConfig>,
    /// Amazon SQS.
    pub(crate) sqs: Option<sqs::SinkConfig>,
    /// Any HTTP server, with a signature.
    pub(crate) webhook: Option<webhook::SinkConfig>,
    /// E-mail, by SMTP.
    pub(crate) mail: Option<mail::SinkConfig>,
    /// A table in PostgreSQL, MySQL, MariaDB or SQLite.
    pub(crate) sql: Option<sql::SinkConfig>,
    /// A file of NDJSON, rotated.
    pub(crate) file: Option<file::SinkConfig>,
    /// Compressed files by day and event name, with an index of their hashes.
    pub(crate) archive: Option<archive::SinkConfig>,
    /// Standard output.
    pub(crate) stdout: Option<stdout::SinkConfig>,
    /// The ledgers whose events it gets. Default: all.
    pub(crate) ledgers: Vec<String>,
    /// Which events, by name. Default: all.
    pub(crate) methods: Option<MethodLists>,
    /// A VRL program that changes events on their way to this sink, or drops them by `abort`.
    pub(crate) transform: Option<String>,
    /// A VRL condition: only events for which it is true are sent.
    #[serde(rename = "where")]
    pub(crate) condition: Option<String>,
    /// Cases that show what `transform` and `where` do; `attestry check --test` runs them.
    pub(crate) tests: Vec<Case>,
    /// How events are offered together.
    pub(crate) batch: Batch,
    /// How a failure is tried again.
    pub(crate) retry: Again,
    /// Where a new sink begins: `oldest`, with all there is, or `now`. Default: oldest.
    pub(crate) start: From,
    /// How many bytes of refused events are kept. Default: 268435456 (256 MiB).
    pub(crate) dead_letter_bytes: u64,
}

/// How events are offered together.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Batch {
    /// Events at most. Default: 1000.
    pub(crate) events: usize,
    /// Bytes at most; a single event may have more. Default: 1048576.
    pub(crate) bytes: usize,
    /// How long a batch that is not full waits for more. Default: 1s.
    pub(crate) wait: Period,
}

/// How a failure is tried again: after a random time, at most twice as long each time.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Again {
    /// The most that the first wait takes. Default: 1s.
    pub(crate) first: Period,
    /// The most that any wait takes. Default: 5m.
    pub(crate) most: Period,
}

/// Where a new sink begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum From {
    /// With the oldest event there is.
    #[default]
    Oldest,
    /// With what comes from now on.
    Now,
}

impl Default for Sink {
    fn default() -> Self {
        Sink {
            enabled: true,
            attestry: None,
            syslog: None,
            gelf: None,
            nats: None,
            amqp: None,
            stomp: None,
            sqs: None,
            webhook: None,
            mail: None,
            sql: None,
            file: None,
            archive: None,
            stdout: None,
            ledgers: Vec::new(),
            methods: None,
            transform: None,
            condition: None,
            tests: Vec::new(),
            batch: Batch::default(),
            retry: Again::default(),
            start: From::default(),
            dead_letter_bytes: 256 << 20,
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        let Batching { events, bytes, wait } = Batching::default();
        Batch { events, bytes, wait: Period(wait) }
    }
}

impl Default for Again {
    fn default() -> Self {
        let Retry { first, most } = Retry::default();
        Again { first: Period(first), most: Period(most) }
    }
}

impl Sink {
    /// The protocols that are given, by name, with what is wrong in their settings.
    pub(crate) fn protocols(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        let mut given = Vec::new();
        macro_rules! look {
            ($($protocol:ident),*) => {$(
                if let Some(config) = &self.$protocol {
                    given.push((stringify!($protocol), config.check()));
                }
            )*};
        }
        look!(attestry, syslog, gelf, nats, amqp, stomp, sqs, webhook, mail, sql, file, archive);
        if self.stdout.is_some() {
            given.push(("stdout", Vec::new()));
        }
        given
    }

    pub(crate) fn filters(&self) -> Written<'_> {
        Written {
            methods: self.methods.as_ref(),
            redact: None,
            parser: None,
            zone: Zone::Utc,
            transform: self.transform.as_deref(),
            condition: self.condition.as_deref(),
            tests: &self.tests,
        }
    }

    /// Whether what it sends are messages to people, rather than events for another program.
    pub(crate) fn tells_people(&self) -> bool {
        let chat = self.webhook.as_ref().is_some_and(|of| of.format == webhook::Format::Slack);
        self.mail.is_some() || chat
    }

    /// Whether it asks for reports or for alerts by their names.
    pub(crate) fn takes_messages(&self) -> bool {
        let named =
            |name: &String| name == "report.sent" || name == "report.all" || name.starts_with("alert.");
        self.methods.as_ref().is_some_and(|methods| methods.include.iter().any(named))
    }

    pub(crate) fn batching(&self) -> Batching {
        let Batch { events, bytes, wait } = self.batch;
        Batching { events: events.max(1), bytes: bytes.max(1), wait: wait.0 }
    }

    pub(crate) fn retrying(&self) -> Retry {
        Retry { first: self.retry.first.0, most: self.retry.most.0 }
    }

    pub(crate) fn begins(&self) -> Start {
        match self.start {
            From::Oldest => Start::First,
            From::Now => Start::End,
        }
    }
}
