//! A watch of the real servers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestry_db::copy::{Copy, Filter};
use attestry_db::watch::{
    Database, Handle, Mysql, Options, Outlet, Patience, Postgres, Stopped, Watch, WatchError,
};
use attestry_db::{Cell, Reader, WatchConfig, decode_row};
use attestry_event::{Event, SystemClock};
use attestry_testkit::{MariaDb, Postgres as PostgresServer};

/// How long anything may take.
const SOON: Duration = Duration::from_secs(60);

/// Events by id: again the same, or it is an error.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<BTreeMap<String, Event>>>);

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
    fn named(&self, name: &str) -> Vec<Event> {
        let taken = self.0.lock().unwrap();
        taken.values().filter(|event| event.event_name == name).cloned().collect()
    }

    fn unexplained(&self) -> Vec<Event> {
        let taken = self.0.lock().unwrap();
        let marked =
            |event: &&Event| event.event_data.as_ref().is_some_and(|data| data.contains_key("unexplained"));
        taken.values().filter(marked).cloned().collect()
    }
}

struct Bench<D> {
    database: D,
    config: WatchConfig,
    taken: Taken,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

struct Running {
    handle: Handle,
    task: tokio::task::JoinHandle<Result<(), WatchError>>,
}

const MORE: &str = "sleep: 100ms\nreconcile: {every: 200ms, chunk_rows: 50, rows_per_second: 1000000}\ntables: {'*': {allow: all_updates, on_delete: {fine: 'null'}}}";

impl<D: Database + Clone> Bench<D> {
    fn new(database: impl FnOnce(WatchConfig) -> D, url: &str, more: &str) -> Bench<D> {
        let config: WatchConfig = serde_saphyr::from_str(&format!("url: {url}\n{MORE}\n{more}")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        Bench { database: database(config.clone()), config, taken: Taken::default(), path, _dir: dir }
    }

    fn start(&self) -> Running {
        let short = Duration::from_millis(100);
        let options = Options {
            name: "bank".to_owned(),
            config: self.config.clone(),
            copy: self.path.clone(),
            clock: Arc::new(SystemClock),
            patience: Patience { again: short, over: short, ..Patience::default() },
        };
        let (watch, handle) = Watch::open(self.database.clone(), self.taken.clone(), options).unwrap();
        Running { handle, task: tokio::spawn(watch.run(std::future::pending())) }
    }

    /// Every row of every table as the database has it, and as the copy.
    async fn both(&self) -> (Vec<Vec<Cell>>, Vec<Vec<Cell>>) {
        let mut copy = Copy::open_to_read(&self.path).unwrap();
        let mut reader = self.database.reader().await.unwrap();
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for watched in copy.watched().unwrap() {
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

    async fn same(&self, running: &Running) {
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

    async fn until(&self, running: &Running, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < SOON, "not so: {what}; {:?}", running.handle.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn passes(&self, running: &Running, count: usize) {
        let before = self.taken.named("reconcile.pass").len();
        let more = || self.taken.named("reconcile.pass").len() >= before + count;
        self.until(running, "it was compared", more).await;
    }
}

/// What is done to both servers.
fn work(query: &dyn Fn(&str), round: u32) {
    let base = round * 1_000;
    let rows: Vec<String> =
        (base..base + 40).map(|id| format!("({id}, 'name {id}', {id}.25, NULL)")).collect();
    query(&format!("INSERT INTO accounts VALUES {}", rows.join(", ")));
    query(&format!("UPDATE accounts SET balance = balance + 0.10, note = 'ä ' WHERE id >= {base}"));
    query(&format!("UPDATE accounts SET name = upper(name) WHERE id % 3 = 0 AND id >= {base}"));
    query(&format!("DELETE FROM accounts WHERE id % 5 = 0 AND id >= {base}"));
    query(&format!("INSERT INTO accounts VALUES ({base}, 'again', 1, '')"));
    query(&format!("UPDATE accounts SET id = id + 500 WHERE id = {}", base + 1));
    query(&format!(
        "BEGIN; UPDATE accounts SET id = -1 WHERE id = {a}; UPDATE accounts SET id = {a} WHERE id = {b}; UPDATE accounts SET id = {b} WHERE id = -1; COMMIT",
        a = base + 2,
        b = base + 3,
    ));
}

const ACCOUNTS: &str =
    "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(50) NOT NULL, balance decimal(10,2), note text)";

async fn follows<D: Database + Clone>(bench: &Bench<D>, query: &dyn Fn(&str)) -> Running {
    query(ACCOUNTS);
    query("CREATE TABLE words (word varchar(50) PRIMARY KEY, n int)");
    query("INSERT INTO words VALUES ('b', 1), ('a', 2)");
    work(query, 0);
    let running = bench.start();
    bench.same(&running).await;
    for round in 1..4 {
        work(query, round);
    }
    query("UPDATE words SET n = n + 1");
    bench.same(&running).await;
    // Killed in the middle, it goes on there.
    work(query, 4);
    running.task.abort();
    let _ = running.task.await;
    work(query, 5);
    let running = bench.start();
    bench.same(&running).await;
    bench.passes(&running, 4).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    // 40 new rows a round and one again; those of the first are the baseline.
    assert_eq!(bench.taken.named("row.insert").len(), 5 * 41);
    assert_eq!(bench.taken.named("row.delete").len(), 5 * 8);
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_followed_and_what_it_hides_is_found() {
    let server = MariaDb::started_with_log(&[]);
    let url = server.url_for("root");
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    let bench =
        Bench::new(database, &url, "checks: {sum: {sql: 'SELECT count(*) - 2 FROM words', every: 1s}}");
    let query = |sql: &str| drop(server.query(sql));
    let running = follows(&bench, &query).await;
    query("SET sql_log_bin=0; UPDATE accounts SET balance = 1000000 WHERE id = 4007");
    query("SET sql_log_bin=0; DELETE FROM words WHERE word = 'a'");
    bench.until(&running, "both are found", || bench.taken.unexplained().len() == 2).await;
    bench.same(&running).await;
    let summed = || {
        bench
            .taken
            .named("violation.open")
            .iter()
            .any(|event| event.event_data.as_ref().unwrap()["rule"] == "sum")
    };
    bench.until(&running, "the check fails", summed).await;
    running.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_followed_and_a_dropped_slot_is_a_gap() {
    let server = PostgresServer::started_logical(&[]);
    let database = |config| Postgres { watch: "bank".to_owned(), config };
    let bench = Bench::new(database, &server.url(), "");
    let query = |sql: &str| drop(server.query(sql));
    let running = follows(&bench, &query).await;
    running.task.abort();
    let _ = running.task.await;
    let slot = bench.config.slot_name("bank");
    let begun = Instant::now();
    while server
        .query(&format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'"))
        .contains('t')
    {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    query(&format!("SELECT pg_drop_replication_slot('{slot}')"));
    query("UPDATE accounts SET balance = 1000000 WHERE id = 4007");
    let running = bench.start();
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    assert_eq!(bench.taken.named("gap.stream").len(), 1);
    work(&query, 6);
    bench.same(&running).await;
    bench.passes(&running, 2).await;
    assert_eq!(bench.taken.unexplained().len(), 1);
    let pending = Copy::open_to_read(&bench.path).unwrap().violations(&Filter::default(), 10).unwrap();
    assert_eq!(pending[0].rule, "unexplained");
    running.task.abort();
}
