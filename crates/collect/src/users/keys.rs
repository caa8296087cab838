//! The keys that open an account over SSH (`sshd(8)`, "AUTHORIZED_KEYS FILE FORMAT"), told by their fingerprint.
//!
//! Which files: what `AuthorizedKeysFile` in `sshd_config` says, outside of `Match` and within, else `.ssh/authorized_keys` and
//! `.ssh/authorized_keys2`. Keys that a program gives sshd (`AuthorizedKeysCommand`) and those a certificate stands for are not seen.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::read::{Look, User, under};
use crate::{compared, follow::Gap, mounted::Mounts, redact, regular};

/// A larger file of keys is not read; a key takes 100 to 800 bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// So many keys are compared in all.
const MAX_KEYS: usize = 20_000;

const DEFAULT: [&str; 2] = [".ssh/authorized_keys", ".ssh/authorized_keys2"];

/// A line of a file of keys.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) struct Key {
    pub(super) fingerprint: String,
    pub(super) key_type: String,
    pub(super) comment: String,
    /// What goes before the key: what it may be used for, secrets taken out.
    pub(super) options: String,
    pub(super) file: String,
}

pub(super) fn read(root: &Path, mounts: &Mounts, look: &mut Look) {
    let patterns = patterns(root);
    let users: Vec<(String, User)> =
        look.state.users.iter().map(|(name, user)| (name.clone(), user.clone())).collect();
    let mut left = MAX_KEYS;
    for (name, user) in users {
        let mut found = BTreeSet::new();
        let mut known = true;
        for file in patterns.iter().map(|pattern| expanded(pattern, &name, &user)) {
            match keys_of(root, &file, mounts, look) {
                Ok(keys) => found.extend(keys),
                Err(error) => {
                    known = false;
                    look.unread.push(Gap {
                        file: name.clone(),
                        reason: format!("has keys in {file} that cannot be read: {error}"),
                    });
                }
            }
        }
        if found.len() > left {
            let reason = format!("has keys beyond the {MAX_KEYS} that are compared");
            look.unread.push(Gap { file: name, reason });
        } else if known {
            left -= found.len();
            look.state.keys.insert(name, found);
        }
    }
}

fn keys_of(root: &Path, file: &str, mounts: &Mounts, look: &mut Look) -> io::Result<Vec<Key>> {
    if mounts.remote(Path::new(file)) {
        return Err(io::Error::other("a file system of the network, which is not looked at"));
    }
    let (bytes, meta) = match regular::read(&under(root, file), MAX_FILE_BYTES) {
        Ok(read) => read,
        // NotADirectory: the home is a file such as /dev/null.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            // A file that went away changed its folder.
            if let Some(folder) = Path::new(file).parent()
                && let Ok(meta) = fs::metadata(under(root, &folder.to_string_lossy()))
            {
                look.times.insert(file.to_owned(), compared::changed(&meta, look.now));
            }
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    look.times.insert(file.to_owned(), compared::changed(&meta, look.now));
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|line| key(line, file)).collect())
}

/// Takes a line apart: options, type, key, comment. What holds no key opens nothing.
fn key(line: &str, file: &str) -> Option<Key> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (options, rest) = match typed(line) {
        Some(_) => ("", line),
        None => line.split_at_checked(options_end(line)?)?,
    };
    let (key_type, blob, comment) = typed(rest.trim_start())?;
    let digest = Sha256::digest(&blob);
    Some(Key {
        fingerprint: format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(digest)),
        key_type: key_type.to_owned(),
        comment: redact::secrets(comment).into_owned(),
        options: redact::secrets(options).into_owned(),
        file: file.to_owned(),
    })
}

