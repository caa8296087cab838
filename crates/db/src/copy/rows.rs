//! The rows as the database has them now, and ranges of their hashes.

use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Copy, CopyError, signed, unsigned};
use crate::cell::{Cell, RowHash, encode_row};
use crate::database::Scan;
use crate::table::Table;

/// Where a row is kept: see [`place_of`].
pub type Place = Vec<u8>;

/// Where the row with a key is kept: the order bytes of a key whose order is known here, else SHA-256 of its row bytes.
pub fn place_of(table: &Table, key: &[Cell]) -> Place {
    let order = if table.is_ordered() { table.order_of(key) } else { None };
    order.unwrap_or_else(|| Sha256::digest(encode_row(key)).to_vec())
}

/// The places of a part of a table: `from` is in it, `to` is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first place that may be in it.
    pub from: Place,
    /// The first place that is not; none: it goes to the end.
    pub to: Option<Place>,
}

impl Span {
    /// Of a part of a table.
    pub fn of(table: &Table, scan: &Scan) -> Span {
        match scan {
            Scan::Range { after, upto } => {
                // No place begins with another one, so one more byte is the first place after it.
                let next = |key: &Vec<Cell>| {
                    let mut place = place_of(table, key);
                    place.push(0);
                    place
                };
                Span { from: after.as_ref().map(next).unwrap_or_default(), to: upto.as_ref().map(next) }
            }
            Scan::Bucket { bits: 0, .. } => Span { from: Vec::new(), to: None },
            Scan::Bucket { bits, bucket } => {
                let shift = 32 - u32::from(*bits).min(32);
                let begin =
                    |bucket: u64| u32::try_from(bucket << shift).ok().map(|at| at.to_be_bytes().to_vec());
                Span {
                    from: begin(u64::from(*bucket)).unwrap_or_default(),
                    to: begin(u64::from(*bucket) + 1),
                }
            }
        }
    }

    /// Whether a place is in it.
    pub fn holds(&self, place: &[u8]) -> bool {
        place >= self.from.as_slice() && self.to.as_ref().is_none_or(|to| place < to.as_slice())
    }
}

/// What made a version of a row.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Op {
    /// It was there when watching began.
    Baseline,
    /// The row is new.
    Insert,
    /// It is different.
    Update,
    /// It is gone.
    Delete,
    /// All are.
    Truncate,
    /// A change of the schema that was signed off made it different.
    Schema,
}

impl Op {
    const ALL: [Op; 6] = [Op::Baseline, Op::Insert, Op::Update, Op::Delete, Op::Truncate, Op::Schema];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Op::Baseline => "baseline",
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Truncate => "truncate",
            Op::Schema => "schema",
        }
    }

    pub(super) fn named(name: &str) -> Result<Op, CopyError> {
        let found = Op::ALL.into_iter().find(|op| op.name() == name);
        found.ok_or_else(|| CopyError::damaged(format!("no operation is called {name}")))
    }
}

/// A row of the copy.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stored {
    /// Where it is kept.
    pub place: Place,
    /// The row bytes of its key.
    pub key: Vec<u8>,
    /// The columns that the image has.
    pub layout: i64,
    /// Its row bytes.
    pub image: Vec<u8>,
    /// SHA-256 of them.
    pub hash: RowHash,
    /// Counts from 1, deletions included.
    pub version: u64,
    /// What made it.
    pub op: Op,
    /// Where that came from.
    pub origin: i64,
    /// The event that told it.
    pub event: Option<String>,
}

/// What is to be put in place of what a row was.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The table.
    pub watched: i64,
    /// Where it is kept.
    pub place: &'a [u8],
    /// The row bytes of its key.
    pub key: &'a [u8],
    /// The columns that the image has.
    pub layout: i64,
    /// Its row bytes.
    pub image: &'a [u8],
    /// SHA-256 of them.
    pub hash: &'a RowHash,
    /// What made it.
    pub op: Op,
    /// Where that came from.
    pub origin: i64,
    /// The event that tells it.
    pub event: Option<&'a str>,
}

const STORED: &str = "place, key, layout, image, hash, version, op, origin, event";

