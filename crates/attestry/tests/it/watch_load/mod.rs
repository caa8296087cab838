//! A random workload of every type of column on databases that are watched, with kill -9 of the databases and of Attestry at any moment. In the end
//! the copy is the database, each row has had exactly the versions that its writer remembers, each change is one event in its order, each deletion of a word
//! is in its one violation, and nothing is unexplained, though everything is compared all the time.
//!
//! Longer: `ATTESTRY_LOAD_SECONDS=1800`; without kills: `ATTESTRY_LOAD_KILLS=0`; as it was: `ATTESTRY_LOAD_SEED`.

mod check;
mod client;
mod model;
mod shape;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestry_db::copy::Copy;
use attestry_db::mysql::MysqlReader;
use attestry_db::postgres::PostgresReader;
use attestry_db::{Engine, Reader, WatchConfig};
use attestry_testkit::values::mariadb;
use attestry_testkit::{MariaDb, Postgres, Scenario, wait_for};
use serde_json::Value;

use crate::ATTESTRY;
use crate::crash::Random;
use shape::Shape;
use writer::Writer;

/// Who writes at the same time.
const WRITERS: i64 = 3;

/// The longest that all are left alone before the next kill, in milliseconds.
const ROUND_MAX: u64 = 2_500;

/// How long it may take until all that was done has arrived.
const ARRIVE: Duration = Duration::from_secs(120);

const WATCH: &str = "sleep: 100ms
    reconcile: {every: 1s, rows_per_second: 10000000, chunk_rows: 50}
    tables: {'*': {allow: all_updates, on_delete: {fine: 'null'}}, words: {on_delete: {gone: '\"it is gone\"'}}}";

/// A database that can be killed.
trait Killed {
    fn kill_and_start(&mut self);
}

impl Killed for MariaDb {
    fn kill_and_start(&mut self) {
        self.kill();
        self.start();
    }
}

impl Killed for Postgres {
    fn kill_and_start(&mut self) {
        self.kill();
        self.start();
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn passes(scenario: &Scenario) -> u64 {
    scenario.attestry(&["count", "event_name:reconcile.pass"]).is(0).out.trim().parse().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn same<R: Reader>(scenario: &Scenario, mut reader: R) -> usize {
    let path = scenario.data().join("databases/bank.sqlite");
    // Nobody writes any more. The server's log goes on all the same, with what it does for itself.
    let (begun, end) = (Instant::now(), reader.position().await.unwrap());
    loop {
        let mut copy = Copy::open_to_read(&path).unwrap();
        let at = copy.position().unwrap();
        if at.as_ref().is_some_and(|at| *at >= end)
            && let Some(rows) = check::same(&mut copy, &mut reader).await
        {
            return rows;
        }
        let late = || format!("at {}, of {end}", at.as_ref().map_or("none".to_owned(), ToString::to_string));
        assert!(begun.elapsed() < ARRIVE, "the copy is not what the database is: {}", late());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Writers write while the servers are killed; `look` waits until the copy is the database.
fn load<S: Killed>(
    mut server: S,
    engine: Engine,
    url: &str,
    sql: impl Fn(&S, &str),
    look: impl Fn(&Scenario, &WatchConfig) -> usize,
) {
    let seed = setting("ATTESTRY_LOAD_SEED", 0x5eed);
    let seconds = setting("ATTESTRY_LOAD_SECONDS", 12);
    let kills = setting("ATTESTRY_LOAD_KILLS", 1) > 0;
    let (pause, many_every) = (setting("ATTESTRY_LOAD_PAUSE_MS", 30), setting("ATTESTRY_LOAD_MANY", 150));
    let mut random = Random(seed);
    let mut scenario = Scenario::new(ATTESTRY);
    std::fs::write(
        scenario.dir().join("attestry.yaml"),
        format!("audit:\n  bank:\n    url: {url}\n    {WATCH}\n"),
    )
    .unwrap();
    let config: WatchConfig =
        serde_saphyr::from_str(&format!("url: {url}\n{}", WATCH.replace("\n    ", "\n"))).unwrap();
    sql(&server, &Shape::create(engine, WRITERS));
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|number| Writer::new(number, engine, url, random.below(u64::MAX), pause, many_every))
        .collect();
    for writer in &mut writers {
        sql(&server, &writer.seed());
    }
    scenario.start();
    wait_for("the first copy is taken", ARRIVE, || {
        let status = scenario.attestry(&["db", "status", "--json"]).is(0).out;
        let status: Value = serde_json::from_str(&status).unwrap();
        (status[0]["state"] == "following").then_some(())
    });

    let stop = Arc::new(AtomicBool::new(false));
    let working: Vec<_> = writers
        .into_iter()
        .map(|writer| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || writer.work(&stop))
        })
        .collect();
    let (begun, mut killed) = (Instant::now(), [0; 2]);
    while begun.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(random.below(ROUND_MAX)));
        assert!(working.iter().all(|thread| !thread.is_finished()), "a writer failed");
        let victim = random.below(3);
        if !kills {
            continue;
        }
        if victim != 0 {
            scenario.kill();
            killed[1] += 1;
        }
        if victim != 1 {
            server.kill_and_start();
            killed[0] += 1;
        }
        if victim != 0 {
            scenario.launch();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let writers: Vec<Writer> = working.into_iter().map(|thread| thread.join().unwrap()).collect();
    scenario.wait_until_ready();
    let rows = look(&scenario, &config);
    let before = passes(&scenario);
    // All five tables twice, from the beginning.
    wait_for("all is compared", ARRIVE, || (passes(&scenario) >= before + 15).then_some(()));
    scenario.stop();

    let mut copy = Copy::open_to_read(&scenario.data().join("databases/bank.sqlite")).unwrap();
    let versions = check::versions(&mut copy, &config, engine, &writers);
    let told = check::events(&scenario, &writers);
    check::violations(&mut copy, &told, &writers);
    let transactions: i64 = writers.iter().map(|writer| writer.steps).sum();
    assert!(transactions > i64::try_from(seconds).unwrap(), "only {transactions} transactions");
    #[allow(clippy::print_stdout, reason = "figures for whoever wants them")]
    {
        println!(
            "{engine:?}, {seconds} s: {transactions} transactions, {} changes, {versions} versions, {rows} rows in the end; kills: database {}, Attestry {}; {} comparisons of a table with {} rows",
            told.changes, killed[0], killed[1], told.passes, told.compared
        );
    }
    scenario.finish();
}

#[test]
fn mariadb_under_load_with_kills_is_copied_exactly() {
    let server = MariaDb::started_with_log(&[]);
    server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
    let url = server.url();
    let look = |scenario: &Scenario, config: &WatchConfig| same(scenario, MysqlReader::new(config).unwrap());
    let sql = |server: &MariaDb, sql: &str| drop(server.query(&(mariadb::SESSION.to_owned() + sql)));
    load(server, Engine::Mysql, &url, sql, look);
}

#[test]
fn postgresql_under_load_with_kills_is_copied_exactly() {
    let server = Postgres::started_logical(&[]);
    let url = server.url();
    let look = |scenario: &Scenario, config: &WatchConfig| {
        same(scenario, PostgresReader::new("bank", config).unwrap())
    };
    load(server, Engine::Postgres, &url, |server, sql| drop(server.query(sql)), look);
}
