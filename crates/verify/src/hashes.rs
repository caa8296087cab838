//! What is known of one ledger's tree: for each tile of 256 entries its root as computed from the entries and as it was
//! stored, and single leaves where a signed size ends within a tile.

use std::collections::{BTreeMap, BTreeSet};

use attestry_tlog::{Frontier, Hash, subtree_root};

/// Entries in a tile.
pub(crate) const TILE: u64 = 256;

/// The level of a tile's root.
const LEVEL: u8 = 8;

/// When stored and computed nodes differ in no more tiles than this, every choice between them is tried.
const MAX_TRIED: usize = 8;

/// One full tile.
#[derive(Clone, Debug, Default)]
pub(crate) struct TileHashes {
    /// The root over the entries as they are; absent when one of them cannot be read.
    pub(crate) computed: Option<Hash>,
    /// The root as it was stored.
    pub(crate) stored: Option<Hash>,
    /// The positions in the tile whose stored leaf (or beginning of one) is not that of the entry.
    pub(crate) suspects: Vec<u8>,
}

/// Everything known of the tree's hashes.
#[derive(Debug, Default)]
pub(crate) struct Hashes {
    tiles: BTreeMap<u64, TileHashes>,
    leaves: BTreeMap<u64, BTreeMap<u64, Hash>>,
    cuts: BTreeSet<u64>,
    /// Levels and roots of the subtrees that stand for the first tiles, where a pruned log serves nothing finer.
    before: Vec<(u8, Hash)>,
    before_tiles: u64,
}

impl Hashes {
    /// Single leaves will be kept of the tiles in which these tree sizes end.
    pub(crate) fn new(sizes: impl Iterator<Item = u64>) -> Self {
        Self { cuts: sizes.map(|size| size / TILE).collect(), ..Self::default() }
    }

    /// Lets these subtrees stand for the tiles from the beginning up to `tiles`.
    pub(crate) fn stand_for(&mut self, before: Vec<(u8, Hash)>, tiles: u64) {
        (self.before, self.before_tiles) = (before, tiles);
    }

    /// Whether single leaves of this tile are asked for.
    pub(crate) fn is_cut(&self, tile: u64) -> bool {
        self.cuts.contains(&tile)
    }

    pub(crate) fn set_tile(&mut self, tile: u64, hashes: TileHashes) {
        self.tiles.insert(tile, hashes);
    }

    pub(crate) fn tile(&self, tile: u64) -> Option<&TileHashes> {
        self.tiles.get(&tile)
    }

    pub(crate) fn tile_mut(&mut self, tile: u64) -> &mut TileHashes {
        self.tiles.entry(tile).or_default()
    }

    pub(crate) fn set_leaf(&mut self, index: u64, leaf: Hash) {
        self.leaves.entry(index / TILE).or_default().insert(index, leaf);
    }

    pub(crate) fn leaf(&self, index: u64) -> Option<Hash> {
        self.leaves.get(&(index / TILE))?.get(&index).copied()
    }

    /// Makes tiles of single leaves wherever all of a tile's are there.
    pub(crate) fn complete_tiles(&mut self) {
        for (tile, leaves) in &self.leaves {
            if leaves.len() as u64 == TILE {
                let all: Vec<Hash> = leaves.values().copied().collect();
                self.tiles.entry(*tile).or_default().computed.get_or_insert_with(|| subtree_root(&all));
            }
        }
    }

    /// Chooses for each tile below `size` the computed or the stored root so that together they make `root`; `None` when no choice does.
    /// The nodes of the choice are then authentic: nobody can make others that lead to the same root.
    pub(crate) fn choose(&self, size: u64, root: Hash) -> Option<Vec<(u64, Hash)>> {
        let tiles: Vec<(u64, Hash, Hash)> = (self.before_tiles..size / TILE)
            .map(|tile| {
                let TileHashes { computed, stored, .. } = self.tiles.get(&tile)?;
                Some((tile, computed.or(*stored)?, stored.or(*computed)?))
            })
            .collect::<Option<_>>()?;
        let computed: Vec<(u64, Hash)> = tiles.iter().map(|(tile, computed, _)| (*tile, *computed)).collect();
        let stored: Vec<(u64, Hash)> = tiles.iter().map(|(tile, _, stored)| (*tile, *stored)).collect();
        let leads = |nodes: &[(u64, Hash)]| self.root_of(nodes, size) == Some(root);
        if leads(&computed) {
            return Some(computed);
        }
        if leads(&stored) {
            return Some(stored);
        }
        let differing: Vec<usize> = (0..tiles.len()).filter(|nth| computed[*nth] != stored[*nth]).collect();
        if differing.len() > MAX_TRIED {
            return None;
        }
        (1..1_u32 << differing.len()).find_map(|bits| {
            let mut nodes = computed.clone();
            for (bit, nth) in differing.iter().enumerate() {
                if bits >> bit & 1 == 1 {
                    nodes[*nth] = stored[*nth];
                }
            }
            leads(&nodes).then_some(nodes)
        })
    }

    /// The root over full tiles and the single leaves behind them.
    fn root_of(&self, nodes: &[(u64, Hash)], size: u64) -> Option<Hash> {
        if size < self.before_tiles * TILE {
            return None;
        }
        let mut frontier = Frontier::new();
        self.before.iter().for_each(|(level, node)| frontier.push_node(*level, *node));
        nodes.iter().for_each(|(_, node)| frontier.push_node(LEVEL, *node));
        for index in frontier.size()..size {
            frontier.push(self.leaf(index)?);
        }
        Some(frontier.root())
    }
}

#[cfg(test)]
mod tests {
    use attestry_tlog::leaf_hash;

    use super::*;

    /// A tree of 700: two full tiles and a part of a third.
    fn sample() -> (Hashes, Hash) {
        let leaves: Vec<Hash> = (0..700_u64).map(|i| leaf_hash(&i.to_le_bytes())).collect();
        let mut hashes = Hashes::new([700].into_iter());
        for tile in 0..2 {
            let root = subtree_root(&leaves[tile * 256..tile * 256 + 256]);
            hashes.set_tile(
                tile as u64,
                TileHashes { computed: Some(root), stored: Some(root), suspects: Vec::new() },
            );
        }
        (512..700).for_each(|index| hashes.set_leaf(index, leaves[index as usize]));
        (hashes, subtree_root(&leaves))
    }

    #[test]
    fn finds_the_authentic_nodes() {
        let (mut hashes, root) = sample();
        let right = hashes.choose(700, root).unwrap();
        let wrong = leaf_hash(b"wrong");
        // Each of these has one right node for each tile, in another place.
        hashes.tile_mut(0).computed = Some(wrong);
        assert_eq!(hashes.choose(700, root), Some(right.clone()));
        hashes.tile_mut(1).stored = Some(wrong);
        assert_eq!(hashes.choose(700, root), Some(right.clone()));
        hashes.tile_mut(0).computed = None;
        assert_eq!(hashes.choose(700, root), Some(right));
        hashes.tile_mut(0).stored = Some(wrong);
        assert_eq!(hashes.choose(700, root), None);
    }

    #[test]
    fn a_missing_leaf_leads_nowhere() {
        let (mut hashes, root) = sample();
        hashes.leaves.get_mut(&2).unwrap().remove(&600);
        assert_eq!(hashes.choose(700, root), None);
        assert!(hashes.choose(512, root).is_none());
    }
}
