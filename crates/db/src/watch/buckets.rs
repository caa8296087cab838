//! The comparison of a table whose order only the database knows: by buckets of a hash of the key.
//!
//! Whatever is asked of such a table is one scan of all of it, so that as much as can be is asked at once: the digests of all buckets, and the
//! rows of all buckets that differ. With more changes during a scan than the window remembers, most buckets differ and nothing can be told of
//! them; the table is then compared in several ranges of buckets, of whose changes fewer have to be remembered.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::compare::Look;
use super::doubts::Doubt;
use super::reconcile::TablePass;
use super::store::Store;
use super::{Database, Outlet, Trouble, Watch};
use crate::cell::chunk_digest;
use crate::copy::{CopyError, Span};
use crate::database::{Digest, Reader, Scan};

/// Rows of a bucket.
const ROWS_OF_BUCKET: u64 = 256;

/// The most buckets of a table, as a power of two.
const BITS_MAX: u8 = 16;

/// Buckets whose rows are read in one scan.
const BUCKETS_AT_ONCE: usize = 256;

/// Rows that are read in one scan, by what the database counted before. A single bucket may have more.
const ROWS_AT_ONCE: u64 = 100_000;

/// Bytes that are read in one scan, by the size of the copy's rows. A single bucket may have more.
const BYTES_AT_ONCE: u64 = 64 << 20;

/// Rows of the copy by which the size of a bucket's rows is guessed.
const SAMPLE: u32 = 4;

/// Scans for rows that are under way for one range of buckets, each repeated until its rows are decided. What is beyond that is for the next
/// pass, so that this one ends.
const SCANS_MAX: usize = 16;

/// Into how many ranges of buckets a table is divided at most: its scans for digests in a pass.
const RANGES_MAX: u32 = 64;

/// Into how many ranges a table is divided after a pass that left something undecided.
pub(super) fn more_ranges(ranges: u32) -> u32 {
    ranges.saturating_mul(4).min(RANGES_MAX)
}

impl<D: Database, O: Outlet> Watch<D, O> {
    /// Compares a table in so many ranges of buckets, a power of two.
    pub(super) async fn compare_buckets(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        ranges: u32,
    ) -> Result<(), Trouble> {
        let id = table.tracked.id();
        table.whole = self
            .shared
            .with(move |store| {
                Ok(store.copy.watched()?.iter().find(|one| one.id == id).map_or(0, |one| one.rows))
            })
            .await?;
        let bits = (table.whole / ROWS_OF_BUCKET).checked_ilog2().map_or(0, |bits| bits + 1);
        let bits = u8::try_from(bits).unwrap_or(BITS_MAX).min(BITS_MAX);
        let count = 1u32 << bits;
        let size = count / ranges.clamp(1, count);
        for first in (0..count).step_by(size as usize) {
            self.compare_some(reader, table, bits, first, first + (size - 1)).await?;
        }
        self.within_budget(table).await;
        Ok(())
    }

    async fn compare_some(
        &self,
        reader: &mut D::Reader,
        table: &mut TablePass<'_>,
        bits: u8,
        first: u32,
        last: u32,
    ) -> Result<(), Trouble> {
        self.within_budget(table).await;
        let tracked = table.tracked;
        let [begin, end] =
            [first, last].map(|bucket| Span::of(tracked.table(), &Scan::Bucket { bits, bucket }));
        let span = Span { from: begin.from, to: end.to };
        let generation = {
            let mut store = self.shared.lock().await;
            store.window.close();
            store.window.open(tracked.id(), vec![span])
        };
        let begun = Instant::now();
        let from = self.position(reader, table).await?;
        let digests = reader.digest_buckets(tracked.table(), &self.mask, bits, first..=last).await?;
        let to = self.position(reader, table).await?;
        let between = from.zip(to);
        let mut by_bucket: HashMap<u32, Digest> = HashMap::new();
        let mut rows = 0;
        for digest in digests {
            rows += digest.rows;
            if let Scan::Bucket { bucket, .. } = digest.scan {
                by_bucket.insert(bucket, digest);
            }
        }
        table.rows += rows;
        table.whole = table.whole.max(table.rows);
        self.charge(table, table.whole, begun);
        for bucket in first..=last {
            let scan = Scan::Bucket { bits, bucket };
            let digest = by_bucket.remove(&bucket).unwrap_or_else(|| Digest {
                scan,
                rows: 0,
                digest: chunk_digest(&mut []),
            });
            let between = between.clone();
            table.waiting.push_back(Look { tracked: Arc::clone(tracked), digest, between, generation });
        }
        self.judge_waiting(reader, table, 0).await?;
        let single = std::mem::take(&mut table.doubts);
        let looked = Arc::clone(tracked);
        let mut packed = self
            .shared
            .with(move |store| {
                // Nobody needs it while the budget is waited for.
                store.window.close();
                pack(store, looked.id(), |scan| Span::of(looked.table(), scan), single)
            })
            .await?;
        for doubt in packed.drain(SCANS_MAX.min(packed.len())..) {
            table.give_up(&doubt);
        }
        table.doubts = packed;
        self.resolve(reader, table).await
    }
}

/// Puts buckets together that are read in one scan.
fn pack(
    store: &Store,
    watched: i64,
    span: impl Fn(&Scan) -> Span,
    single: Vec<Doubt>,
) -> Result<Vec<Doubt>, CopyError> {
    let mut packed: Vec<Doubt> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for doubt in single {
        for (scan, count) in doubt.parts {
            let sample = store.copy.rows_from(watched, &span(&scan).from, SAMPLE)?;
            let sampled: usize = sample.iter().map(|row| row.image.len()).sum();
            let size = (sampled as u64 / (sample.len() as u64).max(1)).saturating_mul(count);
            rows += count;
            bytes += size;
            match packed.last_mut() {
                Some(last)
                    if last.parts.len() < BUCKETS_AT_ONCE
                        && rows <= ROWS_AT_ONCE
                        && bytes <= BYTES_AT_ONCE =>
                {
                    last.parts.push((scan, count));
                }
                _ => {
                    (rows, bytes) = (count, size);
                    packed.push(Doubt::new(scan, count));
                }
            }
        }
    }
    Ok(packed)
}
