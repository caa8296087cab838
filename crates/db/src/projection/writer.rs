//! Writing what changed, a turn at a time.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::definition::{AUDIT, Definition, Dialect, MARKS, VERSION, VIOLATION, VIOLATIONS, holds_texts};
use super::server::{COPY, Server, WATCH};
use super::state::{self, Shown, State};
use super::{RefusedTable, Settings, Trouble};
use crate::cell::Cell;
use crate::copy::{Behind, Copy, CopyError, NO_TABLE, Version, Violation};
use crate::database::DbError;
use crate::table::{Column, Table};

/// How many rows are written at once.
const ROWS_AT_ONCE: u32 = 500;

/// How many bytes of values one statement has, unless one row has more: MySQL takes `max_allowed_packet`, by default 16 MiB.
const STATEMENT_BYTES: usize = 1 << 20;

/// What a turn did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing was to be done.
    Nothing,
    /// These rows were written, all or, of many versions, up to one.
    Wrote(Vec<(Behind, Option<u64>)>),
    /// The tables of a watched table are new (of all: none): all of its rows are to be written.
    Made(Option<i64>),
}

/// Writes a projection.
pub(crate) struct Writer {
    settings: Settings,
    server: Server,
    /// None only while it is read from.
    copy: Option<Copy>,
    /// The copy's id.
    id: String,
    /// The tables that are there as they should be, by the watched table's number, with the columns of the versions.
    known: HashMap<i64, Ready>,
}

struct Ready {
    layout: i64,
    definition: Definition,
}

impl Writer {
    /// Connects, and makes the schema, or throws away what another copy left there. `Made(None)` is to be told to the copy before the first turn.
    pub(crate) async fn open(settings: Settings) -> Result<(Writer, Turn), Trouble> {
        let mut server = Server::connect(&settings.config).await?;
        let copy = Copy::open_to_read(&settings.copy)?;
        let (dialect, schema) = (server.dialect(), settings.schema.clone());
        let id = copy.projected_as()?.unwrap_or_default();
        let tables = match server.tables(&schema).await? {
            Some(tables) => tables,
            None => {
                server.run(&format!("CREATE SCHEMA {}", dialect.quoted(&schema))).await?;
                Vec::new()
            }
        };
        if !tables.iter().any(|table| table == MARKS) {
            if !tables.is_empty() {
                let what = format!(
                    "the schema {schema} has tables that Attestry did not make: choose another one for the copy"
                );
                return Err(DbError::Refused(what).into());
            }
            server.run(&dialect.marks(&schema)).await?;
        }
        match server.mark(&schema, WATCH).await? {
            Some(watch) if watch != settings.watch => {
                let what =
                    format!("the schema {schema} shows the copy of the watch {watch}: choose another one");
                return Err(DbError::Refused(what).into());
            }
            _ => server.set_mark(&schema, WATCH, &settings.watch).await?,
        }
        let mut turn = Turn::Nothing;
        if server.mark(&schema, COPY).await?.is_none_or(|known| known != id) {
            for table in made_here(&mut server, &schema).await? {
                if tables.contains(&table) {
                    server.run(&format!("DROP TABLE {}", dialect.name(&schema, &table))).await?;
                }
            }
            server.run(&format!("DELETE FROM {}", dialect.name(&schema, MARKS))).await?;
            server.set_mark(&schema, WATCH, &settings.watch).await?;
            turn = Turn::Made(None);
        }
        let mut writer = Writer { settings, server, copy: Some(copy), id, known: HashMap::new() };
        let made = writer.make(&dialect.violations(&schema)).await?;
        if made {
            turn = Turn::Made(None);
        }
        Ok((writer, turn))
    }

    /// All rows of what was made are noted: if this ends before, it is made again.
    pub(crate) async fn noted(&mut self, turn: &Turn) -> Result<(), Trouble> {
        let schema = self.settings.schema.clone();
        match turn {
            Turn::Made(None) => {
                let signature = self.server.dialect().violations(&schema).signature();
                self.server.set_mark(&schema, &mark_of(VIOLATIONS), &signature).await?;
                let id = self.id.clone();
                self.server.set_mark(&schema, COPY, &id).await?;
            }
            Turn::Made(Some(watched)) => {
                if let Some(ready) = self.known.get(watched) {
                    let name = ready.definition.tables.first().cloned().unwrap_or_default();
                    let signature = ready.definition.signature();
                    self.server.set_mark(&schema, &mark_of(&name), &signature).await?;
                }
            }
            Turn::Nothing | Turn::Wrote(_) => {}
        }
        Ok(())
    }

