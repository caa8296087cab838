//! How a search ends before it is done: by its deadline, or because nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Error;

/// A handle to stop a search. Clones stop together. It is looked at between blocks of rows, so a search ends some
/// milliseconds after it was stopped.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    cancelled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Never stops by itself.
    pub fn never() -> Stop {
        Stop::default()
    }

    /// Stops when this much time has passed.
    pub fn after(timeout: Duration) -> Stop {
        Stop { cancelled: Arc::default(), deadline: Instant::now().checked_add(timeout) }
    }

    /// Stops now.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Errors once it is time to stop.
    pub fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Error::TimedOut),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops() {
        let stop = Stop::never();
        assert!(stop.check().is_ok());
        stop.clone().cancel();
        assert!(matches!(stop.check(), Err(Error::Cancelled)));
        assert!(matches!(Stop::after(Duration::ZERO).check(), Err(Error::TimedOut)));
        assert!(Stop::after(Duration::from_secs(3600)).check().is_ok());
        assert!(Stop::after(Duration::MAX).check().is_ok());
    }
}
