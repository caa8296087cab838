//! PostgreSQL.

mod check;
mod following;
mod reading;

use std::sync::Arc;

use attestry_db::postgres::PostgresReader;
use attestry_db::{MaskKey, Reader, Table, WatchConfig};
use attestry_testkit::Postgres;
use attestry_testkit::values::postgres as values;

const MASK: MaskKey = MaskKey([7; 32]);

/// A watch of a server, as a configuration says more of it.
fn config(server: &Postgres, more: &str) -> WatchConfig {
    serde_saphyr::from_str(&format!("url: {}\n{more}", server.url())).unwrap()
}

async fn tables(reader: &mut PostgresReader, config: &WatchConfig) -> Vec<Arc<Table>> {
    reader.tables(config).await.unwrap().into_iter().map(|found| Arc::new(found.table)).collect()
}

/// The table of this name.
async fn table(reader: &mut PostgresReader, config: &WatchConfig, name: &str) -> Arc<Table> {
    tables(reader, config).await.into_iter().find(|table| table.name.table == name).unwrap()
}

/// A client with the settings under which values are compared.
async fn client(server: &Postgres) -> tokio_postgres::Client {
    let mut config: tokio_postgres::Config = server.url().parse().unwrap();
    config.options("-c datestyle=ISO,YMD -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=3 -c lc_monetary=C");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
