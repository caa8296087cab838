//! One record of the spool's journal: events of one ledger that came together.
//!
//! The format is section 10 of `docs/formats.md`.

use std::ops::Range;
use std::sync::Arc;

use attestry_event::{Batch, LargeValue, MAX_ENTRY_BYTES};
use bytes::Bytes;

use crate::{Covered, Parcel};

/// First byte of a record.
const FORMAT: u8 = 1;
/// Events of a chunk at most. Fewer than `1 << PLACE_BITS`.
pub(crate) const CHUNK_EVENTS: usize = 1_000;
/// A chunk ends with the first event that makes it larger than this, so that damage to one record takes few events along.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// How many bits of a position say which event of the chunk it is; the others are the record's sequence in the journal.
const PLACE_BITS: u32 = 10;
/// Bytes of a header without the ledger's name: format, epoch, number, first seq, count, the name's length.
const HEADER_BYTES: usize = 1 + 8 + 8 + 8 + 4 + 1;

/// The position of the `nth` event of the chunk that is the journal's record `record`.
pub(crate) fn position(record: u64, nth: u64) -> u64 {
    record.saturating_mul(1 << PLACE_BITS).saturating_add(nth)
}

/// Record and event of a position.
pub(crate) fn place(position: u64) -> (u64, u64) {
    (position >> PLACE_BITS, position & ((1 << PLACE_BITS) - 1))
}

/// What a chunk says of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) epoch: u64,
    /// How many events the spool had taken before the first.
    pub(crate) number: u64,
    pub(crate) ledger: Arc<str>,
    /// The first event's number in its ledger and epoch.
    pub(crate) seq: u64,
    pub(crate) count: u32,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.ledger.len());
        out.push(FORMAT);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        // Names have at most 32 characters; see `Body::ledger_fits`.
        out.push(self.ledger.len() as u8);
        out.extend_from_slice(self.ledger.as_bytes());
        out
    }

    /// Reads a header and where it ends.
    pub(crate) fn decode(record: &[u8]) -> Option<(Header, usize)> {
        let mut rest = record;
        if take(&mut rest, 1)? != [FORMAT] {
            return None;
        }
        let (epoch, number, seq) = (take_u64(&mut rest)?, take_u64(&mut rest)?, take_u64(&mut rest)?);
        let count = take_u32(&mut rest)?;
        let name_len = usize::from(*take(&mut rest, 1)?.first()?);
        let ledger = Arc::from(std::str::from_utf8(take(&mut rest, name_len)?).ok()?);
        let fits = usize::try_from(count).is_ok_and(|count| count <= CHUNK_EVENTS);
        fits.then(|| (Header { epoch, number, ledger, seq, count }, record.len() - rest.len()))
    }

    pub(crate) fn seqs(&self) -> Range<u64> {
        self.seq..self.seq.saturating_add(u64::from(self.count))
    }
}

/// Whether a ledger's name fits a header.
pub(crate) fn ledger_fits(ledger: &str) -> bool {
    u8::try_from(ledger.len()).is_ok()
}

/// Events as they stand in a chunk, before it has a header.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) count: u32,
}

/// Cuts a batch into the bodies of its chunks.
pub(crate) fn bodies(batch: &Batch) -> Vec<Body> {
    let mut bodies = Vec::new();
    let mut left = batch.bytes.len() + 8 * batch.len();
    let room = |left: usize| Vec::with_capacity(left.min(CHUNK_BYTES + MAX_ENTRY_BYTES));
    let mut bytes = room(left);
    let mut count = 0;
    for (row, entry) in batch.entries().enumerate() {
        let values = batch.values_of(row);
        put_event(entry, values, &mut bytes);
        count += 1;
        if bytes.len() >= CHUNK_BYTES || count as usize == CHUNK_EVENTS {
            left = left.saturating_sub(bytes.len());
            bodies.push(Body { bytes: std::mem::replace(&mut bytes, room(left)).into(), count });
            count = 0;
        }
    }
    if count > 0 {
        bodies.push(Body { bytes: bytes.into(), count });
    }
    bodies
}

