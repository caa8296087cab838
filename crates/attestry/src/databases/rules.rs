//! Whether rules that are to take the place of others fit the tables, told before anything is stopped for them.

use attestry_db::copy::{Copy, CopyError};
use attestry_db::{Table, TableRules, WatchConfig};

use super::copies::Place;

/// What is wrong with a watch's rules, by the tables as its copy knows them; nothing where there is no copy that tells.
pub(super) fn mistakes(place: &Place, config: &WatchConfig) -> Vec<String> {
    match tables(place, config) {
        Ok(tables) => {
            let wrong = tables.iter().filter_map(|table| TableRules::compile(config, table).err()).flatten();
            wrong.map(|error| format!("audit.{}: {error}", place.watch)).collect()
        }
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(
                watch = place.watch,
                error,
                "the rules are only held against the tables at the start of the watch"
            );
            Vec::new()
        }
    }
}

/// The tables that are watched, with the columns masked as is said now. One that is paused has columns that nobody has accepted yet.
fn tables(place: &Place, config: &WatchConfig) -> Result<Vec<Table>, CopyError> {
    if !place.path.exists() {
        return Ok(Vec::new());
    }
    let mut tables = Vec::new();
    for watched in Copy::open_to_read(&place.path)?.watched()? {
        let name = &watched.name().table;
        if watched.gone || watched.paused.is_some() || !config.watches(name) {
            continue;
        }
        let mut table = Table::clone(&watched.layout.table);
        for column in &mut table.columns {
            column.masked = config.masks(name, &column.name);
        }
        tables.push(table);
    }
    Ok(tables)
}
