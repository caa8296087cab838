//! Reports while the server does not run: the command that makes them opens the data directory itself.

use std::path::Path;
use std::sync::Arc;

use attestry_event::{Clock, SystemClock};
use attestry_ledger::DataDir;
use attestry_server::LedgerRows;
use attestry_store::{Rows, Store};

use super::Desk;
use crate::config::Config;

/// Opens what an offline command needs, calls `f`, and closes it.
pub(crate) fn offline<T>(config: &Config, f: impl FnOnce(&Desk) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let data = DataDir::open(&config.written.data_dir)?;
    let ledgers = crate::run::open_ledgers(config, &data, &clock)?;
    let rows = ledgers.iter().map(|part| Arc::new(LedgerRows(Arc::clone(&part.ledger))) as Arc<dyn Rows>);
    let index: &Path = &data.path().join("index");
    let store = Arc::new(Store::open(index, rows.collect(), attestry_store::Options::default())?);
    let desk = Desk::new(config, &ledgers, &store, &clock)?;
    let done = f(&desk);
    store.close();
    let closing = ledgers.iter().map(|part| Arc::clone(&part.ledger)).collect();
    drop((desk, store, ledgers));
    crate::run::close(closing);
    done
}
