//! The rows of one term.
//!
//! Beside each term of a dictionary stands how many rows it has. With that and the part's number of rows, the form of
//! the list is given:
//!
//! - all rows: nothing is written;
//! - up to [`INLINE`] rows: varints in the dictionary entry itself, the first row, then differences less one;
//! - one row in [`DENSE`] or more: a bitmap, 8 bytes for each 64 rows begun;
//! - otherwise: for each full block of 128 rows its last row (u32), then for each its width in bits (u8), then the
//!   blocks, bit-packed differences less one (`BitPacker4x`, strictly sorted), then the remaining rows as varint
//!   differences less one. The last rows let an intersection skip blocks.

use bitpacking::{BitPacker, BitPacker4x};

use crate::bitmap::Bitmap;
use crate::pack::{Cursor, put_varint, slice, u32_at};
use crate::rows::RowSet;

/// Lists of at most this many rows stand in the dictionary entry.
pub(crate) const INLINE: u32 = 4;

/// From one row in this many on, a list is a bitmap.
const DENSE: u32 = 8;

const BLOCK: usize = BitPacker4x::BLOCK_LEN;

fn is_dense(count: u32, rows: u32) -> bool {
    u64::from(count) * u64::from(DENSE) >= u64::from(rows)
}

/// Appends ascending, distinct `list` of a part with `rows` rows, in the form that its length gives.
pub(crate) fn encode(list: &[u32], rows: u32, out: &mut Vec<u8>) {
    let count = list.len() as u32;
    if count == rows {
        return;
    }
    if count <= INLINE {
        put_differences(list, None, out);
    } else if is_dense(count, rows) {
        let start = out.len();
        out.resize(start + rows.div_ceil(64) as usize * 8, 0);
        if let Some(bitmap) = out.get_mut(start..) {
            for row in list {
                if let Some(byte) = bitmap.get_mut((row >> 3) as usize) {
                    *byte |= 1 << (row & 7);
                }
            }
        }
    } else {
        put_blocks(list, out);
    }
}

fn put_blocks(list: &[u32], out: &mut Vec<u8>) {
    let packer = BitPacker4x::new();
    let (blocks, tail) = list.as_chunks::<BLOCK>();
    for block in blocks {
        out.extend_from_slice(&block.last().copied().unwrap_or(0).to_le_bytes());
    }
    let widths = out.len();
    out.resize(widths + blocks.len(), 0);
    let mut before = None;
    let mut buffer = [0; BLOCK * 4];
    for (at, block) in blocks.iter().enumerate() {
        let bits = packer.num_bits_strictly_sorted(before, block);
        if let Some(width) = out.get_mut(widths + at) {
            *width = bits;
        }
        let len = packer.compress_strictly_sorted(before, block, &mut buffer, bits);
        out.extend_from_slice(buffer.get(..len).unwrap_or(&[]));
        before = block.last().copied();
    }
    put_differences(tail, before, out);
}

fn put_differences(list: &[u32], mut before: Option<u32>, out: &mut Vec<u8>) {
    for &row in list {
        put_varint(out, u64::from(before.map_or(row, |before| row - before - 1)));
        before = Some(row);
    }
}

fn next_row(cursor: &mut Cursor<'_>, before: Option<u32>) -> u32 {
    let step = cursor.varint32();
    before.map_or(step, |before| before.wrapping_add(step).wrapping_add(1))
}

/// A list as it stands in a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    count: u32,
    rows: u32,
    bytes: &'a [u8],
}

