//! What the stream says, applied in order, is what there is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_db::postgres::{PostgresChanges, PostgresReader};
use attestry_db::{
    Cell, Change, Changes, DbError, Key, Name, Op, Position, Reader, Sent, Step, Table, Transaction,
    WatchConfig, chunk_digest, encode_row, row_hash,
};
use attestry_testkit::{Authority, Postgres};

use super::{MASK, config, tables, values};

/// A server that sends its changes, and one that has nobody to send them.
const PUSHED: &[&str] = &["max_prepared_transactions=10", "wal_sender_timeout=0"];
const POLLED: &[&str] = &["max_prepared_transactions=10", "max_wal_senders=0"];

/// Follows a stream and keeps a copy, as simply as it can be done.
struct Follower {
    config: WatchConfig,
    reader: PostgresReader,
    changes: PostgresChanges,
    tables: Vec<Arc<Table>>,
    copy: BTreeMap<(Name, Vec<u8>), Vec<Cell>>,
    /// What was given of a transaction that is not complete yet.
    part: Vec<Change>,
    transactions: Vec<(Position, Vec<String>)>,
    schema: Vec<String>,
}

impl Follower {
    async fn new(server: &Postgres, more: &str) -> Follower {
        let config = config(server, more);
        let mut reader = PostgresReader::new("test", &config).unwrap();
        let tables = tables(&mut reader, &config).await;
        let changes = PostgresChanges::open("test", &config, tables.clone(), MASK, None).await.unwrap();
        assert_eq!(changes.is_pushed(), server.query("SHOW max_wal_senders") != "0");
        Follower {
            config,
            reader,
            changes,
            tables,
            copy: BTreeMap::new(),
            part: Vec::new(),
            transactions: Vec::new(),
            schema: Vec::new(),
        }
    }

    /// Follows until everything that can be seen now was given.
    async fn catch_up(&mut self) {
        let upto = self.reader.position().await.unwrap();
        self.follow(&upto).await;
    }

