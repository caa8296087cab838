//! How do events travel? One module a protocol, both directions where it has both.
//!
//! A way out implements [`Sink`](attestry_pipeline::Sink); a way in is a `Receiver` (others connect to it) or a `Consumer` (it fetches from
//! a queue) that hands events to an [`Inlet`](attestry_pipeline::Inlet). Each has a configuration that says all its settings, their units and
//! defaults. This crate knows neither where events come from nor what becomes of them.

pub mod amqp;
pub mod archive;
pub mod ask;
pub mod attestry;
mod broker;
mod connections;
mod datagrams;
mod endpoint;
pub mod feed;
pub mod file;
pub mod gelf;
mod hostname;
mod http;
#[cfg(test)]
mod made;
pub mod mail;
pub mod nats;
pub mod ndjson;
mod notice;
pub mod otlp;
mod outgoing;
pub mod queue;
pub mod receiving;
mod requests;
pub mod secret;
pub mod server_tls;
mod socket;
pub mod sql;
#[cfg(feature = "sqs")]
pub mod sqs;
pub mod stdout;
pub mod stomp;
mod stream;
pub mod syslog;
pub mod tls;
pub mod webhook;
