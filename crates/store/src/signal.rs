//! Tells that something can be found that could not be found before, to threads and to tasks.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

/// A number that rises, and those who wait for it.
pub(crate) struct Signal {
    value: Mutex<u64>,
    changed: Condvar,
    announced: watch::Sender<u64>,
}

impl Signal {
    pub(crate) fn new() -> Signal {
        Signal { value: Mutex::new(0), changed: Condvar::new(), announced: watch::Sender::new(0) }
    }

    pub(crate) fn get(&self) -> u64 {
        *self.value.lock()
    }

    pub(crate) fn set(&self, value: u64) {
        self.update(|old| *old = value);
    }

    pub(crate) fn bump(&self) {
        self.update(|old| *old = old.wrapping_add(1));
    }

    fn update(&self, change: impl Fn(&mut u64)) {
        let mut value = self.value.lock();
        change(&mut value);
        self.changed.notify_all();
        // Under the lock, so that the two never tell different orders.
        self.announced.send_replace(*value);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.announced.subscribe()
    }

    /// Waits until `enough` holds of the number or the deadline has come, and says whether it holds.
    pub(crate) fn wait(&self, deadline: Option<Instant>, enough: impl Fn(u64) -> bool) -> bool {
        let mut value = self.value.lock();
        while !enough(*value) {
            match deadline {
                None => self.changed.wait(&mut value),
                Some(deadline) if self.changed.wait_until(&mut value, deadline).timed_out() => {
                    return enough(*value);
                }
                Some(_) => {}
            }
        }
        true
    }
}
