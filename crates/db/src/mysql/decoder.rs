//! Events of a binary log made into steps.
//!
//! A *group* of events is a transaction: it begins with a GTID and ends with an XID, a COMMIT, a ROLLBACK or, when it is a single statement, with that. The log has
//! a transaction only when it is committed, so parts of a long one are given before its end is there. Two things may still undo what was given: a server that dies while it
//! writes (the group has no end, and the next begins), and a transaction with tables that cannot roll back (it ends with ROLLBACK); then the part that ends it never comes.
//!
//! XA transactions are in the log when they are prepared, and count when `XA COMMIT` comes, with that one's id and time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::Nanos;

use super::bytes::Bytes;
use super::event::{self, Gtid, Header, Query, kind};
use super::image::{Layout, TableMap};
use super::statement::{self, Statement};
use crate::cell::{Cell, MaskKey};
use crate::change::{Change, Op, Position, Sent, Step, Transaction};
use crate::config::WatchConfig;
use crate::database::DbError;
use crate::table::{Key, Name, Table};

/// A part of a transaction has at most so many changes, but for the last event's.
const PART_CHANGES: usize = 5_000;

/// A part of a transaction has at most so many bytes of rows, but for the last event's.
const PART_BYTES: usize = 8 << 20;

/// What XA transactions that are prepared may have changed, all together, in bytes: they wait in memory.
const PREPARED_BYTES: usize = 256 << 20;

/// How often it is said how far the log was read while nothing in it is of the watched tables.
const PROGRESS: Duration = Duration::from_millis(500);

/// What a cell costs beside its bytes.
const CELL_BYTES: usize = 32;

pub(super) struct Decoder {
    config: WatchConfig,
    schema: String,
    mask: MaskKey,
    tables: HashMap<Name, Arc<Table>>,
    /// Tables whose rows are not as they are known to be, of which that was said.
    strange: HashSet<Name>,
    /// Not known before the log's format was told: the first event comes before that.
    checksums: Option<bool>,
    /// Where the log is being read.
    file: String,
    at: u64,
    /// Where it can be taken up: after the last group that was given whole.
    resume: (String, u64),
    maps: HashMap<u64, Map>,
    group: Option<Group>,
    prepared: HashMap<String, Prepared>,
    steps: VecDeque<Step>,
    said: Instant,
    /// Whether anything was read since that was last said.
    unsaid: bool,
}

/// A table of the log.
enum Map {
    Watched(Arc<Table>, Arc<Layout>),
    Other,
}

/// Changes of a transaction that are not given yet.
#[derive(Default)]
struct Changed {
    changes: Vec<Change>,
    bytes: usize,
    /// The number of the first among the transaction's.
    first: u64,
}

struct Group {
    gtid: Gtid,
    time: Nanos,
    account: Option<String>,
    connection: Option<String>,
    comment: Option<String>,
    changed: Changed,
    /// How many changes there were when a savepoint was set.
    savepoints: Vec<(String, u64)>,
}

/// An XA transaction that waits to be committed.
struct Prepared {
    changed: Changed,
    comment: Option<String>,
    /// It was more than is kept.
    too_much: bool,
}

impl Decoder {
    pub(super) fn new(config: WatchConfig, schema: String, mask: MaskKey, file: String, at: u64) -> Decoder {
        Decoder {
            config,
            schema,
            mask,
            tables: HashMap::new(),
            strange: HashSet::new(),
            checksums: None,
            resume: (file.clone(), at),
            file,
            at,
            maps: HashMap::new(),
            group: None,
            prepared: HashMap::new(),
            steps: VecDeque::new(),
            said: Instant::now(),
            unsaid: false,
        }
    }

