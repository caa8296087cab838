//! The one-time link with which the first user, an administrator, is made.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestry_event::Nanos;
use rusqlite::{OptionalExtension, params};

use super::users::{Role, User, check_name, insert};
use super::{Accounts, AccountsError, Actor, password, plus, secret};

/// The file in the data directory that holds the link while it is valid.
pub const SETUP_FILE: &str = "setup-link";

/// How long a link is valid.
pub const SETUP_LIFE: Duration = Duration::from_secs(15 * 60);

/// A link that makes the first user. It goes to its file and to a terminal, never to a log.
#[derive(Clone, PartialEq, Eq)]
pub struct SetupLink {
    /// What to open in a browser. The token is the fragment, which no browser sends to a server or a proxy's log.
    pub url: String,
    /// Where it was written, readable by the owner only.
    pub file: PathBuf,
    /// Until when it is valid.
    pub expires_at: Nanos,
}

impl std::fmt::Debug for SetupLink {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SetupLink").field("file", &self.file).field("expires_at", &self.expires_at).finish()
    }
}

impl Accounts {
    /// Makes a new link, which replaces an older one, and writes it to [`SETUP_FILE`] in `data_dir`; `None` when there
    /// is a user already. `base_url` is how a browser reaches the server, such as `http://127.0.0.1:7984`.
    pub fn begin_setup(&self, data_dir: &Path, base_url: &str) -> Result<Option<SetupLink>, AccountsError> {
        let token = secret::random()?;
        let expires_at = plus(self.now(), SETUP_LIFE);
        let needed = self.change(|tx| {
            if tx.query_row("SELECT EXISTS (SELECT 1 FROM user)", [], |row| row.get(0))? {
                return Ok(false);
            }
            tx.execute(
                "INSERT OR REPLACE INTO setup (only_row, hash, expires_at) VALUES (1, ?1, ?2)",
                params![secret::hash(&token), expires_at.0],
            )?;
            Ok(true)
        })?;
        let file = data_dir.join(SETUP_FILE);
        if !needed {
            remove(&file)?;
            return Ok(None);
        }
        let url = format!("{}/setup#token={token}", base_url.trim_end_matches('/'));
        write_private(&file, &format!("{url}\n"))?;
        Ok(Some(SetupLink { url, file, expires_at }))
    }

    /// Makes the first user with a link's token, which is void afterwards, and removes the link's file.
    pub fn set_up(
        &self,
        data_dir: &Path,
        token: &str,
        name: &str,
        password: &str,
        actor: &Actor,
    ) -> Result<User, AccountsError> {
        let now = self.now();
        let valid = |expires: Option<i64>| expires.is_some_and(|expires| now.0 < expires);
        const EXPIRES: &str = "SELECT expires_at FROM setup WHERE hash = ?1";
        // Looked at before the password is hashed, so that guessing tokens costs the server nothing; and again within
        // the transaction, so that two requests with one token make one user.
        let expires =
            self.reader.lock().connection().query_row(EXPIRES, [secret::hash(token)], |row| row.get(0));
        if !valid(expires.optional()?) {
            return Err(AccountsError::NotFound("set-up token"));
        }
        check_name(name)?;
        password::check(password, name)?;
        let hash = password::hash(password)?;
        let actor = Actor { name: name.to_owned(), address: actor.address.clone() };
        let user = self.change(|tx| {
            let expires = tx.query_row(EXPIRES, [secret::hash(token)], |row| row.get(0)).optional()?;
            let users: bool = tx.query_row("SELECT EXISTS (SELECT 1 FROM user)", [], |row| row.get(0))?;
            if users || !valid(expires) {
                return Err(AccountsError::NotFound("set-up token"));
            }
            tx.execute("DELETE FROM setup", [])?;
            insert(tx, now, name, &hash, Role::Admin, None, &actor)
        })?;
        // The token is void already: a file that cannot be removed is a nuisance, not a danger.
        if let Err(error) = remove(&data_dir.join(SETUP_FILE)) {
            tracing::warn!(%error, "the used set-up link's file is still there");
        }
        Ok(user)
    }
}

fn remove(file: &Path) -> Result<(), AccountsError> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(AccountsError::Io { path: file.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

/// Writes a new file that only its owner can read; an older one, and the rights somebody gave it, go first.
fn write_private(file: &Path, text: &str) -> Result<(), AccountsError> {
    remove(file)?;
    let io = |source| AccountsError::Io { path: file.display().to_string(), source };
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(io)?;
    new.write_all(text.as_bytes()).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, bench, root};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn begin(bench: &Bench) -> Option<String> {
        let link = bench.accounts.begin_setup(bench.dir.path(), "http://127.0.0.1:7984/").unwrap()?;
        let token = link.url.strip_prefix("http://127.0.0.1:7984/setup#token=").unwrap();
        Some(token.to_owned())
    }

    fn set_up(bench: &Bench, token: &str) -> Result<User, AccountsError> {
        bench.accounts.set_up(bench.dir.path(), token, "alice", "correct horse", &root())
    }

    #[test]
    fn a_link_works_once() {
        let bench = bench();
        let token = begin(&bench).unwrap();
        let file = bench.dir.path().join(SETUP_FILE);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&file).unwrap().ends_with(&format!("#token={token}\n")));
        assert_eq!(set_up(&bench, &token).unwrap().role, Role::Admin);
        assert!(!file.exists());
        assert!(matches!(set_up(&bench, &token), Err(AccountsError::NotFound(_))));
        assert_eq!(begin(&bench), None);
    }

    #[test]
    fn a_bad_password_does_not_use_the_link_up() {
        let bench = bench();
        let token = begin(&bench).unwrap();
        let short = bench.accounts.set_up(bench.dir.path(), &token, "alice", "short", &root());
        assert!(matches!(short, Err(AccountsError::Invalid { field: "password", .. })));
        assert!(set_up(&bench, &token).is_ok());
    }

    #[test]
    fn a_link_ends_after_its_time_or_with_the_next() {
        let bench = bench();
        let first = begin(&bench).unwrap();
        let second = begin(&bench).unwrap();
        assert!(set_up(&bench, &first).is_err());
        bench.clock.advance(SETUP_LIFE);
        assert!(set_up(&bench, &second).is_err());
        assert!(set_up(&bench, &begin(&bench).unwrap()).is_ok());
    }

    #[test]
    fn debug_output_does_not_hold_the_token() {
        let bench = bench();
        let link = bench.accounts.begin_setup(bench.dir.path(), "http://127.0.0.1:7984").unwrap().unwrap();
        assert!(!format!("{link:?}").contains("token"));
    }
}
