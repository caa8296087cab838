//! How far the ledger is, for those who wait for it.

use std::time::{Duration, Instant};

use attestry_event::{Clock, Nanos};
use parking_lot::{Condvar, Mutex};

#[derive(Clone, Copy, Debug, Default)]
struct State {
    size: u64,
    signed: u64,
    /// The greatest size somebody waits to see signed.
    wanted: u64,
    /// The `received_at` of entries that are being made durable.
    committing: Option<Nanos>,
    closed: bool,
}

/// Size and signed size, and a way to wait for them to grow.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

impl Progress {
    pub(crate) fn new(size: u64) -> Self {
        Progress { state: Mutex::new(State { size, ..State::default() }), changed: Condvar::new() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.state.lock().size
    }

    pub(crate) fn advance(&self, size: u64) {
        self.state.lock().size = size;
        self.changed.notify_all();
    }

    /// Gives the `received_at` of entries that will be shown with [`Progress::advance`] or never: now, or `least` when that is later.
    pub(crate) fn begin(&self, clock: &dyn Clock, least: Nanos) -> Nanos {
        let mut state = self.state.lock();
        let received_at = clock.now().max(least);
        state.committing = Some(received_at);
        received_at
    }

    /// What has begun is there, or will not be.
    pub(crate) fn end(&self) {
        self.state.lock().committing = None;
    }

    /// No entry that is not shown yet will be of this time or before.
    pub(crate) fn settled(&self, clock: &dyn Clock) -> Nanos {
        let state = self.state.lock();
        // What begins later takes its time under this lock, later.
        let next = state.committing.unwrap_or_else(|| clock.now());
        Nanos(next.0 - 1)
    }

    pub(crate) fn signed(&self, size: u64) {
        self.state.lock().signed = size;
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until the ledger has more than `index` entries, is closed, or time is up; gives the size.
    pub(crate) fn wait_beyond(&self, index: u64, timeout: Duration) -> u64 {
        self.wait(timeout, |state| state.size > index).size
    }

    /// Waits until a checkpoint covers `size` entries, and has the signer hurry; whether one does.
    pub(crate) fn wait_signed(&self, size: u64, timeout: Duration) -> bool {
        {
            let mut state = self.state.lock();
            state.wanted = state.wanted.max(size);
        }
        self.changed.notify_all();
        self.wait(timeout, |state| state.signed >= size).signed >= size
    }

    /// For the signer: waits until somebody wants more signed than is, or time is up; false when closed.
    pub(crate) fn wait_wanted(&self, timeout: Duration) -> bool {
        !self.wait(timeout, |state| state.wanted > state.signed && state.size > state.signed).closed
    }

    /// For who works at intervals: false as soon as the ledger is closed, true when time is up.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        !self.wait(time, |_| false).closed
    }

    fn wait(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> State {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while !done(&state) && !state.closed {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        *state
    }
}

#[cfg(test)]
mod tests {
    use attestry_event::ManualClock;

    use super::*;

    #[test]
    fn what_is_being_made_durable_is_not_settled() {
        let clock = ManualClock::new(Nanos(100));
        let progress = Progress::new(0);
        assert_eq!(progress.settled(&clock), Nanos(99));
        assert_eq!(progress.begin(&clock, Nanos(7)), Nanos(100));
        clock.set(Nanos(200));
        assert_eq!(progress.settled(&clock), Nanos(99));
        progress.advance(1);
        assert_eq!(progress.settled(&clock), Nanos(99));
        progress.end();
        assert_eq!(progress.settled(&clock), Nanos(199));
        // Times within a ledger never go back.
        clock.set(Nanos(50));
        assert_eq!(progress.begin(&clock, Nanos(200)), Nanos(200));
    }
}
