//! A database in memory that can lie: change rows behind the stream, show commits late, lose the stream, give transactions in parts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::Nanos;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::cell::{Cell, MaskKey, chunk_digest, encode_row, row_hash};
use crate::change::{Change, Op, Position, Prepared, Sent, Step, Transaction};
use crate::config::WatchConfig;
use crate::copy::place_of;
use crate::database::{Changes, DbError, Digest, Finding, FoundTable, Reader, Scan};
use crate::table::{Column, Key, Kind, Name, Table};
use crate::watch::Database;

pub(super) type Row = Vec<Cell>;
type Rows = BTreeMap<Vec<u8>, Row>;
/// What a commit makes of a place.
type Difference = (Name, Vec<u8>, Option<Row>);

#[derive(Default)]
pub(super) struct World {
    pub(super) tables: BTreeMap<Name, Arc<Table>>,
    /// As it is committed.
    pub(super) rows: BTreeMap<Name, Rows>,
    /// As queries see it.
    seen: BTreeMap<Name, Rows>,
    /// Commits that queries do not see yet.
    late: VecDeque<Vec<Difference>>,
    log: Vec<Step>,
    at: u64,
    number: u64,
    /// How many changes a part of a transaction has at most.
    pub(super) part: usize,
    /// Whether the stream holds rows as they were before.
    pub(super) before: bool,
    /// Whether names that stay as they are are left out of updates, as PostgreSQL does with large values.
    pub(super) large: bool,
    /// Whether commits are seen late.
    pub(super) delays: bool,
    /// Whether the stream says nothing of changes of the schema.
    pub(super) silent: bool,
    pub(super) now: i64,
    /// What the server says that it is.
    pub(super) server: Option<String>,
    pub(super) snapshots: Vec<u64>,
    /// Positions before this one are gone from the stream.
    pub(super) purged: u64,
    pub(super) rows_read: u64,
    /// Bytes of rows that were given since the position was last asked for, and the most of all times.
    given: usize,
    pub(super) most_given: usize,
    /// Scans of whole tables, by buckets.
    pub(super) scans: u64,
    /// How many rows of the table are changed during each of them.
    pub(super) busy: i64,
}

fn transaction(
    id: String,
    time: i64,
    within: Position,
    changes: Vec<Change>,
    ends: Option<Position>,
) -> Transaction {
    let (account, connection, comment) = (Some("alice".to_owned()), None, None);
    Transaction { id, time: Nanos(time), account, connection, comment, within, first: 0, changes, ends }
}

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Mutex<World>>);

pub(super) fn name(table: &str) -> Name {
    Name { schema: "bank".to_owned(), table: table.to_owned() }
}

pub(super) fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        sql_type: format!("{kind:?}").to_lowercase(),
        kind,
        nullable: false,
        generated: false,
        binary_order: false,
        masked: false,
    }
}

/// A table `id`, `name`, `n`; by a key whose order is known, or not.
pub(super) fn table(called: &str, ordered: bool) -> Table {
    let key = if ordered { Kind::Int } else { Kind::Decimal };
    let columns = vec![column("id", key), column("name", Kind::Text), column("n", Kind::Int)];
    Table { name: name(called), columns, key: vec![0] }
}

pub(super) fn row(id: i64, name: &str, n: i64) -> Row {
    vec![Cell::of(id.to_string()), Cell::of(name), Cell::of(n.to_string())]
}

/// What a transaction does.
#[derive(Clone, Debug)]
pub(super) enum Do {
    Put(Row),
    Set(i64, Row),
    Drop(i64),
    Empty,
}

impl World {
    pub(super) fn add(&mut self, table: Table) {
        self.rows.entry(table.name.clone()).or_default();
        self.seen.entry(table.name.clone()).or_default();
        self.tables.insert(table.name.clone(), Arc::new(table));
    }

