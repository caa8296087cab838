//! The queues against the real brokers: what goes in comes out, exactly, whatever happens to the broker in between.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod activemq;
mod both_ways;
mod cut;
mod nats;
mod nats_logins;
mod rabbitmq;
#[cfg(feature = "sqs")]
mod sqs;
mod strangers;
