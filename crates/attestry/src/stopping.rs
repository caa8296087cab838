//! How a thread of ours is told that it is time to end, while it waits.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Shared by a thread and whoever ends it.
#[derive(Default)]
pub(crate) struct Stopping {
    told: Mutex<bool>,
    changed: Condvar,
}

impl Stopping {
    /// It is time.
    pub(crate) fn tell(&self) {
        *self.told.lock() = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_told(&self) -> bool {
        *self.told.lock()
    }

    /// Waits so long at most; false when it is time to end.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let mut told = self.told.lock();
        if !*told {
            self.changed.wait_for(&mut told, time);
        }
        !*told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_hears_it_at_once() {
        let stopping = Stopping::default();
        assert!(stopping.wait(Duration::ZERO) && !stopping.is_told());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| while stopping.wait(Duration::from_secs(3_600)) {});
            stopping.tell();
            waiting.join().unwrap();
        });
        assert!(stopping.is_told() && !stopping.wait(Duration::from_secs(3_600)));
    }
}
