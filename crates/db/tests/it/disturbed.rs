//! What goes wrong at one table, in one statement or on the way ends nothing else, and is told.

use std::sync::Arc;
use std::time::Duration;

use attestry_db::copy::Op;
use attestry_db::watch::{Database, Phase, Postgres, UNEXPLAINED};
use attestry_event::Event;
use attestry_testkit::Postgres as PostgresServer;

use crate::bench::{Bench, Running};
use crate::servers::{Server, both};

both! {
    a_check_that_cannot_be_run_is_a_violation_and_ends_nothing:
        "checks: {books: {sql: 'SELECT rest FROM left_over WHERE rest < 0', every: 200ms}, sum: {sql: 'SELECT id FROM t WHERE id = 2', every: 200ms}}";
    a_table_without_its_key_is_paused_for_that_reason: "";
    what_waited_for_a_sign_off_is_applied: "";
    what_cannot_be_applied_any_more_is_told: "";
    what_was_done_before_a_change_of_the_table_is_applied_and_told: "";
    rows_that_differ_are_read_in_few_scans: "";
    an_emptied_table_is_told_and_empty_in_the_copy: "";
    without_the_stream_every_change_is_found_and_none_is_unexplained: "stream: false";
}

async fn a_check_that_cannot_be_run_is_a_violation_and_ends_nothing<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query(
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE amounts (id INT PRIMARY KEY, balance INT NOT NULL);
         INSERT INTO amounts VALUES (1, 1)",
    );
    server.query(S::FAILS_LATE);
    let running = bench.start();
    bench.same(&running).await;
    server.query("UPDATE amounts SET balance = 0");
    let found = || bench.pending().iter().any(|one| one.rule == "books:failed");
    bench.until(&running, "it is told", found).await;
    // The session is the same one: the stream goes on, and so do other checks.
    server.query("INSERT INTO t VALUES (2)");
    bench.until(&running, "the other one runs", || bench.pending().iter().any(|one| one.rule == "sum")).await;
    bench.same(&running).await;
    let told = bench.pending().into_iter().find(|one| one.rule == "books:failed").unwrap();
    assert!(told.description.contains("The check books failed"), "{}", told.description);
}

fn data<'a>(event: &'a Event, name: &str) -> &'a serde_json::Value {
    &event.event_data.as_ref().unwrap()[name]
}

/// Signs off everything that is pending.
async fn sign_off<D: Database + Clone>(bench: &Bench<D>, running: &Running) {
    let all = bench.pending().into_iter().map(|one| one.fingerprint).collect();
    running.handle.sign_off(all, "dora".to_owned(), "-".to_owned(), "fine".to_owned()).await.unwrap();
}

async fn paused<D: Database + Clone>(bench: &Bench<D>, running: &Running) {
    bench.until(running, "it is paused", || bench.pending().iter().any(|one| one.rule == "schema")).await;
}

async fn a_table_without_its_key_is_paused_for_that_reason<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT NOT NULL, n INT, CONSTRAINT one PRIMARY KEY (id)); INSERT INTO t VALUES (1, 1)");
    server.query("CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO u VALUES (1)");
    let running = bench.start();
    bench.same(&running).await;
    server.query(S::DROPS_KEY);
    paused(bench, &running).await;
    let told = bench.pending().remove(0).description;
    assert!(told.contains("nothing tells its rows apart"), "{told}");
    assert_eq!(bench.taken.named("schema.drop").len(), 0);
    // The rows are kept, the other table goes on, and nothing is told twice.
    server.query("INSERT INTO u VALUES (2)");
    bench.until(&running, "the other one goes on", || !bench.taken.named("row.insert").is_empty()).await;
    assert_eq!(bench.history("t", "1").len(), 1);
    bench.passes(&running, 2).await;
    assert_eq!(bench.taken.named("schema.pause").len(), 1);
    server.query("ALTER TABLE t ADD CONSTRAINT one PRIMARY KEY (id)");
    sign_off(bench, &running).await;
    server.query("INSERT INTO t VALUES (3, 3)");
    bench.until(&running, "it is watched again", || bench.history("t", "3").len() == 1).await;
    bench.same(&running).await;
    assert!(bench.taken.unexplained().is_empty());
}

