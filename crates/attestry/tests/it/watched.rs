//! Databases that are watched, by the real program: what changes, what breaks a rule, what somebody changes behind the stream, and signing off.

use std::time::Duration;

use attestry_testkit::{MariaDb, Postgres, Scenario, wait_for};
use serde_json::Value;

use crate::ATTESTRY;

/// Three looks over at least three seconds, a pass in between, and a machine that does other things.
const SOON: Duration = Duration::from_secs(90);

const TABLES: &str = "
    reconcile: {every: 1s}
    tables:
      accounts:
        mask: [secret]
        fields:
          balance: {on_update: {small: 'if !decimal_lt!(.updated.balance, \"100.00\") { \"too much\" }'}}
";

const SCHEMA: &str = "CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(40) NOT NULL, secret VARCHAR(40), balance DECIMAL(12, 2) NOT NULL);
    INSERT INTO accounts VALUES (1, 'Ada', 'swordfish', 10.00), (2, 'Ben', NULL, 20.00), (3, 'Cleo', NULL, 30.00);";

fn json(scenario: &Scenario, arguments: &[&str]) -> Value {
    serde_json::from_str(&scenario.attestry(arguments).is(0).out).unwrap()
}

#[track_caller]
fn wait_until_watched(scenario: &Scenario) {
    wait_for("the table is watched", SOON, || {
        let status = json(scenario, &["db", "status", "--json"]);
        (status[0]["tables"][0]["state"] == "watched" && status[0]["state"] == "following").then_some(())
    });
}

/// The pending violations, once there is one of this rule.
#[track_caller]
fn violation(scenario: &Scenario, rule: &str) -> Value {
    wait_for(rule, SOON, || {
        let list = json(scenario, &["db", "violations", "--json"]);
        list.as_array().unwrap().iter().find(|violation| violation["rule"] == rule).cloned()
    })
}

/// A row that changes as it may, one that breaks a rule, a masked value; the program killed in between; then what `behind` does without the stream.
fn watch(url: &str, sql: impl Fn(&str) -> String, behind: &str) {
    sql(SCHEMA);
    let mut scenario = Scenario::new(ATTESTRY);
    let config = format!("audit:\n  bank:\n    url: {url}\n{TABLES}");
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.attestry(&["db", "check"]).is(0).says("by id, masked: secret");
    scenario.start();
    wait_until_watched(&scenario);

    sql(
        "UPDATE accounts SET balance = 99.99 WHERE id = 1; INSERT INTO accounts VALUES (4, 'Dan', 'swordfish4', 1.00);",
    );
    sql(
        "UPDATE accounts SET balance = 100.00 WHERE id = 2; UPDATE accounts SET secret = 'swordfish5' WHERE id = 3;",
    );
    let small = violation(&scenario, "small");
    assert_eq!((&small["description"], &small["key"][0]["value"]), (&"too much".into(), &"2".into()));
    assert_eq!(violation(&scenario, "different")["field"], "secret");

    // What happens while nobody looks is found afterwards, once.
    scenario.kill();
    sql("UPDATE accounts SET owner = 'Eve' WHERE id = 1");
    scenario.start();
    wait_for("the change of an owner", SOON, || {
        let list = json(&scenario, &["db", "violations", "--json"]);
        list.as_array().unwrap().iter().find(|violation| violation["field"] == "owner").cloned()
    });
    wait_until_watched(&scenario);
    sql(behind);
    let unexplained = violation(&scenario, "unexplained");
    assert_eq!(unexplained["key"][0]["value"], "4", "{unexplained}");

    let fingerprint = unexplained["fingerprint"].as_str().unwrap();
    let shown = json(&scenario, &["db", "show", fingerprint, "--json"]);
    let versions = shown["versions"].as_array().unwrap();
    assert_eq!((&versions[0]["operation"], &versions[0]["unexplained"]), (&"delete".into(), &true.into()));
    assert_eq!(versions.last().unwrap()["operation"], "insert");
    scenario.attestry(&["db", "sign-off", fingerprint, "--reason", "ticket 4711"]).is(0);
    scenario.attestry(&["db", "sign-off", fingerprint, "--reason", "again"]).is(1).says("signed off before");
    let pending = json(&scenario, &["db", "violations", "--json"]);
    assert!(pending.as_array().unwrap().iter().all(|one| one["fingerprint"] != *fingerprint), "{pending}");

    // Each change is one event, and so is each step of a violation; nothing shows a masked value.
    for (query, count) in [
        ("event_name:row.insert", "1"),
        ("event_name:row.update", "4"),
        ("event_name:row.delete", "1"),
        ("event_name:violation.open", "4"),
        ("event_name:violation.sign_off username:*", "1"),
    ] {
        assert_eq!(scenario.attestry(&["count", query]).is(0).out.trim(), count, "{query}");
    }
    assert_eq!(scenario.attestry(&["count", "swordfish*"]).is(0).out.trim(), "0");
    let copy = scenario.data().join("databases/bank.sqlite");
    let bytes = std::fs::read(&copy).unwrap();
    assert!(!bytes.windows(9).any(|text| text == b"swordfish"), "the copy holds a masked value");
    scenario.finish();
}

#[test]
fn mariadb_row_by_row() {
    let server = MariaDb::started_with_log(&[]);
    server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
    watch(
        &server.url(),
        |sql| server.query(sql),
        "SET SESSION sql_log_bin = 0; DELETE FROM accounts WHERE id = 4",
    );
}

#[test]
fn postgresql_row_by_row() {
    let server = Postgres::started_logical(&[]);
    // Whoever owns the publication can take a table out of it for a moment.
    let behind = "ALTER PUBLICATION attestry_bank DROP TABLE accounts; DELETE FROM accounts WHERE id = 4;
        ALTER PUBLICATION attestry_bank ADD TABLE accounts";
    watch(&server.url(), |sql| server.query(sql), behind);
}

/// Everything else works, it is said why this does not, and once it can be opened it is.
#[test]
fn a_copy_that_cannot_be_opened_stops_nothing_else() {
    let server = MariaDb::started_with_log(&[]);
    server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
    server.query(SCHEMA);
    let mut scenario = Scenario::new(ATTESTRY);
    let copy = scenario.dir().join("copies/bank.sqlite");
    std::fs::create_dir_all(&copy).unwrap();
    let config =
        format!("audit:\n  bank:\n    url: {}\n    copy: {}\n{TABLES}", server.url(), copy.display());
    std::fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let status = wait_for("it is refused", SOON, || {
        let status = json(&scenario, &["db", "status", "--json"]);
        (status[0]["state"] == "refused").then(|| status[0].clone())
    });
    assert!(status["why"].as_str().unwrap().contains("could not create"), "{status}");
    std::fs::remove_dir(&copy).unwrap();
    wait_until_watched(&scenario);
    scenario.finish();
}

/// The script that people are shown finds what it says it finds.
#[test]
fn the_demonstration_finds_all_three() {
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/demo-db");
    let output = std::process::Command::new(script).arg(ATTESTRY).arg("--once").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let told = out.split_once("What Attestry says").unwrap().1;
    for found in ["books_balance", "unexplained", "9000.00"] {
        assert!(told.contains(found), "{found}: {out}");
    }
}
