//! The ledger as a C2SP `tlog-tiles` log: its tiles are a view of segments, journal and tree.

use attestry_journal::disk::Disk;
use attestry_tlog::tile::{EntryTile, FULL, Tile};

use crate::{Ledger, ReadError};

impl<D: Disk> Ledger<D> {
    /// The hashes of a tile, one after the other.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] when the signed tree has not got so far: what is served is always covered by a checkpoint.
    pub fn tile(&self, tile: &Tile) -> Result<Vec<u8>, ReadError> {
        self.covered(tile.is_in(self.signed_size()), tile.end_index())?;
        tile.read(&*self.core)
    }

    /// The entries of a tile as a C2SP entry bundle.
    ///
    /// # Errors
    /// [`ReadError::Beyond`] as for [`Ledger::tile`], [`ReadError::Pruned`] when they are gone.
    pub fn entry_tile(&self, tile: &EntryTile) -> Result<Vec<u8>, ReadError> {
        self.covered(tile.is_in(self.signed_size()), tile.end_index())?;
        let mut bundle = Vec::new();
        self.scan(tile.index * u64::from(FULL), u64::from(tile.width), &mut |_, entry| {
            bundle.extend_from_slice(&(entry.len() as u16).to_be_bytes());
            bundle.extend_from_slice(entry);
        })?;
        Ok(bundle)
    }

    fn signed_size(&self) -> u64 {
        self.core.signed.read().as_ref().map_or(0, |signed| signed.size)
    }

    fn covered(&self, covered: bool, end: u64) -> Result<(), ReadError> {
        let beyond = || ReadError::Beyond { index: end - 1, size: self.signed_size() };
        covered.then_some(()).ok_or_else(beyond)
    }
}
