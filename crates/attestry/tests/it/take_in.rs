//! What is posted, what is answered, and that it is found at once.

use std::io::Write;

use attestry_testkit::{Client, Scenario};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{ATTESTRY, event, lines};

const EVENTS: &str = "/api/v1/events";
const NDJSON: &str = "application/x-ndjson";

/// A scenario with a client that posts as `shop` and one that reads.
fn open() -> (Scenario, Client, Client) {
    let scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    (scenario, writer, reader)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::bulk::compress(text.as_bytes(), 1).unwrap()
}

#[test]
fn every_form_is_taken_and_found_at_once() {
    let (scenario, writer, reader) = open();
    let json = "application/json";
    let array = json!([event("array-0"), event("array-1")]).to_string();
    let mut next = None;
    for (prefix, kind, encoding, body, count) in [
        ("object", json, None, event("object-0").to_string().into_bytes(), 1),
        ("array", json, None, array.into_bytes(), 2),
        ("lines", NDJSON, None, lines("lines", 3).into_bytes(), 3),
        // Not every client says what it sends.
        ("plain", "text/plain", None, lines("plain", 3).into_bytes(), 3),
        ("gzip", NDJSON, Some("gzip"), gzip(&lines("gzip", 300)), 300),
        ("zstd", NDJSON, Some("zstd"), zstd(&lines("zstd", 300)), 300),
    ] {
        let client = encoding.map_or(writer.clone(), |name| writer.clone().with("content-encoding", name));
        let answer = client.post(EVENTS, kind, body).is(201).json();
        let events = answer["events"].as_array().unwrap();
        assert_eq!(events.len(), count, "{prefix}");
        let found = reader.search(&format!("event_id:{prefix}-*"));
        assert_eq!(found.len(), count, "{prefix}: not found as soon as it is acknowledged");
        for (number, placed) in events.iter().enumerate() {
            let id = format!("{prefix}-{number}");
            assert_eq!((&placed["event_id"], &placed["ledger"]), (&json!(id), &json!("audit")));
            assert!(placed.get("duplicate").is_none(), "{placed}");
            let index = placed["index"].as_u64().unwrap();
            assert!(next.is_none_or(|next| index >= next), "{placed}");
            next = Some(index + 1);
            let same = |hit: &&Value| hit["index"] == index && hit["event"]["event_id"] == *id;
            assert_eq!(found.iter().filter(same).count(), 1, "{placed}");
        }
    }
    for nth in 0..30 {
        let id = format!("quick-{nth}");
        let mut posted = event(&id);
        posted["event_data"] = json!({"order": {"total": nth, "by": "carol"}});
        posted["message"] = json!(format!("connection reset by peer number{nth}"));
        writer.store(&posted);
        for query in [
            format!("event_id:{id}"),
            format!("event_data.order.total:{nth}"),
            format!("\"reset by peer number{nth}\""),
        ] {
            assert_eq!(reader.count(&query), 1, "{query}");
        }
    }
    scenario.finish();
}

#[test]
fn what_is_wrong_is_listed_by_line_and_nothing_is_stored_by_half() {
    let (scenario, writer, reader) = open();
    let body = [
        r#"{"event_id":"good-1","event_name":"a.b","username":"u"}"#,
        r#"{"event_id":"bad-2","username":"u"}"#,
        "",
        "not json",
        r#"{"event_id":"bad-5","event_name":"a.b","username":"u","severity":9}"#,
        r#"{"event_id":"bad-6","event_name":"a.b","usernam":"u"}"#,
        r#"{"event_id":"good-7","event_name":"a.b","username":"u"}"#,
        r#"{"event_id":"bad-8","event_name":"login.success","username":"u"}"#,
    ]
    .join("\n");
    let expected = [
        (2, "event_name", "nothing", "a string that is not empty"),
        (4, "event", "not json", "JSON"),
        (5, "severity", "9", "0 (emergency) to 7"),
        (6, "usernam", "an unknown field", "username"),
        (6, "username", "nothing", "a string that is not empty"),
        (8, "event_name", "login.success", "one of Attestry's own"),
    ];
    let check = |problems: &Value| {
        let problems = problems.as_array().unwrap();
        let place = |problem: &Value| {
            (problem["line"].as_u64().unwrap(), problem["field"].as_str().unwrap().to_owned())
        };
        let places: Vec<_> = problems.iter().map(place).collect();
        let wanted: Vec<_> = expected.iter().map(|(line, field, ..)| (*line, (*field).to_owned())).collect();
        assert_eq!(places, wanted, "{problems:#?}");
        for (problem, (.., found, expected)) in problems.iter().zip(expected) {
            assert!(problem["found"].as_str().unwrap().contains(found), "{problem}");
            assert!(problem["expected"].as_str().unwrap().contains(expected), "{problem}");
        }
    };
    let refused = writer.post(EVENTS, NDJSON, &body).is(422);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(refused.json()["status"], 422);
    check(&refused.json()["problems"]);
    assert_eq!(reader.count("event_source:shop"), 0);

    let stored = writer.post("/api/v1/events?partial=true", NDJSON, &body).is(201).json();
    check(&stored["problems"]);
    let ids: Vec<_> = stored["events"].as_array().unwrap().iter().map(|event| &event["event_id"]).collect();
    assert_eq!(ids, ["good-1", "good-7"]);
    assert_eq!(reader.count("event_source:shop"), 2);

    // The same id again is the same event only if it says the same.
    let first = writer.store(&event("once"));
    let index = first["events"][0]["index"].clone();
    let again = writer.store(&event("once"));
    assert_eq!(
        again["events"],
        json!([{"event_id": "once", "ledger": "audit", "index": index, "duplicate": true}])
    );
    let mut other = event("once");
    other["username"] = json!("mallory");
    let taken = writer.post_json(EVENTS, &json!([event("not-stored"), other])).is(409).json();
    assert_eq!(
        taken["conflicts"],
        json!([{"line": 2, "event_id": "once", "ledger": "audit", "index": index}])
    );
    assert_eq!((reader.count("event_id:once"), reader.count("event_id:not-stored")), (1, 0));
    assert_eq!(reader.search("event_id:once")[0]["event"]["username"], "alice");

    let large = writer.clone().with("content-encoding", "zstd");
    let large = large.post(EVENTS, NDJSON, zstd(&" ".repeat((32 << 20) + 1))).is(413);
    assert_eq!(large.header("content-type"), "application/problem+json");
    for (kind, encoding, body, status) in [
        ("application/json", "identity", "", 400),
        ("application/json", "identity", "{", 422),
        ("application/json", "br", "{}", 415),
        ("application/json", "gzip", "{}", 400),
    ] {
        writer.clone().with("content-encoding", encoding).post(EVENTS, kind, body).is(status);
    }
    scenario.finish();
}

