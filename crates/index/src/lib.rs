//! Which rows hold a term: the search index of one ledger. Rows in, row numbers out.
//!
//! The index follows a ledger and holds nothing that cannot be made again from it. It consists of immutable *parts*
//! ([`Part`]), each an index of consecutive rows: small ones in memory, made by [`Index::add`], which background
//! threads merge into larger ones and into files. A [`Snapshot`] is a list of parts that never changes; queries run
//! on it without locks.
//!
//! A part answers a [`Filter`] with the rows that certainly pass and those that possibly do ([`Matches`]); the caller
//! looks at the difference in the rows themselves. So the index may keep little of what is large or rare, and is
//! never wrong.
//!
//! This crate knows the format of an entry, and neither ledgers nor the search language.

mod aggregate;
mod bitmap;
mod build;
mod dict;
mod eval;
mod filter;
mod gather;
mod hashes;
mod index;
mod key;
mod manifest;
mod merge;
mod needle;
mod number;
mod out;
mod pack;
mod page;
mod pairs;
mod part;
mod policy;
mod postings;
mod rows;
mod seal;
mod slot;
mod snapshot;
mod table;
mod tally;
mod times;
mod words;

pub use aggregate::{Column, Counts, PathInfo, Value};
pub use eval::{Counted, Matches};
pub use filter::{Bounds, Filter, Matcher, Target};
pub use index::{Error, Fed, Feed, Index, Options, Stats};
pub use manifest::{Dropped, Opened};
pub use needle::Needle;
pub use page::Order;
pub use part::Part;
pub use rows::{RowSet, Rows};
pub use slot::Kinds;
pub use snapshot::Snapshot;
pub use tally::Tally;
pub use words::{MAX_WORD_BYTES, words};
