//! How events are found: the search language ([`Query`]), the store that answers it over the indexes of several ledgers
//! ([`Store`]), and what it needs of a ledger ([`Rows`]).
//!
//! The way of a search: text → [`Query`] → `plan` (what each index is asked) → per part of the index the rows that certainly and
//! possibly match → the possible ones checked on the entries by [`Query::matches`] → sorted pages, counts, statistics. The way of an
//! entry: a ledger's follower thread reads it from [`Rows`] and adds it to the index.
//!
//! Nothing here holds truth, and nothing here knows HTTP, rules, or how a ledger keeps its entries.

mod column;
mod count;
mod cursor;
mod error;
mod fields;
mod follow;
mod plan;
mod query;
mod rows;
mod scope;
mod search;
mod signal;
mod sketch;
mod stats;
mod stop;
mod store;
mod tail;
mod tally;
mod top;

pub use attestry_index::Options;
pub use count::{Bucket, Count, Histogram, HistogramRequest, Interval, MAX_BUCKETS, MAX_STACK};
pub use cursor::{Cursor, Order};
pub use error::Error;
pub use fields::{FieldKind, Fields, MAX_FIELDS, Values};
pub use follow::State;
pub use query::*;
pub use rows::{Rows, RowsError};
pub use scope::Scope;
pub use search::{Hit, MAX_PAGE, MAX_PAGE_BYTES, Page, SearchRequest};
pub use sketch::RELATIVE_ERROR;
pub use stats::{
    Calculation, Figure, MAX_CALCULATIONS, MAX_GROUP_FIELDS, MAX_GROUPS, Stats, StatsRequest, StatsRow,
};
pub use stop::Stop;
pub use store::Store;
pub use tail::{Arrivals, TAIL_BACKLOG, Tail};
pub use tally::MAX_VALUES;
pub use top::Top;
