//! Roots, inclusion and consistency proofs, made from nodes as RFC 6962 section 2.1 defines them and verified by the
//! algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use crate::frontier::{fold, peaks};
use crate::{EMPTY_ROOT, Hash, node_hash};

/// A tree's complete subtrees, wherever they are kept.
///
/// `node(level, index)` is the root over the leaves `index·2^level … (index+1)·2^level − 1`. It is only ever asked for
/// subtrees that lie wholly within the size given to the function that asks.
pub trait Nodes {
    /// Why a node could not be had.
    type Error;

    /// The root of one complete subtree; level 0 are the leaf hashes.
    ///
    /// # Errors
    /// When the node cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError<E> {
    /// What was asked for does not lie in the tree.
    #[error("{asked} is not within a tree of {size} entries")]
    OutOfRange {
        /// The index or older size.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
    /// A node could not be read.
    #[error("a node of the tree could not be read")]
    Nodes(#[source] E),
}

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidProof {
    /// The index is not below the size, or the older size above the newer.
    #[error("the proof speaks of an entry or a size that the tree does not have")]
    OutOfRange,
    /// The number of hashes does not fit the index and sizes.
    #[error("the proof has too many or too few hashes")]
    WrongLength,
    /// The hashes lead elsewhere.
    #[error("the proof does not lead to the tree's root")]
    WrongRoot,
}

/// The root over the first `size` leaves.
///
/// # Errors
/// Whatever `nodes` fails with.
pub fn root<N: Nodes>(size: u64, nodes: &N) -> Result<Hash, N::Error> {
    Ok(fold(&peaks(0, size, nodes)?))
}

/// The proof that the leaf at `index` is in the tree of `size` leaves: PATH(index, D[size]), the leaf's sibling first.
///
/// # Errors
/// [`ProofError::OutOfRange`] unless `index < size`; [`ProofError::Nodes`] when a node cannot be read.
pub fn inclusion_proof<N: Nodes>(
    index: u64,
    size: u64,
    nodes: &N,
) -> Result<Vec<Hash>, ProofError<N::Error>> {
    if index >= size {
        return Err(ProofError::OutOfRange { asked: index, size });
    }
    let mut hashes = Vec::new();
    let (mut first, mut count) = (0, size);
    while count > 1 {
        let left = split(count);
        if index - first < left {
            hashes.push(subtree(first + left, count - left, nodes)?);
            count = left;
        } else {
            hashes.push(subtree(first, left, nodes)?);
            first += left;
            count -= left;
        }
    }
    hashes.reverse();
    Ok(hashes)
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves: PROOF(old, D[new]); empty when either
/// is all there is to show (`old` is 0 or equal to `new`).
///
/// # Errors
/// [`ProofError::OutOfRange`] unless `old <= new`; [`ProofError::Nodes`] when a node cannot be read.
pub fn consistency_proof<N: Nodes>(old: u64, new: u64, nodes: &N) -> Result<Vec<Hash>, ProofError<N::Error>> {
    if old > new {
        return Err(ProofError::OutOfRange { asked: old, size: new });
    }
    let mut hashes = Vec::new();
    if old == 0 || old == new {
        return Ok(hashes);
    }
    let (mut first, mut count) = (0, new);
    while old - first != count {
        let left = split(count);
        if old - first <= left {
            hashes.push(subtree(first + left, count - left, nodes)?);
            count = left;
        } else {
            hashes.push(subtree(first, left, nodes)?);
            first += left;
            count -= left;
        }
    }
    // The old tree's last complete subtree; when it is the whole old tree, the verifier has it as the old root.
    if first != 0 {
        hashes.push(subtree(first, count, nodes)?);
    }
    hashes.reverse();
    Ok(hashes)
}

fn subtree<N: Nodes>(first: u64, count: u64, nodes: &N) -> Result<Hash, ProofError<N::Error>> {
    Ok(fold(&peaks(first, count, nodes).map_err(ProofError::Nodes)?))
}

/// The largest power of two smaller than `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Checks that `leaf` is the leaf hash at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// [`InvalidProof`] says in which way the proof fails.
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), InvalidProof> {
    if index >= size {
        return Err(InvalidProof::OutOfRange);
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in proof {
        if last == 0 {
            return Err(InvalidProof::WrongLength);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // A node at the right edge without a sibling rises until it is some node's right child.
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(InvalidProof::WrongLength);
    }
    if hash == root { Ok(()) } else { Err(InvalidProof::WrongRoot) }
}

/// Checks that the tree of `new` leaves with `new_root` begins with the tree of `old` leaves with `old_root`.
///
/// # Errors
/// [`InvalidProof`] says in which way the proof fails.
pub fn verify_consistency(
    old: u64,
    old_root: Hash,
    new: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), InvalidProof> {
    if old > new {
        return Err(InvalidProof::OutOfRange);
    }
    if old == 0 || old == new {
        if !proof.is_empty() {
            return Err(InvalidProof::WrongLength);
        }
        let expected = if old == 0 { EMPTY_ROOT } else { new_root };
        return if old_root == expected { Ok(()) } else { Err(InvalidProof::WrongRoot) };
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (seed, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        let (seed, rest) = proof.split_first().ok_or(InvalidProof::WrongLength)?;
        (*seed, rest)
    };
    let (mut from_old, mut from_new) = (seed, seed);
    for hash in rest {
        if last == 0 {
            return Err(InvalidProof::WrongLength);
        }
        if at & 1 == 1 || at == last {
            from_old = node_hash(hash, &from_old);
            from_new = node_hash(hash, &from_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, hash);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(InvalidProof::WrongLength);
    }
    if from_old == old_root && from_new == new_root { Ok(()) } else { Err(InvalidProof::WrongRoot) }
}

#[cfg(test)]
mod tests;
