//! Dumps as the real programs write them.

mod settings;

use std::io::{Read, Write as _};
use std::process::Command;

use attestry_db::dump::{DumpAudit, DumpError, Found, Side, Summary};
use attestry_db::mysql::MysqlReader;
use attestry_db::{Cell, MaskKey, Reader as _, Scan, WatchConfig};
use attestry_testkit::values::mariadb as hostile;
use attestry_testkit::{MariaDb, Postgres};

const MASK: MaskKey = MaskKey([7; 32]);

fn config(yaml: &str) -> WatchConfig {
    serde_saphyr::from_str(&format!("url: x\n{yaml}")).unwrap()
}

fn program(name: &str, options: &[&str], url: &str) -> Vec<u8> {
    let (_, port) = url.rsplit_once(':').unwrap();
    let (port, _) = port.split_once('/').unwrap();
    let mut command = Command::new(name);
    match name {
        "pg_dump" => command.args(["-h", "127.0.0.1", "-p", port, "-U", "test"]),
        _ => command.args(["--no-defaults", "-h", "127.0.0.1", "-P", port, "-u", "root"]),
    };
    let output = command.args(options).arg("test").output().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name} {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn dump(name: &str, bytes: &[u8]) -> Side<'static> {
    Side::Dump { name: name.to_owned(), reader: Box::new(std::io::Cursor::new(bytes.to_vec())) }
}

fn compare(
    config: &WatchConfig,
    schema: &str,
    memory: usize,
    before: Side<'_>,
    after: Side<'_>,
) -> Result<(Summary, Vec<Found>), DumpError> {
    let folder = tempfile::tempdir().unwrap();
    let audit = DumpAudit { config, schema, mask: &MASK, folder: folder.path(), memory };
    let mut found = Vec::new();
    let summary = audit.compare(before, after, &mut |what| {
        found.push(what);
        Ok(())
    })?;
    Ok((summary, found))
}

/// What was found, in short.
fn told(found: &[Found]) -> Vec<String> {
    let shown = |cell: &Cell| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Value(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Cell::Masked(_) => "(masked)".to_owned(),
    };
    let each = found.iter().map(|found| match found {
        Found::Note(note) => format!("note: {}", note.text),
        Found::Schema(name, what) => format!("{name}: {what}"),
        Found::Duplicate(name, key) => {
            format!("{name}: {} twice", key.iter().map(shown).collect::<Vec<_>>().join(","))
        }
        Found::Change(change) => {
            let what = match (&change.before, &change.after) {
                (Some(_), Some(_)) => "updated",
                (None, _) => "inserted",
                (_, None) => "deleted",
            };
            let key: Vec<String> = change.key.iter().map(shown).collect();
            let breaches: Vec<&str> =
                change.breaches.iter().map(|breach| breach.description.as_str()).collect();
            format!("{} {}: {what}: {}", change.table.name, key.join(","), breaches.join("; "))
        }
    });
    each.collect()
}

