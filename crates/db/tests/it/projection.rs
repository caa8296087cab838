//! The copy in a schema of the watched server: complete, exact, and there again whatever happens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestry_db::copy::{Copy, Filter, Signed};
use attestry_db::mysql::MysqlReader;
use attestry_db::postgres::PostgresReader;
use attestry_db::watch::{
    Database, Handle, Mysql, Options, Outlet, Patience, Postgres, Stopped, Watch, WatchError,
};
use attestry_db::{Level, Reader as _, WatchConfig};
use attestry_event::{Event, SystemClock};
use attestry_testkit::{MariaDb, Postgres as PostgresServer};

use attestry_testkit::values::{mariadb as hostile, postgres as values};

/// How long anything may take.
const SOON: Duration = Duration::from_secs(90);

/// Takes events and forgets them.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<BTreeMap<String, Event>>>);

impl Outlet for Taken {
    async fn send(&self, events: Vec<Event>) -> Result<(), Stopped> {
        let mut taken = self.0.lock().unwrap();
        taken.extend(events.into_iter().map(|event| (event.event_id.clone().unwrap(), event)));
        Ok(())
    }
}

struct Scene<'a, D> {
    database: D,
    config: WatchConfig,
    path: PathBuf,
    query: &'a dyn Fn(&str) -> String,
    _dir: tempfile::TempDir,
}

type Running = tokio::task::JoinHandle<Result<(), WatchError>>;

const CONFIG: &str =
    "sleep: 100ms\nreconcile: {every: 200ms, rows_per_second: 1000000}\ncopy: {schema: audit}";

