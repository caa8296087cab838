use proptest::prelude::*;
use tlog_tiles::{HashReader, check_record, check_tree, prove_record, prove_tree, stored_hashes, tree_hash};

use super::*;
use crate::naive;

/// Sibling hashes that the published proofs are made of.
const A: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const B: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const C: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const D: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const E: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const F: &str = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7";
const G: &str = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
const H: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const I: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

/// The inclusion proofs of the Certificate Transparency reference tests, their leaves counted from 0.
#[test]
fn published_inclusion_proofs() {
    let tree = naive::Leaves(naive::published_leaves());
    for (index, size, proof) in
        [(0, 1, &[] as &[&str]), (0, 8, &[A, B, C]), (5, 8, &[D, E, F]), (2, 3, &[G]), (1, 5, &[H, B, D])]
    {
        let proof: Vec<Hash> = proof.iter().map(|hash| naive::hex(hash)).collect();
        assert_eq!(inclusion_proof(index, size, &tree), Ok(proof.clone()), "leaf {index} of {size}");
        let root = naive::hex(naive::PUBLISHED_ROOTS[size as usize]);
        assert_eq!(verify_inclusion(tree.0[index as usize], index, size, &proof, root), Ok(()));
    }
}

/// The consistency proofs of the same tests.
#[test]
fn published_consistency_proofs() {
    let tree = naive::Leaves(naive::published_leaves());
    for (old, new, proof) in [(1, 1, &[] as &[&str]), (1, 8, &[A, B, C]), (6, 8, &[I, E, F]), (2, 5, &[B, D])]
    {
        let proof: Vec<Hash> = proof.iter().map(|hash| naive::hex(hash)).collect();
        assert_eq!(consistency_proof(old, new, &tree), Ok(proof.clone()), "{old} to {new}");
        let [old_root, new_root] = [old, new].map(|size| naive::hex(naive::PUBLISHED_ROOTS[size as usize]));
        assert_eq!(verify_consistency(old, old_root, new, new_root, &proof), Ok(()));
    }
}

/// Every index and size of small trees, where all shapes of the right edge occur: equal to the recursive definition,
/// verified, and refused as soon as any single thing in it is changed.
#[test]
fn small_trees_exhaustively() {
    let leaves = naive::leaves(36);
    let tree = naive::Leaves(leaves.clone());
    for size in 0..=36_u64 {
        let part = &leaves[..size as usize];
        let new_root = root(size, &tree).unwrap();
        assert_eq!(new_root, naive::root(part));
        for index in 0..size {
            let proof = inclusion_proof(index, size, &tree).unwrap();
            assert_eq!(proof, naive::path(index as usize, part));
            let check = |leaf: u64, index: u64, size: u64, proof: &[Hash], root: Hash| {
                verify_inclusion(leaves[leaf as usize], index, size, proof, root)
            };
            assert_eq!(check(index, index, size, &proof, new_root), Ok(()));
            refuse_changes(&proof, |proof| check(index, index, size, proof, new_root).is_ok());
            assert_ne!(check((index + 1) % 36, index, size, &proof, new_root), Ok(()));
            assert_ne!(check(index, index, size, &proof, naive::root(&leaves[1..])), Ok(()));
            for other in (0..size).filter(|other| *other != index) {
                assert_ne!(check(index, other, size, &proof, new_root), Ok(()));
            }
        }
        for old in 0..=size {
            let proof = consistency_proof(old, size, &tree).unwrap();
            let old_root = naive::root(&leaves[..old as usize]);
            if 0 < old && old < size {
                assert_eq!(proof, naive::proof(old as usize, part));
            }
            assert_eq!(verify_consistency(old, old_root, size, new_root, &proof), Ok(()), "{old} {size}");
            refuse_changes(&proof, |proof| verify_consistency(old, old_root, size, new_root, proof).is_ok());
            let elsewhere = naive::root(&leaves[1..]);
            assert_ne!(verify_consistency(old, elsewhere, size, new_root, &proof), Ok(()), "{old} {size}");
            if old != 0 {
                assert_ne!(
                    verify_consistency(old, old_root, size, elsewhere, &proof),
                    Ok(()),
                    "{old} {size}"
                );
            }
        }
    }
}

