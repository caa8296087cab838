//! A ledger that crashes at every operation of its disk, with every lie a disk can tell, keeps its promises.
//!
//! The core is driven without threads, so a seed and an operation number are a whole story that can be told again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use attestry_event::{Batch, Border, Clock, ManualClock, Nanos};
use attestry_journal::disk::{Lie, SimDisk};
use attestry_tlog::{Checkpoint, Hash, SigningKey, leaf_hash, subtree_root};

use crate::commit::Sequencer;
use crate::core::Core;
use crate::{OnConflict, OpenError, Options, Outcome, Placed, Stored, Submission};

const DIR: &str = "/ledger";

fn options() -> Options {
    Options {
        journal: attestry_journal::Options {
            segment_bytes: 64 << 10,
            ..attestry_journal::Options::default()
        },
        segment_entries: 256,
        entries_per_block: 64,
        keep_ids: false,
        ..Options::default()
    }
}

fn key() -> SigningKey {
    SigningKey::generate("0123456789abcdef0123456789abcdef.attestry/audit", [7; 32]).unwrap()
}

/// What the outside world knows: nothing of it may ever turn out wrong.
#[derive(Default)]
struct World {
    /// Every entry that was acknowledged, by index.
    acknowledged: BTreeMap<u64, Vec<u8>>,
    /// Where each event was acknowledged to be.
    placed: BTreeMap<u64, u64>,
    /// The greatest checkpoint anybody saw.
    signed: Option<(u64, Hash)>,
}

struct Run {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    core: Option<(Core<SimDisk>, Sequencer)>,
    world: World,
}

impl Run {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Nanos(1_800_000_000_000_000_000)));
        Run { disk: SimDisk::new(seed), clock, core: None, world: World::default() }
    }

    fn open(&mut self) -> Result<(), OpenError> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let opened = Core::recover(self.disk.clone(), Path::new(DIR), "audit", key(), clock, options())?;
        self.core = Some((opened.0, opened.1));
        Ok(())
    }

    /// Commits the events with these numbers; each number is always the same event.
    fn commit(&mut self, numbers: std::ops::Range<u64>) -> bool {
        self.commit_these(&numbers.collect::<Vec<u64>>())
    }

    fn commit_these(&mut self, numbers: &[u64]) -> bool {
        let Some((core, sequencer)) = &mut self.core else { return false };
        let mut batch = Batch::with_seed([numbers.len() as u8; 32]);
        let border = Border {
            event_source: "test",
            via: &[],
            lenient: false,
            reserved_names: false,
            agent: false,
            now: self.clock.now(),
        };
        for number in numbers {
            batch.push_json(event(*number).as_bytes(), &border).unwrap();
        }
        let answer: Arc<Mutex<Option<Outcome>>> = Arc::default();
        let slot = Arc::clone(&answer);
        let reply = Box::new(move |outcome| *slot.lock().unwrap() = Some(outcome));
        core.commit(sequencer, vec![Submission { batch, on_conflict: OnConflict::RefuseBatch, reply }]);
        let outcome = answer.lock().unwrap().take().expect("every submission is answered");
        let Ok(Stored { placed, end }) = outcome.result else { return false };
        assert_eq!(end, core.size());
        for (&number, placed) in numbers.iter().zip(placed) {
            assert!(
                !matches!(placed, Placed::Conflict(_)),
                "event {number} is the same each time it is sent"
            );
            let before = self.world.placed.insert(number, placed.index());
            assert!(before.is_none_or(|before| before == placed.index()), "event {number} is stored once");
            let entry = core.with_entry(placed.index(), <[u8]>::to_vec).unwrap();
            self.world.acknowledged.insert(placed.index(), entry);
        }
        true
    }

    fn sign(&mut self) {
        let Some((core, _)) = &self.core else { return };
        if core.sign().is_ok() {
            let signed = core.signed.read().clone().unwrap();
            self.world.signed = Some((signed.size, signed.root));
        }
    }

    fn seal(&mut self) {
        if let Some((core, _)) = &self.core {
            let _ = core.seal_what_is_due(self.clock.now());
        }
    }

    fn prune(&mut self, first: u64) {
        if let Some((core, _)) = &self.core {
            let _ = core.prune(first);
        }
    }

    /// The script: commits small and large groups, repeats events, signs, seals, prunes.
    fn story(&mut self) {
        if self.open().is_err() {
            return;
        }
        self.sign();
        for step in 0..6 {
            self.clock.advance(Duration::from_millis(10));
            self.commit(step * 70..step * 70 + 90);
            self.sign();
            self.seal();
        }
        self.prune(256);
        self.commit(430..650);
        self.sign();
    }

    /// After a crash: a new start finds all that was acknowledged, at its place, in a tree that contains what was signed.
    fn check(&mut self, context: &str) {
        self.core = None;
        self.disk.restart();
        self.open().unwrap_or_else(|error| panic!("{context}: does not open: {error:?}"));
        let Some((core, _)) = &self.core else { unreachable!() };
        let first = core.view.read().sealed.first();
        let mut entries = Vec::new();
        let end = core.scan(first, u64::MAX, &mut |_, entry| entries.push(entry.to_vec())).unwrap();
        assert_eq!((end, entries.len() as u64), (core.size(), end - first), "{context}");
        for (index, entry) in self.world.acknowledged.range(first..) {
            assert_eq!(entries.get((index - first) as usize), Some(entry), "{context}: entry {index}");
        }
        let mut leaves: Vec<Hash> =
            self.world.acknowledged.range(..first).map(|(_, entry)| leaf_hash(entry)).collect();
        assert_eq!(leaves.len() as u64, first, "{context}: only what was acknowledged is pruned");
        leaves.extend(entries.iter().map(|entry| leaf_hash(entry)));
        assert_eq!(core.tree.read().root(), subtree_root(&leaves), "{context}");
        if let Some((size, root)) = self.world.signed {
            assert!(size <= end, "{context}: signed {size} of {end}");
            assert_eq!(subtree_root(&leaves[..size as usize]), root, "{context}");
        }
        core.sign().unwrap();
        let note = core.signed.read().clone().unwrap().note;
        assert_eq!(Checkpoint::open(&note, &key().verifier()).unwrap().size, end, "{context}");

        // Everything is sent again but what is pruned, which cannot be compared any more: what was acknowledged is a duplicate
        // where it was, and life goes on.
        let again: Vec<u64> = (0..650)
            .filter(|number| self.world.placed.get(number).is_none_or(|index| *index >= first))
            .collect();
        assert!(self.commit_these(&again), "{context}: commits again");
        assert_eq!(self.core.as_ref().map(|(core, _)| core.size()), Some(650), "{context}: each event once");
        self.seal();
        assert_eq!(self.core.as_ref().map(|(core, _)| core.view.read().sealed.end()), Some(512), "{context}");
    }
}