impl<'a> List<'a> {
    /// `bytes` start where [`encode`] wrote and may go on after it.
    pub(crate) fn new(count: u32, rows: u32, bytes: &'a [u8]) -> List<'a> {
        List { count, rows, bytes }
    }

    pub(crate) fn none() -> List<'static> {
        List { count: 0, rows: 1, bytes: &[] }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    fn is_dense(&self) -> bool {
        self.count > INLINE && is_dense(self.count, self.rows)
    }

    /// Appends the rows, each plus `offset`.
    pub(crate) fn decode(&self, offset: u32, out: &mut Vec<u32>) {
        if self.count == self.rows {
            out.extend(offset..offset + self.rows);
        } else if self.is_dense() {
            out.reserve(self.count as usize);
            for (at, word) in self.bitmap_words().enumerate() {
                let mut word = word;
                let base = offset + ((at as u32) << 6);
                while word != 0 {
                    out.push(base + word.trailing_zeros());
                    word &= word - 1;
                }
            }
        } else {
            let start = out.len();
            let blocks = Blocks::new(self);
            out.reserve(self.count as usize);
            let mut rows = [0; BLOCK];
            let mut at = 0;
            for block in 0..blocks.count {
                at = blocks.decode(block, at, &mut rows);
                out.extend_from_slice(&rows);
            }
            let mut before = blocks.last(blocks.count);
            let mut cursor = Cursor::new(slice(blocks.packed, at, usize::MAX));
            for _ in 0..self.tail() {
                let row = next_row(&mut cursor, before);
                out.push(row);
                before = Some(row);
            }
            if offset != 0 {
                out.iter_mut().skip(start).for_each(|row| *row = row.wrapping_add(offset));
            }
        }
    }

    /// Adds the rows to a bitmap, uncounted; `scratch` is emptied of rows, which are added too.
    pub(crate) fn add_to(&self, bitmap: &mut Bitmap, scratch: &mut Vec<u32>) {
        if self.is_dense() && self.count != self.rows {
            self.bitmap_words().enumerate().for_each(|(at, bits)| bitmap.set_word(at, bits));
        } else {
            self.decode(0, scratch);
        }
        scratch.drain(..).for_each(|row| bitmap.set(row));
    }

    /// How many rows follow the last full block.
    fn tail(&self) -> usize {
        if self.count <= INLINE { self.count as usize } else { self.count as usize % BLOCK }
    }

    fn bitmap_words(&self) -> impl Iterator<Item = u64> + use<'a> {
        let (words, _) = self.bytes.as_chunks::<8>();
        words.iter().take(self.rows.div_ceil(64) as usize).map(|word| u64::from_le_bytes(*word))
    }

    /// The rows as a set.
    pub(crate) fn to_set(self) -> RowSet {
        if self.count == self.rows {
            return RowSet::Range(0..self.rows);
        }
        if self.is_dense() {
            return RowSet::from_bitmap(
                Bitmap::from_words(self.bitmap_words().collect(), self.rows),
                self.rows,
            );
        }
        let mut rows = Vec::new();
        self.decode(0, &mut rows);
        RowSet::from_sorted(rows, self.rows)
    }

    /// The rows that are also in `within`. Where that holds few rows, blocks without any of them are not decoded.
    pub(crate) fn within(self, within: &RowSet) -> RowSet {
        let RowSet::Sorted(wanted) = within else { return self.to_set().and(within) };
        if self.count == self.rows {
            return within.clone();
        }
        if self.is_dense() {
            let has = |row: &u32| {
                self.bytes.get((row >> 3) as usize).is_some_and(|byte| byte >> (row & 7) & 1 == 1)
            };
            return RowSet::Sorted(std::sync::Arc::new(wanted.iter().copied().filter(has).collect()));
        }
        if (self.count as usize) < wanted.len() * 8 || self.count <= INLINE {
            return self.to_set().and(within);
        }
        RowSet::Sorted(std::sync::Arc::new(self.skip_to(wanted)))
    }

    fn skip_to(&self, wanted: &[u32]) -> Vec<u32> {
        let blocks = Blocks::new(self);
        let mut found = Vec::new();
        let mut rest = wanted;
        let mut at = 0;
        let mut rows = [0; BLOCK];
        for block in 0..blocks.count {
            let last = blocks.last(block + 1).unwrap_or(0);
            let next = at + blocks.len(block);
            let here = rest.partition_point(|row| *row <= last);
            let (inside, after) = rest.split_at(here);
            if !inside.is_empty() {
                blocks.decode(block, at, &mut rows);
                found.extend(inside.iter().copied().filter(|row| rows.binary_search(row).is_ok()));
            }
            if after.is_empty() {
                return found;
            }
            (rest, at) = (after, next);
        }
        let mut before = blocks.last(blocks.count);
        let mut cursor = Cursor::new(slice(blocks.packed, at, usize::MAX));
        for _ in 0..self.tail() {
            let row = next_row(&mut cursor, before);
            if rest.binary_search(&row).is_ok() {
                found.push(row);
            }
            before = Some(row);
        }
        found
    }
}

