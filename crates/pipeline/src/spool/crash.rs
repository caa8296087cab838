//! A spool and its consumers that crash at every operation of the disk, with every lie a disk can tell, keep their promises.
//!
//! Driven without threads, so a seed and an operation number are a whole story that can be told again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use attestry_journal::Cursor;
use attestry_journal::disk::{Lie, SimDisk};

use super::put::Put;
use super::*;
use crate::testing::{batch, clock, number};
use crate::{Covered, Parcel};

const DIR: &str = "/spool";

fn options(when_full: WhenFull) -> Options {
    let max_bytes = match when_full {
        WhenFull::Block => 8 << 20,
        WhenFull::DropOldest => 96 << 10,
    };
    Options {
        max_bytes,
        when_full,
        segment_bytes: Some(16 << 10),
        memory_bytes: 20 << 10,
        ..Options::default()
    }
}

/// Ledger, number in it, and which event it was: none for a gap.
type Given = (Arc<str>, u64, Option<u64>);

/// What the outside world knows: nothing of it may ever turn out wrong.
#[derive(Default)]
struct World {
    offered: BTreeSet<u64>,
    /// Events that a put returned for, in its order, by ledger.
    acknowledged: BTreeMap<&'static str, Vec<u64>>,
    /// What each consumer was given, in order.
    delivered: BTreeMap<&'static str, Vec<Given>>,
    /// Whose number it is: ledger, epoch and number.
    named: BTreeMap<(Arc<str>, u64, u64), Option<u64>>,
    /// Gap events by their id.
    declared: BTreeMap<String, serde_json::Value>,
}

struct Run {
    disk: SimDisk,
    when_full: WhenFull,
    spool: Option<Spool<SimDisk>>,
    world: World,
    next: u64,
}

impl Run {
    fn new(seed: u64, when_full: WhenFull) -> Run {
        Run { disk: SimDisk::new(seed), when_full, spool: None, world: World::default(), next: 0 }
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let spool = Spool::open(self.disk.clone(), Path::new(DIR), options(self.when_full), clock())?.0;
        spool.set_consumers(["fast".to_owned(), "slow".to_owned()]);
        self.spool = Some(spool);
        Ok(())
    }

    fn put(&mut self, ledger: &'static str, count: u64) {
        let Some(spool) = &self.spool else { return };
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        self.world.offered.extend(numbers.clone());
        let mut put = Put::new(ledger, &batch(numbers.clone()));
        // The second attempt is what a put that waits does.
        if put.is_put(spool) || put.is_put(spool) {
            self.world.acknowledged.entry(ledger).or_default().extend(numbers);
        }
    }

    /// A consumer reads on from its cursor, `reads` times, and remembers how far it came.
    fn consume(&mut self, name: &'static str, reads: usize) {
        let Some(spool) = &self.spool else { return };
        let path = PathBuf::from(format!("{DIR}/{name}"));
        let Ok(cursor) = Cursor::load(&self.disk, &path) else { return };
        let mut at = cursor.map_or(spool.first(), |cursor| cursor.0);
        assert!(at <= spool.end(), "a cursor never runs ahead");
        for _ in 0..reads {
            let Ok(read) = spool.read(at, Limits { events: 37, bytes: 30_000 }) else { return };
            if read.next == at {
                break;
            }
            at = read.next;
            if self.when_full == WhenFull::Block {
                assert_eq!(read.gap, None, "nothing is lost");
            }
            for parcel in &read.parcels {
                let given = self.world.note(parcel, &read.covered);
                self.world.delivered.entry(name).or_default().push(given);
            }
        }
        if Cursor(at).store(&self.disk, &path).is_ok() {
            spool.release(name, at);
        }
    }

    fn story(&mut self) {
        if self.open().is_err() {
            return;
        }
        let slow_reads = if self.when_full == WhenFull::Block { 1 } else { 0 };
        for step in 0..7 {
            self.put("logs", 20 + step * 7);
            self.put("audit", 3);
            self.consume("fast", 9);
            self.consume("slow", slow_reads);
            if step == 3 {
                self.reopen();
            }
        }
    }

    fn reopen(&mut self) {
        self.spool = None;
        // What fails here is told by the next open.
        let _ = self.open();
    }

    /// After a crash: a new start gives everybody what was acknowledged, in order.
    fn check(&mut self, context: &str) {
        // A process that is dead writes nothing any more.
        if let Some(spool) = self.spool.take() {
            spool.queue.lock().closed = true;
        }
        self.disk.restart();
        self.open().unwrap_or_else(|error| panic!("{context}: does not open: {error:?}"));
        self.put("logs", 5);
        for consumer in ["fast", "slow"] {
            self.consume(consumer, usize::MAX);
        }
        for consumer in ["fast", "slow"] {
            self.world.check(consumer, self.when_full, &format!("{context}: {consumer}"));
        }
    }
}

