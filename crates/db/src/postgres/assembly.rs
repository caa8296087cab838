//! Messages of the stream, put together to transactions; and what of them was given.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use attestry_event::Nanos;

use super::catalog;
use super::pgoutput::{Message, parse};
use super::relation::{Relations, change};
use super::session::Session;
use crate::cell::MaskKey;
use crate::change::{Change, Op, Position, Step, Transaction};
use crate::config::WatchConfig;
use crate::database::DbError;
use crate::table::Table;

/// How many changes are given at once of a transaction that has more.
const PART: usize = 1_000;

/// How many bytes of messages are given at once of a transaction that has more: some dozens of such parts wait to be applied.
const PART_BYTES: usize = 1 << 20;

/// Whom a message is for that says whose a transaction is: `SELECT pg_logical_emit_message(true, 'attestry', 'user=ada')` in it.
const SAID: &str = "attestry";

/// 2000-01-01 in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// What was read of the stream.
pub(super) struct Assembly {
    config: WatchConfig,
    mask: MaskKey,
    relations: Relations,
    /// The tables, by name; none before they were first published.
    tables: HashMap<(String, String), Arc<Table>>,
    /// Everything that ends up to here was given.
    given: u64,
    /// The same without what waits in `ready`.
    delivered: u64,
    current: Option<Current>,
    ready: VecDeque<Step>,
}

/// A transaction that is being read.
struct Current {
    number: u32,
    /// Where its commit is in the log.
    commit: u64,
    time: Nanos,
    /// What the application said of it.
    comment: Option<String>,
    first: u64,
    changes: Vec<Change>,
    /// What these took in the stream.
    bytes: usize,
    /// It was given before.
    passed: bool,
}

impl Assembly {
    /// Everything that ends up to `given` is passed over.
    pub(super) fn new(config: &WatchConfig, mask: MaskKey, given: u64) -> Assembly {
        Assembly {
            config: config.clone(),
            mask,
            relations: Relations::default(),
            tables: HashMap::new(),
            given,
            delivered: given,
            current: None,
            ready: VecDeque::new(),
        }
    }

    /// Everything that ends up to here was given, or waits to be.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Whether a transaction has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        self.current.is_some()
    }

    /// Everything that ends up to here was read.
    pub(super) fn reached(&mut self, end: u64) {
        self.given = self.given.max(end);
    }

    /// The same, when it is news to whoever takes the steps.
    pub(super) fn news(&mut self) -> bool {
        let news = self.given > self.delivered;
        self.delivered = self.given;
        news
    }

    /// The next step that is ready.
    pub(super) fn next(&mut self) -> Option<Step> {
        let step = self.ready.pop_front()?;
        if let Step::Transaction(Transaction { ends: Some(Position::Wal(end)), .. }) = &step {
            self.delivered = self.delivered.max(*end);
        }
        Some(step)
    }

    /// Goes back to what was last given as a whole: what was given of a transaction in part comes again, from its first change.
    pub(super) fn rewind(&mut self) {
        (self.current, self.given) = (None, self.delivered);
        self.ready.clear();
    }

    /// The tables are these from now on.
    pub(super) fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        let named = |table: Arc<Table>| ((table.name.schema.clone(), table.name.table.clone()), table);
        self.tables.clear();
        for (name, table) in tables.into_iter().map(named) {
            // What a table was before, its description in the stream says.
            self.tables.entry(name).or_insert(table);
        }
        self.relations.forget();
        // Relations are described once a reading: what follows of this one would be of tables that nobody knows.
        self.rewind();
    }

    /// Asks what types are called now.
    pub(super) async fn ask(&mut self, session: &mut Session) -> Result<(), DbError> {
        self.relations.ask(session, catalog::schema(&self.config)).await
    }

    /// Takes a message in.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), DbError> {
        let message = parse(data).map_err(|error| DbError::Refused(error.to_string()))?;
        match message {
            Message::Begin { commit, time, number } => {
                let time = Nanos(time.saturating_add(EPOCH).saturating_mul(1_000));
                self.current = Some(Current {
                    number,
                    commit,
                    time,
                    comment: None,
                    first: 0,
                    changes: Vec::new(),
                    bytes: 0,
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
                        self.push(Change { table, op: Op::Truncate }, data.len());
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
                    self.push(change, data.len());
                }
            }
            Message::Said { transactional, prefix, text } => {
                if transactional
                    && prefix == SAID
                    && !text.is_empty()
                    && let Some(current) = &mut self.current
                {
                    current.comment = Some(String::from_utf8_lossy(text).into_owned());
                }
            }
            Message::Other => {}
        }
        Ok(())
    }

    fn push(&mut self, change: Change, bytes: usize) {
        if let Some(current) = self.current.as_mut().filter(|current| !current.passed) {
            current.changes.push(change);
            current.bytes += bytes;
            if current.changes.len() >= PART || current.bytes >= PART_BYTES {
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
                commit: current.commit,
                time: current.time,
                comment: current.comment.clone(),
                first: current.first,
                changes,
                bytes: std::mem::take(&mut current.bytes),
                passed: false,
            };
            current.first += count;
            self.ready.push_back(Step::Transaction(part(now, None)));
        }
    }
}

fn part(current: Current, ends: Option<Position>) -> Transaction {
    Transaction {
        id: current.number.to_string(),
        time: current.time,
        account: None,
        connection: None,
        comment: current.comment,
        // What has seen the commit's record has seen it to its end.
        within: Position::Wal(current.commit.saturating_add(1)),
        first: current.first,
        changes: current.changes,
        ends,
    }
}
