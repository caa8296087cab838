//! Two sides compared, table by table, and what differs held against the rules.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

use super::read::{Sink, read};
use super::rows::{Record, Shape, Sorted, Spill, Spilled, Stored};
use super::unclear::Unclear;
use super::{DumpError, Note};
use crate::cell::{Cell, MaskKey, decode_row};
use crate::config::WatchConfig;
use crate::rules::{Breach, TableRules};
use crate::table::{Column, Key, Name, Table};

/// How two dumps, or a copy and a dump, are compared.
pub struct DumpAudit<'a> {
    /// Which tables, and their rules.
    pub config: &'a WatchConfig,
    /// The schema whose tables are compared. A MySQL dump without a `USE` is of this one.
    pub schema: &'a str,
    /// What masked columns are masked with: the copy's key if a copy is compared, else any.
    pub mask: &'a MaskKey,
    /// The folder for temporary files: as large as the unpacked rows of both sides, twice.
    pub folder: &'a Path,
    /// How much memory sorting may take, in bytes: [`DumpAudit::MEMORY`].
    pub memory: usize,
}

/// Rows: the table's place, and the cells; or why there are no more.
pub type KnownRows<'r> = dyn Iterator<Item = Result<(usize, Vec<Cell>), String>> + 'r;

/// One side of a comparison.
pub enum Side<'r> {
    /// A dump, packed or not.
    Dump {
        /// What it is called in errors.
        name: String,
        /// Its bytes.
        reader: Box<dyn Read + 'r>,
    },
    /// Rows that are known otherwise: those of the copy.
    Rows {
        /// Their tables.
        tables: Vec<Table>,
        /// The rows: the table's place, and its cells, masked.
        rows: Box<KnownRows<'r>>,
    },
}

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Something that makes the comparison weaker.
    Note(Note),
    /// A table is new, gone, or has other columns: which, and what.
    Schema(Name, String),
    /// Several rows have the same key.
    Duplicate(Name, Key),
    /// A row is new, different or gone.
    Change(DumpChange),
}

/// A row that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpChange {
    /// The table, as it is afterwards.
    pub table: Arc<Table>,
    /// The row's key; of a table without one, the whole row.
    pub key: Key,
    /// The row as it was, unless it is new.
    pub before: Option<Vec<Cell>>,
    /// The row as it is, unless it is gone.
    pub after: Option<Vec<Cell>>,
    /// What it breaches.
    pub breaches: Vec<Breach>,
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tables of either side.
    pub tables: u64,
    /// Rows before.
    pub rows_before: u64,
    /// Rows after.
    pub rows_after: u64,
    /// New rows.
    pub inserted: u64,
    /// Different rows.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// Breaches of rules.
    pub breaches: u64,
    /// Everything else that was told.
    pub others: u64,
}

type Tell<'f> = dyn FnMut(Found) -> io::Result<()> + 'f;

