//! Watchy's defects that only the whole program can have: what it writes to its log, and what others see of its command lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestry_testkit::{MariaDb, Postgres, Scenario, wait_for};
use serde_json::Value;

use crate::ATTESTRY;

const SOON: Duration = Duration::from_secs(90);

/// Begins every value of the watched tables, and nothing else.
const VALUE: &str = "quokka";

fn pending(scenario: &Scenario) -> Vec<Value> {
    let list = scenario.attestry(&["db", "violations", "--json"]).is(0).out;
    serde_json::from_str(&list).unwrap()
}

/// Everything that a log could be tempted to tell of a value: rules that quote it, rules and checks that fail on it, statements that were refused, changes
/// that nobody explains, definitions with defaults, a connection that is lost in between.
fn log_without_values<S>(
    mut server: S,
    url: &str,
    sql: impl Fn(&S, &str),
    behind: &str,
    restart: impl Fn(&mut S),
) {
    sql(
        &server,
        &format!(
            "CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, secret VARCHAR(40)); \
             INSERT INTO people VALUES (1, '{VALUE}-first', '{VALUE}-secret'), (2, '{VALUE}-second', NULL), (3, '{VALUE}-third', NULL)"
        ),
    );
    let mut scenario = Scenario::new(ATTESTRY).with("ATTESTRY_LOG_LEVEL", "trace");
    std::fs::write(
        scenario.dir().join("attestry.yaml"),
        format!(
            "audit:\n  bank:\n    url: {url}\n    reconcile: {{every: 1s}}
    tables:
      people:
        mask: [secret]
        on_update:
          quotes: '\"now it is \" + .updated.name'
          fails: 'if parse_int!(.updated.name) > 5 {{ \"large\" }}'
    checks:
      quoted: {{sql: 'SELECT name FROM people', every: 1s}}
      wrong: {{sql: 'SELECT CAST(name AS DECIMAL(9, 2)) FROM people', every: 1s}}
"
        ),
    )
    .unwrap();
    scenario.start();
    let checked = || pending(&scenario).iter().any(|one| one["rule"] == "quoted").then_some(());
    wait_for("the check finds something", SOON, checked);
    sql(
        &server,
        &format!("UPDATE people SET name = '{VALUE}-changed', secret = '{VALUE}-secret2' WHERE id = 1"),
    );
    sql(
        &server,
        &format!("DELETE FROM people WHERE id = 2; INSERT INTO people VALUES (4, '{VALUE}-new', NULL)"),
    );
    let rules = ["quotes", "fails:failed", "deleted"];
    wait_for("the rules are broken", SOON, || {
        let found = pending(&scenario);
        rules.iter().all(|rule| found.iter().any(|one| one["rule"] == *rule)).then_some(())
    });
    sql(&server, behind);
    wait_for("it is unexplained", SOON, || {
        pending(&scenario).iter().any(|one| one["rule"] == "unexplained").then_some(())
    });
    restart(&mut server);
    sql(&server, &format!("ALTER TABLE people ADD COLUMN more VARCHAR(40) DEFAULT '{VALUE}-default'"));
    wait_for("it is paused", SOON, || {
        pending(&scenario).iter().any(|one| one["rule"] == "schema").then_some(())
    });
    let log = scenario.log();
    assert!(log.contains("begins again after a while"), "the log says less than it should:\n{log}");
    let told: Vec<&str> = log.lines().filter(|line| line.contains(VALUE)).collect();
    assert!(told.is_empty(), "{told:#?}");
    scenario.finish();
}

#[test]
fn no_value_of_a_mariadb_is_in_the_log() {
    let server = MariaDb::started_with_log(&[]);
    server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
    let url = server.url();
    let behind = format!("SET sql_log_bin = 0; UPDATE people SET name = '{VALUE}-behind' WHERE id = 3");
    let restart = |server: &mut MariaDb| {
        server.kill();
        server.start();
    };
    log_without_values(server, &url, |server, sql| drop(server.query(sql)), &behind, restart);
}

#[test]
fn no_value_of_a_postgresql_is_in_the_log() {
    let server = Postgres::started_logical(&[]);
    let url = server.url();
    let behind = format!(
        "ALTER PUBLICATION attestry_bank DROP TABLE people; UPDATE people SET name = '{VALUE}-behind' WHERE id = 3; \
         ALTER PUBLICATION attestry_bank ADD TABLE people"
    );
    let restart = |server: &mut Postgres| {
        server.kill();
        server.start();
    };
    log_without_values(server, &url, |server, sql| drop(server.query(sql)), &behind, restart);
}

/// The command lines of everything that runs, for as long as a test does.
struct CommandLines {
    stop: Arc<AtomicBool>,
    looking: std::thread::JoinHandle<Vec<String>>,
}

impl CommandLines {
    /// Keeps those that hold a text.
    fn with(text: &'static str) -> CommandLines {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looking = std::thread::spawn(move || {
            let mut found = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                    let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    let line = String::from_utf8_lossy(&line).replace('\0', " ");
                    if line.contains(text) && !found.contains(&line) {
                        found.push(line);
                    }
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            found
        });
        CommandLines { stop, looking }
    }

    fn found(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.join().unwrap()
    }
}

#[test]
fn no_password_is_on_a_command_line() {
    const PASSWORD: &str = "wombat-4711-password";
    let seen = CommandLines::with(PASSWORD);
    let shows = CommandLines::with("db status --json");
    let maria = MariaDb::started_with_log(&[]);
    maria.query(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE USER auditor@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; \
         GRANT ALL ON test.* TO auditor@'127.0.0.1'; GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO auditor@'127.0.0.1'"
    ));
    let postgres = Postgres::started_logical(&[]);
    postgres.query(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE ROLE auditor SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
    ));
    let mut scenario = Scenario::new(ATTESTRY);
    let password = scenario.dir().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let password = password.display();
    std::fs::write(
        scenario.dir().join("attestry.yaml"),
        format!(
            "audit:\n  one:\n    url: {}\n    password: {{file: {password}}}\n  two:\n    url: {}\n    password: {{file: {password}}}\n",
            maria.url_for("auditor"),
            postgres.url_of("auditor")
        ),
    )
    .unwrap();
    scenario.attestry(&["db", "check"]).is(0);
    scenario.start();
    wait_for("both are watched", SOON, || {
        let status = scenario.attestry(&["db", "status", "--json"]).is(0).out;
        let status: Value = serde_json::from_str(&status).unwrap();
        (0..2).all(|at| status[at]["state"] == "following").then_some(())
    });
    assert!(!scenario.log().contains(PASSWORD));
    assert!(!shows.found().is_empty(), "whoever looks sees command lines");
    assert_eq!(seen.found(), Vec::<String>::new());
    scenario.finish();
}
