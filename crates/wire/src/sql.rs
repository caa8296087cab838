//! The way out to a table of a database: PostgreSQL, MySQL or MariaDB, SQLite.
//!
//! The table is made when it is missing and migrated when it is older; the version of its form stands in a table beside it,
//! `<table>_schema`. Its key is (`ledger`, `event_source`, `event_id`), and an event whose key is there already is left out: what is offered
//! again after a lost connection is stored once. Times are UTC, with microseconds (PostgreSQL, MySQL) or nanoseconds (SQLite).
//!
//! A batch goes in by a few statements. A row that the database does not take (too long, a character it has no place for) is found by
//! halving the batch, and refused; the rest goes in.

mod login;
mod mysql;
mod postgres;
mod postgres_tls;
mod row;
mod schema;
mod sqlite;

use std::time::Duration;

use attestry_pipeline::{Failure, Parcel, Pending, Refused, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::tls::ClientTls;
use attestry_event::Period;

use row::Row;

pub use login::{
    Login, LoginError, MysqlLogin, OpenedLogin, OpenedPostgres, PostgresHost, PostgresLogin, ProgramLogin,
    told,
};

/// A table of a database.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// The database: `postgres://user@host:5432/database`, `mysql://user@host:3306/database` or `sqlite:///var/lib/events.db`.
    pub url: String,
    /// The user's password, which does not belong into `url`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The table. Default: attestry_events.
    #[serde(default = "table")]
    pub table: String,
    /// TLS: whom to believe, and a client certificate. Used unless the database is on this host.
    #[serde(default)]
    pub tls: Option<ClientTls>,
    /// Connects to another host without TLS, for everybody on the way to read. Default: no.
    #[serde(default)]
    pub plaintext: bool,
    /// How long connecting, or one statement, may take. Default: 30s.
    #[serde(default = "timeout")]
    pub timeout: Period,
}

fn table() -> String {
    "attestry_events".to_owned()
}

fn timeout() -> Period {
    Period::seconds(30)
}

/// Why there is no sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What was found and expected.
    pub reason: String,
}

impl SinkConfig {
    /// What is wrong: the field, and what was found and expected.
    pub fn check(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if let Err(ConfigError { field, reason }) = Database::new(self) {
            wrong.push((field, reason));
        }
        if !schema::is_table_name(&self.table) {
            let expected = "a name such as attestry_events: up to 48 letters, digits and _";
            wrong.push(("table", format!("found {:?}, expected {expected}", self.table)));
        }
        if self.tls.is_some() && self.plaintext {
            wrong.push(("plaintext", "found true and tls, expected one of them".into()));
        }
        if self.timeout.0.is_zero() {
            wrong.push(("timeout", "found 0s, expected a time".into()));
        }
        wrong
    }

    fn login(&self) -> Login<'_> {
        Login {
            url: &self.url,
            password: self.password.as_ref(),
            tls: self.tls.as_ref(),
            plaintext: self.plaintext,
            timeout: self.timeout.0,
        }
    }
}

/// What went wrong with rows.
#[derive(Debug)]
enum Fault {
    /// One of them is not taken, and never will be.
    Row(String),
    /// The database is away, full, or not as it should be.
    Away(String),
}

impl Fault {
    /// With the place where it happened before it.
    fn at(self, place: &str) -> Fault {
        match self {
            Fault::Row(reason) => Fault::Row(reason),
            Fault::Away(reason) => Fault::Away(format!("{place}: {reason}")),
        }
    }
}

/// The sink.
#[derive(Debug)]
pub struct SqlSink {
    database: Database,
    timeout: Duration,
}

#[derive(Debug)]
enum Database {
    Postgres(Box<postgres::Postgres>),
    Mysql(Box<mysql::Mysql>),
    Sqlite(Box<sqlite::Sqlite>),
}