    /// Commits a transaction. Within it two rows may have one key for a while: the stream has it in that order.
    pub(super) fn commit(&mut self, called: &str, dos: &[Do]) {
        let (name, table) = (name(called), Arc::clone(&self.tables[&name(called)]));
        let mut rows: Vec<Row> = self.rows[&name].values().cloned().collect();
        let mut changes = Vec::new();
        let all = |row: &Row| row.iter().cloned().map(Sent::Cell).collect::<Vec<_>>();
        let mut moved: Vec<Row> = Vec::new();
        for one in dos {
            let find = |id: i64, rows: &Vec<Row>| {
                let id = Cell::of(id.to_string());
                rows.iter().position(|row| row[0] == id && !moved.contains(row)).unwrap()
            };
            let op = match one {
                Do::Put(row) => {
                    rows.push(row.clone());
                    moved.push(row.clone());
                    Op::Insert { new: all(row) }
                }
                Do::Set(id, row) => {
                    let at = find(*id, &rows);
                    let before = std::mem::replace(&mut rows[at], row.clone());
                    if before[0] != row[0] {
                        moved.push(row.clone());
                    }
                    let (key, mut new) = (table.key_of(&before), all(row));
                    if self.large && before[1] == row[1] {
                        new[1] = Sent::AsBefore;
                    }
                    Op::Update { key, before: self.before.then_some(before), new }
                }
                Do::Drop(id) => {
                    let before = rows.remove(find(*id, &rows));
                    Op::Delete { key: table.key_of(&before), before: self.before.then_some(before) }
                }
                Do::Empty => {
                    rows.clear();
                    Op::Truncate
                }
            };
            changes.push(Change { table: Arc::clone(&table), op });
        }
        let now: Rows = rows.into_iter().map(|row| (place_of(&table, &table.key_of(&row)), row)).collect();
        let before = self.rows.insert(name.clone(), now.clone()).unwrap();
        let mut difference = Vec::new();
        for (place, row) in &now {
            if before.get(place) != Some(row) {
                difference.push((name.clone(), place.clone(), Some(row.clone())));
            }
        }
        for place in before.keys().filter(|place| !now.contains_key(*place)) {
            difference.push((name.clone(), place.clone(), None));
        }
        self.late.push_back(difference);
        if !self.delays {
            self.show(usize::MAX);
        }
        self.number += 1;
        self.at += 10;
        let (part, count) = (self.part.max(1), changes.len());
        let mut first = 0;
        while first < count || first == 0 {
            let some: Vec<Change> = changes.iter().skip(first).take(part).cloned().collect();
            let last = first + some.len() >= count;
            let (number, ends) = (self.number.to_string(), last.then_some(Position::Wal(self.at)));
            let within = Position::Wal(self.at - 9);
            let part_of =
                Transaction { first: first as u64, ..transaction(number, self.now, within, some, ends) };
            self.log.push(Step::Transaction(part_of));
            first += part;
        }
    }

    /// Makes one of the last two transactions, whose changes are given one by one.
    pub(super) fn join(&mut self) {
        let (mut first, mut joined): (u64, Option<(String, Position)>) = (0, None);
        let number = self.number;
        for step in &mut self.log {
            let Step::Transaction(part) = step else { continue };
            if part.id == (number - 1).to_string() {
                (first, part.ends) = (part.first + 1, None);
                joined = Some((part.id.clone(), part.within.clone()));
            } else if part.id == number.to_string()
                && let Some((id, within)) = &joined
            {
                part.first += first;
                (part.id, part.within) = (id.clone(), within.clone());
            }
        }
    }

    /// Takes the last part of the newest transaction out of the stream, as if it were still to come.
    pub(super) fn withhold(&mut self) -> Step {
        self.at -= 10;
        self.log.pop().unwrap()
    }

    /// It comes.
    pub(super) fn release(&mut self, part: Step) {
        self.at += 10;
        self.log.push(part);
    }

    /// Lets queries see the oldest commits that they do not see yet.
    pub(super) fn show(&mut self, commits: usize) {
        for _ in 0..commits.min(self.late.len()) {
            for (name, place, row) in self.late.pop_front().unwrap() {
                let rows = self.seen.get_mut(&name).unwrap();
                match row {
                    Some(row) => rows.insert(place, row),
                    None => rows.remove(&place),
                };
            }
        }
    }

    /// Lets queries see all but the newest commits.
    pub(super) fn show_but(&mut self, newest: usize) {
        self.show(self.late.len().saturating_sub(newest));
    }

    /// Changes a row so that the stream does not say so.
    pub(super) fn tamper(&mut self, called: &str, id: i64, row: Option<Row>) {
        let table = Arc::clone(&self.tables[&name(called)]);
        let place = place_of(&table, &[Cell::of(id.to_string())]);
        for rows in [&mut self.rows, &mut self.seen] {
            let rows = rows.get_mut(&name(called)).unwrap();
            match &row {
                Some(row) => rows.insert(place.clone(), row.clone()),
                None => rows.remove(&place),
            };
        }
    }

    /// Alters a table: each row becomes what `change` makes of it.
    pub(super) fn alter(&mut self, table: Table, change: impl Fn(&Row) -> Row) {
        self.show(usize::MAX);
        for rows in [&mut self.rows, &mut self.seen] {
            let rows = rows.get_mut(&table.name).unwrap();
            *rows = rows
                .values()
                .map(|row| {
                    let row = change(row);
                    (place_of(&table, &table.key_of(&row)), row)
                })
                .collect();
        }
        self.tables.insert(table.name.clone(), Arc::new(table.clone()));
        if self.silent {
            return;
        }
        self.at += 10;
        self.log.push(Step::Schema {
            position: Position::Wal(self.at),
            time: Nanos(self.now),
            tables: vec![table.name.clone()],
            statement: Some("ALTER TABLE".to_owned()),
            account: None,
        });
    }

