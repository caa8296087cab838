//! How do bytes survive? Append-only files of numbered records, with one fsync for many of them.
//!
//! A [`Journal`] takes opaque payloads, numbers them, and gives them back in order after a crash. It knows nothing of
//! what the payloads mean; all it asks of the machine goes through [`disk::Disk`], so that tests can stop it at every
//! single write.
//!
//! What holds, whatever the disk does short of losing what it said it had synced:
//! - What [`Journal::sync`] returned for is there after any crash, once and in order, or is reported as [`Damage`].
//! - What was appended and not synced may be there; then as a prefix, never torn and never in another order.
//! - A file is never written to again after a sync of it failed, or after it was opened anew: the kernel may have
//!   marked as clean what never reached the disk, so going on means a new file.
//!
//! The format of the files is section 7 of `docs/formats.md`.

#![forbid(unsafe_code)]

mod append;
mod cursor;
pub mod disk;
mod error;
mod files;
mod format;
mod open;
mod reader;
mod walk;

pub use append::{Journal, Options, Policy};
pub use cursor::{Cursor, CursorError};
pub use error::Error;
pub use format::MAX_PAYLOAD_BYTES;
pub use open::Opened;
pub use reader::{Item, Reader};
pub use walk::Damage;
