//! Takes secrets out of text before it leaves a source: what is once in the log cannot be taken out of it.
//!
//! Two rules. [`secrets`] finds values by what stands before them (`--password X`, `TOKEN=X`, `Authorization: Bearer X`,
//! `user:X@host`), by the program (`mysql -pX`), or by their own shape (a JWT), and leaves `[redacted]`. It rather takes too
//! much than too little. [`Names`] deals with names somebody failed to log in with: people type their password where the
//! name belongs, so a name that is no account becomes a keyed hash: the same attempt still looks the same, and the
//! key stays on this host.

use std::{
    borrow::Cow,
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use regex_lite::{Captures, Regex};
use sha2::{Digest, Sha256};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// A word that names a secret, within an option, a variable, a member or a header.
const SECRET_WORD: &str = "password|passwd|passphrase|passcode|passin|passout|_pwd|secret|token|api[_-]?key|\
     access[_-]?key|private[_-]?key|auth[_-]?key|credential|session[_-]?id|cookie|signature";

/// A quoted or a bare value. What follows a quote without an end is taken to the end of the text.
const VALUE: &str = r#"(?:"(?:[^"\\]|\\.)*(?:"|$)|'[^']*(?:'|$)|[^\s&;,"']+)"#;

static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r#"(?i)((?:[a-z0-9_.\[-]*(?:{SECRET_WORD})[a-z0-9_.\]-]*|\bpwd|\bpass)\\?["']?\s*(?:=|:=?)\s*\\?)({VALUE})"#
    ))
});
static OPTION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r#"(?i)((?:^|[\s"'])--?([a-z0-9_.-]*(?:{SECRET_WORD}|\bpass\b|\bpwd\b)[a-z0-9_.-]*)\s+)("[^"]*"?|'[^']*'?|[^\s"'-]\S*)"#
    ))
});
static AUTHORIZATION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(\b(?:proxy-)?authorization\\?["']?\s*[:=]\s*\\?["']?(?:[a-z0-9-]+\s+)??)((?:bearer|basic|token|digest|negotiate|ntlm|apikey|aws4-hmac-sha256)\s+)?([^\s"']+)"#,
    )
});
static SCHEME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(bearer|basic)\s+([A-Za-z0-9+/=._~-]{8,})"));
static URL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"([A-Za-z][A-Za-z0-9+.-]*://)([^\s/:@"']*)(?::([^\s/"']*))?@"#));
static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}",
        r"|\bxox[abeprs]-[A-Za-z0-9-]{10,}|\bsk-[A-Za-z0-9_-]{20,}|\bsk_(?:live|test)_[A-Za-z0-9]{16,}",
        r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    ))
});
static LOOSE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)((?:invalid|illegal|unknown) user:? |bad username \[|user \(|user unknown: )(.+?)(\)|\]| from | \d{1,3}(?:\.\d{1,3}){3}| [0-9a-f]*:[0-9a-f:]+ port|$)",
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns of this file compile: every test of it runs them")
}

/// Programs whose short options carry a secret: the option's letter, and whether the secret stands after a colon or `%`
/// (a name before it may stay).
const SHORT_OPTIONS: &[(&[&str], char, Option<char>)] = &[
    (
        &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlcheck",
            "mysqlshow",
            "mysqlbinlog",
            "mycli",
        ],
        'p',
        None,
    ),
    (
        &["mariadb", "mariadb-dump", "mariadb-admin", "mariadb-import", "mariadb-check", "mariadb-backup"],
        'p',
        None,
    ),
    (
        &[
            "sshpass",
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "docker",
            "podman",
            "useradd",
            "usermod",
        ],
        'p',
        None,
    ),
    (&["7z", "7za", "7zz"], 'p', None),
    (&["zip", "unzip", "sqlcmd", "bcp"], 'P', None),
    (&["redis-cli", "keydb-cli", "valkey-cli"], 'a', None),
    (&["ldapsearch", "ldapadd", "ldapmodify", "ldappasswd", "ldapdelete", "ldapwhoami"], 'w', None),
    (&["rabbitmqadmin"], 'p', None),
    (&["curl", "http", "https"], 'u', Some(':')),
    (&["smbclient", "rpcclient", "net", "smbget"], 'U', Some('%')),
];

/// Programs whose `-p VALUE` is a secret even when it stands apart; with the others a lone `-p` asks for it.
const APART: &[&str] = &[
    "sshpass",
    "mongo",
    "mongosh",
    "mongodump",
    "mongorestore",
    "docker",
    "podman",
    "useradd",
    "usermod",
    "zip",
    "unzip",
    "sqlcmd",
    "bcp",
    "redis-cli",
    "keydb-cli",
    "valkey-cli",
    "ldapsearch",
    "ldapadd",
    "ldapmodify",
    "ldappasswd",
    "ldapdelete",
    "ldapwhoami",
    "rabbitmqadmin",
    "curl",
    "http",
    "https",
    "smbclient",
    "rpcclient",
    "net",
    "smbget",
];

