//! One thread a ledger, which feeds the ledger's index. Catching up at the start and keeping up afterwards are the same loop:
//! wait until the ledger has more than the index, read what is new, add it, say so.
//!
//! The index is derived data. When it fails, searches go on with what it has and say how much is missing; the follower tries
//! again, and builds it anew from the ledger when that does not help. The ledger itself is never held up.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestry_index::{Fed, Index, Options};
use parking_lot::{Mutex, RwLock};

use crate::signal::Signal;
use crate::{Rows, RowsError};

/// The most entries added at once. More would make those before them wait longer to be found; fewer cost more for each.
const BATCH_ROWS: u64 = 8192;

/// The same in bytes: about 8192 entries of a usual size, and a bound where they are large.
const BATCH_BYTES: usize = 8 << 20;

/// How many entries are read at once.
const BLOCK_ROWS: u64 = 256;

/// How long the follower waits for the ledger before it looks whether it should end: the longest time a clean stop takes.
const WAIT: Duration = Duration::from_millis(100);

/// How long it waits after the first failure; twice as long after each further one, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After so many failures in a row the index is built anew.
const PATIENCE: u32 = 3;

/// How a ledger's index is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The ledger.
    pub ledger: Arc<str>,
    /// Entries below this index can be found.
    pub indexed: u64,
    /// The number of the ledger's entries.
    pub committed: u64,
    /// Why the index does not follow at the moment.
    pub failure: Option<String>,
    /// How often the index was built anew since the start.
    pub rebuilds: u64,
}

/// The index of one ledger, and how far it is. Shared by the thread that feeds it and those who search.
pub(crate) struct Followed {
    pub(crate) name: Arc<str>,
    pub(crate) rows: Arc<dyn Rows>,
    dir: PathBuf,
    options: Options,
    /// `None` while it cannot be opened. Replaced when it is built anew; who searches keeps the one it has.
    index: RwLock<Option<Arc<Index>>>,
    /// Entries below it can be found.
    pub(crate) indexed: Signal,
    /// Changes with every ledger's `indexed`.
    any: Arc<Signal>,
    health: Mutex<Health>,
    stop: AtomicBool,
}

