//! When is an event committed? The commit point is [`Core::commit`], to be read from top to bottom.

use std::ops::Range;
use std::sync::Arc;

use attestry_event::{Batch, Entry, Nanos};
use attestry_journal::disk::Disk;
use attestry_tlog::leaf_hash;

use crate::chunk::Chunk;
use crate::core::Core;
use crate::queue::{OnConflict, Submission};
use crate::{Conflict, Outcome, Placed, Refusal, Stored};

/// First byte of a journal record that holds entries.
pub(crate) const RECORD_ENTRIES: u8 = 1;
/// First byte of a journal record that holds a large value.
pub(crate) const RECORD_VALUE: u8 = 2;
/// A journal record of entries ends at the first entry that makes it larger than this, so that damage to one takes few entries along.
const RECORD_BYTES: usize = 256 << 10;

/// What only the sequencer touches.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    /// `received_at` of the newest entry: it never decreases.
    pub(crate) last_received: Nanos,
}

impl<D: Disk> Core<D> {
    /// Commits a group of submissions with one fsync and answers each.
    ///
    /// Every event gets its index, its `received_at` and its leaf hash; the group is written to the journal and made durable;
    /// only then does anybody see it. An error before the journal's sync has returned leaves the ledger as it was: nothing
    /// was shown, so the indexes are given out again. What the disk kept of it nonetheless is cut or superseded when the journal is next opened,
    /// or, should it have become whole, is an event that was refused and stored, which its sender's repetition turns into a duplicate.
    pub(crate) fn commit(&self, sequencer: &mut Sequencer, group: Vec<Submission>) {
        let received_at = self.progress.begin(&*self.clock, sequencer.last_received);
        let mut chunk = Chunk { first: self.size(), received_at, ..Chunk::default() };
        chunk.reserve(group.iter().map(|submission| &submission.batch));
        let mut answers = Vec::with_capacity(group.len());

        // Stage. Ids go into the table at once, so that the group's own events meet each other there.
        for submission in &group {
            answers.push(self.stage(&mut chunk, submission));
        }
        if chunk.len() > 0 {
            chunk.leaves = (0..chunk.len()).filter_map(|nth| chunk.nth(nth)).map(leaf_hash).collect();

            // Make durable. On an error nothing was acknowledged and nothing is visible; going on is safe.
            match self.write(&chunk) {
                Ok(journal_end) => chunk.journal_end = journal_end,
                Err(refusal) => {
                    self.unstage(&chunk, 0);
                    self.progress.end();
                    for submission in group {
                        (submission.reply)(Outcome { batch: submission.batch, result: Err(refusal.clone()) });
                    }
                    return;
                }
            }

            // Publish. From here on the entries are in the ledger, and nothing below can fail.
            sequencer.last_received = received_at;
            self.publish(chunk);
        }
        self.progress.end();
        for (submission, answer) in group.into_iter().zip(answers) {
            (submission.reply)(Outcome { batch: submission.batch, result: answer });
        }
    }

    /// Adds a submission's new events to the chunk, or, when it is refused whole, none of them.
    fn stage(&self, chunk: &mut Chunk, submission: &Submission) -> Result<Stored, Refusal> {
        let batch = &submission.batch;
        let before = (chunk.len(), chunk.values.len());
        let received_text = chunk.received_at.to_bytes();

        // Held for the whole batch: nobody else changes the ids, and a reader of one waits a millisecond at most.
        let mut ids = self.ids.write();
        let mut sealed = Vec::new();
        ids.find_sealed(batch.rows.iter().map(|row| row.id_hash), |nth, index| sealed.push((nth, index)));
        sealed.sort_unstable();
        let mut sealed = sealed.into_iter().peekable();

        let mut placed = Vec::with_capacity(batch.rows.len());
        let mut conflicts = Vec::new();
        for (nth, row) in batch.rows.iter().enumerate() {
            let mut candidates = Vec::new();
            while let Some((_, index)) = sealed.next_if(|(of, _)| *of == nth) {
                candidates.push(index);
            }
            ids.find_hot(row.id_hash, &mut |index| candidates.push(index));
            match self.earlier(chunk, batch, nth, candidates) {
                Some(Placed::Conflict(index)) => {
                    conflicts.push(Conflict { row: nth, index });
                    placed.push(Placed::Conflict(index));
                }
                Some(duplicate) => placed.push(duplicate),
                None => {
                    let index = chunk.end();
                    let start = chunk.push(batch.entry(nth), row.event_time, row.id_hash);
                    let at = start + usize::from(row.received_at);
                    chunk.bundle[at..at + received_text.len()].copy_from_slice(&received_text);
                    chunk.values.extend_from_slice(batch.values_of(nth));
                    ids.insert(row.id_hash, index);
                    placed.push(Placed::New(index));
                }
            }
        }
        if !conflicts.is_empty() && submission.on_conflict == OnConflict::RefuseBatch {
            drop(ids);
            self.unstage(chunk, before.0);
            chunk.truncate(before.0, before.1);
            return Err(Refusal::Conflicts(conflicts));
        }
        Ok(Stored { placed, end: chunk.end() })
    }

