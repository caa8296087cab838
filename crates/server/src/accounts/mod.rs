//! Who may do what: users, sessions, API keys and the one-time set-up link, in one SQLite file.
//!
//! The file (`attestry.db` in the data directory) is opened by the running server and, at the same time or without it,
//! by the command line (`attestry key …`, `attestry user …`). So that a change made there is recorded as surely as one
//! made over HTTP, every change puts its audit event into the [outbox](Accounts::pending) in the same transaction, and
//! the server moves the outbox into the `audit` ledger.
//!
//! No secret is stored: passwords as argon2id, session tokens and API keys as the SHA-256 of 256 random bits.

mod agents;
mod backup;
mod keys;
mod outbox;
mod password;
mod schema;
mod secret;
mod sessions;
mod setup;
mod silence;
mod users;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attestry_event::{Clock, Nanos};
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use agents::{Agent, Invitation, Progress, TOKEN_LIFE};
pub use keys::{Key, KeyKind, KeyUse, NewKey};
pub use outbox::Pending;
pub use password::{PASSWORD_MAX_BYTES, PASSWORD_MIN_CHARS};
pub use sessions::{SESSION_LIFE, Session};
pub use setup::{SETUP_FILE, SETUP_LIFE, SetupLink};
pub use silence::{Finding, Hearing, Party, Sender, Silence};
pub use users::{LOCKOUT, LOCKOUT_FAILURES, Login, LoginError, Role, User};

/// How long a change waits for another process that is changing the file.
const BUSY: Duration = Duration::from_secs(5);

/// The accounts file. Share it in an `Arc`; every method blocks for one small SQLite transaction, those that hash a
/// password for some 20 ms.
pub struct Accounts {
    /// Every change goes through this connection.
    writer: Mutex<Connection>,
    /// Look-ups of sessions and keys, so that a request never waits for another's fsync.
    reader: Mutex<keys::Reader>,
    clock: Arc<dyn Clock>,
}

/// Who makes a change, for its audit event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of the user or key; on the command line the account of the operating system.
    pub name: String,
    /// The address the request came from, `-` on the command line.
    pub address: String,
}

impl Actor {
    /// An actor at the command line of the server's own host.
    pub fn local(name: impl Into<String>) -> Actor {
        Actor { name: name.into(), address: "-".to_owned() }
    }
}

/// Why an account change or look-up did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file could not be read or written; trying again later may help.
    #[error("the accounts file could not be read or written")]
    Database(#[from] rusqlite::Error),
    /// A file beside the accounts could not be written, or the accounts file not be created.
    #[error("could not write {path}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file was written by a newer program: this one must not touch it.
    #[error("the accounts file has schema {found}, and this program knows schemas up to {known}")]
    Newer {
        /// What the file says.
        found: i64,
        /// The newest this program can read.
        known: i64,
    },
    /// What was asked for is against a rule; the text says which.
    #[error("{field}: {rule}")]
    Invalid {
        /// The argument at fault.
        field: &'static str,
        /// What it should have been.
        rule: String,
    },
    /// There is no such user, key or set-up token (any more).
    #[error("no such {0}")]
    NotFound(&'static str),
    /// Another one with that name exists.
    #[error("a {0} with this name exists already")]
    Taken(&'static str),
}

impl AccountsError {
    fn invalid(field: &'static str, rule: impl Into<String>) -> AccountsError {
        AccountsError::Invalid { field, rule: rule.into() }
    }
}

impl Accounts {
    /// Opens the file, creates it (mode 0600) where there is none, and brings its schema up to date.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Accounts, AccountsError> {
        let io = |source| AccountsError::Io { path: path.display().to_string(), source };
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(io)?;
        let mut writer = connect(path)?;
        schema::migrate(&mut writer)?;
        let reader = keys::Reader::new(connect(path)?);
        Ok(Accounts { writer: Mutex::new(writer), reader: Mutex::new(reader), clock })
    }

    fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Runs `change` in one durable transaction: it commits when `change` succeeds, and leaves no trace when it does not.
    fn change<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, AccountsError>,
    ) -> Result<T, AccountsError> {
        let mut writer = self.writer.lock();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = change(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // A revocation that was confirmed must survive a power cut, which NORMAL does not promise in WAL mode.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

fn plus(time: Nanos, by: Duration) -> Nanos {
    Nanos(time.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestry_event::ManualClock;
    use std::os::unix::fs::PermissionsExt;

    /// Accounts in a folder of their own, with a clock that the test moves.
    pub(super) struct Bench {
        pub(super) accounts: Accounts,
        pub(super) clock: Arc<ManualClock>,
        pub(super) dir: tempfile::TempDir,
    }

    pub(super) fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Nanos(1_700_000_000_000_000_000)));
        let accounts = Accounts::open(&dir.path().join("attestry.db"), clock.clone()).unwrap();
        Bench { accounts, clock, dir }
    }

    pub(super) fn root() -> Actor {
        Actor::local("root")
    }

    #[test]
    fn the_file_is_for_its_owner_only() {
        let bench = bench();
        let mode = bench.dir.path().join("attestry.db").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let bench = bench();
        bench.accounts.writer.lock().pragma_update(None, "user_version", 99).unwrap();
        let path = bench.dir.path().join("attestry.db");
        let again = Accounts::open(&path, bench.clock.clone());
        assert!(matches!(again, Err(AccountsError::Newer { found: 99, .. })));
    }

    #[test]
    fn a_change_that_fails_leaves_nothing() {
        let bench = bench();
        let failed: Result<(), _> = bench.accounts.change(|tx| {
            outbox::record(tx, Nanos(0), &root(), outbox::Note::new("key.create"))?;
            Err(AccountsError::NotFound("key"))
        });
        assert!(failed.is_err());
        assert!(bench.accounts.pending(10).unwrap().is_empty());
    }
}
