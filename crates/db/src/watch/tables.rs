//! What the database says of its tables, against what the copy knows of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestry_event::Event;

use super::act::table_event;
use super::events::micros;
use super::schema::{self, SCHEMA};
use super::status::TableStatus;
use super::store::{Store, Tracked};
use super::{Database, Outlet, Trouble, Watch};
use crate::config::WatchConfig;
use crate::copy::{CopyError, Opening, Watched};
use crate::database::{DbError, FoundTable};
use crate::rules::TableRules;
use crate::table::Table;

/// How many definitions of a table are tried for what the stream says, beside the one of now.
const EARLIER_MAX: usize = 8;

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Follows what was signed off, finds what changed and what is new, and gives the tables that are watched.
    pub(super) async fn settle_tables(&self, found: Vec<FoundTable>) -> Result<Vec<Arc<Table>>, Trouble> {
        let settled = self.shared.with(move |store| store.settle_tables(found)).await?;
        let (tables, refused) = settled.map_err(|wrong| Trouble::Database(DbError::Refused(wrong)))?;
        self.handle.forget_tables();
        self.handle.refuse_tables(refused);
        Ok(tables)
    }
}

/// Tables, and those that cannot be watched; or the mistakes in the rules.
type Settled = Result<(Vec<Arc<Table>>, Vec<TableStatus>), String>;

impl Store {
    fn settle_tables(&mut self, found: Vec<FoundTable>) -> Result<Settled, CopyError> {
        let config = Arc::clone(&self.config);
        let config = &*config;
        self.tables.clear();
        self.copy.begin()?;
        self.follow_signed_off()?;
        let mut refused = Vec::new();
        let mut present = Vec::new();
        let mut unfit = BTreeMap::new();
        for FoundTable { table, unfit: why } in found {
            if let Some(why) = schema::unfit_for(&table, why) {
                refused.push(TableStatus::refused(&table.name, &why));
                unfit.insert(table.name.clone(), (table, why));
                continue;
            }
            let table = Arc::new(table);
            self.settle_table(config, &table)?;
            present.push(table);
        }
        for watched in self.copy.watched()? {
            let name = watched.name();
            let here = present.iter().any(|table| table.name == *name);
            if here || watched.gone || !config.watches(&name.table) {
                continue;
            }
            match unfit.get(name) {
                // What is done to it meanwhile is found by comparing, if it can be watched again.
                Some((table, why)) if watched.paused.is_none() => {
                    let difference = schema::Difference::of(&watched.layout.table, table);
                    self.pause(&watched, Paused::Unfit(&difference, why))?;
                }
                Some(_) => {}
                None => {
                    self.copy.set_gone(watched.id, true)?;
                    self.pause(&watched, Paused::Gone)?;
                }
            }
        }
        self.copy.commit()?;

        let mut wrong = Vec::new();
        for watched in self.copy.watched()? {
            let name = watched.name();
            let here = present.iter().any(|table| table.name == *name) || unfit.contains_key(name);
            // Of one that is gone the stream may still have to say what was done to it before.
            if !here && !watched.gone || !config.watches(&name.table) {
                continue;
            }
            match TableRules::compile(config, &watched.layout.table) {
                Ok(rules) => {
                    let name = watched.name().clone();
                    self.tables.insert(name, Arc::new(Tracked { watched, rules: Arc::new(rules) }));
                }
                // The rules are of the new columns, which are not accepted yet: nothing is applied before that.
                Err(_) if watched.paused.is_some() || watched.gone => {
                    let rules = TableRules::compile(&without_rules(config), &watched.layout.table);
                    if let Ok(rules) = rules {
                        let name = watched.name().clone();
                        self.tables.insert(name, Arc::new(Tracked { watched, rules: Arc::new(rules) }));
                    }
                }
                Err(errors) => wrong.extend(errors.iter().map(ToString::to_string)),
            }
        }
        if !wrong.is_empty() {
            return Ok(Err(wrong.join("; ")));
        }
        Ok(Ok((present, refused)))
    }

    /// Tables as they are now, and after them as they were before: what the stream has still to say of them may be from then. Those that cannot be watched
    /// as they are, or are gone, too.
    pub(super) fn with_earlier(&mut self, mut tables: Vec<Arc<Table>>) -> Result<Vec<Arc<Table>>, CopyError> {
        let config = Arc::clone(&self.config);
        for watched in self.copy.watched()? {
            let name = watched.name();
            let here = tables.iter().any(|table| table.name == *name);
            if !here && watched.paused.is_none() && !watched.gone || !config.watches(&name.table) {
                continue;
            }
            for layout in self.copy.layouts_of(watched.id)?.into_iter().rev().take(EARLIER_MAX) {
                let mut table = (*layout.table).clone();
                for column in &mut table.columns {
                    column.masked = config.masks(&name.table, &column.name);
                }
                if table.name == *name && !tables.iter().any(|known| **known == table) {
                    tables.push(Arc::new(table));
                }
            }
        }
        Ok(tables)
    }

