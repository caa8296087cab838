//! What a row was before.

use rusqlite::params;

use super::{Copy, CopyError, Layout, Op, Origin, unsigned};
use crate::cell::{Cell, RowHash, decode_row};
use crate::change::Position;

/// One version of a row, or its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Its number, from 1.
    pub version: u64,
    /// What made it.
    pub op: Op,
    /// The columns that the cells have.
    pub layout: Layout,
    /// The row; none: it was gone.
    pub cells: Option<Vec<Cell>>,
    /// Where that came from.
    pub origin: Origin,
    /// The event that told it.
    pub event: Option<String>,
}

/// What a row was at an earlier position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// There was one.
    Row(Vec<Cell>),
    /// There was none.
    Absent,
    /// The copy does not reach back so far.
    Unknown,
}

impl Copy {
    /// The newest versions of a row, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn history(&mut self, watched: i64, place: &[u8], limit: u32) -> Result<Vec<Version>, CopyError> {
        self.versions("1 ORDER BY v.version DESC LIMIT ?3", params![watched, place, limit])
    }

    /// Versions of a row that are older than one, or the newest, at most about so many bytes of them; the newest first, and whether there are more.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn history_before(
        &mut self,
        watched: i64,
        place: &[u8],
        before: Option<u64>,
        limit: u32,
        bytes: usize,
    ) -> Result<(Vec<Version>, bool), CopyError> {
        let before = before.map_or(i64::MAX, super::signed);
        let which = "v.version < ?3 ORDER BY v.version DESC LIMIT ?4";
        let (mut found, cut) =
            self.versions_within(which, params![watched, place, before, limit.saturating_add(1)], bytes)?;
        let more = cut || found.len() > limit as usize;
        found.truncate(limit as usize);
        Ok((found, more))
    }

    /// The versions of a row that fit, of which the table and the place are the first parameters.
    pub(super) fn versions(
        &mut self,
        which: &str,
        parameters: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Version>, CopyError> {
        Ok(self.versions_within(which, parameters, usize::MAX)?.0)
    }

    /// The same, but no more once there are so many bytes; and whether there were more.
    fn versions_within(
        &mut self,
        which: &str,
        parameters: &[&dyn rusqlite::ToSql],
        bytes: usize,
    ) -> Result<(Vec<Version>, bool), CopyError> {
        let sql = format!(
            "SELECT v.version, v.op, v.layout, v.image, v.event, o.seen_by, o.position, o.txn, o.time, o.seen, o.account, o.unexplained
             FROM (SELECT version, op, layout, image, event, origin FROM row WHERE watched = ?1 AND place = ?2
                   UNION ALL
                   SELECT version, op, layout, image, event, origin FROM version WHERE watched = ?1 AND place = ?2) v
             JOIN origin o ON o.id = v.origin WHERE {which}"
        );
        let (mut found, mut taken, mut cut) = (Vec::new(), 0_usize, false);
        {
            let mut select = self.connection.prepare_cached(&sql)?;
            let mut rows = select.query(parameters)?;
            while let Some(row) = rows.next()? {
                if taken > bytes {
                    cut = true;
                    break;
                }
                let version = unsigned(row, 0)?;
                let op: String = row.get(1)?;
                let layout: i64 = row.get(2)?;
                let image: Option<Vec<u8>> = row.get(3)?;
                let event: Option<String> = row.get(4)?;
                taken = taken.saturating_add(image.as_ref().map_or(0, Vec::len));
                found.push((version, op, layout, image, event, Origin::read(row, 5)?));
            }
        }
        let version = |(version, op, layout, image, event, origin): (_, String, _, Option<Vec<u8>>, _, _)| {
            Ok(Version {
                version,
                op: Op::named(&op)?,
                layout: self.layout(layout)?,
                cells: image.map(|image| decode_row(&image)).transpose()?,
                origin,
                event,
            })
        };
        Ok((found.into_iter().map(version).collect::<Result<_, CopyError>>()?, cut))
    }

    /// What a row was at an earlier position of the stream, as far as its versions reach back.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn row_at(&mut self, watched: i64, place: &[u8], position: &Position) -> Result<Past, CopyError> {
        let versions = self.history(watched, place, u32::MAX)?;
        let first_is_known =
            versions.last().is_none_or(|oldest| oldest.version == 1 && oldest.op == Op::Insert);
        for version in versions {
            let made = version.origin.position.as_deref().and_then(|text| text.parse::<Position>().ok());
            if made.is_some_and(|made| made <= *position) {
                return Ok(version.cells.map_or(Past::Absent, Past::Row));
            }
        }
        Ok(if first_is_known { Past::Absent } else { Past::Unknown })
    }

    /// The hash of a row as it is now.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn hash_of(&self, watched: i64, place: &[u8]) -> Result<Option<RowHash>, CopyError> {
        Ok(self.row(watched, place)?.map(|row| row.hash))
    }
}
