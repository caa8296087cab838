//! Watchy's defects, one by one, each held against the real servers: what went wrong there must go right here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestry_db::Cell;
use attestry_db::copy::{Copy, Op, Version};
use attestry_db::watch::Database;

use crate::bench::Bench;
use crate::servers::{Server, both};

/// Compares when it begins, and then not before the test is over.
const ONCE: &str = "sleep: 100ms\nreconcile: {every: 1h}";

both! {
    inserted_again_a_primary_key_is_an_insertion: "";
    unique_keys_of_the_copy_never_collide: "";
    changes_within_a_second_are_versions_of_their_own: "";
    a_change_of_case_blank_accent_or_last_bit_is_a_change: "";
    the_first_copy_is_of_one_moment: "";
    thousands_of_changes_take_no_question_each: ONCE;
    a_rule_that_fails_ends_nothing:
        "tables: {t: {on_update: {boom: 'if parse_int!(.updated.note) > 5 { \"too much\" }'}, fields: {note: {allow: all_updates}}}}";
    names_and_values_are_never_run: "";
    without_rules_everything_but_new_rows_is_a_violation: "tables: {}";
    a_table_that_changes_and_then_nothing_is_noticed: ONCE;
}

fn ops(history: &[Version]) -> Vec<Op> {
    history.iter().map(|version| version.op).collect()
}

async fn inserted_again_a_primary_key_is_an_insertion<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2)");
    let running = bench.start();
    bench.same(&running).await;
    server.query("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 3)");
    server.query("BEGIN; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 3); COMMIT");
    // In the end the table is what it was in between.
    bench.until(&running, "all is copied", || bench.history("t", "1").len() == 5).await;
    bench.same(&running).await;
    let expected = [Op::Baseline, Op::Delete, Op::Insert, Op::Delete, Op::Insert];
    assert_eq!(ops(&bench.history("t", "1")), expected);
    assert!(bench.taken.named("row.update").is_empty());
    assert_eq!(bench.taken.named("row.delete").len(), 2);
}

async fn unique_keys_of_the_copy_never_collide<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, slot INT UNIQUE, name VARCHAR(20) NOT NULL, UNIQUE (name, slot));
         INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c')",
    );
    let running = bench.start();
    bench.same(&running).await;
    // What is unique goes from row to row, within a transaction and from one to the next, and comes back to where it was.
    server.query(
        "BEGIN; UPDATE t SET slot = NULL WHERE id = 1; UPDATE t SET slot = 10 WHERE id = 2; UPDATE t SET slot = 20 WHERE id = 1; COMMIT",
    );
    server.query("DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (4, 30, 'c')");
    server.query(
        "UPDATE t SET slot = NULL; UPDATE t SET slot = 30 WHERE id = 1; UPDATE t SET slot = 10 WHERE id = 4",
    );
    bench.same(&running).await;
    bench.passes(&running, 2).await;
    assert!(bench.taken.unexplained().is_empty() && bench.pending().is_empty());
    let slots: Vec<Option<String>> = bench
        .history("t", "1")
        .iter()
        .map(|version| version.cells.as_ref().unwrap()[1].text().map(str::to_owned))
        .collect();
    let slots: Vec<Option<&str>> = slots.iter().map(Option::as_deref).collect();
    assert_eq!(slots, [Some("10"), None, Some("20"), None, Some("30")]);
}

async fn changes_within_a_second_are_versions_of_their_own<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL); INSERT INTO t VALUES (1, 0)");
    let running = bench.start();
    bench.same(&running).await;
    let updates: Vec<String> = (1..=50).map(|v| format!("UPDATE t SET v = {v} WHERE id = 1")).collect();
    server.query(&updates.join("; "));
    bench.same(&running).await;
    let history = bench.history("t", "1");
    let values: Vec<&str> =
        history.iter().map(|version| version.cells.as_ref().unwrap()[1].text().unwrap()).collect();
    assert_eq!(values, (0..=50).map(|v| v.to_string()).collect::<Vec<_>>());
    assert_eq!(history.iter().map(|one| one.version).collect::<Vec<_>>(), (1..=51).collect::<Vec<u64>>());
    let transactions: BTreeSet<_> =
        history.iter().map(|version| version.origin.transaction.clone()).collect();
    assert_eq!(transactions.len(), 51, "each knows its transaction");
    let seconds: BTreeSet<i64> = history.iter().map(|version| version.origin.time / 1_000_000).collect();
    assert!(seconds.len() < 40, "this machine takes a second for each");
    if std::any::type_name::<S>().contains("Postgres") {
        // MariaDB's log has whole seconds.
        let times: Vec<i64> = history.iter().map(|version| version.origin.time).collect();
        assert!(times.windows(2).all(|two| two[0] < two[1]), "{times:?}");
    }
}

