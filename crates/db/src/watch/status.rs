//! How a watch is doing, for pages and commands, and what can be asked of it while it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use attestry_event::{Clock, Nanos};
use tokio::sync::{Mutex, Notify};

use super::events::{micros, time_of};
use super::store::{Shared, Store};
use super::{Options, Trouble};
use crate::change::Position;
use crate::copy::{CopyError, Signed};
use crate::table::Name;

/// What polling does not see.
pub(super) const POLLING: &str =
    "without the change stream: what came and went between two looks is not seen, nor who did it";

/// How long a sign-off waits at most before it looks whether the watch still runs.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What a watch is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It connects.
    #[default]
    Starting,
    /// It takes the rows that are there.
    Baseline,
    /// It follows the stream and compares.
    Following,
    /// It only compares.
    Polling,
    /// It tries again after a while.
    Waiting,
    /// It will not work before somebody changes something.
    Refused,
}

/// How a watch is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// Why it waits or was refused, or what it cannot see.
    pub why: Option<String>,
    /// Up to where the stream was applied.
    pub position: Option<String>,
    /// How long after it was committed the last change was applied, in milliseconds; 0 when nothing more is there.
    pub lag_ms: Option<u64>,
    /// When the last change was committed.
    pub last_change: Option<Nanos>,
    /// Changes since the start.
    pub changes: u64,
    /// When the last comparison of all tables ended.
    pub compared_at: Option<Nanos>,
    /// How long it took, in seconds: what somebody changes behind the stream is seen after so long at most, and the wait until the next one.
    pub pass_s: Option<u64>,
    /// Violations that nobody has signed off.
    pub pending: u64,
    /// The schema of the watched server that shows the copy, if one is to.
    pub projection: Option<Projection>,
    /// Its tables, by name.
    pub tables: BTreeMap<Name, TableStatus>,
}

/// How the copy in a schema of the watched server is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The schema.
    pub schema: String,
    /// Starting, following, waiting to be tried again, or refused until somebody changes something.
    pub phase: Phase,
    /// Why it waits or is refused.
    pub why: Option<String>,
}

/// How a table is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Its name.
    pub name: Name,
    /// Why it is not watched.
    pub refused: Option<String>,
    /// Rows in the copy.
    pub rows: u64,
    /// Rows that the baseline has taken so far, while it goes on.
    pub taken: Option<u64>,
    /// What has to be signed off before its changes are applied again.
    pub paused: Option<String>,
    /// Whether the database has it no longer.
    pub gone: bool,
    /// Why the stream leaves it out, if it does: it is only compared.
    pub left_out: Option<String>,
    /// Violations that nobody has signed off.
    pub pending: u64,
    /// New rows since watching began.
    pub inserts: u64,
    /// Changed rows.
    pub updates: u64,
    /// Deleted rows.
    pub deletes: u64,
    /// When it was compared last.
    pub compared_at: Option<Nanos>,
}

impl TableStatus {
    fn of(name: &Name) -> TableStatus {
        TableStatus {
            name: name.clone(),
            refused: None,
            rows: 0,
            taken: None,
            paused: None,
            gone: false,
            left_out: None,
            pending: 0,
            inserts: 0,
            updates: 0,
            deletes: 0,
            compared_at: None,
        }
    }

    pub(super) fn refused(name: &Name, why: &str) -> TableStatus {
        TableStatus { refused: Some(why.to_owned()), ..TableStatus::of(name) }
    }
}

/// What is kept for a running watch.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    status: parking_lot::Mutex<Status>,
    wake: Notify,
    restart: Notify,
    told: Notify,
    /// Changes that were there when it was last counted.
    counted: std::sync::atomic::AtomicU64,
    polling_said: std::sync::atomic::AtomicBool,
    /// Not kept alive by a handle: a watch that has ended lets go of its copy, open transaction and all.
    store: Weak<Mutex<Store>>,
    copy: PathBuf,
    clock: Arc<dyn Clock>,
}

impl Handle {
    pub(super) fn new(options: &Options, shared: &Shared) -> Handle {
        Handle(Arc::new(Inner {
            status: parking_lot::Mutex::default(),
            wake: Notify::new(),
            restart: Notify::new(),
            told: Notify::new(),
            counted: std::sync::atomic::AtomicU64::new(0),
            polling_said: std::sync::atomic::AtomicBool::new(false),
            store: shared.downgrade(),
            copy: options.copy.clone(),
            clock: Arc::clone(&options.clock),
        }))
    }

    /// How the watch is doing. Does not block.
    pub fn status(&self) -> Status {
        self.0.status.lock().clone()
    }

    /// The copy's file, to be [read](crate::copy::Copy::open_to_read) beside the watch.
    pub fn copy(&self) -> &Path {
        &self.0.copy
    }

    /// Signs violations off, changes of a schema included, all or none; returns when the events that say so are durable.
    ///
    /// # Errors
    /// When one is unknown or signed off already, a name or reason is missing, the copy cannot be written, or the watch has ended.
    pub async fn sign_off(
        &self,
        fingerprints: Vec<String>,
        by: String,
        from: String,
        why: String,
    ) -> Result<(), CopyError> {
        let signed = Signed { by, from, why, at: micros(self.0.clock.now()) };
        let mut store = self.0.store.upgrade().ok_or(CopyError::Ended)?;
        let mut guard = Arc::clone(&store).lock_owned().await;
        let waiting = fingerprints.clone();
        let done = tokio::task::spawn_blocking(move || guard.copy.sign_off(&fingerprints, &signed)).await;
        done.map_err(|error| CopyError::damaged(error.to_string()))??;
        loop {
            let told = self.0.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            self.0.wake.notify_one();
            let (guard, of) = (Arc::clone(&store).lock_owned().await, waiting.clone());
            let untold = tokio::task::spawn_blocking(move || guard.copy.is_untold(&of)).await;
            if !untold.map_err(|error| CopyError::damaged(error.to_string()))?? {
                return Ok(());
            }
            drop(store);
            // The watch may just be ending, without another word.
            let _ = tokio::time::timeout(LOOK_AGAIN, told).await;
            // They are signed off for good; of a watch that has ended the events come when it runs again.
            let Some(again) = self.0.store.upgrade() else { return Ok(()) };
            store = again;
        }
    }

