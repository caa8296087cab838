//! Sealing: durable entries move from the journal into an immutable segment.

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestry_event::Nanos;
use attestry_journal::disk::{Disk, File};
use attestry_segment::{ALIGNMENT, Segment, Values, ValuesWriter, Writer};
use attestry_tlog::Hash;

use crate::core::Core;
use crate::error::UpkeepError;
use crate::ids::Ids;
use crate::sealed::{Readable, SealedSegment};

/// Writes to a disk's file from front to back, in pieces large enough not to matter and small enough to stay in the
/// processor's cache until the kernel copies them.
pub(crate) struct Sequential<F> {
    file: F,
    offset: u64,
    buffer: Vec<u8>,
}

const BUFFER_BYTES: usize = 128 << 10;

impl<F: File> Sequential<F> {
    pub(crate) fn new(file: F) -> Self {
        Sequential { file, offset: 0, buffer: Vec::with_capacity(BUFFER_BYTES) }
    }

    /// Everything written is durable when this returns.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_data()
    }
}

impl<F: File> Write for Sequential<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// A segment's file name without its ending.
pub(crate) fn stem(range: &Range<u64>) -> String {
    format!("{:020}-{:020}", range.start, range.end)
}

impl<D: Disk> Core<D> {
    /// The range that is due to be sealed: enough entries or bytes, or old ones.
    fn seal_due(&self, now: Nanos) -> Option<Range<u64>> {
        let view = self.view.read();
        let (start, end) = (view.sealed.end(), self.size());
        let whole = (end - start) / ALIGNMENT * ALIGNMENT;
        let old = view
            .tail
            .oldest()
            .is_some_and(|oldest| now.0 - oldest.0 > self.options.seal_after.as_nanos() as i64);
        let due = end - start >= self.options.segment_entries
            || view.tail.bytes() >= self.options.segment_bytes
            || old;
        (due && whole > 0).then(|| start..start + whole.min(self.options.segment_entries))
    }

    /// Seals all whole tiles there are.
    pub(crate) fn seal_all(&self) -> Result<(), UpkeepError> {
        let _one = self.upkeep.lock();
        loop {
            let start = self.view.read().sealed.end();
            let whole = ((self.size() - start) / ALIGNMENT * ALIGNMENT).min(self.options.segment_entries);
            if whole == 0 {
                return Ok(());
            }
            self.seal(start..start + whole)?;
        }
    }

    /// Seals what is due at `now`.
    pub(crate) fn seal_what_is_due(&self, now: Nanos) -> Result<(), UpkeepError> {
        let _one = self.upkeep.lock();
        while let Some(range) = self.seal_due(now) {
            self.seal(range)?;
        }
        Ok(())
    }

    /// Seals a range. In order: the segment's files are durable under their final names; readers see the segment; the
    /// journal gives up what it held of it. A crash between any two leaves the same entries in both, which recovery knows to be one.
    fn seal(&self, range: Range<u64>) -> Result<(), UpkeepError> {
        let dir = self.dir.join("segments");
        let tail = self.view.read().tail.clone();
        let stem = stem(&range);

        let mut hashes: Vec<(u64, u64)> = Vec::with_capacity((range.end - range.start) as usize);
        let mut values = Vec::new();
        let temporary = dir.join(format!("{stem}.tmp"));
        let mut writer = Writer::new(
            Sequential::new(self.disk.create(&temporary)?),
            range.start,
            self.options.entries_per_block,
            self.options.compression_level,
        )?;
        for chunk in tail.from(range.start) {
            if chunk.first >= range.end {
                break;
            }
            let nths = (range.start.max(chunk.first) - chunk.first) as usize
                ..(range.end.min(chunk.end()) - chunk.first) as usize;
            for nth in nths {
                if let Some(entry) = chunk.nth(nth) {
                    writer.push(entry, &chunk.leaves[nth], chunk.event_times[nth], chunk.received_at)?;
                    hashes.push((chunk.id_hashes[nth], chunk.first + nth as u64));
                }
            }
            // A chunk that reaches over the border leaves its values with both sides: one too many does no harm.
            values.extend(&chunk.values);
        }
        writer.finish()?.0.finish()?;
        if !values.is_empty() {
            let temporary = dir.join(format!("{stem}.val.tmp"));
            let mut writer = ValuesWriter::new(
                Sequential::new(self.disk.create(&temporary)?),
                self.options.compression_level,
            )?;
            for value in values {
                writer.push(&Hash(value.hash), &value.salt, &value.content)?;
            }
            writer.finish()?.finish()?;
            self.disk.rename(&temporary, &dir.join(format!("{stem}.val")))?;
        }
        // The values' name comes first: a segment without its values would be missing some, values without a segment are a leftover.
        self.disk.sync_dir(&dir)?;
        self.disk.rename(&temporary, &dir.join(format!("{stem}.seg")))?;
        self.disk.sync_dir(&dir)?;

        let sealed = open_sealed(&self.disk, &dir.join(format!("{stem}.seg")))?;
        let runs = {
            let (dir, runs) = {
                let ids = self.ids.read();
                (ids.dir(), ids.runs())
            };
            Ids::add_run(dir.as_deref(), runs, range.clone(), hashes)?
        };
        let journal_end = {
            let mut view = self.view.write();
            view.sealed.0.push(Arc::new(sealed));
            view.tail.drop_before(range.end)
        };
        self.ids.write().swap_runs(runs);
        if let Some(sequence) = journal_end {
            self.journal.lock().remove_before(sequence)?;
        }
        Ok(())
    }
}

/// Opens a segment and the value file beside it.
pub(crate) fn open_sealed<D: Disk>(
    disk: &D,
    path: &Path,
) -> Result<SealedSegment<D::File>, attestry_segment::Error> {
    let segment = Segment::open(Readable(disk.open(path)?))?;
    let value_path: PathBuf = path.with_extension("val");
    let values = match disk.exists(&value_path)? {
        true => Some(Values::open(Readable(disk.open(&value_path)?))?),
        false => None,
    };
    Ok(SealedSegment { path: path.to_owned(), segment, values })
}