    pub(super) fn position(&self) -> Position {
        Position::Wal(self.at)
    }

    /// The changes after a position, each as `insert 5`.
    pub(super) fn changes_after(&self, position: u64) -> Vec<(String, Op)> {
        let mut found = Vec::new();
        let mut id = String::new();
        let mut waiting = Vec::new();
        for step in &self.log {
            let Step::Transaction(transaction) = step else { continue };
            id.clone_from(&transaction.id);
            waiting.extend(transaction.changes.iter().map(|change| (id.clone(), change.op.clone())));
            if let Some(Position::Wal(end)) = transaction.ends {
                let done = std::mem::take(&mut waiting);
                if end > position {
                    found.extend(done);
                }
            }
        }
        found
    }
}

fn mask(table: &Table, mask: &MaskKey, row: &Row) -> Row {
    let cells = row.iter().zip(&table.columns);
    cells.map(|(cell, column)| if column.masked { mask.mask(cell) } else { cell.clone() }).collect()
}

impl Database for Fake {
    type Reader = FakeReader;
    type Changes = FakeChanges;

    async fn reader(&self) -> Result<FakeReader, DbError> {
        Ok(FakeReader { world: self.clone(), view: None })
    }

    async fn changes(
        &self,
        tables: Vec<Arc<Table>>,
        _mask: &MaskKey,
        from: Option<&Position>,
        _prepared: &[Prepared],
        _server: Option<&str>,
    ) -> Result<FakeChanges, DbError> {
        let world = self.0.lock();
        let from = match from {
            Some(Position::Wal(from)) => *from,
            _ => world.at,
        };
        if from < world.purged {
            return Err(DbError::Lost("it is purged".to_owned()));
        }
        let ends = |step: &Step| match step {
            Step::Transaction(transaction) => match &transaction.ends {
                Some(Position::Wal(end)) => Some(*end),
                _ => None,
            },
            Step::Schema { position: Position::Wal(at), .. } => Some(*at),
            _ => None,
        };
        let next = world.log.iter().rposition(|step| ends(step).is_some_and(|end| end <= from));
        let next = next.map_or(0, |last| last + 1);
        let watched = tables.into_iter().map(|table| table.name.clone()).collect();
        Ok(FakeChanges { world: self.clone(), next, watched, first: 0, begins: Some(from) })
    }
}

pub(super) struct FakeChanges {
    world: Fake,
    next: usize,
    watched: BTreeSet<Name>,
    /// How many changes were given of the transaction.
    first: u64,
    /// Where it begins, which it tells before anything else: there was something of no interest.
    begins: Option<u64>,
}

impl FakeChanges {
    /// A step with the changes of watched tables only.
    fn watched(&mut self, step: Step) -> Step {
        let Step::Transaction(mut transaction) = step else { return step };
        if transaction.first == 0 {
            self.first = 0;
        }
        transaction.changes.retain(|change| self.watched.contains(&change.table.name));
        transaction.first = self.first;
        self.first += transaction.changes.len() as u64;
        Step::Transaction(transaction)
    }
}

