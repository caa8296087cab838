//! Where events come in from others.

use attestry_event::Period;
use attestry_script::{Case, Input, Zone};
use attestry_wire::{amqp, gelf, nats, ndjson, otlp, sqs, stomp, syslog};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filters::{MethodLists, Written};

/// One way in. Exactly one of the protocols is given.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Receiver {
    /// Whether it is open. Default: true.
    pub(crate) enabled: bool,
    /// Syslog by UDP, TCP, TLS or a unix socket.
    pub(crate) syslog: Option<syslog::ReceiverConfig>,
    /// GELF by UDP, TCP or HTTP.
    pub(crate) gelf: Option<gelf::ReceiverConfig>,
    /// OTLP logs by HTTP.
    pub(crate) otlp: Option<otlp::ReceiverConfig>,
    /// Events as NDJSON, on standard input or a unix socket.
    pub(crate) ndjson: Option<ndjson::ReceiverConfig>,
    /// A consumer of NATS JetStream.
    pub(crate) nats: Option<nats::ConsumerConfig>,
    /// A queue by AMQP 0.9.1.
    pub(crate) amqp: Option<amqp::ConsumerConfig>,
    /// A queue by STOMP.
    pub(crate) stomp: Option<stomp::ConsumerConfig>,
    /// A queue of Amazon SQS.
    pub(crate) sqs: Option<sqs::ConsumerConfig>,
    /// The ledger its events go to. Default: `logs` for syslog, GELF and OTLP, else `audit`.
    pub(crate) ledger: Option<String>,
    /// The `event_source` of its events. Default: the receiver's name.
    pub(crate) source: Option<String>,
    /// For NDJSON and queues: unknown fields of an event move into `event_data` instead of making it malformed. Default: false.
    pub(crate) lenient: bool,
    /// For NDJSON and queues: the events come from another Attestry, so they keep their sources, agents and relays, and may have the names
    /// that are Attestry's own. Default: false.
    pub(crate) trusted: bool,
    /// Which events, by name. Default: all.
    pub(crate) methods: Option<MethodLists>,
    /// A VRL program that takes out what must not be kept. It sees everything first; where it fails, nothing of the text is kept.
    pub(crate) redact: Option<String>,
    /// A parser for lines, by name: `apache`, `auditd`, `json`, `logfmt`, `mysql`, `nginx`, `postgresql` or `syslog`. Runs before `transform`; what
    /// it cannot read is kept with `event_data.unparsed`.
    pub(crate) parser: Option<String>,
    /// A VRL program that changes events before they are kept, or drops them by `abort`.
    pub(crate) transform: Option<String>,
    /// What `transform` gets: `event`, or `json` for a foreign queue's messages. Default: event.
    pub(crate) input: Form,
    /// A VRL condition: only events for which it is true are kept.
    #[serde(rename = "where")]
    pub(crate) condition: Option<String>,
    /// Cases that show what `parser`, `transform` and `where` do; `attestry check --test` runs them.
    pub(crate) tests: Vec<Case>,
    /// How often something comes at least; a longer silence is an event. Default: it may be silent.
    pub(crate) expect: Option<Period>,
}

/// What a transform gets.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// An event.
    #[default]
    Event,
    /// Any JSON object, of which the transform makes an event.
    Json,
}

impl Default for Receiver {
    fn default() -> Self {
        Receiver {
            enabled: true,
            syslog: None,
            gelf: None,
            otlp: None,
            ndjson: None,
            nats: None,
            amqp: None,
            stomp: None,
            sqs: None,
            ledger: None,
            source: None,
            lenient: false,
            trusted: false,
            methods: None,
            redact: None,
            parser: None,
            transform: None,
            input: Form::default(),
            condition: None,
            tests: Vec::new(),
            expect: None,
        }
    }
}

impl Receiver {
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
        look!(syslog, gelf, otlp, ndjson, nats, amqp, stomp, sqs);
        given
    }

    /// The ledger its events go to.
    pub(crate) fn ledger(&self) -> &str {
        let logs = self.syslog.is_some() || self.gelf.is_some() || self.otlp.is_some();
        self.ledger.as_deref().unwrap_or(if logs { "logs" } else { "audit" })
    }

    pub(crate) fn filters(&self) -> Written<'_> {
        Written {
            methods: self.methods.as_ref(),
            redact: self.redact.as_deref(),
            parser: self.parser.as_deref(),
            zone: Zone::Utc,
            transform: self.transform.as_deref(),
            condition: self.condition.as_deref(),
            tests: &self.tests,
        }
    }

    pub(crate) fn script_input(&self) -> Input {
        match self.input {
            Form::Event => Input::Event,
            Form::Json => Input::Json,
        }
    }
}
