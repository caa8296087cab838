//! Changes of the watched schema: found, waiting for a sign-off, followed.

use std::sync::Arc;

use rusqlite::params;

use super::{Copy, CopyError, SchemaChange};
use crate::cell::{decode_row, encode_row};
use crate::copy::rows::place_of;
use crate::table::Table;

/// Rows that are moved to new keys at once.
const ROWS_AT_ONCE: u32 = 1_000;

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
    /// they do not have are forgotten; gives how many.
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
                let key: Option<Vec<_>> = table
                    .key
                    .iter()
                    .map(|place| {
                        let name = &table.columns.get(*place)?.name;
                        cells.get(old.place_of(name)?).cloned()
                    })
                    .collect();
                let Some(key) = key else {
                    forgotten += 1;
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
                self.connection
                    .prepare_cached(
                        "UPDATE OR REPLACE version SET watched = ?3, place = ?4 WHERE watched = ?1 AND place = ?2",
                    )?
                    .execute(params![watched, row.place, aside, place])?;
            }
        }
        self.connection.execute("DELETE FROM row WHERE watched = ?1", [watched])?;
        self.connection.execute("UPDATE row SET watched = ?2 WHERE watched = ?1", [aside, watched])?;
        self.connection
            .execute("UPDATE OR REPLACE version SET watched = ?2 WHERE watched = ?1", [aside, watched])?;
        Ok(forgotten)
    }
}