/// `text`, a command line or a log line, without the secrets that can be recognised.
pub fn secrets(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    let lower = text.to_ascii_lowercase();
    // The patterns are slow; most lines hold nothing any of them begins with.
    let holds = |needles: &[&str]| needles.iter().any(|needle| lower.contains(needle));
    if holds(&["eyj", "gh", "glpat-", "xox", "sk-", "sk_", "private key"]) {
        replace(&mut text, &SHAPE, |_| REDACTED.to_owned());
    }
    if holds(&["://"]) {
        replace(&mut text, &URL, |c| match (c.get(2).map_or("", |m| m.as_str()), c.get(3)) {
            (user, Some(_)) => format!("{}{user}:{REDACTED}@", &c[1]),
            // A lone long name before the @ is a token, as in https://<token>@host/repository.
            (user, None) if user.len() > 16 => format!("{}{REDACTED}@", &c[1]),
            _ => c[0].to_owned(),
        });
    }
    if holds(&["authorization"]) {
        replace(&mut text, &AUTHORIZATION, |c| {
            format!("{}{}{REDACTED}", &c[1], c.get(2).map_or("", |m| m.as_str()))
        });
    }
    if holds(&["bearer", "basic"]) {
        replace(&mut text, &SCHEME, |c| format!("{} {REDACTED}", &c[1]));
    }
    if holds(&[
        "pass",
        "pwd",
        "secret",
        "token",
        "key",
        "auth",
        "credential",
        "session",
        "cookie",
        "signature",
    ]) {
        replace(&mut text, &ASSIGNED, |c| format!("{}{}", &c[1], in_quotes(&c[2])));
        replace(&mut text, &OPTION, |c| {
            let option = c[2].to_ascii_lowercase();
            // `--password-file /run/secrets/db` names a place, not a secret.
            if ["file", "path", "dir", "stdin", "prompt", "fd"].iter().any(|end| option.ends_with(end)) {
                return c[0].to_owned();
            }
            format!("{}{}", &c[1], in_quotes(&c[3]))
        });
    }
    match short_options(&text) {
        Some(changed) => Cow::Owned(changed),
        None => text,
    }
}

fn replace(text: &mut Cow<'_, str>, pattern: &Regex, with: impl Fn(&Captures<'_>) -> String) {
    if let Cow::Owned(changed) = pattern.replace_all(text, with) {
        *text = Cow::Owned(changed);
    }
}

fn in_quotes(value: &str) -> String {
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => format!("{quote}{REDACTED}{quote}"),
        _ => REDACTED.to_owned(),
    }
}

fn short_options(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut program = "";
    let mut secret_follows = false;
    let mut changed = false;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end_matches(char::is_whitespace);
        let space = &piece[word.len()..];
        let bare = word.trim_start_matches(['"', '\'', '(', '`', '$']);
        if secret_follows && !word.is_empty() {
            secret_follows = false;
            out.push_str(&keep_before(word, program));
            out.push_str(space);
            changed = true;
            continue;
        }
        if matches!(word, "|" | "||" | "&&" | ";" | "&") || word.ends_with(';') {
            program = "";
        }
        let name = bare.rsplit('/').next().unwrap_or(bare);
        if !bare.starts_with('-') && SHORT_OPTIONS.iter().any(|(programs, ..)| programs.contains(&name)) {
            program = name;
        }
        let letter =
            SHORT_OPTIONS.iter().find(|(programs, ..)| programs.contains(&program)).map(|entry| entry.1);
        match letter.and_then(|letter| bare.strip_prefix('-')?.strip_prefix(letter)) {
            Some("") if APART.contains(&program) => secret_follows = true,
            Some(value) if !value.is_empty() => {
                out.push_str(&word[..word.len() - value.len()]);
                out.push_str(&keep_before(value, program));
                out.push_str(space);
                changed = true;
                continue;
            }
            _ => {}
        }
        out.push_str(piece);
    }
    changed.then_some(out)
}

/// Keeps the name in `name:secret` where the program takes both in one option.
fn keep_before(value: &str, program: &str) -> String {
    let separator =
        SHORT_OPTIONS.iter().find(|(programs, ..)| programs.contains(&program)).and_then(|entry| entry.2);
    match separator {
        Some(separator) => match value.split_once(separator) {
            Some((name, _)) => format!("{name}{separator}{REDACTED}"),
            None => value.to_owned(),
        },
        None => REDACTED.to_owned(),
    }
}

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
}

