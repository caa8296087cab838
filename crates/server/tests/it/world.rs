//! A running server with ledgers, keys and people.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{ManualClock, Nanos};
use attestry_ledger::{DataDir, Options};
use attestry_server::accounts::{Accounts, Actor, KeyKind, NewKey, Role};
use attestry_server::{
    Config, DEFAULT_LISTEN, FlowStatus, LedgerPart, LedgerRows, Operations, Parts, ReceiverStatus,
    ServeError, Server, SinkStatus, SourceStatus, VerifyStatus,
};
use attestry_store::{Rows, Store};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// When the tests' clock starts: 2026-11-21T12:00:00Z.
pub(crate) const START: &str = "2026-11-21T12:00:00Z";

/// The server, running, and everything a script may name in braces.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) names: HashMap<String, String>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
    // Dropped after the server has ended.
    _store: Arc<Store>,
    _data: DataDir,
    dir: tempfile::TempDir,
}

struct Nothing;

impl Operations for Nothing {
    fn sources(&self) -> Vec<SourceStatus> {
        vec![SourceStatus {
            name: "packages".into(),
            on: true,
            why: None,
            needs: "read access to dpkg.log".into(),
            last_event: None,
            events: 3,
            losses: 0,
            every_s: None,
        }]
    }

    fn flow(&self) -> FlowStatus {
        let sink = SinkStatus {
            name: "siem".into(),
            protocol: "syslog".into(),
            log: "audit".into(),
            state: "waiting".into(),
            delivered: 5,
            filtered: 1,
            refused: 0,
            retries: 2,
            lost: 0,
            lag: 7,
            dead: 0,
            why: Some("connection refused".into()),
            since: Some(Nanos(0)),
        };
        let office = ReceiverStatus {
            name: "office".into(),
            protocol: "syslog".into(),
            address: Some("udp://127.0.0.1:5514".into()),
            ledger: "logs".into(),
            messages: 13,
            bytes: 2_600,
            kept: 12,
            filtered: 1,
            dropped: Some(3),
            refused: Some(0),
            connections: Some(0),
            ..ReceiverStatus::default()
        };
        let hub = ReceiverStatus {
            name: "hub".into(),
            protocol: "nats".into(),
            ledger: "audit".into(),
            messages: 9,
            redelivered: Some(2),
            acknowledged: Some(8),
            connects: Some(1),
            why: Some("cannot fetch from the broker: connection refused".into()),
            ..ReceiverStatus::default()
        };
        FlowStatus { receivers: vec![office, hub], sinks: vec![sink] }
    }

    fn verify(&self, _: &str) {}

    fn last_verify(&self, ledger: &str) -> Option<VerifyStatus> {
        let time = Nanos(0);
        (ledger == "logs").then(|| VerifyStatus {
            time,
            running: false,
            clean: true,
            entries: 9,
            problems: vec![],
        })
    }
}

impl World {
    /// The ledgers `audit`, `logs` and the public `open`; a key of each sort; the administrator `root`, the reader `rita`
    /// who sees alice only; no other user.
    pub(crate) fn new() -> World {
        World::with(Config::default(), true, Options::default())
    }

    pub(crate) fn with(config: Config, people: bool, options: Options) -> World {
        World::try_with(config, people, options).unwrap()
    }

    pub(crate) fn try_with(config: Config, people: bool, options: Options) -> Result<World, ServeError> {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Nanos::parse(START).unwrap()));
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        let ledger = |name: &str| {
            let (ledger, _) = data.ledger(name, clock.clone(), options.clone()).unwrap();
            LedgerPart { ledger: Arc::new(ledger), public: name == "open", retention: None }
        };
        let ledgers = vec![ledger("audit"), ledger("logs"), ledger("open")];
        let rows =
            ledgers.iter().map(|part| Arc::new(LedgerRows(part.ledger.clone())) as Arc<dyn Rows>).collect();
        let index = dir.path().join("index");
        let store = Arc::new(Store::open(&index, rows, attestry_store::Options::default()).unwrap());
        let accounts = Arc::new(Accounts::open(&dir.path().join("attestry.db"), clock.clone()).unwrap());
        let mut names = HashMap::new();
        make_keys(&accounts, &clock, &mut names);
        let owner_key = accounts.find_key(&names["owner"]).unwrap().map(|key| key.id.clone());
        if people {
            let by = Actor::local("test");
            accounts.create_user("root", "correct horse", Role::Admin, None, &by).unwrap();
            accounts.create_user("ann", "correct horse", Role::Auditor, None, &by).unwrap();
            accounts.create_user("rita", "correct horse", Role::Reader, Some("username:alice"), &by).unwrap();
        }
        let parts = Parts {
            accounts: accounts.clone(),
            ledgers,
            store: store.clone(),
            data_dir: dir.path().to_owned(),
            clock: clock.clone(),
            operations: Arc::new(Nothing),
            databases: Arc::new(crate::bank::Bank::new()),
            alerts: Arc::new(attestry_server::alerts::NoAlerts),
            reports: Arc::new(crate::press::Press::default()),
            owner_key,
        };
        let runtime = Runtime::new().unwrap();
        let listen =
            if config.listen == DEFAULT_LISTEN { "127.0.0.1:0".parse().unwrap() } else { config.listen };
        let server = runtime.block_on(Server::bind(Config { listen, ..config }, parts))?;
        let address = server.address();
        names.insert("address".to_owned(), address.to_string());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = runtime.spawn(server.run(async {
            let _ = stopped.await;
        }));
        Ok(World {
            address,
            accounts,
            clock,
            names,
            runtime: Some(runtime),
            stop: Some(stop),
            running: Some(running),
            _store: store,
            _data: data,
            dir,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the server as SIGTERM would; how long it took is for the caller to judge.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let (Some(runtime), Some(running)) = (&self.runtime, self.running.take()) {
            runtime.block_on(running).unwrap();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

fn make_keys(accounts: &Accounts, clock: &ManualClock, names: &mut HashMap<String, String>) {
    let by = Actor::local("test");
    let mut key = |name: &str, kind: KeyKind, ledgers: &str, filter: Option<&str>, lenient: bool| {
        let ledgers = ledgers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let filter = filter.map(str::to_owned);
        let new =
            NewKey { name: name.to_owned(), kind, ledgers, filter, lenient, expires_at: None, expect: None };
        let (key, text) = accounts.create_key(&new, &by).unwrap();
        names.insert(name.to_owned(), text);
        key.id
    };
    key("web", KeyKind::Write, "audit", None, false);
    key("easy", KeyKind::Write, "audit", None, true);
    key("shop", KeyKind::Write, "logs", None, false);
    key("town", KeyKind::Write, "open", None, false);
    key("reader", KeyKind::Read, "", None, false);
    key("owner", KeyKind::Read, "", None, false);
    key("logs-reader", KeyKind::Read, "logs", None, false);
    key("alice-reader", KeyKind::Read, "", Some("username:alice"), false);
    let revoked = key("revoked", KeyKind::Read, "", None, false);
    accounts.revoke_key(&revoked, &by).unwrap();
    let soon = Nanos(clock_now(clock) + 60_000_000_000);
    let new = NewKey {
        name: "short".to_owned(),
        kind: KeyKind::Read,
        ledgers: vec![],
        filter: None,
        lenient: false,
        expires_at: Some(soon),
        expect: None,
    };
    names.insert("short".to_owned(), accounts.create_key(&new, &by).unwrap().1);
}

fn clock_now(clock: &ManualClock) -> i64 {
    attestry_event::Clock::now(clock).0
}
