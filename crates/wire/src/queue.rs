//! What the queues have alike: how an event becomes a message, and how a consumer takes messages in.
//!
//! A message is one event: its body is what a client would send ([`Parcel::write_json`]), its id tells the event from all others, so that
//! a broker which knows ids stores it once. A consumer acknowledges what it fetched only after the inlet has returned, so what it has not
//! acknowledged comes again: at least once from end to end, and once in the ledger, which recognises an event by its id.

mod consumer;

use std::sync::Arc;

use attestry_event::{Period, hex};
use attestry_pipeline::{Failure, Parcel, Refused};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use consumer::Counters;
pub(crate) use consumer::{Consuming, Fetched, Gathered};

/// The media type of a body.
pub(crate) const CONTENT_TYPE: &str = "application/json";

/// The longest id, in bytes: what SQS takes for de-duplication, the strictest of all.
const ID_BYTES_MAX: usize = 128;

/// An event as it is put into a queue.
#[derive(Debug)]
pub(crate) struct Message {
    /// Which of the parcels it is.
    pub(crate) at: usize,
    /// The same for the same event, and for no other: ledger, source and id, or their hash.
    pub(crate) id: String,
    pub(crate) ledger: Arc<str>,
    pub(crate) event_name: String,
    pub(crate) body: Vec<u8>,
}

/// The parcels as messages; those that are no events, or larger than `limit` bytes, are refused.
pub(crate) fn messages(parcels: &[Parcel], limit: Option<usize>) -> (Vec<Message>, Vec<Refused>) {
    let (mut messages, mut refused) = (Vec::with_capacity(parcels.len()), Vec::new());
    for (at, parcel) in parcels.iter().enumerate() {
        match message(at, parcel, limit) {
            Ok(message) => messages.push(message),
            Err(reason) => refused.push(Refused { at, reason }),
        }
    }
    (messages, refused)
}

fn message(at: usize, parcel: &Parcel, limit: Option<usize>) -> Result<Message, String> {
    let event = parcel.event().map_err(|error| error.to_string())?;
    let mut body = Vec::with_capacity(parcel.bytes());
    parcel.write_json(&mut body).map_err(|error| error.to_string())?;
    if let Some(limit) = limit.filter(|limit| body.len() > *limit) {
        return Err(too_large(body.len(), limit));
    }
    Ok(Message {
        at,
        id: id(&parcel.ledger, &event.event_source(), &event.event_id()),
        ledger: Arc::clone(&parcel.ledger),
        event_name: event.event_name().into_owned(),
        body,
    })
}

/// The parcel `failed` and those behind it are to be offered again; those behind it that were stored are recognised by their ids. A
/// refused one before it is offered again as well, because only a whole answer can tell of it.
pub(crate) fn again(failed: usize, refused: &[Refused], reason: String) -> Failure {
    let delivered = refused.iter().map(|refused| refused.at).fold(failed, usize::min);
    Failure::Again { delivered, reason, after: None }
}

/// Why an event is not sent that is larger than the broker takes.
pub(crate) fn too_large(bytes: usize, limit: usize) -> String {
    format!("the event has {bytes} bytes, and the queue takes at most {limit}")
}

/// A ledger knows an event by its source and its id together: two sources may use the same id.
fn id(ledger: &str, source: &str, event_id: &str) -> String {
    let id = format!("{ledger}/{source}/{event_id}");
    if id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return id;
    }
    hex(Sha256::digest(id.as_bytes()))
}

/// A text for a header, where no protocol takes control characters: each is replaced by a space.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How many messages a consumer takes in at once.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batching {
    /// Messages that are made durable at once, and acknowledged together, at most. Default: 1000.
    pub events: usize,
    /// Bytes of bodies after which a batch is complete. Default: 8388608 (8 MiB).
    pub bytes: usize,
    /// How long a batch that is not full waits for more. Default: 100ms.
    pub wait: Period,
}

impl Default for Batching {
    fn default() -> Batching {
        Batching { events: 1_000, bytes: 8 << 20, wait: Period::millis(100) }
    }
}

impl Batching {
    /// What is wrong with it: the field, and what was found and expected.
    pub(crate) fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if !(1..=65_535).contains(&self.events) {
            wrong.push(("batch.events", format!("{}, expected 1 to 65535", self.events)));
        }
        if self.bytes == 0 {
            wrong.push(("batch.bytes", "0, expected at least 1".to_owned()));
        }
        wrong
    }

    /// As [`check`](Self::check), where the broker sends so many messages ahead: with fewer than a batch has, none would ever become full.
    pub(crate) fn check_with(&self, prefetch: u16) -> Vec<(&'static str, String)> {
        let mut wrong = self.check();
        if usize::from(prefetch) < self.events {
            wrong.push(("prefetch", format!("{prefetch}, expected at least batch.events, {}", self.events)));
        }
        wrong
    }
}

/// Why a session with a broker ended, for people. Holds no secret.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl Failed {
    /// With the place where it happened before it.
    pub(crate) fn at(self, place: &impl std::fmt::Display) -> Failed {
        Failed(format!("{place}: {}", self.0))
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(reason(&error))
    }
}

/// An error with what is behind it, each said once: not all libraries leave the source out of the text.
pub(crate) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_events_alone() {
        assert_eq!(id("audit", "billing", "e1"), "audit/billing/e1");
        let long = "x".repeat(200);
        for source in ["Büro", "a b", long.as_str()] {
            let id = id("audit", source, "e1");
            assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
        assert_ne!(id("audit", &long, "e1"), id("audit", &long, "e2"));
        assert_ne!(id("audit", "a", "e1"), id("audit", "b", "e1"));
        assert_eq!(id("audit", &long, "e1"), id("audit", &long, "e1"));
    }
}
