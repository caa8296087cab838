//! Events on the disk until everybody who wants them has them.
//!
//! A spool is a journal whose records are chunks of events of one ledger. Many threads put at once and share one fsync. Consumers read
//! at their own pace, the newest from memory; what all of them are done with is removed.
//!
//! Every event has a number per ledger, `seq`, which counts from 0 within the spool's `epoch`. A number is never given twice in an epoch,
//! and what had one and is lost is declared by a `gap.spool` event in the spool itself. When the disk lost so much that counting cannot go
//! on, a new epoch begins.

mod chunk;
mod commit;
#[cfg(test)]
mod crash;
mod files;
mod losses;
mod put;
mod read;
mod recover;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use attestry_event::{Batch, Clock, Event};
use attestry_journal::disk::{Disk, RealDisk};
use attestry_journal::{Damage, Journal};
use parking_lot::{Condvar, Mutex, RwLock};

use self::chunk::{Body, Chunk, place, position};
pub(crate) use self::chunk::{get_event, put_event, take, take_u32, take_u64};
pub(crate) use self::files::oldest_end;
use self::put::Queue;
use self::read::Reading;
use self::state::{Counters, State};
use crate::{Closed, Limits, Log, Read, ReadError};

/// How a spool uses its directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many bytes its files may take together, in whole files; less than [`MIN_BYTES`] counts as that.
    pub max_bytes: u64,
    /// What gives way then.
    pub when_full: WhenFull,
    /// The size of a file in bytes; `None` is an eighth of `max_bytes`, at most 16 MiB. Small sizes are for tests, and lift the lower
    /// bound of `max_bytes`.
    pub segment_bytes: Option<u64>,
    /// How many bytes of the newest events stay in memory for those who are up to date.
    pub memory_bytes: usize,
    /// The ledger that `gap.spool` events are for.
    pub gap_ledger: String,
    /// The `event_source` of `gap.spool` events.
    pub gap_source: String,
    /// The host that `gap.spool` events name.
    pub host: Option<String>,
    /// The position below which every consumer has everything, 0 when that is not known: damage that opening finds there is declared, and as
    /// the loss of nothing.
    pub done: u64,
}

impl Default for Options {
    /// 10 GiB, blocking, 8 MiB in memory, gaps for `audit` from `spool`.
    fn default() -> Self {
        Options {
            max_bytes: 10 << 30,
            when_full: WhenFull::Block,
            segment_bytes: None,
            memory_bytes: 8 << 20,
            gap_ledger: "audit".to_owned(),
            gap_source: "spool".to_owned(),
            host: None,
            done: 0,
        }
    }
}

/// The least `max_bytes` in bytes: the largest event has 16 MiB, and some files of that size must fit.
pub const MIN_BYTES: u64 = 96 << 20;

/// What gives way when the spool is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Who puts: it waits until consumers have made room.
    Block,
    /// The oldest events, a file at a time. A `gap.spool` event says how many of which ledger.
    DropOldest,
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The epoch that counts now.
    pub epoch: u64,
    /// Whether it began just now: the spool is new, or could not go on counting.
    pub new_epoch: bool,
    /// What the journal cannot read, found now or at an earlier start. What was new of it is declared by `gap.spool` events.
    pub damage: Vec<Damage>,
    /// How many bytes of writes that nobody was told of were cut.
    pub torn_bytes: u64,
}

/// Why a spool does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its journal does not open: make room, or look at the file that is named.
    #[error("cannot open the spool in {}", dir.display())]
    Journal {
        /// The spool's directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: attestry_journal::Error,
    },
    /// Its state cannot be read or written.
    #[error("cannot use {}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How full a spool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fill {
    /// What its files take, in bytes.
    pub bytes: u64,
    /// What they may take.
    pub max_bytes: u64,
    /// Events it has ever taken.
    pub events: u64,
    /// The epoch that counts.
    pub epoch: u64,
    /// Events that were lost since it was opened, as far as that is known.
    pub lost: u64,
    /// Puts are waiting, because nothing can be kept.
    pub stalled: Option<Stalled>,
}

/// A spool that takes nothing for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Since how long.
    pub since: Duration,
    /// Why, for people.
    pub why: String,
}

/// Events on the disk until everybody who wants them has them.
///
/// The directory holds the journal (`journal/`) and the file `state`. Keeping other processes out is the owner's business ([`DirLock`](crate::DirLock)).
pub struct Spool<D: Disk = RealDisk> {
    disk: D,
    journal_dir: PathBuf,
    state_path: PathBuf,
    options: Options,
    /// The journal's limits, as they follow from the options.
    max_bytes: u64,
    segment_bytes: u64,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// Signalled when a commit has ended, there is room again, or the spool is closed.
    turned: Condvar,
    /// Held by the one who commits, for as long as a write and a sync take.
    writer: Mutex<Writer<D>>,
    /// What is durable. Changed only by who holds `writer`.
    shown: RwLock<Shown>,
    /// A copy of `shown`'s end for those who wait for news.
    end: Mutex<End>,
    arrived: Condvar,
    /// Journal readers of consumers that are behind what is in memory.
    readings: Mutex<Vec<Reading<D>>>,
    /// Up to where each is done.
    consumers: Mutex<BTreeMap<String, u64>>,
    /// The first record of the second oldest file: as soon as all consumers are there, the oldest can go.
    trim_at: AtomicU64,
}

