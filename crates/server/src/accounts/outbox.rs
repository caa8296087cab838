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

    /// The line for people.
    fn line(&self, who: &str) -> String {
        let what = self.resource.as_deref().unwrap_or("-");
        let data = |name: &str| self.data.get(name).and_then(Value::as_str).unwrap_or_default();
        match self.event_name {
            // For the programs of its own host.
            "key.create" if who == "-" => format!("Attestry made the {} key {what}", data("kind")),
            "key.create" => format!("{who} made the {} key {what}", data("kind")),
            "key.revoke" => format!("{who} revoked the key {what}"),
            "person.create" => format!("{who} made the user {what}, {}", data("role")),
            "person.password" => format!("{who} set the password of {what}"),
            "login.success" => format!("{who} logged in"),
            "login.failure" => format!("{who} failed to log in"),
            "login.lockout" => format!("{who} may not try to log in until {}", data("until")),
            "session.end" => format!("{who} logged out"),
            "agent.token" => format!("{who} invited the agent {what}"),
            "agent.enroll" => format!("the agent {what} enrolled"),
            "agent.renew" => format!("the agent {what} renewed its certificate"),
            "agent.revoke" => format!("{who} revoked the agent {what}"),
            name => format!("{who}: {name} {what}"),
        }
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
        "message": note.line(&actor.name),
    });
    if let Some(resource) = note.resource {
        event["resource"] = resource.into();
    }
    if !note.data.is_empty() {
        event["event_data"] = note.data.into();
    }
    put(tx, &event)
}

/// Puts an event that is written out already into the outbox.
pub(super) fn put(tx: &Transaction<'_>, event: &Value) -> Result<(), AccountsError> {
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
        assert_eq!(event["message"], "root logged in");
    }

    #[test]
    fn every_change_has_a_line_for_people() {
        let note = |name| Note::new(name).resource("shop").data("kind", "write").data("role", "admin");
        for (note, line) in [
            (note("key.create"), "root made the write key shop"),
            (note("key.revoke"), "root revoked the key shop"),
            (note("person.create"), "root made the user shop, admin"),
            (note("person.password"), "root set the password of shop"),
            (note("login.lockout").data("until", "noon"), "root may not try to log in until noon"),
            (note("agent.enroll"), "the agent shop enrolled"),
            (note("thing.happen"), "root: thing.happen shop"),
        ] {
            assert_eq!(note.line("root"), line);
        }
        assert_eq!(note("key.create").line("-"), "Attestry made the write key shop");
    }
}