/// A dump of every type has the same cells as the database gives when it is asked, whatever options it was made with.
#[tokio::test]
async fn a_dump_of_mariadb_has_what_the_database_has() {
    let server = MariaDb::started_with_log(&[]);
    let mut statements = hostile::SESSION.to_owned() + &hostile::create() + ";\n";
    for row in 0..hostile::most() {
        statements += &hostile::insert(i64::try_from(row).unwrap() - 2, row);
    }
    server.query(&statements);
    server.query(
        "CREATE VIEW v AS SELECT id FROM t; CREATE TABLE no_key (a INT, b TEXT); INSERT INTO no_key VALUES (1, 'x'), (1, 'x'), (2, NULL);\n\
         CREATE TRIGGER after_no_key AFTER INSERT ON no_key FOR EACH ROW SET @x = 'INSERT INTO t VALUES (1);';\n\
         CREATE PROCEDURE p() INSERT INTO no_key VALUES (3, ';')",
    );
    let config: WatchConfig =
        serde_saphyr::from_str(&format!("url: {}\ntables: {{t: {{mask: [c4]}}}}", server.url_for("root")))
            .unwrap();
    let mut reader = MysqlReader::new(&config).unwrap();
    let table = reader
        .tables(&config)
        .await
        .unwrap()
        .into_iter()
        .find(|found| found.table.name.table == "t")
        .unwrap();
    let table = std::sync::Arc::new(table.table);
    let rows = reader.rows(&table, &MASK, &Scan::Range { after: None, upto: None }).await.unwrap();
    for options in [
        &["--routines", "--triggers"][..],
        &["--hex-blob"],
        &["--skip-extended-insert", "--complete-insert"],
        &["--databases"],
        &["--skip-opt", "--create-options"],
        &["--skip-quote-names"],
        &["--order-by-primary", "--single-transaction", "--net-buffer-length=4096"],
        &["--insert-ignore", "--no-autocommit", "--flush-privileges"],
        &["--replace", "--add-drop-trigger", "--skip-triggers"],
    ] {
        for name in ["mariadb-dump", "mysqldump"] {
            let bytes = program(name, options, &server.url());
            let side = Side::Rows {
                tables: vec![(*table).clone()],
                rows: Box::new(rows.iter().cloned().map(|row| Ok((0, row)))),
            };
            let (summary, found) = compare(&config, "test", 1 << 20, side, dump("d.sql", &bytes))
                .unwrap_or_else(|error| panic!("{name} {options:?}: {error}"));
            let told = told(&found);
            // MariaDB's programs write the values of computed columns, too.
            assert_eq!(told, Vec::<String>::new(), "{name} {options:?}");
            assert_eq!((summary.rows_before, summary.rows_after), (rows.len() as u64, rows.len() as u64));
        }
    }
    // Two dumps that were made differently say the same, the table without a key included.
    let config: WatchConfig = serde_saphyr::from_str(&format!("url: {}", server.url_for("root"))).unwrap();
    let one = program("mariadb-dump", &["--hex-blob"], &server.url());
    let two = program("mariadb-dump", &["--complete-insert", "--skip-extended-insert"], &server.url());
    let (summary, found) = compare(&config, "test", 1 << 20, dump("1", &one), dump("2", &two)).unwrap();
    assert_eq!((summary.tables, summary.rows_after), (2, rows.len() as u64 + 3), "{found:?}");
    assert_eq!(told(&found).len(), 1, "{found:?}");
    // What the rules cannot be held against is said, with the line.
    let cut = one.get(..one.len() / 2).unwrap();
    let error =
        compare(&config, "test", 1 << 20, dump("1", &one), dump("cut.sql", cut)).unwrap_err().to_string();
    assert!(error.starts_with("cut.sql, line ") && error.contains(": found "), "{error}");
    let latin1 = program("mariadb-dump", &["--default-character-set=latin1"], &server.url());
    let error =
        compare(&config, "test", 1 << 20, dump("1", &latin1), dump("2", &two)).unwrap_err().to_string();
    assert!(error.contains("found a dump in latin1, expected UTF-8"), "{error}");
}

const RULES: &str = "tables:
  accounts:
    mask: [secret]
    on_update:
      less: 'if decimal_lt!(.updated.balance, .original.balance) { \"the balance fell\" }'
    fields: {balance: {allow: all_updates}, name: {allow: update_from_null}}
  log: {}
";

const BEFORE: &str = "CREATE TABLE accounts (id BIGINT PRIMARY KEY, name VARCHAR(40), balance DECIMAL(20,2), secret VARCHAR(20));
CREATE TABLE log (id INT PRIMARY KEY, said VARCHAR(99));
CREATE TABLE other (id INT PRIMARY KEY);
INSERT INTO accounts VALUES (1, 'Alice', 10.00, 'a'), (2, NULL, 20.00, 'b'), (3, 'Bob', 30.00, 'c'), (4, 'Eve''s; \\\\ -- /*', 40, 'd');
INSERT INTO log VALUES (1, 'x'), (2, 'y');";

const AFTER: &str = "UPDATE accounts SET name = 'alice' WHERE id = 1;
UPDATE accounts SET name = 'Carol', balance = 20.01 WHERE id = 2;
UPDATE accounts SET balance = 29.99, secret = 'swordfish' WHERE id = 3;
DELETE FROM log WHERE id = 1;
INSERT INTO log VALUES (3, 'z');
INSERT INTO other VALUES (7);";

const EXPECTED: [&str; 5] = [
    "accounts 1: updated: Field name is different (Alice -- alice)",
    "accounts 2: updated: ",
    "accounts 3: updated: the balance fell; Field secret is different ((masked) -- (masked))",
    "log 1: deleted: Row was deleted",
    "log 3: inserted: ",
];

