//! Reading and filtering, until there is enough to deliver.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestry_event::{Field, Nanos};
use attestry_journal::disk::Disk;
use tokio::time::Instant;

use super::{CURSOR_EVERY, DISK_PAUSE, Worker, blocking, gap_event};
use crate::filter::Passed;
use crate::{Covered, Filter, Gap, Limits, Parcel, Read};

/// What is offered to the sink together.
pub(super) struct Batch {
    pub(super) parcels: Vec<Parcel>,
    /// What the filter could not decide about, for the dead letters, and why.
    pub(super) failed: Vec<(Parcel, String)>,
    pub(super) covered: Vec<Covered>,
    /// Where the log is read on after it.
    pub(super) next: u64,
    /// How many events the log had taken before that.
    pub(super) reached: u64,
    bytes: usize,
    epoch: Option<u64>,
    /// When its first part was read.
    since: Option<Instant>,
}

/// A read after the filter.
struct Filtered {
    read: Read,
    failed: Vec<(Parcel, String)>,
    dropped: u64,
}

impl<D: Disk> Worker<D> {
    /// The next batch, waiting for it; `None` when the worker is told to stop.
    pub(super) async fn fill(&mut self) -> Option<Batch> {
        let accounts = self.sink.accounts();
        let mut batch = Batch {
            parcels: Vec::new(),
            failed: Vec::new(),
            covered: Vec::new(),
            next: self.next,
            reached: 0,
            bytes: 0,
            epoch: None,
            since: None,
        };
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            let Limits { events, bytes } = self.limits();
            let room = Limits { events: events - batch.parcels.len(), bytes: bytes - batch.bytes };
            let (log, filter, from) = (Arc::clone(&self.log), Arc::clone(&self.filter), batch.next);
            let read = blocking(move || {
                let read = log.read(from, room).map_err(|error| error.to_string())?;
                Ok(filtered(&filter, read, accounts))
            })
            .await;
            let Filtered { read, failed, dropped } = match read {
                Ok(filtered) => filtered,
                Err(reason) => {
                    tracing::warn!(sink = self.name, reason, "cannot read on, trying again");
                    if !self.pause(reason, DISK_PAUSE).await {
                        return None;
                    }
                    continue;
                }
            };
            if let Some(gap) = &read.gap {
                self.note(gap).await;
            }
            let epoch = read.covered.first().map(|covered| covered.epoch);
            if let (Some(now), Some(before)) = (epoch, batch.epoch)
                && now != before
                && !batch.is_empty(accounts)
            {
                // Numbers of two epochs would be mistaken for each other. It is read again.
                return Some(batch);
            }
            let moved = read.next != batch.next;
            let before = read.reached.saturating_sub((read.parcels.len() + failed.len()) as u64 + dropped);
            self.shared.begin_at(before);
            self.shared.filtered.fetch_add(dropped, Ordering::Relaxed);
            batch.epoch = epoch.or(batch.epoch);
            batch.add(read, failed, accounts);
            if batch.is_empty(accounts) {
                self.done = batch.next;
                self.next = batch.next;
                self.shared.reached.store(batch.reached, Ordering::Relaxed);
                self.shared.position.store(batch.next, Ordering::Relaxed);
                batch.since = None;
                self.store_cursor_when_due().await;
                if !moved {
                    self.shared.well();
                    self.idle().await;
                }
                continue;
            }
            let until = *batch.since.get_or_insert_with(Instant::now) + self.batching.wait;
            if batch.parcels.len() >= events || batch.bytes >= bytes || Instant::now() >= until {
                return Some(batch);
            }
            if !moved {
                self.shared.oldest(batch.oldest());
                tokio::select! {
                    () = self.stop.cancelled() => return None,
                    () = self.news.beyond(batch.next) => {}
                    () = tokio::time::sleep_until(until) => return Some(batch),
                }
            }
        }
    }

    /// Waits until there is something to do.
    async fn idle(&mut self) {
        let unstored = self.done != self.stored;
        let due = self.stored_at + CURSOR_EVERY;
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.news.beyond(self.next) => {}
            () = tokio::time::sleep_until(due), if unstored => self.store_cursor().await,
            Some(request) = self.replays.recv() => self.replay(request).await,
        }
    }

    /// Takes note of events that are gone.
    async fn note(&mut self, gap: &Gap) {
        self.shared.lost.fetch_add(gap.events.unwrap_or(0), Ordering::Relaxed);
        tracing::error!(
            sink = self.name,
            first = gap.range.start,
            end = gap.range.end,
            events = gap.events,
            why = gap.why,
            "events were gone before the sink had read them"
        );
        if self.log.declares() {
            return;
        }
        let (declare, event) = (Arc::clone(&self.declare), gap_event(&self.name, gap));
        let declared = blocking(move || {
            declare(event);
            Ok(())
        });
        if let Err(reason) = declared.await {
            tracing::error!(sink = self.name, reason, "a gap was not declared");
        }
    }
}

impl Batch {
    fn add(&mut self, read: Read, failed: Vec<(Parcel, String)>, accounts: bool) {
        self.bytes += read.parcels.iter().map(Parcel::bytes).sum::<usize>();
        match self.parcels.is_empty() {
            true => self.parcels = read.parcels,
            false => self.parcels.extend(read.parcels),
        }
        self.failed.extend(failed);
        (self.next, self.reached) = (read.next, read.reached);
        if accounts {
            let lost = read.gap.map(|gap| gap.lost).unwrap_or_default();
            for covered in lost.into_iter().chain(read.covered) {
                covered.add_to(&mut self.covered);
            }
        }
    }

    fn is_empty(&self, accounts: bool) -> bool {
        self.parcels.is_empty() && self.failed.is_empty() && (!accounts || self.covered.is_empty())
    }

    /// When the first was taken in.
    pub(super) fn oldest(&self) -> Option<Nanos> {
        self.parcels.first()?.event().ok().map(|event| event.received_at())
    }
}

fn filtered(filter: &Filter, mut read: Read, accounts: bool) -> Filtered {
    if filter.methods.is_none() && filter.hooks.is_empty() {
        return Filtered { read, failed: Vec::new(), dropped: 0 };
    }
    let (mut failed, mut dropped) = (Vec::new(), 0);
    let parcels = std::mem::take(&mut read.parcels);
    for parcel in parcels {
        // A far side that counts is not told twice that numbers are lost, so it hears of this whatever the filter says of events.
        if accounts && tells_of_loss(&parcel) {
            read.parcels.push(parcel);
            continue;
        }
        match filter.apply(parcel) {
            Passed::Kept(parcel) => read.parcels.push(parcel),
            Passed::Dropped => dropped += 1,
            Passed::Failed(parcel, reason) => failed.push((parcel, reason)),
        }
    }
    Filtered { read, failed, dropped }
}

/// Whether this is the event by which the spool itself declares what it lost.
fn tells_of_loss(parcel: &Parcel) -> bool {
    parcel.event().is_ok_and(|event| event.event_name() == "gap.spool" && event.raw(Field::Agent).is_none())
}
