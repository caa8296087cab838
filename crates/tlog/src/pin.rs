//! What a reader keeps elsewhere, to notice later if the log was shortened, replaced or given another key.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{KeyError, VerifierKey};

/// A verifier key and a checkpoint that it signed. As a file: the key, an empty line, the signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The log's key when the pin was taken.
    pub key: VerifierKey,
    /// A signed checkpoint, verbatim.
    pub checkpoint: String,
}

/// Why a file is no pin.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PinError {
    /// Not a key, an empty line and a checkpoint.
    #[error("not a pin: a verifier key, an empty line and a signed checkpoint are expected")]
    Malformed,
    /// The key.
    #[error("the pin's key is not in form")]
    Key(#[source] KeyError),
    /// The checkpoint is not one that the key signed.
    #[error("the pin's checkpoint is not one that its key signed")]
    Checkpoint(#[source] CheckpointError),
}

impl Pin {
    /// The pinned checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError`] when the pin was put together from a key and a checkpoint that do not belong together.
    pub fn open(&self) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&self.checkpoint, &self.key)
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let (key, checkpoint) = text.split_once("\n\n").ok_or(PinError::Malformed)?;
        let pin = Self { key: key.parse().map_err(PinError::Key)?, checkpoint: checkpoint.to_owned() };
        pin.open().map_err(PinError::Checkpoint)?;
        Ok(pin)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{}", self.key, self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::{EMPTY_ROOT, NoteError};

    #[test]
    fn a_pin_is_believed_only_whole() {
        let key = SigningKey::generate("log.example/a", [1; 32]).unwrap();
        let checkpoint = Checkpoint::new("log.example/a", 0, EMPTY_ROOT);
        let pin = Pin { key: key.verifier(), checkpoint: checkpoint.sign(&key) };
        let text = pin.to_string();
        assert_eq!(text.parse(), Ok(pin.clone()));
        assert_eq!(pin.open(), Ok(checkpoint.clone()));

        assert_eq!(key.verifier().to_string().parse::<Pin>(), Err(PinError::Malformed));
        assert!(matches!(pin.checkpoint.parse::<Pin>(), Err(PinError::Key(_))), "a checkpoint alone");
        let other = SigningKey::generate("log.example/a", [2; 32]).unwrap();
        let mixed = Pin { key: other.verifier(), ..pin };
        let unsigned = CheckpointError::Note(NoteError::Unsigned);
        assert_eq!(mixed.to_string().parse::<Pin>(), Err(PinError::Checkpoint(unsigned)));
        assert!(text.trim_end().parse::<Pin>().is_err(), "a cut file");
    }
}
