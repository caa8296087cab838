//! Signing: at least every second while there is news, the tree's size and root go out under the ledger's key.

use std::sync::Arc;

use attestry_event::Nanos;
use attestry_journal::disk::{self, Disk};
use attestry_tlog::{Checkpoint, Hash};

use crate::core::Core;

/// A checkpoint that everybody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Tree size.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    /// When it was signed, by the ledger's clock.
    pub time: Nanos,
    /// The signed note.
    pub note: Arc<str>,
}

impl<D: Disk> Core<D> {
    /// Signs the tree as it is, unless that has been done.
    ///
    /// The tree in memory only grows, and [`Core::recover`] refused to go on unless it contained the last checkpoint, so what
    /// is signed here is never smaller than, or inconsistent with, anything signed before. The file is durable before anyone is shown the note.
    pub(crate) fn sign(&self) -> std::io::Result<()> {
        let (size, root) = {
            let tree = self.tree.read();
            (tree.size(), tree.root())
        };
        if self.signed.read().as_ref().is_some_and(|signed| signed.size == size) {
            return Ok(());
        }
        let note = Checkpoint::new(&self.origin, size, root).sign(&self.key);
        disk::replace(&self.disk, &self.dir.join("checkpoint"), note.as_bytes())?;
        *self.signed.write() = Some(Signed { size, root, time: self.clock.now(), note: note.into() });
        self.progress.signed(size);
        Ok(())
    }
}
