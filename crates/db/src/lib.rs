//! Is every row of a database accounted for?
//!
//! A *watch* keeps an independent [copy] of tables in a MySQL, MariaDB or PostgreSQL. The database's change stream says what happened, in
//! order; *reconciliation* compares checksums that are computed inside the database with the copy's and finds what the stream did not say.
//! Every change of a row becomes an event, is checked against rules, and every breach is a violation that somebody must sign off.
//!
//! What all of it rests on is one form in which a value is compared, wherever it comes from (the stream, a query, a dump, an
//! expression that the database computes itself): the [`Cell`]. Two cells are the same exactly when their bytes are.
//!
//! Rules say what may happen to a row ([`TableRules`]); the same rules hold for the difference between two [dumps](dump).
//!
//! The parts: [`Reader`] and [`Changes`] are what is asked of a database, `mysql` and `postgres` the two that answer.

mod cell;
mod change;
mod choice;
mod config;
pub mod copy;
mod database;
pub mod dump;
pub mod mysql;
pub mod postgres;
mod projection;
mod rules;
pub mod schedule;
pub mod snapshot;
mod table;
pub mod watch;

pub(crate) use cell::hex;
pub use cell::{Cell, CellError, MaskKey, RowHash, chunk_digest, decode_row, encode_row, row_hash};
pub use change::{Change, Op, Position, PositionError, Prepared, Sent, Step, Transaction};
pub use choice::fits;
pub use config::{
    Allow, Budget, CopyPlace, CopySchema, Defaults, Engine, FieldRules, Identify, Mistake, Rules,
    TableConfig, WatchConfig,
};
pub use database::{Changes, DbError, Digest, Finding, FoundTable, Level, Reader, Scan};
pub use rules::{Breach, CHECK_ROWS, Check, CheckConfig, DELETED, DIFFERENT, RuleError, TableRules};
pub use table::{Column, Key, Kind, Name, Table};
