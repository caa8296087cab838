//! What the spool lost: found out, counted, declared.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use attestry_event::{Batch, Border, Event};
use attestry_journal::disk::Disk;
use attestry_journal::{Item, Reader};

use super::chunk::{Body, Header, bodies, place, position};
use super::state::{Counters, Loss, LostOf, Why};
use super::{Spool, Writer, files};
use crate::Gap;

impl<D: Disk> Spool<D> {
    /// An event that declares a loss, ready to be appended.
    pub(super) fn encode(&self, event: &Event) -> Vec<Body> {
        let mut event = event.clone();
        event.host = event.host.or_else(|| self.options.host.clone());
        let now = self.clock.now();
        let border = Border {
            event_source: &self.options.gap_source,
            via: &[],
            lenient: false,
            reserved_names: true,
            // A time far ahead is no reason to keep quiet.
            agent: true,
            now,
        };
        let mut batch = Batch::new();
        if let Err(problems) = batch.push(&event, &border) {
            tracing::error!(problems = format!("{problems:?}"), "a loss of the spool cannot be told");
        }
        batch.stamp(now);
        bodies(&batch)
    }

    /// Drops the oldest file to make room for `size` bytes; false when that is not what is missing.
    ///
    /// What goes is written down first, so that it is declared whatever happens in between; a drop that was cut short is finished at the next open.
    pub(super) fn drop_oldest(&self, writer: &mut Writer<D>, size: u64) -> bool {
        /// A file's header and a record's head.
        const AROUND: u64 = 1024 + 64;
        let file = self.segment_bytes.max(size + AROUND);
        if writer.journal.bytes().saturating_add(file) <= self.max_bytes {
            return false;
        }
        let end = match files::oldest_end(&self.disk, &self.journal_dir, &writer.journal) {
            Ok(Some(end)) => end,
            // The newest always stays.
            Ok(None) => return false,
            Err(error) => return cannot_drop(&error),
        };
        // Where a removal failed half-way, it is written down already.
        let known = |loss: &Loss| loss.why == Why::Cap && loss.records.end >= end;
        if !writer.state.losses.iter().any(known)
            && let Some(loss) = self.loss_of_oldest(writer, end)
        {
            let events = loss.events.unwrap_or(0);
            writer.state.losses.push(loss);
            if let Err(error) = self.save(writer) {
                writer.state.losses.pop();
                return cannot_drop(&error);
            }
            writer.lost += events;
        } else if let Err(error) = self.save(writer) {
            return cannot_drop(&error);
        }
        let removed = writer.journal.remove_before(end);
        self.look_at_files(writer);
        match removed {
            Ok(freed) => freed > 0,
            Err(error) => cannot_drop(&error),
        }
    }

    /// What is lost when all records before `end` go; `None` when everybody has read them.
    fn loss_of_oldest(&self, writer: &Writer<D>, end: u64) -> Option<Loss> {
        let waiting: Vec<String> = {
            let consumers = self.consumers.lock();
            let behind = consumers.iter().filter(|(_, position)| place(**position).0 < end);
            let names = behind.map(|(name, _)| name.clone()).collect();
            if consumers.is_empty() { Vec::new() } else { names }
        };
        let slowest = self.slowest();
        if slowest.is_some_and(|(record, _)| record >= end) {
            return None;
        }
        let first = writer.journal.first();
        let (start, read) = slowest.filter(|(record, _)| *record >= first).unwrap_or((first, 0));
        let mut reader = writer.journal.read(start);
        let mut loss = Loss {
            records: start..end,
            why: Why::Cap,
            bytes: 0,
            events: Some(0),
            ledgers: Vec::new(),
            consumers: waiting,
            place: None,
            at: self.clock.now().0,
            declared: false,
        };
        while let Ok(Some(item)) = reader.next() {
            match item {
                Item::Record { seq, payload } if seq < end => {
                    loss.bytes += payload.len() as u64;
                    let Some((mut header, _)) = Header::decode(payload) else { continue };
                    if seq == start {
                        let read = u32::try_from(read).unwrap_or(0).min(header.count);
                        header.seq += u64::from(read);
                        header.count -= read;
                    }
                    loss.events = loss.events.map(|events| events + u64::from(header.count));
                    add(&mut loss.ledgers, header);
                }
                // Damage is a loss of its own.
                Item::Gap(gap) if gap.end < end => {}
                _ => break,
            }
        }
        (loss.events != Some(0)).then_some(loss)
    }

