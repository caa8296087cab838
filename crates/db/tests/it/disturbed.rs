//! What goes wrong at one table, or in one statement, ends nothing else.

use std::sync::Arc;

use attestry_db::watch::Database;

use crate::bench::Bench;
use crate::servers::{Server, both};

both! {
    a_check_that_cannot_be_run_is_a_violation_and_ends_nothing:
        "checks: {books: {sql: 'SELECT rest FROM left_over WHERE rest < 0', every: 200ms}, sum: {sql: 'SELECT id FROM t WHERE id = 2', every: 200ms}}";
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
