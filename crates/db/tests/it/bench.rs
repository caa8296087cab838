//! A watch of a real server, in this process, and what came out of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestry_db::copy::{Copy, Filter, Version, Violation, place_of};
use attestry_db::watch::{Database, Handle, Options, Outlet, Patience, Stopped, Watch, WatchError};
use attestry_db::{Cell, Reader, WatchConfig, decode_row};
use attestry_event::{Event, SystemClock};

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Events by id: again the same, or it is an error.
#[derive(Clone, Default)]
pub(crate) struct Taken(Arc<Mutex<BTreeMap<String, Event>>>);

impl Outlet for Taken {
    async fn send(&self, events: Vec<Event>) -> Result<(), Stopped> {
        let mut taken = self.0.lock().unwrap();
        for event in events {
            let id = event.event_id.clone().unwrap();
            let before = taken.insert(id, event.clone());
            assert!(before.is_none_or(|before| before == event));
        }
        Ok(())
    }
}

impl Taken {
    pub(crate) fn named(&self, name: &str) -> Vec<Event> {
        let taken = self.0.lock().unwrap();
        taken.values().filter(|event| event.event_name == name).cloned().collect()
    }

    pub(crate) fn unexplained(&self) -> Vec<Event> {
        let taken = self.0.lock().unwrap();
        let marked =
            |event: &&Event| event.event_data.as_ref().is_some_and(|data| data.contains_key("unexplained"));
        taken.values().filter(marked).cloned().collect()
    }
}

pub(crate) struct Bench<D> {
    pub(crate) database: D,
    pub(crate) config: WatchConfig,
    pub(crate) taken: Taken,
    pub(crate) path: PathBuf,
    pub(crate) patience: Patience,
    _dir: tempfile::TempDir,
}

pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) task: tokio::task::JoinHandle<Result<(), WatchError>>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

/// Compares all the time.
const COMPARES: &str = "sleep: 100ms\nreconcile: {every: 200ms, chunk_rows: 50, rows_per_second: 1000000}";

/// Allows everything.
const ALLOWS: &str = "tables: {'*': {allow: all_updates, on_delete: {fine: 'null'}}}";

impl<D: Database + Clone> Bench<D> {
    /// A watch of everything that compares all the time and allows everything, unless `more` says otherwise.
    pub(crate) fn new(database: impl FnOnce(WatchConfig) -> D, url: &str, more: &str) -> Bench<D> {
        let unless = |name: &str, default: &'static str| if more.contains(name) { "" } else { default };
        let (compares, allows) = (unless("reconcile:", COMPARES), unless("tables:", ALLOWS));
        let config: WatchConfig =
            serde_saphyr::from_str(&format!("url: {url}\n{compares}\n{allows}\n{more}")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        let short = Duration::from_millis(100);
        let patience = Patience { again: short, over: short, tables: 2 * short, ..Patience::default() };
        let database = database(config.clone());
        Bench { database, config, taken: Taken::default(), path, patience, _dir: dir }
    }

    pub(crate) fn start(&self) -> Running {
        let options = Options {
            name: "bank".to_owned(),
            config: self.config.clone(),
            copy: self.path.clone(),
            clock: Arc::new(SystemClock),
            patience: self.patience,
        };
        let (watch, handle) = Watch::open(self.database.clone(), self.taken.clone(), options).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async move {
            if stopped.await.is_err() {
                std::future::pending().await
            }
        };
        Running { handle, task: tokio::spawn(watch.run(stopped)), stop }
    }

    /// Every row of every table as the database has it, and as the copy.
    pub(crate) async fn both(&self) -> (Vec<Vec<Cell>>, Vec<Vec<Cell>>) {
        let mut copy = Copy::open_to_read(&self.path).unwrap();
        let mut reader = self.database.reader().await.unwrap();
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for watched in copy.watched().unwrap().into_iter().filter(|watched| !watched.gone) {
            let rows = copy.rows_from(watched.id, &[], u32::MAX).unwrap();
            ours.extend(rows.iter().map(|row| decode_row(&row.image).unwrap()));
            let table = &watched.layout.table;
            theirs.extend(reader.rows_after(table, copy.mask(), None, u32::MAX).await.unwrap());
        }
        let sorted = |mut rows: Vec<Vec<Cell>>| {
            rows.sort_by_key(|row| attestry_db::encode_row(row));
            rows
        };
        (sorted(theirs), sorted(ours))
    }

    pub(crate) async fn same(&self, running: &Running) {
        let begun = Instant::now();
        while !self.path.exists()
            || running.handle.status().tables.values().any(|table| table.taken.is_some())
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(begun.elapsed() < SOON, "{:?}", running.handle.status());
        }
        loop {
            let (theirs, ours) = self.both().await;
            if theirs == ours && !ours.is_empty() {
                return;
            }
            assert!(!running.task.is_finished(), "the watch ended");
            assert!(begun.elapsed() < SOON, "{theirs:?}\n{ours:?}\n{:?}", running.handle.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until(&self, running: &Running, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < SOON, "not so: {what}; {:?}", running.handle.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All that a key has stood for, the oldest first.
    pub(crate) fn history(&self, table: &str, key: &str) -> Vec<Version> {
        let mut copy = Copy::open_to_read(&self.path).unwrap();
        let watched = copy.watched().unwrap().into_iter().find(|one| one.name().table == table).unwrap();
        let place = place_of(&watched.layout.table, &[Cell::of(key)]);
        let mut history = copy.history(watched.id, &place, u32::MAX).unwrap();
        history.reverse();
        history
    }

    /// What was found and nobody has signed off, the oldest first.
    pub(crate) fn pending(&self) -> Vec<Violation> {
        let filter = Filter { pending: Some(true), ..Filter::default() };
        let mut found = Copy::open_to_read(&self.path).unwrap().violations(&filter, 1_000).unwrap();
        found.reverse();
        found
    }

    pub(crate) async fn passes(&self, running: &Running, count: usize) {
        let before = self.taken.named("reconcile.pass").len();
        let more = || self.taken.named("reconcile.pass").len() >= before + count;
        self.until(running, "it was compared", more).await;
    }
}
