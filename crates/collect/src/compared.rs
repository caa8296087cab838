//! Events that follow from comparing what is with what was: nobody told of the change, it was found.
//!
//! Such an event is marked `inferred`. Its time is the latest at which the change can have come about, by the host's own files where they
//! tell (the `ctime` of what changed, which only the clock can forge), else the time of the look. Its id follows from what it says, so a
//! look that is repeated after a crash repeats the event and not the history.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use attestry_event::{Event, Nanos, Outcome};

use crate::{
    line::{hashed_id, put},
    source::Feed,
};

/// The event a first look gives: later looks are compared with it.
pub(crate) const BASELINE: &str = "state.baseline";

/// A difference; its message and members are the caller's to add.
pub(crate) fn difference(name: &str, resource: &str, time: Nanos, message: impl Into<String>) -> Event {
    Event::new(name, "-")
        .time(time)
        .resource(resource)
        .outcome(Outcome::Success)
        .severity(5)
        .message(message)
        .data("inferred", true)
}

/// What the first look found: `counted` are members and their numbers.
pub(crate) fn baseline(kind: &str, time: Nanos, counted: &[(&str, usize)]) -> Event {
    let numbers: Vec<String> = counted.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let numbers = numbers.join(", ");
    let mut event = Event::new(BASELINE, "-")
        .time(time)
        .resource(kind)
        .read_only(true)
        .severity(6)
        .message(format!("first look of {kind}: {numbers}; changes are told from now on"))
        .data("inferred", true);
    for (what, count) in counted {
        put(&mut event, what, *count);
    }
    event
}

/// Hands over a difference under the id that follows from it.
pub(crate) fn push(feed: &mut Feed, kind: &str, mut event: Event) {
    let data = serde_json::to_vec(&event.event_data).unwrap_or_default();
    let time = event.event_time.unwrap_or_default().0.to_be_bytes();
    let resource = event.resource.as_deref().unwrap_or_default().as_bytes();
    event.event_id =
        Some(hashed_id(kind, feed.host(), &[event.event_name.as_bytes(), resource, &time, &data]));
    feed.push(event);
}

/// When a file's content, owner or mode last changed; no later than `now`.
pub(crate) fn changed(meta: &Metadata, now: Nanos) -> Nanos {
    Nanos(meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec())).min(now)
}
