//! What the receivers of logs, syslog and GELF, have alike in their settings. (The fields themselves stand in both: what refuses unknown fields
//! cannot take some of its own from elsewhere.)

use std::io;
use std::ops::RangeInclusive;

use attestry_event::Period;

use crate::feed::Limits;
use crate::tls::TlsError;

/// Why nothing can be received.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The certificate cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// The address is taken, or not ours.
    #[error("cannot listen at {address}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

pub(crate) fn max_connections() -> usize {
    1_000
}

pub(crate) fn idle_timeout() -> Period {
    Period::seconds(86_400)
}

pub(crate) fn receive_buffer_bytes() -> usize {
    4 << 20
}

pub(crate) fn queue_bytes() -> u64 {
    32 << 20
}

pub(crate) fn batch_events() -> usize {
    500
}

pub(crate) fn batch_wait() -> Period {
    Period::millis(50)
}

/// Less could not hold one message of syslog of the largest size with what surrounds it.
const QUEUE_BYTES_MIN: u64 = 2 << 20;

/// The settings that both have.
pub(crate) struct Settings<'a> {
    pub(crate) event_name: &'a str,
    pub(crate) max_message_bytes: usize,
    /// What `max_message_bytes` may be.
    pub(crate) message_bytes: RangeInclusive<usize>,
    pub(crate) max_connections: usize,
    pub(crate) idle_timeout: Period,
    pub(crate) queue_bytes: u64,
    pub(crate) batch_events: usize,
    pub(crate) batch_wait: Period,
}

impl Settings<'_> {
    /// What is wrong: the field, and what was found and expected.
    pub(crate) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.event_name.is_empty() || attestry_event::is_reserved(self.event_name) {
            let expected = "expected a name that is not one of Attestry's own";
            wrong.push(("event_name", format!("{:?}, {expected}", self.event_name)));
        }
        if !self.message_bytes.contains(&self.max_message_bytes) {
            let (least, most) = (self.message_bytes.start(), self.message_bytes.end());
            let found = self.max_message_bytes;
            wrong.push(("max_message_bytes", format!("{found}, expected {least} to {most}")));
        }
        if self.queue_bytes < QUEUE_BYTES_MIN || self.queue_bytes > u64::from(u32::MAX) {
            let expected = format!("{QUEUE_BYTES_MIN} to {}", u32::MAX);
            wrong.push(("queue_bytes", format!("{}, expected {expected}", self.queue_bytes)));
        }
        for (name, number) in [("max_connections", self.max_connections), ("batch_events", self.batch_events)]
        {
            if number == 0 {
                wrong.push((name, "0, expected at least 1".to_owned()));
            }
        }
        if self.idle_timeout.0.is_zero() {
            wrong.push(("idle_timeout", "0s, expected more".to_owned()));
        }
        wrong
    }

    /// How much waits, and how it is stored together.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            queue_bytes: self.queue_bytes,
            batch_events: self.batch_events,
            batch_wait: self.batch_wait.0,
        }
    }
}
