//! A line of a log as an event sees it: text, what had to be done to make it text, and an id that is the same whenever the
//! line is read.

use std::borrow::Cow;

use attestry_event::Event;
use sha2::{Digest, Sha256};

use crate::follow::{Record, to_hex};

/// A record as text.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) id: String,
    /// Bytes that were no UTF-8 became U+FFFD.
    damaged: bool,
    /// How many bytes of an over-long line were left out.
    cut: u64,
}

impl Line {
    pub(crate) fn new(record: Record, source: &str, host: &str) -> Line {
        let id = event_id(source, host, &record);
        let (text, damaged) = match String::from_utf8_lossy(&record.bytes) {
            Cow::Borrowed(_) => (String::from_utf8(record.bytes).unwrap_or_default(), false),
            Cow::Owned(text) => (text, true),
        };
        Line { text, id, damaged, cut: record.cut }
    }

    /// Gives `event` the line's id, and says in it when the text is not the whole line.
    pub(crate) fn mark(&self, event: &mut Event) {
        event.event_id = Some(self.id.clone());
        if self.damaged {
            put(event, "invalid_utf8", true);
        }
        if self.cut > 0 {
            put(event, "cut_bytes", self.cut);
        }
    }
}

/// The id of the event a record gives: 32 hex digits from the kind of source, the host, the file (by its first line), the place
/// in it and the content. A lost position therefore repeats ids, and the ledger stores each event once.
pub(crate) fn event_id(source: &str, host: &str, record: &Record) -> String {
    hashed_id(source, host, &[&record.file, &record.offset.to_be_bytes(), &record.bytes])
}

/// As [`event_id`], for what is told apart by `parts`.
pub(crate) fn hashed_id(source: &str, host: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in [source.as_bytes(), host.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    to_hex(&hash.finalize()[..16])
}

/// Sets a member of `event_data`.
pub(crate) fn put(event: &mut Event, name: &str, value: impl Into<serde_json::Value>) {
    event.event_data.get_or_insert_default().insert(name.to_owned(), value.into());
}

/// Sets a member of `event_data` when there is something to set.
pub(crate) fn put_some(event: &mut Event, name: &str, value: Option<impl Into<serde_json::Value>>) {
    if let Some(value) = value {
        put(event, name, value);
    }
}

#[cfg(test)]
mod tests {
    use attestry_event::Nanos;

    use super::*;

    fn record(bytes: &[u8], file: u8, offset: u64) -> Record {
        Record { bytes: bytes.to_vec(), cut: 0, file: [file; 16], offset, modified: Nanos(0) }
    }

    #[test]
    fn ids_tell_apart_what_is_different_and_nothing_else() {
        let id = |source: &str, host: &str, bytes: &[u8], file, offset| {
            event_id(source, host, &record(bytes, file, offset))
        };
        let one = id("auth", "web1", b"line", 1, 7);
        assert_eq!(one.len(), 32);
        assert_eq!(one, id("auth", "web1", b"line", 1, 7));
        for other in [
            id("host", "web1", b"line", 1, 7),
            id("auth", "web2", b"line", 1, 7),
            id("auth", "web1", b"lime", 1, 7),
            id("auth", "web1", b"line", 2, 7),
            id("auth", "web1", b"line", 1, 8),
            id("authw", "eb1", b"line", 1, 7),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn what_is_no_text_is_said() {
        let mut event = Event::new("auth.other", "-");
        let line = Line::new(record(b"a\xffb", 1, 0), "auth", "h");
        line.mark(&mut event);
        assert_eq!(line.text, "a\u{fffd}b");
        assert_eq!(event.event_data.unwrap()["invalid_utf8"], true);
        let mut event = Event::new("auth.other", "-");
        Line::new(record("é".as_bytes(), 1, 0), "auth", "h").mark(&mut event);
        assert!(event.event_data.is_none());
    }
}
