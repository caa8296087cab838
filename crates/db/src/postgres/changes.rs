//! Following the stream.
//!
//! `pg_logical_slot_peek_binary_changes` gives what was committed after the slot's position, without moving it; it is read row by row. The slot
//! moves with [`PostgresChanges::confirm`], once what was read is durable elsewhere. Between, a part of the log may be given twice: what was
//! given is passed over by its position.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::Nanos;
use attestry_wire::sql::PostgresLogin;
use futures_util::StreamExt;
use tokio_postgres::RowStream;
use tokio_postgres::types::PgLsn;

use super::catalog;
use super::expression::quoted;
use super::pgoutput::{Message, parse};
use super::publication::Publication;
use super::reader::slot_name;
use super::relation::{Relations, change};
use super::session::{Session, login, value};
use super::slot::{self, Slot};
use super::snapshot::nudge;
use crate::cell::MaskKey;
use crate::change::{Change, Position, Step, Transaction};
use crate::config::WatchConfig;
use crate::database::{Changes, DbError};
use crate::table::Table;

/// How much of the log is decoded at once, in bytes: the server keeps what it decodes until the last of it was read. A transaction is decoded as
/// a whole, however large.
const WINDOW: u64 = 16 << 20;

/// How many changes are given at once of a transaction that has more.
const PART: usize = 1_000;

/// How long to wait, at least, before asking again when nothing was there.
const PAUSE: Duration = Duration::from_millis(50);

/// And at most.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// How long the end of the log may lie unwritten before it is asked for.
const UNWRITTEN: Duration = Duration::from_millis(700);

/// The slot is moved at most so often: the server reads the log once more for it.
const MOVE: Duration = Duration::from_secs(1);

/// Or when so much was confirmed since.
const MOVE_BYTES: u64 = 8 << 20;

/// 2000-01-01 in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// A connection that follows the stream through a slot of its own.
pub struct PostgresChanges {
    login: PostgresLogin,
    config: WatchConfig,
    name: String,
    mask: MaskKey,
    session: Option<Session>,
    /// What is being read, and up to where in the log it goes.
    reading: Option<(Pin<Box<RowStream>>, u64)>,
    relations: Relations,
    /// The tables, by name; none before they were first published.
    tables: HashMap<(String, String), Arc<Table>>,
    published: bool,
    /// Everything that ends up to here was given.
    given: u64,
    /// The same without what waits in `ready`.
    delivered: u64,
    /// Where the log ended when it was last looked at.
    end: u64,
    /// Whether there is more than the last look showed.
    more: bool,
    looked: Instant,
    began: Instant,
    /// Everything up to here may be thrown away by the server.
    confirmed: u64,
    moved: u64,
    moved_at: Instant,
    current: Option<Current>,
    ready: VecDeque<Step>,
    /// How long the last look took: the next waits as long, so that the server is not kept busy by looks alone.
    cost: Duration,
    /// Since when the log's end is not written to disk.
    unwritten: Option<Instant>,
}

impl std::fmt::Debug for PostgresChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresChanges({} at {})", self.name, Position::Wal(self.given))
    }
}

/// A transaction that is being read.
struct Current {
    number: u32,
    time: Nanos,
    first: u64,
    changes: Vec<Change>,
    /// It was given before.
    passed: bool,
}

impl PostgresChanges {
    /// Follows the stream of a watch: from a position that everything before is durable, or, without one, from now on with a new slot.
    ///
    /// # Errors
    /// [`DbError::Lost`] when the slot cannot go on from there; others when the server cannot be used, or has to be asked again.
    pub async fn open(
        watch: &str,
        config: &WatchConfig,
        tables: Vec<Arc<Table>>,
        mask: MaskKey,
        from: Option<&Position>,
    ) -> Result<PostgresChanges, DbError> {
        let (login, name) = (login(config)?, slot_name(watch, config));
        let mut session = Session::connect(&login, slot::PATIENCE).await?;
        published(&mut session, &name, config).await?;
        let given = match from {
            Some(Position::Wal(from)) => {
                let slot = Slot::read(&mut session, &name).await?;
                slot.goes_on_from(&name, *from)?;
                *from
            }
            Some(other) => return Err(DbError::Refused(format!("{other} is no position of a PostgreSQL"))),
            None => Slot::make(&mut session, &name).await?,
        };
        let mut changes = PostgresChanges {
            login,
            config: config.clone(),
            name,
            mask,
            session: Some(session),
            reading: None,
            relations: Relations::default(),
            tables: HashMap::new(),
            published: false,
            given,
            delivered: given,
            end: 0,
            more: false,
            looked: Instant::now(),
            began: Instant::now(),
            confirmed: given,
            moved: given,
            moved_at: Instant::now(),
            current: None,
            ready: VecDeque::new(),
            cost: Duration::ZERO,
            unwritten: None,
        };
        changes.set_tables(tables);
        Ok(changes)
    }

    /// Where the stream is: everything that ends up to here was given.
    pub fn position(&self) -> Position {
        Position::Wal(self.given)
    }

