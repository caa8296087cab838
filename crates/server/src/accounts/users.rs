//! Users, logging in, and the lock-out after failures.

use std::time::Duration;

use attestry_event::Nanos;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, ToSql, Transaction, params};
use serde::{Deserialize, Serialize};

use super::outbox::{Note, record};
use super::{Accounts, AccountsError, Actor, password, plus, sessions};

/// How many failed log-ins in a row lock a name.
pub const LOCKOUT_FAILURES: i64 = 5;

/// How long a name is locked; also how long a single failure is remembered.
pub const LOCKOUT: Duration = Duration::from_secs(300);

/// The most characters of a user name.
const NAME_MAX_CHARS: usize = 64;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Reads everything, changes nothing.
    Auditor,
    /// Reads what the user's filter lets through.
    Reader,
    /// Reads nothing; for the accounts of programs' owners.
    Writer,
}

impl Role {
    /// The name as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Auditor => "auditor",
            Role::Reader => "reader",
            Role::Writer => "writer",
        }
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.name()))
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Role> {
        let name = value.as_str()?;
        let all = [Role::Admin, Role::Auditor, Role::Reader, Role::Writer];
        all.into_iter().find(|role| role.name() == name).ok_or(FromSqlError::InvalidType)
    }
}

/// A user, without the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The row's number; never given twice.
    pub id: i64,
    /// Unique without regard to the case of ASCII letters.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// A query that limits what the user sees; `None`: no limit.
    pub filter: Option<String>,
}

/// A successful log-in.
#[derive(Debug, Clone)]
pub struct Login {
    /// Who logged in.
    pub user: User,
    /// The session's token, for the cookie.
    pub token: String,
    /// The session's CSRF token.
    pub csrf: String,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such user, or not that user's password: which of the two is not told.
    #[error("wrong user name or password")]
    Wrong,
    /// Too many failures; not even the right password is looked at.
    #[error("locked for {} s after too many failures", .0.as_secs())]
    Locked(Duration),
    /// The accounts could not be read or written.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

impl From<rusqlite::Error> for LoginError {
    fn from(error: rusqlite::Error) -> LoginError {
        LoginError::Accounts(error.into())
    }
}

impl Accounts {
    /// Whether there is a user at all; while there is none, the set-up link makes the first.
    pub fn has_users(&self) -> Result<bool, AccountsError> {
        let reader = self.reader.lock();
        Ok(reader.connection().query_row("SELECT EXISTS (SELECT 1 FROM user)", [], |row| row.get(0))?)
    }

    /// All users, by name.
    pub fn users(&self) -> Result<Vec<User>, AccountsError> {
        let reader = self.reader.lock();
        let mut query =
            reader.connection().prepare("SELECT id, name, role, filter FROM user ORDER BY name")?;
        let users = query.query_map([], |row| {
            Ok(User { id: row.get(0)?, name: row.get(1)?, role: row.get(2)?, filter: row.get(3)? })
        })?;
        Ok(users.collect::<Result<_, _>>()?)
    }

    /// Creates a user.
    pub fn create_user(
        &self,
        name: &str,
        password: &str,
        role: Role,
        filter: Option<&str>,
        actor: &Actor,
    ) -> Result<User, AccountsError> {
        check_name(name)?;
        password::check(password, name)?;
        let hash = password::hash(password)?;
        self.change(|tx| insert(tx, self.now(), name, &hash, role, filter, actor))
    }

    /// Replaces a user's password and ends all sessions of that user.
    pub fn set_password(&self, name: &str, password: &str, actor: &Actor) -> Result<(), AccountsError> {
        password::check(password, name)?;
        let hash = password::hash(password)?;
        let now = self.now();
        self.change(|tx| {
            let id: Option<i64> =
                tx.query_row("SELECT id FROM user WHERE name = ?1", [name], |row| row.get(0)).optional()?;
            let id = id.ok_or(AccountsError::NotFound("user"))?;
            tx.execute(
                "UPDATE user SET password = ?1, password_at = ?2 WHERE id = ?3",
                params![hash, now.0, id],
            )?;
            tx.execute("DELETE FROM session WHERE user = ?1", [id])?;
            tx.execute("DELETE FROM attempt WHERE name = ?1", [name])?;
            record(tx, now, actor, Note::new("person.password").resource(name))
        })
    }

