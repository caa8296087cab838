//! The terms of the rows that are being gathered: each gets a number.
//!
//! Every value and word of every row is looked up here, so this is where the time goes, most of it in waiting for
//! memory. A lookup touches one slot of the table and one term; the bytes of short terms stand in the term itself. The
//! terms of a row are looked up together: first all slots are read, then all terms, so that one wait covers them all.

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

/// A term of the row that is being gathered, not looked up yet.
struct Asked {
    /// As in [`Term`].
    fingerprint: (u64, u64),
    hash: u32,
    /// Where a long one's bytes are in `asked_bytes`.
    at: u32,
    len: u16,
    field: u16,
    mark: bool,
    /// The number plus one of the term that is probably it; 0 when there is none.
    guess: u32,
}

/// What [`TermTable::answer`] tells of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) field: u16,
    pub(crate) id: u32,
    /// The row had not had it yet.
    pub(crate) new: bool,
    /// What it was asked for with.
    pub(crate) mark: bool,
}

/// Gives numbers to terms, from 0 on.
pub(crate) struct TermTable {
    asked: Vec<Asked>,
    asked_bytes: Vec<u8>,
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

/// The bytes of a short term, from its fingerprint; those beyond its length are zeros.
fn spelled(fingerprint: (u64, u64), len: usize) -> [u8; SHORT] {
    let mut bytes = [0; SHORT];
    let (first, last) = (fingerprint.0.to_le_bytes(), fingerprint.1.to_le_bytes());
    let mut put = |at: usize, from: &[u8]| {
        if let Some(to) = bytes.get_mut(at..at + from.len()) {
            to.copy_from_slice(from);
        }
    };
    let [one, two, three, four, ..] = first;
    if len >= 8 {
        put(0, &first);
        put(len - 8, &last);
    } else if len >= 4 {
        let [last @ .., _, _, _, _] = last;
        put(0, &[one, two, three, four]);
        put(len - 4, &last);
    } else if len > 0 {
        put(0, &[one]);
        put(len / 2, &[two]);
        put(len - 1, &[three]);
    }
    bytes
}

fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

impl TermTable {
    pub(crate) fn new() -> TermTable {
        let hasher = RandomState::default();
        let seed = (hasher.hash_one(1), hasher.hash_one(2));
        TermTable {
            asked: Vec::new(),
            asked_bytes: Vec::new(),
            terms: Vec::new(),
            slots: vec![0; LEAST_SLOTS],
            arena: Vec::new(),
            hasher,
            seed,
        }
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

    /// Asks for the number of a term that a row has: [`answer`](TermTable::answer) gives it, with the mark. Terms have
    /// fewer than 2¹⁶ bytes.
    #[inline]
    pub(crate) fn ask(&mut self, field: u16, bytes: &[u8], mark: bool) {
        let short = bytes.len() <= SHORT;
        let fingerprint = if short { fingerprint(bytes) } else { (self.hash(bytes), 0) };
        let kind = u64::from(field) << 32 | bytes.len() as u64;
        let hash = (mix(fingerprint.0 ^ self.seed.0 ^ kind, fingerprint.1 ^ self.seed.1) >> 32) as u32;
        let at = self.asked_bytes.len() as u32;
        if !short {
            self.asked_bytes.extend_from_slice(bytes);
        }
        self.asked.push(Asked { fingerprint, hash, at, len: bytes.len() as u16, field, mark, guess: 0 });
    }

    /// Looks up what was asked for: calls `each` for every term, in order.
    pub(crate) fn answer(&mut self, row: u32, mut each: impl FnMut(Answer)) {
        let mut asked = std::mem::take(&mut self.asked);
        let bytes = std::mem::take(&mut self.asked_bytes);
        let mask = self.slots.len() - 1;
        // Neither loop waits for what it has just read, so the processor reads ahead.
        for term in &mut asked {
            term.guess = self.slots.get(term.hash as usize & mask).map_or(0, |slot| *slot as u32);
        }
        for term in &mut asked {
            let guess = self.terms.get(term.guess.wrapping_sub(1) as usize);
            if !guess.is_some_and(|guess| self.is(guess, term, &bytes)) {
                term.guess = 0;
            }
        }
        for term in &asked {
            let id = match term.guess {
                0 => self.find_or_add(term, &bytes),
                guess => guess - 1,
            };
            if let Some(known) = self.terms.get_mut(id as usize) {
                let new = known.last_row != row;
                known.last_row = row;
                known.count += u32::from(new);
                each(Answer { field: term.field, id, new, mark: term.mark });
            }
        }
        asked.clear();
        (self.asked, self.asked_bytes) = (asked, bytes);
        self.asked_bytes.clear();
    }

    #[inline]
    fn is(&self, known: &Term, asked: &Asked, bytes: &[u8]) -> bool {
        known.fingerprint == asked.fingerprint
            && known.field == asked.field
            && known.len == asked.len
            && (usize::from(asked.len) <= SHORT || bytes_in(&self.arena, known) == long(bytes, asked))
    }

    fn find_or_add(&mut self, asked: &Asked, bytes: &[u8]) -> u32 {
        let mask = self.slots.len() - 1;
        let mut place = asked.hash as usize & mask;
        loop {
            let slot = self.slots.get(place).copied().unwrap_or(0);
            if slot == 0 {
                break;
            }
            if slot >> 32 == u64::from(asked.hash) {
                let id = slot as u32 - 1;
                if self.get(id).is_some_and(|term| self.is(term, asked, bytes)) {
                    return id;
                }
            }
            place = (place + 1) & mask;
        }
        let (id, at, len) = (self.terms.len() as u32, self.arena.len() as u32, usize::from(asked.len));
        let (fingerprint, field) = (asked.fingerprint, asked.field);
        self.terms.push(Term { fingerprint, at, len: asked.len, field, last_row: u32::MAX, count: 0 });
        if len <= SHORT {
            self.arena.extend_from_slice(spelled(fingerprint, len).get(..len).unwrap_or(&[]));
        } else {
            self.arena.extend_from_slice(long(bytes, asked));
        }
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = u64::from(asked.hash) << 32 | u64::from(id + 1);
        }
        if self.terms.len() * 2 > self.slots.len() {
            self.grow();
        }
        id
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

fn long<'a>(bytes: &'a [u8], asked: &Asked) -> &'a [u8] {
    let start = asked.at as usize;
    bytes.get(start..start + usize::from(asked.len)).unwrap_or(&[])
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
        let mut strings: Vec<Vec<u8>> = vec![Vec::new(), "äöüß".into(), b"0123456789abcdef".to_vec()];
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
                    // Some are asked for alone, some in one go, and each twice.
                    for strings in strings.chunks(if round == 0 { 1 } else { 1_000 }) {
                        strings
                            .iter()
                            .chain(strings)
                            .for_each(|string| table.ask(field, string, string.len() == 1));
                        let mut answers = Vec::new();
                        table.answer(row, |answer| answers.push(answer));
                        assert_eq!(answers.len(), strings.len() * 2);
                        for (at, string) in strings.iter().chain(strings).enumerate() {
                            let id = *numbers.entry((field, string)).or_insert(answers[at].id);
                            let expected =
                                Answer { field, id, new: at < strings.len(), mark: string.len() == 1 };
                            assert_eq!(answers[at], expected);
                        }
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
            table.ask(0, b"few", false);
            table.answer(0, |_| {});
            table.clear();
        }
        assert_eq!(table.slots.len(), LEAST_SLOTS);
    }
}
