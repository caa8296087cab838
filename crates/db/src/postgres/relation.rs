//! The tables as the stream describes them, and its rows as cells.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalog;
use super::pgoutput::{Message, Old, Relation, Value};
use super::session::{Session, value};
use crate::cell::{Cell, MaskKey};
use crate::change::{Change, Op, Sent};
use crate::config::WatchConfig;
use crate::database::DbError;
use crate::table::{Column, Key, Kind, Name, Table};

/// The types of a schema's columns, as they are called now: by number and modifier.
const TYPES: &str = "
    SELECT DISTINCT a.atttypid, a.atttypmod, format_type(a.atttypid, a.atttypmod), t.typname, t.typnamespace = 'pg_catalog'::regnamespace
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid
    WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped";

/// The tables by their numbers in the stream.
#[derive(Debug, Default)]
pub(super) struct Relations {
    types: HashMap<(u32, i32), (String, Kind)>,
    /// `None`: not watched.
    tables: HashMap<u32, Option<Arc<Table>>>,
    /// How each table was described last, by its name.
    described: HashMap<Name, Relation>,
}

impl Relations {
    /// Asks what types are called.
    pub(super) async fn ask(&mut self, session: &mut Session, schema: &str) -> Result<(), DbError> {
        for row in session.rows(TYPES, &[&schema]).await? {
            let kind = if value(&row, 4)? { catalog::kind(value(&row, 3)?) } else { Kind::Other };
            self.types.insert((value(&row, 0)?, value(&row, 1)?), (value(&row, 2)?, kind));
        }
        Ok(())
    }

    /// Forgets which tables there are.
    pub(super) fn forget(&mut self) {
        self.tables.clear();
        self.described.clear();
    }

    pub(super) fn ignore(&mut self, number: u32) {
        self.tables.insert(number, None);
    }

    pub(super) fn get(&self, number: u32) -> Option<&Arc<Table>> {
        self.tables.get(&number)?.as_ref()
    }

    /// Takes a description in. Gives the table's name when it is not as it is known, and was not so before.
    pub(super) fn learn(
        &mut self,
        relation: &Relation,
        known: &Arc<Table>,
        config: &WatchConfig,
    ) -> Option<Name> {
        let told = self.table(relation, known, config);
        let is_known = told.columns.len() == known.columns.len()
            && told
                .columns
                .iter()
                .zip(&known.columns)
                .all(|(told, known)| told.name == known.name && told.sql_type == known.sql_type);
        let before = self.described.insert(known.name.clone(), relation.clone());
        // Dropped and made again, it is another one, of which nobody said that the old one's rows are gone.
        let another = before.as_ref().is_some_and(|before| before.number != relation.number);
        let table = if is_known { Arc::clone(known) } else { Arc::new(told) };
        self.tables.insert(relation.number, Some(table));
        let news = !is_known && before.as_ref() != Some(relation);
        (another || news).then(|| known.name.clone())
    }

    /// The table as it is described, with what is known of its columns.
    fn table(&self, relation: &Relation, known: &Table, config: &WatchConfig) -> Table {
        let columns = relation.columns.iter().map(|column| {
            let (sql_type, kind) = match self.types.get(&(column.kind, column.modifier)) {
                Some((name, kind)) => (name.clone(), kind.clone()),
                None => (format!("type {} {}", column.kind, column.modifier), Kind::Other),
            };
            let same = known.place_of(&column.name).and_then(|place| known.columns.get(place));
            match same.filter(|same| same.sql_type == sql_type) {
                Some(same) => same.clone(),
                None => Column {
                    masked: config.masks(&known.name.table, &column.name),
                    name: column.name.clone(),
                    kind,
                    sql_type,
                    nullable: true,
                    generated: false,
                    binary_order: false,
                },
            }
        });
        let columns: Vec<Column> = columns.collect();
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let names = known.key.iter().filter_map(|place| known.columns.get(*place)).map(|column| &column.name);
        let key = names.map(place).collect::<Option<Vec<_>>>().unwrap_or_else(|| {
            let keys = relation.columns.iter().enumerate().filter(|(_, column)| column.key);
            keys.map(|(place, _)| place).collect()
        });
        Table { name: known.name.clone(), columns, key }
    }
}

/// What happened to a row.
pub(super) fn change(message: &Message<'_>, table: &Arc<Table>, mask: &MaskKey) -> Result<Change, DbError> {
    let wrong = |what: &str| DbError::Refused(format!("{}: {what}", table.name));
    let sent = |values: &[Value<'_>]| -> Result<Vec<Sent>, DbError> {
        if values.len() != table.columns.len() {
            return Err(wrong("a row of another length than its description"));
        }
        values
            .iter()
            .zip(&table.columns)
            .map(|(value, column)| {
                Ok(match value {
                    Value::Unchanged => Sent::AsBefore,
                    Value::Null => Sent::Cell(Cell::Null),
                    Value::Text(text) => Sent::Cell(
                        cell(text, column, mask).ok_or_else(|| wrong("bytes that are not hexadecimal"))?,
                    ),
                })
            })
            .collect()
    };
    let key_of = |values: &[Sent]| -> Result<Key, DbError> {
        let cell = |place: &usize| match values.get(*place) {
            Some(Sent::Cell(cell)) => Ok(cell.clone()),
            _ => Err(wrong("the stream does not say the key of a row")),
        };
        table.key.iter().map(cell).collect()
    };
    let whole = |values: Vec<Sent>| -> Option<Vec<Cell>> {
        let cell = |sent| match sent {
            Sent::Cell(cell) => Some(cell),
            Sent::AsBefore => None,
        };
        values.into_iter().map(cell).collect()
    };
    let was = |old: &Old<'_>| -> Result<(Key, Option<Vec<Cell>>), DbError> {
        match old {
            Old::Key(values) => Ok((key_of(&sent(values)?)?, None)),
            Old::Row(values) => {
                let values = sent(values)?;
                Ok((key_of(&values)?, whole(values)))
            }
        }
    };
    let op = match message {
        Message::Insert { new, .. } => Op::Insert { new: sent(new)? },
        Message::Update { old, new, .. } => {
            let new = sent(new)?;
            let (key, before) = match old {
                Some(old) => was(old)?,
                None => (key_of(&new)?, None),
            };
            Op::Update { key, before, new }
        }
        Message::Delete { old, .. } => {
            let (key, before) = was(old)?;
            Op::Delete { key, before }
        }
        _ => Op::Truncate,
    };
    Ok(Change { table: Arc::clone(table), op })
}

fn cell(text: &[u8], column: &Column, mask: &MaskKey) -> Option<Cell> {
    let cell = match column.kind {
        Kind::Bytes => Cell::Value(bytes(text)?),
        _ => Cell::of(text),
    };
    Some(if column.masked { mask.mask(&cell) } else { cell })
}

/// `\x00ff`.
fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.strip_prefix(b"\\x")?.as_chunks::<2>();
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