#[derive(Default)]
struct Health {
    failure: Option<String>,
    rebuilds: u64,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the index cannot be opened")]
    Open(#[source] attestry_index::Error),
    #[error("the index does not take entries")]
    Add(#[source] attestry_index::Error),
    #[error("the ledger cannot be read")]
    Rows(#[source] RowsError),
    #[error("the ledger gave {found} entries where {wanted} were committed")]
    Short { found: usize, wanted: usize },
    #[error("the old index cannot be removed")]
    Remove(#[source] io::Error),
}

impl Failure {
    /// Neither a ledger that cannot be read nor a full disk is a reason to throw the index away.
    fn is_cured_by_rebuild(&self) -> bool {
        match self {
            Failure::Rows(_) | Failure::Short { .. } => false,
            Failure::Open(attestry_index::Error::Disk(error))
            | Failure::Add(attestry_index::Error::Disk(error)) => error.kind() != io::ErrorKind::StorageFull,
            _ => true,
        }
    }
}

impl Followed {
    pub(crate) fn new(rows: Arc<dyn Rows>, dir: PathBuf, options: Options, any: Arc<Signal>) -> Followed {
        let followed = Followed {
            name: rows.name().into(),
            rows,
            dir,
            options,
            index: RwLock::new(None),
            indexed: Signal::new(),
            any,
            health: Mutex::default(),
            stop: AtomicBool::new(false),
        };
        if let Err(failure) = followed.open() {
            followed.failed(&failure);
        }
        followed
    }

    pub(crate) fn index(&self) -> Option<Arc<Index>> {
        self.index.read().clone()
    }

    pub(crate) fn state(&self) -> State {
        let health = self.health.lock();
        State {
            ledger: self.name.clone(),
            indexed: self.indexed.get(),
            committed: self.rows.end(),
            failure: health.failure.clone(),
            rebuilds: health.rebuilds,
        }
    }

    pub(crate) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The thread: runs until [`Followed::ask_to_stop`].
    pub(crate) fn run(&self) {
        let mut failures = 0_u32;
        while !self.stopping() {
            match self.step() {
                Ok(()) => failures = 0,
                Err(failure) => {
                    failures += 1;
                    self.failed(&failure);
                    self.pause(FIRST_PAUSE.saturating_mul(1 << failures.min(8)).min(LONGEST_PAUSE));
                    if failure.is_cured_by_rebuild() && failures >= PATIENCE && !self.stopping() {
                        failures = 0;
                        if let Err(failure) = self.rebuild("it failed repeatedly") {
                            self.failed(&failure);
                        }
                    }
                }
            }
        }
        if let Some(index) = self.index()
            && let Err(error) = index.flush()
        {
            tracing::warn!(ledger = %self.name, %error, "the search index was not written; it will catch up at the next start");
        }
    }

    /// Adds the entries that came since the last step, or waits a moment for some.
    fn step(&self) -> Result<(), Failure> {
        let Some(index) = self.index() else { return self.open() };
        // Also lets an index that ends below the ledger's first entry go on with that.
        index.prune(self.rows.first()).map_err(Failure::Add)?;
        let from = index.end();
        let end = self.rows.wait_beyond(from, WAIT);
        if end < from {
            drop(index);
            return self.rebuild("it holds more entries than the ledger");
        }
        if end == from {
            return Ok(());
        }
        let mut next = from;
        let mut bytes = 0;
        let mut failure = None;
        let mut read = |add: &mut dyn FnMut(&[u8])| {
            let wanted: Vec<u64> = (next..end.min(next + BLOCK_ROWS).min(from + BATCH_ROWS)).collect();
            if wanted.is_empty() || bytes >= BATCH_BYTES {
                return Fed::End;
            }
            let mut found = 0;
            let result = self.rows.read(&wanted, &mut |_, entry| {
                found += 1;
                bytes += entry.len();
                add(entry);
            });
            if let Err(error) = result {
                failure = Some(Failure::Rows(error));
                return Fed::Broken;
            }
            if found != wanted.len() {
                // Pruned while they were read: the next step starts behind them.
                if self.rows.first() <= from {
                    failure = Some(Failure::Short { found, wanted: wanted.len() });
                }
                return Fed::Broken;
            }
            next += found as u64;
            Fed::More
        };
        index.feed(from, &mut read).map_err(Failure::Add)?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.advance(index.end());
        Ok(())
    }

    fn open(&self) -> Result<(), Failure> {
        let (index, opened) = Index::open(&self.dir, self.options.clone()).map_err(Failure::Open)?;
        for dropped in &opened.dropped {
            let (file, why) = (&dropped.file, &dropped.why);
            tracing::warn!(ledger = %self.name, file, why, "a part of the search index was thrown away and is built anew");
        }
        let end = index.end();
        *self.index.write() = Some(Arc::new(index));
        if end > self.rows.end() {
            return self.rebuild("it holds more entries than the ledger");
        }
        self.advance(end);
        Ok(())
    }

    /// Begins a new index. The caller must not hold the old one.
    fn rebuild(&self, why: &str) -> Result<(), Failure> {
        tracing::warn!(ledger = %self.name, why, "the search index is built anew");
        self.health.lock().rebuilds += 1;
        let mut old = self.index.write().take();
        self.set_indexed(0);
        // Its threads may write to the folder until it is gone. Who searches holds it for a moment only, to take a snapshot.
        while let Some(index) = old.take() {
            if let Err(still_used) = Arc::try_unwrap(index).map(drop) {
                old = Some(still_used);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failure::Remove(error)),
            _ => {}
        }
        let (index, _) = Index::open(&self.dir, self.options.clone()).map_err(Failure::Open)?;
        *self.index.write() = Some(Arc::new(index));
        Ok(())
    }

    fn advance(&self, indexed: u64) {
        self.health.lock().failure = None;
        self.set_indexed(indexed);
    }

    fn set_indexed(&self, indexed: u64) {
        // First those who wait for any news: who has waited for `indexed` then finds no news behind it.
        self.any.bump();
        self.indexed.set(indexed);
    }

    fn failed(&self, failure: &Failure) {
        let mut text = failure.to_string();
        let mut cause = std::error::Error::source(failure);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        tracing::error!(ledger = %self.name, failure = text, "the search index does not follow");
        self.health.lock().failure = Some(text);
    }

    fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while !self.stopping() && Instant::now() < end {
            std::thread::sleep(WAIT.min(end.saturating_duration_since(Instant::now())));
        }
    }
}