/// Appends an event: entry, then its values. Also how a dead letter holds it.
pub(crate) fn put_event(entry: &[u8], values: &[LargeValue], out: &mut Vec<u8>) {
    // An event has at most 16 MiB, so all of these fit.
    out.extend_from_slice(&(entry.len() as u32).to_le_bytes());
    out.extend_from_slice(&(values.len() as u32).to_le_bytes());
    out.extend_from_slice(entry);
    for value in values {
        out.extend_from_slice(&value.hash);
        out.extend_from_slice(&value.salt);
        out.extend_from_slice(&(value.content.len() as u32).to_le_bytes());
        out.extend_from_slice(&value.content);
    }
}

/// Reads what [`put_event`] wrote from `at` on: where the entry lies, its values, and where the event ends.
pub(crate) fn get_event(bytes: &[u8], at: usize) -> Option<(Range<usize>, Vec<LargeValue>, usize)> {
    let mut rest = bytes.get(at..)?;
    let entry_len = take_u32(&mut rest)? as usize;
    let count = take_u32(&mut rest)?;
    let start = bytes.len() - rest.len();
    take(&mut rest, entry_len)?;
    let mut values = Vec::new();
    for _ in 0..count {
        let hash = *take(&mut rest, 32)?.first_chunk()?;
        let salt = *take(&mut rest, 16)?.first_chunk()?;
        let len = take_u32(&mut rest)? as usize;
        values.push(LargeValue { hash, salt, content: take(&mut rest, len)?.to_vec() });
    }
    Some((start..start + entry_len, values, bytes.len() - rest.len()))
}

/// A chunk that is durable.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Its sequence in the journal.
    pub(crate) record: u64,
    pub(crate) header: Header,
    pub(crate) body: Bytes,
}

impl Chunk {
    /// Reads a record; `None` when this version cannot.
    pub(crate) fn decode(record: u64, payload: &[u8]) -> Option<Chunk> {
        let (header, at) = Header::decode(payload)?;
        Some(Chunk { record, header, body: Bytes::copy_from_slice(payload.get(at..)?) })
    }

    /// Adds its events from the `nth` on to `out` while `more` agrees, and gives the first that was not taken. `None` when the body is not what the header says.
    pub(crate) fn parcels(
        &self,
        nth: u64,
        out: &mut Vec<Parcel>,
        more: &mut dyn FnMut(&Parcel) -> bool,
    ) -> Option<u64> {
        let mut at = 0;
        for place in 0..u64::from(self.header.count) {
            if place < nth {
                at = skip_event(&self.body, at)?;
                continue;
            }
            let (entry, values, end) = get_event(&self.body, at)?;
            at = end;
            let parcel = Parcel {
                ledger: Arc::clone(&self.header.ledger),
                number: position(self.record, place),
                seq: Some(self.header.seq.saturating_add(place)),
                entry: self.body.slice(entry),
                values,
            };
            if !more(&parcel) {
                return Some(place);
            }
            out.push(parcel);
        }
        Some(u64::from(self.header.count))
    }

    /// Numbers of the events `nths`.
    pub(crate) fn covered(&self, nths: Range<u64>) -> Covered {
        let at = |nth: u64| self.header.seq.saturating_add(nth);
        Covered {
            ledger: Arc::clone(&self.header.ledger),
            epoch: self.header.epoch,
            seqs: at(nths.start)..at(nths.end),
            lost: false,
        }
    }
}

fn skip_event(bytes: &[u8], at: usize) -> Option<usize> {
    let mut rest = bytes.get(at..)?;
    let entry_len = take_u32(&mut rest)? as usize;
    let count = take_u32(&mut rest)?;
    take(&mut rest, entry_len)?;
    for _ in 0..count {
        take(&mut rest, 32 + 16)?;
        let len = take_u32(&mut rest)? as usize;
        take(&mut rest, len)?;
    }
    Some(bytes.len() - rest.len())
}

