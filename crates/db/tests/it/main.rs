//! Against the real servers.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod bench;
mod disturbed;
mod dump;
mod mysql;
mod postgres;
mod projection;
mod servers;
mod snapshot;
mod watch;
mod watchy;
