//! Tables of real databases: what goes in is there, whole and once, whatever happens to the server in between.

use std::time::Duration;

use attestry_pipeline::{Failure, Parcel, Sink};
use attestry_testkit::{MariaDb, Postgres};
use attestry_wire::sql::SqlSink;
use serde_json::{Value, json};

use crate::{parcel, sink_of};

fn sink(url: &str) -> SqlSink {
    sink_of(json!({"url": url, "timeout": "20s"}))
}

/// Everything that an event can have.
fn full() -> Parcel {
    let long = "ü".repeat(10_000);
    parcel(
        0,
        &json!({
            "event_time": "2026-11-21T03:04:05.123456789Z",
            "resource": "r",
            "via": ["relay"],
            "source_ip_address": "192.0.2.1",
            "request_id": "q",
            "read_only": true,
            "outcome": "failure",
            "severity": 3,
            "message": long,
            "host": "web1",
            "agent": "web1",
            "agent_epoch": u64::MAX,
            "agent_seq": 7,
            "event_data": {"text": "it's \"quoted\" \\ 😀 ?", "big": 9_007_199_254_740_993u64, "long": long},
        }),
    )
}

/// Three events, one of them offered twice at once and all of them twice after one another.
async fn three_are_written_twice(url: &str) {
    let mut sink = sink(url);
    for _ in 0..2 {
        let events =
            [full(), parcel(1, &json!({})), parcel(1, &json!({})), parcel(2, &json!({"event_id": "E1"}))];
        assert_eq!(sink.deliver(&events).await, Ok(vec![]));
    }
}

fn ids(refused: &[attestry_pipeline::Refused]) -> Vec<usize> {
    refused.iter().map(|refused| refused.at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_holds_every_field() {
    let server = Postgres::started();
    three_are_written_twice(&server.url()).await;
    for (query, expected) in [
        ("count(*) FROM attestry_events", "3"),
        ("max(version) FROM attestry_events_schema", "2"),
        (
            "event_time AT TIME ZONE 'UTC' FROM attestry_events WHERE event_id = 'e0'",
            "2026-11-21 03:04:05.123457",
        ),
        (
            "read_only, severity, via, agent_epoch, agent_seq, length(message) FROM attestry_events WHERE event_id = 'e0'",
            "t|3|[\"relay\"]|18446744073709551615|7|10000",
        ),
        (
            "event_data ->> 'text', event_data ->> 'big', length(event_data ->> 'long') FROM attestry_events WHERE event_id = 'e0'",
            "it's \"quoted\" \\ 😀 ?|9007199254740993|10000",
        ),
        (
            "resource IS NULL, message IS NULL, event_data IS NULL, read_only, source_ip_address, loaded_at IS NULL FROM attestry_events WHERE event_id = 'e1'",
            "t|t|t|f|-|f",
        ),
    ] {
        assert_eq!(server.query(&format!("SELECT {query}")), expected, "{query}");
    }
}

/// PostgreSQL has no place for U+0000, and a key has a greatest length.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_refuses_a_bad_row_and_takes_the_rest() {
    let server = Postgres::started();
    let mut events: Vec<Parcel> = (0..100).map(|id| parcel(id, &json!({}))).collect();
    events[17] = parcel(17, &json!({"message": "a\0b"}));
    events[18] = parcel(18, &json!({"event_data": {"a": "\0"}}));
    events[99] = parcel(99, &json!({"event_data": {"n": serde_json::from_str::<Value>("1e300").unwrap()}}));
    let refused = sink(&server.url()).deliver(&events).await.unwrap();
    assert_eq!(ids(&refused), [17, 18], "{refused:?}");
    assert_eq!(server.query("SELECT count(*) FROM attestry_events"), "98");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_holds_every_field() {
    let server = MariaDb::started();
    three_are_written_twice(&server.url()).await;
    for (query, expected) in [
        ("count(*) FROM attestry_events", "3"),
        ("max(version) FROM attestry_events_schema", "2"),
        ("event_time FROM attestry_events WHERE event_id = 'e0'", "2026-11-21 03:04:05.123456"),
        (
            "read_only, severity, via, agent_epoch, agent_seq, char_length(message) FROM attestry_events WHERE event_id = 'e0'",
            "1\t3\t[\"relay\"]\t18446744073709551615\t7\t10000",
        ),
        (
            "json_value(event_data, '$.text'), json_value(event_data, '$.big'), char_length(json_value(event_data, '$.long')) FROM attestry_events WHERE event_id = 'e0'",
            "it's \"quoted\" \\ 😀 ?\t9007199254740993\t10000",
        ),
        (
            "resource IS NULL, message IS NULL, event_data IS NULL, read_only, source_ip_address, loaded_at IS NULL FROM attestry_events WHERE event_id = 'e1'",
            "1\t1\t1\t0\t-\t0",
        ),
    ] {
        assert_eq!(server.query(&format!("SELECT {query}")), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_refuses_a_bad_row_and_takes_the_rest() {
    let server = MariaDb::started();
    let mut warm = sink(&server.url());
    assert_eq!(warm.deliver(&[parcel(0, &json!({}))]).await, Ok(vec![]));
    // A narrower column, as a person may have made it: too long is refused, not cut.
    server.query("ALTER TABLE attestry_events MODIFY username VARCHAR(10) NOT NULL");
    let mut events: Vec<Parcel> = (0..100).map(|id| parcel(id, &json!({}))).collect();
    events[42] = parcel(42, &json!({"username": "longer than ten"}));
    let refused = sink(&server.url()).deliver(&events).await.unwrap();
    assert_eq!(ids(&refused), [42], "{refused:?}");
    // Larger than what the server takes at once.
    server.query("SET GLOBAL max_allowed_packet = 1048576");
    let mut events: Vec<Parcel> = (200..205).map(|id| parcel(id, &json!({}))).collect();
    events[3] = parcel(203, &json!({"message": "x".repeat(2 << 20)}));
    assert_eq!(ids(&sink(&server.url()).deliver(&events).await.unwrap()), [3]);
    assert_eq!(server.query("SELECT count(*) FROM attestry_events"), "103");
}

/// Delivers everything in batches, as whoever feeds a sink does: what was not delivered is offered again.
async fn deliver_all(mut sink: SqlSink, count: usize) {
    let events: Vec<Parcel> = (0..count).map(|id| parcel(id, &json!({"message": "x".repeat(200)}))).collect();
    for batch in events.chunks(100) {
        let mut from = 0;
        while from < batch.len() {
            match sink.deliver(&batch[from..]).await {
                Ok(refused) => {
                    assert_eq!(refused, []);
                    break;
                }
                Err(Failure::Again { delivered, .. }) => {
                    from += delivered;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(halt) => panic!("{halt}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_killed_in_between_loses_and_doubles_nothing() {
    let mut server = Postgres::started();
    let delivering = tokio::spawn(deliver_all(sink(&server.url()), 20_000));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.kill();
        server.start();
    }
    delivering.await.unwrap();
    assert_eq!(server.query("SELECT count(*), count(DISTINCT event_id) FROM attestry_events"), "20000|20000");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_killed_in_between_loses_and_doubles_nothing() {
    let mut server = MariaDb::started();
    let delivering = tokio::spawn(deliver_all(sink(&server.url()), 20_000));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.kill();
        server.start();
    }
    delivering.await.unwrap();
    assert_eq!(
        server.query("SELECT count(*), count(DISTINCT event_id) FROM attestry_events"),
        "20000\t20000"
    );
}
