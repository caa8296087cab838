//! Retention: a ledger is pruned only as a prefix, by whole segments, by the time its entries came in.
//!
//! What stays of a pruned segment is its tile nodes, so that the proofs of what follows can still be made.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use attestry_event::Nanos;
use attestry_journal::disk::{Disk, File, RealDisk};

use crate::core::Core;
use crate::error::{OpenError, UpkeepError};
use crate::recover::list_segments;
use crate::seal::{Sequential, open_sealed, stem};
use crate::sealed::Sealed;

/// What pruning would remove, or has removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prunable {
    /// The entries.
    pub range: Range<u64>,
    /// `received_at` of the first and the last of them.
    pub received: (Nanos, Nanos),
    /// Size of their files.
    pub bytes: u64,
}

/// What could be pruned of the ledger in `dir`, seen from outside: also while another process has it open.
///
/// # Errors
/// When a segment cannot be read.
pub fn prunable_on_disk(dir: &Path, cutoff: Nanos) -> Result<Option<Prunable>, OpenError> {
    Ok(prunable(&list_segments(&RealDisk, &dir.join("segments"))?.0, cutoff))
}

fn prunable<F: File>(sealed: &Sealed<F>, cutoff: Nanos) -> Option<Prunable> {
    let mut found: Option<Prunable> = None;
    for sealed in sealed.0.iter().filter(|sealed| !sealed.segment.footer().is_pruned()) {
        let footer = sealed.segment.footer();
        if footer.received.1 >= cutoff {
            break;
        }
        let before = found.take();
        found = Some(Prunable {
            range: before.as_ref().map_or(footer.first, |before| before.range.start)..footer.end,
            received: (
                before.as_ref().map_or(footer.received.0, |before| before.received.0),
                footer.received.1,
            ),
            bytes: before.map_or(0, |before| before.bytes) + sealed.segment.bytes(),
        });
    }
    found
}

impl<D: Disk> Core<D> {
    /// The longest prefix of whole segments whose entries all came in before `cutoff`; none when there is nothing to prune.
    pub(crate) fn prunable(&self, cutoff: Nanos) -> Option<Prunable> {
        prunable(&self.view.read().sealed, cutoff)
    }

    /// Removes the entries of all segments that end at `first` or before. The `ledger.pruned` event that allows it must be in the ledger.
    ///
    /// Each segment's remains are durable before its file goes, so a crash leaves each segment whole or pruned.
    pub(crate) fn prune(&self, first: u64) -> Result<(), UpkeepError> {
        let _one = self.upkeep.lock();
        let dir = self.dir.join("segments");
        let segments = self.view.read().sealed.clone();
        for sealed in
            segments.0.iter().filter(|sealed| sealed.end() <= first && !sealed.segment.footer().is_pruned())
        {
            let stem = stem(&(sealed.first()..sealed.end()));
            let temporary = dir.join(format!("{stem}.tmp"));
            let remains = dir.join(format!("{stem}.pruned"));
            sealed.segment.write_pruned(Sequential::new(self.disk.create(&temporary)?))?.finish()?;
            self.disk.rename(&temporary, &remains)?;
            self.disk.sync_dir(&dir)?;
            let remains = Arc::new(open_sealed(&self.disk, &remains)?);
            {
                let mut view = self.view.write();
                if let Some(slot) = view.sealed.0.iter_mut().find(|slot| slot.first() == remains.first()) {
                    *slot = remains;
                }
            }
            self.disk.remove(&sealed.path)?;
            if sealed.values.is_some() {
                self.disk.remove(&sealed.path.with_extension("val"))?;
            }
        }
        Ok(())
    }
}