/// `ssh-ed25519 AAAA… comment`; the blob names its type itself (RFC 4253, 6.6), so nothing else is taken for a key.
fn typed(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    let (key_type, rest) = text.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let (encoded, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let blob = BASE64_STANDARD.decode(encoded).ok()?;
    let length = u32::from_be_bytes(*blob.first_chunk()?) as usize;
    (blob.get(4..4usize.checked_add(length)?)? == key_type.as_bytes()).then_some((
        key_type,
        blob,
        comment.trim(),
    ))
}

/// Where the options end: at the first blank outside of quotes.
fn options_end(line: &str) -> Option<usize> {
    let mut quoted = false;
    let mut before = '\n';
    for (at, letter) in line.char_indices() {
        match letter {
            '"' if before != '\\' => quoted = !quoted,
            ' ' | '\t' if !quoted => return Some(at),
            _ => {}
        }
        before = letter;
    }
    None
}

/// The names of the files, with `%h`, `%u`, `%U` and `%%` in them.
fn patterns(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    if let Ok(listed) = fs::read_dir(under(root, "/etc/ssh/sshd_config.d")) {
        let conf = |path: &PathBuf| path.extension().is_some_and(|end| end == "conf");
        files.extend(listed.flatten().map(|entry| entry.path()).filter(conf));
    }
    files.sort();
    files.push(under(root, "/etc/ssh/sshd_config"));
    let (mut global, mut matched): (Option<Vec<String>>, Vec<String>) = (None, Vec::new());
    for file in files {
        let Ok((bytes, _)) = regular::read(&file, MAX_FILE_BYTES) else { continue };
        let mut within = false;
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            let word = words.next().unwrap_or_default();
            within |= word.eq_ignore_ascii_case("match");
            if word.eq_ignore_ascii_case("authorizedkeysfile") {
                let named = words.map(|name| name.trim_matches('"').to_owned());
                let named = named.filter(|name| !name.eq_ignore_ascii_case("none")).collect();
                if within {
                    matched.extend::<Vec<String>>(named);
                } else {
                    global.get_or_insert(named);
                }
            }
        }
    }
    let mut all = global.unwrap_or_else(|| DEFAULT.map(str::to_owned).to_vec());
    all.extend(matched);
    let mut seen = BTreeSet::new();
    all.retain(|pattern| seen.insert(pattern.clone()));
    all
}

fn expanded(pattern: &str, name: &str, user: &User) -> String {
    let mut path = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => match letters.next() {
                Some('h') => path.push_str(&user.home),
                Some('u') => path.push_str(name),
                Some('U') => path.push_str(&user.uid),
                Some(other) => path.push(other),
                None => {}
            },
            letter => path.push(letter),
        }
    }
    if path.starts_with('/') { path } else { format!("{}/{path}", user.home.trim_end_matches('/')) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `ssh-keygen -t ed25519 -C alice@desk`; the fingerprint is what `ssh-keygen -lf` shows.
    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM+leab1aoVdAeozjfwy8v4stvoeEwRAc9dM3Ui1ezKu alice@desk";
    const FINGERPRINT: &str = "SHA256:VX+o6Zx0geQ2kWWh3omWHPvu+GjOxDGEneWvXhs2mxA";

    #[test]
    fn a_line_is_taken_apart() {
        for (line, options, comment) in [
            (LINE.to_owned(), "", "alice@desk"),
            (format!("  {LINE} of work"), "", "alice@desk of work"),
            (
                format!("restrict,command=\"echo \\\"a b\\\" ssh-ed25519 x\" {LINE}"),
                "restrict,command=\"echo \\\"a b\\\" ssh-ed25519 x\"",
                "alice@desk",
            ),
            (
                format!("environment=\"TOKEN=hunter2\"\t{LINE}"),
                "environment=\"TOKEN=[redacted]\"",
                "alice@desk",
            ),
        ] {
            let key = key(&line, "f").unwrap_or_else(|| panic!("{line}"));
            assert_eq!((key.options.as_str(), key.comment.as_str()), (options, comment), "{line}");
            assert_eq!((key.fingerprint.as_str(), key.key_type.as_str()), (FINGERPRINT, "ssh-ed25519"));
        }
        for line in [
            "",
            "# ssh-ed25519 AAAA x",
            "root:$6$secret:1:2",
            "ssh-rsa AAAA",
            &LINE.replace("ssh-ed25519", "ssh-rsa"),
            "a \"b c",
        ] {
            assert_eq!(key(line, "f"), None, "{line}");
        }
    }

    #[test]
    fn sshd_says_which_files() {
        let folder = tempfile::tempdir().unwrap();
        let user = User { home: "/home/alice".into(), uid: "1000".into(), ..User::default() };
        let files = || -> Vec<String> {
            patterns(folder.path()).iter().map(|pattern| expanded(pattern, "alice", &user)).collect()
        };
        assert_eq!(files(), ["/home/alice/.ssh/authorized_keys", "/home/alice/.ssh/authorized_keys2"]);
        fs::create_dir_all(folder.path().join("etc/ssh/sshd_config.d")).unwrap();
        fs::write(folder.path().join("etc/ssh/sshd_config"), "Port 22\nAuthorizedKeysFile\t%h/k%% \"/etc/keys/%u-%U\"\nMatch User bob\n  authorizedkeysfile=/srv/bob\n").unwrap();
        assert_eq!(files(), ["/home/alice/k%", "/etc/keys/alice-1000", "/srv/bob"]);
        fs::write(folder.path().join("etc/ssh/sshd_config.d/a.conf"), "AuthorizedKeysFile none\n").unwrap();
        assert_eq!(files(), ["/srv/bob"]);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_taken(line in "\\PC{0,80}", base in "[A-Za-z0-9+/=]{0,40}") {
            let _ = (key(&line, "f"), key(&format!("{line} ssh-rsa {base} x"), "f"));
        }
    }
}