impl DumpAudit<'_> {
    /// The usual memory for sorting, 64 MiB.
    pub const MEMORY: usize = 64 << 20;

    /// Compares both sides, and tells what it finds: notes while it reads, then table by table, by name, the changes by the bytes of their keys.
    ///
    /// # Errors
    /// See [`DumpError`]. Nothing that was told before is wrong then, but it is not all.
    pub fn compare(
        &self,
        before: Side<'_>,
        after: Side<'_>,
        tell: &mut Tell<'_>,
    ) -> Result<Summary, DumpError> {
        let copied = matches!(before, Side::Rows { .. }) != matches!(after, Side::Rows { .. });
        let unclear = copied.then(Unclear::default);
        let mut telling = Telling { tell, summary: Summary::default(), unclear };
        let before = self.load(before, &mut telling)?;
        let after = self.load(after, &mut telling)?;
        let mut pairs: BTreeMap<&Name, (Option<usize>, Option<usize>)> = BTreeMap::new();
        for (place, table) in before.tables.iter().enumerate().filter(|(_, table)| self.wants(table)) {
            pairs.entry(&table.name).or_default().0 = Some(place);
        }
        for (place, table) in after.tables.iter().enumerate().filter(|(_, table)| self.wants(table)) {
            pairs.entry(&table.name).or_default().1 = Some(place);
        }
        let mut compiled = Vec::new();
        let mut mistakes = Vec::new();
        for (old, new) in pairs.values() {
            let of = |loaded: &Loaded, place: usize| {
                let missing = loaded.missing.get(place).map(Vec::as_slice).unwrap_or_default();
                Some(TableRules::compile_without(self.config, loaded.tables.get(place)?, missing))
            };
            match new.and_then(|place| of(&after, place)).or_else(|| of(&before, (*old)?)) {
                Some(Ok((rules, left_out))) => compiled.push((*old, *new, rules, left_out)),
                Some(Err(errors)) => mistakes.extend(errors),
                None => {}
            }
        }
        if !mistakes.is_empty() {
            return Err(DumpError::Rules(mistakes));
        }
        for (old, new, rules, left_out) in compiled {
            telling.summary.tables += 1;
            for rule in left_out {
                let what = format!(
                    "{rule} was left out: it needs a column that the database computes, which is not in the dump"
                );
                telling.tell(Found::Schema(rules.table().name.clone(), what))?;
            }
            self.table(&before, old, &after, new, &rules, &mut telling)?;
        }
        Ok(telling.summary)
    }

    fn wants(&self, table: &Table) -> bool {
        table.name.schema == self.schema
            && !table.columns.is_empty()
            && self.config.watches(&table.name.table)
    }

    fn temporary(&self) -> impl Fn(io::Error) -> DumpError {
        let folder = self.folder.display().to_string();
        move |source| DumpError::Temporary { folder: folder.clone(), source }
    }

    fn load(&self, side: Side<'_>, telling: &mut Telling<'_, '_>) -> Result<Loaded, DumpError> {
        let spill = Spill::new(self.folder).map_err(self.temporary())?;
        match side {
            Side::Dump { name, reader } => {
                let mut loading = Loading { spill, telling, failed: self.temporary() };
                let tables = read(&name, reader, self.schema, self.config, self.mask, &mut loading)?;
                let spilled = loading.spill.finish().map_err(self.temporary())?;
                let (tables, missing) = tables.iter().map(|table| table.finished(self.config)).unzip();
                Ok(Loaded { tables, missing, spilled, dump: true })
            }
            Side::Rows { tables, rows } => {
                let mut spill = spill;
                for row in rows {
                    let (table, cells) = row.map_err(DumpError::Copy)?;
                    spill.push(table, &cells).map_err(self.temporary())?;
                }
                let spilled = spill.finish().map_err(self.temporary())?;
                Ok(Loaded { tables, missing: Vec::new(), spilled, dump: false })
            }
        }
    }

    fn table(
        &self,
        before: &Loaded,
        old: Option<usize>,
        after: &Loaded,
        new: Option<usize>,
        rules: &TableRules,
        telling: &mut Telling<'_, '_>,
    ) -> Result<(), DumpError> {
        let table = Arc::new(rules.table().clone());
        let name = &table.name;
        let (old_table, old_rows) = before.at(old);
        let (new_table, new_rows) = after.at(new);
        telling.summary.rows_before += old_rows.rows;
        telling.summary.rows_after += new_rows.rows;
        match (old_table, new_table) {
            (None, _) => telling.tell(Found::Schema(name.clone(), "the table is new".to_owned()))?,
            (_, None) => telling.tell(Found::Schema(name.clone(), "the table is gone".to_owned()))?,
            (Some(old), Some(new)) => {
                for what in differences(old, new, before.dump && after.dump) {
                    telling.tell(Found::Schema(name.clone(), what))?;
                }
            }
        }
        let keyed = !table.key.is_empty();
        if !keyed && old_rows.rows + new_rows.rows > 0 {
            let what = "the table has no key: rows are compared as a whole, and a change is a deletion and an insertion";
            telling.tell(Found::Schema(name.clone(), what.to_owned()))?;
        }
        let key: Vec<usize> = if keyed { table.key.clone() } else { (0..table.columns.len()).collect() };
        let places = |from: Option<&Table>| -> Vec<Option<usize>> {
            table.columns.iter().map(|column| from.and_then(|from| from.place_of(&column.name))).collect()
        };
        let (old_places, new_places) = (places(old_table), places(new_table));
        let failed = self.temporary();
        let plain =
            old_table.is_some_and(|old| old.columns.len() == table.columns.len()) && old_places == new_places;
        if plain && before.spilled.same(&old_rows, &after.spilled, &new_rows).map_err(&failed)? {
            return Ok(());
        }
        let sorted = |loaded: &Loaded, stored: &Stored, columns: &[Option<usize>]| {
            // Both sides are sorted at once.
            let shape = Shape { columns, key: &key, memory: self.memory / 2 };
            loaded.spilled.sorted(stored, &shape, self.folder).map(Iterator::peekable)
        };
        let mut left = Rows { rows: sorted(before, &old_rows, &old_places).map_err(&failed)?, last: None };
        let mut right = Rows { rows: sorted(after, &new_rows, &new_places).map_err(&failed)?, last: None };
        loop {
            // A row that cannot be read is taken, too, and then told.
            let order = match (left.rows.peek(), right.rows.peek()) {
                (None, None) => return telling.left_out(&table),
                (Some(Ok((one, _))), Some(Ok((two, _)))) => one.cmp(two),
                (Some(_), None | Some(Ok(_))) => Ordering::Less,
                (None | Some(Ok(_)), Some(_)) => Ordering::Greater,
                (Some(Err(_)), Some(Err(_))) => Ordering::Less,
            };
            let old = if order.is_le() { left.next(keyed, name, telling).transpose() } else { Ok(None) };
            let new = if order.is_ge() { right.next(keyed, name, telling).transpose() } else { Ok(None) };
            let (old, new) =
                (old.map_err(|error| error.into(&failed))?, new.map_err(|error| error.into(&failed))?);
            self.row(&table, &key, rules, old, new, telling)?;
        }
    }

    fn row(
        &self,
        table: &Arc<Table>,
        key: &[usize],
        rules: &TableRules,
        old: Option<Record>,
        new: Option<Record>,
        telling: &mut Telling<'_, '_>,
    ) -> Result<(), DumpError> {
        if let (Some((_, old)), Some((_, new))) = (&old, &new)
            && old == new
        {
            return Ok(());
        }
        let cells = |record: Option<Record>| -> Result<Option<Vec<Cell>>, DumpError> {
            record
                .map(|(_, row)| decode_row(&row))
                .transpose()
                .map_err(|error| self.temporary()(io::Error::other(error)))
        };
        let (mut before, after) = (cells(old)?, cells(new)?);
        if let Some(unclear) = &mut telling.unclear {
            match (&mut before, &after) {
                (Some(before), Some(after)) => unclear.same(&table.columns, before, after),
                (one, two) => {
                    let alone = one.as_ref().or(two.as_ref());
                    if alone.is_some_and(|row| unclear.alone(&table.columns, key, row)) {
                        return Ok(());
                    }
                }
            }
        }
        let breaches = match (&before, &after) {
            (Some(before), Some(after)) => {
                if before == after {
                    return Ok(());
                }
                telling.summary.updated += 1;
                rules.updated(before, after)
            }
            (Some(before), None) => {
                telling.summary.deleted += 1;
                rules.deleted(before)
            }
            (None, Some(after)) => {
                telling.summary.inserted += 1;
                rules.inserted(after)
            }
            (None, None) => return Ok(()),
        };
        telling.summary.breaches += breaches.len() as u64;
        let row = after.as_ref().or(before.as_ref()).map(Vec::as_slice).unwrap_or_default();
        let key = key.iter().map(|place| row.get(*place).cloned().unwrap_or(Cell::Null)).collect();
        telling.pass(Found::Change(DumpChange { table: Arc::clone(table), key, before, after, breaches }))
    }
}

