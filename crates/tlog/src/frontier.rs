//! The right edge of a growing tree: as many hashes as its size has bits set, enough to append and to give the root.

use crate::{EMPTY_ROOT, Hash, Nodes, node_hash};

/// The roots of the complete subtrees that a tree of `size` leaves consists of, from the left, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of the tree's first `size` leaves, from at most 64 of its nodes.
    ///
    /// # Errors
    /// Whatever `nodes` fails with.
    pub fn from_nodes<N: Nodes>(size: u64, nodes: &N) -> Result<Self, N::Error> {
        Ok(Self { size, peaks: peaks(0, size, nodes)? })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_node(0, leaf);
    }

    /// Appends a complete subtree of 2^`level` leaves, given by its root.
    ///
    /// # Panics
    /// When the size is not a multiple of 2^`level`: such a subtree is no node of this tree.
    pub fn push_node(&mut self, level: u8, node: Hash) {
        let width = 1_u64 << level;
        assert!(self.size.is_multiple_of(width), "no node of level {level} begins at leaf {}", self.size);
        let mut root = node;
        let mut carry = self.size >> level;
        while carry & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                root = node_hash(&left, &root);
            }
            carry >>= 1;
        }
        self.peaks.push(root);
        self.size += width;
    }

    /// The root of the tree as it is now.
    pub fn root(&self) -> Hash {
        fold(&self.peaks)
    }
}

/// The roots of the complete subtrees that make up the `count` leaves from `first` on, which must be a multiple of the
/// smallest power of two that is not below `count`.
pub(crate) fn peaks<N: Nodes>(first: u64, count: u64, nodes: &N) -> Result<Vec<Hash>, N::Error> {
    let mut peaks = Vec::with_capacity(count.count_ones() as usize);
    let mut at = first;
    for level in (0..64_u8).rev() {
        if count >> level & 1 == 1 {
            peaks.push(nodes.node(level, at >> level)?);
            at += 1 << level;
        }
    }
    Ok(peaks)
}

/// The root over subtrees as [`peaks`] gives them: the smaller ones, at the right, are joined first.
pub(crate) fn fold(peaks: &[Hash]) -> Hash {
    let mut from_right = peaks.iter().rev();
    let Some(&last) = from_right.next() else { return EMPTY_ROOT };
    from_right.fold(last, |right, left| node_hash(left, &right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    #[test]
    fn grows_as_the_published_tree() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), EMPTY_ROOT);
        for (leaf, root) in naive::published_leaves().into_iter().zip(&naive::PUBLISHED_ROOTS[1..]) {
            frontier.push(leaf);
            assert_eq!(frontier.root(), naive::hex(root));
        }
    }

    #[test]
    #[should_panic(expected = "no node of level 8 begins at leaf 255")]
    fn a_subtree_in_the_wrong_place_is_a_bug() {
        let mut frontier = Frontier::new();
        naive::leaves(255).into_iter().for_each(|leaf| frontier.push(leaf));
        frontier.push_node(8, EMPTY_ROOT);
    }

    proptest! {
        #[test]
        fn root_at_every_size(size in 0_u64..600) {
            let leaves = naive::leaves(size);
            let mut frontier = Frontier::new();
            leaves.iter().for_each(|leaf| frontier.push(*leaf));
            prop_assert_eq!(frontier.root(), naive::root(&leaves));
            prop_assert_eq!(&Frontier::from_nodes(size, &naive::Leaves(leaves)).unwrap(), &frontier);
        }

        /// Subtrees of any level may stand for their leaves wherever the tree has such a node.
        #[test]
        fn subtrees_stand_for_their_leaves(steps in prop::collection::vec(0_u8..6, 1..40)) {
            let leaves = naive::leaves(40 * 32);
            let (mut by_leaf, mut by_node) = (Frontier::new(), Frontier::new());
            for level in steps {
                let begin = by_leaf.size() as usize;
                let level = level.min(begin.trailing_zeros() as u8);
                let part = &leaves[begin..begin + (1 << level)];
                part.iter().for_each(|leaf| by_leaf.push(*leaf));
                by_node.push_node(level, naive::root(part));
                prop_assert_eq!(&by_node, &by_leaf);
            }
        }
    }
}