impl World {
    fn note(&mut self, parcel: &Parcel, covered: &[Covered]) -> Given {
        let (seq, number) = (parcel.seq.unwrap(), number(parcel));
        let epoch = covered
            .iter()
            .find(|range| range.ledger == parcel.ledger && range.seqs.contains(&seq) && !range.lost)
            .expect("every number is covered")
            .epoch;
        let before = self.named.insert((Arc::clone(&parcel.ledger), epoch, seq), number);
        assert!(before.is_none_or(|before| before == number), "{seq} stands for {before:?} and {number:?}");
        match number {
            Some(number) => assert!(self.offered.contains(&number), "nobody put {number}"),
            None => {
                let event = parcel.event().unwrap();
                assert_eq!(event.event_name(), "gap.spool");
                let data = serde_json::from_slice(event.event_data().unwrap()).unwrap();
                self.declared.insert(event.event_id().into_owned(), data);
            }
        }
        (Arc::clone(&parcel.ledger), seq, number)
    }

    /// Whether a number of a ledger is declared to be lost.
    fn is_declared(&self, ledger: &str, epoch: u64, seq: u64) -> bool {
        self.declared.values().any(|data| {
            let lost = &data["ledgers"][ledger];
            lost["epoch"] == epoch
                && lost["first"].as_u64().is_some_and(|first| first <= seq)
                && lost["end"].as_u64().is_some_and(|end| seq < end)
        })
    }

    fn check(&self, consumer: &str, when_full: WhenFull, context: &str) {
        let delivered = self.delivered.get(consumer).map(Vec::as_slice).unwrap_or_default();
        for (ledger, acknowledged) in &self.acknowledged {
            let mut seen = BTreeSet::new();
            let mut seqs = BTreeSet::new();
            let mut firsts = Vec::new();
            for (_, seq, number) in delivered.iter().filter(|(of, ..)| **of == **ledger) {
                seqs.insert(*seq);
                if let Some(number) = *number
                    && seen.insert(number)
                {
                    firsts.push(number);
                }
            }
            assert!(firsts.is_sorted(), "{context}: {ledger} is out of order");
            let missing: Vec<u64> = acknowledged.iter().copied().filter(|n| !seen.contains(n)).collect();
            if when_full == WhenFull::Block {
                assert!(missing.is_empty(), "{context}: {ledger} misses {missing:?}");
            }
            // Whatever is not there is declared, number by number.
            let epoch = self.named.keys().map(|(_, epoch, _)| *epoch).max().unwrap();
            let end = seqs.iter().next_back().copied().unwrap_or(0);
            let told = |seq: &u64| seqs.contains(seq) || self.is_declared(ledger, epoch, *seq);
            let holes: Vec<u64> = (0..end).filter(|seq| !told(seq)).collect();
            assert!(holes.is_empty(), "{context}: {ledger} has holes that nobody tells of: {holes:?}");
            let lost = (0..=end).filter(|seq| !seqs.contains(seq)).count();
            assert!(missing.len() <= lost, "{context}: {ledger} misses {missing:?}");
        }
    }
}

/// How many operations the story takes when all goes well.
fn operations_of_the_story(when_full: WhenFull) -> u64 {
    let mut run = Run::new(0, when_full);
    run.story();
    let operations = run.disk.operations();
    run.disk.crash();
    run.check("without a crash");
    match when_full {
        WhenFull::Block => assert!(run.world.declared.is_empty()),
        WhenFull::DropOldest => assert!(run.world.declared.len() > 2, "the cap was reached"),
    }
    assert_eq!(run.world.acknowledged["logs"].len(), 7 * 20 + 7 * 21 + 5);
    operations
}

fn crash_everywhere(when_full: WhenFull) {
    let operations = operations_of_the_story(when_full);
    for operation in 0..operations {
        for seed in 0..2 {
            let mut run = Run::new(seed, when_full);
            run.disk.crash_at(operation);
            run.story();
            run.disk.crash();
            run.check(&format!("crash at operation {operation}, seed {seed}"));
        }
    }
}

fn lie_everywhere(when_full: WhenFull) {
    let operations = operations_of_the_story(when_full);
    for operation in 0..operations {
        for lie in [Lie::Lost, Lie::Kept, Lie::Part] {
            let mut run = Run::new(operation, when_full);
            run.disk.fail_at(operation, lie);
            run.story();
            run.disk.crash();
            run.check(&format!("failure at operation {operation}, {lie:?}"));
        }
    }
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    crash_everywhere(WhenFull::Block);
}

#[test]
fn a_disk_that_fails_and_lies_loses_nothing_acknowledged() {
    lie_everywhere(WhenFull::Block);
}

#[test]
fn a_crash_at_any_operation_hides_no_dropped_event() {
    crash_everywhere(WhenFull::DropOldest);
}

#[test]
fn a_disk_that_fails_and_lies_hides_no_dropped_event() {
    lie_everywhere(WhenFull::DropOldest);
}
