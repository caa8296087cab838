//! Reading a segment: one block at a time, by position, never mapped.
//!
//! Files are read with `pread` rather than mapped into memory: a file that somebody cuts short while it is open gives an error
//! that names the place, where a mapping would end the process.

use std::cell::RefCell;
use std::io::{self, Write};

use attestry_tlog::Hash;
use zstd::bulk::Decompressor;

use crate::block::Block;
use crate::footer::{DIRECTORY_RECORD_BYTES, FOOTER_BYTES, Footer, HEADER, NODE_BYTES, PREFIX_BYTES};
use crate::write::write_pruned;
use crate::{ALIGNMENT, Error};

/// A block's content may claim at most this many bytes: 256 entries of the longest kind.
const MAX_BLOCK_BYTES: u32 = 256 * (2 + 65_535);

thread_local! {
    /// Making one costs more than decompressing a block of small entries does.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(frame: &[u8], length: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        };
        decompressor.decompress(frame, length)
    })
}

/// Bytes that are read by position.
pub trait ReadAt {
    /// Fills `buffer` from `offset` on, or fails with `UnexpectedEof`.
    ///
    /// # Errors
    /// As the device says.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Number of bytes there are.
    ///
    /// # Errors
    /// As the device says.
    fn byte_len(&self) -> io::Result<u64>;
}

impl ReadAt for std::fs::File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset)
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let found =
            usize::try_from(offset).ok().and_then(|start| self.get(start..start.checked_add(buffer.len())?));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// A sealed segment, open for reading. Only the footer is held in memory.
#[derive(Debug)]
pub struct Segment<R> {
    file: R,
    footer: Footer,
    bytes: u64,
}

impl<R: ReadAt> Segment<R> {
    /// Opens a segment, checking header and footer. Contents are checked as they are read.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not a whole segment.
    pub fn open(file: R) -> Result<Self, Error> {
        let bytes = file.byte_len()?;
        let smallest = (HEADER.len() + FOOTER_BYTES) as u64;
        if bytes < smallest {
            return Err(Error::damaged(
                0,
                format!("a file of {bytes} bytes, a segment has at least {smallest}"),
            ));
        }
        let mut header = [0; HEADER.len()];
        file.read_exact_at(&mut header, 0)?;
        if &header != HEADER {
            return Err(Error::damaged(0, "no segment header"));
        }
        let offset = bytes - FOOTER_BYTES as u64;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, offset)?;
        Ok(Segment { footer: Footer::parse(&footer, offset)?, file, bytes })
    }

    /// What the segment says of itself.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of the block that holds an entry.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the segment does not hold it, as a pruned one holds none.
    pub fn block_of(&self, index: u64) -> Result<u32, Error> {
        let Footer { first, end, .. } = self.footer;
        if index < first || index >= end || self.footer.is_pruned() {
            return Err(Error::OutOfRange { index, first, end });
        }
        Ok(((index - first) / u64::from(self.footer.entries_per_block)) as u32)
    }

    /// Range of the entries of a block.
    pub fn block_range(&self, block: u32) -> std::ops::Range<u64> {
        let each = u64::from(self.footer.entries_per_block);
        let first = self.footer.first + u64::from(block) * each;
        first..(first + each).min(self.footer.end)
    }

    /// Reads, checks and decompresses a block.
    ///
    /// # Errors
    /// [`Error::Damaged`] when frame, checksum or content contradict the directory.
    pub fn block(&self, block: u32) -> Result<Block, Error> {
        let record_offset = self.footer.directory_offset + u64::from(block) * DIRECTORY_RECORD_BYTES;
        if block >= self.footer.blocks {
            return Err(Error::damaged(record_offset, format!("there is no block {block}")));
        }
        let mut record = [0; DIRECTORY_RECORD_BYTES as usize];
        self.file.read_exact_at(&mut record, record_offset)?;
        let u32_at = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap_or_default());
        let offset = u64::from_le_bytes(record[..8].try_into().unwrap_or_default());
        let (frame_length, length, entries, crc) = (u32_at(8), u32_at(12), u32_at(16), u32_at(20));
        let range = self.block_range(block);
        let fits = offset
            .checked_add(u64::from(frame_length))
            .is_some_and(|end| end <= self.footer.directory_offset);
        if !fits || length > MAX_BLOCK_BYTES || u64::from(entries) != range.end - range.start {
            return Err(Error::damaged(
                record_offset,
                format!("the directory's record of block {block} is impossible"),
            ));
        }
        let mut frame = vec![0; frame_length as usize];
        self.file.read_exact_at(&mut frame, offset)?;
        if crc32c::crc32c(&frame) != crc {
            return Err(Error::damaged(offset, format!("block {block} does not match its checksum")));
        }
        let content = decompress(&frame, length as usize)
            .map_err(|error| Error::damaged(offset, format!("block {block} does not decompress: {error}")))?;
        if content.len() != length as usize {
            return Err(Error::damaged(
                offset,
                format!("block {block} has {} bytes, expected {length}", content.len()),
            ));
        }
        Block::parse(range.start, content, entries, offset)
    }

    /// The stored tile node (8, `index`), which tells where damage is and proves nothing.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the tile lies elsewhere.
    pub fn node(&self, index: u64) -> Result<Hash, Error> {
        let Footer { first, end, nodes_offset, .. } = self.footer;
        let leaf = index.saturating_mul(ALIGNMENT);
        if leaf < first || leaf >= end {
            return Err(Error::OutOfRange { index: leaf, first, end });
        }
        let mut hash = [0; NODE_BYTES as usize];
        self.file.read_exact_at(&mut hash, nodes_offset + (leaf - first) / ALIGNMENT * NODE_BYTES)?;
        Ok(Hash(hash))
    }

    /// All stored tile nodes, in order.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be read.
    pub fn nodes(&self) -> Result<Vec<Hash>, Error> {
        let bytes = self.table(self.footer.nodes_offset, self.bytes - FOOTER_BYTES as u64)?;
        Ok(bytes.as_chunks().0.iter().map(|hash| Hash(*hash)).collect())
    }

    /// The stored first four bytes of every leaf hash, in order; empty in a pruned segment.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be read.
    pub fn prefixes(&self) -> Result<Vec<[u8; PREFIX_BYTES as usize]>, Error> {
        let bytes = self.table(self.footer.prefixes_offset, self.footer.nodes_offset)?;
        Ok(bytes.as_chunks().0.to_vec())
    }

    /// Checks directory, prefixes and nodes against their checksum.
    ///
    /// # Errors
    /// [`Error::Damaged`] when they differ.
    pub fn check_tables(&self) -> Result<(), Error> {
        let start = self.footer.directory_offset;
        let tables = self.table(start, self.bytes - FOOTER_BYTES as u64)?;
        if crc32c::crc32c(&tables) != self.footer.tables_crc {
            return Err(Error::damaged(start, "directory, prefixes and nodes do not match their checksum"));
        }
        Ok(())
    }

    fn table(&self, start: u64, end: u64) -> Result<Vec<u8>, Error> {
        let mut bytes =
            vec![0; usize::try_from(end - start).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes)
    }

    /// Writes what stays of this segment once it is pruned.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read or written.
    pub fn write_pruned<W: Write>(&self, out: W) -> Result<W, Error> {
        let nodes = self.table(self.footer.nodes_offset, self.bytes - FOOTER_BYTES as u64)?;
        write_pruned(out, &self.footer, &nodes)
    }
}