async fn a_change_of_case_blank_accent_or_last_bit_is_a_change<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY, word {}, number DOUBLE PRECISION); INSERT INTO t VALUES (1, 'resume', 0.3), (2, 'resume', 0.3)",
        S::LENIENT
    ));
    // To the database these are the same.
    assert!(!server.query("SELECT id FROM t WHERE word = 'RESUME'").is_empty());
    let running = bench.start();
    bench.same(&running).await;
    bench.passes(&running, 1).await;
    let changes = ["word = 'Resume'", "word = 'Resume '", "word = 'Résume '", "number = 0.30000000000000004"];
    for (at, change) in changes.iter().enumerate() {
        server.query(&format!("UPDATE t SET {change} WHERE id = 1"));
        server.behind("t", &format!("UPDATE t SET {change} WHERE id = 2"));
        let told = || bench.taken.named("row.update").len() >= 2 * (at + 1);
        bench.until(&running, change, told).await;
    }
    bench.same(&running).await;
    assert_eq!(bench.taken.unexplained().len(), changes.len());
    for id in ["1", "2"] {
        assert_eq!(bench.history("t", id).len(), 1 + changes.len());
    }
}

async fn the_first_copy_is_of_one_moment<D: Database + Clone, S: Server + 'static>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    const ROWS: i64 = 5_000;
    for table in ["a", "b"] {
        let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, 100)")).collect();
        server.query(&format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, money BIGINT NOT NULL); INSERT INTO {table} VALUES {}",
            rows.join(", ")
        ));
    }
    // Money moves between the first and the last rows of two tables for as long as they are being copied.
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (server, done) = (Arc::clone(server), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut moved = 0;
            while !done.load(Ordering::Relaxed) {
                let moves: Vec<String> = (0..20)
                    .map(|at| {
                        let (from, to) = ((moved + at) % ROWS, ROWS - 1 - (moved + at) % ROWS);
                        format!(
                            "BEGIN; UPDATE a SET money = money - 1 WHERE id = {from}; UPDATE b SET money = money + 1 WHERE id = {to}; COMMIT"
                        )
                    })
                    .collect();
                server.query(&moves.join("; "));
                moved += 20;
            }
            moved
        })
    };
    let begun = Instant::now();
    while server.query("SELECT sum(money) FROM b") == (100 * ROWS).to_string() {
        assert!(begun.elapsed() < crate::bench::SOON);
    }
    let running = bench.start();
    bench.until(&running, "both are copied", || bench.taken.named("table.baseline").len() == 2).await;
    bench.until(&running, "it goes on", || bench.taken.named("row.update").len() > 40).await;
    done.store(true, Ordering::Relaxed);
    let moved = writer.join().unwrap();
    bench.same(&running).await;
    let events = bench.taken.named("row.update").len() as i64;
    assert!(events < 2 * moved, "{events} events of {moved} moves: what was before the copy has none");
    let (mut money, mut rows) = (0, 0);
    let mut copy = Copy::open_to_read(&bench.path).unwrap();
    for watched in copy.watched().unwrap() {
        for row in copy.rows_from(watched.id, &[], u32::MAX).unwrap() {
            let first = copy.history(watched.id, &row.place, u32::MAX).unwrap().pop().unwrap();
            assert_eq!(first.op, Op::Baseline);
            money += first.cells.unwrap()[1].text().unwrap().parse::<i64>().unwrap();
            rows += 1;
        }
    }
    assert_eq!((money, rows), (2 * 100 * ROWS, 2 * ROWS), "no move is half in the first copy");
}

async fn thousands_of_changes_take_no_question_each<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    const ROWS: usize = 10_000;
    let rows: Vec<String> = (0..ROWS).map(|id| format!("({id}, 0)")).collect();
    server.query(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL); INSERT INTO t VALUES {}",
        rows.join(", ")
    ));
    let running = bench.start();
    bench.same(&running).await;
    bench.until(&running, "it was compared", || bench.taken.named("reconcile.pass").len() == 1).await;
    let before = server.statements();
    server.query("UPDATE t SET v = 1; UPDATE t SET v = 2");
    bench.until(&running, "all is told", || bench.taken.named("row.update").len() == 2 * ROWS).await;
    let asked = server.statements() - before;
    assert!(asked < ROWS as u64 / 4, "{asked} statements for {ROWS} rows that changed twice");
}

