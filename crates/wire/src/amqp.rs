//! AMQP 0.9.1, as RabbitMQ speaks it: events into an exchange, and out of a queue.
//!
//! What is promised: the sink counts an event as delivered when the broker has confirmed it, which a durable queue does once a persistent
//! message is on its disk, and a quorum queue once it is on most of them. Messages are published as *mandatory*: one that no queue would
//! get comes back, and the sink waits until there is a queue. The consumer acknowledges messages when their events are durable on this side.
//!
//! Sources: the AMQP 0.9.1 reference, and RabbitMQ's pages on confirms, quorum queues and consumer prefetch.

mod consumer;
mod sink;
mod transport;

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use consumer::{ConsumerConfig, run};
pub use sink::{AmqpSink, SinkConfig};

use crate::broker::Address;
use crate::queue::Failed;
use crate::secret::Secret;
use crate::tls::ClientTls;

/// How long an answer of the broker may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The longest name in AMQP, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// How to reach the broker.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// The broker: `amqp://host:5672`, or `amqps://host:5671`.
    pub url: String,
    /// The virtual host. Default: `/`.
    #[serde(default = "default_vhost")]
    pub vhost: String,
    /// The user. Default: `guest`, whom RabbitMQ lets in from its own host only.
    #[serde(default = "default_user")]
    pub user: String,
    /// The user's password. Default: `guest`.
    #[serde(default = "default_password")]
    pub password: Secret,
    /// Seconds after which a silent connection is taken as lost; the broker may ask for less. Default: 30.
    #[serde(default = "default_heartbeat")]
    pub heartbeat_seconds: u16,
    /// TLS, where the address begins with `amqps:`. Default: the authorities of the public web.
    #[serde(default)]
    pub tls: Option<ClientTls>,
}

fn default_vhost() -> String {
    "/".to_owned()
}

fn default_user() -> String {
    "guest".to_owned()
}

fn default_password() -> Secret {
    Secret::Plain("guest".to_owned())
}

fn default_heartbeat() -> u16 {
    30
}

impl Broker {
    fn address(&self) -> Result<Address, String> {
        Address::parse(&self.url, ("amqp", 5672), ("amqps", 5671))
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        match self.address() {
            Err(reason) => wrong.push(("broker.url", reason)),
            Ok(address) if self.tls.is_some() && !address.encrypted => {
                wrong.push(("broker.tls", "given for an address without it, expected amqps://".to_owned()));
            }
            Ok(_) => {}
        }
        wrong
    }

    async fn connect(&self) -> Result<Connection, Failed> {
        transport::connect(self).await
    }
}

/// How a queue keeps its messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueType {
    /// On several nodes, confirmed when most have it on disk.
    #[default]
    Quorum,
    /// On the disk of one node.
    Classic,
}

/// A durable queue to be made when it is missing. If it is there, it must be like this.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Declare {
    /// The queue's name.
    pub queue: String,
    /// Its type, `quorum` or `classic`. Default: `quorum`.
    #[serde(default)]
    pub queue_type: QueueType,
    /// Which routing keys of the exchange go to it. Default: `#`, all.
    #[serde(default = "default_binding")]
    pub binding: String,
}

fn default_binding() -> String {
    "#".to_owned()
}

impl Declare {
    fn check(&self) -> Vec<(&'static str, String)> {
        if (1..=NAME_BYTES_MAX).contains(&self.queue.len()) {
            return Vec::new();
        }
        vec![("declare.queue", format!("{:?}, expected a name of 1 to {NAME_BYTES_MAX} bytes", self.queue))]
    }

    /// Makes the queue; and the exchange, of the kind `topic`, unless it is the default one, to which every queue is bound by its name.
    async fn apply(&self, channel: &Channel, exchange: &str) -> Result<(), Failed> {
        let queue_type = match self.queue_type {
            QueueType::Quorum => "quorum",
            QueueType::Classic => "classic",
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(queue_type.into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.queue.as_str().into(), durable, arguments).await?;
        if !exchange.is_empty() {
            let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel
                .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default())
                .await?;
            let (queue, binding) = (self.queue.as_str().into(), self.binding.as_str().into());
            let options = QueueBindOptions::default();
            channel.queue_bind(queue, exchange.into(), binding, options, FieldTable::default()).await?;
        }
        Ok(())
    }
}