    /// Has tables be as they are defined. Says whether they were made.
    async fn make(&mut self, definition: &Definition) -> Result<bool, Trouble> {
        let (dialect, schema) = (self.server.dialect(), self.settings.schema.clone());
        let there = self.server.tables(&schema).await?.unwrap_or_default();
        let first = definition.tables.first().map_or("", String::as_str);
        let mark = self.server.mark(&schema, &mark_of(first)).await?;
        let all = definition.tables.iter().all(|table| there.contains(table));
        if all && mark.is_some_and(|mark| mark == definition.signature()) {
            return Ok(false);
        }
        // It says that it is made again when this ends before all rows are noted; and it stays, since what is made here may be dropped.
        self.server.set_mark(&schema, &mark_of(first), HALF_MADE).await?;
        for table in definition.tables.iter().filter(|table| there.contains(table)) {
            self.server.run(&format!("DROP TABLE {}", dialect.name(&schema, table))).await?;
        }
        for sql in &definition.create {
            self.server.run(sql).await?;
        }
        Ok(true)
    }

    /// Writes some of what changed. `now` in microseconds since 1970.
    pub(crate) async fn turn(&mut self, now: i64) -> Result<Turn, Trouble> {
        let Some(mut copy) = self.copy.take() else { return Ok(Turn::Nothing) };
        let (settings, dialect) = (self.settings.clone(), self.server.dialect());
        let known = self.known.iter().map(|(watched, ready)| (*watched, ready.layout)).collect();
        let reading = tokio::task::spawn_blocking(move || {
            let read = copy.begin_view().and_then(|()| read(&mut copy, &settings, dialect, &known, now));
            let ended = copy.roll_back();
            (copy, read.and_then(|read| ended.map(|()| read)))
        });
        let (copy, read) = reading.await.map_err(|error| CopyError::damaged(error.to_string()))?;
        self.copy = Some(copy);
        let Read { states, written, defined } = read?;
        for (watched, ready) in defined {
            let name = ready.definition.tables.first().cloned().unwrap_or_default();
            let made = self.make(&ready.definition).await.map_err(|trouble| match trouble {
                Trouble::Database(DbError::Refused(why)) => {
                    Trouble::Table(RefusedTable { watched, name, why })
                }
                trouble => trouble,
            })?;
            self.known.insert(watched, ready);
            if made {
                return Ok(Turn::Made(Some(watched)));
            }
        }
        if written.is_empty() {
            return Ok(Turn::Nothing);
        }
        let statements = self.statements(&states, now);
        match self.server.together(&statements).await {
            Ok(()) => Ok(Turn::Wrote(written)),
            Err(error @ DbError::Refused(_)) => Err(self.at_fault(error, states, now).await),
            Err(error) => Err(error.into()),
        }
    }

    /// Which table it is that the server refuses, by writing each by itself.
    async fn at_fault(&mut self, error: DbError, states: Vec<State>, now: i64) -> Trouble {
        let mut tables: BTreeMap<i64, Vec<State>> = BTreeMap::new();
        for state in states {
            tables
                .entry(state.watched.as_ref().map_or(NO_TABLE, |watched| watched.id))
                .or_default()
                .push(state);
        }
        for (watched, states) in tables {
            let name = states.first().and_then(|state| Some(state.watched.as_ref()?.name().table.clone()));
            let statements = self.statements(&states, now);
            match (self.server.together(&statements).await, name) {
                (Ok(()), _) => {}
                (Err(DbError::Refused(why)), Some(name)) => {
                    return Trouble::Table(RefusedTable { watched, name, why });
                }
                (Err(error), _) => return error.into(),
            }
        }
        error.into()
    }

