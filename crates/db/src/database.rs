//! What is asked of a database.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::cell::{Cell, MaskKey};
use crate::change::{Position, Step};
use crate::config::WatchConfig;
use crate::table::{Key, Name, Table};

/// What went wrong, and what that means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// The database is away, overloaded or slow: connect again, after a while.
    #[error("{0}")]
    Again(String),
    /// The stream cannot go on from where it was: what lies between is no longer there, or the server is another. The tables have to be
    /// reconciled, and what they then show is unexplained.
    #[error("{0}")]
    Lost(String),
    /// It will not work before somebody changes something: a privilege, a setting, a table.
    #[error("{0}")]
    Refused(String),
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Note,
    /// It works, but less is seen or more is opened than need be.
    Warning,
    /// It does not work like this.
    Error,
}

/// What [`Reader::check`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How serious it is.
    pub level: Level,
    /// What: a setting, a privilege, a table.
    pub subject: String,
    /// What was found and what is expected.
    pub message: String,
    /// The statement or setting that mends it, to be copied.
    pub remedy: Option<String>,
    /// What that opens beyond what is needed.
    pub opens: Option<String>,
}

/// A part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Rows by the order of their keys, for tables whose order is known here ([`Table::is_ordered`]).
    Range {
        /// Only keys greater than this one.
        after: Option<Key>,
        /// Only keys up to this one, itself included.
        upto: Option<Key>,
    },
    /// Rows by a hash of their keys: those of which the first `bits` bits of SHA-256 over the key's row bytes are `bucket`.
    Bucket {
        /// How many bits, at most 32; 0 is the whole table.
        bits: u8,
        /// Which of the 2^bits.
        bucket: u32,
    },
}

/// What a database says of a part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The part.
    pub scan: Scan,
    /// How many rows.
    pub rows: u64,
    /// [`chunk_digest`](crate::chunk_digest) of them.
    pub digest: [u8; 32],
}

/// A table that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTable {
    /// As it is.
    pub table: Table,
    /// Why it cannot be watched; a table whose rows nothing tells apart has no [key](Table::key) instead.
    pub unfit: Option<String>,
}

/// A connection that reads tables. Whatever it gives is in the form of [`Cell`]; masked columns come masked and never leave the database
/// otherwise.
pub trait Reader: Send {
    /// What tells this server from every other, if it says. Kept with a position of its stream: elsewhere the position means nothing.
    fn server(&mut self) -> impl Future<Output = Result<Option<String>, DbError>> + Send {
        async { Ok(None) }
    }

    /// The tables that the configuration names, with all their columns; those that cannot be watched, too.
    fn tables(
        &mut self,
        config: &WatchConfig,
    ) -> impl Future<Output = Result<Vec<FoundTable>, DbError>> + Send;

    /// The tables whose changes the stream leaves out, each with the reason: they can only be compared.
    fn left_out(
        &mut self,
        _config: &WatchConfig,
    ) -> impl Future<Output = Result<BTreeMap<Name, String>, DbError>> + Send {
        async { Ok(BTreeMap::new()) }
    }

    /// What is missing or too much: privileges, settings, keys.
    fn check(&mut self, config: &WatchConfig) -> impl Future<Output = Result<Vec<Finding>, DbError>> + Send;

    /// Where the stream's end is now: every transaction whose effect a query has already shown lies before it.
    fn position(&mut self) -> impl Future<Output = Result<Position, DbError>> + Send;

    /// Begins a view of the database that stays as it is, and says where in the stream that is: a transaction is in the view exactly when it
    /// ends at or before the position.
    fn begin_snapshot(&mut self) -> impl Future<Output = Result<Position, DbError>> + Send;

    /// Ends the view.
    fn end_snapshot(&mut self) -> impl Future<Output = Result<(), DbError>> + Send;

    /// Rows of a range in the order of their keys (by the database's own order), at most `limit`, beginning after a key. Works for every
    /// table, also those whose order is not known here.
    fn rows_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Vec<Cell>>, DbError>> + Send;

    /// All rows of a part.
    fn rows(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        scan: &Scan,
    ) -> impl Future<Output = Result<Vec<Vec<Cell>>, DbError>> + Send;

    /// The next `limit` rows after a key, as a digest that the database computes; its scan says up to which key. Only for tables that
    /// [are ordered](Table::is_ordered). At the table's end `upto` is none.
    fn digest_after(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        after: Option<&Key>,
        limit: u32,
    ) -> impl Future<Output = Result<Digest, DbError>> + Send;

    /// All rows of several buckets, of 2^bits, in one look at the whole table and in no order.
    fn rows_of_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: &[u32],
    ) -> impl Future<Output = Result<Vec<Vec<Cell>>, DbError>> + Send;

    /// The digests of some or all of 2^bits buckets, in one look at the whole table; empty ones are left out.
    fn digest_buckets(
        &mut self,
        table: &Arc<Table>,
        mask: &MaskKey,
        bits: u8,
        buckets: RangeInclusive<u32>,
    ) -> impl Future<Output = Result<Vec<Digest>, DbError>> + Send;

    /// Runs somebody's own SELECT in a transaction that can only read, and gives at most `limit` rows as text.
    fn query(
        &mut self,
        sql: &str,
        time: Duration,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Vec<Cell>>, DbError>> + Send;
}

/// A connection that follows the stream.
pub trait Changes: Send {
    /// The next step. Waits for at most about a second when nothing is there, and gives [`Step::Reached`] then.
    fn next(&mut self) -> impl Future<Output = Result<Step, DbError>> + Send;

    /// Everything up to here is durable and need not be given again: the server may throw it away.
    /// To be said of [`Step::Reached`], too, once it is stored: a server that is busy with other tables keeps its log until then.
    fn confirm(&mut self, position: &Position) -> impl Future<Output = Result<(), DbError>> + Send;

    /// The tables are these from now on: after a change of the schema was accepted.
    fn set_tables(&mut self, tables: Vec<Arc<Table>>);
}
