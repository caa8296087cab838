//! A record as an event.

use std::borrow::Cow;

use attestry_event::{Event, Nanos};
use serde_json::Value;

use super::{Encoding, known::File, lines::Record};
use crate::{
    follow::{Gap, at_rest},
    line::{hashed_id, put},
    source::{Feed, Stopped},
};

/// More events at once than of other sources: the position of many files is not kept for every thousand lines.
const BATCH_EVENTS: usize = 10_000;

/// Where the records of the files go.
pub(super) struct Events<'f> {
    feed: &'f mut Feed,
    host: String,
    encoding: Encoding,
    /// The first problem of this look.
    problem: Option<String>,
}

impl<'f> Events<'f> {
    pub(super) fn new(feed: &'f mut Feed, encoding: Encoding) -> Events<'f> {
        let host = feed.host().to_owned();
        feed.batch_at_most(BATCH_EVENTS);
        Events { feed, host, encoding, problem: None }
    }

    pub(super) fn now(&self) -> Nanos {
        self.feed.now()
    }

    pub(super) fn go_on(&self) -> Result<(), Stopped> {
        self.feed.go_on()
    }

    pub(super) fn problem(&mut self, problem: Option<&str>) {
        self.problem = self.problem.take().or_else(|| problem.map(str::to_owned));
    }

    pub(super) fn lose(&mut self, gap: Gap) {
        self.feed.lose(gap);
    }

    pub(super) fn is_full(&self) -> bool {
        self.feed.is_full()
    }

    pub(super) fn send(&mut self, position: impl FnOnce() -> Value) -> Result<(), Stopped> {
        self.feed.send(position)?;
        self.feed.go_on()
    }

    /// Sends what there is and keeps the position even if that is nothing.
    pub(super) fn keep(&mut self, position: impl FnOnce() -> Value) -> Result<(), Stopped> {
        self.feed.keep(position)
    }

    /// Says how the look went.
    pub(super) fn ended(self) {
        self.feed.status().set_problem(self.problem);
    }

    pub(super) fn record(&mut self, file: &File, record: &Record<'_>, modified: Nanos, now: Nanos) {
        if record.bytes.trim_ascii().is_empty() {
            return;
        }
        let (text, damaged) = match self.encoding {
            Encoding::Utf8 => match String::from_utf8_lossy(record.bytes) {
                Cow::Borrowed(text) => (text.to_owned(), false),
                Cow::Owned(text) => (text, true),
            },
            Encoding::Latin1 => (record.bytes.iter().map(|&byte| char::from(byte)).collect(), false),
        };
        let id = hashed_id("follow", &self.host, &[&file.id, &record.start.to_be_bytes(), record.bytes]);
        let mut event = Event::new("log.line", "-").resource(&*file.log).severity(6).message(text);
        event.event_id = Some(id);
        // Of what was just written the border's time is as good, and the same line read again has no other.
        event.event_time = at_rest(modified, now).then_some(modified);
        if damaged {
            put(&mut event, "invalid_utf8", true);
        }
        if record.cut > 0 {
            put(&mut event, "cut_bytes", record.cut);
        }
        self.feed.push(event);
    }
}
