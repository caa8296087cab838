//! Several ledgers as one row of entries, ordered by (`received_at`, ledger, index).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};
use attestry_event::{Entry, Nanos};
use attestry_ledger::Ledger;

/// Entries read from a ledger at once.
const BLOCK: u64 = 1_024;

/// Bytes of entries that are held of a ledger, about: a block is read when less than half of it is there.
const HELD_BYTES: usize = 8 << 20;

/// An entry of one of the ledgers.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) ledger: Arc<str>,
    pub(super) index: u64,
    pub(super) received_at: i64,
    pub(super) bytes: Vec<u8>,
}

struct Source {
    name: Arc<str>,
    ledger: Arc<Ledger>,
    next: u64,
    held: VecDeque<Taken>,
    bytes: usize,
}

/// Reads them.
pub(super) struct Merge {
    /// By name.
    sources: Vec<Source>,
    /// Entries that were pruned before they were read, by ledger.
    pub(super) missed: Vec<(Arc<str>, Range<u64>)>,
}

impl Merge {
    /// From these positions on; a ledger that is not among them from its first entry.
    pub(super) fn new(ledgers: &[Arc<Ledger>], from: &BTreeMap<String, u64>) -> Merge {
        let source = |ledger: &Arc<Ledger>| Source {
            name: ledger.name().into(),
            ledger: Arc::clone(ledger),
            next: from.get(ledger.name()).copied().unwrap_or_else(|| ledger.first()),
            held: VecDeque::new(),
            bytes: 0,
        };
        let mut sources: Vec<Source> = ledgers.iter().map(source).collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        Merge { sources, missed: Vec::new() }
    }

    /// At most so many entries, of those that were received at `until` or before.
    ///
    /// # Errors
    /// When a ledger cannot be read; what was not given is given the next time.
    pub(super) fn take(&mut self, most: usize, until: Nanos) -> Result<Vec<Taken>> {
        let mut taken = Vec::new();
        while taken.len() < most {
            for source in &mut self.sources {
                self.missed.extend(source.fill()?.map(|gone| (Arc::clone(&source.name), gone)));
            }
            let first = |source: &Source| source.held.front().map(|entry| entry.received_at);
            let least = self.sources.iter().filter_map(first).min().filter(|at| *at <= until.0);
            let Some(least) = least else { break };
            // The first in the order of their names.
            let Some(source) = self.sources.iter_mut().find(|source| first(source) == Some(least)) else {
                break;
            };
            if let Some(entry) = source.held.pop_front() {
                source.bytes -= entry.bytes.len();
                taken.push(entry);
            }
        }
        Ok(taken)
    }

    /// Entries that are there and were not given.
    pub(super) fn behind(&self) -> u64 {
        let behind =
            |source: &Source| source.ledger.size().saturating_sub(source.next) + source.held.len() as u64;
        self.sources.iter().map(behind).sum()
    }
}

impl Source {
    /// Reads on when little is held; gives the indices of entries that were gone.
    fn fill(&mut self) -> Result<Option<Range<u64>>> {
        if !self.held.is_empty() || self.next >= self.ledger.size() {
            return Ok(None);
        }
        let first = self.ledger.first();
        let gone = (self.next < first).then_some(self.next..first);
        self.next = self.next.max(first);
        let mut read = self.next;
        while self.bytes < HELD_BYTES / 2 && read < self.ledger.size() && self.held.len() < 2 * BLOCK as usize
        {
            let (held, bytes, name) = (&mut self.held, &mut self.bytes, &self.name);
            read = self
                .ledger
                .scan(read, BLOCK, &mut |index, entry| {
                    let received_at = Entry::parse(entry).map_or(i64::MIN, |entry| entry.received_at().0);
                    *bytes += entry.len();
                    let ledger = Arc::clone(name);
                    held.push_back(Taken { ledger, index, received_at, bytes: entry.to_vec() });
                })
                .with_context(|| format!("the ledger {} cannot be read", self.name))?;
        }
        self.next = read;
        Ok(gone)
    }
}

/// The first entry of a ledger that was received at a time or later; its size when there is none.
pub(super) fn first_since(ledger: &Ledger, time: Nanos) -> Result<u64> {
    let (mut low, mut high) = (ledger.first(), ledger.size());
    while low < high {
        let middle = low + (high - low) / 2;
        let at = ledger.with_entry(middle, |bytes| Entry::parse(bytes).map(|entry| entry.received_at()));
        match at.context("the ledger cannot be read")? {
            Ok(at) if at < time => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestry_event::{Batch, Border, ManualClock};
    use attestry_ledger::{DataDir, OnConflict, Options};

    #[test]
    fn entries_come_in_the_order_of_their_receipt() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let clock = Arc::new(ManualClock::new(Nanos(1_790_000_000_000_000_000)));
        let open = |name: &str| {
            let (ledger, _) =
                data.ledger(name, Arc::<ManualClock>::clone(&clock) as _, Options::default()).unwrap();
            Arc::new(ledger)
        };
        let ledgers = [open("logs"), open("audit")];
        let write = |ledger: &Ledger, name: &str| {
            let border = Border {
                event_source: "test",
                via: &[],
                lenient: false,
                reserved_names: false,
                agent: false,
                now: attestry_event::Clock::now(&*clock),
            };
            let mut batch = Batch::new();
            let event = format!(r#"{{"event_name":"{name}","username":"u"}}"#);
            batch.push_json(event.as_bytes(), &border).unwrap();
            ledger.append(batch, OnConflict::RefuseBatch).unwrap();
        };
        let second = std::time::Duration::from_secs(1);
        write(&ledgers[0], "l0");
        write(&ledgers[1], "a0");
        clock.advance(second);
        write(&ledgers[1], "a1");
        clock.advance(second);
        write(&ledgers[0], "l1");
        write(&ledgers[0], "l2");
        let names = |taken: &[Taken]| -> Vec<String> {
            taken.iter().map(|of| Entry::parse(&of.bytes).unwrap().event_name().into_owned()).collect()
        };
        let now = attestry_event::Clock::now(&*clock);
        let mut merge = Merge::new(&ledgers, &BTreeMap::new());
        assert_eq!(merge.behind(), 5);
        assert_eq!(names(&merge.take(2, now).unwrap()), ["a0", "l0"]);
        assert_eq!(names(&merge.take(9, Nanos(now.0 - 1)).unwrap()), ["a1"]);
        assert_eq!(names(&merge.take(9, now).unwrap()), ["l1", "l2"]);
        assert_eq!((merge.behind(), merge.missed), (0, Vec::new()));
        let from = BTreeMap::from([("logs".to_owned(), 2), ("audit".to_owned(), 1)]);
        assert_eq!(names(&Merge::new(&ledgers, &from).take(9, now).unwrap()), ["a1", "l2"]);
        assert_eq!(first_since(&ledgers[0], now).unwrap(), 1);
        assert_eq!(first_since(&ledgers[0], Nanos(now.0 + 1)).unwrap(), 3);
        assert_eq!(first_since(&ledgers[1], Nanos(0)).unwrap(), 0);
    }
}
