//! Events for tests of the ways out.

use attestry_event::{Batch, Border, Nanos};
use attestry_pipeline::Parcel;
use bytes::Bytes;
use serde_json::{Value, json};

/// An event of these members, and of those that are required.
pub(crate) fn parcel(number: usize, ledger: &str, more: &Value) -> Parcel {
    let border = Border {
        event_source: "test",
        via: &[],
        lenient: false,
        reserved_names: true,
        agent: true,
        now: Nanos(1_700_000_000_000_000_000),
    };
    let mut event = json!({"event_id": format!("e{number}"), "event_name": "a.b", "username": "u"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut batch = Batch::with_seed([7; 32]);
    batch.push_json(event.to_string().as_bytes(), &border).unwrap();
    Parcel {
        ledger: ledger.into(),
        number: number as u64,
        seq: Some(100 + number as u64),
        entry: Bytes::copy_from_slice(batch.entry(0)),
        values: batch.values.clone(),
    }
}

/// So many plain events, `e0`, `e1` …
pub(crate) fn parcels(count: usize) -> Vec<Parcel> {
    (0..count).map(|number| parcel(number, "audit", &json!({}))).collect()
}
