//! Where events go.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::{Covered, Parcel};

/// What an asynchronous method of a trait object returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The far side of a way out: one protocol, one address.
///
/// A sink keeps no queue and tries nothing again by itself: whoever feeds it holds the events, waits, and offers them again. It
/// connects when it is first used and again after a failure.
pub trait Sink: Send {
    /// Offers events in order. Resolves when each of them is delivered, as surely as the protocol can say, or refused for good.
    /// The refused ones go to the sink's dead letters, the others count as delivered.
    ///
    /// May be dropped while it is pending (shutdown): the events are offered again at the next start.
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>>;

    /// Whether the far side counts, and must be told of numbers that it is not sent. Then [`account`](Self::account) is called before every
    /// [`deliver`](Self::deliver), and a batch of which the filter left nothing is delivered, too, with no parcels.
    fn accounts(&self) -> bool {
        false
    }

    /// Tells which numbers the next [`deliver`](Self::deliver) accounts for: everything in these ranges is among its parcels, was
    /// delivered or refused before, was left out by the filter, or (where it says so) is lost and declared. Once that delivery has
    /// succeeded, whatever lies in the ranges need not be waited for. The ranges of one ledger follow each other without holes, except where
    /// something was lost that nobody could count. All of them have one epoch, which is that of the parcels, but for the lost ones.
    fn account(&mut self, covered: &[Covered]) {
        let _ = covered;
    }
}

/// An event that the far side will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which of the parcels, from 0.
    pub at: usize,
    /// Why, for people. Holds no secret.
    pub reason: String,
}

/// Why a batch was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The far side is away, busy, or not set up yet: try again later, for as long as it takes.
    #[error("{reason}")]
    Again {
        /// So many from the beginning are delivered and need not be offered again.
        delivered: usize,
        /// Why, for people. Holds no secret.
        reason: String,
        /// When the far side said so: not before this time has passed.
        after: Option<Duration>,
    },
    /// Going on would be wrong until a person has looked (a server that shows another history): nothing is sent any more.
    #[error("{reason}")]
    Halt {
        /// Why, for people.
        reason: String,
    },
}

impl Failure {
    /// Nothing was delivered; try again.
    pub fn again(reason: impl Into<String>) -> Failure {
        Failure::Again { delivered: 0, reason: reason.into(), after: None }
    }
}