impl Names {
    /// Names are hashed with `key`; accounts are those of the file `passwd` (`/etc/passwd`). Accounts that only a directory
    /// service knows are hashed too.
    pub fn new(key: [u8; 32], passwd: impl Into<PathBuf>) -> Names {
        Names { key, passwd: passwd.into() }
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
        // Read anew each time: accounts come and go, and failed logins are rare next to what reading costs (10 µs).
        let Ok(accounts) = fs::read(&self.passwd) else { return false };
        accounts.split(|&b| b == b'\n').any(|line| line.split(|&b| b == b':').next() == Some(name.as_bytes()))
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

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(secrets(text), expected, "of {text:?}");
        assert_eq!(secrets(expected), expected, "redacting twice changes nothing");
    }

    #[test]
    fn secrets_go_and_the_rest_stays() {
        for (text, expected) in [
            ("mysqldump -u root -phunter2 shop", "mysqldump -u root -p[redacted] shop"),
            ("/usr/bin/mysql -uroot -p shop", "/usr/bin/mysql -uroot -p shop"),
            ("mysql --password=hunter2 -e 'select 1'", "mysql --password=[redacted] -e 'select 1'"),
            ("mysql --password 'hunter 2' x", "mysql --password '[redacted]' x"),
            ("ssh -p2222 host", "ssh -p2222 host"),
            ("mkdir -p /srv/data", "mkdir -p /srv/data"),
            ("env PGPASSWORD=hunter2 psql -h db", "env PGPASSWORD=[redacted] psql -h db"),
            ("MYSQL_PWD=hunter2 mysql", "MYSQL_PWD=[redacted] mysql"),
            ("export GITHUB_TOKEN=\"a b\"; make", "export GITHUB_TOKEN=\"[redacted]\"; make"),
            ("curl -u alice:hunter2 https://x.example/", "curl -u alice:[redacted] https://x.example/"),
            ("curl -ualice:hunter2 x", "curl -ualice:[redacted] x"),
            ("curl -H 'Authorization: Bearer abc.def' x", "curl -H 'Authorization: Bearer [redacted]' x"),
            ("curl -H Authorization: Basic YWxpY2U6eA== x", "curl -H Authorization: Basic [redacted] x"),
            ("curl -H 'Authorization: s3cr3t' x", "curl -H 'Authorization: [redacted]' x"),
            ("curl -H 'X-Api-Key: abc' x", "curl -H 'X-Api-Key: [redacted]' x"),
            ("curl 'https://x/?token=abc&page=2'", "curl 'https://x/?token=[redacted]&page=2'"),
            ("git clone https://bob:hunter2@git.example/r", "git clone https://bob:[redacted]@git.example/r"),
            (
                "git clone https://0123456789abcdef0123@git.example/r",
                "git clone https://[redacted]@git.example/r",
            ),
            ("git clone ssh://git@git.example/r", "git clone ssh://git@git.example/r"),
            ("psql postgres://u:p%40ss@db/x", "psql postgres://u:[redacted]@db/x"),
            ("sshpass -p hunter2 ssh root@db", "sshpass -p [redacted] ssh root@db"),
            ("docker login -u bob -p hunter2 reg", "docker login -u bob -p [redacted] reg"),
            ("useradd -p $6$abc$def alice", "useradd -p [redacted] alice"),
            ("redis-cli -a hunter2 ping", "redis-cli -a [redacted] ping"),
            ("smbclient -U bob%hunter2 //s/x", "smbclient -U bob%[redacted] //s/x"),
            ("openssl rsa -passin pass:hunter2 -in k", "openssl rsa -passin [redacted] -in k"),
            (r#"curl -d {"password":"hunter2","a":1} x"#, r#"curl -d {"password":"[redacted]","a":1} x"#),
            (r#"curl -d "{\"password\": \"hunter2\"}" x"#, r#"curl -d "{\"password\": \"[redacted]" x"#),
            ("app --api-key=abc --verbose", "app --api-key=[redacted] --verbose"),
            ("app --db-password hunter2 --verbose", "app --db-password [redacted] --verbose"),
            ("app --password --verbose", "app --password --verbose"),
            ("app --password-file /run/secret", "app --password-file /run/secret"),
            ("echo ghp_0123456789abcdefghijklmnopqrstuvwxyz", "echo [redacted]"),
            ("apt-get install -y curl", "apt-get install -y curl"),
            ("PWD=/root ; USER=root", "PWD=[redacted] ; USER=root"),
        ] {
            check(text, expected);
        }
    }

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

    proptest::proptest! {
        #[test]
        fn any_text_is_taken(text in "\\PC{0,200}") {
            let _ = secrets(&text);
            let _ = Names::new([7; 32], "/nonexistent").line(&text);
        }

        #[test]
        fn a_password_never_survives(
            before in "[a-z ]{0,12}",
            option in "(--password=|--password |PASSWORD=|token=|--api-key |mysql -p|password: )",
            secret in "[A-Z0-9]{6,12}",
            after in "( [a-z]{0,8})?",
        ) {
            let text = format!("{before} {option}{secret}{after}");
            proptest::prop_assert!(!secrets(&text).contains(&secret), "{}", secrets(&text));
        }
    }
}