impl Changes for FakeChanges {
    async fn next(&mut self) -> Result<Step, DbError> {
        if let Some(begins) = self.begins.take() {
            let (id, position) = (format!("to {begins}"), Position::Wal(begins));
            return Ok(Step::Transaction(transaction(id, 0, position.clone(), Vec::new(), Some(position))));
        }
        for waited in [false, true] {
            {
                let (step, position) = {
                    let world = self.world.0.lock();
                    (world.log.get(self.next).cloned(), world.position())
                };
                if let Some(step) = step {
                    self.next += 1;
                    return Ok(self.watched(step));
                }
                if waited {
                    return Ok(Step::Reached(position));
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        unreachable!()
    }

    async fn confirm(&mut self, _position: &Position) -> Result<(), DbError> {
        Ok(())
    }

    fn set_tables(&mut self, _tables: Vec<Arc<Table>>) {}
}

pub(super) struct FakeReader {
    world: Fake,
    view: Option<BTreeMap<Name, Rows>>,
}

impl FakeReader {
    fn all(&mut self, table: &Table, key: &MaskKey) -> Rows {
        let mut world = self.world.0.lock();
        let rows = self.view.as_ref().unwrap_or(&world.seen)[&table.name].clone();
        let rows: Rows = rows.into_iter().map(|(place, row)| (place, mask(table, key, &row))).collect();
        world.rows_read += rows.len() as u64;
        rows
    }

    fn some(&mut self, table: &Table, mask: &MaskKey, after: Option<&Key>, limit: u32) -> Vec<Row> {
        let after = after.map(|key| place_of(table, key));
        let rows = self.all(table, mask);
        let rows = rows.into_iter().filter(|(place, _)| after.as_ref().is_none_or(|after| place > after));
        rows.map(|(_, row)| row).take(limit as usize).collect()
    }

    /// A scan of a whole table, and what others do to it meanwhile.
    fn scan(&mut self, table: &Table, key: &MaskKey) -> Rows {
        let rows = self.all(table, key);
        let mut world = self.world.0.lock();
        world.scans += 1;
        let number = i64::try_from(world.scans).unwrap();
        let changes: Vec<Do> = (0..world.busy).map(|id| Do::Set(id, row(id, "busy", number))).collect();
        if !changes.is_empty() {
            world.now = attestry_event::Clock::now(&attestry_event::SystemClock).0;
            world.commit(&table.name.table, &changes);
        }
        rows
    }
}

fn digest(scan: Scan, rows: &[Row]) -> Digest {
    let mut hashes: Vec<_> = rows.iter().map(|row| row_hash(row)).collect();
    Digest { scan, rows: rows.len() as u64, digest: chunk_digest(&mut hashes) }
}

fn bucket(bits: u8, key: &Key) -> u32 {
    let hash = Sha256::digest(encode_row(key));
    let first = u32::from_be_bytes(hash[..4].try_into().unwrap());
    if bits == 0 { 0 } else { first >> (32 - bits) }
}

impl Reader for FakeReader {
    async fn server(&mut self) -> Result<Option<String>, DbError> {
        Ok(self.world.0.lock().server.clone())
    }

    async fn tables(&mut self, config: &WatchConfig) -> Result<Vec<FoundTable>, DbError> {
        let world = self.world.0.lock();
        let tables = world.tables.values().filter(|table| config.watches(&table.name.table));
        Ok(tables
            .map(|table| {
                let mut table = (**table).clone();
                for column in &mut table.columns {
                    column.masked = config.masks(&table.name.table, &column.name);
                }
                FoundTable { table, unfit: None }
            })
            .collect())
    }

    async fn check(&mut self, _config: &WatchConfig) -> Result<Vec<Finding>, DbError> {
        Ok(Vec::new())
    }

    async fn position(&mut self) -> Result<Position, DbError> {
        let mut world = self.world.0.lock();
        world.given = 0;
        Ok(world.position())
    }

    async fn begin_snapshot(&mut self) -> Result<Position, DbError> {
        let mut world = self.world.0.lock();
        world.show(usize::MAX);
        self.view = Some(world.seen.clone());
        let at = world.at;
        world.snapshots.push(at);
        Ok(Position::Wal(at))
    }

    async fn end_snapshot(&mut self) -> Result<(), DbError> {
        self.view = None;
        Ok(())
    }

    async fn rows_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Vec<Row>, DbError> {
        let rows = self.some(table, mask, after, limit);
        let mut world = self.world.0.lock();
        world.given += rows.iter().flatten().filter_map(Cell::bytes).map(<[u8]>::len).sum::<usize>();
        world.most_given = world.most_given.max(world.given);
        Ok(rows)
    }

    async fn rows(&mut self, table: &Arc<Table>, mask: &MaskKey, scan: &Scan) -> Result<Vec<Row>, DbError> {
        let rows = self.all(table, mask).into_iter();
        let span = crate::copy::Span::of(table, scan);
        Ok(rows.filter(|(place, _)| span.holds(place)).map(|(_, row)| row).collect())
    }

    async fn rows_of_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: &[u32],
    ) -> Result<Vec<Row>, DbError> {
        let rows = self.scan(table, mask).into_values();
        Ok(rows.filter(|row| buckets.contains(&bucket(bits, &table.key_of(row)))).collect())
    }

    async fn digest_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<Digest, DbError> {
        let rows = self.some(table, mask, after, limit);
        let full = rows.len() == limit as usize;
        let upto = rows.last().filter(|_| full).map(|row| table.key_of(row));
        Ok(digest(Scan::Range { after: after.cloned(), upto }, &rows))
    }

    async fn digest_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: RangeInclusive<u32>,
    ) -> Result<Vec<Digest>, DbError> {
        let mut found: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
        for row in self.scan(table, mask).into_values() {
            found.entry(bucket(bits, &table.key_of(&row))).or_default().push(row);
        }
        found.retain(|bucket, _| buckets.contains(bucket));
        Ok(found.into_iter().map(|(bucket, rows)| digest(Scan::Bucket { bits, bucket }, &rows)).collect())
    }

    async fn query(&mut self, _sql: &str, _time: Duration, _limit: u32) -> Result<Vec<Row>, DbError> {
        Ok(Vec::new())
    }
}
