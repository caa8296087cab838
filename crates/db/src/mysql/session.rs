//! A connection for statements: made when it is needed, thrown away when it was interrupted, and what its errors mean.

use std::time::Duration;

use attestry_wire::sql::{Login, LoginError, MysqlLogin};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Value};

use crate::config::WatchConfig;
use crate::database::DbError;

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) mariadb: bool,
    /// Major, minor, patch.
    pub(super) version: (u16, u16, u16),
}

/// A row of a text result.
pub(crate) type Row = Vec<Option<Vec<u8>>>;

pub(crate) struct Session {
    login: MysqlLogin,
    timeout: Duration,
    open: Option<Open>,
}

struct Open {
    connection: Conn,
    server: Server,
}

/// How the configuration comes into the server.
pub(super) fn login(config: &WatchConfig) -> Result<MysqlLogin, DbError> {
    let login = Login {
        url: &config.url,
        password: config.password.as_ref(),
        tls: config.tls.as_ref(),
        plaintext: config.plaintext,
        timeout: config.timeout.0,
    };
    login.mysql().map_err(|error| DbError::Refused(error.to_string()))
}

impl Session {
    pub(crate) fn new(config: &WatchConfig) -> Result<Session, DbError> {
        Ok(Session { login: login(config)?, timeout: config.timeout.0, open: None })
    }

    pub(super) fn database(&self) -> &str {
        self.login.database()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the connection, and with it what was begun on it.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    pub(super) async fn server(&mut self) -> Result<Server, DbError> {
        self.connected().await.map(|open| open.server)
    }

    /// Runs a statement and gives its rows, as the texts the server gives.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>, DbError> {
        self.rows_within(sql, self.timeout).await
    }

    /// The same with another limit.
    pub(super) async fn rows_within(&mut self, sql: &str, limit: Duration) -> Result<Vec<Row>, DbError> {
        let mut rows = Vec::new();
        self.each_row(sql, limit, |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// Runs a statement that changes something, of which no error passes by itself unless it is known to.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), DbError> {
        self.ask(sql, self.timeout, drop, told_of_change).await
    }

    /// The rows of a statement, one after the other.
    pub(super) async fn each_row(
        &mut self,
        sql: &str,
        limit: Duration,
        take: impl FnMut(Row) + Send,
    ) -> Result<(), DbError> {
        self.ask(sql, limit, take, told).await
    }

    async fn ask(
        &mut self,
        sql: &str,
        limit: Duration,
        mut take: impl FnMut(Row) + Send,
        told: fn(&mysql_async::Error) -> DbError,
    ) -> Result<(), DbError> {
        self.connected().await?;
        // Put back only when it can be used again.
        let Some(mut open) = self.open.take() else { return Err(away()) };
        let asked = async {
            let (mut result, mut wrong) = (open.connection.query_iter(sql).await?, Ok(()));
            while let Some(row) = result.next().await? {
                match texts(row) {
                    Ok(row) => take(row),
                    Err(error) => wrong = Err(error),
                }
            }
            result.drop_result().await?;
            Ok(wrong)
        };
        let answered = tokio::time::timeout(limit, asked).await.map_err(|_| {
            DbError::Again(format!("the database did not answer within {} s", limit.as_secs_f32()))
        })?;
        match answered {
            Ok(done) => {
                self.open = Some(open);
                done
            }
            Err(error) => {
                if matches!(error, mysql_async::Error::Server(_)) {
                    self.open = Some(open);
                }
                Err(told(&error))
            }
        }
    }

    /// At most so many rows and bytes of somebody's own query: the rest is not fetched.
    pub(super) async fn some_rows(
        &mut self,
        sql: &str,
        limit: Duration,
        most_rows: u32,
        most_bytes: usize,
    ) -> Result<Vec<Row>, DbError> {
        self.connected().await?;
        let Some(mut open) = self.open.take() else { return Err(away()) };
        let fetched = async {
            let mut result = open.connection.query_iter(sql).await?;
            let (mut rows, mut bytes, mut all) = (Vec::new(), 0, false);
            while rows.len() < most_rows as usize && bytes < most_bytes {
                let Some(row) = result.next().await? else {
                    all = true;
                    break;
                };
                let row = texts(row);
                bytes += row.iter().flatten().flatten().map(Vec::len).sum::<usize>();
                rows.push(row);
            }
            Ok::<_, mysql_async::Error>((rows, all))
        };
        let fetched = tokio::time::timeout(limit, fetched)
            .await
            .map_err(|_| DbError::Again(format!("the query took longer than {} s", limit.as_secs_f32())))?;
        if matches!(fetched, Ok((_, true)) | Err(mysql_async::Error::Server(_))) {
            self.open = Some(open);
        }
        let (rows, _) = fetched.map_err(|error| told(&error))?;
        rows.into_iter().collect()
    }

    /// The first row.
    pub(super) async fn first(&mut self, sql: &str) -> Result<Option<Row>, DbError> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// Whether the server takes this as one statement that gives rows.
    pub(super) async fn gives_rows(&mut self, sql: &str) -> Result<bool, DbError> {
        let limit = self.timeout;
        self.connected().await?;
        let Some(mut open) = self.open.take() else { return Err(away()) };
        let prepared = async {
            let statement = open.connection.prep(sql).await?;
            let gives = statement.num_columns() > 0;
            open.connection.close(statement).await?;
            Ok::<bool, mysql_async::Error>(gives)
        };
        let prepared = tokio::time::timeout(limit, prepared).await.map_err(|_| away())?;
        if matches!(prepared, Ok(_) | Err(mysql_async::Error::Server(_))) {
            self.open = Some(open);
        }
        prepared.map_err(|error| told(&error))
    }

    async fn connected(&mut self) -> Result<&mut Open, DbError> {
        if self.open.is_none() {
            self.open = Some(self.connect().await?);
        }
        self.open.as_mut().ok_or_else(away)
    }

    async fn connect(&self) -> Result<Open, DbError> {
        // The longest GROUP_CONCAT that can be asked for: the server's memory is bounded by how much a chunk has.
        let connected = self.login.connect(vec![
            "SET NAMES utf8mb4",
            "SET SESSION character_set_results = NULL, time_zone = '+00:00', sql_mode = '', sql_auto_is_null = 0, \
             group_concat_max_len = 1073741824",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        ]);
        let mut connection = connected.await.map_err(|error| refused_or_away(&error))?;
        let asked: Option<String> =
            connection.query_first("SELECT VERSION()").await.map_err(|error| told(&error))?;
        let version = asked.unwrap_or_default();
        let server = Server { mariadb: version.contains("MariaDB"), version: numbers(&version) };
        Ok(Open { connection, server })
    }
}

fn away() -> DbError {
    DbError::Again("the connection to the database was lost".to_owned())
}

/// `10.11.19-MariaDB-0+deb12u1-log` as three numbers.
pub(super) fn numbers(version: &str) -> (u16, u16, u16) {
    // Old clients are told 5.5.5- before the version of a MariaDB.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

fn texts(row: mysql_async::Row) -> Result<Row, DbError> {
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            Value::NULL => Ok(None),
            Value::Bytes(bytes) => Ok(Some(bytes)),
            // The text protocol has nothing else.
            _ => Err(DbError::Again("the database answered in another form than was asked for".to_owned())),
        })
        .collect()
}