async fn what_waited_for_a_sign_off_is_applied<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1), (2, 2)");
    let running = bench.start();
    bench.same(&running).await;
    server.query("ALTER TABLE t ADD COLUMN more VARCHAR(10)");
    paused(bench, &running).await;
    server.query("UPDATE t SET n = 11, more = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 3, 'y')");
    sign_off(bench, &running).await;
    bench.until(&running, "it is accepted", || bench.taken.named("schema.accept").len() == 1).await;
    bench.same(&running).await;
    bench.passes(&running, 2).await;
    let ops = |key: &str| bench.history("t", key).iter().map(|version| version.op).collect::<Vec<Op>>();
    assert!(
        ops("1").contains(&Op::Update) && ops("2").contains(&Op::Delete),
        "{:?} {:?}",
        ops("1"),
        ops("2")
    );
    assert_eq!(ops("3"), [Op::Insert]);
    assert_eq!(bench.taken.named("row.update").len(), 1);
    assert!(bench.taken.unexplained().is_empty());
    assert!(bench.pending().is_empty());
}

/// Nobody watched when it happened: the tables are other ones, or gone, when the stream says it.
async fn what_was_done_before_a_change_of_the_table_is_applied_and_told<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
    server.query("CREATE TABLE gone (id INT PRIMARY KEY); INSERT INTO gone VALUES (1)");
    let running = bench.start();
    bench.same(&running).await;
    running.stop().await;
    server.query("UPDATE t SET n = 11 WHERE id = 1; INSERT INTO gone VALUES (2)");
    server.query("ALTER TABLE t ADD COLUMN more VARCHAR(10); DROP TABLE gone");
    server.query("UPDATE t SET n = 22, more = 'x' WHERE id = 2; DELETE FROM t WHERE id = 3");
    let running = bench.start();
    let schema = || bench.pending().iter().filter(|one| one.rule == "schema").count();
    bench.until(&running, "both are paused", || schema() == 2).await;
    sign_off(bench, &running).await;
    bench.until(&running, "both are accepted", || bench.taken.named("schema.accept").len() == 2).await;
    bench.same(&running).await;
    bench.passes(&running, 2).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    assert_eq!(bench.taken.named("row.update").len(), 2);
    assert_eq!(bench.taken.named("row.delete").len(), 1);
    let [lost] = &bench.taken.named("row.insert")[..] else { panic!() };
    assert!(lost.resource.as_deref().unwrap().ends_with(".gone"), "{lost:?}");
    assert_eq!(data(lost, "unapplied"), &true);
}

async fn what_cannot_be_applied_any_more_is_told<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT NOT NULL, n INT, CONSTRAINT one PRIMARY KEY (id)); INSERT INTO t VALUES (1, 1), (2, 2)");
    let running = bench.start();
    bench.same(&running).await;
    // Rows of another key, which the copy cannot know.
    server.query(S::NEW_KEY);
    paused(bench, &running).await;
    server.query(
        "UPDATE t SET n = 666 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t (id, n) VALUES (3, 3)",
    );
    server.query("CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO u VALUES (1)");
    // In the order of the log: what came before is waiting.
    bench.until(&running, "the log is read", || bench.taken.named("table.baseline").len() == 2).await;
    server.query("INSERT INTO u VALUES (2)");
    bench.until(&running, "the log is read", || !bench.taken.named("row.insert").is_empty()).await;
    sign_off(bench, &running).await;
    bench.until(&running, "it is watched", || bench.taken.named("table.baseline").len() == 3).await;
    bench.same(&running).await;
    let unapplied = |name: &str| {
        let events = bench.taken.named(name).into_iter();
        events
            .filter(|event| event.event_data.as_ref().unwrap().contains_key("unapplied"))
            .collect::<Vec<_>>()
    };
    let changed = unapplied("row.update").remove(0);
    assert!(serde_json::to_string(&changed.event_data).unwrap().contains("666"), "{changed:?}");
    assert_eq!((unapplied("row.delete").len(), unapplied("row.insert").len()), (1, 1));
    let found = bench.pending();
    assert_eq!(found.iter().map(|one| one.rule.as_str()).collect::<Vec<_>>(), ["unapplied"]);
    assert!(found[0].description.contains("3 changes"), "{}", found[0].description);
}

