//! Events that a sink refused for good, kept with the reason until a person decides.
//!
//! A journal in `<sink>/dead/` with two kinds of records: a letter, and the numbers of letters that are done with. The format is section
//! 11 of `docs/formats.md`.

mod record;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use attestry_event::{Event, Nanos, Outcome};
use attestry_journal::disk::{Disk, RealDisk};
use attestry_journal::{Error, Item, Journal, Policy};
use parking_lot::Mutex;

use self::record::Record;
pub use self::replay::{ReplayError, Replayed, replay};
use crate::Parcel;
use crate::spool::oldest_end;

/// The least bound in bytes: the largest event has 16 MiB, and some files of that size must fit.
pub const MIN_BYTES: u64 = 96 << 20;
/// The size of a file, in bytes.
const SEGMENT_BYTES: u64 = 4 << 20;
/// Numbers of letters in one record.
const GONE_AT_ONCE: usize = 10_000;

/// How dead letters use their directory.
#[derive(Clone, Copy, Debug)]
pub struct DeadOptions {
    /// How many bytes the files may take together, in whole files; less than [`MIN_BYTES`] counts as that. Beyond it the oldest letters go.
    pub max_bytes: u64,
    /// The size of a file in bytes, 4 MiB when absent. Small sizes are for tests, and lift the lower bound of `max_bytes`.
    pub segment_bytes: Option<u64>,
}

impl Default for DeadOptions {
    /// 256 MiB.
    fn default() -> Self {
        DeadOptions { max_bytes: 256 << 20, segment_bytes: None }
    }
}

/// An event that was refused.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its number among the sink's dead letters. [`Parcel::number`] is the same.
    pub id: u64,
    /// When it was refused.
    pub at: Nanos,
    /// Why.
    pub reason: String,
    /// How often it was offered.
    pub attempts: u32,
    /// The event. It has no [`Parcel::seq`]: that number was accounted for when it was refused.
    pub parcel: Parcel,
}

/// A letter to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The event.
    pub parcel: &'a Parcel,
    /// Why it was refused.
    pub reason: &'a str,
    /// How often it was offered.
    pub attempts: u32,
}

/// Letters that are gone though nobody decided that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// How many; `None` where that cannot be told.
    pub letters: Option<u64>,
    /// `cap` or `damage`.
    pub why: &'static str,
}

impl Evicted {
    /// The event that declares it.
    pub fn event(&self, sink: &str) -> Event {
        let count = self.letters.map_or("an unknown number of".to_owned(), |letters| letters.to_string());
        let message = match self.why {
            "cap" => format!("{count} dead letters of {sink} went over their bound and are gone"),
            _ => format!("{count} dead letters of {sink} cannot be read any more"),
        };
        let event = Event::new("gap.dead_letters", "-")
            .resource(sink)
            .outcome(Outcome::Failure)
            .severity(3)
            .message(message)
            .data("why", self.why);
        match self.letters {
            Some(letters) => event.data("events", letters),
            None => event,
        }
    }
}

/// The dead letters of one sink.
///
/// Keeping other processes out of the directory is the owner's business ([`DirLock`](crate::DirLock)): opening repairs files.
pub struct DeadLetters<D: Disk = RealDisk> {
    disk: D,
    dir: PathBuf,
    max_bytes: u64,
    segment_bytes: u64,
    inner: Mutex<Inner<D>>,
}

struct Inner<D: Disk> {
    journal: Journal<D>,
    /// The letters nobody has decided about, and their length in bytes.
    live: BTreeMap<u64, u64>,
}

