//! The watched tables, their layouts, and how far their baseline has come.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::{Copy, CopyError, named, signed, unsigned};
use crate::cell::{decode_row, encode_row};
use crate::change::Position;
use crate::table::{Key, Name, Table};

/// The number under which the copy keeps what is about no table.
pub const NO_TABLE: i64 = 0;

/// The columns that images have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its number.
    pub id: i64,
    /// The table with these columns.
    pub table: Arc<Table>,
}

/// A watched table.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Its number.
    pub id: i64,
    /// What its rows have now.
    pub layout: Layout,
    /// Whether every version of a row is kept.
    pub versions: bool,
    /// The position of the first snapshot of its baseline.
    pub first: Option<Position>,
    /// And of the last: a baseline that was interrupted goes on in another snapshot.
    pub last: Option<Position>,
    /// The key after which the baseline goes on.
    pub after: Option<Key>,
    /// How many rows the baseline has taken.
    pub taken: u64,
    /// Whether it has taken all.
    pub done: bool,
    /// How many rows there are.
    pub rows: u64,
    /// What has to be signed off before its changes are applied again.
    pub paused: Option<String>,
    /// Whether the database has it no longer.
    pub gone: bool,
}

impl Watched {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.layout.table.name
    }
}

const COLUMNS: &str = "id, layout, versions, first, last, after, taken, done, rows, paused, gone";

impl Copy {
    /// All tables that were ever watched, by name.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn watched(&mut self) -> Result<Vec<Watched>, CopyError> {
        let sql = format!("SELECT {COLUMNS} FROM watched ORDER BY schema, name");
        let found = {
            let mut select = self.connection.prepare_cached(&sql)?;
            let found = select.query_map([], RawWatched::read)?;
            found.collect::<Result<Vec<_>, _>>()?
        };
        found.into_iter().map(|raw| self.ready_watched(raw)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn watched_table(&mut self, name: &Name) -> Result<Option<Watched>, CopyError> {
        let sql = format!("SELECT {COLUMNS} FROM watched WHERE schema = ?1 AND name = ?2");
        let found =
            self.connection.prepare_cached(&sql)?.query_row(named(name), RawWatched::read).optional()?;
        found.map(|raw| self.ready_watched(raw)).transpose()
    }

    fn ready_watched(&mut self, raw: RawWatched) -> Result<Watched, CopyError> {
        let position = |text: Option<String>| {
            let parsed = text.map(|text| text.parse::<Position>()).transpose();
            parsed.map_err(|error| CopyError::damaged(error.to_string()))
        };
        Ok(Watched {
            id: raw.id,
            layout: self.layout(raw.layout)?,
            versions: raw.versions,
            first: position(raw.first)?,
            last: position(raw.last)?,
            after: raw.after.map(|bytes| decode_row(&bytes)).transpose()?,
            taken: raw.taken,
            done: raw.done,
            rows: raw.rows,
            paused: raw.paused,
            gone: raw.gone,
        })
    }

    /// Begins to watch a table. In a transaction.
    ///
    /// # Errors
    /// When the file cannot be written, or it is watched already.
    pub fn add_watched(&mut self, table: &Arc<Table>, versions: bool) -> Result<Watched, CopyError> {
        let [schema, name] = named(&table.name);
        self.connection.execute(
            "INSERT INTO watched (schema, name, layout, versions) VALUES (?1, ?2, 0, ?3)",
            params![schema, name, versions],
        )?;
        let id = self.connection.last_insert_rowid();
        self.set_layout(id, table)?;
        self.watched_table(&table.name)?
            .ok_or_else(|| CopyError::damaged("a table that was added is not there"))
    }

    /// The layout of a table with these columns, which are not its own from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn layout_of(&mut self, watched: i64, table: &Arc<Table>) -> Result<i64, CopyError> {
        let definition =
            serde_json::to_string(&**table).map_err(|error| CopyError::damaged(error.to_string()))?;
        let known: Option<i64> = self
            .connection
            .prepare_cached("SELECT id FROM layout WHERE watched = ?1 AND definition = ?2")?
            .query_row(params![watched, definition], |row| row.get(0))
            .optional()?;
        if let Some(known) = known {
            return Ok(known);
        }
        self.connection.execute(
            "INSERT INTO layout (watched, definition) VALUES (?1, ?2)",
            params![watched, definition],
        )?;
        let id = self.connection.last_insert_rowid();
        self.layouts.insert(id, Layout { id, table: Arc::clone(table) });
        Ok(id)
    }

