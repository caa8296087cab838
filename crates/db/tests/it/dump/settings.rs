//! What a server's settings and a column's character set make of a dump, and nothing else does.

use std::sync::Arc;

use attestry_db::postgres::PostgresReader;
use attestry_db::{Cell, Table};

use super::*;

/// A trigger and a routine are created in the mode that held when they were, and the rows after them are read in the dump's own.
#[test]
fn the_mode_of_a_trigger_is_not_that_of_rows() {
    let server = MariaDb::started();
    server.query(
        r"CREATE TABLE a (id INT PRIMARY KEY, b TEXT); CREATE TABLE b LIKE a; CREATE TABLE c LIKE a;
          INSERT INTO a VALUES (1, 'it\'s \\ one'), (2, '\\'), (3, '\n''');
          INSERT INTO b SELECT * FROM a; INSERT INTO c SELECT * FROM a",
    );
    let before = program("mariadb-dump", &[], &server.url());
    server.query(
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE TRIGGER ta BEFORE INSERT ON a FOR EACH ROW SET @x = '\\\\';
         SET sql_mode = 'ANSI_QUOTES'; CREATE TRIGGER tb BEFORE INSERT ON b FOR EACH ROW SET @x = (SELECT max(\"id\") FROM \"a\");
         CREATE PROCEDURE p() SELECT \"b\" FROM \"a\";
         SET sql_mode = 'ORACLE,NO_BACKSLASH_ESCAPES';
         DELIMITER //
         CREATE PROCEDURE q() AS BEGIN SELECT 1; END //",
    );
    server.query("UPDATE c SET b = 'other' WHERE id = 2");
    let config = config("tables: {'*': {allow: all_updates}}");
    for options in [
        &[][..],
        &["--single-transaction", "--quick", "--skip-lock-tables", "--hex-blob", "--routines"],
        &["--databases", "--routines", "--skip-extended-insert"],
    ] {
        for name in ["mariadb-dump", "mysqldump"] {
            let after = program(name, options, &server.url());
            let mode = b"NO_BACKSLASH_ESCAPES";
            assert!(after.windows(mode.len()).any(|window| window == mode));
            let (_, found) =
                compare(&config, "test", 1 << 20, dump("before", &before), dump("after", &after))
                    .unwrap_or_else(|error| panic!("{name} {options:?}: {error}"));
            assert_eq!(told(&found), ["test.c 2: updated: "], "{name} {options:?}");
        }
    }
    let ansi = program("mariadb-dump", &["--compatible=ansi"], &server.url());
    let error = compare(&config, "test", 1, dump("a", &ansi), dump("b", &before)).unwrap_err().to_string();
    assert!(error.contains("found a dump in the mode ANSI, expected one without --compatible"), "{error}");
}

fn side(table: &Table, rows: &[Vec<Cell>]) -> Side<'static> {
    let rows: Vec<_> = rows.iter().cloned().map(|row| Ok((0, row))).collect();
    Side::Rows { tables: vec![table.clone()], rows: Box::new(rows.into_iter()) }
}

/// What a database says that a copy has: this table, and its rows.
async fn copied(
    reader: &mut impl attestry_db::Reader,
    config: &WatchConfig,
    name: &str,
) -> (Table, Vec<Vec<Cell>>) {
    let tables = reader.tables(config).await.unwrap();
    let table = Arc::new(tables.into_iter().find(|found| found.table.name.table == name).unwrap().table);
    let rows = reader.rows(&table, &MASK, &Scan::Bucket { bits: 0, bucket: 0 }).await.unwrap();
    ((*table).clone(), rows)
}

/// Texts of every character set that a server has: equal ones are not told of, and what cannot be told apart is counted.
#[tokio::test]
async fn texts_of_any_character_set_are_compared_with_a_copy() {
    let server = MariaDb::started();
    let sets = server.query("SELECT character_set_name FROM information_schema.character_sets ORDER BY 1");
    let sets: Vec<&str> = sets.lines().filter(|set| *set != "binary").collect();
    let columns: Vec<String> =
        sets.iter().map(|set| format!(", {set} VARCHAR(100) CHARACTER SET {set}")).collect();
    let ascii: String = (' '..='~')
        .map(|char| if "'\\".contains(char) { format!("\\{char}") } else { char.into() })
        .collect();
    let mut statements = format!(
        "SET sql_mode = ''; CREATE TABLE t (id INT PRIMARY KEY, secret VARCHAR(9) CHARACTER SET greek{});
         CREATE TABLE k (name VARCHAR(9) CHARACTER SET greek PRIMARY KEY, n INT); INSERT INTO k VALUES ('a', 1), ('b', 1), ('α', 1);\n",
        columns.join("")
    );
    let texts =
        [ascii.as_str(), "é€", "ąž", "яж", "αβ", "אב", "ก", "ა", "Ա", "中一", "あ", "한", "", "\u{1F600}"];
    for (id, text) in texts.iter().enumerate() {
        let values = format!(", '{text}'").repeat(sets.len());
        statements += &format!("INSERT INTO t VALUES ({id}, 'x'{values});\n");
    }
    server.query(&statements);
    let config: WatchConfig = serde_saphyr::from_str(&format!(
        "url: {}\ntables: {{t: {{mask: [secret]}}, k: {{}}}}",
        server.url_for("root")
    ))
    .unwrap();
    let mut reader = MysqlReader::new(&config).unwrap();
    let (table, rows) = copied(&mut reader, &config, "t").await;
    let only_t = ["--ignore-table=test.k"];
    let bytes = program("mariadb-dump", &only_t, &server.url());
    let (summary, found) =
        compare(&config, "test", 1 << 20, side(&table, &rows), dump("t.sql", &bytes)).unwrap();
    assert_eq!(summary.rows_after, texts.len() as u64);
    // Their copies are exact.
    let exact = ["ascii", "latin1", "ucs2", "utf16", "utf16le", "utf32", "utf8mb3", "utf8mb4"];
    let expected: Vec<&str> = sets.iter().copied().filter(|set| !exact.contains(set)).collect();
    let unclear = |told: &str| {
        let (_, rest) = told.split_once("values of the column ")?;
        rest.split_once(" were not compared: ").map(|(column, _)| column.to_owned())
    };
    let told_of: Vec<String> =
        told(&found).iter().map(|told| unclear(told).unwrap_or(told.clone())).collect();
    assert!(expected.len() > 25 && told_of == expected, "{told_of:?}\n{expected:?}");

    // What is ASCII on one side at least is told; so is NULL.
    let changes: Vec<String> = sets.iter().map(|set| format!("{set} = 'x'")).collect();
    let changes = changes.join(", ");
    server.query(&format!("SET sql_mode = ''; UPDATE t SET {changes} WHERE id IN (0, 1); UPDATE t SET greek = NULL, secret = NULL WHERE id = 4"));
    let bytes = program("mariadb-dump", &only_t, &server.url());
    let (summary, found) =
        compare(&config, "test", 1 << 20, side(&table, &rows), dump("t.sql", &bytes)).unwrap();
    assert_eq!((summary.updated, summary.inserted, summary.deleted), (3, 0, 0));
    let changed = told(&found);
    for set in &sets {
        assert!(changed[0].contains(&format!("Field {set} is different")), "{set}: {}", changed[0]);
    }
    assert!(
        changed[1].contains("Field latin1 is different")
            && changed[1].contains("Field macroman is different")
    );
    assert_eq!(
        changed[2],
        "test.t 4: updated: Field secret is different ((masked) -- (masked)); Field greek is different (0xe1e2 -- NULL)"
    );

    // Rows that nothing finds again.
    let (table, rows) = copied(&mut reader, &config, "k").await;
    server.query("UPDATE k SET n = 2 WHERE name = 'b'; INSERT INTO k VALUES ('c', 1)");
    let bytes = program("mariadb-dump", &["--ignore-table=test.t"], &server.url());
    let (_, found) = compare(&config, "test", 1 << 20, side(&table, &rows), dump("k.sql", &bytes)).unwrap();
    assert_eq!(
        told(&found),
        [
            "test.k b: updated: Field n is different (1 -- 2)",
            "test.k c: inserted: ",
            "test.k: 2 rows of either side, whose key has the column name, were not compared: of the character set greek only ASCII is compared, and nothing that is masked",
        ]
    );
}

const ZONED: &str = r#"CREATE TABLE z (id INT PRIMARY KEY, a TIMESTAMPTZ, b TIMESTAMPTZ(3)[], c TSTZRANGE, d TSTZMULTIRANGE, e TSTZRANGE[], f MONEY, g TIMETZ, h MONEY[],
  secret TSTZRANGE, twice INT GENERATED ALWAYS AS (id * 2) STORED);
