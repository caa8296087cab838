//! PostgreSQL, from version 13 on.
//!
//! Tables are read through ordinary connections. The stream is logical decoding by `pgoutput`, sent by the replication protocol; where the server does
//! not let us replicate it is polled with `pg_logical_slot_peek_binary_changes`. The slot moves once what was read is durable. All kinds of session have
//! the same settings, since the decoder writes values with the settings of the session that asks.
//!
//! What of PostgreSQL is watched: ordinary tables, partitions each as a table of its own (not their parent, which holds no rows: a row that moves is
//! deleted here and inserted there, and a truncated or attached partition is seen). Not views, foreign tables, and temporary ones. Unlogged
//! tables are in no stream, they are only compared. Generated columns are in no stream either, and left out where one is followed.
//!
//! Who made a change is not in the stream, neither the role nor `application_name`, and a backend that is connected now says nothing about a transaction
//! that has ended: nobody guesses. What is in it, from version 14 on, is what the application says in the transaction itself:
//! `SELECT pg_logical_emit_message(true, 'attestry', 'user=ada')`.

mod assembly;
mod catalog;
mod changes;
mod check;
mod expression;
pub mod pgoutput;
mod poll;
mod publication;
mod pushed;
mod reader;
mod relation;
mod replication;
mod session;
pub(crate) mod slot;
mod snapshot;
mod wire;

pub use changes::PostgresChanges;
pub use reader::{PostgresReader, slot_name};
pub(crate) use session::{Session, login};
