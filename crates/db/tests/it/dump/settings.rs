//! What a server's settings and a column's character set make of a dump, and nothing else does.

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
