//! What is handed to somebody who does not trust this server.

use std::path::Path;

use attestry_testkit::Scenario;
use serde_json::{Value, json};

use crate::{ATTESTRY, lines};

/// What the verifiers say of an export; the script reads none.
fn check(scenario: &Scenario, arguments: &[&str], code: i32) {
    scenario.attestry(&[&["verify"], arguments].concat()).is(code);
    scenario.verifier(arguments).is(code);
}

fn read(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn an_export_proves_what_it_holds() {
    let scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    writer.post("/api/v1/events", "application/x-ndjson", lines("many", 600)).is(201);
    let large = json!({
        "event_id": "large", "event_name": "a.b", "username": "bob",
        "message": "a long story ".repeat(1_000),
    });
    writer.post_json("/api/v1/events?wait=checkpoint", &large).is(201);
    let key = scenario.key(&["auditor", "--read"]);
    let vkey = scenario.client(&key).get("/log/audit/vkey", &[]).is(200).text();
    let filtered = scenario.key(&["of-shop", "--read", "--filter", "event_source:shop"]);
    scenario.attestry_with(&["export"], &filtered, b"").is(1).says("a filtered key");

    let some = ["export", "username:bob OR event_id:many-17", "-o", "some.ndjson"];
    scenario.attestry_with(&some, &key, b"").is(0).says("attestry verify some.ndjson");
    scenario.attestry_with(&["export", "--output", "all.ndjson"], &key, b"").is(0);
    let piped = scenario.attestry_with(&["export", "event_id:many-17"], &key, b"").is(0).out;
    assert!(piped.contains("\"many-17\"") && !piped.contains("\"many-18\""), "{piped}");

    let vkey = ["--vkey", vkey.trim()];
    let of = |name: &str| scenario.dir().join(name);
    let lines = read(&of("some.ndjson"));
    let head: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&head["ledger"], &head["first"]), (&json!("audit"), &Value::Null));
    let entries = |lines: &[String]| lines.iter().filter(|line| line.starts_with("{\"index\":")).count();
    assert_eq!(entries(&lines), 2);
    assert_eq!(lines.iter().filter(|line| line.starts_with("{\"value\":")).count(), 1);
    let all = read(&of("all.ndjson"));
    let head: Value = serde_json::from_str(&all[0]).unwrap();
    assert_eq!((head["first"].as_u64(), head["end"].as_u64()), (Some(0), Some(entries(&all) as u64)));
    for name in ["some.ndjson", "all.ndjson"] {
        check(&scenario, &[&[name], &vkey[..]].concat(), 0);
    }

    // Whoever carries it cannot change it.
    let without = |lines: &[String], drop: usize| -> String {
        lines.iter().enumerate().filter(|(nth, _)| *nth != drop).map(|(_, line)| line.as_str()).collect()
    };
    let last = all.len() - 1;
    for (name, text) in [
        ("edited", lines.concat().replace("many-17", "many-71")),
        ("value", lines.concat().replace("a long story a", "a tall story a")),
        ("dropped", without(&all, 300)),
        ("cut", without(&all, last)),
        ("added", all.concat().replacen("{\"index\":5,", "{\"index\":4,", 1)),
    ] {
        std::fs::write(of(name), text).unwrap();
        check(&scenario, &[&[name], &vkey[..]].concat(), 1);
    }
    scenario.finish();
}
