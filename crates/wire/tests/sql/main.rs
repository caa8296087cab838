//! The SQL sink against real databases.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helper functions too")]

mod tables;
mod tls;

use attestry_event::{Batch, Border, Nanos};
use attestry_pipeline::Parcel;
use attestry_wire::sql::{SinkConfig, SqlSink};
use bytes::Bytes;
use serde_json::{Value, json};

fn sink_of(config: Value) -> SqlSink {
    let config: SinkConfig = serde_json::from_value(config).expect("a configuration");
    assert_eq!(config.check(), []);
    SqlSink::new(&config).expect("an address")
}

fn parcel(id: usize, more: &Value) -> Parcel {
    let border = Border {
        event_source: "test",
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: true,
        now: Nanos(1_700_000_000_000_000_000),
    };
    let mut event = json!({"event_id": format!("e{id}"), "event_name": "a.b", "username": "u"});
    for (name, value) in more.as_object().expect("an object") {
        event[name] = value.clone();
    }
    let mut batch = Batch::with_seed([7; 32]);
    batch.push_json(event.to_string().as_bytes(), &border).expect("an event");
    let entry = Bytes::copy_from_slice(batch.entry(0));
    Parcel { ledger: "audit".into(), number: id as u64, seq: None, entry, values: batch.values.clone() }
}
