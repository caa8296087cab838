//! GELF 1.1, both ways: the Graylog Extended Log Format over UDP (chunked, compressed), TCP, TLS and HTTP.
//!
//! The format is Graylog's: <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>. What is carried where, and what each
//! transport can and cannot promise, is in `docs/protocols.md`.

mod address;
mod chunks;
mod encode;
mod frames;
mod http;
mod inflate;
mod message;
mod receiver;
mod sink;

pub use chunks::{Chunks, Whole, split};
pub use frames::JsonFrames;
pub use inflate::{Inflated, inflate};
pub use message::{malformed, parse};
pub use receiver::{Receiver, ReceiverConfig};
pub use sink::{Compression, GelfSink, SinkConfig};
