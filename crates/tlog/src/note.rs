//! Notes: text with signatures below it (C2SP `signed-note`).
//!
//! The text ends with a newline; an empty line follows, then lines `— <key name> <base64(key id ‖ signature)>`. The last
//! empty line is the one that separates. Signatures by keys the reader does not know are passed over, which is what lets
//! witnesses add theirs; one by a known key that does not hold makes the whole note worthless.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::key::{VerifierKey, is_name};

/// A note longer than this is refused. Sixteen post-quantum signatures of 5 kB, the most the specification speaks of,
/// take 107 kB in base64.
pub const MAX_NOTE_BYTES: usize = 1 << 20;

/// More signatures than this are refused; the specification asks for 16 at least.
pub const MAX_SIGNATURES: usize = 100;

/// Why a note is not to be believed.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// Not the format of a note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A signature claims to be by a known key and is not.
    #[error(
        "the signature by the expected key does not hold: the text was altered, or another key signed it"
    )]
    BadSignature,
    /// None of the signatures is by a known key.
    #[error("no signature by the expected key")]
    Unsigned,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key that signed.
    pub name: String,
    /// The short id of the key.
    pub key_id: u32,
    /// What follows the key id: 64 bytes for Ed25519, 72 for a cosignature, unknown for others.
    pub signature: Vec<u8>,
}

/// A note taken apart, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed, with its final newline.
    pub text: String,
    /// One or more signatures, in order.
    pub signatures: Vec<Signature>,
}

/// A signature that held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The key that signed.
    pub key: &'a VerifierKey,
    /// For a witness's cosignature, when it signed: seconds since 1970-01-01 UTC.
    pub time: Option<u64>,
}

impl Note {
    /// Takes a note apart without checking a signature.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] names what is wrong with the format.
    pub fn parse(note: &str) -> Result<Note, NoteError> {
        let malformed = |what| Err(NoteError::Malformed(what));
        if note.len() > MAX_NOTE_BYTES {
            return malformed("it is longer than 1 MiB");
        }
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return malformed("it holds a control character");
        }
        let Some(end) = note.rfind("\n\n") else { return malformed("no empty line before the signatures") };
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        let Some(lines) = signatures.strip_suffix('\n') else {
            return malformed("it does not end with a signature line and a newline");
        };
        let signatures = lines
            .split('\n')
            .map(|line| Signature::parse(line).ok_or(NoteError::Malformed("a signature line is not in form")))
            .take(MAX_SIGNATURES + 1)
            .collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return malformed("it has more than 100 signatures");
        }
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// Checks the signatures of those keys that are known, and returns what held, each key once.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when a known key's signature does not hold, [`NoteError::Unsigned`] when there is none.
    pub fn open<'a>(&self, keys: &'a [VerifierKey]) -> Result<Vec<Verified<'a>>, NoteError> {
        let mut verified: Vec<Verified<'a>> = Vec::new();
        for line in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.name() == line.name && key.id() == line.key_id) else {
                continue;
            };
            let time = key.verify(&self.text, &line.signature).map_err(|_| NoteError::BadSignature)?;
            if !verified.iter().any(|seen| seen.key == key) {
                verified.push(Verified { key, time });
            }
        }
        if verified.is_empty() { Err(NoteError::Unsigned) } else { Ok(verified) }
    }
}

/// The whole note, as [`Note::parse`] reads it.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    /// Reads a line `— <key name> <base64>`, without its newline.
    pub fn parse(line: &str) -> Option<Signature> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        if !is_name(name) {
            return None;
        }
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        let (key_id, signature) = bytes.split_first_chunk()?;
        if signature.is_empty() {
            return None;
        }
        Some(Signature {
            name: name.to_owned(),
            key_id: u32::from_be_bytes(*key_id),
            signature: signature.to_vec(),
        })
    }
}

