//! A watch of the real servers.

use std::time::{Duration, Instant};

use attestry_db::copy::{Copy, Filter};
use attestry_db::watch::{Database, Mysql, Postgres};
use attestry_testkit::{MariaDb, Postgres as PostgresServer};

use crate::bench::{Bench, Running, SOON};

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

/// What XA prepares is in the log only there, and counts when it is committed: days later, after the watch was stopped, or never.
#[tokio::test(flavor = "multi_thread")]
async fn what_xa_has_prepared_is_known_after_a_restart() {
    let server = MariaDb::started_with_log(&[]);
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    let bench = Bench::new(database, &server.url_for("root"), "tables: {elsewhere: {watch: false}, '*': {}}");
    let query = |sql: &str| drop(server.query(sql));
    let prepare = |number: &str, sql: &str| {
        query(&format!("XA START '{number}'; {sql}; XA END '{number}'; XA PREPARE '{number}'"));
    };
    query(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT); CREATE TABLE elsewhere (id INT PRIMARY KEY); INSERT INTO t VALUES (0, 0)",
    );
    prepare("before", "INSERT INTO t VALUES (1, 1)");
    let running = bench.start();
    bench.same(&running).await;
    prepare("first", "INSERT INTO t VALUES (2, 2)");
    prepare("second", "INSERT INTO t VALUES (3, 3)");
    prepare("other", "INSERT INTO elsewhere VALUES (4)");
    prepare("back", "INSERT INTO t VALUES (5, 5)");
    query("INSERT INTO t VALUES (6, 6)");
    bench.same(&running).await;
    running.task.abort();
    let _ = running.task.await;
    query("XA COMMIT 'first'; XA ROLLBACK 'back'; FLUSH BINARY LOGS");
    let running = bench.start();
    bench.same(&running).await;
    assert_eq!(bench.taken.named("row.insert").len(), 2);
    // Restarted, it does not tell the first one again.
    running.task.abort();
    let _ = running.task.await;
    query("XA COMMIT 'other'");
    let running = bench.start();
    query("XA COMMIT 'second'");
    bench.same(&running).await;
    bench.passes(&running, 2).await;
    assert_eq!(bench.taken.named("row.insert").len(), 3);
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    assert_eq!(bench.taken.named("gap.stream"), []);
    // Nobody knows of this one; what follows it is read nevertheless.
    query("XA COMMIT 'before'; INSERT INTO t VALUES (7, 7)");
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    bench.same(&running).await;
    let gaps = bench.taken.named("gap.stream");
    let reason = gaps[0].event_data.as_ref().unwrap()["reason"].as_str().unwrap();
    assert!(gaps.len() == 1 && reason.contains("was prepared before the log was taken up"), "{gaps:?}");
    assert_eq!(bench.taken.named("row.insert").len(), 5);
    assert!(Copy::open_to_read(&bench.path).unwrap().prepared().unwrap().is_empty());
    // The log is not kept for ever.
    prepare("long", "INSERT INTO t VALUES (8, 8)");
    query("INSERT INTO t VALUES (9, 9)");
    bench.same(&running).await;
    running.task.abort();
    let _ = running.task.await;
    query("FLUSH BINARY LOGS");
    let logs = server.query("SHOW BINARY LOGS");
    let last = logs.lines().last().unwrap().split_whitespace().next().unwrap().to_owned();
    // Where it is read on is in a file that stays.
    let running = bench.start();
    query("INSERT INTO t VALUES (10, 10)");
    bench.same(&running).await;
    running.task.abort();
    let _ = running.task.await;
    let begun = Instant::now();
    // Not while somebody still reads it.
    while !server.query("SHOW BINARY LOGS").starts_with(&last) {
        assert!(begun.elapsed() < SOON, "{}", server.query("SHOW BINARY LOGS"));
        query(&format!("PURGE BINARY LOGS TO '{last}'"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let running = bench.start();
    query("INSERT INTO t VALUES (11, 11)");
    bench.same(&running).await;
    assert_eq!(bench.taken.named("gap.stream").len(), 1);
    query("XA COMMIT 'long'");
    bench.until(&running, "it is told", || bench.taken.named("gap.stream").len() == 2).await;
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 2).await;
    running.task.abort();
}

/// The stream of another server, or of one that was set back, is not taken up as if it were the same; everything is compared.
async fn another_server_is_a_gap<D: Database + Clone>(
    bench: &Bench<D>,
    query: &dyn Fn(&str),
    another: impl FnOnce(),
) {
    query("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2)");
    let running = bench.start();
    bench.same(&running).await;
    query("UPDATE t SET v = 3 WHERE id = 1");
    bench.same(&running).await;
    running.task.abort();
    let _ = running.task.await;
    another();
    query("UPDATE t SET v = 4 WHERE id = 2");
    let running = bench.start();
    bench.until(&running, "it is told", || bench.taken.named("gap.stream").len() == 1).await;
    bench.until(&running, "it is found", || bench.taken.unexplained().len() == 1).await;
    query("UPDATE t SET v = 5 WHERE id = 1");
    bench.same(&running).await;
    let gap = bench.taken.named("gap.stream").remove(0).event_data.unwrap();
    assert!(gap["reason"].as_str().unwrap().contains("another server than the one"), "{gap:?}");
    assert_eq!((bench.taken.unexplained().len(), bench.taken.named("gap.stream").len()), (1, 1));
    running.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_was_restored_is_noticed() {
    let server = std::cell::RefCell::new(PostgresServer::started_logical(&["restore_command=false"]));
    let url = server.borrow().url();
    let database = |config| Postgres { watch: "bank".to_owned(), config };
    let bench = Bench::new(database, &url, "");
    let restore = || {
        // It reads its own log to the end, as it would one from an archive, and begins a new timeline.
        server.borrow_mut().kill();
        std::fs::write(server.borrow().data().join("recovery.signal"), "").unwrap();
        server.borrow_mut().start();
        while server.borrow().query("SELECT pg_is_in_recovery()") == "t" {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let query = |sql: &str| drop(server.borrow().query(sql));
    another_server_is_a_gap(&bench, &query, restore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mariadb_in_its_place_is_noticed() {
    let server = MariaDb::started_with_log(&[]);
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    let bench = Bench::new(database, &server.url_for("root"), "");
    let query = |sql: &str| drop(server.query(sql));
    another_server_is_a_gap(&bench, &query, || query("SET GLOBAL gtid_domain_id = 7")).await;
}
