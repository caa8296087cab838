//! The copy, shown in a schema of the watched server, for those who read it with SQL there. The layout is Watchy's:
//!
//! | table | what is in it |
//! |---|---|
//! | `T` for a watched table `T` | its columns; `_copied_at`, `_has_delta`, `_last_version`, `_has_violation`, `_deleted_at` |
//! | `_v_T` | every version of every row: its columns, `_row_version`; a name that would be too long is shortened |
//! | `_rule_violations` | `fingerprint`, `audited_table`, `field`, `name`, `stamp`, `description`, `item`, `pkey`, `row_version`, `state`, `signed_off_at` |
//!
//! Times called `stamp` and `_at` of the type BIGINT are seconds since 1970, states `PENDING` and `SIGNED-OFF`, as there. What is other than there: the
//! versions count from 1 instead of being seconds, so that two in a second are two; `_versioned_at` has the microseconds; `_row_id` is
//! the key, since a key that somebody used again is another row in the history and the same one here; `pkey` and `item` are JSON. A
//! row that is gone stays, with `_deleted_at`. Masked columns hold the keyed hash.
//!
//! The copy in the file stays the one that is compared: whoever owns the server owns this one. It is a *projection*: for each row that changed
//! (`changed`, filled by triggers of the copy) its state as a whole is written, then the note is taken away. So it is never ahead
//! of the copy, may be written twice, and catches up from wherever it was. `_attestry` says of which copy it is, and how each table was defined when
//! its rows were noted; when that is another one, or a table is gone, the tables are made anew.

mod definition;
mod server;
mod state;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::WatchConfig;
use crate::copy::{Copy, CopyError};
use crate::database::{DbError, Finding};

pub(crate) use server::check;
pub(crate) use writer::{Turn, Writer};

/// How often to look whether rows changed.
pub(crate) const LOOK: Duration = Duration::from_millis(200);

/// What a projection is made with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The watch's name.
    pub(crate) watch: String,
    /// What is watched.
    pub(crate) config: WatchConfig,
    /// The copy's file.
    pub(crate) copy: PathBuf,
    /// The schema.
    pub(crate) schema: String,
    /// The tables that are not written.
    pub(crate) left_out: Vec<RefusedTable>,
}

/// Why a projection does not go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    Database(DbError),
    /// The server refuses what is written of one table.
    Table(RefusedTable),
    Copy(CopyError),
}

/// A table that the server does not take.
#[derive(Clone, Debug)]
pub(crate) struct RefusedTable {
    /// Its number in the copy.
    pub(crate) watched: i64,
    /// Its name.
    pub(crate) name: String,
    /// Why.
    pub(crate) why: String,
}

impl fmt::Display for RefusedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.why)
    }
}

impl From<DbError> for Trouble {
    fn from(error: DbError) -> Trouble {
        Trouble::Database(error)
    }
}

impl From<CopyError> for Trouble {
    fn from(error: CopyError) -> Trouble {
        Trouble::Copy(error)
    }
}

/// Has the copy note what changes, if there is a schema that shows it; one that begins empty shows nothing of before.
pub(crate) fn prepare(copy: &mut Copy, config: &WatchConfig) -> Result<(), CopyError> {
    copy.note_changes(config.copy_schema().is_some())?;
    if config.start_empty && config.copy_schema().is_some() {
        copy.begin()?;
        copy.project_anew()?;
        copy.commit()?;
    }
    Ok(())
}

/// What a server lacks for it.
pub(crate) async fn findings(config: &WatchConfig) -> Result<Vec<Finding>, DbError> {
    match config.copy_schema() {
        Some(schema) => check(config, schema).await,
        None => Ok(Vec::new()),
    }
}
