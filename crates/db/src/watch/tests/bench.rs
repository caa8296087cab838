//! A watch of the fake database, and what came out of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::{Event, Period, SystemClock};
use parking_lot::Mutex;

use super::world::{Fake, Row, World, name};
use crate::cell::decode_row;
use crate::config::WatchConfig;
use crate::copy::{Copy, Filter, Violation};
use crate::watch::{Handle, Options, Outlet, Patience, Stopped, Watch, WatchError};

/// How long anything may take.
const SOON: Duration = Duration::from_secs(30);

/// Takes events; durable ones stay, also over a crash.
#[derive(Clone, Default)]
pub(super) struct Taken(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    by_id: BTreeMap<String, Event>,
    /// How many calls are left until one fails, taken or not.
    fails_after: Option<(u32, bool)>,
}

impl Outlet for Taken {
    async fn send(&self, events: Vec<Event>) -> Result<(), Stopped> {
        let mut inner = self.0.lock();
        let mut fails = None;
        if let Some((left, taken)) = &mut inner.fails_after {
            if *left == 0 {
                fails = Some(*taken);
            } else {
                *left -= 1;
            }
        }
        if fails != Some(false) {
            for event in events {
                let id = event.event_id.clone().unwrap();
                assert!(attestry_event::is_id(&id), "{id}");
                match inner.by_id.get(&id) {
                    Some(known) => assert_eq!(*known, event, "the same id with another content"),
                    None => {
                        inner.by_id.insert(id, event.clone());
                        inner.events.push(event);
                    }
                }
            }
        }
        if fails.is_some() { Err(Stopped) } else { Ok(()) }
    }
}

impl Taken {
    pub(super) fn events(&self) -> Vec<Event> {
        self.0.lock().events.clone()
    }

    pub(super) fn named(&self, name: &str) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.event_name == name).collect()
    }

    pub(super) fn unexplained(&self) -> Vec<Event> {
        let marked =
            |event: &Event| event.event_data.as_ref().is_some_and(|data| data.contains_key("unexplained"));
        self.events().into_iter().filter(marked).collect()
    }

    pub(super) fn fail_after(&self, fails: Option<(u32, bool)>) {
        self.0.lock().fails_after = fails;
    }
}

pub(super) struct Bench {
    pub(super) fake: Fake,
    pub(super) taken: Taken,
    pub(super) config: WatchConfig,
    pub(super) patience: Patience,
    /// How many changes the window remembers, if not as many as it does otherwise.
    pub(super) remembers: Option<usize>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

pub(super) struct Running {
    pub(super) handle: Handle,
    task: tokio::task::JoinHandle<Result<(), WatchError>>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    pub(super) async fn stop(self) -> Result<(), WatchError> {
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }

    pub(super) fn ended(&self) -> bool {
        self.task.is_finished()
    }
}

pub(super) fn bench(yaml: &str) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let mut config: WatchConfig =
        serde_saphyr::from_str(&format!("url: postgres://a@db/bank\n{yaml}")).unwrap();
    config.sleep = Period::millis(5);
    config.reconcile.every = Period::millis(5);
    config.reconcile.rows_per_second = 10_000_000;
    let short = Duration::from_millis(5);
    Bench {
        fake: Fake::default(),
        taken: Taken::default(),
        config,
        patience: Patience {
            again: short,
            over: 3 * short,
            lately: 6 * short,
            tables: Duration::from_secs(3_600),
            ..Patience::default()
        },
        remembers: None,
        path: dir.path().join("bank.copy"),
        _dir: dir,
    }
}

impl Bench {
    pub(super) fn world<T>(&self, with: impl FnOnce(&mut World) -> T) -> T {
        with(&mut self.fake.0.lock())
    }

    pub(super) async fn start(&self) -> Running {
        self.start_failing(None).await
    }

    /// Starts it so that one of the next commits of its copy fails.
    pub(super) async fn start_failing(&self, fails: Option<(u32, bool)>) -> Running {
        let options = Options {
            name: "bank".to_owned(),
            config: self.config.clone(),
            copy: self.path.clone(),
            clock: Arc::new(SystemClock),
            patience: self.patience,
        };
        let (watch, handle) = Watch::open(self.fake.clone(), self.taken.clone(), options).unwrap();
        {
            let mut store = watch.shared.lock().await;
            store.copy.fails_after = fails;
            store.window.most = self.remembers.unwrap_or(store.window.most);
        }
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(watch.run(stopped));
        Running { handle, task, stop }
    }

    pub(super) fn copy(&self) -> Copy {
        Copy::open_to_read(&self.path).unwrap()
    }

    pub(super) fn rows(&self, table: &str) -> Vec<Row> {
        if !self.path.exists() {
            return Vec::new();
        }
        let mut copy = self.copy();
        let Some(watched) = copy.watched_table(&name(table)).unwrap() else { return Vec::new() };
        let rows = copy.rows_from(watched.id, &[], u32::MAX).unwrap();
        rows.iter().map(|row| decode_row(&row.image).unwrap()).collect()
    }

    pub(super) fn truth(&self, table: &str) -> Vec<Row> {
        self.world(|world| world.rows[&name(table)].values().cloned().collect())
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        self.copy().violations(&Filter { pending: Some(true), ..Filter::default() }, 10_000).unwrap()
    }

    pub(super) fn broken(&self) -> Vec<String> {
        let mut rules: Vec<String> = self.violations().into_iter().map(|violation| violation.rule).collect();
        rules.sort();
        rules
    }

    /// Waits until the copy is what the database is, and nothing is left to be told.
    pub(super) async fn same(&self, running: &Running, tables: &[&str]) {
        self.until(running, "the copy is the same", || {
            let position = self.copy().position().unwrap();
            let stream =
                !self.config.stream || position.is_some_and(|at| at >= self.world(|world| world.position()));
            stream
                && tables.iter().all(|table| self.rows(table) == self.truth(table))
                && self.copy().untold(1).unwrap().0.is_empty()
        })
        .await;
    }

    pub(super) async fn until(&self, running: &Running, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(!running.ended(), "the watch ended, waiting until {what}");
            assert!(begun.elapsed() < SOON, "not so: {what}; {:?}", running.handle.status());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Waits until so many more comparisons of a table have ended.
    pub(super) async fn passes(&self, running: &Running, count: usize) {
        let before = self.taken.named("reconcile.pass").len();
        self.until(running, "it was compared", || self.taken.named("reconcile.pass").len() >= before + count)
            .await;
    }
}
