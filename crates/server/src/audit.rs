//! What is done to Attestry, as events in its own `audit` ledger.
//!
//! Three ways in. A search joins the group commit and does not wait ([`Audit::record`]); an export waits until it is
//! durable that it was asked for ([`Audit::record_durably`]); account changes come from the accounts' outbox
//! ([`drain_outbox`]), because the command line makes them too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use attestry_event::{Batch, Border, Clock, Event, RESERVED_SOURCE};
use attestry_ledger::{Ledger, OnConflict, Refusal, Stored};
use tokio::sync::mpsc;

use crate::accounts::{Accounts, AccountsError};
use crate::app::App;
use crate::body::overloaded;
use crate::commit::submit;
use crate::problem::{Kind, Problem, chain};

/// How many events wait for the ledger before the requests that make them are refused: no search goes unrecorded.
const WAITING: usize = 10_000;

/// How many events go into one batch.
const BATCH: usize = 1_000;

/// How long a refused batch waits before it is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The way of events about Attestry itself into the ledger.
pub(crate) struct Audit {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    sender: mpsc::Sender<Event>,
}

/// The far end of [`Audit::record`]; [`write()`] empties it.
pub(crate) struct Recorded {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    receiver: mpsc::Receiver<Event>,
}

impl Audit {
    pub(crate) fn new(ledger: Arc<Ledger>, clock: Arc<dyn Clock>) -> (Audit, Recorded) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let recorded = Recorded { ledger: Arc::clone(&ledger), clock: Arc::clone(&clock), receiver };
        (Audit { ledger, clock, sender }, recorded)
    }

    /// Hands the event over; it is written within moments. Refused when the ledger has not taken anything for so long
    /// that too many wait.
    pub(crate) fn record(&self, event: Event) -> Result<(), Problem> {
        let event = event.time(self.clock.now());
        self.sender.try_send(event).map_err(|_| overloaded("the audit ledger does not keep up"))
    }

    /// Writes the event and waits until it is durable.
    pub(crate) async fn record_durably(&self, event: Event) -> Result<(), Problem> {
        let batch = encode(&[event.time(self.clock.now())], &*self.clock);
        submit(&self.ledger, batch, OnConflict::RefuseEvent).await.result.map(drop).map_err(|refusal| {
            tracing::error!(%refusal, "an event about Attestry itself was refused");
            Problem::new(
                Kind::Unavailable,
                "the audit ledger did not take the record of this request; try again",
            )
            .retry_after(1)
        })
    }
}

/// Why an event about Attestry itself is not in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The event does not fit; a mistake of ours.
    #[error("an event of our own is malformed: {0}")]
    Malformed(String),
    /// The ledger did not take it.
    #[error("the ledger did not take an event of our own")]
    Refused(#[from] Refusal),
}

/// Puts an event about Attestry itself into a ledger, and blocks until it is durable.
///
/// # Errors
/// See [`RecordError`].
pub fn record(ledger: &Ledger, clock: &dyn Clock, event: Event) -> Result<(), RecordError> {
    let mut batch = Batch::new();
    batch
        .push(&event.time(clock.now()), &border(clock))
        .map_err(|problems| RecordError::Malformed(format!("{problems:?}")))?;
    ledger.append(batch, OnConflict::RefuseEvent)?;
    Ok(())
}

/// Our own events are let in like an agent's: should the clock have been wrong, a time in the future is no reason to lose them.
fn border(clock: &dyn Clock) -> Border<'static> {
    Border {
        event_source: RESERVED_SOURCE,
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: true,
        now: clock.now(),
    }
}

fn encode(events: &[Event], clock: &dyn Clock) -> Batch {
    let mut batch = Batch::new();
    for event in events {
        if let Err(problems) = batch.push(event, &border(clock)) {
            // Our own events fit by construction; should one not, at least the log says what it was.
            tracing::error!(
                ?problems,
                event = event.event_name,
                "an event about Attestry itself is malformed"
            );
        }
    }
    batch
}

/// Writes what [`Audit::record`] hands over, until all its senders are gone and everything is written.
pub(crate) async fn write(mut recorded: Recorded) {
    let mut events = Vec::new();
    while recorded.receiver.recv_many(&mut events, BATCH).await > 0 {
        loop {
            let batch = encode(&events, &*recorded.clock);
            match submit(&recorded.ledger, batch, OnConflict::RefuseEvent).await.result {
                Ok(_) => break,
                Err(Refusal::Closed) => {
                    tracing::error!(
                        lost = events.len(),
                        "the audit ledger closed before these events were written"
                    );
                    return;
                }
                Err(refusal) => {
                    tracing::warn!(%refusal, waiting = events.len(), "the audit ledger refused events, trying again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        events.clear();
    }
}

/// Why the outbox was not emptied; it is tried again.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error("the outbox could not be read or written")]
    Accounts(#[from] AccountsError),
    #[error("the audit ledger refused the events of the outbox")]
    Refused(#[from] Refusal),
    #[error("the outbox was being read when the server stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

/// Moves the account changes that wait in the outbox into the ledger; whether all went well is shown by `readyz`.
pub(crate) async fn drain_outbox(app: &App) {
    let drained = drain(&app.accounts, &app.audit).await;
    let worked = app.audit_works.swap(drained.is_ok(), Ordering::Relaxed);
    if let Err(error) = drained
        && worked
    {
        tracing::error!(error = chain(&error), "account changes wait to be recorded");
    }
}

async fn drain(accounts: &Arc<Accounts>, audit: &Audit) -> Result<(), DrainError> {
    loop {
        let reading = Arc::clone(accounts);
        let pending = tokio::task::spawn_blocking(move || reading.pending(BATCH)).await??;
        let Some(last) = pending.last().map(|pending| pending.id) else { return Ok(()) };
        let mut batch = Batch::new();
        for pending in &pending {
            if let Err(problems) = batch.push_json(pending.event.as_bytes(), &border(&*audit.clock)) {
                tracing::error!(?problems, event = pending.event, "an event of the outbox is malformed");
            }
        }
        let Stored { .. } = submit(&audit.ledger, batch, OnConflict::RefuseEvent).await.result?;
        let deleting = Arc::clone(accounts);
        tokio::task::spawn_blocking(move || deleting.delivered(last)).await??;
    }
}
