//! The state of one ledger and how it is read. Threads, and when they do what, are in [`crate::Ledger`]; a test drives this directly.

use std::path::PathBuf;
use std::sync::Arc;

use attestry_event::Clock;
use attestry_journal::Journal;
use attestry_journal::disk::Disk;
use attestry_segment::StoredValue;
use attestry_tlog::{Hash, Nodes, SigningKey, leaf_hash, subtree_root};
use parking_lot::{Mutex, RwLock};

use crate::checkpoint::Signed;
use crate::chunk::{Chunk, Tail};
use crate::ids::Ids;
use crate::progress::Progress;
use crate::sealed::{BlockCache, Sealed};
use crate::tree::Tree;
use crate::{Options, ReadError};

/// Where entries are found: replaced as a whole under the lock, so that a reader never sees an entry in both places or in none.
pub(crate) struct View<F> {
    pub(crate) sealed: Sealed<F>,
    pub(crate) tail: Tail,
}

pub(crate) struct Core<D: Disk> {
    pub(crate) name: String,
    pub(crate) origin: String,
    pub(crate) dir: PathBuf,
    pub(crate) disk: D,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: SigningKey,
    pub(crate) options: Options,
    /// Written by the sequencer; the sealer shortens it.
    pub(crate) journal: Mutex<Journal<D>>,
    pub(crate) view: RwLock<View<D::File>>,
    pub(crate) cache: BlockCache,
    pub(crate) tree: RwLock<Tree>,
    pub(crate) ids: RwLock<Ids>,
    pub(crate) signed: RwLock<Option<Signed>>,
    pub(crate) progress: Progress,
    /// Held by whoever seals or prunes: one at a time changes which segments there are.
    pub(crate) upkeep: Mutex<()>,
}

/// Where one entry is.
enum Place<F> {
    Tail(Arc<Chunk>),
    Sealed(Arc<crate::sealed::SealedSegment<F>>),
}

impl<D: Disk> Core<D> {
    /// Number of committed entries, pruned ones included.
    pub(crate) fn size(&self) -> u64 {
        self.progress.size()
    }

    /// Number of entries that are not sealed.
    pub(crate) fn unsealed(&self) -> u64 {
        self.size() - self.view.read().sealed.end()
    }

    fn place(&self, index: u64) -> Result<Place<D::File>, ReadError> {
        let view = self.view.read();
        if let Some(sealed) = view.sealed.segment_of(index) {
            return match sealed.segment.footer().is_pruned() {
                true => Err(ReadError::Pruned { index, first: view.sealed.first() }),
                false => Ok(Place::Sealed(Arc::clone(sealed))),
            };
        }
        let chunk = view.tail.chunk_of(index).map(|chunk| Place::Tail(Arc::clone(chunk)));
        chunk.ok_or_else(|| ReadError::Beyond { index, size: self.size() })
    }

    /// Reads one entry.
    pub(crate) fn with_entry<T>(&self, index: u64, read: impl FnOnce(&[u8]) -> T) -> Result<T, ReadError> {
        match self.place(index)? {
            Place::Tail(chunk) => chunk.entry(index).map(read),
            Place::Sealed(sealed) => self.cache.block(&sealed, index)?.entry(index).map(read),
        }
        .ok_or(ReadError::Beyond { index, size: self.size() })
    }

    /// Reads entries in index order from `from` on, at most `limit`, past the block cache; gives the index after the last one read.
    pub(crate) fn scan(
        &self,
        from: u64,
        limit: u64,
        read: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<u64, ReadError> {
        let end = self.size().min(from.saturating_add(limit));
        let mut next = from;
        while next < end {
            match self.place(next)? {
                Place::Tail(chunk) => {
                    let stop = chunk.end().min(end);
                    (next..stop)
                        .filter_map(|index| Some((index, chunk.entry(index)?)))
                        .for_each(|(i, e)| read(i, e));
                    next = stop;
                }
                Place::Sealed(sealed) => {
                    let number = sealed
                        .segment
                        .block_of(next)
                        .map_err(|source| ReadError::Segment { path: sealed.path.clone(), source })?;
                    let block = sealed.block(number)?;
                    let stop = block.end().min(end);
                    (next..stop)
                        .filter_map(|index| Some((index, block.entry(index)?)))
                        .for_each(|(i, e)| read(i, e));
                    next = stop;
                }
            }
        }
        Ok(next)
    }

    /// The leaf hashes of a range of entries, from the entries themselves unless they are in memory.
    pub(crate) fn leaves(&self, range: std::ops::Range<u64>) -> Result<Vec<Hash>, ReadError> {
        let mut leaves = Vec::with_capacity((range.end - range.start) as usize);
        for index in range {
            leaves.push(
                match self.place(index)? {
                    Place::Tail(chunk) => chunk.leaves.get((index - chunk.first) as usize).copied(),
                    Place::Sealed(sealed) => self.cache.block(&sealed, index)?.entry(index).map(leaf_hash),
                }
                .ok_or(ReadError::Beyond { index, size: self.size() })?,
            );
        }
        Ok(leaves)
    }

    /// A large value, from memory or a value file; none when it was erased.
    pub(crate) fn value(&self, hash: &[u8; 32]) -> Result<Option<StoredValue>, ReadError> {
        let sealed = {
            let view = self.view.read();
            if let Some(value) = view.tail.value(hash) {
                return Ok(Some(StoredValue { salt: value.salt, content: value.content.clone() }));
            }
            view.sealed.clone()
        };
        sealed.value(&Hash(*hash))
    }
}

impl<D: Disk> Nodes for Core<D> {
    type Error = ReadError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        if level >= 8 {
            let size = self.size();
            return self.tree.read().node(level, index).ok_or(ReadError::Beyond { index, size });
        }
        if level == 0
            && let Some(leaf) = self.tree.read().open_leaf(index)
        {
            return Ok(leaf);
        }
        Ok(subtree_root(&self.leaves(index << level..(index + 1) << level)?))
    }
}