    /// Begins the next session at once: whatever kept the watch waiting may be mended.
    pub fn restart(&self) {
        self.0.restart.notify_one();
    }

    pub(super) async fn restarted(&self) {
        self.0.restart.notified().await;
    }

    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    /// Whether something was applied since this was asked last.
    pub(super) fn news(&self) -> bool {
        let changes = self.0.status.lock().changes;
        self.0.counted.swap(changes, std::sync::atomic::Ordering::Relaxed) != changes
    }

    /// Whether it was not said yet since the start what polling cannot see.
    pub(super) fn first_polling(&self) -> bool {
        !self.0.polling_said.swap(true, std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn told(&self) {
        self.0.told.notify_waiters();
    }

    pub(super) fn phase(&self, phase: Phase, why: Option<String>) {
        let mut status = self.0.status.lock();
        status.phase = phase;
        status.why = why;
    }

    pub(super) fn projected(&self, schema: &str, phase: Phase, why: Option<String>) {
        self.0.status.lock().projection = Some(Projection { schema: schema.to_owned(), phase, why });
    }

    /// Whether the schema shows the copy, as far as is known.
    pub(super) fn is_projected(&self) -> bool {
        self.0.status.lock().projection.as_ref().is_some_and(|known| known.phase == Phase::Following)
    }

    pub(super) fn forget_tables(&self) {
        self.0.status.lock().tables.clear();
    }

    /// These tables cannot be watched, and no others.
    pub(super) fn refuse_tables(&self, refused: Vec<TableStatus>) {
        let tables = &mut self.0.status.lock().tables;
        tables.retain(|_, table| table.refused.is_none());
        for table in refused {
            tables.entry(table.name.clone()).or_insert(table);
        }
    }

    pub(super) fn leave_out(&self, left_out: &BTreeMap<Name, String>) {
        for (name, table) in &mut self.0.status.lock().tables {
            table.left_out = left_out.get(name).cloned();
        }
    }

    pub(super) fn taken(&self, name: &Name, rows: u64) {
        let mut status = self.0.status.lock();
        let table = status.tables.entry(name.clone()).or_insert_with(|| TableStatus::of(name));
        table.taken = Some(rows);
    }

    pub(super) fn applied(&self, position: Option<&Position>, last_change: Option<i64>, changes: u64) {
        let now = self.0.clock.now();
        let mut status = self.0.status.lock();
        status.changes += changes;
        if let Some(position) = position {
            status.position = Some(position.to_string());
        }
        if let Some(time) = last_change {
            let time = time_of(time);
            status.last_change = Some(time);
            status.lag_ms = Some(u64::try_from((now.0 - time.0) / 1_000_000).unwrap_or(0));
        }
    }

    pub(super) fn reached(&self) {
        self.0.status.lock().lag_ms = Some(0);
    }

    pub(super) fn compared(&self, started: i64) {
        let now = self.0.clock.now();
        let mut status = self.0.status.lock();
        status.compared_at = Some(now);
        status.pass_s = Some(u64::try_from((micros(now) - started) / 1_000_000).unwrap_or(0));
    }

    pub(super) fn table_compared(&self, name: &Name) {
        let now = self.0.clock.now();
        if let Some(table) = self.0.status.lock().tables.get_mut(name) {
            table.compared_at = Some(now);
        }
    }

    /// Brings what is counted in the copy up to date.
    pub(super) async fn refresh(&self, shared: &Shared) -> Result<(), Trouble> {
        let (tables, pending, days) = shared
            .with(|store| {
                Ok((store.copy.watched()?, store.copy.pending()?, store.copy.days(i64::MIN, i64::MAX)?))
            })
            .await?;
        let mut status = self.0.status.lock();
        status.pending = pending.iter().map(|(_, count)| count).sum();
        for watched in tables {
            let known = status.tables.get(watched.name());
            let compared_at = known.and_then(|table| table.compared_at);
            let left_out = known.and_then(|table| table.left_out.clone());
            let of_table = days.iter().filter(|day| day.watched == watched.id).map(|day| day.counts);
            let sum =
                |what: fn(&crate::copy::Counts) -> u64| of_table.clone().map(|counts| what(&counts)).sum();
            let table = TableStatus {
                rows: watched.rows,
                taken: (!watched.done && !watched.gone).then_some(watched.taken),
                paused: watched.paused.clone(),
                gone: watched.gone,
                left_out,
                pending: pending.iter().find(|(id, _)| *id == watched.id).map_or(0, |(_, count)| *count),
                inserts: sum(|counts| counts.inserts),
                updates: sum(|counts| counts.updates),
                deletes: sum(|counts| counts.deletes),
                compared_at,
                ..TableStatus::of(watched.name())
            };
            status.tables.insert(watched.name().clone(), table);
        }
        Ok(())
    }
}