/// Every hash of the proof with one bit flipped, each left out, one doubled, and one added at the end.
fn refuse_changes(proof: &[Hash], accepts: impl Fn(&[Hash]) -> bool) {
    for position in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[position].0[position % 32] ^= 1;
        assert!(!accepts(&changed), "bit flipped in hash {position}");
        let mut shorter = proof.to_vec();
        shorter.remove(position);
        assert!(!accepts(&shorter), "hash {position} left out");
        let mut longer = proof.to_vec();
        longer.insert(position, proof[position]);
        assert!(!accepts(&longer), "hash {position} doubled");
    }
    let mut longer = proof.to_vec();
    longer.push(EMPTY_ROOT);
    assert!(!accepts(&longer), "hash added");
}

#[test]
fn outside_the_tree() {
    let tree = naive::Leaves(naive::leaves(8));
    assert_eq!(inclusion_proof(8, 8, &tree), Err(ProofError::OutOfRange { asked: 8, size: 8 }));
    assert_eq!(inclusion_proof(0, 0, &tree), Err(ProofError::OutOfRange { asked: 0, size: 0 }));
    assert_eq!(consistency_proof(9, 8, &tree), Err(ProofError::OutOfRange { asked: 9, size: 8 }));
    assert_eq!(verify_inclusion(EMPTY_ROOT, 0, 0, &[], EMPTY_ROOT), Err(InvalidProof::OutOfRange));
    assert_eq!(
        verify_inclusion(EMPTY_ROOT, u64::MAX, u64::MAX, &[], EMPTY_ROOT),
        Err(InvalidProof::OutOfRange)
    );
    assert_eq!(verify_consistency(9, EMPTY_ROOT, 8, EMPTY_ROOT, &[]), Err(InvalidProof::OutOfRange));
    // Hostile numbers end, and end in refusal.
    let many = vec![EMPTY_ROOT; 200];
    assert_eq!(
        verify_inclusion(EMPTY_ROOT, 1 << 63, u64::MAX, &many, EMPTY_ROOT),
        Err(InvalidProof::WrongLength)
    );
    assert_eq!(
        verify_consistency((1 << 63) + 1, EMPTY_ROOT, u64::MAX, EMPTY_ROOT, &many),
        Err(InvalidProof::WrongLength)
    );
}

/// The other implementation's store of hashes, in its own order.
struct Stored(Vec<tlog_tiles::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|i| self.0[*i as usize]).collect())
    }
}

fn stored(size: u64) -> Stored {
    let mut stored = Stored(Vec::new());
    for i in 0..size {
        let more = stored_hashes(i, &i.to_le_bytes(), &stored).unwrap();
        stored.0.extend(more);
    }
    stored
}

fn theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect()
}

fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// `tlog_tiles` makes the same proofs, and accepts ours.
    #[test]
    fn agrees_with_another_implementation(size in 1_u64..700, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let oracle = stored(size);
        let tree = naive::Leaves(naive::leaves(size));
        let their_root = tree_hash(size, &oracle).unwrap();
        let our_root = root(size, &tree).unwrap();
        prop_assert_eq!(our_root.0, their_root.0);

        let index = a.index(size as usize) as u64;
        let included = inclusion_proof(index, size, &tree).unwrap();
        prop_assert_eq!(&included, &ours(&prove_record(size, index, &oracle).unwrap()));
        let leaf = tree.0[index as usize];
        check_record(&theirs(&included), size, their_root, index, tlog_tiles::Hash(leaf.0)).unwrap();
        prop_assert_eq!(verify_inclusion(leaf, index, size, &included, our_root), Ok(()));

        let old = 1 + b.index(size as usize) as u64;
        let consistent = consistency_proof(old, size, &tree).unwrap();
        prop_assert_eq!(&consistent, &ours(&prove_tree(size, old, &oracle).unwrap()));
        let old_root = tree_hash(old, &oracle).unwrap();
        check_tree(&theirs(&consistent), size, their_root, old, old_root).unwrap();
        prop_assert_eq!(verify_consistency(old, Hash(old_root.0), size, our_root, &consistent), Ok(()));
    }
}
