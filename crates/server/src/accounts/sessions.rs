//! Sessions of people: a random token in a cookie, its hash in the file.

use std::time::Duration;

use attestry_event::Nanos;
use rusqlite::{OptionalExtension, Transaction, params};

use super::outbox::{Note, record};
use super::users::User;
use super::{Accounts, AccountsError, Actor, plus, secret};

/// How long a session lasts after the log-in, whether used or not.
pub const SESSION_LIFE: Duration = Duration::from_secs(86_400);

/// A session that is valid now.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose it is.
    pub user: User,
    /// What a changing request must carry in `X-CSRF-Token`.
    pub csrf: String,
    /// When it ends by itself.
    pub expires_at: Nanos,
}

impl Session {
    /// Whether `sent` is this session's CSRF token.
    pub(crate) fn csrf_is(&self, sent: &str) -> bool {
        secret::equal(&self.csrf, sent)
    }
}

/// Starts a session and returns its token, which only the cookie will hold.
pub(super) fn start(tx: &Transaction<'_>, user: &User, now: Nanos) -> Result<String, AccountsError> {
    let token = secret::random()?;
    tx.execute("DELETE FROM session WHERE expires_at <= ?1", [now.0])?;
    tx.execute(
        "INSERT INTO session (hash, user, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![secret::hash(&token), user.id, now.0, plus(now, SESSION_LIFE).0],
    )?;
    Ok(token)
}

/// The CSRF token that belongs to a session's token.
pub(super) fn csrf(token: &str) -> String {
    secret::csrf(token)
}

impl Accounts {
    /// The session behind a cookie's token; `None` when it ended, expired or never was.
    pub fn session(&self, token: &str) -> Result<Option<Session>, AccountsError> {
        let now = self.now();
        let reader = self.reader.lock();
        let mut query = reader.connection().prepare_cached(
            "SELECT session.expires_at, user.id, user.name, user.role, user.filter FROM session
             JOIN user ON user.id = session.user WHERE session.hash = ?1 AND session.expires_at > ?2",
        )?;
        let found = query.query_row(params![secret::hash(token), now.0], |row| {
            Ok(Session {
                expires_at: Nanos(row.get(0)?),
                user: User { id: row.get(1)?, name: row.get(2)?, role: row.get(3)?, filter: row.get(4)? },
                csrf: secret::csrf(token),
            })
        });
        Ok(found.optional()?)
    }

    /// Ends the session.
    pub fn log_out(&self, token: &str, actor: &Actor) -> Result<(), AccountsError> {
        let now = self.now();
        self.change(|tx| {
            if tx.execute("DELETE FROM session WHERE hash = ?1", [secret::hash(token)])? > 0 {
                record(tx, now, actor, Note::new("session.end"))?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, root};
    use super::super::users::Role;
    use super::*;

    #[test]
    fn a_session_ends_by_logging_out_and_by_itself() {
        let bench = bench();
        bench.accounts.create_user("alice", "correct horse", Role::Admin, None, &root()).unwrap();
        let log_in = || bench.accounts.log_in("alice", "correct horse", &root()).unwrap();
        let (one, two) = (log_in(), log_in());
        assert_ne!(one.token, two.token);
        let session = bench.accounts.session(&one.token).unwrap().unwrap();
        assert_eq!((session.user.name.as_str(), session.csrf == one.csrf), ("alice", true));
        assert!(bench.accounts.session("x").unwrap().is_none());

        bench.accounts.log_out(&one.token, &root()).unwrap();
        assert!(bench.accounts.session(&one.token).unwrap().is_none());
        bench.clock.advance(SESSION_LIFE - Duration::from_secs(1));
        assert!(bench.accounts.session(&two.token).unwrap().is_some());
        bench.clock.advance(Duration::from_secs(1));
        assert!(bench.accounts.session(&two.token).unwrap().is_none());
    }

    #[test]
    fn the_file_does_not_hold_the_token() {
        let bench = bench();
        bench.accounts.create_user("alice", "correct horse", Role::Admin, None, &root()).unwrap();
        let login = bench.accounts.log_in("alice", "correct horse", &root()).unwrap();
        for name in ["attestry.db", "attestry.db-wal"] {
            let bytes = std::fs::read(bench.dir.path().join(name)).unwrap();
            for secret in [login.token.as_bytes(), login.csrf.as_bytes(), b"correct horse"] {
                assert!(memchr::memmem::find(&bytes, secret).is_none(), "{name}");
            }
        }
    }
}
