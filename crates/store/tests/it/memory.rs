//! A ledger in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestry_event::{Batch, Border, Nanos};
use attestry_store::{Rows, RowsError};
use parking_lot::{Condvar, Mutex};

/// Entries in a vector.
pub(crate) struct Memory {
    name: String,
    state: Mutex<State>,
    grown: Condvar,
    /// While set, every read fails.
    pub(crate) broken: AtomicBool,
}

#[derive(Default)]
struct State {
    entries: Vec<Arc<[u8]>>,
    ids: HashMap<String, Vec<u64>>,
    values: HashMap<[u8; 32], Vec<u8>>,
    first: u64,
}

impl Memory {
    pub(crate) fn new(name: &str) -> Arc<Memory> {
        Arc::new(Memory {
            name: name.to_owned(),
            state: Mutex::default(),
            grown: Condvar::new(),
            broken: AtomicBool::new(false),
        })
    }

    /// Commits events as a client would send them; gives the new end.
    pub(crate) fn post<T: AsRef<str>>(&self, events: &[T]) -> u64 {
        self.post_via(&[], events)
    }

    /// Commits events that came through relays.
    pub(crate) fn post_via<T: AsRef<str>>(&self, via: &[String], events: &[T]) -> u64 {
        let mut batch = Batch::new();
        let border = Border {
            event_source: &self.name,
            via,
            lenient: false,
            reserved_names: true,
            agent: true,
            now: Nanos::parse("2026-11-25T00:00:00Z").unwrap(),
        };
        for event in events {
            batch
                .push_json(event.as_ref().as_bytes(), &border)
                .unwrap_or_else(|problems| panic!("{}: {problems:?}", event.as_ref()));
        }
        let mut state = self.state.lock();
        let received = 1_795_000_000_000_000_000 + state.entries.len() as i64 * 1_000;
        batch.stamp(Nanos(received));
        let State { entries, ids, values, .. } = &mut *state;
        for (row, entry) in batch.entries().enumerate() {
            ids.entry(batch.event_id(row).to_owned()).or_default().push(entries.len() as u64);
            entries.push(entry.into());
        }
        values.extend(batch.values.into_iter().map(|value| (value.hash, value.content)));
        let end = entries.len() as u64;
        self.grown.notify_all();
        end
    }

    pub(crate) fn entries(&self) -> Vec<Arc<[u8]>> {
        self.state.lock().entries.clone()
    }

    pub(crate) fn value_of(&self, hash: &[u8; 32]) -> Option<Vec<u8>> {
        self.state.lock().values.get(hash).cloned()
    }

    pub(crate) fn prune(&self, before: u64) {
        self.state.lock().first = before;
    }

    pub(crate) fn erase_values(&self) {
        self.state.lock().values.clear();
    }

    /// An older copy was put back.
    pub(crate) fn truncate(&self, end: usize) {
        self.state.lock().entries.truncate(end);
    }

    fn check(&self) -> Result<(), RowsError> {
        if self.broken.load(Ordering::Relaxed) { Err("the disk is on fire".into()) } else { Ok(()) }
    }
}

impl Rows for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn first(&self) -> u64 {
        self.state.lock().first
    }

    fn end(&self) -> u64 {
        self.state.lock().entries.len() as u64
    }

    fn read(&self, rows: &[u64], f: &mut dyn FnMut(u64, &[u8])) -> Result<(), RowsError> {
        self.check()?;
        for row in rows {
            let entry = {
                let state = self.state.lock();
                if *row < state.first {
                    continue;
                }
                state.entries.get(*row as usize).cloned().ok_or_else(|| format!("no entry {row}"))?
            };
            f(*row, &entry);
        }
        Ok(())
    }

    fn find_id(&self, event_id: &str) -> Result<Vec<u64>, RowsError> {
        self.check()?;
        let state = self.state.lock();
        let found = state.ids.get(event_id).cloned().unwrap_or_default();
        Ok(found.into_iter().filter(|index| *index >= state.first).collect())
    }

    fn value(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, RowsError> {
        self.check()?;
        Ok(self.state.lock().values.get(hash).cloned())
    }

    fn wait_beyond(&self, index: u64, timeout: Duration) -> u64 {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.entries.len() as u64 <= index {
            if self.grown.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.entries.len() as u64
    }
}
