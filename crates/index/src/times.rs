//! A column of times, in nanoseconds since 1970, one for each row.
//!
//! Blocks of [`BLOCK`] rows, each with its least and greatest time (i64), where its numbers start (u32), their unit
//! (u8: 0 nanoseconds, 1 micro-, 2 milliseconds, 3 seconds, the coarsest that loses nothing), their width in bits (u8)
//! and two zero bytes. The numbers are distances to the least time in units, packed. The blocks' heads come first.

use std::io;

use crate::out::{Out, Span};
use crate::pack::{Packed, bits_for, pack, slice, u32_at, u64_at};

/// Rows a block.
pub(crate) const BLOCK: u32 = 1024;

const HEAD: usize = 24;

const UNITS: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// Writes the times of all rows, which come block by block.
#[derive(Default)]
pub(crate) struct TimeWriter {
    heads: Vec<u8>,
    numbers: Vec<u8>,
    block: Vec<i64>,
}

impl TimeWriter {
    pub(crate) fn push(&mut self, time: i64) {
        self.block.push(time);
        if self.block.len() == BLOCK as usize {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        let least = self.block.iter().copied().min().unwrap_or(0);
        let greatest = self.block.iter().copied().max().unwrap_or(0);
        let distance = |time: i64| time.wrapping_sub(least) as u64;
        let fits = |unit: &i64| self.block.iter().all(|time| distance(*time).is_multiple_of(*unit as u64));
        let unit = UNITS.iter().rposition(fits).unwrap_or(0);
        let size = UNITS.get(unit).copied().unwrap_or(1) as u64;
        let bits = bits_for(distance(greatest) / size);
        self.heads.extend_from_slice(&least.to_le_bytes());
        self.heads.extend_from_slice(&greatest.to_le_bytes());
        self.heads.extend_from_slice(&(self.numbers.len() as u32).to_le_bytes());
        self.heads.extend_from_slice(&[unit as u8, bits, 0, 0]);
        pack(&mut self.numbers, bits, self.block.iter().map(|time| distance(*time) / size));
        self.block.clear();
    }

    /// Writes what was gathered, and is empty again.
    pub(crate) fn finish(&mut self, out: &mut Out<'_>) -> io::Result<Span> {
        if !self.block.is_empty() {
            self.end_block();
        }
        let start = out.position();
        out.put(&self.heads)?;
        out.put(&self.numbers)?;
        self.heads.clear();
        self.numbers.clear();
        Ok(out.since(start))
    }
}

/// Reads a column of times.
#[derive(Clone, Copy)]
pub(crate) struct Times<'a> {
    heads: &'a [u8],
    numbers: &'a [u8],
}

/// One block, for reading many of its times.
#[derive(Clone, Copy)]
pub(crate) struct TimeBlock<'a> {
    pub(crate) least: i64,
    pub(crate) greatest: i64,
    unit: i64,
    numbers: Packed<'a>,
}

impl TimeBlock<'_> {
    /// The time of the block's row `at`.
    #[inline]
    pub(crate) fn time(&self, at: u32) -> i64 {
        self.least.wrapping_add((self.numbers.get(at as usize) as i64).wrapping_mul(self.unit))
    }
}

impl<'a> Times<'a> {
    pub(crate) fn new(part: &'a [u8], span: Span, rows: u32) -> Times<'a> {
        let bytes = slice(part, span.offset, span.len);
        let heads = rows.div_ceil(BLOCK) as usize * HEAD;
        Times { heads: slice(bytes, 0, heads), numbers: slice(bytes, heads, usize::MAX) }
    }

    #[inline]
    pub(crate) fn block(&self, block: u32) -> TimeBlock<'a> {
        let head = slice(self.heads, block as usize * HEAD, HEAD);
        let unit = head.get(20).and_then(|unit| UNITS.get(usize::from(*unit))).copied().unwrap_or(1);
        let bits = head.get(21).copied().unwrap_or(0);
        TimeBlock {
            least: u64_at(head, 0) as i64,
            greatest: u64_at(head, 8) as i64,
            unit,
            numbers: Packed::new(slice(self.numbers, u32_at(head, 16) as usize, usize::MAX), bits),
        }
    }

    /// The first `rows` times.
    pub(crate) fn iter(self, rows: u32) -> impl Iterator<Item = i64> + use<'a> {
        (0..rows.div_ceil(BLOCK)).flat_map(move |number| {
            let block = self.block(number);
            (0..BLOCK.min(rows - number * BLOCK)).map(move |at| block.time(at))
        })
    }

    #[inline]
    pub(crate) fn get(&self, row: u32) -> i64 {
        self.block(row / BLOCK).time(row % BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[i64]) {
        let mut bytes = Vec::new();
        let mut out = Out::new(&mut bytes);
        let mut writer = TimeWriter::default();
        let mut span = Span::default();
        for _ in 0..2 {
            times.iter().for_each(|time| writer.push(*time));
            span = writer.finish(&mut out).unwrap();
        }
        out.checksum().unwrap();
        let read = Times::new(&bytes, span, times.len() as u32);
        for (row, time) in times.iter().enumerate() {
            assert_eq!(read.get(row as u32), *time, "row {row} of {}", times.len());
        }
        for (block, times) in times.chunks(BLOCK as usize).enumerate() {
            let block = read.block(block as u32);
            assert_eq!(Some(block.least), times.iter().copied().min());
            assert_eq!(Some(block.greatest), times.iter().copied().max());
        }
    }

    #[test]
    fn times_come_back() {
        let second = 1_000_000_000;
        for count in [1, 2, 1023, 1024, 1025, 3000] {
            check(&(0..count).collect::<Vec<_>>());
            check(&vec![-5; count as usize]);
            for unit in [1, 1_000, 1_000_000, second, 60 * second] {
                let scattered = |i: i64| 1_700_000_000 * second + (i * 7919 % 1013 - 500) * unit;
                check(&(0..count).map(scattered).collect::<Vec<_>>());
            }
        }
        check(&[i64::MIN, i64::MAX, 0, 1, -1]);
        check(&[i64::MAX, i64::MIN]);
    }
}
