//! The sources `docker` and `container_logs` with a real engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod events;
mod logs;
mod world;
