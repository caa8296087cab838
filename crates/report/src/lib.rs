//! What is handed over? Reports: what they are made of, how they are rendered, and how they are made again.
//!
//! A *definition* ([`Definition`], YAML; some are built in) with a window, parameters and a prefix of the ledgers is a [`Recipe`]. [`make()`] turns it
//! into a [`Document`]: the recipe, a body ([`Body`], the data), and the evidence, which is the signed checkpoint of each ledger and the inclusion proof of
//! each event that the body shows. [`render`] writes a document as HTML, Markdown, JSON or CSV; each carries the whole document in a part for
//! programs, so that any of them can be read back ([`parse`]), checked, and made again ([`replay()`]).
//!
//! The body is a pure function of the recipe: nothing of "now" is in it, aggregates are exact, what a limit leaves out is counted, and figures from
//! outside are events of the ledger before they are shown. So the same prefix of the log gives the same bytes, on any machine.
//!
//! Nothing here knows HTTP, brokers, or where a report goes.

mod body;
mod builtin;
mod cells;
mod decimal;
mod definition;
mod document;
mod error;
mod evidence;
mod figures;
mod logs;
mod make;
mod planned;
mod recipe;
mod render;
mod replay;
mod schedule;
mod sections;

pub use body::{Body, Chart, Cite, Content, Fact, InForce, Part, Row, Series, Table};
pub use builtin::built_in;
pub use definition::{
    Aggregate, Counted, Definition, Histogram, Matrix, Parameter, Search, Section, Sums, Top, Violations,
};
pub use document::{Document, parse};
pub use error::Error;
pub use evidence::{Evidence, Proven};
pub use figures::{Figure, Http, JsonRpc, Sql, Taken};
pub use logs::Logs;
pub use make::{Progress, make, recipe_of};
pub use planned::Planned;
pub use recipe::{LedgerAt, Previous, Recipe, Window, Wish};
pub use render::{Format, render};
pub use replay::{Replayed, replay};
pub use schedule::{Schedule, ScheduleError};

/// Counts up whenever the same recipe would give another body or another rendering than before.
pub const TEMPLATE_VERSION: u32 = 2;

/// What makes reports, and which version of it.
pub const GENERATOR: &str = concat!("attestry ", env!("CARGO_PKG_VERSION"));
