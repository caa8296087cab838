//! What a user sees, on the real programs: each scenario ends with three verifiers looking at what it left.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod a_day_offline;
mod agents;
mod alerts;
mod backup;
mod brokers;
mod containers;
mod control_messages;
mod control_queues;
mod crash;
mod cron;
mod crowd;
mod damage;
mod derived;
mod export;
mod figures;
mod filters;
mod find;
mod followed;
mod full_disk;
mod harness;
mod install;
mod keys;
mod kills;
mod node;
mod pressure;
mod prove;
mod prune;
mod queued;
mod refuse;
mod reports;
mod reports_sent;
mod running;
mod send;
mod snapshots;
mod start;
mod stop;
mod stored;
mod tail;
mod take_in;
mod tls;
mod values;
mod watch_load;
mod watched;
mod watched_rows;
mod watches;
mod watchy;

use std::time::Duration;

use serde_json::{Value, json};

/// The product, built for this test.
const ATTESTRY: &str = env!("CARGO_BIN_EXE_attestry");

/// How long something may take that happens by itself within a second or so, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// The least that an event is, with an id to find it by.
fn event(id: &str) -> Value {
    json!({"event_id": id, "event_name": "door.open", "username": "alice"})
}

/// So many events as NDJSON, their ids being `<prefix>-<number>`.
fn lines(prefix: &str, count: usize) -> String {
    (0..count).map(|number| event(&format!("{prefix}-{number}")).to_string() + "\n").collect()
}

/// The texts of a list of objects under one name.
fn texts<'a>(list: &'a [Value], pointer: &str) -> Vec<&'a str> {
    list.iter().map(|item| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default()).collect()
}
