//! Values that are known by a hash only: of each 32 bits of hash, and the row.
//!
//! The hashes are sorted. Their first bits, so many that about eight hashes share them, are not written: for each
//! combination of them stands where its hashes start (packed, one more at the end). Then come the other bits of each
//! hash (packed), and the rows (packed). Who finds a value by its hash looks at the row itself: one in about four
//! thousand millions of others has the same.

use crate::number::row_bits;
use crate::pack::{Packed, bits_for, pack, packed_len, slice};

const HASH_BITS: u32 = 32;

/// How many bits of the hash are the bucket's number: about eight values a bucket.
fn bucket_bits(count: usize) -> u32 {
    count.checked_ilog2().unwrap_or(0).saturating_sub(3)
}

fn bucket(value: u64, bits: u32) -> usize {
    // With no bits the shift is by all 64.
    (value.checked_shr(64 - bits).unwrap_or(0)) as usize
}

/// Appends a table: each value is a hash, shifted left by 32, and a row of a part with `rows` rows; in any order.
/// Gives how many different hashes there are.
pub(crate) fn encode(values: &[u64], rows: u32, out: &mut Vec<u8>) -> usize {
    let bits = bucket_bits(values.len());
    let mut starts = vec![0_u32; (1 << bits) + 1];
    for value in values {
        if let Some(count) = starts.get_mut(bucket(*value, bits) + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += *start;
        *start = sum;
    }
    let mut sorted = vec![0_u64; values.len()];
    let mut next = starts.clone();
    for value in values {
        if let Some(at) = next.get_mut(bucket(*value, bits)) {
            if let Some(place) = sorted.get_mut(*at as usize) {
                *place = *value;
            }
            *at += 1;
        }
    }
    for range in starts.windows(2) {
        if let [start, end] = *range
            && let Some(bucket) = sorted.get_mut(start as usize..end as usize)
        {
            bucket.sort_unstable();
        }
    }
    pack(out, bits_for(values.len() as u64), starts.iter().map(|start| u64::from(*start)));
    let rest = (1_u64 << (HASH_BITS - bits)) - 1;
    pack(out, (HASH_BITS - bits) as u8, sorted.iter().map(|value| value >> 32 & rest));
    pack(out, row_bits(rows), sorted.iter().map(|value| value & u64::from(u32::MAX)));
    sorted.chunk_by(|left, right| left >> 32 == right >> 32).count()
}

/// Reads a table of hashes.
pub(crate) struct Hashes<'a> {
    count: usize,
    bits: u32,
    starts: Packed<'a>,
    rest: Packed<'a>,
    rows: Packed<'a>,
}

impl<'a> Hashes<'a> {
    pub(crate) fn new(bytes: &'a [u8], count: u32, rows: u32) -> Hashes<'a> {
        let count = count as usize;
        let bits = bucket_bits(count);
        let (start_bits, rest_bits) = (bits_for(count as u64), (HASH_BITS - bits) as u8);
        let starts = packed_len((1 << bits) + 1, start_bits);
        let rest = packed_len(count, rest_bits);
        Hashes {
            count,
            bits,
            starts: Packed::new(slice(bytes, 0, starts), start_bits),
            rest: Packed::new(slice(bytes, starts, rest), rest_bits),
            rows: Packed::new(slice(bytes, starts + rest, usize::MAX), row_bits(rows)),
        }
    }

    fn bucket(&self, bucket: usize) -> std::ops::Range<usize> {
        let at = |place| (self.starts.get(place) as usize).min(self.count);
        at(bucket)..at(bucket + 1)
    }

    /// The rows that have a value with this hash, which stands in the upper half of `value`; ascending.
    pub(crate) fn find(&self, value: u64) -> Vec<u32> {
        let rest = value >> 32 & ((1 << (HASH_BITS - self.bits)) - 1);
        let bucket = self.bucket(bucket(value, self.bits));
        bucket.filter(|at| self.rest.get(*at) == rest).map(|at| self.rows.get(at) as u32).collect()
    }

    /// All, as they were given to [`encode`], sorted.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let buckets = if self.count == 0 { 0 } else { 1_usize << self.bits };
        (0..buckets).flat_map(move |bucket| {
            let first = (bucket as u64) << (HASH_BITS - self.bits);
            self.bucket(bucket).map(move |at| (first | self.rest.get(at)) << 32 | self.rows.get(at))
        })
    }

    /// The rows of all.
    pub(crate) fn rows(&self) -> Vec<u32> {
        (0..self.count).map(|at| self.rows.get(at) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mut values: Vec<u64>) {
        let rows = 5_000;
        let mut bytes = Vec::new();
        let distinct = encode(&values, rows, &mut bytes);
        let read = Hashes::new(&bytes, values.len() as u32, rows);
        values.sort_unstable();
        assert_eq!(read.iter().collect::<Vec<_>>(), values);
        let mut hashes: Vec<u64> = values.iter().map(|value| value >> 32).collect();
        hashes.dedup();
        assert_eq!(distinct, hashes.len());
        for hash in hashes.iter().flat_map(|hash| [*hash, hash ^ 1, hash ^ 1 << 31]) {
            let expected: Vec<u32> =
                values.iter().filter(|value| *value >> 32 == hash).map(|value| *value as u32).collect();
            assert_eq!(read.find(hash << 32), expected);
        }
        assert_eq!(read.rows().len(), values.len());
    }

    #[test]
    fn tables_come_back() {
        for count in [0, 1, 7, 8, 16, 17, 1000, 5000] {
            let hash = |i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & !u64::from(u32::MAX);
            check((0..count).map(|i| hash(i) | i).collect());
            check((0..count).map(|i| hash(i / 3) | i).collect());
            check((0..count).rev().collect());
            check((0..count).map(|i| u64::MAX << 32 | i).collect());
        }
    }

    #[test]
    fn damaged_tables_do_not_panic() {
        for bytes in [&[][..], &[0xFF; 40]] {
            let read = Hashes::new(bytes, 300, 5_000);
            read.find(u64::MAX);
            assert!(read.iter().count() < 300 * 300);
        }
    }
}
