//! Rows decoded: which table a number of the log stands for, and what a change says of its rows.

use std::sync::Arc;

use super::super::bytes::Bytes;
use super::super::event::{Header, kind};
use super::super::image::{Layout, TableMap};
use super::Decoder;
use crate::cell::Cell;
use crate::change::{Change, Op, Sent, Step};
use crate::database::DbError;
use crate::table::{Key, Name, Table};

/// What a cell costs beside its bytes.
const CELL_BYTES: usize = 32;

/// A table of the log.
pub(super) enum Map {
    Watched(Arc<Table>, Arc<Layout>),
    Other,
}

impl Decoder {
    pub(super) fn map(&mut self, header: &Header, body: &[u8]) -> Option<()> {
        let Some(map) = TableMap::read(body) else {
            // Of a type that is not known: only bad if the table is watched, of which the beginning tells.
            let name = mapped_name(body)?;
            let id = Bytes::new(body).little(6)?;
            self.touch(&name);
            self.not_as_known(header, &name);
            self.maps.insert(id, Map::Other);
            return Some(());
        };
        let name = Name {
            schema: String::from_utf8_lossy(map.schema).into_owned(),
            table: String::from_utf8_lossy(map.table).into_owned(),
        };
        self.touch(&name);
        let definitions =
            self.tables.get(&name).into_iter().chain(self.earlier.get(&name).into_iter().flatten());
        let fitting = definitions
            .filter_map(|table| Some(Map::Watched(Arc::clone(table), Arc::new(map.layout(table)?))))
            .next();
        let watched = fitting.unwrap_or_else(|| {
            self.not_as_known(header, &name);
            Map::Other
        });
        self.maps.insert(map.id, watched);
        Some(())
    }

    /// Rows of a table are not as it is known: they are left out, and that is said before the transaction that they are in.
    fn not_as_known(&mut self, header: &Header, name: &Name) {
        if self.tables.contains_key(name) && !self.was_given() && self.strange.insert(name.clone()) {
            let step = Step::Schema {
                position: self.position(),
                time: header.nanos(),
                tables: vec![name.clone()],
                statement: None,
                account: None,
            };
            self.give(step);
        }
    }

    pub(super) fn rows(&mut self, header: &Header, body: &[u8], second: bool) -> Result<Option<()>, DbError> {
        let mut body = Bytes::new(body);
        let Some(id) = body.little(6) else { return Ok(None) };
        let table_and_layout = match self.maps.get(&id) {
            Some(Map::Watched(table, layout)) => (Arc::clone(table), Arc::clone(layout)),
            _ => return Ok(Some(())),
        };
        let skipped = |body: &mut Bytes<'_>| -> Option<usize> {
            body.take(2)?;
            if second {
                // With its own length.
                let extra = usize::from(body.u16()?).checked_sub(2)?;
                body.take(extra)?;
            }
            usize::try_from(body.packed()?).ok()
        };
        let Some(columns) = skipped(&mut body) else { return Ok(None) };
        let (table, layout) = table_and_layout;
        if columns != layout.columns() {
            return Ok(None);
        }
        let Some(first) = body.take(columns.div_ceil(8)) else { return Ok(None) };
        let images = match header.kind {
            kind::UPDATE_1 | kind::UPDATE_2 => {
                let Some(second) = body.take(columns.div_ceil(8)) else { return Ok(None) };
                Images::Both(first, second)
            }
            kind::WRITE_1 | kind::WRITE_2 => Images::After(first),
            _ => Images::Before(first),
        };
        while !body.is_empty() {
            let before_length = body.rest().len();
            let op = match images {
                Images::After(present) => self.image(&table, &layout, present, &mut body).map(inserted),
                Images::Before(present) => {
                    self.image(&table, &layout, present, &mut body).map(|row| deleted(&table, row))
                }
                Images::Both(before, after) => self
                    .image(&table, &layout, before, &mut body)
                    .zip(self.image(&table, &layout, after, &mut body))
                    .map(|(before, after)| updated(&table, before, after)),
            };
            let Some(op) = op else { return Ok(None) };
            let Some(op) = op else {
                return Err(DbError::Lost(format!(
                    "somebody changed rows of {} with another image than FULL (binlog_row_image of a session): the log does not say all of them",
                    table.name
                )));
            };
            let bytes = before_length - body.rest().len() + CELL_BYTES * columns;
            self.push(Change { table: Arc::clone(&table), op }, bytes);
        }
        Ok(Some(()))
    }

    /// A row, masked where it has to be: what a column is not sent, is `AsBefore`.
    fn image(
        &self,
        table: &Table,
        layout: &Layout,
        present: &[u8],
        body: &mut Bytes<'_>,
    ) -> Option<Vec<Sent>> {
        let mut row = Vec::with_capacity(table.columns.len());
        layout.row(present, body, |at, value| {
            row.resize(at, Sent::AsBefore);
            let cell = value.map_or(Cell::Null, Cell::Value);
            let masked = table.columns.get(at).is_some_and(|column| column.masked);
            row.push(Sent::Cell(if masked { self.mask.mask(&cell) } else { cell }));
        })?;
        row.resize(table.columns.len(), Sent::AsBefore);
        Some(row)
    }
}