    /// Checks a password and starts a session.
    ///
    /// The failure is counted *before* the password is looked at and taken back when it was right, so that many
    /// guesses sent at once do not all pass while the count is still low.
    pub fn log_in(&self, name: &str, password: &str, actor: &Actor) -> Result<Login, LoginError> {
        let name = name.trim();
        let now = self.now();
        if name.is_empty() || name.chars().count() > NAME_MAX_CHARS {
            return Err(LoginError::Wrong);
        }
        let attempt = self.change(|tx| count_attempt(tx, name, now))?;
        let failures = match attempt {
            Attempt::Counted(failures) => failures,
            Attempt::Locked(until) => {
                let left = u64::try_from(until.0 - now.0).map(Duration::from_nanos).unwrap_or(LOCKOUT);
                return Err(LoginError::Locked(left.clamp(Duration::from_secs(1), LOCKOUT)));
            }
        };
        let found = {
            let reader = self.reader.lock();
            reader
                .connection()
                .query_row(
                    "SELECT id, name, role, filter, password FROM user WHERE name = ?1",
                    [name],
                    |row| {
                        let user = User {
                            id: row.get(0)?,
                            name: row.get(1)?,
                            role: row.get(2)?,
                            filter: row.get(3)?,
                        };
                        Ok((user, row.get::<_, String>(4)?))
                    },
                )
                .optional()?
        };
        let right = password::verify(password, found.as_ref().map(|(_, stored)| stored.as_str()));
        match found {
            Some((user, _)) if right => Ok(self.change(|tx| {
                tx.execute("DELETE FROM attempt WHERE name = ?1", [name])?;
                let token = sessions::start(tx, &user, now)?;
                record(tx, now, &as_user(&user.name, actor), Note::new("login.success"))?;
                let csrf = sessions::csrf(&token);
                Ok(Login { user, token, csrf })
            })?),
            found => {
                // A name that does not exist may be a password typed into the wrong field: it is not written down.
                let known = found.as_ref().map_or("-", |(user, _)| user.name.as_str());
                self.change(|tx| {
                    let actor = as_user(known, actor);
                    record(tx, now, &actor, Note::new("login.failure").failed().data("failures", failures))?;
                    if failures >= LOCKOUT_FAILURES {
                        let until = plus(now, LOCKOUT).to_string();
                        let note = Note::new("login.lockout").failed().data("until", until);
                        record(tx, now, &actor, note)?;
                    }
                    Ok(())
                })?;
                Err(LoginError::Wrong)
            }
        }
    }
}

/// A log-in attempt that is let through, or not.
enum Attempt {
    /// How many failures there are now if this attempt fails too.
    Counted(i64),
    Locked(Nanos),
}

/// Counts an attempt as failed and locks the name with the last one that is let through; a success takes both back. Attempts
/// against a locked name do not count, so nobody can keep it locked by going on.
fn count_attempt(tx: &Transaction<'_>, name: &str, now: Nanos) -> Result<Attempt, AccountsError> {
    let forget = now.0.saturating_sub(LOCKOUT.as_nanos() as i64);
    tx.execute(
        "DELETE FROM attempt WHERE (locked_until = 0 AND last_at <= ?1) OR (locked_until > 0 AND locked_until <= ?2)",
        [forget, now.0],
    )?;
    let known = tx
        .query_row("SELECT failures, locked_until FROM attempt WHERE name = ?1", [name], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let (failures, locked_until) = known.unwrap_or_default();
    if locked_until > 0 {
        return Ok(Attempt::Locked(Nanos(locked_until)));
    }
    let failures = failures + 1;
    let until = if failures >= LOCKOUT_FAILURES { plus(now, LOCKOUT).0 } else { 0 };
    tx.execute(
        "INSERT OR REPLACE INTO attempt (name, failures, last_at, locked_until) VALUES (?1, ?2, ?3, ?4)",
        params![name, failures, now.0, until],
    )?;
    Ok(Attempt::Counted(failures))
}

fn as_user(name: &str, actor: &Actor) -> Actor {
    Actor { name: name.to_owned(), address: actor.address.clone() }
}

pub(super) fn check_name(name: &str) -> Result<(), AccountsError> {
    let good = |char: char| char.is_alphanumeric() || "._@+-".contains(char);
    let length = name.chars().count();
    if length == 0 || length > NAME_MAX_CHARS || !name.chars().all(good) || name == "-" {
        let rule = format!("1 to {NAME_MAX_CHARS} letters, digits and . _ @ + -");
        return Err(AccountsError::invalid("username", rule));
    }
    Ok(())
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    now: Nanos,
    name: &str,
    hash: &str,
    role: Role,
    filter: Option<&str>,
    actor: &Actor,
) -> Result<User, AccountsError> {
    let taken =
        tx.query_row("SELECT EXISTS (SELECT 1 FROM user WHERE name = ?1)", [name], |row| row.get(0))?;
    if taken {
        return Err(AccountsError::Taken("user"));
    }
    tx.execute(
        "INSERT INTO user (name, role, filter, password, created_at, password_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        params![name, role, filter, hash, now.0],
    )?;
    let mut note = Note::new("person.create").resource(name).data("role", role.name());
    if let Some(filter) = filter {
        note = note.data("filter", filter);
    }
    record(tx, now, actor, note)?;
    Ok(User { id: tx.last_insert_rowid(), name: name.to_owned(), role, filter: filter.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, bench, root};
    use super::*;

    fn with_alice() -> Bench {
        let bench = bench();
        bench.accounts.create_user("alice", "correct horse", Role::Admin, None, &root()).unwrap();
        bench
    }

    fn events(bench: &Bench) -> Vec<String> {
        let pending = bench.accounts.pending(100).unwrap();
        let name = |pending: super::super::Pending| {
            let event: serde_json::Value = serde_json::from_str(&pending.event).unwrap();
            format!("{} {}", event["event_name"].as_str().unwrap(), event["username"].as_str().unwrap())
        };
        pending.into_iter().map(name).collect()
    }

    #[test]
    fn five_failures_lock_for_300_seconds() {
        let bench = with_alice();
        let log_in = |password: &str| bench.accounts.log_in("Alice", password, &root());
        for _ in 0..5 {
            assert!(matches!(log_in("wrong"), Err(LoginError::Wrong)));
        }
        assert!(matches!(log_in("correct horse"), Err(LoginError::Locked(_))));
        bench.clock.advance(LOCKOUT - Duration::from_secs(1));
        let Err(LoginError::Locked(left)) = log_in("correct horse") else { panic!("not locked") };
        assert_eq!(left, Duration::from_secs(1));
        // Hammering on does not prolong it.
        bench.clock.advance(Duration::from_secs(1));
        assert!(log_in("correct horse").is_ok());
        let mut expected = vec!["person.create root"];
        expected.extend(["login.failure alice"; 5]);
        expected.extend(["login.lockout alice", "login.success alice"]);
        assert_eq!(events(&bench), expected);
    }

    #[test]
    fn guesses_sent_at_once_are_counted_one_by_one() {
        let bench = with_alice();
        let tried: usize = std::thread::scope(|scope| {
            let guess = || matches!(bench.accounts.log_in("alice", "wrong", &root()), Err(LoginError::Wrong));
            let guesses: Vec<_> = (0..16).map(|_| scope.spawn(guess)).collect();
            guesses.into_iter().map(|guess| usize::from(guess.join().unwrap())).sum()
        });
        assert_eq!(tried, LOCKOUT_FAILURES as usize);
    }

    #[test]
    fn single_failures_are_forgotten_in_time() {
        let bench = with_alice();
        for _ in 0..12 {
            assert!(matches!(bench.accounts.log_in("alice", "wrong", &root()), Err(LoginError::Wrong)));
            bench.clock.advance(LOCKOUT);
        }
    }

    #[test]
    fn a_success_forgets_the_failures() {
        let bench = with_alice();
        for _ in 0..3 {
            for _ in 0..4 {
                assert!(bench.accounts.log_in("alice", "wrong", &root()).is_err());
            }
            assert!(bench.accounts.log_in("alice", "correct horse", &root()).is_ok());
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_locked_alike_and_never_written_down() {
        let bench = with_alice();
        for attempt in 0..6 {
            let answer = bench.accounts.log_in("hunter2-typed-here", "x", &root());
            assert_eq!(matches!(answer, Err(LoginError::Locked(_))), attempt == 5);
        }
        assert!(events(&bench).iter().all(|event| !event.contains("hunter2")));
    }

    #[test]
    fn names_and_their_rule() {
        let bench = with_alice();
        for (name, good) in [
            ("bob", true),
            ("b", true),
            ("jörg@example.org", true),
            ("ALICE", false),
            ("", false),
            ("-", false),
            ("a b", false),
            ("a\nb", false),
            ("<script>", false),
        ] {
            let made = bench.accounts.create_user(name, "correct horse", Role::Reader, None, &root());
            assert_eq!(made.is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn a_new_password_ends_the_sessions() {
        let bench = with_alice();
        let login = bench.accounts.log_in("alice", "correct horse", &root()).unwrap();
        bench.accounts.set_password("alice", "battery staple", &root()).unwrap();
        assert!(bench.accounts.session(&login.token).unwrap().is_none());
        assert!(bench.accounts.log_in("alice", "correct horse", &root()).is_err());
        assert!(bench.accounts.log_in("alice", "battery staple", &root()).is_ok());
    }
}
