//! How far the ledger is, for those who wait for it.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

#[derive(Clone, Copy, Debug, Default)]
struct State {
    size: u64,
    signed: u64,
    /// The greatest size somebody waits to see signed.
    wanted: u64,
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
