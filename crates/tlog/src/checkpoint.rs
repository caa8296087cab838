//! Checkpoints: a log's size and root at one moment (C2SP `tlog-checkpoint`), signed as a note.

use std::fmt;

use crate::key::{SigningKey, VerifierKey};
use crate::note::{Note, NoteError};
use crate::{EMPTY_ROOT, Hash};

/// The statement "the log `origin` has `size` entries, whose tree has this root".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log speaks; Attestry's logs have their key's name for it.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root of the RFC 6962 tree over them.
    pub root: Hash,
    /// Further lines, none of them empty. Attestry writes none and gives them no meaning.
    pub extensions: Vec<String>,
}

/// Why a checkpoint is not to be believed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text within.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Another log's checkpoint, signed by this log's key.
    #[error("the checkpoint is of the log {found}, not of {expected}")]
    Origin {
        /// The origin it names.
        found: String,
        /// The key's name.
        expected: String,
    },
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Hash) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }

    /// Reads a note's text.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] names what is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let body = text.strip_suffix('\n').ok_or(malformed("it does not end with a newline"))?;
        let mut lines = body.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty());
        let origin = line().ok_or(malformed("no origin"))?;
        let size = line().and_then(decimal).ok_or(malformed("the size is not a plain decimal number"))?;
        let root = line().and_then(Hash::from_base64).ok_or(malformed("the root is not a base64 hash"))?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(malformed("an extension line is empty"));
        }
        if size == 0 && root != EMPTY_ROOT {
            return Err(malformed("an empty tree with a root that is not the empty tree's"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Signs the checkpoint; the result is what is published.
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.to_string();
        Note { signatures: vec![key.sign(&text)], text }.to_string()
    }

    /// Reads a signed checkpoint and checks that `key` signed it, and that it speaks of the log of that key's name.
    ///
    /// # Errors
    /// [`CheckpointError`] says why it is not to be believed.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        note.open(std::slice::from_ref(key))?;
        let checkpoint = Self::parse(&note.text)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin {
                found: checkpoint.origin,
                expected: key.name().to_owned(),
            });
        }
        Ok(checkpoint)
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// ASCII digits without a leading zero, as every number in these formats is written.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP `tlog-checkpoint`.
    const PUBLISHED: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn published_checkpoint() {
        let checkpoint = Checkpoint::parse(PUBLISHED).unwrap();
        assert_eq!(
            (checkpoint.origin.as_str(), checkpoint.size),
            ("example.com/behind-the-sofa", 20_852_163)
        );
        assert_eq!(checkpoint.to_string(), PUBLISHED);
        let extended = format!("{PUBLISHED}one\ntwo words\n");
        let checkpoint = Checkpoint::parse(&extended).unwrap();
        assert_eq!(checkpoint.extensions, ["one", "two words"]);
        assert_eq!(checkpoint.to_string(), extended);
        let theirs = tlog_tiles::Checkpoint::from_bytes(PUBLISHED.as_bytes()).unwrap();
        assert_eq!((theirs.size(), theirs.hash().0), (20_852_163, checkpoint.root.0));
    }

    #[test]
    fn malformed_checkpoints_are_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for text in [
            String::new(),
            "\n".into(),
            "o\n".into(),
            "o\n1\n".into(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            format!("o\n 1\n{root}\n"),
            format!("o\n1.0\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{root}=\n"),
            format!("o\n1\n {root}\n"),
            format!("o\n1\n{}\n", &root[..40]),
            format!("o\n1\n{root}\n\n"),
            format!("o\n1\n{root}\nx\n\ny\n"),
            format!("o\n0\n{root}\n"),
        ] {
            assert!(matches!(Checkpoint::parse(&text), Err(CheckpointError::Malformed(_))), "{text:?}");
        }
        assert!(Checkpoint::parse(&format!("o\n0\n{EMPTY_ROOT}\n")).is_ok());
        assert!(Checkpoint::parse(&format!("o\n18446744073709551615\n{root}\n")).is_ok());
    }

    #[test]
    fn only_the_logs_own_key_and_origin() {
        let key = SigningKey::generate("log.example/a", [1; 32]).unwrap();
        let other = SigningKey::generate("log.example/a", [2; 32]).unwrap();
        let checkpoint = Checkpoint::new("log.example/a", 1, crate::leaf_hash(b"x"));
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::open(&note, &key.verifier()), Ok(checkpoint.clone()));
        assert_eq!(Checkpoint::open(&note, &other.verifier()), Err(NoteError::Unsigned.into()));
        assert_eq!(
            Checkpoint::open(&note.replacen("\n1\n", "\n2\n", 1), &key.verifier()),
            Err(NoteError::BadSignature.into())
        );
        let foreign = Checkpoint { origin: "log.example/b".into(), ..checkpoint }.sign(&key);
        assert!(matches!(Checkpoint::open(&foreign, &key.verifier()), Err(CheckpointError::Origin { .. })));
        // Signed, but no checkpoint.
        let text = "hello\n".to_owned();
        let hello = Note { signatures: vec![key.sign(&text)], text }.to_string();
        assert!(matches!(Checkpoint::open(&hello, &key.verifier()), Err(CheckpointError::Malformed(_))));
    }
}