/// What only the one who commits touches.
struct Writer<D: Disk> {
    journal: Journal<D>,
    /// Of what is durable.
    counters: Counters,
    /// As it should be on the disk; its counters are set when it is written.
    state: State,
    /// Bytes appended since the state was written.
    since_saved: u64,
    /// What the files took when `trim_at` was last looked up.
    seen_bytes: u64,
    lost: u64,
    /// Events that wait for room without anybody waiting for them.
    notices: Vec<Body>,
    /// Notices that found no place even here.
    unsaid: u64,
}

struct Shown {
    /// The newest chunks, without holes between them, up to `end`.
    tail: VecDeque<Arc<Chunk>>,
    tail_bytes: usize,
    first: u64,
    /// The record after the last.
    end: u64,
    total: u64,
}

struct End {
    position: u64,
    closed: bool,
}

impl<D: Disk> Spool<D> {
    /// Takes events of one ledger, in order, and returns their numbers when they are durable. Waits as long as there is no room.
    ///
    /// The events' `received_at` becomes the time now.
    ///
    /// # Errors
    /// [`Closed`] when the spool takes nothing any more. Some of the events may be durable nonetheless.
    pub fn put(&self, ledger: &str, batch: Batch) -> Result<Range<u64>, Closed> {
        self.put_waiting(ledger, batch)
    }

    /// Takes an event that declares a loss, for the same ledger as the spool's own. Never waits for room: where there is none now, the next
    /// put that finds some writes it, and until then it is in memory only.
    pub fn declare(&self, event: &Event) {
        /// Events that wait for room at most.
        const NOTICES: usize = 1_000;
        let bodies = self.encode(event);
        {
            let mut writer = self.writer.lock();
            match writer.notices.len() < NOTICES {
                true => writer.notices.extend(bodies),
                false => writer.unsaid += 1,
            }
        }
        if let Err(error) = self.commit(&mut []) {
            tracing::warn!(error = crate::describe(&error), "a loss is not declared yet");
        }
    }

    /// Says who reads. Files stay until all of these are done with them; one that is new here holds everything until it calls
    /// [`release`](Log::release), one that is missing here holds nothing any more. Without any, everything stays.
    pub fn set_consumers(&self, names: impl IntoIterator<Item = String>) {
        {
            let mut consumers = self.consumers.lock();
            let before = std::mem::take(&mut *consumers);
            *consumers = names
                .into_iter()
                .map(|name| {
                    let position = before.get(&name).copied().unwrap_or(0);
                    (name, position)
                })
                .collect();
        }
        self.trim();
    }

    /// Which count of events is in use.
    pub fn epoch(&self) -> u64 {
        self.writer.lock().counters.epoch
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        let stalled = {
            let queue = self.queue.lock();
            let stalled = queue.stalled.as_ref();
            stalled.map(|(since, why)| Stalled { since: since.elapsed(), why: why.clone() })
        };
        let writer = self.writer.lock();
        Fill {
            bytes: writer.journal.bytes(),
            max_bytes: self.max_bytes,
            events: writer.counters.number,
            epoch: writer.counters.epoch,
            lost: writer.lost,
            stalled,
        }
    }

    /// Takes nothing any more: whoever waits to put is told so. What is durable can still be read.
    pub fn close(&self) {
        if std::mem::replace(&mut self.queue.lock().closed, true) {
            return;
        }
        self.turned.notify_all();
        self.end.lock().closed = true;
        self.arrived.notify_all();
        let mut writer = self.writer.lock();
        if let Err(error) = self.save(&mut writer) {
            // Only makes the next open read more.
            tracing::warn!(error = error.to_string(), "the spool's state was not written");
        }
    }
}

impl<D: Disk> Drop for Spool<D> {
    fn drop(&mut self) {
        // Once closed, the directory may have another owner.
        if !self.queue.lock().closed {
            self.close();
        }
    }
}

impl<D: Disk> Log for Spool<D> {
    fn read(&self, from: u64, limits: Limits) -> Result<Read, ReadError> {
        self.read_on(from, limits)
    }

    fn wait(&self, position: u64, timeout: Duration) -> u64 {
        let until = std::time::Instant::now() + timeout;
        let mut end = self.end.lock();
        while end.position <= position && !end.closed {
            if self.arrived.wait_until(&mut end, until).timed_out() {
                break;
            }
        }
        if end.closed && end.position <= position {
            drop(end);
            // Nothing will come: keeps a caller's loop from spinning.
            std::thread::sleep(until.saturating_duration_since(std::time::Instant::now()));
            return self.end.lock().position;
        }
        end.position
    }

    fn first(&self) -> u64 {
        position(self.shown.read().first, 0)
    }

    fn end(&self) -> u64 {
        position(self.shown.read().end, 0)
    }

    fn total(&self) -> u64 {
        self.shown.read().total
    }

    fn declares(&self) -> bool {
        true
    }

    fn release(&self, consumer: &str, position: u64) {
        let moved = match self.consumers.lock().get_mut(consumer) {
            Some(at) if *at < position => {
                *at = position;
                true
            }
            _ => false,
        };
        if moved {
            self.trim();
        }
    }
}
