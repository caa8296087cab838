//! When is an event committed, and how is the log kept?
//!
//! A ledger takes batches of encoded events, gives each its index and its time, makes them durable in a journal with one fsync a
//! group, adds them to a Merkle tree, signs the tree, and seals what is old enough into segments. It is the only holder
//! of truth: everything that finds, watches or reports follows it and can be made again from it.
//!
//! It knows nothing of search or HTTP. What is on the disk, and how a crash at any point is survived, is written in
//! `docs/formats.md` and above the functions that do it: [`commit`], [`seal`], [`checkpoint`], [`prune`], [`recover`].

mod checkpoint;
mod chunk;
mod commit;
mod core;
#[cfg(test)]
mod crash;
mod datadir;
mod error;
mod ids;
mod progress;
mod prune;
mod queue;
mod recover;
mod seal;
mod sealed;
mod threads;
mod tiles;
mod tree;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Batch, Clock, id_hash};
use attestry_journal::disk::{Disk, RealDisk};
pub use attestry_segment::StoredValue;
use attestry_tlog::{Hash, SigningKey, TlogProof, consistency_proof, inclusion_proof};

pub use crate::checkpoint::Signed;
use crate::core::Core;
pub use crate::datadir::{DataDir, DataDirError};
pub use crate::error::{OpenError, ReadError, Refusal, UpkeepError};
pub use crate::prune::{Prunable, prunable_on_disk};
use crate::queue::Queue;
pub use crate::queue::{OnConflict, Submission};
use crate::threads::Threads;

/// How a ledger is kept. The defaults are the product's; tests make things small.
#[derive(Clone, Debug)]
pub struct Options {
    /// The write-ahead log.
    pub journal: attestry_journal::Options,
    /// Bytes of submitted batches that may wait before new ones are refused.
    pub queue_bytes: usize,
    /// Entries a segment gets: 256 tiles, so a full segment is one full tile of level 1.
    pub segment_entries: u64,
    /// Bytes of unsealed entries at which a segment is sealed with fewer entries.
    pub segment_bytes: u64,
    /// Age of the oldest unsealed entry at which a segment is sealed with fewer entries, at least 256.
    pub seal_after: Duration,
    /// 64, 128 or 256.
    pub entries_per_block: u32,
    /// zstd's.
    pub compression_level: i32,
    /// How long (`event_source`, `event_id`) is unique, by the time of receipt.
    pub unique_for: Duration,
    /// How long news waits at most for a checkpoint.
    pub sign_every: Duration,
    /// Whether the ids of sealed entries are kept in files, or made again at each start and held in memory.
    pub keep_ids: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            journal: attestry_journal::Options {
                segment_bytes: 8 << 20,
                ..attestry_journal::Options::default()
            },
            queue_bytes: 64 << 20,
            segment_entries: 65_536,
            segment_bytes: 64 << 20,
            seal_after: Duration::from_secs(24 * 3600),
            entries_per_block: 128,
            compression_level: 1,
            unique_for: Duration::from_secs(32 * 24 * 3600),
            sign_every: Duration::from_secs(1),
            keep_ids: true,
        }
    }
}

/// Where an event of a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is a new entry.
    New(u64),
    /// The ledger has it already, there.
    Duplicate(u64),
    /// Its id is taken by other content, there; it was not stored.
    Conflict(u64),
}

impl Placed {
    /// The entry's index.
    pub fn index(self) -> u64 {
        match self {
            Placed::New(index) | Placed::Duplicate(index) | Placed::Conflict(index) => index,
        }
    }
}

/// An event whose id is taken by other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Which event of the batch, from 0.
    pub row: usize,
    /// The entry that has the id.
    pub index: u64,
}

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// For each event of the batch.
    pub placed: Vec<Placed>,
    /// The ledger's size with these events.
    pub end: u64,
}

/// How a submission ended. The batch comes back, because its sender needs the ids that were made for him.
#[derive(Debug)]
pub struct Outcome {
    /// The batch as it was submitted.
    pub batch: Batch,
    /// Where its events went, or why none was stored.
    pub result: Result<Stored, Refusal>,
}

