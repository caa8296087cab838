//! Events whose id is taken by other content, and whose sender has no person to ask: kept whole, inside of an event that says so, because
//! evidence must not be lost for a clash of names.

use attestry_event::{Batch, Event, write_event};
use attestry_ledger::{Placed, Stored};

/// A `gap.conflict` for each event of the batch that was not stored. `sender` is the agent, source or receiver.
pub fn clashes(sender: &str, ledger: &str, batch: &Batch, stored: &Stored) -> Vec<Event> {
    let clashing = stored.placed.iter().enumerate().filter_map(|(row, placed)| match placed {
        Placed::Conflict(index) => Some((row, *index)),
        _ => None,
    });
    clashing.map(|(row, index)| clash(sender, ledger, batch, row, index)).collect()
}

fn clash(sender: &str, ledger: &str, batch: &Batch, row: usize, index: u64) -> Event {
    let mut whole = Vec::new();
    let id = batch.event_id(row);
    if let Err(error) = write_event(batch.entry(row), batch.values_of(row), &mut whole) {
        // The batch was encoded here, so its entries can be read.
        tracing::error!(%error, event_id = id, "an event that clashes with another one cannot be read");
    }
    Event::new("gap.conflict", "-")
        .resource(sender)
        .severity(3)
        .message(format!("{sender} sent another event under the id {id}, which is {ledger}/{index}"))
        .data("sender", sender)
        .data("ledger", ledger)
        .data("event_id", id)
        .data("index", index)
        .data("event", String::from_utf8_lossy(&whole).into_owned())
}
