//! A proof that can be checked offline: C2SP `tlog-proof@v1`, kept in files named `*.tlog-proof`.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>         may be absent; not authenticated, and without meaning to Attestry
//! index <decimal>
//! <base64 hash>          one line for each hash of the inclusion proof, the leaf's sibling first
//!
//! <signed checkpoint>
//! ```

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::checkpoint::{Checkpoint, CheckpointError, decimal};
use crate::key::VerifierKey;
use crate::proof::{InvalidProof, verify_inclusion};
use crate::{Hash, leaf_hash};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A tree of 2^64 leaves has no longer inclusion proof.
const MAX_HASHES: usize = 64;

/// That an entry stands at an index of the tree that a checkpoint signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// The entry's index, counted from 0.
    pub index: u64,
    /// The inclusion proof of RFC 6962, the leaf's sibling first.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
    /// Opaque data beside the proof. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
}

/// Why a proof shows nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TlogProofError {
    /// Not the format.
    #[error("not a tlog-proof@v1: {0}")]
    Malformed(&'static str),
    /// The checkpoint is not to be believed.
    #[error("the proof's checkpoint is not to be believed")]
    Checkpoint(#[source] CheckpointError),
    /// The entry is not what the checkpoint's tree holds at this index.
    #[error("the entry is not the one that the log has at this index")]
    Inclusion(#[source] InvalidProof),
}

impl TlogProof {
    /// Checks that `entry`, byte for byte, is what the log of this key has at the proof's index.
    ///
    /// # Errors
    /// [`TlogProofError`] says why this is not shown.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key).map_err(TlogProofError::Checkpoint)?;
        verify_inclusion(leaf_hash(entry), self.index, checkpoint.size, &self.hashes, checkpoint.root)
            .map_err(TlogProofError::Inclusion)?;
        Ok(checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;

    fn from_str(text: &str) -> Result<Self, TlogProofError> {
        let malformed = TlogProofError::Malformed;
        let mut rest = text;
        let mut line = || {
            let (line, after) = rest.split_once('\n')?;
            rest = after;
            Some(line)
        };
        if line() != Some(HEADER) {
            return Err(malformed("the first line is another"));
        }
        let mut next = line().ok_or(malformed("it ends early"))?;
        let mut extra = None;
        if let Some(encoded) = next.strip_prefix("extra ") {
            let decoded =
                BASE64_STANDARD.decode(encoded).map_err(|_| malformed("the extra data is not base64"))?;
            extra = Some(decoded);
            next = line().ok_or(malformed("it ends early"))?;
        }
        let index = next.strip_prefix("index ").and_then(decimal).ok_or(malformed("no index line"))?;
        let mut hashes = Vec::new();
        loop {
            match line().ok_or(malformed("it ends early"))? {
                "" => break,
                _ if hashes.len() == MAX_HASHES => return Err(malformed("more than 64 hashes")),
                hash => {
                    hashes.push(Hash::from_base64(hash).ok_or(malformed("a hash is not base64 of 32 bytes"))?)
                }
            }
        }
        Ok(Self { index, hashes, checkpoint: rest.to_owned(), extra })
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::naive;
    use crate::proof::{inclusion_proof, root};

    fn sample(index: u64, size: u64) -> (TlogProof, SigningKey) {
        let key = SigningKey::generate("log.example/a", [1; 32]).unwrap();
        let tree = naive::Leaves(naive::leaves(size));
        let checkpoint = Checkpoint::new("log.example/a", size, root(size, &tree).unwrap()).sign(&key);
        let hashes = inclusion_proof(index, size, &tree).unwrap();
        (TlogProof { index, hashes, checkpoint, extra: None }, key)
    }

    fn entry(index: u64) -> Vec<u8> {
        index.to_le_bytes().to_vec()
    }

    #[test]
    fn written_read_and_verified() {
        for (index, size) in [(0, 1), (0, 2), (4, 5), (70, 1_000), (999, 1_000)] {
            for extra in [None, Some(Vec::new()), Some(b"beside".to_vec())] {
                let (mut proof, key) = sample(index, size);
                proof.extra = extra;
                let read: TlogProof = proof.to_string().parse().unwrap();
                assert_eq!(read, proof);
                assert_eq!(read.verify(&entry(index), &key.verifier()).map(|c| c.size), Ok(size));
            }
        }
    }

    #[test]
    fn every_hash_the_index_the_entry_and_the_key_count() {
        let (proof, key) = sample(70, 1_000);
        let verify = |proof: &TlogProof, entry: &[u8]| proof.verify(entry, &key.verifier());
        for position in 0..proof.hashes.len() {
            let mut changed = proof.clone();
            changed.hashes[position].0[31] ^= 1;
            assert_eq!(verify(&changed, &entry(70)), Err(TlogProofError::Inclusion(InvalidProof::WrongRoot)));
            changed.hashes.remove(position);
            assert_eq!(
                verify(&changed, &entry(70)),
                Err(TlogProofError::Inclusion(InvalidProof::WrongLength))
            );
        }
        let elsewhere = TlogProof { index: 71, ..proof.clone() };
        assert_eq!(verify(&elsewhere, &entry(70)), Err(TlogProofError::Inclusion(InvalidProof::WrongRoot)));
        let beyond = TlogProof { index: 1_000, ..proof.clone() };
        assert_eq!(verify(&beyond, &entry(70)), Err(TlogProofError::Inclusion(InvalidProof::OutOfRange)));
        assert_eq!(verify(&proof, &entry(71)), Err(TlogProofError::Inclusion(InvalidProof::WrongRoot)));
        let other = SigningKey::generate("log.example/a", [2; 32]).unwrap();
        assert!(matches!(proof.verify(&entry(70), &other.verifier()), Err(TlogProofError::Checkpoint(_))));
    }

    #[test]
    fn malformed_proofs_are_refused() {
        let good = sample(4, 5).0.to_string();
        let hash = good.lines().nth(2).unwrap();
        for (what, text) in [
            ("empty", String::new()),
            ("another version", good.replace("@v1", "@v2")),
            ("no index", good.replace("index 4\n", "")),
            ("leading zero", good.replace("index 4", "index 04")),
            ("sign", good.replace("index 4", "index +4")),
            ("two spaces", good.replace("index 4", "index  4")),
            ("index before extra", good.replace("index 4", "index 4\nextra AA==")),
            ("extra twice", good.replace("index", "extra AA==\nextra AA==\nindex")),
            ("extra not base64", good.replace("index", "extra A\nindex")),
            ("short hash", good.replace(hash, &hash[4..])),
            ("carriage returns", good.replace('\n', "\r\n")),
            ("no empty line", good.replace("\n\n", "\n")),
            ("too many hashes", good.replace(hash, &vec![hash; 65].join("\n"))),
            ("cut", good[..60].into()),
        ] {
            assert!(matches!(text.parse::<TlogProof>(), Err(TlogProofError::Malformed(_))), "{what}: {text}");
        }
        assert!(good.replace(hash, &vec![hash; 64].join("\n")).parse::<TlogProof>().is_ok());
    }
}
