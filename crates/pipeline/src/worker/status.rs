//! What a worker tells while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestry_event::Nanos;
use parking_lot::Mutex;

use crate::Log;

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It delivers, or has nothing to deliver.
    Running,
    /// A delivery failed, and it waits to try again.
    Waiting,
    /// The sink asked for a person: it delivers nothing any more.
    Halted,
    /// It has ended, because it was told to.
    Stopped,
}

/// How one sink is doing.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Events that were delivered.
    pub delivered: u64,
    /// Events that the filter left out.
    pub filtered: u64,
    /// Events that went to the dead letters.
    pub refused: u64,
    /// Deliveries that failed and were tried again.
    pub retries: u64,
    /// Events that were gone before they were read, as far as their number is known.
    pub lost: u64,
    /// How many events behind the log's end it is.
    pub lag: u64,
    /// When the oldest event that it has in hand, and not yet delivered, was taken in.
    pub oldest: Option<Nanos>,
    /// What is wrong now, and since when.
    pub trouble: Option<Trouble>,
    /// What was wrong last; stays when it is over.
    pub last_error: Option<Trouble>,
    /// Everything below this position is done with.
    pub position: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What, for people.
    pub reason: String,
    /// When it began.
    pub since: Nanos,
}

/// Shared by the worker, who writes, and those who look.
pub(super) struct Shared {
    log: Arc<dyn Log>,
    pub(super) delivered: AtomicU64,
    pub(super) filtered: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) position: AtomicU64,
    /// How many events the log had taken before the first that is not done with.
    pub(super) reached: AtomicU64,
    now: Mutex<Now>,
}

struct Now {
    state: State,
    oldest: Option<Nanos>,
    trouble: Option<Trouble>,
    last_error: Option<Trouble>,
}

/// How far a worker has come that has read nothing yet: nothing waits for it, as far as anybody knows.
const UNKNOWN: u64 = u64::MAX;

impl Shared {
    pub(super) fn new(log: Arc<dyn Log>) -> Shared {
        Shared {
            log,
            delivered: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            position: AtomicU64::new(0),
            reached: AtomicU64::new(UNKNOWN),
            now: Mutex::new(Now { state: State::Running, oldest: None, trouble: None, last_error: None }),
        }
    }

    /// The first event that it comes upon has so many before it.
    pub(super) fn begin_at(&self, reached: u64) {
        // Another value than the first is of what it has done since.
        let _ = self.reached.compare_exchange(UNKNOWN, reached, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn state(&self, state: State) {
        self.now.lock().state = state;
    }

    pub(super) fn oldest(&self, oldest: Option<Nanos>) {
        self.now.lock().oldest = oldest;
    }

    pub(super) fn trouble(&self, state: State, reason: String, at: Nanos) {
        let mut now = self.now.lock();
        now.state = state;
        let since = now.trouble.as_ref().map_or(at, |trouble| trouble.since);
        let trouble = Trouble { reason, since };
        now.last_error = Some(trouble.clone());
        now.trouble = Some(trouble);
    }

    pub(super) fn well(&self) {
        let mut now = self.now.lock();
        now.state = State::Running;
        now.trouble = None;
    }

    pub(super) fn status(&self) -> Status {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let now = self.now.lock();
        Status {
            state: now.state,
            delivered: load(&self.delivered),
            filtered: load(&self.filtered),
            refused: load(&self.refused),
            retries: load(&self.retries),
            lost: load(&self.lost),
            lag: self.log.total().saturating_sub(load(&self.reached)),
            oldest: now.oldest,
            trouble: now.trouble.clone(),
            last_error: now.last_error.clone(),
            position: load(&self.position),
        }
    }
}
