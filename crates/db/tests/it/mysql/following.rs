//! The binary log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use attestry_db::mysql::{MysqlChanges, MysqlReader};
use attestry_db::{
    Cell, Changes as _, DbError, Key, Op, Position, Reader as _, Sent, Step, Table, Transaction, WatchConfig,
    chunk_digest, row_hash,
};
use attestry_testkit::MariaDb;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{MASK, config, hostile, table, tables, watched};

/// The rows that a table has, as the stream says.
#[derive(Default, PartialEq, Debug)]
struct Model {
    rows: BTreeMap<Vec<u8>, Vec<Cell>>,
}

fn bytes_of(key: &Key) -> Vec<u8> {
    attestry_db::encode_row(key)
}

impl Model {
    fn of(table: &Table, rows: Vec<Vec<Cell>>) -> Model {
        Model { rows: rows.into_iter().map(|row| (bytes_of(&table.key_of(&row)), row)).collect() }
    }

    fn apply(&mut self, table: &Table, op: &Op) {
        let cells = |new: &[Sent], old: Option<&Vec<Cell>>| -> Vec<Cell> {
            let cell = |(at, sent): (usize, &Sent)| match sent {
                Sent::Cell(cell) => cell.clone(),
                Sent::AsBefore => old.unwrap()[at].clone(),
            };
            new.iter().enumerate().map(cell).collect()
        };
        match op {
            Op::Insert { new } => {
                let row = cells(new, None);
                assert!(self.rows.insert(bytes_of(&table.key_of(&row)), row).is_none());
            }
            Op::Update { key, before, new } => {
                let old = self.rows.remove(&bytes_of(key)).unwrap();
                assert!(before.as_ref().is_none_or(|before| *before == old), "{before:?} {old:?}");
                let row = cells(new, Some(&old));
                assert!(self.rows.insert(bytes_of(&table.key_of(&row)), row).is_none());
            }
            Op::Delete { key, before } => {
                let old = self.rows.remove(&bytes_of(key)).unwrap();
                assert!(before.as_ref().is_none_or(|before| *before == old), "{before:?} {old:?}");
            }
            Op::Truncate => self.rows.clear(),
        }
    }

    fn digest(&self) -> [u8; 32] {
        chunk_digest(&mut self.rows.values().map(|row| row_hash(row)).collect::<Vec<_>>())
    }
}

struct Watched {
    config: WatchConfig,
    reader: MysqlReader,
    tables: Vec<Arc<Table>>,
}

impl Watched {
    async fn of(config: WatchConfig) -> Watched {
        let reader = MysqlReader::new(&config).unwrap();
        let tables = tables(&config).await;
        Watched { config, reader, tables }
    }

    async fn open(&self, from: Option<&Position>) -> Result<MysqlChanges, DbError> {
        MysqlChanges::open(&self.config, "bank", self.tables.clone(), &MASK, from, &[], None).await
    }

    /// Everything up to where the log ends now.
    async fn steps(&mut self, changes: &mut MysqlChanges) -> Vec<Step> {
        let end = self.reader.position().await.unwrap();
        let mut steps = Vec::new();
        loop {
            let step = changes.next().await.unwrap();
            let reached = matches!(&step, Step::Reached(position) if *position >= end);
            if !matches!(step, Step::Reached(_)) {
                steps.push(step);
            }
            if reached {
                return steps;
            }
        }
    }

