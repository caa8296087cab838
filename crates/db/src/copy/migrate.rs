//! Changes of the watched schema: found, waiting for a sign-off, followed.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{Copy, CopyError, Place, SchemaChange};
use crate::cell::{Cell, decode_row, encode_row};
use crate::copy::rows::place_of;
use crate::table::{Key, Table};

/// Rows that are moved to new keys at once.
const ROWS_AT_ONCE: u32 = 1_000;

/// The key that a row of one definition has by another, if it has all its columns.
fn key_by(old: &Table, cells: &[Cell], table: &Table) -> Option<Key> {
    let named = |place: &usize| {
        let name = &table.columns.get(*place)?.name;
        cells.get(old.place_of(name)?).cloned()
    };
    table.key.iter().map(named).collect()
}

/// Where the history is kept of a row that no key of the table leads to any more.
fn unreachable(place: &[u8]) -> Place {
    let mut hash = Sha256::new_with_prefix(b"unreachable");
    hash.update(place);
    [b"unreachable".as_slice(), &hash.finalize()].concat()
}

impl Copy {
    /// A change of the schema waits for a sign-off of this violation.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_schema_change(
        &mut self,
        fingerprint: &str,
        watched: i64,
        table: Option<&Table>,
    ) -> Result<(), CopyError> {
        let definition = table.map(serde_json::to_string).transpose();
        let definition = definition.map_err(|error| CopyError::damaged(error.to_string()))?;
        self.connection.execute(
            "INSERT OR REPLACE INTO schema_change (fingerprint, watched, definition) VALUES (?1, ?2, ?3)",
            params![fingerprint, watched, definition],
        )?;
        Ok(())
    }

    /// Changes that were signed off and not yet followed, or that wait: the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn schema_changes(&self, signed: bool) -> Result<Vec<SchemaChange>, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT s.fingerprint, s.watched, s.definition FROM schema_change s JOIN violation v USING (fingerprint)
             WHERE NOT s.accepted AND (v.signed_at IS NOT NULL) = ?1 ORDER BY v.opened",
        )?;
        let mut rows = select.query([signed])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let definition: Option<String> = row.get(2)?;
            let table = definition.map(|json| serde_json::from_str(&json)).transpose();
            let table = table.map_err(|error| CopyError::damaged(error.to_string()))?;
            found.push(SchemaChange { fingerprint: row.get(0)?, watched: row.get(1)?, table });
        }
        Ok(found)
    }

    /// The copy has followed a change.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_followed(&mut self, fingerprint: &str) -> Result<(), CopyError> {
        self.connection
            .execute("UPDATE schema_change SET accepted = 1 WHERE fingerprint = ?1", [fingerprint])?;
        Ok(())
    }

    /// Moves the rows of a table to the keys that they have by its new definition, history included. Rows whose new key has columns that
    /// they do not have become history; gives how many.
    ///
    /// # Errors
    /// When the file cannot be written or is damaged.
    pub fn follow_keys(&mut self, watched: i64, table: &Arc<Table>) -> Result<u64, CopyError> {
        // Of no table, until all are there: a new place may be another row's old one.
        let aside = -watched;
        let (mut after, mut forgotten) = (Vec::new(), 0);
        loop {
            let rows = self.rows_from(watched, &after, ROWS_AT_ONCE)?;
            let Some(last) = rows.last() else { break };
            after = last.place.clone();
            for row in &rows {
                let old = self.layout(row.layout)?.table;
                let cells = decode_row(&row.image)?;
                let Some(key) = key_by(&old, &cells, table) else {
                    forgotten += 1;
                    self.connection
                        .prepare_cached(
                            "INSERT OR IGNORE INTO version (watched, place, version, key, layout, image, op, origin, event)
                             SELECT watched, place, version, key, layout, image, op, origin, event FROM row
                             WHERE watched = ?1 AND place = ?2",
                        )?
                        .execute(params![watched, row.place])?;
                    *self.rows.entry(watched).or_default() -= 1;
                    continue;
                };
                let place = place_of(table, &key);
                self.connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO row (watched, place, key, layout, image, hash, version, op, origin, event)
                         SELECT ?3, ?4, ?5, layout, image, hash, version, op, origin, event FROM row
                         WHERE watched = ?1 AND place = ?2",
                    )?
                    .execute(params![watched, row.place, aside, place, encode_row(&key)])?;
                self.move_aside(watched, &row.place, &place)?;
            }
        }
        // Rows that are gone have a history all the same, which must not become another row's.
        for gone in self.places_left(watched)? {
            let place = self.place_of_gone(watched, &gone, table)?.unwrap_or_else(|| unreachable(&gone));
            self.move_aside(watched, &gone, &place)?;
        }
        self.connection.execute("DELETE FROM row WHERE watched = ?1", [watched])?;
        self.connection.execute("UPDATE row SET watched = ?2 WHERE watched = ?1", [aside, watched])?;
        for sql in [
            "UPDATE OR REPLACE version SET watched = ?2 WHERE watched = ?1",
            "UPDATE OR IGNORE violation SET watched = ?2 WHERE watched = ?1",
        ] {
            self.connection.execute(sql, [aside, watched])?;
        }
        Ok(forgotten)
    }

    /// Moves the history of a place, and the violations of its row.
    fn move_aside(&mut self, watched: i64, from: &[u8], to: &[u8]) -> Result<(), CopyError> {
        for sql in [
            "UPDATE OR REPLACE version SET watched = ?3, place = ?4 WHERE watched = ?1 AND place = ?2",
            "UPDATE OR IGNORE violation SET watched = ?3, place = ?4 WHERE watched = ?1 AND place = ?2",
        ] {
            self.connection.prepare_cached(sql)?.execute(params![watched, from, -watched, to])?;
        }
        Ok(())
    }

    /// Places that have a history or a violation and were not moved; without the one of violations of the table itself.
    fn places_left(&self, watched: i64) -> Result<Vec<Place>, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT place FROM version WHERE watched = ?1 UNION SELECT place FROM violation WHERE watched = ?1 AND place <> x''",
        )?;
        let places = select.query_map([watched], |row| row.get(0))?;
        Ok(places.collect::<Result<_, _>>()?)
    }

    /// Where a row that is gone would be by a table's new definition, if it had the columns of the key.
    fn place_of_gone(
        &mut self,
        watched: i64,
        place: &[u8],
        table: &Table,
    ) -> Result<Option<Place>, CopyError> {
        let newest = self.connection.query_row(
            "SELECT layout, image FROM version WHERE watched = ?1 AND place = ?2 AND image IS NOT NULL ORDER BY version DESC LIMIT 1",
            params![watched, place],
            |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)),
        );
        let Some((layout, image)) = newest.optional()? else { return Ok(None) };
        let cells = decode_row(&image)?;
        let old = self.layout(layout)?.table;
        Ok(key_by(&old, &cells, table).map(|key| place_of(table, &key)))
    }
}
