//! What is sent: messages of syslog and GELF, all made before the first is sent.

use std::fmt::Write;

use crate::generator::Generator;

/// Messages, one behind another.
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// Where each ends, its last byte included.
    ends: Vec<usize>,
}

/// What ends a message on a stream.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// RFC 5424, a line feed behind each.
    Syslog,
    /// GELF 1.1 without compression, a NUL behind each.
    Gelf,
}

impl Lines {
    pub(super) fn new(form: Form, count: u64) -> Lines {
        let mut generator = Generator::new(42, crate::generator::Kind::Usual);
        let mut lines = Lines { bytes: Vec::new(), ends: Vec::new() };
        let mut text = String::new();
        for _ in 0..count {
            text.clear();
            let said = generator.said();
            // Writing to a string does not fail.
            let _ = match form {
                Form::Syslog => writeln!(
                    text,
                    "<134>1 {} {} app {} ID47 - {}",
                    said.time, said.host, said.number, said.message
                ),
                Form::Gelf => write!(
                    text,
                    "{{\"version\":\"1.1\",\"host\":\"{}\",\"short_message\":\"{}\",\"timestamp\":{}.{:03},\"level\":6,\"_user\":\"{}\",\"_request\":{}}}\0",
                    said.host,
                    said.message,
                    said.millis / 1_000,
                    said.millis % 1_000,
                    said.user,
                    said.number
                ),
            };
            lines.bytes.extend_from_slice(text.as_bytes());
            lines.ends.push(lines.bytes.len());
        }
        lines
    }

    /// All of it, as a stream has it.
    pub(super) fn stream(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Each message, without what ends it on a stream.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..end - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_its_protocol_says() {
        let lines = Lines::new(Form::Syslog, 100);
        assert_eq!(lines.stream().iter().filter(|byte| **byte == b'\n').count(), 100);
        assert!(lines.datagrams().all(|line| line.starts_with(b"<134>1 2026-10-") && !line.ends_with(b"\n")));
        let lines = Lines::new(Form::Gelf, 100);
        for message in lines.datagrams() {
            let message: serde_json::Value = serde_json::from_slice(message).unwrap();
            assert!(message["timestamp"].as_f64().unwrap() > 1.7e9, "{message}");
        }
        assert_eq!((lines.count(), lines.datagrams().count()), (100, 100));
    }
}