impl<'a, D: Database + Clone> Scene<'a, D> {
    fn new(
        database: impl FnOnce(WatchConfig) -> D,
        url: &str,
        more: &str,
        query: &'a dyn Fn(&str) -> String,
    ) -> Scene<'a, D> {
        let config: WatchConfig = serde_saphyr::from_str(&format!("url: {url}\n{CONFIG}\n{more}")).unwrap();
        assert_eq!(config.check("bank"), []);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy");
        Scene { database: database(config.clone()), config, path, query, _dir: dir }
    }

    fn start(&self) -> Running {
        self.start_with(Taken::default()).0
    }

    fn start_with(&self, taken: Taken) -> (Running, Handle) {
        let short = Duration::from_millis(100);
        let options = Options {
            name: "bank".to_owned(),
            config: self.config.clone(),
            copy: self.path.clone(),
            clock: Arc::new(SystemClock),
            patience: Patience { again: short, over: short, ..Patience::default() },
        };
        let (watch, handle) = Watch::open(self.database.clone(), taken, options).unwrap();
        (tokio::spawn(watch.run(std::future::pending())), handle)
    }

    /// Waits until a statement gives this; until then it may fail, since its tables may not be there yet.
    async fn until(&self, running: &Running, expected: &str, sql: &str) {
        let begun = Instant::now();
        let guarded = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'audit' AND table_name = '_rule_violations'";
        loop {
            assert!(!running.is_finished(), "the watch ended");
            let there = (self.query)(guarded) == "1" && self.is_made();
            // They may be made anew just now.
            let ask = std::panic::AssertUnwindSafe(|| (self.query)(sql));
            let found = if there { std::panic::catch_unwind(ask).unwrap_or_default() } else { String::new() };
            if found == expected {
                return;
            }
            assert!(begun.elapsed() < SOON, "{sql}: found {found}, expected {expected}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the tables of every watched table are there.
    fn is_made(&self) -> bool {
        let made = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'audit' AND table_name NOT IN ('_attestry', '_rule_violations')";
        let watched = Copy::open_to_read(&self.path).unwrap().watched().unwrap();
        (self.query)(made) == (watched.len() * 2).to_string()
    }

    /// Rows of the copy that are not as in the database, by columns that both have, and the other way round, and how many there are.
    async fn same(&self, running: &Running, table: &str, schema: &str, columns: &[String], text: bool) {
        let read = |prefix: &str| -> String {
            let shown = |column: &String| match text {
                // A cast to text would leave out the blanks of CHAR(n), which are shown as they are where the type is somebody's own.
                true => format!(
                    "CASE WHEN num_nulls({prefix}.{column}) = 0 THEN format('%s', {prefix}.{column}) END"
                ),
                false => format!("{prefix}.{column}"),
            };
            columns.iter().map(shown).collect::<Vec<_>>().join(", ")
        };
        let equal = match text {
            true => format!("ROW({}) IS NOT DISTINCT FROM ROW({})", read("a"), read("t")),
            false => columns
                .iter()
                .map(|column| format!("t.{column} <=> a.{column} AND HEX(t.{column}) <=> HEX(a.{column})"))
                .collect::<Vec<_>>()
                .join(" AND "),
        };
        let sql = format!(
            "SELECT (SELECT count(*) FROM {schema}.{table} t) - (SELECT count(*) FROM audit.{table} WHERE _deleted_at IS NULL), \
             (SELECT count(*) FROM {schema}.{table} t WHERE NOT EXISTS (SELECT 1 FROM audit.{table} a WHERE a.id = t.id AND a._deleted_at IS NULL AND {equal}))"
        );
        let expected = if text { "0|0" } else { "0\t0" };
        self.until(running, expected, &sql).await;
    }
}

async fn killed(running: Running) {
    running.abort();
    let _ = running.await;
}

/// What is done to both servers: `watched` is the schema's name.
async fn shows<D: Database + Clone>(scene: &Scene<'_, D>, watched: &str, text: bool) {
    let query = scene.query;
    let columns: Vec<String> = ["id", "name", "balance", "note"].map(str::to_owned).to_vec();
    let rows = |from: u32, to: u32| {
        (from..to).map(|id| format!("({id}, 'name {id}', {id}.25, NULL)")).collect::<Vec<_>>().join(", ")
    };
    query(
        "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(50) NOT NULL, balance decimal(10,2), note text)",
    );
    query(&format!("INSERT INTO accounts VALUES {}", rows(0, 700)));
    let running = scene.start();
    scene.same(&running, "accounts", watched, &columns, text).await;
    scene.until(&running, "700", "SELECT count(*) FROM audit._v_accounts WHERE _row_version = 1").await;

    // Changes, a deletion, and a key that is used again.
    query("UPDATE accounts SET balance = balance + 1, note = 'ä ''x'' ' WHERE id < 20");
    query("DELETE FROM accounts WHERE id IN (5, 6)");
    query("INSERT INTO accounts VALUES (5, 'again', 1, '')");
    scene.same(&running, "accounts", watched, &columns, text).await;
    let five = "SELECT _last_version, _has_delta, _has_violation, _deleted_at IS NULL FROM audit.accounts WHERE id = 5";
    scene.until(&running, if text { "4|0|1|t" } else { "4\t0\t1\t1" }, five).await;
    scene.until(&running, "3", "SELECT count(*) FROM audit._v_accounts WHERE id = 5").await;
    scene
        .until(&running, "1", "SELECT count(*) FROM audit.accounts WHERE id = 6 AND _deleted_at > 1700000000")
        .await;
    // What Watchy's report reads.
    let pending = "SELECT count(*) FROM audit._rule_violations WHERE state = 'PENDING'";
    // Two fields of twenty rows, and two deletions.
    scene.until(&running, "42", pending).await;
    scene
        .until(
            &running,
            "deleted",
            "SELECT name FROM audit._rule_violations WHERE audited_table = 'accounts' AND field IS NULL AND pkey LIKE '%6%' AND stamp > 1700000000 AND item LIKE '%name 6%'",
        )
        .await;

    // A sign-off by another process, while nobody runs.
    killed(running).await;
    let mut copy = Copy::open(&scene.path).unwrap();
    let of_six = copy.violations(&Filter { pending: Some(true), ..Filter::default() }, 100).unwrap();
    let of_six: Vec<String> = of_six
        .into_iter()
        .filter(|violation| violation.key[0].text() == Some("6"))
        .map(|violation| violation.fingerprint)
        .collect();
    let signed = Signed { by: "ada".to_owned(), from: "-".to_owned(), why: "fine".to_owned(), at: 5_000_000 };
    copy.sign_off(&of_six, &signed).unwrap();
    drop(copy);
    query(&format!("INSERT INTO accounts VALUES {}", rows(1000, 1900)));
    let running = scene.start();
    scene.until(&running, "39", pending).await;
    scene
        .until(
            &running,
            "3",
            "SELECT count(*) FROM audit._rule_violations WHERE state = 'SIGNED-OFF' AND signed_off_at = 5",
        )
        .await;
    scene.until(&running, "0", "SELECT _has_violation FROM audit.accounts WHERE id = 6").await;

    // Killed again and again while it writes, it catches up.
    let mut running = running;
    for round in 0..6 {
        query(&format!("UPDATE accounts SET balance = balance + 0.01 WHERE id % 6 = {round}"));
        query(&format!("INSERT INTO accounts VALUES {}", rows(2000 + round * 300, 2300 + round * 300)));
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 60)).await;
        killed(running).await;
        running = scene.start();
    }
    scene.same(&running, "accounts", watched, &columns, text).await;
    let versions = "SELECT count(*) FROM audit._v_accounts v JOIN audit.accounts a ON a._row_id = v._row_id WHERE a._last_version < v._row_version";
    scene.until(&running, "0", versions).await;

    // A table is dropped there, and then all of it.
    query("DROP TABLE audit._v_accounts");
    query("UPDATE accounts SET balance = 0 WHERE id = 1");
    scene
        .until(
            &running,
            "0.00",
            "SELECT balance FROM audit._v_accounts WHERE id = 1 ORDER BY _row_version DESC LIMIT 1",
        )
        .await;
    scene
        .until(
            &running,
            "1.25",
            "SELECT balance FROM audit._v_accounts WHERE id = 1 ORDER BY _row_version LIMIT 1",
        )
        .await;
    killed(running).await;
    query(if text { "DROP SCHEMA audit CASCADE" } else { "DROP SCHEMA audit" });
    let running = scene.start();
    scene.same(&running, "accounts", watched, &columns, text).await;
    killed(running).await;
}