/// What was found when a ledger was opened.
#[derive(Debug)]
pub struct Recovery {
    /// Entries there are.
    pub size: u64,
    /// Bytes at the journal's end that belonged to a write nobody was told about, and were cut.
    pub torn_bytes: u64,
    /// Damage in the journal that took no entry along.
    pub damage: Vec<attestry_journal::Damage>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Entries, pruned ones included.
    pub entries: u64,
    /// Index of the first entry that is not pruned.
    pub first: u64,
    /// Bytes of the sealed segments.
    pub sealed_bytes: u64,
    /// Bytes of the entries that are not sealed.
    pub tail_bytes: u64,
    /// Bytes that wait to be committed.
    pub queued_bytes: u64,
}

/// One ledger, open. Dropping it commits what waits, signs, and ends its threads.
pub struct Ledger<D: Disk = RealDisk> {
    core: Arc<Core<D>>,
    queue: Arc<Queue>,
    /// Ends with it.
    _threads: Threads,
}

impl Ledger {
    /// Opens the ledger in `dir`, or makes a new one there. The key's name becomes its origin.
    ///
    /// # Errors
    /// When something is missing or damaged, or the tree that was found does not contain the one that was signed last.
    pub fn open(
        dir: &Path,
        name: &str,
        key: SigningKey,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Ledger, Recovery), OpenError> {
        Ledger::open_on(RealDisk, dir, name, key, clock, options)
    }
}

impl<D: Disk> Ledger<D> {
    /// As [`Ledger::open`], on any disk.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_on(
        disk: D,
        dir: &Path,
        name: &str,
        key: SigningKey,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<(Self, Recovery), OpenError> {
        let (core, sequencer, recovery) = Core::recover(disk, dir, name, key, clock, options)?;
        let core = Arc::new(core);
        // The verifier key lies beside the log for whoever finds the folder; who distrusts it has a pin.
        let vkey = format!("{}\n", core.key.verifier());
        attestry_journal::disk::replace(&core.disk, &dir.join("vkey"), vkey.as_bytes())?;
        core.sign()?;
        let queue = Arc::new(Queue::new(core.options.queue_bytes));
        let threads = Threads::start(&core, &queue, sequencer)?;
        Ok((Ledger { core, queue, _threads: threads }, recovery))
    }

    /// Hands a batch in. The reply comes when its events are durable and in the tree, or refused: with [`Refusal::Overloaded`] when too
    /// much waits already, with [`Refusal::Closed`] after the end.
    pub fn submit(&self, submission: Submission) {
        self.queue.push(submission);
    }

    /// Hands a batch in and waits for the outcome, which holds the batch: what was refused can be offered again.
    pub fn offer(&self, batch: Batch, on_conflict: OnConflict) -> Outcome {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let reply = Box::new(move |outcome: Outcome| {
            // Nobody else holds the receiver, and it is received from below.
            let _ = sender.send(outcome);
        });
        self.submit(Submission { batch, on_conflict, reply });
        receiver.recv().unwrap_or_else(|_| Outcome { batch: Batch::new(), result: Err(Refusal::Closed) })
    }

    /// Hands a batch in and waits until it is stored.
    ///
    /// # Errors
    /// As [`Ledger::submit`] says, and what the sequencer refuses.
    pub fn append(&self, batch: Batch, on_conflict: OnConflict) -> Result<Stored, Refusal> {
        self.offer(batch, on_conflict).result
    }

    /// The ledger's name, as in its addresses.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The C2SP origin, which is the key's name too.
    pub fn origin(&self) -> &str {
        &self.core.origin
    }

    /// The verifier key in signed-note form.
    pub fn vkey(&self) -> String {
        self.core.key.verifier().to_string()
    }

    /// Number of committed entries, pruned ones included.
    pub fn size(&self) -> u64 {
        self.core.size()
    }

    /// Index of the first entry that is not pruned.
    pub fn first(&self) -> u64 {
        self.core.view.read().sealed.first()
    }

    /// How much there is of what.
    pub fn sizes(&self) -> Size {
        let view = self.core.view.read();
        Size {
            entries: self.core.size(),
            first: view.sealed.first(),
            sealed_bytes: view.sealed.bytes(),
            tail_bytes: view.tail.bytes(),
            queued_bytes: self.queue.bytes() as u64,
        }
    }