impl Database {
    fn new(config: &SinkConfig) -> Result<Database, ConfigError> {
        let scheme = config.url.split_once("://").map(|(scheme, _)| scheme);
        match scheme {
            Some("postgres" | "postgresql") => {
                Ok(Database::Postgres(Box::new(postgres::Postgres::new(config)?)))
            }
            Some("mysql" | "mariadb") => Ok(Database::Mysql(Box::new(mysql::Mysql::new(config)?))),
            Some("sqlite") => Ok(Database::Sqlite(Box::new(sqlite::Sqlite::new(config)?))),
            _ => Err(ConfigError {
                field: "url",
                reason: "expected an address that begins with postgres://, mysql:// or sqlite://".to_owned(),
            }),
        }
    }

    /// Puts rows in, all or none.
    async fn insert(&mut self, rows: &[Row]) -> Result<(), Fault> {
        match self {
            Database::Postgres(postgres) => postgres.insert(rows).await,
            Database::Mysql(mysql) => mysql.insert(rows).await,
            Database::Sqlite(sqlite) => sqlite.insert(rows).await,
        }
    }

    /// How much goes into one statement, in rows and bytes.
    fn most(&self) -> (usize, usize) {
        match self {
            Database::Postgres(_) | Database::Sqlite(_) => (5_000, 32 << 20),
            Database::Mysql(_) => (mysql::STATEMENT_ROWS, mysql::STATEMENT_BYTES),
        }
    }
}

impl SqlSink {
    /// A sink that connects when it is first used.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(config: &SinkConfig) -> Result<SqlSink, ConfigError> {
        Ok(SqlSink { database: Database::new(config)?, timeout: config.timeout.0 })
    }

    async fn offer(&mut self, parcels: &[Parcel]) -> Result<Vec<Refused>, Failure> {
        let mut refused = Vec::new();
        let mut rows = Vec::with_capacity(parcels.len());
        for (at, parcel) in parcels.iter().enumerate() {
            match Row::of(at, parcel) {
                Ok(row) => rows.push(row),
                Err(reason) => refused.push(Refused { at, reason }),
            }
        }
        let mut waiting = statements(&rows, self.database.most());
        waiting.reverse();
        while let Some(part) = waiting.pop() {
            // A statement that is given up may have been done: the rows' key keeps it from being done twice.
            let inserted = tokio::time::timeout(self.timeout * 2, self.database.insert(part)).await;
            match inserted
                .unwrap_or_else(|_| Err(Fault::Away("the database did not answer in time".to_owned())))
            {
                Ok(()) => {}
                Err(Fault::Row(reason)) => match part {
                    [row] => refused.push(Refused { at: row.at, reason }),
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        waiting.extend([second, first]);
                    }
                },
                Err(Fault::Away(reason)) => {
                    // A refused event ends what counts as delivered: a failure has no place for its reason.
                    let open = part.first().map_or(0, |row| row.at);
                    let delivered = refused.iter().map(|refused| refused.at).fold(open, usize::min);
                    return Err(Failure::Again { delivered, reason, after: None });
                }
            }
        }
        refused.sort_by_key(|refused| refused.at);
        Ok(refused)
    }
}

/// Rows that go into one statement each.
fn statements(mut rows: &[Row], (most_rows, most_bytes): (usize, usize)) -> Vec<&[Row]> {
    let mut parts = Vec::new();
    while !rows.is_empty() {
        let mut bytes = 0;
        let fit = rows.iter().take(most_rows).take_while(|row| {
            bytes += row.bytes();
            bytes <= most_bytes
        });
        let (part, rest) = rows.split_at(fit.count().max(1));
        parts.push(part);
        rows = rest;
    }
    parts
}

impl Sink for SqlSink {
    fn deliver<'a>(&'a mut self, parcels: &'a [Parcel]) -> Pending<'a, Result<Vec<Refused>, Failure>> {
        Box::pin(self.offer(parcels))
    }
}

#[cfg(test)]
mod tests;
