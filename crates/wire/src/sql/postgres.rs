//! PostgreSQL: a statement takes an array a column, and casts it to what the column holds.

use std::sync::Arc;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::postgres_tls::Tls;
use super::row::{COLUMN_COUNT, Row};
use super::schema::{COLUMNS, Dialect, Holds, VERSION, column_names, migration, too_new};
use super::{ConfigError, Fault, SinkConfig};
use crate::queue::reason;
use crate::tls::ClientTls;

#[derive(Debug)]
pub(super) struct Postgres {
    config: Config,
    settings: SinkConfig,
    tls: Option<ClientTls>,
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
    insert: Statement,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Postgres {
    pub(super) fn new(settings: &SinkConfig) -> Result<Postgres, ConfigError> {
        let wrong = |reason: String| ConfigError { field: "url", reason };
        let mut config: Config = settings.url.parse().map_err(|error: tokio_postgres::Error| {
            let reason =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            wrong(format!("no address of PostgreSQL: {reason}"))
        })?;
        if config.get_password().is_some() {
            return Err(wrong("found a password in the address, expected it in `password`".to_owned()));
        }
        if config.get_hosts().is_empty() {
            return Err(wrong("expected a host, as in postgres://user@host/database".to_owned()));
        }
        let own = config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => super::mysql::is_own_host(name),
            Host::Unix(_) => true,
        });
        let tls = settings.tls_to(own);
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.application_name("attestry").connect_timeout(settings.timeout.0);
        Ok(Postgres { config, settings: settings.clone(), tls, connection: None })
    }

    pub(super) async fn insert(&mut self, rows: &[Row]) -> Result<(), Fault> {
        // Put back only after success: what was interrupted is not used again.
        let connection = match self.connection.take() {
            Some(connection) if !connection.client.is_closed() => connection,
            _ => self.connect().await?,
        };
        let columns: [Vec<Option<&str>>; COLUMN_COUNT] =
            std::array::from_fn(|column| rows.iter().map(|row| row.values.get(column)?.as_deref()).collect());
        let parameters: Vec<&(dyn ToSql + Sync)> =
            columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        match connection.client.execute(&connection.insert, &parameters).await {
            Ok(_) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(error) => {
                let fault = fault(&error);
                if matches!(fault, Fault::Row(_)) {
                    self.connection = Some(connection);
                }
                Err(fault)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Fault> {
        self.log_in().await.map_err(|fault| fault.at(&self.place()))
    }

    /// The hosts, of which one is connected to.
    fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        // One port is for all hosts; none is the usual one.
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5_432);
        hosts.enumerate().map(|(at, host)| format!("{host}:{}", port(at))).collect::<Vec<_>>().join(",")
    }

    async fn log_in(&self) -> Result<Connection, Fault> {
        let mut config = self.config.clone();
        if let Some(password) = &self.settings.password {
            config.password(password.read().map_err(|error| Fault::Away(reason(&error)))?);
        }
        let away = |error: tokio_postgres::Error| Fault::Away(told(&error));
        let client = match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(away)?;
                tokio::spawn(connection);
                client
            }
            Some(tls) => {
                let made = tls.client().map_err(|error| Fault::Away(reason(&error)))?;
                let tls = Tls::new(Arc::clone(&made), tls.server_name.clone());
                let (client, connection) = config.connect(tls).await.map_err(away)?;
                tokio::spawn(connection);
                client
            }
        };
        migrate(&client, &self.settings.table).await?;
        let casts = COLUMNS.map(|(name, holds, _)| match holds {
            Holds::Key(_) | Holds::Text | Holds::LongText => name.to_owned(),
            Holds::Time => format!("{name}::timestamptz"),
            Holds::Bool => format!("({name} = '1')"),
            Holds::Small => format!("{name}::smallint"),
            Holds::Big => format!("{name}::numeric"),
            Holds::Json => format!("{name}::jsonb"),
        });
        let arrays: Vec<String> = (1..=COLUMN_COUNT).map(|number| format!("${number}::text[]")).collect();
        let statement = format!(
            "INSERT INTO {table} ({names}) SELECT {casts} FROM unnest({arrays}) AS given ({names}) ON CONFLICT (ledger, event_source, event_id) DO NOTHING",
            table = self.settings.table,
            names = column_names(),
            casts = casts.join(", "),
            arrays = arrays.join(", "),
        );
        let insert = client.prepare(&statement).await.map_err(away)?;
        Ok(Connection { client, insert })
    }
}

/// Brings the table to the version that is written to. Two sinks at once do it one after the other.
async fn migrate(client: &Client, table: &str) -> Result<(), Fault> {
    let away = |error: tokio_postgres::Error| Fault::Away(format!("the table {table}: {}", told(&error)));
    // The lock is the transaction's; which number it has does not matter, so long as it is the same for the same table.
    let begin = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('attestry {table}'))");
    client.batch_execute(&begin).await.map_err(away)?;
    let migrated = async {
        client
            .batch_execute(&format!("CREATE TABLE IF NOT EXISTS {table}_schema (version integer NOT NULL)"))
            .await
            .map_err(away)?;
        let found =
            client.query_opt(&format!("SELECT max(version) FROM {table}_schema"), &[]).await.map_err(away)?;
        let found = found.and_then(|row| row.try_get::<_, Option<i32>>(0).ok().flatten()).unwrap_or(0);
        if found > VERSION {
            return Err(Fault::Away(too_new(table, found)));
        }
        for version in found + 1..=VERSION {
            for statement in migration(Dialect::Postgres, table, version) {
                client.batch_execute(&statement).await.map_err(away)?;
            }
            client
                .batch_execute(&format!("INSERT INTO {table}_schema VALUES ({version})"))
                .await
                .map_err(away)?;
        }
        Ok(())
    }
    .await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(away)?;
    migrated
}

/// By the class of SQLSTATE: data exceptions, broken constraints and exceeded limits are the row's fault.
fn fault(error: &tokio_postgres::Error) -> Fault {
    match error.code().map(|code| code.code().get(..2).unwrap_or_default()) {
        Some("22" | "23" | "54") => Fault::Row(told(error)),
        _ => Fault::Away(told(error)),
    }
}

/// The library's errors say what happened in their source.
fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(database), _) => format!("{} ({})", database.message(), database.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}