async fn rows_that_differ_are_read_in_few_scans<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    const ROWS: u64 = 20_000;
    server.query(&format!("CREATE TABLE t (id {} NOT NULL PRIMARY KEY, n INT NOT NULL)", S::VARCHAR));
    let values: Vec<String> = (0..ROWS).map(|at| format!("('key{at}', {at})")).collect();
    for some in values.chunks(2_000) {
        server.query(&format!("INSERT INTO t VALUES {}", some.join(",")));
    }
    let running = bench.start();
    bench.same(&running).await;
    bench.passes(&running, 1).await;
    let count = || (server.rows_read("t"), bench.taken.named("reconcile.pass").len() as u64);
    let before = count();
    server.behind("t", "UPDATE t SET n = n + 1 WHERE n % 2000 = 7");
    bench.until(&running, "all are found", || bench.taken.unexplained().len() >= 10).await;
    bench.passes(&running, 2).await;
    let after = count();
    let (scans, passes) = ((after.0 - before.0) / ROWS, after.1 - before.1);
    // Besides the digests of every pass: what the update read, some looks at all ten rows at once, and what PostgreSQL counts a second late.
    assert!(scans <= passes + 15, "{scans} scans in {passes} passes");
    assert_eq!(bench.taken.unexplained().len(), 10);
    bench.same(&running).await;
}

async fn an_emptied_table_is_told_and_empty_in_the_copy<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
    let running = bench.start();
    bench.same(&running).await;
    server.query("TRUNCATE TABLE t; INSERT INTO t VALUES (2)");
    bench.until(&running, "it is told", || bench.taken.named("row.truncate").len() == 1).await;
    bench.same(&running).await;
    bench.passes(&running, 2).await;
    assert_eq!(data(&bench.taken.named("row.truncate")[0], "rows"), 3);
    assert_eq!(bench.pending().iter().map(|one| one.rule.as_str()).collect::<Vec<_>>(), ["truncated"]);
    let last = |key: &str| bench.history("t", key).pop().unwrap();
    assert!(last("1").cells.is_none() && last("2").cells.is_some());
    assert!(bench.taken.unexplained().is_empty());
}

async fn without_the_stream_every_change_is_found_and_none_is_unexplained<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 1), (2, 2)");
    let running = bench.start();
    bench.same(&running).await;
    server.query("UPDATE t SET n = 9 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, 3)");
    bench.until(&running, "all is found", || bench.history("t", "3").len() == 1).await;
    bench.same(&running).await;
    let told = ["row.update", "row.delete", "row.insert"].map(|name| bench.taken.named(name).len());
    assert_eq!(told, [1, 1, 1]);
    assert_eq!(bench.taken.named("gap.polling").len(), 1);
    assert!(bench.taken.unexplained().is_empty() && bench.pending().is_empty());
    assert!(bench.history("t", "1").iter().all(|version| !version.origin.unexplained));
}

/// A PostgreSQL watched by a role that owns nothing: what is published is for the owner to say.
fn watched_by_an_auditor(more: &str) -> (PostgresServer, Bench<Postgres>) {
    let server = PostgresServer::started_logical(&[]);
    server.query(
        "CREATE ROLE auditor LOGIN REPLICATION; CREATE TABLE t (id INT PRIMARY KEY, n INT); GRANT SELECT ON t TO auditor;
         CREATE PUBLICATION attestry_bank FOR TABLE t; INSERT INTO t VALUES (1, 1)",
    );
    let url = server.url_of("auditor");
    let bench = Bench::new(|config| Postgres { watch: "bank".to_owned(), config }, &url, more);
    (server, bench)
}

