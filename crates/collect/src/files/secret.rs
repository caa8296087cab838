//! Which contents may be shown, and how: what is once in the log cannot be taken out of it, so it rather shows too little.

use std::{fs::Metadata, os::unix::fs::MetadataExt, sync::LazyLock};

use regex_lite::Regex;
use similar::TextDiff;

use crate::redact::{self, REDACTED, pattern};

/// Larger files are not shown.
pub(super) const MAX_TEXT_BYTES: usize = 32 * 1024;
/// A longer difference is cut.
const MAX_DIFF_BYTES: usize = 8 * 1024;

/// Words in a path that promise a secret.
const NAMES: [&str; 25] = [
    "shadow",
    "secret",
    "password",
    "token",
    "credential",
    "private",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".netrc",
    ".pgpass",
    ".htpasswd",
    ".my.cnf",
    "wireguard",
    "system-connections",
    "/ssl/private",
    ".kdbx",
    ".p12",
    ".pfx",
    ".jks",
    ".keytab",
    "/.gnupg",
    ".env",
    "vault",
];
const ENDS: [&str; 5] = [".key", "_key", ".pem", ".gpg", ".asc"];

/// What only secrets look like: keys, and hashes of passwords.
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"PRIVATE KEY|:!?\$(?:y|gy|7|2[abxy]|1|5|6|md5|sha1|apr1)\$|\bAKIA[0-9A-Z]{16}\b")
});
/// A word of letters and digits that is too long for a person.
static LONG_WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9+/=_-]{32,}"));

/// The text of a file as it may be kept and shown; none for what is no text or looks like a secret.
pub(super) fn showable(path: &str, meta: &Metadata, bytes: &[u8]) -> Option<String> {
    if meta.mode() & 0o004 == 0 {
        return None;
    }
    let lower = path.to_ascii_lowercase();
    if NAMES.iter().any(|name| lower.contains(name)) || ENDS.iter().any(|end| lower.ends_with(end)) {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    (!SECRET.is_match(text)).then(|| text.lines().map(line).collect())
}

fn line(text: &str) -> String {
    let text = redact::secrets(text);
    let mut shown = LONG_WORD
        .replace_all(&text, |word: &regex_lite::Captures<'_>| {
            let word = &word[0];
            let digits = word.bytes().any(|byte| byte.is_ascii_digit());
            // A path or a rule of dashes is long, too.
            if digits && !word.contains("--") && word.matches('/').count() < 3 {
                REDACTED.to_owned()
            } else {
                word.to_owned()
            }
        })
        .into_owned();
    shown.push('\n');
    shown
}

/// What changed, as `diff -u` shows it; and whether it was cut.
pub(super) fn diff(old: &str, new: &str) -> (String, bool) {
    let mut config = TextDiff::configure();
    config.timeout(std::time::Duration::from_millis(500));
    let mut text = config.diff_lines(old, new).unified_diff().context_radius(2).to_string();
    let cut = text.len() > MAX_DIFF_BYTES;
    if cut {
        let end = text.floor_char_boundary(MAX_DIFF_BYTES);
        text.truncate(text.get(..end).and_then(|kept| kept.rfind('\n')).map_or(end, |line| line + 1));
    }
    (text, cut)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[track_caller]
    fn shown(path: &str, mode: u32, content: &[u8]) -> Option<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        showable(path, &file.as_file().metadata().unwrap(), content)
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("/etc/hosts", 0o644, b"127.0.0.1 a\n").as_deref(), Some("127.0.0.1 a\n"));
        for (path, mode, content) in [
            ("/etc/hosts", 0o640, "127.0.0.1 a\n"),
            ("/etc/shadow", 0o644, "x\n"),
            ("/etc/ssl/server.key", 0o644, "x\n"),
            ("/home/a/.ssh/id_ed25519", 0o644, "x\n"),
            ("/srv/app/Secrets.yaml", 0o644, "x\n"),
            ("/etc/x", 0o644, "-----BEGIN OPENSSH PRIVATE KEY-----\n"),
            ("/etc/x", 0o644, "root:$y$j9T$abc:1:2\n"),
            ("/etc/x", 0o644, "a\0b"),
        ] {
            assert_eq!(shown(path, mode, content.as_bytes()), None, "{path} {content}");
        }
        assert_eq!(shown("/etc/x", 0o644, b"\xff\xfe"), None);
    }

    #[test]
    fn secrets_in_lines_are_taken_out() {
        for (text, expected) in [
            ("password = hunter2", "password = [redacted]\n"),
            ("key 0123456789abcdef0123456789abcdef01", "key [redacted]\n"),
            (
                "see /usr/share/doc/some-package-2/examples/x1",
                "see /usr/share/doc/some-package-2/examples/x1\n",
            ),
            ("# -------------------------------------1", "# -------------------------------------1\n"),
        ] {
            assert_eq!(line(text), expected);
        }
    }

    #[test]
    fn a_difference_is_bounded() {
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\n"), ("@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n".to_owned(), false));
        let long: String = (0..3_000).map(|n| format!("line é {n}\n")).collect();
        let (text, cut) = diff("", &long);
        assert!(cut && text.len() <= MAX_DIFF_BYTES && text.ends_with('\n'), "{}", text.len());
    }
}
