//! What waits to be committed: a queue bounded in bytes, because a queue without a bound is memory that runs out later.

use std::collections::VecDeque;

use attestry_event::Batch;
use parking_lot::{Condvar, Mutex};

use crate::{Outcome, Refusal};

/// A batch on its way into the ledger, and who wants to know how it went.
pub struct Submission {
    /// Encoded events.
    pub batch: Batch,
    /// What becomes of an event whose id is taken by other content.
    pub on_conflict: OnConflict,
    /// Called once: on the sequencer's thread, so it must not block, or on the submitter's own when it is refused at once.
    pub reply: Box<dyn FnOnce(Outcome) + Send>,
}

/// What becomes of an event whose (`event_source`, `event_id`) the ledger already has with other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Nothing of the batch is stored.
    RefuseBatch,
    /// The event is not stored, the others are.
    RefuseEvent,
}

struct State {
    waiting: VecDeque<Submission>,
    bytes: usize,
    closed: bool,
}

pub(crate) struct Queue {
    state: Mutex<State>,
    /// Signalled when something arrives or the queue is closed.
    arrived: Condvar,
    max_bytes: usize,
}

impl Queue {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, closed: false };
        Queue { state: Mutex::new(state), arrived: Condvar::new(), max_bytes }
    }

    /// Takes a submission in, or replies why not. One that is larger than the bound passes when it is alone.
    pub(crate) fn push(&self, submission: Submission) {
        let mut state = self.state.lock();
        let size = submission.batch.bytes.len();
        let refusal = match &*state {
            State { closed: true, .. } => Refusal::Closed,
            State { bytes, .. } if *bytes > 0 && *bytes + size > self.max_bytes => Refusal::Overloaded,
            _ => {
                state.bytes += size;
                state.waiting.push_back(submission);
                self.arrived.notify_one();
                return;
            }
        };
        drop(state);
        let Submission { batch, reply, .. } = submission;
        reply(Outcome { batch, result: Err(refusal) });
    }

    /// Waits for work and takes as many submissions as fit in `max_bytes`, at least one. None when closed and empty.
    pub(crate) fn pop(&self, max_bytes: usize) -> Option<Vec<Submission>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while let Some(next) = state.waiting.front() {
            let size = next.batch.bytes.len();
            if !group.is_empty() && bytes + size > max_bytes {
                break;
            }
            bytes += size;
            group.extend(state.waiting.pop_front());
        }
        state.bytes -= bytes;
        Some(group)
    }

    /// Refuses what comes from now on; what waits is still committed.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}