    pub(super) fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        self.tables = tables
            .into_iter()
            .filter(|table| !table.key.is_empty())
            .map(|table| (table.name.clone(), table))
            .collect();
        self.strange.clear();
        // A table map is sent anew with every statement; those of the one that is being read are read with what they were.
    }

    /// Where a new connection begins; what was begun on the last one is forgotten.
    pub(super) fn resume(&mut self) -> (String, u64) {
        self.group = None;
        self.maps.clear();
        self.checksums = None;
        (self.file, self.at) = self.resume.clone();
        self.resume.clone()
    }

    pub(super) fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    fn position(&self) -> Position {
        let (file, at) = &self.resume;
        Position::Binlog { file: file.clone(), at: *at }
    }

    /// Takes an event.
    pub(super) fn event(&mut self, event: &[u8]) -> Result<(), DbError> {
        let damaged = || DbError::Lost("an event of the server's log is damaged".to_owned());
        let (header, body) = Header::read(event).ok_or_else(damaged)?;
        if header.kind == kind::FORMAT {
            self.checksums = Some(event::has_checksums(body));
        }
        let body = match self.checksums {
            Some(true) => event::checked(event).ok_or_else(damaged)?,
            Some(false) => body,
            None => event::checked(event).unwrap_or(body),
        };
        if header.end != 0 && !header.artificial && !is_heartbeat(header.kind) {
            self.at = reached(self.at, header.end);
        }
        self.take(&header, body)?.ok_or_else(damaged)?;
        if self.group.is_none() && !is_heartbeat(header.kind) {
            let here = (self.file.clone(), self.at);
            self.unsaid |= self.steps.is_empty() && self.resume != here;
            self.resume = here;
            if self.unsaid && self.said.elapsed() > PROGRESS {
                self.give_nothing(&header);
            }
        }
        Ok(())
    }

    /// `Ok(None)` for what cannot be read.
    fn take(&mut self, header: &Header, body: &[u8]) -> Result<Option<()>, DbError> {
        match header.kind {
            kind::ROTATE => return Ok(self.rotate(body)),
            kind::FORMAT => {
                // The log of a server that died while it wrote.
                self.group = None;
                self.maps.clear();
            }
            kind::MARIADB_GTID => {
                let Some(gtid) = event::mariadb_gtid(header, body) else { return Ok(None) };
                self.begin(header, gtid);
            }
            kind::GTID | kind::ANONYMOUS => {
                let Some(mut gtid) = event::mysql_gtid(header.kind, body) else { return Ok(None) };
                if gtid.id.is_empty() {
                    gtid.id = format!("{}:{}", self.file, self.at);
                }
                self.begin(header, gtid);
            }
            kind::QUERY => {
                let Some(query) = Query::read(body) else { return Ok(None) };
                self.query(header, &query)?;
            }
            kind::XID => self.commit(header),
            kind::XA_PREPARE => return Ok(self.prepare(header, body)),
            kind::TABLE_MAP => return Ok(self.map(header, body)),
            kind::WRITE_1 | kind::UPDATE_1 | kind::DELETE_1 => return self.rows(header, body, false),
            kind::WRITE_2 | kind::UPDATE_2 | kind::DELETE_2 => return self.rows(header, body, true),
            kind::MARIADB_ANNOTATE => self.comment(body),
            kind::ROWS_QUERY => self.comment(body.get(1..).unwrap_or_default()),
            kind::HEARTBEAT | kind::HEARTBEAT_2 => self.heartbeat(header),
            kind::INCIDENT => {
                return Err(DbError::Lost(
                    "the server says that its log may lack changes (an incident)".to_owned(),
                ));
            }
            kind::PARTIAL_UPDATE => {
                return Err(refused("parts of JSON columns", "binlog_row_value_options = ''"));
            }
            kind::PAYLOAD => {
                return Err(refused("compressed transactions", "binlog_transaction_compression = OFF"));
            }
            kind::TAGGED_GTID => return Err(refused("tagged GTID events", "gtid_next = AUTOMATIC")),
            compressed if kind::MARIADB_COMPRESSED.contains(&compressed) => {
                return Err(refused("compressed events", "log_bin_compress = OFF"));
            }

            _ => {}
        }
        Ok(Some(()))
    }

    fn rotate(&mut self, body: &[u8]) -> Option<()> {
        let mut body = Bytes::new(body);
        let at = body.u64()?;
        let file = std::str::from_utf8(body.rest()).ok()?;
        self.file = file.to_owned();
        self.at = at;
        Some(())
    }

    fn begin(&mut self, header: &Header, gtid: Gtid) {
        let time = gtid.time.unwrap_or(header.nanos());
        let (account, connection, comment) = (None, None, None);
        let (changed, savepoints) = (Changed::default(), Vec::new());
        self.group = Some(Group { gtid, time, account, connection, comment, changed, savepoints });
    }

    fn comment(&mut self, sql: &[u8]) {
        if let Some(group) = &mut self.group
            && group.comment.is_none()
        {
            group.comment = statement::comment(&String::from_utf8_lossy(sql));
        }
    }

    fn query(&mut self, header: &Header, query: &Query<'_>) -> Result<(), DbError> {
        let sql = String::from_utf8_lossy(query.sql);
        let schema = String::from_utf8_lossy(query.schema);
        let done = statement::xa(&sql).unwrap_or_else(|| Statement::of(&sql, &schema));
        self.comment(query.sql);
        if let Some(group) = &mut self.group {
            group.connection = Some(query.connection.to_string());
            if query.account.is_some() {
                group.account.clone_from(&query.account);
            }
        }
        match done {
            Statement::Begin => {
                if let Some(group) = &mut self.group {
                    group.gtid.alone = false;
                }
                return Ok(());
            }
            Statement::Commit => {
                self.commit(header);
                return Ok(());
            }
            Statement::Rollback => {
                self.group = None;
                return Ok(());
            }
            Statement::Savepoint(name) => {
                if let Some(group) = &mut self.group {
                    let count = group.changed.first + group.changed.changes.len() as u64;
                    group.savepoints.push((name, count));
                }
                return Ok(());
            }
            Statement::RollbackTo(name) => return self.roll_back_to(&name),
            Statement::XaCommit(number) => return self.xa_commit(header, &number),
            Statement::XaRollback(number) => {
                self.prepared.remove(&number);
                self.group = None;
                return Ok(());
            }
            Statement::Truncate(names) => {
                for name in names {
                    if let Some(table) = self.tables.get(&name).cloned() {
                        self.push(Change { table, op: Op::Truncate }, 0);
                    }
                }
            }
            Statement::Tables(names) => {
                let names = names.into_iter().filter(|name| self.concerns(name)).collect();
                self.schema_changed(header, names, &sql);
            }
            Statement::Database(dropped) => {
                let names = self.tables.keys().filter(|name| name.schema == dropped).cloned().collect();
                self.schema_changed(header, names, &sql);
            }
            Statement::Rows => {
                if self.tables.keys().any(|name| sql.contains(name.table.as_str())) {
                    // Taken up after this, or it would come again and again.
                    self.group = None;
                    return Err(DbError::Lost(
                        "somebody changed rows in another format than ROW (binlog_format of a session): the log does not say which"
                            .to_owned(),
                    ));
                }
            }
            Statement::Other => {}
        }
        if self.group.as_ref().is_some_and(|group| group.gtid.alone) {
            self.commit(header);
        }
        Ok(())
    }

    fn roll_back_to(&mut self, savepoint: &str) -> Result<(), DbError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let Some(place) = group.savepoints.iter().rposition(|(name, _)| name == savepoint) else {
            return Ok(());
        };
        group.savepoints.truncate(place + 1);
        let count = group.savepoints.last().map_or(0, |(_, count)| *count);
        let Some(kept) = count.checked_sub(group.changed.first) else {
            return Err(DbError::Lost(
                "a long transaction took back a part of itself after that was read".to_owned(),
            ));
        };
        group.changed.changes.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        Ok(())
    }

    fn xa_commit(&mut self, header: &Header, number: &str) -> Result<(), DbError> {
        match self.prepared.remove(number) {
            Some(prepared) if !prepared.too_much => {
                if let Some(group) = &mut self.group {
                    group.changed = prepared.changed;
                    group.comment = prepared.comment;
                }
                self.commit(header);
                Ok(())
            }
            _ => {
                self.group = None;
                Err(DbError::Lost(format!(
                    "the XA transaction {number} was prepared before the log was taken up, or was larger than is kept: what it changed is not known"
                )))
            }
        }
    }

    fn prepare(&mut self, header: &Header, body: &[u8]) -> Option<()> {
        let mut body = Bytes::new(body);
        let one_phase = body.u8()? != 0;
        let (format, first, second) = (body.u32()?, body.u32()?, body.u32()?);
        let first = body.take(usize::try_from(first).ok()?)?;
        let second = body.take(usize::try_from(second).ok()?)?;
        if one_phase {
            self.commit(header);
        } else if let Some(group) = self.group.take() {
            let number = event::xa_number(format, first, second);
            let waiting: usize = self.prepared.values().map(|prepared| prepared.changed.bytes).sum();
            let too_much = waiting + group.changed.bytes > PREPARED_BYTES;
            let changed = if too_much { Changed::default() } else { group.changed };
            self.prepared.insert(number, Prepared { changed, comment: group.comment, too_much });
        }
        Some(())
    }

    /// Whether a table is watched, or would be.
    fn concerns(&self, name: &Name) -> bool {
        self.tables.contains_key(name) || name.schema == self.schema && self.config.watches(&name.table)
    }

    fn schema_changed(&mut self, header: &Header, tables: Vec<Name>, sql: &str) {
        if tables.is_empty() {
            return;
        }
        let alone = self.group.as_ref().is_none_or(|group| group.gtid.alone);
        // Rows of the same transaction follow a CREATE TABLE ... SELECT: it is taken up before them.
        let position = match alone {
            true => Position::Binlog { file: self.file.clone(), at: self.at },
            false => self.position(),
        };
        self.strange.extend(tables.iter().cloned());
        let account = self.group.as_ref().and_then(|group| group.account.clone());
        let time = self.group.as_ref().map_or(header.nanos(), |group| group.time);
        if alone {
            // Nothing else is in it.
            self.group = None;
        }
        self.give(Step::Schema { position, time, tables, statement: Some(sql.to_owned()), account });
    }

    fn map(&mut self, header: &Header, body: &[u8]) -> Option<()> {
        let Some(map) = TableMap::read(body) else {
            // Of a type that is not known: only bad if the table is watched, of which the beginning tells.
            let name = mapped_name(body)?;
            let id = Bytes::new(body).little(6)?;
            self.not_as_known(header, &name);
            self.maps.insert(id, Map::Other);
            return Some(());
        };
        let name = Name {
            schema: String::from_utf8_lossy(map.schema).into_owned(),
            table: String::from_utf8_lossy(map.table).into_owned(),
        };
        let watched = match self.tables.get(&name) {
            None => Map::Other,
            Some(table) => match map.layout(table) {
                Some(layout) => Map::Watched(Arc::clone(table), Arc::new(layout)),
                None => {
                    self.not_as_known(header, &name);
                    Map::Other
                }
            },
        };
        self.maps.insert(map.id, watched);
        Some(())
    }

    /// Rows of a table are not as it is known: they are left out, and that is said before the transaction that they are in.
    fn not_as_known(&mut self, header: &Header, name: &Name) {
        if self.tables.contains_key(name) && self.strange.insert(name.clone()) {
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

    fn rows(&mut self, header: &Header, body: &[u8], second: bool) -> Result<Option<()>, DbError> {
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

    fn push(&mut self, change: Change, bytes: usize) {
        let Some(group) = &mut self.group else { return };
        group.changed.changes.push(change);
        group.changed.bytes += bytes;
        let prepares = group.gtid.prepares.is_some();
        let full = group.changed.changes.len() >= PART_CHANGES || group.changed.bytes >= PART_BYTES;
        if full && !prepares {
            let part = group.part(None);
            self.give(Step::Transaction(part));
        }
    }

    fn commit(&mut self, header: &Header) {
        let Some(mut group) = self.group.take() else { return };
        if group.gtid.time.is_none() && group.changed.first == 0 {
            group.time = header.nanos();
        }
        if group.changed.first > 0 || !group.changed.changes.is_empty() {
            let end = Position::Binlog { file: self.file.clone(), at: self.at };
            let last = group.part(Some(end));
            self.give(Step::Transaction(last));
        }
    }

    /// The server has nothing more.
    fn heartbeat(&mut self, header: &Header) {
        // A heartbeat in the middle of a transaction says only that the server is there.
        let (_, at) = &self.resume;
        let low = u32::try_from(at & 0xffff_ffff).unwrap_or(0);
        if self.group.is_none() && header.end == low {
            self.give(Step::Reached(self.position()));
        }
    }

    /// Says how far it is without a change: so much was in the log that is not of the watched tables.
    fn give_nothing(&mut self, header: &Header) {
        let position = self.position();
        let transaction = Transaction {
            id: position.to_string(),
            time: header.nanos(),
            account: None,
            connection: None,
            comment: None,
            first: 0,
            changes: Vec::new(),
            ends: Some(position),
        };
        self.give(Step::Transaction(transaction));
    }

    fn give(&mut self, step: Step) {
        self.steps.push_back(step);
        self.said = Instant::now();
        self.unsaid = false;
    }
}

impl Group {
    /// What was not given yet.
    fn part(&mut self, ends: Option<Position>) -> Transaction {
        let changes = std::mem::take(&mut self.changed.changes);
        let first = self.changed.first;
        self.changed.first += changes.len() as u64;
        self.changed.bytes = 0;
        Transaction {
            id: self.gtid.id.clone(),
            time: self.time,
            account: self.account.clone(),
            connection: self.connection.clone(),
            comment: self.comment.clone(),
            first,
            changes,
            ends,
        }
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

fn is_heartbeat(kind: u8) -> bool {
    matches!(kind, kind::HEARTBEAT | kind::HEARTBEAT_2)
}

/// A place in a log of which the lowest 32 bits are known, not long after another.
fn reached(at: u64, low: u32) -> u64 {
    let candidate = at & !0xffff_ffff | u64::from(low);
    let wrapped = candidate + (1 << 31) < at;
    if wrapped { candidate + (1 << 32) } else { candidate.max(at) }
}

fn mapped_name(body: &[u8]) -> Option<Name> {
    let mut body = Bytes::new(body);
    body.take(8)?;
    let schema = String::from_utf8_lossy(body.counted(1)?).into_owned();
    body.take(1)?;
    let table = String::from_utf8_lossy(body.counted(1)?).into_owned();
    Some(Name { schema, table })
}

fn refused(what: &str, remedy: &str) -> DbError {
    DbError::Refused(format!("the server's log has {what}, which are not read here: set {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, Kind};

    fn event(kind: u8, end: u32, body: &[u8]) -> Vec<u8> {
        let mut event = 1_700_000_000_u32.to_le_bytes().to_vec();
        event.push(kind);
        event.extend_from_slice(&9_u32.to_le_bytes());
        event.extend_from_slice(&u32::try_from(19 + body.len() + 4).unwrap().to_le_bytes());
        event.extend_from_slice(&end.to_le_bytes());
        event.extend_from_slice(&[0, 0]);
        event.extend_from_slice(body);
        let mut crc = flate2::Crc::new();
        crc.update(&event);
        event.extend_from_slice(&crc.sum().to_le_bytes());
        event
    }

    fn column(name: &str, sql_type: &str, kind: Kind) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            sql_type: sql_type.to_owned(),
            nullable: true,
            generated: false,
            binary_order: false,
            masked: false,
        }
    }

    fn decoder() -> Decoder {
        let config = serde_saphyr::from_str("url: mysql://a@b/bank").unwrap();
        let mut decoder =
            Decoder::new(config, "bank".to_owned(), MaskKey([0; 32]), "binlog.000001".to_owned(), 4);
        decoder.set_tables(vec![Arc::new(Table {
            name: Name { schema: "bank".to_owned(), table: "a".to_owned() },
            columns: vec![
                column("id", "bigint unsigned", Kind::Unsigned),
                column("v", "varchar(20) character set utf8mb4 collate utf8mb4_0900_ai_ci", Kind::Text),
                column("t", "datetime(6)", Kind::DateTime),
            ],
            key: vec![0],
        })]);
        decoder
    }

    /// A format event with checksums, of which only the end is looked at.
    fn format() -> Vec<u8> {
        let mut body = vec![0; 60];
        body.push(1);
        event(kind::FORMAT, 100, &body)
    }

    fn map() -> Vec<u8> {
        let mut body = vec![77, 0, 0, 0, 0, 0, 1, 0];
        body.extend_from_slice(b"\x04bank\0\x01a\0\x03\x08\x0f\x12\x03\x50\x00\x06\x06");
        // SIGNEDNESS, DEFAULT_CHARSET, COLUMN_NAME.
        body.extend_from_slice(b"\x01\x01\x80\x02\x03\xfc\xff\x00\x04\x07\x02id\x01v\x01t");
        event(kind::TABLE_MAP, 300, &body)
    }

    fn query(sql: &str) -> Vec<u8> {
        let mut body = 4_711_u32.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 0, 0, 0, 4, 0, 0, 0, 0]);
        body.extend_from_slice(b"bank\0");
        body.extend_from_slice(sql.as_bytes());
        event(kind::QUERY, 200, &body)
    }

    fn gtid() -> Vec<u8> {
        let mut body = vec![1];
        body.extend_from_slice(&[0xab; 16]);
        body.extend_from_slice(&42_u64.to_le_bytes());
        body.push(2);
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&1_700_000_000_123_456_u64.to_le_bytes()[..7]);
        event(kind::GTID, 150, &body)
    }

    fn rows() -> Vec<u8> {
        // No extra data; three columns, before and after.
        let mut body = vec![77, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 7, 7];
        body.push(0b100);
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        body.extend_from_slice(b"\x02a ");
        body.push(0b010);
        body.extend_from_slice(&u64::MAX.to_le_bytes());
        let (date, time) = ((2016_u64 * 13 + 5) << 5 | 21, 12 << 12 | 30 << 6 | 30);
        body.extend_from_slice(&((1_u64 << 39) + (date << 17 | time)).to_be_bytes()[3..]);
        body.extend_from_slice(&[0, 0, 1]);
        event(kind::UPDATE_2, 400, &body)
    }

    /// Made of what MySQL publishes of its format; `recorded` has what a server wrote.
    #[test]
    fn a_mysql_8_by_its_published_format() {
        let mut decoder = decoder();
        let comment = [&[20][..], b"UPDATE a SET v = 'secret' /* user=joe */"].concat();
        let events = [
            format(),
            gtid(),
            query("BEGIN"),
            event(kind::ROWS_QUERY, 250, &comment),
            map(),
            rows(),
            event(kind::XID, 500, &[0; 8]),
        ];
        for one in &events {
            decoder.event(one).unwrap();
        }
        let Some(Step::Transaction(transaction)) = decoder.step() else { panic!() };
        assert_eq!(transaction.id, "abababab-abab-abab-abab-abababababab:42");
        assert_eq!(transaction.time, Nanos(1_700_000_000_123_456_000));
        assert_eq!(transaction.connection.as_deref(), Some("4711"));
        assert_eq!(transaction.comment.as_deref(), Some("user=joe"));
        assert_eq!(transaction.ends, Some(Position::Binlog { file: "binlog.000001".to_owned(), at: 500 }));
        let id = Cell::of("18446744073709551615");
        let time = Cell::of("2016-05-21 12:30:30.000001");
        assert_eq!(
            transaction.changes[0].op,
            Op::Update {
                key: vec![id.clone()],
                before: Some(vec![id.clone(), Cell::of("a "), Cell::Null]),
                new: [id, Cell::Null, time].map(Sent::Cell).to_vec(),
            }
        );
        // Its changes of tables have no BEGIN.
        for one in [gtid(), query("ALTER TABLE a ADD w INT"), gtid(), query("TRUNCATE a")] {
            decoder.event(&one).unwrap();
        }
        assert!(matches!(decoder.step(), Some(Step::Schema { tables, .. }) if tables[0].table == "a"));
        let Some(Step::Transaction(transaction)) = decoder.step() else { panic!() };
        assert_eq!(transaction.changes[0].op, Op::Truncate);
    }

    #[test]
    fn damaged_events_are_refused_and_none_panics() {
        let events = [format(), gtid(), query("BEGIN"), map(), rows(), event(kind::XID, 500, &[0; 8])];
        for (at, broken) in events.iter().enumerate().skip(1) {
            for length in 0..broken.len() {
                let mut decoder = decoder();
                for one in &events[..at] {
                    decoder.event(one).unwrap();
                }
                assert!(decoder.event(&broken[..length]).is_err(), "{at} {length}");
                // Cut before its checksum was made, and with other bytes in it.
                let _ = decoder.event(&event(broken[4], 900, &broken[19.min(length)..length]));
                let mut flipped = broken[19..broken.len() - 4].to_vec();
                if let Some(byte) = flipped.get_mut(length) {
                    *byte ^= 0xff;
                    let _ = decoder.event(&event(broken[4], 900, &flipped));
                }
            }
        }
    }

    #[test]
    fn a_log_may_be_longer_than_its_positions() {
        for (at, low, expected) in [
            (4, 256, 256),
            (0xffff_fff0, 16, 0x1_0000_0010),
            (0x1_0000_0010, 40, 0x1_0000_0028),
            (500, 400, 500),
        ] {
            assert_eq!(reached(at, low), expected, "{at} {low}");
        }
    }
}
