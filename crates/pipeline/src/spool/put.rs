//! Many threads put at once: one of them commits for all who wait.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestry_event::Batch;
use attestry_journal::Error;
use attestry_journal::disk::Disk;

use super::Spool;
use super::chunk::{Body, bodies, ledger_fits};
use crate::Closed;

/// Bytes that one commit takes at most, so that those who came first are not kept waiting by those who came last.
const GROUP_BYTES: usize = 8 << 20;
/// How long a full or failing disk is left alone, if nobody makes room before.
const PAUSE: Duration = Duration::from_millis(250);

/// What somebody put and waits for.
pub(super) struct Put {
    ticket: u64,
    pub(super) ledger: Arc<str>,
    pub(super) bodies: Vec<Body>,
    /// Bodies that are in the journal, and how many of those are durable.
    pub(super) written: usize,
    pub(super) durable: usize,
    /// The numbers of the written ones.
    pub(super) seqs: Option<Range<u64>>,
}

impl Put {
    pub(super) fn new(ledger: &str, batch: &Batch) -> Put {
        Put { ticket: 0, ledger: ledger.into(), bodies: bodies(batch), written: 0, durable: 0, seqs: None }
    }

    /// One attempt without waiting, as a test that tells a whole story from a seed needs it.
    #[cfg(test)]
    pub(super) fn is_put(&mut self, spool: &Spool<impl Disk>) -> bool {
        spool.commit(std::slice::from_mut(self)).is_ok() && self.is_durable()
    }

    fn bytes(&self) -> usize {
        self.bodies.iter().map(|body| body.bytes.len()).sum()
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durable == self.bodies.len()
    }
}

/// Who waits, first come first.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Put>,
    done: Vec<(u64, Range<u64>)>,
    next_ticket: u64,
    /// Somebody commits.
    busy: bool,
    pub(super) closed: bool,
    /// There was no room, or the disk failed.
    pub(super) not_before: Option<Instant>,
    /// Since when, and why.
    pub(super) stalled: Option<(Instant, String)>,
}

impl Queue {
    fn take_group(&mut self) -> Vec<Put> {
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(put) =
            self.waiting.pop_front_if(|put| group.is_empty() || bytes + put.bytes() <= GROUP_BYTES)
        {
            bytes += put.bytes();
            group.push(put);
        }
        group
    }

    /// What is durable is answered, the rest waits at its old place.
    fn put_back(&mut self, group: Vec<Put>) {
        for put in group.into_iter().rev() {
            match put.is_durable() {
                true => self.done.push((put.ticket, put.seqs.unwrap_or_default())),
                false => self.waiting.push_front(put),
            }
        }
    }
}

impl<D: Disk> Spool<D> {
    /// Why nothing can be kept, in words for people.
    fn why_not(&self, error: &Error) -> String {
        match error {
            Error::Full => {
                let bytes = self.writer.lock().journal.bytes();
                match bytes.saturating_add(self.segment_bytes) > self.max_bytes {
                    true => {
                        format!("it has the {} bytes that it may have, and a sink is behind", self.max_bytes)
                    }
                    false => "the disk is full".to_owned(),
                }
            }
            error => crate::describe(error),
        }
    }

    pub(super) fn put_waiting(&self, ledger: &str, mut batch: Batch) -> Result<Range<u64>, Closed> {
        if !ledger_fits(ledger) {
            tracing::error!(ledger, "a ledger's name is longer than any ledger's");
            return Err(Closed);
        }
        batch.stamp(self.clock.now());
        let mut put = Put::new(ledger, &batch);
        drop(batch);
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Closed);
        }
        if put.bodies.is_empty() {
            return Ok(0..0);
        }
        put.ticket = queue.next_ticket;
        queue.next_ticket += 1;
        let ticket = put.ticket;
        queue.waiting.push_back(put);
        loop {
            if let Some(at) = queue.done.iter().position(|(done, _)| *done == ticket) {
                return Ok(queue.done.swap_remove(at).1);
            }
            if queue.busy {
                self.turned.wait(&mut queue);
                continue;
            }
            if queue.closed {
                queue.waiting.retain(|put| put.ticket != ticket);
                return Err(Closed);
            }
            if let Some(until) = queue.not_before.filter(|until| *until > Instant::now()) {
                self.turned.wait_until(&mut queue, until);
                continue;
            }
            let mut group = queue.take_group();
            queue.busy = true;
            let commit = || self.commit(&mut group).map_err(|error| self.why_not(&error));
            let committed = parking_lot::MutexGuard::unlocked(&mut queue, commit);
            queue.busy = false;
            queue.put_back(group);
            match committed {
                Ok(()) => {
                    if let Some((since, _)) = queue.stalled.take() {
                        let seconds = since.elapsed().as_secs();
                        tracing::info!(seconds, "the spool takes events again");
                    }
                    queue.not_before = None;
                }
                Err(why) => {
                    if queue.stalled.as_ref().is_none_or(|(_, before)| *before != why) {
                        tracing::warn!(why, "the spool takes nothing for now: senders wait");
                    }
                    let since = queue.stalled.take().map_or_else(Instant::now, |(since, _)| since);
                    queue.stalled = Some((since, why));
                    queue.not_before = Some(Instant::now() + PAUSE);
                }
            }
            self.turned.notify_all();
        }
    }
}