    /// The columns of a table's rows from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_layout(&mut self, watched: i64, table: &Arc<Table>) -> Result<Layout, CopyError> {
        let layout = Layout { id: self.layout_of(watched, table)?, table: Arc::clone(table) };
        self.connection
            .execute("UPDATE watched SET layout = ?2 WHERE id = ?1", params![watched, layout.id])?;
        Ok(layout)
    }

    /// The layout with a number.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn layout(&mut self, id: i64) -> Result<Layout, CopyError> {
        if let Some(known) = self.layouts.get(&id) {
            return Ok(known.clone());
        }
        let mut select = self.connection.prepare_cached("SELECT definition FROM layout WHERE id = ?1")?;
        let definition: String = select.query_row([id], |row| row.get(0))?;
        let table = serde_json::from_str::<Table>(&definition)
            .map_err(|error| CopyError::damaged(format!("layout {id}: {error}")))?;
        let layout = Layout { id, table: Arc::new(table) };
        self.layouts.insert(id, layout.clone());
        Ok(layout)
    }

    /// Whether every version is kept from now on. Those that there are stay.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_versions(&mut self, watched: i64, versions: bool) -> Result<(), CopyError> {
        if !versions {
            let last: i64 =
                self.connection.query_row("SELECT coalesce(max(id), 0) FROM origin", [], |row| row.get(0))?;
            self.set_mark(&history_mark(watched), last.to_string().as_bytes())?;
        }
        self.connection
            .execute("UPDATE watched SET versions = ?2 WHERE id = ?1", params![watched, versions])?;
        Ok(())
    }

    /// Versions with an origin up to this one were kept because all were.
    pub(super) fn history_until(&self, watched: i64) -> Result<i64, CopyError> {
        let mark = self.mark(&history_mark(watched))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&mark).parse().unwrap_or(0))
    }

    /// How far the baseline of a table has come: after which key it goes on, and from which snapshot that was.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_baseline(
        &mut self,
        watched: i64,
        snapshot: &Position,
        after: Option<&Key>,
        taken: u64,
        done: bool,
    ) -> Result<(), CopyError> {
        self.connection.execute(
            "UPDATE watched SET first = coalesce(first, ?2), last = ?2, after = ?3, taken = ?4, done = ?5 WHERE id = ?1",
            params![watched, snapshot.to_string(), after.map(|key| encode_row(key)), signed(taken), done],
        )?;
        Ok(())
    }

    /// What has to be signed off before a table's changes are applied again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_paused(&mut self, watched: i64, fingerprint: Option<&str>) -> Result<(), CopyError> {
        self.connection
            .execute("UPDATE watched SET paused = ?2 WHERE id = ?1", params![watched, fingerprint])?;
        Ok(())
    }

    /// Whether the database has a table no longer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_gone(&mut self, watched: i64, gone: bool) -> Result<(), CopyError> {
        self.connection.execute("UPDATE watched SET gone = ?2 WHERE id = ?1", params![watched, gone])?;
        Ok(())
    }

    /// Where a table's rows were taken from matters no longer: nothing of the stream is compared with it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget_snapshots(&mut self, watched: i64) -> Result<(), CopyError> {
        self.connection.execute("UPDATE watched SET first = NULL, last = NULL WHERE id = ?1", [watched])?;
        Ok(())
    }

    /// Takes a table's baseline again. What was there stays as history where versions are kept.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn take_again(&mut self, watched: i64) -> Result<(), CopyError> {
        self.connection.execute(
            "INSERT OR IGNORE INTO version (watched, place, version, key, layout, image, op, origin, event)
                 SELECT r.watched, r.place, r.version, r.key, r.layout, r.image, r.op, r.origin, r.event
                 FROM row r JOIN watched w ON w.id = r.watched WHERE w.versions AND w.id = ?1",
            [watched],
        )?;
        for sql in [
            "DELETE FROM row WHERE watched = ?1",
            "DELETE FROM parked WHERE watched = ?1",
            "UPDATE watched SET first = NULL, last = NULL, after = NULL, taken = 0, done = 0, rows = 0 WHERE id = ?1",
        ] {
            self.connection.execute(sql, [watched])?;
        }
        self.rows.remove(&watched);
        Ok(())
    }

    /// The stream cannot be taken up again, or begins anew: its positions mean nothing any more. Tables whose baseline was not done begin it again, all
    /// are compared as soon as can be. In a transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn lose_stream(&mut self) -> Result<(), CopyError> {
        for watched in self.watched()? {
            if watched.done {
                self.forget_snapshots(watched.id)?;
            } else {
                self.take_again(watched.id)?;
            }
        }
        self.connection.execute("DELETE FROM meta WHERE name IN ('position', 'part', 'pass')", [])?;
        Ok(())
    }

    /// Forgets the rows and the position, so that a baseline is taken again. What was there before stays as history, violations stay. In a transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn start_again(&mut self) -> Result<(), CopyError> {
        for watched in self.watched()? {
            self.take_again(watched.id)?;
        }
        self.lose_stream()
    }
}

fn history_mark(watched: i64) -> String {
    format!("history.{watched}")
}

struct RawWatched {
    id: i64,
    layout: i64,
    versions: bool,
    first: Option<String>,
    last: Option<String>,
    after: Option<Vec<u8>>,
    taken: u64,
    done: bool,
    rows: u64,
    paused: Option<String>,
    gone: bool,
}

impl RawWatched {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawWatched> {
        Ok(RawWatched {
            id: row.get(0)?,
            layout: row.get(1)?,
            versions: row.get(2)?,
            first: row.get(3)?,
            last: row.get(4)?,
            after: row.get(5)?,
            taken: unsigned(row, 6)?,
            done: row.get(7)?,
            rows: unsigned(row, 8)?,
            paused: row.get(9)?,
            gone: row.get(10)?,
        })
    }
}
