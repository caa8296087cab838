//! The ledger's Merkle tree as far as it is held in memory: the nodes of level 8 and 16 and the leaves of the open tile.
//!
//! 32 bytes for 256 entries: 1.25 MB for ten million, 125 MB for a thousand million.

use attestry_tlog::{Frontier, Hash, subtree_root};

/// Leaves in a tile, and nodes of level 8 below a node of level 16.
pub(crate) const TILE: usize = 256;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    level8: Vec<Hash>,
    level16: Vec<Hash>,
    /// The complete subtrees of the full tiles, from which every root is made.
    tiles: Frontier,
    open: Vec<Hash>,
}

impl Tree {
    pub(crate) fn size(&self) -> u64 {
        self.level8.len() as u64 * TILE as u64 + self.open.len() as u64
    }

    /// Adds a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.open.push(leaf);
        if self.open.len() == TILE {
            let node = subtree_root(&self.open);
            self.open.clear();
            self.push_tile(node);
        }
    }

    /// Adds a whole tile by its node (8, i). Only at a tile's border.
    pub(crate) fn push_tile(&mut self, node: Hash) {
        debug_assert!(self.open.is_empty());
        self.level8.push(node);
        self.tiles.push_node(8, node);
        if self.level8.len().is_multiple_of(TILE) {
            self.level16.push(subtree_root(&self.level8[self.level8.len() - TILE..]));
        }
    }

    pub(crate) fn root(&self) -> Hash {
        let mut frontier = self.tiles.clone();
        for leaf in &self.open {
            frontier.push(*leaf);
        }
        frontier.root()
    }

    /// Node (level, index) for a level of 8 or more; none when it is not complete.
    pub(crate) fn node(&self, level: u8, index: u64) -> Option<Hash> {
        let (nodes, of) = if level >= 16 { (&self.level16, 16) } else { (&self.level8, 8) };
        let width = 1_usize.checked_shl(u32::from(level.checked_sub(of)?))?;
        let start = usize::try_from(index).ok()?.checked_mul(width)?;
        nodes.get(start..start.checked_add(width)?).map(subtree_root)
    }

    /// The leaf with this index while its tile is open.
    pub(crate) fn open_leaf(&self, index: u64) -> Option<Hash> {
        let nth = usize::try_from(index.checked_sub(self.level8.len() as u64 * TILE as u64)?).ok()?;
        self.open.get(nth).copied()
    }
}

#[cfg(test)]
mod tests {
    use attestry_tlog::leaf_hash;

    use super::*;

    #[test]
    fn roots_and_nodes_are_those_of_all_leaves() {
        let leaves: Vec<Hash> = (0..70_000_u32).map(|n| leaf_hash(&n.to_le_bytes())).collect();
        let mut tree = Tree::default();
        for (n, leaf) in leaves.iter().enumerate() {
            if matches!(n, 0 | 1 | 255 | 256 | 257 | 65_535 | 65_536 | 66_000) {
                assert_eq!(
                    (tree.size(), tree.root()),
                    (n as u64, subtree_root(&leaves[..n])),
                    "of {n} leaves"
                );
            }
            tree.push(*leaf);
        }
        assert_eq!(tree.node(8, 3), Some(subtree_root(&leaves[768..1024])));
        assert_eq!(tree.node(11, 2), Some(subtree_root(&leaves[4096..6144])));
        assert_eq!(tree.node(16, 0), Some(subtree_root(&leaves[..65_536])));
        assert_eq!((tree.node(16, 1), tree.node(17, 0), tree.node(8, 273)), (None, None, None));
        assert_eq!(tree.open_leaf(69_999), Some(leaves[69_999]));
        assert_eq!((tree.open_leaf(70_000), tree.open_leaf(0)), (None, None));
    }
}
