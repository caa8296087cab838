//! A journal on a simulated disk beside what it must hold, whatever happens to the disk.

use std::path::Path;

use attestry_journal::{
    Error, Item, Journal, Opened, Options, Policy,
    disk::{Lie, SimDisk},
};

pub(crate) const DIR: &str = "/journal";

/// One thing a user of the journal, or the world, does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Append(usize),
    Sync,
    Rollback,
    /// Removes below this share, in percent, of what is durable.
    Remove(u64),
    /// The process ends and starts again; the disk does not notice.
    Restart,
    Crash,
    /// The power goes during the operation so many from now.
    CrashIn(u64),
    FailIn(u64, Lie),
    /// So many bytes more fit on the disk.
    Room(u64),
    /// So many bytes more can be written.
    Budget(u64),
    Lift,
}

pub(crate) struct Run {
    pub(crate) disk: SimDisk,
    options: Options,
    journal: Option<Journal<SimDisk>>,
    /// What must be there, by sequence.
    acknowledged: Vec<Vec<u8>>,
    /// What may follow, if it is there: a prefix of any of these. The last one is what the journal says it has.
    branches: Vec<Vec<Vec<u8>>>,
    /// Everything below may have been removed.
    removable: u64,
    /// So that no two payloads are equal.
    count: u64,
}

