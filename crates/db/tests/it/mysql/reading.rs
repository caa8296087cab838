//! What SQL is asked for.

use std::sync::Arc;
use std::time::Duration;

use attestry_db::mysql::MysqlReader;
use attestry_db::{Cell, DbError, Digest, Level, Reader as _, Scan, Table, chunk_digest, row_hash};
use attestry_testkit::MariaDb;

use super::{MASK, config, hostile, table, tables, watched};

fn digest_of(rows: &[Vec<Cell>]) -> [u8; 32] {
    let mut hashes: Vec<_> = rows.iter().map(|row| row_hash(row)).collect();
    chunk_digest(&mut hashes)
}

async fn all_rows(reader: &mut MysqlReader, table: &Arc<Table>) -> Vec<Vec<Cell>> {
    reader.rows(table, &MASK, &Scan::Range { after: None, upto: None }).await.unwrap()
}

/// The rows of a part are asked for by the key of its last: rows that go in between do not make it the table's end.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_which_rows_go_meanwhile_is_not_the_last() {
    let server = std::sync::Arc::new(MariaDb::started_with_log(&[]));
    server.query("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT seq FROM seq_1_to_1000");
    let config = watched(&server, "");
    let table = table(&config, "t").await;
    let (others, done) =
        (std::sync::Arc::clone(&server), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stop = std::sync::Arc::clone(&done);
    let busy = std::thread::spawn(move || {
        let change = "DELETE FROM t WHERE id <= 40; INSERT INTO t SELECT seq FROM seq_1_to_40;".repeat(50);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            others.query(&change);
        }
    });
    let mut reader = MysqlReader::new(&config).unwrap();
    for _ in 0..1_000 {
        let rows = reader.rows_after(&table, &MASK, None, 50).await.unwrap();
        assert!(rows.len() >= 50, "{}", rows.len());
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    busy.join().unwrap();
}

#[tokio::test]
async fn the_database_computes_the_digest_that_is_computed_here() {
    let server = MariaDb::started_with_log(&[]);
    let mut statements = hostile::SESSION.to_owned() + &hostile::create() + ";\n";
    for row in 0..hostile::most() {
        statements += &hostile::insert(i64::try_from(row).unwrap() - 2, row);
    }
    server.query(&statements);
    for more in ["", "defaults: {mask: [c0, c16, c40, c50, c63, computed]}"] {
        let config = watched(&server, more);
        let table = table(&config, "t").await;
        assert_eq!((table.columns.len(), &table.key), (hostile::COLUMNS.len() + 4, &vec![0]), "{table:?}");
        let mut reader = MysqlReader::new(&config).unwrap();
        let rows = all_rows(&mut reader, &table).await;
        assert_eq!(rows.len(), hostile::most());
        let digest = reader.digest_after(&table, &MASK, None, 1_000).await.unwrap();
        let whole = Scan::Range { after: None, upto: None };
        assert_eq!(digest, Digest { scan: whole, rows: rows.len() as u64, digest: digest_of(&rows) });
        let masked = table.columns.iter().filter(|column| column.masked).count();
        assert_eq!(masked, if more.is_empty() { 0 } else { 6 });
        for (column, cells) in table.columns.iter().zip(0..) {
            let shown = rows.iter().any(|row: &Vec<Cell>| row[cells].bytes().is_some());
            assert_eq!(shown, !column.masked, "{}", column.name);
        }
    }
    // Each of these differs in what a comparison by SQL would not see.
    for (definition, one, other) in [
        ("char(5)", "'a'", "'A'"),
        ("varchar(20)", "'a'", "'a '"),
        ("float", "0.1", "0.10000001"),
        ("double", "0.1", "0.10000000000000002"),
        ("varbinary(10)", "X'00'", "X'0000'"),
        ("varchar(20)", "'e\u{301}'", "'\u{e9}'"),
    ] {
        let config = watched(&server, "");
        let table = table(&config, "t").await;
        let mut reader = MysqlReader::new(&config).unwrap();
        let mut digests = Vec::new();
        let column = hostile::column(definition);
        for value in [one, other] {
            server.query(&format!("UPDATE t SET {column} = {value} WHERE id = 1"));
            digests.push(reader.digest_after(&table, &MASK, None, 1_000).await.unwrap().digest);
        }
        assert_ne!(digests[0], digests[1], "{column}: {one} {other}");
    }
}

