//! Steps of alerts on their way into the ledger.

use anyhow::{Result, bail};
use attestry_event::{Batch, Border, Event, RESERVED_SOURCE};
use attestry_ledger::{OnConflict, Outcome, Refusal};

use super::{Shared, WAIT};

/// Events in one batch.
const EVENTS: usize = 500;

impl Shared {
    /// Records events, however long the ledger takes; gives the index after the last one. What is there already is not stored again.
    ///
    /// # Errors
    /// When it is time to stop, or the ledger is closed: then they are found and recorded after the next start.
    pub(super) fn write<'a>(&self, events: impl Iterator<Item = &'a Event>) -> Result<u64> {
        let events: Vec<&Event> = events.collect();
        let mut end = 0;
        for group in events.chunks(EVENTS) {
            let now = self.clock.now();
            let border = Border {
                event_source: RESERVED_SOURCE,
                via: &[],
                lenient: false,
                reserved_names: true,
                agent: true,
                now,
            };
            let mut batch = Batch::new();
            for event in group {
                if let Err(problems) = batch.push(event, &border) {
                    // Ours fit by construction; should one not, at least the log says what it was.
                    tracing::error!(?problems, event = event.event_name, "an event of an alert is malformed");
                }
            }
            end = end.max(self.offer(batch)?);
        }
        Ok(end)
    }

    fn offer(&self, mut batch: Batch) -> Result<u64> {
        loop {
            let Outcome { batch: back, result } = self.audit.offer(batch, OnConflict::RefuseEvent);
            match result {
                Ok(stored) => {
                    let last = stored.placed.iter().map(|placed| placed.index() + 1).max();
                    return Ok(last.unwrap_or(stored.end));
                }
                Err(Refusal::Closed) => bail!("the ledger audit is closed"),
                Err(_) if self.stopping() => bail!("the server stops, and the ledger audit takes nothing"),
                Err(refusal) => {
                    tracing::warn!(%refusal, "the ledger audit refused alerts, trying again");
                    std::thread::sleep(WAIT);
                    batch = back;
                }
            }
        }
    }
}
