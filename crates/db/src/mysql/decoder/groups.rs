//! Transactions put together: groups of events, their savepoints, what XA prepares, and statements in them.

mod xa;

use std::collections::BTreeSet;

use attestry_event::Nanos;

use super::super::event::{Gtid, Header, Query};
use super::super::statement::{self, Statement};
use super::Decoder;
use crate::change::{Change, Op, Position, Step, Transaction};
use crate::database::DbError;
use crate::table::Name;

pub(super) use xa::{PREPARED_BYTES, Waiting};

/// A part of a transaction has at most so many changes, but for the last event's.
const PART_CHANGES: usize = 5_000;

/// A part of a transaction has at most so many bytes of rows, but for the last event's.
const PART_BYTES: usize = 1 << 20;

/// Changes of a transaction that are not given yet.
#[derive(Default)]
struct Changed {
    changes: Vec<Change>,
    bytes: usize,
    /// The number of the first among the transaction's.
    first: u64,
    /// It was more than is kept, and nothing is.
    too_much: bool,
}

pub(super) struct Group {
    gtid: Gtid,
    /// The end of its first event.
    begun: Position,
    /// It counts only when it is committed by another group.
    prepares: bool,
    /// The tables that it changes, watched or not, if it prepares.
    tables: BTreeSet<Name>,
    time: Nanos,
    account: Option<String>,
    connection: Option<String>,
    comment: Option<String>,
    changed: Changed,
    /// How many changes there were when a savepoint was set.
    savepoints: Vec<(String, u64)>,
}

impl Decoder {
    pub(super) fn begin(&mut self, header: &Header, gtid: Gtid) -> Result<(), DbError> {
        self.undo()?;
        let time = gtid.time.unwrap_or(header.nanos());
        let (account, connection, comment) = (None, None, None);
        let (changed, savepoints) = (Changed::default(), Vec::new());
        let (begun, prepares) = (self.here(), gtid.prepares);
        let tables = BTreeSet::new();
        self.group = Some(Group {
            gtid,
            begun,
            prepares,
            tables,
            time,
            account,
            connection,
            comment,
            changed,
            savepoints,
        });
        Ok(())
    }

    /// What is not given of a group never was.
    pub(super) fn undo(&mut self) -> Result<(), DbError> {
        match self.group.take() {
            Some(group) if group.changed.first > 0 && !self.was_given() => {
                Err(DbError::Lost("a long transaction was taken back after a part of it was read".to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn comment(&mut self, sql: &[u8]) {
        if let Some(group) = &mut self.group
            && group.comment.is_none()
        {
            group.comment = statement::comment(&String::from_utf8_lossy(sql));
        }
    }

    pub(super) fn query(&mut self, header: &Header, query: &Query<'_>) -> Result<(), DbError> {
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
            Statement::XaStart => {
                if let Some(group) = &mut self.group {
                    group.gtid.alone = false;
                    group.prepares = true;
                }
                return Ok(());
            }
            Statement::Commit => {
                self.commit();
                return Ok(());
            }
            Statement::Rollback => return self.undo(),
            Statement::Savepoint(name) => {
                if let Some(group) = &mut self.group {
                    let count = group.changed.first + group.changed.changes.len() as u64;
                    group.savepoints.push((name, count));
                }
                return Ok(());
            }
            Statement::RollbackTo(name) => return self.roll_back_to(&name),
            Statement::XaCommit(number) => {
                self.xa_commit(header, &number);
                return Ok(());
            }
            Statement::XaRollback(number) => {
                self.prepared.remove(&number);
                self.group = None;
                self.give_prepared();
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
            self.commit();
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
            true => self.here(),
            false => self.position(),
        };
        if !self.was_given() {
            self.strange.extend(tables.iter().cloned());
        }
        let account = self.group.as_ref().and_then(|group| group.account.clone());
        let time = self.group.as_ref().map_or(header.nanos(), |group| group.time);
        if alone {
            // Nothing else is in it.
            self.group = None;
        }
        self.give(Step::Schema { position, time, tables, statement: Some(sql.to_owned()), account });
    }

    pub(super) fn push(&mut self, change: Change, bytes: usize) {
        let Some(group) = self.group.as_mut().filter(|group| !group.changed.too_much) else { return };
        group.changed.changes.push(change);
        group.changed.bytes += bytes;
        if group.prepares {
            let waiting: usize = self.prepared.values().map(Waiting::bytes).sum();
            if waiting + group.changed.bytes > self.prepared_most {
                group.changed = Changed { too_much: true, ..Changed::default() };
            }
        } else if group.changed.changes.len() >= PART_CHANGES || group.changed.bytes >= PART_BYTES {
            let part = group.part(None);
            self.give(Step::Transaction(part));
        }
    }

    pub(super) fn commit(&mut self) {
        let Some(mut group) = self.group.take() else { return };
        if group.changed.first > 0 || !group.changed.changes.is_empty() {
            let last = group.part(Some(self.here()));
            self.give(Step::Transaction(last));
        }
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
            within: self.begun.clone(),
            first,
            changes,
            ends,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::event::kind;
    use std::sync::Arc;

    use super::super::sample::{column, decoder, event, format, gtid, map, query, rows};
    use super::*;
    use crate::cell::Cell;
    use crate::change::Sent;
    use crate::table::Kind;

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
    fn rows_from_before_a_change_of_their_table_are_read_as_what_it_was() {
        let mut decoder = decoder();
        let before = decoder.tables.values().next().cloned().unwrap();
        let mut now = (*before).clone();
        now.columns.push(column("w", "int", Kind::Int));
        let mut other = now.clone();
        other.columns.remove(1);
        decoder.set_tables([now, other, (*before).clone()].map(Arc::new).to_vec());
        for one in [format(), gtid(), query("BEGIN"), map(), rows(), event(kind::XID, 500, &[0; 8])] {
            decoder.event(&one).unwrap();
        }
        let Some(Step::Transaction(transaction)) = decoder.step() else { panic!() };
        assert_eq!(transaction.changes[0].table, before);
        assert!(decoder.step().is_none());
    }

    /// Parts of it were applied as if it had been committed.
    #[test]
    fn a_long_transaction_that_is_taken_back_is_no_stream_any_more() {
        for (ends, is_lost) in
            [(query("ROLLBACK"), true), (gtid(), true), (event(kind::XID, 500, &[0; 8]), false)]
        {
            for long in [true, false] {
                let mut decoder = decoder();
                for one in [format(), gtid(), query("BEGIN"), map()] {
                    decoder.event(&one).unwrap();
                }
                for _ in 0..if long { PART_CHANGES + 1 } else { 1 } {
                    decoder.event(&rows()).unwrap();
                }
                let lost = matches!(decoder.event(&ends), Err(DbError::Lost(_)));
                assert_eq!(lost, is_lost && long);
            }
        }
    }
}
