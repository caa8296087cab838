//! Leaf and node hashes of RFC 6962 section 2.1, with SHA-256.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};

/// A SHA-256 hash. Displays as base64, the way checkpoints and proofs write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x00]);
    hasher.update(entry);
    Hash(hasher.finalize().into())
}

/// SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [0x01; 65];
    input[1..33].copy_from_slice(&left.0);
    input[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(input).into())
}

/// The Merkle tree hash of consecutive leaf hashes (or of nodes of one level, whose count is then in that level's unit).
pub fn subtree_root(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    if level.is_empty() {
        return EMPTY_ROOT;
    }
    // An odd node at the end of a level is carried up unchanged, which is what the recursive definition comes to.
    while level.len() > 1 {
        let pairs = level.len() / 2;
        for i in 0..pairs {
            level[i] = node_hash(&level[2 * i], &level[2 * i + 1]);
        }
        if level.len() % 2 == 1 {
            level[pairs] = level[2 * pairs];
        }
        level.truncate(level.len().div_ceil(2));
    }
    level[0]
}

impl Hash {
    /// Reads exactly 32 bytes of padded standard base64; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Hash> {
        // 44 characters are the only length that decodes to 32 bytes; checked first, so that hostile text is not decoded.
        if text.len() != 44 {
            return None;
        }
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    /// The leaves and roots of the Certificate Transparency reference tests (`merkle_tree_test`).
    #[test]
    fn published_roots() {
        let leaves = naive::published_leaves();
        for (size, root) in naive::PUBLISHED_ROOTS.iter().enumerate() {
            assert_eq!(subtree_root(&leaves[..size]), naive::hex(root), "size {size}");
        }
        assert_eq!(EMPTY_ROOT, Hash(Sha256::digest([]).into()));
    }

    #[test]
    fn base64_is_read_strictly() {
        let hash = leaf_hash(b"x");
        let text = hash.to_string();
        assert_eq!(Hash::from_base64(&text), Some(hash));
        let unpadded = &text[..43];
        let spaced = format!(" {unpadded}");
        // The last character before the padding carries two bits that must be zero.
        let stray_bits = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=";
        for bad in ["", "=", unpadded, &spaced, stray_bits, &"A".repeat(44), &"é".repeat(22)] {
            assert_eq!(Hash::from_base64(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_iterative_root_is_the_recursive_one(size in 0u64..1_200) {
            let leaves = naive::leaves(size);
            prop_assert_eq!(subtree_root(&leaves), naive::root(&leaves));
        }
    }
}