#[cfg(test)]
mod tests {
    use attestry_event::Nanos;
    use attestry_tlog::{leaf_hash, subtree_root};

    use super::*;
    use crate::Writer;

    fn entry(index: u64) -> Vec<u8> {
        format!("{{\"v\":1,\"n\":{index},\"pad\":\"{}\"}}", "x".repeat(index as usize % 91)).into_bytes()
    }

    fn sealed(first: u64, end: u64, entries_per_block: u32) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), first, entries_per_block, 3).unwrap();
        for index in first..end {
            let bytes = entry(index);
            writer
                .push(&bytes, &leaf_hash(&bytes), Nanos(1_000 - index as i64), Nanos(index as i64))
                .unwrap();
        }
        writer.finish().unwrap().0
    }

    #[test]
    fn gives_back_what_was_written() {
        for (first, end, each) in [(0, 256, 64), (256, 1024, 128), (512, 1280, 256)] {
            let segment = Segment::open(sealed(first, end, each)).unwrap();
            let footer = segment.footer();
            assert_eq!((footer.first, footer.end), (first, end));
            assert_eq!(footer.event_times, (Nanos(1_001 - end as i64), Nanos(1_000 - first as i64)));
            assert_eq!(footer.received, (Nanos(first as i64), Nanos(end as i64 - 1)));
            for index in first..end {
                let block = segment.block(segment.block_of(index).unwrap()).unwrap();
                assert_eq!(block.entry(index).unwrap(), entry(index));
            }
            let leaves: Vec<Hash> = (first..end).map(|index| leaf_hash(&entry(index))).collect();
            let nodes: Vec<Hash> = leaves.chunks(256).map(subtree_root).collect();
            assert_eq!(segment.nodes().unwrap(), nodes);
            assert_eq!(segment.node(first / 256).unwrap(), nodes[0]);
            let prefixes: Vec<[u8; 4]> = leaves.iter().map(|leaf| *leaf.0.first_chunk().unwrap()).collect();
            assert_eq!(segment.prefixes().unwrap(), prefixes);
            segment.check_tables().unwrap();
            assert!(matches!(segment.block_of(end), Err(Error::OutOfRange { .. })));
        }
    }

    #[test]
    fn a_pruned_segment_keeps_its_nodes_only() {
        let whole = Segment::open(sealed(256, 1024, 128)).unwrap();
        let pruned = Segment::open(whole.write_pruned(Vec::new()).unwrap()).unwrap();
        assert!(pruned.footer().is_pruned());
        assert_eq!(pruned.nodes().unwrap(), whole.nodes().unwrap());
        assert_eq!(pruned.footer().received, whole.footer().received);
        assert!(
            pruned.block(0).is_err()
                && pruned.block_of(300).is_err()
                && pruned.prefixes().unwrap().is_empty()
        );
        pruned.check_tables().unwrap();
    }

    /// Whatever bit is flipped, some check fails, and nothing panics or gives altered entries.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = sealed(0, 256, 128);
        let read = |bytes: Vec<u8>| -> Result<(), Error> {
            let segment = Segment::open(bytes)?;
            segment.check_tables()?;
            for block in 0..segment.footer().blocks {
                segment.block(block)?;
            }
            Ok(())
        };
        read(whole.clone()).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(read(bytes).is_err(), "a flipped bit in byte {at} went unnoticed");
        }
        for length in (0..whole.len()).step_by(7) {
            assert!(read(whole[..length].to_vec()).is_err(), "a file cut to {length} bytes went unnoticed");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400), tail: bool) {
            if tail {
                let whole = sealed(0, 256, 256);
                bytes.extend_from_slice(&whole[whole.len() / 2..]);
                bytes.splice(0..0, whole[..16].iter().copied());
            }
            if let Ok(segment) = Segment::open(bytes) {
                let _ = (segment.block(0).is_ok(), segment.nodes().is_ok(), segment.check_tables().is_ok());
            }
        }
    }
}