/// How the columns of a table differ.
fn differences(old: &Table, new: &Table, types: bool) -> Vec<String> {
    let mut out = Vec::new();
    for column in &old.columns {
        match new.columns.iter().find(|known| known.name == column.name) {
            None if column.generated => out.push(format!(
                "the column {}, which the database computes, is not in the dump and was not compared",
                column.name
            )),
            None => out.push(format!("the column {} is gone", column.name)),
            Some(now) if types && now.sql_type != column.sql_type => {
                out.push(format!(
                    "the column {} is {} and was {}",
                    column.name, now.sql_type, column.sql_type
                ));
            }
            Some(_) => {}
        }
    }
    for column in new.columns.iter().filter(|column| old.place_of(&column.name).is_none()) {
        out.push(format!("the column {} is new", column.name));
    }
    out
}

struct Loaded {
    tables: Vec<Table>,
    /// Columns of each that a dump has no values of.
    missing: Vec<Vec<Column>>,
    spilled: Spilled,
    dump: bool,
}

impl Loaded {
    fn at(&self, place: Option<usize>) -> (Option<&Table>, Stored) {
        match place {
            Some(place) => (self.tables.get(place), self.spilled.of(place)),
            None => (None, Stored::default()),
        }
    }
}

struct Telling<'t, 'f> {
    tell: &'t mut Tell<'f>,
    summary: Summary,
    /// What was not compared of the table; none between two dumps, whose values are written alike.
    unclear: Option<Unclear>,
}