/// The columns of a table that the server does not compute.
fn columns(query: &dyn Fn(&str) -> String, sql: &str) -> Vec<String> {
    query(sql).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_shows_the_copy() {
    let server = MariaDb::started_with_log(&[]);
    let query = |sql: &str| server.query(sql);
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    let url = server.url_for("root");
    let scene = Scene::new(database, &url, "tables: {accounts: {}, t: {allow: all_updates}}", &query);
    shows(&scene, "test", false).await;

    // Every type.
    let _ = query(&hostile::create());
    for row in 0..hostile::most() {
        let _ = query(&format!("{}{}", hostile::SESSION, hostile::insert(i64::try_from(row).unwrap(), row)));
    }
    let running = scene.start();
    let names =
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'test' AND table_name = 't'";
    scene.same(&running, "t", "test", &columns(&query, names), false).await;
    killed(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_shows_the_copy() {
    let server = PostgresServer::started_logical(&[]);
    let query = |sql: &str| server.query(sql);
    let database = |config| Postgres { watch: "bank".to_owned(), config };
    let scene =
        Scene::new(database, &server.url(), "tables: {accounts: {}, every: {allow: all_updates}}", &query);
    shows(&scene, "public", true).await;

    let _ = query(&values::schema());
    for at in 0..30_u8 {
        let choices: Vec<u8> = (0..44).map(|c: u8| at.wrapping_add(c.wrapping_mul(at / 12))).collect();
        let _ = query(&format!("INSERT INTO every VALUES {}", values::row(i64::from(at), &choices)));
    }
    let running = scene.start();
    let names = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'every' AND is_generated = 'NEVER'";
    scene.same(&running, "every", "public", &columns(&query, names), true).await;
    let typed = "SELECT count(*) FROM information_schema.columns a JOIN information_schema.columns t USING (table_name, column_name) WHERE a.table_schema = 'audit' AND t.table_schema = 'public' AND a.data_type <> t.data_type AND t.data_type <> 'USER-DEFINED' AND t.domain_name IS NULL";
    scene.until(&running, "0", typed).await;
    killed(running).await;
}

/// Without versions a row with a violation is not overwritten, and a copy that begins empty shows nothing of before.
async fn keeps_evidence<D: Database + Clone>(scene: &Scene<'_, D>, again: &Scene<'_, D>, text: bool) {
    let query = scene.query;
    query("CREATE TABLE accounts (id int PRIMARY KEY, pin varchar(50), balance int)");
    query("INSERT INTO accounts VALUES (1, 'swordfish', 10), (2, 'herring', 20)");
    let running = scene.start();
    scene.until(&running, "2", "SELECT count(*) FROM audit.accounts").await;
    query("UPDATE accounts SET balance = 1000 WHERE id = 1");
    let one = "SELECT balance, _has_delta, _has_violation FROM audit.accounts WHERE id = 1";
    scene.until(&running, if text { "10|1|1" } else { "10\t1\t1" }, one).await;
    // What is masked is not there, and what is not versioned has no versions.
    scene.until(&running, "0", "SELECT count(*) FROM audit._v_accounts").await;
    let length = if text {
        "SELECT length(pin) FROM audit.accounts WHERE id = 1"
    } else {
        "SELECT LENGTH(pin) FROM audit.accounts WHERE id = 1"
    };
    scene.until(&running, "32", length).await;
    scene
        .until(&running, "0", "SELECT count(*) FROM audit._rule_violations WHERE item LIKE '%swordfish%'")
        .await;
    let mut copy = Copy::open(&scene.path).unwrap();
    let all = copy.violations(&Filter::default(), 10).unwrap();
    let all: Vec<String> = all.into_iter().map(|violation| violation.fingerprint).collect();
    let signed = Signed { by: "ada".to_owned(), from: "-".to_owned(), why: "fine".to_owned(), at: 0 };
    copy.sign_off(&all, &signed).unwrap();
    scene.until(&running, if text { "1000|0|0" } else { "1000\t0\t0" }, one).await;
    killed(running).await;

    query("DELETE FROM accounts WHERE id = 2");
    query("UPDATE accounts SET balance = 2000 WHERE id = 1");
    let again = Scene {
        path: scene.path.clone(),
        config: again.config.clone(),
        database: again.database.clone(),
        query,
        _dir: tempfile::tempdir().unwrap(),
    };
    let running = again.start();
    again.until(&running, if text { "2000|0|0" } else { "2000\t0\t0" }, one).await;
    again.until(&running, "1", "SELECT count(*) FROM audit.accounts").await;
    killed(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_kept_and_a_copy_may_begin_empty() {
    let more = "tables: {accounts: {versions: false, mask: [pin]}}";
    let empty = format!("{more}\nstart_empty: true");
    let server = MariaDb::started_with_log(&[]);
    let query = |sql: &str| server.query(sql);
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    let url = server.url_for("root");
    let (scene, again) =
        (Scene::new(database, &url, more, &query), Scene::new(database, &url, &empty, &query));
    keeps_evidence(&scene, &again, false).await;

    let server = PostgresServer::started_logical(&[]);
    let query = |sql: &str| server.query(sql);
    let database = |config| Postgres { watch: "bank".to_owned(), config };
    let url = server.url();
    let (scene, again) =
        (Scene::new(database, &url, more, &query), Scene::new(database, &url, &empty, &query));
    keeps_evidence(&scene, &again, true).await;
}

impl<D: Database + Clone> Scene<'_, D> {
    /// Signs off all that is pending.
    fn sign_off(&self) {
        let mut copy = Copy::open(&self.path).unwrap();
        let all = copy.violations(&Filter { pending: Some(true), ..Filter::default() }, 100).unwrap();
        let all: Vec<String> = all.into_iter().map(|violation| violation.fingerprint).collect();
        let signed = Signed { by: "ada".to_owned(), from: "-".to_owned(), why: "fine".to_owned(), at: 0 };
        copy.sign_off(&all, &signed).unwrap();
    }
}

/// Tables that are gone, what is about no table, and names that the server takes no `_v_` before.
async fn shows_all_of_it<D: Database + Clone>(scene: &Scene<'_, D>) {
    let query = scene.query;
    let long = "l".repeat(63);
    for table in ["accounts", "old", "plain", &long] {
        query(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, name varchar(50)); INSERT INTO {table} VALUES (1, 'a'), (2, 'b')"
        ));
    }
    let running = scene.start();
    for table in ["accounts", "old", "plain", &long] {
        scene.until(&running, "2", &format!("SELECT count(*) FROM audit.{table}")).await;
    }
    let long_versions = query(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'audit' AND table_name LIKE '%v_l%'",
    );
    scene.until(&running, "2", &format!("SELECT count(*) FROM audit.{long_versions}")).await;
    let of = |table: &str, state: &str| {
        format!(
            "SELECT count(*) FROM audit._rule_violations WHERE audited_table = '{table}' AND state = '{state}'"
        )
    };
    scene.until(&running, "1", &of("sum", "PENDING")).await;

    killed(running).await;
    query("DROP TABLE old; DROP TABLE plain");
    query(&format!("UPDATE {long} SET name = 'c' WHERE id = 1"));
    let running = scene.start();
    scene.until(&running, "3", &format!("SELECT count(*) FROM audit.{long_versions}")).await;
    for table in ["old", "plain"] {
        scene.until(&running, "1", &of(table, "PENDING")).await;
    }
    killed(running).await;
    scene.sign_off();
    let running = scene.start();
    for table in ["old", "plain"] {
        let gone = format!("SELECT count(*) FROM audit.{table} WHERE _deleted_at > 1700000000");
        scene.until(&running, "2", &gone).await;
        scene.until(&running, "1", &of(table, "SIGNED-OFF")).await;
    }
    scene.until(&running, "1", &of("sum", "SIGNED-OFF")).await;

    // A schema that is made anew has the history of what is gone, as far as it is kept.
    query("DELETE FROM audit._attestry WHERE name = 'copy'");
    killed(running).await;
    let running = scene.start();
    scene.until(&running, "2", "SELECT count(*) FROM audit.old WHERE _deleted_at > 1700000000").await;
    scene.until(&running, "0", "SELECT count(*) FROM audit.plain").await;
    scene.until(&running, "1", &of("sum", "SIGNED-OFF")).await;
    killed(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_and_what_is_about_no_table_is_shown() {
    let more = "tables: {accounts: {}, old: {}, plain: {versions: false}, 'l*': {allow: all_updates}}\nchecks: {sum: {sql: SELECT 1, every: 1h}}";
    let server = MariaDb::started_with_log(&[]);
    let query = |sql: &str| server.query(sql);
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    shows_all_of_it(&Scene::new(database, &server.url_for("root"), more, &query)).await;

    let server = PostgresServer::started_logical(&[]);
    let query = |sql: &str| server.query(sql);
    let database = |config| Postgres { watch: "bank".to_owned(), config };
    shows_all_of_it(&Scene::new(database, &server.url(), more, &query)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_were_made_by_half_are_made_again() {
    let server = MariaDb::started_with_log(&[]);
    let query = |sql: &str| server.query(sql);
    let auditor = "auditor@'127.0.0.1'";
    query(&format!(
        "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(50)); INSERT INTO accounts VALUES (1, 'a'), (2, 'b'); CREATE DATABASE audit; \
         CREATE USER {auditor}; GRANT SELECT ON test.* TO {auditor}; GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO {auditor}; \
         GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX ON audit.* TO {auditor}"
    ));
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    let scene = Scene::new(database, &server.url_for("auditor"), "tables: {accounts: {}}", &query);
    let running = scene.start();
    let versions = "SELECT count(*) FROM audit._v_accounts";
    scene.until(&running, "2", versions).await;
    killed(running).await;

    // It makes both tables again and ends before their rows are noted: their indexes cannot be made.
    query(&format!("REVOKE INDEX ON audit.* FROM {auditor}; DROP TABLE audit._v_accounts"));
    let running = scene.start();
    scene.until(&running, "0", versions).await;
    query(&format!("GRANT INDEX ON audit.* TO {auditor}"));
    scene.until(&running, "2", versions).await;
    scene.until(&running, "2", "SELECT count(*) FROM audit.accounts").await;
    killed(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_the_server_refuses_is_told_and_keeps_no_other() {
    let server = MariaDb::started_with_log(&["--max-allowed-packet=2M"]);
    let query = |sql: &str| server.query(sql);
    // With what stands beside it there a row of `big` is too long, and one of `huge` as a statement.
    query(
        "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(50)); INSERT INTO accounts VALUES (1, 'a'), (2, 'b'); \
         CREATE TABLE big (id int PRIMARY KEY, v varchar(65500) CHARACTER SET latin1); INSERT INTO big VALUES (1, 'a'); \
         CREATE TABLE huge (id int PRIMARY KEY, v longblob); INSERT INTO huge VALUES (1, REPEAT('x', 1500000))",
    );
    let database = |config| Mysql { watch: "bank".to_owned(), config };
    let scene =
        Scene::new(database, &server.url_for("root"), "tables: {accounts: {}, big: {}, huge: {}}", &query);
    let taken = Taken::default();
    let (running, handle) = scene.start_with(taken.clone());
    let begun = Instant::now();
    let why = loop {
        let why = handle.status().projection.and_then(|projection| projection.why).unwrap_or_default();
        if why.contains("all other tables") && why.contains("huge") {
            break why;
        }
        assert!(begun.elapsed() < SOON && !running.is_finished(), "{why}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(why.contains("big: Row size too large") && why.contains("max_allowed_packet"), "{why}");
    query("UPDATE accounts SET name = 'c' WHERE id = 1");
    while query("SELECT count(*) FROM audit._v_accounts") != "3" {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = loop {
        let taken: Vec<Event> = taken.0.lock().unwrap().values().cloned().collect();
        let refused: Vec<Event> =
            taken.into_iter().filter(|event| event.event_name == "projection.refuse").collect();
        if !refused.is_empty() {
            break refused;
        }
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].message.as_ref().unwrap().contains("big: Row size too large"), "{refused:?}");

    // After a while they are tried again.
    query("SET GLOBAL max_allowed_packet = 67108864");
    let begun = Instant::now();
    let shown =
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'audit' AND table_name = 'huge'";
    while query(shown) != "1" || query("SELECT length(v) FROM audit.huge") != "1500000" {
        assert!(begun.elapsed() < SOON && !running.is_finished());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let why = handle.status().projection.and_then(|projection| projection.why).unwrap_or_default();
    assert!(why.contains("big: ") && !why.contains("huge: "), "{why}");
    killed(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_takes_is_said() {
    let config = |url: &str| -> WatchConfig {
        serde_saphyr::from_str(&format!("url: {url}\ncopy: {{schema: audit}}")).unwrap()
    };
    let of_schema = |found: Vec<attestry_db::Finding>| {
        let mut found: Vec<_> = found.into_iter().filter(|one| one.subject == "schema audit").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    };
    let server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE a (id int PRIMARY KEY); CREATE USER auditor@'127.0.0.1'; GRANT SELECT ON test.* TO auditor@'127.0.0.1'; GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO auditor@'127.0.0.1'");
    let auditor = config(&server.url_for("auditor"));
    let find = async || of_schema(MysqlReader::new(&auditor).unwrap().check(&auditor).await.unwrap());
    let found = find().await;
    assert_eq!(found.level, Level::Warning, "{found:?}");
    server.query("CREATE DATABASE audit; GRANT SELECT ON audit.* TO auditor@'127.0.0.1'");
    let found = find().await;
    assert_eq!(found.level, Level::Error, "{found:?}");
    server.query(&found.remedy.unwrap());
    let found = MysqlReader::new(&auditor).unwrap().check(&auditor).await.unwrap();
    assert!(!found.iter().any(|one| one.message.contains("more than an auditor needs")), "{found:?}");
    assert_eq!(of_schema(found).level, Level::Note);
    server.query("CREATE TABLE audit.somebodys (id int)");
    assert_eq!(find().await.level, Level::Error);

    let server = PostgresServer::started_logical(&[]);
    server.query("CREATE TABLE a (id int PRIMARY KEY); CREATE ROLE auditor LOGIN REPLICATION; GRANT SELECT ON a TO auditor; CREATE SCHEMA audit");
    let auditor = config(&server.url_of("auditor"));
    let find =
        async || of_schema(PostgresReader::new("bank", &auditor).unwrap().check(&auditor).await.unwrap());
    assert_eq!(find().await.level, Level::Error);
    server.query("DROP SCHEMA audit");
    let found = find().await;
    assert_eq!(found.level, Level::Warning, "{found:?}");
    server.query(&found.remedy.unwrap());
    let found = find().await;
    assert_eq!(found.level, Level::Note, "{found:?}");
}
