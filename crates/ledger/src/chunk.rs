//! What one group commit added: entries that are durable in the journal and not sealed yet, kept in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use attestry_event::{Batch, LargeValue, Nanos};
use attestry_tlog::Hash;

/// The entries of one commit, in index order, laid out as a C2SP entry bundle: the same bytes go to the journal, into a
/// block of a segment and out to a reader.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) first: u64,
    pub(crate) bundle: Vec<u8>,
    /// Where each entry's bytes begin in the bundle, two behind their length.
    pub(crate) starts: Vec<u32>,
    pub(crate) leaves: Vec<Hash>,
    pub(crate) event_times: Vec<Nanos>,
    pub(crate) id_hashes: Vec<u64>,
    /// One time for all: they were committed together.
    pub(crate) received_at: Nanos,
    pub(crate) values: Vec<LargeValue>,
    /// The journal's sequence after this chunk's records.
    pub(crate) journal_end: u64,
}

impl Chunk {
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn end(&self) -> u64 {
        self.first + self.starts.len() as u64
    }

    /// The bytes of the `nth` entry of the chunk.
    pub(crate) fn nth(&self, nth: usize) -> Option<&[u8]> {
        let start = *self.starts.get(nth)? as usize;
        let end = self.starts.get(nth + 1).map_or(self.bundle.len(), |next| *next as usize - 2);
        self.bundle.get(start..end)
    }

    pub(crate) fn entry(&self, index: u64) -> Option<&[u8]> {
        self.nth(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// The part of the bundle that holds a range of entries.
    pub(crate) fn bundle_of(&self, nths: Range<usize>) -> &[u8] {
        let at = |nth: usize| self.starts.get(nth).map_or(self.bundle.len(), |start| *start as usize - 2);
        &self.bundle[at(nths.start)..at(nths.end)]
    }

    /// Forgets all entries from the `nth` on, and the values of the submission they came with.
    pub(crate) fn truncate(&mut self, nth: usize, values: usize) {
        if let Some(start) = self.starts.get(nth) {
            self.bundle.truncate(*start as usize - 2);
        }
        self.starts.truncate(nth);
        self.event_times.truncate(nth);
        self.id_hashes.truncate(nth);
        self.values.truncate(values);
    }

    /// Makes room for batches at once: megabytes that grow step by step are copied, and their pages cleared, several times.
    pub(crate) fn reserve<'a>(&mut self, batches: impl Iterator<Item = &'a Batch> + Clone) {
        let rows = batches.clone().map(Batch::len).sum();
        self.bundle.reserve_exact(batches.map(|batch| batch.bytes.len()).sum::<usize>() + 2 * rows);
        self.starts.reserve_exact(rows);
        self.event_times.reserve_exact(rows);
        self.id_hashes.reserve_exact(rows);
    }

    /// Appends one entry and gives where its bytes begin in the bundle.
    pub(crate) fn push(&mut self, entry: &[u8], event_time: Nanos, id_hash: u64) -> usize {
        self.bundle.extend_from_slice(&(entry.len() as u16).to_be_bytes());
        let start = self.bundle.len();
        self.starts.push(start as u32);
        self.bundle.extend_from_slice(entry);
        self.event_times.push(event_time);
        self.id_hashes.push(id_hash);
        start
    }
}

/// The chunks that are not wholly sealed, oldest first, without holes between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    chunks: VecDeque<Arc<Chunk>>,
    bytes: u64,
}

impl Tail {
    pub(crate) fn push(&mut self, chunk: Arc<Chunk>) {
        self.bytes += chunk.bundle.len() as u64;
        self.chunks.push_back(chunk);
    }

    /// The chunk that holds an index.
    pub(crate) fn chunk_of(&self, index: u64) -> Option<&Arc<Chunk>> {
        let after = self.chunks.partition_point(|chunk| chunk.first <= index);
        self.chunks.get(after.checked_sub(1)?).filter(|chunk| index < chunk.end())
    }

    /// The chunks from the one that holds `index` on.
    pub(crate) fn from(&self, index: u64) -> impl Iterator<Item = &Arc<Chunk>> {
        let start = self.chunks.partition_point(|chunk| chunk.end() <= index);
        self.chunks.range(start..)
    }

    /// Forgets the chunks that lie wholly before `index`; gives the journal's sequence up to which nothing is needed any more.
    pub(crate) fn drop_before(&mut self, index: u64) -> Option<u64> {
        let mut journal_end = None;
        while let Some(chunk) = self.chunks.pop_front_if(|chunk| chunk.end() <= index) {
            self.bytes -= chunk.bundle.len() as u64;
            journal_end = Some(chunk.journal_end);
        }
        journal_end
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest entry that is not sealed came in.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        self.chunks.front().map(|chunk| chunk.received_at)
    }

    /// When the newest entry came in.
    pub(crate) fn newest(&self) -> Option<Nanos> {
        self.chunks.back().map(|chunk| chunk.received_at)
    }

    pub(crate) fn value(&self, hash: &[u8; 32]) -> Option<&LargeValue> {
        self.chunks.iter().flat_map(|chunk| &chunk.values).find(|value| value.hash == *hash)
    }
}
