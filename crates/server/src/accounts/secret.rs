//! Random secrets and what is kept of them.

use attestry_event::hex;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};

use super::AccountsError;

/// 256 random bits as 43 characters of base64url.
pub(super) fn random() -> Result<String, AccountsError> {
    Ok(URL_SAFE_NO_PAD.encode(bytes::<32>()?))
}

/// A short random name (48 bits, hex): not a secret, only unlikely to be given twice.
pub(super) fn random_id() -> Result<String, AccountsError> {
    Ok(hex(bytes::<6>()?))
}

fn bytes<const N: usize>() -> Result<[u8; N], AccountsError> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| AccountsError::Io {
        path: "the system's random numbers".to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(bytes)
}

/// SHA-256: enough for a secret of 256 random bits, which nobody can guess however fast the hash is.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The CSRF token of a session: bound to its secret, so it needs no storage, and useless for finding it.
pub(super) fn csrf(token: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"attestry csrf\0");
    hasher.update(token.as_bytes());
    hex(hasher.finalize())
}

/// Whether two texts are equal, in a time that depends on their lengths only.
pub(super) fn equal(left: &str, right: &str) -> bool {
    left.len() == right.len()
        && left.bytes().zip(right.bytes()).fold(0, |differs, (left, right)| differs | (left ^ right)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_fit_a_header() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 43);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }

    #[test]
    fn a_csrf_token_belongs_to_one_session() {
        assert_eq!(csrf("a"), csrf("a"));
        assert_ne!(csrf("a"), csrf("b"));
    }

    #[test]
    fn equality_is_equality() {
        for (left, right, same) in [("", "", true), ("a", "a", true), ("a", "b", false), ("a", "ab", false)] {
            assert_eq!(equal(left, right), same, "{left} {right}");
        }
    }
}