    /// The statements that write the states.
    fn statements(&self, states: &[State], now: i64) -> Vec<String> {
        let (dialect, schema) = (self.server.dialect(), self.settings.schema.as_str());
        let mut inserts: BTreeMap<(i64, u8), Insert> = BTreeMap::new();
        let mut statements = Vec::new();
        for state in states {
            for violation in &state.violations {
                let insert = inserts.entry((NO_TABLE, 2)).or_insert_with(|| {
                    let name = dialect.name(schema, VIOLATIONS);
                    Insert::new(dialect, &name, "fingerprint", VIOLATION.into_iter())
                });
                insert.add(violated(dialect, violation), &mut statements);
            }
            let Some(watched) = &state.watched else { continue };
            let Some(ready) = self.known.get(&watched.id) else { continue };
            let table = &watched.layout.table;
            let id = dialect.bytes(&state.id);
            if let Some(row) = &state.row {
                let insert = inserts.entry((watched.id, 0)).or_insert_with(|| {
                    let columns = table.columns.iter().map(|column| column.name.as_str()).chain(AUDIT);
                    Insert::new(dialect, &dialect.name(schema, &table.name.table), "_row_id", columns)
                });
                insert.add(audited(dialect, table, row, &id), &mut statements);
            } else if state.vanished {
                statements.push(format!(
                    "UPDATE {} SET _deleted_at = {}, _has_delta = 0 WHERE _row_id = {id} AND _deleted_at IS NULL",
                    dialect.name(schema, &table.name.table),
                    seconds(now)
                ));
            }
            for version in state.versions.iter().filter(|version| version.cells.is_some()) {
                let insert = inserts.entry((watched.id, 1)).or_insert_with(|| {
                    let columns = ready.definition.columns.iter().map(|column| column.name.as_str());
                    let name = dialect.name(schema, &dialect.versions_of(&table.name.table));
                    Insert::new(dialect, &name, "_row_id, _row_version", columns.chain(VERSION))
                });
                let columns = &ready.definition.columns;
                insert.add(versioned(dialect, columns, version, &id), &mut statements);
            }
        }
        for insert in inserts.values_mut() {
            insert.end(&mut statements);
        }
        statements
    }
}

/// What was read of the copy.
struct Read {
    states: Vec<State>,
    written: Vec<(Behind, Option<u64>)>,
    /// The tables that are not known as they are now, by number.
    defined: Vec<(i64, Ready)>,
}

/// Reads some of what changed. `known` are the layouts of the tables that are known. Blocks.
fn read(
    copy: &mut Copy,
    settings: &Settings,
    dialect: Dialect,
    known: &HashMap<i64, i64>,
    now: i64,
) -> Result<Read, CopyError> {
    let tables = state::tables(copy)?;
    let mut read = Read { states: Vec::new(), written: Vec::new(), defined: Vec::new() };
    let is_left_out = |id: &i64| settings.left_out.iter().any(|table| table.watched == *id);
    let shown: Vec<_> =
        tables.iter().filter(|(id, watched)| (watched.done || watched.gone) && !is_left_out(id)).collect();
    let behind = match settings.left_out.is_empty() {
        true => copy.behind(ROWS_AT_ONCE)?,
        false => {
            let of: Vec<i64> = shown.iter().map(|(id, _)| **id).chain([NO_TABLE]).collect();
            copy.behind_of(&of, ROWS_AT_ONCE)?
        }
    };
    for behind in behind {
        let state = state::read(copy, &tables, &behind, now)?;
        read.written.push((behind, state.as_ref().and_then(|state| state.rest)));
        read.states.extend(state);
    }
    // Also those without rows: whoever reads there is to find them. And those that are gone, of which there is a history.
    for (id, watched) in shown {
        if known.get(id) == Some(&watched.layout.id) {
            continue;
        }
        let table = &watched.layout.table;
        let indexed = settings.config.identifies(&table.name.table).is_none();
        let definition = dialect.tables(&settings.schema, table, &copy.layouts_of(*id)?, indexed);
        read.defined.push((*id, Ready { layout: watched.layout.id, definition }));
    }
    Ok(read)
}

/// The value of a table's mark until all of its rows are to be written: of no signature.
const HALF_MADE: &str = "";

/// The beginning of the names of tables' marks.
const TABLE: &str = "table ";

/// The name of a table's mark.
fn mark_of(table: &str) -> String {
    format!("{TABLE}{table}")
}

/// The tables that were made here: nothing else is dropped.
async fn made_here(server: &mut Server, schema: &str) -> Result<Vec<String>, DbError> {
    let dialect = server.dialect();
    let sql = format!("SELECT name FROM {}", dialect.name(schema, MARKS));
    let names = server.texts(&sql).await?.into_iter().filter_map(|row| row.into_iter().next());
    let tables = names.filter_map(|name| name.strip_prefix(TABLE).map(str::to_owned));
    Ok(tables.flat_map(|table| [dialect.versions_of(&table), table]).collect())
}

/// Seconds since 1970, of microseconds.
fn seconds(micros: i64) -> i64 {
    micros.div_euclid(1_000_000)
}

/// An audited row, as values.
fn audited(dialect: Dialect, table: &Table, row: &Shown, id: &str) -> String {
    let known = &row.version.layout.table;
    let mut values: Vec<String> = table
        .columns
        .iter()
        .map(|column| match cell(known, &row.version, column) {
            // A value of another type is none of this column.
            Some((had, cell)) if had.sql_type == column.sql_type && had.masked == column.masked => {
                dialect.value(column, cell)
            }
            _ => "NULL".to_owned(),
        })
        .collect();
    let flag = |set: bool| if set { "1" } else { "0" }.to_owned();
    values.push(dialect.moment(row.copied_at));
    values.push(flag(row.has_delta));
    values.push(row.version.version.to_string());
    values.push(flag(row.has_violation));
    values.push(row.deleted_at.map_or_else(|| "NULL".to_owned(), |at| seconds(at).to_string()));
    values.push(id.to_owned());
    values.join(", ")
}