fn packed(with: &str, bytes: &[u8]) -> Vec<u8> {
    match with {
        "gz" => {
            // Two streams one after the other, as `cat a.gz b.gz` makes them.
            let (one, two) = bytes.split_at(bytes.len() / 2);
            let stream = |part: &[u8]| {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(part).unwrap();
                encoder.finish().unwrap()
            };
            [stream(one), stream(two)].concat()
        }
        "zst" => zstd::encode_all(bytes, 1).unwrap(),
        "bz2" => {
            let mut out = Vec::new();
            bzip2::read::BzEncoder::new(bytes, bzip2::Compression::fast()).read_to_end(&mut out).unwrap();
            out
        }
        _ => bytes.to_vec(),
    }
}

#[test]
fn changes_between_two_dumps_are_held_against_the_rules() {
    let expected = |schema: &str| EXPECTED.map(|line| format!("{schema}.{line}"));
    let config = config(RULES);
    let server = MariaDb::started();
    server.query(BEFORE);
    let before = program("mariadb-dump", &[], &server.url());
    server.query(AFTER);
    for (options, with) in [
        (&[][..], ""),
        (&["--hex-blob"], "gz"),
        (&["--skip-extended-insert"], "zst"),
        (&["--databases"], "bz2"),
    ] {
        let after = packed(with, &program("mysqldump", options, &server.url()));
        for memory in [1, 1 << 20] {
            let (summary, found) = compare(
                &config,
                "test",
                memory,
                dump("before", &packed(with, &before)),
                dump("after", &after),
            )
            .unwrap();
            assert_eq!(told(&found), expected("test"), "{options:?} {with}");
            assert_eq!((summary.updated, summary.inserted, summary.deleted, summary.breaches), (3, 1, 1, 4));
            assert!(!format!("{found:?}").contains("swordfish"));
        }
    }
    let server = Postgres::started();
    server.query(&BEFORE.replace("\\\\", "\\"));
    let before = program("pg_dump", &[], &server.url());
    server.query(AFTER);
    for (options, with) in [
        (&[][..], ""),
        (&["--inserts"], "gz"),
        (&["--column-inserts", "--rows-per-insert=2"], "zst"),
        (&["--clean", "--if-exists"], "bz2"),
    ] {
        let after = packed(with, &program("pg_dump", options, &server.url()));
        let (_, found) =
            compare(&config, "public", 1 << 20, dump("before", &before), dump("after", &after)).unwrap();
        assert_eq!(told(&found), expected("public"), "{options:?} {with}");
    }
    let custom = program("pg_dump", &["-Fc"], &server.url());
    let error =
        compare(&config, "public", 1, dump("a", &custom), dump("b", &custom)).unwrap_err().to_string();
    assert!(error.contains("a, line 1 (byte 0): found pg_dump's custom format"), "{error}");
}

const POSTGRES_TYPES: &str = r#"CREATE TYPE mood AS ENUM ('sad', 'it''s');
CREATE TABLE "T 1" (id BIGINT GENERATED ALWAYS AS IDENTITY, a SMALLINT, b INTEGER, c NUMERIC(40,10), d NUMERIC, e REAL, f DOUBLE PRECISION, g BOOLEAN,
  h TEXT, i VARCHAR(20), j CHAR(5), k BYTEA, l DATE, m TIME, n TIMETZ, o TIMESTAMP, p TIMESTAMPTZ, q INTERVAL, r JSON, s JSONB, t UUID, u INET,
  v INTEGER[], w TEXT[], x mood, y BIT(5), z BIT VARYING(9), "A.b" MONEY, twice INTEGER GENERATED ALWAYS AS (b * 2) STORED, xm XML, pt POINT, tsr TSRANGE,
  PRIMARY KEY (id));