pub(crate) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(len)?;
    *rest = left;
    Some(taken)
}

pub(crate) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(*take(rest, 4)?.first_chunk()?))
}

pub(crate) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*take(rest, 8)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use attestry_event::{Border, Nanos};

    use super::*;

    fn batch(events: usize, large: bool) -> Batch {
        let border = Border {
            event_source: "test",
            via: &[],
            lenient: false,
            reserved_names: false,
            agent: false,
            now: Nanos(1_800_000_000_000_000_000),
        };
        let mut batch = Batch::with_seed([3; 32]);
        let filler = "x".repeat(if large { 3_000_000 } else { 40_000 });
        for event in 0..events {
            let data = if large || event % 100 == 7 { filler.as_str() } else { "" };
            let json =
                format!(r#"{{"event_name":"a.b","username":"u{event}","event_data":{{"d":"{data}"}}}}"#);
            batch.push_json(json.as_bytes(), &border).unwrap();
        }
        batch
    }

    #[test]
    fn a_batch_survives_being_cut_into_chunks() {
        for (events, large, chunks) in
            [(0, false, 0), (1, false, 1), (1_000, false, 1), (2_500, false, 3), (3, true, 3)]
        {
            let batch = batch(events, large);
            let bodies = bodies(&batch);
            assert_eq!(bodies.len(), chunks, "{events}");
            let mut parcels = Vec::new();
            let mut number = 0;
            for (record, body) in bodies.iter().enumerate() {
                let header =
                    Header { epoch: 9, number, ledger: "logs".into(), seq: number + 5, count: body.count };
                let payload = [header.encode().as_slice(), &body.bytes].concat();
                let chunk = Chunk::decode(record as u64, &payload).unwrap();
                assert_eq!(chunk.header, header);
                assert_eq!(
                    chunk.parcels(0, &mut parcels, &mut |_| true),
                    Some(u64::from(body.count)),
                    "{events}"
                );
                number += u64::from(body.count);
                for cut in [0, 1, header.encode().len() - 1] {
                    assert!(Chunk::decode(0, &payload[..cut]).is_none(), "{cut}");
                }
                let cut = Chunk::decode(0, &payload[..payload.len() - 1]).unwrap();
                assert_eq!(cut.parcels(0, &mut Vec::new(), &mut |_| true), None);
            }
            assert_eq!(parcels.len(), events);
            for (row, parcel) in parcels.iter().enumerate() {
                assert_eq!(parcel.entry, batch.entry(row));
                assert_eq!(parcel.values, batch.values_of(row));
                assert_eq!(parcel.seq, Some(row as u64 + 5));
            }
        }
    }

    #[test]
    fn reading_on_from_the_middle() {
        let batch = batch(10, false);
        let body = bodies(&batch).remove(0);
        let header = Header { epoch: 9, number: 0, ledger: "logs".into(), seq: 0, count: 10 };
        let chunk = Chunk { record: 4, header, body: body.bytes };
        for from in 0..=10_u64 {
            for count in 0..=10 - from as i64 {
                let mut parcels = Vec::new();
                let mut left = count;
                let stopped = chunk.parcels(from, &mut parcels, &mut |_| {
                    left -= i64::from(left >= 0);
                    left >= 0
                });
                assert_eq!(stopped, Some((from as i64 + count).min(10) as u64), "{from} {count}");
                let numbers: Vec<u64> = parcels.iter().map(|parcel| parcel.number).collect();
                assert_eq!(
                    numbers,
                    (from..from + count as u64).map(|nth| position(4, nth)).collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn positions_rise() {
        assert_eq!(place(position(7, 999)), (7, 999));
        assert!(position(8, 0) > position(7, CHUNK_EVENTS as u64));
        assert_eq!(position(u64::MAX, 5), u64::MAX);
    }
}
