//! MySQL and MariaDB.
//!
//! [`MysqlReader`] asks by SQL: what for, is written in `expression` for each type of column.
//!
//! The session's settings are part of the form of a cell: `time_zone` is UTC, `sql_mode` is empty (blanks at the end of CHAR are not shown, `||` and `"`
//! mean what they mean by default), and results are not converted to another character set.

mod check;
mod column_type;
mod expression;
mod reader;
mod session;
mod tables;

pub use reader::MysqlReader;
