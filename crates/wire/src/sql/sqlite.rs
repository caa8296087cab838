//! SQLite: a file, which other programs may read meanwhile.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params_from_iter};

use super::row::{COLUMN_COUNT, Row};
use super::schema::{Dialect, VERSION, column_names, migration, too_new};
use super::{ConfigError, Fault, SinkConfig};

#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    settings: SinkConfig,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Sqlite {
    pub(super) fn new(settings: &SinkConfig) -> Result<Sqlite, ConfigError> {
        let path =
            settings.url.strip_prefix("sqlite://").filter(|path| path.starts_with('/') && path.len() > 1);
        let Some(path) = path else {
            let reason = "expected an absolute path, as in sqlite:///var/lib/events.db".to_owned();
            return Err(ConfigError { field: "url", reason });
        };
        if settings.password.is_some() {
            return Err(ConfigError { field: "password", reason: "SQLite has none".to_owned() });
        }
        Ok(Sqlite { path: path.into(), settings: settings.clone(), connection: Arc::default() })
    }

    pub(super) async fn insert(&mut self, rows: &[Row]) -> Result<(), Fault> {
        let (place, path, settings) =
            (Arc::clone(&self.connection), self.path.clone(), self.settings.clone());
        let rows = rows.to_vec();
        let inserted = tokio::task::spawn_blocking(move || {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            let mut connection = match place.take().filter(|_| path.exists()) {
                Some(connection) => connection,
                None => open(&path, &settings)?,
            };
            let inserted = insert(&mut connection, &settings.table, &rows).map_err(|error| fault(&error));
            if !matches!(inserted, Err(Fault::Away(_))) {
                *place = Some(connection);
            }
            inserted
        });
        inserted.await.unwrap_or_else(|error| Err(Fault::Away(error.to_string())))
    }
}

fn open(path: &std::path::Path, settings: &SinkConfig) -> Result<Connection, Fault> {
    let away = |error: rusqlite::Error| Fault::Away(format!("{}: {error}", path.display()));
    let mut connection = Connection::open(path).map_err(away)?;
    connection.busy_timeout(settings.timeout.0).map_err(away)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").map_err(away)?;
    let table = &settings.table;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(away)?;
    transaction
        .execute_batch(&format!("CREATE TABLE IF NOT EXISTS {table}_schema (version INTEGER NOT NULL)"))
        .map_err(away)?;
    let found: Option<i32> = transaction
        .query_row(&format!("SELECT max(version) FROM {table}_schema"), [], |row| row.get(0))
        .map_err(away)?;
    let found = found.unwrap_or(0);
    if found > VERSION {
        return Err(Fault::Away(too_new(table, found)));
    }
    for version in found + 1..=VERSION {
        for statement in migration(Dialect::Sqlite, table, version) {
            transaction.execute_batch(&statement).map_err(away)?;
        }
        transaction.execute(&format!("INSERT INTO {table}_schema VALUES (?)"), [version]).map_err(away)?;
    }
    transaction.commit().map_err(away)?;
    Ok(connection)
}

fn insert(connection: &mut Connection, table: &str, rows: &[Row]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut statement = transaction.prepare_cached(&format!(
            "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT (ledger, event_source, event_id) DO NOTHING",
            column_names(),
            ["?"; COLUMN_COUNT].join(", ")
        ))?;
        for row in rows {
            statement.execute(params_from_iter(&row.values))?;
        }
    }
    transaction.commit()
}

fn fault(error: &rusqlite::Error) -> Fault {
    match error.sqlite_error_code() {
        Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) => {
            Fault::Row(error.to_string())
        }
        _ => Fault::Away(error.to_string()),
    }
}