#[tokio::test]
async fn a_table_is_read_in_parts_by_every_kind_of_key() {
    let server = MariaDb::started_with_log(&[]);
    let mut statements = hostile::SESSION.to_owned();
    let keys = [
        (
            "i",
            "a BIGINT, b VARCHAR(9), PRIMARY KEY (a, b)",
            "CAST(seq DIV 40 AS SIGNED) - 2, CONCAT('k', seq)",
        ),
        ("u", "a BIGINT UNSIGNED PRIMARY KEY", "seq + 18446744073709551400"),
        ("ci", "a VARCHAR(9) COLLATE latin1_swedish_ci PRIMARY KEY", "CONCAT(IF(seq % 2, 'k', 'K'), seq)"),
        ("u3", "a VARCHAR(9) CHARACTER SET utf8mb3 PRIMARY KEY", "CONCAT('\u{e9}', seq)"),
        ("vb", "a VARBINARY(9) PRIMARY KEY", "CONCAT(CHAR(seq % 256), seq)"),
        ("bi", "a BINARY(9) PRIMARY KEY", "CONCAT(CHAR(seq % 256), seq)"),
        ("bt", "a BIT(20) PRIMARY KEY", "seq * 3"),
        ("de", "a DECIMAL(30,10) PRIMARY KEY", "seq / 7 - 10"),
        ("fl", "a FLOAT PRIMARY KEY", "seq / 7 - 10"),
        ("db", "a DOUBLE PRIMARY KEY", "seq / 7 - 10"),
        ("dt", "a DATETIME(6) PRIMARY KEY", "'2026-01-01' + INTERVAL seq MICROSECOND"),
        ("ts", "a TIMESTAMP(3) PRIMARY KEY", "'2026-01-01' + INTERVAL seq HOUR"),
        ("ti", "a TIME(2) PRIMARY KEY", "SEC_TO_TIME(seq / 10 - 5)"),
        ("uu", "a UUID PRIMARY KEY", "CONCAT('123e4567-e89b-12d3-a456-', LPAD(HEX(seq), 12, '0'))"),
        ("i6", "a INET6 PRIMARY KEY", "CONCAT('::', HEX(seq))"),
        ("en", "a ENUM('z','a','M') NOT NULL, b INT, PRIMARY KEY (a, b)", "1 + seq % 3, seq"),
        ("se", "a SET('z','a','M') NOT NULL, b INT, PRIMARY KEY (a, b)", "seq % 8, seq"),
        ("uq", "a INT NULL UNIQUE, b INT NOT NULL UNIQUE", "NULL, seq"),
        ("no", "a INT, b VARCHAR(9)", "IF(seq % 5, seq DIV 3, NULL), NULLIF(seq % 3, 0)"),
    ];
    for (name, columns, values) in keys {
        statements += &format!(
            "CREATE TABLE {name} ({columns}, v INT DEFAULT 1) CHARACTER SET latin1;\
             INSERT INTO {name} SELECT {values}, 1 FROM seq_1_to_200;\n"
        );
    }
    server.query(&statements);
    for more in ["", "defaults: {mask: [a]}"] {
        let config = watched(
            &server,
            &format!("tables: {{'*': {{}}, no: {{identify: {{columns: [a, b]}}}}}}\n{more}"),
        );
        let mut reader = MysqlReader::new(&config).unwrap();
        let tables = tables(&config).await;
        assert_eq!(tables.len(), keys.len());
        for table in tables {
            let whole = all_rows(&mut reader, &table).await;
            assert_eq!(whole.len(), 200, "{}", table.name);
            let (mut rows, mut after) = (Vec::new(), None);
            let mut digests = Vec::new();
            loop {
                let part = reader.rows_after(&table, &MASK, after.as_ref(), 30).await.unwrap();
                let Some(last) = part.last() else { break };
                let digest = reader.digest_after(&table, &MASK, after.as_ref(), 30).await.unwrap();
                assert_eq!(
                    (digest.rows, digest.digest),
                    (part.len() as u64, digest_of(&part)),
                    "{} {:?}",
                    table.name,
                    digest.scan
                );
                assert_eq!(reader.rows(&table, &MASK, &digest.scan).await.unwrap(), part, "{}", table.name);
                after = Some(table.key_of(last));
                let ended = matches!(&digest.scan, Scan::Range { upto: None, .. });
                digests.push(digest);
                rows.extend(part);
                if ended {
                    break;
                }
            }
            assert_eq!(rows.len(), 200, "{}: {} parts", table.name, digests.len());
            assert_eq!(digest_of(&rows), digest_of(&whole), "{}", table.name);
            if table.is_ordered() {
                let orders: Vec<_> =
                    whole.iter().map(|row| table.order_of(&table.key_of(row)).unwrap()).collect();
                assert!(orders.is_sorted(), "{}", table.name);
            }
            for bits in [0, 3, 32] {
                let buckets = reader.digest_buckets(&table, &MASK, bits, 0..=u32::MAX).await.unwrap();
                assert_eq!(
                    buckets.iter().map(|bucket| bucket.rows).sum::<u64>(),
                    200,
                    "{} {bits}",
                    table.name
                );
                for bucket in buckets.iter().take(3) {
                    let rows = reader.rows(&table, &MASK, &bucket.scan).await.unwrap();
                    assert_eq!(bucket.digest, digest_of(&rows), "{} {:?}", table.name, bucket.scan);
                    let Scan::Bucket { bucket, .. } = bucket.scan else { panic!() };
                    for row in rows {
                        let [a, b, c, d, ..] = row_hash(&table.key_of(&row));
                        let first = u64::from(u32::from_be_bytes([a, b, c, d]));
                        assert_eq!(first >> (32 - u32::from(bits)), u64::from(bucket), "{}", table.name);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_view_stays_as_it_is_while_others_write() {
    let server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE a (id INT PRIMARY KEY); INSERT INTO a VALUES (1)");
    let config = watched(&server, "");
    let table = table(&config, "a").await;
    let mut reader = MysqlReader::new(&config).unwrap();
    let before = reader.position().await.unwrap();
    let begun = reader.begin_snapshot().await.unwrap();
    assert_eq!(begun, before);
    server.query("INSERT INTO a VALUES (2)");
    assert_eq!(all_rows(&mut reader, &table).await.len(), 1);
    assert!(reader.position().await.unwrap() > begun);
    reader.end_snapshot().await.unwrap();
    assert_eq!(all_rows(&mut reader, &table).await.len(), 2);
    assert!(reader.server().await.unwrap().unwrap().starts_with("mariadb "));
}

#[tokio::test]
async fn a_query_of_ones_own_can_only_read() {
    let server = MariaDb::started_with_log(&[]);
    server.query("CREATE TABLE a (id INT PRIMARY KEY, b VARCHAR(9)); INSERT INTO a VALUES (1, NULL), (2, 'x'), (3, 'y')");
    let mut reader = MysqlReader::new(&watched(&server, "")).unwrap();
    let second = Duration::from_secs(1);
    let rows = reader.query("SELECT id, b FROM a ORDER BY id", second, 2).await.unwrap();
    assert_eq!(rows, [[Cell::of("1"), Cell::Null], [Cell::of("2"), Cell::of("x")]]);
    for refused in [
        "DELETE FROM a",
        "SELECT 1; DELETE FROM a",
        "COMMIT",
        "ANALYZE DELETE FROM a",
        "SELECT nothing FROM a",
        "SELECT * FROM a INTO OUTFILE '/tmp/never'",
    ] {
        let answer = reader.query(refused, second, 10).await;
        assert!(matches!(answer, Err(DbError::Refused(_))), "{refused}: {answer:?}");
    }
    let slow = reader.query("SELECT SLEEP(20) FROM a", second / 4, 10).await;
    assert!(
        slow.as_ref().is_ok_and(|rows| rows[0][0] == Cell::of("1")) || matches!(slow, Err(DbError::Again(_))),
        "{slow:?}"
    );
    assert_eq!(reader.query("SELECT COUNT(*) FROM a", second, 10).await.unwrap(), [[Cell::of("3")]]);
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_mends_it() {
    let server = MariaDb::started_with_log(&[
        "--binlog-row-image=MINIMAL",
        "--log-bin-compress=ON",
        "--sync-binlog=0",
    ]);
    server.query(
        "CREATE TABLE good (id INT PRIMARY KEY); CREATE TABLE keyless (id INT); CREATE VIEW seen AS SELECT * FROM good;\
         CREATE TABLE packed (id INT PRIMARY KEY, t TEXT COMPRESSED); CREATE TABLE old (id INT PRIMARY KEY) ENGINE=MyISAM;\
         CREATE TABLE versions (id INT PRIMARY KEY) WITH SYSTEM VERSIONING;\
         CREATE USER auditor@'127.0.0.1'; GRANT SELECT ON test.* TO auditor@'127.0.0.1'",
    );
    let auditor = config(&server.url_for("auditor"), "tables: {'*': {}, gone: {}}");
    let mut reader = MysqlReader::new(&auditor).unwrap();
    let mut findings = reader.check(&auditor).await.unwrap();
    findings.retain(|finding| finding.level == Level::Error);
    let mut found: Vec<&str> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "BINLOG MONITOR",
            "REPLICATION SLAVE",
            "binlog_row_image",
            "log_bin_compress",
            "test.gone",
            "test.keyless",
            "test.packed",
            "test.versions",
        ],
        "{findings:#?}"
    );
    assert!(matches!(reader.position().await, Err(DbError::Refused(_))));
    // What it says is done, and then only what is the table's own stays.
    for finding in &findings {
        let remedy = finding.remedy.as_deref().unwrap_or_default().split(", and").next().unwrap();
        if remedy.starts_with("SET GLOBAL") || remedy.starts_with("GRANT") && !remedy.contains("gone") {
            server.query(remedy);
        }
    }
    let mut reader = MysqlReader::new(&auditor).unwrap();
    let findings = reader.check(&auditor).await.unwrap();
    let errors: Vec<&str> =
        findings.iter().filter(|f| f.level == Level::Error).map(|f| f.subject.as_str()).collect();
    assert_eq!(errors, ["test.keyless", "test.packed", "test.versions", "test.gone"]);
    assert!(findings.iter().any(|f| f.subject == "REPLICATION SLAVE" && f.opens.is_some()));
    for warned in ["sync_binlog", "test.old"] {
        assert!(findings.iter().any(|f| f.subject == warned && f.level == Level::Warning), "{warned}");
    }
    let root = watched(&server, "tables: {good: {}}");
    let findings = MysqlReader::new(&root).unwrap().check(&root).await.unwrap();
    assert!(findings.iter().any(|f| f.level == Level::Warning && f.message.contains("ALL PRIVILEGES")));
    let nobody = config(&server.url_for("nobody"), "");
    let refused = MysqlReader::new(&nobody).unwrap().position().await;
    assert!(matches!(refused, Err(DbError::Refused(_))), "{refused:?}");
}
