//! What can be proved about a log: the RFC 6962 tree, and the C2SP formats in which others can check it.
//!
//! Pure computation: no disk, no clock, no network, and randomness is passed in. Whoever keeps nodes shows them through
//! [`Nodes`]; everything else goes in and out as bytes and text. The formats, each in one file:
//!
//! - [`hash`]: leaf and node hashes (RFC 6962 section 2.1)
//! - [`frontier`]: the right edge of a growing tree
//! - [`proof`]: roots, inclusion and consistency proofs from nodes, and their verification (RFC 9162 section 2.1)
//! - [`nodes_beside`]: what completes many leaves to the whole tree
//! - [`tile`]: C2SP `tlog-tiles` paths and entry bundles
//! - [`note`], [`key`]: C2SP `signed-note`, with the witnesses' `tlog-cosignature`
//! - [`checkpoint`]: C2SP `tlog-checkpoint`
//! - [`tlog_proof`]: C2SP `tlog-proof@v1`
//! - [`pin`]: what a reader keeps elsewhere

pub mod checkpoint;
pub mod cover;
pub mod frontier;
pub mod hash;
pub mod key;
pub mod note;
pub mod pin;
pub mod proof;
pub mod tile;
pub mod tlog_proof;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cover::nodes_beside;
pub use frontier::Frontier;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, subtree_root};
pub use key::{KeyError, SigningKey, VerifierKey};
pub use note::{Note, NoteError};
pub use pin::Pin;
pub use proof::{
    InvalidProof, Nodes, ProofError, consistency_proof, inclusion_proof, root, verify_consistency,
    verify_inclusion,
};
pub use tile::{EntryTile, Tile};
pub use tlog_proof::{TlogProof, TlogProofError};

#[cfg(test)]
mod naive;
