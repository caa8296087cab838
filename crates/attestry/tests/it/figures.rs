//! Figures that reports ask of watched databases, of the real servers: exact, of any type, never able to write, and bounded in time.

use std::fs;

use attestry_testkit::{MariaDb, Postgres, Scenario};

use crate::ATTESTRY;

const SCHEMA: &str = "CREATE TABLE entries (id INT PRIMARY KEY, account VARCHAR(40) NOT NULL, amount DECIMAL(30, 10) NOT NULL, note VARCHAR(40));
    INSERT INTO entries VALUES (1, 'cash', 12345678901234567890.0000000001, NULL), (2, 'cash', -0.0000000001, 'Zoë | <b>'), (3, 'bank', 7, '')";

/// A figure by its name and query.
fn figure(name: &str, query: &str, columns: &str) -> String {
    format!("      - {{name: {name}, sql: {{watch: bank, query: \"{query}\"{columns}}}}}\n")
}

fn figures(url: &str, sql: impl Fn(&str) -> String, slow: &str) {
    sql(SCHEMA);
    let mut scenario = Scenario::new(ATTESTRY);
    let folder = scenario.dir().join("own");
    fs::create_dir_all(&folder).unwrap();
    let mut report =
        "name: books\ntitle: Books\nsections:\n  - note: In all {total}.\n    figures:\n".to_owned();
    report += &figure("total", "SELECT SUM(amount) FROM entries", "");
    report += &figure(
        "accounts",
        "SELECT account, SUM(amount), MAX(note) FROM entries GROUP BY account ORDER BY account",
        ", columns: [account, sum, note]",
    );
    report += &figure("nothing", "SELECT note FROM entries WHERE id = 1", "");
    report += &figure("deleted", "DELETE FROM entries", "");
    report += &figure("twice", "SELECT 1; DELETE FROM entries", "");
    report += &figure(
        "many",
        "SELECT a.id FROM entries a, entries b, entries c, entries d, entries e, entries f, entries g",
        "",
    );
    report += &figure("missing", "SELECT 1 FROM nowhere", "");
    report += &figure("slow", slow, "");
    fs::write(folder.join("books.yaml"), report).unwrap();
    let config = format!(
        "audit:\n  bank:\n    url: {url}\nreports:\n  folders: [{}]\n  figure_timeout: 3s\n",
        folder.display()
    );
    fs::write(scenario.dir().join("attestry.yaml"), config).unwrap();
    scenario.start();
    let path = scenario.dir().join("books.md").to_str().unwrap().to_owned();
    scenario.attestry(&["report", "run", "books", "-o", &path]).is(0);
    let text = fs::read_to_string(&path).unwrap();
    for said in [
        // Every digit is there.
        "- total: 12345678901234567897.0000000000 (audit/",
        "In all 12345678901234567897.0000000000.",
        "- accounts: 2 rows (audit/",
        "| bank | 7.0000000000 |",
        "| cash | 12345678901234567890.0000000000 | Zoë",
        "- nothing: (NULL) (audit/",
        "- many: the first 1000 rows; there are more",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    for failed in ["deleted", "twice", "missing", "slow"] {
        let line = text.lines().find(|line| line.starts_with(&format!("- {failed}: ")));
        assert!(line.is_some_and(|line| line.contains("could not be had")), "{failed}: {line:?}\n{text}");
    }
    assert!(text.contains("nowhere"), "what the server said of it is told:\n{text}");
    assert_eq!(sql("SELECT COUNT(*) FROM entries"), "3", "nothing can write");
    // Made again from the ledger: the database is not asked, and may say what it likes by now.
    sql("DELETE FROM entries");
    scenario.attestry(&["report", "replay", &path]).is(0);
    scenario.finish();
}

#[test]
fn figures_of_a_mariadb() {
    let server = MariaDb::started_with_log(&[]);
    server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
    figures(&server.url(), |sql| server.query(sql), "SELECT SLEEP(600)");
}

#[test]
fn figures_of_a_postgresql() {
    let server = Postgres::started_logical(&[]);
    figures(&server.url(), |sql| server.query(sql), "SELECT pg_sleep(600)");
}
