//! Takes secrets out of text before it leaves a source: what is once in the log cannot be taken out of it.
//!
//! Values are found by what stands before them (`--password X`, `TOKEN=X`, `Authorization: Bearer X`, `user:X@host`), by the
//! program (`mysql -pX`), or by their own shape (a JWT), and become `[redacted]`. It rather takes too much than too little.

use std::{borrow::Cow, sync::LazyLock};

use regex_lite::{Captures, Regex};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// A word that names a secret, within an option, a variable, a member or a header.
const SECRET_WORD: &str = "password|passwd|passphrase|passcode|passin|passout|_pwd|secret|token|api[_-]?key|\
     access[_-]?key|private[_-]?key|auth[_-]?key|credential|session[_-]?id|cookie|signature";

/// One of these is in every text that [`SECRET_WORD`], `pass` or `pwd` is in.
const ASSIGNED_NEEDLES: &[&str] = &[
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "sessionid",
    "session_id",
    "session-id",
    "cookie",
    "signature",
];

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
pub(crate) fn pattern(text: &str) -> Regex {
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
    if holds(ASSIGNED_NEEDLES) {
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

    proptest::proptest! {
        #[test]
        fn any_text_is_taken(text in "\\PC{0,200}") {
            let _ = secrets(&text);
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