CREATE TABLE parent (key TEXT NOT NULL, period INT, CONSTRAINT odd CHECK (period > 0));
CREATE TABLE child (vector INT, PRIMARY KEY (key)) INHERITS (parent);
INSERT INTO child VALUES ('k', 1, 2), ('l', 2, 3);
CREATE TABLE nothing ();
INSERT INTO nothing DEFAULT VALUES;
CREATE VIEW atomic AS SELECT key AS atomic FROM child;
CREATE FUNCTION f() RETURNS INTEGER LANGUAGE SQL BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;
CREATE FUNCTION g() RETURNS INTEGER LANGUAGE plpgsql AS $$ BEGIN INSERT INTO "T 1" (a) VALUES (1); RETURN 1; END $$;
INSERT INTO "T 1" (a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,"A.b",xm,pt,tsr) VALUES
 (-32768, 1, 0.1, 'NaN', '1e-45', 'NaN', true, E'a\tb\nc\\d\x01\u00e9', '', 'x', '\x00ff5c27', '2026-11-21', '12:30:00.5', '12:30:00+01', '2026-11-21 12:30:00.000001',
  '2026-11-21 12:30:00.5+05:30', '-1 year 2 days', '{"a":  1}', '{"a": 1}', '123e4567-e89b-12d3-a456-426655440000', '10.0.0.1/8', '{1,NULL}', '{"a,b",NULL,"NULL"}',
  'it''s', B'10101', B'', 12.5, '<a>&amp;</a>', '(1,2)', '[2026-01-01,2026-01-02)'),
 (NULL, NULL, -99999999999999999999.0000000001, 1e100, 'Infinity', '-Infinity', false, '\N', NULL, 'É', '', 'infinity', '24:00', '00:00:00-12', '-infinity', '0044-03-15 12:00+00 BC',
  '0', 'null', 'null', NULL, '::1', '{}', '{}', 'sad', B'00000', B'1', -0.01, NULL, NULL, 'empty'),
 (1, 2, 3, 4, 5, 6, NULL, '\.', ' ', '', '\x', '4713-01-01 BC', NULL, NULL, '294276-12-31 23:59:59', '2026-07-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);"#;

#[test]
fn dumps_of_postgresql_say_the_same_however_they_are_made() {
    let server = Postgres::started();
    server.query(POSTGRES_TYPES);
    let config = config("");
    let reference = program("pg_dump", &[], &server.url());
    for (options, zone) in [
        (&["--inserts"][..], "UTC"),
        (&["--column-inserts"], "UTC"),
        (&["--disable-dollar-quoting", "--quote-all-identifiers"], "UTC"),
        (&["--rows-per-insert=3", "--clean", "--create"], "UTC"),
        (&[], "Europe/Berlin"),
        (&["--inserts"], "America/St_Johns"),
    ] {
        server.query(&format!("ALTER DATABASE test SET timezone = '{zone}'"));
        let bytes = program("pg_dump", options, &server.url());
        let (summary, found) = compare(&config, "public", 1 << 20, dump("1", &reference), dump("2", &bytes))
            .unwrap_or_else(|error| panic!("{options:?}: {error}"));
        let told = told(&found);
        assert_eq!(told, Vec::<String>::new(), "{options:?} {zone}");
        assert_eq!((summary.tables, summary.rows_before, summary.rows_after), (3, 5, 5));
    }
    server.query(
        "UPDATE child SET vector = 9 WHERE key = 'l'; ALTER TABLE parent ADD CONSTRAINT u UNIQUE (key)",
    );
    let bytes = program("pg_dump", &[], &server.url());
    let (_, found) = compare(&config, "public", 1 << 20, dump("1", &reference), dump("2", &bytes)).unwrap();
    assert_eq!(told(&found), ["public.child l: updated: Field vector is different (3 -- 9)"]);
}

/// A dump that is made while it is read, of so many rows.
struct Made {
    rows: u64,
    next: u64,
    changed: u64,
    line: std::io::Cursor<Vec<u8>>,
}

impl Made {
    fn new(rows: u64, changed: u64) -> Made {
        let head = "-- MariaDB dump\n/*!40103 SET TIME_ZONE='+00:00' */;\nCREATE TABLE `t` (`id` int NOT NULL, `v` text, `n` decimal(10,2), PRIMARY KEY (`id`));\nINSERT INTO `t` VALUES ";
        Made { rows, next: 0, changed, line: std::io::Cursor::new(head.as_bytes().to_vec()) }
    }
}

impl Read for Made {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let read = self.line.read(buffer)?;
            if read > 0 || self.next > self.rows {
                return Ok(read);
            }
            // All in one statement and one line; the order has nothing to do with the keys.
            let id = self.next * 7_919 % self.rows;
            let text = if id == self.changed { "changed" } else { "it\\'s \\\\ the same" };
            let line = match self.next {
                last if last == self.rows => ";\n-- Dump completed\n".to_owned(),
                first => format!("{}({id},'{text} {id:060}',{id}.50)", if first == 0 { "" } else { "," }),
            };
            self.next += 1;
            self.line = std::io::Cursor::new(line.into_bytes());
        }
    }
}

