//! What goes, and when: files that nobody needs any more.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use attestry_journal::Journal;
use attestry_journal::disk::Disk;

use super::{Spool, Writer, place};

/// State is written after so many bytes, because the next open reads everything behind it.
const SAVE_EVERY: u64 = 64 << 20;

/// The sequence at which the oldest file of a journal ends: the name of the next one. `None` when there is only one, which always stays.
pub(crate) fn oldest_end<D: Disk>(disk: &D, dir: &Path, journal: &Journal<D>) -> io::Result<Option<u64>> {
    let first = |name: &String| name.strip_suffix(".jnl")?.parse::<u64>().ok();
    let mut firsts: Vec<u64> = disk.list(dir)?.iter().filter_map(first).collect();
    firsts.sort_unstable();
    Ok(firsts.into_iter().find(|first| *first > journal.first() && *first <= journal.durable()))
}

impl<D: Disk> Spool<D> {
    /// Removes what all consumers are done with.
    pub(super) fn trim(&self) {
        let Some((slowest, _)) = self.slowest() else { return };
        // Once closed, the directory may have another owner.
        if slowest < self.trim_at.load(Ordering::Relaxed) || self.queue.lock().closed {
            return;
        }
        {
            let writer = &mut *self.writer.lock();
            // The count must not depend on what is removed.
            self.forget_losses(writer);
            let removed = self.save(writer).and_then(|()| writer.journal.remove_before(slowest).map(|_| ()));
            if let Err(error) = removed {
                tracing::warn!(
                    error = error.to_string(),
                    "cannot remove old files of the spool, trying again"
                );
            }
            self.look_at_files(writer);
        }
        self.queue.lock().not_before = None;
        self.turned.notify_all();
    }

    /// The record and the place in it that the slowest consumer is at; `None` when nobody reads.
    pub(super) fn slowest(&self) -> Option<(u64, u64)> {
        self.consumers.lock().values().min().map(|position| place(*position))
    }

    /// Notices files that came or went.
    pub(super) fn look_at_files(&self, writer: &mut Writer<D>) {
        writer.seen_bytes = writer.journal.bytes();
        let end = oldest_end(&self.disk, &self.journal_dir, &writer.journal).ok().flatten();
        self.trim_at.store(end.unwrap_or(u64::MAX), Ordering::Relaxed);
        self.shown.write().first = writer.journal.first();
    }

    /// Writes the state.
    pub(super) fn save(&self, writer: &mut Writer<D>) -> io::Result<()> {
        writer.state.position = writer.journal.durable();
        writer.state.counters = writer.counters.clone();
        writer.state.store(&self.disk, &self.state_path)?;
        writer.since_saved = 0;
        Ok(())
    }

    /// Forgets losses that everybody has been told of. Not while some of them are being declared.
    fn forget_losses(&self, writer: &mut Writer<D>) {
        let slowest = self.slowest().map_or(0, |(record, _)| record);
        writer.state.prune_losses(writer.journal.first(), slowest);
    }

    pub(super) fn save_when_due(&self, writer: &mut Writer<D>) {
        if writer.since_saved < SAVE_EVERY {
            return;
        }
        self.forget_losses(writer);
        if let Err(error) = self.save(writer) {
            tracing::warn!(error = error.to_string(), "the spool's state was not written, trying again");
            writer.since_saved = 0;
        }
    }
}
