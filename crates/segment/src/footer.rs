//! The fixed end of a segment file, from which everything else in it is found.

use attestry_event::Nanos;

use crate::{ALIGNMENT, Error};

pub(crate) const HEADER: &[u8; 16] = b"ATTESTRY-SEG-1\n\0";
const MAGIC: &[u8; 8] = b"ATSEGEND";
pub(crate) const FOOTER_BYTES: usize = 96;
const CHECKED_BYTES: usize = 84;
pub(crate) const DIRECTORY_RECORD_BYTES: u64 = 24;
pub(crate) const PREFIX_BYTES: u64 = 4;
pub(crate) const NODE_BYTES: u64 = 32;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Index of the first entry.
    pub first: u64,
    /// Index after the last entry.
    pub end: u64,
    /// Least and greatest `event_time` of the entries.
    pub event_times: (Nanos, Nanos),
    /// `received_at` of the first and the last entry.
    pub received: (Nanos, Nanos),
    /// Where the block directory begins.
    pub directory_offset: u64,
    /// Number of blocks; 0 in what stays of a pruned segment.
    pub blocks: u32,
    /// Entries in each block, but for the last, which may hold fewer.
    pub entries_per_block: u32,
    /// Where the leaf prefixes begin.
    pub prefixes_offset: u64,
    /// Where the tile nodes begin.
    pub nodes_offset: u64,
    /// Checksum of directory, prefixes and nodes.
    pub tables_crc: u32,
}

impl Footer {
    /// Whether the entries are gone and only the tile nodes stay.
    pub fn is_pruned(&self) -> bool {
        self.blocks == 0
    }

    /// Number of entries.
    pub fn entries(&self) -> u64 {
        self.end - self.first
    }

    pub(crate) fn to_bytes(&self) -> [u8; FOOTER_BYTES] {
        let mut out = [0; FOOTER_BYTES];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.first.to_le_bytes());
        put(&self.end.to_le_bytes());
        for time in [self.event_times.0, self.event_times.1, self.received.0, self.received.1] {
            put(&time.0.to_le_bytes());
        }
        put(&self.directory_offset.to_le_bytes());
        put(&self.blocks.to_le_bytes());
        put(&self.entries_per_block.to_le_bytes());
        put(&self.prefixes_offset.to_le_bytes());
        put(&self.nodes_offset.to_le_bytes());
        put(&self.tables_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[..CHECKED_BYTES]);
        out[CHECKED_BYTES..CHECKED_BYTES + 4].copy_from_slice(&crc.to_le_bytes());
        out[CHECKED_BYTES + 4..].copy_from_slice(MAGIC);
        out
    }

    /// Reads the footer that stands at `offset` and checks that it agrees with the file's length.
    pub(crate) fn parse(bytes: &[u8; FOOTER_BYTES], offset: u64) -> Result<Self, Error> {
        if &bytes[CHECKED_BYTES + 4..] != MAGIC {
            return Err(Error::damaged(offset, "no segment footer, the file was cut or is something else"));
        }
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let time_at = |at: usize| Nanos(u64_at(at) as i64);
        if u32_at(CHECKED_BYTES) != crc32c::crc32c(&bytes[..CHECKED_BYTES]) {
            return Err(Error::damaged(offset, "the footer does not match its checksum"));
        }
        let footer = Footer {
            first: u64_at(0),
            end: u64_at(8),
            event_times: (time_at(16), time_at(24)),
            received: (time_at(32), time_at(40)),
            directory_offset: u64_at(48),
            blocks: u32_at(56),
            entries_per_block: u32_at(60),
            prefixes_offset: u64_at(64),
            nodes_offset: u64_at(72),
            tables_crc: u32_at(80),
        };
        footer.check_layout(offset)?;
        Ok(footer)
    }

    /// The tables must follow each other without a hole up to the footer, for exactly the promised number of entries.
    fn check_layout(&self, footer_offset: u64) -> Result<(), Error> {
        let wrong =
            |what: &str| Err(Error::damaged(footer_offset, format!("the footer contradicts itself: {what}")));
        if self.first >= self.end
            || !self.first.is_multiple_of(ALIGNMENT)
            || !self.end.is_multiple_of(ALIGNMENT)
        {
            return wrong("its range is not a range of whole tiles");
        }
        let entries = self.entries();
        let blocks = match self.blocks {
            0 => 0,
            _ if !matches!(self.entries_per_block, 64 | 128 | 256) => return wrong("entries a block"),
            _ => entries.div_ceil(u64::from(self.entries_per_block)),
        };
        let prefixes = if self.is_pruned() { 0 } else { entries };
        let sizes = [
            (
                self.directory_offset,
                blocks.checked_mul(DIRECTORY_RECORD_BYTES),
                self.prefixes_offset,
                "directory",
            ),
            (self.prefixes_offset, prefixes.checked_mul(PREFIX_BYTES), self.nodes_offset, "prefixes"),
            (self.nodes_offset, (entries / ALIGNMENT).checked_mul(NODE_BYTES), footer_offset, "nodes"),
        ];
        if u64::from(self.blocks) != blocks || self.directory_offset < HEADER.len() as u64 {
            return wrong("number of blocks");
        }
        for (start, size, next, name) in sizes {
            if size.and_then(|size| start.checked_add(size)) != Some(next) {
                return wrong(name);
            }
        }
        Ok(())
    }
}
