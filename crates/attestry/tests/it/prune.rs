//! What retention takes away, and what it leaves provable.

use std::time::Duration;

use attestry_testkit::{Scenario, wait_for};

use crate::{ATTESTRY, SOON, event, texts};

/// What a ledger seals at once; only what is sealed is pruned.
const SEGMENT_ENTRIES: usize = 65_536;
const SEAL_MAX: Duration = Duration::from_secs(60);

#[test]
fn what_is_pruned_leaves_a_log_that_verifies() {
    let mut scenario = Scenario::started(ATTESTRY);
    let key = scenario.key(&["shop", "--write"]);
    let writer = scenario.client(&key);
    let reader = scenario.client(&scenario.key(&["reader", "--read"]));
    writer.post_json("/api/v1/events?wait=checkpoint", &event("early")).is(201);
    let early = reader.search("event_id:early")[0]["index"].as_u64().unwrap();
    let proof = reader.get("/api/v1/events/early/proof", &[]).is(200).text();
    std::fs::write(scenario.dir().join("early.tlog-proof"), proof).unwrap();
    let raw = reader.get(&format!("/api/v1/ledgers/audit/entries/{early}/raw"), &[]).is(200).body;
    std::fs::write(scenario.dir().join("early.json"), raw).unwrap();
    let line = "{\"event_name\":\"a.b\",\"username\":\"-\"}\n";
    writer.post("/api/v1/events", "application/x-ndjson", line.repeat(SEGMENT_ENTRIES)).is(201);
    writer.post_json("/api/v1/events?wait=checkpoint", &event("late")).is(201);
    scenario.pin("audit");

    let dry = ["ledger", "prune", "audit", "--older-than", "1s", "--dry-run"];
    let would = wait_for("a segment is sealed", SEAL_MAX, || {
        Some(scenario.attestry(&dry).is(0).out).filter(|told| !told.starts_with("nothing"))
    });
    assert!(would.starts_with(&format!("would prune entries 0..{SEGMENT_ENTRIES} of audit")), "{would}");
    assert_eq!(
        scenario.attestry(&["ledger", "prune", "audit", "--older-than", "1d", "--dry-run"]).is(0).out,
        "nothing in audit is old enough to be pruned\n"
    );
    scenario.attestry(&["ledger", "prune", "audit"]).is(1).says("for ever");
    assert_eq!(reader.count("event_id:early"), 1);

    scenario.stop();
    assert_eq!(scenario.attestry(&dry).is(0).out, would);
    // From now on with a retention that everything sealed is older than.
    scenario = scenario.with("ATTESTRY_LEDGERS_AUDIT_RETENTION", "1s");
    scenario.start();
    wait_for("the pruning is recorded", SOON, || {
        (reader.count("event_name:ledger.pruned resource:audit") == 1).then_some(())
    });
    wait_for("the entries are gone", SOON, || {
        let gone = reader.get(&format!("/api/v1/ledgers/audit/entries/{early}"), &[]);
        (gone.status == 410).then_some(())
    });
    reader.get(&format!("/api/v1/ledgers/audit/entries/{early}/proof"), &[]).is(410);
    wait_for("searches do not find them", SOON, || (reader.count("event_id:early") == 0).then_some(()));
    assert_eq!(reader.count("event_id:late"), 1);
    // Proofs that were handed out stand, and those of what is kept can still be made.
    let vkey = reader.get("/log/audit/vkey", &[]).is(200).text();
    scenario.attestry(&["verify", "early.tlog-proof", "--vkey", vkey.trim()]).is(0);
    reader.get("/api/v1/events/late/proof", &[]).is(200);
    let log = format!("{}/log/audit", scenario.url());
    scenario
        .attestry_with(&["verify", &log], &scenario.key(&["auditor", "--read"]), b"")
        .is(0)
        .says("pruned");
    scenario.stop();
    scenario.start();
    scenario.client(&key).store(&event("afterwards"));
    scenario.finish();
}

#[test]
fn a_person_prunes_whether_or_not_the_server_runs() {
    let mut scenario = Scenario::started(ATTESTRY).with("USER", "olga").with("SUDO_USER", "olga");
    let key = scenario.key(&["shop", "--write"]);
    let reading = scenario.key(&["reader", "--read"]);
    let (writer, reader) = (scenario.client(&key), scenario.client(&reading));
    let line = "{\"event_name\":\"a.b\",\"username\":\"-\"}\n";
    let fill = || {
        writer.post("/api/v1/events", "application/x-ndjson", line.repeat(SEGMENT_ENTRIES)).is(201);
        writer.post_json("/api/v1/events?wait=checkpoint", &event("filled")).status
    };
    let command = ["ledger", "prune", "audit", "--older-than", "1s"];
    let pruned = |scenario: &Scenario| {
        let dry = [&command[..], &["--dry-run"]].concat();
        wait_for("a segment is sealed", SEAL_MAX, || {
            (!scenario.attestry(&dry).is(0).out.starts_with("nothing")).then_some(())
        });
        // A key in the environment is for something else.
        scenario.attestry_with(&command, &key, b"").is(0).out
    };
    fill();
    // No key may, but the server's own.
    scenario
        .attestry_with(&[&command[..], &["--url", &scenario.url()]].concat(), &reading, b"")
        .is(1)
        .says("only an administrator");
    let told = pruned(&scenario);
    assert!(told.starts_with(&format!("pruned entries 0..{SEGMENT_ENTRIES} of audit, received ")), "{told}");
    assert_eq!(scenario.attestry(&command).is(0).out, "nothing in audit is old enough to be pruned\n");
    wait_for("searches do not find them", SOON, || (reader.count("event_name:a.b") < 100).then_some(()));
    let by = |address: &str| {
        let events = reader.search("event_name:ledger.pruned");
        assert_eq!(texts(&events, "/event/username"), ["olga"]);
        assert_eq!(texts(&events, "/event/source_ip_address"), [address]);
    };
    by("127.0.0.1");
    fill();
    wait_for("a segment is sealed", SEAL_MAX, || {
        (!scenario.attestry(&[&command[..], &["--dry-run"]].concat()).out.starts_with("nothing"))
            .then_some(())
    });
    scenario.stop();
    let told = pruned(&scenario);
    assert!(
        told.starts_with(&format!("pruned entries {SEGMENT_ENTRIES}..{}", 2 * SEGMENT_ENTRIES)),
        "{told}"
    );
    scenario.start();
    // The first event went with the entries around it; the newest is the one that counts.
    by("-");
    scenario.finish();
}