    /// The entry that this event repeats or contradicts, if there is one among the candidates.
    fn earlier(&self, chunk: &Chunk, batch: &Batch, nth: usize, mut candidates: Vec<u64>) -> Option<Placed> {
        if candidates.is_empty() {
            return None;
        }
        candidates.sort_unstable();
        let offered = Entry::parse(batch.entry(nth)).ok()?;
        let oldest = Nanos(chunk.received_at.0.saturating_sub(self.options.unique_for.as_nanos() as i64));
        let mut salt_of = |hash: &[u8; 32]| self.salt(chunk, hash);
        for index in candidates {
            let mut check = |stored: &[u8]| {
                let entry = Entry::parse(stored).ok()?;
                let same_id = entry.event_id() == offered.event_id()
                    && entry.event_source() == offered.event_source()
                    && entry.received_at() >= oldest;
                same_id.then(|| batch.is_same(nth, stored, &mut salt_of))
            };
            // An entry that cannot be read cannot be compared; its damage is told by whoever reads or verifies it.
            let found = match chunk.entry(index) {
                Some(stored) => check(stored),
                None => self.with_entry(index, check).ok().flatten(),
            };
            match found {
                Some(true) => return Some(Placed::Duplicate(index)),
                Some(false) => return Some(Placed::Conflict(index)),
                None => {}
            }
        }
        None
    }

    /// The salt of a stored large value, which may be one of this group's own.
    fn salt(&self, chunk: &Chunk, hash: &[u8; 32]) -> Option<[u8; 16]> {
        let staged = chunk.values.iter().find(|value| value.hash == *hash).map(|value| value.salt);
        staged.or_else(|| self.value(hash).ok().flatten().map(|value| value.salt))
    }

    /// Writes the chunk to the journal and makes it durable.
    fn write(&self, chunk: &Chunk) -> Result<u64, Refusal> {
        let mut journal = self.journal.lock();
        let written = (|| {
            for value in &chunk.values {
                journal.append(&[&[RECORD_VALUE], &value.hash, &value.salt, &value.content])?;
            }
            for nths in records(chunk) {
                let index = (chunk.first + nths.start as u64).to_le_bytes();
                let count = (nths.len() as u32).to_le_bytes();
                journal.append(&[&[RECORD_ENTRIES], &index, &count, chunk.bundle_of(nths)])?;
            }
            journal.sync()
        })();
        written.map_err(|error| {
            journal.rollback();
            Refusal::from_journal(error)
        })
    }

    /// Shows a durable chunk to everybody.
    fn publish(&self, chunk: Chunk) {
        let end = chunk.end();
        {
            let mut tree = self.tree.write();
            chunk.leaves.iter().for_each(|leaf| tree.push(*leaf));
        }
        self.view.write().tail.push(Arc::new(chunk));
        self.progress.advance(end);
    }

    /// Takes the ids of staged entries back, from the `from`th on.
    fn unstage(&self, chunk: &Chunk, from: usize) {
        let mut ids = self.ids.write();
        for (nth, hash) in chunk.id_hashes.iter().enumerate().skip(from) {
            ids.remove(*hash, chunk.first + nth as u64);
        }
    }
}

/// Cuts a chunk into the ranges of its journal records.
fn records(chunk: &Chunk) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = *chunk.starts.get(from)? as usize;
        let next = from + chunk.starts[from..].partition_point(|at| (*at as usize) < start + RECORD_BYTES);
        Some(std::mem::replace(&mut from, next)..next)
    })
}
