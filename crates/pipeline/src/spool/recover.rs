//! Opening: how far had we counted, and what is missing?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use attestry_event::Clock;
use attestry_journal::disk::Disk;
use attestry_journal::{Damage, Item, Journal, Policy};
use parking_lot::{Condvar, Mutex, RwLock};

use super::chunk::{Header, place, position};
use super::losses::survey;
use super::state::{Counters, Found, Loss, State, Why};
use super::{End, MIN_BYTES, OpenError, Opened, Options, Queue, Shown, Spool, Writer};

/// The size of a file when the options do not say, in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;

impl<D: Disk> Spool<D> {
    /// Opens the spool in a directory, making it where needed.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub fn open(
        disk: D,
        dir: &Path,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<(Spool<D>, Opened), OpenError> {
        let (journal_dir, state_path) = (dir.join("journal"), dir.join("state"));
        let max_bytes = match options.segment_bytes {
            Some(_) => options.max_bytes,
            None => options.max_bytes.max(MIN_BYTES),
        };
        let segment_bytes = options.segment_bytes.unwrap_or((max_bytes / 8).min(SEGMENT_BYTES));
        // The spool drops the oldest itself, since it has to say what that was.
        let limits = attestry_journal::Options { segment_bytes, cap_bytes: max_bytes, policy: Policy::Block };
        let of_journal = |source| OpenError::Journal { dir: dir.to_owned(), source };
        let of_state = |source| OpenError::State { path: state_path.clone(), source };
        let (mut journal, opened) = Journal::open(disk.clone(), &journal_dir, limits).map_err(of_journal)?;
        let found = State::load(&disk, &state_path).map_err(of_state)?;
        let fresh = matches!(found, Found::Absent) && opened.next == 0;
        let mut state = match found {
            Found::State(state) => Some(state),
            Found::Absent | Found::Damaged => None,
        };

        let now = clock.now();
        let mut removed = None;
        if let Some(known) = &mut state {
            if opened.next < known.position {
                // Positions begin anew, and what they were is nothing to go by any more.
                known.losses.clear();
                removed = Some(opened.next..known.position);
            } else if opened.first > known.position {
                removed = Some(known.position..opened.first);
            }
        }
        let counted = count(&journal, state.as_ref(), opened.next).map_err(of_journal)?;
        let mut state = state.unwrap_or_default();
        state.counters = counted.counters;
        let new_epoch = fresh || !counted.whole;
        if new_epoch {
            state.counters.begin_epoch(now, counted.greatest_epoch);
        }

        // A position beyond the end is one in another spool, which was here before.
        let done = Some(options.done)
            .filter(|done| *done <= position(opened.next, 0))
            .map_or(0, |done| place(done).0);
        for damage in &opened.damage {
            if !state.losses.iter().any(|loss| is_of(loss, damage)) {
                let records = damage.first_seq..damage.end_seq;
                let (events, ledgers) = match records.end <= done || records.is_empty() {
                    true => (Some(0), Vec::new()),
                    false => survey(journal.read(journal.first()), &records, &state.counters),
                };
                let place = Some((damage.file.clone(), damage.offset));
                let (bytes, at, why) = (damage.bytes, now.0, Why::Damage);
                let consumers = Vec::new();
                state.losses.push(Loss {
                    records,
                    why,
                    bytes,
                    events,
                    ledgers,
                    consumers,
                    place,
                    at,
                    declared: false,
                });
            }
        }
        if let Some(records) = removed {
            let (bytes, at, why) = (0, now.0, Why::Removed);
            let (ledgers, consumers, place) = (Vec::new(), Vec::new(), None);
            state.losses.push(Loss {
                records,
                why,
                bytes,
                events: None,
                ledgers,
                consumers,
                place,
                at,
                declared: false,
            });
        }

        state.position = opened.next;
        state.store(&disk, &state_path).map_err(of_state)?;
        // A drop that a crash cut short is declared already.
        let dropped =
            state.losses.iter().filter(|loss| loss.why == Why::Cap).map(|loss| loss.records.end).max();
        if let Some(dropped) = dropped {
            journal.remove_before(dropped).map_err(of_state)?;
        }

        let told = Opened {
            epoch: state.counters.epoch,
            new_epoch,
            damage: opened.damage,
            torn_bytes: opened.torn_bytes,
        };
        let counters = state.counters.clone();
        let shown = Shown {
            tail: Default::default(),
            tail_bytes: 0,
            first: journal.first(),
            end: journal.durable(),
            total: counters.number,
        };
        let end = End { position: position(journal.durable(), 0), closed: false };
        let writer = Writer {
            journal,
            counters,
            state,
            since_saved: 0,
            seen_bytes: 0,
            lost: 0,
            notices: Vec::new(),
            unsaid: 0,
        };
        let spool = Spool {
            disk,
            journal_dir,
            state_path,
            options,
            max_bytes,
            segment_bytes,
            clock,
            queue: Mutex::new(Queue::default()),
            turned: Condvar::new(),
            writer: Mutex::new(writer),
            shown: RwLock::new(shown),
            end: Mutex::new(end),
            arrived: Condvar::new(),
            readings: Mutex::new(Vec::new()),
            consumers: Mutex::new(BTreeMap::new()),
            trim_at: AtomicU64::new(u64::MAX),
        };
        spool.look_at_files(&mut spool.writer.lock());
        // Where there is no room now, the next commit tells it.
        if let Err(error) = spool.commit(&mut []) {
            tracing::warn!(error = crate::describe(&error), "what the spool lost is not declared yet");
        }
        Ok((spool, told))
    }
}

