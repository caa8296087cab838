//! Audit events of account changes, kept in the transaction of the change until they are in the ledger.

use attestry_event::Nanos;
use rusqlite::{Transaction, params};
use serde_json::{Map, Value, json};

use super::{Accounts, AccountsError, Actor};

/// An event that waits to be written to the `audit` ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the outbox, rising.
    pub id: i64,
    /// The event as JSON, as a client would post it. It holds an `event_id`: posting it twice stores it once, so a crash
    /// between writing it to the ledger and [`Accounts::delivered`] duplicates nothing.
    pub event: String,
}

/// What happened, without who and when.
pub(super) struct Note {
    event_name: &'static str,
    resource: Option<String>,
    failed: bool,
    data: Map<String, Value>,
}

impl Note {
    pub(super) fn new(event_name: &'static str) -> Note {
        Note { event_name, resource: None, failed: false, data: Map::new() }
    }

    pub(super) fn resource(mut self, resource: impl Into<String>) -> Note {
        self.resource = Some(resource.into());
        self
    }

    pub(super) fn failed(mut self) -> Note {
        self.failed = true;
        self
    }

    pub(super) fn data(mut self, name: &str, value: impl Into<Value>) -> Note {
        self.data.insert(name.to_owned(), value.into());
        self
    }
}

/// Puts the event into the outbox, within the transaction of what it tells of.
pub(super) fn record(
    tx: &Transaction<'_>,
    now: Nanos,
    actor: &Actor,
    note: Note,
) -> Result<(), AccountsError> {
    let mut event = json!({
        "event_id": uuid::Uuid::now_v7().to_string(),
        "event_time": now.to_string(),
        "event_name": note.event_name,
        "username": actor.name,
        "source_ip_address": actor.address,
        "outcome": if note.failed { "failure" } else { "success" },
    });
    if let Some(resource) = note.resource {
        event["resource"] = resource.into();
    }
    if !note.data.is_empty() {
        event["event_data"] = note.data.into();
    }
    tx.execute("INSERT INTO outbox (event) VALUES (?1)", params![event.to_string()])?;
    Ok(())
}

impl Accounts {
    /// The oldest events of the outbox, at most `limit`, in the order they happened.
    pub fn pending(&self, limit: usize) -> Result<Vec<Pending>, AccountsError> {
        let reader = self.reader.lock();
        let mut query =
            reader.connection().prepare_cached("SELECT id, event FROM outbox ORDER BY id LIMIT ?1")?;
        let rows = query.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(Pending { id: row.get(0)?, event: row.get(1)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes the events up to and including `id` out of the outbox: they are durable in the ledger.
    pub fn delivered(&self, id: i64) -> Result<(), AccountsError> {
        self.change(|tx| Ok(tx.execute("DELETE FROM outbox WHERE id <= ?1", [id]).map(drop)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, root};
    use super::*;

    #[test]
    fn events_leave_in_order_and_only_when_delivered() {
        let bench = bench();
        for name in ["key.create", "key.revoke", "login.success"] {
            bench.accounts.change(|tx| record(tx, Nanos(7), &root(), Note::new(name).data("a", 1))).unwrap();
        }
        let first = bench.accounts.pending(2).unwrap();
        assert_eq!(first.len(), 2);
        assert_eq!(bench.accounts.pending(2).unwrap(), first);
        bench.accounts.delivered(first[1].id).unwrap();
        let rest = bench.accounts.pending(2).unwrap();
        assert_eq!(rest.len(), 1);
        let event: Value = serde_json::from_str(&rest[0].event).unwrap();
        assert_eq!(event["event_name"], "login.success");
        assert_eq!(event["event_time"], "1970-01-01T00:00:00.000000007Z");
        assert_eq!(event["event_data"]["a"], 1);
    }
}