    /// Gives the slot up: nobody follows this watch any more.
    ///
    /// # Errors
    /// When the server does not take it.
    pub async fn drop_slot(mut self) -> Result<(), DbError> {
        self.rewind();
        let name = self.name.clone();
        slot::drop_slot(self.session().await?, &name).await
    }

    async fn session(&mut self) -> Result<&mut Session, DbError> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.rewind();
            let mut session = Session::connect(&self.login, slot::PATIENCE).await?;
            Slot::read(&mut session, &self.name).await?.goes_on_from(&self.name, self.given)?;
            return Ok(self.session.insert(session));
        }
        self.session.as_mut().ok_or_else(|| DbError::Again("no connection".to_owned()))
    }

    /// Goes back to what was last given as a whole: what was given of a transaction in part comes again, from its first change.
    fn rewind(&mut self) {
        (self.reading, self.current, self.given) = (None, None, self.delivered);
        self.ready.clear();
    }

    /// One step, or none if the end of a look was reached.
    async fn read(&mut self) -> Result<Option<Step>, DbError> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Ok(Some(step));
            }
            let Some((stream, upto)) = &mut self.reading else { return Ok(None) };
            match tokio::time::timeout(slot::PATIENCE, stream.next()).await {
                Ok(Some(Ok(row))) => {
                    let data: &[u8] = value(&row, 0)?;
                    self.take(data)?;
                }
                Ok(Some(Err(error))) => {
                    let session = self.session.as_ref();
                    let failed =
                        session.map_or(DbError::Again(String::new()), |session| session.failed(&error));
                    return Err(slot::meaning(failed, &error, &self.name));
                }
                Ok(None) => {
                    self.given = self.given.max(*upto);
                    self.reading = None;
                    self.cost = self.began.elapsed();
                    return Ok(None);
                }
                Err(_) => {
                    return Err(DbError::Again("the server stopped in the middle of its changes".to_owned()));
                }
            }
        }
    }

    /// Takes a message in.
    fn take(&mut self, data: &[u8]) -> Result<(), DbError> {
        let message = parse(data).map_err(|error| DbError::Refused(error.to_string()))?;
        match message {
            Message::Begin { commit, time, number } => {
                let time = Nanos(time.saturating_add(EPOCH).saturating_mul(1_000));
                self.current = Some(Current {
                    number,
                    time,
                    first: 0,
                    changes: Vec::new(),
                    passed: commit < self.given,
                });
            }
            Message::Commit { end } => {
                if let Some(current) = self.current.take() {
                    if !current.passed && (current.first > 0 || !current.changes.is_empty()) {
                        self.ready.push_back(Step::Transaction(part(current, Some(Position::Wal(end)))));
                    }
                    self.given = self.given.max(end);
                }
            }
            Message::Relation(relation) => {
                let key = (relation.schema.clone(), relation.table.clone());
                let Some(known) = self.tables.get(&key) else {
                    self.relations.ignore(relation.number);
                    return Ok(());
                };
                if let Some(changed) = self.relations.learn(&relation, known, &self.config) {
                    let passed = self.current.as_ref().is_none_or(|current| current.passed);
                    if !passed {
                        let time = self.current.as_ref().map_or(Nanos(0), |current| current.time);
                        self.flush();
                        self.ready.push_back(Step::Schema {
                            position: Position::Wal(self.given),
                            time,
                            tables: vec![changed],
                            statement: None,
                            account: None,
                        });
                    }
                }
            }
            Message::Truncate { relations } => {
                for number in relations {
                    if let Some(table) = self.relations.get(number) {
                        let table = Arc::clone(table);
                        self.push(Change { table, op: crate::change::Op::Truncate });
                    }
                }
            }
            Message::Insert { relation, .. }
            | Message::Update { relation, .. }
            | Message::Delete { relation, .. } => {
                if self.current.as_ref().is_some_and(|current| !current.passed)
                    && let Some(known) = self.relations.get(relation)
                {
                    let change = change(&message, known, &self.mask)?;
                    self.push(change);
                }
            }
            Message::Other => {}
        }
        Ok(())
    }

    fn push(&mut self, change: Change) {
        if let Some(current) = self.current.as_mut().filter(|current| !current.passed) {
            current.changes.push(change);
            if current.changes.len() >= PART {
                self.flush();
            }
        }
    }

    /// Gives what there is of the transaction so far.
    fn flush(&mut self) {
        if let Some(current) = self.current.as_mut().filter(|current| !current.changes.is_empty()) {
            let changes = std::mem::take(&mut current.changes);
            let count = changes.len() as u64;
            let now = Current {
                number: current.number,
                time: current.time,
                first: current.first,
                changes,
                passed: false,
            };
            current.first += count;
            self.ready.push_back(Step::Transaction(part(now, None)));
        }
    }

    async fn step(&mut self) -> Result<Step, DbError> {
        let begun = Instant::now();
        loop {
            if let Some(step) = self.read().await? {
                if let Step::Transaction(Transaction { ends: Some(Position::Wal(end)), .. }) = &step {
                    self.delivered = self.delivered.max(*end);
                }
                return Ok(step);
            }
            let news = self.given > self.delivered;
            self.delivered = self.given;
            if !self.more && (news || begun.elapsed() >= MAX_PAUSE) {
                return Ok(Step::Reached(self.position()));
            }
            if !self.more {
                let pause = self.cost.clamp(PAUSE, MAX_PAUSE);
                tokio::time::sleep(pause.saturating_sub(self.looked.elapsed())).await;
            }
            self.look().await?;
        }
    }

    /// Has the server throw away what is durable, when it is worth the while.
    async fn move_slot(&mut self) -> Result<(), DbError> {
        let due = self.moved_at.elapsed() >= MOVE || self.confirmed.saturating_sub(self.moved) >= MOVE_BYTES;
        if due && self.confirmed > self.moved {
            let (name, to) = (self.name.clone(), PgLsn::from(self.confirmed));
            let session = self.session().await?;
            session.row("SELECT pg_replication_slot_advance($1, $2)::text", &[&name, &to]).await?;
            (self.moved, self.moved_at) = (self.confirmed, Instant::now());
        }
        Ok(())
    }

    /// Asks for what was committed since.
    async fn look(&mut self) -> Result<(), DbError> {
        if !self.published {
            let (name, config) = (self.name.clone(), self.config.clone());
            let session = self.session().await?;
            published(session, &name, &config).await?;
            let mut relations = std::mem::take(&mut self.relations);
            let asked = relations.ask(self.session().await?, catalog::schema(&config)).await;
            self.relations = relations;
            asked?;
            self.published = true;
        }
        self.move_slot().await?;
        let (name, given, limit) = (self.name.clone(), self.given, self.config.slot_mib << 20);
        let session = self.session().await?;
        let slot = Slot::read(session, &name).await?;
        slot.goes_on_from(&name, given)?;
        if slot.kept() > limit {
            slot::drop_slot(session, &name).await?;
            return Err(DbError::Lost(format!(
                "the slot {name} kept {} MiB of the server's log, more than slot_mib allows, and was given up",
                slot.kept() >> 20
            )));
        }
        self.looked = Instant::now();
        // What is on disk may end in the middle of a record, and what of it was read would not be known; where the next record begins is an end.
        let whole = match self.end {
            _ if slot.flushed >= slot.inserted => slot.inserted,
            end if slot.flushed >= end => end,
            _ => given,
        };
        if self.end <= whole {
            self.end = slot.inserted;
        }
        if whole <= given {
            self.more = false;
            return self.behind(slot.inserted).await;
        }
        self.unwritten = None;
        let upto = whole.min(given.saturating_add(WINDOW));
        self.more = upto < whole;
        let begun = Instant::now();
        let names = quoted(&name);
        let session = self.session().await?;
        let stream = session
            .stream(
                "SELECT data FROM pg_logical_slot_peek_binary_changes($1, $2, NULL, 'proto_version', '1', 'publication_names', $3)",
                &[&name, &PgLsn::from(upto), &names],
            )
            .await?;
        (self.began, self.current) = (begun, None);
        self.reading = Some((Box::pin(stream), upto));
        Ok(())
    }

    /// The end of the log that lies unwritten is no commit that somebody waits for; it may lie for long, and the reader's position with it.
    async fn behind(&mut self, inserted: u64) -> Result<(), DbError> {
        if inserted <= self.given {
            self.unwritten = None;
            return Ok(());
        }
        let since = *self.unwritten.get_or_insert_with(Instant::now);
        if since.elapsed() >= UNWRITTEN {
            self.unwritten = None;
            nudge(self.session().await?).await?;
        }
        Ok(())
    }
}