#[test]
fn auditmons_clients_work_unchanged() {
    let (scenario, writer, reader) = open();
    let example = |time: &str| {
        json!({
            "event_time": time,
            "event_name": "loginSuccessful",
            "username": "sample_user",
            "resource": "my_resource",
            "event_source": "my_application",
            "source_ip_address": "127.0.0.1",
            "event_id": "aaaa-bbbb-cccc-eeee-dddd-ffff",
            "request_id": "aaaa-bbbb-cccc-eeee-dddd-ffff",
            "read_only": false,
            "event_data": {"any": "extraFields", "count": 123},
        })
    };
    // Their own example shows the layout of a time where the time belongs.
    let refused = writer.post_json(EVENTS, &example("2006-01-02T15:04:05Z07:00")).is(422).json();
    assert_eq!(refused["problems"][0]["field"], "event_time");
    assert_eq!(refused["problems"][0]["found"], "2006-01-02T15:04:05Z07:00");
    assert!(refused["problems"][0]["expected"].as_str().unwrap().contains("RFC 3339"), "{refused}");

    let stored = writer.store(&example("2026-01-02T15:04:05+07:00"));
    assert_eq!(stored["overwritten"], json!(["event_source"]));
    let found = &reader.search("event_id:aaaa-bbbb-cccc-eeee-dddd-ffff")[0]["event"];
    assert_eq!(found["event_source"], "shop");
    assert_eq!(found["event_time"], "2026-01-02T08:04:05.000000000Z");
    assert_eq!(reader.count("event_data.any:extraFields event_data.count:>100 request_id:aaaa-*"), 1);

    let least = writer.store(&json!({"event_name": "loginSuccessful", "username": "least"}));
    assert!(least.get("overwritten").is_none(), "{least}");
    let found = &reader.search("username:least")[0]["event"];
    assert_eq!((&found["source_ip_address"], &found["read_only"]), (&json!("-"), &json!(false)));
    assert_eq!(found["event_id"].as_str().unwrap().len(), 36);
    scenario.finish();
}

#[test]
fn a_writer_can_wait_for_the_signature() {
    let (scenario, writer, reader) = open();
    for nth in 0..3 {
        let id = format!("signed-{nth}");
        let answer = writer.post_json("/api/v1/events?wait=checkpoint", &event(&id)).is(201).json();
        let index = answer["events"][0]["index"].as_u64().unwrap();
        let note = answer["checkpoint"].as_str().unwrap();
        let size: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        assert!(size > index, "{note}");
        // It is the log's own checkpoint, not one made for this answer.
        let newest = reader.get("/log/audit/checkpoint", &[]).is(200).text();
        assert_eq!(newest.lines().next(), note.lines().next());
        assert!(newest.lines().nth(1).unwrap().parse::<u64>().unwrap() >= size);
        let again = writer.post_json("/api/v1/events?wait=checkpoint", &event(&id)).is(201).json();
        assert_eq!(again["events"][0]["index"], index);
    }
    scenario.finish();
}
