//! GELF over UDP in chunks: `0x1e 0x0f`, an id of eight bytes, the chunk's number from 0, how many there are (at most 128), its piece.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a chunk begins with.
const MAGIC: [u8; 2] = [0x1e, 0x0f];
const HEAD_BYTES: usize = 12;
/// The format's limit.
const CHUNKS_MAX: usize = 128;
/// The format's limit as well: what is not whole after this time is given up.
const LIFETIME: Duration = Duration::from_secs(5);
/// What one sender may have unfinished, in bytes and in messages.
const SENDER_BYTES: usize = 8 << 20;
const SENDER_MESSAGES: usize = 64;
/// What all of them may have unfinished, in bytes.
const ALL_BYTES: usize = 64 << 20;
/// What a chunk costs besides its bytes.
const CHUNK_COST: usize = 64;

/// The datagrams of a message: itself where it fits, chunks of `chunk_bytes` otherwise; none when those would be too many.
pub fn split(message: &[u8], chunk_bytes: usize, id: [u8; 8]) -> Option<Vec<Vec<u8>>> {
    if message.len() <= chunk_bytes {
        return Some(vec![message.to_vec()]);
    }
    let piece = chunk_bytes.checked_sub(HEAD_BYTES).filter(|piece| *piece > 0)?;
    let count = message.len().div_ceil(piece);
    let count = u8::try_from(count).ok().filter(|count| usize::from(*count) <= CHUNKS_MAX)?;
    let datagrams = (0..count).zip(message.chunks(piece)).map(|(number, piece)| {
        let mut datagram = Vec::with_capacity(HEAD_BYTES + piece.len());
        datagram.extend_from_slice(&MAGIC);
        datagram.extend_from_slice(&id);
        datagram.extend_from_slice(&[number, count]);
        datagram.extend_from_slice(piece);
        datagram
    });
    Some(datagrams.collect())
}

/// What a datagram made whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whole<'a> {
    /// It is a message by itself.
    Datagram(&'a [u8]),
    /// It was the last missing chunk of one.
    Chunks(Vec<u8>),
    /// Chunks are still missing, or this one had come before.
    NotYet,
    /// It is no chunk that the format allows.
    Malformed,
}

/// Messages of which chunks are missing. Memory is bounded per sender and in all: the oldest of a sender with too much is given up, and so
/// is the oldest of all.
#[derive(Debug, Default)]
pub struct Chunks {
    parts: HashMap<(SocketAddr, [u8; 8]), Parts>,
    bytes: usize,
    senders: HashMap<SocketAddr, (usize, usize)>,
    given_up: u64,
}

#[derive(Debug)]
struct Parts {
    begun: Instant,
    pieces: Vec<Option<Vec<u8>>>,
    missing: usize,
    cost: usize,
    come: u64,
}

