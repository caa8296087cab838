//! Delivering a batch: as often as it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestry_journal::disk::Disk;

use super::fill::Batch;
use super::{DISK_PAUSE, Ended, GRACE, Worker, after, blocking};
use crate::dead::Refusal;
use crate::{Failure, Parcel, Refused};

impl<D: Disk> Worker<D> {
    /// Delivers a batch, whatever time it takes. When this returns `None`, every event of it is delivered or in the dead letters, and
    /// `done` is behind it. Otherwise the worker ends, and `done` is where the next start has to begin.
    pub(super) async fn hand_over(&mut self, mut batch: Batch) -> Option<Ended> {
        self.shared.oldest(batch.oldest());
        let accounts = self.sink.accounts();
        let failed = std::mem::take(&mut batch.failed);
        if !self.bury(failed, 0).await {
            return Some(Ended::Stopped);
        }
        // So many are delivered.
        let mut from = 0;
        // How often in a row nothing was.
        let mut failures: u32 = 0;
        let mut attempts: u32 = 0;
        let refused = loop {
            let parcels = batch.parcels.get(from..).unwrap_or_default();
            if parcels.is_empty() && !accounts {
                break Vec::new();
            }
            let answer = self.offer(parcels, &batch).await;
            attempts = attempts.saturating_add(1);
            let failure = match answer {
                None => return Some(Ended::Stopped),
                Some(Ok(refused)) => break refused,
                Some(Err(failure)) => failure,
            };
            let (delivered, reason, wait) = match failure {
                Failure::Halt { reason } => return Some(Ended::Halted(reason)),
                Failure::Again { delivered, reason, after } => {
                    let delivered = delivered.min(parcels.len());
                    failures = if delivered > 0 { 1 } else { failures.saturating_add(1) };
                    (delivered, reason, self.retry.wait(failures, after, &mut self.random))
                }
            };
            from += delivered;
            self.shared.delivered.fetch_add(delivered as u64, Ordering::Relaxed);
            self.shared.retries.fetch_add(1, Ordering::Relaxed);
            if let Some(parcel) = batch.parcels.get(from) {
                self.done = parcel.number;
                let left = (batch.parcels.len() - from) as u64;
                self.shared.reached.store(batch.reached.saturating_sub(left), Ordering::Relaxed);
            }
            tracing::warn!(sink = self.name, reason, failures, "not delivered, trying again");
            self.store_cursor_when_due().await;
            if !self.pause(reason, wait).await {
                return Some(Ended::Stopped);
            }
        };

        let offered = batch.parcels.split_off(from.min(batch.parcels.len()));
        let count = offered.len();
        let refused = pick(offered, refused);
        let delivered = (count - refused.len()) as u64;
        // What was not refused need not be offered again should the letters have to wait for room.
        if let Some((first, _)) = refused.first() {
            self.done = first.number;
        }
        if !self.bury(refused, attempts).await {
            return Some(Ended::Stopped);
        }
        self.shared.delivered.fetch_add(delivered, Ordering::Relaxed);
        self.shared.reached.store(batch.reached, Ordering::Relaxed);
        self.shared.oldest(None);
        self.shared.well();
        (self.next, self.done) = (batch.next, batch.next);
        None
    }

    /// One attempt; `None` when the worker is told to stop and the sink does not come to an end.
    async fn offer(&mut self, parcels: &[Parcel], batch: &Batch) -> Option<Result<Vec<Refused>, Failure>> {
        if self.sink.accounts() {
            self.sink.account(&batch.covered);
        }
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            answer = self.sink.deliver(parcels) => Some(answer),
            () = after(&stop, GRACE) => None,
        }
    }

    /// Puts refused events to the dead letters, whatever time it takes; false when the worker is told to stop before.
    async fn bury(&mut self, refused: Vec<(Parcel, String)>, attempts: u32) -> bool {
        if refused.is_empty() {
            return true;
        }
        let refused = Arc::new(refused);
        loop {
            let (dead, clock, evict) = (Arc::clone(&self.dead), Arc::clone(&self.clock), self.evict());
            let letters = Arc::clone(&refused);
            let put = blocking(move || {
                let refusals: Vec<Refusal<'_>> =
                    letters.iter().map(|(parcel, reason)| Refusal { parcel, reason, attempts }).collect();
                dead.put(&refusals, clock.now(), &mut |evicted| evict(evicted))
                    .map_err(|error| crate::describe(&error))
            })
            .await;
            let reason = match put {
                Ok(()) => break,
                Err(reason) => reason,
            };
            tracing::warn!(sink = self.name, reason, "cannot keep refused events, trying again");
            if !self.pause(format!("the dead letters cannot be written: {reason}"), DISK_PAUSE).await {
                return false;
            }
        }
        if let Some((_, reason)) = refused.first() {
            tracing::warn!(sink = self.name, events = refused.len(), reason, "refused, see the dead letters");
        }
        self.shared.refused.fetch_add(refused.len() as u64, Ordering::Relaxed);
        true
    }
}

/// Picks the refused ones, in order. What a sink says of events that it was not offered means nothing.
fn pick(parcels: Vec<Parcel>, mut refused: Vec<Refused>) -> Vec<(Parcel, String)> {
    refused.sort_by_key(|refused| refused.at);
    refused.dedup_by_key(|refused| refused.at);
    let mut parcels = parcels.into_iter().enumerate();
    refused
        .into_iter()
        .filter_map(|Refused { at, reason }| {
            let (_, parcel) = parcels.find(|(nth, _)| *nth == at)?;
            Some((parcel, reason))
        })
        .collect()
}
