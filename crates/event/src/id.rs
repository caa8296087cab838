//! Identities: event ids, their hash, and the hash of a large value.

use sha2::{Digest, Sha256};

/// The longest `event_id` in characters.
pub const ID_CHARS_MAX: usize = 64;

/// Whether `text` is an `event_id`: `[A-Za-z0-9._:-]{1,64}`.
pub fn is_id(text: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-'))
}

/// A hash of an `event_id`, the same in every version: files hold it. Not cryptographic: who looks something up by it
/// compares the id itself.
pub fn id_hash(id: &[u8]) -> u64 {
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const SECOND: u64 = 0xd6e8_feb8_6659_fd93;
    let fold = |left: u64, right: u64| {
        let product = u128::from(left) * u128::from(right);
        product as u64 ^ (product >> 64) as u64
    };
    let mut hash = fold(id.len() as u64 ^ FIRST, SECOND);
    for chunk in id.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = fold(hash ^ u64::from_le_bytes(word) ^ FIRST, SECOND | 1);
    }
    fold(hash ^ SECOND, FIRST)
}

/// The hash by which an entry refers to a large value: SHA-256(salt ‖ value).
pub fn value_hash(salt: &[u8; 16], value: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(value);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_have_a_small_alphabet() {
        for (text, good) in [
            ("a", true),
            ("0190f8a0-7b1c-7def-8000-0123456789ab", true),
            ("A.b_c:d-9", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("ä", false),
            ("a\"", false),
        ] {
            assert_eq!(is_id(text), good, "{text}");
        }
        assert!(is_id(&"x".repeat(64)));
        assert!(!is_id(&"x".repeat(65)));
    }

    #[test]
    fn hashes_differ_and_stay() {
        let ids: Vec<String> = (0..200_000).map(|number| format!("event-{number}")).collect();
        let hashes: HashSet<u64> = ids.iter().map(|id| id_hash(id.as_bytes())).collect();
        assert_eq!(hashes.len(), ids.len());
        let low: HashSet<u32> = hashes.iter().map(|hash| *hash as u32).collect();
        assert!(low.len() > ids.len() - 30, "{}", low.len());
        assert_ne!(id_hash(b"a"), id_hash(b"a\0"));
    }

    #[test]
    fn the_salt_comes_first() {
        let expected: [u8; 32] = Sha256::digest(b"0123456789abcdefvalue").into();
        assert_eq!(value_hash(b"0123456789abcdef", b"value"), expected);
    }
}
