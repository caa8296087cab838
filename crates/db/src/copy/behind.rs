//! Which rows a projection of the copy still lacks: see [`projection`](crate::projection).
//!
//! Triggers note the row of every change of the copy, in the transaction that makes it, whichever process that is. What was noted stays until it was
//! written elsewhere; a row that changes while it is written is noted anew, by a higher number.

use rusqlite::{OptionalExtension as _, params, types::Value};

use super::{Copy, CopyError, NO_TABLE, Op, Place, Version, Violation, unsigned};
use crate::copy::violations::COLUMNS;

/// The name under which is kept of which copy a projection is.
const ID: &str = "projection";

/// A row that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The table, by number, or [`NO_TABLE`].
    pub watched: i64,
    /// Where the row is kept; empty: of the table.
    pub place: Place,
    /// Rises with every change.
    pub number: i64,
    /// Versions from this one on are new.
    pub since: u64,
}

/// What a trigger does: `new` or `old`, and the version.
fn note(which: &str, version: &str) -> String {
    format!(
        "INSERT INTO changed (watched, place, number, since)
         VALUES ({which}.watched, {which}.place, (SELECT coalesce(max(number), 0) + 1 FROM changed), {version})
         ON CONFLICT DO UPDATE SET number = excluded.number, since = min(since, excluded.since)"
    )
}

/// The triggers: their name, when, and what they do. What is in `row` may have been rewritten with its version, hence from that one on.
fn triggers() -> Vec<(&'static str, &'static str, String)> {
    let never = "9223372036854775807";
    vec![
        ("projection_row_new", "AFTER INSERT ON row", note("new", "new.version")),
        ("projection_row_set", "AFTER UPDATE ON row", note("new", "new.version")),
        ("projection_row_gone", "AFTER DELETE ON row", note("old", "old.version")),
        // It was in `row` before, and noted then; or it is an end, which has no values.
        ("projection_version_new", "AFTER INSERT ON version", note("new", never)),
        ("projection_version_set", "AFTER UPDATE ON version", note("new", "new.version")),
        ("projection_version_gone", "AFTER DELETE ON version", note("old", never)),
        ("projection_violation_new", "AFTER INSERT ON violation", note("new", never)),
        ("projection_violation_set", "AFTER UPDATE ON violation", note("new", never)),
    ]
}

