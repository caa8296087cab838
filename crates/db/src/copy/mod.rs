//! The independent copy of watched tables: one SQLite file per watch, for its owner only.
//!
//! A row is kept under its *place*: the order bytes of its key ([`Table::order_of`]), or where the order is not known here SHA-256 of the
//! key's row bytes. So a range of keys, or a bucket of hashes ([`Scan`](crate::Scan)), is always one range of places. `row` holds what the database has
//! now, `version` what it had before; the two together are a row's history. Every image is kept with the *layout* (the columns) it
//! was made with, so that a change of the schema rewrites nothing.
//!
//! All that a batch of changes does, with the position of the stream after it, is one SQLite transaction (WAL, `synchronous=FULL`):
//! [`Copy::begin`], the changes, [`Copy::commit`]. Whatever a sign-off or a comparison has to tell goes into the outbox in the
//! transaction that does it, and from there out. Every method blocks.

mod behind;
mod history;
mod marks;
mod migrate;
mod origin;
mod rows;
mod schema;
mod sign_off;
mod tables;
#[cfg(test)]
mod tests;
mod violations;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::cell::{CellError, MaskKey};
use crate::table::Name;

pub use behind::Behind;
pub use history::{Past, Version};
pub use marks::{Counts, Day, Part, Pass, RefusedSchema, Streamed};
pub use origin::{Origin, SeenBy};
pub use rows::{Op, Place, Put, Span, Stored, place_of};
pub use tables::{Layout, NO_TABLE, Watched};
pub use violations::{Filter, Opened, Opening, SchemaChange, Signed, Violation};

/// How long a change waits for another process that is changing the file.
const BUSY: Duration = Duration::from_secs(10);

/// Statements that stay prepared.
const STATEMENTS: usize = 96;

/// The name under which the mask key is kept.
const MASK_KEY: &str = "mask_key";

/// Why the copy could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file could not be read or written; trying again later may help.
    #[error("the copy could not be read or written")]
    Database(#[from] rusqlite::Error),
    /// The file could not be created.
    #[error("could not create {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file was written by a newer program: this one must not touch it.
    #[error("the copy has format {found}, and this program knows formats up to {known}")]
    Newer {
        /// What the file says.
        found: i64,
        /// The newest this program can read.
        known: usize,
    },
    /// Something in the file is not what this program writes there.
    #[error("the copy is damaged: {what}")]
    Damaged {
        /// What, and where.
        what: String,
    },
    /// There is no violation with this fingerprint.
    #[error("there is no violation {0}")]
    NoSuch(String),
    /// Somebody has signed it off before.
    #[error("the violation {fingerprint} was signed off by {by} before")]
    Signed {
        /// Which.
        fingerprint: String,
        /// Who did.
        by: String,
    },
    /// The watch has ended; it tells what was signed off when it runs again.
    #[error("the watch has ended")]
    Ended,
    /// A sign-off needs a name and a reason.
    #[error("a sign-off needs {0}")]
    Wanting(&'static str),
}

impl CopyError {
    pub(crate) fn damaged(what: impl Into<String>) -> CopyError {
        CopyError::Damaged { what: what.into() }
    }
}

impl From<CellError> for CopyError {
    fn from(error: CellError) -> CopyError {
        CopyError::damaged(error.to_string())
    }
}

/// The copy of one watch.
pub struct Copy {
    connection: Connection,
    mask: MaskKey,
    path: PathBuf,
    layouts: BTreeMap<i64, Layout>,
    counts: BTreeMap<(i64, i64), Counts>,
    rows: BTreeMap<i64, i64>,
    /// How many commits are left until one fails, written or not.
    #[cfg(test)]
    pub(crate) fails_after: Option<(u32, bool)>,
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copy").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Copy {
    /// Opens the file, creates it (mode 0600) where there is none, and brings its format up to date.
    ///
    /// # Errors
    /// When it cannot be created, read or written, or a newer program made it.
    pub fn open(path: &Path) -> Result<Copy, CopyError> {
        let io = |source| CopyError::Io { path: path.to_owned(), source };
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(io)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "page_size", 8_192)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // A change that was confirmed to the database will not be given again: it must survive a power cut, which NORMAL does not promise.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Negative: KiB.
        connection.pragma_update(None, "cache_size", -65_536)?;
        schema::migrate(&mut connection)?;
        let fresh: [u8; 32] = rand::random();
        connection.execute(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![MASK_KEY, fresh],
        )?;
        Copy::ready(connection, path)
    }

    /// Opens a file that is there for reading, beside the watch that writes it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open_to_read(path: &Path) -> Result<Copy, CopyError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        Copy::ready(connection, path)
    }

    fn ready(connection: Connection, path: &Path) -> Result<Copy, CopyError> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let key: Option<[u8; 32]> = connection
            .query_row("SELECT value FROM meta WHERE name = ?1", [MASK_KEY], |row| row.get(0))
            .optional()?;
        let mask = MaskKey(key.ok_or_else(|| CopyError::damaged("it has no mask key"))?);
        let path = path.to_owned();
        Ok(Copy {
            connection,
            mask,
            path,
            layouts: BTreeMap::new(),
            counts: BTreeMap::new(),
            rows: BTreeMap::new(),
            #[cfg(test)]
            fails_after: None,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What columns are masked with.
    pub fn mask(&self) -> &MaskKey {
        &self.mask
    }

    /// Begins a transaction. What a transaction that was neither committed nor rolled back did is undone before.
    ///
    /// # Errors
    /// When the file cannot be written, or another process writes it for longer than ten seconds.
    pub fn begin(&mut self) -> Result<(), CopyError> {
        self.roll_back()?;
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    /// Makes what was done since [`Copy::begin`] durable.
    ///
    /// # Errors
    /// When it could not be written: it may or may not be there at the next start, as a whole.
    pub fn commit(&mut self) -> Result<(), CopyError> {
        self.write_counts()?;
        #[cfg(test)]
        if let Some((left, written)) = &mut self.fails_after {
            if *left == 0 {
                if *written {
                    self.connection.execute_batch("COMMIT")?;
                }
                return Err(CopyError::damaged("a crash of the test"));
            }
            *left -= 1;
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Undoes what was done since [`Copy::begin`], if anything was.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn roll_back(&mut self) -> Result<(), CopyError> {
        self.counts.clear();
        self.rows.clear();
        self.layouts.clear();
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    /// Begins a view of the copy that stays as it is, for somebody who only reads.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn begin_view(&mut self) -> Result<(), CopyError> {
        self.roll_back()?;
        Ok(self.connection.execute_batch("BEGIN DEFERRED")?)
    }
}

/// A number as SQLite keeps it.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that SQLite keeps.
fn unsigned(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

/// A name as SQL parameters take it.
fn named(name: &Name) -> [&str; 2] {
    [&name.schema, &name.table]
}
