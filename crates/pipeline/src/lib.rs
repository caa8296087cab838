//! Who gets what? Between where events come from and where they are wanted.
//!
//! A receiver or a source puts events into an [`Inlet`], which returns when they are durable. From there each [`Sink`] is fed at its
//! own pace: one that is slow, away or refusing never holds up another, and never loses an event.
//!
//! This crate knows no protocol, no source and no ledger.

pub mod dead;
mod filter;
mod inlet;
mod intake;
mod lock;
mod log;
mod parcel;
mod sink;
pub mod spool;
#[cfg(test)]
mod testing;
pub mod worker;

pub use dead::DeadLetters;
pub use filter::{Filter, SinkHook, Verdict};
pub use inlet::{Closed, Incoming, Inlet, Taken};
pub use intake::{Hook, Intake, IntakeOptions, Landing};
pub use lock::{DirLock, LockError};
pub use log::{Covered, Gap, Limits, Log, News, Read, ReadError};
pub use parcel::Parcel;
pub use sink::{Failure, Pending, Refused, Sink};
pub use spool::Spool;
pub use worker::Worker;

/// An error and what caused it, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
