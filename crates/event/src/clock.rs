//! Where the time comes from. Passed in everywhere, so that a test can set it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Nanos;

/// Tells the time. It may jump in either direction, as the clock of a host does: who needs rising times takes care.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Nanos;
}

/// The clock of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Nanos {
        let nanos = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Nanos(nanos(since)),
            Err(before) => Nanos(-nanos(before.duration())),
        }
    }
}

/// A clock that stands still until it is set: for tests and for replaying a log.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Nanos) -> ManualClock {
        ManualClock(AtomicI64::new(now.0))
    }

    /// Makes the clock show `now`, earlier or later than before.
    pub fn set(&self, now: Nanos) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        let moved = self.0.load(Ordering::SeqCst).saturating_add(by);
        self.0.store(moved, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_when_told() {
        let clock = ManualClock::new(Nanos(5));
        assert_eq!(clock.now(), Nanos(5));
        clock.advance(Duration::from_nanos(3));
        assert_eq!(clock.now(), Nanos(8));
        clock.set(Nanos(-1));
        assert_eq!(clock.now(), Nanos(-1));
    }

    #[test]
    fn the_system_clock_agrees_with_jiff() {
        let distance = SystemClock.now().0 - jiff::Timestamp::now().as_nanosecond() as i64;
        assert!(distance.abs() < 60_000_000_000, "{distance}");
    }
}