impl Chunks {
    /// Takes a datagram.
    pub fn take<'a>(&mut self, datagram: &'a [u8], from: SocketAddr, now: Instant) -> Whole<'a> {
        if !datagram.starts_with(&MAGIC) {
            return Whole::Datagram(datagram);
        }
        let (Some(head), Some(piece)) = (datagram.get(..HEAD_BYTES), datagram.get(HEAD_BYTES..)) else {
            return Whole::Malformed;
        };
        let &[_, _, a, b, c, d, e, f, g, h, number, count] = head else { return Whole::Malformed };
        let key = (from, [a, b, c, d, e, f, g, h]);
        let count = usize::from(count);
        if count == 0 || count > CHUNKS_MAX || usize::from(number) >= count {
            return Whole::Malformed;
        }
        let cost = piece.len() + CHUNK_COST;
        let senders = &mut self.senders;
        let parts = self.parts.entry(key).or_insert_with(|| {
            senders.entry(from).or_default().1 += 1;
            Parts { begun: now, pieces: vec![None; count], missing: count, cost: 0, come: 0 }
        });
        if parts.pieces.len() != count {
            return Whole::Malformed;
        }
        match parts.pieces.get_mut(usize::from(number)) {
            Some(place @ None) => *place = Some(piece.to_vec()),
            _ => return Whole::NotYet,
        }
        parts.missing -= 1;
        parts.cost += cost;
        parts.come += 1;
        self.bytes += cost;
        self.senders.entry(from).or_default().0 += cost;
        if parts.missing > 0 {
            self.bound(from);
            return Whole::NotYet;
        }
        let whole = self.remove(key).map(|parts| parts.pieces.into_iter().flatten().flatten().collect());
        whole.map_or(Whole::NotYet, Whole::Chunks)
    }

    /// Gives up what is too old, and says how many chunks that came were given up since the last time.
    pub fn give_up(&mut self, now: Instant) -> u64 {
        let old = |parts: &Parts| now.saturating_duration_since(parts.begun) >= LIFETIME;
        let keys: Vec<_> = self.parts.iter().filter(|(_, parts)| old(parts)).map(|(key, _)| *key).collect();
        for key in keys {
            self.drop_parts(key);
        }
        std::mem::take(&mut self.given_up)
    }

    /// What is held, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn bound(&mut self, from: SocketAddr) {
        loop {
            let (bytes, messages) = self.senders.get(&from).copied().unwrap_or_default();
            let too_much = bytes > SENDER_BYTES || messages > SENDER_MESSAGES;
            if !too_much && self.bytes <= ALL_BYTES {
                return;
            }
            let candidates = self.parts.iter().filter(|((sender, _), _)| !too_much || *sender == from);
            let Some(oldest) = candidates.min_by_key(|(_, parts)| parts.begun).map(|(key, _)| *key) else {
                return;
            };
            self.drop_parts(oldest);
        }
    }

    fn drop_parts(&mut self, key: (SocketAddr, [u8; 8])) {
        self.given_up += self.remove(key).map_or(0, |parts| parts.come);
    }

    fn remove(&mut self, key: (SocketAddr, [u8; 8])) -> Option<Parts> {
        let parts = self.parts.remove(&key)?;
        self.bytes -= parts.cost;
        if let Some((bytes, messages)) = self.senders.get_mut(&key.0) {
            *bytes -= parts.cost;
            *messages -= 1;
            if *messages == 0 {
                self.senders.remove(&key.0);
            }
        }
        Some(parts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_message_is_split_and_put_together() {
        let message: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
        let datagrams = split(&message, 1_420, [7; 8]).unwrap();
        assert_eq!(datagrams.len(), 8);
        assert!(datagrams.iter().all(|datagram| datagram.len() <= 1_420));
        assert_eq!(split(&message[..1_420], 1_420, [7; 8]).unwrap(), vec![message[..1_420].to_vec()]);
    }

    #[test]
    fn more_than_128_chunks_are_none() {
        assert_eq!(split(&[0; 1_280], 22, [7; 8]).unwrap().len(), 128);
        assert_eq!(split(&[0; 1_281], 22, [7; 8]), None);
        assert_eq!(split(&[0; 100], 12, [7; 8]), None);
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let message: Vec<u8> = (0..100u8).collect();
        let mut datagrams = split(&message, 22, [1; 8]).unwrap();
        datagrams.reverse();
        let now = Instant::now();
        let mut chunks = Chunks::default();
        for (at, datagram) in datagrams.iter().enumerate() {
            let expected =
                if at + 1 == datagrams.len() { Whole::Chunks(message.clone()) } else { Whole::NotYet };
            assert_eq!(chunks.take(datagram, from(1), now), expected);
            if at + 1 < datagrams.len() {
                assert_eq!(chunks.take(datagram, from(1), now), Whole::NotYet);
            }
        }
        assert_eq!((chunks.bytes(), chunks.give_up(now + LIFETIME)), (0, 0));
    }

    #[test]
    fn senders_with_the_same_id_are_not_mixed() {
        let now = Instant::now();
        let mut chunks = Chunks::default();
        let (a, b) = (split(&[b'a'; 40], 32, [1; 8]).unwrap(), split(&[b'b'; 40], 32, [1; 8]).unwrap());
        assert_eq!(chunks.take(&a[0], from(1), now), Whole::NotYet);
        assert_eq!(chunks.take(&b[1], from(2), now), Whole::NotYet);
        assert_eq!(chunks.take(&a[1], from(1), now), Whole::Chunks(vec![b'a'; 40]));
        assert_eq!(chunks.take(&b[0], from(2), now), Whole::Chunks(vec![b'b'; 40]));
    }

    #[test]
    fn what_never_becomes_whole_is_given_up_and_counted() {
        let now = Instant::now();
        let mut chunks = Chunks::default();
        let datagrams = split(&[0; 50], 22, [1; 8]).unwrap();
        chunks.take(&datagrams[0], from(1), now);
        chunks.take(&datagrams[2], from(1), now);
        assert_eq!(chunks.give_up(now + LIFETIME / 2), 0);
        assert_eq!(chunks.give_up(now + LIFETIME), 2);
        assert_eq!(chunks.bytes(), 0);
    }

    #[test]
    fn memory_is_bounded_per_sender_and_in_all() {
        let now = Instant::now();
        let mut chunks = Chunks::default();
        let piece = vec![0; 60_000];
        for number in 0..1_000u64 {
            let mut datagram = [&MAGIC[..], &number.to_be_bytes(), &[0, 2]].concat();
            datagram.extend_from_slice(&piece);
            chunks.take(&datagram, from(1), now + Duration::from_millis(number));
            assert!(chunks.bytes() <= SENDER_BYTES && chunks.parts.len() <= SENDER_MESSAGES);
        }
        assert!(chunks.give_up(now) > 900);
        for number in 0..2_000u64 {
            let mut datagram = [&MAGIC[..], &number.to_be_bytes(), &[0, 2]].concat();
            datagram.extend_from_slice(&piece);
            chunks.take(&datagram, from(number as u16), now + Duration::from_millis(number));
            assert!(chunks.bytes() <= ALL_BYTES);
        }
    }

    #[test]
    fn what_the_format_does_not_allow_is_malformed() {
        let now = Instant::now();
        let mut chunks = Chunks::default();
        let chunk = |number: u8, count: u8| [&MAGIC[..], &[9; 8], &[number, count], b"x"].concat();
        for datagram in
            [MAGIC.to_vec(), [&MAGIC[..], &[9; 9]].concat(), chunk(0, 0), chunk(2, 2), chunk(0, 129)]
        {
            assert_eq!(chunks.take(&datagram, from(1), now), Whole::Malformed, "{datagram:?}");
        }
        assert_eq!(chunks.take(&chunk(0, 2), from(1), now), Whole::NotYet);
        assert_eq!(chunks.take(&chunk(1, 3), from(1), now), Whole::Malformed);
        assert_eq!(chunks.take(b"{}", from(1), now), Whole::Datagram(b"{}"));
    }

    proptest! {
        #[test]
        fn never_panics_and_keeps_its_accounts(datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), 0u16..3), 0..50)) {
            let now = Instant::now();
            let mut chunks = Chunks::default();
            for (tail, port) in &datagrams {
                let mut datagram = MAGIC.to_vec();
                datagram.extend(tail.iter().map(|byte| byte % 4));
                chunks.take(&datagram, from(*port), now);
            }
            let held: usize = chunks.parts.values().map(|parts| parts.cost).sum();
            prop_assert_eq!(held, chunks.bytes);
            prop_assert_eq!(chunks.senders.values().map(|sender| sender.1).sum::<usize>(), chunks.parts.len());
            chunks.give_up(now + LIFETIME);
            prop_assert_eq!((chunks.bytes(), chunks.parts.len(), chunks.senders.len()), (0, 0, 0));
        }

        #[test]
        fn any_message_comes_back(message in prop::collection::vec(any::<u8>(), 0..3_000), chunk in 40usize..500) {
            let now = Instant::now();
            let mut chunks = Chunks::default();
            let plain = !message.starts_with(&MAGIC) || message.len() > chunk;
            prop_assume!(plain);
            let mut found = None;
            for datagram in split(&message, chunk, [3; 8]).unwrap() {
                match chunks.take(&datagram, from(1), now) {
                    Whole::Datagram(whole) => found = Some(whole.to_vec()),
                    Whole::Chunks(whole) => found = Some(whole),
                    other => prop_assert_eq!(other, Whole::NotYet),
                }
            }
            prop_assert_eq!(found.unwrap(), message);
        }
    }
}
