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
/// `aws configure set aws_secret_access_key X`, `redis-cli config set requirepass X`.
static SETTING: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(\bset\s+(?:[a-z0-9._-]*(?:password|passwd|secret|token|access_key)[a-z0-9._-]*|requirepass|masterauth)\s+)("[^"]*"?|'[^']*'?|\S+)"#,
    )
});
/// `echo X | sudo -S …`, `echo X | passwd --stdin …`
static ECHOED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(\b(?:echo|printf)\s+(?:-\S+\s+)*)([^|<>]*?)(\s*\|\s*(?:\S*/)?(?:sudo\s+-s|passwd\s+--stdin))",
    )
});
/// `bob:X`, as chpasswd reads it.
static NAME_AND_PASSWORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"((?:^|[\s"'])[a-z_][a-z0-9_.-]*:)[^\s:/"'|][^\s"'|]*"#));
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

/// Programs with a short option that carries a secret.
struct Program {
    names: &'static [&'static str],
    letter: char,
    /// `-p VALUE` is a secret as `-pVALUE` is; with the others a lone `-p` asks for it.
    apart: bool,
    /// In `name:secret` the name may stay.
    keep_before: Option<char>,
    /// The option means this only together with that word.
    only_with: Option<&'static str>,
}

impl Program {
    const fn new(names: &'static [&'static str], letter: char, apart: bool) -> Program {
        Program { names, letter, apart, keep_before: None, only_with: None }
    }
}

const MYSQL: &[&str] = &[
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mysqlimport",
    "mysqlcheck",
    "mysqlshow",
    "mysqlbinlog",
    "mycli",
    "mariadb",
    "mariadb-dump",
    "mariadb-admin",
    "mariadb-import",
    "mariadb-check",
    "mariadb-backup",
];

const PROGRAMS: &[Program] = &[
    Program::new(MYSQL, 'p', false),
    Program::new(&["7z", "7za", "7zz"], 'p', false),
    Program::new(&["sshpass", "useradd", "usermod", "rabbitmqadmin"], 'p', true),
    Program::new(&["mongo", "mongosh", "mongodump", "mongorestore"], 'p', true),
    // With any other command -p publishes a port.
    Program {
        only_with: Some("login"),
        ..Program::new(&["docker", "podman", "buildah", "skopeo", "az"], 'p', true)
    },
    Program::new(&["zip", "unzip", "sqlcmd", "bcp"], 'P', true),
    Program::new(&["redis-cli", "keydb-cli", "valkey-cli"], 'a', true),
    Program::new(
        &["ldapsearch", "ldapadd", "ldapmodify", "ldappasswd", "ldapdelete", "ldapwhoami"],
        'w',
        true,
    ),
    Program { keep_before: Some(':'), ..Program::new(&["curl"], 'u', true) },
    Program { keep_before: Some(':'), ..Program::new(&["http", "https"], 'a', true) },
    Program {
        keep_before: Some('%'),
        ..Program::new(&["smbclient", "rpcclient", "net", "smbget"], 'U', true)
    },
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
        replace(&mut text, &ASSIGNED, |c| match &c[2] {
            // PAM's name for the act, in `pam_unix(passwd:chauthtok)`.
            value if value.starts_with("chauthtok)") => c[0].to_owned(),
            value => format!("{}{}", &c[1], in_quotes(value)),
        });
        replace(&mut text, &SETTING, |c| format!("{}{}", &c[1], in_quotes(&c[2])));
        replace(&mut text, &OPTION, |c| {
            let option = c[2].to_ascii_lowercase();
            // `--password-file /run/secrets/db` names a place, not a secret.
            if ["file", "path", "dir", "stdin", "prompt", "fd"].iter().any(|end| option.ends_with(end)) {
                return c[0].to_owned();
            }
            format!("{}{}", &c[1], in_quotes(&c[3]))
        });
    }
    if holds(&["chpasswd", "sudo -s", "--stdin"]) {
        replace(&mut text, &ECHOED, |c| format!("{}{REDACTED}{}", &c[1], &c[3]));
        replace(&mut text, &NAME_AND_PASSWORD, |c| format!("{}{REDACTED}", &c[1]));
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
    let mut program: Option<&Program> = None;
    let mut secret_follows = false;
    let mut changed = false;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end_matches(char::is_whitespace);
        let bare = word.trim_start_matches(['"', '\'', '(', '`', '$']);
        let name = bare.rsplit('/').next().unwrap_or(bare);
        let mut secret = "";
        if secret_follows && !word.is_empty() {
            secret_follows = false;
            secret = word;
        } else if matches!(word, "|" | "||" | "&&" | ";" | "&") {
            program = None;
        } else if let Some(found) = PROGRAMS.iter().find(|program| program.names.contains(&name)) {
            program = Some(found).filter(|program| program.only_with.is_none_or(|with| text.contains(with)));
        } else if let Some(program) = program
            && let Some(value) = bare.strip_prefix('-').and_then(|option| option.strip_prefix(program.letter))
        {
            secret_follows = value.is_empty() && program.apart;
            secret = value;
        } else if program.is_some_and(|program| program.keep_before == Some(':'))
            && let Some(value) =
                ["--user", "--proxy-user", "--auth"].iter().find_map(|long| bare.strip_prefix(long))
        {
            secret_follows = value.is_empty();
            secret = value.strip_prefix('=').unwrap_or_default();
        }
        out.push_str(&word[..word.len() - secret.len()]);
        if !secret.is_empty() {
            let shown = match program.and_then(|program| program.keep_before) {
                // Without the separator the secret is asked for.
                Some(separator) => {
                    secret.split_once(separator).map(|(name, _)| format!("{name}{separator}{REDACTED}"))
                }
                None => Some(REDACTED.to_owned()),
            };
            changed |= shown.is_some();
            out.push_str(shown.as_deref().unwrap_or(secret));
        }
        out.push_str(&piece[word.len()..]);
    }
    changed.then_some(out)
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
            ("docker run -p 8080:80 -d nginx", "docker run -p 8080:80 -d nginx"),
            ("curl --user alice:hunter2 x", "curl --user alice:[redacted] x"),
            ("curl --user=alice:hunter2 x", "curl --user=alice:[redacted] x"),
            ("curl -u alice x", "curl -u alice x"),
            ("echo hunter2 | sudo -S id", "echo [redacted] | sudo -S id"),
            (
                "bash -c \"echo 'hun ter2' | passwd --stdin bob\"",
                "bash -c \"echo [redacted] | passwd --stdin bob\"",
            ),
            ("sh -c echo bob:hunter2 | chpasswd", "sh -c echo bob:[redacted] | chpasswd"),
            (
                "aws configure set aws_secret_access_key hunter2",
                "aws configure set aws_secret_access_key [redacted]",
            ),
            ("redis-cli config set requirepass hunter2", "redis-cli config set requirepass [redacted]"),
            ("pam_unix(passwd:chauthtok): new password", "pam_unix(passwd:chauthtok): new password"),
            ("wget --http-password=hunter2 x", "wget --http-password=[redacted] x"),
            ("git clone https://bob:p@ss@git.example/r", "git clone https://bob:[redacted]@git.example/r"),
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