#[test]
fn a_dump_is_read_from_a_pipe_in_bounded_memory() {
    const ROWS: u64 = 100_003;
    let config = config("");
    let side = |changed| Side::Dump { name: "pipe".to_owned(), reader: Box::new(Made::new(ROWS, changed)) };
    let (summary, found) = compare(&config, "test", 1 << 20, side(5), side(77_777)).unwrap();
    assert_eq!(found.len(), 2, "{:?}", told(&found));
    assert_eq!(
        (summary.rows_before, summary.rows_after, summary.updated, summary.breaches),
        (ROWS, ROWS, 2, 2)
    );
}

#[test]
fn what_is_not_understood_is_said() {
    let head = "-- MySQL dump\nCREATE TABLE `a` (`id` int NOT NULL PRIMARY KEY, `b` int);\n";
    let end = "\n-- Dump completed\n";
    let config = config("");
    for (rest, expected) in [
        ("INSERT INTO `a` VALUES (1,2)", "found the end of the dump, expected"),
        ("INSERT INTO `a` VALUES (1);", "line 3 (byte 99): found ')' after 1 values, expected 2 values"),
        ("INSERT INTO `a` VALUES (1,2,3);", "found ',' after 2 values, expected 2 values"),
        ("INSERT INTO `a` VALUES (1,now());", "found '(' after 2 values, expected 2 values"),
        (
            "INSERT INTO `a` VALUES (1,DEFAULT);",
            "found a value of the column b of test.a, expected a value: a number, a text, bytes or NULL",
        ),
        ("INSERT INTO `a` VALUES (1,2) (3,4);", "found '(', expected ',' or ';'"),
        ("INSERT INTO `a` (`id`) VALUES (1);", "rows without the column b"),
        (
            "INSERT INTO `a` (`id`,`c`) VALUES (1,2);",
            "found the column c, expected each column of test.a once",
        ),
        ("INSERT INTO `a` SELECT 1;", "found SELECT, expected VALUES"),
        ("INSERT INTO `x` VALUES (1);", "found rows of the table test.x, expected CREATE TABLE before it"),
        ("CREATE TABLE `c` (`id` int", "found the end of the dump, expected ')'"),
    ] {
        let bytes = format!("{head}{rest}{}", if rest.ends_with(';') { end } else { "" });
        let error = compare(&config, "test", 1, dump("a", bytes.as_bytes()), dump("b", b"-- MySQL dump"))
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{rest}: {error}");
    }
    for (rest, expected) in [
        ("DELETE FROM `a`;", "a statement that is not understood, and was left out: DELETE …"),
        (
            "LOAD DATA INFILE 'x' INTO TABLE a;",
            "a statement that is not understood, and was left out: LOAD …",
        ),
        (
            "ALTER TABLE `a` ADD COLUMN `c` int;",
            "ALTER TABLE test.a changes columns, which is not understood and was left out",
        ),
        (
            "USE `more`;\nCREATE TABLE `a` (`id` int);",
            "1 tables of other schemas than test, left out: more.a",
        ),
        ("INSERT INTO `a` VALUES (1,2),(1,3);", "test.a: 1 twice"),
    ] {
        let bytes = format!("{head}{rest}{end}");
        let (_, found) = compare(
            &config,
            "test",
            1,
            dump("a", bytes.as_bytes()),
            dump("b", format!("{head}{end}").as_bytes()),
        )
        .unwrap();
        assert!(told(&found).iter().any(|told| told.contains(expected)), "{rest}: {:?}", told(&found));
    }
    let bare = format!("{head}INSERT INTO `a` VALUES (1,2);\n");
    let (_, found) =
        compare(&config, "test", 1, dump("a", bare.as_bytes()), dump("b", bare.as_bytes())).unwrap();
    assert_eq!(
        told(&found),
        ["note: the mark at its end is missing: it may be cut off, or was made without comments"; 2]
    );
    for nothing in [&b""[..], b"hello", b"\x1f\x8b\x08"] {
        assert!(compare(&config, "test", 1, dump("a", nothing), dump("b", nothing)).is_err());
    }
}
