//! Where events come in.

use attestry_event::Event;

/// An event as a receiver has it.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// Made from another protocol's message.
    Event(Box<Event>),
    /// What should be an event in JSON, as a client would send it.
    Json(Vec<u8>),
}

impl From<Event> for Incoming {
    fn from(event: Event) -> Incoming {
        Incoming::Event(Box::new(event))
    }
}

/// A way in, made for one receiver or source: it knows the ledger and the `event_source`.
pub trait Inlet: Send + Sync {
    /// Takes events in, in order: redacts, transforms, filters, checks. Returns when all that is kept is durable; until there is room
    /// it waits, so a receiver that cannot make its sender wait calls this from a thread of its own, with a bounded queue in front, and
    /// declares what that queue had to drop.
    ///
    /// Blocks: call it where blocking is allowed.
    ///
    /// What is not an event is not lost: it is kept inside of an `gap.malformed` that says what is wrong.
    ///
    /// # Errors
    /// [`Closed`] when nothing is taken any more; nothing of `events` counts as taken then.
    fn put(&self, events: Vec<Incoming>) -> Result<Taken, Closed>;
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Durable now.
    pub kept: usize,
    /// Left out by a filter, as configured.
    pub filtered: usize,
    /// Of the kept ones: those that were no events, and are kept as `gap.malformed`.
    pub malformed: usize,
}

/// The inlet takes nothing any more: the program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is taken any more")]
pub struct Closed;
