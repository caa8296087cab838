//! How events are found: the search language, and what it is asked of.
#![allow(dead_code, unused_imports)]

mod cursor;
mod error;
mod query;
mod rows;
mod sketch;
mod stop;

pub use cursor::{Cursor, Order};
pub use error::Error;
pub use query::*;
pub use rows::{Rows, RowsError};
pub use sketch::RELATIVE_ERROR;
pub use stop::Stop;
