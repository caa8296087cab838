//! What sinks follow: a spool, or a ledger.

use std::ops::Range;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::watch;

use crate::Parcel;

/// Events in an order that never changes, which several readers follow, each at its own pace.
///
/// A *position* says where one stands. Positions rise and may have holes; what they mean is the log's business: the index in a ledger, the
/// chunk and the place in it in a spool. [`Parcel::number`] is its position, and the one after it is `number + 1`.
///
/// The methods block for as long as a disk takes, [`wait`](Log::wait) for as long as it is told: call them where blocking is allowed.
pub trait Log: Send + Sync {
    /// Reads on from a position. Returns what is there now, which may be nothing; it does not wait.
    ///
    /// # Errors
    /// When the disk fails to read. The same call may be tried again.
    fn read(&self, from: u64, limits: Limits) -> Result<Read, ReadError>;

    /// Waits until there may be something at or behind `position`, the log is closed, or the time has passed; returns [`end`](Log::end).
    fn wait(&self, position: u64, timeout: Duration) -> u64;

    /// The position of the oldest event that is here.
    fn first(&self) -> u64;

    /// The position behind the newest event.
    fn end(&self) -> u64;

    /// How many events the log has ever taken: what [`Read::reached`] is compared with to tell how far behind somebody is.
    fn total(&self) -> u64;

    /// Whether the log itself declares what it loses, so that those who come upon a gap need not.
    fn declares(&self) -> bool {
        false
    }

    /// A consumer is done with everything below a position, and durably remembers it. A log that exists for its consumers may then let go
    /// of what all of them are done with; others take no notice.
    fn release(&self, consumer: &str, position: u64) {
        let _ = (consumer, position);
    }
}

/// How much one read returns at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In events.
    pub events: usize,
    /// In bytes as [`Parcel::bytes`] counts them. One event more is returned where the first alone exceeds it.
    pub bytes: usize,
}

/// What a read found.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The events, in order. All numbered ones ([`Parcel::seq`]) of a ledger are of one epoch.
    pub parcels: Vec<Parcel>,
    /// Where to read on.
    pub next: u64,
    /// How many events the log had taken before the one at `next`.
    pub reached: u64,
    /// What the parcels' numbers are, ledger by ledger: without holes, also where somebody leaves some of them out.
    pub covered: Vec<Covered>,
    /// What is no longer here, and was before the position that was asked for. Then there are no parcels.
    pub gap: Option<Gap>,
}

/// The log could not be read; the same read may be tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot read on: {reason}")]
pub struct ReadError {
    /// Why, for people.
    pub reason: String,
}

/// Events that are gone before somebody had read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Positions.
    pub range: Range<u64>,
    /// How many events; `None` where nobody knows any more.
    pub events: Option<u64>,
    /// Why: `cap` (dropped for want of room), `damage`, `pruned`, `removed`.
    pub why: String,
    /// Their numbers, where they had some and they are known.
    pub lost: Vec<Covered>,
}

/// Numbers of one ledger's events, as [`Parcel::seq`] counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The ledger.
    pub ledger: Arc<str>,
    /// Which count: a spool that lost count begins a new, greater one, from 0.
    pub epoch: u64,
    /// The numbers.
    pub seqs: Range<u64>,
    /// They are lost and that is declared: there is a `gap.*` event, or will be.
    pub lost: bool,
}

impl Covered {
    /// Adds to a list, as part of its last range of the ledger where it follows that one.
    pub fn add_to(self, list: &mut Vec<Covered>) {
        let same = |last: &&mut Covered| {
            last.ledger == self.ledger && last.epoch == self.epoch && last.lost == self.lost
        };
        match list.iter_mut().rev().find(same) {
            Some(last) if last.seqs.end == self.seqs.start => last.seqs.end = self.seqs.end,
            _ => list.push(self),
        }
    }
}

/// Tells those who follow a log that there is something new, without a thread for each of them.
#[derive(Clone, Debug)]
pub struct News(watch::Receiver<u64>);

impl News {
    /// Follows a log from a thread of its own, which ends when nobody listens any more.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn follow(log: Arc<dyn Log>) -> std::io::Result<News> {
        /// How long the thread outlives the last listener at most.
        const LOOK: Duration = Duration::from_millis(500);
        const TOGETHER: Duration = Duration::from_millis(1);
        let (tell, told) = watch::channel(log.end());
        Builder::new().name("log-news".to_owned()).spawn(move || {
            while !tell.is_closed() {
                let seen = *tell.borrow();
                let end = log.wait(seen, LOOK);
                if end == seen {
                    continue;
                }
                tell.send_replace(end);
                // Who puts single events one after the other need not wake everybody for each of them.
                std::thread::sleep(TOGETHER);
            }
        })?;
        Ok(News(told))
    }

    /// Returns when the log's end is, or has become, greater than `position`.
    pub async fn beyond(&mut self, position: u64) {
        if self.0.wait_for(|end| *end > position).await.is_err() {
            // The follower is gone, which means a panic in the log: nothing will ever be new.
            std::future::pending().await
        }
    }
}