SET timezone = 'UTC';
INSERT INTO z VALUES
 (1, '2026-11-21 12:30:00.5', '{"2026-07-01 00:00:00.125",NULL,infinity}', '[2026-07-01 00:00:00,2026-11-21 12:00:00)', '{[2026-07-01,2026-08-01),[2026-11-21,)}',
  '{"[2026-07-01 00:00:00,2026-11-21 12:00:00)",empty}', 1234.5, '12:00+01', '{1.5}', '[2026-07-01,)'),
 (2, '0044-03-15 12:00:00 BC', '{{"1883-11-18 12:00:00"},{"0044-03-15 12:00:00 BC"}}', '(,)', '{}', '{}', -0.01, NULL, '{}', 'empty'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);"#;

/// A copy has all times in UTC; a dump has them in the time zone of whoever made it.
#[tokio::test]
async fn times_of_any_zone_are_compared_with_a_copy() {
    let server = Postgres::started();
    server.query(ZONED);
    let config: WatchConfig = serde_saphyr::from_str(&format!(
        "url: {}\nstream: false\ntables: {{z: {{mask: [secret, twice]}}}}",
        server.url()
    ))
    .unwrap();
    let mut reader = PostgresReader::new("dump", &config).unwrap();
    let (table, rows) = copied(&mut reader, &config, "z").await;
    let computed =
        "public.z: the column twice, which the database computes, is not in the dump and was not compared";
    for (zone, options) in [("UTC", &[][..]), ("America/St_Johns", &["--inserts"]), ("Europe/Berlin", &[])] {
        server.query(&format!("ALTER DATABASE test SET timezone = '{zone}'"));
        let bytes = program("pg_dump", options, &server.url());
        let (summary, found) =
            compare(&config, "public", 1 << 20, side(&table, &rows), dump("z.sql", &bytes)).unwrap();
        let told = told(&found);
        assert_eq!(told, [computed], "{zone}");
        assert_eq!(summary.rows_after, 3);
    }
    server.query("UPDATE z SET c = '[2026-07-01 00:00:01,2026-11-21 12:00:00)', f = 1234.51, h = '{1.51}' WHERE id = 1");
    let bytes = program("pg_dump", &[], &server.url());
    let (_, found) = compare(&config, "public", 1 << 20, side(&table, &rows), dump("z.sql", &bytes)).unwrap();
    let told = told(&found);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(
        told[1].contains("Field c is different")
            && told[1].ends_with("Field f is different ($1,234.50 -- $1,234.51)"),
        "{told:#?}"
    );
    assert!(told[2].starts_with("public.z: 1 values of the column h were not compared: "), "{told:#?}");
}