async fn a_rule_that_fails_ends_nothing<D: Database + Clone, S: Server>(bench: &Bench<D>, server: &Arc<S>) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY, note VARCHAR(20) NOT NULL); INSERT INTO t VALUES (1, '1'), (2, '2')");
    let running = bench.start();
    bench.same(&running).await;
    server.query("UPDATE t SET note = 'sesame' WHERE id = 1");
    server.query("UPDATE t SET note = '9' WHERE id = 2");
    bench.until(&running, "both are found", || bench.pending().len() == 2).await;
    bench.same(&running).await;
    let mut found = bench.pending();
    // MariaDB's log has whole seconds: both may have the same time.
    found.sort_by(|a, b| a.rule.cmp(&b.rule));
    assert_eq!([&found[0].rule, &found[1].rule], ["boom", "boom:failed"]);
    assert_eq!(found[0].description, "too much");
    // Why it failed is told without the value.
    assert!(!found[1].description.contains("sesame"), "{}", found[1].description);
}

async fn names_and_values_are_never_run<D: Database + Clone, S: Server>(bench: &Bench<D>, server: &Arc<S>) {
    let dir = tempfile::tempdir().unwrap();
    let touched = dir.path().join("touched");
    let table = server.quoted("a`b\"'; DROP TABLE witness; -- %s {0} $1 ?");
    let column = server.quoted("c`d\"'\\\n$2 /*x*/");
    server.query("CREATE TABLE witness (id INT PRIMARY KEY); INSERT INTO witness VALUES (1)");
    server.query(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, {column} VARCHAR(200))"));
    let hostile = [
        "''; DROP TABLE witness; --".to_owned(),
        format!("$(touch {0}) `touch {0}` ; touch {0}", touched.display()),
        "${jndi:ldap://127.0.0.1/x} {{7*7}} <script>alert(1)</script>".to_owned(),
        "EVAL|std::process::exit(1)".to_owned(),
        "if true { \"broken\" } else { .row.id = 9 }".to_owned(),
        "%n%n%n \\\\x00 \\\\".to_owned(),
    ];
    server.query(&format!("INSERT INTO {table} VALUES (0, 'plain')"));
    let running = bench.start();
    bench.same(&running).await;
    for (id, value) in hostile.iter().enumerate() {
        server.query(&format!("INSERT INTO {table} VALUES ({}, '{value}')", id + 1));
        server.query(&format!("UPDATE {table} SET {column} = '{value}' WHERE id = 0"));
    }
    bench.until(&running, "all is told", || bench.taken.named("row.update").len() == hostile.len()).await;
    bench.same(&running).await;
    bench.passes(&running, 4).await;
    assert!(bench.taken.unexplained().is_empty(), "{:#?}", bench.taken.unexplained());
    assert!(bench.pending().is_empty() && !touched.exists());
    assert_eq!(server.query("SELECT id FROM witness"), "1");
    assert!(!running.task.is_finished());
}

async fn without_rules_everything_but_new_rows_is_a_violation<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query(
        "CREATE TABLE t (id INT PRIMARY KEY, owner VARCHAR(20), v INT); INSERT INTO t VALUES (1, 'Ada', 1)",
    );
    let running = bench.start();
    bench.same(&running).await;
    server.query("INSERT INTO t VALUES (2, 'Ben', 2); UPDATE t SET owner = 'Eve', v = 3 WHERE id = 1");
    server.query("UPDATE t SET owner = 'Zoe' WHERE id = 1; DELETE FROM t WHERE id = 2");
    bench.until(&running, "all is told", || bench.taken.named("row.delete").len() == 1).await;
    bench.same(&running).await;
    let mut found: Vec<String> = bench.pending().into_iter().map(|one| one.description).collect();
    found.sort();
    // Of the owner once, though it changed twice.
    let expected =
        ["Field owner is different (Ada -- Eve)", "Field v is different (1 -- 3)", "Row was deleted"];
    assert_eq!(found, expected);
    assert_eq!(bench.pending().iter().filter_map(|one| one.field.clone()).count(), 2);
    assert_eq!(bench.taken.named("violation.repeat").len(), 1);
    assert_eq!(bench.history("t", "1").len(), 3);
    assert_eq!(bench.history("t", "1").pop().unwrap().cells.unwrap()[1], Cell::of("Zoe"));
}

async fn a_table_that_changes_and_then_nothing_is_noticed<D: Database + Clone, S: Server>(
    bench: &Bench<D>,
    server: &Arc<S>,
) {
    server.query("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    let running = bench.start();
    bench.same(&running).await;
    server.query("ALTER TABLE t ADD COLUMN more INT");
    bench.until(&running, "it is paused", || bench.taken.named("schema.pause").len() == 1).await;
    server.query("CREATE TABLE u (id INT PRIMARY KEY); INSERT INTO u VALUES (1)");
    let watched = || bench.taken.named("table.baseline").len() == 2;
    bench.until(&running, "a new one is watched", watched).await;
    tokio::time::timeout(Duration::from_secs(60), async {
        while running.handle.status().pending != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
}
