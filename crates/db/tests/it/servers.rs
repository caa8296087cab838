//! Tests that run on both servers.

use attestry_testkit::{MariaDb, Postgres as PostgresServer};

/// What a test needs of a server.
pub(crate) trait Server: Send + Sync {
    fn query(&self, sql: &str) -> String;
    /// Does something to a table so that the stream does not say so.
    fn behind(&self, table: &str, sql: &str);
    /// Statements that the server has run so far.
    fn statements(&self) -> u64;
    /// Rows of a table that the server has read so far.
    fn rows_read(&self, table: &str) -> u64;
    fn quoted(&self, name: &str) -> String;
    /// A type of texts whose order only the database knows.
    const VARCHAR: &'static str;
    /// A type of texts that are the same when they differ in case, accents or trailing blanks, where there is one.
    const LENIENT: &'static str;
    /// Makes a view `left_over` of `amounts (balance)` that cannot be read once a balance is 0.
    const FAILS_LATE: &'static str;
    /// Drops the primary key `one` of a table `t`.
    const DROPS_KEY: &'static str;
    /// Gives the table another key, which the server makes up.
    const NEW_KEY: &'static str;
}

impl Server for MariaDb {
    fn query(&self, sql: &str) -> String {
        MariaDb::query(self, sql)
    }

    fn behind(&self, _table: &str, sql: &str) {
        self.query(&format!("SET sql_log_bin = 0; {sql}"));
    }

    fn statements(&self) -> u64 {
        let said = self.query("SHOW GLOBAL STATUS LIKE 'Questions'");
        said.split('\t').nth(1).unwrap().parse().unwrap()
    }

    fn rows_read(&self, table: &str) -> u64 {
        self.query("SET GLOBAL userstat = 1");
        let sql = "SELECT COALESCE(SUM(rows_read), 0) FROM information_schema.table_statistics";
        self.query(&format!("{sql} WHERE table_name = '{table}'")).trim().parse().unwrap()
    }

    const VARCHAR: &'static str = "VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";

    fn quoted(&self, name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    const LENIENT: &'static str = "VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
    const FAILS_LATE: &'static str =
        "CREATE VIEW left_over AS SELECT CAST(balance AS UNSIGNED) - 1 AS rest FROM amounts";
    const DROPS_KEY: &'static str = "ALTER TABLE t DROP PRIMARY KEY";
    const NEW_KEY: &'static str =
        "ALTER TABLE t DROP PRIMARY KEY, ADD COLUMN uid BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY";
}

impl Server for PostgresServer {
    fn query(&self, sql: &str) -> String {
        PostgresServer::query(self, sql)
    }

    fn behind(&self, table: &str, sql: &str) {
        self.query(&format!(
            "ALTER PUBLICATION attestry_bank DROP TABLE {table}; {sql}; ALTER PUBLICATION attestry_bank ADD TABLE {table}"
        ));
    }

    fn statements(&self) -> u64 {
        let sql = "SELECT pg_stat_clear_snapshot(), xact_commit FROM pg_stat_database WHERE datname = 'test'";
        self.query(sql).trim_start_matches('|').parse().unwrap()
    }

    fn rows_read(&self, table: &str) -> u64 {
        let sql = "SELECT pg_stat_clear_snapshot(), seq_tup_read FROM pg_stat_user_tables";
        let said = self.query(&format!("{sql} WHERE relname = '{table}'"));
        said.trim_start_matches('|').parse().unwrap()
    }

    const VARCHAR: &'static str = "VARCHAR(50) COLLATE \"en-x-icu\"";

    fn quoted(&self, name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    const LENIENT: &'static str = "TEXT COLLATE lenient";
    const FAILS_LATE: &'static str = "CREATE SEQUENCE s; CREATE VIEW left_over AS SELECT CASE WHEN balance = 0 THEN nextval('s') ELSE 0 END AS rest FROM amounts";
    const DROPS_KEY: &'static str = "ALTER TABLE t DROP CONSTRAINT one";
    const NEW_KEY: &'static str = "ALTER TABLE t DROP CONSTRAINT one, ADD COLUMN uid BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
}

/// Runs a test on both servers, watched with this configuration.
macro_rules! both {
    ($($test:ident: $more:expr;)*) => {$(
        mod $test {
            #[allow(unused_imports, reason = "a configuration may be a constant beside the test")]
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn mariadb() {
                let server = attestry_testkit::MariaDb::started_with_log(&[]);
                let database = |config| attestry_db::watch::Mysql { watch: "bank".to_owned(), config };
                let bench = crate::bench::Bench::new(database, &server.url_for("root"), $more);
                super::$test(&bench, &std::sync::Arc::new(server)).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgresql() {
                let server = attestry_testkit::Postgres::started_logical(&[]);
                server.query("CREATE COLLATION lenient (provider = icu, locale = 'und-u-ks-level1', deterministic = false)");
                let database = |config| attestry_db::watch::Postgres { watch: "bank".to_owned(), config };
                let bench = crate::bench::Bench::new(database, &server.url(), $more);
                super::$test(&bench, &std::sync::Arc::new(server)).await;
            }
        }
    )*};
}

pub(crate) use both;