impl Copy {
    /// Notes changes from now on, or no longer. Everything that is there counts as changed when it was not noted before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_changes(&mut self, notes: bool) -> Result<(), CopyError> {
        let noted: bool = self.connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = 'projection_row_new')",
            [],
            |row| row.get(0),
        )?;
        if noted == notes {
            return Ok(());
        }
        self.begin()?;
        for (name, when, what) in triggers() {
            let sql = match notes {
                true => format!("CREATE TRIGGER {name} {when} BEGIN {what}; END"),
                false => format!("DROP TRIGGER IF EXISTS {name}"),
            };
            self.connection.execute_batch(&sql)?;
        }
        self.connection.execute("DELETE FROM changed", [])?;
        self.project_anew()?;
        self.commit()
    }

    /// The copy counts as another one from now on: what was projected of it before is thrown away. In a transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn project_anew(&mut self) -> Result<(), CopyError> {
        let id: [u8; 16] = rand::random();
        self.set_mark(ID, crate::hex(&id).as_bytes())
    }

    /// Of which copy a projection is; none where nothing is noted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn projected_as(&self) -> Result<Option<String>, CopyError> {
        Ok(self.mark(ID)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// All rows of a table, or of all, count as changed. In a transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_all(&mut self, watched: Option<i64>) -> Result<(), CopyError> {
        self.connection.execute(
            "INSERT INTO changed (watched, place, number, since)
             SELECT watched, place, (SELECT coalesce(max(number), 0) + 1 FROM changed), 1 FROM (
                 SELECT watched, place FROM row UNION SELECT watched, place FROM version UNION SELECT watched, place FROM violation)
             WHERE ?1 IS NULL OR watched = ?1
             ON CONFLICT DO UPDATE SET number = excluded.number, since = 1",
            [watched],
        )?;
        Ok(())
    }

    /// Rows that changed, the ones longest ago first; of tables of which the baseline is taken, or that are gone. What is about no table is among them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn behind(&mut self, limit: u32) -> Result<Vec<Behind>, CopyError> {
        self.behind_by(&format!(
            "changed c LEFT JOIN watched w ON w.id = c.watched WHERE c.watched = {NO_TABLE} OR w.done = 1 OR w.gone = 1
             ORDER BY c.number LIMIT {limit}"
        ))
    }

    /// The same of these tables only, in any order: however much the others lack, nothing of it is read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn behind_of(&mut self, tables: &[i64], limit: u32) -> Result<Vec<Behind>, CopyError> {
        let tables = tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        self.behind_by(&format!("changed c WHERE c.watched IN ({tables}) LIMIT {limit}"))
    }

    fn behind_by(&mut self, from: &str) -> Result<Vec<Behind>, CopyError> {
        let sql = format!("SELECT c.watched, c.place, c.number, c.since FROM {from}");
        let mut select = self.connection.prepare_cached(&sql)?;
        let found = select.query_map([], |row| {
            Ok(Behind {
                watched: row.get(0)?,
                place: row.get(1)?,
                number: row.get(2)?,
                since: unsigned(row, 3)?,
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// They were written, with all versions or with those before the one that is given, unless they changed again. In a transaction.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn caught_up(&mut self, written: &[(Behind, Option<u64>)]) -> Result<(), CopyError> {
        for (behind, rest) in written {
            let known = params![behind.watched, behind.place, behind.number];
            match rest {
                None => {
                    let sql = "DELETE FROM changed WHERE watched = ?1 AND place = ?2 AND number = ?3";
                    self.connection.prepare_cached(sql)?.execute(known)?;
                }
                Some(rest) => {
                    let sql =
                        "UPDATE changed SET since = ?4 WHERE watched = ?1 AND place = ?2 AND number = ?3";
                    self.connection.prepare_cached(sql)?.execute(params![
                        behind.watched,
                        behind.place,
                        behind.number,
                        super::signed(*rest)
                    ])?;
                }
            }
        }
        Ok(())
    }

    /// A row's versions from a number on, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn versions_from(
        &mut self,
        watched: i64,
        place: &[u8],
        since: u64,
        limit: u32,
    ) -> Result<Vec<Version>, CopyError> {
        self.versions(
            "v.version >= ?3 ORDER BY v.version LIMIT ?4",
            params![watched, place, super::signed(since), limit],
        )
    }

    /// The newest version of a row that is no end of it.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn last_image(&mut self, watched: i64, place: &[u8]) -> Result<Option<Version>, CopyError> {
        Ok(self
            .versions("v.image IS NOT NULL ORDER BY v.version DESC LIMIT 1", params![watched, place])?
            .pop())
    }

    /// What is kept of a row that is not versioned, because of a violation: what it was before the first one.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn evidence(&mut self, watched: i64, place: &[u8]) -> Result<Option<Version>, CopyError> {
        let kept = "v.image IS NOT NULL AND v.version < coalesce((SELECT version FROM row WHERE watched = ?1 AND place = ?2), 9223372036854775807)";
        Ok(self.versions(&format!("{kept} ORDER BY v.version LIMIT 1"), params![watched, place])?.pop())
    }

    /// When the oldest known version of a row was made, in microseconds since 1970.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn first_made(&mut self, watched: i64, place: &[u8]) -> Result<Option<i64>, CopyError> {
        let sql = "SELECT o.time FROM (SELECT version, origin FROM row WHERE watched = ?1 AND place = ?2
                       UNION ALL SELECT version, origin FROM version WHERE watched = ?1 AND place = ?2) v
                   JOIN origin o ON o.id = v.origin ORDER BY v.version LIMIT 1";
        let mut select = self.connection.prepare_cached(sql)?;
        Ok(select.query_row(params![watched, place], |row| row.get(0)).optional()?)
    }

    /// All violations of a row, or of a table.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn violations_of(&mut self, watched: i64, place: &[u8]) -> Result<Vec<Violation>, CopyError> {
        let sql = format!("SELECT {COLUMNS} FROM violation WHERE watched = ?1 AND place = ?2");
        self.find(&sql, vec![Value::Integer(watched), Value::Blob(place.to_vec())])
    }

    /// All layouts that a table has had, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn layouts_of(&mut self, watched: i64) -> Result<Vec<super::Layout>, CopyError> {
        let ids: Vec<i64> = {
            let mut select =
                self.connection.prepare_cached("SELECT id FROM layout WHERE watched = ?1 ORDER BY id")?;
            let found = select.query_map([watched], |row| row.get(0))?;
            found.collect::<Result<_, _>>()?
        };
        ids.into_iter().map(|id| self.layout(id)).collect()
    }
}

impl Version {
    /// Whether the row was gone.
    pub fn is_end(&self) -> bool {
        self.cells.is_none() || matches!(self.op, Op::Delete | Op::Truncate)
    }
}
