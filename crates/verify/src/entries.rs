//! What every entry is checked for besides its hash, and what other checks take from entries.

use std::collections::HashMap;

use attestry_event::{Entry, EntryError, MAX_ENTRY_BYTES, Nanos, RESERVED_SOURCE, Scalar, Text, Walker};

use crate::report::{Damage, Kind};

/// A large value that an entry refers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub(crate) index: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) bytes: u64,
}

/// The checks over consecutive entries. Parts that were checked apart are put together with [`append`](Self::append).
#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) hashed: u64,
    pub(crate) damage: Vec<Damage>,
    pub(crate) references: Vec<Reference>,
    /// Values that a `value.erased` event of the server names, with the first such event.
    erased: HashMap<[u8; 32], u64>,
    /// The `ledger.pruned` events of the server: each one's index, and the first entry that it keeps.
    pruned: Vec<(u64, u64)>,
    /// Entries of a later version of the format, whose hash alone was checked.
    pub(crate) uninterpreted: u64,
    first: Option<(u64, Nanos)>,
    last: Option<Nanos>,
    /// The least and the greatest `event_time`.
    event_times: Option<(Nanos, Nanos)>,
    walker: Walker,
}

const MALFORMED: &str = "not an entry in the format";
const ORDER: &str = "received_at is earlier than that of the entry before";

impl Entries {
    /// Takes in the entry at `index`; the indexes must rise.
    pub(crate) fn add(&mut self, index: u64, bytes: &[u8]) {
        self.hashed += 1;
        if bytes.len() > MAX_ENTRY_BYTES {
            self.damage.push(Damage::of_entries(Kind::Malformed, index..index + 1, MALFORMED));
        }
        match self.interpret(index, bytes) {
            Ok(()) => {}
            Err(EntryError::Version(_)) => self.uninterpreted += 1,
            Err(_) => self.damage.push(Damage::of_entries(Kind::Malformed, index..index + 1, MALFORMED)),
        }
    }

    fn interpret(&mut self, index: u64, bytes: &[u8]) -> Result<(), EntryError> {
        let entry = Entry::parse(bytes)?;
        let received = entry.received_at();
        self.first.get_or_insert((index, received));
        if self.last.is_some_and(|last| received < last) {
            self.damage.push(Damage::of_entries(Kind::Order, index..index + 1, ORDER));
        }
        self.last = Some(received);
        let time = entry.event_time();
        let (least, greatest) = self.event_times.unwrap_or((time, time));
        self.event_times = Some((least.min(time), greatest.max(time)));
        if let Some(Text::Ref { hash, bytes }) = entry.message() {
            self.references.push(Reference { index, hash, bytes });
        }
        let Some(data) = entry.event_data() else { return Ok(()) };
        let event_name = entry.event_name();
        let ours = entry.event_source() == RESERVED_SOURCE;
        let (erases, prunes) = (ours && event_name == "value.erased", ours && event_name == "ledger.pruned");
        let mut walker = std::mem::take(&mut self.walker);
        let walked = walker.walk(data, &mut |path, scalar| match scalar {
            Scalar::Ref { hash, bytes } => self.references.push(Reference { index, hash, bytes }),
            Scalar::Str(value) if erases && path == "value" => {
                if let Some(hash) = parse_reference(value) {
                    self.erased.entry(hash).or_insert(index);
                }
            }
            Scalar::Number(first) if prunes && path == "first" => {
                self.pruned.push((index, first.parse().unwrap_or(0)));
            }
            _ => {}
        });
        self.walker = walker;
        walked
    }

