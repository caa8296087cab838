//! Syslog, both ways: RFC 5424 and what came before it (RFC 3164), over unix sockets, UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425).
//!
//! What is carried where, and what each transport can and cannot promise, is in `docs/protocols.md`.

mod address;
mod format;
mod frames;
mod line;
mod message;
mod priority;
mod receiver;
mod sink;
mod stamp;
mod template;

pub use frames::{Frame, Frames};
pub use message::{Context, Element, Form, Message, parse};
pub use priority::{Facility, Level, UnknownName};
pub use receiver::{Receiver, ReceiverConfig};
pub(crate) use sink::udp;
pub use sink::{Format, Framing, Rule, SinkConfig, SyslogSink, Unusable};
