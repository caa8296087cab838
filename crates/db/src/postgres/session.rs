//! A session: its settings, its prepared statements, and what its errors mean.

use std::collections::HashMap;
use std::time::Duration;

use attestry_wire::sql::{Login, LoginError, PostgresLogin, told};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, RowStream, Statement};

use crate::config::WatchConfig;
use crate::database::DbError;

/// What makes a value's text the same in every session: queries, and the decoding of the stream. Names are written with their schema, nothing is
/// hidden by row security without an error, and a look at a table uses one of the server's processors.
pub(super) const SETTINGS: &str = "-c datestyle=ISO,YMD -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=3 -c bytea_output=hex \
    -c lc_monetary=C -c search_path=pg_catalog -c row_security=off -c jit=off -c max_parallel_workers_per_gather=0 \
    -c synchronous_commit=local -c idle_in_transaction_session_timeout=0";

/// The server ends a statement that takes too long; a server that is gone without a word is given this much longer.
const GRACE: Duration = Duration::from_secs(10);

/// A prepared statement holds memory of the server: so many are kept, then all are forgotten.
const MAX_STATEMENTS: usize = 500;

/// A connection with prepared statements.
pub(crate) struct Session {
    client: Client,
    statements: HashMap<String, Statement>,
    place: String,
    time: Duration,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.place)
    }
}

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Connects. Statements that run longer than `time` are ended.
    pub(crate) async fn connect(login: &PostgresLogin, time: Duration) -> Result<Session, DbError> {
        Session::with_settings(login, time, "").await
    }

    /// The same, with further settings of the server.
    pub(super) async fn with_settings(
        login: &PostgresLogin,
        time: Duration,
        settings: &str,
    ) -> Result<Session, DbError> {
        let options = format!("{SETTINGS} -c statement_timeout={} {settings}", time.as_millis());
        let client = login.connect(&options).await.map_err(|error| not_let_in(&error))?;
        Ok(Session { client, statements: HashMap::new(), place: login.place(), time })
    }

    /// Whether the connection is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements that give nothing.
    pub(crate) async fn run(&self, sql: &str) -> Result<(), DbError> {
        self.in_time(self.client.batch_execute(sql)).await
    }

    /// Changes how long a statement may take.
    pub(super) async fn allow(&mut self, time: Duration) -> Result<(), DbError> {
        if self.time != time {
            self.run(&format!("SET statement_timeout = {}", time.as_millis())).await?;
            self.time = time;
        }
        Ok(())
    }

    /// The rows of a statement.
    pub(super) async fn rows(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, DbError> {
        let statement = self.prepared(sql).await?;
        self.in_time(self.client.query(&statement, parameters)).await
    }

    /// The only row of a statement.
    pub(super) async fn row(&mut self, sql: &str, parameters: Parameters<'_>) -> Result<Row, DbError> {
        let statement = self.prepared(sql).await?;
        self.in_time(self.client.query_one(&statement, parameters)).await
    }

    /// The rows of a statement, one after the other.
    pub(super) async fn stream(
        &mut self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<RowStream, DbError> {
        let statement = self.prepared(sql).await?;
        self.in_time(self.client.query_raw(&statement, parameters.iter().copied())).await
    }

    /// Runs one statement, which is not kept; of several it runs none.
    pub(super) async fn once(&self, sql: &str) -> Result<(), DbError> {
        self.in_time(self.client.execute(sql, &[])).await.map(drop)
    }

    /// The rows of a statement without parameters, as text.
    pub(crate) async fn texts(&self, sql: &str) -> Result<Vec<tokio_postgres::SimpleQueryMessage>, DbError> {
        self.in_time(self.client.simple_query(sql)).await
    }

    async fn prepared(&mut self, sql: &str) -> Result<Statement, DbError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.in_time(self.client.prepare(sql)).await?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DbError> {
        match tokio::time::timeout(self.time + GRACE, work).await {
            Ok(done) => done.map_err(|error| self.failed(&error)),
            Err(_) => Err(DbError::Again(format!("{}: the server does not answer", self.place))),
        }
    }

    /// What an error means to the one who asked.
    pub(super) fn failed(&self, error: &tokio_postgres::Error) -> DbError {
        meaning(&self.place, error)
    }
}

/// A value of a row.
pub(super) fn value<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    at: usize,
) -> Result<T, DbError> {
    row.try_get(at).map_err(|error| DbError::Refused(format!("an answer of another form: {error}")))
}

/// How to come into the database of a configuration.
pub(crate) fn login(config: &WatchConfig) -> Result<PostgresLogin, DbError> {
    let login = Login {
        url: &config.url,
        password: config.password.as_ref(),
        tls: config.tls.as_ref(),
        plaintext: config.plaintext,
        timeout: config.timeout.0,
    };
    login.postgres().map_err(|error| DbError::Refused(error.to_string()))
}

/// A wrong password or name stays wrong; everything else may pass. The server's code stands at the end of what it said.
fn not_let_in(error: &LoginError) -> DbError {
    let refused = ["(28000)", "(28P01)", "(3D000)", "(42501)", "(22023)", "(42704)"];
    match refused.iter().any(|code| error.reason.ends_with(code)) {
        true => DbError::Refused(error.to_string()),
        false => DbError::Again(error.to_string()),
    }
}

fn meaning(place: &str, error: &tokio_postgres::Error) -> DbError {
    match error.as_db_error() {
        Some(said) => meaning_of(place, said.code().code(), said.message()),
        None => DbError::Again(format!("{place}: {}", told(error))),
    }
}

/// What the server's words mean, by their SQLSTATE.
pub(super) fn meaning_of(place: &str, code: &str, text: &str) -> DbError {
    let class = code.get(..2).unwrap_or_default();
    // What the server says of a value that it cannot work with has the value in it, which may be one that is masked.
    if matches!(class, "22" | "23" | "P0") && code != SqlState::DIVISION_BY_ZERO.code() {
        return DbError::Refused(format!("{place}: a value that the server cannot work with ({code})"));
    }
    let message = format!("{place}: {text} ({code})");
    match class {
        // Connections, rollbacks, resources, states of objects, operators, the system.
        "08" | "25" | "40" | "53" | "55" | "57" | "58" | "XX" => DbError::Again(message),
        _ => DbError::Refused(message),
    }
}
