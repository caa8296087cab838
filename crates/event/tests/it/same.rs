//! What counts as the same event again.

use attestry_event::{Batch, Border, Nanos, same_content};

use crate::{NOW, border};

fn batch(members: &str, border: &Border<'_>, seed: u8) -> Batch {
    let json = format!(r#"{{"event_name":"n","username":"u","event_id":"1"{members}}}"#);
    let mut batch = Batch::with_seed([seed; 32]);
    batch.push_json(json.as_bytes(), border).unwrap();
    batch
}

/// Stores one event, offers another a second later, and compares in both directions.
#[track_caller]
fn check(stored: &str, offered: &str, expected: bool) {
    let later = Border { now: Nanos(NOW.0 + 1_000_000_000), ..border() };
    let mut first = batch(stored, &border(), 1);
    first.stamp(Nanos(NOW.0 + 5));
    let second = batch(offered, &later, 2);
    let mut salts =
        |hash: &[u8; 32]| first.values.iter().find(|value| value.hash == *hash).map(|value| value.salt);
    assert_eq!(second.is_same(0, first.entry(0), &mut salts), expected, "{stored} {offered}");
    let mut salts =
        |hash: &[u8; 32]| second.values.iter().find(|value| value.hash == *hash).map(|value| value.salt);
    if first.rows[0].time_given == second.rows[0].time_given {
        assert_eq!(first.is_same(0, second.entry(0), &mut salts), expected, "{offered} {stored}");
    }
}

#[test]
fn the_senders_content_decides() {
    let time = r#","event_time":"2026-11-21T03:04:05Z""#;
    let other_zone = r#","event_time":"2026-11-21T04:04:05+01:00""#;
    for (stored, offered, same) in [
        ("", "", true),
        ("", r#","message":"","read_only":false,"source_ip_address":"-""#, true),
        (time, time, true),
        (time, other_zone, true),
        (time, r#","event_time":"2026-11-21T03:04:06Z""#, false),
        (time, "", true),
        ("", time, false),
        (r#","resource":"\u0061""#, r#","resource":"a""#, true),
        (r#","resource":"a""#, r#","resource":"b""#, false),
        (r#","resource":"a""#, "", false),
        (r#","severity":1"#, r#","severity":2"#, false),
        (r#","read_only":true"#, "", false),
        (r#","message":"a""#, r#","message":"b""#, false),
        (r#","message":"a""#, "", false),
        (r#","event_source":"x""#, r#","event_source":"y""#, true),
    ] {
        check(stored, offered, same);
    }
}

#[test]
fn data_is_compared_after_parsing() {
    for (stored, offered, same) in [
        (r#"{"a":1,"b":[1,2]}"#, r#"{ "b": [1, 2], "a": 1 }"#, true),
        (r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2,"x":1}}"#, true),
        (r#"{"a":1}"#, r#"{"a":1.0}"#, true),
        (r#"{"a":9007199254740993,"b":1}"#, r#"{"b":1,"a":9007199254740992}"#, false),
        (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, false),
        (r#"{"a":[1,2]}"#, r#"{"a":[1,2,3]}"#, false),
        (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false),
        (r#"{"a":null}"#, r#"{"a":false}"#, false),
        (r#"{"a":"1"}"#, r#"{"a":1}"#, false),
        (r#"{"a":"\u00e9\n"}"#, r#"{"a":"é\u000a"}"#, true),
        (r#"{"a":{}}"#, r#"{"a":[]}"#, false),
        (r#"{"a":1}"#, r#"{"b":1}"#, false),
        ("{}", "null", false),
    ] {
        check(&format!(",\"event_data\":{stored}"), &format!(",\"event_data\":{offered}"), same);
    }
}

#[test]
fn large_values_are_compared_by_content() {
    let (large, other) = ("x".repeat(5_000), format!("{}y", "x".repeat(4_999)));
    let message = |text: &str| format!(r#","message":"{text}""#);
    let data = |text: &str| format!(r#","event_data":{{"b":1,"a":["{text}"]}}"#);
    check(&message(&large), &message(&large), true);
    check(&message(&large), &message(&other), false);
    check(&message(&large), &message("x"), false);
    check(&data(&large), &data(&large), true);
    check(&data(&large), &data(&other), false);
    check(&data(&large), &format!(r#","event_data":{{"a":["{large}"],"b":1}}"#), true);
    check(&data(&large), r#","event_data":{"b":1,"a":["x"]}"#, false);
}

#[test]
fn an_erased_value_equals_nothing() {
    let members = format!(r#","message":"{}""#, "x".repeat(5_000));
    let first = batch(&members, &border(), 1);
    let second = batch(&members, &border(), 2);
    assert!(!second.is_same(0, first.entry(0), &mut |_| None));
}

#[test]
fn a_value_may_be_kept_out_of_the_entry_by_policy() {
    let inline = batch(r#","message":"erasable""#, &border(), 1);
    let salt = [9; 16];
    let hash = attestry_event::value_hash(&salt, b"erasable");
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let entry = String::from_utf8(inline.entry(0).to_vec()).unwrap();
    let stored = entry.replace("\"erasable\"", &format!(r#"{{"$ref":"sha256:{hex}","bytes":8}}"#));
    assert!(inline.is_same(0, stored.as_bytes(), &mut |asked| (*asked == hash).then_some(salt)));
    assert!(!inline.is_same(0, stored.as_bytes(), &mut |_| Some([0; 16])));
}

#[test]
fn relays_and_receipt_do_not_count() {
    let relays = ["r1".to_owned()];
    let direct = batch("", &border(), 1);
    let relayed = batch("", &Border { via: &relays, ..border() }, 2);
    assert!(relayed.is_same(0, direct.entry(0), &mut |_| None));
}

#[test]
fn what_an_agent_numbers_again_is_the_same_of_that_agent() {
    let agent = Border { agent: true, ..border() };
    let told = |name: &str, epoch: u64, seq: u64| {
        let members = format!(r#","agent":"{name}","agent_epoch":{epoch},"agent_seq":{seq}"#);
        batch(&members, &agent, 1)
    };
    let first = told("web1", 7, 20);
    for (again, same) in [
        (told("web1", 7, 21), true),
        (told("web1", 8, 0), true),
        (told("web2", 7, 20), false),
        (batch("", &agent, 1), false),
    ] {
        assert_eq!(again.is_same(0, first.entry(0), &mut |_| None), same);
    }
}

#[test]
fn what_cannot_be_read_equals_only_itself() {
    let newer = br#"{"v":2}"#;
    assert!(same_content(newer, newer, true, &[], &mut |_| None));
    assert!(!same_content(newer, br#"{"v":3}"#, true, &[], &mut |_| None));
    assert!(!same_content(b"", newer, true, &[], &mut |_| None));
}