impl Telling<'_, '_> {
    fn tell(&mut self, found: Found) -> Result<(), DumpError> {
        self.summary.others += 1;
        self.pass(found)
    }

    /// Says what was not compared of a table.
    fn left_out(&mut self, table: &Table) -> Result<(), DumpError> {
        let told = self.unclear.as_mut().map(|unclear| std::mem::take(unclear).told(&table.columns));
        for what in told.unwrap_or_default() {
            self.tell(Found::Schema(table.name.clone(), what))?;
        }
        Ok(())
    }

    fn pass(&mut self, found: Found) -> Result<(), DumpError> {
        (self.tell)(found).map_err(DumpError::Told)
    }
}

/// Rows while a dump is read.
struct Loading<'l, 't, 'f, F> {
    spill: Spill,
    telling: &'l mut Telling<'t, 'f>,
    failed: F,
}

impl<F: Fn(io::Error) -> DumpError> Sink for Loading<'_, '_, '_, F> {
    fn row(&mut self, table: usize, cells: &[Cell]) -> Result<(), DumpError> {
        self.spill.push(table, cells).map_err(&self.failed)
    }

    fn note(&mut self, note: Note) -> Result<(), DumpError> {
        self.telling.tell(Found::Note(note))
    }
}

/// Sorted rows of one side.
struct Rows {
    rows: Peekable<Sorted>,
    last: Option<Vec<u8>>,
}

/// Why the next row is not there.
enum NoRow {
    Read(io::Error),
    Told(DumpError),
}

impl NoRow {
    fn into(self, failed: impl Fn(io::Error) -> DumpError) -> DumpError {
        match self {
            NoRow::Read(error) => failed(error),
            NoRow::Told(error) => error,
        }
    }
}

impl Rows {
    /// The next row; that its key was there before is told once.
    fn next(
        &mut self,
        keyed: bool,
        name: &Name,
        telling: &mut Telling<'_, '_>,
    ) -> Option<Result<Record, NoRow>> {
        let (key, row) = match self.rows.next()? {
            Ok(record) => record,
            Err(error) => return Some(Err(NoRow::Read(error))),
        };
        if keyed && self.last.as_ref() == Some(&key) {
            let cells = decode_row(&key).unwrap_or_default();
            if let Err(error) = telling.tell(Found::Duplicate(name.clone(), cells)) {
                return Some(Err(NoRow::Told(error)));
            }
        }
        self.last = Some(key.clone());
        Some(Ok((key, row)))
    }
}