impl<D: Disk> DeadLetters<D> {
    /// Opens the dead letters in a directory, making it where needed, and says what of them is damaged.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn open(disk: D, dir: &Path, options: DeadOptions) -> Result<(Self, Option<Evicted>), Error> {
        let max_bytes = match options.segment_bytes {
            Some(_) => options.max_bytes,
            None => options.max_bytes.max(MIN_BYTES),
        };
        let segment_bytes = options.segment_bytes.unwrap_or(SEGMENT_BYTES);
        let limits = attestry_journal::Options { segment_bytes, cap_bytes: max_bytes, policy: Policy::Block };
        let (journal, opened) = Journal::open(disk.clone(), dir, limits)?;
        let mut live = BTreeMap::new();
        let mut unreadable = opened.damage.iter().any(|damage| damage.first_seq < damage.end_seq);
        let mut reader = journal.read(journal.first());
        while let Some(item) = reader.next()? {
            let Item::Record { seq, payload } = item else { continue };
            match Record::decode(seq, payload) {
                Some(Record::Letter(_)) => {
                    live.insert(seq, payload.len() as u64);
                }
                Some(Record::Gone(ids)) => ids.iter().for_each(|id| {
                    live.remove(id);
                }),
                None => unreadable = true,
            }
        }
        let evicted = unreadable.then_some(Evicted { letters: None, why: "damage" });
        let inner = Mutex::new(Inner { journal, live });
        Ok((DeadLetters { disk, dir: dir.to_owned(), max_bytes, segment_bytes, inner }, evicted))
    }

    /// Keeps refused events. When this returns, they are durable.
    ///
    /// Where the bound is reached, the oldest letters go; `evict` is told before they do, and has to make sure that it is known.
    ///
    /// # Errors
    /// When the disk is full or fails; nothing is kept then, and trying again is right.
    pub fn put(
        &self,
        refusals: &[Refusal<'_>],
        at: Nanos,
        evict: &mut dyn FnMut(Evicted),
    ) -> Result<(), Error> {
        let inner = &mut *self.inner.lock();
        let mut kept = Vec::new();
        let written = (|| {
            for refusal in refusals {
                let record = record::letter(refusal, at);
                let seq = loop {
                    match inner.journal.append(&[&record]) {
                        Err(Error::Full) if self.make_room(inner, record.len() as u64, evict) => {}
                        appended => break appended?,
                    }
                };
                kept.push((seq, record.len() as u64));
            }
            inner.journal.sync()
        })();
        if let Err(error) = written {
            inner.journal.rollback();
            return Err(error);
        }
        inner.live.extend(kept);
        Ok(())
    }

    /// Lets the oldest file go; false when that is not what is missing.
    fn make_room(&self, inner: &mut Inner<D>, size: u64, evict: &mut dyn FnMut(Evicted)) -> bool {
        /// A file's header and a record's head.
        const AROUND: u64 = 1024 + 64;
        let file = self.segment_bytes.max(size + AROUND);
        if inner.journal.bytes().saturating_add(file) <= self.max_bytes {
            return false;
        }
        let Ok(Some(end)) = oldest_end(&self.disk, &self.dir, &inner.journal) else { return false };
        let going = inner.live.range(..end).count() as u64;
        if going > 0 {
            evict(Evicted { letters: Some(going), why: "cap" });
        }
        match inner.journal.remove_before(end) {
            Ok(freed) if freed > 0 => {
                inner.live = inner.live.split_off(&end);
                true
            }
            _ => false,
        }
    }

    /// The letters from a number on, oldest first: at most `limit`, and no more once they have `max_bytes` together.
    ///
    /// # Errors
    /// When the disk fails to read.
    pub fn list(&self, from: u64, limit: usize, max_bytes: u64) -> Result<Vec<Letter>, Error> {
        let (wanted, mut reader) = {
            let inner = self.inner.lock();
            let mut bytes = 0;
            let wanted: Vec<u64> = inner
                .live
                .range(from..)
                .take(limit)
                .take_while(|(_, len)| {
                    let fits = bytes < max_bytes;
                    bytes += **len;
                    fits
                })
                .map(|(id, _)| *id)
                .collect();
            let Some(first) = wanted.first() else { return Ok(Vec::new()) };
            let reader = inner.journal.read(*first);
            (wanted, reader)
        };
        let mut letters = Vec::new();
        let mut wanted = wanted.into_iter().peekable();
        while let Some(next) = wanted.peek().copied() {
            match reader.next()? {
                Some(Item::Record { seq, payload }) if seq == next => {
                    if let Some(Record::Letter(letter)) = Record::decode(seq, payload) {
                        letters.push(*letter);
                    }
                    wanted.next();
                }
                Some(Item::Record { .. }) => {}
                // Went over the bound, or was damaged, since.
                Some(Item::Gap(gap)) => while wanted.next_if(|id| *id < gap.end).is_some() {},
                None => break,
            }
        }
        Ok(letters)
    }

    /// One letter, if it is still there.
    ///
    /// # Errors
    /// When the disk fails to read.
    pub fn get(&self, id: u64) -> Result<Option<Letter>, Error> {
        Ok(self.list(id, 1, u64::MAX)?.into_iter().find(|letter| letter.id == id))
    }

    /// Forgets letters for good and returns how many there were. Numbers that are no letters are passed over. To write that down takes
    /// room, too: `evict` as in [`put`](Self::put).
    ///
    /// # Errors
    /// When the disk is full or fails; some of them may be forgotten then.
    pub fn forget(&self, ids: &[u64], evict: &mut dyn FnMut(Evicted)) -> Result<usize, Error> {
        let inner = &mut *self.inner.lock();
        let mut ids: Vec<u64> = ids.iter().copied().filter(|id| inner.live.contains_key(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        for ids in ids.chunks(GONE_AT_ONCE) {
            let record = record::gone(ids);
            let appended = loop {
                match inner.journal.append(&[&record]) {
                    Err(Error::Full) if self.make_room(inner, record.len() as u64, evict) => {}
                    appended => break appended,
                }
            };
            if let Err(error) = appended.and_then(|_| inner.journal.sync()) {
                inner.journal.rollback();
                return Err(error);
            }
            for id in ids {
                inner.live.remove(id);
            }
        }
        let first = inner.live.keys().next().copied().unwrap_or(u64::MAX);
        if let Err(error) = inner.journal.remove_before(first) {
            let error: io::Error = error;
            tracing::warn!(error = error.to_string(), "cannot remove old files of dead letters");
        }
        Ok(ids.len())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.lock().live.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What their files take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.inner.lock().journal.bytes()
    }

    /// All numbers, oldest first.
    pub fn ids(&self) -> Vec<u64> {
        self.inner.lock().live.keys().copied().collect()
    }
}
