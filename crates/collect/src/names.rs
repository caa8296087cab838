//! What is shown of a name that somebody failed to log in with.
//!
//! People type their password where the name belongs. So a name that is no account becomes a keyed hash: the same attempt
//! still looks the same, and the key stays on this host.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, PoisonError},
    time::SystemTime,
};

use regex_lite::{Captures, Regex};
use sha2::{Digest, Sha256};

use crate::redact::{pattern, secrets};

static LOOSE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)((?:invalid|illegal|unknown) user:? |bad username \[|user \(|user unknown: )(.+?)(\)|\]| from | \d{1,3}(?:\.\d{1,3}){3}| [0-9a-f]*:[0-9a-f:]+ port|$)",
    )
});

/// Why the key for failed names could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot read or create the key for failed login names at {}", path.display())]
pub struct KeyError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Decides what is shown of a name that somebody failed to log in with.
pub struct Names {
    key: [u8; 32],
    passwd: PathBuf,
    /// What `passwd` held when it was last changed: a flood of failures must not read it each time.
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    changed: Option<SystemTime>,
    names: HashSet<Vec<u8>>,
}

impl Names {
    /// Names are hashed with `key`; accounts are those of the file `passwd` (`/etc/passwd`). Accounts that only a directory
    /// service knows are hashed too.
    pub fn new(key: [u8; 32], passwd: impl Into<PathBuf>) -> Names {
        Names { key, passwd: passwd.into(), accounts: Mutex::default() }
    }

    /// Reads the key from the 32 bytes of `file`, or makes it (mode 0600). With a new key the same name hashes differently.
    pub fn open(file: &Path, passwd: impl Into<PathBuf>) -> Result<Names, KeyError> {
        let key = read_or_make_key(file).map_err(|source| KeyError { path: file.to_owned(), source })?;
        Ok(Names::new(key, passwd))
    }

    /// The name as it may be shown when only `/etc/passwd` can say whether it is an account.
    pub fn failed(&self, name: &str) -> String {
        if name.is_empty() || self.is_account(name) { or_dash(name) } else { self.hashed(name) }
    }

    /// `redacted:` and 12 hex digits, the same for the same name.
    pub fn hashed(&self, name: &str) -> String {
        if name.is_empty() {
            return or_dash(name);
        }
        let digest = Sha256::new().chain_update(self.key).chain_update(name.as_bytes()).finalize();
        let mut shown = String::from("redacted:");
        for byte in digest.iter().take(6) {
            shown.push_str(&format!("{byte:02x}"));
        }
        shown
    }

    /// [`secrets`], and names after words such as `invalid user` hashed: for lines nobody has taken apart.
    pub fn line(&self, text: &str) -> String {
        let text = secrets(text);
        if !text.contains("user") {
            return text.into_owned();
        }
        let shown = LOOSE_NAME.replace_all(&text, |c: &Captures<'_>| {
            let name = &c[2];
            if name.starts_with("redacted:")
                || c[1].ends_with('(') && name.chars().all(|c| c.is_ascii_digit())
            {
                return c[0].to_owned();
            }
            format!("{}{}{}", &c[1], self.failed(name), &c[3])
        });
        shown.into_owned()
    }

    fn is_account(&self, name: &str) -> bool {
        let changed = fs::metadata(&self.passwd).and_then(|meta| meta.modified()).ok();
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.changed != changed {
            let text = fs::read(&self.passwd).unwrap_or_default();
            let names = text.split(|&b| b == b'\n').filter_map(|line| line.split(|&b| b == b':').next());
            *accounts = Accounts { changed, names: names.map(<[u8]>::to_vec).collect() };
        }
        accounts.names.contains(name.as_bytes())
    }
}

fn or_dash(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { name.to_owned() }
}

fn read_or_make_key(file: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    match fs::File::open(file) {
        Ok(mut open) => {
            open.read_exact(&mut key)?;
            return Ok(key);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    made.write_all(&key)?;
    made.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_without_an_account_are_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let passwd = folder.path().join("passwd");
        fs::write(&passwd, "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\n")
            .unwrap();
        let names = Names::open(&folder.path().join("key"), &passwd).unwrap();
        assert_eq!(names.failed("alice"), "alice");
        assert_eq!(names.failed(""), "-");
        let hashed = names.failed("hunter2");
        assert!(hashed.starts_with("redacted:") && hashed.len() == 21, "{hashed}");
        assert_ne!(names.failed("ali"), "ali", "a part of an account's name is no account");

        let again = Names::open(&folder.path().join("key"), &passwd).unwrap();
        assert_eq!(again.failed("hunter2"), hashed, "the key is kept");
        let other = Names::open(&folder.path().join("other"), &passwd).unwrap();
        assert_ne!(other.failed("hunter2"), hashed);

        let line = names.line("Connection closed by invalid user hunter2 192.0.2.1 port 22 [preauth]");
        assert_eq!(line, format!("Connection closed by invalid user {hashed} 192.0.2.1 port 22 [preauth]"));
        assert_eq!(
            names.line("check pass; user (hunter2) unknown"),
            format!("check pass; user ({hashed}) unknown")
        );
        assert_eq!(names.line("bad username [hunter2]"), format!("bad username [{hashed}]"));
    }

    #[test]
    fn accounts_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let passwd = folder.path().join("passwd");
        let names = Names::new([7; 32], &passwd);
        assert_ne!(names.failed("alice"), "alice", "without the file nobody is an account");
        fs::write(&passwd, "alice:x:1000:1000::/home/alice:/bin/sh\n").unwrap();
        assert_eq!(names.failed("alice"), "alice");
        fs::write(&passwd, "bob:x:1001:1001::/home/bob:/bin/sh\n").unwrap();
        fs::File::options().append(true).open(&passwd).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(names.failed("alice"), "alice");
        assert_eq!(names.failed("bob"), "bob");
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_taken(text in "\\PC{0,200}") {
            let _ = Names::new([7; 32], "/nonexistent").line(&text);
        }
    }
}