/// A version, as values.
fn versioned(dialect: Dialect, columns: &[Column], version: &Version, id: &str) -> String {
    let known = &version.layout.table;
    let mut values: Vec<String> = columns
        .iter()
        .map(|column| match cell(known, version, column) {
            None => "NULL".to_owned(),
            Some((_, cell)) if holds_texts(column, dialect) => match cell {
                Cell::Value(bytes) => dialect.text(&String::from_utf8_lossy(bytes)),
                Cell::Masked(hash) => dialect.text(&crate::hex(hash)),
                Cell::Null => "NULL".to_owned(),
            },
            Some((had, cell)) => dialect.value(had, cell),
        })
        .collect();
    values.push(version.version.to_string());
    values.push(dialect.moment(version.origin.time));
    values.push(id.to_owned());
    values.join(", ")
}

/// A version's cell of a column, with the column as it was then.
fn cell<'a>(known: &'a Table, version: &'a Version, column: &Column) -> Option<(&'a Column, &'a Cell)> {
    let place = known.place_of(&column.name)?;
    Some((known.columns.get(place)?, version.cells.as_ref()?.get(place)?))
}

/// A violation, as values.
fn violated(dialect: Dialect, violation: &Violation) -> String {
    let table = &violation.layout.table;
    let json = |names: &mut dyn Iterator<Item = (&Column, &Cell)>| {
        let members = names.filter_map(|(column, cell)| Some((column.name.clone(), shown(cell)?)));
        Value::Object(members.collect::<Map<String, Value>>()).to_string()
    };
    let row = violation.new.as_ref().or(violation.old.as_ref());
    let item = row.map_or_else(|| "{}".to_owned(), |row| json(&mut table.columns.iter().zip(row)));
    let key = table.key.iter().filter_map(|place| table.columns.get(*place)).zip(&violation.key);
    let number = |number: Option<i64>| number.map_or_else(|| "NULL".to_owned(), |number| number.to_string());
    let text = |text: &str| dialect.text(text);
    let state = if violation.signed.is_some() { "SIGNED-OFF" } else { "PENDING" };
    [
        text(&violation.fingerprint),
        text(&table.name.table),
        violation.field.as_deref().map_or_else(|| "NULL".to_owned(), text),
        text(&violation.rule),
        seconds(violation.opened).to_string(),
        text(&violation.description),
        text(&item),
        if violation.key.is_empty() { "NULL".to_owned() } else { text(&json(&mut key.into_iter())) },
        violation.new_version.or(violation.old_version).unwrap_or(0).to_string(),
        text(state),
        number(violation.signed.as_ref().map(|signed| seconds(signed.at))),
    ]
    .join(", ")
}

/// A cell as JSON: texts as they are, bytes that are none as hexadecimal digits, masked ones not at all.
fn shown(cell: &Cell) -> Option<Value> {
    Some(match cell {
        Cell::Null => Value::Null,
        Cell::Masked(_) => return None,
        Cell::Value(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from(format!("0x{}", crate::hex(bytes))),
        },
    })
}

/// Rows that are inserted by one statement.
struct Insert {
    before: String,
    after: String,
    rows: String,
}

impl Insert {
    fn new<'a>(dialect: Dialect, table: &str, key: &str, columns: impl Iterator<Item = &'a str>) -> Insert {
        let columns: Vec<String> = columns.map(|column| dialect.quoted(column)).collect();
        Insert {
            before: format!("INSERT INTO {table} ({}) VALUES ", columns.join(", ")),
            after: dialect.replacing(key, &columns),
            rows: String::new(),
        }
    }

    fn add(&mut self, row: String, statements: &mut Vec<String>) {
        if self.rows.len() + row.len() > STATEMENT_BYTES {
            self.end(statements);
        }
        if !self.rows.is_empty() {
            self.rows.push_str(", ");
        }
        self.rows.push('(');
        self.rows.push_str(&row);
        self.rows.push(')');
    }

    fn end(&mut self, statements: &mut Vec<String>) {
        if !self.rows.is_empty() {
            statements.push(format!("{}{}{}", self.before, self.rows, self.after));
            self.rows.clear();
        }
    }
}
