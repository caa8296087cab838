//! Writing a segment: entries in, one file out, front to back.

use std::io::Write;

use attestry_event::Nanos;
use attestry_tlog::{Hash, subtree_root};

use crate::footer::{Footer, HEADER};
use crate::{ALIGNMENT, Error};

/// Writes one segment. Nothing is valid before [`Writer::finish`] has returned and the caller has made the file durable.
pub struct Writer<W: Write> {
    out: W,
    offset: u64,
    first: u64,
    next: u64,
    entries_per_block: u32,
    block: Vec<u8>,
    block_entries: u32,
    compressor: zstd::bulk::Compressor<'static>,
    frame: Vec<u8>,
    directory: Vec<u8>,
    prefixes: Vec<u8>,
    nodes: Vec<u8>,
    blocks: u32,
    /// Leaves of the tile that is not full yet.
    tile: Vec<Hash>,
    event_times: (Nanos, Nanos),
    received: (Nanos, Nanos),
}

impl<W: Write> Writer<W> {
    /// Begins a segment whose first entry has the index `first`, a multiple of 256. `entries_per_block` is 64, 128 or
    /// 256: more compress better, fewer are quicker to read one of. `level` is zstd's.
    ///
    /// # Errors
    /// [`Error::Io`] when the header cannot be written or zstd refuses the level.
    pub fn new(mut out: W, first: u64, entries_per_block: u32, level: i32) -> Result<Self, Error> {
        debug_assert!(first.is_multiple_of(ALIGNMENT) && matches!(entries_per_block, 64 | 128 | 256));
        out.write_all(HEADER)?;
        Ok(Writer {
            out,
            offset: HEADER.len() as u64,
            first,
            next: first,
            entries_per_block,
            block: Vec::new(),
            block_entries: 0,
            compressor: zstd::bulk::Compressor::new(level)?,
            frame: Vec::new(),
            directory: Vec::new(),
            prefixes: Vec::new(),
            nodes: Vec::new(),
            blocks: 0,
            tile: Vec::with_capacity(ALIGNMENT as usize),
            event_times: (Nanos(i64::MAX), Nanos(i64::MIN)),
            received: (Nanos(0), Nanos(0)),
        })
    }

    /// Adds the next entry. `leaf` is its leaf hash; who has it already need not compute it again.
    ///
    /// # Errors
    /// [`Error::Io`] when a block cannot be written; the file is then worthless.
    pub fn push(
        &mut self,
        entry: &[u8],
        leaf: &Hash,
        event_time: Nanos,
        received_at: Nanos,
    ) -> Result<(), Error> {
        let length = u16::try_from(entry.len()).map_err(|_| {
            Error::damaged(self.offset, format!("an entry of {} bytes, at most 65535", entry.len()))
        })?;
        self.block.extend_from_slice(&length.to_be_bytes());
        self.block.extend_from_slice(entry);
        self.block_entries += 1;
        self.prefixes.extend_from_slice(&leaf.0[..4]);
        self.tile.push(*leaf);
        if self.tile.len() as u64 == ALIGNMENT {
            self.nodes.extend_from_slice(&subtree_root(&self.tile).0);
            self.tile.clear();
        }
        if self.next == self.first {
            self.received.0 = received_at;
        }
        self.received.1 = received_at;
        self.event_times.0 = self.event_times.0.min(event_time);
        self.event_times.1 = self.event_times.1.max(event_time);
        self.next += 1;
        if self.block_entries == self.entries_per_block {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), Error> {
        self.frame.clear();
        self.frame.reserve(zstd::zstd_safe::compress_bound(self.block.len()));
        self.compressor.compress_to_buffer(&self.block, &mut self.frame)?;
        self.out.write_all(&self.frame)?;
        self.directory.extend_from_slice(&self.offset.to_le_bytes());
        self.directory.extend_from_slice(&(self.frame.len() as u32).to_le_bytes());
        self.directory.extend_from_slice(&(self.block.len() as u32).to_le_bytes());
        self.directory.extend_from_slice(&self.block_entries.to_le_bytes());
        self.directory.extend_from_slice(&crc32c::crc32c(&self.frame).to_le_bytes());
        self.offset += self.frame.len() as u64;
        self.blocks += 1;
        self.block.clear();
        self.block_entries = 0;
        Ok(())
    }

    /// Writes tables and footer and gives the sink back with the footer. The number of entries must be a multiple of 256.
    ///
    /// # Errors
    /// [`Error::Io`] when they cannot be written.
    pub fn finish(mut self) -> Result<(W, Footer), Error> {
        debug_assert!(self.tile.is_empty() && self.next > self.first);
        if self.block_entries > 0 {
            self.end_block()?;
        }
        let directory_offset = self.offset;
        let prefixes_offset = directory_offset + self.directory.len() as u64;
        let nodes_offset = prefixes_offset + self.prefixes.len() as u64;
        let tables_crc = [&self.prefixes, &self.nodes]
            .iter()
            .fold(crc32c::crc32c(&self.directory), |crc, table| crc32c::crc32c_append(crc, table));
        let footer = Footer {
            first: self.first,
            end: self.next,
            event_times: self.event_times,
            received: self.received,
            directory_offset,
            blocks: self.blocks,
            entries_per_block: self.entries_per_block,
            prefixes_offset,
            nodes_offset,
            tables_crc,
        };
        for table in [&self.directory, &self.prefixes, &self.nodes] {
            self.out.write_all(table)?;
        }
        self.out.write_all(&footer.to_bytes())?;
        self.out.flush()?;
        Ok((self.out, footer))
    }
}

/// Writes what stays of a pruned segment: its range, its times and its tile nodes.
///
/// # Errors
/// [`Error::Io`] when it cannot be written.
pub(crate) fn write_pruned<W: Write>(mut out: W, of: &Footer, nodes: &[u8]) -> Result<W, Error> {
    let tables = HEADER.len() as u64;
    let footer = Footer {
        directory_offset: tables,
        prefixes_offset: tables,
        nodes_offset: tables,
        blocks: 0,
        tables_crc: crc32c::crc32c(nodes),
        ..of.clone()
    };
    out.write_all(HEADER)?;
    out.write_all(nodes)?;
    out.write_all(&footer.to_bytes())?;
    out.flush()?;
    Ok(out)
}