/// Of accounts, privileges, unknown names and syntax; settings; what a table may be.
const REFUSED: [u16; 26] = [
    1044, 1045, 1049, 1054, 1059, 1060, 1064, 1071, 1117, 1118, 1130, 1142, 1143, 1146, 1193, 1227, 1290,
    1370, 1381, 1386, 1698, 1792, 3118, 3159, 3172, 4031,
];

/// The server's words, where they cannot hold anything of what is in the tables; else only its number of the error.
pub(super) fn told(error: &mysql_async::Error) -> DbError {
    match error {
        mysql_async::Error::Server(error) => said(error.code, &error.state, &error.message),
        mysql_async::Error::Io(error) => DbError::Again(error.to_string()),
        // Shows the packet.
        mysql_async::Error::Driver(_) => {
            DbError::Again("the database answered in a way that is not understood".to_owned())
        }
        other => DbError::Again(other.to_string()),
    }
}

/// The same of a statement that changes something: what the server says against it, it says again. A table has rows that are too long, or names.
fn told_of_change(error: &mysql_async::Error) -> DbError {
    match (error, told(error)) {
        (mysql_async::Error::Server(error), DbError::Again(text)) if !PASSING.contains(&error.code) => {
            DbError::Refused(text)
        }
        // The driver does not send it; whether the server or the driver says so, it is said in these words.
        (mysql_async::Error::Io(error), _) if error.to_string().contains("max_allowed_packet") => {
            DbError::Refused("a row is longer than the server's max_allowed_packet".to_owned())
        }
        (_, told) => told,
    }
}

/// Too many connections, shutting down, locks, killed, out of time, no memory.
const PASSING: [u16; 14] =
    [1040, 1041, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1969, 3024];

/// What an error of the server means.
pub(super) fn said(code: u16, state: &str, message: &str) -> DbError {
    if REFUSED.contains(&code) {
        // A syntax error quotes the statement, in which the key of the masks may stand.
        let text = if code == 1064 { "this is no statement that the server understands" } else { message };
        return DbError::Refused(format!("{text} ({code})"));
    }
    if PASSING.contains(&code) {
        return DbError::Again(format!("{message} ({code})"));
    }
    DbError::Again(format!("the database refused a statement, error {code} ({state})"))
}

fn refused_or_away(error: &LoginError) -> DbError {
    // Not let in; no such database.
    let refused = ["ERROR 1045 ", "ERROR 1044 ", "ERROR 1049 ", "ERROR 1130 ", "ERROR 1698 "];
    if refused.iter().any(|code| error.reason.contains(code)) {
        return DbError::Refused(error.to_string());
    }
    DbError::Again(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("10.11.19-MariaDB-0+deb12u1-log", (10, 11, 19)),
            ("5.5.5-10.6.1-MariaDB", (10, 6, 1)),
            ("8.0.36", (8, 0, 36)),
            ("", (0, 0, 0)),
        ] {
            assert_eq!(numbers(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_nothing_of_what_is_in_the_tables() {
        let secret = "Truncated incorrect value: 'swordfish'";
        assert!(!said(1292, "22007", secret).to_string().contains("swordfish"));
        assert!(!said(1064, "42000", "near 'X'ABAB'' at line 1").to_string().contains("ABAB"));
        assert_eq!(
            said(1142, "42000", "SELECT command denied to user"),
            DbError::Refused("SELECT command denied to user (1142)".to_owned())
        );
        assert!(matches!(said(1053, "08S01", "Server shutdown in progress"), DbError::Again(_)));
        let server = |code, message: &str| {
            let (state, message) = ("42000".to_owned(), message.to_owned());
            mysql_async::Error::Server(mysql_async::ServerError { code, state, message })
        };
        for (error, refused) in [
            (server(1118, "Row size too large"), true),
            (server(1292, secret), true),
            (server(1142, "denied"), true),
            (server(1213, "Deadlock found"), false),
        ] {
            let told = told_of_change(&error);
            assert_eq!(matches!(told, DbError::Refused(_)), refused, "{told}");
            assert!(!told.to_string().contains("swordfish"), "{told}");
        }
    }
}
