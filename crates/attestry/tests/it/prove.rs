//! Proofs that need no trust in whoever runs the server: of one event, of the whole log over HTTP, and against a pin.

use std::path::Path;

use attestry_testkit::{Scenario, copy_tree};
use serde_json::{Value, json};

use crate::{ATTESTRY, lines};

const TILE: usize = 256;

fn write(path: &Path, bytes: impl AsRef<[u8]>) -> String {
    std::fs::write(path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_event_is_proved_to_three_verifiers() {
    let scenario = Scenario::started(ATTESTRY);
    let writer = scenario.client(&scenario.key(&["shop", "--write"]));
    let reader = scenario.client(&scenario.key(&["auditor", "--read"]));
    writer.post("/api/v1/events", "application/x-ndjson", lines("many", 700)).is(201);
    let posted =
        json!({"event_id": "odd", "event_name": "a.b", "username": "ü\u{1F600}\n\"", "event_data": {"n": 1}});
    let placed = writer.post_json("/api/v1/events?wait=checkpoint", &posted).is(201).json();
    let index = placed["events"][0]["index"].as_u64().unwrap();

    let proof = reader.get("/api/v1/events/odd/proof", &[]).is(200).text();
    assert!(proof.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")), "{proof}");
    let by_index = reader.get(&format!("/api/v1/ledgers/audit/entries/{index}/proof"), &[]).is(200).text();
    assert_eq!(by_index.lines().nth(1), proof.lines().nth(1));
    let raw = reader.get(&format!("/api/v1/ledgers/audit/entries/{index}/raw"), &[]).is(200).body;
    let other = reader.get(&format!("/api/v1/ledgers/audit/entries/{}/raw", index - 1), &[]).is(200).body;
    let vkey = reader.get("/log/audit/vkey", &[]).is(200).text();
    let mut forged = raw.clone();
    let at = forged.iter().position(|byte| *byte == b'o').unwrap();
    forged[at] = b'0';

    let proof = write(&scenario.dir().join("odd.tlog-proof"), proof);
    // Beside the proof under its own name, as a download would lie there.
    write(&scenario.dir().join("odd.json"), &raw);
    let path = |name: &str, bytes: &[u8]| write(&scenario.dir().join(name), bytes);
    let (raw, other, forged) = (path("raw", &raw), path("other", &other), path("forged", &forged));
    let foreign = Scenario::started(ATTESTRY);
    let auditor = foreign.client(&foreign.key(&["auditor", "--read"]));
    let foreign_vkey = auditor.get("/log/audit/vkey", &[]).is(200).text();
    foreign.finish();

    let vkey = vkey.trim();
    for (arguments, code) in [
        (vec!["--vkey", vkey], 0),
        (vec!["--vkey", vkey, "--entry", &raw], 0),
        (vec!["--vkey", vkey, "--entry", &other], 1),
        (vec!["--vkey", vkey, "--entry", &forged], 1),
        (vec!["--vkey", foreign_vkey.trim()], 1),
        // Without the key it is a proof by somebody.
        (vec![], 2),
    ] {
        let arguments = [&[proof.as_str()], &arguments[..]].concat();
        scenario.attestry(&[&["verify"], &arguments[..]].concat()).is(code);
        scenario.verifier(&arguments).is(code);
        scenario.script(&arguments).is(code);
    }
    scenario.finish();
}

#[test]
fn the_log_is_served_byte_for_byte() {
    let mut scenario = Scenario::started(ATTESTRY).with("ATTESTRY_LEDGERS_LOGS_PUBLIC", "true");
    // The variable is read at the start.
    scenario.stop();
    scenario.start();
    let writer = scenario.client(&scenario.key(&["shop", "--write", "--ledger", "logs"]));
    let key = scenario.key(&["auditor", "--read"]);
    let reader = scenario.client(&key);
    let placed = writer
        .post("/api/v1/events?wait=checkpoint", "application/x-ndjson", lines("entry", 3 * TILE + 7))
        .is(201)
        .json();
    let first = placed["events"][0]["index"].as_u64().unwrap();
    assert_eq!((first, &placed["events"][0]["ledger"]), (0, &json!("logs")));

    // Public: anybody may fetch it. The other ledger is not.
    let anybody = scenario.anonymous();
    anybody.get("/log/audit/checkpoint", &[]).is(401);
    let checkpoint = anybody.get("/log/logs/checkpoint", &[]).is(200).text();
    assert_eq!(checkpoint.lines().nth(1), Some((3 * TILE + 7).to_string().as_str()));
    let tile = |path: &str| anybody.get(&format!("/log/logs/tile/{path}"), &[]);
    let entries = split(&tile("entries/001").is(200).body);
    let hashes = tile("0/001").is(200).body;
    assert_eq!((entries.len(), hashes.len()), (TILE, 32 * TILE));
    for (nth, entry) in entries.iter().enumerate().step_by(51) {
        let address = format!("/api/v1/ledgers/logs/entries/{}", TILE + nth);
        assert_eq!(*entry, reader.get(&format!("{address}/raw"), &[]).is(200).body, "{address}");
        let shown = reader.get(&address, &[]).is(200).json();
        let leaf: String = hashes[32 * nth..32 * nth + 32].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown["leaf_hash"], leaf, "{address}");
        assert!(entry.starts_with(br#"{"v":1,"event_id":"entry-"#), "{address}");
    }
    assert_eq!(split(&tile("entries/003.p/7").is(200).body).len(), 7);
    for missing in ["entries/003", "entries/004.p/1", "entries/003.p/8", "0/004", "x", "entries/01"] {
        tile(missing).is(404);
    }

    let key_file = write(&scenario.dir().join("key"), &key);
    let pin = scenario.pin("logs");
    let (url, pin) = (scenario.url(), pin.to_str().unwrap());
    let log = format!("{url}/log/logs");
    for (target, key, code) in [(&log, false, 0), (&log, true, 0), (&url, true, 0), (&url, false, 2)] {
        let with = |option| {
            if key { vec![target.as_str(), option, key_file.as_str()] } else { vec![target.as_str()] }
        };
        scenario.attestry(&[&["verify"], &with("--key-file")[..]].concat()).is(code);
        scenario.verifier(&with("--token-file")).is(code);
    }
    writer.post("/api/v1/events?wait=checkpoint", "application/x-ndjson", lines("more", 300)).is(201);
    scenario.attestry(&["verify", &log, "--pin", pin]).is(0).says("begins with the pinned 775 entries");
    scenario.finish();
}

/// The entries of a bundle: each with its length before it, 16 bits big-endian.
fn split(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk() {
        let (entry, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        entries.push(entry.to_vec());
        bundle = rest;
    }
    entries
}

#[test]
fn an_older_copy_put_back_is_caught_by_a_pin_and_only_by_one() {
    let mut scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let post = |scenario: &Scenario, prefix: &str| {
        let writer = scenario.client(&key);
        writer.post("/api/v1/events?wait=checkpoint", "application/x-ndjson", lines(prefix, 300)).is(201);
    };
    post(&scenario, "before");
    scenario.pin("audit");
    scenario.stop();
    let copy = scenario.dir().join("copy");
    copy_tree(scenario.data(), &copy);
    scenario.start();
    post(&scenario, "after");
    scenario.stop();
    for ran in scenario.verify(true) {
        ran.is(0);
    }
    scenario.start();
    scenario.pin("audit");
    scenario.stop();

    std::fs::remove_dir_all(scenario.data()).unwrap();
    copy_tree(&copy, scenario.data());
    for ran in scenario.verify(false) {
        ran.is(0).says("without a pin: that an older copy was put back");
    }
    let report = scenario.attestry(&["verify", "--json", scenario.data().to_str().unwrap()]).is(0);
    let report: Value = serde_json::from_str(&report.out).unwrap();
    assert_eq!(report["exit"], 0);
    scenario.finish_damaged("missing");
}