impl Run {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let disk = SimDisk::new(seed);
        let (acknowledged, branches) = (Vec::new(), vec![Vec::new()]);
        let mut run = Run { disk, options, journal: None, acknowledged, branches, removable: 0, count: 0 };
        run.open();
        run
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Append(bytes) => self.append(bytes),
            Act::Sync => self.sync(),
            Act::Rollback => {
                if let Some(journal) = &mut self.journal {
                    journal.rollback();
                    self.forget();
                }
            }
            Act::Remove(percent) => {
                let below = self.acknowledged.len() as u64 * percent / 100;
                if let Some(journal) = &mut self.journal {
                    self.removable = self.removable.max(below);
                    let _ = journal.remove_before(below);
                }
            }
            Act::Restart => self.restart(),
            Act::Crash => {
                self.disk.crash();
                self.restart();
            }
            Act::CrashIn(operations) => self.disk.crash_at(self.disk.operations() + operations),
            Act::FailIn(operations, lie) => self.disk.fail_at(self.disk.operations() + operations, lie),
            Act::Room(bytes) => {
                let used: u64 = self.journal.as_ref().map_or(0, Journal::bytes);
                self.disk.set_capacity(used + bytes);
            }
            Act::Budget(bytes) => self.disk.set_write_budget(bytes),
            Act::Lift => {
                self.disk.set_capacity(u64::MAX);
                self.disk.set_write_budget(u64::MAX);
            }
        }
        if self.disk.is_down() {
            self.restart();
        }
        if self.options.policy == Policy::DropOldest {
            // A removal that fails may have happened all the same; the journal tells of it at the next one.
            self.removable = self.acknowledged.len() as u64;
        }
        self.check_numbers();
        if let Act::Sync | Act::Remove(_) = act {
            self.check_records();
        }
    }

    /// How many records must be there.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    fn append(&mut self, bytes: usize) {
        let Some(journal) = &mut self.journal else { return };
        self.count += 1;
        let mut payload = vec![self.count as u8; bytes];
        payload.extend_from_slice(&self.count.to_le_bytes());
        let (one, two) = payload.split_at(bytes / 2);
        let appended = journal.append(&[one, two]);
        let durable = journal.durable();
        if let Some(dropped) = journal.take_dropped() {
            assert!(
                dropped.end <= durable,
                "dropped {dropped:?}, of which only those below {durable} are durable"
            );
            assert_eq!(dropped.end, journal.first());
        }
        let current = self.branches.last_mut().unwrap();
        match appended {
            Ok(seq) => {
                assert_eq!(seq as usize, self.acknowledged.len() + current.len());
                current.push(payload);
            }
            Err(error) => {
                let kept = current.clone();
                current.push(payload);
                match error {
                    Error::Full => self.branches.push(kept),
                    Error::Failed(_) => self.branches.push(Vec::new()),
                    other => panic!("{other}"),
                }
            }
        }
    }

    fn sync(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        match journal.sync() {
            Ok(durable) => {
                // What failed before and goes on where this ends may still come back.
                let current = self.branches.pop().unwrap();
                self.branches.retain_mut(|branch| {
                    let behind = branch.strip_prefix(&current[..]).map(<[_]>::to_vec);
                    behind.map(|behind| *branch = behind).is_some()
                });
                self.branches.push(Vec::new());
                self.acknowledged.extend(current);
                assert_eq!(durable, self.acknowledged.len() as u64);
            }
            Err(Error::Failed(_)) => self.forget(),
            Err(other) => panic!("{other}"),
        }
    }

    fn forget(&mut self) {
        if self.branches.last().is_some_and(|branch| !branch.is_empty()) {
            self.branches.push(Vec::new());
        }
    }

    pub(crate) fn restart(&mut self) {
        self.journal = None;
        self.open();
        let mut tries = 0;
        while self.journal.is_none() {
            tries += 1;
            assert!(tries < 50, "it never opens again");
            self.open();
        }
    }

    fn open(&mut self) {
        if self.disk.is_down() {
            self.disk.restart();
        }
        match Journal::open(self.disk.clone(), Path::new(DIR), self.options) {
            // The power went when all that counts was done.
            Ok(_) if self.disk.is_down() => {}
            Ok((journal, opened)) => self.check_opened(journal, opened),
            Err(Error::Fatal { .. }) => {}
            Err(Error::Full) => self.act(Act::Lift),
            Err(other) => panic!("{other}"),
        }
    }

    /// What comes back at an open is what was acknowledged, then a prefix of what was tried; and from then on it counts as
    /// acknowledged.
    fn check_opened(&mut self, journal: Journal<SimDisk>, opened: Opened) {
        assert_eq!(opened.damage, [], "nothing was damaged, only interrupted");
        assert_eq!((opened.first, opened.next), (journal.first(), journal.next()));
        assert_eq!(journal.durable(), journal.next());
        let records = self.records(&journal);
        let known = self.acknowledged.len();
        assert!(opened.next as usize >= known, "{} of {known} acknowledged are left", opened.next);
        let more: Vec<Vec<u8>> =
            records.iter().filter(|(seq, _)| *seq as usize >= known).map(|r| r.1.clone()).collect();
        let tried = self.branches.iter().any(|branch| branch.starts_with(&more));
        assert!(tried, "{} records follow that nobody appended in this order", more.len());
        self.acknowledged.extend(more);
        self.branches = vec![Vec::new()];
        self.journal = Some(journal);
        self.check_numbers();
        self.check_records();
    }

    fn check_numbers(&self) {
        let Some(journal) = &self.journal else { return };
        let pending = self.branches.last().unwrap().len();
        assert_eq!(journal.durable() as usize, self.acknowledged.len());
        assert_eq!(journal.next() as usize, self.acknowledged.len() + pending);
        assert!(
            journal.first() <= self.removable,
            "{} is gone, removable is {}",
            journal.first(),
            self.removable
        );
    }

    /// What a reader sees is what is acknowledged.
    fn check_records(&self) {
        let Some(journal) = &self.journal else { return };
        for (seq, payload) in self.records(journal) {
            assert!(self.acknowledged[seq as usize] == payload, "record {seq} is another one");
        }
    }

    /// All records that can be read: without a gap, but for what was to be removed.
    fn records(&self, journal: &Journal<SimDisk>) -> Vec<(u64, Vec<u8>)> {
        let (mut reader, mut records, mut next) =
            (journal.read(journal.first()), Vec::new(), journal.first());
        while let Some(item) = reader.next().unwrap() {
            next = match item {
                Item::Record { seq, payload } => {
                    assert_eq!(seq, next);
                    records.push((seq, payload.to_vec()));
                    seq + 1
                }
                Item::Gap(gap) => {
                    assert!(gap.start == next && gap.end <= self.removable, "a gap {gap:?}");
                    gap.end
                }
            };
        }
        assert_eq!(next, journal.durable().max(journal.first()));
        records
    }
}
