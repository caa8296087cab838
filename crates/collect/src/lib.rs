//! What happens on this host? One module per source, whose `Config` is a [`Source`]; and one way to run them all: [`start`] or [`once`].
//!
//! A source reads something this host keeps, makes [`Event`](attestry_event::Event)s of it and hands them to an
//! [`Outlet`] in batches, oldest first. With each batch goes a position, a value only the source understands; the outlet keeps
//! it, in [`Positions`], after the events are durable, and the next start gives it back. So a restart neither loses nor repeats.
//! Events of logs have ids that follow from their content and place, so that even a lost position repeats nothing.
//!
//! What cannot be read is said: a `gap.collect` event, and a count in [`Status`]. Secrets are taken out in [`redact`] before an
//! event leaves its source. All names an event can have are in [`catalogue`].
//!
//! This crate knows no ledger, and nothing of where its events go. Of the network only [`endpoint`] knows, and of an async runtime.

mod apt;
pub mod auth;
pub mod catalogue;
pub mod command;
mod compared;
pub mod container_logs;
pub mod docker;
pub mod endpoint;
pub mod files;
mod follow;
pub mod host;
mod line;
pub mod logins;
mod mounted;
mod names;
pub mod packages;
mod positions;
pub mod redact;
mod regular;
pub mod services;
mod source;
pub mod tailed;
pub mod users;

pub use names::{KeyError, Names};
pub use positions::{PositionError, Positions};
/// The sources that run on every host where they can, by their names in the configuration.
pub fn built_in() -> Vec<Box<dyn Source>> {
    vec![
        Box::new(packages::Config::default()),
        Box::new(logins::Config::default()),
        Box::new(auth::Config::default()),
        Box::new(host::Config::default()),
        Box::new(users::Config::default()),
        Box::new(services::Config::default()),
        Box::new(files::Config::default()),
        Box::new(docker::Config::default()),
        Box::new(container_logs::Config::default()),
    ]
}

pub use source::{
    Availability, BATCH_EVENTS, Cadence, Collector, Feed, Outlet, Paths, Running, Setup, Source, Status,
    Stop, Stopped, once, start,
};

#[cfg(test)]
mod proof;
