//! Syslog and GELF over real sockets: our sinks to our receivers, and rsyslog, `logger` and Docker on the other side.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod docker;
mod gelf;
mod rsyslog;
mod syslog;
mod world;
