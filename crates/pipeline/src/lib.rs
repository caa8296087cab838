//! Who gets what? Between where events come from and where they are wanted.
//!
//! A receiver or a source puts events into an [`Inlet`], which returns when they are durable. From there each [`Sink`] is fed at its
//! own pace: one that is slow, away or refusing never holds up another, and never loses an event.
//!
//! This crate knows no protocol, no source and no ledger.

mod inlet;
mod parcel;
mod sink;

pub use inlet::{Closed, Incoming, Inlet, Taken};
pub use parcel::Parcel;
pub use sink::{Failure, Pending, Refused, Sink};