impl Copy {
    /// The row at a place.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn row(&self, watched: i64, place: &[u8]) -> Result<Option<Stored>, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT place, key, layout, image, hash, version, op, origin, event FROM row WHERE watched = ?1 AND place = ?2",
        )?;
        select.query_row(params![watched, place], read).optional()?.map(ready).transpose()
    }

    /// Puts a row in the place of `old`, which is what [`Copy::row`] says of it, and gives the new version's number. What was there goes to the history when `keep` says so. In a
    /// transaction, as all that follows.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&mut self, put: &Put<'_>, old: Option<&Stored>, keep: bool) -> Result<u64, CopyError> {
        let version = match old {
            Some(old) => {
                if keep {
                    self.keep(put.watched, old)?;
                }
                old.version + 1
            }
            None => {
                *self.rows.entry(put.watched).or_default() += 1;
                self.last_version(put.watched, put.place)? + 1
            }
        };
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO row (watched, place, key, layout, image, hash, version, op, origin, event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        insert.execute(params![
            put.watched,
            put.place,
            put.key,
            put.layout,
            put.image,
            put.hash,
            signed(version),
            put.op.name(),
            put.origin,
            put.event
        ])?;
        Ok(version)
    }

    /// Removes a row, which is what [`Copy::row`] says of it; with `keep` it and its end go to the history. Gives the version's number that the end has.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove(
        &mut self,
        watched: i64,
        old: &Stored,
        op: Op,
        origin: i64,
        event: Option<&str>,
        keep: bool,
    ) -> Result<u64, CopyError> {
        if keep {
            self.keep(watched, old)?;
            let mut insert = self.connection.prepare_cached(
                "INSERT OR REPLACE INTO version (watched, place, version, key, layout, image, op, origin, event)
                 VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6, ?7, ?8)",
            )?;
            insert.execute(params![
                watched,
                old.place,
                signed(old.version + 1),
                old.key,
                old.layout,
                op.name(),
                origin,
                event
            ])?;
        }
        let mut delete =
            self.connection.prepare_cached("DELETE FROM row WHERE watched = ?1 AND place = ?2")?;
        delete.execute(params![watched, old.place])?;
        *self.rows.entry(watched).or_default() -= 1;
        Ok(old.version + 1)
    }

    /// Removes all rows of a table, and says how many there were.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove_all(
        &mut self,
        watched: i64,
        op: Op,
        origin: i64,
        event: Option<&str>,
        keep: bool,
    ) -> Result<u64, CopyError> {
        if keep {
            self.connection.execute(
                "INSERT OR REPLACE INTO version (watched, place, version, key, layout, image, op, origin, event)
                 SELECT watched, place, version, key, layout, image, op, origin, event FROM row WHERE watched = ?1",
                [watched],
            )?;
            self.connection.execute(
                "INSERT OR REPLACE INTO version (watched, place, version, key, layout, image, op, origin, event)
                 SELECT watched, place, version + 1, key, layout, NULL, ?2, ?3, ?4 FROM row WHERE watched = ?1",
                params![watched, op.name(), origin, event],
            )?;
        }
        let removed = self.connection.execute("DELETE FROM row WHERE watched = ?1", [watched])?;
        *self.rows.entry(watched).or_default() -= i64::try_from(removed).unwrap_or(i64::MAX);
        Ok(removed as u64)
    }

    /// The places and hashes of the rows in a part of a table, by place.
    ///
    /// # Errors
    /// When the file cannot be read, or what `each` gives.
    pub fn each_hash(
        &self,
        watched: i64,
        span: &Span,
        mut each: impl FnMut(&[u8], RowHash) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        // Two statements, because SQLite searches an index only by what is not behind an OR.
        let sql = match span.to {
            Some(_) => {
                "SELECT place, hash FROM row WHERE watched = ?1 AND place >= ?2 AND place < ?3 ORDER BY place"
            }
            None => {
                "SELECT place, hash FROM row WHERE watched = ?1 AND place >= ?2 AND ?3 IS NULL ORDER BY place"
            }
        };
        let mut select = self.connection.prepare_cached(sql)?;
        let mut rows = select.query(params![watched, span.from, span.to])?;
        while let Some(row) = rows.next()? {
            let place = row.get_ref(0)?.as_blob().map_err(|error| CopyError::damaged(error.to_string()))?;
            each(place, row.get(1)?)?;
        }
        Ok(())
    }

    /// The rows in a part of a table after a place, by place, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn rows_from(&self, watched: i64, after: &[u8], limit: u32) -> Result<Vec<Stored>, CopyError> {
        let sql =
            format!("SELECT {STORED} FROM row WHERE watched = ?1 AND place > ?2 ORDER BY place LIMIT ?3");
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map(params![watched, after, limit], read)?;
        rows.map(|row| ready(row?)).collect()
    }

    fn keep(&mut self, watched: i64, old: &Stored) -> Result<(), CopyError> {
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO version (watched, place, version, key, layout, image, op, origin, event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        insert.execute(params![
            watched,
            old.place,
            signed(old.version),
            old.key,
            old.layout,
            old.image,
            old.op.name(),
            old.origin,
            old.event
        ])?;
        Ok(())
    }

    fn last_version(&self, watched: i64, place: &[u8]) -> Result<u64, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT version FROM version WHERE watched = ?1 AND place = ?2 ORDER BY version DESC LIMIT 1",
        )?;
        Ok(select.query_row(params![watched, place], |row| unsigned(row, 0)).optional()?.unwrap_or(0))
    }
}

type Raw = (Stored, String);

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Raw> {
    let stored = Stored {
        place: row.get(0)?,
        key: row.get(1)?,
        layout: row.get(2)?,
        image: row.get(3)?,
        hash: row.get(4)?,
        version: unsigned(row, 5)?,
        op: Op::Baseline,
        origin: row.get(7)?,
        event: row.get(8)?,
    };
    Ok((stored, row.get(6)?))
}

fn ready((stored, op): Raw) -> Result<Stored, CopyError> {
    Ok(Stored { op: Op::named(&op)?, ..stored })
}
