//! The terms of the rows that are being gathered: each gets a number.
//!
//! Every value and word of every row is looked up here, so this is where the time goes, most of it in waiting for
//! memory. A lookup touches one slot of the table and one term; the bytes of short terms stand in the term itself.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// Longer terms are compared in the arena.
const SHORT: usize = 16;

/// Slots of an empty table.
const LEAST_SLOTS: usize = 256;

/// A value of a field.
pub(crate) struct Term {
    /// All bytes of a short term (see [`fingerprint`]); the hash of a longer one.
    fingerprint: (u64, u64),
    /// Where its bytes are in the arena.
    at: u32,
    len: u16,
    pub(crate) field: u16,
    last_row: u32,
    /// How many rows have it.
    pub(crate) count: u32,
}

/// Gives numbers to terms, from 0 on.
pub(crate) struct TermTable {
    terms: Vec<Term>,
    /// Hash, shifted left by 32, and the term's number plus one; 0 when empty. As many as a power of two.
    slots: Vec<u64>,
    arena: Vec<u8>,
    hasher: RandomState,
    /// Nobody outside can know it, and so choose terms that meet in the table.
    seed: (u64, u64),
}

/// The bytes of a short term as two numbers: with the length, they say all of it.
#[inline]
fn fingerprint(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)))
    } else if let (Some(first), Some(middle), Some(last)) =
        (bytes.first(), bytes.get(bytes.len() / 2), bytes.last())
    {
        (u64::from(*first) | u64::from(*middle) << 8 | u64::from(*last) << 16, 0)
    } else {
        (0, 0)
    }
}

fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

impl TermTable {
    pub(crate) fn new() -> TermTable {
        let hasher = RandomState::default();
        let seed = (hasher.hash_one(1), hasher.hash_one(2));
        TermTable { terms: Vec::new(), slots: vec![0; LEAST_SLOTS], arena: Vec::new(), hasher, seed }
    }

    /// Forgets all terms. Keeps the room that they took, unless it was much too large for them.
    pub(crate) fn clear(&mut self) {
        if self.terms.len() * 16 < self.slots.len() && self.slots.len() > LEAST_SLOTS {
            self.slots = vec![0; (self.slots.len() / 4).max(LEAST_SLOTS)];
        } else {
            self.slots.fill(0);
        }
        self.terms.clear();
        self.arena.clear();
    }

    /// How many terms.
    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    pub(crate) fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Term> {
        self.terms.get(id as usize)
    }

    pub(crate) fn bytes(&self, term: &Term) -> &[u8] {
        bytes_in(&self.arena, term)
    }

    /// About how much memory it holds, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.terms.len() * (size_of::<Term>() + 16) + self.arena.len()
    }

    /// The number of a field's term, and whether the row has not had it yet. Terms have fewer than 2¹⁶ bytes.
    #[inline]
    pub(crate) fn note(&mut self, field: u16, row: u32, bytes: &[u8]) -> (u32, bool) {
        let short = bytes.len() <= SHORT;
        let fingerprint = if short { fingerprint(bytes) } else { (self.hash(bytes), 0) };
        let kind = u64::from(field) << 32 | bytes.len() as u64;
        let hash = mix(fingerprint.0 ^ self.seed.0 ^ kind, fingerprint.1 ^ self.seed.1) >> 32;
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let slot = self.slots.get(place).copied().unwrap_or(0);
            if slot == 0 {
                break;
            }
            if slot >> 32 == hash {
                let id = slot as u32 - 1;
                if let Some(term) = self.terms.get_mut(id as usize)
                    && term.fingerprint == fingerprint
                    && term.field == field
                    && usize::from(term.len) == bytes.len()
                    && (short || bytes_in(&self.arena, term) == bytes)
                {
                    let new = term.last_row != row;
                    term.last_row = row;
                    term.count += u32::from(new);
                    return (id, new);
                }
            }
            place = (place + 1) & mask;
        }
        let id = self.terms.len() as u32;
        let (at, len) = (self.arena.len() as u32, bytes.len() as u16);
        self.terms.push(Term { fingerprint, at, len, field, last_row: row, count: 1 });
        self.arena.extend_from_slice(bytes);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = hash << 32 | u64::from(id + 1);
        }
        if self.terms.len() * 2 > self.slots.len() {
            self.grow();
        }
        (id, true)
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }

    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 2];
        let mask = slots.len() - 1;
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            let mut place = (slot >> 32) as usize & mask;
            while let Some(taken) = slots.get_mut(place) {
                if *taken == 0 {
                    *taken = *slot;
                    break;
                }
                place = (place + 1) & mask;
            }
        }
        self.slots = slots;
    }
}

fn bytes_in<'a>(arena: &'a [u8], term: &Term) -> &'a [u8] {
    let start = term.at as usize;
    arena.get(start..start + usize::from(term.len)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn terms_are_told_apart() {
        let mut table = TermTable::new();
        // All strings over two letters up to length 9, and long ones that differ in one place.
        let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
        for len in 1..=9_u32 {
            strings.extend(
                (0..1_u32 << len).map(|bits| (0..len).map(|i| b'a' + (bits >> i & 1) as u8).collect()),
            );
        }
        for len in 10..150 {
            for place in 0..len {
                let mut string = vec![b'x'; len];
                string[place] = b'y';
                strings.push(string);
            }
        }
        for round in 0..2 {
            let mut numbers = HashMap::new();
            for row in 0..3 {
                for field in [0, 1, 500] {
                    for string in &strings {
                        let (id, new) = table.note(field, row, string);
                        assert!(new);
                        assert_eq!(table.note(field, row, string), (id, false));
                        assert_eq!(*numbers.entry((field, string)).or_insert(id), id);
                    }
                }
            }
            assert_eq!(numbers.len(), table.len(), "round {round}");
            assert_eq!(table.len(), strings.len() * 3);
            for ((field, string), id) in numbers {
                let term = table.get(id).unwrap();
                assert_eq!((table.bytes(term), term.field, term.count), (string.as_slice(), field, 3));
            }
            table.clear();
        }
        for _ in 0..10 {
            table.note(0, 0, b"few");
            table.clear();
        }
        assert_eq!(table.slots.len(), LEAST_SLOTS);
    }
}