    /// Records damage that a reader came upon, unless it is known, and declares it as soon as there is room. Says what the reader is to be told.
    pub(super) fn gap(&self, records: Range<u64>, unknown: Why) -> Gap {
        let (known, reader) = {
            let writer = self.writer.lock();
            (gap_of(&writer.state.losses, &records), writer.journal.read(writer.journal.first()))
        };
        // What was removed below the first record was lost to nobody who counts, unless it is known.
        if let Some(known) = known {
            return known;
        }
        let (first, counters) = {
            let writer = self.writer.lock();
            (writer.journal.first(), writer.counters.clone())
        };
        if records.end <= first {
            let range = position(records.start, 0)..position(records.end, 0);
            return Gap { range, events: None, why: Why::Removed.name().to_owned(), lost: Vec::new() };
        }
        let (events, ledgers) = survey(reader, &records, &counters);
        let loss = Loss {
            records: records.clone(),
            why: unknown,
            bytes: 0,
            events,
            ledgers,
            consumers: Vec::new(),
            place: None,
            at: self.clock.now().0,
            declared: false,
        };
        let told = as_gap(&loss, &records);
        {
            let mut writer = self.writer.lock();
            if let Some(known) = gap_of(&writer.state.losses, &records) {
                return known;
            }
            tracing::error!(first = records.start, end = records.end, "the spool is damaged");
            writer.lost += loss.events.unwrap_or(0);
            writer.state.losses.push(loss);
        }
        // Where there is no room now, the next commit tells it.
        if self.queue.lock().closed {
            return told;
        }
        if let Err(error) = self.commit(&mut []) {
            tracing::warn!(error = crate::describe(&error), "damage of the spool is not declared yet");
        }
        told
    }
}

/// Nothing was dropped, or nobody knows: whoever wants room waits and tries again.
fn cannot_drop(error: &std::io::Error) -> bool {
    tracing::warn!(error = error.to_string(), "cannot drop the oldest file of the spool");
    false
}

/// What a list of losses says of records that are gone.
fn gap_of(losses: &[Loss], records: &Range<u64>) -> Option<Gap> {
    let mut told: Option<Gap> = None;
    for loss in losses {
        if loss.records.start >= records.end || loss.records.end <= records.start {
            continue;
        }
        let gap = as_gap(loss, records);
        told = Some(match told {
            None => gap,
            Some(mut so_far) => {
                so_far.events = so_far.events.zip(gap.events).map(|(left, right)| left + right);
                so_far.lost.extend(gap.lost);
                so_far
            }
        });
    }
    told
}

fn as_gap(loss: &Loss, records: &Range<u64>) -> Gap {
    Gap {
        range: position(records.start, 0)..position(records.end, 0),
        events: loss.events,
        why: loss.why.name().to_owned(),
        lost: loss.covered(),
    }
}

/// Adds a chunk's numbers to what is known to be lost.
fn add(ledgers: &mut Vec<LostOf>, header: Header) {
    let seqs = header.seqs();
    let same = |lost: &&mut LostOf| lost.ledger == header.ledger && lost.epoch == header.epoch;
    match ledgers.iter_mut().find(same) {
        Some(lost) if lost.seqs.end == seqs.start => lost.seqs.end = seqs.end,
        _ if seqs.is_empty() => {}
        _ => ledgers.push(LostOf { ledger: header.ledger, epoch: header.epoch, seqs }),
    }
}

/// Finds out how many events the records of a hole held, from the numbers on both sides of it. `end` are the counters behind the last record.
///
/// Where a ledger has nothing between an earlier hole and this one, what it lost is said with the earlier one.
pub(super) fn survey<D: Disk>(
    mut reader: Reader<D>,
    hole: &Range<u64>,
    end: &Counters,
) -> (Option<u64>, Vec<LostOf>) {
    let mut number = (reader.seq() == 0).then_some(0);
    let mut before: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
    let mut after: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
    let mut number_after = None;
    loop {
        match reader.next() {
            Ok(Some(Item::Record { seq, payload })) => {
                let Some((header, _)) = Header::decode(payload) else { continue };
                if seq < hole.start {
                    number = Some(header.number.saturating_add(u64::from(header.count)));
                    before.insert(Arc::clone(&header.ledger), (header.epoch, header.seqs().end));
                } else if seq >= hole.end {
                    number_after.get_or_insert(header.number);
                    after.entry(header.ledger).or_insert((header.epoch, header.seq));
                    if before.keys().all(|ledger| after.contains_key(ledger)) {
                        break;
                    }
                }
            }
            Ok(Some(Item::Gap(gap))) if gap.end <= hole.start => {
                number = None;
                before.clear();
            }
            Ok(Some(Item::Gap(_))) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let events =
        number.zip(number_after.or(Some(end.number))).map(|(left, right)| right.saturating_sub(left));
    let mut ledgers = Vec::new();
    for (ledger, (epoch, from)) in before {
        let to = match after.get(&ledger) {
            Some((later, seq)) if *later == epoch => *seq,
            None if end.epoch == epoch => end.next(&ledger),
            _ => from,
        };
        if to > from {
            ledgers.push(LostOf { ledger, epoch, seqs: from..to });
        }
    }
    (events, ledgers)
}