/// The packed form taken apart.
struct Blocks<'a> {
    count: usize,
    lasts: &'a [u8],
    widths: &'a [u8],
    packed: &'a [u8],
}

impl<'a> Blocks<'a> {
    fn new(list: &List<'a>) -> Blocks<'a> {
        let count = if list.count <= INLINE { 0 } else { list.count as usize / BLOCK };
        Blocks {
            count,
            lasts: slice(list.bytes, 0, count * 4),
            widths: slice(list.bytes, count * 4, count),
            packed: slice(list.bytes, count * 5, usize::MAX),
        }
    }

    /// The last row of the block before `block`.
    fn last(&self, block: usize) -> Option<u32> {
        block.checked_sub(1).map(|before| u32_at(self.lasts, before * 4))
    }

    fn len(&self, block: usize) -> usize {
        usize::from(self.widths.get(block).copied().unwrap_or(0)) * BLOCK / 8
    }

    /// Decodes a block that starts at `at`; gives where the next one starts.
    fn decode(&self, block: usize, at: usize, rows: &mut [u32; BLOCK]) -> usize {
        let bits = self.widths.get(block).copied().unwrap_or(0).min(32);
        let len = usize::from(bits) * BLOCK / 8;
        let bytes = slice(self.packed, at, len);
        if bytes.len() == len {
            BitPacker4x::new().decompress_strictly_sorted(self.last(block), bytes, rows, bits);
        }
        at + len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &[u32], rows: u32) {
        let mut bytes = Vec::new();
        encode(list, rows, &mut bytes);
        bytes.extend_from_slice(b"what follows");
        let read = List::new(list.len() as u32, rows, &bytes);
        let mut back = Vec::new();
        read.decode(7, &mut back);
        assert_eq!(back, list.iter().map(|row| row + 7).collect::<Vec<_>>(), "{} of {rows}", list.len());
        assert_eq!(read.to_set().iter().collect::<Vec<_>>(), list);
        for step in [1, 3, 100, 1001] {
            let some: Vec<u32> = (0..rows).filter(|row| row % step == step / 2).collect();
            let set = RowSet::Sorted(std::sync::Arc::new(some.clone()));
            let expected: Vec<u32> =
                list.iter().copied().filter(|row| some.binary_search(row).is_ok()).collect();
            assert_eq!(
                read.within(&set).iter().collect::<Vec<_>>(),
                expected,
                "{} of {rows} step {step}",
                list.len()
            );
            let form = RowSet::from_sorted(some, rows);
            assert_eq!(read.within(&form).iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn every_form_comes_back() {
        for rows in [1, 2, 5, 64, 127, 5000, 100_000] {
            for step in [1, 2, 7, 9, 40, 777, 20_000] {
                check(&(0..rows).filter(|row| row % step == 0).collect::<Vec<_>>(), rows);
                check(&(0..rows).filter(|row| row % step == step - 1).collect::<Vec<_>>(), rows);
            }
            check(&[rows - 1], rows);
        }
        for count in [5, 127, 128, 129, 256, 1000] {
            check(&(0..count).map(|i| i * 13 + (i * i) % 11).collect::<Vec<_>>(), 100_000);
            check(&(0..count).map(|i| i + 99_000 - 5 * (count / 5)).collect::<Vec<_>>(), 100_000);
        }
    }

    #[test]
    fn damaged_lists_do_not_panic() {
        for count in [1, 4, 5, 200, 5000, 99_999] {
            for bytes in [&[][..], &[0xFF; 3], &[0xFF; 900]] {
                let list = List::new(count, 100_000, bytes);
                list.to_set();
                list.within(&RowSet::Sorted(std::sync::Arc::new(vec![1, 50, 99_999])));
            }
        }
    }
}