    async fn follow(&mut self, upto: &Position) {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?} did not reach {upto}", self.changes);
            match self.changes.next().await.unwrap() {
                Step::Transaction(transaction) => self.apply(transaction),
                Step::Schema { tables, .. } => {
                    self.schema.extend(tables.iter().map(|name| name.table.clone()))
                }
                Step::Reached(position) if position >= *upto => return,
                Step::Reached(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn apply(&mut self, transaction: Transaction) {
        if transaction.first == 0 {
            self.part.clear();
        }
        assert_eq!(transaction.first, self.part.len() as u64);
        self.part.extend(transaction.changes);
        let Some(ends) = transaction.ends else { return };
        assert!(
            self.transactions.last().is_none_or(|(last, _)| *last < ends),
            "not given twice, and in order"
        );
        let mut words = Vec::new();
        for Change { table, op } in std::mem::take(&mut self.part) {
            let place = |key: &Key| (table.name.clone(), encode_row(key));
            let now = |new: Vec<Sent>, before: Option<&Vec<Cell>>| -> Vec<Cell> {
                let cell = |(at, sent): (usize, Sent)| match sent {
                    Sent::Cell(cell) => cell,
                    Sent::AsBefore => before.unwrap()[at].clone(),
                };
                new.into_iter().enumerate().map(cell).collect()
            };
            let word = match op {
                Op::Insert { new } => {
                    let row = now(new, None);
                    assert_eq!(self.copy.insert(place(&table.key_of(&row)), row), None);
                    "insert"
                }
                Op::Update { key, before, new } => {
                    let was = self.copy.remove(&place(&key)).unwrap();
                    assert!(before.is_none_or(|before| before == was));
                    let row = now(new, Some(&was));
                    assert_eq!(self.copy.insert(place(&table.key_of(&row)), row), None);
                    "update"
                }
                Op::Delete { key, before } => {
                    let was = self.copy.remove(&place(&key)).unwrap();
                    assert!(before.is_none_or(|before| before == was));
                    "delete"
                }
                Op::Truncate => {
                    self.copy.retain(|(name, _), _| *name != table.name);
                    "truncate"
                }
            };
            words.push(format!("{word} {}", table.name.table));
        }
        self.transactions.push((ends, words));
    }

    /// What the last transactions did.
    fn words(&self, last: usize) -> Vec<String> {
        self.transactions[self.transactions.len() - last..]
            .iter()
            .flat_map(|(_, words)| words.clone())
            .collect()
    }

    fn rows(&self, table: &Table) -> Vec<Vec<Cell>> {
        self.copy.iter().filter(|((name, _), _)| *name == table.name).map(|(_, row)| row.clone()).collect()
    }

    /// The copy is what is there, cell by cell and by digest.
    async fn check(&mut self) {
        for table in self.tables.clone() {
            let mut found = self.reader.rows_after(&table, &MASK, None, 1_000_000).await.unwrap();
            found.sort_by_key(|row| encode_row(&table.key_of(row)));
            let copy = self.rows(&table);
            for (found, copied) in found.iter().zip(&copy) {
                for ((found, copied), column) in found.iter().zip(copied).zip(&table.columns) {
                    assert_eq!(found, copied, "{} {} {}", table.name, column.name, column.sql_type);
                }
            }
            assert_eq!(found.len(), copy.len(), "{}", table.name);
            let mut hashes: Vec<_> = copy.iter().map(|row| row_hash(row)).collect();
            let digests = self.reader.digest_buckets(&table, &MASK, 0, 0..=0).await.unwrap();
            assert_eq!(digests.iter().map(|digest| digest.rows).sum::<u64>(), copy.len() as u64);
            if let Some(digest) = digests.first() {
                assert_eq!(digest.digest, chunk_digest(&mut hashes), "{}", table.name);
            }
        }
    }
}

#[tokio::test]
async fn every_type_is_streamed_as_it_is_read() {
    for settings in [PUSHED, POLLED] {
        every_type(settings).await;
    }
}

async fn every_type(settings: &[&str]) {
    let server = Postgres::started_logical(settings);
    server.query(&values::schema());
    let mut follower = Follower::new(&server, "").await;
    let choices = |at: u8| (0..44).map(|c: u8| at.wrapping_add(c.wrapping_mul(at / 12))).collect::<Vec<_>>();
    let rows: Vec<String> = (0..60).map(|at| values::row(i64::from(at), &choices(at))).collect();
    server.query(&format!("INSERT INTO every VALUES {}", rows.join(", ")));
    server.query("UPDATE every SET big = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) n) WHERE id % 3 = 0");
    for identity in ["DEFAULT", "FULL"] {
        server.query(&format!("ALTER TABLE every REPLICA IDENTITY {identity}"));
        server.query(
            "UPDATE every SET c1 = coalesce(c1, 0) # 5, id = CASE WHEN id % 7 = 0 THEN id + 1000 ELSE id END",
        );
        server.query("DELETE FROM every WHERE id % 11 = 5");
        server.query("INSERT INTO every SELECT * FROM (VALUES (5)) v (id)");
        server.query("DELETE FROM every WHERE id = 5");
    }
    // One value of each type after the other becomes another.
    for (at, (_, choices)) in values::TYPES.iter().enumerate() {
        for value in *choices {
            server.query(&format!("UPDATE every SET c{at} = {value} WHERE id = 1"));
        }
    }
    follower.catch_up().await;
    follower.check().await;
    assert!(follower.transactions.len() > 100);
}

#[tokio::test]
async fn transactions_of_every_kind() {
    for settings in [PUSHED, POLLED] {
        kinds(settings).await;
    }
}

async fn kinds(settings: &[&str]) {
    let server = Postgres::started_logical(settings);
    server.query(
        "CREATE TABLE a (id integer PRIMARY KEY, v text); CREATE TABLE b (id integer PRIMARY KEY REFERENCES a ON DELETE CASCADE, v text); \
         CREATE TABLE f (x integer, y text, z text); ALTER TABLE f REPLICA IDENTITY FULL; \
         CREATE TABLE i (x integer, y text NOT NULL UNIQUE, id integer PRIMARY KEY); ALTER TABLE i REPLICA IDENTITY USING INDEX i_y_key; \
         CREATE TABLE p (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); \
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-07-01'); \
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2026-07-01') TO ('2027-01-01'); \
         CREATE TABLE keyless (v text); CREATE UNLOGGED TABLE loose (id integer PRIMARY KEY);",
    );
    let mut follower = Follower::new(
        &server,
        "tables: {'*': {}, f: {identify: {columns: [x, y]}}, loose: {watch: false}, keyless: {watch: false}}",
    )
    .await;
    for (sql, expected) in [
        (
            "INSERT INTO a VALUES (1, 'x'), (2, NULL); INSERT INTO b VALUES (1, 'y')",
            &["insert a", "insert a", "insert b"][..],
        ),
        (
            "BEGIN; INSERT INTO a VALUES (3, ''); SAVEPOINT s; INSERT INTO a VALUES (4, 'gone'); ROLLBACK TO s; INSERT INTO a VALUES (5, ''); COMMIT",
            &["insert a", "insert a"],
        ),
        (
            "BEGIN; INSERT INTO a VALUES (9, 'gone'); ROLLBACK; UPDATE a SET v = 'z' WHERE id = 5",
            &["update a"],
        ),
        (
            "BEGIN; UPDATE a SET id = 50 WHERE id = 5; PREPARE TRANSACTION 'two'; COMMIT PREPARED 'two'",
            &["update a"],
        ),
        ("UPDATE a SET id = CASE id WHEN 2 THEN 30 WHEN 3 THEN 20 ELSE id END", &["update a"; 4]),
        ("DELETE FROM a WHERE id = 1", &["delete a", "delete b"]),
        ("INSERT INTO a VALUES (1, 'again')", &["insert a"]),
        (
            "SET session_replication_role = replica; UPDATE a SET v = 'hidden from triggers' WHERE id = 1",
            &["update a"],
        ),
        (
            "INSERT INTO f VALUES (1, NULL, 'a'), (NULL, 'b', 'c'); UPDATE f SET z = 'd', y = 'e' WHERE x = 1; DELETE FROM f WHERE y = 'b'",
            &["insert f", "insert f"],
        ),
        ("INSERT INTO i VALUES (1, 'one', 1); UPDATE i SET x = 2; UPDATE i SET id = 7", &["insert i"]),
        ("UPDATE i SET y = 'two'", &["update i"]),
        ("DELETE FROM i", &["delete i"]),
        ("INSERT INTO p VALUES (1, '2026-02-01'), (2, '2026-08-01')", &["insert p1", "insert p2"]),
        ("UPDATE p SET at = '2026-09-01' WHERE id = 1", &["delete p1", "insert p2"]),
        ("TRUNCATE p2", &["truncate p2"]),
        ("TRUNCATE a CASCADE", &["truncate a", "truncate b"]),
    ] {
        let before = follower.transactions.len();
        server.query(sql);
        follower.catch_up().await;
        follower.check().await;
        let done = follower.transactions.len() - before;
        let words = follower.words(done);
        assert_eq!(
            words.get(..expected.len()),
            Some(expected.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()),
            "{sql}: {words:?}"
        );
    }
    // Nothing that worked before fails now.
    server.query("INSERT INTO keyless VALUES ('a'); UPDATE keyless SET v = 'b'; DELETE FROM keyless");

    // Whose it is, if the application says so.
    server.query("BEGIN; SELECT pg_logical_emit_message(true, 'attestry', 'user=ada'); SELECT pg_logical_emit_message(true, 'other', 'user=bob'); INSERT INTO a VALUES (77, ''); COMMIT; SELECT pg_logical_emit_message(false, 'attestry', 'user=eve'); DELETE FROM a WHERE id = 77");
    let mut said = Vec::new();
    while said.len() < 2 {
        if let Step::Transaction(transaction) = follower.changes.next().await.unwrap() {
            said.push(transaction.who());
            follower.apply(transaction);
        }
    }
    assert_eq!(said, [Some("ada".to_owned()), None]);

    // More than is given at once, in one transaction, and then some.
    server.query("INSERT INTO a SELECT n, repeat('x', 100) FROM generate_series(1, 12345) n");
    server.query("UPDATE a SET v = v || n FROM generate_series(1, 1) n");
    follower.catch_up().await;
    follower.check().await;
    assert_eq!(follower.transactions.last().unwrap().1.len(), 12_345);
}

#[tokio::test]
async fn a_change_of_the_schema_comes_before_what_follows_it() {
    for settings in [PUSHED, POLLED] {
        schema_changes(settings).await;
    }
}

async fn schema_changes(settings: &[&str]) {
    let server = Postgres::started_logical(settings);
    server.query(
        "CREATE TABLE a (id integer PRIMARY KEY, v varchar(9)); CREATE TABLE b (id integer PRIMARY KEY)",
    );
    let mut follower = Follower::new(&server, "").await;
    for (sql, expected) in [
        ("INSERT INTO a VALUES (1, 'x')", 0),
        ("ALTER TABLE a ADD COLUMN w text; INSERT INTO a VALUES (2, 'x', 'w')", 1),
        ("INSERT INTO a VALUES (3, 'x', 'w')", 0),
        ("ALTER TABLE a ALTER v TYPE varchar(10); INSERT INTO a VALUES (4)", 1),
        ("ALTER TABLE a RENAME v TO renamed; INSERT INTO a VALUES (5)", 1),
        ("BEGIN; INSERT INTO a VALUES (6); ALTER TABLE a DROP COLUMN w; INSERT INTO a VALUES (7); COMMIT", 1),
        (
            "ALTER TABLE a ADD CONSTRAINT c CHECK (id > 0); INSERT INTO a VALUES (8); INSERT INTO b VALUES (1)",
            0,
        ),
    ] {
        follower.schema.clear();
        server.query(sql);
        follower.catch_up().await;
        assert_eq!(follower.schema, vec!["a"; expected], "{sql}");
    }
    let tables = tables(&mut follower.reader, &follower.config).await;
    follower.tables = tables.clone();
    follower.changes.set_tables(tables);
    server.query("INSERT INTO a VALUES (9, 'y')");
    follower.schema.clear();
    follower.catch_up().await;
    assert!(follower.schema.is_empty(), "it is known as it is now");
    assert_eq!(follower.words(1), ["insert a"]);
}

#[tokio::test]
async fn nothing_is_lost_or_given_twice_when_server_and_client_are_killed() {
    for settings in [PUSHED, POLLED] {
        kills(settings).await;
    }
}

async fn kills(settings: &[&str]) {
    let mut server = Postgres::started_logical(settings);
    server.query("CREATE TABLE a (id serial PRIMARY KEY, v text)");
    let mut follower = Follower::new(&server, "").await;
    for round in 0..6 {
        for part in 0..5 {
            server.query(&format!("INSERT INTO a (v) SELECT '{round}.{part}.' || n FROM generate_series(1, 1500) n; DELETE FROM a WHERE id % 9 = {part}"));
        }
        // Somewhere in the middle.
        for _ in 0..round * 2 {
            if let Ok(Step::Transaction(transaction)) = follower.changes.next().await {
                follower.apply(transaction);
            }
        }
        let durable = follower.transactions.last().map(|(position, _)| position.clone());
        if let Some(durable) = &durable {
            follower.changes.confirm(durable).await.unwrap();
        }
        if round % 2 == 0 {
            server.kill();
            server.start();
            while follower.changes.next().await.is_err() {}
            follower.changes = reopened(&mut follower, durable.as_ref()).await;
        } else if durable.is_some() {
            follower.changes = reopened(&mut follower, durable.as_ref()).await;
        }
        follower.part.clear();
    }
    follower.catch_up().await;
    follower.check().await;
}

/// The stream from a position on, as soon as the server has noticed that the one before is gone.
async fn reopened(follower: &mut Follower, from: Option<&Position>) -> PostgresChanges {
    let begun = Instant::now();
    let from = from.cloned().unwrap_or_else(|| follower.changes.position());
    // Ends what it reads from.
    follower.changes.set_tables(follower.tables.clone());
    loop {
        match PostgresChanges::open("test", &follower.config, follower.tables.clone(), MASK, Some(&from))
            .await
        {
            Ok(changes) => return changes,
            Err(DbError::Again(_)) if begun.elapsed() < Duration::from_secs(30) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_stream_that_cannot_go_on_says_so() {
    for settings in [PUSHED, POLLED] {
        cannot_go_on(settings).await;
    }
}

async fn cannot_go_on(settings: &[&str]) {
    let server = Postgres::started_logical(settings);
    server.query("CREATE TABLE a (id serial PRIMARY KEY, v text)");
    let next = async |follower: &mut Follower| loop {
        match follower.changes.next().await {
            // That the connection was ended is one thing, what became of the slot another.
            Ok(_) | Err(DbError::Again(_)) => {}
            Err(error) => return error,
        }
    };
    // Somebody drops it.
    let mut follower = Follower::new(&server, "").await;
    server.query("SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active; INSERT INTO a (v) VALUES ('x'); SELECT pg_drop_replication_slot('attestry_test'); INSERT INTO a (v) VALUES ('y')");
    let error = next(&mut follower).await;
    assert_eq!(error, DbError::Lost("the slot attestry_test is gone".to_owned()));

    // Somebody moves it beyond what was given.
    let mut follower = Follower::new(&server, "").await;
    server.query("SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active; INSERT INTO a (v) VALUES ('x'); SELECT pg_replication_slot_advance('attestry_test', pg_current_wal_lsn())");
    assert!(matches!(next(&mut follower).await, DbError::Lost(why) if why.contains("somebody moved it")));

    // The publication is dropped, and what was written meanwhile cannot be decoded.
    let mut follower = Follower::new(&server, "").await;
    server.query("DROP PUBLICATION attestry_test; INSERT INTO a (v) VALUES ('x')");
    assert!(matches!(next(&mut follower).await, DbError::Lost(why) if why.contains("publication")));

    // It keeps more of the log than it may: it is dropped.
    let mut follower = Follower::new(&server, "slot_mib: 4").await;
    server.query("INSERT INTO a (v) SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
    assert!(matches!(next(&mut follower).await, DbError::Lost(why) if why.contains("slot_mib")));
    assert_eq!(server.query("SELECT count(*) FROM pg_replication_slots"), "0");

    // It is somebody else's.
    server.query("SELECT pg_create_logical_replication_slot('attestry_test', 'test_decoding')");
    let config = config(&server, "");
    let opened = PostgresChanges::open("test", &config, Vec::new(), MASK, None).await;
    assert!(matches!(opened, Err(DbError::Refused(why)) if why.contains("somebody else's")));
}

#[tokio::test]
async fn a_view_is_exactly_where_it_says() {
    let server = Postgres::started_logical(&["synchronous_commit=on"]);
    server.query("CREATE TABLE a (id integer PRIMARY KEY, v bigint); INSERT INTO a SELECT n, 0 FROM generate_series(1, 50) n; CREATE SEQUENCE s START 1000");
    let mut follower = Follower::new(&server, "").await;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let client = super::client(&server).await;
        writers.push(tokio::spawn(async move {
            // Some wait for the disk, and some do not: they overtake each other.
            client.batch_execute(&format!("SET synchronous_commit = {}", if writer % 2 == 0 { "off" } else { "on" })).await.unwrap();
            loop {
                client.batch_execute(&format!("UPDATE a SET v = v + 1 WHERE id = 1 + (random() * 49)::integer; INSERT INTO a VALUES (nextval('s'), {writer})")).await.unwrap();
            }
        }));
    }
    let table = Arc::clone(&follower.tables[0]);
    let first = follower.reader.begin_snapshot().await.unwrap();
    for row in follower.reader.rows_after(&table, &MASK, None, 1_000_000).await.unwrap() {
        follower.copy.insert((table.name.clone(), encode_row(&table.key_of(&row))), row);
    }
    // What the first view has is passed over; from there on each view is the copy at its position.
    let mut position = first;
    for _ in 0..10 {
        let next = follower.reader.begin_snapshot().await.unwrap();
        let mut rows = follower.reader.rows_after(&table, &MASK, None, 1_000_000).await.unwrap();
        follower.reader.end_snapshot().await.unwrap();
        let mut later = Vec::new();
        loop {
            match follower.changes.next().await.unwrap() {
                Step::Transaction(transaction) => {
                    let ends = transaction.ends.clone().unwrap();
                    match ends <= position {
                        true => {}
                        false if ends <= next => follower.apply(transaction),
                        false => later.push(transaction),
                    }
                }
                Step::Reached(reached) if reached >= next => break,
                _ => {}
            }
        }
        rows.sort_by_key(|row| encode_row(&table.key_of(row)));
        assert_eq!(rows, follower.rows(&table), "at {next}");
        later.into_iter().for_each(|transaction| follower.apply(transaction));
        // The copy is now beyond the view: the next one has all of it.
        position = follower.transactions.last().map_or(next, |(position, _)| position.clone());
    }
    writers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_backlog_is_let_go_while_it_is_read() {
    for settings in [PUSHED, POLLED] {
        backlog(settings).await;
    }
}

async fn backlog(settings: &[&str]) {
    let server = Postgres::started_logical(settings);
    server.query("CREATE TABLE a (id serial PRIMARY KEY, v text)");
    let mut follower = Follower::new(&server, "").await;
    for _ in 0..40 {
        server.query("INSERT INTO a (v) SELECT repeat('x', 1000) FROM generate_series(1, 1000)");
    }
    let mut seen = 0;
    while seen < 40 {
        if let Step::Transaction(Transaction { ends: Some(ends), .. }) =
            follower.changes.next().await.unwrap()
        {
            follower.changes.confirm(&ends).await.unwrap();
            seen += 1;
        }
    }
    let behind =
        "SELECT (pg_current_wal_lsn() - confirmed_flush_lsn) / 1048576 < 20 FROM pg_replication_slots";
    let begun = Instant::now();
    while server.query(behind) != "t" {
        assert!(begun.elapsed() < Duration::from_secs(10), "the slot stays where it was");
        follower.changes.next().await.unwrap();
    }
}

#[tokio::test]
async fn masked_values_come_masked() {
    for settings in [PUSHED, POLLED] {
        masks(settings).await;
    }
}

async fn masks(settings: &[&str]) {
    let server = Postgres::started_logical(settings);
    server.query("CREATE TABLE a (id integer, v text, photo bytea, PRIMARY KEY (id, v)); ALTER TABLE a REPLICA IDENTITY FULL");
    let mut follower = Follower::new(&server, "defaults: {mask: [v, photo]}").await;
    server.query("INSERT INTO a VALUES (1, 'swordfish', '\\x00ff'), (2, '', NULL), (3, 'swordfish', ''); UPDATE a SET v = 'herring' WHERE id = 1; DELETE FROM a WHERE id = 3");
    follower.catch_up().await;
    follower.check().await;
    let rows = follower.rows(&follower.tables[0]);
    let expected = vec![Cell::of("1"), MASK.mask(&Cell::of("herring")), MASK.mask(&Cell::of([0, 255]))];
    assert!(rows.len() == 2 && rows.contains(&expected), "{rows:?}");
}

/// The next transaction, as what it did.
async fn next_words(changes: &mut PostgresChanges) -> usize {
    loop {
        if let Step::Transaction(transaction) = changes.next().await.unwrap() {
            return transaction.changes.len();
        }
    }
}

#[tokio::test]
async fn a_stream_comes_by_tls_for_a_password() {
    let authority = Authority::new();
    let mut server = Postgres::started_with_tls(&authority);
    server.query("ALTER SYSTEM SET wal_level = logical; ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'");
    server.kill();
    server.start();
    server.query("CREATE TABLE a (id integer PRIMARY KEY); CREATE ROLE auditor LOGIN REPLICATION PASSWORD 'sea horse'; GRANT SELECT ON a TO auditor; GRANT CREATE ON DATABASE test TO auditor; ALTER TABLE a OWNER TO auditor");
    let config = |password: &str| -> WatchConfig {
        let (url, ca) = (server.url_of("auditor"), authority.ca());
        serde_saphyr::from_str(&format!(
            "url: {url}\npassword: '{password}'\ntls: {{ca: '{}'}}",
            ca.display()
        ))
        .unwrap()
    };
    let right = config("sea horse");
    let mut reader = PostgresReader::new("test", &right).unwrap();
    let tables = tables(&mut reader, &right).await;
    let mut changes = PostgresChanges::open("test", &right, tables, MASK, None).await.unwrap();
    assert!(changes.is_pushed());
    assert_eq!(
        server.query("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)"),
        "t",
        "it is the stream that comes by TLS"
    );
    server.query("INSERT INTO a VALUES (1), (2)");
    assert_eq!(next_words(&mut changes).await, 2);
    let wrong = PostgresChanges::open("test", &config("sea cow"), Vec::new(), MASK, None).await.unwrap_err();
    assert!(matches!(&wrong, DbError::Refused(why) if !why.contains("sea")), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hears_nothing_ends_the_stream_and_hears_of_us_while_nobody_reads() {
    let server = Postgres::started_logical(&["wal_sender_timeout=4s"]);
    server.query("CREATE TABLE a (id integer PRIMARY KEY, v text)");
    let mut follower = Follower::new(&server, "").await;
    let process = "SELECT active_pid FROM pg_replication_slots";
    let before = server.query(process);
    // More than sockets hold: the server waits until it is taken.
    server.query("INSERT INTO a SELECT n, repeat('x', 10000) FROM generate_series(1, 4000) n");
    // Longer than the server waits.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(server.query(process), before, "it has not given us up");
    follower.catch_up().await;
    follower.check().await;
    assert_eq!(server.query(process), before);
}
