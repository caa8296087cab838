//! A ledger as the store sees it.

use std::sync::Arc;
use std::time::Duration;

use attestry_event::Entry;
use attestry_ledger::{Ledger, ReadError};
use attestry_store::{Rows, RowsError};

/// Lets a store follow a ledger.
pub struct LedgerRows(pub Arc<Ledger>);

impl Rows for LedgerRows {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn first(&self) -> u64 {
        self.0.first()
    }

    fn end(&self) -> u64 {
        self.0.size()
    }

    fn read(&self, rows: &[u64], f: &mut dyn FnMut(u64, &[u8])) -> Result<(), RowsError> {
        let mut rest = rows;
        while let Some(first) = rest.first() {
            // A run of rising indexes is scanned: each block of a segment is then decompressed once.
            let follows = |pair: &[u64]| pair[1] == pair[0].wrapping_add(1);
            let run = 1 + rest.windows(2).take_while(|pair| follows(pair)).count();
            let (these, others) = rest.split_at(run);
            rest = others;
            let result = if run == 1 {
                self.0.with_entry(*first, |entry| f(*first, entry))
            } else {
                let pruned = these.iter().take_while(|index| **index < self.0.first()).count();
                match these.get(pruned) {
                    None => Ok(()),
                    Some(first) => self.0.scan(*first, (run - pruned) as u64, f).and_then(|end| {
                        let wanted = first + (run - pruned) as u64;
                        if end == wanted {
                            Ok(())
                        } else {
                            Err(ReadError::Beyond { index: end, size: self.0.size() })
                        }
                    }),
                }
            };
            match result {
                Ok(()) | Err(ReadError::Pruned { .. }) => {}
                Err(error) => return Err(Box::new(error)),
            }
        }
        Ok(())
    }

    fn find_id(&self, event_id: &str) -> Result<Vec<u64>, RowsError> {
        let mut found = Vec::new();
        for index in self.0.find_id(event_id) {
            let same = self.0.with_entry(index, |entry| {
                Entry::parse(entry).is_ok_and(|entry| entry.event_id() == event_id)
            });
            match same {
                Ok(true) => found.push(index),
                Ok(false) | Err(ReadError::Pruned { .. }) => {}
                Err(error) => return Err(Box::new(error)),
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn value(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(self.0.value(hash)?.map(|value| value.content))
    }

    fn wait_beyond(&self, index: u64, timeout: Duration) -> u64 {
        self.0.wait_beyond(index, timeout)
    }
}
