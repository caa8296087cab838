//! PostgreSQL: a statement takes an array a column, and casts it to what the column holds.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::login::{PostgresLogin, told};
use super::row::{COLUMN_COUNT, Row};
use super::schema::{COLUMNS, Dialect, Holds, VERSION, column_names, migration, too_new};
use super::{ConfigError, Fault, SinkConfig};

#[derive(Debug)]
pub(super) struct Postgres {
    login: PostgresLogin,
    table: String,
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
        let login = settings.login().postgres()?;
        Ok(Postgres { login, table: settings.table.clone(), connection: None })
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
        let client = self.login.connect("").await.map_err(|error| Fault::Away(error.to_string()))?;
        let prepared = self.prepared(client).await;
        prepared.map_err(|fault| fault.at(&self.login.place()))
    }

    async fn prepared(&self, client: Client) -> Result<Connection, Fault> {
        let away = |error: tokio_postgres::Error| Fault::Away(told(&error));
        migrate(&client, &self.table).await?;
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
            table = self.table,
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
