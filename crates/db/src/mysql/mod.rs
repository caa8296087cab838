//! MySQL and MariaDB.
//!
//! [`MysqlReader`] asks by SQL, [`MysqlChanges`] follows the binary log as a replica does. Both give the same cells: what SQL is asked for (`expression`) and what
//! the log's bytes are turned into (`image`) are written for each type of column (`column_type`).
//!
//! The session's settings are part of the form of a cell: `time_zone` is UTC, `sql_mode` is empty (blanks at the end of CHAR are not shown, `||` and `"`
//! mean what they mean by default), and results are not converted to another character set.

mod bytes;
mod changes;
mod check;
mod column_type;
mod decoder;
mod dump;
mod event;
mod expression;
mod float;
mod image;
mod json;
mod reader;
#[cfg(test)]
mod recorded;
mod session;
mod statement;
mod tables;

pub use changes::MysqlChanges;
pub(crate) use expression::{hex, quoted, text_literal, value_literal};
pub use reader::MysqlReader;
pub(crate) use session::Session;
pub(crate) use statement::without_values;
