//! The sealed segments of a ledger, open for reading, with a cache of decompressed blocks.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use attestry_journal::disk::File;
use attestry_segment::{Block, ReadAt, Segment, StoredValue, Values};
use attestry_tlog::Hash;
use parking_lot::Mutex;

use crate::ReadError;

/// Decompressed blocks kept: 256 of 128 entries of 520 bytes are 17 MB.
const CACHE_BYTES: u64 = 32 << 20;

/// A disk's file, read by position as segments want it.
#[derive(Debug)]
pub(crate) struct Readable<F>(pub(crate) F);

impl<F: File> ReadAt for Readable<F> {
    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
        while !buffer.is_empty() {
            let read = self.0.read_at(buffer, offset)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            buffer = &mut buffer[read..];
            offset += read as u64;
        }
        Ok(())
    }

    fn byte_len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
}

/// One sealed segment with its value file.
pub(crate) struct SealedSegment<F> {
    pub(crate) path: PathBuf,
    pub(crate) segment: Segment<Readable<F>>,
    pub(crate) values: Option<Values<Readable<F>>>,
}

impl<F: File> SealedSegment<F> {
    pub(crate) fn first(&self) -> u64 {
        self.segment.footer().first
    }

    pub(crate) fn end(&self) -> u64 {
        self.segment.footer().end
    }

    /// Reads a block past the cache.
    pub(crate) fn block(&self, block: u32) -> Result<Block, ReadError> {
        self.segment.block(block).map_err(|source| ReadError::Segment { path: self.path.clone(), source })
    }
}

/// All sealed segments, oldest first, pruned ones among them.
pub(crate) struct Sealed<F>(pub(crate) Vec<Arc<SealedSegment<F>>>);

impl<F> Clone for Sealed<F> {
    fn clone(&self) -> Self {
        Sealed(self.0.clone())
    }
}

impl<F: File> Sealed<F> {
    /// End of the sealed range.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |last| last.end())
    }

    /// Index of the first entry that is not pruned, or the end.
    pub(crate) fn first(&self) -> u64 {
        self.0
            .iter()
            .take_while(|sealed| sealed.segment.footer().is_pruned())
            .last()
            .map_or(0, |last| last.end())
    }

    /// The segment that holds an index.
    pub(crate) fn segment_of(&self, index: u64) -> Option<&Arc<SealedSegment<F>>> {
        let after = self.0.partition_point(|sealed| sealed.first() <= index);
        self.0.get(after.checked_sub(1)?).filter(|sealed| index < sealed.end())
    }

    pub(crate) fn value(&self, hash: &Hash) -> Result<Option<StoredValue>, ReadError> {
        for sealed in self.0.iter().rev() {
            if let Some(values) = &sealed.values {
                let found = values.get(hash).map_err(|source| ReadError::Segment {
                    path: sealed.path.with_extension("val"),
                    source,
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|sealed| sealed.segment.bytes()).sum()
    }
}

/// Decompressed blocks by the index of their first entry; the ones not used for longest go first.
pub(crate) struct BlockCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    blocks: HashMap<u64, (u64, Arc<Block>)>,
    bytes: u64,
    /// Counts uses, so that each block knows when it was last wanted.
    uses: u64,
}

impl BlockCache {
    pub(crate) fn new() -> Self {
        BlockCache(Mutex::new(Kept::default()))
    }

    /// The block that holds an entry, from the cache or the file.
    pub(crate) fn block<F: File>(
        &self,
        sealed: &SealedSegment<F>,
        index: u64,
    ) -> Result<Arc<Block>, ReadError> {
        let number = sealed
            .segment
            .block_of(index)
            .map_err(|source| ReadError::Segment { path: sealed.path.clone(), source })?;
        let first = sealed.segment.block_range(number).start;
        {
            let mut kept = self.0.lock();
            kept.uses += 1;
            let now = kept.uses;
            // A re-packed segment has other blocks at the same place.
            if let Some((used, block)) =
                kept.blocks.get_mut(&first).filter(|(_, block)| block.entry(index).is_some())
            {
                *used = now;
                return Ok(Arc::clone(block));
            }
        }
        let block = Arc::new(sealed.block(number)?);
        self.keep(first, Arc::clone(&block));
        Ok(block)
    }

    fn keep(&self, first: u64, block: Arc<Block>) {
        let mut kept = self.0.lock();
        kept.bytes += block.bundle().len() as u64;
        let now = kept.uses;
        if let Some((_, old)) = kept.blocks.insert(first, (now, block)) {
            kept.bytes -= old.bundle().len() as u64;
        }
        if kept.bytes > CACHE_BYTES {
            // Half of the blocks go at once, so that finding the oldest is paid once in hundreds of reads.
            let mut uses: Vec<u64> = kept.blocks.values().map(|(used, _)| *used).collect();
            let middle = uses.len() / 2;
            let (_, median, _) = uses.select_nth_unstable(middle);
            let median = *median;
            kept.blocks.retain(|_, (used, _)| *used > median);
            kept.bytes = kept.blocks.values().map(|(_, block)| block.bundle().len() as u64).sum();
        }
    }
}