/// Which columns the images of a change have.
#[derive(Clone, Copy)]
enum Images<'a> {
    After(&'a [u8]),
    Before(&'a [u8]),
    Both(&'a [u8], &'a [u8]),
}

/// All cells, if all were sent.
fn whole(row: Vec<Sent>) -> Option<Vec<Cell>> {
    row.into_iter()
        .map(|sent| match sent {
            Sent::Cell(cell) => Some(cell),
            Sent::AsBefore => None,
        })
        .collect()
}

fn key_of(table: &Table, row: &[Sent]) -> Option<Key> {
    let cell = |place: &usize| match row.get(*place) {
        Some(Sent::Cell(cell)) => Some(cell.clone()),
        _ => None,
    };
    table.key.iter().map(cell).collect()
}

/// A column that is not sent has its default then, which the log does not say.
fn inserted(row: Vec<Sent>) -> Option<Op> {
    row.iter().all(|sent| *sent != Sent::AsBefore).then_some(Op::Insert { new: row })
}

fn deleted(table: &Table, row: Vec<Sent>) -> Option<Op> {
    let key = key_of(table, &row)?;
    Some(Op::Delete { key, before: whole(row) })
}

fn updated(table: &Table, before: Vec<Sent>, new: Vec<Sent>) -> Option<Op> {
    let key = key_of(table, &before)?;
    Some(Op::Update { key, before: whole(before), new })
}

fn mapped_name(body: &[u8]) -> Option<Name> {
    let mut body = Bytes::new(body);
    body.take(8)?;
    let schema = String::from_utf8_lossy(body.counted(1)?).into_owned();
    body.take(1)?;
    let table = String::from_utf8_lossy(body.counted(1)?).into_owned();
    Some(Name { schema, table })
}

#[cfg(test)]
mod tests {
    use super::super::sample::{decoder, event, format, gtid, map, query};
    use super::*;

    /// What is made of one event of rows; none when the log does not say all of them.
    fn of(kind: u8, body: &[u8]) -> Option<Op> {
        let mut decoder = decoder();
        let body = [&[77, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3][..], body].concat();
        for one in [format(), gtid(), query("BEGIN"), map()] {
            decoder.event(&one).unwrap();
        }
        match decoder.event(&event(kind, 400, &body)) {
            Err(DbError::Lost(_)) => return None,
            done => done.unwrap(),
        }
        decoder.event(&event(kind::XID, 500, &[0; 8])).unwrap();
        let Some(Step::Transaction(transaction)) = decoder.step() else { panic!() };
        Some(transaction.changes[0].op.clone())
    }

    #[test]
    fn images_say_as_much_as_they_have() {
        let one = [0_u8, 1, 0, 0, 0, 0, 0, 0, 0];
        let (id, text) = (Cell::of("1"), Cell::of("a"));
        // Only the key before, only the text after.
        let changed = [&[0b001, 0b010][..], &one, b"\0\x01a"].concat();
        let new = vec![Sent::AsBefore, Sent::Cell(text), Sent::AsBefore];
        let updated = Op::Update { key: vec![id.clone()], before: None, new };
        assert_eq!(of(kind::UPDATE_2, &changed), Some(updated));
        let key = [&[0b001][..], &one].concat();
        assert_eq!(of(kind::DELETE_2, &key), Some(Op::Delete { key: vec![id], before: None }));
        // A new row without some of its columns, and a deleted one without its key.
        assert_eq!(of(kind::WRITE_2, &key), None);
        assert_eq!(of(kind::DELETE_2, b"\x02\0\x01a"), None);
    }
}
