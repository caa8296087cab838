//! MariaDB.

mod following;
mod reading;

use std::sync::Arc;

use attestry_db::mysql::MysqlReader;
use attestry_db::{MaskKey, Reader as _, Table, WatchConfig};
use attestry_testkit::MariaDb;
use attestry_testkit::values::mariadb as hostile;

const MASK: MaskKey = MaskKey([7; 32]);

/// A configuration of a watch: the address, and more in YAML.
fn config(url: &str, more: &str) -> WatchConfig {
    serde_saphyr::from_str(&format!("url: {url}\n{more}")).unwrap()
}

fn watched(server: &MariaDb, more: &str) -> WatchConfig {
    config(&server.url_for("root"), more)
}

async fn tables(config: &WatchConfig) -> Vec<Arc<Table>> {
    let mut reader = MysqlReader::new(config).unwrap();
    reader.tables(config).await.unwrap().into_iter().map(|found| Arc::new(found.table)).collect()
}

async fn table(config: &WatchConfig, name: &str) -> Arc<Table> {
    tables(config).await.into_iter().find(|table| table.name.table == name).unwrap()
}
