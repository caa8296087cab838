//! The database that is watched, in a folder of its own.

use std::time::Duration;

use anyhow::{Context, Result};
use attestry_db::Engine;
use attestry_testkit::{MariaDb, Postgres};

use crate::process::{Process, cpu_with_children};

/// The slot of the program that is compared with.
const PLAIN: &str = "plain";

pub(super) enum Database {
    MariaDb(MariaDb),
    Postgres(Postgres),
}

pub(super) fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Mysql => "MariaDB",
        Engine::Postgres => "PostgreSQL",
    }
}

impl Database {
    pub(super) fn start(engine: Engine) -> Database {
        match engine {
            Engine::Mysql => {
                let memory = ["--innodb-buffer-pool-size=2G", "--innodb-log-file-size=1G"];
                let server = MariaDb::started_with_log(&memory);
                server.query("GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO test@'127.0.0.1'");
                Database::MariaDb(server)
            }
            Engine::Postgres => {
                Database::Postgres(Postgres::started_logical(&["shared_buffers=2GB", "max_wal_size=8GB"]))
            }
        }
    }

    pub(super) fn url(&self) -> String {
        match self {
            Database::MariaDb(server) => server.url(),
            Database::Postgres(server) => server.url(),
        }
    }

    pub(super) fn query(&self, sql: &str) -> String {
        match self {
            Database::MariaDb(server) => server.query(sql),
            Database::Postgres(server) => server.query(sql),
        }
    }

    /// So that the stream does not say so.
    pub(super) fn behind(&self, table: &str, sql: &str) {
        self.query(&match self {
            Database::MariaDb(_) => format!("SET sql_log_bin = 0; {sql}"),
            Database::Postgres(_) => format!(
                "ALTER PUBLICATION attestry_bank DROP TABLE {table}; {sql}; ALTER PUBLICATION attestry_bank ADD TABLE {table}"
            ),
        });
    }

    /// The database's own program that follows the same changes, and does nothing with them.
    pub(super) fn follower(&self) -> Result<Process> {
        Process::start(&mut match self {
            Database::MariaDb(server) => server.follower(),
            Database::Postgres(server) => server.follower(PLAIN, "attestry_bank"),
        })
    }

    /// Forgets what the follower left.
    pub(super) fn followed(&self, follower: Process) {
        drop(follower);
        if let Database::Postgres(server) = self {
            // A slot is in use for a moment after its reader has gone.
            server.query(&format!(
                "DO $$ BEGIN
                   WHILE (SELECT active FROM pg_replication_slots WHERE slot_name = '{PLAIN}') LOOP PERFORM pg_sleep(0.05); END LOOP;
                   PERFORM pg_drop_replication_slot('{PLAIN}');
                 END $$"
            ));
        }
    }

    /// Numbers from 1 as a table of one column `n`.
    pub(super) fn numbers(&self, count: u64) -> String {
        match self {
            Database::MariaDb(_) => {
                format!("(SELECT CAST(seq AS SIGNED) AS n FROM seq_1_to_{count}) numbers")
            }
            Database::Postgres(_) => format!("generate_series(1::bigint, {count}) numbers(n)"),
        }
    }

    /// CPU time of all its processes so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let pid = match self {
            Database::MariaDb(server) => server.pid(),
            Database::Postgres(server) => server.pid(),
        };
        cpu_with_children(pid.context("it does not run")?)
    }
}