fn event(number: u64) -> String {
    let time = "2026-11-21T03:00:00Z";
    let large = if number.is_multiple_of(97) { "v".repeat(5_000) } else { String::new() };
    format!(
        r#"{{"event_id":"e{number}","event_time":"{time}","event_name":"thing.done","username":"u{}","event_data":{{"n":{number},"large":"{large}"}}}}"#,
        number % 7
    )
}

fn operations_of_the_story() -> u64 {
    let mut run = Run::new(0);
    run.story();
    let operations = run.disk.operations();
    run.check("without a crash");
    assert_eq!(run.world.signed.map(|(size, _)| size), Some(650));
    operations
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged() {
    let operations = operations_of_the_story();
    for operation in 0..operations {
        for seed in 0..2 {
            let mut run = Run::new(seed);
            run.disk.crash_at(operation);
            run.story();
            run.check(&format!("crash at operation {operation}, seed {seed}"));
        }
    }
}

#[test]
fn a_disk_that_fails_and_lies_loses_nothing_acknowledged() {
    let operations = operations_of_the_story();
    for operation in 0..operations {
        for lie in [Lie::Lost, Lie::Kept, Lie::Part] {
            let mut run = Run::new(operation);
            run.disk.fail_at(operation, lie);
            run.story();
            run.disk.crash();
            run.check(&format!("failure at operation {operation}, {lie:?}"));
        }
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let mut run = Run::new(1);
    run.open().unwrap();
    assert!(run.commit(0..90));
    run.disk.set_write_budget(10_000);
    let refused = (0..40).filter(|step| !run.commit(90 + step * 10..100 + step * 10)).count();
    assert!(refused > 0, "the disk became full");
    run.disk.set_write_budget(u64::MAX);
    assert!(run.commit(90..500), "it takes events again");
    run.disk.crash();
    run.check("after a full disk");
}
