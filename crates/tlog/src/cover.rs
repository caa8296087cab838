//! Proving many entries at once: the nodes beside them.

/// The nodes (level, index) that, with the leaves at `indexes`, make up the whole tree of `size` leaves, from the left.
///
/// Each stretch between the leaves is given by the fewest complete subtrees. Whoever has the leaves puts all of it together in order and
/// gets the root; one inclusion proof a leaf would repeat most of the hashes. `indexes` must rise and lie below `size`; those
/// that do not are ignored.
pub fn nodes_beside(indexes: impl IntoIterator<Item = u64>, size: u64) -> Vec<(u8, u64)> {
    let mut nodes = Vec::new();
    let mut next = 0;
    for index in indexes.into_iter().filter(|index| *index < size) {
        if index >= next {
            fill(next, index, &mut nodes);
            next = index + 1;
        }
    }
    fill(next, size, &mut nodes);
    nodes
}

/// The complete subtrees of `start..end`, the largest that fit, from the left.
fn fill(mut start: u64, end: u64, nodes: &mut Vec<(u8, u64)>) {
    while start < end {
        let aligned = if start == 0 { u64::BITS - 1 } else { start.trailing_zeros() };
        let level = aligned.min((end - start).ilog2());
        nodes.push((level as u8, start >> level));
        start += 1 << level;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frontier, Hash, leaf_hash, subtree_root};

    #[test]
    fn leaves_and_nodes_make_the_root() {
        let leaves: Vec<Hash> = (0..300_u32).map(|n| leaf_hash(&n.to_le_bytes())).collect();
        for size in [0, 1, 2, 7, 8, 255, 256, 257, 300] {
            for step in [1, 2, 3, 64, 299, 1_000] {
                let indexes: Vec<u64> = (0..size).skip(step / 2).step_by(step).collect();
                let nodes = nodes_beside(indexes.iter().copied(), size);
                let mut parts: Vec<(u64, u8, Hash)> = nodes
                    .iter()
                    .map(|(level, index)| {
                        let range = (index << level) as usize..((index + 1) << level) as usize;
                        (index << level, *level, subtree_root(&leaves[range]))
                    })
                    .chain(indexes.iter().map(|index| (*index, 0, leaves[*index as usize])))
                    .collect();
                parts.sort_by_key(|part| part.0);
                let mut frontier = Frontier::new();
                parts.into_iter().for_each(|(_, level, hash)| frontier.push_node(level, hash));
                assert_eq!(frontier.root(), subtree_root(&leaves[..size as usize]), "{size} by {step}");
            }
        }
    }

    #[test]
    fn a_stretch_is_given_by_the_fewest_nodes() {
        assert_eq!(nodes_beside([5], 8), [(2, 0), (0, 4), (1, 3)]);
        assert_eq!(nodes_beside([], 8), [(3, 0)]);
        assert_eq!(nodes_beside([], 0), []);
        assert_eq!(
            nodes_beside([3, 1, 9], 4),
            [(1, 0), (0, 2)],
            "what does not rise or is not there is ignored"
        );
    }
}
