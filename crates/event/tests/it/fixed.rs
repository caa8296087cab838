//! The entry's bytes. These constants are the format: whatever happens to this crate, they stay.

use attestry_event::{Batch, Border, Event, LargeValue, Nanos, Outcome, id_hash};
use serde_json::json;

use crate::{accept, border};

#[track_caller]
fn check(json: &str, border: &Border<'_>, expected: &str) {
    match accept(json, border) {
        Ok(entry) => assert_eq!(entry, expected),
        Err(problems) => panic!("{json}: {problems:?}"),
    }
}

#[test]
fn the_least_event() {
    check(
        r#"{"event_name":"a.b","username":"u","event_id":"1"}"#,
        &border(),
        r#"{"v":1,"event_id":"1","event_time":"2026-11-21T03:04:05.678901234Z","received_at":"1970-01-01T00:00:00.000000000Z","event_name":"a.b","username":"u","event_source":"shop","source_ip_address":"-","read_only":false}"#,
    );
}

const FULL: &str = r#"{"v":1,"event_id":"0190f8a0-7b1c-7def-8000-0123456789ab","event_time":"2026-11-20T23:59:59.500000000Z","received_at":"2026-11-21T03:04:06.000000007Z","event_name":"row.update","username":"Zoë \"Z\"","resource":"accounts/7","event_source":"db1","via":["relay-1","relay-2"],"source_ip_address":"2001:db8::1","request_id":"r-1","read_only":true,"outcome":"failure","severity":4,"message":"tab\tline\nnul\u0000 😀 / \\","host":"db1.example","agent":"agent-7","agent_epoch":3,"agent_seq":18446744073709551615,"event_data":{"z":9007199254740993,"a":[1e5,1E400,-0,1.10,true,null,{}],"":{"é":"\u001f"}}}"#;

#[test]
fn the_full_event() {
    let json = r#"
        { "event_data" : { "z" : 9007199254740993, "a" : [ 1e5, 1E400, -0, 1.10, true, null, { } ], "" : { "\u00e9" : "\u001F" } },
          "agent_seq" : 18446744073709551615, "agent_epoch" : 3, "agent" : "agent-7", "host" : "db1.example",
          "message" : "tab\tline\u000anul\u0000 \ud83d\ude00 \/ \\", "severity" : 4, "outcome" : "failure",
          "read_only" : true, "request_id" : "r-1", "source_ip_address" : "2001:db8::1", "via" : [ "relay-1" ],
          "event_source" : "db1", "resource" : "accounts\/7", "username" : "Zo\u00eb \"Z\"",
          "event_name" : "row.update", "event_time" : "2026-11-21T01:59:59.5+02:00",
          "event_id" : "0190f8a0-7b1c-7def-8000-0123456789ab" }
    "#;
    let relays = ["relay-2".to_owned()];
    let border = Border { agent: true, via: &relays, ..border() };
    let mut batch = Batch::with_seed([0; 32]);
    batch.push_json(json.as_bytes(), &border).unwrap();
    batch.stamp(Nanos(1_795_230_246_000_000_007));
    assert_eq!(std::str::from_utf8(batch.entry(0)), Ok(FULL));
}

#[test]
fn an_event_made_inside_has_the_same_bytes() {
    let mut event = Event::new("row.update", "Zoë \"Z\"")
        .id("0190f8a0-7b1c-7def-8000-0123456789ab")
        .time(Nanos(1_795_219_199_500_000_000))
        .resource("accounts/7")
        .source_ip_address("2001:db8::1")
        .request_id("r-1")
        .read_only(true)
        .outcome(Outcome::Failure)
        .severity(4)
        .message("tab\tline\nnul\0 😀 / \\")
        .host("db1.example");
    event.event_source = Some("db1".to_owned());
    event.via = vec!["relay-1".to_owned()];
    event.agent = Some("agent-7".to_owned());
    event.agent_epoch = Some(3);
    event.agent_seq = Some(u64::MAX);
    let event = event
        .data("z", 9_007_199_254_740_993_u64)
        .data("a", json!([100, 0.5, -1, true, null, {}]))
        .data("", json!({"é": "\u{1f}"}));
    let relays = ["relay-2".to_owned()];
    let border = Border { agent: true, via: &relays, ..border() };
    let mut batch = Batch::with_seed([0; 32]);
    batch.push(&event, &border).unwrap();
    batch.stamp(Nanos(1_795_230_246_000_000_007));
    let expected = FULL.replace("[1e5,1E400,-0,1.10,true", "[100,0.5,-1,true");
    assert_eq!(std::str::from_utf8(batch.entry(0)), Ok(expected.as_str()));
}

#[test]
fn large_values_stand_beside() {
    let large = "é".repeat(2_049);
    let escaped = "\\u00e9".repeat(2_049);
    let json = format!(
        r#"{{"event_id":"1","event_name":"n","username":"u","message":"{escaped}","event_data":{{"a":["{large}"],"b":"{}"}}}}"#,
        "x".repeat(4_096)
    );
    let mut batch = Batch::with_seed([1; 32]);
    batch.push_json(json.as_bytes(), &border()).unwrap();
    let expected = format!(
        r#""message":{{"$ref":"sha256:{}","bytes":4098}},"event_data":{{"a":[{{"$ref":"sha256:{}","bytes":4098}}],"b":"{}"}}}}"#,
        hex(&batch.values[1].hash),
        hex(&batch.values[0].hash),
        "x".repeat(4_096)
    );
    let entry = std::str::from_utf8(batch.entry(0)).unwrap();
    assert!(entry.ends_with(&expected), "{entry}");
    assert_eq!(batch.rows[0].values, 0..2);
    for LargeValue { hash, salt, content } in &batch.values {
        assert_eq!(content, large.as_bytes());
        assert_eq!(*hash, attestry_event::value_hash(salt, content));
    }
    assert_ne!(batch.values[0].salt, batch.values[1].salt);
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_value_hash() {
    // Checked with: printf '0123456789abcdefvalue' | sha256sum
    assert_eq!(
        hex(&attestry_event::value_hash(b"0123456789abcdef", b"value")),
        "b89ca3961c4207a5f6516e0f5077f64c7b1073fd29b22425fd2dfdecf42422c8"
    );
}

#[test]
fn the_hash_of_an_id_stays() {
    for (id, hash) in [
        ("", 0xb98b_148f_3731_bb98),
        ("1", 0xcf6f_2658_3ad1_67db),
        ("0190f8a0-7b1c-7def-8000-0123456789ab", 0x32b1_cfde_f708_7523),
    ] {
        assert_eq!(id_hash(id.as_bytes()), hash, "{id}");
    }
}

#[test]
fn generated_ids_are_uuids_of_version_7() {
    let mut batch = Batch::with_seed([2; 32]);
    for _ in 0..3 {
        batch.push_json(br#"{"event_name":"n","username":"u"}"#, &border()).unwrap();
    }
    let ids: Vec<&str> = (0..3).map(|row| batch.event_id(row)).collect();
    for id in &ids {
        assert!(
            id.starts_with(&format!(
                "{:08x}-{:04x}-7",
                1_795_230_245_678_u64 >> 16,
                1_795_230_245_678_u64 & 0xffff
            )),
            "{id}"
        );
        assert_eq!(id.len(), 36);
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
    }
    assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    let mut other = Batch::new();
    other.push_json(br#"{"event_name":"n","username":"u"}"#, &border()).unwrap();
    assert_ne!(other.event_id(0), batch.event_id(0));
}
