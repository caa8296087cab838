//! A ledger as what sinks follow: on a server the ledger is the durable log, so nothing is kept twice.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Entry, LargeValue, Scalar, Text, walk};
use attestry_ledger::{Ledger, ReadError};
use attestry_pipeline::{Gap, Limits, Log, Parcel, Read, ReadError as LogReadError};

/// A ledger that is followed.
pub(crate) struct Followed {
    name: Arc<str>,
    ledger: Arc<Ledger>,
}

impl Followed {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Followed {
        Followed { name: ledger.name().into(), ledger }
    }

    /// The strings that an entry refers to; those that were erased are not among them.
    fn values(&self, bytes: &[u8]) -> Result<Vec<LargeValue>, ReadError> {
        let Ok(entry) = Entry::parse(bytes) else { return Ok(Vec::new()) };
        let mut hashes = Vec::new();
        if let Some(Text::Ref { hash, .. }) = entry.message() {
            hashes.push(hash);
        }
        if let Some(data) = entry.event_data() {
            // What is no entry of this version goes on as bytes.
            let _ = walk(data, &mut |_, scalar| {
                if let Scalar::Ref { hash, .. } = scalar {
                    hashes.push(hash);
                }
            });
        }
        let mut values = Vec::with_capacity(hashes.len());
        for hash in hashes {
            if let Some(value) = self.ledger.value(&hash)? {
                values.push(LargeValue { hash, salt: value.salt, content: value.content });
            }
        }
        Ok(values)
    }
}

/// What every reference to a large value begins with; most entries have none, and are not looked into.
const REF: &[u8] = b"{\"$ref\":\"sha256:";

impl Log for Followed {
    fn read(&self, from: u64, limits: Limits) -> Result<Read, LogReadError> {
        let failed = |error: ReadError| LogReadError { reason: format!("{:#}", anyhow::Error::from(error)) };
        let first = self.ledger.first();
        if from < first {
            let gap = Gap {
                range: from..first,
                events: Some(first - from),
                why: "pruned".to_owned(),
                lost: Vec::new(),
            };
            return Ok(Read { next: first, reached: first, gap: Some(gap), ..Read::default() });
        }
        let mut parcels: Vec<Parcel> = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        // In pieces, because a scan cannot be told to stop at a number of bytes.
        while parcels.len() < limits.events && bytes < limits.bytes && next < self.ledger.size() {
            let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
            let piece = (limits.events - parcels.len()).min(PIECE) as u64;
            next = self
                .ledger
                .scan(next, piece, &mut |index, entry| found.push((index, entry.to_vec())))
                .map_err(failed)?;
            for (number, entry) in found {
                let refers = memchr::memmem::find(&entry, REF).is_some();
                let values = if refers { self.values(&entry).map_err(failed)? } else { Vec::new() };
                let ledger = Arc::clone(&self.name);
                let parcel = Parcel { ledger, number, seq: None, entry: entry.into(), values };
                if bytes > 0 && bytes + parcel.bytes() > limits.bytes {
                    return Ok(Read { next: number, reached: number, parcels, ..Read::default() });
                }
                bytes += parcel.bytes();
                parcels.push(parcel);
            }
        }
        Ok(Read { next, reached: next, parcels, ..Read::default() })
    }

    fn wait(&self, position: u64, timeout: Duration) -> u64 {
        self.ledger.wait_beyond(position, timeout)
    }

    fn first(&self) -> u64 {
        self.ledger.first()
    }

    fn end(&self) -> u64 {
        self.ledger.size()
    }

    fn total(&self) -> u64 {
        self.ledger.size()
    }
}

/// Entries read at once.
const PIECE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use attestry_event::{Batch, Border, ManualClock, Nanos};
    use attestry_ledger::{DataDir, OnConflict, Options};

    const NOW: Nanos = Nanos(1_790_000_000_000_000_000);

    fn append(ledger: &Ledger, events: &[String]) {
        let border = Border {
            event_source: "test",
            via: &[],
            lenient: false,
            reserved_names: false,
            agent: false,
            now: NOW,
        };
        let mut batch = Batch::new();
        for event in events {
            batch.push_json(event.as_bytes(), &border).unwrap();
        }
        ledger.append(batch, OnConflict::RefuseBatch).unwrap();
    }

    #[test]
    fn is_read_in_order_with_the_large_values() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let (ledger, _) = data.ledger("audit", Arc::new(ManualClock::new(NOW)), Options::default()).unwrap();
        let ledger = Arc::new(ledger);
        let event = |number: usize| {
            let long = if number.is_multiple_of(100) { "x".repeat(5_000) } else { String::new() };
            format!(r#"{{"event_name":"a.b","username":"u","resource":"r{number}","message":"m{long}"}}"#)
        };
        let sent: Vec<String> = (0..1_000).map(event).collect();
        append(&ledger, &sent);
        let log = Followed::new(ledger);
        assert_eq!((log.first(), log.end(), log.wait(999, Duration::ZERO)), (0, 1_000, 1_000));
        for limits in [
            Limits { events: 300, bytes: 1 << 20 },
            Limits { events: 2_000, bytes: 10_000 },
            Limits { events: 7, bytes: 1 },
        ] {
            let mut at = 0;
            let mut seen = 0;
            while at < log.end() {
                let read = log.read(at, limits).unwrap();
                assert!(
                    read.gap.is_none() && !read.parcels.is_empty() && read.parcels.len() <= limits.events
                );
                assert_eq!(read.reached, read.next);
                for parcel in &read.parcels {
                    let entry = parcel.event().unwrap();
                    assert_eq!(entry.field(attestry_event::Field::Resource).unwrap(), format!("r{seen}"));
                    assert_eq!(parcel.values.len(), usize::from(seen % 100 == 0));
                    assert_eq!(parcel.number, seen as u64);
                    seen += 1;
                }
                at = read.next;
            }
            assert_eq!(seen, 1_000);
        }
        assert!(log.read(1_000, Limits { events: 1, bytes: 1 }).unwrap().parcels.is_empty());
    }
}
