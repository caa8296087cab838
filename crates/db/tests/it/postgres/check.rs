//! What `check` finds, that what it says mends it, and somebody's own questions.

use std::time::Duration;

use attestry_db::Changes;
use attestry_db::postgres::{PostgresChanges, PostgresReader};
use attestry_db::{Cell, DbError, Finding, Level, Reader, Step, WatchConfig};
use attestry_testkit::Postgres;

use super::{MASK, config, tables};

async fn findings(config: &WatchConfig) -> Vec<Finding> {
    PostgresReader::new("test", config).unwrap().check(config).await.unwrap()
}

fn subjects(findings: &[Finding], level: Level) -> Vec<&str> {
    let mut subjects: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.level == level)
        .map(|finding| finding.subject.as_str())
        .collect();
    subjects.sort_unstable();
    subjects
}

/// Does what the findings say.
fn mend(server: &Postgres, findings: &[Finding]) {
    for remedy in findings.iter().filter_map(|finding| finding.remedy.as_ref()) {
        if !remedy.starts_with("identify") && !remedy.starts_with("CREATE ROLE") {
            server.query(remedy);
        }
    }
}

#[tokio::test]
async fn what_is_said_mends_what_is_missing() {
    let mut server = Postgres::started();
    server.query(
        "CREATE ROLE \"the auditor\" LOGIN; CREATE SCHEMA bank; \
         CREATE TABLE bank.accounts (id integer PRIMARY KEY, v text); CREATE TABLE bank.hidden (id integer PRIMARY KEY); \
         ALTER TABLE bank.hidden ENABLE ROW LEVEL SECURITY; CREATE TABLE bank.keyless (v text); \
         CREATE TABLE bank.\"un\"\"ique\" (v text NOT NULL UNIQUE, g text GENERATED ALWAYS AS (v) STORED); \
         CREATE UNLOGGED TABLE bank.loose (id integer PRIMARY KEY); CREATE TABLE bank.named (a integer NOT NULL); \
         CREATE TABLE bank.misnamed (a integer)",
    );
    let config: WatchConfig = serde_saphyr::from_str(&format!(
        "url: {}\nschema: bank\ntables: {{'*': {{}}, named: {{identify: {{columns: [a]}}}}, misnamed: {{identify: {{columns: [b]}}}}}}",
        server.url_of("the%20auditor")
    ))
    .unwrap();
    let found = findings(&config).await;
    assert_eq!(
        subjects(&found, Level::Error),
        [
            "bank.accounts",
            "bank.hidden",
            "bank.hidden",
            "bank.keyless",
            "bank.keyless",
            "bank.loose",
            "bank.misnamed",
            "bank.misnamed",
            "bank.named",
            "bank.un\"ique",
            "max_slot_wal_keep_size",
            "role",
            "schema",
            "wal_level",
        ]
    );
    assert_eq!(
        subjects(&found, Level::Warning),
        ["bank.keyless", "bank.loose", "bank.misnamed", "bank.named", "bank.un\"ique", "publication"]
    );
    assert_eq!(subjects(&found, Level::Note), ["bank.un\"ique"]);
    mend(&server, &found);
    server.kill();
    server.start();
    // Those that have a replica identity now are published as well.
    let found = findings(&config).await;
    assert_eq!(subjects(&found, Level::Error), ["bank.keyless", "bank.misnamed"]);
    assert_eq!(subjects(&found, Level::Warning), ["bank.loose", "publication"]);
    mend(&server, &found);
    let found = findings(&config).await;
    assert_eq!(subjects(&found, Level::Warning), ["bank.loose"]);

    // With that it can be followed.
    let mut reader = PostgresReader::new("test", &config).unwrap();
    let tables = tables(&mut reader, &config).await;
    let mut changes = PostgresChanges::open("test", &config, tables, MASK, None).await.unwrap();
    server.query("INSERT INTO bank.accounts VALUES (1, 'x')");
    let step = loop {
        match changes.next().await.unwrap() {
            Step::Reached(_) => {}
            step => break step,
        }
    };
    assert!(
        matches!(step, Step::Transaction(transaction) if transaction.changes[0].table.name.table == "accounts")
    );
}

#[tokio::test]
async fn what_is_too_much_is_said_too() {
    let server = Postgres::started_logical(&["max_replication_slots=1"]);
    server.query("SELECT pg_create_logical_replication_slot('other', 'test_decoding')");
    let found = findings(&config(&server, "schema: public")).await;
    assert_eq!(subjects(&found, Level::Error), ["max_replication_slots", "tables"]);
    assert_eq!(subjects(&found, Level::Warning), ["publication", "role"]);
    // Nobody is left to send the changes: they are polled.
    let silent = Postgres::started_logical(&["max_wal_senders=0"]);
    let found = findings(&config(&silent, "")).await;
    assert_eq!(subjects(&found, Level::Warning), ["max_wal_senders", "publication", "role"]);
    // Without a stream none of that matters.
    let found = findings(&config(&server, "{stream: false}".trim_matches(['{', '}']))).await;
    assert_eq!(subjects(&found, Level::Error), ["tables"]);
    let found = findings(&config(&server, "schema: none")).await;
    assert_eq!(subjects(&found, Level::Error), ["max_replication_slots", "schema"][1..]);
}

#[tokio::test]
async fn questions_can_only_read() {
    let server = Postgres::started();
    server.query("CREATE TABLE people (id integer PRIMARY KEY, pin text, photo bytea); INSERT INTO people VALUES (1, 'swordfish', '\\x00ff'), (2, NULL, NULL), (3, '', '')");
    let config = config(&server, "");
    let mut reader = PostgresReader::new("test", &config).unwrap();
    let second = Duration::from_secs(1);
    let rows = reader.query("SELECT id, photo FROM people ORDER BY id;", second, 2).await.unwrap();
    assert_eq!(rows, [vec![Cell::of("1"), Cell::of("\\x00ff")], vec![Cell::of("2"), Cell::Null]]);
    let rows = reader.query("WITH p AS (SELECT 1.50 + 1 AS s) SELECT s FROM p", second, 9).await.unwrap();
    assert_eq!(rows, [[Cell::of("2.50")]]);
    for sql in [
        "DELETE FROM people",
        "WITH gone AS (DELETE FROM people RETURNING 1) SELECT * FROM gone",
        "SELECT 1; DELETE FROM people",
        "SELECT 1; COMMIT; DELETE FROM people",
        "SELECT pg_sleep(9)",
        "SELECT nonsense",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT nextval('s')",
        "SELECT pin::integer FROM people",
    ] {
        let error = reader.query(sql, second, 9).await.unwrap_err();
        assert!(!error.to_string().contains("swordfish"), "{error}");
        assert!(matches!(error, DbError::Refused(_) | DbError::Again(_)), "{sql}");
    }
    assert_eq!(server.query("SELECT count(*) FROM people"), "3");
    assert_eq!(reader.query("SELECT 1", second, 9).await.unwrap(), [[Cell::of("1")]], "it goes on");
}