/// Makes the publication carry the tables.
async fn published(session: &mut Session, name: &str, config: &WatchConfig) -> Result<(), DbError> {
    let known = catalog::known(session, config).await?;
    Publication::read(session, name).await?.complete(session, name, &known).await
}

fn part(current: Current, ends: Option<Position>) -> Transaction {
    Transaction {
        id: current.number.to_string(),
        time: current.time,
        account: None,
        connection: None,
        comment: None,
        first: current.first,
        changes: current.changes,
        ends,
    }
}

impl Changes for PostgresChanges {
    async fn next(&mut self) -> Result<Step, DbError> {
        let step = self.step().await;
        if step.is_err() {
            self.session = None;
            self.rewind();
        }
        step
    }

    async fn confirm(&mut self, position: &Position) -> Result<(), DbError> {
        let Position::Wal(at) = position else {
            return Err(DbError::Refused(format!("{position} is no position of a PostgreSQL")));
        };
        self.confirmed = self.confirmed.max(*at);
        // The session is busy until everything that it was asked for was read; the next look moves the slot then.
        if self.reading.is_none() {
            self.move_slot().await?;
        }
        Ok(())
    }

    fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        let named = |table: Arc<Table>| ((table.name.schema.clone(), table.name.table.clone()), table);
        self.tables = tables.into_iter().map(named).collect();
        self.relations.forget();
        self.published = false;
        // Relations are described once a look: what follows of this one would be of tables that nobody knows.
        self.rewind();
    }
}
