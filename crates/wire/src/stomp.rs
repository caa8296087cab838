//! STOMP 1.2, as ActiveMQ speaks it: events into a queue, and out of one.
//!
//! What is promised: the sink sends a batch as one transaction of persistent messages and counts it as delivered when the broker has
//! confirmed the commit with a receipt, so a batch is in the queue whole or not at all. The consumer acknowledges messages when their
//! events are durable on this side. A broker that knows no ids stores an event twice if it is offered twice; the ledger does not.
//!
//! Sources: the STOMP 1.2 specification, and ActiveMQ's page on STOMP (`persistent`, `activemq.prefetchSize`, `redelivered`).

mod connection;
mod consumer;
mod frame;
mod sink;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use consumer::{ConsumerConfig, run};
pub use frame::{Frame, FrameError, Next, parse};
pub use sink::{SinkConfig, StompSink};

use crate::broker::Address;
use crate::secret::Secret;
use crate::tls::ClientTls;
use attestry_event::Period;

/// How to reach the broker.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// The broker: `stomp://host:61613`, or `stomp+ssl://host:61614`.
    pub url: String,
    /// The virtual host. Default: the host of the address.
    #[serde(default)]
    pub vhost: Option<String>,
    /// The user. Default: nobody.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// How often each side shows that it is alive; after three times that in silence the connection is taken as lost. Default: 10s.
    #[serde(default = "default_heartbeat")]
    pub heartbeat: Period,
    /// The largest frame in bytes, either way; what is larger is refused, or ends the connection. Brokers have a limit of their own
    /// (ActiveMQ: `maxFrameSize` of the connector). Default: 33554432 (32 MiB).
    #[serde(default = "default_max_frame")]
    pub max_frame: usize,
    /// TLS, where the address begins with `stomp+ssl:`. Default: the authorities of the public web.
    #[serde(default)]
    pub tls: Option<ClientTls>,
}

fn default_heartbeat() -> Period {
    Period::seconds(10)
}

fn default_max_frame() -> usize {
    32 << 20
}

impl Broker {
    fn address(&self) -> Result<Address, String> {
        Address::parse(&self.url, ("stomp", 61613), ("stomp+ssl", 61614))
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        match self.address() {
            Err(reason) => wrong.push(("broker.url", reason)),
            Ok(address) if self.tls.is_some() && !address.encrypted => {
                wrong.push((
                    "broker.tls",
                    "given for an address without it, expected stomp+ssl://".to_owned(),
                ));
            }
            Ok(_) => {}
        }
        if self.user.is_some() != self.password.is_some() {
            wrong.push(("broker.user", "user and password go together, one of them is missing".to_owned()));
        }
        if !(100..=3_600_000).contains(&self.heartbeat.0.as_millis()) {
            wrong.push(("broker.heartbeat", format!("{}, expected 100ms to 1h", self.heartbeat)));
        }
        if self.max_frame < 4_096 {
            wrong.push(("broker.max_frame", format!("{}, expected at least 4096", self.max_frame)));
        }
        wrong
    }
}