/// Whose dump it is says its beginning, and not what stands in its rows.
#[test]
fn rows_do_not_say_whose_dump_it_is() {
    let config = config("");
    let mysql = |text: &str| {
        format!(
            "-- MySQL dump\nCREATE TABLE `t` (`id` int NOT NULL, `b` text, PRIMARY KEY (`id`));\nINSERT INTO `t` VALUES (1,'{text}');\n-- Dump completed\n"
        )
    };
    let postgres = |text: &str| {
        format!(
            "--\n-- PostgreSQL database dump\n--\nCREATE TABLE public.t (id integer NOT NULL PRIMARY KEY, b text);\nCOPY public.t (id, b) FROM stdin;\n1\t{text}\n\\.\n--\n-- PostgreSQL database dump complete\n"
        )
    };
    let texts =
        ["", "pg_catalog.now() PostgreSQL database dump SET standard_conforming_strings", "`MySQL dump` /*!"];
    for (schema, made) in [("test", &mysql as &dyn Fn(&str) -> String), ("public", &postgres)] {
        let before = made("x");
        for text in texts {
            let after = made(text);
            let (summary, _) =
                compare(&config, schema, 1, dump("a", before.as_bytes()), dump("b", after.as_bytes()))
                    .unwrap();
            assert_eq!((summary.tables, summary.updated), (1, 1), "{after}");
        }
    }
}

/// MySQL's and PostgreSQL's dumps have no values of columns that are computed.
#[test]
fn rules_of_columns_that_are_not_in_a_dump_are_left_out() {
    let config = config(
        "tables:
  t:
    mask: [hidden]
    on_update: {more: 'if .updated.total > 10 { \"more\" }', other: 'if .updated.b > 10 { \"b is more\" }'}
    fields: {total: {allow: all_updates}, b: {allow: all_updates}}",
    );
    let made = |b: u32| {
        format!(
            "-- MySQL dump\nCREATE TABLE `t` (`id` int NOT NULL, `b` int NOT NULL, `total` int GENERATED ALWAYS AS (`b` * 2) STORED NOT NULL, `hidden` int GENERATED ALWAYS AS (`b` + 1) VIRTUAL, PRIMARY KEY (`id`));\n\
             INSERT INTO `t` (`id`, `b`) VALUES (1,{b});\n-- Dump completed\n"
        )
    };
    let (_, found) =
        compare(&config, "test", 1, dump("a", made(1).as_bytes()), dump("b", made(20).as_bytes())).unwrap();
    assert_eq!(
        told(&found),
        [
            "test.t: the rule more was left out: it needs a column that the database computes, which is not in the dump",
            "test.t 1: updated: b is more",
        ]
    );
}
