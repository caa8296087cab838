//! Which messages came before: a JSON file in the data directory that is on the disk before anything is done.
//!
//! A message is known by its signature's id, and by its signer, time and text: with an ECDSA or DSA signature anybody can make another one of the
//! same text, with another id.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use attestry_event::hex;
use attestry_openpgp::Opened;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How long a message is remembered, in seconds: longer than anybody lets one be fresh.
const REMEMBERED_S: u64 = 400 * 86_400;

/// How far it was got with a message.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Got {
    /// It was begun, and not finished: Attestry ended in between. It is done again.
    Begun,
    /// It was done, or refused for good.
    Done,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Message {
    id: String,
    digest: String,
    /// When it was signed, in seconds since 1970.
    signed_at: u64,
    got: Got,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Seen {
    path: PathBuf,
    messages: Vec<Message>,
}

/// Tells a message from all others: its signer, time and text.
pub(super) fn digest(opened: &Opened) -> String {
    let mut hash = Sha256::new();
    for part in
        [opened.signature.signer.as_str().as_bytes(), &opened.signature.time.to_be_bytes(), &opened.text]
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(hash.finalize())
}

impl Seen {
    /// # Errors
    /// When the file cannot be read, or is damaged: then nobody knows what came before.
    pub(super) fn open(path: &Path) -> io::Result<Seen> {
        let messages = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Seen { path: path.to_owned(), messages })
    }

    /// How far it was got with a message; none when it is new.
    pub(super) fn got(&self, opened: &Opened) -> Option<Got> {
        let digest = digest(opened);
        let same = |message: &&Message| message.id == opened.signature.id || message.digest == digest;
        // Another message under the same id, or the same under another, is not one to go on with.
        let found = self.messages.iter().find(same)?;
        Some(if found.id == opened.signature.id && found.digest == digest { found.got } else { Got::Done })
    }

    /// Remembers how far it was got, for good: what this returns from is on the disk.
    ///
    /// # Errors
    /// When that fails; then nothing may be done.
    pub(super) fn remember(&mut self, opened: &Opened, got: Got, now_s: u64) -> io::Result<()> {
        let digest = digest(opened);
        let mut messages = self.messages.clone();
        messages.retain(|message| message.digest != digest && message.signed_at + REMEMBERED_S >= now_s);
        let (id, signed_at) = (opened.signature.id.clone(), opened.signature.time);
        messages.push(Message { id, digest, signed_at, got });
        let unfinished = self.path.with_extension("unfinished");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
        file.write_all(&serde_json::to_vec(&messages)?)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.messages = messages;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use attestry_openpgp::{Signature, Trust};

    use super::*;

    fn message(id: &str, text: &str) -> Opened {
        let key: attestry_openpgp::Fingerprint = "5A694BB76B6C08C9AFEBF74ACE693478CF3C742B".parse().unwrap();
        let signature =
            Signature { signer: key.clone(), key, time: 1_000, id: id.to_owned(), trust: Trust::Ultimate };
        Opened { text: text.as_bytes().to_vec(), signature, encrypted: false }
    }

    #[test]
    fn a_message_is_known_by_its_id_and_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.json");
        let mut seen = Seen::open(&path).unwrap();
        assert_eq!(seen.got(&message("a", "x")), None);
        seen.remember(&message("a", "x"), Got::Begun, 1_000).unwrap();
        let mut seen = Seen::open(&path).unwrap();
        assert_eq!(seen.got(&message("a", "x")), Some(Got::Begun));
        // Somebody made another signature of it, or another text for it.
        assert_eq!(seen.got(&message("b", "x")), Some(Got::Done));
        assert_eq!(seen.got(&message("a", "y")), Some(Got::Done));
        assert_eq!(seen.got(&message("b", "y")), None);
        seen.remember(&message("a", "x"), Got::Done, 1_000).unwrap();
        assert_eq!(Seen::open(&path).unwrap().got(&message("a", "x")), Some(Got::Done));
        seen.remember(&message("c", "z"), Got::Done, 2_000 + REMEMBERED_S).unwrap();
        assert_eq!(seen.got(&message("a", "x")), None);
        std::fs::write(&path, "[{").unwrap();
        assert!(Seen::open(&path).is_err());
    }
}