    /// Appends what was found in later entries.
    pub(crate) fn append(&mut self, later: Entries) {
        if let (Some(last), Some((index, first))) = (self.last, later.first)
            && first < last
        {
            self.damage.push(Damage::of_entries(Kind::Order, index..index + 1, ORDER));
        }
        self.hashed += later.hashed;
        self.damage.extend(later.damage);
        self.references.extend(later.references);
        for (hash, index) in later.erased {
            self.erased.entry(hash).or_insert(index);
        }
        self.pruned.extend(later.pruned);
        self.uninterpreted += later.uninterpreted;
        self.first = self.first.or(later.first);
        self.last = later.last.or(self.last);
        self.event_times = match (self.event_times, later.event_times) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    /// The first entry that must be there, as the events among the first `signed` entries have it. Others do not count: anybody who can
    /// write to the disk can put one behind what was signed.
    pub(crate) fn prunable(&self, signed: u64) -> u64 {
        self.pruned.iter().filter(|(index, _)| *index < signed).map(|(_, first)| *first).max().unwrap_or(0)
    }

    /// Whether an event among the first `signed` entries says that this value was erased.
    pub(crate) fn is_erased(&self, hash: &[u8; 32], signed: u64) -> bool {
        self.erased.get(hash).is_some_and(|index| *index < signed)
    }

    /// The least and greatest `event_time`, and the first and last `received_at`; none unless all entries could be interpreted.
    pub(crate) fn times(&self) -> Option<[(Nanos, Nanos); 2]> {
        let all = self.uninterpreted == 0 && self.damage.iter().all(|damage| damage.kind != Kind::Malformed);
        if all { Some([self.event_times?, (self.first?.1, self.last?)]) } else { None }
    }
}

/// `sha256:` and 64 lower-case hex digits.
pub(crate) fn parse_reference(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    if digits.len() != 64 || !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(received: &str, rest: &str) -> String {
        format!(
            "{{\"v\":1,\"event_id\":\"a\",\"event_time\":\"2026-01-01T00:00:00.000000000Z\",\
             \"received_at\":\"2026-01-01T00:00:{received}.000000000Z\",{rest}}}"
        )
    }

    const PLAIN: &str = "\"event_name\":\"a.b\",\"username\":\"u\",\"event_source\":\"s\",\
        \"source_ip_address\":\"-\",\"read_only\":false";

    fn run(entries: &[String]) -> Entries {
        let mut whole = Entries::default();
        entries.iter().zip(0..).for_each(|(entry, index)| whole.add(index, entry.as_bytes()));
        // In two parts it must come to the same.
        for split in 0..=entries.len() {
            let mut parts = [Entries::default(), Entries::default()];
            for (entry, index) in entries.iter().zip(0..) {
                parts[usize::from(index >= split as u64)].add(index, entry.as_bytes());
            }
            let [mut first, second] = parts;
            first.append(second);
            let mut damage = first.damage.clone();
            damage.sort_by_key(|damage| damage.first);
            assert_eq!(damage, whole.damage, "split at {split}");
            assert_eq!(
                (first.hashed, &first.pruned, &first.erased),
                (whole.hashed, &whole.pruned, &whole.erased)
            );
        }
        whole
    }

    #[test]
    fn time_never_goes_back() {
        let found = run(&["10", "10", "12", "11", "11", "12", "10"].map(|time| entry(time, PLAIN)));
        let order: Vec<_> = found.damage.iter().map(|damage| (damage.kind, damage.first)).collect();
        assert_eq!(order, [(Kind::Order, Some(3)), (Kind::Order, Some(6))]);
    }

    #[test]
    fn only_the_servers_own_events_erase_and_prune() {
        let digits = "ab".repeat(32);
        let erase = |source: &str| {
            let rest = PLAIN.replace("a.b", "value.erased").replace("\"s\"", source);
            entry("10", &format!("{rest},\"event_data\":{{\"value\":\"sha256:{digits}\"}}"))
        };
        let prune = |source: &str| {
            let rest = PLAIN.replace("a.b", "ledger.pruned").replace("\"s\"", source);
            entry("10", &format!("{rest},\"event_data\":{{\"ledger\":\"audit\",\"first\":512}}"))
        };
        let found = run(&[erase("\"someone\""), prune("\"someone\"")]);
        assert_eq!((found.erased.len(), found.prunable(2)), (0, 0));
        let found = run(&[erase("\"attestry\""), prune("\"attestry\"")]);
        assert_eq!((found.is_erased(&[0xab; 32], 2), found.prunable(2)), (true, 512));
        // Neither is signed yet, or only the first is.
        assert_eq!((found.is_erased(&[0xab; 32], 0), found.prunable(0)), (false, 0));
        assert_eq!((found.is_erased(&[0xab; 32], 1), found.prunable(1)), (true, 0));
        assert_eq!(found.damage, []);
    }

    #[test]
    fn what_is_not_an_entry_is_named() {
        let data = |data: &str| entry("10", &format!("{PLAIN},\"event_data\":{data}"));
        let found = run(&[
            entry("10", PLAIN),
            "{}".into(),
            entry("10", PLAIN).replace("\"username\":\"u\",", ""),
            data("{\"a\":1,}"),
            "{\"v\":2,\"other\":true}".into(),
            entry("10", &PLAIN.replace("\"u\"", &format!("\"{}\"", "u".repeat(MAX_ENTRY_BYTES)))),
        ]);
        let malformed: Vec<_> = found.damage.iter().map(|damage| (damage.kind, damage.first)).collect();
        assert_eq!(malformed, [1, 2, 3, 5].map(|index| (Kind::Malformed, Some(index))));
        assert_eq!((found.uninterpreted, found.hashed), (1, 6));
    }

    #[test]
    fn references_are_found_wherever_they_are() {
        let reference = format!("{{\"$ref\":\"sha256:{}\",\"bytes\":5000}}", "0f".repeat(32));
        let message =
            PLAIN.replace("\"read_only\":false", &format!("\"read_only\":false,\"message\":{reference}"));
        let nested = format!("{PLAIN},\"event_data\":{{\"a\":[{{\"b\":{reference}}}],\"c\":{reference}}}");
        let found = run(&[entry("10", &message), entry("10", &nested)]);
        let indexes: Vec<_> = found.references.iter().map(|found| (found.index, found.bytes)).collect();
        assert_eq!(indexes, [(0, 5000), (1, 5000), (1, 5000)]);
        assert_eq!(found.damage, []);
    }
}
