//! MySQL and MariaDB: one statement with many rows. The session is strict, so that nothing is cut or adjusted in silence.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Value};

use super::login::MysqlLogin;
use super::row::{COLUMN_COUNT, Row};
use super::schema::{COLUMNS, Dialect, Holds, VERSION, column_names, migration, too_new};
use super::{ConfigError, Fault, SinkConfig};

/// A prepared statement has at most 65,535 parameters.
pub(super) const STATEMENT_ROWS: usize = 1_000;

/// Of the 16 MiB that a server takes by default.
pub(super) const STATEMENT_BYTES: usize = 8 << 20;

/// The server's words for a row that it does not take: ER_TRUNCATED_WRONG_VALUE and its like, ER_DATA_TOO_LONG,
/// ER_NET_PACKET_TOO_LARGE, ER_INVALID_JSON_TEXT, ER_CHECK_CONSTRAINT_VIOLATED, MariaDB's ER_CONSTRAINT_FAILED.
const ROW_ERRORS: [u16; 12] = [1048, 1105, 1153, 1264, 1265, 1292, 1366, 1406, 3140, 3141, 3819, 4025];

#[derive(Debug)]
pub(super) struct Mysql {
    login: MysqlLogin,
    table: String,
    connection: Option<Conn>,
}

impl Mysql {
    pub(super) fn new(settings: &SinkConfig) -> Result<Mysql, ConfigError> {
        Ok(Mysql { login: settings.login().mysql()?, table: settings.table.clone(), connection: None })
    }

    pub(super) async fn insert(&mut self, rows: &[Row]) -> Result<(), Fault> {
        // Put back only after success: what was interrupted is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let placeholders = format!("({})", ["?"; COLUMN_COUNT].join(", "));
        let statement = format!(
            "INSERT INTO {} ({}) VALUES {} ON DUPLICATE KEY UPDATE event_id = event_id",
            self.table,
            column_names(),
            vec![placeholders.as_str(); rows.len()].join(", ")
        );
        let values =
            rows.iter().flat_map(|row| row.values.iter().zip(&COLUMNS)).map(|(value, (_, holds, _))| {
                match value {
                    None => Value::NULL,
                    Some(time) if *holds == Holds::Time => Value::Bytes(date_time(time).into_bytes()),
                    Some(text) => Value::Bytes(text.clone().into_bytes()),
                }
            });
        match connection.exec_drop(statement, Params::Positional(values.collect())).await {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(mysql_async::Error::Server(error))
                if ROW_ERRORS.contains(&error.code) || error.state.starts_with("22") =>
            {
                // Some servers hang up after a packet that is too large.
                if error.code != 1153 {
                    self.connection = Some(connection);
                }
                Err(Fault::Row(format!("{} ({})", error.message, error.code)))
            }
            // The library knows the server's limit, and does not send what is beyond it; the kind of error it gives depends on where it noticed.
            Err(error) if error.to_string().contains("max_allowed_packet") => {
                Err(Fault::Row("larger than the server's max_allowed_packet".to_owned()))
            }
            Err(error) => Err(Fault::Away(error.to_string())),
        }
    }

    async fn connect(&self) -> Result<Conn, Fault> {
        let connected = self.login.connect(vec![
            "SET NAMES utf8mb4",
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'",
        ]);
        let mut connection = connected.await.map_err(|error| Fault::Away(error.to_string()))?;
        migrate(&mut connection, &self.table).await.map_err(|fault| fault.at(&self.login.place()))?;
        Ok(connection)
    }
}

/// Brings the table to the version that is written to. Two sinks at once do it one after the other; the server cannot take back
/// a statement that changes a table, so each version is one statement, or statements that may be done twice.
async fn migrate(connection: &mut Conn, table: &str) -> Result<(), Fault> {
    let away = |error: mysql_async::Error| Fault::Away(format!("the table {table}: {error}"));
    let locked: Option<Option<i64>> = connection
        .exec_first("SELECT GET_LOCK(CONCAT('attestry ', DATABASE(), '.', ?), 20)", (table,))
        .await
        .map_err(away)?;
    if locked.flatten() != Some(1) {
        return Err(Fault::Away(format!("the table {table} is being made or changed by another sink")));
    }
    let migrated = async {
        connection
            .query_drop(format!(
                "CREATE TABLE IF NOT EXISTS {table}_schema (version INT NOT NULL) ENGINE=InnoDB"
            ))
            .await
            .map_err(away)?;
        let found: Option<Option<i32>> =
            connection.query_first(format!("SELECT MAX(version) FROM {table}_schema")).await.map_err(away)?;
        let found = found.flatten().unwrap_or(0);
        if found > VERSION {
            return Err(Fault::Away(too_new(table, found)));
        }
        for version in found + 1..=VERSION {
            for statement in migration(Dialect::Mysql, table, version) {
                match connection.query_drop(statement).await {
                    // ER_DUP_KEYNAME: it was done before, and the program ended before it was noted.
                    Err(mysql_async::Error::Server(error)) if error.code == 1061 => {}
                    done => done.map_err(away)?,
                }
            }
            connection
                .query_drop(format!("INSERT INTO {table}_schema VALUES ({version})"))
                .await
                .map_err(away)?;
        }
        Ok(())
    }
    .await;
    let released =
        connection.exec_drop("DO RELEASE_LOCK(CONCAT('attestry ', DATABASE(), '.', ?))", (table,)).await;
    migrated.and(released.map_err(away))
}

/// `2026-11-21T03:04:05.123456789Z` as `2026-11-21 03:04:05.123456`: cut, since the server would round a time into the next second.
fn date_time(time: &str) -> String {
    time.get(..26).unwrap_or(time).replacen('T', " ", 1)
}