    /// Waits until the ledger has more than `index` entries, is closed, or time is up; gives its size.
    pub fn wait_beyond(&self, index: u64, timeout: Duration) -> u64 {
        self.core.progress.wait_beyond(index, timeout)
    }

    /// No entry that cannot be read yet will have this `received_at` or an earlier one, unless the system's clock is set back: who reads
    /// several ledgers in the order of time has seen all there is up to the least of theirs.
    pub fn settled(&self) -> attestry_event::Nanos {
        self.core.progress.settled(&*self.core.clock)
    }

    /// Has a checkpoint made that covers `size` entries, and waits for it; whether there is one.
    pub fn wait_signed(&self, size: u64, timeout: Duration) -> bool {
        self.core.progress.wait_signed(size, timeout)
    }

    /// The newest checkpoint.
    pub fn signed(&self) -> Option<Signed> {
        self.core.signed.read().clone()
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// [`ReadError`] when it is pruned, not there yet, or damaged.
    pub fn with_entry<T>(&self, index: u64, read: impl FnOnce(&[u8]) -> T) -> Result<T, ReadError> {
        self.core.with_entry(index, read)
    }

    /// Reads entries in index order from `from` on, at most `limit`; gives the index after the last one read.
    ///
    /// # Errors
    /// As [`Ledger::with_entry`]; what was read before has been handed over.
    pub fn scan(&self, from: u64, limit: u64, read: &mut dyn FnMut(u64, &[u8])) -> Result<u64, ReadError> {
        self.core.scan(from, limit, read)
    }

    /// Every entry that may have this event id, newest first: the caller compares.
    pub fn find_id(&self, event_id: &str) -> Vec<u64> {
        let mut found = Vec::new();
        self.core.ids.read().find(id_hash(event_id.as_bytes()), |index| found.push(index));
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }

    /// A large value with its salt; none when it was erased or never was.
    ///
    /// # Errors
    /// [`ReadError::Segment`] when its file is damaged.
    pub fn value(&self, hash: &[u8; 32]) -> Result<Option<StoredValue>, ReadError> {
        self.core.value(hash)
    }

    /// The proof that an entry is in the tree that was signed last. Who needs it for an entry of this second calls [`Ledger::wait_signed`] first.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when no checkpoint covers it yet.
    pub fn prove(&self, index: u64) -> Result<TlogProof, ReadError> {
        let signed = self.signed().filter(|signed| index < signed.size);
        let signed = signed.ok_or_else(|| ReadError::Beyond { index, size: self.size() })?;
        let hashes = inclusion_proof(index, signed.size, &*self.core).map_err(ReadError::from_proof)?;
        Ok(TlogProof { index, hashes, checkpoint: signed.note.to_string(), extra: None })
    }

    /// The proof that the tree of `old` entries is the beginning of the tree of `new`.
    ///
    /// # Errors
    /// [`ReadError::Pruned`] when `old` ends within a pruned tile.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        if new > self.size() {
            return Err(ReadError::Beyond { index: new, size: self.size() });
        }
        consistency_proof(old, new, &*self.core).map_err(ReadError::from_proof)
    }

    /// The root of a complete subtree; level 0 are the leaves.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when it is not complete, [`ReadError::Pruned`] when it lies within a pruned tile.
    pub fn tree_node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        attestry_tlog::Nodes::node(&*self.core, level, index)
    }

    /// What would be pruned if entries received before `cutoff` were to go.
    pub fn prunable(&self, cutoff: attestry_event::Nanos) -> Option<Prunable> {
        self.core.prunable(cutoff)
    }

    /// Removes the entries before `first`, by whole segments. The caller has put the `ledger.pruned` event into this ledger before.
    ///
    /// # Errors
    /// When a file cannot be written; what was pruned stays pruned, the rest stays whole.
    pub fn prune(&self, first: u64) -> Result<(), UpkeepError> {
        self.core.prune(first)
    }

    /// Seals all that can be sealed, whole tiles, now.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn seal_now(&self) -> Result<(), UpkeepError> {
        self.core.seal_all()
    }
}
