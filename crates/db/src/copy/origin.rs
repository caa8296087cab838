//! Where changes come from: kept once, however many rows a transaction changed.

use rusqlite::{params, types::Type};

use super::{Copy, CopyError};

/// Who saw a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenBy {
    /// It was so when watching began.
    Baseline,
    /// The change stream said it.
    Stream,
    /// Found by comparing, so who and when is not known.
    Comparison,
}

impl SeenBy {
    /// As it is stored and told.
    pub fn name(self) -> &'static str {
        match self {
            SeenBy::Baseline => "baseline",
            SeenBy::Stream => "stream",
            SeenBy::Comparison => "comparison",
        }
    }

    fn named(name: &str) -> Option<SeenBy> {
        [SeenBy::Baseline, SeenBy::Stream, SeenBy::Comparison].into_iter().find(|seen| seen.name() == name)
    }
}

/// Where changes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who saw them.
    pub seen_by: SeenBy,
    /// Where in the stream.
    pub position: Option<String>,
    /// The transaction.
    pub transaction: Option<String>,
    /// When it was committed, or found: microseconds since 1970. MariaDB says it in whole seconds.
    pub time: i64,
    /// When it was read, by the watch's clock, in microseconds since 1970.
    pub seen: Option<i64>,
    /// Whose it was.
    pub account: Option<String>,
    /// Whether the stream should have said it.
    pub unexplained: bool,
}

impl Origin {
    pub(super) fn read(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Origin> {
        let seen_by: String = row.get(first)?;
        let seen_by = SeenBy::named(&seen_by)
            .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(first, Type::Text, seen_by.into()))?;
        Ok(Origin {
            seen_by,
            position: row.get(first + 1)?,
            transaction: row.get(first + 2)?,
            time: row.get(first + 3)?,
            seen: row.get(first + 4)?,
            account: row.get(first + 5)?,
            unexplained: row.get::<_, Option<bool>>(first + 6)?.unwrap_or(seen_by == SeenBy::Comparison),
        })
    }
}

impl Copy {
    /// Keeps an origin, and gives its number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_origin(&mut self, origin: &Origin) -> Result<i64, CopyError> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO origin (seen_by, position, txn, time, seen, account, unexplained) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        Ok(insert.insert(params![
            origin.seen_by.name(),
            origin.position,
            origin.transaction,
            origin.time,
            origin.seen,
            origin.account,
            origin.unexplained
        ])?)
    }

    /// The position of a transaction that came in several parts, known with the last one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_origin_position(&mut self, origin: i64, position: &str) -> Result<(), CopyError> {
        let mut update = self.connection.prepare_cached("UPDATE origin SET position = ?2 WHERE id = ?1")?;
        update.execute(params![origin, position])?;
        Ok(())
    }

    /// The origin with a number.
    ///
    /// # Errors
    /// When the file cannot be read, or has none.
    pub fn origin(&self, id: i64) -> Result<Origin, CopyError> {
        let mut select = self.connection.prepare_cached(
            "SELECT seen_by, position, txn, time, seen, account, unexplained FROM origin WHERE id = ?1",
        )?;
        Ok(select.query_row([id], |row| Origin::read(row, 0))?)
    }
}