fn is_of(loss: &Loss, damage: &Damage) -> bool {
    let records = damage.first_seq..damage.end_seq;
    match records.is_empty() {
        true => loss.place.as_ref().is_some_and(|(file, at)| *file == damage.file && *at == damage.offset),
        false => loss.records.start <= records.start && records.end <= loss.records.end,
    }
}

struct Counted {
    counters: Counters,
    greatest_epoch: u64,
    /// Every number that was given is accounted for.
    whole: bool,
}

/// Counts on from what the state says, or from the beginning.
fn count<D: Disk>(
    journal: &Journal<D>,
    state: Option<&State>,
    next: u64,
) -> Result<Counted, attestry_journal::Error> {
    let known = state.filter(|state| state.position <= next);
    let mut counters = state.map(|state| state.counters.clone()).unwrap_or_default();
    let mut greatest_epoch = counters.epoch;
    // Without a state nobody knows which ledgers had numbers in what is removed by now.
    let mut whole = known.is_some();
    let mut begun = known.is_some();
    let mut reader = journal.read(known.map_or(journal.first(), |state| state.position));
    let (mut hole, mut told, mut open) = (0, 0, false);
    while let Some(item) = reader.next()? {
        let Item::Record { payload, .. } = item else {
            open = true;
            continue;
        };
        let Some((header, _)) = Header::decode(payload) else {
            open = true;
            continue;
        };
        if header.epoch != counters.epoch {
            if begun && header.epoch < counters.epoch {
                // Older than what counts: nothing of it is given again.
                continue;
            }
            counters.epoch = header.epoch;
            counters.ledgers.clear();
        }
        if begun {
            hole += header.number.saturating_sub(counters.number);
            told += header.seq.saturating_sub(counters.next(&header.ledger));
        }
        begun = true;
        open = false;
        greatest_epoch = greatest_epoch.max(header.epoch);
        counters.number = header.number.saturating_add(u64::from(header.count)).max(counters.number);
        counters.ledgers.insert(Arc::clone(&header.ledger), header.seqs().end);
    }
    whole &= !open && hole == told;
    Ok(Counted { counters, greatest_epoch, whole })
}
