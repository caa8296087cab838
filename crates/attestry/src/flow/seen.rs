//! What a receiver has counted itself, before anything was kept or left out, and what is wrong with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestry_server::ReceiverStatus;
use attestry_wire::{feed, ndjson, queue};

/// The counters of a receiver, by the way its protocol counts.
pub(crate) enum Seen {
    /// Others send to it: syslog, GELF and OTLP.
    Feed(Arc<feed::Counters>),
    /// It fetches from a queue.
    Queue(Arc<queue::Counters>),
    /// Lines of JSON.
    Ndjson(Arc<ndjson::Counters>),
}

fn now(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Seen {
    /// Writes what is counted into a receiver's status; what its protocol does not count stays unsaid.
    pub(crate) fn tell(&self, status: &mut ReceiverStatus) {
        match self {
            Seen::Feed(counters) => {
                (status.messages, status.bytes) = (now(&counters.messages), now(&counters.bytes));
                status.dropped = Some(now(&counters.dropped));
                status.refused = Some(now(&counters.refused));
                status.connections = Some(now(&counters.connections));
            }
            Seen::Queue(counters) => {
                (status.messages, status.bytes) = (now(&counters.messages), now(&counters.bytes));
                status.redelivered = Some(now(&counters.redelivered));
                status.acknowledged = Some(now(&counters.acknowledged));
                status.connects = Some(now(&counters.connects));
                status.why =
                    counters.problem().map(|reason| format!("cannot fetch from the broker: {reason}"));
            }
            Seen::Ndjson(counters) => {
                (status.messages, status.bytes) = (now(&counters.messages), now(&counters.bytes));
                status.refused = Some(now(&counters.refused));
            }
        }
    }
}