/// The signature's line, without a newline.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes()[..], &self.signature].concat();
        write!(f, "— {} {}", self.name, BASE64_STANDARD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::SigningKey;

    /// From the documentation of Go's `golang.org/x/mod/sumdb/note`.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PUBLISHED: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const ENOCH: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

    fn keys() -> Vec<VerifierKey> {
        vec![KEY.parse().unwrap()]
    }

    #[test]
    fn published_note() {
        let note = Note::parse(PUBLISHED).unwrap();
        let verified =
            note.open(&keys()).map(|held| (held.len(), held[0].key.name().to_owned(), held[0].time));
        assert_eq!(verified, Ok((1, "PeterNeumann".into(), None)));
        assert_eq!(note.to_string(), PUBLISHED);

        let more = format!("{PUBLISHED}{ENOCH}");
        let note = Note::parse(&more).unwrap();
        assert_eq!(note.signatures.len(), 2);
        assert_eq!(note.open(&keys()).map(|held| held.len()), Ok(1), "an unknown signature is passed over");
        assert_eq!(note.to_string(), more);
    }

    #[test]
    fn every_byte_of_text_and_signature_counts() {
        let note = Note::parse(PUBLISHED).unwrap();
        for position in 0..note.text.len() - 1 {
            let mut text = note.text.clone().into_bytes();
            text[position] = if text[position] == b'x' { b'y' } else { b'x' };
            let changed = Note { text: String::from_utf8(text).unwrap(), ..note.clone() };
            assert_eq!(changed.open(&keys()), Err(NoteError::BadSignature), "byte {position} of the text");
        }
        for position in 0..64 {
            let mut changed = note.clone();
            changed.signatures[0].signature[position] ^= 0x80;
            assert_eq!(
                changed.open(&keys()),
                Err(NoteError::BadSignature),
                "byte {position} of the signature"
            );
        }
        // A bad signature by a known key is not outweighed by a good one.
        let mut both = note.clone();
        both.signatures.push(both.signatures[0].clone());
        both.signatures[1].signature[0] ^= 1;
        assert_eq!(both.open(&keys()), Err(NoteError::BadSignature));
    }

    #[test]
    fn other_keys_do_not_count() {
        let note = Note::parse(PUBLISHED).unwrap();
        assert_eq!(note.open(&[]), Err(NoteError::Unsigned));
        let same_name = SigningKey::generate("PeterNeumann", [1; 32]).unwrap().verifier();
        assert_eq!(note.open(&[same_name]), Err(NoteError::Unsigned));
        let mut other_name = note.clone();
        other_name.signatures[0].name = "Peter".into();
        assert_eq!(other_name.open(&keys()), Err(NoteError::Unsigned));
    }

    #[test]
    fn malformed_notes_are_refused() {
        let line = PUBLISHED.lines().last().unwrap();
        for (what, note) in [
            ("empty", String::new()),
            ("text only", "text\n".into()),
            ("no signature", "text\n\n".into()),
            ("text not ended", format!("text\n{line}\n")),
            ("no final newline", format!("text\n\n{line}")),
            ("an empty line after", format!("text\n\n{line}\n\n")),
            ("text after", format!("text\n\n{line}\nmore\n")),
            ("hyphen for dash", format!("text\n\n{}\n", line.replace('—', "-"))),
            ("no name", format!("text\n\n{}\n", line.replace("PeterNeumann ", ""))),
            ("empty name", format!("text\n\n{}\n", line.replace("PeterNeumann", ""))),
            ("plus in name", format!("text\n\n{}\n", line.replace("PeterN", "Peter+N"))),
            ("two spaces", format!("text\n\n{}\n", line.replace("Neumann ", "Neumann  "))),
            ("space at the end", format!("text\n\n{line} \n")),
            ("carriage return", format!("text\r\n\n{line}\n")),
            ("tab in the text", format!("te\txt\n\n{line}\n")),
            ("key id only", "text\n\n— PeterNeumann x08gow==\n".into()),
            ("not base64", "text\n\n— PeterNeumann x08go/ZJ*uBS\n".into()),
            ("base64 not padded", format!("text\n\n{}\n", line.trim_end_matches('='))),
            ("too many", format!("text\n\n{}", format!("{line}\n").repeat(MAX_SIGNATURES + 1))),
            ("too long", format!("{}\n\n{line}\n", "x".repeat(MAX_NOTE_BYTES))),
        ] {
            assert!(matches!(Note::parse(&note), Err(NoteError::Malformed(_))), "{what}");
        }
        // Neither of these is malformed: the text may hold empty lines, and be signed many times.
        assert!(Note::parse(&format!("te\n\nxt\n\n{line}\n")).is_ok());
        assert!(Note::parse(&format!("text\n\n{}", format!("{line}\n").repeat(MAX_SIGNATURES))).is_ok());
    }

    /// The second line of the example in C2SP `tlog-cosignature`.
    #[test]
    fn published_cosignature_line() {
        let line = "— witness.example.com/w1 \
            jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==";
        let signature = Signature::parse(line).unwrap();
        assert_eq!((signature.name.as_str(), signature.key_id), ("witness.example.com/w1", 0x8d66_cf3f));
        let (time, rest) = signature.signature.split_first_chunk().unwrap();
        assert_eq!((u64::from_be_bytes(*time), rest.len()), (1_679_315_147, 64));
        assert_eq!(signature.to_string(), line);
    }

    #[test]
    fn agrees_with_another_implementation() {
        let theirs = signed_note::Note::from_bytes(PUBLISHED.as_bytes()).unwrap();
        assert_eq!(theirs.text(), Note::parse(PUBLISHED).unwrap().text.as_bytes());
        let key = SigningKey::generate("example.com/log", [3; 32]).unwrap();
        let text = "a\n\nb\n".to_owned();
        let ours = Note { signatures: vec![key.sign(&text)], text }.to_string();
        let their_key = signed_note::StandardVerifier::new(&key.verifier().to_string()).unwrap();
        let verifiers = signed_note::VerifierList::new(vec![Box::new(their_key)]);
        let (held, _) = signed_note::Note::from_bytes(ours.as_bytes()).unwrap().verify(&verifiers).unwrap();
        assert_eq!(held.len(), 1);
    }

    proptest! {
        /// What is accepted is written back unchanged, so no two texts mean the same note.
        #[test]
        fn one_text_one_note(text in "[a—\n ]{0,30}", position in 0..PUBLISHED.len(), insert in "[ \n—+=A\u{e9}]{0,3}") {
            if let Ok(note) = Note::parse(&text) {
                prop_assert_eq!(note.to_string(), text);
            }
            if PUBLISHED.is_char_boundary(position) {
                let changed = format!("{}{insert}{}", &PUBLISHED[..position], &PUBLISHED[position..]);
                if let Ok(note) = Note::parse(&changed) {
                    prop_assert_eq!(note.to_string(), changed.clone());
                    prop_assert!(insert.is_empty() || note.open(&keys()).is_err(), "{}", changed);
                }
            }
        }
    }
}
