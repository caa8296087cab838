//! A table's definition changed: what is different, and what happens when somebody has signed it off.

use std::collections::BTreeMap;
use std::fmt;

use attestry_event::Event;
use serde_json::{Map, Value, json};

use super::act::{found_by_comparing, table_event};
use super::events::micros;
use super::status::TableStatus;
use super::store::Store;
use super::{Database, Outlet, Trouble, Watch};
use crate::copy::{CopyError, Op};
use crate::database::{FoundTable, Reader};
pub use crate::rules::SCHEMA;
use crate::table::Table;

/// Why a table cannot be watched whose rows nothing tells apart.
const NO_KEY: &str = "nothing tells its rows apart: it has neither a primary key nor a unique key without NULLs; name columns that do under `identify`";

/// What is different between two definitions of a table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    added: Vec<String>,
    dropped: Vec<String>,
    /// Column, before, after.
    changed: Vec<(String, String, String)>,
    key: bool,
}

impl Difference {
    pub(super) fn of(old: &Table, new: &Table) -> Difference {
        let mut difference = Difference::default();
        for column in &new.columns {
            let known = old.place_of(&column.name).and_then(|place| old.columns.get(place));
            match known {
                None => difference.added.push(column.name.clone()),
                Some(known) if known != column => {
                    let text = |column: &crate::table::Column| {
                        format!("{}{}", column.sql_type, if column.nullable { "" } else { " not null" })
                    };
                    difference.changed.push((column.name.clone(), text(known), text(column)));
                }
                Some(_) => {}
            }
        }
        let gone = old.columns.iter().filter(|column| new.place_of(&column.name).is_none());
        difference.dropped = gone.map(|column| column.name.clone()).collect();
        let names = |table: &Table| -> Vec<Option<String>> {
            table.key.iter().map(|place| Some(table.columns.get(*place)?.name.clone())).collect()
        };
        difference.key = names(old) != names(new);
        difference
    }

    pub(super) fn tell(&self, event: Event) -> Event {
        let changed: Map<String, Value> = self
            .changed
            .iter()
            .map(|(name, old, new)| (name.clone(), json!({"old": old, "new": new})))
            .collect();
        event
            .data("added", self.added.clone())
            .data("dropped", self.dropped.clone())
            .data("changed", changed)
            .data("key_changed", self.key)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed: Vec<String> =
            self.changed.iter().map(|(name, old, new)| format!("{name} ({old} -- {new})")).collect();
        let mut parts = Vec::new();
        for (what, names) in [("added", &self.added), ("dropped", &self.dropped), ("changed", &changed)] {
            if !names.is_empty() {
                parts.push(format!("{what} {}", names.join(", ")));
            }
        }
        if self.key {
            parts.push("another key".to_owned());
        }
        if parts.is_empty() {
            parts.push("another order of columns".to_owned());
        }
        write!(f, "the table's definition changed: {}", parts.join("; "))
    }
}

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Ends when a table is not what the copy knows, also if the stream has said nothing of it.
    pub(super) async fn look_at_tables_for_ever(&self) -> Result<(), Trouble> {
        loop {
            tokio::time::sleep(self.options.patience.tables).await;
            if self.schema_differs().await? {
                return Err(Trouble::Begin);
            }
        }
    }

    /// Whether the tables are not what the copy knows.
    pub(super) async fn schema_differs(&self) -> Result<bool, Trouble> {
        let mut reader = self.database.reader().await?;
        self.differs(&mut reader).await
    }

    /// The same with a connection that is there.
    pub(super) async fn differs(&self, reader: &mut D::Reader) -> Result<bool, Trouble> {
        let config = &self.options.config;
        let (mut found, mut refused) = (BTreeMap::new(), Vec::new());
        for FoundTable { table, unfit } in reader.tables(config).await? {
            match unfit_for(&table, unfit) {
                Some(why) => refused.push(TableStatus::refused(&table.name, &why)),
                None => drop(found.insert(table.name.clone(), table)),
            }
        }
        self.handle.refuse_tables(refused);
        let left_out = if config.stream { reader.left_out(config).await? } else { BTreeMap::new() };
        let guard = self.shared.lock().await;
        let left_out = left_out.keys().filter(|name| guard.has(name));
        let known_left_out = guard.streamed.left_out.iter().filter(|name| guard.has(name));
        Ok(found.keys().any(|name| !guard.has(name))
            || guard.tables.iter().any(|(name, tracked)| {
                tracked.watched.paused.is_none()
                    && !tracked.watched.gone
                    && found.get(name).is_none_or(|table| **tracked.table() != *table)
            })
            || left_out.ne(known_left_out))
    }
}

/// Why a table cannot be watched, if it cannot.
pub(super) fn unfit_for(table: &Table, unfit: Option<String>) -> Option<String> {
    unfit.or_else(|| table.key.is_empty().then(|| NO_KEY.to_owned()))
}

impl Store {
    /// Lets the copy follow changes that were signed off. In a transaction.
    pub(super) fn follow_signed_off(&mut self) -> Result<(), CopyError> {
        for change in self.copy.schema_changes(true)? {
            let watched = self.copy.watched()?.into_iter().find(|watched| watched.id == change.watched);
            let Some(watched) = watched else { continue };
            let time = micros(self.clock.now());
            let name = watched.name().clone();
            let mut event =
                table_event(&self.watch, "schema.accept", &name, time, &[change.fingerprint.as_bytes()])
                    .severity(5)
                    .message(format!("{name} is watched as it is now"))
                    .data("fingerprint", change.fingerprint.as_str());
            match change.table {
                Some(table) => {
                    let table = std::sync::Arc::new(table);
                    let difference = Difference::of(&watched.layout.table, &table);
                    if difference.key && self.copy.follow_keys(watched.id, &table)? > 0 {
                        // Rows cannot be found by a key that the copy does not have.
                        self.give_up_parked(&watched)?;
                        self.copy.take_again(watched.id)?;
                    }
                    self.copy.set_layout(watched.id, &table)?;
                    event = difference.tell(event);
                }
                None => {
                    let origin = self.copy.add_origin(&found_by_comparing(time, false))?;
                    let removed =
                        self.copy.remove_all(watched.id, Op::Schema, origin, None, watched.versions)?;
                    event = event.data("rows", removed);
                    self.give_up_parked(&watched)?;
                    self.copy.take_again(watched.id)?;
                    self.copy.set_gone(watched.id, true)?;
                    self.forget_streamed(&name)?;
                }
            }
            self.copy.tell(&event)?;
            self.copy.set_followed(&change.fingerprint)?;
            self.copy.set_paused(watched.id, None)?;
        }
        Ok(())
    }
}
