//! A block's content: a C2SP entry bundle, decompressed.

use crate::Error;

/// The entries of one block, decompressed.
#[derive(Debug)]
pub struct Block {
    first: u64,
    bytes: Vec<u8>,
    /// Start of each entry's bytes; the end is two before the next start, where its length stands.
    starts: Vec<u32>,
}

impl Block {
    /// Takes a block's content apart; `offset` is where its frame stands in the file, for the error.
    pub(crate) fn parse(first: u64, bytes: Vec<u8>, entries: u32, offset: u64) -> Result<Self, Error> {
        let mut starts = Vec::with_capacity(entries as usize + 1);
        let mut at = 0_usize;
        while let Some(length) = bytes.get(at..at + 2) {
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            starts.push(at as u32 + 2);
            at += 2 + length;
        }
        if at != bytes.len() || starts.len() != entries as usize {
            return Err(Error::damaged(
                offset,
                format!(
                    "the block holds {} entries in {at} bytes, expected {entries} in {}",
                    starts.len(),
                    bytes.len()
                ),
            ));
        }
        starts.push(at as u32 + 2);
        Ok(Block { first, bytes, starts })
    }

    /// Index of the first entry.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Index after the last entry.
    pub fn end(&self) -> u64 {
        self.first + self.starts.len() as u64 - 1
    }

    /// The bytes of the entry with this index, if it is in this block.
    pub fn entry(&self, index: u64) -> Option<&[u8]> {
        let nth = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let (start, next) = (*self.starts.get(nth)?, *self.starts.get(nth + 1)?);
        self.bytes.get(start as usize..next as usize - 2)
    }

    /// Every entry with its index, in order.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (self.first..self.end()).filter_map(|index| Some((index, self.entry(index)?)))
    }

    /// The whole block as a C2SP entry bundle.
    pub fn bundle(&self) -> &[u8] {
        &self.bytes
    }
}
