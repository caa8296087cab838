//! Large values: beside the entry, and whole for ever.

use std::path::PathBuf;
use std::time::Duration;

use attestry_testkit::{Client, Scenario, wait_for};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{ATTESTRY, lines};

/// What a ledger seals at once (`docs/formats.md`, section 5): it never seals fewer entries unless they are old or large.
const SEGMENT_ENTRIES: usize = 65_536;
/// Sealing goes on in the background.
const SEAL_MAX: Duration = Duration::from_secs(60);

/// 100 KiB that compress somewhat, with characters of several bytes and some that JSON escapes.
fn large() -> String {
    (0..)
        .map(|number: u64| format!("{} näme\t\"{number}\"\n", number * 7_919))
        .flat_map(|line| line.chars().collect::<Vec<_>>())
        .take(100 << 10)
        .collect()
}

/// The value behind a reference in an entry, checked against it.
fn fetch(reader: &Client, index: u64, reference: &Value, wanted: &str) {
    let hash = reference["$ref"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(reference["bytes"].as_u64().unwrap(), wanted.len() as u64);
    let value = reader.get(&format!("/api/v1/ledgers/audit/entries/{index}/values/{hash}"), &[]).is(200);
    assert!(value.body == wanted.as_bytes(), "the value came back changed");
    let salt = value.header("x-attestry-salt");
    let salt: Vec<u8> =
        (0..salt.len()).step_by(2).map(|at| u8::from_str_radix(&salt[at..at + 2], 16).unwrap()).collect();
    assert_eq!(salt.len(), 16);
    let made = Sha256::new().chain_update(salt).chain_update(&value.body).finalize();
    assert_eq!(made.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hash);
    // It is read through the entry that refers to it, and not by its hash alone.
    reader.get(&format!("/api/v1/ledgers/audit/entries/0/values/{hash}"), &[]).is(404);
}

fn segments(scenario: &Scenario, ending: &str) -> Vec<PathBuf> {
    let folder = scenario.data().join("ledgers/audit/segments");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

#[test]
fn a_large_message_survives_sealing_and_a_restart() {
    let mut scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    let (message, data) = (large(), large().to_uppercase());
    let posted = json!({
        "event_id": "large", "event_name": "a.b", "username": "alice", "message": message,
        "event_data": {"short": "kept", "deep": [{"long": data}]},
    });
    let index = writer.store(&posted)["events"][0]["index"].as_u64().unwrap();
    let same = writer.store(&posted);
    assert_eq!((&same["events"][0]["index"], &same["events"][0]["duplicate"]), (&json!(index), &json!(true)));
    let check = |scenario: &Scenario| {
        let shown = reader.get("/api/v1/events/large", &[]).is(200).json();
        assert_eq!(shown["index"], index);
        fetch(&reader, index, &shown["event"]["message"], &message);
        fetch(&reader, index, &shown["event"]["event_data"]["deep"][0]["long"], &data);
        assert_eq!(shown["event"]["event_data"]["short"], "kept");
        let proof = reader.get("/api/v1/events/large/proof", &[]).is(200).text();
        std::fs::write(scenario.dir().join("large.tlog-proof"), proof).unwrap();
        let raw = reader.get(&format!("/api/v1/ledgers/audit/entries/{index}/raw"), &[]).is(200).body;
        std::fs::write(scenario.dir().join("large.json"), raw).unwrap();
        let vkey = reader.get("/log/audit/vkey", &[]).is(200).text();
        scenario.attestry(&["verify", "large.tlog-proof", "--vkey", vkey.trim()]).is(0);
    };
    check(&scenario);

    for part in 0..SEGMENT_ENTRIES / 8_192 {
        writer.post("/api/v1/events", "application/x-ndjson", lines(&format!("p{part}"), 8_192)).is(201);
    }
    wait_for("a segment is sealed", SEAL_MAX, || segments(&scenario, "seg").pop());
    wait_for("its values are beside it", SEAL_MAX, || segments(&scenario, "val").pop());
    check(&scenario);
    assert_eq!(reader.count("event_name:door.open"), SEGMENT_ENTRIES as u64);
    scenario.stop();
    scenario.start();
    check(&scenario);
    assert_eq!(reader.count("event_name:door.open"), SEGMENT_ENTRIES as u64);
    // Ids that are sealed are still known.
    let again = writer.store(&crate::event("p0-0"));
    assert_eq!(again["events"][0]["duplicate"], true);
    scenario.kill();
    scenario.start();
    check(&scenario);
    scenario.finish();
}