    fn settle_table(&mut self, config: &WatchConfig, table: &Arc<Table>) -> Result<(), CopyError> {
        let versions =
            config.that_name(&table.name.table).find_map(|settings| settings.versions).unwrap_or(true);
        let Some(watched) = self.copy.watched_table(&table.name)? else {
            self.copy.add_watched(table, versions)?;
            return Ok(());
        };
        if watched.versions != versions {
            self.copy.set_versions(watched.id, versions)?;
        }
        if watched.gone {
            self.copy.set_gone(watched.id, false)?;
        }
        if let Some(fingerprint) = &watched.paused {
            // It may have changed again since: a sign-off accepts what it is then.
            return self.copy.add_schema_change(fingerprint, watched.id, Some(table));
        }
        let known = &watched.layout.table;
        if **known == **table {
            return Ok(());
        }
        let identified = config.identifies(&table.name.table).is_some();
        if unmasked(known).columns == unmasked(table).columns && (identified || known.key == table.key) {
            // The configuration says what is masked and, where the database does not, what is the key.
            if known.key != table.key && self.copy.follow_keys(watched.id, table)? > 0 {
                self.give_up_parked(&watched)?;
                self.copy.take_again(watched.id)?;
            }
            self.copy.set_layout(watched.id, table)?;
            return Ok(());
        }
        let difference = schema::Difference::of(known, table);
        self.pause(&watched, Paused::Changed(&difference, table))
    }

    /// Stops applying a table's changes until somebody has looked.
    fn pause(&mut self, watched: &Watched, paused: Paused<'_>) -> Result<(), CopyError> {
        let time = micros(self.clock.now());
        let name = watched.name();
        let told = |event: &str| table_event(&self.watch, event, name, time, &[]).severity(3);
        let (description, event, now) = match paused {
            Paused::Gone => {
                let description = "the table is no longer there".to_owned();
                (description, told("schema.drop").data("rows", watched.rows), None)
            }
            Paused::Unfit(difference, why) => {
                let description = format!("the table cannot be watched as it is now: {why}");
                (description, difference.tell(told("schema.pause")), None)
            }
            Paused::Changed(difference, table) => {
                (difference.to_string(), difference.tell(told("schema.pause")), Some(table))
            }
        };
        let event: Event = event.message(format!("{name} is paused: {description}"));
        let opening = Opening {
            event: event.event_id.as_deref(),
            ..Opening::of_table(watched.id, watched.layout.id, SCHEMA, &description, time)
        };
        let opened = self.copy.open_violation(&opening)?;
        let event = event.data("fingerprint", opened.fingerprint.as_str());
        let violation =
            table_event(&self.watch, "violation.open", name, time, &[opened.fingerprint.as_bytes()])
                .severity(3)
                .message(format!("{name}: {description}"))
                .data("fingerprint", opened.fingerprint.as_str())
                .data("rule", SCHEMA)
                .data("description", description);
        self.copy.tell(&event)?;
        self.copy.tell(&violation)?;
        self.copy.add_schema_change(&opened.fingerprint, watched.id, now)?;
        self.copy.set_paused(watched.id, Some(&opened.fingerprint))
    }

    /// Reads again what the copy knows of the tables.
    pub(super) fn reload_tables(&mut self) -> Result<(), CopyError> {
        for watched in self.copy.watched()? {
            if let Some(tracked) = self.tables.get_mut(watched.name()) {
                *tracked = Arc::new(Tracked { watched, rules: Arc::clone(&tracked.rules) });
            }
        }
        Ok(())
    }
}

/// Why a table's changes are not applied any more.
enum Paused<'a> {
    /// The database has it no longer.
    Gone,
    /// It is there, and cannot be watched any more: why.
    Unfit(&'a schema::Difference, &'a str),
    /// It is another one.
    Changed(&'a schema::Difference, &'a Table),
}

/// The table as it is apart from what the configuration says of it.
fn unmasked(table: &Table) -> Table {
    let mut table = table.clone();
    table.columns.iter_mut().for_each(|column| column.masked = false);
    table
}

/// The configuration with the default rules only.
pub(super) fn without_rules(config: &WatchConfig) -> WatchConfig {
    WatchConfig { tables: std::collections::BTreeMap::new(), ..config.clone() }
}