fn unexplained<D: Database + Clone>(bench: &Bench<D>) -> usize {
    bench.pending().iter().filter(|one| one.rule == UNEXPLAINED).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_nobody_published_is_only_compared() {
    let (server, bench) = watched_by_an_auditor("");
    server.query("CREATE UNLOGGED TABLE fast (id INT PRIMARY KEY); GRANT SELECT ON fast TO auditor; INSERT INTO fast VALUES (1)");
    let running = bench.start();
    bench.same(&running).await;
    // Somebody makes a table that the auditor may not even read.
    server.query("CREATE TABLE x (id INT PRIMARY KEY)");
    server.query("UPDATE t SET n = 2");
    bench.until(&running, "the others go on", || bench.taken.named("row.update").len() == 1).await;
    let refused = || {
        let tables = running.handle.status().tables;
        tables.into_values().find(|table| table.name.table == "x").and_then(|table| table.refused)
    };
    bench
        .until(&running, "it is said", || refused().is_some_and(|why| why.contains("may not read it")))
        .await;
    server.query("GRANT SELECT ON x TO auditor; INSERT INTO x VALUES (1)");
    bench.until(&running, "it is watched", || bench.taken.named("gap.table").len() == 2).await;
    server.query("INSERT INTO x VALUES (2); INSERT INTO fast VALUES (2)");
    bench.until(&running, "both are found", || bench.taken.named("row.insert").len() >= 2).await;
    bench.same(&running).await;
    assert_eq!(unexplained(&bench), 0);
    assert!(bench.taken.named("gap.table").iter().all(|event| *data(event, "carried_before") == false));

    // Once it is published, what is behind the stream is unexplained, but nothing of the time before.
    server.query(
        "INSERT INTO x VALUES (3); ALTER PUBLICATION attestry_bank ADD TABLE x; INSERT INTO x VALUES (4)",
    );
    bench.until(&running, "it is carried", || bench.taken.named("gap.table_end").len() == 1).await;
    bench.passes(&running, 4).await;
    bench.same(&running).await;
    assert_eq!(unexplained(&bench), 0, "{:?}", bench.pending());
    server.query("ALTER PUBLICATION attestry_bank DROP TABLE x; INSERT INTO x VALUES (5); ALTER PUBLICATION attestry_bank ADD TABLE x");
    bench.until(&running, "it is unexplained", || unexplained(&bench) == 1).await;

    // One that is left out and cannot be watched any more does not have the others begin anew again and again.
    server.query("ALTER TABLE fast DROP CONSTRAINT fast_pkey");
    paused(&bench, &running).await;
    sign_off(&bench, &running).await;
    bench.until(&running, "it is accepted", || bench.taken.named("schema.accept").len() == 1).await;
    bench.until(&running, "it is followed", || running.handle.status().phase == Phase::Following).await;
    bench.passes(&running, 2).await;
    let follower = || server.query("SELECT pid FROM pg_stat_replication");
    let before = follower();
    bench.passes(&running, 6).await;
    assert_eq!(follower(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_takes_out_of_the_stream_stays_unexplained() {
    let (server, bench) = watched_by_an_auditor("");
    let running = bench.start();
    bench.same(&running).await;
    bench.until(&running, "it is followed", || running.handle.status().phase == Phase::Following).await;
    server.query("ALTER PUBLICATION attestry_bank DROP TABLE t");
    bench.until(&running, "it is told", || bench.taken.named("gap.table").len() == 1).await;
    assert_eq!(*data(&bench.taken.named("gap.table")[0], "carried_before"), true);
    server.query("UPDATE t SET n = 666");
    bench.until(&running, "it is unexplained", || unexplained(&bench) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_given_up_also_while_nothing_is_read() {
    let (server, mut bench) = watched_by_an_auditor("slot_mib: 1");
    bench.patience.tend = Duration::from_millis(100);
    let running = bench.start();
    bench.same(&running).await;
    // The next session is refused, for as long as somebody takes to mend it.
    server.query(
        "ALTER PUBLICATION attestry_bank SET (publish = 'insert'); CREATE TABLE y (id INT PRIMARY KEY); GRANT SELECT ON y TO auditor",
    );
    bench.until(&running, "it is refused", || running.handle.status().phase == Phase::Refused).await;
    assert_eq!(server.query("SELECT count(*) FROM pg_replication_slots"), "1");
    server.query("INSERT INTO t SELECT i, i FROM generate_series(10, 50000) i");
    let slots = || server.query("SELECT count(*) FROM pg_replication_slots") == "0";
    bench.until(&running, "it is given up", slots).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lets_us_in_no_longer_is_told_once() {
    let (server, mut bench) = watched_by_an_auditor("");
    bench.patience.away = Duration::from_secs(1);
    let running = bench.start();
    bench.same(&running).await;
    let out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auditor'";
    server.query(&format!("ALTER ROLE auditor NOLOGIN; {out}"));
    // It tries again, and again.
    for _ in 0..6 {
        running.handle.restart();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    bench.until(&running, "it is told", || bench.taken.named("gap.watch").len() == 1).await;
    server.query("INSERT INTO t VALUES (2, 2)");
    server.query("ALTER ROLE auditor LOGIN");
    running.handle.restart();
    bench.until(&running, "it is back", || bench.taken.named("gap.watch_end").len() == 1).await;
    bench.same(&running).await;
    assert_eq!(bench.taken.named("gap.watch").len(), 1);
    assert_eq!(unexplained(&bench), 0);
}
