//! What happens on this host? One file per source, and one way to run them all: [`start`] or [`once`].
//!
//! A [`Source`] reads something this host keeps, makes [`Event`](attestry_event::Event)s of it and hands them to an
//! [`Outlet`] in batches, oldest first. With each batch goes a position, a value only the source understands; the outlet keeps
//! it, in [`Positions`], after the events are durable, and the next start gives it back. So a restart neither loses nor repeats.
//! Events of logs have ids that follow from their content and place, so that even a lost position repeats nothing.
//!
//! What cannot be read is said: a `gap.collect` event, and a count in [`Status`]. Secrets are taken out in [`redact`] before an
//! event leaves its source. All names an event can have are in [`catalogue`].
//!
//! This crate knows no network, no ledger and no async runtime, and nothing of where its events go.

mod apt;
mod auth;
pub mod catalogue;
mod follow;
mod host;
mod line;
mod logins;
mod names;
mod packages;
mod positions;
pub mod redact;
mod source;

pub use names::{KeyError, Names};
pub use positions::{PositionError, Positions};
pub use source::{
    Availability, BATCH_EVENTS, Cadence, Outlet, Paths, Running, Setup, Source, Status, Stop, Stopped, once,
    start,
};

#[cfg(test)]
mod proof;
