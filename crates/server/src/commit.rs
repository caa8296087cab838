//! Handing a batch to a ledger and waiting, without a thread, until it is durable and can be found.

use std::time::{Duration, Instant};

use attestry_event::Batch;
use attestry_ledger::{Ledger, OnConflict, Outcome, Refusal, Signed, Submission};
use tokio::sync::oneshot;

use crate::app::App;
use crate::problem::{Kind, Problem};

/// How long an acknowledgement waits for the index. Beyond it the events are acknowledged as durable, and the answer says
/// that they cannot be found yet: a broken index, which can be rebuilt, must not make senders lose evidence.
const INDEX_WAIT: Duration = Duration::from_secs(10);

/// An index that is further behind than this, in entries, is being built anew: then nobody waits for it at all.
const INDEX_LAG_MAX: u64 = 1_000_000;

/// How long `wait=checkpoint` waits.
pub(crate) const CHECKPOINT_WAIT: Duration = Duration::from_secs(15);

/// How often is looked for the checkpoint.
const SIGNED_POLL: Duration = Duration::from_millis(10);

/// Submits the batch and waits for the ledger's answer.
pub(crate) async fn submit(ledger: &Ledger, batch: Batch, on_conflict: OnConflict) -> Outcome {
    let (sender, receiver) = oneshot::channel();
    // The receiver is gone when the client is: the ledger stores the events all the same.
    let reply = Box::new(move |outcome| drop(sender.send(outcome)));
    ledger.submit(Submission { batch, on_conflict, reply });
    let closed = |_| Outcome { batch: Batch::new(), result: Err(Refusal::Closed) };
    receiver.await.unwrap_or_else(closed)
}

/// Waits until the entries below `end` can be found; whether they can.
pub(crate) async fn searchable(app: &App, ledger: &str, end: u64) -> bool {
    let Ok(mut indexed) = app.store.indexed(ledger) else { return false };
    if indexed.borrow().saturating_add(INDEX_LAG_MAX) < end {
        return false;
    }
    let reached = tokio::time::timeout(INDEX_WAIT, indexed.wait_for(|indexed| *indexed >= end)).await;
    matches!(reached, Ok(Ok(_)))
}

/// Waits until a checkpoint covers `end` entries, and gives it; `None` when there is none in time.
///
/// Looks again and again instead of blocking a thread: as many may wait here as there are connections, and threads that
/// may block are fewer.
pub(crate) async fn signed(ledger: &Ledger, end: u64, wait: Duration) -> Option<Signed> {
    // Has the signer hurry; does not wait itself.
    ledger.wait_signed(end, Duration::ZERO);
    let deadline = Instant::now() + wait;
    loop {
        let signed = ledger.signed().filter(|signed| signed.size >= end);
        if signed.is_some() || Instant::now() >= deadline {
            return signed;
        }
        tokio::time::sleep(SIGNED_POLL).await;
    }
}

/// The answer to `wait=checkpoint` when no checkpoint came.
pub(crate) fn unsigned() -> Problem {
    let detail = "the events are stored and can be found, but no checkpoint covers them yet; sending them again with \
                  their event_id stores nothing twice";
    Problem::new(Kind::Unavailable, detail).retry_after(5)
}

/// What a refusal of the ledger means for the sender.
pub(crate) fn refused(refusal: Refusal) -> Problem {
    match &refusal {
        Refusal::Overloaded => {
            crate::body::overloaded("too many events wait to be stored; nothing was stored")
        }
        Refusal::Full => {
            Problem::new(Kind::Unavailable, "the server's disk is full; nothing was stored").retry_after(60)
        }
        Refusal::Failed(_) => {
            tracing::error!(%refusal, "events could not be stored");
            Problem::new(Kind::Unavailable, "the events could not be written; nothing was stored")
                .retry_after(5)
        }
        Refusal::Closed => Problem::new(Kind::Unavailable, "the server is stopping").retry_after(5),
        Refusal::Conflicts(_) => Problem::new(Kind::Conflict, "some ids are taken by other events"),
    }
}
