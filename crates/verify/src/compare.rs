//! Tying the entries to the roots that were signed, and naming those that do not lead there.

use std::ops::Range;

use attestry_tlog::Hash;

use crate::hashes::{Hashes, TILE};
use crate::report::{Damage, Kind, Ledger};

/// A tree that a signature vouches for: the present checkpoint's or a pin's.
#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// Whose it is, in words.
    pub(crate) whose: &'static str,
}

const ALTERED: &str = "altered: not what the signed tree has here";
const ALTERED_TILE: &str = "altered: one or more of these are not what the signed tree has here";
const SUSPECT: &str = "altered: not what was hashed when it was stored";
const SUSPECT_TILE: &str = "altered: one or more of these are not what was hashed when they were stored";

/// Compares what was read, entries 0 to `end`, with every anchor, and adds the damage to the ledger's report. `lost` tells whether some entries
/// below `end` could not be read. Returns the anchors that hold.
pub(crate) fn compare(
    hashes: &Hashes,
    end: u64,
    lost: bool,
    anchors: &[Anchor],
    ledger: &mut Ledger,
) -> Vec<bool> {
    let mut order: Vec<usize> = (0..anchors.len()).collect();
    order.sort_by_key(|position| anchors[*position].size);
    let mut holds = vec![false; anchors.len()];
    // Tiles below `judged` are dealt with; a later anchor says nothing new of them.
    let mut judged = 0;
    for position in order {
        let Anchor { size, root, whose } = &anchors[position];
        let chosen = if *size <= end { hashes.choose(*size, *root) } else { None };
        if let Some(nodes) = chosen {
            judge(hashes, judged, &nodes, ledger);
            holds[position] = true;
            judged = size / TILE;
            continue;
        }
        // Of two trees of one size that contradict each other, neither vouches for the entries against the other.
        let held = anchors.iter().zip(&holds).filter(|(anchor, holds)| **holds && anchor.size < *size);
        let proven = held.map(|(anchor, _)| anchor.size).max().unwrap_or(0);
        suspect(hashes, judged..size.min(&end).div_ceil(TILE), ledger);
        if *size > end {
            ledger.add(Damage::of_entries(Kind::Missing, end..*size, format!("missing: {whose} has them")));
        } else if !lost {
            let what = format!("these do not lead to the root of {whose}: at least one of them was changed");
            ledger.add(Damage::of_entries(Kind::Diverged, proven..*size, what));
        }
        if (lost || *size > end) && proven < end.min(*size) {
            ledger.unchecked.push(format!(
                "entries {proven} to {}, where not listed as damaged, could not be tied to {whose}: too much of the tree is missing",
                end.min(*size) - 1
            ));
        }
    }
    holds
}

/// The nodes are authentic: what differs from them is wrong.
fn judge(hashes: &Hashes, from: u64, nodes: &[(u64, Hash)], ledger: &mut Ledger) {
    for (tile, node) in nodes.iter().copied().filter(|(tile, _)| *tile >= from) {
        let Some(found) = hashes.tile(tile) else { continue };
        let range = tile * TILE..(tile + 1) * TILE;
        if found.computed.is_some_and(|computed| computed != node) {
            name(range, &found.suspects, [ALTERED, ALTERED_TILE], ledger);
        } else if found.stored.is_some_and(|stored| stored != node) {
            ledger.add(Damage::of_entries(
                Kind::StoredHash,
                range,
                "their stored node is wrong, the entries are right",
            ));
        } else if found.computed.is_some() && !found.suspects.is_empty() {
            ledger.add(Damage::of_entries(
                Kind::StoredHash,
                range,
                "stored leaf hashes are wrong, the entries are right",
            ));
        }
    }
}

/// No signed root could be reached: contents that differ from the stored nodes are still worth naming.
fn suspect(hashes: &Hashes, tiles: Range<u64>, ledger: &mut Ledger) {
    for tile in tiles {
        if let Some(found) = hashes.tile(tile)
            && let (Some(computed), Some(stored)) = (found.computed, found.stored)
            && computed != stored
        {
            name(tile * TILE..(tile + 1) * TILE, &found.suspects, [SUSPECT, SUSPECT_TILE], ledger);
        }
    }
}

/// Names the entries that the stored leaves point to, else the whole tile.
fn name(range: Range<u64>, suspects: &[u8], [single, whole]: [&str; 2], ledger: &mut Ledger) {
    if suspects.is_empty() {
        ledger.add(Damage::of_entries(Kind::Altered, range, whole));
        return;
    }
    for position in suspects {
        let index = range.start + u64::from(*position);
        ledger.add(Damage::of_entries(Kind::Altered, index..index + 1, single));
    }
}