    async fn transactions(&mut self, changes: &mut MysqlChanges) -> Vec<Transaction> {
        let steps = self.steps(changes).await.into_iter();
        steps
            .filter_map(|step| match step {
                Step::Transaction(transaction)
                    if !transaction.changes.is_empty() || transaction.first > 0 =>
                {
                    Some(transaction)
                }
                Step::Transaction(_) | Step::Prepared { .. } => None,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    async fn rows(&mut self, table: &Arc<Table>) -> Vec<Vec<Cell>> {
        self.reader.rows_after(table, &MASK, None, 1_000_000).await.unwrap()
    }
}

fn position_of(step: &Step) -> Option<Position> {
    match step {
        Step::Transaction(transaction) => transaction.ends.clone(),
        Step::Schema { position, .. }
        | Step::Gap { position, .. }
        | Step::Prepared { position, .. }
        | Step::Reached(position) => Some(position.clone()),
    }
}

#[tokio::test]
async fn the_stream_the_rows_and_the_digest_agree_whatever_the_values() {
    let server = MariaDb::started_with_log(&[]);
    server.query(&(hostile::create() + "; CREATE TABLE other (id INT PRIMARY KEY)"));
    let mask = format!(
        "tables: {{t: {{mask: [{}, {}, computed]}}}}",
        hostile::column("float"),
        hostile::column("text")
    );
    for (seed, more) in [(1, "tables: {t: {}}"), (2, mask.as_str()), (3, "tables: {t: {}}")] {
        server.query("DELETE FROM t");
        let mut watched = Watched::of(watched(&server, more)).await;
        let table = Arc::clone(&watched.tables[0]);
        let mut changes = watched.open(None).await.unwrap();
        let mut random = StdRng::seed_from_u64(seed);
        let mut statements = hostile::SESSION.to_owned();
        for id in 0..hostile::most() {
            statements += &hostile::insert(i64::try_from(id).unwrap(), id);
        }
        for _ in 0..60 {
            statements += "BEGIN;\n";
            for _ in 0..random.random_range(1..6) {
                let id = random.random_range(0..25);
                let at = random.random_range(0..hostile::COLUMNS.len());
                let value = hostile::value(at, random.random_range(0..20));
                statements += &match random.random_range(0..12) {
                    0 => format!("DELETE FROM t WHERE id = {id};\n"),
                    1 => format!("UPDATE IGNORE t SET id = id + 1000 WHERE id = {id};\n"),
                    2 => "INSERT IGNORE INTO other VALUES (1);\nDELETE FROM other;\n".to_owned(),
                    3 => "SAVEPOINT s;\nUPDATE t SET c0 = 1;\nROLLBACK TO s;\n".to_owned(),
                    4 => hostile::insert(id, random.random_range(0..20)).replacen("INSERT", "REPLACE", 1),
                    5 => format!("UPDATE t SET hidden = {id} WHERE id < {id};\n"),
                    _ => format!("UPDATE t SET c{at} = {value} WHERE id = {id};\n"),
                };
            }
            statements += if random.random_bool(0.2) { "ROLLBACK;\n" } else { "COMMIT;\n" };
        }
        server.query(&statements);
        let transactions = watched.transactions(&mut changes).await;
        assert!(transactions.len() > 30, "{}", transactions.len());
        let mut model = Model::default();
        for change in transactions.iter().flat_map(|transaction| &transaction.changes) {
            assert_eq!(change.table, table);
            model.apply(&table, &change.op);
        }
        let truth = Model::of(&table, watched.rows(&table).await);
        for (key, row) in &truth.rows {
            let found = &model.rows[key];
            for (column, (found, row)) in table.columns.iter().zip(found.iter().zip(row)) {
                assert_eq!(found, row, "seed {seed}: {} {}", column.name, column.sql_type);
            }
        }
        assert_eq!(model.rows.len(), truth.rows.len());
        let digest = watched.reader.digest_after(&table, &MASK, None, 100_000).await.unwrap();
        assert_eq!((digest.rows, digest.digest), (truth.rows.len() as u64, model.digest()), "seed {seed}");
        for row in model.rows.values() {
            for (cell, column) in row.iter().zip(&table.columns) {
                assert!(!column.masked || cell.bytes().is_none(), "{}", column.name);
            }
        }
        assert_eq!(
            table.columns.iter().filter(|column| column.masked).count(),
            if seed == 2 { 3 } else { 0 }
        );
    }
}

#[tokio::test]
async fn a_transaction_says_who_and_when_and_only_what_was_committed() {
    let server = MariaDb::started_with_log(&[]);
    server.query(
        "CREATE TABLE a (id INT PRIMARY KEY, v INT); CREATE TABLE m (id INT PRIMARY KEY) ENGINE=MyISAM; INSERT INTO a VALUES (100, 0)",
    );
    let mut watched = Watched::of(watched(&server, "")).await;
    let mut changes = watched.open(None).await.unwrap();
    server.query(
        "INSERT INTO a VALUES (1, 1) /* user=joe */;
         BEGIN; INSERT INTO a VALUES (2, 2); SAVEPOINT s; INSERT INTO a VALUES (3, 3); ROLLBACK TO s; COMMIT;
         BEGIN; INSERT INTO a VALUES (4, 4); ROLLBACK;
         BEGIN; INSERT INTO a VALUES (5, 5); SAVEPOINT s; INSERT INTO a VALUES (6, 6); INSERT INTO m VALUES (6); ROLLBACK TO s; COMMIT;
         XA START 'q'; INSERT INTO a VALUES (7, 7); XA END 'q'; XA PREPARE 'q';",
    );
    server.query("INSERT INTO a VALUES (8, 8)");
    server.query(
        "XA COMMIT 'q';
         XA START 'r'; INSERT INTO a VALUES (9, 9); XA END 'r'; XA PREPARE 'r'; XA ROLLBACK 'r';
         XA START 'o'; INSERT INTO a VALUES (10, 10); XA END 'o'; XA COMMIT 'o' ONE PHASE;
         UPDATE a SET id = id + 1000 WHERE id = 100;
         UPDATE a SET v = v WHERE id = 1;
         REPLACE INTO a VALUES (1, 11);
         TRUNCATE a; INSERT INTO a VALUES (1, 1);",
    );
    let transactions = watched.transactions(&mut changes).await;
    let shown: Vec<String> = transactions
        .iter()
        .map(|transaction| {
            let ops: Vec<String> = transaction
                .changes
                .iter()
                .map(|change| {
                    let text = |cell: &Cell| cell.text().unwrap().to_owned();
                    let key = |new: &[Sent]| match &new[0] {
                        Sent::Cell(cell) => text(cell),
                        Sent::AsBefore => "?".to_owned(),
                    };
                    let op = match &change.op {
                        Op::Insert { new } => format!("+{}", key(new)),
                        Op::Update { key: old, new, .. } => format!("{}>{}", text(&old[0]), key(new)),
                        Op::Delete { key, .. } => format!("-{}", text(&key[0])),
                        Op::Truncate => "none".to_owned(),
                    };
                    format!("{}{op}", change.table.name.table)
                })
                .collect();
            ops.join(" ")
        })
        .collect();
    assert_eq!(
        shown,
        ["a+1", "a+2", "m+6", "a+5", "a+8", "a+7", "a+10", "a100>1100", "a1>1", "anone", "a+1"]
    );
    assert_eq!(transactions[0].comment.as_deref(), Some("user=joe"));
    assert_eq!(transactions[1].comment, None);
    let mut ids: Vec<&str> = transactions.iter().map(|transaction| transaction.id.as_str()).collect();
    assert!(ids.iter().all(|id| id.starts_with("0-1-")), "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), transactions.len());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for transaction in &transactions {
        let age = i64::try_from(now).unwrap() - transaction.time.0 / 1_000_000_000;
        assert!((0..120).contains(&age), "{transaction:?}");
        assert!(transaction.ends.is_some() && transaction.first == 0);
    }
}

#[tokio::test]
async fn a_change_of_tables_is_a_step_of_its_own() {
    let server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE a (id INT PRIMARY KEY, v INT); CREATE TABLE b (id INT PRIMARY KEY); CREATE TABLE unseen (id INT PRIMARY KEY)");
    let more = "tables: {a: {}, b: {}, 'new*': {}}";
    let mut watched = Watched::of(watched(&server, more)).await;
    let from = watched.reader.position().await.unwrap();
    let mut changes = watched.open(Some(&from)).await.unwrap();
    server.query(
        "INSERT INTO a VALUES (1, 1); ALTER TABLE a ADD w INT DEFAULT 5; INSERT INTO a VALUES (2, 2, 2); INSERT INTO b VALUES (1);
         ALTER TABLE unseen ADD x INT; CREATE TABLE new1 AS SELECT * FROM a; CREATE VIEW v AS SELECT * FROM a; ALTER TABLE b ADD INDEX (id);
         INSERT INTO b VALUES (2); RENAME TABLE b TO c; GRANT SELECT ON a TO test@'127.0.0.1'; DROP TABLE a",
    );
    let shown = |steps: &[Step]| -> Vec<String> {
        steps
            .iter()
            .map(|step| match step {
                Step::Schema { tables, statement, .. } => {
                    let names: Vec<&str> = tables.iter().map(|name| name.table.as_str()).collect();
                    format!("{}: {}", names.join(","), statement.as_deref().unwrap_or("-"))
                }
                Step::Transaction(transaction) => {
                    let names: Vec<&str> =
                        transaction.changes.iter().map(|change| change.table.name.table.as_str()).collect();
                    names.join(",")
                }
                other => format!("{other:?}"),
            })
            .filter(|text| !text.is_empty())
            .collect()
    };
    let steps = watched.steps(&mut changes).await;
    let found = shown(&steps);
    assert_eq!(found.len(), 8, "{found:#?}");
    for (found, expected) in found.iter().zip([
        "a",
        "a: ALTER TABLE a ADD w INT DEFAULT 5",
        "b",
        "new1: CREATE TABLE `new1`",
        "b: ALTER TABLE b ADD INDEX (id)",
        "b",
        "b: RENAME TABLE b TO c",
        "a: DROP TABLE `a`",
    ]) {
        assert!(found.starts_with(expected), "{found:?} {expected:?}");
    }
    // Taken up after the first statement, with what the table was before it: its rows are not read wrongly, and that is said once.
    let Step::Schema { position, .. } = &steps[1] else { panic!() };
    let mut again = watched.open(Some(position)).await.unwrap();
    let found = shown(&watched.steps(&mut again).await);
    assert_eq!(&found[..2], ["a: -", "b"], "{found:?}");
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_when_server_and_client_are_killed() {
    let mut server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE a (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(99))");
    let mut watched = Watched::of(watched(&server, "")).await;
    let table = table(&watched.config, "a").await;
    let mut position = watched.reader.position().await.unwrap();
    let mut model = Model::default();
    let mut seen = Vec::new();
    for round in 0..4 {
        let mut changes = watched.open(Some(&position)).await.unwrap();
        for value in 0..10 {
            server.query(&format!(
                "INSERT INTO a (v) VALUES ('{round}-{value}'), ('x'); UPDATE a SET v = CONCAT(v, 'y') WHERE id % 3 = 0; FLUSH LOGS"
            ));
            if value == 5 && round % 2 == 1 {
                server.kill();
                server.start();
            }
        }
        // The client ends in the middle: what was not taken is given again.
        let wanted = 7;
        let mut taken = 0;
        while taken < wanted {
            let step = match changes.next().await {
                Ok(step) => step,
                Err(DbError::Again(_)) => continue,
                Err(other) => panic!("{other}"),
            };
            if let Step::Transaction(transaction) = &step {
                for change in &transaction.changes {
                    model.apply(&table, &change.op);
                }
                seen.push(transaction.id.clone());
                taken += 1;
            }
            position = position_of(&step).unwrap_or(position);
        }
    }
    watched.reader = MysqlReader::new(&watched.config).unwrap();
    let mut changes = watched.open(Some(&position)).await.unwrap();
    for transaction in watched.transactions(&mut changes).await {
        for change in &transaction.changes {
            model.apply(&table, &change.op);
        }
        seen.push(transaction.id);
    }
    assert_eq!(model, Model::of(&table, watched.rows(&table).await));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[tokio::test]
async fn what_is_not_logged_is_seen_by_the_digest_only() {
    let server = MariaDb::started_with_log(&[]);
    server
        .query("CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(9)); INSERT INTO a VALUES (1, 'a'), (2, 'b')");
    let mut watched = Watched::of(watched(&server, "")).await;
    let table = table(&watched.config, "a").await;
    let mut changes = watched.open(None).await.unwrap();
    let mut model = Model::of(&table, watched.rows(&table).await);
    server.query("UPDATE a SET v = 'c' WHERE id = 1; SET sql_log_bin = 0; UPDATE a SET v = 'B' WHERE id = 2");
    for transaction in watched.transactions(&mut changes).await {
        transaction.changes.iter().for_each(|change| model.apply(&table, &change.op));
    }
    let digest = watched.reader.digest_after(&table, &MASK, None, 10).await.unwrap();
    assert_ne!(digest.digest, model.digest());
    server.query("SET sql_log_bin = 0; UPDATE a SET v = 'b' WHERE id = 2");
    let digest = watched.reader.digest_after(&table, &MASK, None, 10).await.unwrap();
    assert_eq!(digest.digest, model.digest());
}

#[tokio::test]
async fn a_long_transaction_comes_in_parts() {
    const ROWS: usize = 200_000;
    let server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(200), d DECIMAL(12,2), t DATETIME(6)); CREATE TABLE b (id INT PRIMARY KEY, v LONGTEXT)");
    let mut watched = Watched::of(watched(&server, "")).await;
    let a = table(&watched.config, "a").await;
    let from = watched.reader.position().await.unwrap();
    server.query(&format!(
        "INSERT INTO a SELECT seq, REPEAT('x', 100), seq / 7, '2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_{ROWS};
         INSERT INTO b SELECT seq, REPEAT('y', 3000000) FROM seq_1_to_20"
    ));
    let mut changes = watched.open(Some(&from)).await.unwrap();
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let transactions = watched.transactions(&mut changes).await;
    let (wall, cpu) = (begun.elapsed(), cpu_seconds() - cpu);
    let mut next: BTreeMap<&str, u64> = BTreeMap::new();
    for transaction in &transactions {
        let first = next.entry(&transaction.id).or_default();
        assert_eq!(transaction.first, *first);
        *first += transaction.changes.len() as u64;
        assert!(transaction.changes.len() < 6_000, "{}", transaction.changes.len());
        let bytes: usize = transaction.changes.iter().map(|change| format!("{:?}", change.op).len()).sum();
        assert!(bytes < 14 << 20, "{bytes}");
    }
    assert_eq!(next.values().copied().collect::<Vec<_>>(), [ROWS as u64, 20]);
    assert_eq!(transactions.iter().filter(|transaction| transaction.ends.is_some()).count(), 2);
    let begun = Instant::now();
    let digest = watched.reader.digest_after(&a, &MASK, None, 1_000_000).await.unwrap();
    assert_eq!(digest.rows, ROWS as u64);
    eprintln!(
        "{ROWS} rows decoded in {wall:?}, {:.0} rows a CPU second (debug); digests of {:.0} rows a second",
        ROWS as f64 / cpu,
        ROWS as f64 / begun.elapsed().as_secs_f64()
    );
}

/// What this process has used so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    f64::from(ticks) / 100.0
}

#[tokio::test]
async fn a_log_that_is_gone_or_not_as_it_must_be_is_told() {
    let server = MariaDb::started_with_log(&["--max-allowed-packet=64M"]);
    server.query(
        "CREATE TABLE a (id INT PRIMARY KEY, v INT DEFAULT 3, w INT); INSERT INTO a VALUES (1, 1, 1), (2, 2, 2);
         CREATE USER reader@'127.0.0.1'; GRANT SELECT ON test.* TO reader@'127.0.0.1'; GRANT BINLOG MONITOR ON *.* TO reader@'127.0.0.1'",
    );
    let mut watched = Watched::of(watched(&server, "")).await;
    let old = watched.reader.position().await.unwrap();
    let Position::Binlog { file, at } = &old else { panic!() };
    let beyond = Position::Binlog { file: file.clone(), at: at + 1_000 };
    for (from, server, word) in [
        (&beyond, None, "has only"),
        (&"mariadb-bin.000999:4".parse().unwrap(), None, "no log mariadb-bin.000999"),
        (&old, Some("mariadb xyz 0-1"), "another server"),
    ] {
        let opened = MysqlChanges::open(
            &watched.config,
            "bank",
            watched.tables.clone(),
            &MASK,
            Some(from),
            &[],
            server,
        )
        .await;
        assert!(matches!(&opened, Err(DbError::Lost(reason)) if reason.contains(word)), "{opened:?}");
    }
    let known = watched.reader.server().await.unwrap();
    MysqlChanges::open(
        &watched.config,
        "bank",
        watched.tables.clone(),
        &MASK,
        Some(&old),
        &[],
        known.as_deref(),
    )
    .await
    .unwrap();
    // In the middle of an event.
    let inside = Position::Binlog { file: file.clone(), at: at - 3 };
    let mut changes = watched.open(Some(&inside)).await.unwrap();
    let refused = changes.next().await;
    assert!(matches!(&refused, Err(DbError::Lost(_))), "{refused:?}");
    drop(changes);
    // No privilege.
    let reader = config(&server.url_for("reader"), "");
    let mut changes =
        MysqlChanges::open(&reader, "bank", watched.tables.clone(), &MASK, Some(&old), &[], None).await;
    let refused = match &mut changes {
        Ok(changes) => changes.next().await.map(drop),
        Err(error) => Err(error.clone()),
    };
    assert!(
        matches!(&refused, Err(DbError::Refused(reason)) if reason.contains("REPLICATION SLAVE")),
        "{refused:?}"
    );
    drop(changes);
    for (statements, word) in [
        ("SET binlog_format = STATEMENT; UPDATE a SET w = 'swordfish' + 5", "another format"),
        ("SET binlog_row_image = MINIMAL; INSERT INTO a (id) VALUES (77)", "another image"),
    ] {
        let mut changes = watched.open(None).await.unwrap();
        server.query(&format!("SET sql_mode = ''; {statements}"));
        let lost = loop {
            match changes.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(&lost, DbError::Lost(reason) if reason.contains(word)), "{lost}");
        assert!(!lost.to_string().contains("swordfish"));
    }
    // Of an update with a lesser image what was not sent is as it was.
    let mut changes = watched.open(None).await.unwrap();
    server
        .query("SET binlog_row_image = MINIMAL; UPDATE a SET w = 9 WHERE id = 1; DELETE FROM a WHERE id = 2");
    let transactions = watched.transactions(&mut changes).await;
    let id = |id: &str| vec![Cell::of(id)];
    assert_eq!(
        transactions.iter().map(|transaction| &transaction.changes[0].op).collect::<Vec<_>>(),
        [
            &Op::Update {
                key: id("1"),
                before: None,
                new: vec![Sent::AsBefore, Sent::AsBefore, Sent::Cell(Cell::of("9"))]
            },
            &Op::Delete { key: id("2"), before: None },
        ]
    );
    server.query("FLUSH LOGS; FLUSH LOGS");
    let new = watched.reader.position().await.unwrap();
    let Position::Binlog { file: newest, .. } = &new else { panic!() };
    drop(changes);
    // A log that is being sent is kept: until the server has noticed that nobody listens.
    attestry_testkit::wait_for("the old logs are gone", std::time::Duration::from_secs(30), || {
        server.query(&format!("PURGE BINARY LOGS TO '{newest}'"));
        (!server.query("SHOW BINARY LOGS").contains(file.as_str())).then_some(())
    });
    let lost = watched.open(Some(&old)).await;
    assert!(
        matches!(&lost, Err(DbError::Lost(reason)) if reason.contains("binlog_expire_logs_seconds")),
        "{lost:?}"
    );
    server.query("SET GLOBAL log_bin_compress = 1, GLOBAL log_bin_compress_min_len = 10");
    let mut changes = watched.open(None).await.unwrap();
    server.query("INSERT INTO a SELECT seq, 1, 1 FROM seq_1000_to_2000");
    let refused = loop {
        match changes.next().await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, DbError::Refused(reason) if reason.contains("log_bin_compress")), "{refused}");
}

#[tokio::test]
async fn the_log_comes_by_tls_with_a_password() {
    let authority = attestry_testkit::Authority::new();
    let attestry_testkit::Issued { cert, key } = authority.server();
    let files = [("ca", authority.ca()), ("cert", cert), ("key", key)];
    let options: Vec<String> =
        files.iter().map(|(what, file)| format!("--ssl-{what}={}", file.display())).collect();
    let options: Vec<&str> =
        options.iter().map(String::as_str).chain(["--require-secure-transport=ON"]).collect();
    let server = MariaDb::started_with_log(&options);
    server.query(
        "CREATE TABLE a (id INT PRIMARY KEY); CREATE USER auditor@'127.0.0.1' IDENTIFIED BY 'swordfish';
         GRANT SELECT ON test.* TO auditor@'127.0.0.1'; GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO auditor@'127.0.0.1'",
    );
    let url = server.url_for("auditor");
    let tls = format!("tls: {{ca: {}}}", authority.ca().display());
    let mut watched = Watched::of(config(&url, &format!("password: swordfish\n{tls}"))).await;
    let mut changes = watched.open(None).await.unwrap();
    server.query("INSERT INTO a VALUES (1)");
    assert_eq!(watched.transactions(&mut changes).await.len(), 1);
    for wrong in ["password: swordfish".to_owned(), format!("password: trout\n{tls}")] {
        let opened =
            MysqlChanges::open(&config(&url, &wrong), "bank", watched.tables.clone(), &MASK, None, &[], None)
                .await;
        let error = opened.unwrap_err().to_string();
        assert!(!error.contains("trout") && !error.contains("swordfish"), "{error}");
    }
}
