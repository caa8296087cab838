//! Reading: the newest from memory, the rest from the journal's files.

use std::sync::Arc;

use attestry_journal::disk::Disk;
use attestry_journal::{Item, Reader};

use super::Spool;
use super::chunk::{Chunk, place, position};
use super::state::Why;
use crate::{Limits, Parcel, Read, ReadError};

/// Journal readers that are kept for those who read on. Each has a window of 1 MiB.
const READINGS_KEPT: usize = 16;

/// A journal reader, and the chunk it read last, of which a part may not be taken yet.
pub(super) struct Reading<D: Disk> {
    reader: Reader<D>,
    last: Option<Arc<Chunk>>,
}

impl<D: Disk> Reading<D> {
    fn is_at(&self, record: u64) -> bool {
        self.reader.seq() == record || self.last.as_ref().is_some_and(|chunk| chunk.record == record)
    }
}

/// Fills a [`Read`] chunk by chunk.
struct Filling {
    read: Read,
    limits: Limits,
    bytes: usize,
    epoch: Option<u64>,
}

impl Filling {
    /// Takes from a chunk, beginning where the read stands; false when enough was taken. `None` when the chunk is not whole.
    fn take(&mut self, chunk: &Chunk) -> Option<bool> {
        let (record, nth) = place(self.read.next);
        let nth = if record == chunk.record { nth.min(u64::from(chunk.header.count)) } else { 0 };
        // One epoch a read, so that a number says which event it is.
        if *self.epoch.get_or_insert(chunk.header.epoch) != chunk.header.epoch
            && !self.read.parcels.is_empty()
        {
            return Some(false);
        }
        self.epoch = Some(chunk.header.epoch);
        let mut events = self.read.parcels.len();
        let (limits, mut bytes) = (self.limits, self.bytes);
        let mut more = |parcel: &Parcel| {
            bytes += parcel.bytes();
            events += 1;
            events <= limits.events.max(1) && (bytes <= limits.bytes || events == 1)
        };
        let next = chunk.parcels(nth, &mut self.read.parcels, &mut more)?;
        self.bytes = bytes;
        if next > nth {
            chunk.covered(nth..next).add_to(&mut self.read.covered);
        }
        self.read.reached = chunk.header.number.saturating_add(next);
        let whole = next == u64::from(chunk.header.count);
        self.read.next = if whole { position(chunk.record + 1, 0) } else { position(chunk.record, next) };
        Some(whole && self.read.parcels.len() < self.limits.events && self.bytes < self.limits.bytes)
    }
}

impl<D: Disk> Spool<D> {
    pub(super) fn read_on(&self, from: u64, limits: Limits) -> Result<Read, ReadError> {
        let (record, _) = place(from);
        let read = Read { next: from, ..Read::default() };
        let mut filling = Filling { read, limits, bytes: 0, epoch: None };
        let (end, chunks) = {
            let shown = self.shown.read();
            if record >= shown.end {
                return Ok(Read { next: from, reached: shown.total, ..Read::default() });
            }
            let mut chunks = Vec::new();
            if let Some(oldest) = shown.tail.front()
                && record >= oldest.record
            {
                let (mut events, mut bytes) = (0, 0);
                for chunk in shown.tail.range((record - oldest.record) as usize..) {
                    // Of the first only the end may be wanted.
                    if !chunks.is_empty() {
                        events += chunk.header.count as usize;
                        bytes += chunk.body.len();
                    }
                    chunks.push(Arc::clone(chunk));
                    if events >= limits.events || bytes >= limits.bytes {
                        break;
                    }
                }
            }
            (shown.end, chunks)
        };
        if chunks.is_empty() {
            return self.read_files(filling, end);
        }
        for chunk in chunks {
            match filling.take(&chunk) {
                Some(true) => {}
                Some(false) => break,
                // It was made by this process.
                None => return Err(ReadError { reason: "a chunk in memory is not whole".to_owned() }),
            }
        }
        Ok(filling.read)
    }

    fn read_files(&self, mut filling: Filling, end: u64) -> Result<Read, ReadError> {
        let record = place(filling.read.next).0;
        let kept = {
            let mut readings = self.readings.lock();
            let at = readings.iter().position(|reading| reading.is_at(record));
            at.map(|at| readings.remove(at))
        };
        let mut reading = match kept {
            Some(reading) => reading,
            None => Reading { reader: self.writer.lock().journal.read(record), last: None },
        };
        if let Some(last) = reading.last.clone().filter(|last| last.record == record) {
            match filling.take(&last) {
                Some(true) => {}
                Some(false) => {
                    self.keep(reading);
                    return Ok(filling.read);
                }
                None => return Ok(self.lost(filling, last.record..last.record + 1)),
            }
        }
        let mut extended = false;
        loop {
            let item =
                reading.reader.next().map_err(|error| ReadError { reason: crate::describe(&error) })?;
            match item {
                Some(Item::Record { seq, payload }) => {
                    let Some(chunk) = Chunk::decode(seq, payload).map(Arc::new) else {
                        return Ok(self.lost(filling, seq..seq + 1));
                    };
                    reading.last = Some(Arc::clone(&chunk));
                    match filling.take(&chunk) {
                        Some(true) => {}
                        Some(false) => break,
                        None => return Ok(self.lost(filling, seq..seq + 1)),
                    }
                }
                Some(Item::Gap(gap)) => return Ok(self.lost(filling, gap)),
                None if !extended && place(filling.read.next).0 < end => {
                    extended = true;
                    self.writer.lock().journal.extend(&mut reading.reader);
                }
                None => break,
            }
        }
        self.keep(reading);
        Ok(filling.read)
    }

    /// Ends a read at a hole: what was before it is taken first, the next read comes upon the hole again and tells of it.
    fn lost(&self, mut filling: Filling, records: std::ops::Range<u64>) -> Read {
        if filling.read.parcels.is_empty() {
            let gap = self.gap(records, Why::Damage);
            filling.read.next = gap.range.end;
            filling.read.reached = filling.read.reached.max(self.number_at(gap.range.end));
            filling.read.gap = Some(gap);
        }
        filling.read
    }

    /// How many events the spool had taken before the first at or behind a position.
    fn number_at(&self, from: u64) -> u64 {
        let mut reader = self.writer.lock().journal.read(place(from).0);
        match reader.next() {
            Ok(Some(Item::Record { seq, payload })) => {
                Chunk::decode(seq, payload).map_or(0, |chunk| chunk.header.number)
            }
            _ => self.shown.read().total,
        }
    }

    fn keep(&self, reading: Reading<D>) {
        // Whoever has caught up reads from memory.
        let caught_up =
            self.shown.read().tail.front().is_some_and(|oldest| reading.reader.seq() > oldest.record);
        if caught_up {
            return;
        }
        let mut readings = self.readings.lock();
        if readings.len() == READINGS_KEPT {
            readings.remove(0);
        }
        readings.push(reading);
    }
}
