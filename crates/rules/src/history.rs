//! What happened before anybody was watching.
//!
//! A source that starts on a host reads the logs that are there, months of them, and all of it is received at once. It belongs into the
//! ledger, and it is no news: counted in windows it would be a thousand logins in a second.

use std::collections::BTreeMap;

use attestry_event::{Entry, Field};

const HOUR: i64 = 3_600 * 1_000_000_000;

/// What happened so long before its source was first heard of is history. An agent that was cut off for a while after its start is not yet in it.
const BEFORE: i64 = HOUR;

/// A source that was heard of for so long has read its history: what comes with an old time after that is late, or its clock is wrong, or
/// somebody would like it not to be noticed.
const WITHIN: i64 = 24 * HOUR;

/// Sources that are known; what comes of more is never history.
const SOURCES_MAX: usize = 20_000;

/// When each source was first heard of: by `event_source`, then host, in nanoseconds of the log's time.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) first: BTreeMap<String, BTreeMap<String, i64>>,
    count: usize,
}

impl Heard {
    pub(crate) fn restore(first: BTreeMap<String, BTreeMap<String, i64>>) -> Heard {
        let count = first.values().map(BTreeMap::len).sum();
        Heard { first, count }
    }

    /// Whether an entry that was received now is history.
    pub(crate) fn is_history(&mut self, entry: &Entry<'_>, now: i64) -> bool {
        let host = entry.field(Field::Host).unwrap_or_default();
        let source = entry.event_source();
        let known = self.first.get(&*source).and_then(|hosts| hosts.get(&*host)).copied();
        let first = match known {
            Some(first) => first,
            None if self.count < SOURCES_MAX => {
                self.count += 1;
                self.first.entry(source.into_owned()).or_default().insert(host.into_owned(), now);
                now
            }
            None => return false,
        };
        now.saturating_sub(first) < WITHIN && entry.event_time().0 < first.saturating_sub(BEFORE)
    }
}

#[cfg(test)]
mod tests {
    use attestry_event::Nanos;
    use serde_json::json;

    use super::*;
    use crate::cases::entry;

    const START: i64 = 1_790_000_000_000_000_000;

    #[test]
    fn only_what_is_older_than_its_source_is_history_and_only_at_first() {
        let mut heard = Heard::default();
        // When it was received, in hours; on which host; how many hours before that it happened.
        for (at, host, ago, expected) in [
            (0.0, "web1", 2_000.0, true),
            (0.1, "web1", 1.0, false),
            (0.1, "web1", 1.2, true),
            // An agent that was cut off for most of a day.
            (20.0, "web1", 19.0, false),
            (23.9, "web1", 2_000.0, true),
            // Its clock is wrong, or somebody would like it to be.
            (24.1, "web1", 2_000.0, false),
            (24.1, "web2", 2_000.0, true),
        ] {
            let at = START + (at * HOUR as f64) as i64;
            let happened = Nanos(at - (ago * HOUR as f64) as i64);
            let event = json!({"event_name": "a.b", "host": host, "event_time": happened.to_string()});
            let entry_bytes = entry(&serde_json::from_value(event).unwrap(), 1, Nanos(at)).unwrap();
            let parsed = Entry::parse(&entry_bytes).unwrap();
            assert_eq!(heard.is_history(&parsed, at), expected, "{host} at {at}, {ago} h ago");
            heard = Heard::restore(heard.first);
        }
        assert_eq!(heard.count, 2);
    }
}
