//! What an event is: its fields, the checks at the border, its canonical bytes, and how they are read back.
//!
//! The way in is [`Batch`]: [`Batch::push_json`] takes what a client sent, [`Batch::push`] an [`Event`] made inside
//! Attestry; both go through one encoder and leave *entries*, the bytes that are hashed, stored and served
//! (`docs/formats.md`, section 1). The way out is [`Entry`], which finds the fields of an entry without copying, and
//! [`walk`], which visits every scalar of its `event_data`.
//!
//! This crate knows no disk, no network and no async runtime. Time and randomness are passed in.

mod batch;
mod border;
mod canonical;
mod clock;
mod decimal;
mod encode;
mod entry;
mod event;
mod field;
mod hex;
mod id;
mod json;
mod methods;
mod outward;
mod period;
mod problem;
mod reserved;
mod same;
mod text;
mod time;
mod walk;

pub use batch::{Batch, LargeValue, Row, flags};
pub use border::Border;
pub use clock::{Clock, ManualClock, SystemClock};
pub use decimal::Decimal;
pub use entry::{Entry, EntryError, Text};
pub use event::{Event, Outcome};
pub use field::{Field, Kind, nearest_name};
pub use hex::hex;
pub use id::{ID_CHARS_MAX, id_hash, is_id, value_hash};
pub use methods::{Decided, Methods, MethodsError};
pub use outward::write_event;
pub use period::{NoPeriod, Period};
pub use problem::Problem;
pub use reserved::{RESERVED_PREFIXES, RESERVED_SOURCE, is_reserved};
pub use same::same_content;
pub use time::{Nanos, TIME_LEN, TimeError};
pub use walk::{Scalar, Walker, walk};

/// The largest entry in bytes: a C2SP entry bundle counts in 16 bits, and some room is left for what wraps an entry.
pub const MAX_ENTRY_BYTES: usize = 61_440;

/// A string of `message` or `event_data` with more bytes than this (unescaped) is kept beside the entry as a `$ref`.
pub const LARGE_VALUE_BYTES: usize = 4_096;

/// The largest event in bytes as a client may send it, large values included.
pub const MAX_EVENT_BYTES: usize = 16 << 20;

/// How deep objects and arrays may nest, the event's own object counted.
pub const MAX_DEPTH: usize = 32;

/// How far in the future an `event_time` may lie, in nanoseconds (24 hours): beyond it a clock is wrong.
pub const FUTURE_LIMIT_NANOS: i64 = 24 * 3_600 * 1_000_000_000;
